"""CSV and TSV as tables, with the row numbers that an editor shows."""

from __future__ import annotations

import csv
import io
from typing import Literal

from kemb.messages import Text, note
from kemb.tasks.own.columns import plain_name, to_number
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.headers import USUAL_NAMES, Rows, table_of_rows

QRELS_HEADER = ["query-id", "corpus-id", "score"]


def read_delimited(
    text: str, delimiter: str, file: str, findings: Findings, role: str = ""
) -> Table | None:
    """A table of CSV or TSV.

    :param text: the whole file.
    :param delimiter: a comma or a tab, as the file's name has it; a first line `sep=;`, as Excel
        writes it, is followed, and another separator (`;`, `|`, tab, comma) is taken where the
        header and every
        row agree on it.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :param role: `qrels` may lack the header query-id, corpus-id, score and may be separated by
        blanks, as TREC's are; `queries` and `corpus` in TSV may lack the header id, text.
    """
    text, n_lines_before, declared = _without_separator_line(text)
    delimiter = declared or _decide(text, delimiter, file, findings)
    records = _csv_records(text, delimiter, file, findings, n_lines_before)
    if not records:
        findings.error("empty file", file, note("finding.no_filled_row"))
        return None
    if role == "qrels":
        records = _with_header(_split_at_blanks(records))
    elif role and delimiter == "\t":
        records = _with_id_and_text(records, file, findings)
    if delimiter == "\t":
        _warn_quotes(records, file, findings)
    names = records[0][1]
    if len(names) == 1 and (other := _separator_in(names[0])):
        message = note("finding.separator", separator=_named(other), expected=_named(delimiter))
        findings.error("separator", file, message, row=1, value=names[0])
        return None
    return table_of_rows(file, records, findings)


def _decide(text: str, delimiter: str, file: str, findings: Findings) -> str:
    """The separator, if it is another one than the file's name says: the header has it and not the
    usual one, and every row has it as often.
    """
    header = text.lstrip("\r\n").partition("\n")[0]
    if delimiter in header or not (other := _separator_in(header)):
        return delimiter
    records = _csv_records(text, other, file, trial := Findings(), 0)
    widths = {len(values) for _, values in records}
    if trial.n_errors or len(widths) != 1 or widths == {1}:
        return delimiter
    message = note(
        "finding.separator_decided",
        separator=_named(other),
        expected=_named(delimiter),
        n=widths.pop(),
    )
    findings.warn("separator decided", file, message, row=1, value=header.strip())
    return other


def _separator_in(header: str) -> str:
    return next((mark for mark in "\t;|," if mark in header), "")


def _named(separator: str) -> Text:
    names = {"\t": note("finding.tabs"), ",": note("finding.commas")}
    return names.get(separator, repr(separator))


def _with_header(records: Rows) -> Rows:
    """Judgments with a header where they have none: query, document, grade; or, as in TREC, query,
    0, document, grade.
    """
    first = [value.strip() for value in records[0][1]]
    if len(first) not in (3, 4) or to_number(first[-1]) is None:
        return records
    is_trec = len(first) == 4
    names = ["query-id", "iteration", "corpus-id", "score"] if is_trec else QRELS_HEADER
    return [(0, list(names)), *records]


def _without_separator_line(text: str) -> tuple[str, int, str]:
    """The text without Excel's first line `sep=;`, how many lines that were, and the separator that
    it names, if any.
    """
    line, _, rest = text.partition("\n")
    mark = line.strip().strip('"')
    is_separator = mark.lower().startswith("sep=") and len(mark) == len("sep=") + 1
    return (rest, 1, mark[-1]) if is_separator else (text, 0, "")


def _split_at_blanks(records: Rows) -> Rows:
    """Judgments of which no line has a separator, split at their blanks."""
    if any(len(values) > 1 for _, values in records):
        return records
    return [(row, values[0].split()) for row, values in records]


def _with_id_and_text(records: Rows, file: str, findings: Findings) -> Rows:
    """Queries or documents with a header where they have none, as in MS MARCO: id and text, or id,
    title and text.
    """
    first = [plain_name(value) for value in records[0][1]]
    headers = {2: ["id", "text"], 3: ["id", "title", "text"]}
    if len(first) not in headers or {len(values) for _, values in records} != {len(first)}:
        return records
    if USUAL_NAMES & set(first):
        return records
    header = headers[len(first)]
    message = note("finding.no_header", names=header)
    findings.warn("no header", file, message, row=records[0][0], value=records[0][1][0])
    return [(0, header), *records]


def _csv_records(
    text: str, delimiter: str, file: str, findings: Findings, n_lines_before: int
) -> Rows:
    """Records that are not blank, each with the line it starts on."""
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    records: Rows = []
    limit = csv.field_size_limit(len(text) + 1)  # the default refuses texts of more than 128 KiB
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
        )
        while True:
            row = n_lines_before + reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return records
            except csv.Error as error:
                message = note("finding.broken_csv", reason=str(error))
                findings.error("broken CSV", file, message, row=row)
                continue
            if any(
                value.strip() for value in values
            ):  # spreadsheets write empty rows as rows of commas
                records.append((row, values))
    finally:
        csv.field_size_limit(limit)


def _warn_quotes(records: Rows, file: str, findings: Findings) -> None:
    for row, values in records:
        for value in values:
            if len(value) > 1 and value[0] == value[-1] == '"':
                message = note("finding.quotes_in_tsv")
                findings.warn("quotes in TSV", file, message, row=row, value=value)
