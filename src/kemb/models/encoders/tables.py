"""Shipped tables of corpus statistics: document frequencies and principal directions."""

from __future__ import annotations

import hashlib
import math
from importlib.resources import files

import numpy as np

from kemb.arrays import DoubleArray


def idf(n_texts: int, n_with: int) -> float:
    """Smooth inverse document frequency ln((1 + n) / (1 + df)) + 1, as in scikit-learn."""
    return math.log((1 + n_texts) / (1 + n_with)) + 1


def unseen_idf(n_texts: int, counts: dict[tuple[str, ...], int]) -> float:
    """Weight of what the table leaves out for being rare."""
    return idf(n_texts, min(counts.values()) - 1)


def read_counts(name: str) -> tuple[int, dict[tuple[str, ...], int]]:
    """A shipped table of document frequencies: the number of texts, and how many of them hold each
    key.
    """
    lines = [line.split("\t") for line in _read(name).decode().removesuffix("\n").split("\n")]
    return int(lines[0][-1]), {tuple(line[:-1]): int(line[-1]) for line in lines[1:]}


def read_components(name: str) -> tuple[list[tuple[str, str]], DoubleArray]:
    """Principal components as combinations of morphemes: (form, tag) and coefficients [n_morphemes,
    n_components].
    """
    lines = [line.split("\t") for line in _read(name).decode().removesuffix("\n").split("\n")]
    return [(line[0], line[1]) for line in lines], np.array(
        [[float(x) for x in line[2:]] for line in lines]
    )


def table_hash(*names: str) -> str:
    """Hash of shipped tables, for an encoder's identity."""
    return hashlib.sha256(b"".join(_read(name) for name in names)).hexdigest()[:16]


def _read(name: str) -> bytes:
    return (files("kemb.models") / "data" / name).read_bytes()


def revision_of(identity: dict[str, str]) -> str:
    """A model's revision from everything that changes its vectors."""
    return hashlib.sha256(repr(sorted(identity.items())).encode()).hexdigest()[:12]
