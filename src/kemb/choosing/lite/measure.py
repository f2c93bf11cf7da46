"""A lite version of a task: pool, folder, and every reference row on both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from kemb.arrays import DoubleArray
from kemb.choosing.lite.draw import (
    Recipe,
    lite_of,
    lite_part,
    lite_spec,
    part_of,
    retrieval_of,
    write_lite,
)
from kemb.choosing.lite.worth import Reference, Worth, share_inside, worth
from kemb.choosing.questions import questions_of
from kemb.choosing.sub_corpus import pooled, right_documents
from kemb.drafting.pools import ranking_of_result
from kemb.errors import RunError, UsageError
from kemb.evaluation.evaluate import Reporter, RunOptions, Task, evaluate
from kemb.files import disk
from kemb.messages import Text, note
from kemb.models.model import Model
from kemb.results.files import TaskResult, has_items, read_results
from kemb.scoring.dependence import cluster_codes, question_clusters
from kemb.scoring.judged import scores_of
from kemb.statistics import Key
from kemb.tasks.spec import TaskSpec
from kemb.types import Part, TaskData

REPORT = "lite-report.json"
_HINT = "Free space, or name another folder with -o DIR."
Hear = Callable[[Text], object]


@dataclass(frozen=True, slots=True)
class LiteSettings:
    """What is drawn, by whom, and who is measured on it."""

    pool: Sequence[Model]
    """Unlike and cheap: lexical, static and dense ones."""
    references: Sequence[Model] = ()
    """Rows outside of the pool, run on the full task and on the lite version."""
    with_stored: bool = False
    """Whether rows that have a result of the full task are references, too."""
    recipe: Recipe = field(default_factory=Recipe)
    split: str = ""
    subset: str = ""


@dataclass(frozen=True, slots=True)
class LiteVersion:
    """A lite version, and what it is worth."""

    folder: Path
    spec: TaskSpec
    n_questions: int
    references: list[Reference]
    """Members of the pool first."""
    worth: Worth
    n_short: int
    """Questions of derived rankings of which less than ten documents are left."""
    has_lost_groups: bool

    def as_json(self) -> dict[str, object]:
        """As `lite-report.json` has it; numbers that cannot be told are null."""
        verdict, lite = self.worth, self.spec.lite
        assert lite is not None
        return {
            "task": self.spec.name,
            "drawn": lite.model_dump(exclude={"shares"}),
            "n_questions": self.n_questions,
            "metric": self.spec.main_metric,
            "rows": [
                {
                    "row": one.row,
                    "is_pooled": one.is_pooled,
                    "is_derived": one.is_derived,
                    "full": float(one.full.mean()),
                    "lite": float(one.lite.mean()),
                    "share": one.share,
                    "is_marked": one.is_marked,
                    "without_it_in_the_pool": float(one.outside.mean()),
                    "share_without_it_in_the_pool": one.outside_share,
                }
                for one in self.references
            ],
            "n_short": self.n_short,
            "order": {
                "n_rows": verdict.n_rows,
                "tau": _finite(verdict.tau),
                "interval": [_finite(verdict.low), _finite(verdict.high)],
                "n_apart": verdict.n_apart,
                "turned": [
                    {
                        "better": pair.better,
                        "worse": pair.worse,
                        "full": pair.full,
                        "lite": pair.lite,
                        "p": pair.p,
                    }
                    for pair in verdict.turned
                ],
            },
        }


def make(
    task: Task,
    out: Path,
    settings: LiteSettings,
    run: RunOptions,
    hear: Hear = lambda text: None,
    reporter: Reporter | None = None,
) -> LiteVersion:
    """Draw a lite version of a task and write it to a folder, whole or not at all.

    Results of the full task and of the lite version are kept in the folder of results, as those of
    `kemb run`.

    :param hear: hears what is done.
    :raises UsageError: the folder is there, or the task has no lite version.
    :raises RunError: a row failed.
    :raises DiskError: what cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} is there already. Name a new folder with -o DIR.")
    if not settings.pool:
        raise UsageError("A pool without members draws at random. Name some with --pool MODEL.")
    data = task.load()
    part = part_of(task.spec, data, settings.split, settings.subset)
    n_documents = settings.recipe.size(len(retrieval_of(part).doc_ids))
    measured = replace(data, parts=[part])
    models = _each_once([*settings.pool, *settings.references])
    hear(note("lite.measuring", task=task.spec.name, n=len(models)))
    results = run_all(Task(task.spec, lambda: measured), models, run, reporter)
    full = {_name(model): result for model, result in zip(models, results, strict=True)}
    n_run = len(full)
    if settings.with_stored:
        full |= _stored(task.spec, part, run, full)
        hear(note("lite.stored", n=len(full) - n_run))
    drawing = _Drawing(task.spec, measured, full, [_name(m) for m in settings.pool], settings)
    with (
        disk.writing(f"{out} cannot be written", _HINT),
        disk.replacing_folder(out) as unfinished,
    ):
        spec, lite_data = drawing.write(unfinished, n_documents)
        references, n_short = drawing.references(spec, lite_data, models, run, reporter)
        retrieval = retrieval_of(part)
        clusters = cluster_codes(question_clusters(retrieval.qrels, retrieval.query_ids))
        key: Key = [settings.recipe.seed, "lite", task.spec.name]
        version = LiteVersion(
            out,
            spec,
            len(retrieval.query_ids),
            references,
            worth(references, clusters, key),
            n_short,
            retrieval.groups is not None,
        )
        (unfinished / REPORT).write_text(disk.json_text(version.as_json()), encoding="utf-8")
    return version


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The full task, measured."""

    spec: TaskSpec
    data: TaskData
    """One part."""
    full: dict[str, TaskResult]
    """By `<row>@<revision>`, results of the full task."""
    members: list[str]
    settings: LiteSettings

    @property
    def part(self) -> Part:
        return self.data.parts[0]

    def pool_without(self, row: str = "") -> set[str]:
        """Documents that the pool finds, without one of its members."""
        makers = [self.full[member] for member in self.members if member != row]
        return pooled(makers, self.part, self.settings.recipe.depth)

    def write(self, folder: Path, n_documents: int) -> tuple[TaskSpec, TaskData]:
        """Draw and write the task."""
        recipe, pool = self.settings.recipe, self.pool_without()
        smaller = lite_part(self.part, pool, n_documents, recipe.seed)
        full = retrieval_of(self.part)
        n_full, n_judged = len(full.doc_ids), len(right_documents(full))
        if len(retrieval_of(smaller).doc_ids) == n_full:
            raise UsageError(
                f"{self.spec.name} has no lite version by this pool: its {n_judged:,} judged "
                f"documents and the first {recipe.depth} of {len(self.members)} retrievers are "
                f"all of its {n_full:,} documents. Pool fewer with --depth."
            )
        lite = lite_of(self.data, self.part, smaller, pool, self.members, recipe)
        documents = set(retrieval_of(smaller).doc_ids)
        shares = {
            row: share_inside(self._ranking(result), documents) for row, result in self.full.items()
        }
        lite = lite.model_copy(update={"shares": shares})
        return write_lite(folder, lite_spec(self.spec, self.part, lite), smaller)

    def references(
        self,
        spec: TaskSpec,
        data: TaskData,
        models: Sequence[Model],
        run: RunOptions,
        reporter: Reporter | None,
    ) -> tuple[list[Reference], int]:
        """Every row on both, and how many questions of derived rankings are short.

        :param spec: the lite version's, with its `data`.
        """
        lite_results = run_all(Task(spec, lambda: data), models, run, reporter)
        references = [
            self._run(model, result, spec, data, run)
            for model, result in zip(models, lite_results, strict=True)
        ]
        measured_rows = {_name(model) for model in models}
        n_short = 0
        for row, result in self.full.items():
            if row not in measured_rows:
                reference, n_short_of_row = self._derived(row, result, data)
                references.append(reference)
                n_short += n_short_of_row
        references.sort(key=lambda one: (not one.is_pooled, -float(one.full.mean())))
        return references, n_short

    def _run(
        self, model: Model, result: TaskResult, spec: TaskSpec, data: TaskData, run: RunOptions
    ) -> Reference:
        """A row that was run on the lite version, and of a member of the pool on that without
        it.
        """
        row, is_pooled = _name(model), _name(model) in self.members
        documents = retrieval_of(data.parts[0]).doc_ids
        ranking = self._ranking(self.full[row])
        share = outside_share = share_inside(ranking, set(documents))
        lite = outside = values_of(result, data)
        if is_pooled:
            seed = self.settings.recipe.seed
            others = lite_part(self.part, self.pool_without(row), len(documents), seed)
            outside_share = share_inside(ranking, set(retrieval_of(others).doc_ids))
            outside_data = replace(data, parts=[replace(others, subset=data.parts[0].subset)])
            with disk.scratch_folder() as scratch:
                elsewhere = replace(run, results_dir=scratch)
                (outside_result,) = run_all(Task(spec, lambda: outside_data), [model], elsewhere)
                outside = values_of(outside_result, outside_data)
        full = values_of(self.full[row], self.data)
        return Reference(row, is_pooled, False, share, outside_share, full, lite, outside)

    def _derived(self, row: str, result: TaskResult, data: TaskData) -> tuple[Reference, int]:
        """A stored row: its ranking without the documents that are not in the lite version."""
        lite_data = retrieval_of(data.parts[0])
        documents, ranking = set(lite_data.doc_ids), self._ranking(result)
        smaller = {
            query: [document for document in ranked if document in documents]
            for query, ranked in ranking.items()
        }
        n_short = sum(
            len(ranked) < 10 and len(ranking[query]) >= 10 for query, ranked in smaller.items()
        )
        of_query = scores_of(smaller, lite_data.qrels, self.spec.main_metric)
        lite = np.array([of_query[query] for query in lite_data.query_ids])
        share = share_inside(ranking, documents)
        full = values_of(result, self.data)
        return Reference(row, False, True, share, share, full, lite, lite), n_short

    def _ranking(self, result: TaskResult) -> dict[str, list[str]]:
        return ranking_of_result(result, (self.part.split, self.part.subset))


def run_all(
    task: Task, models: Sequence[Model], run: RunOptions, reporter: Reporter | None = None
) -> list[TaskResult]:
    """The results of some models.

    :raises RunError: one of them failed.
    """
    results = []
    for outcome in evaluate([task], models, run, reporter):
        if outcome.result is None:
            raise RunError(f"{outcome.row} has no score on {task.spec.name}: {outcome.message}")
        results.append(outcome.result)
    return results


def values_of(result: TaskResult, data: TaskData) -> DoubleArray:
    """The main metric of every question [n], in the order of the data's questions.

    :param data: of one part.
    :raises UsageError: the metric is no mean over questions.
    """
    questions = questions_of([result], data)
    values = questions.values()
    if values is None:
        raise UsageError(
            f"The main metric {questions.metric} of {data.task} is no mean over questions, so "
            "that nothing can be said of a lite version."
        )
    of_query = dict(zip(questions.parts[0].item_ids, values[0].tolist(), strict=True))
    return np.array([of_query[query] for query in retrieval_of(data.parts[0]).query_ids])


def _stored(
    spec: TaskSpec, part: Part, run: RunOptions, measured: dict[str, TaskResult]
) -> dict[str, TaskResult]:
    """Results of other rows on the same data, with their items."""
    part_name = f"{part.split}/{part.subset}"
    rows = {}
    for result in read_results(run.results_dir) if run.results_dir.is_dir() else []:
        if result.task != spec.name or result.kemb is None or not has_items(result):
            continue
        if result.kemb.task.data_sha256.get(part_name) != part.sha256:
            continue
        variant = f" [{result.variant}]" if result.variant else ""
        row = f"{result.model}{variant}@{result.revision}"
        if row not in measured:
            rows[row] = result
    return rows


def _name(model: Model) -> str:
    return f"{model.row}@{model.revision}"


def _each_once(models: Sequence[Model]) -> list[Model]:
    return list({_name(model): model for model in models}.values())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
