"""A model with an identity, not loaded yet: plain data."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kemb.models import backends, files
from kemb.models.doors import Door
from kemb.models.encoders.attention import switch
from kemb.models.expressions import Fused, Reranked
from kemb.models.families import FAMILIES, LOADERS, Loader, Similarity
from kemb.models.prompts import NO_PROMPTS, PromptTable
from kemb.models.spec import Dtype, ModelSpec, Pooling, View

LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers")


RunOrder = Literal["score", "rank"]
"""What puts the documents of a run file in order: its column of scores, as in trec_eval, or that of
ranks.
"""


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
    known_as: str | None = None
    """The known model whose settings a folder gets, or `none`; None: the one that its content is.
    """
    run_order: RunOrder = "score"
    """What puts the documents of run files in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model with an identity, not loaded yet."""

    # What it is
    spec: ModelSpec
    name: str
    revision: str
    """A commit, a content hash, or the version of an analyser; never a branch."""
    variant: str = ""
    """'' for the declared profile, else what differs from it; names the experiments folder and the
    row.
    """
    prompts: PromptTable = NO_PROMPTS
    similarity: Similarity = "cosine"
    max_tokens: int | None = None
    pooling: str | None = None
    truncate_dim: int | None = None
    """Dimensions that are kept of every vector, as its files say; None for all."""
    view: View | None = None
    known_as: str | None = None
    """The known model whose settings a folder has; None for no other than its own."""
    remarks: tuple[str, ...] = ()
    """What a user must know of its files."""

    # Where it comes from: files, an endpoint, a file of runs, or other models
    folder: files.ModelFolder | None = None
    endpoint: tuple[tuple[str, str], ...] = ()
    """What is known of the model behind an API, as its fingerprint."""
    run_file: Path | None = None
    run_order: RunOrder = "score"
    parts: tuple[Model, ...] = ()
    """The models that a fusion or a reranked first stage is made of."""
    how: Fused | Reranked | None = None

    # How it is computed
    device: str = "cpu"
    is_any_device: bool = False
    """Whether nobody asked for this device, so that vectors of another one will do."""
    devices: tuple[str, ...] = ()
    """Where it is encoded by several processes: the device of each, all of one kind."""
    dtype: Dtype = "float32"
    backend: backends.BackendFile | None = None
    """The file that another runtime computes; None for torch."""
    trust_remote_code: bool = False

    door: Door | None = None
    """The Python object that does the work, where it was handed in."""

    @property
    def is_scratch(self) -> bool:
        """Whether a part of it has no identity, so that its vectors are not kept."""
        if self.parts:
            return any(part.is_scratch for part in self.parts)
        return self.door is not None and self.door.is_scratch

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
    def warnings(self) -> tuple[str, ...]:
        """What must be said of the model and its parts, each sentence once."""
        of_parts = (warning for part in self.parts for warning in part.warnings)
        return tuple(dict.fromkeys((*self.prompts.warnings, *self.remarks, *of_parts)))

    @property
    def family(self) -> str:
        """How the model ranks documents: a key of `kemb.models.families.FAMILIES`."""
        return self.loader.family

    @property
    def loader(self) -> Loader:
        """The row of its loader."""
        return LOADERS[self.spec.loader]

    @property
    def head(self) -> str:
        """What is read off a forward pass of a model that may have BGE-M3's heads: `dense`, or a
        head; '' of other models.
        """
        return self.loader.head or ("dense" if self.loader.may_have_heads else "")

    @property
    def encoders(self) -> tuple[Model, ...]:
        """The models, of this one and its parts, whose vectors of single texts must be in the
        store.
        """
        if self.parts:
            return tuple(model for part in self.parts for model in part.encoders)
        return (self,) if FAMILIES[self.family].vectors else ()

    def fingerprint(self) -> dict[str, str]:
        """Everything that changes a vector except the input; names the folder in the store."""
        if self.loader.is_built_in:
            return {"model": self.name, "revision": self.revision}
        if self.door is not None:
            return self._fingerprint_of_object(self.door)
        if self.endpoint:
            return dict(self.endpoint) | {"revision": self.revision}
        folder = self.folder
        parts = {
            "model": self.name,
            "revision": self.revision,
            "loader": self.spec.loader,
            "pooling": str(self.pooling),
            "normalize": str(
                bool(folder and folder.normalize)
                if self.spec.normalize is None
                else self.spec.normalize
            ),
            "max_tokens": str(self.max_tokens),
            "dtype": self.dtype,
            "append_eos": str(self.spec.append_eos),
            "trust_remote_code": str(self.trust_remote_code),
            "backend": self.backend.fingerprint if self.backend else "torch",
            "device": self.device.split(":")[0],
            "attention": "library default",
        }
        if self.network_settings:
            parts["attention"] = ", ".join(
                f"{key}={value}" for key, value in self.network_settings.items()
            )
        if self.dtype != "float32" and self.backend is None:
            parts["pooling_dtype"] = "float32"
        if self.truncate_dim is not None:
            parts["truncate_dim"] = str(self.truncate_dim)
        if self.spec.loader == "mteb":
            parts["backend"] = f"mteb {importlib.metadata.version('mteb')}"
        return parts | library_versions()

    def _fingerprint_of_object(self, door: Door) -> dict[str, str]:
        """Its name and revision, what it answered on the probe texts, and, of what runs on torch,
        the libraries.
        """
        parts = {
            "model": self.name,
            "revision": self.revision,
            "loader": self.spec.loader,
            "identity": door.identity.how,
            "probe": door.identity.probe,
        }
        if self.spec.loader == "mteb":
            return parts | {"backend": f"mteb {importlib.metadata.version('mteb')}"}
        if door.identity.how != "weights":
            return parts
        return parts | {"device": self.device.split(":")[0]} | library_versions()

    @property
    def network_settings(self) -> Mapping[str, Any]:
        """What is added to the configuration of a stock class where the authors have code of their
        own for the network.
        """
        if self.folder is None or not self.folder.has_own_network or self.trust_remote_code:
            return {}
        return switch(self.spec.attention, self.folder.model_type)

    @property
    def built(self) -> tuple[str | None, bool]:
        """The pooling and normalisation put on a plain transformers model; None for all others."""
        if self.folder is None or self.folder.has_modules:
            return None, False
        if self.folder.is_model2vec:
            return None, self.folder.normalize
        if self.loader.head:
            return "cls", True
        return (
            (self.pooling, bool(self.spec.normalize)) if self.family == "dense" else (None, False)
        )


def library_versions() -> dict[str, str]:
    """major.minor of the libraries whose releases may change a vector."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = ".".join(
                importlib.metadata.version(library).split("+")[0].split(".")[:2]
            )
        except importlib.metadata.PackageNotFoundError:
            versions[library] = "not installed"
    return versions
