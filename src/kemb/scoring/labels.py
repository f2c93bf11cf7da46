"""Classification by few-shot logistic regression, multilabel by few-shot neighbours, as in mteb."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, FloatArray, Vectors
from kemb.errors import DataError
from kemb.scoring.items import of_metric
from kemb.scoring.similarity import read_all
from kemb.types import ItemBlock, Label, LabelData, MultilabelData, PartScore

N_NEIGHBORS = 5

Indicators = NDArray[np.bool_]
"""[n, n_labels]: whether a text has a label."""


def multilabel_classification(data: MultilabelData, vectors: Mapping[str, Vectors]) -> PartScore:
    """Means over the experiments of what the five nearest training rows (Euclidean) vote for, label
    by label.

    Metrics: see `indicator_metrics`. Labels that no evaluated text has are not counted, as in mteb.

    Items: `gold` with the labels as target, a JSON list; `prediction` of every experiment likewise,
        with the value 1.0
    where it is exactly right, else 0.0.

    :raises ModelError: vectors that are not finite.
    :raises DataError: fewer than two labels, or fewer than five training rows.
    """
    names = sorted({label for labels in data.labels for label in labels}, key=by_kind)
    fewest = min(map(len, data.experiments), default=0)
    if len(names) < 2 or fewest < N_NEIGHBORS:
        raise DataError(
            f"The evaluated rows have {len(names)} different labels and an experiment has {fewest} "
            "training rows; "
            f"expected at least 2 labels and {N_NEIGHBORS} rows."
        )
    texts = read_all(vectors["texts"], "texts", data.item_ids)
    rows = [f"training row {row}" for row in range(len(data.train_texts))]
    train = read_all(vectors["train_texts"], "train_texts", rows)
    gold = indicators(data.labels, names)
    train_labels = indicators(data.train_labels, names)
    experiments: list[dict[str, float]] = []
    items = [ItemBlock("gold", data.item_ids, np.ones(len(texts)), targets=_targets(gold, names))]
    for i, train_rows in enumerate(data.experiments):
        predicted = nearest_labels(train[train_rows], train_labels[train_rows], texts)
        experiments.append(indicator_metrics(gold, predicted))
        right = (gold == predicted).all(axis=1).astype(np.float64)
        items.append(
            ItemBlock(
                "prediction", data.item_ids, right, experiment=i, targets=_targets(predicted, names)
            )
        )
    values = {
        metric: [experiment[metric] for experiment in experiments] for metric in experiments[0]
    }
    return PartScore(
        {metric: float(np.mean(numbers)) for metric, numbers in values.items()}, values, items
    )


def by_kind(label: Label) -> tuple[str, Label]:
    """A key to sort labels by."""
    return type(label).__name__, label


def indicators(labels: Sequence[Sequence[Label]], names: Sequence[Label]) -> Indicators:
    """Which of the labels `names` every text has; other labels are left out."""
    place = {name: column for column, name in enumerate(names)}
    matrix = np.zeros((len(labels), len(names)), dtype=np.bool_)
    for row, text_labels in enumerate(labels):
        matrix[row, [place[label] for label in text_labels if label in place]] = True
    return matrix


def nearest_labels(train: FloatArray, labels: Indicators, texts: FloatArray) -> Indicators:
    """What the majority of the five nearest training rows has, by scikit-learn.

    :param train: vectors [n_train, dim] in training order, which decides between equally near rows.
    :param labels: [n_train, n_labels].
    :param texts: vectors [n_texts, dim] to predict.
    """
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(n_neighbors=N_NEIGHBORS)
    predicted: Indicators = (
        model.fit(train, labels.astype(np.int64)).predict(texts).astype(np.bool_)
    )
    return predicted


def indicator_metrics(gold: Indicators, predicted: Indicators) -> dict[str, float]:
    """The metrics of one experiment, as mteb defines them.

    `accuracy`: the share of texts with exactly the right labels. `f1`: macro mean over labels, 0
        where a label is
    neither given nor predicted. `hamming`: mean of |gold and predicted| / |gold or predicted|, 1
    where both are empty (the Jaccard index, not Hamming's). `lrap`: label ranking average precision
    of the predicted labels as scores.
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


def _targets(matrix: Indicators, names: Sequence[Label]) -> list[str]:
    return [
        json.dumps([names[column] for column in np.flatnonzero(row).tolist()], ensure_ascii=False)
        for row in matrix
    ]


SEED = 42


MAX_ITER = 100


def classification(data: LabelData, vectors: Mapping[str, Vectors]) -> PartScore:
    """Means over the experiments of what a logistic regression on each experiment's training rows
    predicts.

    Metrics: `accuracy`; `f1`, `precision` and `recall`, each as macro mean and `_weighted` by class
        frequency; with
    two labels also `ap` and its equal `ap_weighted`, computed on predicted labels, not on
    probabilities, as in mteb.

    Items: `gold` with the label as target; `prediction` of every experiment with the predicted
        label as target and
    value 1.0 where it is right, else 0.0.

    :raises ModelError: vectors that are not finite.
    :raises DataError: training rows with fewer than two labels, or labels of which some are text
        and some numbers.
    """
    _check_labels(data)
    texts = read_all(vectors["texts"], "texts", data.item_ids)
    rows = [f"training row {row}" for row in range(len(data.train_texts))]
    train = read_all(vectors["train_texts"], "train_texts", rows)
    experiments: list[dict[str, float]] = []
    items = [
        ItemBlock(
            "gold",
            data.item_ids,
            np.ones(len(texts)),
            targets=[str(label) for label in data.labels],
        )
    ]
    n_not_converged = 0
    for i, train_rows in enumerate(data.experiments):
        labels = [data.train_labels[row] for row in train_rows]
        predicted, converged = fit_predict(train[train_rows], labels, texts)
        n_not_converged += not converged
        experiments.append(label_metrics(data.labels, predicted))
        right = np.array(
            [a == b for a, b in zip(data.labels, predicted, strict=True)], dtype=np.float64
        )
        targets = [str(label) for label in predicted]
        items.append(ItemBlock("prediction", data.item_ids, right, experiment=i, targets=targets))
    values = {
        metric: [experiment[metric] for experiment in experiments] for metric in experiments[0]
    }
    return PartScore(
        metrics={metric: float(np.mean(numbers)) for metric, numbers in values.items()},
        experiments=values,
        items=items,
        notes={"n_not_converged": n_not_converged} if n_not_converged else {},
    )


def _check_labels(data: LabelData) -> None:
    labels = [*data.labels, *data.train_labels]
    if len({isinstance(label, str) for label in labels}) > 1:
        text, number = (
            next(x for x in labels if isinstance(x, str) is is_text) for is_text in (True, False)
        )
        raise DataError(
            f"Some labels are text, for example {text!r}, and others numbers, for example "
            f"{number!r}; expected one type in all rows and splits."
        )
    n_labels = min(
        (len({data.train_labels[row] for row in rows}) for rows in data.experiments), default=0
    )
    if n_labels < 2:
        raise DataError(
            f"An experiment has training rows of {n_labels} different labels; a classifier needs "
            "at least 2. Check the labels of the training split."
        )


def fit_predict(
    train: FloatArray, labels: Sequence[Label], texts: FloatArray
) -> tuple[list[Label], bool]:
    """Labels [n_texts] that scikit-learn's logistic regression predicts, and whether it converged.

    :param train: vectors [n_train, dim] in training order.
    :param labels: their labels.
    :param texts: vectors [n_texts, dim] to predict.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MAX_ITER, random_state=SEED)
    with warnings.catch_warnings(record=True) as caught:
        # Stopping at max_iter is part of mteb's protocol: it is counted, not warned about in every
        # experiment.
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train, labels)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    predicted: list[Label] = model.predict(texts).tolist()
    return predicted, converged


def label_metrics(gold: Sequence[Label], predicted: Sequence[Label]) -> dict[str, float]:
    """scikit-learn's metrics of one experiment; 0 where a class is never predicted or never occurs.

    Where mteb refuses two labels other than 0 and 1, the label that sorts last is the positive one
    of `ap`.
    """
    from sklearn.metrics import (
        accuracy_score,
        average_precision_score,
        precision_recall_fscore_support,
    )

    metrics = {"accuracy": float(accuracy_score(gold, predicted))}
    for average, suffix in (("macro", ""), ("weighted", "_weighted")):
        scores = precision_recall_fscore_support(gold, predicted, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), scores, strict=False):
            metrics[name + suffix] = float(value)
    classes = np.unique(gold)
    if len(classes) == 2:
        if 1 in classes.tolist():
            ap = average_precision_score(gold, predicted)
        else:
            positive = classes[1]
            ap = average_precision_score(
                np.array(gold) == positive, np.array(predicted) == positive
            )
        metrics["ap"] = metrics["ap_weighted"] = float(ap)
    return metrics


def label_metrics_of_items(items: pa.Table) -> dict[str, float]:
    """The metrics of `classification`, out of its items."""
    gold = of_metric(items, "gold")["target"].to_pylist()
    predictions = of_metric(items, "prediction")
    by_experiment = [
        label_metrics(
            gold,
            predictions.filter(pc.equal(predictions["experiment"], number))["target"].to_pylist(),
        )
        for number in predictions["experiment"].unique().to_pylist()
    ]
    return {
        metric: float(np.mean([metrics[metric] for metrics in by_experiment]))
        for metric in by_experiment[0]
    }


def indicator_metrics_of_items(items: pa.Table) -> dict[str, float]:
    """The metrics of `multilabel_classification`, out of its items."""
    labels = read_targets(of_metric(items, "gold")["target"].to_pylist())
    names = sorted({label for text_labels in labels for label in text_labels}, key=by_kind)
    gold, predictions = indicators(labels, names), of_metric(items, "prediction")
    by_experiment = []
    for number in predictions["experiment"].unique().to_pylist():
        of_experiment = predictions.filter(pc.equal(predictions["experiment"], number))
        by_experiment.append(
            indicator_metrics(
                gold, indicators(read_targets(of_experiment["target"].to_pylist()), names)
            )
        )
    return {
        metric: float(np.mean([metrics[metric] for metrics in by_experiment]))
        for metric in by_experiment[0]
    }
