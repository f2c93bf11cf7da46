"""Rows of vectors, dense and ragged, in memory or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


DoubleArray = NDArray[np.float64]


IntArray = NDArray[np.int64]


class Vectors(Protocol):
    """Rows of float32 vectors that may not fit in memory; read block by block."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def block(self, start: int, stop: int) -> FloatArray:
        """Rows start..stop as a contiguous float32 array [stop - start, dim]."""
        ...


class ArrayVectors:
    """Vectors that are already in memory."""

    def __init__(self, array: FloatArray) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, int]:
        return (self.array.shape[0], self.array.shape[1])

    def block(self, start: int, stop: int) -> FloatArray:
        return np.ascontiguousarray(self.array[start:stop], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of unequal length: the vectors of a text's tokens, or the entries of a sparse vector
    that are not 0.
    """

    offsets: IntArray
    """[n + 1]: row i is values[offsets[i]:offsets[i + 1]]."""
    values: NDArray[np.floating]
    """[total, dim] of tokens, [total, 1] of sparse vectors; float16 or float32."""
    dim: int
    index: NDArray[np.int32] | None = None
    """[total], of sparse vectors: the dimension of each entry, ascending in a row."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self), self.dim)

    def lengths(self) -> IntArray:
        """Tokens, or entries, of each row [n]."""
        return np.diff(self.offsets)

    def take(self, rows: IntArray) -> Ragged:
        """The rows of these numbers, in their order."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        places = np.repeat(self.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Ragged(
            offsets,
            self.values[places],
            self.dim,
            None if self.index is None else self.index[places],
        )


Rows = NDArray[np.floating] | Ragged
"""What encoders make and the store keeps: vectors [n, dim] or ragged rows."""


@dataclass(frozen=True, slots=True)
class Together:
    """Rows of several kinds for the same texts, made by one forward pass; those that were asked for
    come first.
    """

    kinds: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.kinds[0])


def kinds_of(rows: Rows | Together) -> tuple[Rows, ...]:
    """Rows kind by kind; mostly there is one."""
    return rows.kinds if isinstance(rows, Together) else (rows,)


def stack_together(parts: Sequence[Rows | Together]) -> Rows | Together:
    """As `stack`, kind by kind."""
    stacked = [stack(of_kind) for of_kind in zip(*map(kinds_of, parts), strict=True)]
    return stacked[0] if len(stacked) == 1 else Together(tuple(stacked))


def stack(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other; all parts are of one kind."""
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return np.concatenate([part for part in parts if not isinstance(part, Ragged)])
    counts = np.concatenate([np.diff(part.offsets) for part in ragged])
    index = [part.index for part in ragged if part.index is not None]
    values = np.concatenate([part.values for part in ragged])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Ragged(offsets, values, ragged[0].dim, np.concatenate(index) if index else None)


class RaggedRows(Protocol):
    """Ragged rows that may not fit in memory."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def lengths(self) -> IntArray:
        """Tokens, or entries, of each row [n]."""
        ...

    def take(self, rows: IntArray) -> Ragged:
        """The rows of these numbers, in their order."""
        ...


Representations = Mapping[str, Vectors | Ragged]
"""Of a part's columns: dense vectors, or sparse ones."""
