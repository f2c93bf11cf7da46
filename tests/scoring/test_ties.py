"""Scores made of ties are refused or marked; run files must say what they seem to say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kemb.arrays import ArrayVectors
from kemb.errors import DataError, ModelError
from kemb.scoring.groups import grouped_metrics
from kemb.scoring.search.runs import read_run
from kemb.scoring.ties import shared_vectors, tied_queries
from kemb.types import PairData, RetrievalData, Run

RNG = np.random.default_rng(0)


def shared(vectors: np.ndarray, texts: list[str]) -> dict[str, int]:
    n = len(texts)
    data = PairData([str(i) for i in range(n)], texts, texts, np.zeros(n))
    column = ArrayVectors(vectors.astype(np.float32))
    return shared_vectors(data, {"sentence1": column, "sentence2": column})


def test_vectors_that_most_texts_share_are_refused() -> None:
    texts = [f"글 {i}" for i in range(100)]
    vectors = RNG.normal(size=(100, 8))
    assert shared(vectors, texts) == {}
    vectors[:4] = 0
    assert shared(vectors, texts) == {}
    vectors[:5] = 0
    assert shared(vectors, texts) == {"n_shared_vectors": 5}
    vectors[:51] = 0
    with pytest.raises(ModelError, match="51 of 100 different texts"):
        shared(vectors, texts)


def test_equal_texts_may_share_a_vector() -> None:
    assert (
        shared(
            np.repeat(RNG.normal(size=(10, 8)), 10, axis=0),
            ["가나다라마바사아자차"[i // 10] for i in range(100)],
        )
        == {}
    )


def test_collapsed_vectors_are_refused() -> None:
    texts = [f"글 {i}" for i in range(50)]
    vectors = np.ones((50, 8)) + 1e-3 * RNG.normal(size=(50, 8))
    data = PairData(texts, texts[:25], texts[25:], np.zeros(25))
    columns = {
        "sentence1": ArrayVectors(vectors[:25].astype(np.float32)),
        "sentence2": ArrayVectors(vectors[25:].astype(np.float32)),
    }
    with pytest.raises(ModelError, match=r"mean cosine of 50 different texts \(text\) is 1\.000"):
        shared_vectors(data, columns)


def test_queries_of_one_score_are_counted_and_refused() -> None:
    scores = np.tile(np.array([3, 2], np.float32), (10, 1))
    indices = np.tile(np.array([0, 1]), (10, 1))
    assert tied_queries(Run(indices, scores)) == {}
    scores[:5] = 0
    assert tied_queries(Run(indices, scores)) == {"n_tied_queries": 5}
    scores[:6] = 0
    with pytest.raises(ModelError, match="For 6 of 10 queries"):
        tied_queries(Run(indices, scores))
    # Of BM25 they share no word with any document, which is no fault; another common score is.
    assert tied_queries(Run(indices, scores), by_words=True) == {"n_tied_queries": 6}
    scores[:6] = 1
    with pytest.raises(ModelError, match="For 6 of 10 queries"):
        tied_queries(Run(indices, scores), by_words=True)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["q Q0 a 1 0.1 x", "q Q0 b 2 0.9 x"], "line 2: .*contradict each other.*--run-order rank"),
        (["q Q0 a 1 0 x", "q Q0 b 2 0 x"], "one and the same score.*--run-order rank"),
        (["q Q0 a 0 0.1 x", "q Q0 b 0 0.9 x"], "the scores rise.*--run-order rank"),
    ],
)
def test_a_run_file_whose_scores_are_none_is_refused(
    tmp_path: Path, lines: list[str], problem: str
) -> None:
    file = tmp_path / "r.trec"
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match=problem):
        read_run(file)
    if "rise" in problem:
        with pytest.raises(DataError, match="needs a different whole number"):
            read_run(file, "rank")
    else:
        assert read_run(file, "rank") == {"q": {"a": -1.0, "b": -2.0}}


def test_groups_are_scored_as_autorag_does() -> None:
    """(a or b) and c; ranked c, d, a, b: by hand, with AutoRAG's definitions."""
    groups = {"q": [["a", "b"], ["c"]]}
    qrels = {"q": {"a": 1, "b": 1, "c": 1}}
    data = RetrievalData(list("abcd"), list("abcd"), ["q"], ["x"], qrels, groups=groups)
    run = Run(np.array([[2, 3, 0, 1]]), np.array([[4, 3, 2, 1]], np.float32))
    values = {name: value[0] for name, value in grouped_metrics(run, data, [0]).items()}
    assert values["recall@1"] == 0.5
    assert values["recall@3"] == 1.0
    assert values["f1@3"] == pytest.approx(0.8)
    assert values["mrr@10"] == pytest.approx((1 / 3 + 1) / 2)
    assert values["map@10"] == pytest.approx(((1 / 3 + 2 / 4) / 2 + 1) / 2)
