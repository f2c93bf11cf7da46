"""ONNX and OpenVINO files of a model: which is meant, what belongs to it, its hash. No torch, no
runtime here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import mmap
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from kemb.errors import MissingExtra, ModelError, UsageError

Runtime = Literal["onnx", "openvino"]
PACKAGES: dict[Runtime, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
TITLES: dict[Runtime, str] = {"onnx": "ONNX", "openvino": "OpenVINO"}
DEFAULTS: dict[Runtime, tuple[str, ...]] = {
    "onnx": ("onnx/model.onnx", "model.onnx"),
    # OpenVINO reads ONNX files, too.
    "openvino": (
        "openvino/openvino_model.xml",
        "openvino_model.xml",
        "onnx/model.onnx",
        "model.onnx",
    ),
}
"""Where sentence-transformers puts them, and what is taken where none is named; the first that is
there.
"""
_SUFFIXES: dict[Runtime, tuple[str, ...]] = {"onnx": (".onnx",), "openvino": (".xml", ".onnx")}
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])")
"""The entry `location` of a tensor's `external_data` in an ONNX file (onnx.proto:
StringStringEntryProto), and the length of its value.
"""
_DYNAMIC = re.compile(rb"DynamicQuantize")


@dataclass(frozen=True, slots=True)
class BackendFile:
    """A file of a model that another runtime than torch computes."""

    runtime: Runtime
    path: str
    """In the model's folder, with `/`."""
    sha256: str
    """Of its bytes and of those of the files that hold its weights."""
    alone: bool
    """Whether it measures its activations while it runs (dynamic quantisation): then the texts of
    one batch change each other's vectors, unless each is computed alone.
    """
    version: str
    """major.minor of the runtime."""

    @property
    def label(self) -> str:
        """What it adds to the name of a variant: runtime, file, a hash of the content."""
        name = re.sub(r"[^A-Za-z0-9._-]+|__+", "-", PurePosixPath(self.path).name)
        return f"{self.runtime}-{name}-{self.sha256[:8]}"

    @property
    def fingerprint(self) -> str:
        return f"{self.runtime} {self.version} {self.sha256}"


def check_options(runtime: Runtime | None, file: str) -> None:
    """Refuse what cannot be meant, and a runtime that is not installed.

    :raises UsageError: with what to type; MissingExtra when the package is missing.
    """
    if runtime is None:
        if file:
            raise UsageError(
                f"--backend-file {file} says nothing without its runtime. Add --backend onnx or "
                "openvino."
            )
        return
    path = PurePosixPath(file)
    if file and (path.is_absolute() or ".." in path.parts or path.suffix not in _SUFFIXES[runtime]):
        raise UsageError(
            f"--backend-file {file!r} is no {' or '.join(_SUFFIXES[runtime])} file inside the "
            "model's folder. "
            f"Type its path there: --backend-file {DEFAULTS[runtime][0]}."
        )
    if importlib.util.find_spec(PACKAGES[runtime]) is None:
        raise MissingExtra(f"--backend {runtime}", runtime)


def refuse_settings(name: str, is_dense: bool, dtype: str | None) -> None:
    """Refuse a model of another kind, and a dtype, which the file decides.

    :raises UsageError: with what to leave out.
    """
    if dtype:
        raise UsageError(
            "--dtype cannot be used with --backend: how a file computes is fixed in it. Leave it "
            "out."
        )
    if not is_dense:
        raise UsageError(
            f"--backend is for dense models with a network, and {name} is not one. Leave it out."
        )


def patterns(runtime: Runtime, file: str) -> list[str]:
    """What must be fetched of a hub repository: the file, and beside it whatever begins with its
    name.
    """
    names = _candidates(runtime, file)
    return [
        pattern for name in names for pattern in (f"{name}*", f"{name.removesuffix('.xml')}.bin")
    ]


def weights_elsewhere(folder: Path, runtime: Runtime, file: str) -> list[str]:
    """What else must be fetched: files with weights of the ONNX file that are not there and have a
    name of their own (`onnx/Constant_7_attr__value` of BAAI/bge-m3).
    """
    path = _path(folder, runtime, file)
    if path is None or path.suffix != ".onnx":
        return []
    parts = [path.parent / name for name in _read_onnx(path)[0]]
    return [part.relative_to(folder).as_posix() for part in parts if not part.is_file()]


def find_file(folder: Path, runtime: Runtime, file: str = "") -> BackendFile:
    """The file that is meant, read once for its hash.

    :param file: its path in the folder, or its name where it lies in `onnx/` or `openvino/`; '' for
        the usual one.
    :raises ModelError: it is not there or not whole, with the files that are.
    """
    path = _path(folder, runtime, file)
    if path is None:
        raise _missing(folder, runtime, file)
    total, alone = hashlib.sha256(), False
    weights = [path.with_suffix(".bin")] if path.suffix == ".xml" else []
    if path.suffix == ".onnx":
        names, alone = _read_onnx(path)
        weights = [path.parent / name for name in names]
    for part in (path, *weights):
        if not part.is_file():
            raise ModelError(
                f"{path} keeps weights in {part.name}, which is not beside it. Fetch the model "
                "again."
            )
        with part.open("rb") as handle:
            total.update(hashlib.file_digest(handle, "sha256").digest())
    version = ".".join(importlib.metadata.version(PACKAGES[runtime]).split(".")[:2])
    return BackendFile(
        runtime, path.relative_to(folder).as_posix(), total.hexdigest(), alone, version
    )


def _path(folder: Path, runtime: Runtime, file: str) -> Path | None:
    return next(
        (folder / name for name in _candidates(runtime, file) if (folder / name).is_file()), None
    )


def _candidates(runtime: Runtime, file: str) -> list[str]:
    if not file:
        return list(DEFAULTS[runtime])
    return [
        file,
        *([f"{folder}/{file}" for folder in ("onnx", "openvino")] if "/" not in file else []),
    ]


def _missing(folder: Path, runtime: Runtime, file: str) -> ModelError:
    suffixes = _SUFFIXES[runtime]
    files = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in suffixes
    )
    expected = file or " or ".join(DEFAULTS[runtime])
    if files:
        return ModelError(
            f"There is no {expected} in {folder}; there are {', '.join(files[:10])}. Type "
            f"--backend-file {files[0]}."
        )
    return ModelError(
        f"There is no {TITLES[runtime]} file ({expected}) in {folder}. kemb changes no model "
        "folder; make another one that has it: kemb export onnx MODEL -o DIR, then -m DIR."
    )


def _read_onnx(path: Path) -> tuple[list[str], bool]:
    """The files beside it that hold its weights, and whether it quantises activations while it
    runs.

    :raises ModelError: a file that lies elsewhere.
    """
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty. Fetch the model again.")
    with (
        path.open("rb") as handle,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        locations = {content[at.end() : at.end() + at[1][0]] for at in _LOCATION.finditer(content)}
        alone = _DYNAMIC.search(content) is not None
    names = sorted(name.decode("utf-8", "replace") for name in locations)
    for name in names:
        if name != PurePosixPath(name).name or "\\" in name or name in ("", ".", ".."):
            raise ModelError(
                f"{path} wants weights from {name!r}, outside of its folder. kemb does not read "
                "them."
            )
    return names, alone
