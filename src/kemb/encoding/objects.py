"""A space on an object store, through fsspec: objects appear whole, under names that say their
bytes.

What such a store has not is not asked of it: no rename, no locks, no listing that is sure to be
fresh, no clock like ours. A shard is one PUT under its final name, and two who write it write the
same bytes; small files are written if they are absent; what was written here is known without
asking, and what an answer says is gone stays gone, whatever a listing says later.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from kemb.arrays import IntArray, Rows
from kemb.encoding.cache import KEYS, Cache, Damaged
from kemb.encoding.places import DAMAGED
from kemb.encoding.shards import SHARD_NAME, Keys, MappedShard, read_shard
from kemb.errors import DiskError, KembError, MissingExtra, StoreError, UsageError
from kemb.files import disk

_T = TypeVar("_T")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://.+", re.DOTALL)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_SCHEMES = ("s3", "gs", "file", "memory")
N_TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
"""Seconds before another try; each is drawn between half and all of twice the one before."""
_WHOLE_BYTES = 8 << 20
"""A shard up to this size is fetched whole where its keys are wanted."""
_ONE_PUT = 5 << 30
_FINAL = (PermissionError, IsADirectoryError, NotADirectoryError)
_EXISTS = re.compile("PreconditionFailed|412")
_FINAL_WORDS = re.compile(
    r"NoCredentials|Unable to locate credentials|RequestTimeTooSkewed|SignatureDoesNotMatch|"
    r"InvalidAccessKeyId|ExpiredToken|InvalidBucketName|NoSuchBucket|QuotaExceeded|"
    r"InsufficientStorage|EntityTooLarge|AccessDenied|Forbidden|bucket does not exist"
)


def is_address(root: object) -> bool:
    """Whether the root of a store is the address of an object store."""
    return isinstance(root, str) and _ADDRESS.fullmatch(root) is not None


class Prefix:
    """An address under which spaces lie."""

    def __init__(self, address: str) -> None:
        """:raises UsageError: no installed package can reach it."""
        self.address = address.rstrip("/")
        if "@" in address or "?" in address:
            raise UsageError(
                "The address of a store holds no keys or options: give s3://bucket/prefix, and "
                "keys by the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, "
                "GOOGLE_APPLICATION_CREDENTIALS)."
            )
        self._fs, self._path = _file_system(self.address)
        self._cache: Cache | None = None

    def names(self) -> list[str]:
        """Of its spaces."""
        try:
            entries = patiently(
                lambda: self._fs.ls(self._path, detail=True, refresh=True), self.address
            )
        except FileNotFoundError:
            return []
        folders = [entry["name"] for entry in entries if entry["type"] == "directory"]
        return sorted(folder.rstrip("/").rpartition("/")[2] for folder in folders)

    def place(self, name: str) -> Bucket:
        """Where a space lies."""
        self._cache = self._cache or Cache()
        path, address = f"{self._path}/{name}", f"{self.address}/{name}"
        return Bucket(self._fs, path, address, self._cache)


class Bucket:
    """The objects of one space. As `kemb.encoding.places.Place`."""

    is_remote = True

    def __init__(self, fs: Any, path: str, address: str, cache: Cache) -> None:  # noqa: ANN401
        """
        :param fs: a file system of fsspec.
        :param path: of the space, as `fs` wants it.
        """
        self.name = path.rpartition("/")[2]
        self._fs, self._path, self._address, self._cache = fs, path, address, cache
        self._sizes: dict[str, int] = {}
        """Of all shards that were listed, or written here."""
        self._gone: set[str] = set()
        """That were removed, by whomever; a listing may show them for a while."""
        self._mapped: dict[str, MappedShard] = {}
        self._mapping = threading.Lock()
        self._texts: dict[str, str] = {}
        """Of the small files that are known to be there."""

    def __str__(self) -> str:
        return self._address

    def hold(self) -> None:
        """Nothing: an object store has no locks."""

    @contextlib.contextmanager
    def cleaning(self) -> Iterator[list[str]]:
        """Nobody can tell who uses it."""
        yield []

    def sizes(self) -> dict[str, int]:
        """Those of the listing and those known from before: a listing may be late."""
        for name, n_bytes in self._listed(self._path).items():
            if SHARD_NAME.fullmatch(name):
                self._sizes[name] = n_bytes
        return {name: size for name, size in self._sizes.items() if name not in self._gone}

    def open(self, name: str) -> RemoteShard:
        """A shard of which the keys are here."""
        if self._sizes.get(name, 0) <= _WHOLE_BYTES:
            with contextlib.suppress(Damaged):
                return RemoteShard(self, name, self.mapped(name).keys)
            raise ValueError(f"{name} is damaged")
        return RemoteShard(self, name, np.frombuffer(self._keys(name), dtype="S32"))

    def mapped(self, name: str) -> MappedShard:
        """A shard in a copy on this machine.

        :raises Damaged: it is not what its name says.
        :raises FileNotFoundError: it is gone.
        """
        while (shard := self._mapped.get(name)) is None:
            path = self._cache.fetch(
                name, self._sizes.get(name, 0), lambda unfinished: self._download(name, unfinished)
            )
            # Another thread or process may have needed its room before it was pinned: the copy is
            # gone then, not the object.
            with self._mapping, contextlib.suppress(FileNotFoundError):
                for other in self._cache.pin(path):
                    self._mapped.pop(other, None)
                self._mapped[name] = read_shard(path)
        return shard

    def is_intact(self, name: str) -> bool:
        """What is fetched is compared with its hash."""
        try:
            self.mapped(name)
        except Damaged:
            return False
        return True

    def put(self, write: Callable[[Path], object]) -> str:
        """One PUT under the final name."""
        name = self._cache.keep(write, self._upload)
        self._gone.discard(name)
        return name

    def has(self, name: str) -> bool:
        """Asked of the store, not of a listing."""
        return bool(self._patiently(name, lambda: self._exists(name)))

    def remove(self, name: str) -> None:
        self._gone.add(name)
        self._mapped.pop(name, None)
        self._cache.remove(name)
        with contextlib.suppress(FileNotFoundError):
            self._patiently(name, lambda: self._fs.rm_file(self._object(name)))

    def set_aside(self, name: str) -> None:
        """A copy goes to `damaged/`, then the object: nothing can be renamed."""
        with contextlib.suppress(DiskError, StoreError):  # it is passed over anyway
            aside = self._object(f"{DAMAGED}/{name}")
            self._patiently(name, lambda: self._fs.cp_file(self._object(name), aside))
            self.remove(name)

    def leftovers(self) -> dict[str, int]:
        """None: an object appears whole."""
        return {}

    def damaged(self) -> dict[str, int]:
        listed = self._listed(f"{self._path}/{DAMAGED}")
        return {f"{DAMAGED}/{name}": size for name, size in listed.items()}

    def remove_file(self, name: str) -> None:
        self._texts.pop(name, None)
        if SHARD_NAME.fullmatch(name):
            self.remove(name)
            return
        with contextlib.suppress(FileNotFoundError):
            self._patiently(name, lambda: self._fs.rm_file(self._object(name)))

    def vanish(self) -> list[Path]:
        """Nothing: there are no folders."""
        return []

    def names(self, folder: str) -> list[str]:
        """As the listing has them."""
        return sorted(self._listed(f"{self._path}/{folder}"))

    def read(self, name: str) -> bytes:
        content: bytes = self._patiently(name, lambda: self._fs.cat_file(self._object(name)))
        return content

    def write(self, name: str, text: str) -> None:
        """Written if it is absent; what is there with another text stays, unless it is no JSON."""
        if self._texts.get(name) == text:
            return
        with _writing():
            self._write_if_absent(name, text.encode())
        self._texts[name] = text

    def _write_if_absent(self, name: str, content: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            before = self.read(name)
            if before == content:
                return
            with contextlib.suppress(ValueError):
                disk.parse_json(before)
                return
            self._patiently(name, lambda: _pipe(self._fs, content, self._object(name)))
            return
        self._patiently(name, lambda: self._create(name, content))

    def _create(self, name: str, content: bytes) -> None:
        """Write an object unless there is one; the answer to an earlier try may have been lost."""
        try:
            _pipe(self._fs, content, self._object(name), mode="create")
        except (NotImplementedError, TypeError):  # no conditions there: the last one wins
            _pipe(self._fs, content, self._object(name))
        except FileExistsError:
            pass  # ours, or another's who says the same of the same fingerprint
        except OSError as error:
            if not _says(error, _EXISTS):
                raise

    def _object(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _listed(self, path: str) -> dict[str, int]:
        try:
            entries = self._patiently("", lambda: self._fs.ls(path, detail=True, refresh=True))
        except FileNotFoundError:
            return {}
        files = [entry for entry in entries if entry["type"] == "file"]
        return {entry["name"].rpartition("/")[2]: entry["size"] or 0 for entry in files}

    def _exists(self, name: str) -> bool:
        try:
            self._fs.info(self._object(name), refresh=True)
        except FileNotFoundError:
            return False
        return True

    def _keys(self, name: str) -> bytes:
        """The keys of a shard, of the copy where there is one."""
        if (path := self._cache.path(f"{name}{KEYS}")) is not None:
            with contextlib.suppress(FileNotFoundError):  # its room was needed meanwhile
                return path.read_bytes()
        keys = self._patiently(name, lambda: self._fetched_keys(name))
        self._cache.fetch(
            f"{name}{KEYS}", len(keys), lambda unfinished: unfinished.write_bytes(keys)
        )
        return keys

    def _fetched_keys(self, name: str) -> bytes:
        """The keys of a shard, by ranges."""
        with self._fs.open(self._object(name), "rb", cache_type="none") as file:
            options = ipc.IpcReadOptions(included_fields=[0])
            batch = ipc.open_file(pa.PythonFile(file, "r"), options=options).get_batch(0)
        column = batch.column("key")
        return memoryview(column.buffers()[1])[: len(column) * 32].tobytes()

    def _download(self, name: str, path: Path) -> None:
        self._patiently(name, lambda: self._fs.get_file(self._object(name), str(path)))

    def _upload(self, path: Path, name: str) -> None:
        with _writing():
            self._patiently(name, lambda: _put(self._fs, path, self._object(name)))
        self._sizes[name] = path.stat().st_size

    def _patiently(self, name: str, call: Callable[[], _T]) -> _T:
        try:
            return patiently(call, f"{self._address}/{name}".rstrip("/"))
        except FileNotFoundError:
            if SHARD_NAME.fullmatch(name):
                self._gone.add(name)
            raise


class RemoteShard:
    """A shard of which the keys are here, and the rest is fetched when it is wanted. As
    `kemb.encoding.shards.Shard`.
    """

    def __init__(self, bucket: Bucket, name: str, keys: Keys) -> None:
        self._bucket = bucket
        self.name = name
        self.keys = keys

    @property
    def vectors(self) -> Rows:
        return self._bucket.mapped(self.name).vectors

    @property
    def counts(self) -> IntArray | None:
        return self._bucket.mapped(self.name).counts


def patiently(call: Callable[[], _T], address: str) -> _T:
    """The result of a request, tried again after a pause where the failure may pass.

    :raises FileNotFoundError: there is no such object.
    :raises StoreError: it may not be read or written, or the store could not be reached.
    """
    pause = FIRST_PAUSE
    for n_tries in range(1, N_TRIES + 1):
        try:
            return call()
        except (KembError, Damaged, FileNotFoundError) as error:
            if not isinstance(error, KembError | Damaged) and _says(error, _FINAL_WORDS):
                raise _explained(error, address, n_tries) from error
            raise
        except Exception as error:  # each package has its own
            if n_tries == N_TRIES or _is_final(error):
                raise _explained(error, address, n_tries) from error
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("the last try gives or raises")


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Where nothing can be written no further work is of use."""
    try:
        yield
    except StoreError as error:
        raise DiskError(str(error)) from error


def _is_final(error: Exception) -> bool:
    return isinstance(error, _FINAL) or _says(error, _FINAL_WORDS)


def _says(error: Exception, words: re.Pattern[str]) -> bool:
    """Whether a server said one of some words: fsspec's packages make plain errors of its codes."""
    return words.search(f"{type(error).__name__} {error}") is not None


def _explained(error: Exception, address: str, n_tries: int) -> StoreError:
    """One sentence on why a request failed, without what the packages may quote of keys."""
    text = f"{type(error).__name__} {error}"
    if re.search("NoSuchBucket|bucket does not exist", text):
        return StoreError(
            f"There is no bucket at {address}. Make it with the provider's own tool, or name "
            "another store with --store (or KEMB_STORE)."
        )
    if re.search("NoCredentials|Unable to locate credentials", text):
        return StoreError(
            f"There are no credentials for {address}. Give them by the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for Google "
            "GOOGLE_APPLICATION_CREDENTIALS)."
        )
    if "RequestTimeTooSkewed" in text:
        return StoreError(
            f"{address} refuses this machine's clock, which is minutes off. Set the clock (NTP) "
            "and run the same command again; what was stored is kept."
        )
    if isinstance(error, PermissionError) or _FINAL_WORDS.search(text):
        return StoreError(
            f"{address} may not be used with the credentials of the environment "
            f"({_reason(error)}). Ask for the right to list, read, write and delete there, or name "
            "another store with --store (or KEMB_STORE); what was stored is kept."
        )
    return StoreError(
        f"{address} cannot be reached ({_reason(error)}; tried {n_tries} times). Everything that "
        "was stored before is kept: look at the network and run the same command again."
    )


def _reason(error: Exception) -> str:
    """What a package says, on one line, without addresses that hold signatures."""
    text = re.sub(r"\?\S*", "", " ".join(str(error).split()))
    return (text or type(error).__name__)[:200]


def _file_system(address: str) -> tuple[Any, str]:
    """A file system of fsspec that caches no listings, and the path in it."""
    scheme = address.partition("://")[0].lower()
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra(f"A store at {scheme}://", _EXTRAS.get(scheme, "s3")) from error
    options: dict[str, object] = {"auto_mkdir": True} if scheme == "file" else {}
    options |= {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme in ("s3", "s3a"):
        options["config_kwargs"] = {
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"total_max_attempts": 1},
        }
    try:
        fs, path = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        if scheme in _EXTRAS:
            raise MissingExtra(f"A store at {scheme}://", _EXTRAS[scheme]) from error
        raise UsageError(
            f"A store at {scheme}:// needs a package that is not installed ({error})."
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{address} begins with {scheme}://, which is no kind of store that is known. Give a "
            f"folder, or an address with {', '.join(f'{name}://' for name in _SCHEMES)}."
        ) from error
    if scheme in ("s3", "s3a"):
        fs.retries = 1  # `patiently` tries again; pauses within pauses would be minutes
    return fs, path.rstrip("/")


def _put(fs: Any, path: Path, target: str) -> None:  # noqa: ANN401
    """A file as one object that appears whole."""
    if _is_local(fs):
        _pipe(fs, path.read_bytes(), target)
    elif "s3" in fs.protocol:
        fs.put_file(str(path), target, chunksize=_ONE_PUT)  # else parts, which a kill would leave
    else:
        fs.put_file(str(path), target)


def _pipe(fs: Any, content: bytes, target: str, **how: str) -> None:  # noqa: ANN401
    """Bytes as one object that appears whole."""
    if not _is_local(fs):
        fs.pipe_file(target, content, **how)
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    with disk.replacing(Path(target), sync=True) as unfinished:
        unfinished.write_bytes(content)


def _is_local(fs: Any) -> bool:  # noqa: ANN401
    """Whether it is a file system that is treated as an object store, such as NFS."""
    return "file" in fs.protocol
