"""Metrics of ranked lists, vectorised over queries, equal to trec_eval's."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, IntArray
from kemb.errors import DataError
from kemb.files import scratch
from kemb.files.columns import rows_of
from kemb.scoring.dependence import question_clusters
from kemb.scoring.groups import grouped_metrics
from kemb.scoring.search.topk import empty_run, rank_ids
from kemb.scoring.spans import n_short_reads, place_metrics
from kemb.tasks.kinds import CUTOFFS
from kemb.types import ItemBlock, PartScore, RetrievalData, Run

N_RETRIEVED = 100
"""Documents per query whose ids and scores are kept as items."""


def ranking_metrics(run: Run, data: RetrievalData) -> PartScore:
    """Means over the judged queries, and of each query every metric and the best documents.

    Items of the metric `retrieved` are a query's first 100 documents in rank order: the document's
    id is the target, its score the value.

    Questions that share right passages share a `cluster_id` (`kemb.scoring.dependence`).

    Where a reranker put the documents of a first stage in order, `candidate_recall` is the share of
    the relevant documents among them, which no order can exceed, and items of `candidates` are they
    with the first stage's scores.

    Where the documents are chunks whose places are known, `kemb.scoring.spans.span_metrics` of a
    reader of 1000, 2000 and 4000 characters are there as well.

    :raises DataError: no query has a judgment.
    """
    values = query_metrics(run, data)
    judged = judged_queries(data)
    notes = {name: getattr(run, name) for name in ("n_zero_vectors", "n_short_queries")}
    if data.places is not None:
        of_chunks = place_metrics(run, data.places)
        values |= {metric: array[judged] for metric, array in of_chunks.items()}
        notes["n_short_reads"] = n_short_reads(run, data.places)
    ids = [data.query_ids[row] for row in judged]
    lists = [_listed("retrieved", run, data, judged, N_RETRIEVED)]
    if run.candidates is not None:
        values["candidate_recall"] = _recall(run.candidates, data, judged)
        lists.append(
            _listed("candidates", run.candidates, data, judged, run.candidates.indices.shape[1])
        )
    clusters = question_clusters(data.qrels, ids)
    items = [
        ItemBlock(metric, ids, array, cluster_ids=clusters) for metric, array in values.items()
    ]
    return PartScore(
        metrics={metric: float(np.mean(array)) for metric, array in values.items()},
        experiments={},
        items=[*items, *lists],
        notes={name: count for name, count in notes.items() if count},
    )


def query_metrics(run: Run, data: RetrievalData) -> dict[str, DoubleArray]:
    """Every metric at every cut-off, one value per judged query [n_judged], in the order of the
    queries.

    As in trec_eval (and pytrec_eval, mteb), with grades g above 0 as relevant, R relevant documents
    in all:
    - `ndcg@k`: DCG@k / ideal DCG@k, DCG@k = sum of g / log2(rank + 1), a linear gain (Järvelin and
      Kekäläinen 2002); the ideal ranks all judged documents; grades below 0 count as 0.
    - `map@k`: sum of precision@rank over relevant ranks up to k, divided by R.
    - `mrr@k`: 1 / rank of the first relevant document, 0 beyond k.
    - `recall@k`, `precision@k`: relevant documents up to k, divided by R, by k.
    - `hit_rate@k`: 1 where one of the first k is relevant; sentence-transformers calls it
        `accuracy@k`.
    - `f1@k`: harmonic mean of the query's precision@k and recall@k, as in AutoRAG.
    - `accuracy`: recall@1, as in mteb.
    Where answers come in groups, `kemb.scoring.groups` says how some of these are taken.
    A query without relevant documents, or for which nothing was retrieved, scores 0.

    :raises DataError: no query has a judgment.
    """
    judged = judged_queries(data)
    n = len(judged)
    ideal = _ideal_list(data, judged)
    n_relevant = np.maximum(np.bincount(ideal.rows, minlength=n), 1)  # no relevant documents: 0 / 1
    relevant = _relevant_list(relevance_matrix(run, data)[judged])
    first = np.flatnonzero(np.diff(relevant.rows, prepend=-1))
    nth = (
        np.arange(len(relevant.rows))
        - np.repeat(first, np.diff(first, append=len(relevant.rows)))
        + 1
    )
    first_rank = np.full(n, np.inf)
    first_rank[relevant.rows[first]] = relevant.ranks[first] + 1

    out: dict[str, DoubleArray] = {}
    for k in CUTOFFS:
        hits = relevant.sum_to(k, np.ones(len(nth)), n)
        dcg = relevant.sum_to(k, relevant.grades / np.log2(relevant.ranks + 2), n)
        ideal_dcg = ideal.sum_to(k, ideal.grades / np.log2(ideal.ranks + 2), n)
        recall, precision = hits / n_relevant, hits / k
        hit = (hits > 0).astype(np.float64)
        out[f"ndcg@{k}"] = np.divide(dcg, ideal_dcg, out=np.zeros(n), where=ideal_dcg > 0)
        out[f"map@{k}"] = relevant.sum_to(k, nth / (relevant.ranks + 1), n) / n_relevant
        out[f"mrr@{k}"] = np.where(first_rank <= k, 1 / first_rank, 0.0)
        out[f"recall@{k}"], out[f"precision@{k}"] = recall, precision
        out[f"hit_rate@{k}"] = out[f"accuracy@{k}"] = hit
        out[f"f1@{k}"] = f1_of_means(precision, recall)
    out["accuracy"] = out["recall@1"]
    return out | grouped_metrics(run, data, judged.tolist())


def f1_of_means(precision: DoubleArray | float, recall: DoubleArray | float) -> DoubleArray:
    """2PR / (P + R), elementwise; 0 where both are 0.

    Of per-query values it is `f1@k`; of a task's mean precision and recall it is what the KURE
    tables call F1.
    """
    total = np.asarray(precision + recall, dtype=np.float64)
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)


def judged_queries(data: RetrievalData) -> IntArray:
    """Rows of the queries that have at least one judgment, of whatever grade; only they are scored.

    :raises DataError: there is none.
    """
    rows = [row for row, query_id in enumerate(data.query_ids) if data.qrels.get(query_id)]
    if not rows:
        raise DataError(
            f"None of the {len(data.query_ids)} queries has a judgment among the {len(data.qrels)} "
            "judged query ids; "
            "expected relevant documents for the queries that are scored."
        )
    return np.array(rows, dtype=np.int64)


def relevance_matrix(run: Run, data: RetrievalData) -> NDArray[np.int32]:
    """Grades of the retrieved documents [n_queries, k]; 0 where unjudged or where nothing was
    retrieved.
    """
    judged_ids = {doc_id for grades in data.qrels.values() for doc_id in grades}
    code_of = {doc_id: code for code, doc_id in enumerate(judged_ids)}
    row_of = rows_of(data.doc_ids, judged_ids)
    # One more place at the end, for index -1: nothing retrieved.
    codes = scratch.array(len(data.doc_ids) + 1, np.int64)
    codes[:] = -1
    judged_rows = np.fromiter(row_of.values(), dtype=np.int64, count=len(row_of))
    codes[judged_rows] = [code_of[doc_id] for doc_id in row_of]
    judgments = [
        (row * len(judged_ids) + code_of[doc_id], grade)
        for row, query_id in enumerate(data.query_ids)
        for doc_id, grade in data.qrels.get(query_id, {}).items()
    ]
    keys, grades = np.array(sorted(judgments), dtype=np.int64).reshape(-1, 2).T
    retrieved_codes = codes[run.indices]
    rows, ranks = np.nonzero(retrieved_codes >= 0)
    wanted_keys = rows * len(judged_ids) + retrieved_codes[rows, ranks]
    places = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    matrix = np.zeros(run.indices.shape, dtype=np.int32)
    matrix[rows, ranks] = np.where(keys[places] == wanted_keys, grades[places], 0)
    return matrix


class _RelevantList(NamedTuple):
    """Relevant documents of ranked lists, in the order of queries and ranks."""

    rows: IntArray
    ranks: IntArray
    """From 0."""
    grades: IntArray

    def sum_to(self, k: int, weights: DoubleArray, n_queries: int) -> DoubleArray:
        """Sums [n_queries] of the weights of the documents ranked among the first k."""
        inside = self.ranks < k
        sums: DoubleArray = np.bincount(
            self.rows[inside], weights[inside], minlength=n_queries
        ).astype(np.float64)
        return sums


def _relevant_list(matrix: NDArray[np.int32]) -> _RelevantList:
    rows, ranks = np.nonzero(matrix > 0)
    return _RelevantList(rows, ranks, matrix[rows, ranks].astype(np.int64))


def _ideal_list(data: RetrievalData, judged: IntArray) -> _RelevantList:
    """The relevant documents of every query, best grades first."""
    positive = [
        sorted((g for g in data.qrels[data.query_ids[row]].values() if g > 0), reverse=True)
        for row in judged
    ]
    counts = [len(grades) for grades in positive]
    rows = np.repeat(np.arange(len(judged)), counts)
    ranks = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return _RelevantList(
        rows, ranks, np.array([grade for grades in positive for grade in grades], dtype=np.int64)
    )


def _recall(run: Run, data: RetrievalData, judged: IntArray) -> DoubleArray:
    """Share of the relevant documents [n_judged] that a run holds at any rank; 0 where there are
    none.
    """
    n_found = np.count_nonzero(relevance_matrix(run, data)[judged] > 0, axis=1)
    n_relevant = [
        sum(grade > 0 for grade in data.qrels[data.query_ids[row]].values()) for row in judged
    ]
    return np.asarray(n_found / np.maximum(n_relevant, 1), dtype=np.float64)


def _listed(metric: str, run: Run, data: RetrievalData, judged: IntArray, depth: int) -> ItemBlock:
    indices = run.indices[judged, :depth]
    rows, ranks = np.nonzero(indices >= 0)
    return ItemBlock(
        metric,
        [data.query_ids[row] for row in judged[rows].tolist()],
        run.scores[judged, :depth][rows, ranks].astype(np.float64),
        targets=[data.doc_ids[row] for row in indices[rows, ranks].tolist()],
    )


def without_own_ids(run: Run, data: RetrievalData) -> Run:
    """The run without documents that have the id of their query (mteb's `ignore_identical_ids`);
    the rest moves up.
    """
    row_of = rows_of(data.doc_ids, data.query_ids)
    rows_of_queries = np.array(
        [row_of.get(query_id, -2) for query_id in data.query_ids], dtype=np.int64
    )
    order = np.argsort(run.indices == rows_of_queries[:, None], axis=1, kind="stable")
    indices, scores = (
        np.take_along_axis(array, order, axis=1) for array in (run.indices, run.scores)
    )
    is_own = indices == rows_of_queries[:, None]
    return replace(
        run, indices=np.where(is_own, -1, indices), scores=np.where(is_own, -np.inf, scores)
    )


def merged_subqueries(run: Run, data: RetrievalData) -> tuple[Run, RetrievalData]:
    """One query for all whose ids differ only after the last `_`, each document with its best
    score.

    As mteb's `max_over_subqueries`: the judgments are those of the last of them.
    """
    groups: dict[str, list[int]] = {}
    for row, query_id in enumerate(data.query_ids):
        groups.setdefault(query_id.rpartition("_")[0], []).append(row)
    retrieved = np.unique(run.indices[run.indices >= 0])
    ranks = rank_ids([data.doc_ids[row] for row in retrieved.tolist()])[1]
    indices, scores = empty_run(len(groups), run.indices.shape[1] * max(map(len, groups.values())))
    for place, rows in enumerate(groups.values()):
        documents, values = run.indices[rows].ravel(), run.scores[rows].ravel()
        documents, values = documents[documents >= 0], values[documents >= 0]
        order = np.lexsort((ranks[np.searchsorted(retrieved, documents)], values))[::-1]
        first = np.sort(np.unique(documents[order], return_index=True)[1])
        best = order[first]
        indices[place, : len(best)], scores[place, : len(best)] = documents[best], values[best]
    last = {name: rows[-1] for name, rows in groups.items()}
    merged = replace(
        data,
        query_ids=list(groups),
        queries=[data.queries[row] for row in last.values()],
        qrels={name: data.qrels.get(data.query_ids[row], {}) for name, row in last.items()},
    )
    return replace(run, indices=indices, scores=scores), merged
