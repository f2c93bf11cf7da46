"""CSV and TSV as tables, with the row numbers that an editor shows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Literal

from kemb.tasks.own.columns import CORPUS, GOLD_NAMES, GRADES, QUERIES, plain_name, to_number
from kemb.tasks.own.findings import Findings, Table

QRELS_HEADER = ["query-id", "corpus-id", "score"]


def read_delimited(
    text: str, delimiter: str, file: str, findings: Findings, role: str = ""
) -> Table | None:
    """A table of CSV or TSV.

    :param text: the whole file.
    :param delimiter: a comma or a tab; a first line `sep=;`, as Excel writes it, is followed.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :param role: `qrels` may lack the header query-id, corpus-id, score and may be separated by
        blanks, as TREC's are; `queries` and `corpus` in TSV may lack the header id, text.
    """
    text, n_lines_before, delimiter = _without_separator_line(text, delimiter)
    records = _csv_records(text, delimiter, file, findings, n_lines_before)
    if not records:
        findings.error("empty file", file, "there is no row that holds anything")
        return None
    if role == "qrels":
        records = _with_header(_split_at_blanks(records))
    elif role and delimiter == "\t":
        records = _with_id_and_text(records, file, findings)
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


def _without_separator_line(text: str, delimiter: str) -> tuple[str, int, str]:
    """The text without Excel's first line `sep=;`, how many lines that were, and the separator."""
    line, _, rest = text.partition("\n")
    mark = line.strip().strip('"')
    is_separator = mark.lower().startswith("sep=") and len(mark) == len("sep=") + 1
    return (rest, 1, mark[-1]) if is_separator else (text, 0, delimiter)


def _split_at_blanks(records: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Judgments of which no line has a separator, split at their blanks."""
    if any(len(values) > 1 for _, values in records):
        return records
    return [(row, values[0].split()) for row, values in records]


def _with_id_and_text(
    records: list[tuple[int, list[str]]], file: str, findings: Findings
) -> list[tuple[int, list[str]]]:
    """Queries or documents with a header where they have none, as in MS MARCO: id and text, or id,
    title and text.
    """
    first = [plain_name(value) for value in records[0][1]]
    headers = {2: ["id", "text"], 3: ["id", "title", "text"]}
    if len(first) not in headers or {len(values) for _, values in records} != {len(first)}:
        return records
    usual_names = {*GOLD_NAMES, *GRADES}.union(*CORPUS.values(), *QUERIES.values())
    if usual_names & set(first):
        return records
    header = headers[len(first)]
    message = f"no usual column name in the first row, so it is data: {', '.join(header)}"
    findings.warn("no header", file, message, row=records[0][0], value=records[0][1][0])
    return [(0, header), *records]


def _csv_records(
    text: str, delimiter: str, file: str, findings: Findings, n_lines_before: int
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
            row = n_lines_before + reader.line_num + 1
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
