"""How vectors are compared: cosine, dot product, negated Euclidean and Manhattan distance; higher is more alike."""

from __future__ import annotations

import numpy as np

from kemb.scoring.vectors import lengths
from kemb.types import DoubleArray, FloatArray

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def for_product(queries: FloatArray, squares: FloatArray, similarity: str) -> FloatArray:
    """Queries [n, dim] as they go into `products`.

    The Euclidean distance orders as q.d - |d|^2 / 2 does, so there queries get a 1 at the end and documents that term.

    :param squares: their squared lengths [n].
    """
    if similarity == "cosine":
        return queries / lengths(squares)[:, None]
    if similarity == "euclidean":
        return np.hstack([queries, np.ones((len(queries), 1), dtype=np.float32)])
    return queries


def document_for_product(block: FloatArray, squares: FloatArray, similarity: str, out: FloatArray) -> None:
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
    found: DoubleArray
    match similarity:
        case "euclidean":
            found = -np.sqrt(np.einsum("ij,ij->i", a - b, a - b))
        case "manhattan":
            found = -np.abs(a - b).sum(axis=1)
        case _:
            found = np.einsum("ij,ij->i", a, b)
    return found
