"""Runs that mteb changes before it scores them: queries that are documents, and queries in several
versions.
"""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np

from kemb.arrays import ArrayVectors
from kemb.scoring import score
from kemb.tasks.spec import Source, TaskSpec
from kemb.types import RetrievalData
from mteb_tasks import evaluate, numbers, rows, tied

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("seed", range(3))
def test_a_query_does_not_find_itself(seed: int) -> None:
    rng, n_queries, n = np.random.default_rng(seed), 20, 150
    doc_ids = [f"d{i}" for i in rng.permutation(n)]
    # Queries are documents under their own id, but for one whose id no document has.
    query_ids = [*doc_ids[: n_queries - 1], "q"]
    qrels = {
        query: {str(doc): 1 for doc in rng.choice(doc_ids, 4, replace=False)} for query in query_ids
    }
    qrels[query_ids[0]][query_ids[0]] = 2
    table = tied(rng, n_queries + n, 5)
    table[: n_queries - 1] = table[n_queries : 2 * n_queries - 1]
    data = RetrievalData(doc_ids, numbers(n, n_queries), query_ids, numbers(n_queries), qrels)
    dataset = {
        "corpus": rows(id=doc_ids, text=data.documents, title=[""] * n),
        "queries": rows(id=query_ids, text=data.queries),
        "relevant_docs": qrels,
        "top_ranked": None,
    }
    theirs = evaluate("ArguAna", "test", {"test": dataset}, table, "dot")
    vectors = {
        "queries": ArrayVectors(table[:n_queries]),
        "documents": ArrayVectors(table[n_queries:]),
    }
    spec = TaskSpec(
        name="T", type="retrieval", splits=["test"], source=Source(), ignore_identical_ids=True
    )
    ours = score(spec, data, vectors, similarity="dot").metrics
    for name in ("ndcg@10", "ndcg@1", "map@1000", "recall@100", "mrr@10"):
        assert ours[name] == pytest.approx(theirs[name.replace("@", "_at_")], abs=1.1e-5), name
    plain = score(
        spec.model_copy(update={"ignore_identical_ids": False}), data, vectors, similarity="dot"
    ).metrics
    assert plain["ndcg@10"] != ours["ndcg@10"]


@pytest.mark.parametrize("seed", range(3))
def test_versions_of_a_query_are_merged(seed: int) -> None:
    rng, n = np.random.default_rng(seed), 200
    doc_ids = [f"d{i}" for i in rng.permutation(n)]
    query_ids = [f"q{i}_{version}" for i in range(9) for version in range(1 + i % 3)]
    n_queries = len(query_ids)
    qrels, candidates = {}, {}
    for i in range(9):
        own = [str(doc) for doc in rng.choice(doc_ids, 30, replace=False)]
        for query in (query for query in query_ids if query.startswith(f"q{i}_")):
            qrels[query] = dict.fromkeys(own[:4], 1)
            candidates[query] = own
    table = tied(rng, n_queries + n, 4)
    data = RetrievalData(
        doc_ids, numbers(n, n_queries), query_ids, numbers(n_queries), qrels, candidates
    )
    dataset = {
        "corpus": rows(id=doc_ids, text=data.documents, title=[""] * n),
        "queries": rows(id=query_ids, text=data.queries),
        "relevant_docs": qrels,
        "top_ranked": candidates,
    }
    theirs = evaluate("MindSmallReranking", "test", {"test": dataset}, table, "dot")
    main = "max_over_subqueries_map@1000"
    spec = TaskSpec(name="T", type="reranking", main_score=main, splits=["test"], source=Source())
    vectors = {
        "queries": ArrayVectors(table[:n_queries]),
        "documents": ArrayVectors(table[n_queries:]),
    }
    found = score(spec, data, vectors, similarity="dot")
    for name in (main, "max_over_subqueries_ndcg@10", "max_over_subqueries_mrr@10", "map@1000"):
        assert found.metrics[name] == pytest.approx(
            theirs[name.replace("@", "_at_")], abs=1.1e-5
        ), name
    (values,) = [block.values for block in found.items if block.metric == main]
    assert len(values) == 9
    assert np.mean(values) == pytest.approx(found.metrics[main], abs=1e-12)
