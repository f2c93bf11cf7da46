"""How vectors are compared: cosine, dot product, negated Euclidean and Manhattan distance; higher
is more alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kemb.arrays import DoubleArray, FloatArray, Ragged, Vectors
from kemb.errors import ModelError


def for_product(queries: FloatArray, squares: FloatArray, similarity: str) -> FloatArray:
    """Queries [n, dim] as they go into `products`.

    The Euclidean distance orders as q.d - |d|^2 / 2 does, so there queries get a 1 at the end and
    documents that term.

    :param squares: their squared lengths [n].
    """
    if similarity == "cosine":
        return queries / lengths(squares)[:, None]
    if similarity == "euclidean":
        return np.hstack([queries, np.ones((len(queries), 1), dtype=np.float32)])
    return queries


def document_for_product(
    block: FloatArray, squares: FloatArray, similarity: str, out: FloatArray
) -> None:
    """Documents [n, dim] as they go into `products`, written to `out`."""
    if similarity == "cosine":
        np.divide(block, lengths(squares)[:, None], out=out)
    else:
        out[:, : block.shape[1]] = block
    if similarity == "euclidean":
        out[:, -1] = squares / -2


def products(queries: FloatArray, documents: FloatArray, similarity: str, out: FloatArray) -> None:
    """What orders documents, written to `out` [n_queries, n_documents]."""
    if similarity == "manhattan":
        from scipy.spatial.distance import cdist

        np.negative(cdist(queries, documents, "cityblock"), out=out, casting="same_kind")
    else:
        np.matmul(queries, documents.T, out=out)


def of_products(values: FloatArray, squares: FloatArray, similarity: str) -> FloatArray:
    """Similarities from `products` [n_queries, k] of documents that were found.

    :param squares: squared lengths [n_queries] of the queries.
    """
    if similarity != "euclidean":
        return values
    distances: FloatArray = np.sqrt(np.maximum(squares[:, None] - 2 * values, 0))
    return -distances


def of_pairs(a: DoubleArray, b: DoubleArray, similarity: str) -> DoubleArray:
    """The similarity [n] of the rows of `a` and `b`; of rows of length 1 where it is the cosine."""
    values: DoubleArray
    match similarity:
        case "euclidean":
            values = -np.sqrt(np.einsum("ij,ij->i", a - b, a - b))
        case "manhattan":
            values = -np.abs(a - b).sum(axis=1)
        case _:
            values = np.einsum("ij,ij->i", a, b)
    return values


_TINY = np.float32(1e-12)


def read_all(vectors: Vectors, column: str, ids: Sequence[str]) -> FloatArray:
    """All rows [n, dim] of a column, refused when one is not finite.

    :raises ModelError: names the column and the first item with NaN or infinite values.
    """
    array = vectors.block(0, vectors.shape[0])
    check_finite(array, column, ids, 0)
    return array


def check_finite(block: FloatArray, column: str, ids: Sequence[str], start: int) -> FloatArray:
    """Squared lengths [n] of the rows of a block that begins at row `start` of its column.

    :raises ModelError: a row holds NaN or infinite values, or its squared length does not fit into
        float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares: FloatArray = np.einsum("ij,ij->i", block, block)
    _refuse_infinite(squares, column, ids, start)
    return squares


def read_sparse(
    rows: Ragged, column: str, ids: Sequence[str], start: int = 0
) -> tuple[Any, FloatArray]:
    """Sparse vectors as a float32 `csr_array` [n, dim] of scipy, and the squared lengths [n] of its
    rows.

    :raises ModelError: as `check_finite`.
    """
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
            f"The vectors of column {column!r} hold values that are NaN, infinite or too large for "
            f"float32, first at item {ids[row]!r} (row {row}); expected finite numbers. Try "
            "--dtype float32; if it stays, the model's "
            "weights or its pooling are broken."
        )


def lengths(squares: FloatArray) -> FloatArray:
    """What to divide rows by to give them length 1; never 0, as in
    `torch.nn.functional.normalize`.
    """
    return np.maximum(np.sqrt(squares), _TINY)


def sparse_matrix(rows: Ragged) -> Any:  # noqa: ANN401  scipy has no types
    """Sparse vectors as a float32 `csr_array` [n, dim]."""
    from scipy.sparse import csr_array

    return csr_array(
        (rows.values[:, 0].astype(np.float32), rows.index, rows.offsets), shape=rows.shape
    )
