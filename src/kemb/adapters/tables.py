"""Cells and tables, and the numbers in them."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)[^)]*\)")
_MARKUP = re.compile(r"</?[A-Za-z][^>]*>|\*\*|__|`|(?<![\w\\])[*](?=\S)|(?<=[^\s\\])[*](?!\w)")
_NUMBER = re.compile(
    r"([-+−–]?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?|\.(\d+))\s*(%?)(?:\s*(?:±|\+/-)\s*[\d.]+\s*%?)?"
)
MISSING = {"", "-", "–", "—", "nan", "n/a", "na", "none", "null", "?", "x"}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table."""

    text: str
    """Without markup."""
    number: float | None = None
    """As printed: percent stay percent."""
    decimals: int = 0
    link: str = ""

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


def make_cell(raw: str) -> Cell:
    """A cell from its source: links, bold and HTML are taken off, numbers are read.

    Thousands separators, a percent sign and a "± spread" behind a number are understood; anything else beside it makes
    the cell text.
    """
    link = _LINK.search(raw)
    text = html.unescape(_MARKUP.sub("", _LINK.sub(r"\1", raw))).replace("\\", "").strip()
    match = _NUMBER.fullmatch(text)
    if match is None:
        return Cell(text, link=link[2] if link else "")
    sign = -1 if match[1] in ("-", "−", "–") else 1
    number = sign * float(match[2].replace(",", ""))
    return Cell(text, number, len(match[3] or match[4] or ""), link[2] if link else "")


def split_cells(line: str) -> list[str]:
    """The cells of a Markdown row; an escaped pipe is part of its cell."""
    cells = re.split(r"(?<!\\)\|", line.strip())
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip():
        cells = cells[:-1]
    return [cell.strip() for cell in cells]


def build(title: str, columns: list[str], rows: list[tuple[int, list[str]]], line: int) -> Table:
    """A table; rows whose number of cells is not that of the header are left out and named."""
    kept, lines, problems = [], [], []
    for number, cells in rows:
        if len(cells) == len(columns):
            kept.append([make_cell(cell) for cell in cells])
            lines.append(number)
        else:
            shown = " | ".join(cells)[:60]
            problems.append(
                f"line {number}: a row of {len(cells)} cells under a header of {len(columns)} ({shown!r}); "
                "it was left out"
            )
    return Table(title, [make_cell(column).text for column in columns], kept, lines, line, problems)
