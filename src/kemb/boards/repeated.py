"""Published numbers that several sources repeat: one row, and a sentence that names the others."""

from __future__ import annotations

from collections.abc import Sequence

from kemb.results.claims import UNSTATED
from kemb.results.files import Claim
from kemb.results.rows import ResultRow

Values = Sequence[float | None]
_SAME = 1e-9


def without_repeated(rows: Sequence[ResultRow], values: Sequence[Values]) -> tuple[list[int], list[str]]:
    """Row numbers without claimed rows whose every number another source has of the same model, and what was left out.

    The row with more numbers stays, then the one whose source has an address.

    :param values: of the cells of each row.
    """
    order = sorted(range(len(rows)), key=lambda n: _worth(rows[n], values[n]), reverse=True)
    kept: dict[tuple[str, str], list[int]] = {}
    repeats: dict[tuple[str, str], list[str]] = {}
    for number in order:
        row = rows[number]
        same = kept.setdefault((row.model, row.variant), [])
        other = next((n for n in same if _repeats(row, values[number], rows[n], values[n])), None)
        if other is None:
            same.append(number)
        else:
            repeats.setdefault((row.source, rows[other].source), []).append(row.model)
    notes = [
        f"{', '.join(names) if len(names) <= 3 else f'{names[0]} and {len(names) - 1} more'}: the numbers of {source} "
        f"are those of {other}; shown once."
        for (source, other), names in sorted(repeats.items())
    ]
    return sorted(number for numbers in kept.values() for number in numbers), notes


def _repeats(row: ResultRow, values: Values, other: ResultRow, others: Values) -> bool:
    """Whether another source has the same numbers, of the same revision as far as both say one."""
    if not row.source or not other.source or row.source == other.source:
        return False
    if row.revision != other.revision and UNSTATED not in (row.revision, other.revision):
        return False
    pairs = [(mine, its) for mine, its in zip(values, others, strict=True) if mine is not None]
    return bool(pairs) and all(its is not None and abs(mine - its) < _SAME for mine, its in pairs)


def _worth(row: ResultRow, values: Values) -> tuple[int, bool, str]:
    claim: Claim | None = next((result.claim for result in row.results.values()), None)
    return sum(value is not None for value in values), bool(claim and (claim.url or claim.commit)), row.source
