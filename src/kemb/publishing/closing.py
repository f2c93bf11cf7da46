"""What a run ends with: on which metric and how many questions, and who can be first. Nothing that
one row cannot say.
"""

from __future__ import annotations

from kemb.boards import Board
from kemb.boards.cells import declared_parts
from kemb.boards.items import n_items
from kemb.errors import ResultError
from kemb.messages import Note, note
from kemb.publishing import tables
from kemb.results.files import TaskResult
from kemb.tasks.kinds import KINDS
from kemb.types import PairData

N_NAMED = 5
"""Rows that are named one by one."""


def closing(board: Board) -> list[Note]:
    """The sentences; none where no row is complete."""
    if not board.complete:
        return []
    return [*_basis(board), _order(board)]


def _order(board: Board) -> Note:
    """Who can be first; of a single row its score."""
    if len(board.complete) == 1:
        return _alone(board)
    if board.replicates.better is None:
        return note("closing.untested")
    names = tables.names(board, board.first_group)
    n_rows = len(board.complete)
    if len(names) == 1:
        return note("closing.first", model=names[0], n_rows=n_rows)
    models: list[str] | Note = names
    if len(names) > N_NAMED:
        models = note("closing.and_more", models=names[:N_NAMED], n=len(names) - N_NAMED)
    return note("closing.cannot_tell", models=models, n=len(names), n_rows=n_rows)


def _alone(board: Board) -> Note:
    (row,) = board.complete
    (name,) = tables.names(board, [row])
    score, standing = tables.points(row.score), row.standing
    if standing is None or standing.low is None or standing.high is None:
        return note("closing.alone_without_interval", model=name, score=score)
    return note(
        "closing.alone",
        model=name,
        score=score,
        level=board.intervals.level,
        low=tables.points(max(standing.low, -1.0)),  # resamples of few items are widened
        high=tables.points(min(standing.high, 1.0)),
    )


def _basis(board: Board) -> list[Note]:
    """Metric and number of items; nothing where some items are not at hand."""
    results = board.complete[0].results
    sizes: list[tuple[TaskResult, int]] = []
    for cell in board.cells:
        for task in [cell.task] if cell.task in results else cell.members:
            result = results[task]
            of_task = cell.model_copy(update={"task": task})
            parts = declared_parts(of_task) or result.parts
            try:
                sizes.append((result, n_items(result, parts)))
            except ResultError:  # the items are missing, or not those of the result
                return []
    metrics = list(dict.fromkeys(result.record.task.main_metric for result, _ in sizes))
    if board.formula.metric:
        metrics = [board.formula.metric]
    if len(sizes) == 1:
        ((result, n),) = sizes
        return [
            note("closing.basis", task=result.task, metric=metrics[0], n_items=_unit(result, n))
        ]
    total = note("closing.items", n=sum(n for _, n in sizes))
    return [note("closing.basis_of_tasks", n_tasks=len(sizes), metrics=metrics, n_items=total)]


def _unit(result: TaskResult, n: int) -> Note:
    """A number of items, named for what they are."""
    kind = KINDS[result.record.task.type]
    if kind.is_ranking:
        return note("closing.questions", n=n)
    if kind.shape.data is PairData:
        return note("closing.pairs", n=n)
    return note("closing.texts", n=n)
