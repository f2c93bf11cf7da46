"""What is wrong with the files of a user's own, and the tables that they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kemb.messages import Lang, Text, note, say, table

MAX_EXAMPLES = 5

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong in the data, and where it stands."""

    level: Level
    kind: str
    file: str
    row: int | None
    """From 1, as an editor counts lines (the header is row 1); in Parquet files the number of the
    record.
    """
    column: str
    value: str
    what: Text
    """What is wrong, in both languages."""

    @property
    def message(self) -> str:
        """What is wrong, in English, as records have it."""
        return say(self.what, "en")

    @property
    def en(self) -> str:
        return self._said("en")

    @property
    def ko(self) -> str:
        return self._said("ko")

    def _said(self, lang: Lang) -> str:
        row = "" if self.row is None else say(note("check.row", row=self.row), lang)
        place = ", ".join(part for part in (self.file, row, self.column) if part)
        return f"{place}: {self.value and self.value + ' - '}{say(self.what, lang)}"

    def __str__(self) -> str:
        return self.en

    def as_json(self) -> dict[str, object]:
        """The finding for programs, in English."""
        fields = ("level", "kind", "file", "row", "column", "value", "message")
        return {name: getattr(self, name) for name in fields}


class Findings:
    """Collects findings; of each kind the first few are kept and the rest are counted."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[tuple[Level, str]] = Counter()

    def error(
        self,
        kind: str,
        file: str,
        message: Text,
        *,
        row: int | None = None,
        column: str = "",
        value: object = None,
    ) -> None:
        """Note something that stops loading."""
        self._add(Finding("error", kind, file, row, column, shorten(value), message))

    def warn(
        self,
        kind: str,
        file: str,
        message: Text,
        *,
        row: int | None = None,
        column: str = "",
        value: object = None,
    ) -> None:
        """Note something worth a look."""
        self._add(Finding("warning", kind, file, row, column, shorten(value), message))

    def take(self, others: Findings) -> None:
        """Add what others noted."""
        self.kept += others.kept
        self.counts += others.counts

    def _add(self, finding: Finding) -> None:
        key = (finding.level, finding.kind)
        self.counts[key] += 1
        if self.counts[key] <= MAX_EXAMPLES:
            self.kept.append(finding)

    def lines(self) -> list[Text]:
        """Of each kind the first few findings, and how many more there are."""
        rest = [
            note("check.more_of_kind", n=n - MAX_EXAMPLES, kind=title_of(kind))
            for (_, kind), n in self.counts.items()
            if n > MAX_EXAMPLES
        ]
        return [*self.kept, *rest]

    @property
    def n_errors(self) -> int:
        return sum(n for (level, _), n in self.counts.items() if level == "error")

    @property
    def warnings(self) -> dict[str, int]:
        """How many warnings there are, by kind."""
        return {kind: n for (level, kind), n in self.counts.items() if level == "warning"}


def title_of(kind: str) -> Text:
    """The name of a kind of findings for people; kinds themselves are English, for programs. A kind
    that only another version of kemb knows is its own name.
    """
    name, _, which = kind.partition(" (")
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower())
    title: Text = note(f"kind.{slug}") if slug in table("kind") else name
    return note("check.kind_of", kind=title, which=which.removesuffix(")")) if which else title


def shorten(value: object) -> str:
    """A value as it may stand in a message: quoted, without line breaks, at most 60 characters."""
    if value is None:
        return ""
    text = repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one file, and the row number of every record."""

    file: str
    columns: Mapping[str, Sequence[object]]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)
