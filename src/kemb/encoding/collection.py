"""The unique inputs of a command: columns of texts under a route and a prompt, keyed, and in
groups.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import IntArray
from kemb.encoding.shards import Keys, prefixes_of
from kemb.encoding.store import input_keys
from kemb.files import scratch
from kemb.files.columns import lengths_of
from kemb.types import Input

__all__ = ["Collection", "Texts"]

_STEP = 1 << 18
"""Rows that are looked at together."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts under one route and prompt, and a way to say where row i came from."""

    route: str
    prompt: str
    texts: Sequence[str]
    keys: Keys
    where: Callable[[int], str]

    @classmethod
    def of(
        cls, route: str, prompt: str, texts: Sequence[str], where: Callable[[int], str]
    ) -> Texts:
        """The column with its keys computed."""
        return cls(route, prompt, texts, input_keys(route, prompt, texts), where)


class Collection:
    """The unique inputs of a command for one model, and which column and row each came from."""

    def __init__(self, columns: Sequence[Texts]) -> None:
        self.columns = columns
        self._starts = np.cumsum([0, *(len(column.keys) for column in columns)]).tolist()
        self.n_texts = int(self._starts[-1])
        prefixes = scratch.array(self.n_texts, np.uint64)
        for start, column in zip(self._starts, columns, strict=False):
            prefixes[start : start + len(column.keys)] = prefixes_of(column.keys)
        self._first = self._firsts(prefixes)
        self.keys: Keys = scratch.array(len(self._first), "S32")
        for span in _spans(len(self._first)):
            self.keys[span] = self._keys_at(self._first[span])

    def _firsts(self, prefixes: NDArray[np.uint64]) -> IntArray:
        """Where each unique key occurs first among all texts, in the order of the keys."""
        order = np.argsort(prefixes, kind="stable")
        is_first = np.ones(len(order), dtype=np.bool_)
        for span in _spans(len(order), 1):
            before = slice(span.start - 1, span.stop - 1)
            is_first[span] = prefixes[order[span]] != prefixes[order[before]]
        self._part_prefixes(order, is_first)
        firsts: IntArray = scratch.array(int(np.count_nonzero(is_first)), np.int64)
        firsts[:] = order[is_first]
        return firsts

    def _part_prefixes(self, order: IntArray, is_first: NDArray[np.bool_]) -> None:
        """Put keys in order that differ but begin alike, which hardly ever happens; `order` and
        `is_first` are changed.
        """
        for span in _spans(len(order), 1):
            places = span.start + np.flatnonzero(~is_first[span])
            differs = self._keys_at(order[places]) != self._keys_at(order[places - 1])
            for place in places[differs].tolist():
                start = place - int(np.argmax(is_first[place::-1]))
                after = np.flatnonzero(is_first[start + 1 :])
                stop = start + 1 + int(after[0]) if len(after) else len(order)
                rows = np.sort(order[start:stop])
                keys = self._keys_at(rows)
                by_key = np.argsort(keys, kind="stable")
                order[start:stop] = rows[by_key]
                is_first[start + 1 : stop] = keys[by_key][1:] != keys[by_key][:-1]

    def _keys_at(self, places: IntArray) -> Keys:
        """The keys of texts that are numbered through all columns."""
        column_of = np.searchsorted(self._starts, places, side="right") - 1
        keys = np.empty(len(places), dtype="S32")
        for number in np.unique(column_of).tolist():
            in_column = column_of == number
            keys[in_column] = self.columns[number].keys[places[in_column] - self._starts[number]]
        return keys

    def __len__(self) -> int:
        return len(self.keys)

    def input(self, number: int) -> Input:
        """Unique input `number`."""
        column, row = self._locate(number)
        return Input(column.route, column.prompt, column.texts[row])

    def where(self, number: int) -> str:
        """Where unique input `number` occurs first: task, split, column and item id."""
        column, row = self._locate(number)
        return column.where(row)

    def row(self, number: int) -> int:
        """The row of unique input `number` in the column where it occurs first."""
        return self._locate(number)[1]

    def groups(self, group_chars: int) -> list[IntArray]:
        """Unique inputs in groups of about `group_chars` characters; equal (route, prompt), similar
        lengths.

        The longest come first within a prompt, so that running out of memory shows at once.
        """
        heads = sorted({(column.route, column.prompt) for column in self.columns})
        rank_of = {head: rank for rank, head in enumerate(heads)}
        ranks = np.array([rank_of[c.route, c.prompt] for c in self.columns], dtype=np.int64)
        rank, length = np.empty(len(self), np.int32), self._lengths()
        for span in _spans(len(self)):
            column_of = np.searchsorted(self._starts, self._first[span], side="right") - 1
            rank[span] = ranks[column_of]
        groups: list[IntArray] = []
        for number in range(len(heads)):
            of_head = np.flatnonzero(rank == number)
            order: IntArray = scratch.array(len(of_head), np.int64)
            order[:] = of_head[np.argsort(-length[of_head], kind="stable")]
            groups += _cut(order, np.cumsum(length[order], dtype=np.int64), group_chars)
        return groups

    def _lengths(self) -> NDArray[np.int32]:
        """Characters of every unique input [n]."""
        lengths = np.empty(len(self), dtype=np.int32)
        for number, column in enumerate(self.columns):
            of_column = lengths_of(column.texts)
            start, stop = self._starts[number], self._starts[number + 1]
            for span in _spans(len(self)):
                places = self._first[span]
                inside = (places >= start) & (places < stop)
                lengths[span][inside] = of_column[places[inside] - start]
        return lengths

    def _locate(self, number: int) -> tuple[Texts, int]:
        place = int(self._first[number])
        column = bisect_right(self._starts, place) - 1
        return self.columns[column], place - self._starts[column]


def _cut(order: IntArray, ends: IntArray, group_chars: int) -> list[IntArray]:
    """Inputs one after the other, in groups of at most `group_chars` characters or one input.

    :param ends: characters up to and with each input.
    """
    groups, start, chars = [], 0, 0
    while start < len(order):
        fits = int(np.searchsorted(ends, chars + group_chars, side="right"))
        stop = max(fits, start + 1)
        groups.append(order[start:stop])
        start, chars = stop, int(ends[stop - 1])
    return groups


def _spans(n: int, start: int = 0) -> Iterator[slice]:
    """Slices of some rows: what is made of them on the way does not grow with n."""
    for first in range(start, n, _STEP):
        yield slice(first, min(first + _STEP, n))
