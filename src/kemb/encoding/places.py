"""Where the files of a space lie: a folder of this machine's file system, or a prefix of an object
store (`objects`), behind the same few verbs.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from kemb.encoding import leases
from kemb.encoding.shards import SHARD_NAME, SUFFIX, Shard, checksum, read_shard
from kemb.errors import DiskError, StoreError
from kemb.files import disk, owners

STALE_SECONDS = 3600.0
"""After that long a leftover of another host, or of an older kemb, is nobody's."""
_UNFINISHED = re.compile(
    rf"\.(?:[0-9a-f]{{32}}|{owners.PATTERN}-[0-9a-f]{{12}}){re.escape(disk.TEMPORARY)}"
)
DAMAGED = "damaged"
"""Folder for shards whose bytes are not those that were written."""


class Place(Protocol):
    """Files of one space. Shards are named by the hash of their bytes."""

    name: str
    """Of the space: the last part of its address."""
    is_remote: bool
    """Whether shards are fetched before they are read; what is fetched is compared with its hash
    then.
    """

    def hold(self) -> None:
        """Keep the space from being cleaned while this process runs, where that can be done.

        :raises StoreError: it is being cleaned.
        """
        ...

    def cleaning(self) -> contextlib.AbstractContextManager[list[str]]:
        """Around what removes vectors: who uses the space; empty where nobody does, or where
        nobody can tell.
        """
        ...

    def sizes(self) -> dict[str, int]:
        """Bytes of the shards that are there, damaged ones included, by name."""
        ...

    def open(self, name: str) -> Shard:
        """A shard, its vectors not read yet.

        :raises FileNotFoundError: it is gone.
        :raises StoreError: it cannot be read.
        :raises Exception: it is none, as pyarrow says it.
        """
        ...

    def is_intact(self, name: str) -> bool:
        """Whether a shard's bytes have the hash that it is named by.

        :raises FileNotFoundError: it is gone.
        :raises StoreError: they cannot be read: nothing is known of them.
        """
        ...

    def put(self, write: Callable[[Path], object]) -> str:
        """Write a shard, whole or not at all, and give its name.

        :param write: writes its bytes to a path.
        :raises DiskError: it cannot be written.
        """
        ...

    def has(self, name: str) -> bool:
        """Whether a shard is there."""
        ...

    def remove(self, name: str) -> None:
        """Remove a shard, if it is there."""
        ...

    def set_aside(self, name: str) -> None:
        """Move a damaged shard to where nobody reads it.

        :raises FileNotFoundError: it is gone.
        :raises StoreError: it cannot be moved.
        """
        ...

    def leftovers(self) -> dict[str, int]:
        """Bytes of the unfinished files of killed runs, by name."""
        ...

    def damaged(self) -> dict[str, int]:
        """Bytes of damaged shards that were set aside, by name in the space."""
        ...

    def remove_file(self, name: str) -> None:
        """Remove any file of the space, if it is there.

        :raises DiskError: it cannot be removed.
        """
        ...

    def vanish(self) -> list[Path]:
        """Remove the space itself, which has no shards any more; files that kemb did not write are
        named, and left.
        """
        ...

    def names(self, folder: str) -> list[str]:
        """Of the files in a folder of the space, in order."""
        ...

    def read(self, name: str) -> bytes:
        """A small file.

        :raises OSError: it is not there, or cannot be read.
        """
        ...

    def write(self, name: str, text: str) -> None:
        """Write a small file, unless it is there with this text.

        :raises DiskError: it cannot be written.
        """
        ...


class Folder:
    """A folder of a file system."""

    is_remote = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def __str__(self) -> str:
        return str(self.path)

    def hold(self) -> None:
        leases.hold(self.path)

    @contextlib.contextmanager
    def cleaning(self) -> Iterator[list[str]]:
        try:
            with leases.cleaning(self.path) as users:
                yield users
        except OSError as error:
            raise DiskError(
                f"The store's folder {self.path} cannot be cleaned ({disk.reason_of(error)}). Ask "
                "its owner to run `kemb store gc`."
            ) from error

    def sizes(self) -> dict[str, int]:
        paths = self.path.glob(f"*{SUFFIX}")
        return sizes(path for path in paths if SHARD_NAME.fullmatch(path.name))

    def open(self, name: str) -> Shard:
        return read_shard(self.path / name)

    def is_intact(self, name: str) -> bool:
        try:
            return f"{checksum(self.path / name)}{SUFFIX}" == name
        except FileNotFoundError:
            raise
        except (OSError, MemoryError) as error:
            raise read_error(self.path / name, error) from error

    def put(self, write: Callable[[Path], object]) -> str:
        with self._writing():
            self._create()
            with disk.temporary(self.path) as unfinished:
                write(unfinished)
                name = f"{checksum(unfinished)}{SUFFIX}"
                disk.place(unfinished, self.path / name, sync=True)
        return name

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        path = self.path / name
        try:
            disk.set_aside(path, self.path / DAMAGED / name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"The shard {path} is damaged (its bytes are not those that were written) and "
                f"cannot be moved to {path.parent / DAMAGED} ({disk.reason_of(error)}). Move it "
                "out of the store, or name another folder with --store DIR (or KEMB_STORE)."
            ) from error

    def leftovers(self) -> dict[str, int]:
        stale = {}
        for path in sorted(self.path.glob(f".*{disk.TEMPORARY}")):
            if not _UNFINISHED.fullmatch(path.name):
                continue
            with contextlib.suppress(FileNotFoundError):  # finished meanwhile
                owner = path.name[1:].rpartition("-")[0]
                status = path.stat()
                if owners.is_gone(owner) or self._now() - status.st_mtime > STALE_SECONDS:
                    stale[path.name] = status.st_size
        return stale

    def damaged(self) -> dict[str, int]:
        paths = [
            path
            for path in sorted((self.path / DAMAGED).glob("*"))
            if SHARD_NAME.fullmatch(re.sub(r"-\d+$", "", path.name)) and path.is_file()
        ]
        return {f"{DAMAGED}/{name}": n_bytes for name, n_bytes in sizes(paths).items()}

    def remove_file(self, name: str) -> None:
        path = self.path / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DiskError(
                f"{path} cannot be removed ({disk.reason_of(error)}). Ask the owner of the store "
                "to run `kemb store gc`."
            ) from error
        if path.parent != self.path:
            disk.remove_leftovers(path.parent.absolute())
            with contextlib.suppress(OSError):  # with a file of somebody's, or more to remove
                path.parent.rmdir()

    def vanish(self) -> list[Path]:
        for lease in self.path.glob(f".{owners.mark()}-*{leases.SUFFIX}"):
            lease.unlink(missing_ok=True)
        try:
            self.path.rmdir()
        except OSError:  # a stranger's file, or a command that has begun to use it
            return [path for path in sorted(self.path.glob("*")) if not path.name.startswith(".")]
        return []

    def _now(self) -> float:
        """By the clock that the file system stamps files with, which may be a server's."""
        with disk.temporary(self.path) as path:
            path.touch()
            return path.stat().st_mtime

    def names(self, folder: str) -> list[str]:
        return sorted(
            path.name
            for path in (self.path / folder).glob("*")
            if path.is_file() and not path.name.startswith(".")
        )

    def read(self, name: str) -> bytes:
        return disk.read_bytes(self.path / name, disk.MOST_JSON_BYTES)

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        with self._writing():
            self._create()
            if path.is_file() and path.read_bytes() == text.encode():
                return
            path.parent.mkdir(exist_ok=True)
            with disk.replacing(path) as unfinished:
                unfinished.write_text(text, encoding="utf-8")

    def _create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.hold()
        self.path.mkdir(parents=True, exist_ok=True)  # if it was removed before it was held

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _write_error(self.path, error) from error


def sizes(paths: Iterable[Path]) -> dict[str, int]:
    """Bytes of files by name; those that vanish meanwhile (renamed, merged) are left out."""
    n_bytes = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            n_bytes[path.name] = path.stat().st_size
    return n_bytes


def read_error(address: object, error: Exception) -> StoreError:
    """Why a shard that may be intact cannot be read."""
    reason = disk.reason_of(error) if isinstance(error, OSError) else str(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return StoreError(
            f"There is not enough memory to map the shard {address} ({reason}); it was left as it "
            "is. Close other programs, raise the limit (ulimit -v), or evaluate fewer tasks at "
            "once."
        )
    return StoreError(
        f"The shard {address} cannot be read ({reason}); it was left as it is. Make it readable, "
        "or name another folder with --store DIR (or KEMB_STORE)."
    )


def _write_error(folder: Path, error: OSError) -> DiskError:
    if disk.is_full(error):
        return DiskError(
            f"The disk that holds the vector store {folder.parent} is full; everything encoded "
            "before this batch is kept. Free space or name another folder with --store DIR (or "
            "KEMB_STORE), then run the same command again."
        )
    return DiskError(
        f"The vector store {folder.parent} cannot be written ({disk.reason_of(error)}). Name a "
        "folder you may write to with --store DIR (or KEMB_STORE)."
    )
