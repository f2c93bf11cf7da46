"""Multilabel classification: few-shot nearest neighbours, as in mteb."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kemb.errors import DataError
from kemb.scoring.vectors import read_all
from kemb.types import DoubleArray, FloatArray, ItemBlock, Label, MultilabelData, PartScore, Vectors

N_NEIGHBORS = 5

Indicators = NDArray[np.bool_]
"""[n, n_labels]: whether a text has a label."""


def multilabel_classification(data: MultilabelData, vectors: Mapping[str, Vectors]) -> PartScore:
    """Means over the experiments of what the five nearest training rows (Euclidean) vote for, label by label.

    Metrics: see `indicator_metrics`. Labels that no evaluated text has are not counted, as in mteb.

    Items: `gold` with the labels as target, a JSON list; `prediction` of every experiment likewise, with the value 1.0
    where it is exactly right, else 0.0.

    Raises:
        ModelError: vectors that are not finite.
        DataError: fewer than two labels, or fewer than five training rows.
    """
    names = sorted({label for labels in data.labels for label in labels}, key=by_kind)
    fewest = min(map(len, data.experiments), default=0)
    if len(names) < 2 or fewest < N_NEIGHBORS:
        raise DataError(
            f"The evaluated rows have {len(names)} different labels and an experiment has {fewest} training rows; "
            f"expected at least 2 labels and {N_NEIGHBORS} rows."
        )
    texts = read_all(vectors["texts"], "texts", data.item_ids)
    rows = [f"training row {row}" for row in range(len(data.train_texts))]
    train = read_all(vectors["train_texts"], "train_texts", rows)
    gold = indicators(data.labels, names)
    known = indicators(data.train_labels, names)
    experiments: list[dict[str, float]] = []
    items = [ItemBlock("gold", data.item_ids, np.ones(len(texts)), targets=_targets(gold, names))]
    for i, chosen in enumerate(data.experiments):
        predicted = nearest_labels(train[chosen], known[chosen], texts)
        experiments.append(indicator_metrics(gold, predicted))
        right = (gold == predicted).all(axis=1).astype(np.float64)
        items.append(ItemBlock("prediction", data.item_ids, right, experiment=i, targets=_targets(predicted, names)))
    values = {metric: [experiment[metric] for experiment in experiments] for metric in experiments[0]}
    return PartScore({metric: float(np.mean(numbers)) for metric, numbers in values.items()}, values, items)


def by_kind(label: Label) -> tuple[str, Label]:
    """A key to sort labels by."""
    return type(label).__name__, label


def indicators(labels: Sequence[Sequence[Label]], names: Sequence[Label]) -> Indicators:
    """Which of the labels `names` every text has; other labels are left out."""
    place = {name: column for column, name in enumerate(names)}
    found = np.zeros((len(labels), len(names)), dtype=np.bool_)
    for row, own in enumerate(labels):
        found[row, [place[label] for label in own if label in place]] = True
    return found


def nearest_labels(train: FloatArray, labels: Indicators, texts: FloatArray) -> Indicators:
    """What the majority of the five nearest training rows has, by scikit-learn.

    Args:
        train: vectors [n_train, dim] in training order, which decides between equally near rows.
        labels: [n_train, n_labels].
        texts: vectors [n_texts, dim] to predict.
    """
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(n_neighbors=N_NEIGHBORS)
    predicted: Indicators = model.fit(train, labels.astype(np.int64)).predict(texts).astype(np.bool_)
    return predicted


def indicator_metrics(gold: Indicators, predicted: Indicators) -> dict[str, float]:
    """The metrics of one experiment, as mteb defines them.

    `accuracy`: the share of texts with exactly the right labels. `f1`: macro mean over labels, 0 where a label is
    neither given nor predicted. `hamming`: mean of |gold and predicted| / |gold or predicted|, 1 where both are empty
    (the Jaccard index, not Hamming's). `lrap`: label ranking average precision of the predicted labels as scores.
    """
    from sklearn.exceptions import UndefinedMetricWarning
    from sklearn.metrics import f1_score, label_ranking_average_precision_score

    both, either = (gold & predicted).sum(axis=1), (gold | predicted).sum(axis=1)
    overlap: DoubleArray = np.divide(both, either, out=np.ones(len(gold)), where=either > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        f1 = float(f1_score(gold, predicted, average="macro"))
    return {
        "accuracy": float((gold == predicted).all(axis=1).mean()),
        "f1": f1,
        "hamming": float(overlap.mean()),
        "lrap": float(label_ranking_average_precision_score(gold, predicted.astype(np.float64))),
    }


def read_targets(targets: Sequence[str]) -> list[list[Label]]:
    """Labels out of the targets of items."""
    return [json.loads(target) for target in targets]


def _targets(found: Indicators, names: Sequence[Label]) -> list[str]:
    return [json.dumps([names[column] for column in np.flatnonzero(row).tolist()], ensure_ascii=False) for row in found]
