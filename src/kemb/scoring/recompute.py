"""Metrics of a result from its item scores alone (DESIGN 3.5), by the same formulas as `kemb.scoring`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kemb.errors import ResultError
from kemb.scoring.classification import label_metrics
from kemb.scoring.labels import by_kind, indicator_metrics, indicators, read_targets
from kemb.scoring.pairs import separation
from kemb.scoring.similarity import SIMILARITIES
from kemb.types import TaskType

_NO_METRIC = ("retrieved", "candidates", "nearest", "gold", "cosine", "dot")


def of_part(items: pa.Table, split: str, subset: str) -> pa.Table:
    """The items of one (split, subset)."""
    return items.filter(pc.and_(pc.equal(items["split"], split), pc.equal(items["subset"], subset)))


def of_metric(items: pa.Table, metric: str) -> pa.Table:
    """The items of one metric, in their order."""
    return items.filter(pc.equal(items["metric"], metric))


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
                names = [name for name in items["metric"].unique().to_pylist() if name not in _NO_METRIC]
                return {name: float(np.mean(of_metric(items, name)["value"].to_numpy())) for name in names}
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


def _pairs(items: pa.Table, task_type: TaskType) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    gold = of_metric(items, "gold")["value"].to_numpy()
    found: dict[str, float] = {}
    for name in SIMILARITIES:
        values = of_metric(items, name)["value"].to_numpy()
        if task_type == "pair_classification":
            found |= {f"{name}_{metric}": value for metric, value in separation(values, gold == 1).items()}
        else:
            found |= {
                f"{name}_pearson": float(pearsonr(values, gold)[0]),
                f"{name}_spearman": float(spearmanr(values, gold)[0]),
            }
    if task_type == "pair_classification":
        for metric in ("ap", "accuracy", "f1", "precision", "recall"):
            found[f"max_{metric}"] = max(found[f"{name}_{metric}"] for name in SIMILARITIES)
    return found


def _classification(items: pa.Table) -> dict[str, float]:
    gold = of_metric(items, "gold")["target"].to_pylist()
    predictions = of_metric(items, "prediction")
    found = [
        label_metrics(gold, predictions.filter(pc.equal(predictions["experiment"], number))["target"].to_pylist())
        for number in predictions["experiment"].unique().to_pylist()
    ]
    return {metric: float(np.mean([metrics[metric] for metrics in found])) for metric in found[0]}


def _multilabel(items: pa.Table) -> dict[str, float]:
    labels = read_targets(of_metric(items, "gold")["target"].to_pylist())
    names = sorted({label for own in labels for label in own}, key=by_kind)
    gold, predictions = indicators(labels, names), of_metric(items, "prediction")
    found = []
    for number in predictions["experiment"].unique().to_pylist():
        own = predictions.filter(pc.equal(predictions["experiment"], number))
        found.append(indicator_metrics(gold, indicators(read_targets(own["target"].to_pylist()), names)))
    return {metric: float(np.mean([metrics[metric] for metrics in found])) for metric in found[0]}


def _clustering(items: pa.Table) -> dict[str, float]:
    scores = []
    for name in items["metric"].unique().to_pylist():
        if name.startswith("gold"):
            level = name.removeprefix("gold")
            gold = of_metric(items, name)
            labels = dict(zip(gold["item_id"].to_pylist(), gold["target"].to_pylist(), strict=True))
            scores += _v_measures(of_metric(items, f"assignment{level}"), of_metric(items, f"n_draws{level}"), labels)
    return {"v_measure": float(np.mean(scores)), "v_measure_std": float(np.std(scores))}


def _v_measures(assignments: pa.Table, draws: pa.Table, labels: Mapping[str, str]) -> list[float]:
    """The v-measure of every experiment; a document that was drawn n times counts n times."""
    from sklearn.metrics import v_measure_score

    # Assignments and draws are written in the same order.
    n_draws = draws["value"].to_numpy().astype(int) if draws.num_rows else np.ones(assignments.num_rows, dtype=int)
    experiments = assignments["experiment"].to_numpy()
    gold = np.array([labels[item_id] for item_id in assignments["item_id"].to_pylist()])
    clusters = assignments["value"].to_numpy()
    return [
        float(v_measure_score(np.repeat(gold[own], n_draws[own]), np.repeat(clusters[own], n_draws[own])))
        for own in (experiments == number for number in np.unique(experiments))
    ]
