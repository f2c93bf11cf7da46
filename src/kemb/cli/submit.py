"""The verbs between people who measure and people who keep a leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kemb.cli.exchange import import_group
from kemb.cli.options import FILE, FOLDER, results_option, task_names
from kemb.errors import UsageError

if TYPE_CHECKING:
    from kemb.publishing.submit import Packed

own_data_option = click.option(
    "--include-own-data", is_flag=True, help="Also results of tasks that kemb does not know."
)


@click.command()
@click.argument("rows", nargs=-1, required=True, metavar="MODEL|RESULT_FOLDER...")
@results_option
@click.option("--tasks", "wanted", multiple=True, metavar="BENCHMARK|TASK", help="Only these; repeatable.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.zip")
@own_data_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def submit(
    rows: tuple[str, ...],
    results_dir: Path,
    wanted: tuple[str, ...],
    out: Path,
    include_own_data: bool,
    as_json: bool,
) -> None:
    """Pack measured results for a leaderboard, with hashes, and show what is inside.

    \b
    Examples:
      kemb submit BAAI/bge-m3 -o bge-m3.zip
      kemb submit BAAI/bge-m3 --tasks mteb-kor-v2 -o bge-m3.zip
    """
    from dataclasses import replace

    from kemb.publishing.submit import pack
    from kemb.results.files import read_results
    from kemb.results.rows import find_row, rows_of

    known = rows_of(read_results(results_dir))
    chosen = {row.label: row for row in (find_row(written, known) for written in rows)}
    tasks = task_names(wanted)
    kept = [
        replace(row, results={task: result for task, result in row.results.items() if not tasks or task in tasks})
        for row in chosen.values()
    ]
    if empty := [row.label for row, of_tasks in zip(chosen.values(), kept, strict=True) if not of_tasks.results]:
        raise UsageError(f"{', '.join(empty)} has no result of {', '.join(wanted)}.")
    packed = pack(kept, out, include_own_data)
    click.echo(packed.manifest.model_dump_json(indent=1) if as_json else _shown(packed))


def _shown(packed: Packed) -> str:
    manifest = packed.manifest
    n_bytes = packed.path.stat().st_size
    lines = [f"{packed.path}: {len(manifest.results)} results, {n_bytes / 1e6:.1f} MB, sha256 {packed.sha256}", ""]
    for entry in manifest.results:
        variant = f" [{entry.variant}]" if entry.variant else ""
        own = "  (your own data)" if entry.own_data else ""
        lines.append(f"  {entry.model}@{entry.revision[:12]}{variant}  {entry.task}  {entry.main_score * 100:.2f}{own}")
    lines += [
        "",
        "Inside: scores, the score of every item with its id (no texts), prompts, versions, hardware, times, and the",
        "commands as they were typed:",
        *(f"  {command}" for command in packed.commands if command),
    ]
    if packed.n_masked:
        lines.append(f"Home folders are written as ~ in {packed.n_masked} places.")
    return "\n".join([*lines, "", f"Check it again with: kemb verify {packed.path}"])


@import_group.command(name="submission")
@click.argument("file", type=FILE, metavar="FILE.zip")
@results_option
@click.option("--overwrite", is_flag=True, help="Replace other results of the same model and task.")
@own_data_option
def import_submission(file: Path, results_dir: Path, overwrite: bool, include_own_data: bool) -> None:
    """Check what `kemb submit` packed and put it into a results folder, as measured results.

    \b
    Example:
      kemb import submission bge-m3.zip --results results
    """
    from kemb.publishing.submit import take_out

    written = take_out(file, results_dir, overwrite, include_own_data)
    for path in written:
        click.echo(path)
    click.echo(
        f"{len(written)} results were written to {results_dir}; what was there already is left as it was.", err=True
    )


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
def init(folder: Path) -> None:
    """Write the repository of a leaderboard: workflows, an issue form, a README. Nothing is overwritten.

    \b
    Example:
      kemb init my-leaderboard
    """
    from kemb.publishing.repository import write

    written, kept = write(folder)
    for path in written:
        click.echo(path)
    for path in kept:
        click.echo(f"{path} is there already and was left as it is.", err=True)


def verify_submission(file: Path, tolerance: float, as_json: bool) -> None:
    """Check a submission and print what was found; the exit code is 1 where something is wrong."""
    from kemb.publishing import reports as show
    from kemb.publishing.submission import check

    if not file.is_file():
        raise UsageError(f"There is no file {file}; expected a submission that `kemb submit` made.")
    checked = check(file, tolerance)
    if as_json:
        click.echo(show.verifications_to_json(checked.verifications), nl=False)
    else:
        show.print_verifications(checked.verifications)
        if own := [entry.task for entry in checked.manifest.results if entry.own_data]:
            click.echo(f"On the submitter's own data: {', '.join(dict.fromkeys(own))}.")
    for problem in checked.problems:
        click.echo(f"{file}: {problem}", err=True)
    if not checked.is_good:
        sys.exit(1)
