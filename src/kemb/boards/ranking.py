"""What can be said of the order of complete rows: intervals, rank sets, other ways to add up,
single cells left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.boards.benchmark import CellSpec, Formula
from kemb.boards.items import FEWEST, cell_measures, cell_replicates
from kemb.boards.types import BoardOptions, Common, Interval, Intervals, Mode, Replicates, Standing
from kemb.errors import NotSupported, ResultError, UsageError
from kemb.messages import Note, note, say
from kemb.results.files import TaskResult

MIN_TASKS = 5
"""With fewer tasks resampling them says nothing."""
_SAME = 1e-5
"""What a score and the same score computed from its items may differ by."""


@dataclass(frozen=True, slots=True)
class Field:
    """The complete rows [M] of a board and its cells [T]."""

    values: DoubleArray
    """[M, T]."""
    weights: DoubleArray
    """[T]."""
    groups: Mapping[str, Sequence[int]]
    cells: Sequence[CellSpec]
    formula: Formula
    results: Sequence[Mapping[str, TaskResult]]
    """For each row its results by task."""

    @property
    def scores(self) -> DoubleArray:
        """[M]."""
        out: DoubleArray = self.values @ self.weights
        return out


def standings(field: Field, options: BoardOptions) -> tuple[list[Standing], Intervals, Replicates]:
    """The standing of every row, how the intervals were made, and the resamples behind them, rows
    as in the field.

    :raises UsageError: when the intervals asked for cannot be made.
    """
    resamples, reasons = _replicates(field, options)
    mode = _mode(resamples)
    if options.intervals not in ("auto", mode):
        raise UsageError(
            f"--intervals {options.intervals} is not possible here: "
            f"{' '.join(say(reason, 'en') for reason in reasons)} Leave it out, or type none."
        )
    intervals = Intervals(mode, reasons, options.level, options.n_replicates, options.seed)
    replicates = overall_replicates(field, resamples)
    if replicates is not None and len(field.scores) > 1:
        better = statistics.certainly_better(field.scores, replicates, options.level)
        resamples = replace(resamples, better=better)
    of_scores = _score_statistics(field.scores, replicates, resamples.better, options.level)
    views = {
        name: (values, ranks_of(values))
        for name, values in other_views(field.values, field.weights, field.groups).items()
    }
    ranks_without_cell = leave_one_out(field.values, field.weights, field.groups)
    of_cells, of_groups = _cell_intervals(resamples.cells, field.groups, options.level)
    row_standings = [
        replace(
            standing,
            views={
                name: (float(values[row]), int(ranks[row]))
                for name, (values, ranks) in views.items()
            },
            leave_one_out=(
                int(ranks_without_cell[:, row].min()),
                int(ranks_without_cell[:, row].max()),
            ),
            cell_intervals=of_cells[row] if of_cells else [],
            group_intervals=of_groups[row] if of_groups else {},
        )
        for row, standing in enumerate(of_scores)
    ]
    return row_standings, intervals, resamples


def _score_statistics(
    scores: DoubleArray,
    replicates: DoubleArray | None,
    better: NDArray[np.bool_] | None,
    level: float,
) -> list[Standing]:
    """Of every row what scores [M], replicates [B, M] and decided pairs [M, M] say."""
    ranks = ranks_of(scores)
    rank_low, rank_high = ranks, ranks
    first = top3 = np.full(len(scores), 1.0)
    if replicates is not None and better is not None:
        rank_low, rank_high = statistics.rank_intervals(better)
        first = statistics.rank_probability(replicates, 1)
        top3 = statistics.rank_probability(replicates, 3)
    low, high = None, None
    if replicates is not None:
        low, high = statistics.interval(replicates, level)
    return [
        Standing(
            rank=int(ranks[row]),
            rank_low=int(rank_low[row]),
            rank_high=int(rank_high[row]),
            low=None if low is None else float(low[row]),
            high=None if high is None else float(high[row]),
            p_first=None if replicates is None else float(first[row]),
            p_top3=None if replicates is None else float(top3[row]),
            views={},
            leave_one_out=(int(ranks[row]), int(ranks[row])),
        )
        for row in range(len(scores))
    ]


def overall_replicates(field: Field, resamples: Replicates) -> DoubleArray | None:
    """Overall scores [B, M] on the resamples; None where there are none."""
    if resamples.cells is not None:
        return np.asarray(np.einsum("btm,t->bm", resamples.cells, field.weights))
    if resamples.draws is not None:
        return np.asarray(
            statistics.weigh_draws(resamples.draws, resamples.strata, field.weights)
            @ field.values.T
        )
    return None


def ranks_of(scores: DoubleArray) -> IntArray:
    """Ranks [M] from 1, the highest score first; equal scores (to 1e-12) share the best rank."""
    rounded = np.round(scores, 12)
    ranks: IntArray = 1 + (rounded[None, :] > rounded[:, None]).sum(axis=1)
    return ranks


def other_views(
    values: DoubleArray, weights: DoubleArray, groups: Mapping[str, Sequence[int]]
) -> dict[str, DoubleArray]:
    """Other ways [M] to add up the cells [M, T]; only `standardised` has the weights [T] of the
    board's formula.
    """
    return {
        "mean_task": values.mean(axis=1),
        "mean_group": np.mean(
            [values[:, list(columns)].mean(axis=1) for columns in groups.values()], axis=0
        ),
        "borda": statistics.borda(values),
        "standardised": statistics.standardised_mean(values, weights),
    }


def leave_one_out(
    values: DoubleArray, weights: DoubleArray, groups: Mapping[str, Sequence[int]]
) -> IntArray:
    """Ranks [T, M] without each cell in turn.

    Its weight goes to the other cells of its group, or, where it is the only one, to all in
    proportion.
    """
    if len(weights) == 1:
        return ranks_of(values[:, 0])[None]
    ranks = []
    for columns in groups.values():
        for column in columns:
            rest = weights.copy()
            rest[column] = 0
            others = [c for c in columns if c != column and weights[c]]
            rest[others] += (
                weights[column] * weights[others] / weights[others].sum() if others else 0
            )
            ranks.append(ranks_of(values @ (rest / rest.sum())))
    return np.array(ranks)


def effective_weights(
    values: DoubleArray, weights: DoubleArray, groups: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Share of each group in what separates the rows: weight x standard deviation of the group's
    mean, summing to 1.

    Equal weights are not equal influence: a group whose scores spread widely decides the order.
    """
    if len(values) < 2:
        return {}
    spread = {
        name: float(weights[list(columns)].sum() * values[:, list(columns)].mean(axis=1).std())
        for name, columns in groups.items()
    }
    total = sum(spread.values())
    return {name: value / total for name, value in spread.items()} if total > 0 else {}


def common(values: Sequence[float | None], complete: DoubleArray) -> Common:
    """An incomplete row against the complete rows [M, T], cell by cell on those that it has."""
    columns = [column for column, value in enumerate(values) if value is not None]
    if not columns or not len(complete):
        return Common(len(columns), None)
    row_values = np.array([value for value in values if value is not None])
    others = complete[:, columns]
    return Common(
        len(columns), float(np.mean((row_values > others) + 0.5 * (row_values == others)))
    )


def _replicates(field: Field, options: BoardOptions) -> tuple[Replicates, tuple[Note, ...]]:
    """Of items where possible, else of tasks, else none; and why no better ones."""
    cells, reason = _item_replicates(field, options)
    if cells is not None:
        return Replicates(cells=cells), tuple(filter(None, [reason]))
    resamples, why = _task_draws(field, options)
    return resamples, tuple(filter(None, [reason, why]))


def _mode(resamples: Replicates) -> Mode:
    if resamples.cells is not None:
        return "items"
    return "tasks" if resamples.draws is not None else "none"


def _item_replicates(field: Field, options: BoardOptions) -> tuple[DoubleArray | None, Note | None]:
    """Cells [B, T, M] on resampled items, and what is not right with them, or why there are
    none.
    """
    if options.intervals in ("tasks", "none"):
        return None, None
    claimed = [name for row in field.results for name in [_claimed(row)] if name]
    if claimed:
        others = note("board.and_more", n=len(claimed) - 1) if len(claimed) > 1 else ""
        return None, note("board.items_claimed", model=claimed[0], others=others)
    try:
        parts = [cell_measures(cell, field.formula, field.results) for cell in field.cells]
    except (NotSupported, ResultError) as error:
        return None, note("board.items_refused", why=str(error).rstrip("."))
    n_values = len(field.results) * sum(part.n_items for of_cell in parts for part in of_cell)
    if (
        options.intervals == "auto"
        and options.max_item_values is not None
        and n_values > options.max_item_values
    ):
        return None, note("board.items_too_many")
    for column, of_cell in enumerate(parts):
        again = np.mean([part.point() for part in of_cell], axis=0)
        if np.abs(again - field.values[:, column]).max() > _SAME:
            return None, note("board.items_differ", task=field.cells[column].title)
        if min(part.n_independent for part in of_cell) < FEWEST:
            return None, note("board.items_one_cluster", task=field.cells[column].title)
    replicates = np.stack(
        [cell_replicates(of_cell, options.n_replicates, options.seed) for of_cell in parts], axis=1
    )
    if not np.isfinite(replicates).all():
        column = int(np.flatnonzero(~np.isfinite(replicates).all(axis=(0, 2)))[0])
        return None, note("board.items_too_few", task=field.cells[column].title)
    alone = [
        cell.title
        for cell, of_cell in zip(field.cells, parts, strict=True)
        if any(part.lacks_clusters for part in of_cell)
    ]
    return replicates, note("board.items_one_by_one", tasks=alone) if alone else None


def _claimed(row: Mapping[str, TaskResult]) -> str:
    return next(
        (result.model for result in row.values() if result.claim is not None or not result.kemb), ""
    )


def _task_draws(field: Field, options: BoardOptions) -> tuple[Replicates, Note | None]:
    """Resampled tasks, or why there are none."""
    if options.intervals in ("items", "none"):
        return Replicates(), None
    if len(field.cells) < MIN_TASKS:
        return Replicates(), note("board.tasks_too_few", n_tasks=MIN_TASKS)
    alone = {name for name, columns in field.groups.items() if len(columns) == 1}
    strata = tuple("" if cell.group_name in alone else cell.group_name for cell in field.cells)
    key: list[str | int] = [options.seed, "tasks", *(cell.title for cell in field.cells)]
    return Replicates(
        draws=statistics.draw_tasks(strata, options.n_replicates, key), strata=strata
    ), None


def _cell_intervals(
    cells: DoubleArray | None, groups: Mapping[str, Sequence[int]], level: float
) -> tuple[list[list[Interval]], list[dict[str, Interval]]]:
    """For each row the intervals of its cells and of its groups; empty without replicates [B, T,
    M].
    """
    if cells is None:
        return [], []
    low, high = statistics.interval(cells, level)
    of_cells = [
        list(zip(low[:, row].tolist(), high[:, row].tolist(), strict=True))
        for row in range(low.shape[1])
    ]
    of_groups: list[dict[str, Interval]] = [{} for _ in of_cells]
    for name, columns in groups.items():
        low, high = statistics.interval(cells[:, list(columns)].mean(axis=1), level)
        for row, row_intervals in enumerate(of_groups):
            row_intervals[name] = (float(low[row]), float(high[row]))
    return of_cells, of_groups
