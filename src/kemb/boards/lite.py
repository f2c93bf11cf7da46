"""Lite versions of tasks on boards: never beside the full task, and never without a word of what
they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kemb.boards.benchmark import Benchmark, CellSpec
from kemb.errors import UsageError
from kemb.messages import Note, note
from kemb.results.files import TaskResult
from kemb.results.record import LiteRecord
from kemb.results.rows import ResultRow

LEAST_SHARE = 0.9
"""A row of whose first ten documents a lite version holds less gets a mark behind its score."""


def lite_record(result: TaskResult) -> LiteRecord | None:
    """What a result says of the lite version that it was measured on; None for any other task."""
    return result.kemb.task.lite if result.kemb is not None else None


def is_marked(lite: LiteRecord) -> bool:
    """Whether too little of what a row finds is in the lite version, or nobody knows how much."""
    return lite.share is None or lite.share < LEAST_SHARE


def without_lite(
    benchmark: Benchmark, results: Iterable[TaskResult]
) -> tuple[Benchmark, dict[str, Note]]:
    """The benchmark without lite versions of tasks that it has in full, and of several lite
    versions of one task none but the first; they would be averaged as if they were tasks of their
    own.

    :param benchmark: one without a name was made up of what there is, and loses those cells.
    :return: beside it, by task, what was left out and why.
    :raises UsageError: one that somebody wrote so.
    """
    full_of = {
        result.task: lite.of for result in results if (lite := lite_record(result)) is not None
    }
    tasks = set(benchmark.tasks)
    stays: dict[str, str] = {}
    cells: list[CellSpec] = []
    notes: dict[str, Note] = {}
    for cell in benchmark.cells:
        full = full_of.get(cell.task)
        other = full if full in tasks else stays.get(full, "") if full else ""
        if full and other:
            if benchmark.name:
                raise UsageError(
                    f"{benchmark.name} has both {cell.task} and {other}: a lite version is never "
                    "ranked beside its task, nor beside another version of it. Leave one of them "
                    "out."
                )
            notes[cell.task] = note("comparable.lite_beside", task=cell.task, other=other)
            continue
        if full:
            stays[full] = cell.task
        cells.append(cell)
    return (benchmark.model_copy(update={"cells": cells}) if notes else benchmark), notes


def lite_notes(rows: Sequence[ResultRow], tasks: Sequence[str]) -> list[Note]:
    """Of every lite version what it is, and which rows were in the pool that drew it."""
    notes = []
    for task in tasks:
        records = {
            row.name: lite
            for row in rows
            if task in row.results and (lite := lite_record(row.results[task])) is not None
        }
        if not records:
            continue
        lite = next(iter(records.values()))
        about = note(
            "comparable.lite",
            task=task,
            full=lite.of,
            n_documents=lite.n_documents,
            n_full=lite.n_full,
        )
        notes.append(about)
        if members := [label for label, record in records.items() if record.is_pooled]:
            notes.append(note("comparable.lite_pool", task=task, rows=members))
    return notes
