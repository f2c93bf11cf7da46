"""Boards and tasks as files to download: CSV, JSON, Parquet and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kemb.boards import Board
from kemb.boards.cells import expression_of
from kemb.publishing import tables
from kemb.publishing.markdown import escape


def of_board(board: Board) -> dict[str, bytes]:
    """The content of each kind of file; Markdown holds what a README needs, in English and in
    Korean, the others every row and cell.
    """
    return {
        "csv": tables.to_csv(board).encode(
            "utf-8-sig"
        ),  # spreadsheets take UTF-8 for Korean only with a mark
        "json": tables.to_json(board).encode(),
        "parquet": to_parquet(board),
        "md": tables.to_markdown(board, wide=True, lang="en").encode(),
        "ko.md": tables.to_markdown(board, wide=True, lang="ko").encode(),
    }


def to_parquet(board: Board) -> bytes:
    """One line per row and cell: what is ranked, where it comes from, its value (a fraction) and
    its interval.
    """
    lines = [line for number in range(len(board.cells)) for line in _lines("", board, number)]
    return _parquet(
        [{name: line[name] for name in _SCHEMA.names if name in line} for line in lines], _SCHEMA
    )


def of_task(task: str, boards: Mapping[str, Board]) -> dict[str, bytes]:
    """The content of each kind of file for one task: every number of it on any board, fractions at
    full precision.
    """
    lines = [
        line
        for slug, board in boards.items()
        for number, cell in enumerate(board.cells)
        if cell.task == task
        for line in _lines(slug, board, number)
        if line["value"] is not None
    ]
    names = _TASK_SCHEMA.names
    lines = [{name: line[name] for name in names} for line in lines]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: tables.no_formula(v) if isinstance(v, str) else v for name, v in line.items()}
        for line in lines
    )
    rows = [
        names,
        ["---"] * len(names),
        *([_markdown(line[name]) for name in names] for line in lines),
    ]
    return {
        "csv": text.getvalue().encode("utf-8-sig"),
        "json": (json.dumps(lines, ensure_ascii=False, indent=1) + "\n").encode(),
        "parquet": _parquet(lines, _TASK_SCHEMA),
        "md": "".join(f"| {' | '.join(row)} |\n" for row in rows).encode(),
    }


def _lines(slug: str, board: Board, number: int) -> Iterator[dict[str, Any]]:
    """One cell of every row."""
    cell = board.cells[number]
    for row in board.rows:
        standing, result = row.standing, row.results.get(cell.task)
        low, high = (
            standing.cell_intervals[number]
            if standing and standing.cell_intervals
            else (None, None)
        )
        yield {
            "board": slug,
            "model": row.model,
            "revision": row.revision,
            "variant": row.variant,
            "source": row.claim.source if row.claim else "",
            "rank_low": standing.rank_low if standing else None,
            "rank_high": standing.rank_high if standing else None,
            "score": row.score,
            "task": cell.task,
            "cell": cell.title,
            "metric": expression_of(cell, board.formula),
            "dataset_revision": result.dataset_revision if result else "",
            "value": row.cells[number],
            "low": low,
            "high": high,
        }


def _parquet(lines: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(lines, schema=schema), out, compression="zstd", store_schema=False
    )
    return out.getvalue()


def _markdown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else escape(str(value))


_VALUES = [("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
_ROW = [(name, pa.string()) for name in ("model", "revision", "variant", "source")]
_SCHEMA = pa.schema(
    [
        *_ROW,
        ("rank_low", pa.int32()),
        ("rank_high", pa.int32()),
        ("score", pa.float64()),
        ("task", pa.string()),
        ("cell", pa.string()),
        *_VALUES,
    ]
)
_TASK_SCHEMA = pa.schema(
    [
        ("board", pa.string()),
        *_ROW,
        *((name, pa.string()) for name in ("cell", "metric", "dataset_revision")),
        *_VALUES,
    ]
)
