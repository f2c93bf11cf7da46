"""A board as columns of text, and as Markdown, CSV or JSON.

Scores are points (times 100): two decimals in tables, four in CSV; JSON has fractions at full
precision.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from kemb.boards import Board, Intervals, Row
from kemb.boards.benchmark import CellSpec
from kemb.messages import Lang, language, note, say
from kemb.publishing.costs import (
    CUT,
    DOUBT,
    DRAFTED,
    JUDGE,
    Cost,
    cost_of,
    is_cut,
    judged_of,
    n_tied,
)
from kemb.publishing.markdown import clean, escape
from kemb.publishing.notes import below_line, footer, group, heading, model_warnings
from kemb.results.record import Record

NO_SCORE = "-"
FEW_CELLS = 8
"""So many cells are shown beside the means of their groups."""
N_BELOW = 20
"""Claimed rows below the line that are shown where not all are asked for."""


class Column(NamedTuple):
    """One column of a printed board."""

    title: str
    kind: Literal["rank", "model", "score", "group", "cell", "certainty", "cost", "detail"]
    values: list[str]
    """One for each visible row."""


def visible(board: Board, every: bool = False) -> tuple[list[Row], int]:
    """The rows to print, and how many are left out: of those below the line claimed ones beyond the
    first 20.
    """
    below = board.incomplete
    n_claimed = 0
    rows_below = []
    for row in below:
        n_claimed += row.claim is not None
        if every or row.claim is None or n_claimed <= N_BELOW:
            rows_below.append(row)
    return board.complete + rows_below, len(below) - len(rows_below)


def columns(board: Board, rows: Sequence[Row], lang: Lang) -> list[Column]:
    """All columns of a board for some of its rows, with titles and words in a language."""

    def title(key: str) -> str:
        return say(note(key), lang)

    groups = board.groups
    board_columns = [
        Column(title("column.rank"), "rank", [rank_text(row) for row in rows]),
        Column(title("column.model"), "model", _marked(labels(board, rows), rows)),
        Column(title("column.score"), "score", [score_text(row, lang) for row in rows]),
    ]
    if board.intervals.mode != "none" and len(board.complete) > 1:
        first = [row.standing.p_first if row.standing else None for row in rows]
        top3 = [row.standing.p_top3 if row.standing else None for row in rows]
        board_columns.append(Column(title("column.p_first"), "certainty", list(map(share, first))))
        board_columns.append(Column(title("column.p_top3"), "certainty", list(map(share, top3))))
    if len(board.cells) > 1:
        ranks = [row.standing.elsewhere if row.standing else None for row in rows]
        spans = [_span(*pair) if pair else "" for pair in ranks]
        board_columns.append(Column(title("column.other_views"), "certainty", spans))
    board_columns += _judged(rows, lang)
    costs, details = _costs(rows, lang)
    board_columns += costs
    if any(len(numbers) > 1 for numbers in groups.values()):
        board_columns += [
            Column(say(group(name), lang), "group", [points(row.groups[name]) for row in rows])
            for name in groups
        ]
    board_columns += [
        Column(cell.title, "cell", [points(row.cells[number]) + marks(row, cell) for row in rows])
        for number, cell in enumerate(board.cells)
    ]
    return board_columns + details


def _judged(rows: Sequence[Row], lang: Lang) -> list[Column]:
    """Of drafted tasks what was judged of each row, and its score without the rest."""
    shares = [judged_of(row) for row in rows]
    if not any(shares):
        return []
    at_10 = [f"{judged.at_10:.0%}" if judged else "" for judged in shares]
    columns_of_judged = [Column(say(note("column.judged"), lang), "certainty", at_10)]
    scores = [judged.condensed if judged else None for judged in shares]
    if any(score is not None for score in scores):
        title = say(note("column.condensed"), lang)
        columns_of_judged.append(Column(title, "certainty", list(map(points, scores))))
    return columns_of_judged


def marks(row: Row, cell: CellSpec) -> str:
    """What stands behind a score of truncated texts, of drafted questions, and of data or vectors
    to be doubted.
    """
    records = _records(row, cell)
    conditions = {
        CUT: is_cut_in(row, cell),
        DRAFTED: any(record.task.drafted for record in records),
        JUDGE: any(record.task.judges for record in records),
        DOUBT: any(record.data_warnings or n_tied(record) for record in records),
    }
    return "".join(f" {mark}" for mark, holds in conditions.items() if holds)


def is_cut_in(row: Row, cell: CellSpec) -> bool:
    """Whether a score stands on truncated texts."""
    return any(map(is_cut, _records(row, cell)))


def _records(row: Row, cell: CellSpec) -> list[Record]:
    results = [row.results[task] for task in (cell.task, *cell.members) if task in row.results]
    return [result.kemb for result in results if result.kemb is not None]


def _marked(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Names of rows, and a mark behind models that were warned of."""
    return [
        f"{name} {DOUBT}" if model_warnings(row) else name
        for name, row in zip(names, rows, strict=True)
    ]


def _costs(rows: Sequence[Row], lang: Lang) -> tuple[list[Column], list[Column]]:
    """What rows cost, where something of one's own is shown and anything is known of it; then the
    details.
    """
    if all(row.claim for row in rows):
        return [], []
    costs = [cost_of(row) for row in rows]

    def column(
        key: str, kind: Literal["cost", "detail"], printed: Callable[[Cost], str]
    ) -> list[Column]:
        values = [printed(cost) for cost in costs]
        return [Column(say(note(key), lang), kind, values)] if any(values) else []

    tells_apart = len({cost.family for cost in costs}) > 1
    return [
        *(column("column.family", "cost", lambda cost: cost.family) if tells_apart else []),
        *column("column.parameters", "cost", lambda cost: millions(cost.n_parameters)),
        *column("column.index_gb", "cost", lambda cost: gigabytes(cost.index_bytes_per_document)),
        *column("column.korean_tokens", "cost", lambda cost: whole(cost.tokens_per_1000_korean)),
        *column("column.texts_per_second", "cost", lambda cost: speed(cost, lang)),
    ], [
        *column("column.tokens_per_second", "detail", lambda cost: whole(cost.tokens_per_second)),
        *column(
            "column.encode_seconds",
            "detail",
            lambda cost: "" if cost.encode_seconds is None else f"{cost.encode_seconds:,.1f}",
        ),
        *column("column.truncated", "detail", lambda cost: share(cost.truncated)),
        *column("column.api_usd", "detail", lambda cost: _blank(cost.usd)),
    ]


def millions(n: int | None) -> str:
    """Parameters, a few of them exactly."""
    return "" if n is None else f"{n / 1e6:,.0f}M" if n >= 1e6 else f"{n / 1e6:.2g}M"


def gigabytes(bytes_per_document: float | None) -> str:
    """Of a million documents."""
    return "" if bytes_per_document is None else f"{bytes_per_document / 1e3:.2f}"


def whole(value: float | None) -> str:
    """A number without decimals; '' for none."""
    return "" if value is None else f"{value:,.0f}"


def speed(cost: Cost, lang: Lang) -> str:
    """Texts per second; a word where vectors came from the store and nothing was measured."""
    stored = say(note("column.stored"), lang) if cost.from_store else ""
    return whole(cost.texts_per_second) or stored


def labels(board: Board, rows: Sequence[Row]) -> list[str]:
    """Names of rows, with a mark where claimed."""
    marks = source_marks(rows)
    return [
        f"{name} {marks[row.claim.source]}" if row.claim else name
        for name, row in zip(names(board, rows), rows, strict=True)
    ]


def names(board: Board, rows: Sequence[Row]) -> list[str]:
    """Names of rows; with the revision where the name alone would not tell them apart."""
    counts = Counter((row.name, _source(row)) for row in board.rows)
    out = []
    for row in rows:
        revision = f"@{row.revision[:12]}" if counts[row.name, _source(row)] > 1 else ""
        variant = f" [{row.variant}]" if row.variant else ""
        out.append(clean(f"{row.model}{revision}{variant}"))
    return out


def source_marks(rows: Sequence[Row]) -> dict[str, str]:
    """Source of the claimed ones among the rows -> the mark behind their names."""
    sources = sorted({row.claim.source for row in rows if row.claim})
    return {source: "†" if len(sources) == 1 else f"†{n}" for n, source in enumerate(sources, 1)}


def rank_text(row: Row) -> str:
    """The rank interval, `1-3`; nothing below the line."""
    return _span(row.standing.rank_low, row.standing.rank_high) if row.standing else ""


def score_text(row: Row, lang: Lang = "en") -> str:
    """The score with half its interval; below the line, how the row does on common tasks."""
    standing = row.standing
    if standing is None or row.score is None:
        common = row.common
        if common is None or common.win_rate is None:
            return NO_SCORE
        wins = note("board.wins", share=share(common.win_rate), n_tasks=common.n_cells)
        return say(wins, lang)
    if standing.low is None or standing.high is None:
        return points(row.score)
    return f"{points(row.score)} ±{(standing.high - standing.low) * 50:.1f}"


def points(score: float | None) -> str:
    """A score in 0..1 as points."""
    return NO_SCORE if score is None else f"{score * 100:.2f}"


def share(value: float | None) -> str:
    """A probability or a share in percent; 100% and 0% only where nothing else happened."""
    if value is None:
        return ""
    if value not in (0.0, 1.0):
        value = min(max(value, 0.01), 0.99)
    return f"{value:.0%}"


def to_markdown(
    board: Board, wide: bool = False, every: bool = False, lang: Lang | None = None
) -> str:
    """GitHub tables; what comes from outside is escaped.

    :param wide: with the details of costs, and single cells of a long benchmark.
    :param every: with all rows below the line.
    :param lang: of titles and notes; None for the interface's.
    """
    lang = lang or language()
    rows, n_hidden = visible(board, every)
    left_out = {"detail"} if len(board.cells) <= FEW_CELLS else {"detail", "cell"}
    table_columns = [
        column for column in columns(board, rows, lang) if wide or column.kind not in left_out
    ]
    lines = [[escape(column.title) for column in table_columns]]
    lines += [
        [escape(column.values[number]) for column in table_columns] for number in range(len(rows))
    ]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    text.insert(
        1,
        "|"
        + "|".join("---" if column.kind == "model" else "---:" for column in table_columns)
        + "|",
    )
    title = say(heading(board), lang)
    above = [f"**{escape(title)}**\n"] if title else []
    notes = [*below_line(board, n_hidden), *footer(board, source_marks(rows))]
    below = [f"\n{escape(clean(say(sentence, lang)))}" for sentence in notes]
    return "\n".join([*above, *text, *below]) + "\n"


def to_csv(board: Board) -> str:
    """Comma-separated: every row, with intervals and cells, in points."""
    groups = list(board.groups)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fixed = [
        "rank_low",
        "rank_high",
        "rank",
        "model",
        "revision",
        "variant",
        "kind",
        "source",
        "score",
        "low",
        "high",
    ]
    fixed += [
        "p_first",
        "p_top3",
        "best_rank_elsewhere",
        "worst_rank_elsewhere",
        "n_cells",
        "win_rate",
    ]
    fixed += [field.name for field in dataclasses.fields(Cost)]
    writer.writerow(
        [*fixed, *(f"group: {name}" for name in groups), *(cell.title for cell in board.cells)]
    )
    for row in board.rows:
        standing, common = row.standing, row.common
        numbers: list[object] = (
            [standing.rank_low, standing.rank_high, standing.rank] if standing else ["", "", ""]
        )
        identity = [row.model, row.revision, row.variant, _kind(row), _source(row)]
        scores = [
            row.score,
            standing.low if standing else None,
            standing.high if standing else None,
        ]
        sure = [standing.p_first, standing.p_top3] if standing else [None, None]
        n_cells = common.n_cells if common else len(board.cells)
        writer.writerow(
            [
                *numbers,
                *map(no_formula, identity),
                *map(_exact_points, scores),
                *map(_blank, sure),
                *(standing.elsewhere if standing else ("", "")),
                n_cells,
                _blank(common.win_rate if common else None),
                *map(_plain, dataclasses.astuple(cost_of(row))),
                *(_exact_points(row.groups[name]) for name in groups),
                *map(_exact_points, row.cells),
            ]
        )
    return out.getvalue()


def to_json(board: Board) -> str:
    """Everything, at full precision; sentences are English, as programs read them."""
    weights = {cell.title: weight for cell, weight in zip(board.cells, board.weights, strict=True)}
    record = {
        "benchmark": {"name": board.benchmark.name, "title": board.benchmark.title},
        "formula": {"name": board.formula_name, **board.formula.model_dump()},
        "cells": [
            {
                "title": c.title,
                "task": c.task,
                "group": c.group_name,
                "metric": c.metric,
                "weight": weights[c.title],
            }
            for c in board.cells
        ],
        "groups": {
            name: {
                "weight": sum(board.weights[number] for number in numbers),
                "effective_weight": board.effective_weights.get(name),
            }
            for name, numbers in board.groups.items()
        },
        "intervals": _intervals_record(board.intervals),
        "rows": [_row_record(board, row) for row in board.rows],
        "notes": [say(text, "en") for text in footer(board, source_marks(board.rows))],
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _intervals_record(intervals: Intervals) -> dict[str, Any]:
    return {
        "mode": intervals.mode,
        "reason": intervals.reason,
        "level": intervals.level,
        "n_replicates": intervals.n_replicates,
        "seed": intervals.seed,
    }


def _row_record(board: Board, row: Row) -> dict[str, Any]:
    titles = [cell.title for cell in board.cells]
    record: dict[str, Any] = {
        "model": row.model,
        "revision": row.revision,
        "variant": row.variant,
        "kind": _kind(row),
        "claim": dataclasses.asdict(row.claim) if row.claim else None,
        "score": row.score,
        "groups": row.groups,
        "cells": dict(zip(titles, row.cells, strict=True)),
        "missing": {title: say(why, "en") for title, why in row.missing.items()},
    }
    record["cost"] = dataclasses.asdict(cost_of(row))
    if row.standing:
        standing = dataclasses.asdict(row.standing)
        standing["views"] = {
            name: {"value": v, "rank": r} for name, (v, r) in row.standing.views.items()
        }
        standing["cell_intervals"] = dict(zip(titles, row.standing.cell_intervals, strict=False))
        record["standing"] = standing
    if row.common:
        record["common"] = dataclasses.asdict(row.common)
    return record


def _kind(row: Row) -> str:
    return "claimed" if row.claim else "measured"


def _source(row: Row) -> str:
    return row.claim.source if row.claim else ""


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _exact_points(score: float | None) -> str:
    return "" if score is None else f"{score * 100:.4f}"


def _blank(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _plain(value: object) -> object:
    return "" if value is None else no_formula(value) if isinstance(value, str) else value


def no_formula(text: str) -> str:
    """Spreadsheets run cells that start like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
