"""Copies of shards of object stores on this machine's disk, named by their hash, of bounded size.

A copy is there whole or not at all, and has been compared with its hash. The one that was not used
for longest goes first; one that a process has mapped stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from kemb.encoding.shards import SHARD_NAME, SUFFIX, checksum
from kemb.errors import DiskError, UsageError
from kemb.files import disk

VARIABLE = "KEMB_CACHE_GB"
DEFAULT_GB = 20.0
KEYS = ".keys"
"""How the name of a shard's keys ends, which lie here alone until its vectors are wanted."""


class Damaged(Exception):
    """What was fetched has not the hash that it is named by."""


class Cache:
    """A folder of copies."""

    def __init__(self, folder: Path | None = None, most_bytes: int | None = None) -> None:
        """
        :param folder: the user's cache folder by default.
        :param most_bytes: `$KEMB_CACHE_GB` by default.
        """
        self.folder = default_folder() if folder is None else folder
        self.most_bytes = _configured_bytes() if most_bytes is None else most_bytes
        self._locks: dict[str, int] = {}
        """Open files of the copies that are mapped here, the one used last at the end."""
        weakref.finalize(self, _close, self._locks)
        self._sizes: dict[str, int] = {}
        self._lock = threading.RLock()

    def path(self, name: str) -> Path | None:
        """A copy, if it is there; it counts as used now."""
        path = self.folder / name
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def fetch(self, name: str, n_bytes: int, download: Callable[[Path], object]) -> Path:
        """A copy of a shard; downloaded if it is not there.

        :param n_bytes: of the shard, about.
        :raises Damaged: what was downloaded is not what its name says.
        :raises DiskError: the cache cannot be written.
        """
        if (path := self.path(name)) is not None:
            return path
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(n_bytes)
            with disk.temporary(self.folder) as unfinished:
                download(unfinished)
                if name.endswith(SUFFIX) and f"{checksum(unfinished)}{SUFFIX}" != name:
                    raise Damaged(name)
                disk.place(unfinished, self.folder / name)
        return self.folder / name

    def keep(self, write: Callable[[Path], object], upload: Callable[[Path, str], object]) -> str:
        """Write a shard here, upload it under the hash of its bytes, and keep the copy.

        :raises DiskError: the cache cannot be written.
        """
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            with disk.temporary(self.folder) as unfinished:
                write(unfinished)
                self._make_room(unfinished.stat().st_size)
                name = f"{checksum(unfinished)}{SUFFIX}"
                upload(unfinished, name)
                disk.place(unfinished, self.folder / name)
        return name

    def pin(self, path: Path) -> list[str]:
        """Keep a copy that is about to be mapped from going; of those that were pinned longest ago,
        which may be unmapped now, so that all that is mapped here takes half of the cache at most.

        :raises FileNotFoundError: it is gone already.
        """
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_SH)  # the system gives it back if this process is killed
        names = []
        with self._lock:
            if path.name in self._locks:
                self.unpin(path.name)
            self._locks[path.name] = lock
            self._sizes[path.name] = path.stat().st_size
            while sum(self._sizes.values()) > self.most_bytes // 2 and len(self._locks) > 1:
                names.append(next(iter(self._locks)))
                self.unpin(names[-1])
        return names

    def unpin(self, name: str) -> None:
        """Let a copy go when room is needed."""
        with self._lock:
            os.close(self._locks.pop(name))
            del self._sizes[name]

    def remove(self, name: str) -> None:
        """Remove a copy, if it is there, and its keys."""
        with self._lock:
            if name in self._locks:
                self.unpin(name)
        for path in (self.folder / name, self.folder / f"{name}{KEYS}"):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _make_room(self, n_bytes: int) -> None:
        copies = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if SHARD_NAME.fullmatch(entry.name.removesuffix(KEYS)):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        copies.append((status.st_mtime_ns, status.st_size, entry.path))
        size = sum(copy_bytes for _, copy_bytes, _ in copies)
        for _, copy_bytes, path in sorted(copies):
            if size + n_bytes <= self.most_bytes:
                return
            if _removed_unless_mapped(path):
                size -= copy_bytes

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:  # what was to be fetched
            raise
        except OSError as error:
            raise DiskError(
                f"The cache of the store {self.folder} cannot be written "
                f"({disk.reason_of(error)}). Free space, lower {VARIABLE}, or name another folder "
                "with XDG_CACHE_HOME; what was stored is kept."
            ) from error


def default_folder() -> Path:
    """In the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "objects"


def _close(locks: dict[str, int]) -> None:
    for lock in locks.values():
        os.close(lock)


def _removed_unless_mapped(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    except OSError:
        return False
    return True


def _configured_bytes() -> int:
    configured = os.environ.get(VARIABLE) or str(DEFAULT_GB)
    try:
        gigabytes = float(configured)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < 1e9:
        raise UsageError(
            f"{VARIABLE}={configured!r} is no size; give gigabytes above 0, such as {VARIABLE}=20."
        )
    return int(gigabytes * 1e9)
