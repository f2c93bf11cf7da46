"""The verbs `compare` and `verify`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli.options import data_option, results_option
from kemb.errors import ResultError, UsageError
from kemb.messages import printable

if TYPE_CHECKING:
    from kemb.evaluation.evaluate import Task
    from kemb.evaluation.verify import Verification, VerifyOptions
    from kemb.results.files import TaskResult
    from kemb.results.rows import ResultRow


@click.command()
@click.argument("a")
@click.argument("b")
@click.argument("targets", nargs=-1, metavar="[BENCHMARK|TASK|DIR...]")
@results_option
@data_option
@click.option(
    "--zone",
    type=float,
    default=0.5,
    show_default=True,
    help="Points within which B and A are equal.",
)
@click.option(
    "--items",
    "n_items",
    type=int,
    default=3,
    show_default=True,
    help="Items shown per task, each way.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "md", "json"]),
    default="table",
    show_default=True,
)
def compare(
    a: str,
    b: str,
    targets: tuple[str, ...],
    results_dir: Path,
    data: Path | None,
    zone: float,
    n_items: int,
    form: str,
) -> None:
    """Say whether B is better than A, how surely, and which items changed.

    A and B are rows of results: MODEL, MODEL@REVISION, 'MODEL [VARIANT]', claimed:MODEL, or the
    folder of a row. With --data, or the folder of one's own data as target, items are shown with
    their texts.

    \b
    Examples:
      kemb compare BAAI/bge-m3 nlpai-lab/KURE-v1
      kemb compare BAAI/bge-m3 "BAAI/bge-m3 [dtype_bfloat16]" KLUE-STS
      kemb compare local/mine@0a1b local/mine@9c8d ./mydata
    """
    from kemb.boards.compare import CompareOptions
    from kemb.boards.compare import compare as compare_rows
    from kemb.evaluation.targets import compared_cells
    from kemb.publishing import reports as show
    from kemb.results.rows import find_row

    rows = _rows(results_dir)
    row_a, row_b = find_row(a, rows), find_row(b, rows)
    common = [task for task in row_a.results if task in row_b.results and n_items]
    benchmark, task_data = compared_cells(
        targets, data, common, lambda line: click.echo(printable(line), err=True)
    )
    options = CompareOptions(zone / 100, n_items, task_data)
    compared = compare_rows(row_a, row_b, benchmark, options)
    if form == "table":
        show.print_comparison(compared)
    else:
        click.echo({"md": show.to_markdown, "json": show.to_json}[form](compared), nl=False)


@click.command()
@click.argument("record", metavar="RESULT.json|FILE.zip|MODEL")
@click.argument("targets", nargs=-1, metavar="[TASK|DIR...]")
@results_option
@data_option
@click.option("--model", default="", help="Where the model is now; a local one must be named.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 or mps.")
@click.option("--trust-remote-code", is_flag=True, help="Run code from the model's repository.")
@click.option(
    "--sample",
    "fraction",
    type=float,
    default=1.0,
    help="Fraction of queries or pairs, such as 0.1.",
)
@click.option(
    "--tolerance", type=float, default=5e-4, show_default=True, help="As a fraction, not points."
)
@click.option(
    "--items-only",
    is_flag=True,
    help="Compute the scores again from the recorded items; run nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def verify(
    record: str,
    targets: tuple[str, ...],
    results_dir: Path,
    data: Path | None,
    items_only: bool,
    as_json: bool,
    **settings: Any,  # noqa: ANN401  click gives each its type
) -> None:
    """Run a recorded result again, with nothing reused, and compare it with the record.

    Every cell is OK (equal to 1e-6), OK within tolerance, or DIFFERS; then the exit code is 1. DIR
    is the folder of a task of one's own. Of a submission (`kemb submit`) the files and hashes are
    checked, and the scores are computed again from the items; nothing is run. Of other files of a
    results folder (model_meta.json, claims, snapshots) the types and names are checked.

    \b
    Examples:
      kemb verify results/BAAI__bge-m3/5617a9f61b028005a4858fdac845db406aefb181/KLUE-STS.json
      kemb verify bge-m3 Ko-StrategyQA --sample 0.1
      kemb verify local/mine ./mydata --model ./mine
      kemb verify bge-m3 --items-only
      kemb verify bge-m3.zip
    """
    from kemb.evaluation.verify import VerifyOptions
    from kemb.publishing import reports as show

    options = VerifyOptions(**settings)
    if record.endswith(".zip"):
        from kemb.cli.exchange import verify_submission

        if targets or options.fraction < 1:
            raise UsageError(
                "Of a submission everything is checked, and nothing is run: name only the file."
            )
        verify_submission(Path(record), options.tolerance, as_json)
        return
    if _is_good_other_file(Path(record)):
        return
    record = re.sub(r"\.items\.parquet$", ".json", record)
    verifications = _verified(record, targets, results_dir, items_only, data, options)
    if as_json:
        click.echo(show.verifications_to_json(verifications), nl=False)
    else:
        show.print_verifications(verifications)
    if any(verification.differs for verification in verifications):
        sys.exit(1)


def _verified(
    record: str,
    targets: tuple[str, ...],
    results_dir: Path,
    items_only: bool,
    data: Path | None,
    options: VerifyOptions,
) -> list[Verification]:
    """Each result that is meant, computed again from its items or run again."""
    from kemb.evaluation.evaluate import load_task
    from kemb.evaluation.verify import verify_items

    folders = {
        task.spec.name: task
        for task in (load_task(target) for target in targets if Path(target).exists())
    }
    names = [target for target in targets if not Path(target).exists()]
    results = _recorded(record, [*names, *folders], results_dir)
    return [
        verify_items(result, options.tolerance)
        if items_only
        else _run_again(result, folders, data, options)
        for result in results
    ]


def _is_good_other_file(path: Path) -> bool:
    """Whether it is a file of a results folder that is no result; then it was checked."""
    from kemb.publishing.results_files import check_file, is_other_file

    if not is_other_file(path):
        return False
    check_file(path)
    click.echo(f"{path}: its content is of the kind that belongs there.")
    return True


def _rows(results_dir: Path) -> list[ResultRow]:
    """Measured rows, imported ones and those that come with kemb."""
    from kemb.results.claims import read_all, shipped
    from kemb.results.rows import rows_of

    return rows_of([*read_all(results_dir), *shipped()])


def _recorded(record: str, names: list[str], results_dir: Path) -> list[TaskResult]:
    """The results of a file, or of a row, that are to be verified."""
    from kemb.results.files import read_result, read_results
    from kemb.results.rows import find_row, rows_of

    if record.endswith(".json"):
        result = read_result(Path(record))
        if names and result.task not in names:
            raise UsageError(f"{record} is a result of {result.task}, not of {' or '.join(names)}.")
        return [result]
    row = find_row(record, rows_of(read_results(results_dir)))
    if lacking := [name for name in names if name not in row.results]:
        raise UsageError(
            f"{row.label} has no result of {', '.join(lacking)}; it has {', '.join(row.results)}."
        )
    return [row.results[name] for name in names or row.results]


def _run_again(
    result: TaskResult, folders: dict[str, Task], data_dir: Path | None, options: VerifyOptions
) -> Verification:
    from kemb import tasks
    from kemb.evaluation.evaluate import load_task
    from kemb.evaluation.verify import refuse_unmeasured, verify_result
    from kemb.publishing.terminal import TerminalReporter

    refuse_unmeasured(result)
    if result.task not in folders and result.task not in tasks.names():
        raise ResultError(
            f"{result.task} is a task of your own; give the folder of its data: kemb verify "
            f"{result.path} DIR"
        )
    subsets = list(
        dict.fromkeys(entry["hf_subset"] for entries in result.scores.values() for entry in entries)
    )
    task = folders.get(result.task) or load_task(result.task, data_dir, subsets)
    with TerminalReporter() as reporter:
        return verify_result(result, task, options, reporter)
