"""Rows with different numbers of hard negatives, made even: a batch needs the same number in each.

The rule, which no row decides alone: every row gets `train.negatives` of them, or as many as the
widest row has. A row with more loses those at its end; one with fewer repeats its own, in turn; one
with none takes the first of the rows after it, as other rows' negatives are its negatives in a
batch anyway. All of it is counted and said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class NegativeCounts:
    """What became of the hard negatives of a data section."""

    n_rows: int
    n_given: int
    n_used: int
    """Different places of given ones that are trained on."""
    n_lost: int
    """Above the number of a row."""
    n_repeated: int
    """Places filled by a row's own once more."""
    n_borrowed: int
    """Places filled by negatives of other rows, in rows that have none."""

    @property
    def sentence(self) -> str:
        """What is to be known of them; '' where every row has the same number."""
        if not (self.n_lost or self.n_repeated or self.n_borrowed):
            return ""
        return (
            f"its {self.n_rows:,} rows have different numbers of negatives: of {self.n_given:,} "
            f"{self.n_used:,} are used and {self.n_lost:,} lost (train.negatives); "
            f"{self.n_repeated:,} places repeat a row's own, {self.n_borrowed:,} of rows without "
            "any take those of other rows."
        )


def negative_names(table: pa.Table) -> list[str]:
    """negative_1, negative_2 .. of a table, whatever the order of its columns."""
    names = [name for name in table.column_names if re.fullmatch(r"negative_\d+", name)]
    return sorted(names, key=lambda name: int(name.removeprefix("negative_")))


def even_negatives(
    rows: pa.Table, most: int | None = None
) -> tuple[pa.Table, list[str], NegativeCounts]:
    """The rows with the same number of negatives each.

    :param rows: columns negative_1 .. with nulls, negative_1_score .. where a teacher has scored
        them, and others.
    :param most: negatives of a row; None for as many as the widest row has.
    :return: the table, the names of its negatives, and what was made of those that were given. A
        borrowed negative has no score.
    """
    import pyarrow as pa

    names = negative_names(rows)
    filled_rows = _filled(rows, names)
    widest = max((len(of_row) for of_row in filled_rows), default=0)
    width = widest if most is None else min(most, widest)
    n_given = sum(map(len, filled_rows))
    evened = [_evened(filled_rows, row, width) for row in range(len(filled_rows))]
    n_used = sum(min(len(of_row), width) for of_row in filled_rows)
    n_borrowed = sum(width for of_row in filled_rows if not of_row) if n_given else 0
    counts = NegativeCounts(
        n_rows=len(filled_rows),
        n_given=n_given,
        n_used=n_used,
        n_lost=n_given - n_used,
        n_repeated=len(filled_rows) * width - n_used - n_borrowed,
        n_borrowed=n_borrowed,
    )
    scores = [f"{name}_score" for name in names]
    table = rows.drop_columns([name for name in (*names, *scores) if name in rows.column_names])
    for place, name in enumerate(names[:width]):
        texts = [of_row[place][0] for of_row in evened]
        table = table.append_column(name, pa.array(texts, pa.string()))
        if f"{name}_score" in rows.column_names:
            values = [of_row[place][1] for of_row in evened]
            table = table.append_column(f"{name}_score", pa.array(values, pa.float64()))
    return table, names[:width], counts


_Scored = tuple[str, float | None]
"""A negative and its score, if a teacher gave one."""


def _filled(rows: pa.Table, names: list[str]) -> list[list[_Scored]]:
    """The negatives of every row, without the nulls."""
    filled_rows: list[list[_Scored]] = [[] for _ in range(rows.num_rows)]
    for name in names:
        texts = rows[name].to_pylist()
        has_scores = f"{name}_score" in rows.column_names
        scores = rows[f"{name}_score"].to_pylist() if has_scores else [None] * len(texts)
        for of_row, text, score in zip(filled_rows, texts, scores, strict=True):
            if text is not None:
                of_row.append((text, score))
    return filled_rows


def _evened(filled_rows: list[list[_Scored]], row: int, width: int) -> list[_Scored]:
    if mine := filled_rows[row]:
        return [mine[place % len(mine)] for place in range(width)]
    borrowed: list[_Scored] = []
    after = row + 1
    while len(borrowed) < width:
        others = filled_rows[after % len(filled_rows)]
        lap = (after - row) // len(filled_rows)
        borrowed += [(others[lap % len(others)][0], None)] if others else []
        after += 1
    return borrowed
