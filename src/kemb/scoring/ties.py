"""Scores made of ties: texts that a model cannot tell apart, and queries whose documents all have
one score.

Where most are tied a score says nothing of the model, but of the order in which ties are broken:
it is refused. A smaller share is counted in the notes of the score, and marked on boards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, Ragged, Representations, Vectors
from kemb.errors import ModelError
from kemb.files import scratch
from kemb.files.columns import equal_rows, hashes_of
from kemb.tasks.kinds import columns
from kemb.types import PartData, Role, Run

Digests = NDArray[np.uint64]
"""A hash of every vector."""

SHARED_VECTORS = "n_shared_vectors"
"""Different texts of one role that have the vector of another one."""
TIED_QUERIES = "n_tied_queries"
"""Queries whose documents all have the same score."""
TIES = (SHARED_VECTORS, TIED_QUERIES)
"""The notes of a score that speak of ties."""

MARKED = 0.05
"""Share of the texts, or queries, from which ties are noted."""
REFUSED = 0.5
"""Share above which there is no score."""
COLLAPSED = 0.9995
"""Mean cosine of different texts, printed as 1.000, from which all vectors are one direction."""
_FEW = 5
"""A mean cosine of fewer texts says little."""
_BLOCK = 4096
_ADVICE = (
    "Look at what the model returns for two different texts: it reads too few tokens of them, or "
    "its weights, its pooling, its prompts, or the server behind it, are broken"
)


def shared_vectors(data: PartData, vectors: Representations) -> dict[str, int]:
    """How many different texts share a vector, where they are so many that it must be known.

    :param data: the texts of a part.
    :param vectors: of columns of `kemb.tasks.kinds.columns(data)`, one row per text; others are
        not looked at.
    :raises ModelError: more than half of the different texts of a role share a vector, or their
        mean cosine is 1.000.
    """
    texts_by_role: dict[Role, list[Sequence[str]]] = {}
    digests_by_role: dict[Role, list[Digests]] = {}
    sums: dict[Role, list[DoubleArray]] = {}
    looked_at = {name: column for name, column in columns(data).items() if name in vectors}
    for name, column in looked_at.items():
        texts_by_role.setdefault(column.role, []).append(column.texts)
        digests = scratch.array(len(column.texts), np.uint64)
        start = 0
        for block_digests, total in _blocks(vectors[name]):
            digests[start : start + len(block_digests)] = block_digests
            start += len(block_digests)
            sums.setdefault(column.role, []).append(total)
        digests_by_role.setdefault(column.role, []).append(digests)
    n_noted = 0
    for role, texts in texts_by_role.items():
        n_rows = sum(map(len, texts))
        n_texts, n_shared = _count(texts, digests_by_role[role])
        if n_shared > REFUSED * n_texts:
            raise ModelError(
                f"{n_shared:,} of {n_texts:,} different texts ({role}) have the vector of another "
                f"one, so that a score would rest on ties. {_ADVICE}."
            )
        cosine = _mean_cosine(sums[role], n_rows)
        if n_texts >= _FEW and n_texts == n_rows and cosine >= COLLAPSED:
            raise ModelError(
                f"The mean cosine of {n_texts:,} different texts ({role}) is {cosine:.3f}: all "
                f"have nearly the same vector, so that a score would rest on rounding. {_ADVICE}."
            )
        n_noted += n_shared if n_shared >= MARKED * n_texts else 0
    return {SHARED_VECTORS: n_noted} if n_noted else {}


def _blocks(vectors: Vectors | Ragged) -> Iterator[tuple[Digests, DoubleArray]]:
    """A digest of every row, and the sum [dim] of the rows at length 1, block by block."""
    if isinstance(vectors, Ragged):
        yield _ragged_digests(vectors), np.zeros(1)
        return
    n, dim = vectors.shape
    factors = np.random.default_rng(7).integers(1, 2**63, size=dim, dtype=np.uint64) | np.uint64(1)
    for start in range(0, n, _BLOCK):
        block = vectors.block(start, min(start + _BLOCK, n)) + np.float32(0)  # -0.0 becomes 0.0
        digests: NDArray[np.uint64] = block.view(np.uint32).astype(np.uint64) @ factors
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        units = block / np.where(lengths > 0, lengths, 1)[:, None]
        yield digests, units.sum(axis=0)


def _ragged_digests(rows: Ragged) -> Digests:
    digests = []
    for start, stop in zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True):
        places = b"" if rows.index is None else rows.index[start:stop].tobytes()
        digest = hashlib.blake2b(places + rows.values[start:stop].tobytes(), digest_size=8)
        digests.append(int.from_bytes(digest.digest(), "little"))
    return np.array(digests, dtype=np.uint64)


def _count(texts: Sequence[Sequence[str]], digests: Sequence[Digests]) -> tuple[int, int]:
    """Different texts, and those of them whose vector another text has, too."""
    hashes = _one_after_the_other([hashes_of(column) for column in texts])
    is_first = np.ones(len(hashes), dtype=np.bool_)
    is_first[equal_rows(hashes)[0]] = False
    of_texts = _one_after_the_other(digests)[is_first]
    of_texts.sort()
    is_shared = np.zeros(len(of_texts), dtype=np.bool_)
    is_equal = of_texts[1:] == of_texts[:-1]
    is_shared[1:] |= is_equal
    is_shared[:-1] |= is_equal
    return len(of_texts), int(np.count_nonzero(is_shared))


def _one_after_the_other(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _mean_cosine(sums: list[DoubleArray], n: int) -> float:
    """Of all pairs of two rows: (|sum of the rows at length 1|^2 - n) / (n (n - 1))."""
    total = np.sum(sums, axis=0)
    return (float(total @ total) - n) / max(n * (n - 1), 1)


def tied_queries(run: Run, *, by_words: bool = False) -> dict[str, int]:
    """How many queries have documents of one and the same score, where they are so many that it
    must be known; queries with fewer than two documents do not count.

    :param by_words: the run is of a lexical or sparse model, for which a query that shares no word
        with any document scores 0 everywhere: that is no fault of the model and only counted.
    :raises ModelError: more than half of the queries.
    """
    is_retrieved = run.indices >= 0
    several = is_retrieved.sum(axis=1) > 1
    high = np.where(is_retrieved, run.scores, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(is_retrieved, run.scores, np.inf).min(axis=1, initial=np.inf)
    is_tied = several & (high == low)
    n_queries, n_tied = int(several.sum()), int(is_tied.sum())
    is_faulty = is_tied & (high != 0) if by_words else is_tied
    if is_faulty.sum() > REFUSED * n_queries:
        raise ModelError(
            f"For {n_tied:,} of {n_queries:,} queries all documents have one and the same score, "
            f"so that their order is that of their ids. {_ADVICE}."
        )
    return {TIED_QUERIES: n_tied} if n_tied and n_tied >= MARKED * n_queries else {}
