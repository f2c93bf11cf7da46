"""Several runs of the same queries made into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.errors import DataError, UsageError
from kemb.scoring.search.search import TOP_K
from kemb.scoring.search.topk import empty_run, fill_run, rank_ids
from kemb.types import Run

RRF_K = 60
"""As in Cormack et al. 2009, who found it by a pilot and that it is not critical."""


def reciprocal_ranks(
    runs: Sequence[Run], doc_ids: Sequence[str], *, constant: int = RRF_K, depth: int = TOP_K
) -> Run:
    """Reciprocal rank fusion: a document's score is the sum over runs of 1 / (constant + rank),
    ranks from 1.

    A run that does not hold the document adds nothing (Cormack, Clarke and Büttcher 2009). Ties go
    by document id, descending.

    :param runs: of the same queries and documents.
    :param doc_ids: of the rows that the runs name.
    :param constant: added to every rank.
    :param depth: documents per query in the result.
    """
    values = [
        np.broadcast_to(
            1 / (constant + np.arange(1.0, run.indices.shape[1] + 1)), run.indices.shape
        )
        for run in runs
    ]
    return _sum(runs, values, doc_ids, depth)


def weighted_sum(
    runs: Sequence[Run], weights: Sequence[float], doc_ids: Sequence[str], *, depth: int = TOP_K
) -> Run:
    """The weighted sum of scores, each run's brought to 0..1 by min-max over the documents of the
    query.

    (score - min) / max(max - min, 1e-9), as in ranx; a run that does not hold the document adds 0,
    as if it were its last one. Ties go by document id, descending.

    :param runs: of the same queries and documents.
    :param weights: one per run.
    :param doc_ids: of the rows that the runs name.
    :param depth: documents per query in the result.
    """
    values = [weight * min_max(run) for run, weight in zip(runs, weights, strict=True)]
    return _sum(runs, values, doc_ids, depth)


def raw_sum(
    runs: Sequence[Run], weights: Sequence[float], doc_ids: Sequence[str], *, depth: int = TOP_K
) -> Run:
    """The weighted sum of scores as they are, of runs that hold the same documents. Arguments as
    `weighted_sum`.
    """
    values = [
        weight * run.scores.astype(np.float64) for run, weight in zip(runs, weights, strict=True)
    ]
    return _sum(runs, values, doc_ids, depth)


def pooled(
    runs: Sequence[Run], query_ids: Sequence[str], doc_ids: Sequence[str]
) -> dict[str, list[str]]:
    """By query the documents that a run holds among its best, as many of each run as make 1,000
    together.
    """
    rows = np.concatenate([run.indices[:, : TOP_K // len(runs)] for run in runs], axis=1)
    return {
        query: [doc_ids[row] for row in np.unique(query_rows[query_rows >= 0]).tolist()]
        for query, query_rows in zip(query_ids, rows, strict=True)
    }


def min_max(run: Run) -> DoubleArray:
    """Scores [n_queries, k] from 0 to 1 within each query; 0 where nothing was retrieved, or where
    all are equal.
    """
    is_retrieved = run.indices >= 0
    scores = run.scores.astype(np.float64)
    low = np.where(is_retrieved, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(is_retrieved, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    out = np.zeros(scores.shape)
    width = np.maximum(np.where(high > low, high - low, 0.0), 1e-9)
    np.divide(scores - np.where(np.isfinite(low), low, 0.0), width, out=out, where=is_retrieved)
    return out


def without_zeros(run: Run) -> Run:
    """A run without documents that share no term with the query (score 0), which a search engine
    does not return.
    """
    keep = (run.indices >= 0) & (run.scores > 0)
    scores = np.where(keep, run.scores, -np.inf).astype(np.float32)
    return Run(np.where(keep, run.indices, -1), scores, n_postings=run.n_postings)


def first(run: Run, depth: int) -> Run:
    """The best `depth` documents of every query."""
    return Run(run.indices[:, :depth], run.scores[:, :depth], run.n_zero_vectors)


def _sum(
    runs: Sequence[Run], values: Sequence[DoubleArray], doc_ids: Sequence[str], depth: int
) -> Run:
    order, id_ranks = rank_ids(doc_ids)
    n_queries = len(runs[0].indices)
    indices, scores = empty_run(n_queries, min(depth, len(doc_ids)))
    for i in range(n_queries):
        rows: IntArray = np.concatenate([run.indices[i] for run in runs])
        terms = np.concatenate([value[i] for value in values])[rows >= 0]
        document_rows, place = np.unique(rows[rows >= 0], return_inverse=True)
        total = np.bincount(place, terms, minlength=len(document_rows)).astype(np.float32)
        fill_run(indices[i], scores[i], total, id_ranks[document_rows], order)
    return Run(indices, scores, sum(run.n_zero_vectors for run in runs))


Scores = dict[str, dict[str, float]]


def read_run(path: Path) -> Scores:
    """Scores by query id and document id. Only they count, as in trec_eval: the rank is not looked
    at.

    :raises UsageError: there is no such file.
    :raises DataError: a line that is no line of a run, with its number.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise UsageError(
            f"The run {path} cannot be read: {error.strerror or error}. Give a TREC run file."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"The run {path} is not UTF-8 text ({error.reason} at byte {error.start})."
        ) from error
    scores: Scores = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 6:
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns, expected the 6 of a TREC run "
                f"(query Q0 document rank score tag): {line.strip()[:80]!r}. Ids must not contain "
                "spaces."
            )
        query, _, document, _, text, _ = fields
        score = _number(text)
        if score is None:
            raise DataError(
                f"{path}, line {number}: the score {text[:40]!r} in column 5 is not a finite "
                "number."
            )
        if document in scores.setdefault(query, {}):
            raise DataError(
                f"{path}, line {number}: document {document!r} stands twice in the run of query "
                f"{query!r}."
            )
        scores[query][document] = score
    if not scores:
        raise DataError(
            f"The run {path} is empty; expected lines of `query Q0 document rank score tag`."
        )
    return scores


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
