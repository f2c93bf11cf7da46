"""Dense encoders without weights: hashed character n-grams, plain (`toy`) or with idf
(`tfidf:char`).

The idf comes from a shipped table of document frequencies (`data/`, made by tools/make_tables.py),
never from the texts of the moment: a text has one vector, whatever it is evaluated with.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, FloatArray, IntArray
from kemb.models.encoders.tables import idf, read_counts, revision_of, table_hash, unseen_idf
from kemb.types import Input

TOY_DIM = 256
TFIDF_DIM = 2048
NGRAM_TABLE = "char_ngrams.tsv"

Codes = NDArray[np.uint64]
"""An n-gram as a number: the code point of one character, or two of them, the first shifted by 21
bits.
"""


class Idf(NamedTuple):
    """Weights of known n-grams, sorted by code, and of all others."""

    codes: Codes
    weights: DoubleArray
    unseen: float


@dataclass(frozen=True, slots=True)
class HashedNgrams:
    """Character n-grams of a text, hashed with signs into `dim` buckets, unit length.

    With `idf`, an n-gram that stands tf times weighs (1 + ln tf) * idf; without, tf.
    """

    dim: int
    idf: Idf | None = None

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Characters of each input, [n]."""
        return np.array([len(item.prompt) + len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        """Unit vectors, float32 [n, dim]; a text without characters gets the first unit vector."""
        rows = np.zeros((len(inputs), self.dim), dtype=np.float32)
        for row, item in zip(rows, inputs, strict=True):
            row[:] = self._vector(item.prompt + item.text)
        return rows

    def _vector(self, text: str) -> DoubleArray:
        codes, counts = ngrams(text)
        weights = counts.astype(np.float64)
        if self.idf is not None:
            at = np.minimum(np.searchsorted(self.idf.codes, codes), len(self.idf.codes) - 1)
            in_table = self.idf.codes[at] == codes
            weights = (1 + np.log(weights)) * np.where(
                in_table, self.idf.weights[at], self.idf.unseen
            )
        vector = hash_features(codes, weights, self.dim)
        norm = float(np.linalg.norm(vector))
        if norm == 0:
            vector[0] = norm = 1.0
        return vector / norm


def open_toy() -> HashedNgrams:
    """The encoder of tests and demonstrations."""
    return HashedNgrams(TOY_DIM)


def toy_identity() -> dict[str, str]:
    """Everything that changes a vector of `toy`."""
    return {"version": "1"}


def open_tfidf() -> HashedNgrams:
    """Character tf-idf with the shipped table."""
    n_texts, counts = read_counts(NGRAM_TABLE)
    codes = np.array([_code(ngram) for (ngram,) in counts], dtype=np.uint64)
    order = np.argsort(codes)
    weights = np.array([idf(n_texts, count) for count in counts.values()])
    return HashedNgrams(TFIDF_DIM, Idf(codes[order], weights[order], unseen_idf(n_texts, counts)))


def tfidf_identity() -> dict[str, str]:
    """Everything that changes a vector of `tfidf:char`."""
    return {"version": "1", "table": table_hash(NGRAM_TABLE)}


def revision(name: str) -> str:
    """The version of `toy` or `tfidf:char`."""
    return revision_of(toy_identity() if name == "toy" else tfidf_identity())


def ngrams(text: str) -> tuple[Codes, IntArray]:
    """Distinct characters and pairs of neighbours inside words, after NFKC and lower case, and
    their counts.
    """
    normal = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    points = np.frombuffer(normal.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    inside = points != ord(" ")
    pairs = (points[:-1] << np.uint64(21)) | points[1:]
    return np.unique(
        np.concatenate((points[inside], pairs[inside[:-1] & inside[1:]])), return_counts=True
    )


def ngram_text(code: int) -> str:
    """The n-gram a code stands for."""
    first, last = divmod(code, 1 << 21)
    return (chr(first) if first else "") + chr(last)


def hash_features(codes: Codes, weights: DoubleArray, dim: int) -> DoubleArray:
    """Sum of the weights by bucket with a sign from the hash, [dim] (Weinberger et al. 2009,
    "Feature hashing").

    The hash is the finaliser of SplitMix64 (Steele et al. 2014), the same on every machine.
    """
    mixed = codes + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    signs = np.where(mixed >> np.uint64(63), -1.0, 1.0)
    buckets = (mixed % np.uint64(dim)).astype(np.int64)
    return np.bincount(buckets, weights=signs * weights, minlength=dim).astype(np.float64)


def _code(ngram: str) -> int:
    return ord(ngram) if len(ngram) == 1 else ord(ngram[0]) << 21 | ord(ngram[1])
