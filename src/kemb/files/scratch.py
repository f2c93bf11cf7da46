"""Scratch files: what a process keeps on disk while it works, without a name, gone when it ends.

A mapped file is the page cache's, which the system may drop and read again; memory of the process
itself it can only keep. So what grows with a corpus lies in such files.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kemb.errors import DiskError
from kemb.files.disk import reason_of

LARGE_BYTES = 32 * 2**20
"""From so many bytes on, a file, column or array lies on disk and not in memory."""


def folder() -> Path:
    """`scratch` in the user's cache folder for kemb: the system's own folder of temporary files may
    be memory.
    """
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "scratch"


def new_file(n_bytes: int = 0) -> IO[bytes]:
    """An empty file without a name, or one of so many bytes, which the disk is sure to have.

    :raises DiskError: the disk is full, or the folder cannot be written.
    """
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=place)
        if n_bytes and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        elif n_bytes:
            file.truncate(n_bytes)
    except OSError as error:
        raise full(error) from error
    return file


def full(error: OSError) -> DiskError:
    """What the system said of a scratch file, as a sentence."""
    return DiskError(
        f"{folder()} cannot be written ({reason_of(error)}). A corpus that is larger than memory "
        "is unpacked there while kemb works: free space for about three times its size, or name "
        "another cache folder: XDG_CACHE_HOME=DIR."
    )


def array(n: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array [n] of zeros or of nothing in particular; a large one lies in a scratch file.

    :raises DiskError: the disk is full, or the folder cannot be written.
    """
    n_bytes = n * np.dtype(dtype).itemsize
    if n_bytes < max(LARGE_BYTES, 1):
        return np.empty(n, dtype=dtype)
    with new_file(n_bytes) as file:
        return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=(n,)))
