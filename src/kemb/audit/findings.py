"""What an audit says: findings with evidence and consequence, and confirmations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "formula", "transcription", "missing data", "reversed ranking", "rounding", "label", "conflict between sources",
    "link", "reproduction",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a document; or, of the kind "reproduction", something that was found to be right."""

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
