"""What kinds of models there are: one row per loader, each of a family; the only place that lists
them.

A family says how a model ranks documents. A loader says how a model of a family becomes an encoder;
what opens it is named by dotted name (`package.module:name`) and resolved by `kemb.models`. A
loader or a family is added by adding a row: docs/architecture.md, "Adding a model family".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Similarity = Literal["cosine", "dot", "euclidean", "manhattan", "maxsim", "meanmaxsim"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a reader is told that a model is."""

    name: str
    title_ko: str
    title_en: str


UNKNOWN = Kind("", "알 수 없음", "unknown")
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("dense", "밀집(dense)", "dense"),
        Kind("sparse", "희소(sparse)", "sparse"),
        Kind("lexical", "어휘(BM25 등)", "lexical"),
        Kind("late-interaction", "다중 벡터", "late interaction"),
        Kind("cross-encoder", "리랭커", "reranker"),
        Kind("hybrid", "혼합", "hybrid"),
        UNKNOWN,
    )
}


@dataclass(frozen=True, slots=True)
class Family:
    """How models rank documents."""

    name: str
    """As it stands in records."""
    kind: str
    """A key of KINDS; '' where it says nothing of the model."""
    ranks: str
    """Makes the run of a part: (model, spec, part, sources), as
    `kemb.scoring.search.retrieve.make_run`.
    """
    vectors: Literal["", "dense", "ragged"] = ""
    """What the store keeps of a single text: one vector, a row of any length, or nothing."""
    scores_any_document: bool = False
    """Whether a document has a score whatever else was retrieved, so that `sum(...)` may add it."""
    mteb: str = ""
    """mteb's `model_type`; '' where it has none."""
    makes: str = ""
    """Why tasks that are no rankings do not take it, after the model's name; '' where that goes
    without saying.
    """
    no_views: str = ""
    """Why its vectors cannot be cut, quantised or compared otherwise."""
    st_class: str = ""
    """In sentence-transformers."""
    st_package: str = ""
    """The package of sentence-transformers that holds its losses."""
    recipe: str = ""
    """Its name in training recipes; '' where kemb trains none."""


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "dense",
            kind="dense",
            ranks="kemb.scoring.search.retrieve:dense_run",
            vectors="dense",
            scores_any_document=True,
            mteb="dense",
            st_class="SentenceTransformer",
            st_package="sentence_transformer",
            recipe="dense",
        ),
        Family(
            "sparse",
            kind="sparse",
            ranks="kemb.scoring.search.retrieve:ragged_run",
            vectors="ragged",
            scores_any_document=True,
            mteb="sparse",
            makes="makes sparse vectors",
            no_views="its vectors have few entries that are not 0, and are compared as the model "
            "declares",
            st_class="SparseEncoder",
            st_package="sparse_encoder",
            recipe="sparse",
        ),
        Family(
            "late-interaction",
            kind="late-interaction",
            ranks="kemb.scoring.search.retrieve:ragged_run",
            vectors="ragged",
            scores_any_document=True,
            mteb="late-interaction",
            makes="makes a vector per token",
            no_views="it makes a vector per token, and they are compared by maxsim",
            st_class="MultiVectorEncoder",
            st_package="multi_vector_encoder",
            recipe="multi-vector",
        ),
        Family(
            "cross-encoder",
            kind="cross-encoder",
            ranks="kemb.scoring.search.retrieve:candidates_run",
            mteb="cross-encoder",
            no_views="it scores a query and a document together",
            st_class="CrossEncoder",
            st_package="cross_encoder",
            recipe="cross-encoder",
        ),
        Family(
            "lexical",
            kind="lexical",
            ranks="kemb.scoring.search.retrieve:lexical_run",
            scores_any_document=True,
            mteb="sparse",
        ),
        Family(
            "fusion",
            kind="hybrid",
            ranks="kemb.scoring.search.retrieve:fused_run",
            mteb="hybrid",
            makes="only ranks documents",
            no_views="it is made of runs",
        ),
        Family(
            "pipeline",
            kind="hybrid",
            ranks="kemb.scoring.search.retrieve:pipeline_run",
            mteb="hybrid",
            makes="only ranks documents",
            no_views="it is made of runs",
        ),
        Family(
            "run",
            kind="",
            ranks="kemb.scoring.search.retrieve:file_run",
            makes="only ranks documents",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Loader:
    """How a model becomes an encoder."""

    family: str
    """A key of FAMILIES."""
    opens: str = ""
    """Gives the encoder: (model, beside), or () of a model that comes with kemb; '' where there is
    none to open.
    """
    reading: str = ""
    """How the output of a forward pass of sentence-transformers is read; '' where it is no model of
    theirs.
    """
    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean", "manhattan")
    """Those that can be computed of its vectors, the usual one first, as in
    sentence-transformers.
    """
    revision: str = ""
    """The version of a model that comes with kemb: (name); '' where models are files, or served."""
    kind: str | None = None
    """A key of KINDS, where it is not the family's."""
    st_types: tuple[str, ...] = ()
    """The `model_type` of sentence-transformers, or of PyLate, that says a folder is one."""
    head: str = ""
    """The head of BGE-M3 that it reads."""
    may_have_heads: bool = False
    """Whether such a model may have BGE-M3's heads."""
    role_is_route: bool = False
    """Whether its models treat queries and documents apart."""
    cannot_run: str = ""
    """The sentence that refuses a loader which exists as data only."""

    @property
    def is_built_in(self) -> bool:
        """Whether its models come with kemb: no files, no settings."""
        return bool(self.revision)


_FOLDER = "kemb.models.open:open_folder"

LOADERS: dict[str, Loader] = {
    "sentence-transformers": Loader(
        "dense",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:DENSE",
        may_have_heads=True,
    ),
    "transformers": Loader(
        "dense",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:DENSE",
        may_have_heads=True,
    ),
    "sparse": Loader(
        "sparse",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:SPARSE",
        st_types=("SparseEncoder",),
        similarities=("dot", "cosine"),
    ),
    "late-interaction": Loader(
        "late-interaction",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:LATE_INTERACTION",
        st_types=("MultiVectorEncoder", "ColBERT"),
        similarities=("maxsim", "meanmaxsim"),
        role_is_route=True,
    ),
    "cross-encoder": Loader(
        "cross-encoder",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:CROSS_ENCODER",
        st_types=("CrossEncoder",),
    ),
    "m3-sparse": Loader(
        "sparse",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:M3_SPARSE",
        similarities=("dot",),
        head="sparse",
    ),
    "m3-colbert": Loader(
        "late-interaction",
        opens=_FOLDER,
        reading="kemb.models.encoders.torch:M3_COLBERT",
        similarities=("meanmaxsim",),
        head="colbert",
    ),
    "mteb": Loader("dense", opens="kemb.models.encoders.mteb:open_mteb"),
    "api": Loader("dense", opens="kemb.models.encoders.api_identity:open_api", kind=""),
    "toy": Loader(
        "dense",
        opens="kemb.models.encoders.hashed:open_toy",
        revision="kemb.models.encoders.hashed:revision",
    ),
    "tfidf": Loader(
        "dense",
        opens="kemb.models.encoders.hashed:open_tfidf",
        revision="kemb.models.encoders.hashed:revision",
        kind="lexical",
    ),
    "kiwi-static": Loader(
        "dense",
        opens="kemb.models.encoders.kiwi_static:open_kiwi_static",
        revision="kemb.models.encoders.kiwi_static:revision",
    ),
    "bm25": Loader("lexical", revision="kemb.models.analysers:revision"),
    "run": Loader("run"),
    "fusion": Loader("fusion"),
    "pipeline": Loader("pipeline"),
    "custom": Loader(
        "dense",
        kind="",
        cannot_run="It runs only with its author's own program; kemb lists its prompts and its "
        "published scores.",
    ),
}


def family_of(loader: str) -> Family:
    """The family of a loader."""
    return FAMILIES[LOADERS[loader].family]


def kind_name(loader: str) -> str:
    """What a reader is told that a model of a loader is; '' where the loader does not say."""
    kind = LOADERS[loader].kind
    return family_of(loader).kind if kind is None else kind


def st_class_of(loader: str) -> str:
    """The class of sentence-transformers that loads a folder: a head is read off a dense model."""
    return FAMILIES["dense"].st_class if LOADERS[loader].head else family_of(loader).st_class


def by_recipe_name() -> dict[str, Family]:
    """The families that can be trained, by their names in recipes."""
    return {family.recipe: family for family in FAMILIES.values() if family.recipe}
