"""Reranking against mteb, over random vectors with ties."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np

from kemb.arrays import ArrayVectors, FloatArray
from kemb.scoring import score, score_run, top_k
from kemb.scoring.search.lexical import search
from kemb.scoring.search.rerank import rerank
from kemb.tasks.kinds import CUTOFFS
from kemb.tasks.spec import Source, TaskSpec
from kemb.types import RetrievalData
from mteb_tasks import evaluate, numbers, rows, tied

pytestmark = pytest.mark.torch

SPEC = TaskSpec(name="T", type="reranking", splits=["dev"], source=Source())


def sample(rng: np.random.Generator, n_queries: int, n: int) -> RetrievalData:
    """A corpus, of which every query has some candidates, and judgments inside and outside
    of them.
    """
    data = RetrievalData(
        [f"d{i}" for i in rng.permutation(n)], numbers(n, n_queries), numbers(n_queries), [], {}, {}
    )
    data.queries.extend(numbers(n_queries))
    assert data.candidates is not None
    for query in data.query_ids:
        docs = rng.choice(data.doc_ids, rng.integers(2, 60), replace=False)
        data.candidates[query] = [str(doc) for doc in docs]
        judged = {*docs[:3], *rng.choice(data.doc_ids, 2)}
        data.qrels[query] = {str(doc): int(rng.integers(0, 3)) for doc in sorted(judged)}
    return data


def vectors_of(table: FloatArray, n_queries: int) -> dict[str, ArrayVectors]:
    return {
        "queries": ArrayVectors(table[:n_queries]),
        "documents": ArrayVectors(table[n_queries:]),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_whole_task_equals_mteb(seed: int, similarity: str) -> None:
    rng, n_queries, n = np.random.default_rng(seed), 25, 300
    data = sample(rng, n_queries, n)
    table = (
        tied(rng, n_queries + n, 12)
        if similarity == "dot"
        else rng.standard_normal((n_queries + n, 12))
    )
    table = table.astype(np.float32)
    if similarity == "cosine":
        table[-40:] = table[n_queries : n_queries + 40]
    dataset = {
        "corpus": rows(id=data.doc_ids, text=data.documents, title=[""] * n),
        "queries": rows(id=data.query_ids, text=data.queries),
        "relevant_docs": data.qrels,
        "top_ranked": data.candidates,
    }
    theirs = evaluate("MIRACLReranking", "dev", {"dev": dataset}, table, similarity)
    ours = score(SPEC, data, vectors_of(table, n_queries), similarity=similarity).metrics
    compared = [name for name in theirs if name.replace("_at_", "@") in ours]
    assert len(compared) == 6 * len(CUTOFFS) + 1
    for name in compared:
        assert round(ours[name.replace("_at_", "@")], 5) == pytest.approx(
            round(theirs[name], 5), abs=1.1e-5
        ), name


def test_all_documents_as_candidates_give_the_run_of_a_search() -> None:
    rng, n_queries, n = np.random.default_rng(9), 7, 5000  # more than one block
    table = tied(rng, n_queries + n, 6)
    doc_ids = [f"d{i}" for i in rng.permutation(n)]
    data = RetrievalData(doc_ids, [""] * n, numbers(n_queries), [""] * n_queries, {}, {})
    assert data.candidates is not None
    data.candidates.update({query: doc_ids for query in data.query_ids[:-1]})
    run = rerank(table[:n_queries], ArrayVectors(table[n_queries:]), data, similarity="dot")
    searched = top_k(
        table[:n_queries], ArrayVectors(table[n_queries:]), doc_ids=doc_ids, similarity="dot"
    )
    assert np.array_equal(run.indices[:-1], searched.indices[:-1])
    assert np.array_equal(run.scores[:-1], searched.scores[:-1])
    assert (run.indices[-1] == -1).all(), "a query without candidates retrieves nothing"


def test_bm25_ranks_the_candidates_only() -> None:
    texts = ["비가 온다", "비가 그친다", "눈이 온다", "바람이 분다"]
    data = RetrievalData(
        ["a", "b", "c", "d"], texts, ["q"], ["비가 온다"], {"q": {"a": 1}}, {"q": ["d", "b"]}
    )
    run = search("bigram", data, 1000)
    assert [data.doc_ids[row] for row in run.indices[0] if row >= 0] == ["b", "d"]
    assert score_run(SPEC, data, run).metrics["recall@10"] == 0
