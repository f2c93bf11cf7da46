"""Values of the tables of a folder, converted and checked, each complaint with its file and row."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

from kemb.messages import note
from kemb.tasks.own.columns import Mapped, to_number
from kemb.tasks.own.findings import Findings

LONG_TEXT = 100_000
"""Characters; the longest contexts of embedding models (32 thousand tokens) hold less."""
MOST_READ = 2_000
"""Characters; a model of 512 tokens reads about so many of English, and half of it in Korean."""

NO_VALUE = frozenset(("nan", "na", "n/a", "#n/a", "null", "none", "<na>", "nat"))
"""Words that data frames and spreadsheets write where there is no value, in small letters. pandas
reads most of them back as no value; here a text is what the file says.
"""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_JAMO = re.compile(r"[\u1100-\u11ff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Hangul in UTF-8 read as Latin-1 or CP1252 (three characters a syllable), and in CP949 read as
# Latin-1 (two).
_MOJIBAKE = re.compile(r"(?:[êëìí][\x80-\xbfŒœŠšŸŽžƒˆ˜–-›€™]{2}){2}|(?:[\xb0-\xc8][\xa1-\xfe]){3}")
_ODD = re.compile(f"[\\ufffd\\x80-\\xff]|{_CONTROL.pattern}|{_JAMO.pattern}|{_SURROGATE.pattern}")


def texts_of(table: Mapped, ours: str, findings: Findings, may_be_empty: bool = False) -> list[str]:
    """A column of text; what is not text becomes "" after its error is noted."""
    column = table.names[ours]
    texts: list[str] = []
    for row, value in zip(table.rows, table.columns[ours], strict=True):
        text = value if isinstance(value, str) else ""
        texts.append(text)
        if value is None and not may_be_empty:
            findings.error(
                "missing value", table.file, note("finding.expected_text"), row=row, column=column
            )
        elif value is not None and not isinstance(value, str):
            findings.error(
                "wrong type",
                table.file,
                note("finding.expected_text"),
                row=row,
                column=column,
                value=value,
            )
        elif not text.strip() and not may_be_empty:
            findings.error(
                "empty text", table.file, note("finding.empty_text"), row=row, column=column
            )
        elif text.strip().lower() in NO_VALUE:
            message = note("finding.no_value_word")
            findings.warn("no value", table.file, message, row=row, column=column, value=text)
        elif len(text) > LONG_TEXT or _ODD.search(text):
            _note_oddities(text, table.file, row, column, findings)
    return texts


def _note_oddities(text: str, file: str, row: int, column: str, findings: Findings) -> None:
    """Note what most likely went wrong before the file was written; texts stay as they are."""

    def around(position: int) -> str:
        return text[max(0, position - 10) : position + 20]

    if len(text) > LONG_TEXT:
        megabytes = len(text.encode("utf-8", "replace")) / 1e6
        findings.warn(
            "very long text",
            file,
            note("finding.very_long_text", n=len(text), megabytes=megabytes),
            row=row,
            column=column,
        )
    note_broken(text, file, row, column, findings)
    if (position := text.find("\ufffd")) >= 0:
        message = note("finding.lost_character")
        findings.warn(
            "lost character", file, message, row=row, column=column, value=around(position)
        )
    if match := _MOJIBAKE.search(text):
        message = note("finding.wrong_encoding")
        findings.warn(
            "wrong encoding", file, message, row=row, column=column, value=around(match.start())
        )
    elif match := _CONTROL.search(text):
        message = note("finding.control_character", code=f"{ord(match[0]):04X}")
        findings.warn(
            "control character", file, message, row=row, column=column, value=around(match.start())
        )
    if (match := _JAMO.search(text)) and not unicodedata.is_normalized("NFC", text):
        message = note("finding.nfd_hangul")
        findings.warn(
            "NFD Hangul", file, message, row=row, column=column, value=around(match.start())
        )


def note_broken(text: str, file: str, row: int, column: str, findings: Findings) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 file and no tokenizer can hold."""
    if match := _SURROGATE.search(text):
        message = note("finding.broken_character", code=f"{ord(match[0]):04x}")
        findings.error("broken character", file, message, row=row, column=column)


def ids_of(table: Mapped, ours: str, findings: Findings, unique: bool = False) -> list[str]:
    """A column of ids, exactly as written; whole numbers become their digits."""
    column = table.names[ours]
    ids: list[str] = []
    first: dict[str, int] = {}
    for row, value in zip(table.rows, table.columns[ours], strict=True):
        if value is None or value == "":
            findings.error(
                "missing value", table.file, note("finding.expected_id"), row=row, column=column
            )
            value = ""
        elif isinstance(value, bool) or not isinstance(value, str | int):
            message = note("finding.id_type")
            findings.error("wrong type", table.file, message, row=row, column=column, value=value)
        elif unique and first.setdefault(str(value), row) != row:
            message = note("finding.repeated_id", row=first[str(value)])
            findings.error(
                "repeated id", table.file, message, row=row, column=column, value=str(value)
            )
        ids.append(str(value))
        note_broken(ids[-1], table.file, row, column, findings)
    return ids


def number_of(value: object, table: Mapped, row: int, ours: str, findings: Findings) -> float:
    """A finite number; 0 after its error is noted."""
    number, column = to_number(value), table.names[ours]
    if value is None or value == "":
        findings.error(
            "missing value", table.file, note("finding.expected_number"), row=row, column=column
        )
    elif number is None:
        findings.error(
            "wrong type",
            table.file,
            note("finding.expected_number"),
            row=row,
            column=column,
            value=value,
        )
    elif not math.isfinite(number):
        findings.error(
            "not finite",
            table.file,
            note("finding.not_finite"),
            row=row,
            column=column,
            value=value,
        )
    else:
        return number
    return 0.0


def note_repeated(
    table: Mapped, keys: Iterable[tuple[str, ...]], kind: str, findings: Findings
) -> None:
    first: dict[tuple[str, ...], int] = {}
    for row, key in zip(table.rows, keys, strict=True):
        if any(key) and first.setdefault(key, row) != row:
            findings.warn(
                kind,
                table.file,
                note("finding.same_as_row", row=first[key]),
                row=row,
                value=key[-1],
            )
