"""A comparison or a verification as a terminal table, Markdown or JSON; scores in points, JSON in
fractions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kemb.messages import Lang, Note, language, note, say

if TYPE_CHECKING:
    from kemb.boards.compare import Comparison, Difference
    from kemb.boards.paired import Answer, Flip
    from kemb.evaluation.verify import Verification

_HEADER = (
    "comparison.task",
    "comparison.a",
    "comparison.b",
    "comparison.difference",
    "comparison.interval",
    "comparison.p",
    "comparison.p_adjusted",
    "comparison.verdict",
    "comparison.wins_ties_losses",
    "comparison.detectable",
    "comparison.n_items",
)
_NONE = "-"
_TEXT_LENGTH = 90


def header(lang: Lang) -> list[str]:
    """Titles of the columns."""
    return [say(note(key), lang) for key in _HEADER]


def body(comparison: Comparison, lang: Lang) -> list[list[str]]:
    """One line per cell, then one per group, then the overall line."""
    return [_line(row, lang) for row in every_row(comparison)]


def every_row(comparison: Comparison) -> list[Difference]:
    """Everything that was compared: cells, groups, overall."""
    return [
        *comparison.cells,
        *comparison.groups,
        *([comparison.overall] if comparison.overall else []),
    ]


def notes(comparison: Comparison) -> list[Note]:
    """What must be read with the table."""
    sentences = [
        note("comparison.sides", a=comparison.a.label, b=comparison.b.label),
        note("comparison.zone", family=comparison.family, zone=f"{comparison.zone * 100:g}"),
        note("comparison.counts"),
    ]
    if comparison.groups:
        sentences.append(note("comparison.groups_sentence", groups=groups_note(comparison)))
    sentences += [
        note("comparison.of_row", row=row.title, remark=row.note.rstrip("."))
        for row in every_row(comparison)
        if row.note
    ]
    sentences += [
        note("comparison.refused", task=title, reason=reason)
        for title, reason in comparison.refused.items()
    ]
    return sentences


def groups_note(comparison: Comparison) -> Note:
    """What the lines of groups are."""
    return note("comparison.groups", n_groups=len(comparison.groups))


def item_lines(comparison: Comparison, lang: Lang) -> list[str]:
    """The items that changed most, regressions first, as plain lines."""
    lines = []
    for cell in comparison.cells:
        if cell.flips:
            lines.append(say(note("comparison.flips", task=clean(cell.title)), lang))
        for flip in cell.flips:
            lines += _flip_lines(flip, lang)
    return lines


def print_comparison(comparison: Comparison) -> None:
    """Print the table, the notes and the items."""
    from kemb.publishing.terminal import print_table

    lang = language()
    print_table(header(lang), body(comparison, lang))
    items = item_lines(comparison, lang)
    sentences = [clean(say(sentence, lang)) for sentence in notes(comparison)]
    _print_lines(["", *sentences, *(["", *items] if items else [])])


def to_markdown(comparison: Comparison, lang: Lang | None = None) -> str:
    """A GitHub table, the notes, and the items as a block of text.

    :param lang: of titles and notes; None for the interface's.
    """
    lang = lang or language()
    titles = header(lang)
    lines = [
        "| " + " | ".join(_escape(cell) for cell in line) + " |"
        for line in [titles, *body(comparison, lang)]
    ]
    lines.insert(1, "|---|" + "---:|" * (len(titles) - 1))
    sentences = [clean(say(sentence, lang)) for sentence in notes(comparison)]
    lines += ["", *(f"- {_escape(sentence)}" for sentence in sentences)]
    if items := item_lines(comparison, lang):
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


def print_verifications(verifications: Sequence[Verification]) -> None:
    """Print one line per cell, and what is other now."""
    from kemb.publishing.terminal import print_table

    lang = language()
    rows = [
        [
            f"{check.task} ({check.split}, {check.subset})",
            check.status,
            check.metric,
            f"{check.recorded:.6f}",
            f"{check.now:.6f}",
            say(note("verify.n_moved", n=check.n_moved, n_values=check.n_values), lang),
        ]
        for verification in verifications
        for check in verification.checks
    ]
    cell, metric, recorded, now, moved = (
        say(note(key), lang)
        for key in ("verify.cell", "verify.metric", "verify.recorded", "verify.now", "verify.moved")
    )
    print_table([cell, "", metric, recorded, now, moved], rows)
    _print_lines(
        dict.fromkeys(note for verification in verifications for note in verification.notes)
    )


def verifications_to_json(verifications: Sequence[Verification]) -> str:
    """Everything, at full precision."""
    records = [
        {
            "path": str(verification.result.path),
            "model": verification.result.model,
            "differs": verification.differs,
            "checks": [asdict(check) for check in verification.checks],
            "notes": verification.notes,
        }
        for verification in verifications
    ]
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def _line(row: Difference, lang: Lang) -> list[str]:
    interval = _NONE
    if row.low is not None and row.high is not None:
        interval = say(note("comparison.span", low=points(row.low), high=points(row.high)), lang)
    verdict = say(note(f"verdict.{row.verdict.replace(' ', '_')}"), lang) if row.verdict else _NONE
    counts = "/".join(map(str, row.wins_ties_losses)) if row.wins_ties_losses else _NONE
    return [
        clean(row.title),
        *(f"{score * 100:.2f}" for score in row.scores),
        points(row.difference),
        interval,
        _p(row.p),
        _p(row.p_adjusted),
        verdict,
        counts,
        _NONE if row.minimum_detectable is None else f"{row.minimum_detectable * 100:.2f}",
        _NONE if row.n_items is None else str(row.n_items),
    ]


def points(fraction: float) -> str:
    """A difference with its sign."""
    return f"{fraction * 100:+.2f}"


def _p(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4f}"


def _flip_lines(flip: Flip, lang: Lang) -> list[str]:
    a, b = flip.goodness
    lines = [f"  {flip.split}/{flip.subset} {_short(flip.item_id)}: {a:.4f} -> {b:.4f}"]
    lines += [f"    {_short(text)}" for text in flip.texts]
    if flip.expected:
        expected = note("comparison.expected", answers=[_short(answer) for answer in flip.expected])
        lines.append(f"    {say(expected, lang)}")
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
