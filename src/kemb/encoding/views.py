"""Other rows of a model from its stored vectors: fewer dimensions, coarser numbers, another
similarity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import cast, get_args

import numpy as np

from kemb.arrays import FloatArray, Vectors
from kemb.errors import ModelError, UsageError
from kemb.models.families import FAMILIES, Similarity
from kemb.models.model import Model
from kemb.models.spec import Level, View
from kemb.types import SIMILARITIES

_BLOCK = 4096
_MOST_CANDIDATES = 1000
"""As many documents as a run has."""


def with_views(
    models: Sequence[Model], dims: str = "", levels: str = "", similarities: str = ""
) -> list[Model]:
    """Every model, and after a dense one its views: dimensions, levels and similarities, combined
    and each alone.

    Binary codes have no similarity but the number of bits that agree, so they are not combined with
    one.

    :param dims: as on the command line: `1024,512`, or nothing.
    :param levels: `int8`, `binary`, `binary@100`, several of them, or nothing.
    :param similarities: `cosine`, `dot`, `euclidean`, `manhattan`, several of them, or nothing.
    :raises UsageError: anything else; views of models none of which is dense.
    """
    asked_dims, asked_levels = _dims(_listed(dims)), [_level(level) for level in _listed(levels)]
    asked_similarities = _listed(similarities)
    if unknown := [name for name in asked_similarities if name not in SIMILARITIES]:
        raise UsageError(
            f"--similarity {unknown[0]!r} is not known. Type {', '.join(SIMILARITIES)}, or some of "
            "them."
        )
    if any(level == "binary" for level, _ in asked_levels) and (
        odd := [n for n in asked_dims if n % 8]
    ):
        raise _odd(odd[0], "with --quantize binary")
    values_by_option = {
        "--dims": asked_dims,
        "--quantize": asked_levels,
        "--similarity": asked_similarities,
    }
    options = " and ".join(option for option, values in values_by_option.items() if values)
    if models and options and all(model.family != "dense" for model in models):
        family = models[0].family
        why = FAMILIES[family].no_views or "it has no vectors"
        raise UsageError(
            f"{options} cannot be used with {models[0].name} ({family}): {why}. Name a dense model "
            "too."
        )
    every = [
        View(n, level, candidates, cast(Similarity | None, similarity))
        for n, (level, candidates), similarity in product(
            [None, *asked_dims], [(None, None), *asked_levels], [None, *asked_similarities]
        )
        if (n or level or similarity) and not (level == "binary" and similarity)
    ]
    return [row for model in models for row in [model, *_views(model, every)]]


def _views(model: Model, every: Sequence[View]) -> list[Model]:
    """Those of a dense model; the similarity that it declares makes no row of its own."""
    return [
        viewed(model, view)
        for view in every
        if model.family == "dense" and view.similarity != model.similarity
    ]


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(value.strip() for value in text.split(",") if value.strip()))


def _dims(numbers: Sequence[str]) -> list[int]:
    if wrong := [number for number in numbers if not re.fullmatch(r"[1-9]\d{0,5}", number)]:
        raise UsageError(
            f"--dims {wrong[0]!r} is no number of dimensions. Type for example --dims 1024,512."
        )
    return [int(number) for number in numbers]


def _level(text: str) -> tuple[Level, int | None]:
    """A level, and for `binary@N` how many documents are put in order by full queries."""
    name, _, number = text.partition("@")
    if name not in get_args(Level) or ("@" in text and name != "binary"):
        raise UsageError(
            f"--quantize {text!r} is not known. Type int8, binary, binary@100, or several of them."
        )
    if "@" in text and not (
        number.isascii() and number.isdigit() and 0 < int(number) <= _MOST_CANDIDATES
    ):
        raise UsageError(
            f"--quantize {text!r}: after @ stands how many documents, found by their binary "
            f"codes, are put in order by the query's full vector, 1 to {_MOST_CANDIDATES}. Type "
            "for example --quantize binary@100."
        )
    return cast(Level, name), int(number) if number else None


def _odd(n: int, context: str) -> UsageError:
    near = [str(number) for number in (n // 8 * 8, -(-n // 8) * 8) if number]
    return UsageError(
        f"{n} dimensions {context}: eight binary numbers are a byte, so their number must be "
        f"divisible by 8. Type --dims {' or --dims '.join(near)}."
    )


def viewed(model: Model, view: View) -> Model:
    """A model as seen through a view; the variant says so."""
    level = f"{view.level}@{view.candidates}" if view.candidates is not None else view.level
    settings = {"dims": view.dims, "quantize": level, "similarity": view.similarity}
    names = [f"{name}_{value}" for name, value in settings.items() if value is not None]
    variant = "__".join([*([model.variant] if model.variant else []), *names])
    declared = model.truncate_dim
    is_wider = view.dims is not None and declared is not None and view.dims > declared
    return replace(
        model,
        view=view,
        variant=variant,
        similarity=view.similarity or model.similarity,
        truncate_dim=None if is_wider else declared,
    )


def index_bytes(view: View | None, dim: int) -> int:
    """Bytes of one vector in an index: 4 per dimension, 1 for int8, a bit for binary, with or
    without rescoring.
    """
    n = view.dims if view and view.dims else dim
    level = view.level if view else None
    return {None: 4 * n, "int8": n, "binary": n // 8}[level]


def see(model: Model, vectors: Mapping[str, Vectors]) -> Mapping[str, Vectors]:
    """The columns of a part through the model's view.

    int8 is 255 equal steps between the least and the greatest value of each dimension over the
    documents, or over all texts where there are none; queries are cut to that range, and scores are
    of the values that the steps stand for. Binary is the sign, +1 or -1 (0 counts as -1), whose dot
    product orders as the Hamming distance does.

    :raises ModelError: more dimensions asked for than there are, binary codes of dimensions that
        are not divisible by 8.
    """
    view = model.view
    if view is None:
        return vectors
    dim = next(iter(vectors.values())).shape[1]
    if view.dims is not None and view.dims > dim:
        raise ModelError(
            f"--dims {view.dims} is more than the {dim} dimensions of {model.name}. Type fewer, "
            "best one that the model's card names: only models trained for it (Matryoshka) keep "
            "their quality."
        )
    if view.level == "binary" and (view.dims or dim) % 8:
        below = dim // 8 * 8
        advice = (
            f"Type --dims {below} beside --quantize binary."
            if below
            else "It is too few for binary codes."
        )
        raise ModelError(
            f"{model.name} has {dim} dimensions, and eight binary numbers are a byte, so their "
            f"number must be divisible by 8. {advice}"
        )
    viewed_columns = {
        name: _Seen(column, view.dims or dim, view.level) for name, column in vectors.items()
    }
    if view.level == "int8":
        bases = (
            [viewed_columns["documents"]]
            if "documents" in viewed_columns
            else list(viewed_columns.values())
        )
        lows, highs = zip(*(column.range() for column in bases), strict=True)
        for column in viewed_columns.values():
            column.calibrate(np.min(lows, axis=0), np.max(highs, axis=0))
    return dict(viewed_columns)


class _Seen:
    """Vectors through a view; satisfies `kemb.arrays.Vectors`."""

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
