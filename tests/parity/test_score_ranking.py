"""Metrics of ranked lists against pytrec_eval and mteb, over runs with ties."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores, make_score_dict

from kemb.arrays import ArrayVectors
from kemb.scoring import run_from_scores, score
from kemb.scoring.ranking import query_metrics, ranking_metrics
from kemb.tasks.kinds import CUTOFFS
from kemb.tasks.spec import Source, TaskSpec
from kemb.types import Qrels, RetrievalData
from mteb_tasks import evaluate, numbers, rows, tied

pytestmark = pytest.mark.torch

PYTREC = {
    "ndcg": "ndcg_cut_{}",
    "map": "map_cut_{}",
    "recall": "recall_{}",
    "precision": "P_{}",
    "hit_rate": "success_{}",
    "accuracy": "success_{}",
}
Scores = dict[str, dict[str, float]]


def random_run(
    rng: np.random.Generator, n_queries: int, n_docs: int, depth: int
) -> tuple[Scores, Qrels, list[str]]:
    """Scores of few values, and judgments from -1 to 3 of documents in the run and outside it."""
    doc_ids = [f"d{i}" for i in rng.permutation(n_docs)]
    scores, qrels = {}, {}
    for query in numbers(n_queries):
        docs = rng.choice(doc_ids, rng.integers(1, depth + 1), replace=False)
        scores[query] = {str(doc): float(rng.integers(0, 8)) / 8 for doc in docs}
        judged = rng.choice(doc_ids, rng.integers(1, 12), replace=False)
        qrels[query] = {str(doc): int(rng.integers(-1, 4)) for doc in judged}
    return scores, qrels, doc_ids


def data_of(scores: Scores, qrels: Qrels, doc_ids: list[str]) -> RetrievalData:
    return RetrievalData(doc_ids, [""] * len(doc_ids), list(scores), [""] * len(scores), qrels)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), n_docs=st.sampled_from([13, 60, 400]))
def test_every_query_equals_pytrec_eval(seed: int, n_docs: int) -> None:
    scores, qrels, doc_ids = random_run(np.random.default_rng(seed), 12, n_docs, min(n_docs, 150))
    data = data_of(scores, qrels, doc_ids)
    ours = query_metrics(run_from_scores(scores, data.query_ids, doc_ids), data)
    cutoffs = ",".join(map(str, CUTOFFS))
    names = {f"{name}.{cutoffs}" for name in ("ndcg_cut", "map_cut", "recall", "P", "success")}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, names).evaluate(scores)
    for metric, name in PYTREC.items():
        for k in CUTOFFS:
            expected = [theirs[query][name.format(k)] for query in data.query_ids]
            assert np.abs(ours[f"{metric}@{k}"] - expected).max() < 1e-12, (metric, k)


@pytest.mark.parametrize("seed", range(5))
def test_means_equal_mteb(seed: int) -> None:
    scores, qrels, doc_ids = random_run(np.random.default_rng(seed), 40, 300, 120)
    data = data_of(scores, qrels, doc_ids)
    ours = ranking_metrics(run_from_scores(scores, data.query_ids, doc_ids), data).metrics
    result = calculate_retrieval_scores(scores, qrels, list(CUTOFFS))
    fields = ("ndcg", "recall", "precision", "mrr", "hit_rate", "naucs", "naucs_mrr")
    theirs = make_score_dict(
        _map=result.map, task_scores={}, **{name: getattr(result, name) for name in fields}
    )
    compared = {
        name.replace("_at_", "@"): value
        for name, value in theirs.items()
        if not name.startswith("nauc")
    }
    assert len(compared) == 6 * len(CUTOFFS) + 1
    for metric, value in compared.items():
        assert round(ours[metric], 5) == pytest.approx(round(value, 5), abs=1.1e-5), metric


def test_a_query_without_results_counts_as_in_pytrec_eval() -> None:
    scores: Scores = {"q1": {"d": 1.0}, "q2": {}}
    qrels = {"q1": {"d": 1}, "q2": {"d": 1}}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"recall.10"}).evaluate(scores)
    assert {query: values["recall_10"] for query, values in theirs.items()} == {"q1": 1, "q2": 0}
    data = data_of(scores, qrels, ["d"])
    assert query_metrics(run_from_scores(scores, ["q1", "q2"], ["d"]), data)[
        "recall@10"
    ].tolist() == [1, 0]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_whole_task_equals_mteb(similarity: str) -> None:
    rng = np.random.default_rng(3)
    n_queries, n = 30, 500
    table = (
        tied(rng, n_queries + n, 12)
        if similarity == "dot"
        else rng.standard_normal((n_queries + n, 12))
    )
    table = table.astype(np.float32)
    data = RetrievalData(
        [f"d{i}" for i in rng.permutation(n)], [""] * n, numbers(n_queries), [""] * n_queries, {}
    )
    for query in data.query_ids:
        docs = rng.choice(data.doc_ids, 6, replace=False)
        data.qrels[query] = {str(doc): int(rng.integers(0, 3)) for doc in docs}
    dataset = {
        "corpus": rows(id=data.doc_ids, text=numbers(n, n_queries), title=[""] * n),
        "queries": rows(id=data.query_ids, text=numbers(n_queries)),
        "relevant_docs": data.qrels,
        "top_ranked": None,
    }
    theirs = evaluate("AutoRAGRetrieval", "test", {"test": dataset}, table, similarity)
    spec = TaskSpec(name="T", type="retrieval", splits=["test"], source=Source())
    vectors = {
        "queries": ArrayVectors(table[:n_queries]),
        "documents": ArrayVectors(table[n_queries:]),
    }
    ours = score(spec, data, vectors, similarity=similarity).metrics
    compared = [name for name in theirs if name.replace("_at_", "@") in ours]
    assert len(compared) == 6 * len(CUTOFFS) + 1
    for name in compared:
        assert round(ours[name.replace("_at_", "@")], 5) == pytest.approx(
            round(theirs[name], 5), abs=1.1e-5
        ), name
