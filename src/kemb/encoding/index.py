"""Where each key lies: sorted runs of the keys' first eight bytes, merged by size.

A key is a hash, so that its first eight bytes tell it from nearly all others; where two begin alike
the keys themselves decide, which stay in the shards' files. A new shard is a run of its own, and
runs of similar size are merged, so that a shard costs about its own keys however many others there
are. A key takes 16 bytes: its prefix, and the number of its shard with its row in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import IntArray
from kemb.encoding.shards import Keys, by_shard, prefixes_of

PrefixArray = NDArray[np.uint64]

_ROW_BITS = 32
"""Of a place; the bits above them are the shard's number."""
_ROW_MASK = (1 << _ROW_BITS) - 1
_GROWTH = 2
"""A run is merged into the one before it unless that one is so many times larger."""
_ASKED_AT_ONCE = 1 << 20
_EMPTY = np.empty(0, dtype=np.int64)


class _Run(NamedTuple):
    """Places by prefix."""

    prefixes: PrefixArray
    """Sorted."""
    places: IntArray


class Matches(NamedTuple):
    """Where keys lie: one entry for every copy of every key."""

    query: IntArray
    """Position of the key among those that are looked for."""
    shard: IntArray
    """Number of its shard."""
    row: IntArray


class Index:
    """Shards by number, and where each key lies in them."""

    def __init__(self) -> None:
        self._keys: list[Keys | None] = []
        """By number; None: dropped."""
        self._names: list[str] = []
        self._runs: list[_Run] = []
        self._n_dropped = 0
        """Rows in the runs whose shard was dropped."""

    def add(self, shards: Sequence[tuple[str, Keys]]) -> list[int]:
        """Take shards in by name and keys [n]; their numbers are given, in order."""
        first = len(self._keys)
        parts = []
        for number, (name, keys) in enumerate(shards, start=first):
            self._names.append(name)
            self._keys.append(keys)
            parts.append(np.arange(len(keys), dtype=np.int64) | (number << _ROW_BITS))
        if parts:
            prefixes = [prefixes_of(keys) for _, keys in shards]
            self._append(_Run(np.concatenate(prefixes), np.concatenate(parts)))
        return list(range(first, len(self._keys)))

    def drop(self, number: int) -> None:
        """Forget a shard."""
        keys = self._keys[number]
        assert keys is not None, "a shard is dropped once"
        self._keys[number] = None
        self._n_dropped += len(keys)
        if self._n_dropped * 2 > sum(len(run.places) for run in self._runs):
            runs = [self._without_dropped(run) for run in self._runs]
            self._runs = [run for run in runs if len(run.places)]
            self._n_dropped = 0

    def find(self, keys: Keys) -> tuple[IntArray, IntArray]:
        """Shard number and row of each key [n]; both are -1 where it is absent.

        Of several copies the one in the shard whose name sorts first is taken, so that the same
        files give the same rows to every process.
        """
        return self.first(self.matches(keys), len(keys))

    def first(self, matches: Matches, n_keys: int) -> tuple[IntArray, IntArray]:
        """As `find`, out of these copies."""
        order: IntArray | slice = slice(None)
        if len(matches.query) > np.count_nonzero(np.bincount(matches.query, minlength=1)):
            rank = np.empty(len(self._names), dtype=np.int64)
            rank[np.argsort(np.array(self._names), kind="stable")] = np.arange(len(rank))
            order = np.argsort(-rank[matches.shard], kind="stable")  # the last one stays
        shard_of, row_of = np.full((2, n_keys), -1, dtype=np.int64)
        shard_of[matches.query[order]] = matches.shard[order]
        row_of[matches.query[order]] = matches.row[order]
        return shard_of, row_of

    def matches(self, keys: Keys) -> Matches:
        """Every copy of every key."""
        parts = [
            self._matches(keys[start : start + _ASKED_AT_ONCE], start)
            for start in range(0, len(keys), _ASKED_AT_ONCE)
        ]
        return (
            Matches(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            if parts
            else Matches(_EMPTY, _EMPTY, _EMPTY)
        )

    def n_distinct(self) -> int:
        """Number of distinct keys."""
        runs = [self._without_dropped(run) for run in self._runs]
        if not runs:
            return 0
        prefixes, places = _sorted(runs)
        same = prefixes[1:] == prefixes[:-1]
        alike = np.zeros(len(places), dtype=np.bool_)
        alike[1:] |= same
        alike[:-1] |= same
        shard_of, row_of = places[alike] >> _ROW_BITS, places[alike] & _ROW_MASK
        keys = np.empty(len(shard_of), dtype="S32")
        for number, of_shard in by_shard(shard_of):
            keys[of_shard] = self._keys_of(number)[row_of[of_shard]]
        return int((~alike).sum()) + len(np.unique(keys))

    def _matches(self, keys: Keys, start: int) -> Matches:
        prefixes = prefixes_of(keys)
        order = np.argsort(prefixes)  # neighbours are looked up in one cache line
        prefixes = prefixes[order]
        queries, places = [_EMPTY], [_EMPTY]
        for run in self._runs:
            position = np.searchsorted(run.prefixes, prefixes)
            open_ones = np.arange(len(prefixes))
            while len(open_ones):
                position = position[position < len(run.prefixes)]
                open_ones = open_ones[: len(position)]
                is_alike = run.prefixes[position] == prefixes[open_ones]
                position, open_ones = position[is_alike], open_ones[is_alike]
                queries.append(order[open_ones])
                places.append(run.places[position])
                position = position + 1
        candidates, place = np.concatenate(queries), np.concatenate(places)
        shard_of, row_of = place >> _ROW_BITS, place & _ROW_MASK
        is_equal = np.zeros(len(place), dtype=np.bool_)
        for number, of_shard in by_shard(shard_of):
            shard_keys = self._keys[number]
            if shard_keys is not None:
                is_equal[of_shard] = shard_keys[row_of[of_shard]] == keys[candidates[of_shard]]
        return Matches(candidates[is_equal] + start, shard_of[is_equal], row_of[is_equal])

    def _append(self, run: _Run) -> None:
        """Add a run that is not sorted, with the last ones that are not `_GROWTH` times larger."""
        parts, n_rows = [run], len(run.places)
        while self._runs and len(self._runs[-1].places) < _GROWTH * n_rows:
            parts.append(self._runs.pop())
            n_rows += len(parts[-1].places)
        self._runs.append(_sorted(parts))

    def _without_dropped(self, run: _Run) -> _Run:
        if not self._n_dropped:
            return run
        is_there = np.array([keys is not None for keys in self._keys])
        stays = is_there[run.places >> _ROW_BITS]
        return _Run(run.prefixes[stays], run.places[stays])

    def _keys_of(self, number: int) -> Keys:
        keys = self._keys[number]
        assert keys is not None
        return keys


def _sorted(runs: Sequence[_Run]) -> _Run:
    """Runs as one."""
    prefixes = np.concatenate([run.prefixes for run in runs])
    order = np.argsort(prefixes)  # numpy's sort of numbers is faster than a merge in numpy
    return _Run(prefixes[order], np.concatenate([run.places for run in runs])[order])
