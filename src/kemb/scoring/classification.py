"""Classification: few-shot logistic regression, as in mteb."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from kemb.errors import DataError
from kemb.scoring.vectors import read_all
from kemb.types import FloatArray, ItemBlock, Label, LabelData, PartScore, Vectors

SEED = 42
MAX_ITER = 100


def classification(data: LabelData, vectors: Mapping[str, Vectors]) -> PartScore:
    """Means over the experiments of what a logistic regression on each experiment's training rows predicts.

    Metrics: `accuracy`; `f1`, `precision` and `recall`, each as macro mean and `_weighted` by class frequency; with
    two labels also `ap` and its equal `ap_weighted`, computed on predicted labels, not on probabilities, as in mteb.

    Items: `gold` with the label as target; `prediction` of every experiment with the predicted label as target and
    value 1.0 where it is right, else 0.0.

    Raises:
        ModelError: vectors that are not finite.
        DataError: training rows with fewer than two labels, or labels of which some are text and some numbers.
    """
    _check_labels(data)
    texts = read_all(vectors["texts"], "texts", data.item_ids)
    rows = [f"training row {row}" for row in range(len(data.train_texts))]
    train = read_all(vectors["train_texts"], "train_texts", rows)
    experiments: list[dict[str, float]] = []
    items = [ItemBlock("gold", data.item_ids, np.ones(len(texts)), targets=[str(label) for label in data.labels])]
    n_not_converged = 0
    for i, chosen in enumerate(data.experiments):
        labels = [data.train_labels[row] for row in chosen]
        predicted, converged = fit_predict(train[chosen], labels, texts)
        n_not_converged += not converged
        experiments.append(label_metrics(data.labels, predicted))
        right = np.array([a == b for a, b in zip(data.labels, predicted, strict=True)], dtype=np.float64)
        targets = [str(label) for label in predicted]
        items.append(ItemBlock("prediction", data.item_ids, right, experiment=i, targets=targets))
    values = {metric: [experiment[metric] for experiment in experiments] for metric in experiments[0]}
    return PartScore(
        metrics={metric: float(np.mean(numbers)) for metric, numbers in values.items()},
        experiments=values,
        items=items,
        notes={"n_not_converged": n_not_converged} if n_not_converged else {},
    )


def _check_labels(data: LabelData) -> None:
    labels = [*data.labels, *data.train_labels]
    if len({isinstance(label, str) for label in labels}) > 1:
        text, number = (next(x for x in labels if isinstance(x, str) is is_text) for is_text in (True, False))
        raise DataError(
            f"Some labels are text, for example {text!r}, and others numbers, for example {number!r}; expected one "
            "type in all rows and splits."
        )
    n_labels = min((len({data.train_labels[row] for row in rows}) for rows in data.experiments), default=0)
    if n_labels < 2:
        raise DataError(
            f"An experiment has training rows of {n_labels} different labels; a classifier needs at least 2. Check the "
            "labels of the training split."
        )


def fit_predict(train: FloatArray, labels: Sequence[Label], texts: FloatArray) -> tuple[list[Label], bool]:
    """Labels [n_texts] that scikit-learn's logistic regression predicts, and whether it converged.

    Args:
        train: vectors [n_train, dim] in training order.
        labels: their labels.
        texts: vectors [n_texts, dim] to predict.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MAX_ITER, random_state=SEED)
    with warnings.catch_warnings(record=True) as caught:
        # Stopping at max_iter is part of mteb's protocol: it is counted, not warned about in every experiment.
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train, labels)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    predicted: list[Label] = model.predict(texts).tolist()
    return predicted, converged


def label_metrics(gold: Sequence[Label], predicted: Sequence[Label]) -> dict[str, float]:
    """scikit-learn's metrics of one experiment; 0 where a class is never predicted or never occurs.

    Where mteb refuses two labels other than 0 and 1, the label that sorts last is the positive one of `ap`.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, precision_recall_fscore_support

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
            ap = average_precision_score(np.array(gold) == positive, np.array(predicted) == positive)
        metrics["ap"] = metrics["ap_weighted"] = float(ap)
    return metrics
