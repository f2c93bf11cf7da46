"""One model, several ways: other prompts, or other forms of what users write. Paired differences
from the first way.

A study is a report. Its verdicts are adjusted for every test in it, and nothing in it picks a
winner for a board: prompt profiles are variant rows, and results on perturbed texts lie in a folder
beside the results (docs/architecture.md, "Declared before the run").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kemb import statistics
from kemb.arrays import DoubleArray
from kemb.boards.benchmark import of_tasks
from kemb.boards.compare import SEED, CompareOptions, Difference, adjusted, compare
from kemb.boards.paired import Pairing, item_values
from kemb.errors import DataError, NotSupported, UsageError
from kemb.evaluation.evaluate import Outcome, Reporter, RunOptions, Task, evaluate
from kemb.models import catalogue
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve
from kemb.results.files import TaskResult
from kemb.results.rows import ResultRow
from kemb.tasks import perturb
from kemb.types import TaskData

PROFILES = ("none", "korean-instruction")
_THIRDS = ("short", "medium", "long")
_FEWEST = 10
"""Items of a slice; with fewer an interval says nothing."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Items of one kind: how well the model does on them, and what changes."""

    title: str
    """Of the task, with its part where there are several."""
    way: str
    name: str
    max_chars: int
    n_items: int
    goodness: float
    """Of the first way; see `kemb.boards.paired.goodness`."""
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Study:
    """What was found; differences are the way minus the first way, as fractions."""

    row: str
    first: str
    """The way that the others are compared with."""
    differences: dict[str, list[Difference]]
    """By way, a line per task."""
    changed: dict[str, dict[str, float]]
    """By way and task, the share of texts that are other; empty for prompts."""
    slices: list[Slice]
    failed: list[str]
    """What could not be run or compared, with the reason."""
    skipped: list[str]
    """What there is nothing to measure of."""
    family: str


def prompt_study(
    name: str,
    tasks: Sequence[Task],
    options: ModelOptions,
    run: RunOptions,
    reporter: Reporter | None = None,
) -> Study:
    """A model with its declared prompts, with none, with a Korean instruction, and with a file
    where one is given.

    Every way but the declared is a variant row among the results.

    :param options: `prompts_file` is one way more.
    :raises UsageError: the model takes no prompts.
    """
    task_names = [task.spec.name for task in tasks]
    declared = resolve(name, replace(options, prompts_file=None), task_names)
    if declared.loader.is_built_in:
        raise UsageError(f"{declared.name} takes no prompts: no study.")
    files = {profile: catalogue.profiles()[profile] for profile in PROFILES}
    if options.prompts_file is not None:
        files[options.prompts_file.stem] = options.prompts_file
    ways = {
        way: resolve(name, replace(options, prompts_file=path), task_names)
        for way, path in files.items()
    }
    if same := [way for way, model in ways.items() if model.row == declared.row]:
        raise UsageError(
            f"{declared.name} takes no prompts (its row with {same[0]!r} is the declared one): no "
            "study."
        )
    outcomes = evaluate(tasks, [declared, *ways.values()], run, reporter)
    rows = {way: _row(model, outcomes) for way, model in {"declared": declared, **ways}.items()}
    return _study(declared.row, "declared", rows, _failures(outcomes))


def robustness(
    model: Model,
    tasks: Sequence[Task],
    names: Sequence[str],
    run: RunOptions,
    reporter: Reporter | None = None,
) -> Study:
    """A model on tasks as they are and with each perturbation of what users write.

    Results on perturbed texts lie in `<results>-perturbed/<perturbation>/`, where no board looks.

    :raises UsageError: the model ranks by a run file.
    """
    if _is_of_files(model):
        raise UsageError(
            f"{model.name} ranks by a run file, which cannot answer changed queries. Leave it out."
        )
    loaded = {task.spec.name: _Once(task) for task in tasks}
    outcomes = evaluate([Task(task.spec, task) for task in loaded.values()], [model], run, reporter)
    rows = {"original": _row(model, outcomes)}
    failed, skipped = _failures(outcomes), []
    scored = [loaded[name] for name in rows["original"].results]
    root = run.results_dir.resolve()
    for name in names:
        other = []
        for task in scored:
            try:
                data = perturb.perturbed(task(), name)
            except (DataError, NotSupported) as error:
                skipped.append(str(error))
                continue
            other.append(Task(task.spec, partial(_perturbed_data, data)))
        folder = root.with_name(f"{root.name}-perturbed") / name
        perturbed_outcomes = evaluate(other, [model], replace(run, results_dir=folder), reporter)
        failed += [f"{name}: {message}" for message in _failures(perturbed_outcomes)]
        rows[name] = _row(model, perturbed_outcomes)
    study = _study(model.row, "original", _as_original(rows), failed)
    changed = {
        way: {task: _share(result) for task, result in rows[way].results.items()}
        for way in study.differences
    }
    originals = {task.spec.name: task() for task in scored}
    slices = [
        part for way in changed for part in _slices(rows["original"], rows[way], way, originals)
    ]
    return replace(study, changed=changed, slices=slices, skipped=skipped)


def _is_of_files(model: Model) -> bool:
    return model.run_file is not None or any(map(_is_of_files, model.parts))


def _perturbed_data(data: TaskData) -> TaskData:
    return data


class _Once:
    """Data of a task, loaded once."""

    def __init__(self, task: Task) -> None:
        self.spec, self._load = task.spec, task.load
        self._data: TaskData | None = None

    def __call__(self) -> TaskData:
        if self._data is None:
            self._data = self._load()
        return self._data


def _row(model: Model, outcomes: Sequence[Outcome]) -> ResultRow:
    results = {o.task: o.result for o in outcomes if o.row == model.row and o.result is not None}
    return ResultRow(model.name, model.revision, model.variant, "", results)


def _failures(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{outcome.row}, {outcome.task}: {outcome.message}"
        for outcome in outcomes
        if outcome.status == "failed"
    ]


def _share(result: TaskResult) -> float:
    """Share of users' texts that the perturbation changed, by the counts in the record."""
    notes = result.record.task.notes.values()
    n_changed, n_texts = (
        sum(note[key] for note in notes) for key in ("n_perturbed", "n_user_texts")
    )
    return n_changed / max(1, n_texts)


def _as_original(rows: Mapping[str, ResultRow]) -> dict[str, ResultRow]:
    """Perturbed results under the hashes of their originals: their items are paired on purpose."""
    first = rows["original"]
    rows_as_original = {"original": first}
    for name, row in rows.items():
        if name == "original":
            continue
        results = {}
        for task, result in row.results.items():
            original = first.results[task]
            hashes = {"data_sha256": original.record.task.data_sha256}
            task_record = result.record.task.model_copy(update=hashes)
            record = result.record.model_copy(update={"task": task_record})
            results[task] = replace(result, kemb=record, dataset_revision=original.dataset_revision)
        rows_as_original[name] = replace(row, variant=f"{row.variant}+{name}", results=results)
    return rows_as_original


def _study(title: str, first: str, rows: Mapping[str, ResultRow], failed: list[str]) -> Study:
    """Every row against the first, all tests one family."""
    base = rows[first]
    if not base.results:
        raise UsageError(
            f"{title} has no result on any of these tasks, so there is nothing to study. "
            f"{' '.join(failed[:1])}"
        )
    differences: list[tuple[str, Difference]] = []
    for way, row in rows.items():
        common = [task for task in base.results if task in row.results]
        if way == first or not common:
            continue
        compared = compare(base, row, of_tasks(common), CompareOptions(n_flips=0))
        differences += [(way, cell) for cell in compared.cells]
        failed += [
            f"{way}: {task} is not compared: {reason}" for task, reason in compared.refused.items()
        ]
    cells = adjusted([cell for _, cell in differences])
    by_way: dict[str, list[Difference]] = {}
    for (way, _), cell in zip(differences, cells, strict=True):
        by_way.setdefault(way, []).append(cell)
    n = sum(cell.p is not None for cell in cells)
    return Study(title, first, by_way, {}, [], failed, [], f"Holm over all {n} tests of this study")


def _slices(
    first: ResultRow, other: ResultRow, way: str, data: Mapping[str, TaskData]
) -> list[Slice]:
    """The items whose text changed, and thirds by the length of the original; the paired difference
    in each.
    """
    slices = []
    for task, result in other.results.items():
        pairing = Pairing((first.results[task], result), [], "main_score")
        for part in data[task].parts:
            judged = item_values(pairing, (part.split, part.subset))
            if judged is None:
                continue
            ids, values = judged
            _, own_ids, texts = perturb.user_texts(part.data)
            title = task if len(data[task].parts) == 1 else f"{task} ({part.subset}, {part.split})"
            text_of = dict(zip(own_ids, texts, strict=True))
            for name, inside in _classes([text_of[item] for item in ids], way).items():
                if int(inside.sum()) >= _FEWEST:
                    longest = max(len(text_of[ids[number]]) for number in np.flatnonzero(inside))
                    slices.append(_slice(title, way, name, longest, values[:, inside]))
    return slices


def _classes(texts: Sequence[str], way: str) -> dict[str, NDArray[np.bool_]]:
    """Which of the texts are in each slice: those that changed, unless all did, and thirds by
    length.
    """
    change = perturb.PERTURBATIONS[way]
    changed = np.array([change(text) != text for text in texts])
    chars = np.array([len(text) for text in texts])
    thirds = np.searchsorted(np.quantile(chars, [1 / 3, 2 / 3]), chars, side="left")
    lengths = {name: thirds == number for number, name in enumerate(_THIRDS)}
    return lengths if changed.all() else {"changed": changed, **lengths}


def _slice(title: str, way: str, name: str, max_chars: int, values: DoubleArray) -> Slice:
    difference = values[1] - values[0]
    n = len(difference)
    counts = statistics.draw_counts(n, statistics.N_REPLICATES, [SEED, title, way, name])
    low, high = statistics.interval(counts @ difference / n)
    return Slice(
        title,
        way,
        name,
        max_chars,
        n,
        float(values[0].mean()),
        float(difference.mean()),
        float(low),
        float(high),
    )
