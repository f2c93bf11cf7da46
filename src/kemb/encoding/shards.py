"""One file of the store: keys and vectors as Arrow, dense or ragged, and rows gathered from several
files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from kemb.arrays import FloatArray, IntArray, Ragged, Rows, stack

Keys = NDArray[np.bytes_]
"""Keys as a numpy array of dtype S32. Numpy pads with NUL, so equality of fixed 32-byte keys is
exact.
"""
_COUNTS = ("tokens", "text_tokens")
_DIM = b"dim"
"""Key of the table's metadata: the dimension of sparse vectors, which their entries do not tell."""


SUFFIX = ".arrow"
SHARD_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(SUFFIX)}")


class Shard(Protocol):
    """One immutable file: keys [n] and the vectors [n, dim], which may be read when they are
    wanted.
    """

    @property
    def name(self) -> str: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def vectors(self) -> Rows: ...

    @property
    def counts(self) -> IntArray | None:
        """Of each input its tokens before truncation, and those that its text adds to the prompt
        [n, 2]; None: unknown.
        """
        ...


def prefixes_of(keys: Keys) -> NDArray[np.uint64]:
    """The first eight bytes of each key as a number; numbers order as the keys do."""
    words = np.ascontiguousarray(keys).view(">u8").reshape(-1, 4)
    return words[:, 0].astype(np.uint64)


@dataclass(frozen=True, slots=True)
class MappedShard:
    """A shard whose file is mapped into memory."""

    name: str
    keys: Keys
    vectors: Rows
    counts: IntArray | None


def to_table(keys: Keys, vectors: Rows, counts: IntArray | None = None) -> pa.Table:
    """The table of a shard.

    The column `vector` is a list of fixed size for dense vectors, a list of such lists for tokens,
    and a list of (index, value) for sparse vectors. Numbers of tokens, where they are known, are
    two columns of int32.
    """
    table = _keys_and_vectors(keys, vectors)
    if counts is not None:
        for name, column in zip(_COUNTS, counts.T, strict=True):
            table = table.append_column(name, pa.array(column, type=pa.int32()))
    return table


def _keys_and_vectors(keys: Keys, vectors: Rows) -> pa.Table:
    buffer = pa.py_buffer(np.ascontiguousarray(keys))
    key = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(keys), [None, buffer])
    if not isinstance(vectors, Ragged):
        return pa.table({"key": key, "vector": _fixed(vectors)})
    inner: pa.Array = _fixed(vectors.values)
    if vectors.index is not None:
        inner = pa.StructArray.from_arrays(
            [pa.array(vectors.index), pa.array(vectors.values[:, 0])], ["index", "value"]
        )
    vector = pa.LargeListArray.from_arrays(pa.array(vectors.offsets), inner)
    return pa.table({"key": key, "vector": vector}).replace_schema_metadata(
        {_DIM: str(vectors.dim)}
    )


def read_shard(path: Path) -> MappedShard:
    """Map a shard.

    :raises OSError, ValueError, AttributeError, TypeError, KeyError, pa.ArrowException: for a file
        that is none.
    """
    with pa.memory_map(str(path)) as file:  # the mapping stays as long as its arrays do
        table = ipc.open_file(file).read_all()
    vector = _whole(table.column("vector"))
    keys = np.frombuffer(_whole(table.column("key")).buffers()[1], dtype="S32", count=len(vector))
    counts = None
    if set(_COUNTS) <= set(table.column_names):
        counts = np.stack(
            [table.column(name).to_numpy().astype(np.int64) for name in _COUNTS], axis=1
        )
    if not pa.types.is_large_list(vector.type):
        return MappedShard(path.name, keys, _matrix(vector), counts)
    dim = int(table.schema.metadata[_DIM])
    offsets = vector.offsets.to_numpy()
    if pa.types.is_struct(vector.values.type):
        index, value = (
            vector.values.field(name).to_numpy(zero_copy_only=True) for name in ("index", "value")
        )
        return MappedShard(path.name, keys, Ragged(offsets, value[:, None], dim, index), counts)
    return MappedShard(path.name, keys, Ragged(offsets, _matrix(vector.values), dim), counts)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a shard's table as one batch, which can be mapped as it is."""
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def checksum(path: Path) -> str:
    """32 hex digits of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


class StoredVectors:
    """Rows gathered from memory-mapped shards, as float32; satisfies `kemb.arrays.Vectors`."""

    def __init__(self, shards: Mapping[int, Shard], shard_of: IntArray, row_of: IntArray) -> None:
        self._shards = shards
        self._shard_of = shard_of
        self._row_of = row_of

    @property
    def shape(self) -> tuple[int, int]:
        dim = self._shards[int(self._shard_of[0])].vectors.shape[1] if len(self._shard_of) else 0
        return (len(self._shard_of), dim)

    def block(self, start: int, stop: int) -> FloatArray:
        """Rows start..stop as a new float32 array."""
        shard_of, row_of = self._shard_of[start:stop], self._row_of[start:stop]
        return _gather_dense(self._shards, shard_of, row_of, np.dtype(np.float32))


class StoredRagged:
    """Ragged rows gathered from memory-mapped shards; satisfies `kemb.arrays.RaggedRows`."""

    def __init__(self, shards: Mapping[int, Shard], shard_of: IntArray, row_of: IntArray) -> None:
        self._shards = shards
        self._shard_of = shard_of
        self._row_of = row_of

    @property
    def shape(self) -> tuple[int, int]:
        dim = self._shards[int(self._shard_of[0])].vectors.shape[1] if len(self._shard_of) else 0
        return (len(self._shard_of), dim)

    def lengths(self) -> IntArray:
        """Tokens, or entries, of each row [n]."""
        out = np.zeros(len(self._shard_of), dtype=np.int64)
        for number, rows in by_shard(self._shard_of):
            out[rows] = _ragged(self._shards[number]).lengths()[self._row_of[rows]]
        return out

    def take(self, rows: IntArray) -> Ragged:
        """The rows of these numbers, in their order."""
        return _gather_ragged(self._shards, self._shard_of[rows], self._row_of[rows])


def gather(shards: Mapping[int, Shard], shard_of: IntArray, row_of: IntArray) -> Rows:
    """Rows as they are stored, in the order of `shard_of` and `row_of`; at least one."""
    vectors = shards[int(shard_of[0])].vectors
    if isinstance(vectors, Ragged):
        return _gather_ragged(shards, shard_of, row_of)
    return _gather_dense(shards, shard_of, row_of, vectors.dtype)


def gather_counts(
    shards: Mapping[int, Shard], shard_of: IntArray, row_of: IntArray
) -> IntArray | None:
    """Counts of tokens of such rows [n, 2], -1 where nobody counted; None where nobody did."""
    token_counts = None
    for number, rows in by_shard(shard_of):
        counts = shards[number].counts
        if counts is None:
            continue
        if token_counts is None:
            token_counts = np.full((len(shard_of), 2), -1, dtype=np.int64)
        token_counts[rows] = counts[row_of[rows]]
    return token_counts


def _gather_dense(
    shards: Mapping[int, Shard], shard_of: IntArray, row_of: IntArray, dtype: np.dtype[np.floating]
) -> NDArray[np.floating]:
    dim = shards[int(shard_of[0])].vectors.shape[1] if len(shard_of) else 0
    out = np.empty((len(shard_of), dim), dtype=dtype)
    for number, rows in by_shard(shard_of):
        vectors = shards[number].vectors
        assert not isinstance(vectors, Ragged)
        out[rows] = vectors[row_of[rows]]
    return out


def _gather_ragged(shards: Mapping[int, Shard], shard_of: IntArray, row_of: IntArray) -> Ragged:
    places, parts = [], []
    for number, of_shard in by_shard(shard_of):
        places.append(of_shard)
        parts.append(_ragged(shards[number]).take(row_of[of_shard]))
    joined = stack(parts)
    assert isinstance(joined, Ragged)
    return joined.take(np.argsort(np.concatenate(places), kind="stable"))


def _ragged(shard: Shard) -> Ragged:
    assert isinstance(shard.vectors, Ragged)
    return shard.vectors


def by_shard(shard_of: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Each shard number that occurs, with the positions at which it does."""
    numbers, counts = np.unique(shard_of, return_counts=True)
    is_short = not len(numbers) or numbers[-1] < 1 << 16  # numbers of two bytes sort in linear time
    order = np.argsort(shard_of.astype(np.uint16) if is_short else shard_of, kind="stable")
    stops = np.cumsum(counts)
    for number, start, stop in zip(numbers.tolist(), stops - counts, stops, strict=True):
        yield number, order[start:stop]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The values of a column; mapped as they are where they lie in one piece, else a copy."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _fixed(vectors: NDArray[np.floating]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _matrix(array: pa.FixedSizeListArray) -> NDArray[np.floating]:
    return np.asarray(
        array.flatten().to_numpy(zero_copy_only=True).reshape(-1, array.type.list_size)
    )
