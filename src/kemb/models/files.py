"""The files of a model: a local folder, its identity, and what its own configuration says. No torch
here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kemb.errors import FetchError, ModelError
from kemb.hub import ask_first, check_file, describe, explain, is_offline, quiet_client, retry
from kemb.models.families import LOADERS, st_class_of

IDENTITY_SUFFIXES = {".safetensors", ".json", ".txt", ".model", ".py", ".jinja"}
STANFORD = "artifact.metadata"
"""The settings of a ColBERT as Stanford's program saves it: JSON by another name."""
NOT_IDENTITY = {"trainer_state.json", "data_config.json", "train_script.py"}
_TABLES = (".StaticEmbedding", ".WordEmbeddings", ".BoW")
CLASSIFIER = "ForSequenceClassification"
TORCH_WEIGHTS = "pytorch_model*.bin"
"""Weights as torch saves them. They are read as tensors only, by an unpickler that runs no code."""
HEADS = ("sparse_linear", "colbert_linear")
"""Files of layers beside BGE-M3, without their ending."""
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's folder and what its own files declare."""

    path: Path
    loader: str
    """What the files say the model is."""
    has_modules: bool
    """Whether it is a sentence-transformers folder (`modules.json`)."""
    pooling: str | None
    normalize: bool
    max_tokens: int | None
    similarity: str | None
    prompts_config: dict[str, Any]
    """`config_sentence_transformers.json`; empty where there is none."""
    has_router: bool
    """Whether queries and documents take different ways through the model."""
    is_table: bool
    """Whether it looks vectors of words up, without a network."""
    weight_bytes: int
    stored_dtype: str | None
    remote_code: list[str]
    """Parts that only run with --trust-remote-code."""


def local_name(folder: Path) -> str:
    """What boards call a local model: by the folder that was typed, not by where a link leads."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(os.path.abspath(folder))).strip(".-")
    return f"local/{stem or 'model'}"


def read_folder(path: Path, needs_weights: bool = True) -> ModelFolder:
    """Read a model folder's own configuration.

    :param needs_weights: False where the weights are in the file of another runtime.
    :raises ModelError: when it holds no usable weights.
    """
    modules = _json(path / "modules.json", [])
    config = _json(path / "config.json", {})
    st_config = _json(path / "config_sentence_transformers.json", {})
    if not modules and not config:
        raise ModelError(
            f"{path} is not a model folder: it has neither modules.json (sentence-transformers) "
            "nor config.json (transformers). Name the folder that holds the model's files."
        )
    loader = _loader(config, st_config)
    weights = [*sorted(path.rglob("*.safetensors")), *torch_weights(path)]
    if not weights and needs_weights:
        pickles = sorted(p.name for p in path.rglob("*") if p.suffix in PICKLE_SUFFIXES)
        weights_there = (
            f"only pickle weights ({', '.join(pickles[:3])})" if pickles else "no weights"
        )
        raise ModelError(
            f"The model folder {path} holds {weights_there}. kemb loads safetensors and "
            f"{TORCH_WEIGHTS}, because other pickles can run code. Convert it: "
            f"{st_class_of(loader)}(folder)."
            "save_pretrained(new_folder), then name the new folder."
        )
    for weight in weights:
        _check_complete(weight)
    types = [(str(m.get("type", "")), path / str(m.get("path", ""))) for m in modules]
    if loader == "late-interaction":
        st_config = _with_prefixes(st_config or _stanford(path))
    return ModelFolder(
        path=path,
        loader=loader,
        has_modules=bool(modules),
        pooling=_pooling(types),
        normalize=any(name.endswith(".Normalize") for name, _ in types),
        max_tokens=_max_tokens(path, types, config),
        similarity=st_config.get("similarity_fn_name"),
        prompts_config=st_config,
        has_router=any(name.endswith(".Router") for name, _ in types),
        is_table=any(name.endswith(_TABLES) for name, _ in types),
        weight_bytes=sum(weight.stat().st_size for weight in weights),
        stored_dtype=config.get("torch_dtype") or config.get("dtype"),
        remote_code=_remote_code(types, config, loader),
    )


def _loader(config: dict[str, Any], st_config: dict[str, Any]) -> str:
    """By sentence-transformers' `model_type`; older rerankers and Stanford's ColBERT are told by
    their architecture.
    """
    model_type = str(st_config.get("model_type"))
    kind = next((name for name, loader in LOADERS.items() if model_type in loader.st_types), None)
    architecture = "" if kind or st_config else str((config.get("architectures") or [""])[0])
    if architecture == "HF_ColBERT":
        return "late-interaction"
    return kind or (
        "cross-encoder" if architecture.endswith(CLASSIFIER) else "sentence-transformers"
    )


def torch_weights(path: Path) -> list[Path]:
    """Weights that torch saved, of folders (the model's, or a module's below it) without
    safetensors.
    """
    every = {
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.suffix in (".bin", ".safetensors")
    }
    return [path / name for name in needed_torch_weights(every)]


def needed_torch_weights(names: Collection[str]) -> list[str]:
    """Of the files of a model those weights of torch in whose folder there are no safetensors;
    BGE-M3's heads aside.
    """
    files = [PurePosixPath(name) for name in names]
    safe = {
        file.parent for file in files if file.suffix == ".safetensors" and file.stem not in HEADS
    }
    return sorted(
        str(file) for file in files if file.match(TORCH_WEIGHTS) and file.parent not in safe
    )


def more_than_tensors(path: Path) -> str:
    """What is said of weights whose reader found something else than tensors, which it does not
    make.
    """
    names = ", ".join(str(file.relative_to(path)) for file in torch_weights(path))
    return (
        f"{path}: {names} cannot be read as tensors: it is damaged, or holds code, which kemb does "
        "not run. Fetch the model again, or ask its author for safetensors."
    )


def weights_kwargs(path: Path) -> dict[str, Any]:
    """What sentence-transformers is told of a folder's weights: safetensors, or what there is, as
    tensors only.
    """
    return {"use_safetensors": None if torch_weights(path) else True}


def content_hash(path: Path, also: Collection[str] = ()) -> str:
    """sha256 over every file that can change a vector: names and bytes, in order of names.

    :param also: names of files that count whatever their ending.
    """
    total, torch_files = hashlib.sha256(), set(torch_weights(path))
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        counts = name in (*also, STANFORD) or (
            file.suffix in IDENTITY_SUFFIXES and file.name not in NOT_IDENTITY
        )
        if hidden or not (counts or file in torch_files) or not file.is_file():
            continue
        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{len(name)}:{name}:{digest};".encode())
    return total.hexdigest()


def _is_old(file: BinaryIO) -> bool:
    """Whether it is a file of torch before 1.6, which is no zip file and does not say how long it
    is.
    """
    file.seek(0)
    return file.read(1) == b"\x80"


def _check_complete(weights: Path) -> None:
    """Refuse a truncated file: safetensors say at the beginning how long they are, torch's zip
    files at the end.
    """
    size = weights.stat().st_size
    with weights.open("rb") as file:
        if weights.suffix == ".bin" and (zipfile.is_zipfile(file) or _is_old(file)):
            return
        file.seek(0)
        try:
            (n_header,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(n_header)) if n_header < size else None
        except (struct.error, ValueError):
            header = None
    if header is not None:
        end = max(
            (t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"),
            default=0,
        )
        if size == 8 + n_header + end:
            return
    raise ModelError(
        f"The weights {weights} are damaged or incomplete ({size} bytes). Delete the file and "
        "fetch the model again."
    )


def _pooling(types: list[tuple[str, Path]]) -> str | None:
    for name, folder in types:
        if not name.endswith(".Pooling"):
            continue
        config = _json(folder / "config.json", {})
        if isinstance(config.get("pooling_mode"), str):
            mode: str = config["pooling_mode"]
            return "last" if mode == "lasttoken" else mode
        flags = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
        modes = sorted(
            key.removeprefix("pooling_mode_")
            for key, on in config.items()
            if on is True and "mode_" in key
        )
        return "+".join(flags.get(flag, flag) for flag in modes) or "mean"
    return None


def _max_tokens(path: Path, types: list[tuple[str, Path]], config: dict[str, Any]) -> int | None:
    """The limit sentence-transformers would use: its own file, else the smaller of positions and
    tokenizer.
    """
    for folder in [folder for name, folder in types if name.endswith("Transformer")] or [path]:
        limit = _json(folder / "sentence_bert_config.json", {}).get("max_seq_length")
        if isinstance(limit, int):
            return limit
    tokenizer = _json(path / "tokenizer_config.json", {}).get("model_max_length")
    limits = [
        n
        for n in (config.get("max_position_embeddings"), tokenizer)
        if isinstance(n, int) and n < 1 << 30
    ]
    return min(limits) if limits else None


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
    settings = _json(path / STANFORD, {})
    marks = {
        "query": settings.get("query_token_id") or "[unused0]",
        "document": settings.get("doc_token_id") or "[unused1]",
    }
    return {"prompts": {role: f"{mark} " for role, mark in marks.items()}}


def _remote_code(types: list[tuple[str, Path]], config: dict[str, Any], loader: str) -> list[str]:
    # sentence-transformers has its own class for PyLate's.
    library_prefixes = (
        ("sentence_transformers.", "pylate.models.Dense.")
        if loader == "late-interaction"
        else "sentence_transformers."
    )
    custom = [name for name, _ in types if not name.startswith(library_prefixes)]
    if "auto_map" in config:
        custom.append(f"model type {config.get('model_type', '?')!r} (auto_map in config.json)")
    return custom


def refuse_remote_code(folder: ModelFolder, name: str, is_trusted: bool) -> None:
    """Code of a repository that nobody asked to run.

    :param name: of the model.
    :raises ModelError: what to type to run it.
    """
    if not folder.remote_code or is_trusted:
        return
    custom = [part for part in folder.remote_code if not part.startswith("model type")]
    if not custom and _transformers_knows(folder):
        return
    raise ModelError(
        f"{name} runs code from its own repository ({', '.join(folder.remote_code)}). kemb does "
        "not run it unless asked to. Read the code, then add --trust-remote-code; it is recorded "
        "in the results."
    )


def _transformers_knows(folder: ModelFolder) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return _json(folder.path / "config.json", {}).get("model_type") in CONFIG_MAPPING_NAMES


def _json(path: Path, default: Any) -> Any:  # noqa: ANN401  JSON is what it is
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} is not valid JSON ({error}). The download may be incomplete: fetch it again."
        ) from error


WANTED = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", STANFORD]


NETWORK = ["model.safetensors", "model-*.safetensors", TORCH_WEIGHTS]
"""Weights of the network itself, which another runtime has in its own file."""


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
    except (FetchError, ModelError):
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
    hashes = {}
    for name in filter_repo_objects(
        names, allow_patterns=[*patterns, *torch_files], ignore_patterns=unwanted
    ):
        if not isinstance(try_to_load_from_cache(repo, name, revision=commit), str):
            hashes[name] = ask_first(repo, name, "model", commit)
    return commit, torch_files, hashes
