"""Results of one model row -> the values of cells, of groups and overall. Pure functions; nothing
is ever imputed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from kemb.boards.benchmark import MAIN_SCORE, Benchmark, CellSpec, Formula, of_tasks, spec_of
from kemb.boards.expressions import evaluate
from kemb.results.files import TaskResult


def expression_of(cell: CellSpec, formula: Formula) -> str:
    """The metric expression of a cell under a formula."""
    return formula.metric or cell.metric


def declared_parts(cell: CellSpec) -> list[tuple[str, str]] | None:
    """The (split, subset) pairs that a cell is the mean of: its own splits and subsets, else those
    of the task's spec.

    :return: None where neither says which splits there are (a task of one's own): then what a
        result holds counts.
    """
    spec = spec_of(cell.task)
    splits = cell.splits or (spec.splits if spec else [])
    subsets = cell.subsets or (spec.subsets if spec else ["default"])
    return [(split, subset) for split in splits for subset in subsets] or None


def cell_value(cell: CellSpec, formula: Formula, results: Mapping[str, TaskResult]) -> float | None:
    """The unweighted mean, over the cell's parts, of the expression; the parts that it does not
    name are ignored.

    :param results: by task, of one model row.
    :return: None where a declared part or a metric of it is missing, null or not finite. Where the
        task has no value of its own the mean of the cell's `members` stands for it, if none of them
        is missing.
    """
    value = _task_value(results.get(cell.task), cell, formula)
    if value is not None or not cell.members:
        return value
    return overall(
        [_task_value(results.get(task), cell, formula) for task in cell.members],
        _equal(cell.members),
    )


def joined_names(parts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The (split, subset) under which one number for several parts is recorded: their names, each
    once, with `+`.
    """
    splits, subsets = (list(dict.fromkeys(names)) for names in zip(*parts, strict=True))
    return "+".join(splits), "+".join(subsets)


def part_value(result: TaskResult, split: str, subset: str, expression: str) -> float | None:
    """The expression on one (split, subset) of a result; None where the part, or a metric of it, is
    missing.

    A number recorded under the whole expression, as published tables have it, is taken as it is.
    `main_score` is the recorded one, else the main metric of the task's spec.
    """
    entry = next(
        (entry for entry in result.scores.get(split, []) if entry["hf_subset"] == subset), None
    )
    if entry is None:
        return None
    numbers = _numbers(entry)
    spec = spec_of(result.task)
    if MAIN_SCORE not in numbers and spec and spec.main_metric in numbers:
        numbers[MAIN_SCORE] = numbers[spec.main_metric]
    if expression in numbers:
        return numbers[expression]
    try:
        return evaluate(expression, numbers)
    except KeyError:
        return None


def overall(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The weighted sum of the values; None where one that has a weight is missing."""
    weighted = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight]
    terms = [value * weight for value, weight in weighted if value is not None]
    return math.fsum(terms) if terms and len(terms) == len(weighted) else None


def group_values(
    values: Sequence[float | None], groups: Mapping[str, Sequence[int]]
) -> dict[str, float | None]:
    """The unweighted mean of each group's cells (`Benchmark.groups()`); None where one of them is
    missing.
    """
    return {
        name: overall([values[row] for row in rows], _equal(rows)) for name, rows in groups.items()
    }


def _task_value(result: TaskResult | None, cell: CellSpec, formula: Formula) -> float | None:
    if result is None:
        return None
    recorded = [
        (split, entry["hf_subset"]) for split, entries in result.scores.items() for entry in entries
    ]
    parts = declared_parts(cell) or recorded
    expression = expression_of(cell, formula)
    if result.claim is not None and len(parts) > 1:
        # A published table gives one number for all parts of a cell; it is recorded under their
        # joined names.
        joined = part_value(result, *joined_names(parts), expression)
        if joined is not None:
            return joined
    values = [part_value(result, split, subset, expression) for split, subset in parts]
    present = [value for value in values if value is not None]
    return fmean(present) if present and len(present) == len(values) else None


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """What is a finite number in an entry; mteb writes null or NaN where it could not
    compute one.
    """
    return {
        name: float(value)
        for name, value in entry.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _equal(items: Sequence[object]) -> list[float]:
    return [1 / len(items)] * len(items)


def of_results(results: Iterable[TaskResult]) -> Benchmark:
    """The plain mean over all tasks that have results; of a task that nobody ran as its spec
    declares, what was run.
    """
    subsets_by_task: dict[str, list[set[str]]] = {}
    for result in results:
        subsets = {
            str(entry["hf_subset"]) for entries in result.scores.values() for entry in entries
        }
        subsets_by_task.setdefault(result.task, []).append(subsets)
    run_subsets = {}
    for task, subset_sets in subsets_by_task.items():
        spec = spec_of(task)
        if spec and not any(subsets >= set(spec.subsets) for subsets in subset_sets):
            run_subsets[task] = sorted(set().union(*subset_sets))
    return of_tasks(sorted(subsets_by_task), run_subsets)
