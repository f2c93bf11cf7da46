"""Tables of an HTML page, or of HTML inside Markdown; merged cells count for every place they
cover.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from kemb.adapters.tables import Budget, PlacedTable, Table, build, make_cell, title_above

_MOST_COLUMNS = 1000
_MOST_PLACES = 1_000_000
"""Of one table, merged cells counted for every place they cover."""
_PIECE = 1 << 16


@dataclass
class _HtmlCell:
    text: list[str] = field(default_factory=list)
    link: str = ""
    width: int = 1
    height: int = 1
    is_header: bool = False

    @property
    def source(self) -> str:
        """As Markdown: `[text](link)`."""
        text = " ".join("".join(self.text).split())
        if not self.link or set("[]") & set(text) or set("() ") & set(self.link):
            return text
        return f"[{text}]({self.link})"


@dataclass
class _HtmlTable:
    first: int
    last: int = 0
    rows: list[tuple[int, list[_HtmlCell]]] = field(default_factory=list)
    caption: list[str] = field(default_factory=list)


@dataclass
class _Row:
    """A row of the grid: the cell that covers each place."""

    line: int
    cells: list[_HtmlCell]

    @property
    def texts(self) -> list[str]:
        return [cell.source for cell in self.cells]

    @property
    def is_header(self) -> bool:
        return all(cell.is_header for cell in self.cells)

    @property
    def has_number(self) -> bool:
        return any(make_cell(cell.source).number is not None for cell in self.cells)

    @property
    def is_section(self) -> bool:
        """Whether one cell covers all columns: a heading between rows."""
        return len({id(cell) for cell in self.cells}) == 1 and self.cells[0].width > 1


def html_tables(text: str, lines: list[str], budget: Budget) -> Iterator[PlacedTable]:
    """All tables, in order of their ends; the lines they take are counted from 1."""
    parser = _Parser()
    for start in range(0, len(text), _PIECE):
        budget.check()
        parser.feed(text[start : start + _PIECE])
    nothing = [False] * len(lines)
    for raw in parser.tables:
        budget.check()
        above = title_above(lines, raw.first - 1, nothing)
        caption = " ".join("".join(raw.caption).split())
        table = _table(raw, " / ".join(part for part in (above, caption) if part))
        if table is not None:
            yield table, raw.first, raw.last


def _table(raw: _HtmlTable, title: str) -> Table | None:
    rows = _grid(raw)
    if rows is None:
        problem = (
            f"line {raw.first}: a table of more than {_MOST_COLUMNS} columns or {_MOST_PLACES:,} "
            "places was left out"
        )
        return Table(title, [], [], [], raw.first, [problem])
    if len(rows) < 2:
        return None
    n_header = 1
    is_grouped = any(cell.width > 1 or cell.height > 1 for cell in rows[0].cells)
    while n_header < len(rows) - 1 and (
        rows[n_header].is_header or (is_grouped and n_header == 1 and not rows[1].has_number)
    ):
        n_header += 1
    body, problems = _body(rows[n_header:])
    table = build(title, _names(rows[:n_header]), body, rows[n_header - 1].line)
    table.problems.extend(problems)
    return table


def _body(rows: list[_Row]) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Rows without headings between them, and without those where one number covers several
    columns: whose it is cannot be told.
    """
    body, problems = [], []
    for row in rows:
        wide = next(
            (
                cell
                for cell in row.cells
                if cell.width > 1 and make_cell(cell.source).number is not None
            ),
            None,
        )
        if wide is not None:
            problems.append(
                f"line {row.line}: {wide.source!r} covers {wide.width} columns, and whose number "
                "it is cannot be told; the row was left out"
            )
        elif not row.is_section:
            body.append((row.line, row.texts))
    return body, problems


def _names(rows: list[_Row]) -> list[str]:
    """The lowest name of every column; the group above it in front where names repeat."""
    lowest = rows[-1].texts
    if len(set(lowest)) == len(lowest):
        return lowest
    names = []
    for column in range(len(lowest)):
        stacked = dict.fromkeys(row.cells[column].source for row in rows if column < len(row.cells))
        names.append(" ".join(part for part in stacked if part))
    return names


def _grid(raw: _HtmlTable) -> list[_Row] | None:
    """Rows with one cell per place; None where there are too many places."""
    below: dict[int, tuple[int, _HtmlCell]] = {}
    """Column -> how many more rows the cell above covers, and that cell."""
    rows: list[_Row] = []
    n_places = 0
    for line, cells in raw.rows:
        row: list[_HtmlCell] = []
        after: dict[int, tuple[int, _HtmlCell]] = {}
        for cell in [*cells, None]:
            while len(row) in below:
                n_rows, above = below[len(row)]
                if n_rows > 1:
                    after[len(row)] = n_rows - 1, above
                row.append(above)
            if cell is None or len(row) + cell.width > _MOST_COLUMNS:
                break
            if cell.height > 1:
                after |= {len(row) + i: (cell.height - 1, cell) for i in range(cell.width)}
            row += [cell] * cell.width
        below = after
        n_places += len(row)
        if n_places > _MOST_PLACES or len(row) + (cell.width if cell else 0) > _MOST_COLUMNS:
            return None
        if row:
            rows.append(_Row(line, row))
    return rows


class _Parser(HTMLParser):
    """Rows of the tables of a page, with lines; a table inside another is a table of its own."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[_HtmlTable] = []
        self.open_tables: list[_HtmlTable] = []
        self.cell: _HtmlCell | None = None
        self.in_caption = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.open_tables.append(_HtmlTable(self.getpos()[0]))
            self.cell = None
        elif not self.open_tables:
            return
        elif tag == "caption":
            self.in_caption = True
        elif tag == "tr":
            self.cell = None
            self.open_tables[-1].rows.append((self.getpos()[0], []))
        elif tag in ("td", "th") and self.open_tables[-1].rows:
            attributes = dict(attrs)
            self.cell = _HtmlCell(
                width=_span(attributes.get("colspan")),
                height=_span(attributes.get("rowspan")),
                is_header=tag == "th",
            )
            self.open_tables[-1].rows[-1][1].append(self.cell)
        elif self.cell is not None and tag == "a":
            self.cell.link = self.cell.link or dict(attrs).get("href") or ""
        elif self.cell is not None and tag == "br":
            self.cell.text.append(" ")

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell.text.append(data)
        elif self.in_caption and self.open_tables:
            self.open_tables[-1].caption.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.cell = None
        elif tag == "caption":
            self.in_caption = False
        elif tag == "table" and self.open_tables:
            table = self.open_tables.pop()
            table.last = self.getpos()[0]
            self.tables.append(table)
            self.cell = None


def _span(attribute: str | None) -> int:
    """How many places a cell covers, 1 to a thousand, as browsers read it."""
    digits = (attribute or "").strip()
    if not digits.isascii() or not digits.isdigit():
        return 1
    return max(1, int(digits[:6])) if len(digits) <= 6 else _MOST_COLUMNS + 1
