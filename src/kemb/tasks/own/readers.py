"""Files of a user's own as tables, with the row numbers an editor shows, and what is wrong with them.

Nothing here raises on bad data: it is noted in `Findings`, so that one look at a folder shows all of it.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MAX_EXAMPLES = 5

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong in the data, and where it stands."""

    level: Level
    kind: str
    file: str
    row: int | None
    """From 1, as an editor counts lines (the header is row 1); in Parquet files the number of the record."""
    column: str
    value: str
    message: str

    def __str__(self) -> str:
        row = "" if self.row is None else f"row {self.row}"
        place = ", ".join(part for part in (self.file, row, self.column) if part)
        return f"{place}: {self.value and self.value + ' - '}{self.message}"


class Findings:
    """Collects findings; of each kind the first few are kept and the rest are counted."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[tuple[Level, str]] = Counter()

    def error(
        self, kind: str, file: str, message: str, *, row: int | None = None, column: str = "", value: object = None
    ) -> None:
        """Note something that stops loading."""
        self._add(Finding("error", kind, file, row, column, shorten(value), message))

    def warn(
        self, kind: str, file: str, message: str, *, row: int | None = None, column: str = "", value: object = None
    ) -> None:
        """Note something worth a look."""
        self._add(Finding("warning", kind, file, row, column, shorten(value), message))

    def _add(self, finding: Finding) -> None:
        key = (finding.level, finding.kind)
        self.counts[key] += 1
        if self.counts[key] <= MAX_EXAMPLES:
            self.kept.append(finding)

    @property
    def n_errors(self) -> int:
        return sum(n for (level, _), n in self.counts.items() if level == "error")


def shorten(value: object) -> str:
    """A value as it may stand in a message: quoted, without line breaks, at most 60 characters."""
    if value is None:
        return ""
    text = repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one file, and the row number of every record."""

    file: str
    columns: dict[str, list[object]]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)


def read_table(path: Path, file: str, findings: Findings, is_qrels: bool = False) -> Table | None:
    """Read a CSV, TSV, JSONL or Parquet file; None if nothing of it can be used.

    CSV follows RFC 4180 (quotes group, doubled quotes escape). In TSV a quote is a character like any other, as
    in most published sets: reading them as CSV silently joins rows where a quote is left open.

    Args:
        path: the file.
        file: its name in messages.
        findings: takes what is wrong.
        is_qrels: CSV and TSV may lack the header query-id, corpus-id, score.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table = _read_parquet(path, file, findings)
    else:
        text = _read_text(path, file, findings)
        if text is None:
            return None
        if suffix == ".jsonl":
            table = _read_jsonl(text, file, findings)
        else:
            table = _read_csv(text, "\t" if suffix == ".tsv" else ",", file, findings, is_qrels)
    if table is not None and not len(table):
        findings.error("empty file", file, "there is no row of data")
        return None
    return table


def _read_text(path: Path, file: str, findings: Findings) -> str | None:
    try:
        text = decode(path.read_bytes(), file, findings)
    except OSError as error:
        findings.error("unreadable file", file, f"cannot be read: {error.strerror}")
        return None
    if text is not None and not text.strip():
        findings.error("empty file", file, "the file is empty")
        return None
    return text


def decode(raw: bytes, file: str, findings: Findings) -> str | None:
    """UTF-8 text without its byte order mark; None, and a finding with the way out, for any other encoding."""
    guess = _guess_encoding(raw)
    try:
        text = raw.decode("utf-8")
        if guess != "utf-16":
            return text.removeprefix("\ufeff")
        offset = raw.index(0)
    except UnicodeDecodeError as error:
        offset = error.start
    if guess:
        advice = f"it looks like {guess.upper()}. Convert it: iconv -f {guess} -t utf-8 {file} > new"
    else:
        advice = "its encoding is unknown, or changes inside the file. Save it as UTF-8"
    findings.error(
        "encoding",
        file,
        f"not UTF-8 at byte offset {offset}; {advice}",
        row=raw.count(b"\n", 0, offset) + 1,
        value=raw[offset : offset + 4],
    )
    return None


def _guess_encoding(raw: bytes) -> str | None:
    # Without a byte order mark the ASCII characters of UTF-16 (commas, digits, line ends) still show as NUL bytes.
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw.count(0) > len(raw) // 10:
        return "utf-16"
    try:
        raw.decode("cp949")
    except UnicodeDecodeError:
        return None
    return "cp949"


def _read_jsonl(text: str, file: str, findings: Findings) -> Table | None:
    records: list[dict[str, object]] = []
    rows: list[int] = []
    # Not splitlines(): it also splits at U+2028 and other characters that JSON strings may hold.
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            where = f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            reason = f"{getattr(error, 'msg', error)}{where}"
            findings.error("broken JSON", file, reason, row=row, value=line.strip())
            continue
        if not isinstance(record, dict):
            findings.error("broken JSON", file, "expected an object {...} per line", row=row, value=line.strip())
            continue
        records.append(record)
        rows.append(row)
    names = dict.fromkeys(name for record in records for name in record)
    return Table(file, {name: [record.get(name) for record in records] for name in names}, rows)


def _read_csv(text: str, delimiter: str, file: str, findings: Findings, is_qrels: bool) -> Table | None:
    records = _csv_records(text, delimiter, file, findings)
    if not records:
        findings.error("empty file", file, "there is no row that holds anything")
        return None
    if is_qrels and len(records[0][1]) == 3 and records[0][1][2].strip().isdigit():
        records.insert(0, (0, ["query-id", "corpus-id", "score"]))
    if delimiter == "\t":
        _warn_quotes(records, file, findings)
    records = _without_empty_columns(records)
    names = [name.strip() for name in records[0][1]]
    if len(names) == 1 and (other := next((mark for mark in ";\t|," if mark in names[0]), "")):
        shown = {"\t": "tabs", ",": "commas"}.get(other, repr(other))
        wanted = "tabs" if delimiter == "\t" else "commas"
        message = (
            f"columns are separated by {shown}; expected {wanted}. Name it .tsv if tabs separate, .csv if commas do"
        )
        findings.error("separator", file, message, row=1, value=names[0])
        return None
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        message = (
            "the header names this column twice" if repeated[0] else "several columns that hold values have no name"
        )
        findings.error("repeated column", file, message, row=1, column=repeated[0])
        return None
    whole: list[tuple[int, list[str]]] = []
    for row, values in records[1:]:
        if len(values) == len(names):
            whole.append((row, values))
        else:
            message = f"{len(values)} fields, but the header has {len(names)}"
            findings.error("ragged row", file, message, row=row, value=delimiter.join(values))
    columns: dict[str, list[object]] = {name: [values[i] for _, values in whole] for i, name in enumerate(names)}
    return Table(file, columns, [row for row, _ in whole])


def _csv_records(text: str, delimiter: str, file: str, findings: Findings) -> list[tuple[int, list[str]]]:
    """Records that are not blank, each with the line it starts on."""
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    records: list[tuple[int, list[str]]] = []
    limit = csv.field_size_limit(len(text) + 1)  # the default refuses texts of more than 128 KiB
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
        while True:
            row = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return records
            except csv.Error as error:
                message = f"the record that starts here cannot be read ({error}); quotes inside a field are doubled"
                findings.error("broken CSV", file, message, row=row)
                continue
            if any(value.strip() for value in values):  # spreadsheets write empty rows as rows of commas
                records.append((row, values))
    finally:
        csv.field_size_limit(limit)


def _without_empty_columns(records: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The records without trailing columns that have neither a name nor a value, as spreadsheets write them."""
    n_named = len(records[0][1])
    width = n_named
    while width > 1 and not any(len(values) >= width and values[width - 1].strip() for _, values in records):
        width -= 1
    return [(row, values[:width] if len(values) == n_named else values) for row, values in records]


def _warn_quotes(records: list[tuple[int, list[str]]], file: str, findings: Findings) -> None:
    for row, values in records:
        for value in values:
            if len(value) > 1 and value[0] == value[-1] == '"':
                message = "quotes are part of the text in TSV; if a program added them, save the file as CSV"
                findings.warn("quotes in TSV", file, message, row=row, value=value)


def _read_parquet(path: Path, file: str, findings: Findings) -> Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        findings.error("broken Parquet", file, f"cannot be read: {str(error).splitlines()[0]}")
        return None
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return Table(file, columns, range(1, table.num_rows + 1))
