"""Exact search: a blocked matrix product whose memory is bounded by a budget, not by the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kemb.arrays import FloatArray, Vectors
from kemb.errors import DataError, UsageError
from kemb.files.columns import rows_of
from kemb.scoring.search.blocks import candidates_of, merged, plan_of, ranked_corpus
from kemb.scoring.search.equal import with_followers
from kemb.scoring.search.topk import LOW, empty_run, fill_run, rank_ids, scores_of
from kemb.scoring.similarity import check_finite, for_product, of_products
from kemb.types import SIMILARITIES, Run

TOP_K = 1000


def top_k(
    queries: FloatArray,
    documents: Vectors,
    k: int = TOP_K,
    *,
    doc_ids: Sequence[str],
    query_ids: Sequence[str] | None = None,
    similarity: str = "cosine",
    memory_budget_bytes: int = 512 * 2**20,
) -> Run:
    """The k most similar documents of every query, exactly.

    Scores are float32. Ties are resolved as in trec_eval, at the border of the top k too: by
    document id, descending. Documents with equal vectors always tie. A vector of zeros has cosine
    similarity 0 with everything and is counted in the run.

    Every score becomes an integer key that also holds the rank of its document id, so that keys
    never tie and the order of keys is the order of the run. Once a query has k keys, the k-th score
    is a threshold below which later scores are dropped by one vectorised comparison: of n documents
    about k * (1 + ln(n / block)) become candidates.

    :param queries: [n_queries, dim], float32.
    :param documents: [n_documents, dim], read block by block: once to find equal rows, and once to
        search, or more often where the queries do not fit the budget.
    :param k: documents per query.
    :param doc_ids: one unique id per document.
    :param query_ids: ids for messages; row numbers otherwise.
    :param similarity: one of SIMILARITIES.
    :param memory_budget_bytes: bound on the working memory beside vectors and result.
    :return: Run with arrays [n_queries, k].
    :raises ModelError: a vector is not finite.
    :raises UsageError: an unknown similarity.
    """
    if similarity not in SIMILARITIES:
        raise UsageError(
            f"Search knows the similarities {', '.join(SIMILARITIES)}, not {similarity!r}."
        )
    squares = check_finite(
        queries, "queries", query_ids or [str(i) for i in range(len(queries))], 0
    )
    queries = for_product(queries, squares, similarity)
    n_zero = int(np.count_nonzero(squares == 0)) if similarity == "cosine" else 0
    corpus = ranked_corpus(documents, doc_ids)
    plan = plan_of(
        len(queries), len(doc_ids), documents.shape[1], k, similarity, memory_budget_bytes
    )
    indices, scores = empty_run(len(queries), k)
    n_zero_documents = 0
    for start in range(0, len(queries), plan.rows):
        part = slice(start, start + plan.rows)
        keys, n_zero_documents = candidates_of(queries[part], documents, corpus, plan, plan.blocks)
        keys = with_followers(merged([keys], corpus, plan), corpus.duplicates, plan.depth)
        indices[part, : plan.depth] = corpus.order[keys & LOW]
        scores[part, : plan.depth] = of_products(scores_of(keys), squares[part], similarity)
    return Run(indices, scores, n_zero + n_zero_documents)


def run_from_scores(
    scores: Mapping[str, Mapping[str, float]],
    query_ids: Sequence[str],
    doc_ids: Sequence[str],
    k: int = TOP_K,
) -> Run:
    """A run from scores by query id and document id, as TREC run files and other systems give them.

    Scores are compared as float32 and ties go by document id, both descending, as in trec_eval.
    Queries that are not in `query_ids` are dropped; a query without scores retrieves nothing.

    :raises DataError: a document that is not in the corpus, a score that is NaN, or no known query
        at all.
    """
    if not any(query_id in scores for query_id in query_ids):
        raise DataError(
            f"The run holds {len(scores)} queries, none of which the task has; expected ids such "
            f"as {', '.join(map(repr, query_ids[:3]))}. "
            "Check that run and task belong together."
        )
    order, id_ranks = rank_ids(doc_ids)
    row_of = rows_of(doc_ids, {doc_id for ranked in scores.values() for doc_id in ranked})
    indices, values = empty_run(len(query_ids), k)
    for i, query_id in enumerate(query_ids):
        document_scores = scores.get(query_id, {})
        rows = np.array([row_of.get(doc_id, -1) for doc_id in document_scores], dtype=np.int64)
        query_scores = np.array(list(document_scores.values()), dtype=np.float32)
        bad = np.flatnonzero((rows < 0) | np.isnan(query_scores))
        if len(bad):
            doc_id = list(document_scores)[int(bad[0])]
            problem = "is not in the corpus" if doc_id not in row_of else "has the score NaN"
            raise DataError(f"In the run of query {query_id!r} the document {doc_id!r} {problem}.")
        fill_run(indices[i], values[i], query_scores, id_ranks[rows], order)
    return Run(indices, values)
