"""What a board says under its table: formula, intervals, influence, sources and what was
refused.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from kemb.boards import Board, Row
from kemb.encoding.lengths import TRUNCATED
from kemb.publishing.costs import CUT, cost_of, is_cut


def heading(board: Board) -> str:
    """Title of the benchmark and of the formula; '' for a board made of single tasks."""
    if not board.benchmark.name:
        return ""
    return (
        f"{board.benchmark.title} ({board.benchmark.name}), "
        f"{board.formula.title or board.formula_name}"
    )


def footer(board: Board, marks: Mapping[str, str]) -> list[str]:
    """Formula, intervals, influence of the groups, whose numbers are claimed, then the notes of the
    board.

    :param marks: source -> the mark that its rows carry.
    """
    return [
        formula_text(board),
        *([intervals_text(board)] if board.complete else []),
        *_influence(board),
        *_sources(board, marks),
        *cost_notes(board.rows),
        *_made(board),
        *board.notes,
    ]


def cost_notes(rows: Sequence[Row]) -> list[str]:
    """What marks and numbers of costs stand for, where there are any."""
    own = [row for row in rows if row.claim is None]
    costs = [cost_of(row) for row in own]
    notes = []
    if any(is_cut(result.kemb) for row in own for result in row.results.values()):
        notes.append(
            f"{CUT} more than {TRUNCATED:.0%} of the task's queries, documents or texts are longer "
            "than the model reads; the rest of them was cut off."
        )
    if any(cost.tokens_per_1000_korean for cost in costs):
        notes.append(
            "Tokens per 1k Korean: tokens per 1,000 characters of the tasks' Korean texts."
        )
    if places := sorted({cost.hardware for cost in costs if cost.texts_per_second}):
        notes.append(
            f"Speed of encoding: on {'; '.join(places)}; 'stored' where an earlier command had "
            "encoded."
        )
    if prices := sorted({cost.price for cost in costs if cost.price}):
        notes.append(
            "API USD: what was paid for the tokens that the endpoint counted, at "
            f"{'; '.join(prices)}."
        )
    return notes


def data_date(boards: Iterable[Board]) -> str:
    """The date of the newest record, YYYY-MM-DD: of claimed ones that on which their source was
    read; '' for none.
    """
    results = [result for board in boards for row in board.rows for result in row.results.values()]
    dates = [result.kemb.date[:10] for result in results if not result.claim and result.kemb]
    dates += [result.claim.retrieved for result in results if result.claim]
    return max(dates, default="")


def _made(board: Board) -> list[str]:
    date = data_date([board])
    return (
        [f"Made with kemb {importlib.metadata.version('kemb')} from records up to {date}."]
        if date
        else []
    )


def below_line(board: Board, n_hidden: int) -> list[str]:
    """What the rows below the line are; nothing where there are none."""
    if not board.incomplete:
        return []
    said = "Below the line: rows without all tasks have no score and no rank"
    if board.complete:
        said += (
            "; 'wins 55% of 7' is the share of comparisons with ranked rows that they win on the "
            "7 tasks they have"
        )
    hidden = f" {n_hidden} more rows are not shown (--all)." if n_hidden else ""
    return [f"{said}.{hidden}"]


def formula_text(board: Board) -> str:
    """The formula in words and as weights."""
    formula, groups = board.formula, board.groups
    by = f", each by {formula.metric}" if formula.metric else ""
    if len(board.cells) == 1:
        return f"Score: {board.cells[0].title}{by}."
    if formula.weights == "cells":
        return f"Score: unweighted mean of {len(board.cells)} tasks{by}."
    if formula.weights == "groups":
        return f"Score: mean of the means of {len(groups)} groups ({', '.join(groups)}){by}."
    weights = {
        name: Fraction(weight) for name, weight in formula.weights.items() if Fraction(weight)
    }
    total = sum(weights.values(), Fraction(0))
    note = "" if total == 1 else f"; the weights sum to {total}, not 1, as published"
    return (
        f"Score: {' + '.join(f'{weight} {name}' for name, weight in weights.items())} (means of "
        f"groups){by}{note}."
    )


def intervals_text(board: Board) -> str:
    """What was resampled, and over which family of comparisons the ranks hold."""
    found = board.intervals
    if found.mode == "none":
        return f"No intervals. {found.reason}".strip()
    what = {
        "items": "the items of these tasks, the same for all rows: what other questions of the "
        "same tasks could change",
        "tasks": "the tasks inside their groups: what other tasks of the same kinds could change",
    }[found.mode]
    family = (
        f"ranks hold together for all pairs of the {len(board.complete)} ranked rows "
        "(max-|t|, step-down)"
    )
    text = f"Intervals: {found.level:.0%}, {found.n_replicates:,} resamples of {what}; {family}."
    return f"{text} {found.reason}".strip()


def _influence(board: Board) -> list[str]:
    if len(board.effective_weights) < 2:
        return []
    shares = sorted(board.effective_weights.items(), key=lambda item: -item[1])
    return [
        "Influence on the order (weight x spread): "
        f"{', '.join(f'{name} {share:.0%}' for name, share in shares)}."
    ]


def _sources(board: Board, marks: Mapping[str, str]) -> list[str]:
    claims = {row.claim.source: row.claim for row in board.rows if row.claim}
    notes = []
    for source, mark in marks.items():
        claim = claims[source]
        where = ", ".join(
            filter(None, [claim.url, f"commit {claim.commit[:12]}" if claim.commit else ""])
        )
        who = f"{source} ({where})" if where else source
        notes.append(
            f"{mark} claimed by {who}, not measured here; prompts and max tokens are not recorded."
        )
    return notes
