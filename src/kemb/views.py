"""Fewer dimensions and coarser numbers from stored vectors: other rows of a model, with nothing encoded again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Literal, cast, get_args

import numpy as np

from kemb.errors import ModelError, UsageError
from kemb.models.resolve import Model, View
from kemb.types import FloatArray, Vectors

Level = Literal["int8", "binary"]
_BLOCK = 4096


def with_views(model: Model, dims: str, levels: str) -> list[Model]:
    """A model and, if it is dense, its views: every number of dimensions with every level, and each alone.

    :param dims: as on the command line: `1024,512`, or nothing.
    :param levels: `int8,binary`, one of them, or nothing.
    :raises UsageError: anything else.
    """
    asked_levels = [level.strip() for level in levels.split(",") if level.strip()]
    asked_dims = [number.strip() for number in dims.split(",") if number.strip()]
    if unknown := sorted(set(asked_levels) - set(get_args(Level))):
        raise UsageError(f"--quantize {unknown[0]!r} is not known. Type int8, binary or int8,binary.")
    if wrong := [number for number in asked_dims if not re.fullmatch(r"[1-9]\d{0,5}", number)]:
        raise UsageError(f"--dims {wrong[0]!r} is no number of dimensions. Type for example --dims 1024,512.")
    if model.family != "dense":
        return [model]
    every = product([None, *map(int, asked_dims)], [None, *asked_levels])
    views = [View(n, cast(Level | None, level)) for n, level in every if n or level]
    return [model, *(viewed(model, view) for view in views)]


def viewed(model: Model, view: View) -> Model:
    """A model as seen through a view; the variant says so."""
    settings = {"dims": view.dims, "quantize": view.level}
    names = [f"{name}_{value}" for name, value in settings.items() if value is not None]
    return replace(model, view=view, variant="__".join([*([model.variant] if model.variant else []), *names]))


def index_bytes(view: View | None, dim: int) -> int:
    """Bytes of one vector in an index: 4 per dimension, 1 for int8, a bit for binary."""
    n = view.dims if view and view.dims else dim
    level = view.level if view else None
    return {None: 4 * n, "int8": n, "binary": -(-n // 8)}[level]


def see(model: Model, vectors: Mapping[str, Vectors]) -> Mapping[str, Vectors]:
    """The columns of a part through the model's view.

    int8 is 255 equal steps between the least and the greatest value of each dimension over the documents, or over all
    texts where there are none; queries are cut to that range, and scores are of the values that the steps stand for.
    Binary is the sign, +1 or -1 (0 counts as -1), whose dot product orders as the Hamming distance does.

    Raises:
        ModelError: more dimensions asked for than there are.
    """
    view = model.view
    if view is None:
        return vectors
    dim = next(iter(vectors.values())).shape[1]
    if view.dims is not None and view.dims > dim:
        raise ModelError(
            f"--dims {view.dims} is more than the {dim} dimensions of {model.name}. Type fewer, best one that the "
            "model's card names: only models trained for it (Matryoshka) keep their quality."
        )
    seen = {name: _Seen(column, view.dims or dim, view.level) for name, column in vectors.items()}
    if view.level == "int8":
        bases = [seen["documents"]] if "documents" in seen else list(seen.values())
        lows, highs = zip(*(column.range() for column in bases), strict=True)
        for column in seen.values():
            column.calibrate(np.min(lows, axis=0), np.max(highs, axis=0))
    return dict(seen)


class _Seen:
    """Vectors through a view; satisfies `kemb.types.Vectors`."""

    def __init__(self, vectors: Vectors, dims: int, level: Level | None) -> None:
        self._vectors, self._dims, self._level = vectors, dims, level
        self._low = self._step = np.empty(0, dtype=np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        return (self._vectors.shape[0], self._dims)

    def block(self, start: int, stop: int) -> FloatArray:
        """Rows start..stop as a contiguous float32 array [stop - start, dims]."""
        cut = np.ascontiguousarray(self._vectors.block(start, stop)[:, : self._dims])
        if self._level == "binary":
            return np.where(np.isnan(cut), cut, np.where(cut > 0, np.float32(1), np.float32(-1)))
        if self._level == "int8" and len(self._low):
            steps = np.clip(np.round((cut - self._low) / self._step), 0, 255)
            return np.asarray(self._low + steps * self._step, dtype=np.float32)
        return cut

    def range(self) -> tuple[FloatArray, FloatArray]:
        """Least and greatest value of each dimension."""
        lows, highs = [], []
        for start in range(0, self.shape[0], _BLOCK):
            block = self.block(start, min(start + _BLOCK, self.shape[0]))
            lows.append(block.min(axis=0))
            highs.append(block.max(axis=0))
        return np.min(lows, axis=0), np.max(highs, axis=0)

    def calibrate(self, low: FloatArray, high: FloatArray) -> None:
        """Set the steps of int8."""
        self._low, self._step = low, np.maximum((high - low) / np.float32(255), np.float32(1e-12))
