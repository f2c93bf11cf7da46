"""Missing judgments: what of a ranking was judged, and its scores without the rest.

A passage that nobody judged counts as wrong in every plain metric. That is harmless where the
judged passages are those that every compared retriever finds, and unfair to a retriever that finds
others (Zobel 1998, "How reliable are the results of large-scale information retrieval
experiments?"). Condensed lists leave unjudged passages out instead (Sakai 2007, "Alternatives to
bpref").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from kemb.scoring.ranking import N_RETRIEVED, query_metrics
from kemb.scoring.search.search import run_from_scores
from kemb.types import Judged, Qrels, RetrievalData, Run

Ranking = Mapping[str, Sequence[str]]
"""By query id, document ids, best first."""

JUDGED_DEPTH = 10
"""Of `judged@10`, and of pools."""


def ranking_of(run: Run, data: RetrievalData, depth: int = N_RETRIEVED) -> dict[str, list[str]]:
    """The first documents of every query by their ids."""
    return {
        query_id: [data.doc_ids[row] for row in rows if row >= 0]
        for query_id, rows in zip(data.query_ids, run.indices[:, :depth].tolist(), strict=True)
    }


def judged_at(ranking: Ranking, qrels: Qrels, k: int = JUDGED_DEPTH) -> dict[str, float]:
    """Of every judged query the share of its first k documents that have a judgment, of whatever
    grade; as ir_measures' `Judged@k`, of fewer documents where fewer were retrieved, and 0 where
    none were.
    """
    shares = {}
    for query_id, grades in qrels.items():
        first = ranking.get(query_id, ())[:k]
        n_judged = sum(document in grades for document in first)
        shares[query_id] = n_judged / max(1, len(first))
    return shares


def mean_judged(ranking: Ranking, qrels: Qrels, k: int = JUDGED_DEPTH) -> float:
    """Mean of `judged_at` over the judged queries; 0 where there are none."""
    return fmean(judged_at(ranking, qrels, k).values()) if qrels else 0.0


def condensed(ranking: Ranking, qrels: Qrels) -> dict[str, list[str]]:
    """The ranking of every judged query without the documents that nobody judged for it."""
    return {
        query_id: [document for document in ranking.get(query_id, ()) if document in grades]
        for query_id, grades in qrels.items()
    }


def scores_of(ranking: Ranking, qrels: Qrels, metric: str) -> dict[str, float]:
    """A metric of `kemb.scoring.ranking.query_metrics` for every judged query; a query for which
    nothing was retrieved scores 0.

    :raises KeyError: no such metric.
    """
    if not qrels:
        return {}
    query_ids = list(qrels)
    documents = {document for grades in qrels.values() for document in grades}
    documents |= {document for query_id in query_ids for document in ranking.get(query_id, ())}
    doc_ids = sorted(documents)
    no_texts = [""] * len(doc_ids)
    data = RetrievalData(doc_ids, no_texts, query_ids, [""] * len(query_ids), qrels)
    scores = {
        query_id: {
            document: -float(place) for place, document in enumerate(ranking.get(query_id, ()))
        }
        for query_id in query_ids
    }
    values = query_metrics(run_from_scores(scores, query_ids, doc_ids), data)[metric]
    return dict(zip(query_ids, values.tolist(), strict=True))


def judged_of(run: Run, data: RetrievalData, metric: str) -> Judged:
    """What of a run was judged, and a metric of its first 100 documents without the rest.

    :param metric: one of `kemb.scoring.ranking.query_metrics`.
    """
    ranking = ranking_of(run, data)
    qrels = {query: grades for query in data.query_ids if (grades := data.qrels.get(query))}
    judged = mean_judged(ranking, qrels)
    if all(grade > 0 for grades in qrels.values() for grade in grades.values()):
        return Judged(judged, None)
    return Judged(judged, fmean(scores_of(condensed(ranking, qrels), qrels, metric).values()))
