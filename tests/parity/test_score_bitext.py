"""Bitext mining against mteb, over random vectors."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from kemb.arrays import ArrayVectors, FloatArray
from kemb.scoring import score
from kemb.tasks.spec import Source, TaskSpec
from kemb.types import BitextData, PartScore
from mteb_tasks import evaluate, numbers, rows, splits

pytestmark = pytest.mark.torch

SPEC = TaskSpec(name="T", type="bitext_mining", splits=["test"], source=Source())


def ours(table: FloatArray, n: int, similarity: str) -> PartScore:
    data = BitextData([f"row-{i}" for i in range(n)], numbers(n), numbers(n, n))
    vectors = {"sentence1": ArrayVectors(table[:n]), "sentence2": ArrayVectors(table[n:])}
    return score(SPEC, data, vectors, similarity=similarity)


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # mteb's own
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_metrics_equal_mteb(seed: int, similarity: str) -> None:
    rng, n = np.random.default_rng(seed), 150
    first = rng.standard_normal((n, 8))
    second = first + rng.standard_normal((n, 8))  # about half find their own
    table = np.concatenate([first, second]).astype(np.float32)
    dataset = splits(test=rows(sentence1=numbers(n), sentence2=numbers(n, n)))
    theirs = evaluate("Tatoeba", "test", {"test": dataset["test"]}, table, similarity)
    found = ours(table, n, similarity).metrics
    assert 0.1 < found["accuracy"] < 0.9
    for metric in ("precision", "recall", "f1", "accuracy"):
        assert found[metric] == pytest.approx(theirs[metric], abs=1e-6), metric


def test_items_are_the_classes_of_scikit_learn_and_ties_go_to_the_first_row() -> None:
    eye = np.eye(5, dtype=np.float32)
    table = np.concatenate([eye[[0, 1, 0, 3, 3]], eye[[0, 1, 0, 4, 4]]])
    found = ours(table, 5, "dot")
    items = {block.metric: block for block in found.items}
    # Rows 0 and 2 find row 0 (a tie with row 2), row 1 itself, rows 3 and 4 nothing similar: the
    # first row.
    assert items["nearest"].targets == ["row-0", "row-1", "row-0", "row-0", "row-0"]
    expected = precision_recall_fscore_support(range(5), [0, 1, 0, 0, 0], zero_division=0)
    for metric, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert items[metric].values.tolist() == pytest.approx(values.tolist()), metric
        assert found.metrics[metric] == pytest.approx(values.mean())
