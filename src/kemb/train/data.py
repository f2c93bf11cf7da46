"""Pairs of texts from the files a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kemb.train.sections import DataSection

if TYPE_CHECKING:
    import pyarrow as pa


def load_pairs(sections: Sequence[DataSection], root: Path) -> pa.Table:
    """All rows: anchor, positive, negative_1.., score, group, source, row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for section in sections:
        table = pq.read_table(root / str(section.source.file))
        columns = {"anchor": table[section.columns.anchor], "positive": table[section.columns.positive]}
        for number, name in enumerate(section.columns.negatives, start=1):
            columns[f"negative_{number}"] = table[name]
        if section.columns.score:
            columns["score"] = table[section.columns.score].cast(pa.float64())
        columns["source"] = pa.array([section.id] * table.num_rows)
        columns["row"] = pa.array(range(table.num_rows))
        tables.append(pa.table(columns).slice(0, section.limit))
    return pa.concat_tables(tables, promote_options="default")
