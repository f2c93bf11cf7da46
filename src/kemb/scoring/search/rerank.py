"""Candidates of a first stage in the order of a model's similarities."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kemb.arrays import FloatArray, IntArray, Vectors
from kemb.files.columns import rows_of
from kemb.scoring.search.blocks import BLOCK
from kemb.scoring.search.search import TOP_K
from kemb.scoring.search.topk import empty_run, fill_run, rank_ids
from kemb.scoring.similarity import check_finite, lengths, of_pairs
from kemb.types import RetrievalData, Run

_PAIRS = 1 << 14
"""Products that are computed at once; they need 16 bytes per pair and dimension."""


def rerank(
    queries: FloatArray,
    documents: Vectors,
    data: RetrievalData,
    *,
    similarity: str = "cosine",
    candidates: Run | None = None,
) -> Run:
    """The candidates of every query, best first; other documents are not looked at.

    Similarities are computed in float64 and rounded to float32, so that equal vectors tie wherever
    they stand. Ties go by document id, descending. A query without candidates retrieves nothing. At
    most 1,000 candidates are kept, as in mteb.

    :param queries: [n_queries, dim], float32.
    :param documents: [n_documents, dim], read once, block by block.
    :param data: names the candidates.
    :param similarity: one of SIMILARITIES.
    :param candidates: those of a first stage, instead of those that the data name.
    :raises ModelError: a vector is not finite.
    """
    cosine = similarity == "cosine"
    squares = check_finite(queries, "queries", data.query_ids, 0)
    n_zero = int(np.count_nonzero(squares == 0)) if cosine else 0
    exact = queries.astype(np.float64)
    if cosine:
        exact /= lengths(squares)[:, None]
    of_query, of_document = (
        candidate_pairs(data) if candidates is None else pairs_of_run(candidates)
    )
    scores = np.empty(len(of_query), dtype=np.float32)
    by_document = np.argsort(of_document, kind="stable")
    for start in range(0, len(data.doc_ids), BLOCK):
        stop = min(start + BLOCK, len(data.doc_ids))
        block = documents.block(start, stop)
        squares = check_finite(block, "documents", data.doc_ids, start)
        n_zero += int(np.count_nonzero(squares == 0)) if cosine else 0
        first, last = np.searchsorted(of_document[by_document], [start, stop])
        for at in range(first, last, _PAIRS):
            pairs = by_document[at : min(at + _PAIRS, last)]
            rows_in_block = of_document[pairs] - start
            values = of_pairs(
                exact[of_query[pairs]], block[rows_in_block].astype(np.float64), similarity
            )
            scores[pairs] = values / lengths(squares)[rows_in_block] if cosine else values
    return run_of_pairs(of_query, of_document, scores, data, n_zero)


def run_of_pairs(
    of_query: IntArray,
    of_document: IntArray,
    scores: FloatArray,
    data: RetrievalData,
    n_zero: int = 0,
) -> Run:
    """The scored pairs of every query, best first, at most 1,000.

    :param of_query: query rows in ascending order.
    :param of_document: document rows.
    :param scores: float32.
    :param data: names queries and documents.
    :param n_zero: to be recorded with the run.
    """
    order, id_ranks = rank_ids(data.doc_ids)
    widest = int(np.bincount(of_query, minlength=1).max())
    indices, values = empty_run(len(data.query_ids), min(widest, TOP_K))
    ends = np.searchsorted(of_query, np.arange(len(data.query_ids) + 1))
    for i, (a, b) in enumerate(pairwise(ends.tolist())):
        fill_run(indices[i], values[i], scores[a:b], id_ranks[of_document[a:b]], order)
    return Run(indices, values, n_zero)


def pairs_of_run(run: Run) -> tuple[IntArray, IntArray]:
    """Query rows and document rows of a run, in the order of the queries."""
    of_query, ranks = np.nonzero(run.indices >= 0)
    return of_query, run.indices[of_query, ranks]


def candidate_pairs(data: RetrievalData) -> tuple[IntArray, IntArray]:
    """Query rows and document rows of all candidates, in the order of the queries; a repeated
    candidate counts once.
    """
    candidates = data.candidates or {}
    row_of = rows_of(data.doc_ids, {doc_id for ranked in candidates.values() for doc_id in ranked})
    rows_by_query = [
        [row_of[doc_id] for doc_id in dict.fromkeys(candidates.get(query, []))]
        for query in data.query_ids
    ]
    counts = [len(query_rows) for query_rows in rows_by_query]
    of_query = np.repeat(np.arange(len(rows_by_query), dtype=np.int64), counts)
    return of_query, np.array(
        [row for query_rows in rows_by_query for row in query_rows], dtype=np.int64
    )
