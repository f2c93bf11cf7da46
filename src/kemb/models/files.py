"""The files of a model: a folder, local or fetched, and what its own configuration says. No torch
here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kemb.errors import KembError, MissingExtra, ModelError
from kemb.files.disk import what_is
from kemb.hub import ask_first, check_file, describe, explain, is_offline, quiet_client, retry
from kemb.models import configuration
from kemb.models.configuration import declared
from kemb.models.families import LOADERS, st_class_of
from kemb.models.identity import STANFORD
from kemb.models.weights import (
    PICKLE_SUFFIXES,
    TORCH_WEIGHTS,
    Tensor,
    names,
    needed_torch_weights,
    tensors,
    weight_files,
)

_TABLES = (".StaticEmbedding", ".WordEmbeddings", ".BoW")
CLASSIFIER = "ForSequenceClassification"
_MOST_NAME_BYTES = 180
"""Of a local model's name; file systems take 255 for the folder of its results."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's folder and what its own files declare."""

    path: Path
    loader: str
    """What the files say the model is."""
    has_modules: bool
    """Whether it is a sentence-transformers folder (`modules.json`)."""
    is_model2vec: bool
    """Whether model2vec itself saved it, without `modules.json`."""
    pooling: str | None
    normalize: bool
    max_tokens: int | None
    truncate_dim: int | None
    """Dimensions that sentence-transformers keeps of every vector; None for all."""
    similarity: str | None
    prompts_config: dict[str, Any]
    """`config_sentence_transformers.json`; empty where there is none."""
    has_router: bool
    """Whether queries and documents take different ways through the model."""
    is_table: bool
    """Whether it looks vectors of words up, without a network."""
    weight_bytes: int
    stored_dtype: str | None
    model_type: str | None
    """As transformers calls its network."""
    remote_code: list[str]
    """Modules that only run with --trust-remote-code."""
    has_own_network: bool
    """Whether its authors have code of their own for the network (`auto_map`)."""

    @property
    def n_parameters(self) -> int:
        """By the bytes of the weights and the precision that they are stored in."""
        return self.weight_bytes // (2 if self.stored_dtype in ("float16", "bfloat16") else 4)


def local_name(folder: Path) -> str:
    """What boards call a local model: by the folder that was typed, not by where a link leads.

    Letters and digits of every script stay, in NFC; a name that loses something on the way ends in
    6 hex digits of its hash.
    """
    name = unicodedata.normalize("NFC", os.path.basename(os.path.abspath(folder)))
    stem = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    while len(stem.encode()) > _MOST_NAME_BYTES:
        stem = stem[:-1]
    if stem != name:  # so that no two folders have one name
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:6]
        stem = f"{stem or 'model'}-{digest}"
    return f"local/{stem}"


def read_folder(path: Path, needs_weights: bool = True) -> ModelFolder:
    """Read a model folder's own configuration.

    :param needs_weights: False where the weights are in the file of another runtime.
    :raises ModelError: when it holds no usable weights, or a file says what no model can be.
    """
    _refuse_irregular(path)
    modules = declared(configuration.Modules, path / configuration.MODULES).root
    types = [(module.type, path / module.path) for module in modules]
    st_config = declared(
        configuration.SentenceTransformers, path / configuration.SENTENCE_TRANSFORMERS
    )
    of_network = next((folder for name, folder in types if name.endswith("Transformer")), path)
    network = declared(configuration.Network, of_network / configuration.NETWORK)
    if not modules and not (path / configuration.NETWORK).is_file():
        raise ModelError(
            f"{path} is not a model folder: it has neither modules.json (sentence-transformers) "
            "nor config.json (transformers). Name the folder that holds the model's files."
        )
    loader = _loader(network, st_config)
    weights = weight_files(path)
    if not weights and needs_weights:
        raise _no_weights(path, loader)
    headers = [tensors(weight) for weight in weights]
    weight_bytes = sum(weight.stat().st_size for weight in weights)
    if needs_weights and not (of_network / configuration.ADAPTER).is_file():
        _refuse_sizes([of_network, *(folder for _, folder in types)], weight_bytes, headers)
    prompts = st_config.model_dump(exclude_unset=True)
    if loader == "late-interaction":
        prompts = _with_prefixes(prompts or _stanford(path))
    is_model2vec = not modules and network.model_type == configuration.MODEL2VEC
    extra = network.model_extra or {}
    return ModelFolder(
        path=path,
        loader=loader,
        has_modules=bool(modules),
        is_model2vec=is_model2vec,
        pooling="mean" if is_model2vec else _pooling(types),
        normalize=any(name.endswith(".Normalize") for name, _ in types)
        or (is_model2vec and extra.get("normalize") is True),
        max_tokens=None if is_model2vec else configuration.max_tokens(of_network, network),
        truncate_dim=st_config.truncate_dim if modules else None,
        similarity=st_config.similarity_fn_name,
        prompts_config=prompts,
        has_router=any(name.endswith(".Router") for name, _ in types),
        is_table=is_model2vec or any(name.endswith(_TABLES) for name, _ in types),
        weight_bytes=weight_bytes,
        stored_dtype=network.torch_dtype or network.dtype,
        model_type=network.model_type,
        remote_code=_remote_code([name for name, _ in types], loader),
        has_own_network=bool(_LOADED_CLASSES & (network.auto_map or {}).keys()),
    )


def _refuse_irregular(path: Path) -> None:
    """Refuse pipes and devices, which a library would wait for."""
    for name in names(path):
        file = path / name
        if file.exists() and not file.is_file():
            raise ModelError(
                f"The model folder {path} holds {name}: {what_is(file)}. Take it away, or name "
                "another folder."
            )


def _no_weights(path: Path, loader: str) -> ModelError:
    pickles = sorted(
        Path(name).name for name in names(path) if Path(name).suffix in PICKLE_SUFFIXES
    )
    weights_there = f"only pickle weights ({', '.join(pickles[:3])})" if pickles else "no weights"
    return ModelError(
        f"The model folder {path} holds {weights_there}. kemb loads safetensors and "
        f"{TORCH_WEIGHTS}, because other pickles can run code. Convert it: "
        f"{st_class_of(loader)}(folder)."
        "save_pretrained(new_folder), then name the new folder."
    )


def _refuse_sizes(
    folders: Sequence[Path], weight_bytes: int, headers: Sequence[dict[str, Tensor] | None]
) -> None:
    """Refuse networks that the stored weights cannot fill; four bits are the least for a number."""
    n_tensors = None if None in headers else sum(len(header or {}) for header in headers)
    for folder in dict.fromkeys(folders):
        path = folder / configuration.NETWORK
        config = declared(configuration.Declared, path)
        configuration.refuse_sizes(path, config, 2 * weight_bytes, n_tensors)


def _loader(network: configuration.Network, st_config: configuration.SentenceTransformers) -> str:
    """By sentence-transformers' `model_type`; older rerankers and Stanford's ColBERT are told by
    their architecture.
    """
    kind = next(
        (name for name, loader in LOADERS.items() if st_config.model_type in loader.st_types), None
    )
    is_silent = not st_config.model_fields_set and not st_config.model_extra
    architecture = (network.architectures or [""])[0] if is_silent and not kind else ""
    if architecture == "HF_ColBERT":
        return "late-interaction"
    return kind or (
        "cross-encoder" if architecture.endswith(CLASSIFIER) else "sentence-transformers"
    )


def _pooling(types: list[tuple[str, Path]]) -> str | None:
    folder = next((folder for name, folder in types if name.endswith(".Pooling")), None)
    return None if folder is None else configuration.pooling(folder)


def _with_prefixes(st_config: dict[str, Any]) -> dict[str, Any]:
    """PyLate keeps `[Q] ` and `[D] ` apart from the prompts; sentence-transformers puts them
    before, and so do we.
    """
    prompts = dict(st_config.get("prompts") or {})
    for role in ("query", "document"):
        prefix = st_config.get(f"{role}_prefix") or ""
        if prefix:
            prompts[role] = prefix + str(prompts.get(role) or "").removeprefix(prefix)
    return st_config | {"prompts": prompts}


def _stanford(path: Path) -> dict[str, Any]:
    """What stands before the texts of Stanford's ColBERT, as sentence-transformers reads it."""
    settings = declared(configuration.Declared, path / STANFORD).model_extra or {}
    marks = {
        "query": settings.get("query_token_id") or "[unused0]",
        "document": settings.get("doc_token_id") or "[unused1]",
    }
    return {"prompts": {role: f"{mark} " for role, mark in marks.items()}}


_LOADED_CLASSES = {
    "AutoConfig",
    "AutoModel",
    "AutoModelForMaskedLM",
    "AutoModelForSequenceClassification",
}
"""What kemb loads networks as; code for another class (AutoModelForCausalLM) is not in question."""


def _remote_code(types: list[str], loader: str) -> list[str]:
    # sentence-transformers has its own class for PyLate's.
    library_prefixes = (
        ("sentence_transformers.", "pylate.models.Dense.")
        if loader == "late-interaction"
        else "sentence_transformers."
    )
    return [name for name in types if not name.startswith(library_prefixes)]


def refuse_remote_code(folder: ModelFolder, name: str, is_trusted: bool, is_declared: bool) -> None:
    """Code of a repository that nobody asked to run.

    transformers may have a class for the same `model_type`; that it computes the same is believed
    only where it is declared, and then tried.

    :param name: of the model.
    :param is_declared: whether kemb's description of the model says how its tokens see each other.
    :raises ModelError: what to type to run it.
    """
    custom = list(folder.remote_code)
    if folder.has_own_network and not is_declared:
        custom.append(f"model type {folder.model_type or '?'!r} (auto_map in config.json)")
    if not custom or is_trusted:
        return
    raise ModelError(
        f"{name} runs code from its own repository ({', '.join(custom)}). kemb does "
        "not run it unless asked to, and what the class of transformers would compute instead may "
        "be something else. Read the code, then add --trust-remote-code; it is recorded in the "
        "results."
    )


WANTED = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", STANFORD]


NETWORK = ["model.safetensors", "model-*.safetensors", TORCH_WEIGHTS]
"""Weights of the network itself, which another runtime has in its own file."""


_LIBRARIES = ("torch", "transformers", "sentence_transformers")
"""Without these, weights are of no use here."""


UNWANTED = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", ".eval_results/*"]


def fetch_model(
    repo: str,
    revision: str | None,
    trust_code: bool,
    also: Sequence[str] = (),
    instead: Sequence[str] = (),
    give: str = "give that folder here with -m DIR",
) -> tuple[Path, str]:
    """The folder of a model in the local hub cache, downloaded if need be, and its commit.

    :param revision: a commit, branch or tag; None for the main branch. It is resolved to a commit
        either way.
    :param also: names of more files.
    :param instead: patterns of another runtime's files; then the weights of torch are left where
        they are.
    :param give: how a folder is named here, for the message.
    :raises FetchError: when the hub does not give it; the message says what to do.
    :raises ModelError: when the repository holds no safetensors weights.
    :raises MissingExtra: before weights are fetched that nothing here could load.
    """
    from huggingface_hub import snapshot_download

    quiet_client()
    patterns = [*WANTED, *also, *instead, *(["*.py"] if trust_code else [])]
    unwanted = NETWORK if instead else UNWANTED
    need = f"{repo} is to be loaded{f' at revision {revision}' if revision else ''}"
    elsewhere = f"On a machine with network type `hf download {repo} --local-dir DIR`, and {give}."
    hashes: dict[str, str] = {}
    try:
        if is_offline():
            commit = revision
        else:
            commit, torch_files, hashes = _look(
                repo, revision, patterns, unwanted, needs_weights=not instead
            )
            patterns += torch_files
        fetch = partial(snapshot_download, repo, allow_patterns=patterns, ignore_patterns=unwanted)
        path = Path(retry(partial(fetch, revision=commit)))
        for name, sha256 in hashes.items():
            check_file(path / name, sha256)
    except KembError:
        raise
    except Exception as error:
        raise explain(error, need, "model", f"https://huggingface.co/{repo}", elsewhere) from error
    return path, path.name


def _look(
    repo: str, revision: str | None, patterns: list[str], unwanted: list[str], needs_weights: bool
) -> tuple[str, list[str], dict[str, str]]:
    """The commit of a revision, once it is known that its files are fit to be loaded and that the
    hub gives them.

    With it the weights of torch that stand in for safetensors, and of the files that are not here
    yet the sha256 that the hub says, by name.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # not listed, but documented

    repository = describe("model", repo, revision)
    commit, names = repository.commit, repository.names
    torch_files = (
        needed_torch_weights(list(filter_repo_objects(names, ignore_patterns=unwanted)))
        if needs_weights
        else []
    )
    if (
        needs_weights
        and not torch_files
        and not any(name.endswith(".safetensors") for name in names)
    ):
        pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        weights_there = (
            f"only pickle weights ({', '.join(pickles[:3])})" if pickles else "no weights"
        )
        raise ModelError(
            f"The model {repo} at {commit} holds {weights_there}. kemb loads safetensors and "
            f"{TORCH_WEIGHTS}, because other pickles can run code. Ask its author for safetensors, "
            "or convert a copy: "
            "SentenceTransformer(name).save_pretrained(folder) "
            "(SparseEncoder, MultiVectorEncoder or CrossEncoder for models of these kinds), then "
            "-m folder."
        )
    absent = [
        name
        for name in filter_repo_objects(
            names, allow_patterns=[*patterns, *torch_files], ignore_patterns=unwanted
        )
        if not isinstance(try_to_load_from_cache(repo, name, revision=commit), str)
    ]
    if absent and any(importlib.util.find_spec(package) is None for package in _LIBRARIES):
        raise MissingExtra(f"The model {repo}", "st")
    hashes = {name: ask_first(repo, name, "model", commit).sha256 for name in absent}
    return commit, torch_files, hashes
