"""Tasks that compare texts, over sparse vectors: the same numbers as over the vectors unfolded,
which mteb scores.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score

from kemb import scoring
from kemb.arrays import ArrayVectors, FloatArray, Ragged, Representations
from kemb.errors import NotSupported
from kemb.tasks import load_spec
from kemb.tasks.kinds import columns
from kemb.types import BitextData, LabelData, PairData, PartData, PartScore, SummaryData

pytestmark = pytest.mark.torch

N, DIM = 80, 300


def sparse(rng: np.random.Generator, n: int) -> FloatArray:
    """Rows of a few small whole numbers, so that sums are exact and ties are frequent; the last row
    is empty.
    """
    table = np.where(rng.random((n, DIM)) < 0.03, rng.integers(1, 4, (n, DIM)), 0).astype(
        np.float32
    )
    table[~table.any(axis=1), 0] = 1
    table[-1] = 0
    return table


def ragged(table: FloatArray) -> Ragged:
    matrix = csr_array(table)
    return Ragged(
        matrix.indptr.astype(np.int64), matrix.data[:, None], DIM, matrix.indices.astype(np.int32)
    )


def both(
    task: str, data: PartData, tables: dict[str, FloatArray], similarity: str
) -> tuple[PartScore, PartScore]:
    spec = load_spec(task)
    assert set(tables) == set(columns(data))
    dense: Representations = {name: ArrayVectors(table) for name, table in tables.items()}
    folded: Representations = {name: ragged(table) for name, table in tables.items()}
    return scoring.score(spec, data, folded, similarity=similarity), scoring.score(
        spec, data, dense, similarity=similarity
    )


def assert_same(one: PartScore, other: PartScore) -> None:
    assert one.metrics == pytest.approx(other.metrics, abs=1e-6)
    assert [block.metric for block in one.items] == [block.metric for block in other.items]
    for mine, its in zip(one.items, other.items, strict=True):
        np.testing.assert_allclose(mine.values, its.values, atol=1e-5)
        assert mine.targets == its.targets


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_sts_and_pairs(similarity: str) -> None:
    rng = np.random.default_rng(0)
    first, second = sparse(rng, N), sparse(rng, N)
    second[:20] = first[:20]
    names = [str(i) for i in range(N)]
    gold = rng.integers(0, 6, N).astype(np.float64)
    data = PairData(names, names, names, gold)
    tables = {"sentence1": first, "sentence2": second}
    ours, unfolded = both("KorSTS", data, tables, similarity)
    assert ours.notes == unfolded.notes == {"n_zero_vectors": 2}
    one, other = csr_array(first.astype(np.float64)), csr_array(second.astype(np.float64))
    products = one.multiply(other).sum(axis=1)
    both_lengths = np.sqrt(one.multiply(one).sum(axis=1) * other.multiply(other).sum(axis=1))
    expected = {
        "dot": products,
        "cosine": np.round(products / np.maximum(both_lengths, 1e-12), 9),
        "euclidean": -np.sqrt(((first - second) ** 2).sum(axis=1)),
        "manhattan": -np.abs(first - second).sum(axis=1),
    }
    assert (products == 0).sum() > 10  # pairs without a common entry tie
    for name, values in expected.items():
        assert ours.metrics[f"{name}_spearman"] == pytest.approx(
            spearmanr(values, gold)[0], abs=1e-9
        )
        assert ours.metrics[f"{name}_pearson"] == pytest.approx(pearsonr(values, gold)[0], abs=1e-6)
        if (
            name != "cosine"
        ):  # which mteb computes from differences: ties at 0 are scattered by rounding
            assert ours.metrics[f"{name}_spearman"] == pytest.approx(
                unfolded.metrics[f"{name}_spearman"], abs=1e-9
            )
    pairs = PairData(names, names, names, (gold > 2).astype(np.float64))
    ours, unfolded = both("KLUE-NLI", pairs, tables, similarity)
    kept = [name for name in ours.metrics if name.startswith(("dot", "euclidean", "manhattan"))]
    assert len(kept) == 15
    assert {name: ours.metrics[name] for name in kept} == pytest.approx(
        {n: unfolded.metrics[n] for n in kept}, abs=1e-9
    )
    assert ours.metrics["cosine_ap"] == pytest.approx(
        average_precision_score(gold > 2, expected["cosine"]), abs=1e-9
    )


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_bitext_mining_with_ties(similarity: str) -> None:
    rng = np.random.default_rng(1)
    first, second = sparse(rng, N), sparse(rng, N)
    second[: N // 2] = first[: N // 2]
    second[5] = second[4]
    data = BitextData(
        [str(i) for i in range(N)], [f"a{i}" for i in range(N)], [f"b{i}" for i in range(N)]
    )
    ours, unfolded = both("Tatoeba", data, {"sentence1": first, "sentence2": second}, similarity)
    if similarity == "dot":
        assert_same(ours, unfolded)
    assert ours.metrics == pytest.approx(unfolded.metrics, abs=1e-6)
    assert 0.4 < ours.metrics["recall"] < 1


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_summarization(similarity: str) -> None:
    rng = np.random.default_rng(2)
    of = np.repeat(np.arange(5), 8)
    data = SummaryData(
        [f"d{i}" for i in range(5)],
        [f"m{i}" for i in range(40)],
        of,
        [f"h{i}" for i in range(40)],
        of,
        rng.random(40),
    )
    assert_same(
        *both("SummEval", data, {"machine": sparse(rng, 40), "human": sparse(rng, 40)}, similarity)
    )


def test_what_needs_dense_vectors_says_so_and_broken_ones_are_named() -> None:
    rng = np.random.default_rng(3)
    table = ragged(sparse(rng, 4))
    labels = LabelData(
        list("abcd"), list("abcd"), [0, 1, 0, 1], list("abcd"), [0, 1, 0, 1], [np.arange(4)], False
    )
    of_texts = dict.fromkeys(("texts", "train_texts"), table)
    with pytest.raises(NotSupported, match="needs dense vectors"):
        scoring.score(load_spec("KorSarcasmClassification"), labels, of_texts, similarity="dot")
