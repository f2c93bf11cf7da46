"""A text document -> its tables, whatever way they are written, and the results in its model card
metadata.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import yaml

from kemb.errors import DataError

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

    Thousands separators, a percent sign and a "± spread" behind a number are understood; anything
    else beside it makes the cell text.
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
    table_rows, lines, problems = [], [], []
    for number, cells in rows:
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


MAX_BYTES = 64 << 20
_MAX_LINE = 1 << 20
_SEPARATOR = re.compile(r"\|?(?:\s*:?-{2,}:?\s*\|){1,}(?:\s*:?-{2,}:?\s*)?\|?")
_HEADING = re.compile(r"\s*(?:#{1,6}\s+|[-*•]\s+)?(\S.*)")
_WHOLE_NUMBER = re.compile(r"[-−]?\d+(\.\d+)?%?|nan", re.IGNORECASE)
_LONG = 90
"""Characters a caption has at most."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was found in a file."""

    path: Path
    text: str
    tables: list[Table]
    entries: list[Entry]
    """Results in the metadata of a model card."""

    @property
    def problems(self) -> list[str]:
        """What could not be read, with line numbers."""
        return [problem for table in self.tables for problem in table.problems]


def read_document(path: Path) -> Document:
    """Read a README, a model card, a scraped page or a `.eval_results` YAML.

    :raises DataError: not text, or too large.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                f"{path} has more than {MAX_BYTES >> 20} MB; a page with tables is expected."
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save the page as text and try again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if "\0" in text[:4096]:
        raise DataError(f"{path} is not text; save the page as text and try again.")
    return Document(path, text, find_tables(text), read_entries(text))


def find_tables(text: str) -> list[Table]:
    """All tables of a text, in order: Markdown (also flattened to one line), HTML, tabs, and
    columns of blanks.
    """
    lines = [line if len(line) <= _MAX_LINE else "" for line in text.splitlines()]
    tables: list[Table] = []
    in_table = [False] * len(lines)
    html_tables = _html_tables(text) if "<table" in text.lower() else []
    for table, first, last in html_tables:
        tables.append(table)
        in_table[first - 1 : last] = [True] * (last - first + 1)
    for finder in (_markdown_tables, _tab_tables, _blank_tables):
        for table, first, last in list(finder(lines, in_table)):
            tables.append(table)
            in_table[first : last + 1] = [True] * (last + 1 - first)
    return sorted(tables, key=lambda table: table.line)


PlacedTable = tuple[Table, int, int]
"""A table with the first and last line it takes, from 0."""


def _title(lines: Sequence[str], before: int, in_table: Sequence[bool], extra: str = "") -> str:
    """The caption and the heading above line number `before`."""
    captions = [extra] if extra else []
    for place in range(before - 1, max(before - 12, -1), -1):
        line = lines[place].strip()
        if not line or (in_table[place] and captions):
            continue
        if in_table[place]:
            continue
        match = _HEADING.fullmatch(line)
        caption = make_cell(match[1]).text.strip("* :") if match else ""
        if not caption or len(caption) > _LONG or "|" in caption:
            continue
        is_heading = line.startswith("#")
        if is_heading or not captions:
            captions.append(caption)
        if is_heading or len(captions) > 1:
            break
    return " / ".join(reversed(captions))


def _markdown_tables(lines: list[str], in_table: list[bool]) -> Iterator[PlacedTable]:
    skip_to = 0
    for place, line in enumerate(lines):
        if place < skip_to or in_table[place] or "--" not in line or "|" not in line:
            continue
        if _SEPARATOR.fullmatch(line.strip()) and place:
            columns = split_cells(line)
            above = split_cells(lines[place - 1])
            if len(above) < len(columns) and not lines[place - 1].strip().startswith("|"):
                continue
            header, before = above[-len(columns) :], above[: -len(columns)]
            if len(above) < len(columns):
                header = above
            end = place + 1
            while end < len(lines) and "|" in lines[end] and not in_table[end]:
                if end + 1 < len(lines) and _SEPARATOR.fullmatch(lines[end + 1].strip()):
                    break  # the header of the next table
                end += 1
            rows = [
                (number + 1, _cells_of(lines[number], len(header)))
                for number in range(place + 1, end)
            ]
            title = _title(
                lines, place - 1, in_table, re.sub(r"\(http\S*\)", " ", " ".join(before)).strip()
            )
            if rows:
                yield build(title, header, rows, place), place - 1, end - 1
            in_table[place - 1 : end] = [True] * (end - place + 1)
            skip_to = end
        else:
            tables = list(_flattened(line, place + 1))
            yield from ((table, place, place) for table in tables)


def _cells_of(line: str, n: int) -> list[str]:
    """The cells of a row; an empty first cell is one, where the row is else too short."""
    cells = split_cells(line)
    if len(cells) == n - 1 and re.match(r"\s*\|\s*\|", line):
        return ["", *cells]
    if len(cells) < n:
        inner = line.strip().removeprefix("|").removesuffix("|")
        return [cell.strip() for cell in re.split(r"(?<!\\)\|", inner)]
    return cells


def _flattened(line: str, number: int) -> Iterator[Table]:
    """Markdown tables whose line ends were lost: rows are what stands between empty cells."""
    for match in re.finditer(r"\|(?:\s*:?-{2,}:?\s*\|){2,}", line):
        n = len(split_cells(match[0]))
        before = re.split(r"(?<!\\)\|", line[: match.start()])
        if len(before) < n + 2:
            continue
        header, caption = before[-n - 1 : -1], before[-n - 2]
        after = re.split(r"(?<!\\)\|", line[match.end() :])
        rows = []
        for start in range(0, len(after) - n - 1, n + 1):
            if after[start].strip():
                break
            rows.append((number, [cell.strip() for cell in after[start + 1 : start + n + 1]]))
        bold = re.findall(r"\*\*([^*]{1,60})\*\*|#+ ([^#|`]{1,60})", caption[-1000:])
        title = next((part for part in bold[-1] if part), "").strip() if bold else ""
        yield build(title, [cell.strip() for cell in header], rows, number)


def _tab_tables(lines: list[str], in_table: list[bool]) -> Iterator[PlacedTable]:
    place = 0
    while place < len(lines):
        n = lines[place].count("\t")
        end = place
        while end < len(lines) and n and lines[end].count("\t") == n and not in_table[end]:
            end += 1
        if end - place >= 3:
            rows = [(number + 1, lines[number].split("\t")) for number in range(place + 1, end)]
            table = build(_title(lines, place, in_table), lines[place].split("\t"), rows, place + 1)
            if any(cell.number is not None for row in table.rows for cell in row):
                yield table, place, end - 1
        place = max(end, place + 1)


def _blank_tables(lines: list[str], in_table: list[bool]) -> Iterator[PlacedTable]:
    """Rows that end in as many numbers as the line above them has words left after the first."""
    place = 0
    while place < len(lines):
        end = place
        while end < len(lines) and not in_table[end] and _n_numbers(lines[end]):
            end += 1
        # A name may end in a number as well: the fewest numbers are those of the columns.
        n = min((_n_numbers(line) for line in lines[place:end]), default=0)
        header = lines[place - 1].split() if place and not in_table[place - 1] else []
        fits = len(header) > n and not any(_WHOLE_NUMBER.fullmatch(word) for word in header)
        if n == 1:
            fits = (
                fits
                and len(header) == 2
                and all(len(lines[row].split()) == 2 for row in range(place, end))
            )
        if end - place >= 2 and n and fits and len(" ".join(header)) <= 2 * _LONG:
            columns = [" ".join(header[:-n]), *header[-n:]]
            rows = []
            for number in range(place, end):
                words = lines[number].split()
                rows.append((number + 1, [" ".join(words[:-n]), *words[-n:]]))
            yield (
                build(_title(lines, place - 1, in_table), columns, rows, place),
                place - 1,
                end - 1,
            )
        place = max(end, place + 1)


def _n_numbers(line: str) -> int:
    """How many numbers end a line that starts with a word; 0 for any other line."""
    words = line.split()
    if len(words) < 2 or len(line) > 400:
        return 0
    n = 0
    while n < len(words) and _WHOLE_NUMBER.fullmatch(words[-1 - n]):
        n += 1
    return n if n < len(words) and re.search(r"[^\W\d_]", words[0]) else 0


class _Tables(HTMLParser):
    """Rows of the tables of an HTML page, with lines."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[int, int, list[tuple[int, list[str]]], str]] = []
        self.rows: list[tuple[int, list[str]]] | None = None
        self.cell: list[str] | None = None
        self.start, self.merged = 0, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "table":
            self.rows, self.start, self.merged = [], self.getpos()[0], ""
        elif self.rows is not None and tag == "tr":
            self.rows.append((self.getpos()[0], []))
        elif self.rows and tag in ("td", "th"):
            self.cell = []
            if any((attributes.get(name) or "1") != "1" for name in ("colspan", "rowspan")):
                self.merged = (
                    f"line {self.getpos()[0]}: a table with merged cells (colspan or "
                    "rowspan) was left out"
                )
        elif self.cell is not None and tag == "a" and attributes.get("href"):
            self.cell.append(f"]({attributes['href']})[")
        elif self.cell is not None and tag == "br":
            self.cell.append(" ")

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self.rows and tag in ("td", "th") and self.cell is not None:
            self.rows[-1][1].append(_with_link("".join(self.cell)))
            self.cell = None
        elif tag == "table" and self.rows is not None:
            self.found.append((self.start, self.getpos()[0], self.rows, self.merged))
            self.rows = None


def _with_link(text: str) -> str:
    match = re.search(r"\]\(([^)]*)\)\[", text)
    plain = re.sub(r"\]\([^)]*\)\[", "", text)
    return f"[{plain.strip()}]({match[1]})" if match else " ".join(plain.split())


def _html_tables(text: str) -> Iterator[PlacedTable]:
    parser = _Tables()
    parser.feed(text)
    lines = text.splitlines()
    nothing = [False] * len(lines)
    for first, last, rows, merged in parser.found:
        full = [(line, cells) for line, cells in rows if cells]
        title = _title(lines, first - 1, nothing)
        if merged:
            yield Table(title, [], [], [], first, [merged]), first, last
        elif len(full) > 1:
            yield build(title, full[0][1], full[1:], full[0][0]), first, last


def read_parsed(path: Path) -> list[Table]:
    """Tables of a JSON file with `columns` and `rows`.

    :raises DataError: it is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [["" if value is None else str(value) for value in row] for row in content["rows"]]
        return [
            build(
                str(content.get("title") or ""),
                list(content["columns"]),
                [(0, row) for row in rows],
                0,
            )
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not a JSON table with `columns` and `rows` ({type(error).__name__})."
        ) from error


_FLAT_RESULT = re.compile(
    r"- task: type: (?P<type>.*?) dataset: (?P<dataset>.*?) metrics: (?P<metrics>.*?)(?=- task: "
    r"type:|$)"
)


_FLAT_METRIC = re.compile(r"- type: (?P<type>\S+) value: (?P<value>\S+)")


_FIELDS = ("type", "name", "config", "split", "revision")


@dataclass(frozen=True, slots=True)
class Entry:
    """Metrics of one model on one dataset, as a card states them."""

    model: str
    task_type: str
    dataset: str
    name: str
    config: str
    split: str
    revision: str
    metrics: dict[str, float]
    line: int


def read_entries(text: str) -> list[Entry]:
    """All entries; empty where there are none or the YAML is broken."""
    match = re.search(r"model-index:", text)
    if match is None:
        return list(_eval_results(text))
    line = text.count("\n", 0, match.start()) + 1
    own_line = text[match.start() :].split("\n", 1)[0]
    return (
        list(_flat(own_line, line))
        if "- task: type:" in own_line
        else list(_block(text[match.start() :], line))
    )


def _block(text: str, line: int) -> Iterator[Entry]:
    lines = text.split("\n")
    end = next(
        (i for i, row in enumerate(lines[1:], 1) if row.strip() and not row.startswith((" ", "-"))),
        len(lines),
    )
    end = next((i for i, row in enumerate(lines[:end]) if row.startswith("---")), end)
    try:
        models = yaml.safe_load("\n".join(lines[:end]))["model-index"]
        for model in models:
            for result in model["results"]:
                dataset = result["dataset"]
                metrics = {str(metric["type"]): metric["value"] for metric in result["metrics"]}
                yield _entry(
                    str(model.get("name", "")), str(result["task"]["type"]), dataset, metrics, line
                )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return


def _flat(text: str, line: int) -> Iterator[Entry]:
    name = re.search(r"model-index: - name: (\S+)", text)
    for result in _FLAT_RESULT.finditer(text):
        fields = re.split(rf"(?:^|\s)({'|'.join(_FIELDS)}): ", result["dataset"])
        dataset = dict(zip(fields[1::2], (value.strip() for value in fields[2::2]), strict=False))
        metrics = {
            metric["type"]: metric["value"] for metric in _FLAT_METRIC.finditer(result["metrics"])
        }
        yield _entry(name[1] if name else "", result["type"].strip(), dataset, metrics, line)


def _eval_results(text: str) -> Iterator[Entry]:
    if "dataset:" not in text or "value:" not in text or len(text) > 1 << 20:
        return
    try:
        results = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if not isinstance(results, list):
        return
    for result in results:
        if (
            isinstance(result, dict)
            and isinstance(result.get("dataset"), dict)
            and "value" in result
        ):
            dataset = result["dataset"]
            dataset_entry = {
                "type": dataset.get("id", ""),
                "name": dataset.get("task_id", ""),
                "revision": dataset.get("revision"),
            }
            yield _entry("", "", dataset_entry, {"main_score": result["value"]}, 1)


def _entry(
    model: str, task_type: str, dataset: dict[str, object], metrics: dict[str, object], line: int
) -> Entry:
    numbers = {}
    for name, value in metrics.items():
        try:
            numbers[name] = float(str(value))
        except ValueError:
            continue
    fields = {name: "" if dataset.get(name) is None else str(dataset[name]) for name in _FIELDS}
    return Entry(
        model,
        task_type,
        fields["type"],
        fields["name"],
        fields["config"],
        fields["split"],
        fields["revision"],
        numbers,
        line,
    )
