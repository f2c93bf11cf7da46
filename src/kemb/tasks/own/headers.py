"""The row of a sheet that names its columns: titles and merged cells may stand above it, and a
copy of it further down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kemb.messages import note
from kemb.tasks.own.columns import (
    CORPUS,
    GOLD_ANSWERS,
    GOLD_IDS,
    GOLD_NAMES,
    GOLD_TEXTS,
    GRADES,
    LABELS,
    PAIRS,
    QRELS,
    QUERIES,
    plain_name,
)
from kemb.tasks.own.findings import Findings, Table

USUAL_NAMES = frozenset((*GOLD_NAMES, *GRADES)).union(
    *(names for aliases in (CORPUS, LABELS, PAIRS, QRELS, QUERIES) for names in aliases.values())
)
"""What columns are called in the layouts that kemb knows, as `plain_name` writes it."""

_MEANINGS = (
    *(GOLD_IDS, GOLD_TEXTS, GOLD_ANSWERS, GRADES),
    *(names for aliases in (CORPUS, LABELS, PAIRS, QRELS, QUERIES) for names in aliases.values()),
)
"""Names that mean the same column, whatever their language."""

_MOST_ABOVE = 5
"""Rows of titles and notes that people write above a table."""
_LEAST_NAMES = 2
"""Usual names that a row below the first needs, to be taken for the header."""

Rows = list[tuple[int, list[str]]]
"""Rows that hold anything, each with the number that an editor shows."""


def table_of_rows(file: str, rows: Rows, findings: Findings) -> Table | None:
    """A table whose header is the first row, or what stands below titles and merged cells.

    Trailing columns without a name and a value are left out, and so are copies of the header, the
    same names in another language below it, and a first column that alone has no name.
    None, and a finding, where columns share a name, or hold values without one.

    :param file: its name in messages.
    :param rows: at least one; as they stand, of unlike lengths.
    :param findings: takes what is decided and what is wrong.
    """
    rows = _without_empty_columns(_below_titles(rows, file, findings))
    header_row, header = rows[0]
    names = [name.strip() for name in header]
    places = [place for place, name in enumerate(names) if name or _has_values(rows[1:], place)]
    if places and not names[places[0]] and all(names[place] for place in places[1:]):
        first = [values[places[0]] for _, values in rows[1:] if len(values) > places[0]]
        if "id" in names or all(not value.strip() or value.strip().isdigit() for value in first):
            places = places[1:]  # the numbers of the rows, as data frames write them
        else:
            names[places[0]] = "id"
            message = note("finding.unnamed_ids", value=first[0])
            findings.warn("header", file, message, row=header_row)
    column_names = [names[place] for place in places]
    if fault := next(
        (name for name, n in Counter(column_names).items() if n > 1 or not name), None
    ):
        message = note("finding.repeated_column")
        findings.error("repeated column", file, message, row=header_row, column=fault)
        return None
    if "" in column_names:
        message = note("finding.unnamed_columns")
        findings.error("repeated column", file, message, row=header_row)
        return None
    whole: Rows = []
    for row, values in rows[1:]:
        if len(values) != len(names):
            message = note("finding.ragged_row", n=len(values), n_names=len(names))
            findings.error("ragged row", file, message, row=row, value=",".join(values))
        elif [value.strip() for value in values] == names:
            findings.warn("header", file, note("finding.header_again"), row=row)
        elif not whole and row == rows[1][0] and _says_the_same(names, values):
            message = note("finding.header_translated")
            findings.warn("header", file, message, row=row, value=" ".join(values))
        else:
            whole.append((row, values))
    columns: dict[str, list[object]] = {
        names[place]: [values[place] for _, values in whole] for place in places
    }
    return Table(file, columns, [row for row, _ in whole])


def _says_the_same(header: Sequence[str], values: Sequence[str]) -> bool:
    """Whether a row names the columns once more, as a second header in another language does."""
    pairs = [
        (plain_name(name), plain_name(value))
        for name, value in zip(header, values, strict=True)
        if value.strip()
    ]
    n_same = sum(
        any(name in meaning and value in meaning for meaning in _MEANINGS) for name, value in pairs
    )
    return n_same >= _LEAST_NAMES and 2 * n_same >= len(pairs)


def _has_values(rows: Rows, place: int) -> bool:
    return any(len(values) > place and values[place].strip() for _, values in rows)


def _below_titles(rows: Rows, file: str, findings: Findings) -> Rows:
    """The rows from the header on, where titles, notes or merged cells stand above it."""
    if _n_usual(rows[0][1]) >= _LEAST_NAMES and all(map(str.strip, rows[0][1])):
        return rows
    for place in range(1, min(_MOST_ABOVE + 1, len(rows) - 1)):
        row, values = rows[place]
        above = rows[place - 1][1]
        merged = [
            name.strip() or (above[column].strip() if column < len(above) else "")
            for column, name in enumerate(values)
        ]
        is_better = _n_usual(merged) > max(_n_usual(other) for _, other in rows[:place])
        if is_better and _is_header(merged):
            message = note("finding.header_below", row=row)
            findings.warn("header", file, message, row=rows[0][0], value=" ".join(rows[0][1]))
            return [(row, merged), *rows[place + 1 :]]
    return rows


def _is_header(names: Sequence[str]) -> bool:
    filled = [name for name in names if name]
    return (
        len(set(filled)) == len(filled) >= _LEAST_NAMES
        and _n_usual(names) >= _LEAST_NAMES
        and 2 * _n_usual(names) >= len(filled)
    )


def _n_usual(names: Sequence[str]) -> int:
    return len(USUAL_NAMES.intersection(map(plain_name, names)))


def _without_empty_columns(rows: Rows) -> Rows:
    """The rows without trailing columns that have neither a name nor a value, as spreadsheets
    write them.
    """
    n_named = len(rows[0][1])
    width = n_named
    while width > 1 and not _has_values(rows, width - 1):
        width -= 1
    return [(row, values[:width] if len(values) == n_named else values) for row, values in rows]
