"""Files of a user's own as tables, with the row numbers an editor shows, and what is wrong with
them.

Nothing here raises on bad data: it is noted in `Findings`, so that one look at a folder shows all
of it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kemb.errors import nearest
from kemb.files.disk import what_is

if TYPE_CHECKING:
    import pyarrow as pa

DATA_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
MAX_EXAMPLES = 5

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong in the data, and where it stands."""

    level: Level
    kind: str
    file: str
    row: int | None
    """From 1, as an editor counts lines (the header is row 1); in Parquet files the number of the
    record.
    """
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
        self,
        kind: str,
        file: str,
        message: str,
        *,
        row: int | None = None,
        column: str = "",
        value: object = None,
    ) -> None:
        """Note something that stops loading."""
        self._add(Finding("error", kind, file, row, column, shorten(value), message))

    def warn(
        self,
        kind: str,
        file: str,
        message: str,
        *,
        row: int | None = None,
        column: str = "",
        value: object = None,
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

    @property
    def warnings(self) -> dict[str, int]:
        """How many warnings there are, by kind."""
        return {kind: n for (level, kind), n in self.counts.items() if level == "warning"}


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
    """Read a CSV, TSV, JSONL or Parquet file; None if nothing of it can be used. A .txt is TSV if
    there is a tab in its first line, else CSV.

    CSV follows RFC 4180 (quotes group, doubled quotes escape). In TSV a quote is a character like
    any other, as in most published sets: reading them as CSV silently joins rows where a quote is
    left open.

    :param path: the file.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :param is_qrels: CSV and TSV may lack the header query-id, corpus-id, score.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        findings.error("unreadable file", file, f"cannot be read: {what_is(path)}")
        return None
    if suffix == ".parquet":
        table = _read_parquet(path, file, findings)
    else:
        text = _read_text(path, file, findings)
        if text is None:
            return None
        if suffix == ".jsonl":
            table = _read_jsonl(text, file, findings)
        else:
            header = text.split("\n", 1)[0]
            has_tabs = suffix == ".tsv" or (suffix == ".txt" and "\t" in header)
            table = _read_csv(text, "\t" if has_tabs else ",", file, findings, is_qrels)
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
    """UTF-8 text without its byte order mark; None, and a finding with the way out, for any other
    encoding.
    """
    guess = _guess_encoding(raw)
    try:
        text = raw.decode("utf-8")
        if guess != "utf-16":
            return text.removeprefix("\ufeff")
        offset = raw.index(0)
    except UnicodeDecodeError as error:
        offset = error.start
    if guess:
        advice = (
            f"it looks like {guess.upper()}. Convert it: iconv -f {guess} -t utf-8 {file} > new"
        )
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
    # Without a byte order mark the ASCII characters of UTF-16 (commas, digits, line ends) still
    # show as NUL bytes.
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
            where = (
                f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            )
            reason = f"{getattr(error, 'msg', error)}{where}"
            findings.error("broken JSON", file, reason, row=row, value=line.strip())
            continue
        if not isinstance(record, dict):
            findings.error(
                "broken JSON",
                file,
                "expected an object {...} per line",
                row=row,
                value=line.strip(),
            )
            continue
        records.append(record)
        rows.append(row)
    names = dict.fromkeys(name for record in records for name in record)
    return Table(file, {name: [record.get(name) for record in records] for name in names}, rows)


def _read_csv(
    text: str, delimiter: str, file: str, findings: Findings, is_qrels: bool
) -> Table | None:
    records = _csv_records(text, delimiter, file, findings)
    if not records:
        findings.error("empty file", file, "there is no row that holds anything")
        return None
    if is_qrels:
        records = _with_header(records)
    if delimiter == "\t":
        _warn_quotes(records, file, findings)
    records = _without_empty_columns(records)
    names = [name.strip() for name in records[0][1]]
    if len(names) == 1 and (other := next((mark for mark in ";\t|," if mark in names[0]), "")):
        separator = {"\t": "tabs", ",": "commas"}.get(other, repr(other))
        expected = "tabs" if delimiter == "\t" else "commas"
        message = (
            f"columns are separated by {separator}; expected {expected}. Name it .tsv if tabs "
            "separate, .csv if commas do"
        )
        findings.error("separator", file, message, row=1, value=names[0])
        return None
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        message = (
            "the header names this column twice"
            if repeated[0]
            else "several columns that hold values have no name"
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
    columns: dict[str, list[object]] = {
        name: [values[i] for _, values in whole] for i, name in enumerate(names)
    }
    return Table(file, columns, [row for row, _ in whole])


def _with_header(records: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Judgments with a header where they have none: query, document, grade; or, as in TREC, query,
    0, document, grade.
    """
    first = [value.strip() for value in records[0][1]]
    if len(first) not in (3, 4) or to_number(first[-1]) is None:
        return records
    is_trec = len(first) == 4
    names = ["query-id", "iteration", "corpus-id", "score"] if is_trec else QRELS_HEADER
    return [(0, list(names)), *records]


QRELS_HEADER = ["query-id", "corpus-id", "score"]


def _csv_records(
    text: str, delimiter: str, file: str, findings: Findings
) -> list[tuple[int, list[str]]]:
    """Records that are not blank, each with the line it starts on."""
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    records: list[tuple[int, list[str]]] = []
    limit = csv.field_size_limit(len(text) + 1)  # the default refuses texts of more than 128 KiB
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
        )
        while True:
            row = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return records
            except csv.Error as error:
                message = (
                    f"the record that starts here cannot be read ({error}); quotes inside a "
                    "field are doubled"
                )
                findings.error("broken CSV", file, message, row=row)
                continue
            if any(
                value.strip() for value in values
            ):  # spreadsheets write empty rows as rows of commas
                records.append((row, values))
    finally:
        csv.field_size_limit(limit)


def _without_empty_columns(records: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The records without trailing columns that have neither a name nor a value, as spreadsheets
    write them.
    """
    n_named = len(records[0][1])
    width = n_named
    while width > 1 and not any(
        len(values) >= width and values[width - 1].strip() for _, values in records
    ):
        width -= 1
    return [(row, values[:width] if len(values) == n_named else values) for row, values in records]


def _warn_quotes(records: list[tuple[int, list[str]]], file: str, findings: Findings) -> None:
    for row, values in records:
        for value in values:
            if len(value) > 1 and value[0] == value[-1] == '"':
                message = (
                    "quotes are part of the text in TSV; if a program added them, save the "
                    "file as CSV"
                )
                findings.warn("quotes in TSV", file, message, row=row, value=value)


def _read_parquet(path: Path, file: str, findings: Findings) -> Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        findings.error("broken Parquet", file, f"cannot be read: {str(error).splitlines()[0]}")
        return None
    columns: dict[str, list[object]] = {}
    for name in table.column_names:
        try:
            columns[name] = table.column(name).to_pylist()
        except (pa.ArrowException, ValueError, OverflowError):
            row = _first_bad_row(table.column(name))
            message = "the value cannot be read: broken UTF-8, or a number or date out of range"
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


Aliases = Mapping[str, tuple[str, ...]]
"""Our column name -> names it may have, the preferred one first, as `plain_name` writes them."""


def _names(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_DOCUMENT_ID = _names("corpusid docid documentid passageid pid 문서id 문서번호 문단id")


_QUERY_ID = _names("queryid qid questionid 질문id 질의id 쿼리id 질문번호")


CORPUS: Aliases = {
    "id": ("id", *_DOCUMENT_ID),
    "title": _names("title 제목"),
    "text": _names("text contents content passage document body 본문 내용 문서 문단 텍스트"),
}


QUERIES: Aliases = {
    "id": ("id", *_QUERY_ID),
    "text": _names("text query question 질문 질의 쿼리 검색어"),
}


QRELS: Aliases = {
    "query-id": _QUERY_ID,
    "corpus-id": _DOCUMENT_ID,
    "score": _names("score relevance rel grade label 점수 관련도"),
}


AUTORAG_QA: Aliases = {"id": ("qid",), "text": ("query",), "retrieval_gt": ("retrievalgt",)}


PAIRS: Aliases = {
    "sentence1": _names(
        "sentence1 sent1 text1 sentencea texta premise question1 문장1 텍스트1 전제 질문1"
    ),
    "sentence2": _names(
        "sentence2 sent2 text2 sentenceb textb hypothesis question2 문장2 텍스트2 가설 질문2"
    ),
    "score": _names(
        "score similarity similarityscore goldscore relatedness 점수 유사도 유사도점수"
    ),
    "label": _names("label labels goldlabel 라벨 레이블 정답"),
}


LABELS: Aliases = {
    "text": _names(
        "text sentence content contents document review utterance title 문장 텍스트 본문 내용 문서 "
        "리뷰 발화 제목"
    ),
    "label": _names(
        "label labels category class topic intent sentiment 라벨 레이블 범주 분류 카테고리 주제 "
        "의도 감정 정답"
    ),
}


OPTIONAL = {"corpus.title", "qrels.score"}
"""Columns that a table may lack: no title, and 1 for every judgment."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A table under our column names."""

    file: str
    rows: Sequence[int]
    columns: dict[str, list[object]]
    names: dict[str, str]
    """Our name -> the file's own."""

    def __len__(self) -> int:
        return len(self.rows)


def plain_name(name: str) -> str:
    """A column name without case, spaces, hyphens and underscores: `Query ID`, `query-id` and
    `query_id` are one.
    """
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFC", name)).lower()


def match_columns(table: Table, aliases: Aliases, declared: Mapping[str, str]) -> dict[str, str]:
    """Our column name -> the table's own, for those that task.toml gives or that have a
    usual name.
    """
    plain = {plain_name(name): name for name in reversed(table.columns)}
    matches = {ours: declared[ours] for ours in aliases if ours in declared}
    for ours, names in aliases.items():
        for name in names:
            if ours not in matches and name in plain and plain[name] not in matches.values():
                matches[ours] = plain[name]
    return matches


def map_columns(
    table: Table,
    aliases: Aliases,
    declared: Mapping[str, str],
    findings: Findings,
    prefix: str = "",
) -> Mapped | None:
    """The table under our names; None, and findings, if a column that is needed is not there.

    :param table: what was read.
    :param aliases: our columns and their usual names.
    :param declared: the columns of task.toml; in retrieval tasks their names start with the prefix.
    :param findings: takes what is missing.
    :param prefix: `corpus.`, `queries.` or `qrels.` in retrieval tasks.
    """
    declared_here = {
        ours.removeprefix(prefix): name
        for ours, name in declared.items()
        if ours.startswith(prefix)
    }
    names = match_columns(table, aliases, declared_here)
    columns = {
        ours: values
        for ours, name in names.items()
        if (values := column_values(table, name)) is not None
    }
    missing = [
        ours
        for ours in aliases
        if ours not in columns and (ours in names or prefix + ours not in OPTIONAL)
    ]
    for ours in missing:
        note_missing(
            table, prefix + ours, (names[ours],) if ours in names else aliases[ours], findings
        )
    return None if missing else Mapped(table.file, table.rows, columns, names)


def note_missing(table: Table, ours: str, names: tuple[str, ...], findings: Findings) -> None:
    """Note that a column is missing: what was looked for, what the file has, and the nearest of
    them.
    """
    near = next((close for name in names for close in nearest(name, table.columns, n=1)), "")
    hint = f"; did you mean {near!r}?" if near else "."
    key = f'"{ours}"' if "." in ours else ours
    findings.error(
        "missing column",
        table.file,
        f"found the columns {', '.join(table.columns)}, but none named "
        f"{' or '.join(names[:4])}{hint} "
        "Rename it, or say in task.toml which one it is: "
        f'columns = {{ {key} = "{near or "..."}" }}',
        column=ours,
    )


def column_values(table: Table, name: str) -> list[object] | None:
    """A column by name, None if there is none; `labels.label` is the field `label` of the records
    in `labels`.
    """
    if name in table.columns:
        return table.columns[name]
    head, _, field = name.partition(".")
    if not any(isinstance(value, dict) and field in value for value in table.columns.get(head, ())):
        return None
    return [value.get(field) if isinstance(value, dict) else None for value in table.columns[head]]


def to_number(value: object) -> float | None:
    """A number, or the number a string spells; None for anything else (`nan` is a number here)."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) else None
