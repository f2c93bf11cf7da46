"""A study as terminal tables or JSON; scores in points, JSON in fractions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kemb.publishing.reports import clean, points

if TYPE_CHECKING:
    from kemb.boards.compare import Difference
    from kemb.evaluation.study import Slice, Study

_NONE = "-"


def print_study(study: Study) -> None:
    """Print the table, the slices and the notes."""
    import click

    from kemb.publishing.terminal import print_table

    click.echo(clean(study.row))
    columns = [
        "Task",
        "Way",
        study.first,
        "way",
        "Difference",
        "95 % interval",
        "p adj.",
        "Verdict",
    ]
    lines = [_line(study, way, cell) for way, cells in study.differences.items() for cell in cells]
    print_table([*columns, "Changed"] if study.changed else columns, lines)
    if study.slices:
        click.echo("")
        print_table(
            [
                "Task",
                "Way",
                "Items",
                "Chars up to",
                "n",
                "Item score",
                "Difference",
                "95 % interval",
            ],
            [_slice(part) for part in study.slices],
        )
    for line in notes(study):
        click.echo(clean(line))


def notes(study: Study) -> list[str]:
    """What must be read with the table."""
    lines = [
        f"Differences are the way minus {study.first}, in points, on the same items. p adj.: "
        f"{study.family}.",
        "This is a study: it does not choose, and no row of a board is replaced.",
    ]
    if study.changed:
        lines.append(
            "Changed: texts that became other ones; where they are few, read the line of the "
            "changed items."
        )
    if study.slices:
        lines.append(
            "Items: those that changed, and thirds by length of the original text; these intervals "
            "are not adjusted."
        )
    lines += [
        f"{way}: {cell.title}: {cell.note}"
        for way, c in study.differences.items()
        for cell in c
        if cell.note
    ]
    return [*lines, *study.skipped, *study.failed]


def to_json(studies: Sequence[Study]) -> str:
    """Everything, in fractions at full precision."""
    return json.dumps([_record(study) for study in studies], ensure_ascii=False, indent=1) + "\n"


def _record(study: Study) -> dict[str, Any]:
    cells = {
        way: [{**asdict(cell), "difference": cell.difference} for cell in way_cells]
        for way, way_cells in study.differences.items()
    }
    return {**asdict(study), "differences": cells}


def _line(study: Study, way: str, cell: Difference) -> list[str]:
    changed = study.changed.get(way, {}).get(cell.title)
    return [
        clean(cell.title),
        way,
        *(f"{score * 100:.2f}" for score in cell.scores),
        points(cell.difference),
        _interval(cell.low, cell.high),
        _NONE if cell.p_adjusted is None else f"{cell.p_adjusted:.4f}",
        cell.verdict or _NONE,
        *([_NONE if changed is None else f"{changed:.0%}"] if study.changed else []),
    ]


def _slice(part: Slice) -> list[str]:
    score, difference = f"{part.goodness * 100:.2f}", points(part.difference)
    where = [clean(part.title), part.way, part.name, str(part.max_chars), str(part.n_items)]
    return [*where, score, difference, _interval(part.low, part.high)]


def _interval(low: float | None, high: float | None) -> str:
    return _NONE if low is None or high is None else f"{points(low)} to {points(high)}"
