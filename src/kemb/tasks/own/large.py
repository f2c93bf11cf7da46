"""JSON Lines and Parquet that may not fit in memory, as tables whose columns lie on disk."""

from __future__ import annotations

import codecs
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemb.files import scratch
from kemb.files.columns import ArrowColumn, ColumnWriter, parquet_on_disk
from kemb.messages import Note, note
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.records import unwrap

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 20
_MOST_NUL = 10
"""Of so many bytes at most one is NUL in UTF-8; text of more is something else."""


def records_of(
    lines: Iterable[str], file: str, findings: Findings
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of JSON Lines with their row numbers; what is none is noted and left out.

    :param lines: without their line feeds; other line ends may stand in JSON strings.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    """
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = json_error(error)
            findings.error("broken JSON", file, reason, row=row, value=line.strip())
            continue
        if not isinstance(record, dict):
            message = note("finding.object_per_line")
            findings.error("broken JSON", file, message, row=row, value=line.strip())
            continue
        yield row, unwrap(record)


def json_error(error: Exception) -> Note:
    """What is wrong with a JSON text, and where."""
    if isinstance(error, json.JSONDecodeError):
        return note("finding.broken_json_at", reason=error.msg, character=error.colno)
    return note("finding.broken_json", reason=str(error))


def is_large(path: Path) -> bool:
    """Whether a file is read row by row, and its columns lie on disk."""
    return path.stat().st_size >= scratch.LARGE_BYTES


def is_utf8(path: Path) -> bool:
    """Whether a file is UTF-8 for certain, read some bytes at a time."""
    decoder, n_nul, n_bytes = codecs.getincrementaldecoder("utf-8")(), 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            n_nul, n_bytes = n_nul + block.count(0), n_bytes + len(block)
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return False
    return not decoder.getstate()[0] and n_nul * _MOST_NUL <= n_bytes


def read_jsonl(path: Path, file: str, findings: Findings) -> Table:
    """The table of a file in UTF-8; what a record lacks is None.

    :raises DiskError: there is no room for the columns.
    """
    writers: dict[str, ColumnWriter] = {}
    rows = array("q")
    with path.open("rb") as raw:
        for row, record in records_of(_lines(raw), file, findings):
            for name in record:
                if name not in writers:
                    writers[name] = ColumnWriter(len(rows))
            for name, writer in writers.items():
                writer.append(record.get(name))
            rows.append(row)
    columns = {name: writer.finish() for name, writer in writers.items()}
    is_whole = len(rows) > 0 and rows[-1] == len(rows)
    return Table(file, columns, range(1, len(rows) + 1) if is_whole else rows)


def _lines(raw: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(raw):
        text = line.decode("utf-8").removesuffix("\n")
        yield text if number else text.removeprefix("\ufeff")


def read_parquet(path: Path, file: str) -> Table | None:
    """The table of a file; None where it is small, or holds what the usual reader must look at.

    :raises DiskError: there is no room for the columns.
    """
    import pyarrow as pa

    try:
        table = parquet_on_disk([path])
    except (pa.ArrowException, OSError, ValueError):  # the usual reader says what it is
        return None
    if table is None or not all(_is_plain(field.type) for field in table.schema):
        return None
    columns: dict[str, Sequence[object]] = {
        name: ArrowColumn(table.column(name)) for name in table.column_names
    }
    return Table(file, columns, range(1, table.num_rows + 1))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether every value of an Arrow type is one of Python's that JSON has."""
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_struct(kind):
        return all(_is_plain(kind.field(number).type) for number in range(kind.num_fields))
    is_text = types.is_string(kind) or types.is_large_string(kind)
    is_number = types.is_integer(kind) or types.is_floating(kind)
    return bool(is_text or is_number or types.is_boolean(kind) or types.is_null(kind))
