"""What an audit says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "formula",
    "transcription",
    "missing data",
    "reversed ranking",
    "rounding",
    "label",
    "conflict between sources",
    "link",
    "reproduction",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a document; or, of the kind "reproduction", something that was
    found to be right.
    """

    kind: Kind
    file: str
    line: int
    table: str
    where: str
    """Row, column or both."""
    what: str
    """One sentence."""
    evidence: str
    """Numbers that a reader can check."""
    consequence: str = ""

    @property
    def confirms(self) -> bool:
        """Whether it is a confirmation, which no exit code counts."""
        return self.kind == "reproduction"


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in documents, and what of them could not be read."""

    findings: list[Finding]
    problems: list[str]
    n_tables: int
    n_entries: int

    @property
    def n_wrong(self) -> int:
        """Findings that are not confirmations."""
        return sum(not finding.confirms for finding in self.findings)
