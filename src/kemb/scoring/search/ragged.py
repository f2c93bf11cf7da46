"""Exact search over sparse and multi-vector representations, in memory that the corpus does not
set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from kemb.arrays import FloatArray, IntArray, Ragged, RaggedRows
from kemb.errors import DataError, ModelError
from kemb.scoring.search.rerank import candidate_pairs, run_of_pairs
from kemb.scoring.search.search import TOP_K, n_cpus
from kemb.scoring.search.topk import LOW, Candidates, empty_run, rank_ids, scores_of
from kemb.scoring.similarity import sparse_matrix
from kemb.types import RetrievalData, Run

QUERY_VALUES = 1024
"""Query tokens, or sparse queries, that go through one product."""
DOCUMENT_VALUES = 1 << 14
"""Document tokens that go through one product, or the longest document."""
BLOCK = 1024
EMPTY_DOCUMENT = -1e9
"""MaxSim of a document without any vector, as in sentence-transformers: below every real one."""

Side = Any
"""What a product makes of some rows beforehand: a matrix, or token vectors with their places."""


@dataclass(frozen=True, slots=True)
class Product:
    """How queries and documents are compared."""

    prepare: Callable[[Ragged], Side]
    scores: Callable[[Side, Side], FloatArray]
    """float32 [n_queries, n_documents]."""


def rank_ragged(
    queries: Ragged, documents: RaggedRows, data: RetrievalData, *, similarity: str, k: int = TOP_K
) -> Run:
    """The k best documents of every query, or its candidates in order where the data names some.

    Ties go by document id, descending, as in trec_eval; documents with the same text always tie.

    :param queries: one row per query.
    :param documents: one row per document, read once, some at a time.
    :param data: names queries and documents.
    :param similarity: "dot" or "cosine" of sparse vectors; "maxsim" of token vectors, the sum over
        query tokens of the greatest dot product with a document token (Khattab and Zaharia 2020),
        or "meanmaxsim", that divided by the number of query tokens.
    :param k: documents per query.
    :raises DataError: no queries or no documents.
    :raises ModelError: queries and documents of different dimensions.
    """
    if not len(queries) or not documents.shape[0]:
        raise DataError("There are no queries, or no documents; expected at least one of each.")
    if queries.dim != documents.shape[1]:
        raise ModelError(
            f"Queries have {queries.dim} dimensions and documents {documents.shape[1]}; expected "
            "the same."
        )
    product = _PRODUCTS[similarity]
    if data.candidates is not None:
        return _rerank(queries, documents, data, product)
    rows, members, sizes = _by_text(data.documents)
    order, id_ranks = rank_ids(data.doc_ids)
    chunks = list(_spans(_lengths(queries), QUERY_VALUES, BLOCK))
    sides = [product.prepare(queries.take(chunk)) for chunk in chunks]
    depth = min(k, len(data.doc_ids))
    candidates = [Candidates(len(chunk), depth, BLOCK) for chunk in chunks]
    ends = np.cumsum(sizes)
    with _threads() as pool:
        for block in _spans(documents.lengths()[rows], DOCUMENT_VALUES, BLOCK):
            side = product.prepare(documents.take(rows[block]))
            block_members = members[ends[block[0]] - sizes[block[0]] : ends[block[-1]]]
            columns = np.repeat(np.arange(len(block)), sizes[block])

            def add(
                number: int,
                side: Side = side,
                block_members: IntArray = block_members,
                columns: IntArray = columns,
            ) -> None:
                scores = product.scores(sides[number], side)
                for start in range(0, len(block_members), BLOCK):
                    part = slice(start, start + BLOCK)
                    candidates[number].add(scores[:, columns[part]], id_ranks[block_members[part]])

            list(pool.map(add, range(len(chunks))))
        keys = np.concatenate(list(pool.map(Candidates.best, candidates)))
    indices, scores = empty_run(len(queries), k)
    indices[:, :depth], scores[:, :depth] = order[keys & LOW], scores_of(keys)
    return Run(indices, scores)


def _rerank(queries: Ragged, documents: RaggedRows, data: RetrievalData, product: Product) -> Run:
    of_query, of_document = candidate_pairs(data)
    scores = np.empty(len(of_query), dtype=np.float32)
    ends = np.searchsorted(of_query, np.arange(len(queries) + 1))
    lengths = documents.lengths()
    for i in range(len(queries)):
        side = product.prepare(queries.take(np.array([i])))
        pair_rows = np.arange(ends[i], ends[i + 1])
        if not len(pair_rows):
            continue
        for part in _spans(lengths[of_document[pair_rows]], DOCUMENT_VALUES, BLOCK):
            block = product.prepare(documents.take(of_document[pair_rows[part]]))
            scores[pair_rows[part]] = product.scores(side, block)[0]
    return run_of_pairs(of_query, of_document, scores, data)


def _by_text(texts: Sequence[str]) -> tuple[IntArray, IntArray, IntArray]:
    """One row for each text, all rows with those of the same text together, and how many each text
    has.

    A product may round equal documents differently, by where they stand; so each text is multiplied
    once.
    """
    first: dict[str, int] = {}
    group = np.array([first.setdefault(text, len(first)) for text in texts], dtype=np.int64)
    members = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    return members[np.cumsum(sizes) - sizes], members, sizes


def _lengths(rows: Ragged) -> IntArray:
    return np.ones(len(rows), dtype=np.int64) if rows.index is not None else np.diff(rows.offsets)


def _spans(lengths: IntArray, n_values: int, n_rows: int) -> Iterator[IntArray]:
    """Row numbers, in order, in spans of at most so many values (or one row) and rows."""
    start = total = 0
    for row, length in enumerate(lengths.tolist()):
        if row > start and (total + length > n_values or row - start >= n_rows):
            yield np.arange(start, row)
            start, total = row, 0
        total += length
    yield np.arange(start, len(lengths))


@contextlib.contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A pool with one thread per core, and the BLAS library held to one: see
    `kemb.scoring.search.search`.
    """
    from threadpoolctl import threadpool_limits

    with ThreadPoolExecutor(n_cpus()) as pool, threadpool_limits(1, user_api="blas"):
        yield pool


def _directions(rows: Ragged) -> Any:  # noqa: ANN401  scipy has no types
    """The matrix with rows of length 1; rows of zeros stay."""
    counts = np.diff(rows.offsets)
    of_row = np.repeat(np.arange(len(rows)), counts)
    squares = np.bincount(
        of_row, rows.values[:, 0].astype(np.float64) ** 2, minlength=len(rows)
    ).astype(np.float64)
    values = rows.values / np.maximum(np.sqrt(squares), 1e-12)[of_row, None]
    return sparse_matrix(Ragged(rows.offsets, values, rows.dim, rows.index))


def _sparse_dot(queries: Any, documents: Any) -> FloatArray:  # noqa: ANN401  scipy has no types
    return np.asarray((queries @ documents.T).toarray(), dtype=np.float32)


def _tokens(rows: Ragged) -> tuple[FloatArray, IntArray]:
    return rows.values.astype(np.float32), rows.offsets


def _max_sim(
    queries: tuple[FloatArray, IntArray], documents: tuple[FloatArray, IntArray]
) -> FloatArray:
    (tokens, places), (vectors, offsets) = queries, documents
    products = vectors @ tokens.T
    best = np.zeros((len(offsets) - 1, len(tokens)), dtype=np.float32)
    for row, (start, stop) in enumerate(
        zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ):
        if stop > start:  # NumPy's maximum.reduceat is twenty times slower along this axis
            products[start:stop].max(axis=0, out=best[row])
    of_query = np.zeros((len(tokens), len(places) - 1), dtype=np.float32)
    of_query[np.arange(len(tokens)), np.repeat(np.arange(len(places) - 1), np.diff(places))] = 1
    scores: FloatArray = (best @ of_query).T
    scores[:, np.diff(offsets) == 0] = EMPTY_DOCUMENT
    return scores


def _mean_max_sim(
    queries: tuple[FloatArray, IntArray], documents: tuple[FloatArray, IntArray]
) -> FloatArray:
    n_tokens = np.maximum(np.diff(queries[1]), 1).astype(np.float32)
    return _max_sim(queries, documents) / n_tokens[:, None]


_PRODUCTS = {
    "dot": Product(sparse_matrix, _sparse_dot),
    "cosine": Product(_directions, _sparse_dot),
    "maxsim": Product(_tokens, _max_sim),
    "meanmaxsim": Product(_tokens, _mean_max_sim),
}
