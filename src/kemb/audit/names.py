"""What the columns of a table are: names of models, ranks, properties, scores, and averages of the
scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from urllib.parse import SplitResult, urlsplit

import numpy as np

from kemb import tasks
from kemb.adapters.columns import AGGREGATE, PROPERTY, RANK
from kemb.adapters.documents import Document
from kemb.adapters.tables import Table
from kemb.arrays import DoubleArray
from kemb.audit.findings import Finding
from kemb.boards.benchmark import Benchmark, CellSpec, load_benchmark, names

_ONLY_AGGREGATE = re.compile(
    r"(weighted|macro|micro|avg|average|mean|평균|overall|total|종합|score|점수|all|tasks?|datasets?|of|the|by|[\d\s().:_/%↑-])+",
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

    @cached_property
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

        A trailing zero may have been dropped ("65.5" among "63.82"): a column is as exact as its
        most exact cell.
        """
        finest = [
            max((cell.decimals for cell in self.table.column(column)), default=0)
            for column in columns
        ]
        return np.broadcast_to(
            0.5 * 10.0 ** -np.array(finest, dtype=np.float64), (len(self.table.rows), len(columns))
        )

    def printed_half_units(self, columns: list[int]) -> DoubleArray:
        """As `half_units`, where a number is only as exact as it is printed: what rounding explains
        at most.
        """
        rows = self.table.rows
        halves = [[row[column].half_unit for column in columns] for row in rows]
        return np.array(halves, dtype=np.float64).reshape(len(rows), len(columns))

    @cached_property
    def printed_average(self) -> DoubleArray:
        """The average column [n_rows]."""
        assert self.average is not None
        averages: DoubleArray = self.values([self.average])[:, 0]
        return averages

    def counts(self) -> DoubleArray | None:
        """The numbers of tasks in the headers, "Retrieval (15)", where every score column
        has one.
        """
        matches = [_COUNT.search(self.title(column)) for column in self.scores]
        numbers = [int(match[1]) for match in matches if match]
        if not matches or len(numbers) < len(matches):
            return None
        return np.array(numbers, dtype=np.float64)


def shape_of(table: Table) -> Shape | None:
    """The shape of a table of models and scores; None for any other table."""
    if len(table.rows) < 2 or len(table.columns) < 2:
        return None
    share = [
        np.mean([cell.number is not None or cell.is_missing for cell in table.column(i)])
        for i in _range(table)
    ]
    numbers = [any(cell.number is not None for cell in table.column(i)) for i in _range(table)]
    numeric = [i for i in _range(table) if share[i] >= 0.9 and numbers[i]]
    text = [
        i for i in _range(table) if i not in numeric and len({c.text for c in table.column(i)}) > 1
    ]
    if not text:
        return None
    rank = next(
        (i for i in numeric if RANK.fullmatch(table.columns[i].strip()) and _is_rank(table, i)),
        None,
    )
    rest = [i for i in numeric if i != rank and not _is_property(table, i)]
    aggregates = [i for i in rest if AGGREGATE.search(table.columns[i])]
    plain = [i for i in aggregates if _ONLY_AGGREGATE.fullmatch(table.columns[i].strip())]
    average = next((columns[0] for columns in (plain, aggregates) if len(columns) == 1), None)
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
    return bool(PROPERTY.search(table.columns[column])) or max(numbers, default=0) > 100


_LONGEST_NAME = 100
_KLUE = {"mrc", "ynat", "sts", "nli", "ner", "re", "dp", "wos"}


_HUBS = {
    "huggingface.co",
    "www.huggingface.co",
    "hf.co",
    "github.com",
    "modelscope.cn",
    "www.modelscope.cn",
}


_MODEL_PATH = re.compile(r"/[\w.-]+/[\w.-]+")


def check_labels(document: Document, shapes: Sequence[Shape]) -> Iterator[Finding]:
    """Columns whose name is that of a known data set but for a digit or letter, or of two data sets
    at once.
    """
    for shape in shapes:
        wrong = []
        for column in shape.scores:
            title = shape.title(column)
            if (near := _misspelt(title)) is not None:
                wrong.append(f"{title!r} is no known data set; {near!r} is")
            elif (two := _mixed(title)) is not None:
                wrong.append(f"{title!r} names two data sets of KLUE, {two[0]} and {two[1]}")
        if wrong:
            yield Finding(
                "label",
                document.path.name,
                shape.table.line,
                shape.table.title,
                "header",
                f"{len(wrong)} column{'s' if len(wrong) > 1 else ''} of {shape.table.title!r} "
                "cannot be told by name.",
                "; ".join(wrong) + ".",
                "Who looks for the data set finds another one, or none.",
            )


def check_links(document: Document, shapes: Sequence[Shape]) -> Iterator[Finding]:
    """Rows whose link leads to another model of the table, and hub links on a host that is not the
    hub's.
    """
    foreign: dict[str, int] = {}
    for shape in shapes:
        model_names = {plain_name(name.rsplit("/", 1)[-1]) for name in shape.names}
        for row, cell in enumerate(shape.table.column(shape.name)):
            parts = _parts_of(cell.link)
            if parts is None or not _MODEL_PATH.fullmatch(parts.path):
                continue
            host = (parts.hostname or "").rstrip(".")
            if host not in _HUBS and re.search(r"\bhf\b|huggingface", host):
                foreign[parts.netloc] = foreign.get(parts.netloc, 0) + 1
            row_name, target = (
                plain_name(name.rsplit("/", 1)[-1]) for name in (cell.text, parts.path)
            )
            if target != row_name and target in model_names:
                yield Finding(
                    "link",
                    document.path.name,
                    shape.table.lines[row],
                    shape.table.title,
                    cell.text,
                    f"The link of {cell.text} leads to another model.",
                    f"It leads to {parts.path.strip('/')}, which is another row of the table.",
                    "Who follows it downloads the wrong model.",
                )
    for host, count in foreign.items():
        yield Finding(
            "link",
            document.path.name,
            1,
            "",
            host,
            f"{count} links to models lead to {host}, which is not the hub's host.",
            "The paths are those of models on huggingface.co.",
            "A mirror that scraped the page may serve anything.",
        )


def _parts_of(link: str) -> SplitResult | None:
    """The parts of an address; None where it is none."""
    try:
        return urlsplit(link) if link else None
    except ValueError:
        return None


@cache
def benchmarks() -> tuple[Benchmark, ...]:
    """The shipped ones, read once."""
    return tuple(load_benchmark(name) for name in names())


@cache
def cells_by_name() -> tuple[dict[str, CellSpec], ...]:
    """For each of them: the cells by the plain names of task and column."""
    return tuple(
        {plain_name(title): cell for cell in benchmark.cells for title in (cell.task, cell.title)}
        for benchmark in benchmarks()
    )


@cache
def groups_of_tasks() -> tuple[dict[str, tuple[str, ...]], ...]:
    """For each of them: group -> its tasks, all as plain names."""
    return tuple(
        {
            plain_name(key): tuple(plain_name(benchmark.cells[row].task) for row in rows)
            for key, rows in benchmark.groups().items()
        }
        for benchmark in benchmarks()
    )


@cache
def _known() -> dict[str, str]:
    """Plain names of data sets -> as they are written."""
    titles = [
        title
        for benchmark in benchmarks()
        for cell in benchmark.cells
        for title in (cell.title, cell.task)
    ]
    return {
        plain_name(title): title for title in [*tasks.names(), *titles] if title not in ("sib2000",)
    }


def _misspelt(title: str) -> str | None:
    """A known data set from whose name this one differs by one digit in a number, as 2000
    from 200.
    """
    plain = plain_name(title)
    if plain in _known() or not re.search(r"\d{3}", plain) or not 5 <= len(plain) <= _LONGEST_NAME:
        return None
    for other, other_title in _known().items():
        letters = [re.sub(r"\d", "", name) for name in (plain, other)]
        digits = [re.sub(r"\D", "", name) for name in (plain, other)]
        if (
            letters[0] == letters[1]
            and len(letters[0]) >= 3
            and abs(len(digits[0]) - len(digits[1])) == 1
        ):
            short, long = sorted(digits, key=len)
            if any(long[:i] + long[i + 1 :] == short for i in range(len(long))):
                return other_title
    return None


def _mixed(title: str) -> tuple[str, str] | None:
    """Two data sets of KLUE in one name."""
    words = re.split(r"[\W_]+", title.lower())
    if "klue" not in words:
        return None
    datasets = [word for word in words if word in _KLUE]
    return (datasets[0], datasets[1]) if len(set(datasets)) > 1 else None
