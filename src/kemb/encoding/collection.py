"""The unique inputs of a command: columns of texts under a route and a prompt, keyed, and in
groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kemb.arrays import IntArray
from kemb.encoding.shards import Keys
from kemb.encoding.store import input_keys
from kemb.types import Input

__all__ = ["Collection", "Texts"]


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
        every = (
            np.concatenate([column.keys for column in columns])
            if columns
            else np.empty(0, dtype="S32")
        )
        self.n_texts = len(every)
        self.keys, first = np.unique(every, return_index=True)
        starts = np.cumsum([0, *(len(column.keys) for column in columns)])
        column_of = np.searchsorted(starts, first, side="right") - 1
        self._column_of: list[int] = column_of.tolist()
        self._row_of: list[int] = (first - starts[column_of]).tolist()

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

    def groups(self, group_chars: int) -> list[IntArray]:
        """Unique inputs in groups of about `group_chars` characters; equal (route, prompt), similar
        lengths.

        The longest come first within a prompt, so that running out of memory shows at once.
        """
        rank = {
            head: place
            for place, head in enumerate(sorted({(c.route, c.prompt) for c in self.columns}))
        }
        rank_of_column = np.array([rank[c.route, c.prompt] for c in self.columns], dtype=np.int64)
        head = rank_of_column[self._column_of]
        texts = [column.texts for column in self.columns]
        places = zip(self._column_of, self._row_of, strict=True)
        length = np.array([len(texts[column][row]) for column, row in places], dtype=np.int64)
        order = np.lexsort((np.arange(len(self)), -length, head))
        groups, start, chars = [], 0, 0
        for place, number in enumerate(order.tolist()):
            new_head = place > start and head[number] != head[order[start]]
            if place > start and (new_head or chars + length[number] > group_chars):
                groups.append(order[start:place])
                start, chars = place, 0
            chars += int(length[number])
        if len(order):
            groups.append(order[start:])
        return groups

    def _locate(self, number: int) -> tuple[Texts, int]:
        return self.columns[self._column_of[number]], self._row_of[number]
