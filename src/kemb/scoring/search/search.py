"""Exact search: a blocked matrix product whose memory is bounded by a budget, not by the corpus."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import FloatArray, IntArray, Vectors
from kemb.errors import DataError, UsageError
from kemb.scoring.search.topk import LOW, Candidates, empty_run, fill_run, rank_ids, scores_of
from kemb.scoring.similarity import (
    check_finite,
    document_for_product,
    for_product,
    of_products,
    products,
)
from kemb.types import SIMILARITIES, Run

TOP_K = 1000
BLOCK = 4096
"""Documents per block; more gain nothing, fewer make the matrix product slower."""

_CELL_BYTES = 64
"""Bytes per (query, document) of a block: score, mark and key, and temporaries if every cell is a
hit.
"""


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
    order, id_ranks = rank_ids(doc_ids)
    indices, scores = empty_run(len(queries), k)
    depth = min(k, len(doc_ids))
    duplicates = find_duplicates(documents, id_ranks)
    rows, block = _plan(len(queries), len(doc_ids), documents.shape[1], depth, memory_budget_bytes)
    n_zero_documents = 0
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        keys, n_zero_documents = _search(
            queries[part], documents, depth, block, doc_ids, id_ranks, duplicates, similarity
        )
        indices[part, :depth] = order[keys & LOW]
        scores[part, :depth] = of_products(scores_of(keys), squares[part], similarity)
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
    row_of = {doc_id: row for row, doc_id in enumerate(doc_ids)}
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


def _plan(n_queries: int, n_documents: int, dim: int, k: int, budget: int) -> tuple[int, int]:
    """Queries per pass and documents per block that fit the budget."""
    kept_bytes = 2 * k * 8
    rows = min(n_queries, budget // (kept_bytes + 1024 * _CELL_BYTES))
    rows = max(rows, 1)
    block = (budget - rows * kept_bytes) // (rows * _CELL_BYTES + dim * 8)
    return rows, max(1, min(block, BLOCK, n_documents))


def _search(
    queries: FloatArray,
    documents: Vectors,
    k: int,
    block_size: int,
    doc_ids: Sequence[str],
    id_ranks: IntArray,
    duplicates: Duplicates,
    similarity: str,
) -> tuple[IntArray, int]:
    """Keys of the best k documents [n_queries, k], best first, and the number of zero vectors among
    documents.

    Every thread multiplies and selects for its own queries, with the BLAS library held to one
    thread: NumPy runs one comparison on one core, and a threaded BLAS would fight with our threads
    for the cores.
    """
    from threadpoolctl import threadpool_limits

    n_threads = max(1, min(n_cpus(), len(queries) // 32))
    n_leaders = len(doc_ids) - len(duplicates.followers)
    stripes = [
        _Stripe(part, min(k, n_leaders), block_size, similarity)
        for part in np.array_split(queries, n_threads)
    ]
    n_zero = 0
    with ThreadPoolExecutor(n_threads) as pool, threadpool_limits(1, user_api="blas"):
        for start in range(0, len(doc_ids), block_size):
            block = documents.block(start, min(start + block_size, len(doc_ids)))
            block, n = _prepared(block, start, doc_ids, similarity, pool, n_threads)
            n_zero += n
            ranks = id_ranks[start : start + len(block)]
            followers = duplicates.is_follower[start : start + len(block)]
            if followers.any():
                block, ranks = block[~followers], ranks[~followers]
            list(pool.map(_Stripe.add, stripes, repeat(block), repeat(ranks)))
        return _with_followers(
            np.concatenate(list(pool.map(_Stripe.best, stripes))), duplicates, k
        ), n_zero


def _with_followers(keys: IntArray, duplicates: Duplicates, k: int) -> IntArray:
    """Keys [n_queries, k] of all documents from keys [n_queries, <= k] of those that have no equal
    or lead a group.

    The best k of the former are enough: as a leader has the greatest id of its group, every leader
    that is above another one stands for a document above all of the other one's group.
    """
    if not len(duplicates.followers):
        return keys
    out = np.empty((len(keys), k), dtype=np.int64)
    for i, leaders in enumerate(keys):
        n = np.minimum(duplicates.n_followers[leaders & LOW], k)
        last = int(
            np.searchsorted(np.cumsum(n + 1), k)
        )  # with those up to it there are k documents
        leaders = leaders[leaders >> 32 >= leaders[last] >> 32]
        n = n[: len(leaders)]
        first = duplicates.first[leaders & LOW]
        places = np.repeat(first - (np.cumsum(n) - n), n) + np.arange(n.sum())
        followers = np.repeat(leaders & ~LOW, n) | duplicates.followers[places]
        out[i] = np.sort(np.concatenate([leaders, followers]))[::-1][:k]
    return out


def _prepared(
    block: FloatArray,
    start: int,
    doc_ids: Sequence[str],
    similarity: str,
    pool: ThreadPoolExecutor,
    n_threads: int,
) -> tuple[FloatArray, int]:
    """The rows of a block for the product, and how many have no direction where one is needed."""
    if similarity in ("dot", "manhattan"):
        check_finite(block, "documents", doc_ids, start)
        return block, 0
    out = np.empty((len(block), block.shape[1] + (similarity == "euclidean")), dtype=np.float32)
    step = -(-len(block) // n_threads)

    def prepare(first: int) -> int:
        part = slice(first, first + step)
        squares = check_finite(block[part], "documents", doc_ids, start + first)
        document_for_product(block[part], squares, similarity, out[part])
        return int(np.count_nonzero(squares == 0)) if similarity == "cosine" else 0

    return out, sum(pool.map(prepare, range(0, len(block), step)))


def n_cpus() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Stripe:
    """The candidates of some of the queries."""

    def __init__(self, queries: FloatArray, k: int, block_size: int, similarity: str) -> None:
        self.queries = queries
        self.similarity = similarity
        self.candidates = Candidates(len(queries), k, block_size)
        self.product = np.empty(len(queries) * block_size, dtype=np.float32)

    def add(self, block: FloatArray, id_ranks: IntArray) -> None:
        """Keep what a block [m, dim] of documents adds to the candidates."""
        scores = self.product[: len(self.queries) * len(block)].reshape(
            len(self.queries), len(block)
        )
        products(self.queries, block, self.similarity, scores)
        self.candidates.add(scores, id_ranks)

    def best(self) -> IntArray:
        """Keys of the best k candidates [n, k], in descending order."""
        return self.candidates.best()


_BLOCK = 4096


_N_PROBED = 8
"""Leading components that are compared first: few different vectors agree in all of them."""


_FACTORS = np.random.default_rng(0).integers(1, 2**63, _N_PROBED, dtype=np.uint64) | np.uint64(1)


class Duplicates(NamedTuple):
    """Groups of equal rows; the leader of a group is the row whose id sorts last."""

    is_follower: NDArray[np.bool_]
    """[n_documents]: an equal row leads."""
    n_followers: IntArray
    """[n_documents] by id rank of the leader."""
    first: IntArray
    """[n_documents] by id rank of the leader: where its followers begin in `followers`."""
    followers: IntArray
    """Id ranks, descending inside a group."""


def find_duplicates(documents: Vectors, id_ranks: IntArray) -> Duplicates:
    """Groups of rows that are equal bit for bit.

    :param documents: [n_documents, dim].
    :param id_ranks: [n_documents], the place of each row's id in ascending order.
    """
    n = len(id_ranks)
    out = Duplicates(
        np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.int64), np.empty(0, np.int64)
    )
    spans = [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    hashes = np.zeros(n, dtype=np.uint64)
    for span in spans:
        hashes[span] = _probe(documents.block(span.start, span.stop))
    in_order = np.sort(hashes)
    suspects = np.isin(hashes, in_order[1:][in_order[1:] == in_order[:-1]])
    groups: dict[bytes, list[int]] = {}
    for span in spans:
        if rows := np.flatnonzero(suspects[span]).tolist():
            block = documents.block(span.start, span.stop)
            for row in rows:
                digest = hashlib.blake2b(block[row].tobytes(), digest_size=16).digest()
                groups.setdefault(digest, []).append(span.start + row)
    followers: list[int] = []
    for group in groups.values():
        leader, *others = sorted(group, key=id_ranks.__getitem__, reverse=True)
        rank = id_ranks[leader]
        out.is_follower[others] = True
        out.first[rank], out.n_followers[rank] = len(followers), len(others)
        followers += id_ranks[others].tolist()
    return out._replace(followers=np.array(followers, dtype=np.int64))


def _probe(block: FloatArray) -> NDArray[np.uint64]:
    bits = block[:, :_N_PROBED].view(np.uint32).astype(np.uint64)
    hashes: NDArray[np.uint64] = bits @ _FACTORS[: bits.shape[1]]
    return hashes
