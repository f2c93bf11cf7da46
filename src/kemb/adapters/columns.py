"""Which column of a published table is which cell of a benchmark: by name, by a known other
spelling, by a metric behind the name; and which columns look like tasks that nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from kemb import tasks
from kemb.adapters.tables import Table
from kemb.boards.benchmark import MAIN_SCORE, Benchmark, CellSpec, known_metrics, spec_of
from kemb.errors import UsageError

RANK = re.compile(r"rank|순위|#|no\.?|place", re.IGNORECASE)
AGGREGATE = re.compile(r"avg|average|mean|평균|overall|total|종합", re.IGNORECASE)
PROPERTY = re.compile(
    r"dim|param|size|length|token|seq|layer|year|date|step|epoch|loss|lr|time|latency|speed|memory|license|vocab|count|"
    r"batch|차원|크기|길이|number|#",
    re.IGNORECASE,
)
_TYPE_WORDS = ("retrieval", "clustering", "pairclassification", "classification", "reranking")
_OTHER_NAMES = {
    "sib2000": "sib200",
    "belebele": "BelebeleRetrieval",
    "miracl": "MIRACLRetrieval",
    "miraclretrievalhardnegative": "MIRACLRetrievalHardNegatives",
}
"""What published tables call a task, where it is not a shortened name: -> title or task of a cell.
"""
_METRIC_WORDS = {
    "acc": "accuracy",
    "vmeasure": "v_measure",
    "spearman": "spearman",
    "pearson": "pearson",
    "ap": "ap",
}
"""Short names of metrics, without punctuation -> ours, or what ours end in."""
_OF_SHORT = {"spearman": "cosine_spearman", "pearson": "cosine_pearson", "ap": "max_ap"}
_FEWEST_LETTERS, _MOST_LETTERS = 8, 100
"""Of a name that may be spelt wrong by one letter."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is a cell of a benchmark."""

    cell: CellSpec
    metric: str
    """Of its numbers: the cell's expression, unless the header names another metric."""

    @property
    def title(self) -> str:
        """The cell, and the metric where it is not the cell's."""
        return (
            self.cell.title
            if self.metric == self.cell.metric
            else f"{self.cell.title} ({self.metric})"
        )


def plain(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[\W_]", "", name).lower()


def match_columns(header: Sequence[str], benchmark: Benchmark, models: int) -> dict[int, Column]:
    """The columns of a table that are cells of a benchmark.

    :param models: the column of the models' names.
    :raises UsageError: two columns are the same cell by the same metric.
    """
    names = _names_of_cells(benchmark)
    columns = {}
    for number, title in enumerate(header):
        column = _column_of(title, names) if number != models else None
        if column is not None:
            columns[number] = column
    titles = [column.title for column in columns.values()]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise UsageError(
            f"Two columns of the table are the cell {', '.join(twice)}. Choose another --table."
        )
    return columns


def unknown_tasks(
    table: Table, benchmark: Benchmark, columns: Mapping[int, Column], models: int
) -> list[str]:
    """What is wrong with columns of numbers that look like tasks and are no cell, while cells of
    the benchmark are left without a column.
    """
    matched = {column.cell.title for column in columns.values()}
    rest = [cell.title for cell in benchmark.cells if cell.title not in matched]
    others = _known_tasks() | {plain(group) for group in benchmark.groups()}
    problems = []
    for number, title in enumerate(table.columns):
        if number in columns or number == models or not rest or not title:
            continue
        cells = table.column(number)
        is_number = sum(cell.number is not None for cell in cells) >= max(1, len(cells) / 2)
        if not is_number or plain(title) in others or is_no_task(title):
            continue
        problems.append(
            f"line {table.line}: the column {title[:80]!r} looks like a task and is no cell of "
            f"{benchmark.name} by name; its numbers were not read. Without a column: "
            f"{', '.join(rest[:10])}{' and more' * (len(rest) > 10)}"
        )
    return problems


def is_no_task(title: str) -> bool:
    """Whether a header is that of a rank, an average, a property or a metric."""
    return bool(
        RANK.fullmatch(title.strip())
        or AGGREGATE.search(title)
        or PROPERTY.search(title)
        or _metric_of(title) is not None
    )


def _names_of_cells(benchmark: Benchmark) -> dict[str, CellSpec]:
    """By plain name."""
    names: dict[str, CellSpec] = {}
    for cell in benchmark.cells:
        for name in (cell.title, cell.task):
            names.setdefault(plain(name), cell)
    shortened: dict[str, list[CellSpec]] = {}
    for cell in benchmark.cells:
        for word in _TYPE_WORDS:
            shortened.setdefault(plain(cell.task).removesuffix(word), []).append(cell)
    for name, cells in shortened.items():
        if len({cell.title for cell in cells}) == 1:
            names.setdefault(name, cells[0])
    for name, other in _OTHER_NAMES.items():
        if plain(other) in names:
            names.setdefault(name, names[plain(other)])
    return names


def _column_of(title: str, names: Mapping[str, CellSpec]) -> Column | None:
    plain_title = plain(title)
    cell = names.get(plain_title) or _misspelt(plain_title, names)
    if cell is not None:
        return Column(cell, cell.metric)
    for end in range(min(len(plain_title) - 1, _MOST_LETTERS), 2, -1):
        cell = names.get(plain_title[:end])
        metric = _metric_of(plain_title[end:]) if cell is not None else None
        if cell is not None and metric is not None:
            return Column(cell, _metric_in(cell, metric))
    return None


def _misspelt(plain_title: str, names: Mapping[str, CellSpec]) -> CellSpec | None:
    """The one cell from whose name this one differs by a letter; digits tell tasks apart."""
    if not _FEWEST_LETTERS <= len(plain_title) <= _MOST_LETTERS or plain_title in _known_tasks():
        return None
    cells = {
        cell.title: cell for name, cell in names.items() if _differs_by_a_letter(plain_title, name)
    }
    return next(iter(cells.values())) if len(cells) == 1 else None


def _differs_by_a_letter(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    is_change = len(short) == len(long)
    rest = short[start + 1 :] if is_change else short[start:]
    if rest != long[start + 1 :] or start == len(long):
        return False
    letters = {long[start], *(short[start : start + 1] if is_change else "")}
    return all(letter.isalpha() for letter in letters)


def _metric_of(name: str) -> str | None:
    """Our name of a metric; None where it is none."""
    words, metric_names = plain(name), _metric_names()
    return (
        metric_names.get(words)
        or metric_names.get(words.replace("at", "", 1))
        or (_METRIC_WORDS.get(words))
    )


@cache
def _known_tasks() -> frozenset[str]:
    return frozenset(plain(name) for name in tasks.names())


@cache
def _metric_names() -> dict[str, str]:
    return {plain(name): name for name in known_metrics(None)}


def _metric_in(cell: CellSpec, metric: str) -> str:
    """The metric under which a number of a cell is recorded: the cell's own expression where the
    named metric is all of it.
    """
    spec = spec_of(cell.task)
    main_metric = spec.main_metric if cell.metric == MAIN_SCORE and spec else cell.metric
    if metric in (cell.metric, main_metric) or (
        metric in _OF_SHORT and main_metric.endswith(f"_{metric}")
    ):
        return cell.metric
    return _OF_SHORT.get(metric, metric)
