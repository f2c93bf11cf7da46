"""What the columns of a table are: names of models, ranks, properties, scores, and averages of the scores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kemb.adapters.docinit import Table
from kemb.types import DoubleArray

_RANK = re.compile(r"rank|순위|#|no\.?|place", re.IGNORECASE)
_AGGREGATE = re.compile(r"avg|average|mean|평균|overall|total|종합", re.IGNORECASE)
_ONLY_AGGREGATE = re.compile(
    r"(weighted|macro|micro|avg|average|mean|평균|overall|total|종합|score|점수|all|tasks?|datasets?|of|the|by|[\d\s().:_/%↑-])+",
    re.IGNORECASE,
)
_PROPERTY = re.compile(
    r"dim|param|size|length|token|seq|layer|year|date|step|epoch|loss|lr|time|latency|speed|memory|license|vocab|count|"
    r"batch|차원|크기|길이|number|#",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\((\d{1,3})\s*(?:tasks?|datasets?)?\)\s*$")


@dataclass(frozen=True)
class Shape:
    """A table of scores: which column is what."""

    table: Table
    name: int
    """Column of the models' names."""
    rank: int | None
    scores: list[int]
    """Columns of single scores."""
    average: int | None
    """The column that averages the scores."""

    @property
    def names(self) -> list[str]:
        """The models, as printed."""
        return [cell.text for cell in self.table.column(self.name)]

    def title(self, column: int) -> str:
        """The header of a column."""
        return self.table.columns[column]

    def values(self, columns: list[int]) -> DoubleArray:
        """Numbers [n_rows, n_columns]; NaN where missing."""
        rows = self.table.rows
        numbers = [[_number(row[column].number) for column in columns] for row in rows]
        return np.array(numbers, dtype=np.float64).reshape(len(rows), len(columns))

    def half_units(self, columns: list[int]) -> DoubleArray:
        """How far rounding may have moved each number [n_rows, n_columns].

        A trailing zero may have been dropped ("65.5" among "63.82"): a column is as exact as its most exact cell.
        """
        finest = [max((cell.decimals for cell in self.table.column(column)), default=0) for column in columns]
        return np.broadcast_to(0.5 * 10.0 ** -np.array(finest, dtype=np.float64), (len(self.table.rows), len(columns)))

    @cached_property
    def printed_average(self) -> DoubleArray:
        """The average column [n_rows]."""
        assert self.average is not None
        found: DoubleArray = self.values([self.average])[:, 0]
        return found

    def counts(self) -> DoubleArray | None:
        """The numbers of tasks in the headers, "Retrieval (15)", where every score column has one."""
        found = [_COUNT.search(self.title(column)) for column in self.scores]
        numbers = [int(match[1]) for match in found if match]
        return np.array(numbers, dtype=np.float64) if found and len(numbers) == len(found) else None


def shape_of(table: Table) -> Shape | None:
    """The shape of a table of models and scores; None for any other table."""
    if len(table.rows) < 2 or len(table.columns) < 2:
        return None
    share = [np.mean([cell.number is not None or cell.is_missing for cell in table.column(i)]) for i in _range(table)]
    numbers = [any(cell.number is not None for cell in table.column(i)) for i in _range(table)]
    numeric = [i for i in _range(table) if share[i] >= 0.9 and numbers[i]]
    text = [i for i in _range(table) if i not in numeric and len({c.text for c in table.column(i)}) > 1]
    if not text:
        return None
    rank = next((i for i in numeric if _RANK.fullmatch(table.columns[i].strip()) and _is_rank(table, i)), None)
    rest = [i for i in numeric if i != rank and not _is_property(table, i)]
    named = [i for i in rest if _AGGREGATE.search(table.columns[i])]
    plain = [i for i in named if _ONLY_AGGREGATE.fullmatch(table.columns[i].strip())]
    average = plain[0] if len(plain) == 1 else named[0] if len(named) == 1 else None
    scores = [i for i in rest if i != average and i not in (plain if average is not None else [])]
    return Shape(table, text[0], rank, scores, average if len(scores) > 1 else None)


def plain_name(text: str) -> str:
    """A name for comparisons: lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", text.lower())


def short_name(model: str) -> str:
    """A model's name without its organisation and without a dtype suffix."""
    return plain_name(re.sub(r"-(fp16|bf16|fp32)$", "", model.rsplit("/", 1)[-1].lower()))


def ranks_of(values: DoubleArray) -> list[int]:
    """Places from 1 for the highest; equal values share the first of their places."""
    return [1 + int(np.sum(values > value + 1e-9)) for value in values]


def _range(table: Table) -> range:
    return range(len(table.columns))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _is_rank(table: Table, column: int) -> bool:
    numbers = [cell.number for cell in table.column(column) if cell.number is not None]
    return all(number.is_integer() and 0 < number <= 10_000 for number in numbers)


def _is_property(table: Table, column: int) -> bool:
    """Sizes and lengths; scores lie between -100 and 100."""
    numbers = [abs(cell.number) for cell in table.column(column) if cell.number is not None]
    return bool(_PROPERTY.search(table.columns[column])) or max(numbers, default=0) > 100
