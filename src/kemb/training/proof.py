"""Is the tuned model better than its base, and on nothing worse? The same items for both, by kemb's
own run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kemb import statistics
from kemb.boards.benchmark import of_tasks
from kemb.boards.compare import CompareOptions, Comparison, Difference, compare
from kemb.errors import RunError
from kemb.evaluation.evaluate import Reporter, RunOptions, Task, evaluate
from kemb.models.model import Model
from kemb.results.files import TaskResult
from kemb.results.rows import ResultRow, rows_of
from kemb.training.recipe import GuardSection, RecipeFile


@dataclass(frozen=True, slots=True)
class GuardLine:
    """The forget-check of one task. Difference and interval are fractions, the tolerance is in
    points.
    """

    task: str
    difference: float
    low: float | None
    tolerance: float
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured, compared and decided."""

    comparison: Comparison
    guard: list[GuardLine]
    lexical: dict[str, dict[str, float]]
    """Main scores of the rows without training, by model and task."""

    @property
    def passed(self) -> bool:
        return all(line.passed for line in self.guard)

    def record(self) -> dict[str, Any]:
        """As plain data, for a stage's report."""
        overall = [self.comparison.overall] if self.comparison.overall else []
        cells = [*self.comparison.cells, *self.comparison.groups, *overall]
        return {
            "base": self.comparison.a.label,
            "tuned": self.comparison.b.label,
            "tasks": sorted(self.comparison.b.results),
            "differences": [
                {key: value for key, value in asdict(cell).items() if key != "flips"}
                | {"difference": cell.difference}
                for cell in cells
            ],
            "family": self.comparison.family,
            "refused": self.comparison.refused,
            "guard": [asdict(line) for line in self.guard],
            "passed": self.passed,
            "lexical": self.lexical,
        }


def prove(
    base: Model,
    tuned: Model,
    lexical: Sequence[Model],
    tasks: Sequence[Task],
    guard: GuardSection,
    options: RunOptions,
    reporter: Reporter | None = None,
) -> Proof:
    """Evaluate all models on the tasks, compare tuned with base, and check what was forgotten.

    :raises RunError: when a task of base or tuned model fails.
    """
    outcomes = evaluate(tasks, [base, tuned, *lexical], options, reporter)
    needed_rows = {base.row, tuned.row}
    failed = [
        outcome for outcome in outcomes if outcome.status == "failed" and outcome.row in needed_rows
    ]
    if failed:
        raise RunError(f"The proof is not complete. {failed[0].row}, {failed[0].message}")
    results = [outcome.result for outcome in outcomes if outcome.result]
    comparison = compare(
        _row(results, base),
        _row(results, tuned),
        of_tasks([task.spec.name for task in tasks]),
        CompareOptions(zone=statistics.ZONE, n_flips=0),
    )
    rows = {model.row: _scores(results, model) for model in lexical}
    return Proof(comparison, [forgotten(cell, guard) for cell in comparison.cells], rows)


def forgotten(cell: Difference, guard: GuardSection) -> GuardLine:
    """Non-inferiority of one task: the lower end of the 95 % interval must not lie below
    -tolerance.

    Where a difference has no interval, the difference itself is taken.
    """
    tolerance = guard.by_task.get(cell.title, guard.tolerance)
    low = cell.difference if cell.low is None else cell.low
    if guard.decision == "none":
        return GuardLine(cell.title, cell.difference, cell.low, tolerance, True, "not checked")
    if guard.decision == "verdict":
        passed = cell.verdict != "worse"
        return GuardLine(
            cell.title,
            cell.difference,
            cell.low,
            tolerance,
            passed,
            f"verdict: {cell.verdict or 'none'}",
        )
    passed = low * 100 >= -tolerance
    reason = (
        f"{'lowest plausible difference' if cell.low is not None else 'difference'} "
        f"{low * 100:+.2f} points"
    )
    return GuardLine(cell.title, cell.difference, cell.low, tolerance, passed, reason)


def _row(results: Sequence[TaskResult], model: Model) -> ResultRow:
    """The row of a model, told from others by its revision."""
    model_results = [
        result
        for result in results
        if (result.model, result.revision, result.variant)
        == (model.name, model.revision, model.variant)
    ]
    return rows_of(model_results)[0]


def _scores(results: Sequence[TaskResult], model: Model) -> dict[str, float]:
    model_results = [
        result
        for result in results
        if result.model == model.name and result.revision == model.revision
    ]
    return {result.task: result.main_score for result in model_results}


@dataclass(frozen=True, slots=True)
class Spread:
    """Main scores of one task over seeds, as fractions."""

    task: str
    base: float
    """Of the base of the first seed."""
    scores: dict[str, float]
    """By seed, the first first."""

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.scores.values())))

    @property
    def sd(self) -> float:
        """Standard deviation, of a sample."""
        return float(np.std(list(self.scores.values()), ddof=1))

    @property
    def n_above(self) -> int:
        """Seeds that are better than the base."""
        return sum(score > self.base for score in self.scores.values())


def with_seed(file: RecipeFile, seed: int) -> RecipeFile:
    """The same recipe with one seed."""
    return replace(file, recipe=file.recipe.model_copy(update={"seed": seed, "seeds": []}))


def with_n_seeds(file: RecipeFile, n: int) -> RecipeFile:
    """The same recipe with the seeds from its own onwards."""
    seed = file.recipe.seed
    return replace(
        file, recipe=file.recipe.model_copy(update={"seeds": list(range(seed, seed + n))})
    )


def scores_of(
    models: Mapping[str, Model], tasks: Sequence[Task], options: RunOptions, reporter: Reporter
) -> dict[str, dict[str, float]]:
    """Main scores by seed and task.

    :raises RunError: when a task fails.
    """
    scores_by_seed: dict[str, dict[str, float]] = {}
    for seed, model in models.items():
        outcomes = evaluate(tasks, [model], options, reporter)
        if failed := [outcome for outcome in outcomes if outcome.status == "failed"]:
            raise RunError(f"The model of seed {seed} cannot be scored. {failed[0].message}")
        scores_by_seed[seed] = {
            outcome.task: outcome.result.main_score for outcome in outcomes if outcome.result
        }
    return scores_by_seed
