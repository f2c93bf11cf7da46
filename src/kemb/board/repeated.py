"""Published numbers that several sources repeat: one row, and a sentence that names the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kemb.board.types import Row
from kemb.results import TaskResult

Shown = tuple[Row, Mapping[str, TaskResult]]
_SAME = 1e-9


def without_repeated(shown: Sequence[Shown]) -> tuple[list[Shown], list[str]]:
    """Rows without claimed ones whose every number another claimed row of the model has, and what was left out.

    The row with more numbers stays, then the one whose source has an address.
    """
    order = sorted(range(len(shown)), key=lambda n: _worth(shown[n][0]), reverse=True)
    kept: list[int] = []
    repeats: dict[tuple[str, str], list[str]] = {}
    for number in order:
        row = shown[number][0]
        other = next((shown[n][0] for n in kept if _repeats(row, shown[n][0])), None)
        if other is None or row.claim is None or other.claim is None:
            kept.append(number)
        else:
            repeats.setdefault((row.claim.source, other.claim.source), []).append(row.name)
    notes = [
        f"{_named(names)}: the numbers of {source} are those of {other}; shown once."
        for (source, other), names in sorted(repeats.items())
    ]
    return [shown[n] for n in sorted(kept)], notes


def _repeats(row: Row, other: Row) -> bool:
    if row.claim is None or other.claim is None or (row.model, row.variant) != (other.model, other.variant):
        return False
    pairs = [(mine, its) for mine, its in zip(row.cells, other.cells, strict=True) if mine is not None]
    return all(its is not None and abs(mine - its) < _SAME for mine, its in pairs)


def _worth(row: Row) -> tuple[int, bool, str]:
    has_address = bool(row.claim and (row.claim.url or row.claim.commit))
    return sum(value is not None for value in row.cells), has_address, row.claim.source if row.claim else ""


def _named(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} rows ({names[0]}, ...)"
