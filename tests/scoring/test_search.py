from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemb.arrays import ArrayVectors, FloatArray
from kemb.errors import DataError, ModelError, UsageError
from kemb.scoring.search import blocks
from kemb.scoring.search.search import run_from_scores, top_k
from kemb.types import RetrievalData, Run


def small_integers(rng: np.random.Generator, n: int, dim: int) -> FloatArray:
    """Vectors whose products are exact in float32 and tie often."""
    return rng.integers(-2, 3, (n, dim)).astype(np.float32)


def plain(queries: FloatArray, documents: FloatArray, similarity: str) -> FloatArray:
    """All similarities, by definition."""
    differences = queries[:, None] - documents[None]
    found: FloatArray
    match similarity:
        case "euclidean":
            found = -np.linalg.norm(differences, axis=2)
        case "manhattan":
            found = -np.abs(differences).sum(axis=2)
        case _:
            found = queries @ documents.T
    return found


def sorted_by_python(similarities: FloatArray, doc_ids: Sequence[str], k: int) -> list[list[str]]:
    """The order of trec_eval, by Python's own sort of (score, id)."""
    return [
        [doc_id for _, doc_id in sorted(zip(row, doc_ids, strict=True), reverse=True)[:k]]
        for row in similarities.tolist()
    ]


def ids_of(run: Run, doc_ids: Sequence[str]) -> list[list[str]]:
    return [[doc_ids[row] for row in rows if row >= 0] for rows in run.indices.tolist()]


def shuffled_ids(rng: np.random.Generator, n: int) -> list[str]:
    """Ids whose string order is neither the row order nor the order of their numbers."""
    return [f"문서{i}" for i in rng.permutation(n)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 90),
    q=st.integers(1, 70),
    k=st.integers(1, 40),
    block=st.sampled_from([1, 7, 16, 50, 4096]),
    budget=st.sampled_from([1, 200_000, 2**29]),
    similarity=st.sampled_from(["dot", "euclidean", "manhattan"]),
)
def test_order_and_ties_are_exact_for_any_block_and_budget(
    seed: int, n: int, q: int, k: int, block: int, budget: int, similarity: str
) -> None:
    rng = np.random.default_rng(seed)
    queries, documents, doc_ids = (
        small_integers(rng, q, 3),
        small_integers(rng, n, 3),
        shuffled_ids(rng, n),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        patch.setattr(blocks, "n_cpus", lambda: 2)
        run = top_k(
            queries,
            ArrayVectors(documents),
            k,
            doc_ids=doc_ids,
            similarity=similarity,
            memory_budget_bytes=budget,
        )
    similarities = plain(queries, documents, similarity)
    assert ids_of(run, doc_ids) == sorted_by_python(similarities, doc_ids, k)
    expected = -np.sort(-similarities, axis=1)[:, :k]
    assert np.allclose(run.scores[:, : expected.shape[1]], expected, rtol=1e-6, atol=0)


@pytest.mark.torch
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_those_of_sentence_transformers(similarity: str) -> None:
    """And so are those of pairs, of which candidates are ranked."""
    from sentence_transformers.util.similarity import SimilarityFunction

    from kemb.scoring.search.rerank import rerank

    rng = np.random.default_rng(0)
    queries, documents = (rng.normal(size=(n, 24)).astype(np.float32) * 3 for n in (40, 500))
    expected = SimilarityFunction.to_similarity_fn(similarity)(queries, documents).numpy()
    doc_ids = [str(i) for i in range(500)]
    run = top_k(queries, ArrayVectors(documents), 100, doc_ids=doc_ids, similarity=similarity)
    np.testing.assert_allclose(run.scores, -np.sort(-expected, axis=1)[:, :100], atol=2e-4)
    np.testing.assert_allclose(
        run.scores, np.take_along_axis(expected, run.indices, axis=1), atol=2e-4
    )
    data = RetrievalData(doc_ids, [""] * 500, [str(i) for i in range(40)], [""] * 40, {})
    again = rerank(queries, ArrayVectors(documents), data, similarity=similarity, candidates=run)
    np.testing.assert_allclose(again.scores, run.scores, atol=2e-4)


def test_fewer_documents_than_k_leave_empty_places() -> None:
    run = top_k(
        np.ones((2, 2), np.float32),
        ArrayVectors(np.eye(2, dtype=np.float32)),
        4,
        doc_ids=["a", "b"],
    )
    assert run.indices.tolist() == [[1, 0, -1, -1]] * 2
    assert np.isneginf(run.scores[:, 2:]).all()


def test_many_equal_documents_give_the_greatest_ids() -> None:
    doc_ids = [f"{i:05}" for i in np.random.default_rng(0).permutation(20_000)]
    documents = np.ones((20_000, 4), dtype=np.float32)
    run = top_k(np.ones((3, 4), np.float32), ArrayVectors(documents), 100, doc_ids=doc_ids)
    assert ids_of(run, doc_ids)[0] == [f"{i:05}" for i in range(19_999, 19_899, -1)]


def test_documents_with_equal_vectors_tie_wherever_they_stand() -> None:
    """A matrix product alone gives equal rows products that differ in the last bit."""
    rng = np.random.default_rng(5)
    documents = rng.standard_normal((5000, 384), dtype=np.float32)
    group = rng.choice(5000, 400, replace=False)
    documents[group[:200]], documents[group[200:]] = documents[group[0]], documents[group[200]]
    doc_ids = shuffled_ids(rng, 5000)
    queries = documents[group[[0, 200]]] + rng.standard_normal((100, 2, 384), dtype=np.float32)
    for side in (0, 1):
        expected = sorted((doc_ids[row] for row in group[side * 200 :][:200]), reverse=True)[:150]
        run = top_k(queries[:, side], ArrayVectors(documents), 150, doc_ids=doc_ids)
        assert ids_of(run, doc_ids) == [expected] * 100
        assert np.ptp(run.scores, axis=1).max() == 0


def test_negative_zero_ties_with_zero() -> None:
    run = run_from_scores({"q": {"b": -0.0, "a": 0.0, "c": -1.0}}, ["q"], ["a", "b", "c"], k=3)
    assert run.indices.tolist() == [[1, 0, 2]]


def test_cosine_equals_float64_and_ignores_length() -> None:
    rng = np.random.default_rng(1)
    queries, documents = rng.standard_normal((40, 24)), rng.standard_normal((9000, 24))
    doc_ids = [str(i) for i in range(9000)]
    long = (documents * rng.uniform(0.01, 100, (9000, 1))).astype(np.float32)
    run = top_k((queries * 7).astype(np.float32), ArrayVectors(long), 50, doc_ids=doc_ids)
    cosine = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        documents / np.linalg.norm(documents, axis=1, keepdims=True)
    ).T
    assert np.abs(run.scores - -np.sort(-cosine, axis=1)[:, :50]).max() < 1e-6
    assert np.abs(np.take_along_axis(cosine, run.indices, axis=1) - run.scores).max() < 1e-6


def test_zero_vectors_have_similarity_zero_and_are_counted() -> None:
    queries = np.array([[1, 0], [0, 0]], dtype=np.float32)
    documents = np.array([[2, 0], [0, 0], [-1, 0]], dtype=np.float32)
    run = top_k(queries, ArrayVectors(documents), 3, doc_ids=["a", "b", "c"])
    assert run.scores.tolist() == [[1, 0, -1], [0, 0, 0]]
    assert run.n_zero_vectors == 2
    assert (
        top_k(
            queries, ArrayVectors(documents), 3, doc_ids=["a", "b", "c"], similarity="dot"
        ).n_zero_vectors
        == 0
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_unusable_document_is_named(value: float, similarity: str) -> None:
    documents = np.ones((9000, 3), dtype=np.float32)
    documents[[8000, 8500], 1] = value
    with pytest.raises(ModelError, match=r"'documents'.*'d8000' \(row 8000\)"):
        top_k(
            np.ones((70, 3), np.float32),
            ArrayVectors(documents),
            5,
            doc_ids=[f"d{i}" for i in range(9000)],
            similarity=similarity,
        )


def test_unusable_query_is_named() -> None:
    queries = np.array([[1.0], [np.nan]], dtype=np.float32)
    with pytest.raises(ModelError, match=r"'queries'.*'q2'"):
        top_k(
            queries,
            ArrayVectors(np.ones((1, 1), np.float32)),
            1,
            doc_ids=["d"],
            query_ids=["q1", "q2"],
        )


def test_unknown_similarity_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'hamming'"):
        top_k(
            np.ones((1, 1), np.float32),
            ArrayVectors(np.ones((1, 1), np.float32)),
            doc_ids=["d"],
            similarity="hamming",
        )


def test_memory_is_bounded_by_the_budget() -> None:
    rng = np.random.default_rng(2)
    queries, documents = (rng.standard_normal((n, 8), dtype=np.float32) for n in (300, 60_000))
    doc_ids = [str(i) for i in range(60_000)]
    budget = 20 * 2**20
    tracemalloc.start()
    try:
        run = top_k(
            queries, ArrayVectors(documents), 50, doc_ids=doc_ids, memory_budget_bytes=budget
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    ranks_of_ids = 60_000 * 8 * 6
    assert peak < budget + run.indices.nbytes + run.scores.nbytes + ranks_of_ids < 300 * 60_000 * 4


def test_run_from_scores_orders_as_trec_eval() -> None:
    doc_ids, query_ids = ["d1", "d10", "d2", "d3"], ["q1", "q2", "q3"]
    close = float(np.nextafter(np.float64(0.5), 1))  # equal as float32
    scores = {
        "q1": {"d1": 0.5, "d10": close, "d2": 0.5, "d3": 0.75},
        "q3": {"d3": -1.0, "d1": 2.0},
        "other": {"x": 1.0},
    }
    run = run_from_scores(scores, query_ids, doc_ids, k=3)
    assert ids_of(run, doc_ids) == [["d3", "d2", "d10"], [], ["d1", "d3"]]
    assert run.scores[0].tolist() == [0.75, 0.5, 0.5]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"q": {"d": 1.0, "nowhere": 1.0}}, "'q'.*'nowhere' is not in the corpus"),
        ({"q": {"d": float("nan")}}, "'d' has the score NaN"),
        ({"Q": {"d": 1.0}}, "none of which the task has.*'q'"),
    ],
)
def test_broken_run_is_refused(scores: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run_from_scores(scores, ["q"], ["d"])
