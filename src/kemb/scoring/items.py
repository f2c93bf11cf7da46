"""Item scores, taken apart, and metrics out of them alone.

The same formulas as when the task was scored: `kemb verify` and resamples stand on them.
"""

from __future__ import annotations

from pkgutil import resolve_name

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kemb.errors import ResultError
from kemb.tasks.kinds import KINDS
from kemb.types import TaskType


def of_part(items: pa.Table, split: str, subset: str) -> pa.Table:
    """The items of one (split, subset)."""
    return items.filter(pc.and_(pc.equal(items["split"], split), pc.equal(items["subset"], subset)))


def of_metric(items: pa.Table, metric: str) -> pa.Table:
    """The items of one metric, in their order."""
    return items.filter(pc.equal(items["metric"], metric))


def metrics_from_items(items: pa.Table, task_type: TaskType) -> dict[str, float]:
    """Every metric of a part that its items determine.

    :param items: those of one part.
    :param task_type: decides what the items mean (docs/results.md).
    :raises ResultError: items that no metric can be computed from.
    """
    if task_type not in KINDS:
        raise ResultError(f"Items of the task type {task_type!r} cannot be computed again.")
    kind = KINDS[task_type]
    try:
        if kind.recompute:
            metrics: dict[str, float] = resolve_name(kind.recompute)(items)
            return metrics
        names = [
            name for name in items["metric"].unique().to_pylist() if name not in kind.no_scores
        ]
        return {name: float(np.mean(of_metric(items, name)["value"].to_numpy())) for name in names}
    except (ValueError, KeyError, IndexError) as error:
        raise ResultError(
            f"The items cannot be those of a {task_type} task ({type(error).__name__}: {error})."
        ) from error
