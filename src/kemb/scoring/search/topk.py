"""The best documents of every query: scores as integer keys that order like a run, and a threshold
that rises.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from kemb.arrays import FloatArray, IntArray
from kemb.files import scratch
from kemb.files.columns import in_order

LOW = np.int64(0xFFFFFFFF)
"""The part of a key that holds the rank of the document's id."""
_EMPTY = np.iinfo(np.int64).min


def empty_run(n_queries: int, k: int) -> tuple[IntArray, FloatArray]:
    """Indices and scores [n_queries, k] of a run that retrieved nothing yet."""
    return np.full((n_queries, k), -1, dtype=np.int64), np.full(
        (n_queries, k), -np.inf, dtype=np.float32
    )


def fill_run(
    indices: IntArray,
    scores: FloatArray,
    document_scores: FloatArray,
    id_ranks: IntArray,
    order: IntArray,
) -> None:
    """Write the best documents of one query into its row of a run.

    :param document_scores: scores of the documents, float32.
    :param id_ranks: their places in `order`, the rows of the corpus in ascending order of ids.
    """
    keys = np.sort(keys_of(document_scores, id_ranks))[::-1][: len(indices)]
    indices[: len(keys)] = order[keys & LOW]
    scores[: len(keys)] = scores_of(keys)


def rank_ids(doc_ids: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Rows in ascending order of their ids, and the place of every row in that order."""
    n = len(doc_ids)
    order, ranks = scratch.array(n, np.int64), scratch.array(n, np.int64)
    order[:] = in_order(doc_ids)
    ranks[order] = np.arange(n)
    return order, ranks


def n_cpus() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keys_of(scores: FloatArray, id_ranks: IntArray) -> IntArray:
    """Integers in the order of (score, id rank): the score's bits made monotonic above, the rank
    below.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0, which must tie with it
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= id_ranks
    return keys


def scores_of(keys: IntArray) -> FloatArray:
    bits = (keys >> 32).astype(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return bits.view(np.float32)


class Candidates:
    """The candidates of some queries, as more and more documents are scored."""

    def __init__(self, n: int, k: int, block_size: int) -> None:
        self.k = k
        self.threshold = np.full(n, -np.inf, dtype=np.float32)
        self.n_kept = np.zeros(n, dtype=np.int64)
        self.kept = np.full((n, 2 * k + block_size), _EMPTY, dtype=np.int64)
        self.marks = np.empty(n * block_size, dtype=np.bool_)

    def add(self, scores: FloatArray, id_ranks: IntArray) -> None:
        """Keep what the scores [n, m] of m more documents, at most `block_size`, add to the
        candidates.
        """
        n, m = scores.shape
        if m > self.k and not self.n_kept.any():
            self.threshold = np.partition(scores, m - self.k, axis=1)[:, m - self.k].copy()
        hits = self.marks[: n * m].reshape(n, m)
        np.greater_equal(
            scores, self.threshold[:, None], out=hits
        )  # equal scores may win by their id
        n_hits = np.count_nonzero(hits, axis=1)
        cells = np.flatnonzero(hits)
        columns = cells - np.repeat(np.arange(n) * m, n_hits)
        keys = keys_of(scores.ravel().take(cells), id_ranks.take(columns))
        first_free = np.arange(n) * self.kept.shape[1] + self.n_kept
        places = np.repeat(first_free - (np.cumsum(n_hits) - n_hits), n_hits)
        places += np.arange(len(places))
        self.kept.ravel()[places] = keys
        self.n_kept += n_hits
        if self.n_kept.max(initial=0) > 2 * self.k:
            self.compact()

    def compact(self) -> None:
        """Keep the best k candidates of every query and raise the thresholds to the k-th score."""
        width, k = int(self.n_kept.max(initial=0)), self.k
        if width <= k:
            return
        # All queries have k candidates now: until there are k documents every score passes the
        # threshold.
        keys = self.kept[:, :width]
        keys.partition(width - k, axis=1)
        keys[:, :k] = keys[:, width - k :].copy()
        keys[:, k:] = _EMPTY
        self.n_kept[:] = k
        self.threshold = scores_of(keys[:, 0])

    def best(self) -> IntArray:
        """Keys of the best k candidates [n, k], in descending order."""
        self.compact()
        return np.sort(self.kept[:, : self.k], axis=1)[:, ::-1]
