"""Whether a folder is a copy of a known model, by its content only.

A copy is known by the sha256 of its weights (those that the model's TOML lists, or those in the
hub's cache on this machine), or by the commit and hashes that `hf download` leaves beside the
files, where the files still match. Names are hints: fine-tunes inherit them, so that they change
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kemb.errors import UnknownName, UsageError
from kemb.files import disk
from kemb.hub import COMMIT
from kemb.models import catalogue, configuration
from kemb.models.families import LOADERS
from kemb.models.spec import ModelSpec
from kemb.models.weights import weight_files

NONE = "none"
"""Typed after --as: the folder is no known model."""
_METADATA = ".cache/huggingface/download"
_MOST_METADATA_BYTES = 4096


class Recognised(NamedTuple):
    """Which known model a folder is taken for."""

    spec: ModelSpec | None
    """The known model whose settings it gets; None for none."""
    variant: str
    """What the choice adds to the name of the row; '' for what the content says itself."""
    remark: str
    """What must be said of it; '' for nothing."""


def recognise(
    path: Path, hashes: Mapping[str, str], typed_name: str, known_as: str | None
) -> Recognised:
    """The known model that a folder is taken for.

    :param hashes: of its files, of `identity.file_hashes`.
    :param typed_name: the folder as it was typed.
    :param known_as: as typed after --as; None where nothing was.
    :raises UnknownName: --as names no known model.
    :raises UsageError: --as names one that is no model of files.
    """
    copied = copy_of(path, hashes)
    if known_as is None:
        if copied is not None:
            return Recognised(copied, "", "")
        return Recognised(None, "", _remark(hint(path), typed_name))
    if known_as.lower() == NONE:
        return Recognised(None, "as_none" if copied else "", "")
    spec = catalogue.load_spec(known_as)
    if spec is None:
        raise UnknownName(
            "model",
            known_as,
            catalogue.accepted_names(),
            "After --as stands a name of `kemb models`, or none.",
        )
    if not _has_files(spec):
        raise UsageError(
            f"--as {known_as}: {spec.name} is no model of files, so that no folder can be one. "
            "Type a name of `kemb models` that stands on the hub, or --as none."
        )
    if copied is not None and copied.name == spec.name:
        return Recognised(spec, "", "")
    return Recognised(spec, f"as_{catalogue.slug(spec.name)}", "")


def settings_of(spec: ModelSpec, name: str) -> ModelSpec:
    """A known model's specification under the name of a folder."""
    return spec.model_copy(update={"name": name, "hub": spec.hub or spec.name})


def _has_files(spec: ModelSpec) -> bool:
    loader = LOADERS[spec.loader]
    return not loader.is_built_in and not loader.cannot_run and spec.loader != "api"


def _remark(spec: ModelSpec | None, typed_name: str) -> str:
    if spec is None:
        return ""
    return (
        f"{typed_name} looks like {spec.name} by its name, but its content does not prove it, so "
        "that nothing that kemb knows of that model (prompts, pooling, token limit, dtype, "
        f"licence) is used. If it is one, type -m {typed_name} --as {spec.name}; if not, --as none."
    )


def hint(path: Path) -> ModelSpec | None:
    """The known model that a folder has the name of: in its configuration, or its own."""
    network = configuration.declared(configuration.Network, path / configuration.NETWORK)
    folder = path.resolve().name
    for name in (network.name_or_path or "", folder.replace("__", "/", 1), folder):
        if name and (spec := catalogue.load_spec(name)) is not None and _has_files(spec):
            return spec
    return None


def copy_of(path: Path, hashes: Mapping[str, str]) -> ModelSpec | None:
    """The known model whose files a folder holds; None for none, or for several."""
    weights = {file.relative_to(path).as_posix() for file in weight_files(path)}
    digests = {hashes[name] for name in weights if name in hashes}
    if not digests:
        return None
    commit = _commit_of(path, hashes)
    copied = [
        spec
        for spec in _known()
        if commit == spec.revision is not None
        or digests == set(spec.weights.values())
        or digests in _cached(spec.name)
    ]
    return copied[0] if len(copied) == 1 else None


def _known() -> Iterator[ModelSpec]:
    """Known models of files, rows that are variants of one left out."""
    for name in catalogue.names():
        spec = catalogue.load_spec(name)
        if spec is not None and spec.hub is None and _has_files(spec) and "/" in spec.name:
            yield spec


def _cached(name: str) -> Iterator[set[str]]:
    """sha256 of the weights of a model in the hub's cache, of each commit: the hub's client names
    large files by them.
    """
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}", "snapshots")
    for snapshot in sorted(snapshots.glob("*")):
        yield {weight.resolve().name for weight in weight_files(snapshot)}


def _commit_of(path: Path, hashes: Mapping[str, str]) -> str | None:
    """The commit that `hf download` noted, if every file that can change a vector is as it was."""
    commits = set()
    for name, digest in hashes.items():
        note = path / _METADATA / f"{name}.metadata"
        try:
            commit, etag, *_ = disk.read_bytes(note, _MOST_METADATA_BYTES).decode().splitlines()
        except (OSError, ValueError):
            return None
        if etag not in (digest, _blob_id(path / name)):
            return None
        commits.add(commit)
    commit = commits.pop() if len(commits) == 1 else ""
    return commit if COMMIT.fullmatch(commit) else None


def _blob_id(path: Path) -> str:
    """The name that git gives to the bytes of a file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
