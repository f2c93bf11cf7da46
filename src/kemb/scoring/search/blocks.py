"""Exact search block by block, in one process or in many: what some blocks of a corpus give every
query, and how such parts become one run.

The corpus is cut into blocks at fixed rows and the queries into stripes of a fixed number, by the
command alone, so that a product has the same shape, and the same bits, whoever computes it and on
however many cores. A score becomes an integer key that also holds the rank of its document's id;
keys never tie, and the best of all keys are the same in whatever order and however many parts they
come.

One process calls `ranked_corpus`, `plan_of`, `candidates_of` with all blocks, `merged` and
`with_followers`. A cluster makes `Corpus` and `Plan` once, has each actor call `candidates_of` for
the blocks that it is given, and merges what comes back: no more than `depth` keys a query and part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import numpy as np

from kemb.arrays import FloatArray, IntArray, Vectors
from kemb.scoring.search.equal import Duplicates, find_duplicates
from kemb.scoring.search.topk import Candidates, n_cpus, rank_ids
from kemb.scoring.similarity import check_finite, document_for_product, products

BLOCK = 4096
"""Documents per block; more gain nothing, fewer make the matrix product slower."""
STRIPE = 256
"""Queries that one thread multiplies at once: fewer pack a block more often (64: half as much time
again), more leave cores idle.
"""
_CELL_BYTES = 64
"""Bytes per (query, document) of a block: score, mark and key, and temporaries if every cell is a
hit.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search is cut: from the command alone, and the same for all its parts."""

    n_documents: int
    depth: int
    """Documents per query that are sought."""
    rows: int
    """Queries per pass over the documents."""
    stripe: int
    """Queries per thread and product."""
    block: int
    """Documents per block."""
    similarity: str

    def spans(self, blocks: range) -> list[slice]:
        """The rows of some blocks."""
        ends = range(self.block, self.n_documents + self.block, self.block)
        return [
            slice(end - self.block, min(end, self.n_documents))
            for end in ends[blocks.start : blocks.stop]
        ]

    @property
    def blocks(self) -> range:
        """The numbers of all blocks."""
        return range(-(-self.n_documents // self.block))


class Corpus(NamedTuple):
    """What the parts of a search must know of all documents."""

    doc_ids: Sequence[str]
    order: IntArray
    """Rows in ascending order of their ids."""
    id_ranks: IntArray
    """The place of every row in that order."""
    duplicates: Duplicates

    @property
    def n_leaders(self) -> int:
        """Documents that have no equal, or lead a group of them."""
        return len(self.doc_ids) - len(self.duplicates.followers)


def ranked_corpus(documents: Vectors, doc_ids: Sequence[str]) -> Corpus:
    """The order of the ids, and the documents with equal vectors; reads all vectors once."""
    order, id_ranks = rank_ids(doc_ids)
    return Corpus(doc_ids, order, id_ranks, find_duplicates(documents, id_ranks))


def plan_of(
    n_queries: int, n_documents: int, dim: int, k: int, similarity: str, budget: int
) -> Plan:
    """Queries per pass and documents per block that fit a budget of bytes."""
    depth = min(k, n_documents)
    bytes_per_query = 2 * depth * 8
    rows = max(1, min(n_queries, budget // (bytes_per_query + 1024 * _CELL_BYTES)))
    block = (budget - rows * bytes_per_query) // (rows * _CELL_BYTES + dim * 8)
    block = max(1, min(block, BLOCK, n_documents))
    stripe = min(STRIPE, max(32, -(-rows // 2)))
    return Plan(n_documents, depth, rows, stripe, block, similarity)


def candidates_of(
    queries: FloatArray, documents: Vectors, corpus: Corpus, plan: Plan, blocks: range
) -> tuple[IntArray, int]:
    """The best documents of some blocks, those left out that have an equal with a greater id.

    Documents are read once and in order, the next block while the product of this one runs. Every
    thread multiplies and selects for its own queries, with the BLAS library held to one thread:
    NumPy runs one comparison on one core, and a threaded BLAS would fight with our threads.

    :param queries: of one pass, as `for_product` makes them.
    :param documents: of the whole corpus.
    :param blocks: numbers of blocks, one after the other.
    :return: keys [n_queries, <= depth], best first, the smallest integer where there are fewer; and
        the number of vectors of zeros among the documents.
    :raises ModelError: a vector is not finite.
    """
    from threadpoolctl import threadpool_limits

    n_best = min(plan.depth, corpus.n_leaders)
    stripes = [
        _Stripe(queries[start : start + plan.stripe], n_best, plan.block, plan.similarity)
        for start in range(0, len(queries), plan.stripe)
    ]
    n_zero, n_threads = 0, max(1, min(n_cpus(), len(stripes)))
    with ThreadPoolExecutor(n_threads) as pool, threadpool_limits(1, user_api="blas"):
        for span, vectors in _read_ahead(documents, plan.spans(blocks)):
            block, n = _prepared(vectors, span.start, corpus.doc_ids, plan.similarity, pool)
            n_zero += n
            ranks, followers = corpus.id_ranks[span], corpus.duplicates.is_follower[span]
            if followers.any():
                block, ranks = block[~followers], ranks[~followers]
            list(pool.map(_Stripe.add, stripes, repeat(block), repeat(ranks)))
        return np.concatenate(list(pool.map(_Stripe.best, stripes))), n_zero


def merged(parts: Iterable[IntArray], corpus: Corpus, plan: Plan) -> IntArray:
    """The best keys [n_queries, min(depth, n_leaders)] of several parts, best first; which parts
    there were does not show.
    """
    n_best = min(plan.depth, corpus.n_leaders)
    best: IntArray | None = None
    for keys in parts:
        both = keys if best is None else np.concatenate([best, keys], axis=1)
        if both.shape[1] > n_best:
            both = np.partition(both, both.shape[1] - n_best, axis=1)[:, -n_best:]
        best = both
    assert best is not None, "a corpus has at least one block"
    return np.sort(best, axis=1)[:, ::-1]


def _read_ahead(documents: Vectors, spans: Sequence[slice]) -> Iterator[tuple[slice, FloatArray]]:
    """Blocks in order; while one is worked on, the next one is read."""
    with ThreadPoolExecutor(1) as reader:
        waiting = [reader.submit(documents.block, span.start, span.stop) for span in spans[:1]]
        for number, span in enumerate(spans):
            vectors = waiting.pop().result()
            waiting += [
                reader.submit(documents.block, after.start, after.stop)
                for after in spans[number + 1 : number + 2]
            ]
            yield span, vectors


def _prepared(
    block: FloatArray,
    start: int,
    doc_ids: Sequence[str],
    similarity: str,
    pool: ThreadPoolExecutor,
) -> tuple[FloatArray, int]:
    """The rows of a block for the product, and how many have no direction where one is needed."""
    if similarity in ("dot", "manhattan"):
        check_finite(block, "documents", doc_ids, start)
        return block, 0
    out = np.empty((len(block), block.shape[1] + (similarity == "euclidean")), dtype=np.float32)
    step = -(-len(block) // n_cpus())

    def prepare(first: int) -> int:
        part = slice(first, first + step)
        squares = check_finite(block[part], "documents", doc_ids, start + first)
        document_for_product(block[part], squares, similarity, out[part])
        return int(np.count_nonzero(squares == 0)) if similarity == "cosine" else 0

    return out, sum(pool.map(prepare, range(0, len(block), step)))


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
