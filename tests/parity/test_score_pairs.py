"""Sentence pairs against freshly created mteb tasks, scikit-learn and SciPy, over random vectors
with ties.
"""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score

from kemb.arrays import ArrayVectors, FloatArray, Vectors
from kemb.scoring.pairs import pair_classification, separation, sts
from kemb.types import SIMILARITIES, PairData
from mteb_tasks import evaluate, numbers, rows, splits, tied

pytestmark = pytest.mark.torch

N = 120


def repeated_pairs(
    rng: np.random.Generator, similarity: str
) -> tuple[FloatArray, list[str], list[str], dict[str, Vectors]]:
    """Pairs of which many occur twice, so that every similarity has ties."""
    table = (
        tied(rng, 40, 6) if similarity == "dot" else rng.standard_normal((40, 6), dtype=np.float32)
    )
    table[~table.any(axis=1)] = 1
    first, second = rng.integers(0, 12, N), rng.integers(12, 40, N)
    texts = [str(i) for i in first], [str(i) for i in second]
    return (
        table,
        *texts,
        {"sentence1": ArrayVectors(table[first]), "sentence2": ArrayVectors(table[second])},
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_sts_equals_mteb(seed: int, similarity: str) -> None:
    rng = np.random.default_rng(seed)
    table, first, second, vectors = repeated_pairs(rng, similarity)
    gold = rng.integers(0, 6, N).astype(np.float64)
    dataset = splits(test=rows(sentence1=first, sentence2=second, score=gold))
    theirs = evaluate("KorSTS", "test", dataset, table, similarity)
    ours = sts(PairData(numbers(N), first, second, gold), vectors, similarity=similarity).metrics
    compared = {name: value for name, value in theirs.items() if name != "main_score"}
    assert len(compared) == 8
    for name, value in compared.items():
        assert ours[name] == pytest.approx(value, abs=1e-6), name


def test_dot_correlations_equal_scipy() -> None:
    """mteb has none for the dot product, unless the model declares it."""
    rng = np.random.default_rng(0)
    _, first, second, vectors = repeated_pairs(rng, "dot")
    gold = rng.random(N)
    metrics = sts(PairData(numbers(N), first, second, gold), vectors, similarity="cosine").metrics
    products = [
        float(a @ b)
        for a, b in zip(
            vectors["sentence1"].block(0, N), vectors["sentence2"].block(0, N), strict=True
        )
    ]
    assert metrics["dot_pearson"] == pytest.approx(pearsonr(products, gold)[0], abs=1e-12)
    assert metrics["dot_spearman"] == pytest.approx(spearmanr(products, gold)[0], abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_pair_classification_equals_mteb(seed: int, similarity: str) -> None:
    rng = np.random.default_rng(seed)
    table, first, second, vectors = repeated_pairs(rng, similarity)
    labels = rng.integers(0, 2, N)
    # mteb takes a single row that holds lists, as KLUE-NLI and KorNLI give them.
    dataset = splits(
        validation=rows(sentence1=[first], sentence2=[second], labels=[labels.tolist()])
    )
    theirs = evaluate("KLUE-NLI", "validation", dataset, table, similarity)
    data = PairData(numbers(N), first, second, labels.astype(np.float64))
    ours = pair_classification(data, vectors, similarity=similarity).metrics
    compared = {name: value for name, value in theirs.items() if name != "main_score"}
    assert len(compared) == 30
    assert set(compared) == set(ours)
    for name, value in compared.items():
        assert ours[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_average_precision_equals_scikit_learn(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for n in (2, 3, 10, 200):
        scores, labels = rng.integers(0, levels, n).astype(np.float64), np.arange(n) % 3 == 0
        expected = average_precision_score(labels, scores)
        assert separation(scores, labels)["ap"] == pytest.approx(expected, abs=1e-12)


def test_similarities_are_named_as_in_mteb() -> None:
    from mteb.models.model_meta import ScoringFunction

    assert set(SIMILARITIES) <= {function.value for function in ScoringFunction}
