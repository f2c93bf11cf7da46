"""How much of a score is chance: the same recipe trained with several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemb.errors import RunError
from kemb.evaluation.evaluate import Reporter, RunOptions, Task, evaluate
from kemb.models.resolve import Model
from kemb.training.recipe import RecipeFile


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
    return replace(file, recipe=file.recipe.model_copy(update={"seeds": list(range(seed, seed + n))}))


def scores_of(
    models: Mapping[str, Model], tasks: Sequence[Task], options: RunOptions, reporter: Reporter
) -> dict[str, dict[str, float]]:
    """Main scores by seed and task.

    :raises RunError: when a task fails.
    """
    found: dict[str, dict[str, float]] = {}
    for seed, model in models.items():
        outcomes = evaluate(tasks, [model], options, reporter)
        if failed := [outcome for outcome in outcomes if outcome.status == "failed"]:
            raise RunError(f"The model of seed {seed} cannot be scored. {failed[0].message}")
        found[seed] = {outcome.task: outcome.result.main_score for outcome in outcomes if outcome.result}
    return found
