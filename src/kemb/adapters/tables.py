"""Tables as plain data: cells without markup, numbers as printed, and what was left out, with its
line.
"""

from __future__ import annotations

import html
import re
import time
import unicodedata
from dataclasses import dataclass, field, replace

from kemb.errors import DataError

# Every quantifier is possessive or stops at the next opening sign: time is linear in the cell.
_LINK = re.compile(r"\[([^\[\]]*+)\]\(((?:[^()\s]|\([^()\s]*+\))*+)[^()]*+\)")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*+>|\*\*|__|`|(?<![\w\\])[*](?=\S)|(?<=[^\s\\])[*](?!\w)")
_BREAK = re.compile(r"<br\s*+/?>", re.IGNORECASE)
CHANGE = (
    r"(?:\s*+(?:±|\+/-)\s*+[\d.]++\s*+%?"
    r"|\s*+\(?[↑↓▲▼△▽⬆⬇]\ufe0f?\s*+[\d.]*+\s*+%?\)?"
    r"|\s*+\([+−-][\d.]++\s*+%?\))"
)
"""What may stand behind a number: a spread, a change, which way is better."""
_NUMBER = re.compile(
    rf"([-+−–]?)((?:\d{{1,3}}(?:,\d{{3}})+|\d++)(?:\.(\d++))?|\.(\d++))\s*+(%?){CHANGE}?"
)
_MOST_DIGITS = 15
"""Of a number before and behind the point: what a double holds."""
MISSING = {"", "-", "–", "—", "nan", "n/a", "na", "none", "null", "?", "x"}
SECONDS = 60.0


class Budget:
    """Computing time for one document."""

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.name, self.seconds = name, seconds
        self.end = time.process_time() + seconds

    def check(self) -> None:
        """Go on, if there is time left.

        :raises DataError: there is none.
        """
        if time.process_time() > self.end:
            raise DataError(
                f"{self.name} takes more than {self.seconds:.0f} s of computing; a page with "
                "tables is expected. Cut out the part that holds them and give that."
            )


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table."""

    text: str
    """Without markup."""
    number: float | None = None
    """As printed: percent stay percent; a spread or change behind it is left off."""
    decimals: int = 0
    link: str = ""
    is_percent: bool = False
    """Whether a percent sign stands behind the number."""
    line: int = 0
    """Where it stands, if not on the line of its row."""

    @property
    def is_missing(self) -> bool:
        return self.text.strip().lower() in MISSING

    @property
    def half_unit(self) -> float:
        """Half of the last printed digit: how far rounding may have moved the number."""
        return 0.5 * 10.0**-self.decimals


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the line each row stands on, counted from 1."""

    title: str
    """The nearest heading or caption above it, and the one above that, joined by " / "."""
    columns: list[str]
    rows: list[list[Cell]]
    lines: list[int]
    line: int
    problems: list[str] = field(default_factory=list)
    """Rows that were left out, with line and reason."""

    def column(self, index: int) -> list[Cell]:
        """The cells of a column."""
        return [row[index] for row in self.rows]


PlacedTable = tuple[Table, int, int]
"""A table with the first and last line it takes, from 0."""


def make_cell(raw: str) -> Cell:
    """A cell from its source: links, bold and HTML are taken off, numbers are read.

    Thousands separators, a percent sign, a medal before a number and a "± spread" or "(↑ change)"
    behind it are understood; anything else beside it makes the cell text. So does a number of more
    digits than a double holds.
    """
    link = _LINK.search(raw)
    plain = _MARKUP.sub("", _BREAK.sub(" ", _LINK.sub(r"\1", raw)))
    text = " ".join(html.unescape(plain).replace("\\", "").split())
    address = link[2] if link else ""
    match = _NUMBER.fullmatch(without_symbols(text))
    if match is None or len(match[2].partition(".")[0].replace(",", "")) > _MOST_DIGITS:
        return Cell(text, link=address)
    sign = -1 if match[1] in ("-", "−", "–") else 1
    number = sign * float(match[2].replace(",", ""))
    decimals = min(len(match[3] or match[4] or ""), _MOST_DIGITS)
    return Cell(text, number, decimals, address, is_percent=bool(match[5]))


def without_symbols(text: str) -> str:
    """A text without the medals, stars and flags before and behind it."""
    first, last = 0, len(text)
    while first < last and _is_symbol(text[first]):
        first += 1
    while first < last and _is_symbol(text[last - 1]) and text[last - 1] not in "▲▼△▽⬆⬇":
        last -= 1
    stripped = text[first:last]
    return stripped.strip() if len(stripped) < len(text) else text


def _is_symbol(character: str) -> bool:
    return character in "\ufe0f\u200d " or unicodedata.category(character) == "So"


def build(title: str, columns: list[str], rows: list[tuple[int, list[str]]], line: int) -> Table:
    """A table; rows whose number of cells is not that of the header are left out and named.

    Empty cells at a row's end that the header does not have are no cells.
    """
    table_rows, lines, problems = [], [], []
    for number, cells in rows:
        if not any(cells[len(columns) :]):
            cells = cells[: len(columns)]
        if len(cells) == len(columns):
            table_rows.append([make_cell(cell) for cell in cells])
            lines.append(number)
        else:
            row_text = " | ".join(cells)[:60]
            problems.append(
                f"line {number}: a row of {len(cells)} cells under a header of {len(columns)} "
                f"({row_text!r}); "
                "it was left out"
            )
    return Table(
        title, [make_cell(column).text for column in columns], table_rows, lines, line, problems
    )


def transposed(table: Table) -> Table:
    """Rows as columns; every cell keeps its line."""
    columns = [table.columns[0], *(row[0].text for row in table.rows)]
    rows = [
        [
            Cell(name, line=table.line),
            *(
                replace(row[column], line=line)
                for row, line in zip(table.rows, table.lines, strict=True)
            ),
        ]
        for column, name in enumerate(table.columns)
        if column
    ]
    return Table(table.title, columns, rows, [table.line] * len(rows), table.line, table.problems)


_HEADING = re.compile(r"(?:#{1,6}\s++|[-*•]\s++)?+(\S.*+)")
LONGEST_CAPTION = 90
"""Characters a caption has at most."""


def title_above(lines: list[str], before: int, in_table: list[bool], extra: str = "") -> str:
    """The caption and the heading above line number `before`, from 0."""
    captions = [extra] if extra else []
    for place in range(before - 1, max(before - 12, -1), -1):
        line = lines[place].strip()
        if not line or in_table[place] or len(line) > 10 * LONGEST_CAPTION:
            continue
        match = _HEADING.fullmatch(line)
        caption = make_cell(match[1]).text.strip("* :") if match else ""
        if not caption or len(caption) > LONGEST_CAPTION or "|" in caption:
            continue
        is_heading = line.startswith("#")
        if is_heading or not captions:
            captions.append(caption)
        if is_heading or len(captions) > 1:
            break
    return " / ".join(reversed(captions))
