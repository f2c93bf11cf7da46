"""Documents with the same vector: they must tie, which a matrix product does not grant.

BLAS libraries add up in another order at the edges of their tiles, so equal rows get products that differ in the last
bit, by where they stand. Search therefore sees one row of each group of equal ones, and the others join it afterwards.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.types import FloatArray, IntArray, Vectors

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

    Args:
        documents: [n_documents, dim].
        id_ranks: [n_documents], the place of each row's id in ascending order.
    """
    n = len(id_ranks)
    out = Duplicates(np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.int64), np.empty(0, np.int64))
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
