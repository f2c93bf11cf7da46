"""A comparison or a verification as a terminal table, Markdown or JSON; scores in points, JSON in
fractions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemb.boards.compare import Comparison, Difference
    from kemb.boards.paired import Answer, Flip
    from kemb.evaluation.verify import Verification

HEADER = [
    "Task",
    "A",
    "B",
    "B - A",
    "95 % interval",
    "p",
    "p adj.",
    "Verdict on B",
    "W/T/L",
    "Detectable",
    "n",
]
_NONE = "-"
_TEXT_LENGTH = 90


def body(comparison: Comparison) -> list[list[str]]:
    """One line per cell, then one per group, then the overall line."""
    return [_line(row) for row in every_row(comparison)]


def every_row(comparison: Comparison) -> list[Difference]:
    """Everything that was compared: cells, groups, overall."""
    return [
        *comparison.cells,
        *comparison.groups,
        *([comparison.overall] if comparison.overall else []),
    ]


def notes(comparison: Comparison) -> list[str]:
    """What must be read with the table."""
    rows = every_row(comparison)
    zone = f"{comparison.zone * 100:g}"
    lines = [
        f"A: {comparison.a.label}. B: {comparison.b.label}. Differences are B - A in points.",
        f"p adj.: {comparison.family}. Practically equal: the whole interval lies within +-{zone} "
        "points.",
        "W/T/L: items on which B is better, the same, worse. Detectable: the difference found in "
        "80 % of cases.",
    ]
    if comparison.groups:
        lines.append(f"{groups_note(comparison)}.")
    lines += [f"{row.title}: {row.note.rstrip('.')}." for row in rows if row.note]
    lines += [f"{title} is not compared: {reason}." for title, reason in comparison.refused.items()]
    return [clean(line) for line in lines]


def groups_note(comparison: Comparison) -> str:
    """What the lines of groups are."""
    return (
        "Groups are means of their tasks; their p adj. is Holm over the "
        f"{len(comparison.groups)} groups"
    )


def item_lines(comparison: Comparison) -> list[str]:
    """The items that changed most, regressions first, as plain lines."""
    lines = []
    for cell in comparison.cells:
        if cell.flips:
            lines.append(f"{clean(cell.title)}: items that changed most, regressions first")
        for flip in cell.flips:
            lines += _flip_lines(flip)
    return lines


def print_comparison(comparison: Comparison) -> None:
    """Print the table, the notes and the items."""
    from kemb.publishing.terminal import print_table

    print_table(HEADER, body(comparison))
    _print_lines(
        ["", *notes(comparison), *(["", *items] if (items := item_lines(comparison)) else [])]
    )


def to_markdown(comparison: Comparison) -> str:
    """A GitHub table, the notes, and the items as a block of text."""
    lines = [
        "| " + " | ".join(_escape(cell) for cell in line) + " |"
        for line in [HEADER, *body(comparison)]
    ]
    lines.insert(1, "|---|" + "---:|" * (len(HEADER) - 1))
    lines += ["", *(f"- {_escape(note)}" for note in notes(comparison))]
    if items := item_lines(comparison):
        fence = "`" * (3 + max(len(run) for run in re.findall("`*", "\n".join(items))))
        lines += ["", fence, *items, fence]
    return "\n".join(lines) + "\n"


def to_json(comparison: Comparison) -> str:
    """Everything, in fractions at full precision."""
    record = {
        "a": comparison.a.label,
        "b": comparison.b.label,
        "zone": comparison.zone,
        "family": comparison.family,
        "cells": [_record(cell) for cell in comparison.cells],
        "groups": [_record(group) for group in comparison.groups],
        "overall": _record(comparison.overall) if comparison.overall else None,
        "refused": comparison.refused,
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def print_verifications(found: Sequence[Verification]) -> None:
    """Print one line per cell, and what is other now."""
    from kemb.publishing.terminal import print_table

    rows = [
        [
            f"{check.task} ({check.split}, {check.subset})",
            check.status,
            check.metric,
            f"{check.recorded:.6f}",
            f"{check.now:.6f}",
            f"{check.n_moved} of {check.n_values}",
        ]
        for verification in found
        for check in verification.checks
    ]
    print_table(["Cell", "", "Metric", "Recorded", "Now", "Moved"], rows)
    _print_lines(dict.fromkeys(note for verification in found for note in verification.notes))


def verifications_to_json(found: Sequence[Verification]) -> str:
    """Everything, at full precision."""
    records = [
        {
            "path": str(verification.result.path),
            "model": verification.result.model,
            "differs": verification.differs,
            "checks": [asdict(check) for check in verification.checks],
            "notes": verification.notes,
        }
        for verification in found
    ]
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def _line(row: Difference) -> list[str]:
    interval = (
        _NONE if row.low is None or row.high is None else f"{points(row.low)} to {points(row.high)}"
    )
    counts = "/".join(map(str, row.wins_ties_losses)) if row.wins_ties_losses else _NONE
    return [
        clean(row.title),
        *(f"{score * 100:.2f}" for score in row.scores),
        points(row.difference),
        interval,
        _p(row.p),
        _p(row.p_adjusted),
        row.verdict or _NONE,
        counts,
        _NONE if row.minimum_detectable is None else f"{row.minimum_detectable * 100:.2f}",
        _NONE if row.n_items is None else str(row.n_items),
    ]


def points(fraction: float) -> str:
    """A difference with its sign."""
    return f"{fraction * 100:+.2f}"


def _p(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4f}"


def _flip_lines(flip: Flip) -> list[str]:
    a, b = flip.goodness
    lines = [f"  {flip.split}/{flip.subset} {_short(flip.item_id)}: {a:.4f} -> {b:.4f}"]
    lines += [f"    {_short(text)}" for text in flip.texts]
    if flip.expected:
        lines.append(f"    expected: {', '.join(map(_short, flip.expected))}")
    for side, answers in zip("AB", flip.answers, strict=True):
        lines += [f"    {side} {_answer(answer)}" for answer in answers]
    return lines


def _answer(answer: Answer) -> str:
    mark = {True: "+ ", False: "- ", None: ""}[answer.right]
    score = "" if answer.score is None else f" {answer.score:.4f}"
    text = f"  {_short(answer.text)}" if answer.text else ""
    return f"{mark}{_short(answer.value)}{score}{text}"


def clean(text: str) -> str:
    """One line, without characters that would move the cursor of a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _short(text: str) -> str:
    line = clean(text)
    return line if len(line) <= _TEXT_LENGTH else line[: _TEXT_LENGTH - 3] + "..."


def _escape(text: str) -> str:
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _record(cell: Difference) -> dict[str, Any]:
    return {**asdict(cell), "difference": cell.difference}


def _print_lines(lines: Iterable[str]) -> None:
    import click

    for line in lines:
        click.echo(line)
