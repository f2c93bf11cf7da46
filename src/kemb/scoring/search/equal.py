"""Documents with equal vectors: found once, so that they tie exactly wherever they stand."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import FloatArray, IntArray, Vectors
from kemb.files import scratch
from kemb.files.columns import equal_rows
from kemb.scoring.search.topk import LOW

_BLOCK = 4096
_N_PROBED = 8
"""Leading components that are compared first: few different vectors agree in all of them."""
_FACTORS = np.random.default_rng(0).integers(1, 2**63, _N_PROBED, dtype=np.uint64) | np.uint64(1)


class Duplicates(NamedTuple):
    """Groups of equal rows; the leader of a group is the row whose id sorts last."""

    is_follower: NDArray[np.bool_]
    """[n_documents]: an equal row leads."""
    leaders: IntArray
    """Id ranks of the leaders, ascending."""
    starts: IntArray
    """[n_leaders + 1]: where the followers of each begin in `followers`."""
    followers: IntArray
    """Id ranks, descending inside a group."""

    def of(self, leaders: IntArray) -> tuple[IntArray, IntArray]:
        """How many followers documents of these id ranks have, and where they begin."""
        places = np.minimum(np.searchsorted(self.leaders, leaders), len(self.leaders) - 1)
        leads = self.leaders[places] == leaders
        return np.where(leads, np.diff(self.starts)[places], 0), self.starts[places]


def find_duplicates(documents: Vectors, id_ranks: IntArray) -> Duplicates:
    """Groups of rows that are equal bit for bit.

    :param documents: [n_documents, dim], read once in order, and again where rows may be equal.
    :param id_ranks: [n_documents], the place of each row's id in ascending order.
    """
    n = len(id_ranks)
    hashes = scratch.array(n, np.uint64)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        hashes[start:stop] = _probe(documents.block(start, stop))
    suspects = np.union1d(*equal_rows(hashes))
    groups = np.unique(_digests(documents, suspects), return_inverse=True)[1]
    ranks = id_ranks[suspects]
    rank_of_leader = np.full(len(suspects), -1, dtype=np.int64)
    np.maximum.at(rank_of_leader, groups, ranks)
    order = np.lexsort((-ranks, rank_of_leader[groups]))
    leads = ranks[order] == rank_of_leader[groups][order]
    leaders = ranks[order[leads]]
    n_followers = np.bincount(groups, minlength=1)[groups[order[leads]]] - 1
    has_followers = n_followers > 0
    is_follower = np.zeros(n, np.bool_)
    is_follower[suspects[order[~leads]]] = True
    starts = np.concatenate(([0], np.cumsum(n_followers[has_followers])))
    return Duplicates(is_follower, leaders[has_followers], starts, ranks[order[~leads]])


def _digests(documents: Vectors, rows: IntArray) -> NDArray[np.void]:
    """A hash of 16 bytes of each of some rows, which ascend."""
    digests = np.empty(len(rows), dtype="V16")
    for start in range(0, documents.shape[0] if len(rows) else 0, _BLOCK):
        first, last = np.searchsorted(rows, [start, start + _BLOCK]).tolist()
        if first == last:
            continue
        block = documents.block(start, min(start + _BLOCK, documents.shape[0]))
        for place in range(first, last):
            row = block[rows[place] - start]
            digests[place] = np.void(hashlib.blake2b(row.tobytes(), digest_size=16).digest())
    return digests


def _probe(block: FloatArray) -> NDArray[np.uint64]:
    bits = block[:, :_N_PROBED].view(np.uint32).astype(np.uint64)
    hashes: NDArray[np.uint64] = bits @ _FACTORS[: bits.shape[1]]
    return hashes


def with_followers(keys: IntArray, duplicates: Duplicates, k: int) -> IntArray:
    """Keys [n_queries, k] of all documents from keys [n_queries, <= k] of those that have no equal
    or lead a group.

    The best k of the former are enough: as a leader has the greatest id of its group, every leader
    that is above another one stands for a document above all of the other one's group.
    """
    if not len(duplicates.followers):
        return keys
    out = np.empty((len(keys), k), dtype=np.int64)
    for i, leaders in enumerate(keys):
        n, first = duplicates.of(leaders & LOW)
        n = np.minimum(n, k)
        # with those up to the last one there are k documents
        last = int(np.searchsorted(np.cumsum(n + 1), k))
        leaders = leaders[leaders >> 32 >= leaders[last] >> 32]
        n, first = n[: len(leaders)], first[: len(leaders)]
        places = np.repeat(first - (np.cumsum(n) - n), n) + np.arange(n.sum())
        followers = np.repeat(leaders & ~LOW, n) | duplicates.followers[places]
        out[i] = np.sort(np.concatenate([leaders, followers]))[::-1][:k]
    return out
