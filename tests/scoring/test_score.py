from __future__ import annotations

import numpy as np
import pytest

from kemb.arrays import ArrayVectors, Vectors
from kemb.errors import DataError, ModelError, NotSupported
from kemb.scoring import run_from_scores, score, score_run
from kemb.tasks.spec import Source, TaskSpec
from kemb.types import PairData, RetrievalData, TaskType

PAIRS = PairData(["p0", "p1", "p2"], ["a", "b", "c"], ["d", "e", "f"], np.array([0.0, 1.0, 1.0]))
CORPUS = RetrievalData(
    ["d1", "d2"], ["x", "y"], ["q1", "q2"], ["u", "v"], {"q1": {"d1": 1}, "q2": {"d1": 1}}
)


def spec(task_type: TaskType) -> TaskSpec:
    return TaskSpec(name="MyTask", type=task_type, splits=["test"], source=Source())


def random(n: int, dim: int = 4, seed: int = 0) -> ArrayVectors:
    return ArrayVectors(np.random.default_rng(seed).random((n, dim), dtype=np.float32))


@pytest.mark.parametrize(
    ("task_type", "metric"), [("sts", "cosine_spearman"), ("pair_classification", "max_ap")]
)
def test_pairs_are_scored_by_the_type_of_the_task(task_type: TaskType, metric: str) -> None:
    result = score(
        spec(task_type),
        PAIRS,
        {"sentence1": random(3), "sentence2": random(3, seed=1)},
        similarity="dot",
    )
    assert metric in result.metrics


def test_retrieval_uses_the_declared_similarity() -> None:
    """The longer document wins by dot product, the one in the query's direction by cosine."""
    vectors: dict[str, Vectors] = {
        "queries": ArrayVectors(np.array([[1, 0], [1, 0]], dtype=np.float32)),
        "documents": ArrayVectors(np.array([[1, 0], [5, 5]], dtype=np.float32)),
    }
    assert score(spec("retrieval"), CORPUS, vectors, similarity="cosine").metrics["ndcg@1"] == 1
    assert score(spec("retrieval"), CORPUS, vectors, similarity="dot").metrics["ndcg@1"] == 0
    with pytest.raises(NotSupported, match="'manhattan'"):
        score(spec("retrieval"), CORPUS, vectors, similarity="hamming")


def test_a_run_is_scored_like_the_search_it_came_from() -> None:
    run = run_from_scores(
        {"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d2": 3.0}}, CORPUS.query_ids, CORPUS.doc_ids
    )
    metrics = score_run(spec("retrieval"), CORPUS, run).metrics
    assert (metrics["recall@10"], metrics["mrr@10"]) == (0.5, 0.5)
    with pytest.raises(NotSupported, match="only rankings"):
        score_run(spec("sts"), CORPUS, run)
    one = RetrievalData(["d1"], ["x"], ["q1"], ["u"], {"q1": {"d1": 1}})
    with pytest.raises(DataError, match="has 2 queries; expected 1"):
        score_run(spec("retrieval"), one, run)


def test_zero_vectors_are_noted() -> None:
    vectors: dict[str, Vectors] = {
        "queries": random(2, 2),
        "documents": ArrayVectors(np.zeros((2, 2), np.float32)),
    }
    assert score(spec("retrieval"), CORPUS, vectors, similarity="cosine").notes == {
        "n_zero_vectors": 2
    }


def test_vectors_that_do_not_fit_the_data_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"^Task MyTask: The column 'sentence2' has 2 vectors for 3 texts"
    ):
        score(
            spec("sts"),
            PAIRS,
            {"sentence1": random(3), "sentence2": random(2)},
            similarity="cosine",
        )
    with pytest.raises(ModelError, match=r"different dimensions: {'sentence1': 4, 'sentence2': 5}"):
        score(
            spec("sts"),
            PAIRS,
            {"sentence1": random(3), "sentence2": random(3, 5)},
            similarity="cosine",
        )


def test_unusable_query_vectors_name_task_column_and_id() -> None:
    broken = np.full((2, 4), np.nan, dtype=np.float32)
    with pytest.raises(ModelError, match=r"^Task MyTask: .*'queries'.*'q1'"):
        score(
            spec("retrieval"),
            CORPUS,
            {"queries": ArrayVectors(broken), "documents": random(2)},
            similarity="dot",
        )


def test_an_empty_corpus_is_refused() -> None:
    empty = RetrievalData([], [], ["q1"], ["u"], {"q1": {"d1": 1}})
    with pytest.raises(DataError, match="'documents' is empty"):
        score(
            spec("retrieval"),
            empty,
            {"queries": random(1), "documents": random(0)},
            similarity="dot",
        )
