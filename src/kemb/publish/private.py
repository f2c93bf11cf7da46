"""Which results must not be published unasked: those on data of one's own."""

from __future__ import annotations

from collections.abc import Iterable

from kemb import demo
from kemb.benchmarks.spec import spec_of
from kemb.results import TaskResult


def own_data(results: Iterable[TaskResult]) -> list[TaskResult]:
    """The measured results on tasks that neither kemb's specifications nor its demo know."""
    public = set(demo.task_names())
    return [
        result
        for result in results
        if result.claim is None and result.task not in public and spec_of(result.task) is None
    ]
