"""What a benchmark is: cells, groups of cells, and named formulas that weight them. Data only; one TOML each."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kemb.benchmarks.expressions import names_in
from kemb.errors import UsageError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellSpec(_Strict):
    """One column of a board: a task, which parts of it, and the expression that makes one number of them.

    The number is the unweighted mean of the expression over all (split, subset) pairs. Empty `splits` or `subsets`
    mean those that the task's spec declares.
    """

    task: str
    name: str = ""
    """Title of the column; the task's name by default."""
    group: str = ""
    """The group (a task type, a domain) that the cell belongs to; the task's type by default."""
    splits: list[str] = []
    subsets: list[str] = []
    metric: str = "main_score"
    """An expression over metric names, for example `mean(ndcg@5, ndcg@10)` (`kemb.benchmarks.expressions`)."""
    members: list[str] = []
    """Tasks whose unweighted mean stands for `task` where it has no result of its own (CQADupstack's forums)."""

    @field_validator("metric")
    @classmethod
    def _parses(cls, value: str) -> str:
        names_in(value)
        return value

    @property
    def title(self) -> str:
        return self.name or self.task


class Formula(_Strict):
    """One way to make an overall score of the cells.

    `weights` is "cells" (every cell the same), "groups" (every group the same, cells alike inside) or one fraction
    for each group. They must sum to `weights_sum`, which is 1 but where a published formula is kept as it was.
    """

    title: str = ""
    description: str = ""
    weights: Literal["cells", "groups"] | dict[str, str] = "cells"
    weights_sum: str = "1"
    metric: str = ""
    """Replaces the metric of every cell: a board of many metrics has one formula for each."""
    rows: Literal["", "dense", "sparse"] = ""
    """Only models of this kind."""

    @model_validator(mode="after")
    def _sums(self) -> Formula:
        if isinstance(self.weights, dict):
            total = sum((Fraction(weight) for weight in self.weights.values()), Fraction(0))
            if total != Fraction(self.weights_sum):
                given = " + ".join(f"{name} {weight}" for name, weight in self.weights.items())
                raise UsageError(
                    f"The weights of a formula sum to {total} ({given}); expected {self.weights_sum}. "
                    "Correct them, or say weights_sum if a published formula is to be kept as it was."
                )
        return self


class Comparable(_Strict):
    """What must be the same for two results of a cell to be ranked together (DESIGN 3.10)."""

    dataset_revision: bool = True
    data: bool = True
    """Hash of the data, metric version, `dedupe_pairs`; only measured results have them."""


class Benchmark(_Strict):
    """A named set of cells with formulas; the first formula is the default."""

    name: str
    title: str
    """In Korean: it is what readers of the board see."""
    description: str = ""
    reference: str = ""
    cells: list[CellSpec] = Field(min_length=1)
    formulas: dict[str, Formula] = {"mean": Formula()}
    missing: Literal["refuse"] = "refuse"
    """A row without all cells has no overall score and no rank (DESIGN 3.9)."""
    comparable: Comparable = Comparable()

    @model_validator(mode="after")
    def _fits(self) -> Benchmark:
        titles = [cell.title for cell in self.cells]
        if twice := {title for title in titles if titles.count(title) > 1}:
            raise UsageError(
                f"The benchmark {self.name} has two cells named {', '.join(sorted(twice))}; name them apart."
            )
        return self

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, each once, in the order of the cells."""
        return list(dict.fromkeys(task for cell in self.cells for task in (cell.members or [cell.task])))

    def groups(self) -> dict[str, list[int]]:
        """Row numbers of the cells by group, in order of appearance."""
        found: dict[str, list[int]] = {}
        for number, cell in enumerate(self.cells):
            found.setdefault(cell.group, []).append(number)
        return found

    def cell_weights(self, formula: Formula) -> list[float]:
        """The weight of every cell, in the order of `cells`; a group's weight is shared equally by its cells.

        :raises UsageError: when the formula weights other groups than there are.
        """
        groups = self.groups()
        n_cells = len(self.cells)
        if formula.weights == "cells":
            return [1 / n_cells] * n_cells
        shares = (
            {name: Fraction(1, len(groups)) for name in groups}
            if formula.weights == "groups"
            else {name: Fraction(weight) for name, weight in formula.weights.items()}
        )
        if set(shares) != set(groups):
            raise UsageError(
                f"A formula of {self.name} weights the groups {', '.join(sorted(shares))}; "
                f"its cells have {', '.join(sorted(groups))}."
            )
        return [float(shares[cell.group] / len(groups[cell.group])) for cell in self.cells]


def of_tasks(tasks: list[str]) -> Benchmark:
    """A benchmark made up on the spot: the main scores of some tasks, averaged."""
    return Benchmark(name="", title="", cells=[CellSpec(task=task, group=task) for task in tasks])
