"""A board as Markdown, CSV or JSON; scores times 100 with two decimals, JSON at full precision."""

from __future__ import annotations

import csv
import io
import json

from kemb.board import Board

NO_SCORE = "-"


def header(board: Board) -> list[str]:
    """Column titles."""
    return ["Model", "Mean", *board.tasks]


def body(board: Board) -> list[list[str]]:
    """One line per row; a dash where there is no comparable score."""
    return [
        [row.name, percent(row.mean), *(percent(row.scores.get(task)) for task in board.tasks)] for row in board.rows
    ]


def percent(score: float | None) -> str:
    """A score in 0..1 as points."""
    return NO_SCORE if score is None else f"{score * 100:.2f}"


def to_markdown(board: Board) -> str:
    """A GitHub table; what comes from outside is escaped."""
    lines = ["| " + " | ".join(_escape(cell) for cell in line) + " |" for line in [header(board), *body(board)]]
    lines.insert(1, "|---|" + "---:|" * (len(board.tasks) + 1))
    return "\n".join([*lines, *(f"\n{_escape(note)}" for note in board.notes)]) + "\n"


def to_csv(board: Board) -> str:
    """Comma-separated, with the revision as its own column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "revision", "mean", *board.tasks])
    for row, line in zip(board.rows, body(board), strict=True):
        writer.writerow([_no_formula(row.name), row.revision, *("" if cell == NO_SCORE else cell for cell in line[1:])])
    return out.getvalue()


def to_json(board: Board) -> str:
    """Everything, at full precision."""
    rows = [{"model": row.name, "revision": row.revision, "mean": row.mean, "scores": row.scores} for row in board.rows]
    return json.dumps({"tasks": board.tasks, "rows": rows, "notes": board.notes}, ensure_ascii=False, indent=1) + "\n"


def _escape(text: str) -> str:
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _no_formula(text: str) -> str:
    """Spreadsheets run cells that start like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
