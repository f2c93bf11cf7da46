"""Content-addressed vectors: one folder per fingerprint, immutable Arrow shards inside.

A fingerprint names everything that changes a vector except the input itself; a key is the hash of
the input. So two models cannot meet, and equal inputs are encoded once, whatever task, split or
role they came from. A shard is named by the hash of its bytes and appears by a rename: it is there
whole or not at all. One whose bytes were read and have another hash is damaged, and moved aside
when its vectors are wanted; one that cannot be read is intact, as far as anyone knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import struct
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import IntArray, Rows
from kemb.encoding import leases
from kemb.encoding.index import Index, Matches
from kemb.encoding.objects import Prefix, is_address
from kemb.encoding.places import Folder, Place, read_error
from kemb.encoding.shards import (
    Keys,
    Shard,
    StoredRagged,
    StoredVectors,
    gather,
    gather_counts,
    to_table,
    write_table,
)
from kemb.errors import StoreError
from kemb.files import disk, scratch

BoolArray = NDArray[np.bool_]

ABOUT = "model.json"
FINGERPRINT = "fingerprint.json"
_N_REQUESTS = 16
"""To an object store at once."""
_LOOK_SHARE = 100
"""A space is looked at again when so many times as long has passed as the last look took."""


def input_keys(route: str, prompt: str, texts: Sequence[str]) -> Keys:
    """sha256 of the length-prefixed (route, prompt, text) for each text, as S32 [n]."""
    head = b""
    for part in (route.encode(), prompt.encode()):
        head += struct.pack("<Q", len(part)) + part
    start = hashlib.sha256(head)
    keys = scratch.array(len(texts), "S32")
    for i, text in enumerate(texts):
        data = text.encode("utf-8", "surrogatepass")
        digest = start.copy()
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
        keys[i] = digest.digest()
    return keys


def default_root() -> Path | str:
    """`$KEMB_STORE`, a folder or an address, or a folder in the user's cache."""
    if configured := os.environ.get("KEMB_STORE"):
        return root_of(configured)
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "store"


def root_of(value: str) -> Path | str:
    """Where a user wants the store: a folder, or the address of an object store as it is."""
    return value if is_address(value) else Path(value)


def fingerprint_id(fingerprint: Mapping[str, str]) -> str:
    """16 hex digits that name a fingerprint."""
    return hashlib.sha256(json.dumps(dict(fingerprint), sort_keys=True).encode()).hexdigest()[:16]


class Store:
    """A folder, or a prefix of an object store, of vector spaces."""

    def __init__(self, root: str | os.PathLike[str], scratch: Path | None = None) -> None:
        """
        :param root: a folder, or an address (`s3://bucket/prefix`).
        :param scratch: where the vectors of models without an identity lie for a while.
        :raises UsageError: an address that no installed package can reach.
        """
        self.root = root_of(os.fspath(root))
        self.scratch = scratch
        self._prefix = Prefix(self.root) if isinstance(self.root, str) else None

    def __reduce__(self) -> tuple[type[Store], tuple[Path | str, Path | None]]:
        """Another process opens the store itself, with what its own environment allows."""
        return Store, (self.root, self.scratch)

    def absolute(self) -> Store:
        """The store by a path that does not depend on the folder that a process is in."""
        root = self.root if isinstance(self.root, str) else self.root.absolute()
        return Store(root, self.scratch)

    def space(self, fingerprint: Mapping[str, str]) -> Space:
        """The vectors of one fingerprint; created when first written to."""
        model = re.sub(r"[^A-Za-z0-9._-]+", "-", fingerprint["model"]).strip(".-")[:80]
        name = f"{model}-{fingerprint_id(fingerprint)}"
        if fingerprint.get("identity") != "none":
            return Space(self._place(name), fingerprint)
        if self.scratch is None:
            raise StoreError(
                f"{fingerprint['model']} has no revision, and its vectors are not kept. Give it "
                "one: kemb.encoder(..., revision='1')."
            )
        return Space(Folder(self.scratch / name), fingerprint)

    def spaces(self) -> list[Space]:
        """Every space that is there, by name.

        :raises StoreError: the object store cannot be reached.
        """
        if self._prefix is not None:
            names = self._prefix.names()
        else:
            names = sorted(path.parent.name for path in Path(self.root).glob(f"*/{FINGERPRINT}"))
        spaces = []
        for name in names:
            place = self._place(name)
            with contextlib.suppress(
                OSError, ValueError
            ):  # damaged: written again when the model is used next
                spaces.append(Space(place, disk.parse_json(place.read(FINGERPRINT))))
        return spaces

    def sweep(self) -> None:
        """Remove what killed processes of this host left to say that they use the store."""
        if self._prefix is None:
            leases.sweep(Path(self.root))

    def _place(self, name: str) -> Place:
        return Folder(Path(self.root) / name) if self._prefix is None else self._prefix.place(name)

    def find(self, identifier: str) -> Space | None:
        """The space whose fingerprint has this id."""
        for space in self.spaces():
            if fingerprint_id(space.fingerprint) == identifier:
                return space
        return None


class Space:
    """The vectors of one fingerprint."""

    def __init__(self, place: Place, fingerprint: Mapping[str, str]) -> None:
        self.place = place
        self.name = place.name
        self.fingerprint = dict(fingerprint)
        self.damaged: list[str] = []
        """Names of shards that failed their checksum."""
        self._shards: dict[str, Shard] = {}
        self._numbers: dict[str, int] = {}
        """Of the open shards, in the index."""
        self._by_number: dict[int, Shard] = {}
        self._unsound: set[str] = set()
        """Those of them that lie among the others still."""
        self._verified: set[str] = set()
        self._index = Index()
        self._next_look = -math.inf
        """By the monotonic clock."""

    @property
    def folder(self) -> Path:
        """Of a space on a file system."""
        assert isinstance(self.place, Folder)
        return self.place.path

    def paths(self) -> list[Path]:
        """The shards on disk, damaged ones included, by name."""
        return [self.folder / name for name in sorted(self.place.sizes())]

    def refresh(self) -> None:
        """Read the shards that other processes have added, and forget those that are gone; nothing
        is written.

        :raises StoreError: a shard cannot be read.
        """
        started = time.monotonic()
        names = self.place.sizes().keys() - self._unsound
        for name in self._shards.keys() - names:
            self._close(name)
        opened = self._open_all(sorted(names - self._shards.keys()))
        self._take_in([shard for shard in opened if shard is not None])
        ended = time.monotonic()
        self._next_look = ended + _LOOK_SHARE * (ended - started)

    def stored(self, keys: Keys, fresh: bool = True) -> BoolArray:
        """Which keys have a vector whose shard is intact; damaged shards are moved aside on the
        way. The space is held until this process ends.

        :param fresh: look now for what other processes have added; False: be content with the last
            look, unless looking takes little of the time since then.
        :raises StoreError: a shard cannot be read, or is damaged and cannot be moved.
        """
        return np.asarray(self._sound(keys, fresh, to_read=not self.place.is_remote)[0] >= 0)

    def add(self, keys: Keys, vectors: Rows, counts: IntArray | None = None) -> str:
        """Write one shard: whole, or not at all.

        :param keys: S32 [n].
        :param vectors: float16 or float32 [n, dim], or ragged rows.
        :param counts: tokens of each input before truncation, and those of its text alone [n, 2];
            -1: unknown.
        :return: the shard's file name.
        :raises DiskError: when the folder cannot be written (disk full, no permission).
        """
        table = to_table(keys, vectors, counts)
        self._describe(FINGERPRINT, self.fingerprint)
        name = self.place.put(partial(write_table, table))
        self._verified.add(name)
        self._unsound.discard(name)
        if name not in self._shards and (shard := self._open(name)) is not None:
            self._take_in([shard])
        return name

    def join(self, groups: Sequence[Keys]) -> str | None:
        """Put the rows of some groups into one shard, in order, in place of the shards that hold
        nothing else; rows that lie among others stay where they are.

        Killed or done twice at once, it leaves each row in a shard at least, and does the same when
        it is done again.

        :param groups: keys of each [n], all distinct.
        :return: the shard's file name; None where a row is missing, or none lies in such a shard.
        :raises DiskError: when the folder cannot be written.
        """
        keys = np.concatenate(groups)
        if not self.stored(keys).all():
            return None
        while True:
            copies = self.copies(keys)
            parts = self.inside(copies)
            if len(parts) < 2:
                return parts[0].name if parts else None
            if all([self.verify(part) for part in parts]):
                return self._replace(keys, copies, parts)
            self.set_aside_damaged()
            if not self.stored(keys).all():
                return None

    def copies(self, keys: Keys) -> Matches:
        """Every copy of every key, as far as the last look goes."""
        return self._index.matches(keys)

    def inside(self, copies: Matches) -> list[Shard]:
        """The shards that hold none but these keys, by name."""
        numbers, n_copies = np.unique(copies.shard, return_counts=True)
        shards = [self._by_number[number] for number in numbers.tolist()]
        return sorted(
            (s for s, n in zip(shards, n_copies, strict=True) if n == len(s.keys)),
            key=lambda shard: shard.name,
        )

    def any_rows(self) -> Rows | None:
        """Some rows of the space; None while there are none."""
        for name, shard in list(self._shards.items()):
            try:
                return shard.vectors
            except FileNotFoundError:
                self._close(name)  # of an object store, merged by another process meanwhile
        return None

    def _replace(self, keys: Keys, copies: Matches, parts: Sequence[Shard]) -> str:
        """Write those of the keys that lie in `parts` as one shard, and remove these."""
        numbers = [self._numbers[part.name] for part in parts]
        in_parts = np.isin(copies.shard, numbers)
        shard_of, row_of = self._index.first(Matches(*(c[in_parts] for c in copies)), len(keys))
        is_inside = shard_of >= 0
        places = self._by_number, shard_of[is_inside], row_of[is_inside]
        rows, counts = gather(*places), gather_counts(*places)
        joined = self.add(keys[is_inside], rows, counts)
        for part in parts:
            if part.name != joined:
                self.remove(part.name)
        if not self.place.has(joined):
            # another process has joined the same keys in another order, and removed ours while we
            # removed its
            self.add(keys[is_inside], rows, counts)
        return joined

    def vectors(self, keys: Keys) -> StoredVectors:
        """The vectors of `keys`, row by row.

        :raises StoreError: when some are missing.
        """
        return StoredVectors(*self._located(keys))

    def ragged(self, keys: Keys) -> StoredRagged:
        """The ragged rows of `keys`.

        :raises StoreError: when some are missing.
        """
        return StoredRagged(*self._located(keys))

    def counts(self, keys: Keys) -> IntArray:
        """Of each input its tokens before truncation, and those of its text alone [n, 2]; -1 where
        nobody counted.

        :raises StoreError: when some vectors are missing.
        """
        shards, shard_of, row_of = self._located(keys)
        token_counts = gather_counts(shards, shard_of, row_of)
        return np.full((len(keys), 2), -1, dtype=np.int64) if token_counts is None else token_counts

    def describe(self, facts: Mapping[str, int]) -> None:
        """Keep what loading the model has shown: its size, the tokens that it reads.

        :raises DiskError: when the folder cannot be written.
        """
        if facts and facts != self.facts():
            self._describe(ABOUT, facts)

    def facts(self) -> dict[str, int]:
        """What is kept by `describe`; empty where nothing is."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            facts = disk.parse_json(self.place.read(ABOUT))
            return {name: value for name, value in facts.items() if type(value) is int}
        return {}

    def _describe(self, name: str, table: Mapping[str, object]) -> None:
        self.place.write(name, json.dumps(dict(table), indent=1, sort_keys=True) + "\n")

    def _located(self, keys: Keys) -> tuple[dict[int, Shard], IntArray, IntArray]:
        """Shards by number, and of each key the number of its shard and the row in it."""
        shard_of, row_of = self._sound(keys, fresh=True, to_read=True)
        n_missing = int((shard_of < 0).sum())
        if n_missing:
            raise StoreError(
                f"{n_missing} of {len(keys)} vectors are not in the store {self.place}. "
                "Run the same command without --rescore to encode them."
            )
        numbers = np.unique(shard_of).tolist()
        return {number: self._by_number[number] for number in numbers}, shard_of, row_of

    def _sound(self, keys: Keys, fresh: bool, to_read: bool) -> tuple[IntArray, IntArray]:
        """Shard number and row of each key; -1 where there is none.

        :param to_read: in shards that are intact.
        """
        self.place.hold()
        if fresh or time.monotonic() >= self._next_look:
            self.refresh()
        while True:
            shard_of, row_of = self._index.find(keys)
            numbers = np.unique(shard_of[shard_of >= 0]).tolist() if to_read else []
            if all([self.verify(self._by_number[number]) for number in numbers]):
                self.set_aside_damaged()
                return shard_of, row_of
            self.refresh()

    def dim(self) -> int | None:
        """Dimension of the stored vectors; None while there are none."""
        rows = self.any_rows()
        return None if rows is None else rows.shape[1]

    def n_vectors(self) -> int:
        """Number of distinct stored inputs."""
        self.refresh()
        return self._index.n_distinct()

    def size(self) -> tuple[int, int]:
        """Number of shards and their bytes."""
        sizes = self.place.sizes()
        return len(sizes), sum(sizes.values())

    def shards(self) -> list[Shard]:
        """The shards that are open, by name."""
        return [self._shards[name] for name in sorted(self._shards)]

    def verify(self, shard: Shard) -> bool:
        """Read a shard's bytes, once, and compare their hash with its name.

        :return: whether it is there and intact.
        :raises StoreError: it cannot be read.
        """
        name = shard.name
        if name in self._verified or name not in self._shards:
            return name in self._shards
        try:
            intact = self.place.is_intact(name)
        except FileNotFoundError:
            self._close(name)  # another process merged it into a new shard meanwhile: look again
            return False
        if intact:
            self._verified.add(name)
            return True
        self._note_damage(name)
        return False

    def set_aside_damaged(self) -> None:
        """Move the shards that are known to be damaged to `damaged/`.

        :raises StoreError: when the folder cannot be written.
        """
        for name in sorted(self._unsound):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if not self.place.is_intact(name):  # still: another one may have made it again
                    self.place.set_aside(name)
            self._unsound.discard(name)

    def remove(self, name: str) -> None:
        """Remove a shard."""
        self.place.remove(name)
        if name in self._shards:
            self._close(name)

    def _open_all(self, names: Sequence[str]) -> list[Shard | None]:
        if not self.place.is_remote:
            return [self._open(name) for name in names]
        with ThreadPoolExecutor(max_workers=_N_REQUESTS) as pool:
            return list(pool.map(self._open, names))

    def _open(self, name: str) -> Shard | None:
        """None where the shard is gone or damaged.

        :raises StoreError: it is intact, or cannot be read, and cannot be opened.
        """
        try:
            return self.place.open(name)
        except FileNotFoundError:
            return None
        except StoreError:
            raise
        except Exception as error:  # Arrow has many; whether it is damaged its bytes say
            try:
                intact = self.place.is_intact(name)
            except FileNotFoundError:
                return None
            if intact:
                raise read_error(f"{self.place}/{name}", error) from error
        self._note_damage(name)
        return None

    def _note_damage(self, name: str) -> None:
        self.damaged.append(name)
        self._unsound.add(name)
        if name in self._shards:
            self._close(name)

    def _take_in(self, shards: Sequence[Shard]) -> None:
        numbers = self._index.add([(shard.name, shard.keys) for shard in shards])
        for number, shard in zip(numbers, shards, strict=True):
            self._shards[shard.name] = self._by_number[number] = shard
            self._numbers[shard.name] = number

    def _close(self, name: str) -> None:
        del self._shards[name]
        number = self._numbers.pop(name)
        del self._by_number[number]
        self._index.drop(number)
