"""Files of a user's own as tables, with the row numbers an editor shows, and what is wrong with
them.

Nothing here raises on bad data: it is noted in `Findings`, so that one look at a folder shows all
of it.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from kemb.files import disk
from kemb.messages import note
from kemb.tasks.own.delimited import read_delimited
from kemb.tasks.own.encodings import decode
from kemb.tasks.own.excel import EXCEL_SUFFIXES, is_workbook, read_workbook
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.large import is_large, is_utf8, json_error, read_jsonl, read_parquet, records_of
from kemb.tasks.own.records import table_of_records, tables_of_json
from kemb.tasks.own.trec import is_trec, read_trec

if TYPE_CHECKING:
    import pyarrow as pa

DATA_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet", *EXCEL_SUFFIXES)
PACKED_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".json")
"""Of files that are also read with .gz behind their names."""
_GZIP = ".gz"
_MOST_UNPACKED = 4 << 30
"""Bytes; a packed file is read whole."""
_HTML = ("<!doctype html", "<html", "<table", "<meta", "<?xml")


def suffix_of(path: Path) -> str:
    """The ending that says how a file is read, in small letters; a `.gz` behind it left out."""
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    return inner if suffix == _GZIP and inner in PACKED_SUFFIXES else suffix


def read_table(path: Path, file: str, findings: Findings) -> Table | None:
    """Read a file that holds one table; None, and findings, if nothing of it can be used.

    :param path: the file.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    """
    tables = read_tables(path, file, findings)
    if len(tables) > 1:
        message = note("finding.several_tables", names=list(tables))
        findings.error("several tables", file, message)
        return None
    if not tables and not findings.n_errors:
        findings.error("no records", file, note("finding.no_list_of_records"))
    return next(iter(tables.values()), None)


def read_tables(path: Path, file: str, findings: Findings, role: str = "") -> dict[str, Table]:
    """Read the tables of a file, by name: the file's own for one, with `#` and the table's behind
    it for several. Empty where nothing of it can be used, or, without a finding, where it is JSON
    that holds no records.

    A .txt is TSV if there is a tab in its first line, else CSV. CSV follows RFC 4180 (quotes group,
    doubled quotes escape). In TSV a quote is a character like any other, as in most published sets:
    reading them as CSV silently joins rows where a quote is left open.

    :param path: the file.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :param role: `corpus`, `queries` or `qrels` where the name says it: these may lack a header.
    """
    if not path.is_file():
        findings.error(
            "unreadable file", file, note("finding.cannot_be_read", reason=disk.what_is(path))
        )
        return {}
    suffix = suffix_of(path)
    is_packed = path.suffix.lower() == _GZIP
    if suffix == ".parquet":
        table = read_parquet(path, file) or _read_parquet(path, file, findings)
        tables = {} if table is None else {file: table}
    elif suffix in EXCEL_SUFFIXES:
        is_excel = is_workbook(path)
        tables = (read_workbook if is_excel else _read_misnamed)(path, file, findings)
    elif suffix == ".jsonl" and not is_packed and is_large(path) and is_utf8(path):
        tables = {file: read_jsonl(path, file, findings)}
    else:
        text = _read_text(path, file, findings)
        tables = {} if text is None else _tables_of_text(text, suffix, file, findings, role)
    for name, table in tables.items():
        if not len(table):
            findings.error("empty file", name, note("finding.no_row"))
    return {name: table for name, table in tables.items() if len(table)}


def _tables_of_text(
    text: str, suffix: str, file: str, findings: Findings, role: str
) -> dict[str, Table]:
    if suffix == ".json":
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            if not _is_jsonl(text):
                row = getattr(error, "lineno", None)
                findings.error("broken JSON", file, json_error(error), row=row)
                return {}
        else:
            return tables_of_json(value, file, findings, role)
    if suffix in (".json", ".jsonl"):
        return {file: _read_jsonl(text, file, findings)}
    if suffix == ".txt" and is_trec(text):
        return {file: read_trec(text, file, findings)}
    has_tabs = suffix == ".tsv" or (suffix == ".txt" and "\t" in text.split("\n", 1)[0])
    table = read_delimited(text, "\t" if has_tabs else ",", file, findings, role)
    return {} if table is None else {file: table}


def _read_misnamed(path: Path, file: str, findings: Findings) -> dict[str, Table]:
    """Text that is called a workbook, as many programs export it; a page of HTML is refused, and
    what is no table is a broken workbook.
    """
    decoded = Findings()
    text = _read_text(path, file, decoded)
    first_line = (text or "").lstrip().partition("\n")[0]
    if text is None or not any(mark in first_line for mark in "<,;|\t"):
        return read_workbook(path, file, findings)
    findings.take(decoded)
    if text.lstrip().lower().startswith(_HTML):
        findings.error("broken Excel", file, note("finding.html_as_excel"))
        return {}
    findings.warn("no Excel", file, note("finding.csv_as_excel"))
    table = read_delimited(text, "\t" if "\t" in first_line else ",", file, findings)
    return {} if table is None else {file: table}


def _is_jsonl(text: str) -> bool:
    """Whether the first line is a record by itself, as in JSON Lines that are named .json."""
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _content_of(path: Path) -> bytes:
    """The bytes of a file, unpacked.

    :raises OSError: it cannot be read, is not what its name says, or is too large.
    """
    if path.suffix.lower() != _GZIP:
        return path.read_bytes()
    with gzip.open(path) as packed:
        try:
            content = packed.read(_MOST_UNPACKED + 1)
        except zlib.error as error:
            raise OSError(str(error)) from error
    if len(content) > _MOST_UNPACKED:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def _read_text(path: Path, file: str, findings: Findings) -> str | None:
    try:
        text = decode(_content_of(path), file, findings)
    except EOFError:
        findings.error("broken file", file, note("finding.cut_short"))
        return None
    except OSError as error:
        findings.error(
            "unreadable file", file, note("finding.cannot_be_read", reason=disk.reason_of(error))
        )
        return None
    if text is not None and not text.strip():
        findings.error("empty file", file, note("finding.empty_file"))
        return None
    return text


def _read_jsonl(text: str, file: str, findings: Findings) -> Table:
    # Not splitlines(): it also splits at U+2028 and other characters that JSON strings may hold.
    records = list(records_of(text.split("\n"), file, findings))
    return table_of_records(file, [record for _, record in records], [row for row, _ in records])


def _read_parquet(path: Path, file: str, findings: Findings) -> Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        findings.error(
            "broken Parquet",
            file,
            note("finding.cannot_be_read", reason=str(error).splitlines()[0]),
        )
        return None
    columns: dict[str, list[object]] = {}
    for name in table.column_names:
        try:
            columns[name] = table.column(name).to_pylist()
        except (pa.ArrowException, ValueError, OverflowError):
            row = _first_bad_row(table.column(name))
            message = note("finding.broken_parquet_value")
            findings.error("broken Parquet", file, message, row=row, column=name)
    return Table(file, columns, range(1, table.num_rows + 1)) if len(columns) else None


def _first_bad_row(column: pa.ChunkedArray) -> int:
    """From 1, the first record whose value cannot be read."""
    for row in range(len(column)):
        try:
            column[row].as_py()
        except Exception:  # whatever it was that reading the column raised
            return row + 1
    return 1
