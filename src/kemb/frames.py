"""Results, boards and comparisons as tables: pyarrow always, pandas where it is installed, a small
HTML table in a notebook.

Scores in tables are fractions (0..1); what people read, HTML and text, has points.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kemb.boards import Board, BoardOptions, build_board
from kemb.boards.benchmark import Benchmark, CellSpec, of_tasks, spec_of
from kemb.boards.cells import expression_of
from kemb.boards.compare import Comparison
from kemb.errors import UnknownName
from kemb.evaluation.evaluate import Outcome
from kemb.messages import Text, language, note, say
from kemb.publishing import notes, reports, tables
from kemb.results.files import TaskResult, has_items, items_path, read_items
from kemb.results.rows import ResultRow, rows_of

QUICK = 200_000
"""Values of (row, item) that are resampled for a board in a notebook: a few seconds."""
N_CELLS = 8
"""Cells that are shown one by one in HTML."""


def to_frame(table: pa.Table) -> Any:  # noqa: ANN401  a pandas frame where there is pandas
    """A pandas.DataFrame where pandas is installed, else the pyarrow table."""
    return table if find_spec("pandas") is None else table.to_pandas()


@dataclass(frozen=True, slots=True)
class Results:
    """What became of some models on some tasks: a board in a notebook."""

    outcomes: list[Outcome]
    """One per cell, models outermost."""
    subsets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By task those that were asked for; empty for all that there are."""
    rows: tuple[ResultRow, ...] = ()
    """Of the models, also of those that have no result."""

    @property
    def results(self) -> list[TaskResult]:
        """The scores that are there."""
        return [outcome.result for outcome in self.outcomes if outcome.result is not None]

    @property
    def failed(self) -> list[Outcome]:
        """Cells that have no score because something went wrong; `message` says what."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    def board(self, formula: str = "") -> BoardTable:
        """The models in order, with intervals of scores and ranks.

        :raises UnknownName: no such formula.
        """
        benchmark: Benchmark | None = None
        if self.subsets:
            lists = {task: list(subsets) for task, subsets in self.subsets.items()}
            benchmark = of_tasks(list(lists), lists)
        options = BoardOptions(max_item_values=QUICK, rows=self.rows)
        return BoardTable(build_board(self.results, benchmark, formula, options))

    def table(self) -> pa.Table:
        """One line per model, task, split and subset with the main score; of cells without a score
        one line with the status and the message.
        """
        lines = [line for outcome in self.outcomes for line in _outcome_lines(outcome)]
        return pa.Table.from_pylist(lines, schema=_RESULTS)

    def frame(self) -> Any:  # noqa: ANN401  see to_frame
        """`table()` as a pandas.DataFrame where pandas is installed."""
        return to_frame(self.table())

    def items(self, task: str, model: str = "") -> Any:  # noqa: ANN401  see to_frame
        """The item scores of a task: per query, pair or text and metric one line.

        :param model: of one model only, by the name of its row.
        :raises UnknownName: a task or a model without results here.
        """
        by_row = {_row_name(result): result for result in self.results if result.task == task}
        if not by_row:
            names = sorted({result.task for result in self.results})
            raise UnknownName("task", task, names, f"There are results of {', '.join(names)}.")
        if model and model not in by_row:
            raise UnknownName("row", model, by_row, f"There are {', '.join(by_row)}.")
        results = {model: by_row[model]} if model else by_row
        parts = []
        for name, result in results.items():
            items = read_items(result)
            names = pa.array([name] * len(items), pa.string())
            parts.append(items.add_column(0, "model", names))
        return to_frame(pa.concat_tables(parts).unify_dictionaries())

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __repr__(self) -> str:
        n_rows = len({outcome.row for outcome in self.outcomes})
        n_tasks = len({outcome.task for outcome in self.outcomes})
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Results of {n_rows} models on {n_tasks} tasks: {len(self)} cells{failed}>"

    def __str__(self) -> str:
        return str(self.board())

    def _repr_html_(self) -> str:
        failures = "".join(
            f"<p>{_text(outcome.row)}, {_text(outcome.task)}: {_text(outcome.status)}. "
            f"{_text(outcome.message)}</p>"
            for outcome in self.outcomes
            if outcome.result is None and outcome.message
        )
        return (self.board()._repr_html_() if self.results or self.rows else "") + failures


@dataclass(frozen=True, slots=True)
class BoardTable:
    """A board."""

    board: Board

    def table(self) -> pa.Table:
        """Every row with rank interval, score, interval of the score and one column per cell."""
        return pa.Table.from_pylist([_board_line(self.board, row) for row in self.board.rows])

    def frame(self) -> Any:  # noqa: ANN401  see to_frame
        """`table()` as a pandas.DataFrame where pandas is installed."""
        return to_frame(self.table())

    def __len__(self) -> int:
        return len(self.board.rows)

    def __repr__(self) -> str:
        return f"<Board of {len(self)} rows and {len(self.board.cells)} cells>"

    def __str__(self) -> str:
        return tables.to_markdown(self.board)

    def _repr_html_(self) -> str:
        board = self.board
        rows, n_hidden = tables.visible(board)
        cells = list(enumerate(board.cells))[:N_CELLS] if len(board.cells) > 1 else []
        lang = language()
        score: Text = note("column.score")
        if len(board.cells) == 1:
            score = f"{board.cells[0].title}, {_cell_title(board, board.cells[0])}"
        titles = (
            note("column.rank"),
            note("column.model"),
            note("column.score_with_interval", score=score),
        )
        heads = [say(title, lang) for title in titles]
        heads += [f"{cell.title}, {_cell_title(board, cell)}" for _, cell in cells]
        lines = [
            [tables.rank_text(row), name, tables.score_text(row, lang)]
            + [tables.points(row.cells[number]) for number, _ in cells]
            for row, name in zip(rows, tables.names(board, rows), strict=True)
        ]
        more = len(board.cells) - N_CELLS
        sentences = [say(note("board.more_cells", n_cells=more), lang)] if more > 0 else []
        return _html(heads, lines, [*sentences, *_notes(board, n_hidden)])


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """Whether B is better than A, task by task."""

    comparison: Comparison

    def table(self) -> pa.Table:
        """One line per task, per group and for all, with difference, interval, p and verdict."""
        lines = []
        for row in reports.every_row(self.comparison):
            wins, ties, losses = row.wins_ties_losses or (None, None, None)
            lines.append(
                {
                    "title": row.title,
                    "metric": row.metric,
                    "a": row.scores[0],
                    "b": row.scores[1],
                    "difference": row.difference,
                    "low": row.low,
                    "high": row.high,
                    "p": row.p,
                    "p_adjusted": row.p_adjusted,
                    "verdict": row.verdict,
                    "wins": wins,
                    "ties": ties,
                    "losses": losses,
                    "n_items": row.n_items,
                    "note": row.note,
                }
            )
        return pa.Table.from_pylist(lines, schema=_COMPARISON)

    def frame(self) -> Any:  # noqa: ANN401  see to_frame
        """`table()` as a pandas.DataFrame where pandas is installed."""
        return to_frame(self.table())

    def __repr__(self) -> str:
        return f"<Comparison of {self.comparison.a.label} with {self.comparison.b.label}>"

    def __str__(self) -> str:
        return reports.to_markdown(self.comparison)

    def _repr_html_(self) -> str:
        comparison = self.comparison
        lang = language()
        items = reports.item_lines(comparison, lang)
        block = f"<pre>{_text(chr(10).join(items))}</pre>" if items else ""
        sentences = [say(text, lang) for text in reports.notes(comparison)]
        return _html(reports.header(lang), reports.body(comparison, lang), sentences) + block


_RESULTS = pa.schema(
    [(name, pa.string()) for name in ("model", "revision", "variant", "task", "split", "subset")]
    + [("metric", pa.string()), ("score", pa.float64())]
    + [(name, pa.string()) for name in ("status", "message")]
)
_COMPARISON = pa.schema(
    [("title", pa.string()), ("metric", pa.string())]
    + [(n, pa.float64()) for n in ("a", "b", "difference", "low", "high", "p", "p_adjusted")]
    + [("verdict", pa.string())]
    + [(name, pa.int64()) for name in ("wins", "ties", "losses", "n_items")]
    + [("note", pa.string())]
)


def results_on_disk(results: Sequence[TaskResult]) -> Results:
    """Results that lie in a folder, as if they had just been made."""
    outcomes = [Outcome(_row_name(result), result.task, "kept", result) for result in results]
    return Results(outcomes, {}, tuple(rows_of(results)))


def _outcome_lines(outcome: Outcome) -> list[dict[str, Any]]:
    result = outcome.result
    if result is None:
        return [
            {
                "model": outcome.row,
                "task": outcome.task,
                "status": outcome.status,
                "message": outcome.message or None,
            }
        ]
    shared = {
        "model": result.model,
        "revision": result.revision,
        "variant": result.variant,
        "task": result.task,
        "metric": result.kemb.task.main_metric if result.kemb else None,
        "status": outcome.status,
    }
    return [
        shared | {"split": split, "subset": entry["hf_subset"], "score": entry.get("main_score")}
        for split, entries in result.scores.items()
        for entry in entries
    ]


def _row_name(result: TaskResult) -> str:
    return f"{result.model} [{result.variant}]" if result.variant else result.model


def _board_line(board: Board, row: Any) -> dict[str, Any]:  # noqa: ANN401  a row of the board
    standing = row.standing
    line: dict[str, Any] = {
        "rank": standing.rank if standing else None,
        "rank_low": standing.rank_low if standing else None,
        "rank_high": standing.rank_high if standing else None,
        "model": row.model,
        "revision": row.revision,
        "variant": row.variant,
        "source": row.claim.source if row.claim else None,
        "score": row.score,
        "low": standing.low if standing else None,
        "high": standing.high if standing else None,
        "p_first": standing.p_first if standing else None,
    }
    titles = (cell.title for cell in board.cells)
    return line | dict(zip(titles, row.cells, strict=True))


def _cell_title(board: Board, cell: CellSpec) -> str:
    """The metric of a cell, and of how many items it is a score."""
    metric = expression_of(cell, board.formula)
    measured = [
        row.results[cell.task]
        for row in board.rows
        if cell.task in row.results and row.results[cell.task].kemb
    ]
    if metric == "main_score":
        spec = spec_of(cell.task)
        recorded = next((result.record.task.main_metric for result in measured), metric)
        metric = spec.main_metric if spec else recorded
    n_items = next((_n_items(result) for result in measured if has_items(result)), None)
    return metric if n_items is None else f"{metric}, n = {n_items:,}"


def _n_items(result: TaskResult) -> int:
    """Queries, pairs or texts that a score is of, over splits and subsets."""
    ids = pq.read_table(items_path(result), columns=["split", "subset", "item_id"])
    counts = ids.group_by(["split", "subset"]).aggregate([("item_id", "count_distinct")])
    return int(sum(counts["item_id_count_distinct"].to_pylist()))


def _notes(board: Board, n_hidden: int) -> list[str]:
    rows, _ = tables.visible(board)
    texts = [*notes.below_line(board, n_hidden), *notes.footer(board, tables.source_marks(rows))]
    return [say(text, language()) for text in texts]


def _html(heads: Sequence[str], lines: Sequence[Sequence[str]], sentences: Sequence[str]) -> str:
    """A table and sentences below it; everything is escaped."""
    head = "".join(f"<th>{_text(title)}</th>" for title in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in line) + "</tr>" for line in lines
    )
    below = "".join(f"<p><small>{_text(sentence)}</small></p>" for sentence in sentences)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
