"""What is known of datasets and models that saw an evaluation's texts, without looking at them; from lineage.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kemb.models.facts import facts_of
from kemb.training.sections import DataSection

_TABLE = Path(__file__).parent / "lineage.toml"
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class LineageNote:
    """One thing known about where data or a base come from."""

    subject: str
    """The source's id, or the model."""
    tasks: tuple[str, ...]
    why: str
    reference: str


def lineage(sections: Sequence[DataSection], base: str = "") -> list[LineageNote]:
    """Notes on the sources and on the base with all models it was made from.

    :param base: the base's name on the hub; '' for none.
    """
    table = _table()
    notes = []
    for section in sections:
        names = " ".join(_plain(name) for name in (section.id, section.source.hub, section.source.file) if name)
        for entry in table["dataset"]:
            if any(_plain(name) in names for name in entry["match"]):
                notes.append(_note(section.id, entry))
    model, depth = base, 0
    while model and depth < _MAX_DEPTH:
        for entry in table["model"]:
            if model.lower() in (name.lower() for name in entry["match"]):
                notes.append(_note(model, entry))
        model, depth = facts_of(model).base_model, depth + 1
    return notes


def _note(subject: str, entry: dict[str, Any]) -> LineageNote:
    return LineageNote(subject, tuple(entry["tasks"]), entry["why"], entry["reference"])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))
