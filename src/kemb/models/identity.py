"""What a model folder is, by content: every file that can change a vector, those that lie elsewhere
included.

An adapter (PEFT) holds the difference to a base model, a configuration may name code or a tokenizer
of another repository, and folders may be links: all of them count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kemb.errors import ModelError
from kemb.files import disk
from kemb.models import configuration
from kemb.models.weights import names, torch_weights

SUFFIXES = {
    *(".safetensors", ".json", ".txt", ".model", ".py", ".jinja"),
    *(".bpe", ".tiktoken", ".vocab", ".spm"),
}
STANFORD = "artifact.metadata"
"""The settings of a ColBERT as Stanford's program saves it: JSON by another name."""
NOT_IDENTITY = {"trainer_state.json", "data_config.json", "train_script.py"}
_MOST_FOLDERS = 8
"""Models that stand on each other."""


def file_hashes(path: Path, also: Collection[str] = ()) -> dict[str, str]:
    """sha256 of every file that can change a vector, by its name in the folder, in order of names.

    :param also: names of files that count whatever their ending.
    :raises ModelError: a file cannot be read.
    """
    torch_files = {file.relative_to(path).as_posix() for file in torch_weights(path)}
    hashes = {}
    for name in sorted(names(path)):
        file = path / name
        counts = name in (*also, STANFORD) or (
            file.suffix in SUFFIXES and file.name not in NOT_IDENTITY
        )
        if (counts or name in torch_files) and file.is_file():
            try:
                hashes[name] = disk.sha256(file)
            except OSError as error:
                raise ModelError(
                    f"{file} cannot be read ({disk.reason_of(error)}). Give yourself the right to "
                    "read it, or fetch the model again."
                ) from error
    return hashes


def content_hash(path: Path, also: Collection[str] = ()) -> str:
    """sha256 over every file that can change a vector: names and bytes, in order of names; then
    what lies elsewhere.

    :param also: names of files that count whatever their ending.
    :raises ModelError: as `file_hashes` and `elsewhere`.
    """
    return hash_of(path, file_hashes(path, also))


def hash_of(path: Path, hashes: Mapping[str, str]) -> str:
    """`content_hash` of a folder whose files are hashed already.

    :param hashes: of `file_hashes`.
    :raises ModelError: as `elsewhere`.
    """
    total = hashlib.sha256()
    for name, digest in hashes.items():
        total.update(f"{len(name)}:{name}:{digest};".encode())
    for name, identity in elsewhere(path).items():
        total.update(f"{len(name)}:{name}:{identity};".encode())
    return total.hexdigest()


def elsewhere(path: Path, depth: int = 0) -> dict[str, str]:
    """What a folder needs that lies elsewhere: by its name there, a content hash or a commit.

    Code that is not on this machine is left out: it cannot run.

    :raises ModelError: a base model or a tokenizer is neither a folder nor in the hub's cache.
    """
    if depth == _MOST_FOLDERS:
        raise ModelError(
            f"{path} stands on a model that stands on another, {depth} deep. Merge the adapters "
            "into one model."
        )
    subfolders = {Path(name).parent for name in names(path) if name.endswith(".json")}
    needs = {}
    for folder in sorted(path / subfolder for subfolder in {Path(), *subfolders}):
        for name in _models_named_in(folder):
            if not _is_same(name, path, folder):
                needs[name] = _identity_of(name, folder, depth)
        for name, file in _code_named_in(folder):
            if commit := _cached_commit(name, [file]):
                needs[name] = commit
    return dict(sorted(needs.items()))


def _is_same(name: str, path: Path, folder: Path) -> bool:
    return Path(name).is_dir() and Path(name).resolve() in (path.resolve(), folder.resolve())


def _models_named_in(folder: Path) -> list[str]:
    """The base of an adapter, and a tokenizer of another model."""
    adapter = configuration.read(configuration.Adapter, folder / configuration.ADAPTER)
    tokenizer = configuration.transformer_of(folder).tokenizer_name_or_path
    bases = [adapter.base_model_name_or_path] if adapter else []
    return [*bases, *([tokenizer] if tokenizer else [])]


def _code_named_in(folder: Path) -> list[tuple[str, str]]:
    """Repositories whose code a network runs on, and the file of it."""
    network = configuration.declared(configuration.Network, folder / configuration.NETWORK)
    references = [
        part
        for reference in (network.auto_map or {}).values()
        for part in (reference if isinstance(reference, list) else [reference])
        if isinstance(part, str) and "--" in part
    ]
    split = [reference.partition("--") for reference in references]
    return [(name, f"{place.partition('.')[0]}.py") for name, _, place in split]


def _identity_of(name: str, folder: Path, depth: int) -> str:
    if Path(name).is_dir():
        total = hashlib.sha256()
        for part, digest in (file_hashes(Path(name)) | elsewhere(Path(name), depth + 1)).items():
            total.update(f"{len(part)}:{part}:{digest};".encode())
        return total.hexdigest()
    files = (configuration.NETWORK, configuration.TOKENIZER, configuration.ADAPTER)
    if commit := _cached_commit(name, files):
        return commit
    raise ModelError(
        f"{folder} needs {name}, which is neither a folder nor in the hub's cache on this machine, "
        f"so that nobody knows what it computes. Type `hf download {name}`, or put the folder "
        "where the file says."
    )


def _cached_commit(name: str, files: Sequence[str]) -> str | None:
    """The commit of a repository's main branch in the hub's cache; None where none is there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        paths = [try_to_load_from_cache(name, file) for file in files]
    except HFValidationError:
        return None
    return next((Path(path).parent.name for path in paths if isinstance(path, str)), None)
