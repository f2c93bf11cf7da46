"""What `kemb store gc` does: merge small shards, drop repeated rows and leftovers, forget a model.

Nothing is taken from a space that a running command holds (`leases`), and only files that kemb
wrote are removed: shards and leftovers by their names, which are hashes and marks.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kemb.arrays import Ragged, stack
from kemb.encoding import leases
from kemb.encoding.shards import Shard
from kemb.encoding.store import ABOUT, DAMAGED, FINGERPRINT, SHARD_NAME, Space, sizes
from kemb.errors import DiskError
from kemb.files import disk, owners

STALE_SECONDS = 3600.0
"""After that long a leftover of another host, or of an older kemb, is nobody's."""
MERGED_SHARD_BYTES = 256 << 20
_UNFINISHED = re.compile(
    rf"\.(?:[0-9a-f]{{32}}|{owners.PATTERN}-[0-9a-f]{{12}}){re.escape(disk.TEMPORARY)}"
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a space."""

    n_bytes: int = 0
    """Freed."""
    users: list[str] = field(default_factory=list)
    """Who holds it; where anybody does, nothing was changed."""
    strangers: list[Path] = field(default_factory=list)
    """Files that kemb did not write, and left."""


def freeable(space: Space) -> int:
    """Bytes that `compact` would free, about: leftovers, damaged shards, and repeated rows by their
    share of the vectors. Nothing is written.

    :raises StoreError: a shard cannot be read.
    """
    n_bytes = sum(sizes([*_leftovers(space.folder), *_damaged(space.folder)]))
    n_distinct = space.n_vectors()
    n_rows = sum(len(shard.keys) for shard in space.shards())
    of_shards = space.size()[1]
    return n_bytes + (of_shards * (n_rows - n_distinct) // n_rows if n_rows else 0)


def compact(space: Space) -> Cleaned:
    """Drop leftovers of killed runs, damaged shards and repeated rows, and merge small shards.

    :raises StoreError: a shard cannot be read.
    :raises DiskError: the folder cannot be written.
    """
    with _alone(space) as users:
        if users:
            return Cleaned(users=users)
        before = _n_bytes(space.folder)
        for path in _leftovers(space.folder):
            path.unlink(missing_ok=True)
        space.refresh()
        for shard in space.shards():
            space.verify(shard)
        space.set_aside_damaged()
        for path in _damaged(space.folder):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or with a file of somebody's
            (space.folder / DAMAGED).rmdir()
        space.refresh()
        small = [
            shard for shard in space.shards() if shard.path.stat().st_size < MERGED_SHARD_BYTES // 2
        ]
        for group in _groups(small, MERGED_SHARD_BYTES):
            _merge(space, group)
        return Cleaned(before - _n_bytes(space.folder))


def forget(space: Space) -> Cleaned:
    """Remove every vector of a space, and its folder if nothing else lies in it.

    :raises DiskError: the folder cannot be written.
    """
    with _alone(space) as users:
        if users:
            return Cleaned(users=users)
        paths = [*space.paths(), *_leftovers(space.folder), *_damaged(space.folder)]
        n_bytes = sum(sizes(paths))
        for path in [*paths, space.folder / ABOUT, space.folder / FINGERPRINT]:
            path.unlink(missing_ok=True)
        for lease in space.folder.glob(f".{owners.mark()}-*{leases.SUFFIX}"):
            lease.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (space.folder / DAMAGED).rmdir()
    try:
        space.folder.rmdir()
    except OSError:  # a stranger's file, or a command that has begun to use it
        return Cleaned(n_bytes, strangers=_strangers(space.folder))
    return Cleaned(n_bytes)


@contextlib.contextmanager
def _alone(space: Space) -> Iterator[list[str]]:
    try:
        with leases.cleaning(space.folder) as users:
            yield users
    except OSError as error:
        raise DiskError(
            f"The store's folder {space.folder} cannot be cleaned ({disk.reason_of(error)}). Ask "
            "its owner to run `kemb store gc`."
        ) from error


def _leftovers(folder: Path) -> list[Path]:
    """Unfinished files of killed runs."""
    stale = []
    for path in sorted(folder.glob(f".*{disk.TEMPORARY}")):
        if not _UNFINISHED.fullmatch(path.name):
            continue
        with contextlib.suppress(FileNotFoundError):  # finished meanwhile
            owner = path.name[1:].rpartition("-")[0]
            age = time.time() - path.stat().st_mtime
            if owners.is_gone(owner) or age > STALE_SECONDS:
                stale.append(path)
    return stale


def _damaged(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted((folder / DAMAGED).glob("*"))
        if SHARD_NAME.fullmatch(re.sub(r"-\d+$", "", path.name)) and path.is_file()
    ]


def _strangers(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]


def _n_bytes(folder: Path) -> int:
    return sum(sizes(path for path in folder.rglob("*") if path.is_file()))


def _merge(space: Space, group: list[Shard]) -> None:
    keys = np.concatenate([shard.keys for shard in group])
    distinct, first = np.unique(keys, return_index=True)
    if len(group) == 1 and len(distinct) == len(keys):
        return
    vectors = stack([shard.vectors for shard in group])
    counts = None
    if any(shard.counts is not None for shard in group):
        unknown = (
            np.full((len(s.keys), 2), -1, dtype=np.int64) if s.counts is None else s.counts
            for s in group
        )
        counts = np.concatenate(list(unknown))[first]
    rows = vectors.take(first) if isinstance(vectors, Ragged) else vectors[first]
    merged = space.add(distinct, rows, counts)
    for shard in group:
        # one shard held all the others already, as after a merge that was killed
        if shard.path.name != merged:
            shard.path.unlink(missing_ok=True)
    space.refresh()


def _groups(shards: list[Shard], limit: int) -> Iterator[list[Shard]]:
    group: list[Shard] = []
    size = 0
    for shard in shards:
        size += shard.path.stat().st_size
        group.append(shard)
        if size >= limit:
            yield group
            group, size = [], 0
    if group:
        yield group
