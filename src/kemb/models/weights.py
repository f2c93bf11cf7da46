"""The weights of a model folder: which files they are, whether they are whole, what they hold."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from kemb.errors import ModelError
from kemb.files import disk

TORCH_WEIGHTS = "pytorch_model*.bin"
"""Weights as torch saves them. They are read as tensors only, by an unpickler that runs no code."""
HEADS = ("sparse_linear", "colbert_linear")
"""Files of layers beside BGE-M3, without their ending."""
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_MOST_HEADER_BYTES = 100_000_000
"""As safetensors itself reads at most."""
_BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32} | {
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 8),
}
"""Of one number; other types are not checked."""

Size = Annotated[int, Field(ge=0)]


class Tensor(BaseModel):
    """One entry of the header of a safetensors file."""

    model_config = ConfigDict(frozen=True, strict=True)

    dtype: str
    shape: list[Size]
    data_offsets: Annotated[list[Size], Field(min_length=2, max_length=2)]


class Header(RootModel[dict[str, Tensor]]):
    """The header of a safetensors file, by name of the tensor."""


def names(path: Path) -> Iterator[str]:
    """Names of the files below a folder, through links, hidden ones left out; no folder twice."""
    visited = set()
    for folder, subfolders, files in os.walk(path, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(path).as_posix()


def weight_files(path: Path) -> list[Path]:
    """The files of a model's weights: safetensors, then those that torch saved."""
    safe = sorted(name for name in names(path) if name.endswith(".safetensors"))
    return [*(path / name for name in safe), *torch_weights(path)]


def torch_weights(path: Path) -> list[Path]:
    """Weights that torch saved, of folders (the model's, or a module's below it) without
    safetensors.
    """
    every = {name for name in names(path) if name.endswith((".bin", ".safetensors"))}
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


def tensors(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file of weights, by name; None of a file that torch saved, which does not
    say.

    Safetensors say at the beginning how long they are, torch's zip files at the end.

    :raises ModelError: the file cannot be read, is truncated, or contradicts itself.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if path.suffix == ".bin" and (zipfile.is_zipfile(file) or _is_old(file)):
                return None
            file.seek(0)
            return _read_header(path, file, size)
    except OSError as error:
        raise ModelError(
            f"The weights {path} cannot be read ({disk.reason_of(error)}). Give yourself the "
            "right to read them, or fetch the model again."
        ) from error


def _is_old(file: BinaryIO) -> bool:
    """Whether it is a file of torch before 1.6, which is no zip file and does not say how long it
    is.
    """
    file.seek(0)
    return file.read(1) == b"\x80"


def _read_header(path: Path, file: BinaryIO, size: int) -> dict[str, Tensor]:
    start = file.read(8)
    n_header = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if n_header >= size or n_header > _MOST_HEADER_BYTES:
        raise _damaged(path, f"{size} bytes")
    try:
        content = disk.parse_json(file.read(n_header))
    except ValueError as error:
        raise _damaged(path, f"{size} bytes, its header is no JSON") from error
    if isinstance(content, dict):
        content.pop("__metadata__", None)
    try:
        header = Header.model_validate(content).root
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the header"
        raise _damaged(path, f"{where}: {problem['msg']}") from error
    for name, tensor in header.items():
        begin, end = tensor.data_offsets
        bits = _BITS.get(tensor.dtype)
        if bits is not None and (end - begin) * 8 != math.prod(tensor.shape) * bits:
            raise _damaged(
                path,
                f"{name} has shape {tensor.shape} of {tensor.dtype}, and {end - begin} bytes",
            )
    if size != 8 + n_header + max((t.data_offsets[1] for t in header.values()), default=0):
        raise _damaged(path, f"{size} bytes")
    return header


def _damaged(path: Path, how: str) -> ModelError:
    return ModelError(
        f"The weights {path} are damaged or incomplete ({how}). Delete the file and fetch the "
        "model again."
    )
