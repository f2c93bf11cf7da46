"""Multilabel classification against freshly created mteb tasks, from the rows that are drawn to
every metric.
"""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import mteb
import numpy as np
from mteb.abstasks._stratification import _iterative_train_test_split
from sklearn.preprocessing import MultiLabelBinarizer

from kemb.arrays import ArrayVectors
from kemb.scoring.labels import multilabel_classification
from kemb.tasks.sampling import few_shot_multilabel_rows, stratified_multilabel_rows
from kemb.tasks.spec import ClassificationProtocol
from kemb.types import Label, MultilabelData
from mteb_tasks import evaluate, numbers, rows, splits, tied

pytestmark = pytest.mark.torch

TASK = "KorHateSpeechMLClassification"


def label_sets(rng: np.random.Generator, n: int, names: list[Label]) -> list[tuple[Label, ...]]:
    """Labels of very different frequency; some rows have none."""
    rates = np.linspace(0.1, 0.6, len(names))
    has = rng.random((n, len(names))) < rates
    return [tuple(names[column] for column in np.flatnonzero(row)) for row in has]


@pytest.mark.parametrize(
    "names", [[0, 1], [0, 1, 2, 3, 4, 5], ["가", "나", "다"]], ids=["two", "six", "text"]
)
@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")
def test_every_metric_of_every_experiment_is_mtebs(names: list[Label], is_tied: bool) -> None:
    rng = np.random.default_rng(len(names))
    n_train, n_test = 120, 70
    train, test = label_sets(rng, n_train, names), label_sets(rng, n_test, names)
    table = (
        tied(rng, n_train + n_test, 5)
        if is_tied
        else rng.standard_normal((n_train + n_test, 5)).astype(np.float32)
    )
    dataset = splits(
        train=rows(text=numbers(n_train), label=map(list, train)),
        test=rows(text=numbers(n_test, n_train), label=map(list, test)),
    )
    theirs = evaluate(TASK, "test", dataset, table)
    drawn = few_shot_multilabel_rows(train, ClassificationProtocol())
    data = MultilabelData(
        numbers(n_test), numbers(n_test), test, numbers(n_train), train, drawn, False
    )
    vectors = {"texts": ArrayVectors(table[n_train:]), "train_texts": ArrayVectors(table[:n_train])}
    ours = multilabel_classification(data, vectors)
    assert ours.metrics.keys() == {"accuracy", "f1", "hamming", "lrap"}
    for name, value in ours.metrics.items():
        assert value == pytest.approx(theirs[name], abs=1e-12), name
        assert ours.experiments[name] == pytest.approx(
            [each[name] for each in theirs["scores_per_experiment"]]
        ), name


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_of_a_large_split_are_those_mteb_keeps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_kept = 400, [37, 150, 200, 399][seed]
    labels = label_sets(rng, n, [0, 1, 2, 3, 4] if seed % 2 else ["b", "a", "c"])
    binary = MultiLabelBinarizer().fit_transform(labels)
    _, expected = _iterative_train_test_split(
        np.arange(n).reshape(-1, 1), binary, test_size=n_kept / n, random_state=42
    )
    assert stratified_multilabel_rows(labels, n_kept).tolist() == list(expected)


def test_the_task_of_mteb_has_the_protocol_that_ours_assumes() -> None:
    task = mteb.get_task(TASK)
    assert (task.n_experiments, task.samples_per_label, task.max_eval_samples) == (10, 8, 3000)
    assert task.evaluator_model.get_params()["n_neighbors"] == 5
