"""Two rows of results, A and B: is B better, on which tasks, how surely, and on which items did it
change?

Every difference is B - A: A is what there was, B is what is new. docs/compare.md says it in users'
words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray
from kemb.boards.benchmark import Benchmark, CellSpec, of_tasks
from kemb.boards.cells import cell_value, declared_parts, expression_of, overall
from kemb.boards.items import FEWEST
from kemb.boards.paired import Flip, PairedPart, Pairing, paired_parts
from kemb.errors import ResultError, UsageError
from kemb.results.files import NoItems, TaskResult
from kemb.results.rows import ResultRow
from kemb.types import TaskData

SEED = 42
_MOST_FLIPS = 1000
_FEWEST_TASKS = 5
"""Below that an interval over tasks would say nothing."""
_ONE_BY_ONE = (
    "questions drawn one by one: these results do not say which share a right passage, so the "
    "interval may be too narrow; kemb run --overwrite measures them again"
)


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How to compare."""

    zone: float = statistics.ZONE
    """Differences within +-zone (a fraction: 0.005 is half a point) are practically equal."""
    n_flips: int = 3
    """Items shown for each task that lost most, and as many that gained most."""
    data: Mapping[str, TaskData] = field(default_factory=dict)
    """By task, for the texts and judgments of items; others are shown by their ids."""

    def __post_init__(self) -> None:
        if not 0 <= self.zone < 1:
            raise UsageError(
                f"A zone of {self.zone * 100:g} points is none; expected 0 up to 100, such as 0.5."
            )
        if not 0 <= self.n_flips <= _MOST_FLIPS:
            raise UsageError(f"{self.n_flips} items cannot be shown; expected 0 to {_MOST_FLIPS}.")


@dataclass(frozen=True, slots=True)
class Difference:
    """B - A on one cell, or overall. Scores, differences and intervals are fractions, not
    points.
    """

    title: str
    metric: str
    scores: tuple[float, float]
    low: float | None = None
    """Of the 95 % interval of the difference; None where there is none, and `note` says why."""
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    """Holm, over the tasks of the view; None for the overall row, which is a family of its own."""
    verdict: str = ""
    """Of B: "better", "worse", "practically equal" or "undecided"; '' without an interval."""
    n_items: int | None = None
    wins_ties_losses: tuple[int, int, int] | None = None
    """Items on which B is better, the same, worse; see `kemb.boards.paired.goodness`."""
    minimum_detectable: float | None = None
    """The true difference that these items would show in 80 % of cases."""
    note: str = ""
    flips: list[Flip] = field(default_factory=list)
    """Regressions first."""

    @property
    def difference(self) -> float:
        return self.scores[1] - self.scores[0]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is to be said of two rows."""

    a: ResultRow
    b: ResultRow
    zone: float
    cells: list[Difference]
    groups: list[Difference]
    """Unweighted means of the cells of each group, a family of tests of their own; none where they
    would say no more than the cells or the overall row.
    """
    overall: Difference | None
    """None where fewer than two cells were compared."""
    refused: dict[str, str]
    """Cells that are not compared, with the reason."""
    family: str
    """Which tests the p values were adjusted for."""


def compare(
    a: ResultRow,
    b: ResultRow,
    benchmark: Benchmark | None = None,
    options: CompareOptions | None = None,
) -> Comparison:
    """Compare two rows.

    :param benchmark: the cells; by default the main scores of all tasks that both rows have.
    :raises UsageError: when A and B are the same row, or have nothing in common.
    """
    options = options or CompareOptions()
    if all(
        result.path == b.results[task].path
        for task, result in a.results.items()
        if task in b.results
    ) and (a.label == b.label):
        raise UsageError(
            f"A and B are the same row, {a.label}; type another model, revision or [variant]."
        )
    bench = benchmark or of_tasks(
        [task for task in a.results if task in b.results] or sorted(a.results)
    )
    compared_cells: list[_Cell] = []
    refused_cells: dict[str, str] = {}
    for cell in bench.cells:
        try:
            compared_cells.append(
                replace(_compare_cell(a, b, cell, bench, options), group=_group(a, b, cell))
            )
        except _NotComparable as reason:
            refused_cells[cell.title] = str(reason)
    if not compared_cells:
        reasons = "; ".join(
            f"{title}: {reason}" for title, reason in list(refused_cells.items())[:3]
        )
        raise UsageError(f"{a.label} and {b.label} have no task to be compared on. {reasons}")
    cells = adjusted([cell.difference for cell in compared_cells])
    n_tests = sum(cell.p is not None for cell in cells)
    tests = f"{n_tests} task{'s' if n_tests != 1 else ''}"
    family = f"Holm over {tests} of this view, B against A" if n_tests else "no tests were made"
    groups = adjusted(_groups(compared_cells, options))
    return Comparison(
        a,
        b,
        options.zone,
        cells,
        groups,
        _overall(bench, compared_cells, options),
        refused_cells,
        family,
    )


class _NotComparable(Exception):
    """Why a cell cannot be compared."""


@dataclass(frozen=True, slots=True)
class _Cell:
    spec: CellSpec
    difference: Difference
    replicates: DoubleArray | None
    """[n_replicates] of B - A."""
    group: str = ""


def _compare_cell(
    a: ResultRow, b: ResultRow, cell: CellSpec, bench: Benchmark, options: CompareOptions
) -> _Cell:
    formula = bench.formula()
    expression = expression_of(cell, formula)
    tasks = _tasks_of(cell, a, b)
    for task in tasks:
        if reason := incomparable(a.results[task], b.results[task], expression):
            raise _NotComparable(reason)
    values = [
        cell_value(cell, formula, {task: row.results[task] for task in tasks}) for row in (a, b)
    ]
    missing = [side for side, value in zip("AB", values, strict=True) if value is None]
    if missing or values[0] is None or values[1] is None:
        raise _NotComparable(
            f"{' and '.join(missing)} lacks a split, a subset or the metric {expression}"
        )
    difference = Difference(cell.title, expression, (values[0], values[1]))
    if any(row.source for row in (a, b)):
        note = "no interval: of a claimed score there are no items"
        return _Cell(cell, replace(difference, note=note), None)
    try:
        paired = [part for task in tasks for part in _paired(a, b, cell, task, expression, options)]
    except NoItems:
        raise
    except ResultError as error:
        return _Cell(cell, replace(difference, note=f"no interval: {error}"), None)
    n_parts = [len(_parts(cell, task, a.results[task])) for task in tasks]
    weights = np.repeat([1 / len(tasks) / n for n in n_parts], n_parts)
    return _with_statistics(cell, difference, paired, weights, options)


def _group(a: ResultRow, b: ResultRow, cell: CellSpec) -> str:
    """The group of a cell; of a task of one's own its type, as the result says it."""
    records = (row.results[cell.task].kemb for row in (a, b) if cell.task in row.results)
    return cell.group_name or next((record.task.type for record in records if record), "")


def _tasks_of(cell: CellSpec, a: ResultRow, b: ResultRow) -> list[str]:
    """The task of a cell or, where not both rows have it, its members."""
    for tasks in ([cell.task], cell.members):
        if tasks and all(task in row.results for task in tasks for row in (a, b)):
            return list(tasks)
    lacking = [side for side, row in (("A", a), ("B", b)) if cell.task not in row.results]
    raise _NotComparable(
        f"{' and '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no result"
    )


def incomparable(a: TaskResult, b: TaskResult, expression: str) -> str:
    """Why two results of a task must not be compared; '' where they may.

    What a claimed result does not say is not asked.
    """
    if a.dataset_revision and b.dataset_revision and a.dataset_revision != b.dataset_revision:
        return f"other data: revision {a.dataset_revision[:12]} and {b.dataset_revision[:12]}"
    if a.kemb is None or b.kemb is None:
        return ""
    one, other = a.kemb.task, b.kemb.task
    hashes = (one.data_sha256, other.data_sha256)
    if changed := sorted(
        part for part in hashes[0].keys() & hashes[1].keys() if hashes[0][part] != hashes[1][part]
    ):
        return f"other data: the hashes of {', '.join(changed)} differ"
    keys = {"metric_version": "metric version", "dedupe_pairs": "text preparation (dedupe_pairs)"}
    keys |= {"main_metric": "main metric"} if expression == "main_score" else {}
    for key, title in keys.items():
        values = getattr(one, key), getattr(other, key)
        if values[0] != values[1]:
            return f"another {title}: {values[0]} and {values[1]}"
    return ""


def _parts(cell: CellSpec, task: str, result: TaskResult) -> list[tuple[str, str]]:
    return declared_parts(cell.model_copy(update={"task": task})) or result.parts


def _paired(
    a: ResultRow, b: ResultRow, cell: CellSpec, task: str, expression: str, options: CompareOptions
) -> list[PairedPart]:
    parts = _parts(cell, task, a.results[task])
    data = options.data.get(task)
    if data is not None:
        recorded = a.results[task].record.task.data_sha256
        if any(recorded.get(f"{part.split}/{part.subset}") != part.sha256 for part in data.parts):
            data = None
    pairing = Pairing((a.results[task], b.results[task]), parts, expression, data)
    return paired_parts(pairing, statistics.N_REPLICATES, SEED, options.n_flips)


def _with_statistics(
    cell: CellSpec,
    difference: Difference,
    parts: Sequence[PairedPart],
    weights: DoubleArray,
    options: CompareOptions,
) -> _Cell:
    outcomes = [part.wins_ties_losses for part in parts if part.wins_ties_losses is not None]
    totals = tuple(int(total) for total in np.sum(outcomes, axis=0)) if outcomes else None
    difference = replace(
        difference,
        n_items=sum(part.n_items for part in parts),
        wins_ties_losses=(totals[0], totals[1], totals[2]) if totals else None,
        flips=_worst_and_best([flip for part in parts for flip in part.flips], options.n_flips),
    )
    replicates_by_part = [part.replicates for part in parts if part.replicates is not None]
    if len(replicates_by_part) < len(parts):
        return _Cell(
            cell,
            replace(difference, note=f"no interval: {difference.metric} has no resampling yet"),
            None,
        )
    if any(part.n_independent < FEWEST for part in parts):
        note = "no interval: all items hang together in one cluster"
        return _Cell(cell, replace(difference, note=note), None)
    replicates: DoubleArray = weights @ np.stack(replicates_by_part)
    if not np.isfinite(replicates).all():
        return _Cell(
            cell,
            replace(difference, note="no interval: too few items; some resamples have no score"),
            None,
        )
    p = (
        _sign_flip(difference.title, parts, weights)
        if all(part.is_mean for part in parts)
        else None
    )
    if any(part.lacks_clusters for part in parts):
        difference = replace(difference, note=_ONE_BY_ONE)
    return _Cell(cell, _judged(difference, replicates, p, options.zone), replicates)


def _judged(
    difference: Difference, replicates: DoubleArray, p: float | None, zone: float
) -> Difference:
    """With interval, p value (of the recentred bootstrap, where none is given), verdict and
    sensitivity.
    """
    low, high = (float(bound) for bound in statistics.interval(replicates, statistics.LEVEL))
    if p is None:
        extreme = np.abs(replicates - replicates.mean()) >= abs(difference.difference) - 1e-12
        p = float((1 + extreme.sum()) / (1 + len(replicates)))
    # The standard error is that of one draw of all items.
    detectable = float(statistics.minimum_detectable(float(replicates.std()), 1, statistics.LEVEL))
    verdict = statistics.verdict(low, high, zone)
    return replace(
        difference, low=low, high=high, p=p, verdict=verdict, minimum_detectable=detectable
    )


def _sign_flip(title: str, parts: Sequence[PairedPart], weights: DoubleArray) -> float:
    """The p value of the weighted mean over parts.

    The mean over all items of d_i * weight * n / n_part is that very number, so one test serves for
    any parts.
    """
    n = sum(len(part.differences) for part in parts)
    scaled = [
        part.differences * weight * n / len(part.differences)
        for part, weight in zip(parts, weights, strict=True)
    ]
    clusters, first = [], 0
    for part in parts:
        part_clusters = np.arange(len(part.differences)) if part.clusters is None else part.clusters
        clusters.append(first + part_clusters)
        first += int(part_clusters.max()) + 1
    joined = np.concatenate(clusters) if any(part.clusters is not None for part in parts) else None
    return float(statistics.sign_flip(np.concatenate(scaled), key=[SEED, title], clusters=joined))


def adjusted(cells: Sequence[Difference]) -> list[Difference]:
    """With Holm's p values, the cells being one family; a difference that does not survive them is
    undecided.
    """
    raw_p_values = [cell.p for cell in cells if cell.p is not None]
    p_values = iter(statistics.holm(np.array(raw_p_values)).tolist() if raw_p_values else [])
    differences = []
    for cell in cells:
        p = next(p_values) if cell.p is not None else None
        overruled = (
            p is not None and p > 1 - statistics.LEVEL and cell.verdict in ("better", "worse")
        )
        differences.append(
            replace(cell, p_adjusted=p, verdict="undecided" if overruled else cell.verdict)
        )
    return differences


def _overall(
    bench: Benchmark, cells: Sequence[_Cell], options: CompareOptions
) -> Difference | None:
    """By the benchmark's formula where all its cells are there, else the mean of those that are."""
    if len(cells) < 2:
        return None
    formula = bench.formula()
    whole = len(cells) == len(bench.cells)
    weights = np.array(bench.cell_weights(formula) if whole else [1 / len(cells)] * len(cells))
    title = (
        f"{bench.name}: {formula.title}"
        if whole and bench.name
        else f"mean of {len(cells)} common tasks"
    )
    return _weighted(title, cells, weights, options)


def _groups(cells: Sequence[_Cell], options: CompareOptions) -> list[Difference]:
    names = list(dict.fromkeys(cell.group for cell in cells))
    if not 2 <= len(names) < len(cells) or "" in names:
        return []
    differences = []
    for name in names:
        group_cells = [cell for cell in cells if cell.group == name]
        plural = "s" if len(group_cells) > 1 else ""
        title = f"{name.replace('_', ' ')} ({len(group_cells)} task{plural})"
        if len(group_cells) == 1:
            differences.append(replace(group_cells[0].difference, title=title, flips=[]))
        else:
            weights = np.full(len(group_cells), 1 / len(group_cells))
            differences.append(_weighted(title, group_cells, weights, options))
    return differences


def _weighted(
    title: str, cells: Sequence[_Cell], weights: DoubleArray, options: CompareOptions
) -> Difference:
    """A weighted mean of cells; its interval is over their items or, where these are missing, over
    tasks.
    """
    sides = ([cell.difference.scores[side] for cell in cells] for side in (0, 1))
    a, b = (overall(values, weights.tolist()) for values in sides)
    assert a is not None and b is not None  # noqa: PT018  every compared cell has both values
    difference = Difference(title, "", (a, b))
    replicates_by_cell = [cell.replicates for cell in cells if cell.replicates is not None]
    if len(replicates_by_cell) == len(cells):
        return _judged(difference, weights @ np.stack(replicates_by_cell), None, options.zone)
    if len(cells) < _FEWEST_TASKS:
        return replace(
            difference,
            note="no interval: not every task has items, and there are too few tasks to resample",
        )
    scores = np.array([[cell.difference.scores[side] for cell in cells] for side in (0, 1)])
    alike = np.ptp(weights) == 0
    groups = ["all" if alike else cell.group for cell in cells]
    replicates = statistics.resample_tasks(
        scores, groups, weights, statistics.N_REPLICATES, [SEED, "tasks"]
    )
    note = "interval over tasks, not items: what other tasks of this kind would show"
    return replace(
        _judged(difference, replicates[:, 1] - replicates[:, 0], None, options.zone), note=note
    )


def _worst_and_best(flips: list[Flip], n: int) -> list[Flip]:
    """The n that lost most, then the n that gained most."""
    in_order = sorted(flips, key=lambda flip: flip.goodness[1] - flip.goodness[0])
    losses = [flip for flip in in_order if flip.goodness[1] < flip.goodness[0]]
    gains = [flip for flip in reversed(in_order) if flip.goodness[1] > flip.goodness[0]]
    return [*losses[:n], *gains[:n]]
