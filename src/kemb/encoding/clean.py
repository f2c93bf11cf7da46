"""What `kemb store gc` does: merge small shards, drop repeated rows and leftovers, forget a model.

Nothing is taken from a space that a running command holds (`leases`), and only files that kemb
wrote are removed: shards and leftovers by their names, which are hashes and marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kemb.arrays import Ragged, stack
from kemb.encoding import records
from kemb.encoding.shards import Shard
from kemb.encoding.store import ABOUT, FINGERPRINT, Space

MERGED_SHARD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a space."""

    n_bytes: int = 0
    """Freed."""
    users: list[str] = field(default_factory=list)
    """Who holds it; where anybody does, nothing was changed."""
    strangers: list[Path] = field(default_factory=list)
    """Files that kemb did not write, and left."""


def freeable(space: Space) -> int:
    """Bytes that `compact` would free, about: leftovers, damaged shards, and repeated rows by their
    share of the vectors. Nothing is written.

    :raises StoreError: a shard cannot be read.
    """
    n_bytes = sum(_rubbish(space).values())
    n_distinct = space.n_vectors()
    n_rows = sum(len(shard.keys) for shard in space.shards())
    of_shards = space.size()[1]
    return n_bytes + (of_shards * (n_rows - n_distinct) // n_rows if n_rows else 0)


def compact(space: Space) -> Cleaned:
    """Drop leftovers of killed runs, damaged shards and repeated rows, and merge small shards.

    :raises StoreError: a shard cannot be read.
    :raises DiskError: the folder cannot be written.
    """
    with space.place.cleaning() as users:
        if users:
            return Cleaned(users=users)
        before = _n_bytes(space)
        space.refresh()
        for shard in space.shards():
            space.verify(shard)
        space.set_aside_damaged()
        for name in _rubbish(space):
            space.place.remove_file(name)
        space.refresh()
        n_bytes = space.place.sizes()
        small = [
            shard
            for shard in space.shards()
            if n_bytes.get(shard.name, 0) < MERGED_SHARD_BYTES // 2
        ]
        for group in _groups(small, n_bytes, MERGED_SHARD_BYTES):
            _merge(space, group)
        return Cleaned(before - _n_bytes(space))


def forget(space: Space) -> Cleaned:
    """Remove every vector of a space, the records of its plans, and its folder if nothing else lies
    in it.

    :raises DiskError: the folder cannot be written.
    """
    with space.place.cleaning() as users:
        if users:
            return Cleaned(users=users)
        names = space.place.sizes() | _rubbish(space)
        for name in [*names, *records.paths(space), ABOUT, FINGERPRINT]:
            space.place.remove_file(name)
    return Cleaned(sum(names.values()), strangers=space.place.vanish())


def _rubbish(space: Space) -> dict[str, int]:
    """Bytes of what nobody reads, by name: leftovers of killed runs, damaged shards."""
    return space.place.leftovers() | space.place.damaged()


def _n_bytes(space: Space) -> int:
    return sum(space.place.sizes().values()) + sum(_rubbish(space).values())


def _merge(space: Space, group: list[Shard]) -> None:
    keys = np.concatenate([shard.keys for shard in group])
    distinct, first = np.unique(keys, return_index=True)
    if len(group) == 1 and len(distinct) == len(keys):
        return
    vectors = stack([shard.vectors for shard in group])
    counts = None
    if any(shard.counts is not None for shard in group):
        unknown = (
            np.full((len(s.keys), 2), -1, dtype=np.int64) if s.counts is None else s.counts
            for s in group
        )
        counts = np.concatenate(list(unknown))[first]
    rows = vectors.take(first) if isinstance(vectors, Ragged) else vectors[first]
    merged = space.add(distinct, rows, counts)
    for shard in group:
        # one shard held all the others already, as after a merge that was killed
        if shard.name != merged:
            space.remove(shard.name)


def _groups(shards: list[Shard], n_bytes: Mapping[str, int], limit: int) -> Iterator[list[Shard]]:
    group: list[Shard] = []
    size = 0
    for shard in shards:
        size += n_bytes[shard.name]
        group.append(shard)
        if size >= limit:
            yield group
            group, size = [], 0
    if group:
        yield group
