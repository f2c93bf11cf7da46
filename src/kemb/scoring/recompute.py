"""Metrics of a result from its item scores alone, by the same formulas as `kemb.scoring`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kemb.errors import ResultError
from kemb.scoring.clusters import _clustering
from kemb.scoring.items import of_metric
from kemb.scoring.labels import _classification, _multilabel
from kemb.scoring.pairs import _pairs
from kemb.types import TaskType

_NO_METRIC = ("retrieved", "candidates", "nearest", "gold", "cosine", "dot")


def metrics_from_items(items: pa.Table, task_type: TaskType) -> dict[str, float]:
    """Every metric of a part that its items determine.

    Args:
        items: those of one part.
        task_type: decides what the items mean (docs/results.md).

    Raises:
        ResultError: items that no metric can be computed from.
    """
    try:
        match task_type:
            case "retrieval" | "reranking" | "bitext_mining" | "summarization":
                names = [
                    name for name in items["metric"].unique().to_pylist() if name not in _NO_METRIC
                ]
                return {
                    name: float(np.mean(of_metric(items, name)["value"].to_numpy()))
                    for name in names
                }
            case "sts" | "pair_classification":
                return _pairs(items, task_type)
            case "classification":
                return _classification(items)
            case "multilabel_classification":
                return _multilabel(items)
            case "clustering":
                return _clustering(items)
    except (ValueError, KeyError, IndexError) as error:
        raise ResultError(
            f"The items cannot be those of a {task_type} task ({type(error).__name__}: {error})."
        ) from error
    raise ResultError(f"Items of the task type {task_type!r} cannot be computed again.")
