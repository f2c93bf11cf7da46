"""Tables in plain text: Markdown (also flattened to one line), tabs, and columns of blanks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemb.adapters.tables import LONGEST_CAPTION, Budget, PlacedTable, Table, build, title_above

_SEPARATOR = re.compile(r"\|?(?:\s*+:?-{2,}+:?\s*+\|){1,}+(?:\s*+:?-{2,}+:?\s*+)?\|?")
_FLAT_SEPARATOR = re.compile(r"\|(?:\s*+:?-{2,}+:?\s*+\|){2,}+")
_PIPE = re.compile(r"(?<!\\)\|")
_ADDRESS = re.compile(r"\(http\S*+\)")
_FLAT_TITLE = re.compile(r"\*\*([^*]{1,60})\*\*|#+ ([^#|`]{1,60})")
_WHOLE_NUMBER = re.compile(r"[-−]?\d++(\.\d++)?%?|nan", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_LONGEST_ROW = 400
"""Characters of a row of blanks at most."""


def split_cells(line: str) -> list[str]:
    """The cells of a Markdown row; an escaped pipe is part of its cell."""
    cells = _PIPE.split(line.strip())
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip():
        cells = cells[:-1]
    return [cell.strip() for cell in cells]


def markdown_tables(
    lines: list[str], in_table: list[bool], budget: Budget
) -> Iterator[PlacedTable]:
    """Tables with a rule of dashes below their header.

    A header that is not as wide as its rule gives a table without rows and a problem with both
    counts, unless the cells that it has more are empty.
    """
    skip_to = 0
    for place, line in enumerate(lines):
        if place < skip_to or in_table[place] or "--" not in line or "|" not in line:
            continue
        budget.check()
        if not place or not _SEPARATOR.fullmatch(line.strip()):
            yield from ((table, place, place) for table in _flattened(line, place + 1))
            continue
        above = split_cells(lines[place - 1])
        if len(above) < 2 and "|" not in lines[place - 1]:
            continue  # a rule, but no header
        end = _end_of_rows(lines, in_table, place + 1)
        table = _one_table(lines, in_table, place, end)
        if table.rows or table.problems:
            yield table, place - 1, end - 1
        in_table[place - 1 : end] = [True] * (end - place + 1)
        skip_to = end


def _end_of_rows(lines: list[str], in_table: list[bool], first: int) -> int:
    """The line behind the last row."""
    end = first
    while end < len(lines) and "|" in lines[end] and not in_table[end]:
        if end + 1 < len(lines) and _SEPARATOR.fullmatch(lines[end + 1].strip()):
            break  # the header of the next table
        end += 1
    return end


def _one_table(lines: list[str], in_table: list[bool], place: int, end: int) -> Table:
    """The table whose rule is line number `place`, from 0."""
    n, above = len(split_cells(lines[place])), split_cells(lines[place - 1])
    header, caption = _header(lines[place - 1], lines[place], above, n)
    title = title_above(
        lines, place - 1, in_table, _ADDRESS.sub(" ", caption[: 10 * LONGEST_CAPTION]).strip()
    )
    if header is None:
        problem = (
            f"line {place}: a header of {len(above)} cells over a rule of {n} "
            f"({' | '.join(above)[:60]!r}); the table was left out. Which name belongs to which "
            "column cannot be told"
        )
        return Table(title, [], [], [], place, [problem])
    rows = [(number + 1, _cells_of(lines[number], len(header))) for number in range(place + 1, end)]
    return build(title, header, rows, place)


def _header(line: str, rule: str, above: list[str], n: int) -> tuple[list[str] | None, str]:
    """The names of `n` columns, None where there are more or fewer; and the text before them.

    Text before the first pipe is a caption where the rule begins with a pipe and the header's line
    does not: pages that were copied join them.
    """
    if len(above) == n:
        return above, ""
    if len(above) == n - 1:
        cells = _cells_of(line, n)
        return (cells if len(cells) == n else None), ""
    is_joined = rule.strip().startswith("|") and not line.strip().startswith("|")
    if len(above) == n + 1 and is_joined:
        return above[1:], above[0]
    if len(above) > n:
        if not any(above[:-n]):
            return above[-n:], ""
        if not any(above[n:]):
            return above[:n], ""
    return None, ""


def _cells_of(line: str, n: int) -> list[str]:
    """The cells of a row; an empty first cell is one, where the row is else too short."""
    cells = split_cells(line)
    if len(cells) == n - 1 and re.match(r"\s*\|\s*\|", line):
        return ["", *cells]
    if len(cells) < n:
        inner = line.strip().removeprefix("|").removesuffix("|")
        return [cell.strip() for cell in _PIPE.split(inner)]
    return cells


def _flattened(line: str, number: int) -> Iterator[Table]:
    """Markdown tables whose line ends were lost: rows are what stands between empty cells."""
    pipes = [match.start() for match in _PIPE.finditer(line)]
    place_of = {start: place for place, start in enumerate(pipes)}
    edges = [-1, *pipes, len(line)]
    cells = [line[edges[i] + 1 : edges[i + 1]] for i in range(len(edges) - 1)]
    for match in _FLAT_SEPARATOR.finditer(line):
        n = len(split_cells(match[0]))
        first = place_of.get(match.start())
        if first is None or first + 1 < n + 2:
            continue
        before = cells[first - n - 1 : first + 1]  # caption, header, and what parts them
        header, caption = before[1:-1], before[0]
        if len(header) != n:
            continue
        rows = []
        start = first + 1 + n
        while start + n + 1 < len(cells) and not cells[start].strip():
            rows.append((number, [cell.strip() for cell in cells[start + 1 : start + n + 1]]))
            start += n + 1
        bold = _FLAT_TITLE.findall(caption[-1000:])
        title = next((part for part in bold[-1] if part), "").strip() if bold else ""
        yield build(title, [cell.strip() for cell in header], rows, number)


def tab_tables(lines: list[str], in_table: list[bool], budget: Budget) -> Iterator[PlacedTable]:
    """Three and more lines with the same number of tabs, one of them with a number."""
    place = 0
    while place < len(lines):
        n = lines[place].count("\t")
        end = place
        while end < len(lines) and n and lines[end].count("\t") == n and not in_table[end]:
            end += 1
        if end - place >= 3:
            budget.check()
            rows = [(number + 1, lines[number].split("\t")) for number in range(place + 1, end)]
            title = title_above(lines, place, in_table)
            table = build(title, lines[place].split("\t"), rows, place + 1)
            if any(cell.number is not None for row in table.rows for cell in row):
                yield table, place, end - 1
        place = max(end, place + 1)


def blank_tables(lines: list[str], in_table: list[bool], budget: Budget) -> Iterator[PlacedTable]:
    """Rows that end in as many numbers as the line above them has words left after the first."""
    place = 0
    while place < len(lines):
        end = place
        while end < len(lines) and not in_table[end] and _n_numbers(lines[end]):
            end += 1
        # A name may end in a number as well: the fewest numbers are those of the columns.
        n = min((_n_numbers(line) for line in lines[place:end]), default=0)
        is_free = end - place >= 2 and n and place and not in_table[place - 1]
        header = lines[place - 1][: 10 * LONGEST_CAPTION].split() if is_free else []
        fits = len(header) > n and not any(_WHOLE_NUMBER.fullmatch(word) for word in header)
        if n == 1:
            fits = (
                fits
                and len(header) == 2
                and all(len(lines[row].split()) == 2 for row in range(place, end))
            )
        if fits and len(" ".join(header)) <= 2 * LONGEST_CAPTION:
            budget.check()
            columns = [" ".join(header[:-n]), *header[-n:]]
            rows = []
            for number in range(place, end):
                words = lines[number].split()
                rows.append((number + 1, [" ".join(words[:-n]), *words[-n:]]))
            title = title_above(lines, place - 1, in_table)
            yield build(title, columns, rows, place), place - 1, end - 1
        place = max(end, place + 1)


def _n_numbers(line: str) -> int:
    """How many numbers end a line that starts with a word; 0 for any other line."""
    if len(line) > _LONGEST_ROW:
        return 0
    words = line.split()
    if len(words) < 2:
        return 0
    n = 0
    while n < len(words) and _WHOLE_NUMBER.fullmatch(words[-1 - n]):
        n += 1
    return n if n < len(words) and _LETTER.search(words[0]) else 0
