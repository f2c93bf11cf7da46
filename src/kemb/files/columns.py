"""Columns that may not fit in memory: texts and other values in memory-mapped Arrow, read some rows
at a time.

Functions take any sequence: a list is looked at as a list, an `ArrowColumn` block by block and
without a Python object per row that would stay.
"""

from __future__ import annotations

import json
import mmap
import operator
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import IntArray
from kemb.files import scratch

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

T = TypeVar("T", covariant=True)
V = TypeVar("V")

ROWS = 8192
"""Values that are Python objects at the same time, and rows of a batch on disk."""
_STEP = 1 << 20


class ArrowColumn(Sequence[T]):
    """Values of many rows, in Arrow; a value becomes a Python object when it is asked for."""

    def __init__(self, array: pa.ChunkedArray, json_chunks: frozenset[int] = frozenset()) -> None:
        """:param json_chunks: numbers of the chunks whose strings are JSON of the values."""
        self.array = array
        self._chunks = array.chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)]).tolist()
        self._json_chunks = json_chunks

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, row: int) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> list[T]: ...
    def __getitem__(self, row: int | slice) -> T | list[T]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        place = row + len(self) if row < 0 else row
        if not 0 <= place < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        number = bisect_right(self._starts, place) - 1
        value = self._chunks[number][place - self._starts[number]].as_py()
        return self._decoded(number, value)

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same values."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __iter__(self) -> Iterator[T]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[T]]:
        """All values in order, at most `ROWS` at a time."""
        for number, chunk in enumerate(self._chunks):
            for start in range(0, len(chunk), ROWS):
                values = _objects(chunk.slice(start, ROWS))
                if number in self._json_chunks:
                    values = [self._decoded(number, value) for value in values]
                yield values

    @property
    def is_text(self) -> bool:
        """Whether every value is a string."""
        import pyarrow as pa

        kind = self.array.type
        is_string = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        return is_string and not self._json_chunks and not self.array.null_count

    def _decoded(self, chunk: int, value: Any) -> T:  # noqa: ANN401  whatever Arrow gives
        is_json = chunk in self._json_chunks and value is not None
        decoded: T = json.loads(value) if is_json else value
        return decoded

    def pieces(self) -> list[tuple[pa.Array, bool]]:
        """The chunks, and whether their strings are JSON."""
        return [(chunk, number in self._json_chunks) for number, chunk in enumerate(self._chunks)]


def _objects(array: pa.Array) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_large_string(array.type) or pa.types.is_string(array.type):
        objects: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
        return objects
    values: list[Any] = array.to_pylist()
    return values


class ColumnWriter:
    """Writes values to a scratch file, to be mapped: strings as they are, others as JSON."""

    def __init__(self, n_missing: int = 0) -> None:
        """:param n_missing: rows without a value that come first."""
        import pyarrow as pa
        from pyarrow import ipc

        self._file = scratch.new_file()
        self._schema = pa.schema([("value", pa.large_string())])
        self._writer = ipc.new_file(pa.PythonFile(self._file, "w"), self._schema)
        self._json: set[int] = set()
        self._n_batches = 0
        self._waiting: list[object] = []
        for start in range(0, n_missing, ROWS):
            self._write([None] * min(ROWS, n_missing - start))

    def append(self, value: object) -> None:
        """One more value: whatever JSON can hold."""
        self._waiting.append(value)
        if len(self._waiting) == ROWS:
            self._write(self._waiting)
            self._waiting = []

    def finish(self) -> ArrowColumn[Any]:
        """All values, mapped; nothing can be added any more.

        :raises DiskError: the disk is full.
        """
        if self._waiting:
            self._write(self._waiting)
        with self._file:
            try:
                self._writer.close()
                self._file.flush()
            except OSError as error:
                raise scratch.full(error) from error
            array = mapped_table(self._file).column("value")
        return ArrowColumn(array, frozenset(self._json))

    def _write(self, values: list[Any]) -> None:
        import pyarrow as pa

        try:
            array = pa.array(values, type=pa.large_string())
        except (pa.ArrowException, TypeError, UnicodeEncodeError):
            texts = [None if value is None else json.dumps(value) for value in values]
            array = pa.array(texts, type=pa.large_string())
            self._json.add(self._n_batches)
        try:
            self._writer.write_batch(pa.record_batch([array], schema=self._schema))
        except OSError as error:
            raise scratch.full(error) from error
        self._n_batches += 1


def mapped_table(file: Any) -> pa.Table:  # noqa: ANN401  a file that has a number
    """The table of an Arrow file, mapped; the file may be closed."""
    import pyarrow as pa
    from pyarrow import ipc

    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return ipc.open_file(pa.BufferReader(pa.py_buffer(mapping))).read_all()


def parquet_on_disk(paths: Sequence[Path]) -> pa.Table | None:
    """The rows of Parquet files of one schema, unpacked into a scratch file; None where they are
    small.

    :raises OSError, pa.ArrowException: a file cannot be read, or holds broken UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import ipc

    files = [pq.ParquetFile(path) for path in paths]
    schema = files[0].schema_arrow
    is_dictionary = any(pa.types.is_dictionary(field.type) for field in schema)
    if is_dictionary or sum(map(_unpacked, files)) < scratch.LARGE_BYTES:
        return None
    with scratch.new_file() as unpacked:
        with ipc.new_file(pa.PythonFile(unpacked, "w"), schema) as writer:
            for source in files:
                for batch in source.iter_batches(ROWS, use_threads=False):
                    batch.validate(full=True)
                    writer.write_batch(batch.cast(schema))
        unpacked.flush()
        return mapped_table(unpacked)


def _unpacked(source: pq.ParquetFile) -> int:
    """Bytes of a file's columns, not compressed."""
    meta = source.metadata
    return sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))


def mapped(function: Callable[..., str], *columns: Sequence[Any]) -> Sequence[str]:
    """What a function makes of every row; on disk where one of the columns is."""
    if not any(isinstance(column, ArrowColumn) for column in columns):
        return [function(*values) for values in zip(*columns, strict=True)]
    writer = ColumnWriter()
    for values in zip(*columns, strict=True):
        writer.append(function(*values))
    return writer.finish()


def joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """The values of several columns, one after the other; on disk where one of them is."""
    if not any(isinstance(part, ArrowColumn) for part in parts):
        return [value for part in parts for value in part]
    import pyarrow as pa

    pieces: list[tuple[pa.Array, bool]] = []
    for part in parts:
        pieces += (part if isinstance(part, ArrowColumn) else _written(part)).pieces()
    if len({piece.type for piece, _ in pieces}) > 1:
        return _written(value for part in parts for value in part)
    is_json = frozenset(number for number, (_, json_) in enumerate(pieces) if json_)
    return ArrowColumn(pa.chunked_array([piece for piece, _ in pieces]), is_json)


def _written(values: Iterable[object]) -> ArrowColumn[Any]:
    writer = ColumnWriter()
    for value in values:
        writer.append(value)
    return writer.finish()


def blocks_of(values: Sequence[V]) -> Iterator[Sequence[V]]:
    """All values in order, at most `ROWS` at a time."""
    if isinstance(values, ArrowColumn):
        yield from values.blocks()
        return
    for start in range(0, len(values), ROWS):
        yield values[start : start + ROWS]


def lengths_of(texts: Sequence[str]) -> NDArray[np.int32]:
    """Characters of every text [n]."""
    lengths = np.empty(len(texts), dtype=np.int32)
    if isinstance(texts, ArrowColumn) and texts.is_text:
        import pyarrow.compute as pc

        start = 0
        for chunk, _ in texts.pieces():
            lengths[start : start + len(chunk)] = pc.utf8_length(chunk).to_numpy()
            start += len(chunk)
        return lengths
    start = 0
    for block in blocks_of(texts):
        lengths[start : start + len(block)] = [len(text) for text in block]
        start += len(block)
    return lengths


def in_order(texts: Sequence[str]) -> IntArray:
    """The rows [n] in ascending order of their texts, as Python compares strings; equal ones in
    their order.
    """
    if isinstance(texts, ArrowColumn) and texts.is_text:
        import pyarrow.compute as pc

        # UTF-8 orders as code points do.
        return np.asarray(pc.sort_indices(texts.array).to_numpy().view(np.int64))
    return np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.int64)


def rows_of(texts: Sequence[str], sought: Iterable[str]) -> dict[str, int]:
    """The row of each text that is sought and is there; of one that occurs again the last."""
    wanted_texts = sought if isinstance(sought, set | dict) else set(sought)
    rows: dict[str, int] = {}
    start = 0
    for block in blocks_of(texts):
        for place, text in enumerate(block, start):
            if text in wanted_texts:
                rows[text] = place
        start += len(block)
    return rows


def hashes_of(*columns: Sequence[Any]) -> NDArray[np.int64]:
    """A hash of every row's values [n], the same within this process."""
    hashes: NDArray[np.int64] = scratch.array(len(columns[0]), np.int64)
    start = 0
    for blocks in zip(*map(blocks_of, columns), strict=True):
        block = np.fromiter(map(hash, zip(*blocks, strict=True)), dtype=np.int64)
        hashes[start : start + len(block)] = block
        start += len(block)
    return hashes


def repeats(*columns: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Rows whose values an earlier row has, too, and the first row that has them."""
    if not any(isinstance(column, ArrowColumn) for column in columns):
        first_rows: dict[tuple[Any, ...], int] = {}
        for row, values in enumerate(zip(*columns, strict=True)):
            if (first := first_rows.setdefault(values, row)) != row:
                yield row, first
        return
    rows, firsts = equal_rows(hashes_of(*columns))
    for row, first in zip(rows.tolist(), firsts.tolist(), strict=True):
        if all(column[row] == column[first] for column in columns):
            yield row, first


def equal_rows(values: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Rows whose value an earlier row has, too, ascending, and the first row of each."""
    order = np.argsort(values, kind="stable")
    in_run = np.zeros(len(values), dtype=np.bool_)
    for start in range(1, len(values), _STEP):
        stop = min(start + _STEP, len(values))
        in_run[start:stop] = values[order[start:stop]] == values[order[start - 1 : stop - 1]]
    places = np.flatnonzero(in_run)
    if not len(places):
        return places, places
    run_starts = np.flatnonzero(~in_run)
    firsts = order[run_starts[np.searchsorted(run_starts, places) - 1]]
    rows = order[places]
    by_row = np.argsort(rows)
    return rows[by_row], firsts[by_row]
