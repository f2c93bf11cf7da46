"""Which results must not be published unasked: those on data of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from kemb import demo
from kemb.boards.benchmark import spec_of
from kemb.results.files import TaskResult


def is_own(task: str, dataset_revision: str = "") -> bool:
    """Whether data are somebody's own: neither kemb's specifications nor its demo know the task, or it is a folder."""
    return task not in _of_demo() and (spec_of(task) is None or dataset_revision.startswith("sha256:"))


def own_data(results: Iterable[TaskResult]) -> list[TaskResult]:
    """The results on data of one's own, also those that another program wrote into a results folder.

    Published numbers, imported or shipped, are public whatever their task.
    """
    return [
        result
        for result in results
        if (result.claim is None or result.path.suffix == ".json") and is_own(result.task, result.dataset_revision)
    ]


@cache
def _of_demo() -> frozenset[str]:
    return frozenset(demo.task_names())
