"""Which texts are the same, nearly the same, or share a passage; on hashes, exactly, without
comparing all pairs.

A text is compared by its normal form: NFKC, lower case, letters and digits only. Shingles are all
its windows of n characters. Candidates for a Jaccard similarity t are found by prefix filtering
(Chaudhuri et al. 2006, "A primitive operator for similarity joins"): two sets with |A and B| / |A
or B| >= t share one of the |A| - ceil(t |A|) + 1 rarest shingles of A. Every candidate is then
counted, so nothing is estimated and nothing is missed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, IntArray

Hashes = NDArray[np.uint64]

_NO_WORD = re.compile(r"[\W_]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 1 << 22
"""Pairs worked on at once: bounds the memory to some hundred MiB."""
_ALMOST = 1e-9


def normal_form(text: str) -> str:
    """NFKC, lower case, without anything but letters, digits and marks of words."""
    return _NO_WORD.sub("", unicodedata.normalize("NFKC", text).lower())


def key_of(normal: str) -> int:
    """64-bit BLAKE2b of a normal form; 0 for the empty one, which is equal to nothing."""
    if not normal:
        return 0
    return int.from_bytes(
        hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def keys_of(normals: Sequence[str]) -> Hashes:
    """The keys [n] of normal forms."""
    return np.array([key_of(normal) for normal in normals], dtype=np.uint64)


class Sets(NamedTuple):
    """A set of hashes for every text: set i is hashes[offsets[i]:offsets[i + 1]], ascending."""

    offsets: IntArray
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> IntArray:
        return np.diff(self.offsets)

    @property
    def owners(self) -> IntArray:
        """For every hash the number of its text."""
        return np.repeat(np.arange(len(self)), self.sizes)


def windows(normals: Sequence[str], n: int, *, whole: bool = True) -> Sets:
    """The distinct windows of n characters of every normal form.

    :param whole: a shorter text counts as one window; else it has none.
    """
    lengths = np.array([len(normal) for normal in normals], dtype=np.int64)
    raw = "".join(normals).encode("utf-32-le", "surrogatepass")
    letters = np.frombuffer(raw, dtype="<u4").astype(np.uint64)
    counts = np.maximum(lengths - n + 1, 0)
    starts = np.repeat(np.cumsum(lengths) - lengths, counts) + _ranges(counts)
    rolled = np.zeros(len(starts), dtype=np.uint64)
    for place in range(n):
        rolled = rolled * _MULTIPLIER + letters[starts + place] + np.uint64(1)
    owners = np.repeat(np.arange(len(normals)), counts)
    hashes = _mixed(rolled)
    if whole and len(short := np.flatnonzero((lengths > 0) & (lengths < n))):
        hashes = np.concatenate([hashes, keys_of([normals[i] for i in short.tolist()])])
        owners = np.concatenate([owners, short])
    return _sets(owners, hashes, len(normals))


def sketch(sets: Sets, k: int) -> Sets:
    """The k smallest hashes of every set, as 32-bit numbers."""
    small = Sets(sets.offsets, sets.hashes >> np.uint64(32))
    in_sketch = _ranges(small.sizes) < k
    return _sets(small.owners[in_sketch], small.hashes[in_sketch], len(small))


class Near(NamedTuple):
    """Pairs of texts with their Jaccard similarity."""

    a: IntArray
    b: IntArray
    jaccard: DoubleArray


def near_pairs(a: Sets, b: Sets, jaccard: float) -> Near:
    """All (text of a, text of b) whose sets are at least so similar, ordered by a, then b."""
    ranks, width = _by_rarity(a, b)
    pieces = [
        _counted(ranks[0], ranks[1], width, left, right, jaccard)
        for left, right in _candidates(ranks[0], ranks[1], jaccard)
    ]
    return _distinct(pieces, len(b))


def near_within(sets: Sets, jaccard: float) -> Near:
    """All pairs of texts of one collection, a < b, that are at least so similar."""
    (ranked, _), width = _by_rarity(
        sets, Sets(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.uint64))
    )
    pieces = []
    for left, right in _candidates(ranked, ranked, jaccard):
        in_order = left < right
        pieces.append(_counted(ranked, ranked, width, left[in_order], right[in_order], jaccard))
    return _distinct(pieces, len(sets))


def estimated_pairs(a: Sets, b: Sets, k: int, jaccard: float) -> Near:
    """As `near_pairs`, on sketches: of the k smallest hashes of both, the share that stands in each
    of them.

    Broder 1997, "On the resemblance and containment of documents". Exact for texts with up to k
    shingles together.
    """
    pieces = []
    for i, j in joined(a.hashes, b.hashes):
        left, right = _unique_pairs(a.owners[i], b.owners[j], len(b))
        stacked = np.sort(
            np.concatenate([_padded(a, left, k), _padded(b, right, k)], axis=1), axis=1
        )
        twice = np.zeros(stacked.shape, dtype=bool)
        twice[:, 1:] = stacked[:, 1:] == stacked[:, :-1]
        real = stacked != _PADDING
        place = np.cumsum(~twice & real, axis=1)
        within = real & (place <= k)
        share = (twice & within).sum(axis=1) / np.maximum((~twice & within).sum(axis=1), 1)
        enough = share >= jaccard - _ALMOST
        pieces.append(Near(left[enough], right[enough], share[enough]))
    return _distinct(pieces, len(b))


def shared(a: Sets, b: Sets) -> tuple[IntArray, IntArray]:
    """All (text of a, text of b) with a hash in common."""
    pairs = [(a.owners[i], b.owners[j]) for i, j in joined(a.hashes, b.hashes)]
    near = _distinct([Near(i, j, np.ones(len(i))) for i, j in pairs], len(b))
    return near.a, near.b


def joined(a: NDArray[np.generic], b: NDArray[np.generic]) -> Iterator[tuple[IntArray, IntArray]]:
    """Places (i, j) of equal values, a[i] == b[j], in pieces of bounded size."""
    order = np.argsort(b, kind="stable")
    values = b[order]
    first = np.searchsorted(values, a, side="left")
    counts = np.searchsorted(values, a, side="right") - first
    ends = np.cumsum(counts)
    start = 0
    while start < len(a):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + _CHUNK, side="right")), start + 1)
        piece_counts = counts[start:stop]
        i = np.repeat(np.arange(start, stop), piece_counts)
        yield i, order[np.repeat(first[start:stop], piece_counts) + _ranges(piece_counts)]
        start = stop


_PADDING = np.uint64(1 << 63)


def _padded(sets: Sets, rows: IntArray, k: int) -> Hashes:
    """The first k hashes [n, k] of some sets."""
    out = np.full((len(rows), k), _PADDING, dtype=np.uint64)
    sizes = np.minimum(sets.sizes[rows], k)
    places = _ranges(sizes)
    out[np.repeat(np.arange(len(rows)), sizes), places] = sets.hashes[
        np.repeat(sets.offsets[rows], sizes) + places
    ]
    return out


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Sets as ranks of their hashes, the rarest first in every set, and keys by which membership is
    looked up.
    """

    offsets: IntArray
    ranks: IntArray

    @property
    def sizes(self) -> IntArray:
        return np.diff(self.offsets)


def _by_rarity(a: Sets, b: Sets) -> tuple[tuple[_Ranked, _Ranked], int]:
    """Both collections ranked by how rare a hash is in them together, and the number of ranks."""
    values, inverse, counts = np.unique(
        np.concatenate([a.hashes, b.hashes]), return_inverse=True, return_counts=True
    )
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(values))
    ranks = rank[inverse.reshape(-1)]
    ranked = []
    for sets, set_ranks in ((a, ranks[: len(a.hashes)]), (b, ranks[len(a.hashes) :])):
        ranked.append(_Ranked(sets.offsets, set_ranks[np.lexsort((set_ranks, sets.owners))]))
    return (ranked[0], ranked[1]), max(len(values), 1)


def _candidates(a: _Ranked, b: _Ranked, jaccard: float) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs that share a hash of both prefixes and whose sizes allow the similarity."""
    (a_owner, a_rank), (b_owner, b_rank) = _prefix(a, jaccard), _prefix(b, jaccard)
    a_size, b_size = a.sizes, b.sizes
    for i, j in joined(a_rank, b_rank):
        left, right = a_owner[i], b_owner[j]
        low, high = np.minimum(a_size[left], b_size[right]), np.maximum(a_size[left], b_size[right])
        fits = low >= jaccard * high - _ALMOST
        yield _unique_pairs(left[fits], right[fits], len(b_size))


def _prefix(sets: _Ranked, jaccard: float) -> tuple[IntArray, IntArray]:
    sizes = sets.sizes
    length = np.where(sizes > 0, sizes - np.ceil(jaccard * sizes - _ALMOST).astype(np.int64) + 1, 0)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    in_prefix = _ranges(sizes) < length[owners]
    return owners[in_prefix], sets.ranks[in_prefix]


def _counted(
    a: _Ranked, b: _Ranked, width: int, left: IntArray, right: IntArray, jaccard: float
) -> Near:
    """Of candidate pairs those that are similar enough, by counting."""
    b_keys = np.repeat(np.arange(len(b.sizes)), b.sizes) * width + b.ranks
    both = np.zeros(len(left), dtype=np.int64)
    sizes = a.sizes[left]
    ends = np.cumsum(sizes)
    start = 0
    while start < len(left):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + _CHUNK, side="right")), start + 1)
        piece_sizes = sizes[start:stop]
        pair = np.repeat(np.arange(start, stop), piece_sizes)
        keys = (
            right[pair] * width
            + a.ranks[np.repeat(a.offsets[left[start:stop]], piece_sizes) + _ranges(piece_sizes)]
        )
        place = np.minimum(np.searchsorted(b_keys, keys), len(b_keys) - 1)
        both[start:stop] = np.bincount(pair - start, b_keys[place] == keys, minlength=stop - start)
        start = stop
    share = both / np.maximum(sizes + b.sizes[right] - both, 1)
    enough = share >= jaccard - _ALMOST
    return Near(left[enough], right[enough], share[enough])


def _distinct(pieces: Sequence[Near], n_b: int) -> Near:
    if not pieces:
        return Near(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
    a, b = (np.concatenate([getattr(near, name) for near in pieces]) for name in ("a", "b"))
    _, first = np.unique(a * max(n_b, 1) + b, return_index=True)
    return Near(a[first], b[first], np.concatenate([near.jaccard for near in pieces])[first])


def _unique_pairs(left: IntArray, right: IntArray, n_right: int) -> tuple[IntArray, IntArray]:
    keys = np.unique(left * max(n_right, 1) + right)
    return keys // max(n_right, 1), keys % max(n_right, 1)


def _sets(owners: IntArray, hashes: Hashes, n: int) -> Sets:
    """Distinct hashes by owner, ascending."""
    order = np.lexsort((hashes, owners))
    owners, hashes = owners[order], hashes[order]
    new = np.ones(len(owners), dtype=bool)
    new[1:] = (owners[1:] != owners[:-1]) | (hashes[1:] != hashes[:-1])
    counts = np.bincount(owners[new], minlength=n)
    return Sets(np.concatenate(([0], np.cumsum(counts))), hashes[new])


def _ranges(counts: IntArray) -> IntArray:
    """0 .. counts[0] - 1, 0 .. counts[1] - 1, and so on."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _mixed(values: Hashes) -> Hashes:
    """Every bit of the result depends on every bit of the value (splitmix64's finaliser)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
