"""The verbs that lead to a decision: `choose` and `power`."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli.options import data_option, in_one, model_options, results_option, store_option
from kemb.cli.run import load_tasks, options_of
from kemb.errors import UsageError
from kemb.messages import Text, language, note, printable, say

if TYPE_CHECKING:
    from kemb.choosing.candidates import Limits
    from kemb.evaluation.evaluate import Reporter

_POINTS = 2.0
_UNITS = {"s": 1, "m": 60, "h": 3600}


@click.command()
@click.argument("target", metavar="DIR|TASK|ORG/NAME")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    help="Tried; repeatable.  [a declared set for this machine]",
)
@in_one(
    "limits",
    click.option("--max-gb", type=float, help="Most GB of weights (float32)."),
    click.option("--max-params", help="Most parameters: 120M, 1.5B."),
    click.option("--license", "license", type=click.Choice(["commercial"]), help="Only such."),
    click.option("--dim", type=click.IntRange(1), help="Most dimensions of a vector."),
    click.option(
        "--api/--no-api", "api", default=False, help="Whether texts may be sent to an API.  [no]"
    ),
)
@in_one(
    "how",
    click.option("--budget", default="", help="Wall time; then nothing more is encoded: 10m."),
    click.option(
        "--stages",
        help="Percentages of the documents before all; '' for none.  [default: 10,30]",
    ),
    click.option("--hybrids/--no-hybrids", default=True, help="Every dense row with BM25, too."),
    click.option("--dims", default="", help="Fewer dimensions as rows, too: 512,256."),
    click.option("--quantize", default="", help="Codes as rows, too: int8,binary,binary@100."),
    click.option(
        "--smallest",
        type=click.Choice(["parameters", "index"]),
        default="parameters",
        show_default=True,
        help="What small means first.",
    ),
    click.option(
        "--difference", type=float, default=_POINTS, show_default=True, help="Points planned for."
    ),
    click.option(
        "--chunks",
        default="",
        help='Ways of cutting documents to compare: "sentences:300, heading:800, fixed:400+80".',
    ),
)
@results_option
@store_option
@data_option
@model_options
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def choose(
    target: str,
    models: tuple[str, ...],
    limits: dict[str, Any],
    how: dict[str, Any],
    results_dir: Path,
    store_dir: Path | str | None,
    data: Path | None,
    out: Path | None,
    as_json: bool,
    **model_settings: Any,  # noqa: ANN401  the options of `model_options`
) -> None:
    """Say which model to take for your own data, and how sure that is.

    DIR holds documents with questions; of a folder of documents alone questions are drafted into
    DIR-test first. Without -m a declared set is tried. It ends with sentences and with code.

    \b
    Examples:
      kemb choose ./docs
      kemb choose ./mydata -m bm25:kiwi -m kiwi-static -m BAAI/bge-m3
      kemb choose ./mydata --license commercial --max-gb 1 --budget 10m -o choose.html
      kemb choose ./mydata --dims 512,256 --quantize int8,binary --smallest index
      kemb choose ./docs --chunks "sentences:300, heading:800, fixed:400+80"
    """
    common: dict[str, Any] = {
        "difference": how["difference"] / 100,
        "budget_seconds": _seconds(how["budget"]),
        "command": without_budget(sys.argv[1:]),
        "results": results_dir,
        "store": store_dir,
        "limits": _limits(limits),
        "options": options_of(model_settings),
        **{name: how[name] for name in ("hybrids", "dims", "quantize", "smallest")},
        "hear": _hear(quiet=as_json),
    }
    if how["chunks"]:
        if how["stages"] is not None:
            raise UsageError(
                "With --chunks there is no --stages: answers stand in most documents, which every "
                "stage would hold, so that a part of them would save nothing. --budget bounds the "
                "time."
            )
        _choose_cuts(target, models, how, common, out, as_json)
    else:
        _choose(target, models, how, common | {"mirror": data}, out, as_json)


def _choose(
    target: str,
    models: tuple[str, ...],
    how: dict[str, Any],
    common: dict[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    from kemb.choosing import report, verb

    with _reporter(as_json) as reporter:
        choice = verb.choose(
            target,
            models,
            shares=_shares(how["stages"]),
            reporter=reporter,
            **common,
        )
    if out is not None:
        report.write_page(choice, out, language())
    if as_json:
        click.echo(report.to_json(choice), nl=False)
    else:
        report.print_choice(choice)
        _say_page(out)


def _choose_cuts(
    target: str,
    models: tuple[str, ...],
    how: dict[str, Any],
    common: dict[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    from kemb.choosing import cut_report, verb

    with _reporter(as_json) as reporter:
        cuts = verb.choose_chunks(
            target, _names(how["chunks"]), models, reporter=reporter, **common
        )
    if out is not None:
        cut_report.write_page(cuts, out, language())
    if as_json:
        click.echo(cut_report.to_json(cuts), nl=False)
    else:
        cut_report.print_cuts(cuts)
        _say_page(out)


def _say_page(out: Path | None) -> None:
    if out is not None:
        click.echo(say(note("choose.page_written", path=str(out)), language()))


def without_budget(words: Sequence[str]) -> str:
    """The command that goes on where the time was over: the same one with all the time it takes.

    :param words: that were typed behind `kemb`.
    """
    rest: list[str] = []
    is_value = False
    for word in words:
        if not is_value and word != "--budget" and not word.startswith("--budget="):
            rest.append(word)
        is_value = not is_value and word == "--budget"
    return shlex.join(["kemb", *rest])


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError('--chunks names nothing; type for example "sentences:300, heading:800".')
    return names


def _hear(quiet: bool) -> Any:  # noqa: ANN401  a function of one text
    """Says on stderr what is declared and dropped."""
    from kemb.publishing.reports import clean

    def hear(text: Text) -> None:
        if not quiet:
            click.echo(clean(say(text, language())), err=True)

    return hear


def _reporter(quiet: bool) -> AbstractContextManager[Reporter | None]:
    if quiet:
        return nullcontext()
    from kemb.publishing.terminal import TerminalReporter

    return TerminalReporter()


def _limits(values: dict[str, Any]) -> Limits:
    from kemb.choosing.candidates import Limits

    if values["max_gb"] is not None and not values["max_gb"] > 0:
        raise UsageError(f"--max-gb {values['max_gb']:g} is no size; expected more than 0, as 1.5.")
    return Limits(**(values | {"max_params": _parameters(values["max_params"])}))


def _parameters(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([MBmb]?)", text.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"--max-params {text!r} is no number of parameters; type 120M or 1.5B.")
    return float(match[1]) * {"": 1.0, "m": 1e6, "b": 1e9}[match[2].lower()]


def _seconds(text: str) -> float | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smh])", text.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"--budget {text!r} is no time; type 90s, 10m or 1h.")
    return float(match[1]) * _UNITS[match[2]]


def _shares(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    numbers = [number.strip() for number in text.split(",") if number.strip()]
    if wrong := [number for number in numbers if not re.fullmatch(r"\d{1,2}(\.\d+)?", number)]:
        raise UsageError(f"--stages {wrong[0]!r} is no percentage; type for example 10,30.")
    return tuple(float(number) / 100 for number in numbers)


@click.command()
@click.argument("target", metavar="TASK|DIR")
@click.option("-a", "a", required=True, help="A measured row, as for `kemb compare`.")
@click.option("-b", "b", required=True, help="Another one.")
@click.option(
    "--difference",
    type=float,
    default=_POINTS,
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
    result = plan(
        find_row(a, rows), find_row(b, rows), tasks[0].load(), difference / 100, power / 100
    )
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps(dataclasses.asdict(result), ensure_ascii=False, indent=1))
        return
    for sentence in plan_notes(result):
        click.echo(printable(say(sentence, language())))
