"""The verbs that bring published numbers in, and take ours out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kemb.cli.options import FILE, FOLDER, results_option, task_names
from kemb.errors import UsageError
from kemb.files import disk
from kemb.messages import printable

if TYPE_CHECKING:
    from kemb.publishing.submit import Packed

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemb.adapters.published import Scale
    from kemb.results.claims import ClaimRow, Source

N_SHOWN = 20


@click.group(name="import")
def import_group() -> None:
    """Bring published numbers in; they are claimed, keep their source, and never pass for measured
    ones.

    \b
    Examples:
      kemb import mteb ~/.cache/mteb
      kemb import card README.md
      kemb import table README.md --benchmark ko-leaderboard-v1
    """


name_option = click.option(
    "--name", default="", help="What boards call the source.  [the file, folder or repository]"
)


@import_group.command(name="mteb")
@click.argument(
    "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="PATH"
)
@results_option
@click.option(
    "--tasks",
    "task_targets",
    multiple=True,
    metavar="BENCHMARK|TASK",
    help="Only these; repeatable.",
)
@name_option
def import_mteb(folder: Path, results_dir: Path, task_targets: tuple[str, ...], name: str) -> None:
    """Read mteb's results: a results folder, a clone of the public results, an mteb cache, or one
    model's folder.

    \b
    Example:
      kemb import mteb ./results-clone --tasks mteb-kor-v2
    """
    from kemb.adapters import mteb_results

    imported = mteb_results.read_results_folder(folder, task_names(task_targets), _track)
    _finish(results_dir, imported.rows, mteb_results.source_of(folder, name), imported.problems)


scale_option = click.option(
    "--scale",
    type=click.Choice(["auto", "percent", "fraction"]),
    default="auto",
    show_default=True,
    help="What the numbers are; auto refuses what is in doubt.",
)
url_option = click.option("--url", default="", help="Where the file was found.")
commit_option = click.option("--commit", default="", help="Its commit there.")


@import_group.command(name="card")
@click.argument("file", type=FILE)
@results_option
@click.option(
    "--model",
    default="",
    metavar="ORG/NAME",
    help="The model; by default the one that the card names.",
)
@scale_option
@name_option
@url_option
@commit_option
def import_card(
    file: Path, results_dir: Path, model: str, scale: Scale, name: str, url: str, commit: str
) -> None:
    """Read the results in a model card's model-index, or in a .eval_results YAML.

    \b
    Example:
      kemb import card README.md --model org/my-model --url https://huggingface.co/org/my-model
    """
    from kemb.adapters.documents import read_document
    from kemb.adapters.published import card_rows, model_name
    from kemb.errors import UsageError
    from kemb.results.claims import Source

    document = read_document(file)
    entries = document.entries
    if not entries:
        raise UsageError(
            f"{file} has no results in a model-index, and is no .eval_results file."
            f"{_unread(document.metadata_problems)}"
        )
    model_names = {model} if model else {entry.model for entry in entries}
    full = model_name(min(model_names))
    if len(model_names) != 1 or "/" not in full:
        printed = ", ".join(sorted(filter(None, model_names))) or "nothing"
        raise UsageError(
            f"{file} names {printed} as its model; say which one it is with --model ORG/NAME."
        )
    imported = card_rows(full, entries, scale)
    source = Source(name or f"{full} card", url, commit)
    problems = [*document.metadata_problems, *imported.problems]
    _finish(results_dir, imported.rows, source, problems)


@import_group.command(name="table")
@click.argument("file", type=FILE)
@click.option(
    "--benchmark",
    "benchmark_name",
    required=True,
    metavar="NAME|TOML",
    help="Whose cells the columns are.",
)
@click.option(
    "--table", "number", type=click.IntRange(1), help="Only the table of this number, from 1."
)
@results_option
@scale_option
@name_option
@url_option
@commit_option
def import_table(
    file: Path,
    benchmark_name: str,
    number: int | None,
    results_dir: Path,
    scale: Scale,
    name: str,
    url: str,
    commit: str,
) -> None:
    """Read tables of models x cells of a benchmark, in Markdown, HTML, tabs or columns.

    \b
    Example:
      kemb import table README.md --benchmark ko-leaderboard-v1
    """
    from kemb.adapters.documents import read_document
    from kemb.adapters.published import table_rows
    from kemb.boards.benchmark import load_benchmark
    from kemb.errors import UsageError
    from kemb.results.claims import Source

    benchmark = load_benchmark(benchmark_name)
    tables = read_document(file).tables
    if number is not None and number > len(tables):
        raise UsageError(f"{file} has {len(tables)} tables; there is no table {number}.")
    rows: list[ClaimRow] = []
    problems: list[str] = []
    unread: list[str] = []
    n_matched = 0
    for place, table in enumerate(tables, 1):
        if number not in (None, place):
            continue
        if not table.columns:
            unread += table.problems
            continue
        imported = table_rows(table, benchmark, scale)
        if not imported.matched:
            continue
        n_matched += 1
        matched = ", ".join(
            f"{column} = {cell}" if column != cell else cell
            for column, cell in imported.matched.items()
        )
        ignored = ", ".join(imported.ignored)
        line = f"Table {place}, line {table.line}, {table.title!r}: {matched}. Ignored: {ignored}."
        click.echo(printable(line))
        rows += imported.rows
        problems += imported.problems
    if not n_matched:
        cells = ", ".join(cell.title for cell in benchmark.cells)
        raise UsageError(
            f"No table of {file} has a column that is a cell of {benchmark.name}: {cells}."
            f"{_unread(unread)}"
        )
    source = Source(name or f"{file.name} ({benchmark.name})", url, commit)
    _finish(results_dir, rows, source, [*problems, *unread])


def _unread(problems: Sequence[str]) -> str:
    """What of a file could not be read, as a sentence; empty where all could."""
    if not problems:
        return ""
    more = f"; and {len(problems) - N_SHOWN} more" if len(problems) > N_SHOWN else ""
    return f" What could not be read: {'; '.join(problems[:N_SHOWN])}{more}."


@click.group(name="export")
def export_group() -> None:
    """Write measured results for other programs."""


@export_group.command(name="mteb")
@click.argument("out", type=FOLDER, metavar="DIR")
@results_option
def export_mteb(out: Path, results_dir: Path) -> None:
    """Write measured results so that mteb loads and tabulates them:
    mteb.ResultCache(DIR).load_results().

    \b
    Example:
      kemb export mteb ./for-mteb
    """
    from kemb.adapters.mteb_results import export_mteb as export

    exported = export(results_dir, out)
    click.echo(f"{out / 'results'}: {exported.n_results} results of {exported.n_rows} rows.")
    _show("Left out:", exported.left_out)
    _show("Not exported:", exported.problems)
    sys.exit(1 if exported.problems else 0)


@export_group.command(name="onnx")
@click.argument("model")
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    required=True,
    help="New folder: a copy of the model, with onnx/ in it.",
)
@click.option("--int8", is_flag=True, help="Write onnx/model_int8.onnx, too.")
@click.option(
    "--pooling", type=click.Choice(["mean", "cls", "last"]), help="For plain transformers models."
)
@click.option("--trust-remote-code", is_flag=True, help="Run code from the model's repository.")
def export_onnx(model: str, out: Path, int8: bool, **settings: Any) -> None:  # noqa: ANN401  options
    """Write a dense model as ONNX, compare its vectors with those of torch, and keep it only if
    they are the same.

    \b
    Examples:
      kemb export onnx BAAI/bge-m3 -o ./bge-m3-onnx --int8
      kemb run KorSTS -m ./bge-m3-onnx --backend onnx --backend-file model_int8.onnx
    """
    from kemb.adapters.onnx_export import export_folder
    from kemb.models.model import ModelOptions
    from kemb.models.resolve import resolve

    plain = resolve(model, ModelOptions(**settings))
    model_to_export = (
        plain
        if plain.folder is None
        else resolve(model, ModelOptions(device="cpu", dtype="float32", **settings))
    )
    for file in export_folder(model_to_export, out, int8):
        click.echo(
            f"{file.path}: {file.n_bytes / 1e6:,.1f} MB. To torch on {file.parity.n_texts} texts: "
            f"numbers differ by up to {file.parity.max_difference:.1e}, least cosine "
            f"{file.parity.min_cosine:.4f}."
        )
    click.echo(
        f"What it scores: kemb run TASK -m {out} --backend "
        f"onnx{' --backend-file model_int8.onnx' * int8}"
    )


def _track(files: Sequence[tuple[Path, str]]) -> Iterable[tuple[Path, str]]:
    """The files one by one, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    return track(
        files,
        "Reading",
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def _finish(
    results_dir: Path, rows: Sequence[ClaimRow], source: Source, problems: Sequence[str]
) -> None:
    """Write what was read and say so; problems make the exit code 1."""
    from kemb.results.claims import claims_path, write_claims

    path = claims_path(results_dir, source.name)
    if rows:
        write_claims(path, rows, source)
        n_models, n_tasks = len({row.model for row in rows}), len({row.task for row in rows})
        n_cells = len({row[:4] for row in rows})
        click.echo(
            f"{path}: {len(rows)} numbers, {n_cells} results, {n_models} models, {n_tasks} tasks."
        )
    else:
        click.echo("No numbers were read; nothing was written.", err=True)
    _show("Not imported:", problems)
    sys.exit(1 if problems or not rows else 0)


def _show(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    first_lines = [f"  {line}" for line in lines[:N_SHOWN]]
    if len(lines) > N_SHOWN:
        first_lines.append(f"  and {len(lines) - N_SHOWN} more")
    click.echo(printable("\n".join([title, *first_lines])), err=True)


own_data_option = click.option(
    "--include-own-data", is_flag=True, help="Also results of tasks that kemb does not know."
)


@click.command()
@click.argument("rows", nargs=-1, required=True, metavar="MODEL|RESULT_FOLDER...")
@results_option
@click.option(
    "--tasks",
    "task_targets",
    multiple=True,
    metavar="BENCHMARK|TASK",
    help="Only these; repeatable.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.zip",
)
@own_data_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def submit(
    rows: tuple[str, ...],
    results_dir: Path,
    task_targets: tuple[str, ...],
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

    all_rows = rows_of(read_results(results_dir))
    rows_by_label = {row.label: row for row in (find_row(name, all_rows) for name in rows)}
    tasks = task_names(task_targets)
    rows_to_pack = [
        replace(
            row,
            results={
                task: result for task, result in row.results.items() if not tasks or task in tasks
            },
        )
        for row in rows_by_label.values()
    ]
    if empty := [
        row.label
        for row, of_tasks in zip(rows_by_label.values(), rows_to_pack, strict=True)
        if not of_tasks.results
    ]:
        raise UsageError(f"{', '.join(empty)} has no result of {', '.join(task_targets)}.")
    packed = pack(rows_to_pack, out, include_own_data)
    click.echo(packed.manifest.model_dump_json(indent=1) if as_json else _shown(packed))


def _shown(packed: Packed) -> str:
    manifest = packed.manifest
    n_bytes = packed.path.stat().st_size
    lines = [
        f"{packed.path}: {len(manifest.results)} results, {n_bytes / 1e6:.1f} MB, sha256 "
        f"{packed.sha256}",
        "",
    ]
    for entry in manifest.results:
        variant = f" [{entry.variant}]" if entry.variant else ""
        mark = "  (your own data)" if entry.own_data else ""
        lines.append(
            f"  {entry.model}@{entry.revision[:12]}{variant}  {entry.task}  "
            f"{entry.main_score * 100:.2f}{mark}"
        )
    lines += [
        "",
        "Inside: scores, the score of every item with its id (no texts), prompts, versions, "
        "hardware, times, and the",
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
def import_submission(
    file: Path, results_dir: Path, overwrite: bool, include_own_data: bool
) -> None:
    """Check what `kemb submit` packed and put it into a results folder, as measured results.

    \b
    Example:
      kemb import submission bge-m3.zip --results results
    """
    from kemb.publishing.submit import take_out

    paths = take_out(file, results_dir, overwrite, include_own_data)
    for path in paths:
        click.echo(path)
    click.echo(
        f"{len(paths)} results were written to {results_dir}; what was there already is left as "
        "it was.",
        err=True,
    )


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
def init(folder: Path) -> None:
    """Write the repository of a leaderboard: workflows, an issue form, a README. Nothing is
    overwritten.

    \b
    Example:
      kemb init my-leaderboard
    """
    from kemb.publishing.repository import write

    new_paths, old_paths = write(folder)
    for path in new_paths:
        click.echo(path)
    for path in old_paths:
        click.echo(f"{path} is there already and was left as it is.", err=True)


def verify_submission(file: Path, tolerance: float, as_json: bool) -> None:
    """Check a submission and print what was found; the exit code is 1 where something is wrong."""
    from kemb.publishing import reports as show
    from kemb.publishing.submission import check

    if not file.is_file():
        raise UsageError(
            f"{file} cannot be read: {disk.what_is(file)}. Name a submission that `kemb submit` "
            "made, for example submission.zip."
        )
    checked = check(file, tolerance)
    if as_json:
        click.echo(show.verifications_to_json(checked.verifications), nl=False)
    else:
        show.print_verifications(checked.verifications)
        if own_tasks := [entry.task for entry in checked.manifest.results if entry.own_data]:
            click.echo(f"On the submitter's own data: {', '.join(dict.fromkeys(own_tasks))}.")
    for problem in checked.problems:
        click.echo(printable(f"{file}: {problem}"), err=True)
    if not checked.is_good:
        sys.exit(1)
