"""Classification against freshly created mteb tasks: equal, not close."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np

from kemb.arrays import ArrayVectors, IntArray
from kemb.scoring.labels import classification
from kemb.types import Label, LabelData
from mteb_tasks import evaluate, numbers, rows, splits

pytestmark = pytest.mark.torch


def few_shot(
    labels: list[Label], n_experiments: int = 10, samples_per_label: int = 8
) -> list[IntArray]:
    """Mteb's rule in other words: experiment i reads the rows in the order of one permutation
    applied i + 1 times.
    """
    permutation = np.arange(len(labels))
    np.random.RandomState(42).shuffle(permutation)
    order, chosen = np.arange(len(labels)), []
    for _ in range(n_experiments):
        order = order[permutation]
        nth = {
            row: sum(labels[other] == labels[row] for other in order[:place])
            for place, row in enumerate(order)
        }
        chosen.append(np.array([row for row in order if nth[row] < samples_per_label]))
    return chosen


@pytest.mark.parametrize(
    "names",
    [[0, 1], [0, 1, 2, 3, 4], ["정치", "경제", "스포츠"]],
    ids=["binary", "numbers", "text"],
)
@pytest.mark.parametrize("noise", [0.5, 3.0])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_metric_of_every_experiment_is_mtebs(names: list[Label], noise: float) -> None:
    rng = np.random.default_rng(len(names))
    n_train, n_test = 150, 90
    labels = [names[i] for i in rng.integers(0, len(names), n_train + n_test)]
    centres = rng.standard_normal((len(names), 16))
    table = (
        centres[[names.index(label) for label in labels]] + rng.normal(0, noise, (len(labels), 16))
    ).astype(np.float32)
    train, test = labels[:n_train], labels[n_train:]
    dataset = splits(
        train=rows(text=numbers(n_train), label=train),
        test=rows(text=numbers(n_test, n_train), label=test),
    )
    theirs = evaluate("SIB200Classification", "test", dataset, table)
    data = LabelData(
        numbers(n_test), numbers(n_test), test, numbers(n_train), train, few_shot(train), False
    )
    ours = classification(
        data, {"texts": ArrayVectors(table[n_train:]), "train_texts": ArrayVectors(table[:n_train])}
    )
    binary = len(names) == 2
    assert len(ours.metrics) == (9 if binary else 7)
    for name, value in ours.metrics.items():
        assert value == theirs[name], name
        assert ours.experiments[name] == [
            scores[name] for scores in theirs["scores_per_experiment"]
        ], name
