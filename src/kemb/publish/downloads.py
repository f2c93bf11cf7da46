"""A board as files to download: CSV, JSON, Parquet and Markdown."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from kemb.board import Board
from kemb.publish import tables

KINDS = ("csv", "json", "parquet", "md")


def of_board(board: Board) -> dict[str, bytes]:
    """The content of each kind of file; Markdown holds what a README needs, the others every row and cell."""
    return {
        "csv": tables.to_csv(board).encode("utf-8-sig"),  # spreadsheets take UTF-8 for Korean only with a mark
        "json": tables.to_json(board).encode(),
        "parquet": to_parquet(board),
        "md": tables.to_markdown(board, wide=True).encode(),
    }


def to_parquet(board: Board) -> bytes:
    """One line per row and cell: what is ranked, where it comes from, its value (a fraction) and its interval."""
    lines = []
    for row in board.rows:
        standing = row.standing
        for number, cell in enumerate(board.cells):
            low, high = standing.cell_intervals[number] if standing and standing.cell_intervals else (None, None)
            lines.append(
                {
                    "model": row.model,
                    "revision": row.revision,
                    "variant": row.variant,
                    "source": row.claim.source if row.claim else "",
                    "rank_low": standing.rank_low if standing else None,
                    "rank_high": standing.rank_high if standing else None,
                    "score": row.score,
                    "task": cell.task,
                    "cell": cell.title,
                    "value": row.cells[number],
                    "low": low,
                    "high": high,
                }
            )
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(lines, schema=_SCHEMA), out, compression="zstd", store_schema=False)
    return out.getvalue()


_TEXTS = ("model", "revision", "variant", "source")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("rank_low", pa.int32()),
        ("rank_high", pa.int32()),
        ("score", pa.float64()),
        ("task", pa.string()),
        ("cell", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
