"""What a benchmark is: cells, groups of cells, and named formulas that weight them. Data only; one
TOML each.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kemb import tasks
from kemb.boards.expressions import canonical, names_in
from kemb.errors import UnknownName, UsageError, nearest
from kemb.files import disk
from kemb.tasks.kinds import KINDS, kind_of
from kemb.tasks.spec import TaskSpec
from kemb.types import TaskType

_FRACTION = re.compile(r"\d{1,9}/0*[1-9]\d{0,8}|\d{1,9}(\.\d{1,9})?")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellSpec(_Strict):
    """One column of a board: a task, which parts of it, and the expression that makes one number of
    them.

    The number is the unweighted mean of the expression over all (split, subset) pairs. Empty
    `splits` or `subsets` mean those that the task's spec declares.
    """

    task: str
    name: str = ""
    """Title of the column; the task's name by default."""
    group: str = ""
    """The group (a task type, a domain) that the cell belongs to; the task's type by default."""
    splits: list[str] = []
    subsets: list[str] = []
    metric: str = "main_score"
    """An expression over metric names, for example `mean(ndcg@5, ndcg@10)`
    (`kemb.boards.expressions`).
    """
    members: list[str] = []
    """Tasks whose unweighted mean stands for `task` where it has no result of its own
    (CQADupstack's forums).
    """

    @field_validator("metric")
    @classmethod
    def _parses(cls, value: str) -> str:
        return _parsed(value)

    @property
    def title(self) -> str:
        return self.name or self.task

    @property
    def group_name(self) -> str:
        """The group given, else the task's type; empty for a task that nobody knows."""
        spec = spec_of(self.task)
        return self.group or (spec.type if spec else "")


class Formula(_Strict):
    """One way to make an overall score of the cells.

    `weights` is "cells" (every cell the same), "groups" (every group the same, cells alike inside)
        or one fraction
    for each group. They must sum to `weights_sum`, which is 1 but where a published formula is kept
    as it was.
    """

    title: str = ""
    description: str = ""
    weights: Literal["cells", "groups"] | dict[str, str] = "cells"
    weights_sum: str = "1"
    metric: str = ""
    """Replaces the metric of every cell: a board of many metrics has one formula for each."""
    rows: Literal["", "dense", "sparse"] = ""
    """Only models of this kind."""
    without: list[str] = []
    """Cells, by title, that do not count: a formula over some of the tasks."""

    @field_validator("metric")
    @classmethod
    def _parses(cls, value: str) -> str:
        return _parsed(value) if value else value

    @field_validator("weights", mode="before")
    @classmethod
    def _are_fractions(cls, value: object) -> object:
        if value in ("cells", "groups"):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(
                f'{value!r} is not "cells", "groups" or a table of a fraction for each group'
            )
        return {str(group): _as_fraction(weight) for group, weight in value.items()}

    @field_validator("weights_sum", mode="before")
    @classmethod
    def _is_a_fraction(cls, value: object) -> str:
        return _as_fraction(value)

    @model_validator(mode="after")
    def _sums(self) -> Formula:
        if isinstance(self.weights, dict):
            total = sum(map(Fraction, self.weights.values()), Fraction(0))
            if total != Fraction(self.weights_sum):
                terms = " + ".join(f"{name} {weight}" for name, weight in self.weights.items())
                raise ValueError(
                    f"the weights sum to {total} ({terms}); expected {self.weights_sum}. Correct "
                    "them, write fractions "
                    'such as "1/3", or say weights_sum if a published formula is to be kept '
                    "as it was"
                )
        return self


class Comparable(_Strict):
    """What must be the same for two results of a cell to be ranked together (docs/architecture.md,
    "Comparable or not").
    """

    dataset_revision: bool = True
    data: bool = True
    """Hash of the data, metric version, `dedupe_pairs`; only measured results have them."""


FileName = Annotated[str, Field(pattern=r"^([^\W_][\w.+@, ()-]{0,79})?$")]
"""Pages and downloads of a site are named so: no path, no control character."""


class Benchmark(_Strict):
    """A named set of cells with formulas; the first formula is the default."""

    name: FileName
    title: str
    """In Korean: it is what readers of the board see."""
    title_en: str = ""
    description: str = ""
    reference: str = ""
    cells: list[CellSpec] = Field(min_length=1)
    formulas: dict[FileName, Formula] = Field(default={"mean": Formula()}, min_length=1)
    missing: Literal["refuse"] = "refuse"
    """A row without all cells has no overall score and no rank (docs/architecture.md, "No means
    over holes").
    """
    comparable: Comparable = Comparable()

    @model_validator(mode="after")
    def _fits(self) -> Benchmark:
        titles = [cell.title for cell in self.cells]
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f"two cells are named {', '.join(twice)}; give each a name of its own")
        for key, formula in self.formulas.items():
            try:
                self.cell_weights(formula)
            except UsageError as error:
                raise ValueError(f"formula {key}: {error}") from error
            for cell in self.cells:
                _check_metrics(cell, formula)
        return self

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks to run, each once, in the order of the cells."""
        return list(
            dict.fromkeys(task for cell in self.cells for task in (cell.members or [cell.task]))
        )

    def subsets_of(self, task: str) -> list[str]:
        """The subsets of a task that some cell has; empty for a task of one's own whose cells name
        none.
        """
        spec = spec_of(task)
        cells = [cell for cell in self.cells if task in (cell.members or [cell.task])]
        subsets = [
            name for cell in cells for name in cell.subsets or (spec.subsets if spec else [])
        ]
        return list(dict.fromkeys(subsets))

    def formula(self, name: str = "") -> Formula:
        """A formula by name; the first one where no name is given.

        :raises UnknownName: with the nearest names.
        """
        if name and name not in self.formulas:
            hint = f"{self.name} has {', '.join(self.formulas)}."
            raise UnknownName("formula", name, self.formulas, hint)
        return self.formulas[name or next(iter(self.formulas))]

    def groups(self) -> dict[str, list[int]]:
        """Row numbers of the cells by group, in order of appearance."""
        rows_by_group: dict[str, list[int]] = {}
        for number, cell in enumerate(self.cells):
            rows_by_group.setdefault(cell.group_name, []).append(number)
        return rows_by_group

    def cell_weights(self, formula: Formula) -> list[float]:
        """The weight of every cell, in the order of `cells`; a group's weight is shared equally by
        its cells.

        :raises UsageError: when the formula weights other groups than there are, or leaves out a
            cell there is not.
        """
        weighted_cells = [cell for cell in self.cells if cell.title not in formula.without]
        unknown = sorted(set(formula.without) - {cell.title for cell in self.cells})
        if unknown or not weighted_cells:
            what = ", ".join(unknown) or "every cell"
            raise UsageError(f"it leaves out {what}; expected titles of some cells of {self.name}")
        if formula.weights == "cells":
            return [
                1 / len(weighted_cells) if cell in weighted_cells else 0.0 for cell in self.cells
            ]
        groups = Counter(cell.group_name for cell in weighted_cells)
        shares = (
            {name: Fraction(1, len(groups)) for name in groups}
            if formula.weights == "groups"
            else {name: Fraction(weight) for name, weight in formula.weights.items()}
        )
        if set(shares) != set(groups):
            raise UsageError(
                f"the groups {', '.join(sorted(shares))} have weights, but the cells of "
                f"{self.name} are in the groups {', '.join(sorted(groups))}; give each of these a "
                "weight"
            )
        return [
            float(shares[c.group_name] / groups[c.group_name]) if c in weighted_cells else 0.0
            for c in self.cells
        ]


def of_tasks(names: list[str], subsets: Mapping[str, list[str]] | None = None) -> Benchmark:
    """A benchmark made up on the spot: the main scores of some tasks, averaged.

    :param subsets: those that count, of known tasks; by default the ones of the specification.
    """
    subsets_by_task = {
        task: task_subsets for task, task_subsets in (subsets or {}).items() if spec_of(task)
    }
    cells = [
        CellSpec(task=task, group=task, subsets=subsets_by_task.get(task, [])) for task in names
    ]
    return Benchmark(name="", title="", cells=cells)


def spec_of(task: str) -> TaskSpec | None:
    """The specification of a known task, shipped, of a plug-in or of one's own; None for any
    other.
    """
    return tasks.find_spec(task)


def _parsed(expression: str) -> str:
    """The canonical expression; pydantic wants a ValueError where it is none."""
    try:
        names_in(expression)
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from error
    return canonical(expression)


def _as_fraction(value: object) -> str:
    text = str(value).strip()
    if isinstance(value, bool) or not _FRACTION.fullmatch(text):
        raise ValueError(
            f'{value!r} is not a weight; expected a fraction such as "1/3" or a number such as 0.5'
        )
    return text


def _check_metrics(cell: CellSpec, formula: Formula) -> None:
    """Refuse a metric that a task of the cell's type does not have."""
    spec = spec_of(cell.task)
    metrics = known_metrics(spec.type if spec else None)
    for metric in names_in(formula.metric or cell.metric):
        if metric not in metrics:
            near = nearest(metric, metrics)
            offer = f"; did you mean {' or '.join(near)}?" if near else ""
            kind = f"of type {spec.type}" if spec else "of any type"
            raise ValueError(f"cell {cell.title}: no task {kind} has the metric {metric!r}{offer}")


MAIN_SCORE = "main_score"


def known_metrics(task_type: TaskType | None) -> frozenset[str]:
    """All metric names of a task type, `main_score` among them; of every type where the type is not
    known.
    """
    kinds = [kind_of(task_type)] if task_type else list(KINDS.values())
    return frozenset({MAIN_SCORE}).union(*(kind.metrics for kind in kinds))


FOLDER = Path(__file__).parent / "known"


@cache
def names() -> list[str]:
    """The names of all shipped benchmarks."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_benchmark(name: str | Path) -> Benchmark:
    """A shipped benchmark by name, or one's own by the path of its TOML.

    :raises UnknownName: with the nearest known names.
    :raises UsageError: when the TOML is not a benchmark; says where.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in names():
            raise UnknownName("benchmark", str(name), names(), "Type `kemb benchmarks` for all.")
        path = FOLDER / f"{name}.toml"
    try:
        return Benchmark.model_validate(tomllib.loads(disk.read_text(path)))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a benchmark: {error}.") from error
    except ValidationError as error:
        where = "; ".join(
            ": ".join(
                filter(None, [".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")])
            )
            for e in error.errors()
        )
        raise UsageError(f"{path} is not a benchmark: {where}.") from error
