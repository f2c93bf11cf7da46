"""Files of lines: JSON Lines as text, and files that only grow, whole line by whole line."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    """JSONL: a line for every record, letters of any script as they are."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file and wait until it is on the disk; what cannot be written whole is
    taken away again. Threads of one process must take turns.

    An end that a killed process left torn gets its line end first, so that it spoils no other line.

    :param line: without its end.
    :raises OSError: it is not written; what was written before is as it was.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _append_whole(descriptor, line + b"\n")
    finally:
        os.close(descriptor)
    if is_new:
        _sync_folder(path.parent)


def _append_whole(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _sync_folder(folder: Path) -> None:
    """Wait until the name of a new file is on the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
