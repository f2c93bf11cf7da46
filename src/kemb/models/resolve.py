"""From what a user types after -m to a model with an identity: files, revision, prompts, limits, variant.

Nothing here imports torch: a run whose vectors are all in the store never loads a model.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kemb import tasks
from kemb.errors import NotSupported, UnknownName, UsageError
from kemb.models import backends, catalogue, files
from kemb.models.device import find_devices
from kemb.models.encoders import Encoder, bge_m3
from kemb.models.encoders.bge_m3 import LOADERS, Head
from kemb.models.expressions import Fused, Reranked
from kemb.models.prompts import PromptTable, build_prompts, declares_prompts, prompts_label, rules_of_file
from kemb.models.spec import CANNOT_RUN, Dtype, Loader, ModelSpec, Pooling, Similarity, View

LLM_PARAMETERS = 1_000_000_000
LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers")
BUILT_IN = ("toy", "tfidf", "kiwi-static")
Family = Literal["dense", "sparse", "late-interaction", "lexical", "run", "fusion", "pipeline", "cross-encoder"]
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


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the command line may change about a model; None means: as declared."""

    device: str = "auto"
    dtype: Dtype | None = None
    max_tokens: int | None = None
    pooling: Pooling | None = None
    prompts_file: Path | None = None
    trust_remote_code: bool = False
    api_base: str = ""
    """Address of an endpoint, instead of the one the model's TOML declares."""
    backend: backends.Runtime | None = None
    """What computes a dense model instead of torch."""
    backend_file: str = ""
    """The file it computes, in the model's folder; '' for the usual one."""
    workers: int | None = None
    """Processes on the CPU."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model with an identity, not loaded yet."""

    spec: ModelSpec
    name: str
    revision: str
    """A commit, a content hash, or the version of an analyser; never a branch."""
    prompts: PromptTable
    folder: files.ModelFolder | None
    device: str
    dtype: Dtype
    max_tokens: int | None
    pooling: str | None
    similarity: Similarity
    variant: str
    """'' for the declared profile, else what differs from it; names the experiments folder and the row."""
    trust_remote_code: bool
    parts: tuple[Model, ...] = ()
    """The models that a fusion or a reranked first stage is made of."""
    how: Fused | Reranked | None = None
    run_file: Path | None = None
    view: View | None = None
    backend: backends.BackendFile | None = None
    """The file that another runtime computes; None for torch."""
    endpoint: tuple[tuple[str, str], ...] = ()
    """What is known of the model behind an API, as its fingerprint."""
    devices: tuple[str, ...] = ()
    """Where it is encoded by several processes: the device of each, all of one kind."""

    @property
    def row(self) -> str:
        """The name of the model's row on a board."""
        return f"{self.name} [{self.variant}]" if self.variant else self.name

    @property
    def identity(self) -> str:
        """What tells the models of one command apart."""
        return f"{self.name}@{self.revision}[{self.variant}]"

    @property
    def path_name(self) -> str:
        """The name of the model's result folder, before `/` and `:` are replaced."""
        if not self.parts:
            return self.name.replace("#", "+")  # a head
        safe = re.sub(r"[^\w.+@-]+", "-", self.name).strip("-")
        return f"kemb/{safe}"

    @property
    def family(self) -> Family:
        """How the model ranks documents."""
        return _FAMILIES.get(self.spec.loader, "dense")

    @property
    def encoders(self) -> tuple[Model, ...]:
        """The models, of this one and its parts, whose vectors of single texts must be in the store."""
        if self.parts:
            return tuple(model for part in self.parts for model in part.encoders)
        return (self,) if self.family in ("dense", *RAGGED) else ()

    def fingerprint(self) -> dict[str, str]:
        """Everything that changes a vector except the input (DESIGN 3.2)."""
        if self.spec.loader in BUILT_IN:
            return {"model": self.name, "revision": self.revision}
        if self.endpoint:
            return dict(self.endpoint) | {"revision": self.revision}
        own = self.folder
        parts = {
            "model": self.name,
            "revision": self.revision,
            "loader": self.spec.loader,
            "pooling": str(self.pooling),
            "normalize": str(bool(own and own.normalize) if self.spec.normalize is None else self.spec.normalize),
            "max_tokens": str(self.max_tokens),
            "dtype": self.dtype,
            "append_eos": str(self.spec.append_eos),
            "trust_remote_code": str(self.trust_remote_code),
            "backend": self.backend.fingerprint if self.backend else "torch",
            "device": self.device.split(":")[0],
            "attention": "library default",
        }
        if self.spec.loader == "mteb":
            parts["backend"] = f"mteb {importlib.metadata.version('mteb')}"
        return parts | library_versions()

    @property
    def kind(self) -> str:
        """What is read off a forward pass: by family, or by head."""
        return self.spec.loader if self.spec.loader in LOADERS else self.family

    @property
    def built(self) -> tuple[str | None, bool]:
        """The pooling and normalisation put on a plain transformers model; None for all others."""
        if self.folder is None or self.folder.has_modules:
            return None, False
        if self.spec.loader in LOADERS:
            return "cls", True
        return (self.pooling, bool(self.spec.normalize)) if self.family == "dense" else (None, False)

    def open(self, beside: Sequence[Model] = ()) -> Encoder:
        """Load the model.

        :param beside: heads of the same model, to be read off the same forward pass (`kemb.encoding.beside`).
        :raises ModelError: when it cannot be loaded.
        """
        if self.spec.loader in BUILT_IN:
            from kemb.models.encoders.hashed import open_built_in

            return open_built_in(self.spec)
        if self.spec.loader == "mteb":
            from kemb.models.encoders.mteb import open_mteb

            return open_mteb(self.name, self.revision, self.device)
        if self.spec.loader == "api":
            from kemb.models.encoders.api_identity import open_api

            return open_api(self)
        assert self.folder is not None
        from kemb.models.encoders.kinds import KINDS
        from kemb.models.encoders.torch import Loading, open_torch

        files.refuse_remote_code(self.folder, self.name, self.trust_remote_code)
        pooling, is_normalized = self.built
        loading = Loading(
            device=self.device,
            dtype=self.dtype,
            max_tokens=self.max_tokens,
            pooling=pooling,
            normalize=is_normalized,
            append_eos=self.spec.append_eos,
            trust_remote_code=self.trust_remote_code,
            kind=KINDS[self.kind],
            beside=tuple(KINDS[other.kind] for other in beside),
            backend=self.backend,
        )
        return open_torch(self.folder.path, loading)


def library_versions() -> dict[str, str]:
    """major.minor of the libraries whose releases may change a vector."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = ".".join(importlib.metadata.version(library).split("+")[0].split(".")[:2])
        except importlib.metadata.PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def resolve(name: str, options: ModelOptions | None = None, own_tasks: Collection[str] = ()) -> Model:
    """The model a user means: a known name, a local folder, `org/name[@revision]` on the hub,
    `mteb:NAME`, or `api:NAME`.

    :param own_tasks: tasks of the user's own; their names, too, may be keys of prompts.
    :raises UnknownName: with the nearest known names.
    :raises ModelError: when the files are unusable; FetchError when they cannot be fetched.
    """
    options = options or ModelOptions()
    backends.check_options(options.backend, options.backend_file)
    if not Path(name).is_dir():
        from kemb.models import compose

        if (found := compose.composed(name, options, own_tasks)) is not None:
            return found
    task_names = {*tasks.names(), *own_tasks}
    if name.startswith("mteb:"):
        from kemb.models.encoders.mteb import resolve_mteb

        return resolve_mteb(name.removeprefix("mteb:"), options, task_names)
    given = name
    name, head = (name, None) if Path(name).is_dir() else bge_m3.split_head(name)
    plain, _, revision = name.partition("@")
    spec = catalogue.load_spec(plain)
    if head and (name.startswith("api:") or (spec is not None and spec.loader not in bge_m3.HEADED)):
        bge_m3.refuse_head(plain, spec.loader if spec else "API", head)
    if name.startswith("api:") or (spec is not None and spec.loader == "api"):
        from kemb.models.encoders.api_identity import resolve_api

        return resolve_api(name.removeprefix("api:"), options, task_names)
    if spec is None and Path(name).is_dir():
        return _local(Path(name), options, task_names, head)
    bge_m3.refuse_other_heads(name)
    if spec is None and not re.fullmatch(r"[\w.-]+/[\w.-]+", plain):
        raise UnknownName(
            "model", given, catalogue.accepted_names(), "Type `kemb models`, a folder, or a hub id `org/name`."
        )
    if spec is not None and spec.loader in (*BUILT_IN, "bm25"):
        return _built_in(spec, options, task_names)
    if spec is not None and spec.loader in CANNOT_RUN:
        raise NotSupported(f"{spec.name} cannot be run. {CANNOT_RUN[spec.loader]}")
    spec = spec or ModelSpec(name=plain)
    path, commit = _fetch(spec.hub or spec.name, revision or spec.revision, options, bge_m3.HUB_FILES if head else ())
    folder = files.read_folder(path, needs_weights=options.backend is None)
    return _from_folder(spec, commit, folder, options, task_names, head)


def _fetch(hub: str, revision: str | None, options: ModelOptions, also: Sequence[str]) -> tuple[Path, str]:
    from kemb.models.hub import fetch_model

    if options.backend is None:
        return fetch_model(hub, revision, options.trust_remote_code, also)
    instead = backends.patterns(options.backend, options.backend_file)
    path, commit = fetch_model(hub, revision, options.trust_remote_code, also, instead)
    if more := backends.weights_elsewhere(path, options.backend, options.backend_file):
        return fetch_model(hub, commit, options.trust_remote_code, also, [*instead, *more])
    return path, commit


def prompts_of(name: str, options: ModelOptions, own_tasks: Collection[str] = ()) -> PromptTable:
    """The prompts of a model, without its files where its TOML declares them.

    :raises UnknownName: as `resolve`.
    """
    spec = catalogue.load_spec(name.partition("@")[0])
    if spec is None or not declares_prompts(spec):
        return resolve(name, options, own_tasks).prompts
    return build_prompts(spec, rules_of_file(options.prompts_file, spec), None, {*tasks.names(), *own_tasks})


def _local(path: Path, options: ModelOptions, task_names: Collection[str], head: Head | None) -> Model:
    folder = files.read_folder(path.resolve(), needs_weights=options.backend is None)
    revision = files.content_hash(path.resolve(), bge_m3.HUB_FILES if head in bge_m3.FILES else ())[:12]
    return _from_folder(ModelSpec(name=files.local_name(path)), revision, folder, options, task_names, head)


def _built_in(spec: ModelSpec, options: ModelOptions, task_names: Collection[str]) -> Model:
    given: dict[str, object] = {"--dtype": options.dtype, "--max-tokens": options.max_tokens}
    given |= {"--pooling": options.pooling, "--backend": options.backend}
    if wrong := [flag for flag, value in given.items() if value is not None]:
        raise UsageError(f"{' and '.join(wrong)} cannot be used with {spec.name}, which has no such setting.")
    from kemb.models.encoders import hashed

    prompts = build_prompts(spec, None, None, task_names)
    revision = hashed.revision_of(spec)
    return Model(spec, spec.name, revision, prompts, None, "cpu", "float32", None, None, "cosine", "", False)


def _from_folder(
    spec: ModelSpec,
    revision: str,
    folder: files.ModelFolder,
    options: ModelOptions,
    task_names: Collection[str],
    head: Head | None = None,
) -> Model:
    spec = bge_m3.read_through(spec, folder, head) if head else spec
    pooling = options.pooling or spec.pooling
    if spec.loader == "sentence-transformers":
        spec = spec.model_copy(update={"loader": folder.loader})
    if spec.loader in _FAMILIES:
        if options.pooling:
            raise UsageError(f"--pooling cannot be used with {spec.name}, which is a {spec.loader} model.")
    elif folder.has_modules:
        if options.pooling and options.pooling != folder.pooling:
            raise UsageError(
                f"{spec.name} declares pooling {folder.pooling!r} in its own files; --pooling {options.pooling} "
                "cannot change it."
            )
        pooling = folder.pooling  # type: ignore[assignment]
    elif pooling is None:
        raise UsageError(
            f"{spec.name} is a plain transformers model: its files do not say how token vectors become one vector. "
            "Look in its model card and type --pooling mean, --pooling cls or --pooling last."
        )
    rules = rules_of_file(options.prompts_file, spec)  # first of all: it says what is wrong with a prompts file
    backend = _backend(spec, folder, options) if options.backend else None
    device, *others = find_devices("cpu" if backend and options.device == "auto" else options.device, options.workers)
    dtype = options.dtype or _auto_dtype(spec, folder, device)
    declared_tokens = spec.max_tokens or folder.max_tokens
    max_tokens = options.max_tokens or declared_tokens
    variant = {
        "dtype": dtype if dtype != (spec.dtype or "float32") else None,
        "max_tokens": max_tokens if max_tokens != declared_tokens else None,
        "pooling": pooling if not folder.has_modules and pooling != spec.pooling else None,
        "prompts": prompts_label(options.prompts_file) if options.prompts_file else None,
        "backend": backend.label if backend else None,
    }
    return Model(
        spec=spec,
        name=spec.name,
        revision=revision,
        prompts=replace(
            build_prompts(spec, rules, folder.prompts_config, task_names),
            by_role=folder.has_router or spec.loader == "late-interaction",
        ),
        folder=folder,
        device=device,
        dtype=dtype,
        max_tokens=max_tokens,
        pooling=pooling,
        similarity=_similarity(spec, folder),
        variant="__".join(f"{key}_{value}" for key, value in variant.items() if value is not None),
        trust_remote_code=options.trust_remote_code,
        backend=backend,
        devices=(device, *others),
    )


def _backend(spec: ModelSpec, folder: files.ModelFolder, options: ModelOptions) -> backends.BackendFile:
    assert options.backend is not None
    is_dense = spec.loader not in _FAMILIES and not folder.is_table
    backends.refuse_settings(spec.name, is_dense, options.dtype)
    return backends.find_file(folder.path, options.backend, options.backend_file)


def _similarity(spec: ModelSpec, folder: files.ModelFolder) -> Similarity:
    """As the model's TOML says, else as its files say, else the default of its kind."""
    known, default = _SIMILARITIES.get(spec.loader, _SIMILARITIES["sentence-transformers"])
    if "similarity" in spec.model_fields_set and spec.similarity in known:
        return spec.similarity
    return next((similarity for similarity in known if similarity == folder.similarity), default)


def _auto_dtype(spec: ModelSpec, folder: files.ModelFolder, device: str) -> Dtype:
    """Half precision on an accelerator for models of LLM size; float32 otherwise."""
    bytes_per_parameter = 2 if folder.stored_dtype in ("float16", "bfloat16") else 4
    n_parameters = spec.n_parameters or folder.weight_bytes // bytes_per_parameter
    if device == "cpu":
        return "float32"
    if n_parameters >= LLM_PARAMETERS or spec.dtype is not None:
        return spec.dtype or ("float16" if folder.stored_dtype == "float16" else "bfloat16")
    return "float32"
