"""Reading vectors and refusing unusable ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kemb.errors import ModelError
from kemb.types import FloatArray, Ragged, Vectors

_TINY = np.float32(1e-12)


def read_all(vectors: Vectors, column: str, ids: Sequence[str]) -> FloatArray:
    """All rows [n, dim] of a column, refused when one is not finite.

    Raises:
        ModelError: names the column and the first item with NaN or infinite values.
    """
    array = vectors.block(0, vectors.shape[0])
    check_finite(array, column, ids, 0)
    return array


def check_finite(block: FloatArray, column: str, ids: Sequence[str], start: int) -> FloatArray:
    """Squared lengths [n] of the rows of a block that begins at row `start` of its column.

    Raises:
        ModelError: a row holds NaN or infinite values, or its squared length does not fit into float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares: FloatArray = np.einsum("ij,ij->i", block, block)
    _refuse_infinite(squares, column, ids, start)
    return squares


def read_sparse(rows: Ragged, column: str, ids: Sequence[str], start: int = 0) -> tuple[Any, FloatArray]:
    """Sparse vectors as a float32 `csr_array` [n, dim] of scipy, and the squared lengths [n] of its rows.

    Raises:
        ModelError: as `check_finite`.
    """
    from kemb.scoring.search.ragged import sparse_matrix

    matrix = sparse_matrix(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float32).reshape(-1)
    _refuse_infinite(squares, column, ids, start)
    return matrix, squares


def _refuse_infinite(squares: FloatArray, column: str, ids: Sequence[str], start: int) -> None:
    finite = np.isfinite(squares)
    if not finite.all():
        row = start + int(np.argmin(finite))
        raise ModelError(
            f"The vectors of column {column!r} hold values that are NaN, infinite or too large for float32, first at "
            f"item {ids[row]!r} (row {row}); expected finite numbers. Try --dtype float32; if it stays, the model's "
            "weights or its pooling are broken."
        )


def lengths(squares: FloatArray) -> FloatArray:
    """What to divide rows by to give them length 1; never 0, as in `torch.nn.functional.normalize`."""
    return np.maximum(np.sqrt(squares), _TINY)
