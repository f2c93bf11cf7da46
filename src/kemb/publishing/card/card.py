"""Results -> a model card: README.md with front matter and `.eval_results/<Task>.yaml`, beside the
author's own text.

Only what stands between the two marks is replaced. Equal results give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kemb.adapters import front_matter
from kemb.boards import Board, Row, build_board
from kemb.boards.benchmark import load_benchmark
from kemb.boards.benchmark import names as benchmark_names
from kemb.boards.cells import cell_value
from kemb.errors import DataError, UnknownName, UsageError
from kemb.files import disk
from kemb.models import catalogue, files, identity
from kemb.models.facts import facts_of
from kemb.publishing.card.body import CardData, body
from kemb.publishing.card.metadata import changed_fields, dataset_of, eval_results_yaml
from kemb.publishing.markdown import clean, escape, own_data
from kemb.publishing.usage import code_for, usage_of
from kemb.results.claims import read_all, shipped
from kemb.results.files import META, TaskResult
from kemb.results.meta import read_meta
from kemb.results.rows import ResultRow, find_row, rows_of

README = "README.md"
EVAL_RESULTS = ".eval_results"
BEGIN, END = "<!-- kemb:begin -->", "<!-- kemb:end -->"
_BLOCK = re.compile(rf"^{BEGIN}[ \t]*\r?$.*?^{END}[ \t]*\r?$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What a card is made of."""

    results_dir: Path
    benchmarks: tuple[str, ...] = ()
    """Those whose rank is told; by default every shipped one of which the model has all tasks."""
    name: str = ""
    """`org/name` under which the model is published; the name of its row by default."""
    license: str = ""
    """Replaces what the front matter says."""
    private: bool = False
    """State results on data of one's own."""


@dataclass(frozen=True, slots=True)
class Made:
    """A card, and what was left out of it."""

    files: dict[str, str]
    """Path -> content: `README.md`, `.eval_results/<Task>.yaml`."""
    left_out: list[str]
    """Tasks on data of one's own."""


def make_card(row_or_folder: str, options: CardOptions, existing: str = "") -> Made:
    """The files of a model's card.

    :param row_or_folder: a row of measured results as `find_row` takes it, or the folder of a local
        model.
    :param options: what to tell.
    :param existing: the README that is there; its text is kept.
    :raises UsageError: no such row, only claimed numbers, or only results on data of one's own.
    :raises DataError: the README's front matter or marks are broken.
    """
    results = read_all(options.results_dir)
    row = _measured(row_or_folder, results)
    private = [] if options.private else own_data(row.results.values())
    tasks = {name: result for name, result in sorted(row.results.items()) if result not in private}
    if not tasks:
        raise UsageError(
            f"{row.label} has results on your own data only ({', '.join(sorted(row.results))}). A "
            "card is public; add --private if these numbers may be."
        )
    row = replace(row, results=tasks)
    name = options.name or row.model
    usage = usage_of(
        row.model, tasks.values(), options.name if row.model.startswith("local/") else ""
    )
    facts = facts_of(row.model, _meta(row))
    if options.license:
        facts = replace(facts, license=options.license)
    boards = _boards(row, results, options.benchmarks)
    card = CardData(name, row, facts, code_for(usage), boards)
    head, text = front_matter.split(existing)
    removed = ("license", "license_link") if options.license else ()
    fields = front_matter.read_head(head or "")
    changed = changed_fields(fields, removed, facts, usage, name, list(tasks.values()))
    end = "\r\n" if "\r\n" in existing else "\n"
    new_head = front_matter.with_fields(head or "", changed, removed, end)
    content = _joined(new_head, _placed(text, body(card), name))
    # The hub shows these on the pages of data sets, so they are of tasks whose data lies there.
    on_hub = [result for result in tasks.values() if dataset_of(result) != result.task]
    extra = {f"{EVAL_RESULTS}/{result.task}.yaml": eval_results_yaml(result) for result in on_hub}
    return Made({README: content, **extra}, [result.task for result in private])


def write_card(contents: Mapping[str, str], path: Path) -> None:
    """Write the README at `path` and the other files beside it, each at once or not at all, the
    README last.

    :raises DiskError: when a file cannot be written.
    """
    for name, content in sorted(contents.items(), key=lambda pair: pair[0] == README):
        target = path if name == README else path.parent / name
        disk.write(target, content, "The file that was there is unchanged. Name another with -o.")


def read_existing(path: Path) -> str:
    """The README that is there, line ends as they are; '' where there is none.

    :raises DataError: when it is no UTF-8 text.
    """
    if not path.exists():
        return ""
    try:
        return disk.read_bytes(path, disk.MOST_JSON_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as UTF-8 text ({error}); nothing was written."
        ) from error


def _measured(row_or_folder: str, results: Sequence[TaskResult]) -> ResultRow:
    """The row of measured results that is meant."""
    try:
        row = find_row(
            _row_of_folder(row_or_folder), rows_of(r for r in results if r.kemb and not r.claim)
        )
    except UnknownName:
        spec = catalogue.load_spec(row_or_folder)
        name = (spec.name if spec else row_or_folder).lower()
        if name not in {result.model.lower() for result in [*results, *shipped()]}:
            raise
        row = None
    if row is None or not all(result.kemb for result in row.results.values()):
        raise UsageError(
            f"{row_or_folder} has only published numbers here. A card states what was measured: "
            f"type `kemb run TASK -m {row_or_folder}` first."
        )
    return row


def _row_of_folder(row_or_folder: str) -> str:
    """Results of a local model are found by its folder, too."""
    folder = Path(row_or_folder)
    if not folder.is_dir() or not any(
        (folder / name).is_file() for name in ("config.json", "modules.json")
    ):
        return row_or_folder
    return f"{files.local_name(folder)}@{identity.content_hash(folder.resolve())[:12]}"


def _meta(row: ResultRow) -> dict[str, Any]:
    folder = next(iter(row.results.values())).path.parent
    path = (folder.parent.parent if row.variant else folder) / META
    return read_meta(path) if path.exists() else {}


def _boards(
    row: ResultRow, results: Sequence[TaskResult], benchmarks: Sequence[str]
) -> list[tuple[Board, Row]]:
    """The boards to tell of: those asked for, else the shipped ones of which the row has all tasks.

    Where there are none, the one of all its tasks, if other models were measured on them.
    """
    public = [*results, *shipped()]
    names = list(benchmarks) or [name for name in benchmark_names() if _is_complete(row, name)]
    boards = [build_board(public, load_benchmark(name)) for name in names]
    if not names:
        measured_results = [r for r in results if r.claim is None and r.task in row.results]
        boards = [build_board(measured_results)]
    pairs = [(board, _own_row(board, row)) for board in boards]
    boards_with_row = [(board, board_row) for board, board_row in pairs if board_row is not None]
    return (
        boards_with_row
        if benchmarks
        else [
            (board, board_row)
            for board, board_row in boards_with_row
            if board_row.standing and len(board.complete) > 1
        ]
    )


def _is_complete(row: ResultRow, name: str) -> bool:
    benchmark = load_benchmark(name)
    formula = benchmark.formula()
    weighted = zip(benchmark.cells, benchmark.cell_weights(formula), strict=True)
    return all(
        cell_value(cell, formula, row.results) is not None for cell, weight in weighted if weight
    )


def _own_row(board: Board, row: ResultRow) -> Row | None:
    key = (row.model, row.revision, row.variant)
    same = (
        other
        for other in board.rows
        if (other.model, other.revision, other.variant) == key and not other.claim
    )
    return next(same, None)


def _joined(head: str, text: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    return f"---{end}{head}---{end}{text}"


def _placed(text: str, content: str, name: str) -> str:
    """The author's text with our block in its place: where it was, else at the end."""
    blocks = _BLOCK.findall(text)
    lone = (
        text.count(BEGIN)
        + text.count(END)
        - sum(block.count(BEGIN) + block.count(END) for block in blocks)
    )
    if len(blocks) > 1 or (lone and not blocks):
        raise DataError(
            f"The README has a lone {BEGIN} or {END}, or more than one pair of them. Keep one "
            "pair, each on a line of its own, or none; nothing was written."
        )
    block = f"{BEGIN}\n{content}\n{END}"
    end = "\n"
    if "\r\n" in text:
        end, block = "\r\n", block.replace("\n", "\r\n")
    if blocks:
        return text.replace(blocks[0].rstrip("\r"), block)
    if not text.strip():
        return f"\n# {escape(clean(name))}\n\n{block}\n"
    return f"{text.rstrip()}{end}{end}{block}{end}"
