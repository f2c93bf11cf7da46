"""What a board is: rows with cells, and what can be said of their order. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, IntArray
from kemb.boards.benchmark import Benchmark, CellSpec, Formula
from kemb.messages import Note, say
from kemb.results.files import Claim, TaskResult
from kemb.results.rows import ResultRow

Mode = Literal["items", "tasks", "none"]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """How a board is made."""

    intervals: Literal["auto", "items", "tasks", "none"] = "auto"
    """`auto`: items where every ranked row has them, else tasks where there are enough, else none.
    """
    allow_mixed_revisions: bool = False
    """Rank different data revisions together, and join the claimed revisions of a model, as mteb's
    tables do.
    """
    main_revisions: Mapping[str, str] = field(default_factory=dict)
    """By model, the revision preferred when claimed revisions are joined."""
    n_replicates: int = 2000
    seed: int = 42
    level: float = 0.95
    max_item_values: int | None = None
    """With more (row, item) values than this, `auto` resamples no items; None: no limit."""
    rows: tuple[ResultRow, ...] = ()
    """Rows that are shown even without any result (a model that applies to none of the tasks)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a complete row stands among the complete rows of its board; ranks count from 1."""

    rank: int
    """By score; equal scores share the best rank."""
    rank_low: int
    rank_high: int
    """The rank interval, simultaneous over all ranked rows; without intervals both are `rank`."""
    low: float | None
    high: float | None
    """Interval of the score."""
    p_first: float | None
    """The share of replicates in which the row is first."""
    p_top3: float | None
    """The share of replicates in which it is among the first three."""
    views: dict[str, tuple[float, int]]
    """Other ways to add up the same cells -> value and rank: mean_task, mean_group, borda,
    standardised.
    """
    leave_one_out: tuple[int, int]
    """Best and worst rank when any one cell is left out."""
    cell_intervals: list[Interval] = field(default_factory=list)
    group_intervals: dict[str, Interval] = field(default_factory=dict)
    """Only where items were resampled."""

    @property
    def elsewhere(self) -> tuple[int, int]:
        """Best and worst rank over all other views and left-out cells."""
        ranks = [rank for _, rank in self.views.values()]
        return min(*ranks, self.leave_one_out[0]), max(*ranks, self.leave_one_out[1])


@dataclass(frozen=True, slots=True)
class Common:
    """How an incomplete row compares with the complete ones, on the cells that it has."""

    n_cells: int
    win_rate: float | None
    """Of all (complete row, common cell) pairs, the share that the row wins, ties counting half."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model at one revision in one variant, measured here or claimed by one source; never a
    mixture.
    """

    model: str
    revision: str
    variant: str
    claim: Claim | None
    """Where the numbers come from; None for those that were measured here."""
    cells: list[float | None]
    """In the order of the board's cells; None where there is no comparable value."""
    groups: dict[str, float | None]
    score: float | None
    """None where a cell is missing."""
    missing: dict[str, Note]
    """Title of each cell without a value -> why."""
    standing: Standing | None = None
    """Only of complete rows."""
    common: Common | None = None
    """Only of incomplete rows."""
    results: Mapping[str, TaskResult] = field(default_factory=dict)
    """By task: what the cells were computed from."""

    @property
    def name(self) -> str:
        return f"{self.model} [{self.variant}]" if self.variant else self.model


@dataclass(frozen=True, slots=True)
class Replicates:
    """The resamples behind the intervals: of items or of tasks; the other is None."""

    cells: DoubleArray | None = None
    """Scores [n_replicates, n_cells, n_complete] on resampled items, rows in the order of the
    board.
    """
    draws: IntArray | None = None
    """How often each task was drawn inside its stratum [n_replicates, n_cells], see
    `stats.weigh_draws`.
    """
    strata: tuple[str, ...] = ()
    """Of every cell; only where tasks were drawn."""
    better: NDArray[np.bool_] | None = None
    """Which complete row (row) is certainly better than which (column), jointly over all pairs
    (`statistics.certainly_better`) [n_complete, n_complete]; None without intervals. Everything
    that says "certainly better" or "cannot be told" of two rows reads it from here.
    """


@dataclass(frozen=True, slots=True)
class Intervals:
    """How the intervals of a board were made."""

    mode: Mode
    reasons: tuple[Note, ...]
    """Why no better mode was used; for items, what is not right with them."""
    level: float
    n_replicates: int
    seed: int

    @property
    def reason(self) -> str:
        """The reasons in English, as programs read them."""
        return " ".join(say(reason, "en") for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Board:
    """Rows in order: complete ones by score, then, below the line, incomplete ones by win rate."""

    benchmark: Benchmark
    formula_name: str
    formula: Formula
    cells: list[CellSpec]
    """Those that have a weight."""
    weights: list[float]
    rows: list[Row]
    intervals: Intervals
    effective_weights: dict[str, float]
    """Group -> its share of influence: weight x standard deviation over the complete rows, summing
    to 1; empty where fewer than two rows are complete.
    """
    notes: list[Note]
    """What a reader must know: refused and unpinned data, flaws of tasks, sources."""
    replicates: Replicates = Replicates()

    @property
    def groups(self) -> dict[str, list[int]]:
        """Row numbers into `cells` by group, in order of appearance."""
        rows_by_group: dict[str, list[int]] = {}
        for number, cell in enumerate(self.cells):
            rows_by_group.setdefault(cell.group_name, []).append(number)
        return rows_by_group

    @property
    def complete(self) -> list[Row]:
        return [row for row in self.rows if row.standing is not None]

    @property
    def first_group(self) -> list[Row]:
        """The complete rows that no row is certainly better than (`rank_low` is 1).

        It holds the true first with the probability of the intervals, and no two of its rows are
        decided. Without intervals it is empty: nothing was tested.
        """
        if self.replicates.better is None:
            return []
        n_better = self.replicates.better.sum(axis=0).tolist()
        return [row for row, n in zip(self.complete, n_better, strict=True) if n == 0]

    @property
    def incomplete(self) -> list[Row]:
        return [row for row in self.rows if row.standing is None]
