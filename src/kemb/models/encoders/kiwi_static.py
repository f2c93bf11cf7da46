"""`kiwi-static`: mean of Kiwi's morpheme vectors, a Korean sentence encoder without any download.

Kiwi's language model holds a unit vector of 256 numbers for each of its 70,000 frequent morphemes,
and its public interface tells their cosines. Those determine the vectors up to a rotation; they are
recovered once and kept in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, FloatArray, IntArray
from kemb.files import disk
from kemb.models.analysers import CONTENT_TAGS, kiwi_tokens, kiwi_version, load_kiwi
from kemb.models.encoders.tables import (
    idf,
    read_components,
    read_counts,
    revision_of,
    table_hash,
    unseen_idf,
)
from kemb.types import Input

if TYPE_CHECKING:
    from kiwipiepy import Token

NAME = "kiwi-static"
DIM = 256
N_LANDMARKS = 384
FUNCTION_WEIGHT = 0.15
"""Particles, endings, affixes, adverbs and marks against nouns, verbs, adjectives, foreign words
and numbers.
"""
MORPHEME_TABLE = "kiwi_morphemes.tsv"
COMPONENT_TABLE = "kiwi_components.tsv"


class MorphemeWeights:
    """idf of a morpheme from the shipped table, times FUNCTION_WEIGHT for function words."""

    def __init__(self, n_texts: int, counts: dict[tuple[str, ...], int]) -> None:
        self._idf = {key: idf(n_texts, count) for key, count in counts.items()}
        self._unseen = unseen_idf(n_texts, counts)

    def __call__(self, form: str, tag: str) -> float:
        content = tag.partition("-")[0] in CONTENT_TAGS
        return self._idf.get((form, tag), self._unseen) * (1.0 if content else FUNCTION_WEIGHT)


class KiwiStatic:
    """Weighted sum of morpheme vectors, unit length; a text's morphemes are all it depends on."""

    dim = DIM

    def __init__(self, rows: FloatArray, weight: MorphemeWeights) -> None:
        """Take weighted vectors [n_ids, 256] by Kiwi's ids, all zero where an id has no vector of
        its own.
        """
        self._rows = rows
        self._has_row: NDArray[np.bool_] = np.any(rows != 0, axis=1)
        self._weight = weight

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Characters of each input, [n]."""
        return np.array([len(item.prompt) + len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        """Unit vectors, float32 [n, 256]; a text without morphemes gets a fixed vector."""
        texts = (unicodedata.normalize("NFKC", item.prompt + item.text) for item in inputs)
        vectors = np.zeros((len(inputs), DIM), dtype=np.float32)
        for vector, tokens in zip(vectors, kiwi_tokens(texts, NAME), strict=True):
            vector[:] = self._vector(tokens)
        return vectors

    def _vector(self, tokens: list[Token]) -> FloatArray:
        ids = [token.id for token in tokens if self._knows(token.id)]
        total = self._rows[ids].sum(axis=0)
        for token in tokens:
            if not self._knows(token.id):
                total += np.float32(self._weight(token.form, token.tag)) * sign_vector(
                    token.form.lower()
                )
        norm = np.linalg.norm(total)
        return total / norm if norm > 0 else sign_vector("")

    def _knows(self, morpheme_id: int) -> bool:
        return morpheme_id < len(self._rows) and bool(self._has_row[morpheme_id])


def open_kiwi_static(cache_dir: Path | None = None) -> KiwiStatic:
    """The encoder; the first call on a machine recovers the vectors, which takes about ten seconds.

    :param cache_dir: where the recovered vectors are kept; by default in the user's cache folder.
    :raises MissingExtra: without kiwipiepy; ModelError when the vectors cannot be kept.
    """
    keys, vectors = load_morphemes(cache_dir or _default_cache_dir())
    weight = MorphemeWeights(*read_counts(MORPHEME_TABLE))
    common = _common_directions(keys, vectors)
    rows = weigh(keys, vectors, weight)
    return KiwiStatic((rows - (rows @ common) @ common.T).astype(np.float32), weight)


def kiwi_static_identity() -> dict[str, str]:
    """Everything that changes a vector of `kiwi-static`."""
    return {
        "version": "1",
        "kiwi": kiwi_version(NAME),
        "tables": table_hash(MORPHEME_TABLE, COMPONENT_TABLE),
    }


def revision(_name: str) -> str:
    """The version of `kiwi-static`."""
    return revision_of(kiwi_static_identity())


def weigh(keys: list[tuple[str, str]], vectors: FloatArray, weight: MorphemeWeights) -> FloatArray:
    """Vectors times weights, [n, 256]; zero for the ids that stand for any unknown word of a tag
    (no form).
    """
    weights = np.array([weight(form, tag) if form else 0.0 for form, tag in keys], dtype=np.float32)
    return vectors * weights[:, None]


@lru_cache(maxsize=1 << 16)
def sign_vector(word: str) -> FloatArray:
    """A unit vector of +-1/16 from the hash of a word: unlike all others, the same everywhere. Do
    not write to it.
    """
    bits = np.unpackbits(
        np.frombuffer(hashlib.shake_256(word.encode()).digest(DIM // 8), dtype=np.uint8)
    )
    return (bits.astype(np.float32) * 2 - 1) / np.float32(math.sqrt(DIM))


def load_morphemes(cache_dir: Path) -> tuple[list[tuple[str, str]], FloatArray]:
    """(form, tag) and vector [n, 256] of Kiwi's morphemes by id, from the cache where an intact
    file lies there.

    :raises ModelError: when the file cannot be written.
    """
    kiwi = load_kiwi(NAME)
    path = cache_dir / f"{kiwi_version(NAME)}.npz"
    with (
        contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile),
        path.open("rb") as file,
    ):
        cache = np.load(file)  # reading an array checks its CRC-32
        return list(zip(cache["forms"].tolist(), cache["tags"].tolist(), strict=True)), cache[
            "vectors"
        ]
    n = sum(
        1
        for _ in itertools.takewhile(
            lambda i: not math.isnan(kiwi.morpheme_similarity(i, i)), itertools.count()
        )
    )
    vectors = recover_vectors(kiwi.morpheme_similarity, n)
    keys = [(morpheme.form, morpheme.tag) for morpheme in map(kiwi.morpheme, range(n))]
    forms, tags = zip(*keys, strict=True)
    _write(path, forms, tags, vectors)
    return keys, vectors


def recover_vectors(similarity: Callable[[int, int], float], n: int) -> FloatArray:
    """Unit vectors [n, 256] from their cosines with 384 landmarks (Nystrom: Williams and Seeger
    2001).

    The landmarks span all 256 dimensions, so the result is exact but for rounding (1e-6) and a
    rotation, which the order of the eigenvalues and the sign of each eigenvector's largest entry
    fix.

    :param similarity: cosine of the vectors of two ids.
    """
    landmarks = np.linspace(0, n - 1, N_LANDMARKS).astype(int).tolist()
    cosines = np.empty((n, N_LANDMARKS), dtype=np.float32)
    for column, landmark in enumerate(landmarks):
        cosines[:, column] = np.fromiter((similarity(i, landmark) for i in range(n)), np.float32, n)
    gram = cosines[landmarks].astype(np.float64)
    values, directions = np.linalg.eigh((gram + gram.T) / 2)
    values, directions = values[-DIM:], directions[:, -DIM:]
    largest = np.abs(directions).argmax(axis=0)
    directions *= np.sign(directions[largest, np.arange(DIM)])
    vectors: DoubleArray = cosines @ (directions / np.sqrt(values))
    return vectors.astype(np.float32)


def _common_directions(keys: list[tuple[str, str]], vectors: FloatArray) -> FloatArray:
    """Orthonormal basis [256, n_components] of the shipped principal components.

    The table holds them as combinations of morphemes, so they do not depend on the rotation of the
    vectors.
    """
    morphemes, coefficients = read_components(COMPONENT_TABLE)
    row_of = {key: row for row, key in reversed(list(enumerate(keys)))}
    matches = [(row_of[key], line) for line, key in enumerate(morphemes) if key in row_of]
    rows, lines = (list(part) for part in zip(*matches, strict=True))
    combined = vectors[rows].astype(np.float64).T @ coefficients[lines]
    return np.linalg.qr(combined)[0].astype(np.float32)


def _default_cache_dir() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "kiwi-static"


def _write(path: Path, forms: Sequence[str], tags: Sequence[str], vectors: FloatArray) -> None:
    with disk.writing(
        f"{NAME} cannot keep its recovered vectors (80 MB) in {path.parent}",
        "Free space, or set XDG_CACHE_HOME to a folder that can be written.",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.replacing(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, forms=np.array(forms), tags=np.array(tags), vectors=vectors)
