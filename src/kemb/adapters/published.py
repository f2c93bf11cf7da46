"""Tables and model cards -> claimed numbers: columns and entries are matched by name, percent or
fraction is decided.

A number whose place or scale is in doubt is refused, never guessed; what was refused is named with
its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from kemb import tasks
from kemb.adapters.card_results import Entry
from kemb.adapters.columns import Column, is_no_task, match_columns, plain, unknown_tasks
from kemb.adapters.mteb_results import (
    RENAMED_TASKS,
    UNKNOWN_DATA,
    entry_numbers,
    finite,
    metric_name,
)
from kemb.adapters.tables import CHANGE, Table, transposed, without_symbols
from kemb.boards.benchmark import Benchmark, CellSpec, known_metrics
from kemb.boards.cells import declared_parts, joined_names
from kemb.errors import UsageError
from kemb.models import catalogue
from kemb.results.claims import UNSTATED, ClaimRow

Scale = Literal["auto", "percent", "fraction"]

_NUMBER = re.compile(
    rf"([-−]?[0-9]++(?:\.[0-9]++)?(?:e-?[0-9]{{1,3}})?)\s*+(%?){CHANGE}?", re.IGNORECASE
)
_MODEL_COLUMNS = {"model", "models", "modelname", "name", "모델", "모델명"}


@dataclass(frozen=True, slots=True)
class Imported:
    """Numbers read, and what stands beside them."""

    rows: list[ClaimRow]
    problems: list[str]
    """What was refused, with line and reason."""
    matched: dict[str, str] = field(default_factory=dict)
    """Column of the table -> cell of the benchmark."""
    ignored: list[str] = field(default_factory=list)
    """Columns that are no cell: averages, ranks."""


def table_rows(table: Table, benchmark: Benchmark, scale: Scale = "auto") -> Imported:
    """The numbers of a table that has a column of models and others that are cells of a benchmark.

    A number is recorded under the whole expression of its cell. It belongs to the cell's (split,
    subset); where the cell is the mean of several, to that mean: the names are joined with `+`, as
    nobody printed the parts.

    :return: no rows and no matched columns where no column is a cell.
    :raises UsageError: when two columns are the same cell, or when the scale cannot be told.
    """
    table, turned_problems = _with_models_as_rows(table, benchmark)
    models = _model_column(table.columns)
    columns = match_columns(table.columns, benchmark, models)
    problems = [*table.problems, *turned_problems] if columns else []
    if columns:
        problems += unknown_tasks(table, benchmark, columns, models)
    numbers = _read_cells(table, models, columns, problems)
    divisor = _divisor([number.value for number in numbers if not number.has_sign], scale, table)
    claims: list[ClaimRow] = []
    for number in numbers:
        value = number.value / (100 if number.has_sign else divisor)
        cell = number.column.cell
        if abs(value) > 1:
            problems.append(
                f"line {number.line}, {cell.title}: {number.value} is more than the whole"
            )
            continue
        place = (cell.task, UNKNOWN_DATA, *joined_part(cell))
        claims.append(ClaimRow(number.model, UNSTATED, "", *place, number.column.metric, value))
    matched = {table.columns[number]: column.title for number, column in columns.items()}
    ignored = [
        name
        for number, name in enumerate(table.columns)
        if number not in columns and number != models
    ]
    return Imported(claims, problems, matched, ignored)


def _with_models_as_rows(table: Table, benchmark: Benchmark) -> tuple[Table, list[str]]:
    """The table, turned where the tasks stand in its first column; and which of its columns are no
    model then.

    Only the name of a known model, or ORG/NAME, is one: a column may as well be an average.
    """
    if len(table.columns) < 2 or match_columns(
        table.columns, benchmark, _model_column(table.columns)
    ):
        return table, []
    turned = transposed(table)
    if not match_columns(turned.columns, benchmark, 0):
        return table, []
    rows, problems = [], []
    for row in turned.rows:
        name = without_symbols(row[0].text)
        if "/" in name or catalogue.load_spec(name):
            rows.append(row)
        elif not is_no_task(name) and any(cell.number is not None for cell in row[1:]):
            problems.append(
                f"line {table.line}: the column {name[:80]!r} is no known model and not ORG/NAME; "
                "its numbers were not read"
            )
    return replace(turned, rows=rows, lines=[table.line] * len(rows)), problems


def card_rows(model: str, entries: Sequence[Entry], scale: Scale = "auto") -> Imported:
    """The numbers of a model card's `model-index`, or of its `.eval_results`.

    mteb writes percentages, other programs fractions. An entry with a number above 1 is in percent;
    a `model-index` without any is in fractions. What has no number above 1 beside others that do is
    refused until the scale is said, and so is `.eval_results`, where an entry has only one number.
    """
    numbers_by_entry = [(entry, _card_numbers(entry)) for entry in entries]
    any_percent = any(_is_percent(numbers) for _, numbers in numbers_by_entry)
    rows: list[ClaimRow] = []
    problems: list[str] = []
    for entry, numbers in numbers_by_entry:
        place = _place(entry, entries)
        if isinstance(place, str):
            problems.append(f"line {entry.line}, {entry.name}: {place}")
            continue
        if place is None:
            continue
        doubtful = not _is_percent(numbers) and (any_percent or not entry.task_type)
        divisor = 100 if scale == "percent" or (scale == "auto" and _is_percent(numbers)) else 1
        if reason := _refused(numbers, divisor, doubtful and scale == "auto"):
            problems.append(f"line {entry.line}, {entry.name}: {reason}")
            continue
        scores = entry_numbers(
            place.task, {name: value / divisor for name, value in numbers.items()}
        )
        data = entry.revision if entry.revision not in ("", "None") else UNKNOWN_DATA
        where = (place.task, data, place.split, place.subset)
        rows += [
            ClaimRow(model, UNSTATED, "", *where, metric, value) for metric, value in scores.items()
        ]
    return Imported(rows, problems)


def joined_part(cell: CellSpec) -> tuple[str, str]:
    """Where a published number for a cell belongs: its (split, subset), names of several joined
    with `+`.
    """
    return joined_names(declared_parts(cell) or [("test", "default")])


def model_name(printed: str) -> str:
    """The full name of a known model; any other as printed."""
    spec = catalogue.load_spec(printed)
    return spec.name if spec else printed


class _Number(NamedTuple):
    line: int
    model: str
    column: Column
    value: float
    has_sign: bool
    """Whether a percent sign stands behind it."""


class _Place(NamedTuple):
    task: str
    split: str
    subset: str


def _model_column(columns: Sequence[str]) -> int:
    return next((number for number, name in enumerate(columns) if plain(name) in _MODEL_COLUMNS), 0)


def _read_cells(
    table: Table, models: int, columns: Mapping[int, Column], problems: list[str]
) -> list[_Number]:
    """The numbers of the columns that are cells, as printed; what is none becomes a problem."""
    numbers: list[_Number] = []
    line_of_model: dict[str, int] = {}
    if not columns:
        return numbers
    for line, row in zip(table.lines, table.rows, strict=True):
        model = model_name(without_symbols(row[models].text.strip()))
        if not model or model in line_of_model:
            reason = (
                f"{model} stands already in line {line_of_model[model]}"
                if model
                else "no model is named"
            )
            problems.append(f"line {line}: {reason}")
            continue
        line_of_model[model] = line
        for place, column in columns.items():
            text, at = row[place].text.strip(), row[place].line or line
            match = _NUMBER.fullmatch(without_symbols(text))
            if match:
                value = float(match[1].replace("−", "-"))
                numbers.append(_Number(at, model, column, value, bool(match[2])))
            elif not row[place].is_missing:
                problems.append(f"line {at}, {table.columns[place]}: {text!r} is no number")
    return numbers


def _divisor(numbers: Sequence[float], scale: Scale, table: Table) -> int:
    """100 for percentages, 1 for fractions."""
    if scale != "auto":
        return 100 if scale == "percent" else 1
    large = [number for number in numbers if abs(number) > 1]
    small = [number for number in numbers if 0 < abs(number) <= 1]
    if large and small:
        raise UsageError(
            f"The table in line {table.line} has numbers below 1 ({small[0]}) and above "
            f"({large[0]}): percent or fraction? Say --scale percent or --scale fraction."
        )
    return 100 if large else 1


def _card_numbers(entry: Entry) -> dict[str, float]:
    metric_names = known_metrics(None) | {"map"}
    values_by_metric = {metric_name(name): finite(value) for name, value in entry.metrics.items()}
    return {
        name: value
        for name, value in values_by_metric.items()
        if name in metric_names and value is not None
    }


def _is_percent(numbers: Mapping[str, float]) -> bool:
    return any(abs(value) > 1 for value in numbers.values())


def _refused(numbers: Mapping[str, float], divisor: int, doubtful: bool) -> str:
    """Why the numbers of an entry are not taken; empty where they are."""
    if not numbers:
        return "no metric that kemb knows has a number"
    if doubtful:
        return (
            "percent or fraction? Its numbers are not above 1; say --scale percent or --scale "
            "fraction"
        )
    largest = max(numbers.values(), key=abs)
    return (
        f"{largest} is no {'percentage' if divisor > 1 else 'fraction'}"
        if abs(largest) > divisor
        else ""
    )


def _place(entry: Entry, entries: Sequence[Entry]) -> _Place | str | None:
    """Task, split and subset of an entry; the reason where they are not certain; None where others
    say the same.
    """
    if entry.task_type:
        # `MTEB STS17 (ko-ko)` with the config `ko-ko` is the task `STS17`
        name = entry.name.removeprefix("MTEB ").removesuffix(f" ({entry.config})").strip()
        if not name or not entry.split:
            return "it does not name its task and split"
        return _Place(RENAMED_TASKS.get(name, name), entry.split, entry.config or "default")
    for task in (
        tasks.names()
    ):  # `.eval_results`: the task_id is <task>_<subset>_<split>, or <task> for the mean
        if entry.name == task:
            has_parts = any(other.name.startswith(f"{task}_") for other in entries)
            return None if has_parts else _Place(task, *joined_part(CellSpec(task=task)))
        spec = tasks.load_spec(task)
        for subset in spec.subsets:
            for split in spec.splits:
                if entry.name == f"{task}_{subset}_{split}":
                    return _Place(task, split, subset)
    if match := re.fullmatch(r"(.+)_default_([^_]+)", entry.name):
        return _Place(match[1], match[2], "default")
    return "its task_id is not that of a task, split and subset that kemb knows"
