"""Results -> a board: one row per model and variant, one column per task, a mean only for complete rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kemb.results import TaskResult


@dataclass(frozen=True, slots=True)
class Row:
    """One model row; `scores` lacks the tasks that have no comparable result."""

    name: str
    revision: str
    scores: dict[str, float]
    mean: float | None
    """Unweighted mean over all tasks of the board; None where a task is missing."""


@dataclass(frozen=True, slots=True)
class Board:
    """Rows in order: complete ones by mean, then incomplete ones by name."""

    tasks: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    """Why some results were not used."""


def build_board(
    results: Sequence[TaskResult], tasks: Sequence[str] | None = None, rows: Sequence[tuple[str, str]] = ()
) -> Board:
    """Put results side by side.

    Of each task only results with the same data and metric stand together (DESIGN 3.10): those of the largest such
    group, the newest among equals; the others are named in the notes.

    :param tasks: the columns; by default every task that has a result.
    :param rows: name and revision of rows that are shown even if they have no result at all.
    """
    names = list(tasks) if tasks is not None else sorted({result.task for result in results})
    notes: list[str] = []
    cells: dict[tuple[str, str], dict[str, float]] = {row: {} for row in rows}
    for task in names:
        of_task = [result for result in results if result.task == task]
        if not of_task:
            continue
        standard = _standard(of_task)
        if parts := next((r.kemb["task"].get("train_is_evaluated") for r in of_task if "task" in r.kemb), None):
            notes.append(f"{task}: its few-shot examples stand among the evaluated rows ({', '.join(parts)}).")
        if any(result.kemb.get("task", {}).get("unpinned") for result in of_task):
            notes.append(f"{task}: its data revision is not pinned.")
        for result in of_task:
            row = (f"{result.model} [{result.variant}]" if result.variant else result.model, result.revision)
            scores = cells.setdefault(row, {})
            if _comparable_key(result) == standard:
                scores[task] = result.main_score
            else:
                notes.append(f"{row[0]}: {task} has other data or another metric version; not ranked with the others.")
    built = [Row(*row, scores, _mean(scores, names)) for row, scores in cells.items()]
    built.sort(key=lambda row: (row.mean is None, -(row.mean or 0.0), row.name, row.revision))
    return Board(names, built, notes)


def _mean(scores: dict[str, float], tasks: Sequence[str]) -> float | None:
    """Never over holes (DESIGN 3.9)."""
    if any(task not in scores for task in tasks) or not tasks:
        return None
    return sum(scores[task] for task in tasks) / len(tasks)


def _standard(results: Sequence[TaskResult]) -> str:
    counts = Counter(_comparable_key(result) for result in results)
    newest = {_comparable_key(result): result.kemb.get("timestamp", 0) for result in sorted(results, key=_timestamp)}
    return max(counts, key=lambda key: (counts[key], newest[key], key))


def _timestamp(result: TaskResult) -> int:
    return int(result.kemb.get("timestamp", 0))


def _comparable_key(result: TaskResult) -> str:
    task: dict[str, Any] = result.kemb.get("task", {})
    keys = ("data_sha256", "main_metric", "metric_version", "dedupe_pairs", "clustering")
    return json.dumps([result.dataset_revision, *(task.get(key) for key in keys)], sort_keys=True)
