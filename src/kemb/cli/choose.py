"""The verbs that lead to a decision: `power`."""

from __future__ import annotations

from pathlib import Path

import click

from kemb.cli.options import data_option, results_option
from kemb.cli.run import load_tasks
from kemb.errors import UsageError
from kemb.messages import language, say


@click.command()
@click.argument("target", metavar="TASK|DIR")
@click.option("-a", "a", required=True, help="A measured row, as for `kemb compare`.")
@click.option("-b", "b", required=True, help="Another one.")
@click.option(
    "--difference",
    type=float,
    default=2.0,
    show_default=True,
    help="Points that are worth finding; declared, never the observed ones.",
)
@click.option(
    "--power",
    type=float,
    default=80.0,
    show_default=True,
    help="In so many of 100 cases.",
)
@results_option
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def power(
    target: str,
    a: str,
    b: str,
    difference: float,
    power: float,
    results_dir: Path,
    data: Path | None,
    as_json: bool,
) -> None:
    """Say how many questions it takes to tell two models apart, or to show that they are equal.

    From the spread of the differences that were measured, question by question, for a difference
    that you declare. Questions on one passage count as what they are: not independent.

    \b
    Examples:
      kemb power ./mydata -a bm25:kiwi -b BAAI/bge-m3
      kemb power ./mydata -a bm25:kiwi -b BAAI/bge-m3 --difference 5
    """
    from kemb.choosing.power import plan
    from kemb.choosing.sentences import plan_notes
    from kemb.results.files import read_results
    from kemb.results.rows import find_row, rows_of

    tasks = load_tasks((target,), data)
    if len(tasks) != 1:
        raise UsageError(f"{target} is {len(tasks)} tasks; name one task, or a folder of your own.")
    name = tasks[0].spec.name
    rows = rows_of([result for result in read_results(results_dir) if result.task == name])
    if not rows:
        raise UsageError(
            f"{results_dir} has no results of {name} yet. Type: kemb run {target} -m {a} -m {b}"
        )
    planned = plan(
        find_row(a, rows), find_row(b, rows), tasks[0].load(), difference / 100, power / 100
    )
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps(dataclasses.asdict(planned), ensure_ascii=False, indent=1))
        return
    for sentence in plan_notes(planned):
        click.echo(say(sentence, language()))
