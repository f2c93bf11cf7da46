"""Judged shares and condensed lists, beside pytrec_eval on the filtered run."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval

from kemb.scoring.judged import condensed, judged_at, mean_judged, ranking_of, scores_of
from kemb.types import Qrels, RetrievalData, Run


def test_judged_at_by_hand() -> None:
    qrels = {"q1": {"a": 1, "b": 0}, "q2": {"c": 1}, "q3": {"z": 1}}
    ranking = {"q1": ["a", "x", "b", "y"], "q2": ["x", "c"], "q4": ["a"]}
    assert judged_at(ranking, qrels, 3) == {"q1": 2 / 3, "q2": 1 / 2, "q3": 0}
    assert judged_at(ranking, qrels, 1) == {"q1": 1, "q2": 0, "q3": 0}
    assert mean_judged(ranking, qrels, 1) == pytest.approx(1 / 3)
    assert condensed(ranking, qrels) == {"q1": ["a", "b"], "q2": ["c"], "q3": []}
    assert mean_judged(ranking, {}) == 0


def random_case(seed: int) -> tuple[dict[str, list[str]], Qrels]:
    rng = np.random.default_rng(seed)
    documents = [f"d{n}" for n in range(60)]
    qrels: Qrels = {}
    ranking: dict[str, list[str]] = {}
    for number in range(15):
        judged = rng.choice(documents, int(rng.integers(1, 25)), replace=False)
        qrels[f"q{number}"] = {str(doc): int(rng.integers(0, 3)) for doc in judged}
        depth = int(rng.integers(0, 60))
        ranking[f"q{number}"] = [str(doc) for doc in rng.permutation(documents)[:depth]]
    return ranking, qrels


def by_trec_eval(ranking: dict[str, list[str]], qrels: Qrels) -> dict[str, float]:
    run = {q: {d: -float(place) for place, d in enumerate(docs)} for q, docs in ranking.items()}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"})
    scores = evaluator.evaluate({query: scored for query, scored in run.items() if scored})
    return {query: scores.get(query, {}).get("ndcg_cut_10", 0.0) for query in qrels}


@pytest.mark.parametrize("seed", range(10))
def test_condensed_scores_are_those_of_trec_eval_on_the_filtered_run(seed: int) -> None:
    ranking, qrels = random_case(seed)
    filtered = {
        query: [doc for doc in docs if doc in qrels[query]] for query, docs in ranking.items()
    }
    ours = scores_of(condensed(ranking, qrels), qrels, "ndcg@10")
    assert ours == pytest.approx(by_trec_eval(filtered, qrels), abs=1e-9)
    assert scores_of(ranking, qrels, "ndcg@10") == pytest.approx(
        by_trec_eval(ranking, qrels), abs=1e-9
    )
    # Without unjudged documents no score falls.
    plain = scores_of(ranking, qrels, "ndcg@10")
    assert all(ours[query] >= plain[query] - 1e-12 for query in qrels)


def test_rankings_of_runs_end_where_nothing_was_retrieved() -> None:
    data = RetrievalData(["a", "b"], ["", ""], ["q1", "q2"], ["", ""], {"q1": {"a": 1}})
    run = Run(np.array([[1, 0], [0, -1]]), np.array([[2.0, 1.0], [1.0, -np.inf]], np.float32))
    assert ranking_of(run, data) == {"q1": ["b", "a"], "q2": ["a"]}
    assert ranking_of(run, data, 1) == {"q1": ["b"], "q2": ["a"]}
