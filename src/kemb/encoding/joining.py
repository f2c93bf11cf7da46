"""Fewer, larger files: the groups of a plan are joined into shards when all of a shard are stored.

A group is the unit of work and of loss, and as small as that asks for; a file per group would be
hundreds of thousands of files for a large corpus. So consecutive groups of a plan are a shard of
it, and whoever finds that the last of them is stored writes one file in their place. Which groups
are a shard follows from the plan and from how large a row of the model is, so that a run that was
killed makes the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kemb.arrays import IntArray, Ragged, Rows
from kemb.encoding.shards import Keys
from kemb.encoding.store import Space

JOINED_BYTES = 256 << 20
"""A shard of the plan has at least so many, if the plan has, and at most half as many more, or one
group.
"""
_TOKENS_PER_CHARACTER = 0.5
"""About; sizes of ragged rows are not known from the plan."""
_BYTES_PER_ROW = 48
"""Key and counts."""


class Joining:
    """The groups of a plan that are not stored yet, by shard of the plan."""

    def __init__(
        self, space: Space, keys: Keys, groups: Sequence[IntArray], group_chars: int
    ) -> None:
        """
        :param keys: of the unique inputs of the command.
        :param groups: all groups of the plan, as positions in `keys`, in order.
        :param group_chars: characters of a group, about.
        """
        self._space, self._keys = space, keys
        self._groups, self._group_chars = groups, group_chars
        self._shards: list[range] = []
        """Of group numbers; known when the first group is stored."""
        self._missing: list[set[int] | None] = []
        """By shard, groups that are not known to be stored; None: joined."""

    def done(self, number: int) -> None:
        """A group is stored; where it was the last one of its shard, the shard is joined.

        :raises DiskError: when the store cannot be written.
        """
        if not self._cut():
            return
        place = next(place for place, shard in enumerate(self._shards) if number in shard)
        missing = self._missing[place]
        if missing is not None:
            missing.discard(number)
            if not missing:
                self._join(place)

    def rest(self) -> None:
        """Join the shards whose groups were stored by others, or before.

        :raises DiskError: when the store cannot be written.
        """
        if not self._cut():
            return
        for place, missing in enumerate(self._missing):
            if missing is not None:
                self._join(place)

    def _join(self, place: int) -> None:
        self._missing[place] = None
        self._space.join([self._keys[self._groups[number]] for number in self._shards[place]])

    def _cut(self) -> bool:
        """Whether the shards of the plan are known: they follow from the size of a row."""
        if self._shards:
            return True
        if self._space.any_rows() is None:  # of a driver, whose actors write
            self._space.refresh()
        rows = self._space.any_rows()
        if rows is not None:
            self._shards = list(plan_shards(self._groups, self._group_chars, rows))
            stored = self._space.stored(self._keys, fresh=False)
            self._missing = [
                {number for number in shard if not stored[self._groups[number]].all()}
                for shard in self._shards
            ]
        return bool(self._shards)


def is_due(space: Space, keys: Keys) -> bool:
    """Whether groups of a command that is done lie in files of their own, as after a kill."""
    sizes = space.place.sizes()
    parts = space.inside(space.copies(keys))
    small = [part for part in parts if sizes.get(part.name, 0) < JOINED_BYTES // 4]
    return len(small) > 1


def plan_shards(
    groups: Sequence[IntArray], group_chars: int, rows: Rows, n_bytes: int = JOINED_BYTES
) -> Iterator[range]:
    """Consecutive groups that make a file of about `n_bytes`.

    :param rows: any of the model's.
    """
    per_text, per_group = _bytes_of(rows, group_chars)
    sizes = np.array([per_text * len(group) + per_group for group in groups])
    start, n_left = 0, int(sizes.sum())
    size = 0
    for number, group_size in enumerate(sizes.tolist()):
        size += group_size
        if size >= n_bytes and n_left - size >= n_bytes // 2:
            yield range(start, number + 1)
            start, n_left, size = number + 1, n_left - size, 0
    if start < len(groups):
        yield range(start, len(groups))


def _bytes_of(rows: Rows, group_chars: int) -> tuple[int, int]:
    """Bytes per text, and per group, of such rows."""
    if not isinstance(rows, Ragged):
        return rows.shape[1] * rows.itemsize + _BYTES_PER_ROW, 0
    per_token = rows.values.shape[1] * rows.values.itemsize
    if rows.index is not None:
        per_token += rows.index.itemsize
    return _BYTES_PER_ROW, int(group_chars * _TOKENS_PER_CHARACTER * per_token)
