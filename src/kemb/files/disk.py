"""Files that appear whole or not at all, their hashes, and JSON that is read within bounds.

What is written goes to a temporary name in the same folder and takes its place by a rename, so that
a reader sees the old file or the new one; what fails leaves nothing behind, and what a killed
process left is removed by the next one that writes there. No other module renames files
(`tests/test_architecture.py`).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from kemb.errors import DiskError
from kemb.files import owners

TEMPORARY = ".tmp"
"""How the names of unfinished files and folders end; they begin with a dot and the mark of the
process that writes them.
"""
_REPLACED = ".old"
"""Follows the name of a folder whose successor is about to take its place."""
_LEFTOVER = re.compile(
    rf"\.(?P<owner>{owners.PATTERN})-[0-9a-f]{{12}}(?:\.(?P<name>.+){_REPLACED})?{TEMPORARY}"
)
MOST_JSON_BYTES = 64 * 2**20
MOST_DEPTH = 64
"""Lists and objects inside each other; what kemb writes has ten."""
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


def reason_of(error: OSError) -> str:
    """What the system says, in its words."""
    return error.strerror or str(error)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the share of it that one may use, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing(what: str, hint: str) -> Iterator[None]:
    """Around everything that writes: what the system refuses becomes one sentence.

    :param what: "results/x.json cannot be written", without a full stop.
    :param hint: what to do, a sentence.
    :raises DiskError: a full disk, or a folder that cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(f"{what} ({reason_of(error)}). {hint}") from error


@contextlib.contextmanager
def temporary(folder: Path, name: str = "") -> Iterator[Path]:
    """A name in a folder for a file or folder that is not finished; what is left there is removed.

    `place` gives it its own name, before the block ends.

    :param name: of the folder that is put there until its successor has its place.
    """
    remove_leftovers(folder.absolute())
    ending = f".{name}{_REPLACED}{TEMPORARY}" if name else TEMPORARY
    path = folder / f".{owners.mark()}-{uuid.uuid4().hex[:12]}{ending}"
    try:
        yield path
    finally:
        _remove(path)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for what nobody keeps, removed at the end; that of a killed process is
    removed by the next one that asks for such a folder.
    """
    with temporary(Path(tempfile.gettempdir())) as folder:
        folder.mkdir(mode=0o700)
        yield folder


@functools.cache
def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this host left unfinished in a folder, once; a folder that
    was to be replaced, and has no successor, is put back.
    """
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            leftover = _LEFTOVER.fullmatch(path.name)
            if leftover is None or not owners.is_gone(leftover["owner"]):
                continue
            if leftover["name"] and not (folder / leftover["name"]).exists():
                path.rename(folder / leftover["name"])
            else:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove an unfinished file or folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def place(finished: Path, path: Path, sync: bool = False) -> None:
    """Rename a finished file, in place of the one of that name.

    :param sync: wait until its bytes are on the disk, so that a power cut leaves no empty file.
    :raises OSError: as the system says it.
    """
    if sync:
        with finished.open("rb") as file:
            os.fsync(file.fileno())
    finished.replace(path)


@contextlib.contextmanager
def replacing(path: Path, sync: bool = False) -> Iterator[Path]:
    """A temporary name that becomes `path` when the block ends well.

    :raises OSError: as the system says it; `writing` around it makes a sentence of it.
    """
    with temporary(path.parent) as unfinished:
        yield unfinished
        place(unfinished, path, sync)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes it when the block ends well; the old one goes.

    :raises OSError: as the system says it; the old folder is then where it was.
    """
    with temporary(path.parent) as unfinished, temporary(path.parent, path.name) as old:
        yield unfinished
        if not path.exists():
            unfinished.rename(path)
            return
        path.rename(old)
        try:
            unfinished.rename(path)
        except BaseException:
            old.rename(path)
            raise


def set_aside(path: Path, aside: Path) -> Path:
    """Move a file or folder out of the way, beside what was moved there before.

    :param aside: its new name; `-2`, `-3`, ... follows it where that is taken.
    :return: where it is.
    :raises OSError: as the system says it.
    """
    aside.parent.mkdir(parents=True, exist_ok=True)
    numbers = itertools.count(2)
    place_aside = aside
    while os.path.lexists(place_aside):
        place_aside = aside.with_name(f"{aside.name}-{next(numbers)}")
    path.rename(place_aside)
    return place_aside


def write(path: Path, content: str | bytes, hint: str, sync: bool = False) -> None:
    """Write a file, whole or not at all; its folder is made where there is none.

    :param content: text is written as UTF-8, its line ends as they are.
    :param hint: what to do where it cannot be written, a sentence.
    :raises DiskError: a full disk, or a folder that cannot be written.
    """
    encoded = content.encode() if isinstance(content, str) else content
    with writing(f"{path} cannot be written", hint):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sync) as unfinished:
            unfinished.write_bytes(encoded)


def json_text(content: object) -> str:
    """JSON as kemb writes it: one key a line, in the order of the keys."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def sha256(path: Path) -> str:
    """The hash of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file.

    :raises OSError: as the system says it.
    :raises ValueError: it is a device or a pipe, or larger than `most_bytes`.
    """
    size = size_of_file(path)
    if size > most_bytes:
        raise ValueError(f"it has {size} bytes; at most {most_bytes} are read")
    return path.read_bytes()


def read_text(path: Path, most_bytes: int = MOST_JSON_BYTES) -> str:
    """The text of a regular file, in UTF-8.

    :raises OSError: as the system says it; also where it is a device or a pipe, or larger than
        `most_bytes`.
    :raises UnicodeDecodeError: it is not UTF-8.
    """
    try:
        content = read_bytes(path, most_bytes)
    except ValueError as error:
        raise OSError(str(error)) from error
    return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def size_of_file(path: Path) -> int:
    """The bytes of a regular file, which is not opened: a pipe would wait for its writer.

    :raises OSError: as the system says it.
    :raises ValueError: it is a device, a pipe or a folder.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    return status.st_size


def what_is(path: Path) -> str:
    """Why a path is no file, found without opening it: "it is a pipe (FIFO), not a regular
    file".
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        link = "a link that leads nowhere" if path.is_symlink() else "there is no such file"
        return f"{link} ({error.strerror})"
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe (FIFO)",
        stat.S_ISSOCK: "a socket",
    }
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), "a device")
    return f"it is {kind}, not a regular file"


def read_json(path: Path, *, finite: bool = False, most_bytes: int = MOST_JSON_BYTES) -> Any:  # noqa: ANN401  whatever JSON can hold
    """What a JSON file holds.

    :param finite: refuse NaN and numbers beyond those of a float.
    :raises OSError: as the system says it.
    :raises ValueError: the file is none that `parse_json` reads, or too large.
    """
    return parse_json(read_bytes(path, most_bytes), finite=finite)


def parse_json(content: bytes, *, finite: bool = False) -> Any:  # noqa: ANN401  whatever JSON can hold
    """JSON in UTF-8.

    :param finite: refuse NaN and numbers beyond those of a float.
    :raises ValueError: it is none, holds half characters, or is nested more than `MOST_DEPTH` deep.
    """
    try:
        if finite:
            parsed = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
        else:
            parsed = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _refuse_depth(parsed)
    if _HALF_CHARACTER.search(content):
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half of a character (UTF-8 has no lone surrogates)") from error
    return parsed


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds {text[:20]}, which is too large for a number")
    return number


def _refuse_depth(parsed: object) -> None:
    level = [parsed]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


_ALWAYS_BYTES = 64 * 2**20


_MOST_TIMES = 100
"""What kemb writes unpacks to at most five times its size."""


def refuse_bomb(path: Path) -> None:
    """Refuse a file that is small and unpacks to something large.

    :raises OSError: as the system says it.
    :raises ValueError: it would, or is no regular file, or no Parquet file (pyarrow's errors are
        of this type).
    """
    import pyarrow.parquet as pq

    size = size_of_file(path)
    metadata = pq.read_metadata(path)
    n_bytes = sum(
        metadata.row_group(group).column(column).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    if n_bytes > max(_ALWAYS_BYTES, _MOST_TIMES * size):
        raise ValueError(f"its {size} bytes would unpack to {n_bytes}")
