"""A text document -> its tables, whatever way they are written, and the results in its model card
metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kemb.adapters.card_results import Entry, read_results
from kemb.adapters.html_tables import html_tables
from kemb.adapters.tables import Budget, Table
from kemb.adapters.text_tables import blank_tables, markdown_tables, tab_tables
from kemb.errors import DataError
from kemb.files import disk

MAX_BYTES = 64 << 20
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """What was found in a file."""

    path: Path
    text: str
    tables: list[Table]
    entries: list[Entry]
    """Results in the metadata of a model card."""
    metadata_problems: list[str] = field(default_factory=list)
    """What of the metadata could not be read, with line numbers."""
    long_lines: list[str] = field(default_factory=list)
    """Lines that are too long to be looked at for tables."""

    @property
    def problems(self) -> list[str]:
        """What could not be read, with line numbers."""
        in_tables = [problem for table in self.tables for problem in table.problems]
        return [*self.metadata_problems, *self.long_lines, *in_tables]


def read_document(path: Path) -> Document:
    """Read a README, a model card, a scraped page or a `.eval_results` YAML.

    :raises DataError: not text, too large, or more than a minute of computing.
    """
    try:
        text = disk.read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save the page as text and try again."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}; a page with tables is expected.") from (
            error
        )
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if "\0" in text[:4096]:
        raise DataError(f"{path} is not text; save the page as text and try again.")
    budget = Budget(str(path))
    results = read_results(text, budget)
    long_lines = [
        f"line {number}: {len(line):,} characters; no table is looked for beyond {_MAX_LINE:,}"
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > _MAX_LINE
    ]
    tables = find_tables(text, budget)
    return Document(path, text, tables, results.entries, results.problems, long_lines)


def find_tables(text: str, budget: Budget | None = None) -> list[Table]:
    """All tables of a text, in order: Markdown (also flattened to one line), HTML, tabs, and
    columns of blanks.

    :raises DataError: the budget is used up.
    """
    budget = budget or Budget("The text")
    lines = [line if len(line) <= _MAX_LINE else "" for line in text.splitlines()]
    tables: list[Table] = []
    in_table = [False] * len(lines)
    if "<table" in text.lower():
        for table, first, last in html_tables(text, lines, budget):
            tables.append(table)
            in_table[first - 1 : last] = [True] * len(in_table[first - 1 : last])
    for finder in (markdown_tables, tab_tables, blank_tables):
        for table, first, last in list(finder(lines, in_table, budget)):
            tables.append(table)
            in_table[first : last + 1] = [True] * (last + 1 - first)
    return sorted(tables, key=lambda table: table.line)
