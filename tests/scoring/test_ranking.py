from __future__ import annotations

import math

import numpy as np
import pytest

from kemb.errors import DataError
from kemb.scoring.ranking import f1_of_means, query_metrics, ranking_metrics, relevance_matrix
from kemb.scoring.search.search import run_from_scores
from kemb.tasks.kinds import CUTOFFS
from kemb.types import Qrels, RetrievalData, Run


def make(
    qrels: Qrels, ranked: dict[str, list[str]], doc_ids: list[str]
) -> tuple[Run, RetrievalData]:
    queries = list(ranked)
    data = RetrievalData(doc_ids, [""] * len(doc_ids), queries, [""] * len(queries), qrels)
    scores = {
        query: {doc: float(len(docs) - rank) for rank, doc in enumerate(docs)}
        for query, docs in ranked.items()
    }
    return run_from_scores(scores, queries, doc_ids), data


def test_graded_query_by_hand() -> None:
    run, data = make(
        {"q": {"a": 2, "b": 1, "c": 1, "x": -1}},
        {"q": ["x", "b", "y", "a"]},
        ["a", "b", "c", "x", "y"],
    )
    values = {metric: array[0] for metric, array in query_metrics(run, data).items()}
    dcg3 = 1 / math.log2(3)
    ideal3 = 2 + 1 / math.log2(3) + 1 / 2
    assert values["ndcg@1"] == 0
    assert values["ndcg@3"] == pytest.approx(dcg3 / ideal3)
    assert values["ndcg@5"] == pytest.approx((dcg3 + 2 / math.log2(5)) / ideal3)
    assert values["map@3"] == pytest.approx((1 / 2) / 3)
    assert values["map@5"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert [values[f"mrr@{k}"] for k in (1, 3, 1000)] == [0, 0.5, 0.5]
    assert values["recall@3"] == pytest.approx(1 / 3)
    assert values["recall@1000"] == pytest.approx(2 / 3)
    assert values["precision@5"] == pytest.approx(2 / 5)
    assert values["f1@5"] == pytest.approx(2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3))
    assert (
        [values[f"hit_rate@{k}"] for k in (1, 3)]
        == [values[f"accuracy@{k}"] for k in (1, 3)]
        == [0, 1]
    )
    assert values["accuracy"] == values["recall@1"] == 0


def test_reciprocal_rank_is_kept_at_its_own_cutoff() -> None:
    """1/49 * 49 < 1 in floating point: no cut-off may be decided by it."""
    docs = [f"{i:03}" for i in range(100)]
    for rank in (1, 3, 5, 10, 20, 100):
        run, data = make({"q": {docs[rank - 1]: 1}}, {"q": docs}, docs)
        values = query_metrics(run, data)
        assert values[f"mrr@{rank}"][0] == 1 / rank


def test_queries_without_positives_count_and_unjudged_ones_do_not() -> None:
    qrels: Qrels = {"good": {"a": 1}, "zeros": {"a": 0}, "nothing": {"b": 1}, "empty": {}}
    run, data = make(
        qrels,
        {"good": ["a"], "zeros": ["a"], "nothing": [], "empty": ["a"], "unjudged": ["a"]},
        ["a", "b"],
    )
    score = ranking_metrics(run, data)
    for metric in (
        f"{name}@{k}" for name in ("ndcg", "map", "mrr", "recall", "hit_rate") for k in CUTOFFS
    ):
        assert score.metrics[metric] == pytest.approx(1 / 3), metric
    blocks = {block.metric: block for block in score.items}
    assert blocks["ndcg@10"].item_ids == ["good", "zeros", "nothing"]
    assert blocks["ndcg@10"].values.tolist() == [1, 0, 0]


def test_means_are_the_means_of_the_items() -> None:
    rng = np.random.default_rng(0)
    docs = [f"d{i}" for i in range(50)]
    ranked = {f"q{i}": list(rng.permutation(docs)[:30]) for i in range(20)}
    qrels = {
        query: {str(doc): int(rng.integers(0, 3)) for doc in rng.choice(docs, 8, replace=False)}
        for query in ranked
    }
    run, data = make(qrels, ranked, docs)
    score = ranking_metrics(run, data)
    blocks = {block.metric: block for block in score.items}
    assert set(blocks) == {*score.metrics, "retrieved"}
    for metric, value in score.metrics.items():
        assert np.mean(blocks[metric].values) == value


def test_retrieved_items_are_the_first_hundred_in_rank_order() -> None:
    docs = [f"d{i:03}" for i in range(150)]
    run, data = make({"q": {"d000": 1}, "r": {"d000": 1}}, {"q": docs, "r": docs[:2]}, docs)
    block = ranking_metrics(run, data).items[-1]
    assert block.metric == "retrieved"
    assert block.targets == [*docs[:100], *docs[:2]]
    assert block.item_ids == ["q"] * 100 + ["r"] * 2
    assert block.values[:2].tolist() == [150, 149]


def test_relevance_matrix_has_grades_where_judged() -> None:
    run, data = make(
        {"q": {"a": 3, "b": -1}, "r": {"c": 1}}, {"q": ["c", "b", "a"], "r": ["a"]}, ["a", "b", "c"]
    )
    assert relevance_matrix(run, data)[:, :4].tolist() == [[0, -1, 3, 0], [0, 0, 0, 0]]


def test_judged_documents_outside_the_corpus_count_as_not_found() -> None:
    run, data = make({"q": {"a": 1, "lost": 1}}, {"q": ["a", "b"]}, ["a", "b"])
    assert query_metrics(run, data)["recall@10"].tolist() == [0.5]


def test_no_judgments_at_all_is_an_error() -> None:
    run, data = make({"other": {"a": 1}}, {"q": ["a"]}, ["a"])
    with pytest.raises(DataError, match="None of the 1 queries has a judgment"):
        ranking_metrics(run, data)


def test_f1_of_means_differs_from_mean_f1() -> None:
    precision, recall = np.array([1.0, 0.0, 0.2]), np.array([0.5, 0.0, 1.0])
    assert f1_of_means(precision, recall).tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert f1_of_means(precision.mean(), recall.mean()) == pytest.approx(0.4 * 0.5 * 2 / 0.9)
