"""Does a recorded result still come out? By running it again, or by computing it again from its
items.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.encoding.plan import prompts_of
from kemb.encoding.store import Store
from kemb.encoding.views import viewed
from kemb.errors import DataError, ModelError, ResultError, UsageError
from kemb.evaluation.evaluate import Reporter, RunOptions, Task, evaluate
from kemb.files import disk
from kemb.models import catalogue
from kemb.models.families import LOADERS
from kemb.models.model import Model, ModelOptions
from kemb.models.prompts import Layer, PromptTable
from kemb.models.recognise import NONE
from kemb.models.resolve import resolve
from kemb.models.spec import Pooling, View
from kemb.results import files
from kemb.results.files import TaskResult
from kemb.scoring.items import metrics_from_items, of_metric, of_part
from kemb.tasks.kinds import KINDS, kind_of
from kemb.types import PairData, Part, PartData, RetrievalData, TaskData

SAME = 1e-6
"""What other batch shapes may change (docs/architecture.md, "Groups and batches")."""
TOLERANCE = 5e-4
SEED = 42
_FEWEST = 10
"""Items of the smallest sample."""

Status = Literal["OK", "OK within tolerance", "DIFFERS"]
_Values = Mapping[str, tuple[DoubleArray, DoubleArray]]
"""By metric: recorded and now [n]."""


@dataclass(frozen=True, slots=True)
class Check:
    """One cell, a (split, subset) of a task: recorded and now."""

    task: str
    split: str
    subset: str
    status: Status
    metric: str
    """The metric that moved most, or the main metric where none moved."""
    recorded: float
    now: float
    n_values: int
    """Compared numbers: metrics, or in a sample the values of its items."""
    n_moved: int
    """Of those, the ones that are further apart than 1e-6."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The checks of one result."""

    result: TaskResult
    checks: list[Check]
    notes: list[str] = field(default_factory=list)
    """How much was run again, and what is other now than at the time of the record: libraries,
    hardware, prompts.
    """

    @property
    def differs(self) -> bool:
        return any(check.status == "DIFFERS" for check in self.checks)


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How to run again, and how exact to be."""

    model: str = ""
    """Where the model is now; by default the recorded name and revision."""
    device: str = "auto"
    trust_remote_code: bool = False
    fraction: float = 1.0
    """Of queries or pairs; below 1 the values of single items are compared instead of the scores.
    """
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise UsageError(
                f"A sample of {self.fraction} is none; expected more than 0 and at most 1, such as "
                "0.1."
            )
        if not 0 <= self.tolerance < 1:
            raise UsageError(
                f"A tolerance of {self.tolerance} is none; expected a score such as {TOLERANCE}."
            )


def verify_items(result: TaskResult, tolerance: float = TOLERANCE) -> Verification:
    """Compute the scores of a result again from its items, without model and data.

    :raises UsageError: a result that kemb did not measure.
    :raises ResultError: the items are missing, were changed, or do not determine the main score.
    """
    refuse_unmeasured(result)
    record, items = result.record, files.read_items(result)
    main = record.task.main_metric
    checks = []
    for split, entry in _entries(result):
        subset = entry["hf_subset"]
        now = metrics_from_items(of_part(items, split, subset), record.task.type)
        # `similarity_ap`, `spearman`, ... are those of the similarity that the model declares.
        kind = record.model.similarity
        aliases = {f"{kind}_{name}": name for name in ("pearson", "spearman")}
        aliases |= {
            f"{kind}_{name}": f"similarity_{name}"
            for name in ("ap", "accuracy", "f1", "precision", "recall")
        }
        now |= {aliases[name]: value for name, value in now.items() if name in aliases}
        if main not in now and main != "mean_correlation":
            raise ResultError(
                f"{result.path}: the items of {split}/{subset} do not determine the main score "
                f"{main}."
            )
        checks.append(_check(result, (split, subset), main, _scores(entry, now, main), tolerance))
    return Verification(result, checks, ["Computed from the items; nothing was run."])


def verify_result(
    result: TaskResult, task: Task, options: VerifyOptions, reporter: Reporter | None = None
) -> Verification:
    """Run a recorded result again, with an empty store, and compare every cell.

    The model is the recorded one at the recorded revision, with the recorded prompts, dtype, max
    tokens and pooling. A sample (`fraction`) takes some queries, against all documents or
    candidates, or some pairs; the other task types have no score of a part of their items and are
    run whole.

    :raises UsageError: a result that kemb did not measure, or a model that must be named.
    :raises ModelError: the model is not the recorded one any more.
    :raises DataError: the data are not the recorded ones any more.
    :raises ResultError: the run failed; the message says why.
    """
    refuse_unmeasured(result)
    model = recorded_model(result, options)
    data = task.load()
    _refuse_other_data(result, data)
    sampled = options.fraction < 1 and KINDS[task.spec.type].can_be_sampled
    if sampled:
        data = replace(
            data, parts=[_sample(result.task, part, options.fraction) for part in data.parts]
        )
    main = result.record.task.main_metric
    with disk.scratch_folder() as scratch:
        again = _run(
            _with_recorded_prompts(model, result),
            Task(task.spec, lambda: data),
            scratch,
            reporter,
        )
        now = {(split, entry["hf_subset"]): entry for split, entry in _entries(again)}
        items = (files.read_items(result), files.read_items(again)) if sampled else None
    checks = []
    for split, entry in _entries(result):
        where = (split, entry["hf_subset"])
        values = (
            _items(items, where, _item_metric(result))
            if items
            else _scores(entry, now[where], main)
        )
        checks.append(_check(result, where, main, values, options.tolerance))
    return Verification(result, checks, _notes(result, again, model, task, options, data))


def refuse_unmeasured(result: TaskResult) -> None:
    """Only what kemb measured can be run again.

    :raises UsageError: in one sentence.
    """
    if result.claim is not None or result.kemb is None:
        raise UsageError(
            f"{result.path} was not made by kemb: it does not say how it came about and cannot be "
            f"verified. Measure it with: kemb run {result.task} -m {result.model}"
        )


def recorded_model(result: TaskResult, options: VerifyOptions) -> Model:
    """The model of a result, as it was configured then.

    :raises UsageError: a local model whose folder must be named.
    :raises ModelError: what is there now has another revision.
    """
    record = result.record
    recorded = record.model
    name, revision = recorded.name, recorded.revision
    spec = catalogue.load_spec(name)
    if record.parts or name.startswith("run/"):
        if not options.model and ("run/" in name or "local/" in name):
            raise UsageError(
                f"{name} was made of local files; say what it is now, as after -m: --model "
                "EXPRESSION."
            )
        settings = ModelOptions(device=options.device, trust_remote_code=options.trust_remote_code)
        model = resolve(options.model or name, settings, [result.task])
    elif spec is not None and LOADERS[spec.loader].is_built_in:
        model = resolve(options.model or name)
    elif record.api is not None:
        asks_elsewhere = recorded.variant.startswith("loader_api")
        base = os.environ.get("KEMB_API_BASE", "") if asks_elsewhere else ""
        model = resolve(options.model or f"api:{name}", ModelOptions(api_base=base), [result.task])
    else:
        if name.startswith("local/") and not options.model:
            raise UsageError(f"{name} was a local model; say where it is now: --model DIR.")
        backend = recorded.backend
        settings = ModelOptions(
            device=options.device,
            dtype=None if backend else recorded.dtype,
            max_tokens=recorded.max_tokens,
            # Of a folder that declares another one than can be asked for, it is compared with that.
            pooling=cast("Pooling | None", recorded.pooling),
            trust_remote_code=options.trust_remote_code,
            known_as=(recorded.known_as or NONE) if Path(options.model).is_dir() else None,
            backend=backend.runtime if backend else None,
            backend_file=backend.file if backend else "",
        )
        model = resolve(options.model or f"{name}@{revision}", settings, [result.task])
        if backend and model.backend and model.backend.sha256 != backend.sha256:
            raise ModelError(
                f"{result.path} was computed by {backend.file} with sha256 "
                f"{backend.sha256[:12]}; the file of that name is now another one "
                f"({model.backend.sha256[:12]}). Measure the new one "
                "with `kemb run`."
            )
    if record.view is not None:
        view = record.view
        model = viewed(model, View(view.dims, view.level, view.candidates, view.similarity))
    if model.revision != revision:
        raise ModelError(
            f"{result.path} is of {name} at revision {revision}; {options.model or name} is now at "
            f"{model.revision}, which is another model. Give the recorded one with --model, or "
            "measure the new one with `kemb run`."
        )
    return model


def _with_recorded_prompts(model: Model, result: TaskResult) -> Model:
    keys = {
        role: result.task if role == "text" else f"{result.task}-{role}"
        for role in result.record.prompts
    }
    recorded = result.record.prompts.items()
    prompts = {keys[role]: prompt.prompt for role, prompt in recorded}
    routes = {keys[role]: prompt.route for role, prompt in recorded}
    return replace(
        model, prompts=PromptTable((Layer("file", prompts, routes),), model.prompts.warnings)
    )


def _refuse_other_data(result: TaskResult, data: TaskData) -> None:
    recorded = result.record.task.data_sha256
    now = {f"{part.split}/{part.subset}": part.sha256 for part in data.parts}
    if other := sorted(part for part in {*recorded, *now} if recorded.get(part) != now.get(part)):
        raise DataError(
            f"The data of {result.task} are not the recorded ones any more ({', '.join(other)}): "
            f"revision {result.dataset_revision} then, {data.revision} now. Give the data of then "
            "with --data DIR, or as the "
            "folder of the task."
        )


def _run(model: Model, task: Task, scratch: Path, reporter: Reporter | None) -> TaskResult:
    options = RunOptions(scratch / "results", Store(scratch / "store"), command="kemb verify")
    (outcome,) = evaluate([task], [model], options, reporter)
    if outcome.result is None:
        raise ResultError(
            f"{task.spec.name} could not be run again: {outcome.message or outcome.status}"
        )
    return outcome.result


def _sample(task: str, part: Part, fraction: float) -> Part:
    """A part with some of its queries or pairs, chosen by task and part alone."""
    data = part.data
    assert isinstance(data, RetrievalData | PairData)
    n = len(data.query_ids) if isinstance(data, RetrievalData) else len(data.item_ids)
    key = np.frombuffer(f"{task}\0{part.split}\0{part.subset}".encode(), dtype=np.uint8)
    order = np.random.default_rng([SEED, *key.tolist()]).permutation(n)
    rows = order[: max(round(fraction * n), min(n, _FEWEST))]
    if isinstance(data, PairData):  # a correlation, or a precision, needs different gold values
        rows = np.append(rows, [np.argmin(data.gold), np.argmax(data.gold)])
    return replace(part, data=_take(data, np.unique(rows)))


def _take(data: PartData, rows: IntArray) -> PartData:
    row_numbers = rows.tolist()
    match data:
        case RetrievalData():
            ids = [data.query_ids[row] for row in row_numbers]
            judged = {query: data.qrels[query] for query in ids}
            return replace(
                data,
                query_ids=ids,
                queries=[data.queries[row] for row in row_numbers],
                qrels=judged,
            )
        case PairData():
            ids, first, second = (
                [column[row] for row in row_numbers]
                for column in (data.item_ids, data.sentence1, data.sentence2)
            )
            return PairData(ids, first, second, data.gold[rows])
        case _:
            raise AssertionError(type(data))


def _entries(result: TaskResult) -> list[tuple[str, dict[str, Any]]]:
    return [(split, entry) for split, entries in result.scores.items() for entry in entries]


def _scores(recorded: Mapping[str, Any], now: Mapping[str, Any], main: str) -> _Values:
    """The metrics that both have; `main_score`, which boards read, where it does not repeat the
    main metric.
    """
    values = {
        name: (np.array([value]), np.array([now[name]]))
        for name, value in recorded.items()
        if name != "main_score" and isinstance(value, int | float) and name in now
    }
    if recorded["main_score"] != recorded.get(main):
        values["main_score"] = (
            np.array([recorded["main_score"]]),
            np.array([now.get(main, recorded.get(main))]),
        )
    return values


def _item_metric(result: TaskResult) -> str:
    record = result.record
    is_ranking = kind_of(record.task.type).is_ranking
    return record.task.main_metric if is_ranking else record.model.similarity


def _items(items: tuple[Any, Any], where: tuple[str, str], metric: str) -> _Values:
    """Values of the items that were run again, and those recorded for them."""
    then, now = (of_metric(of_part(table, *where), metric) for table in items)
    recorded = dict(zip(then["item_id"].to_pylist(), then["value"].to_pylist(), strict=True))
    ids = now["item_id"].to_pylist()
    missing = next((item_id for item_id in ids if item_id not in recorded), None)
    if missing is not None:
        raise ResultError(
            f"The recorded items of {'/'.join(where)} lack {missing!r}; run the task again."
        )
    return {metric: (np.array([recorded[item_id] for item_id in ids]), now["value"].to_numpy())}


def _check(
    result: TaskResult, where: tuple[str, str], main: str, values: _Values, tolerance: float
) -> Check:
    """OK where no value moved; within tolerance where the mean movement of every metric is.

    Movement is relative for values above 1 (dot products).
    """
    moved = {
        name: np.abs(now - then) / np.maximum(1, np.abs(then))
        for name, (then, now) in values.items()
    }
    moved = {name: np.nan_to_num(movement, nan=np.inf) for name, movement in moved.items()}
    worst = max(moved, key=lambda name: (float(moved[name].mean()), name == main))
    n_moved = sum(int(np.sum(movement > SAME)) for movement in moved.values())
    n_values = sum(movement.size for movement in moved.values())
    status: Status = "OK" if not n_moved else "OK within tolerance"
    if moved[worst].mean() > tolerance:
        status = "DIFFERS"
    then, now = (float(numbers.mean()) for numbers in values[worst])
    return Check(result.task, *where, status, worst, then, now, n_values, n_moved)


def _notes(
    result: TaskResult,
    again: TaskResult,
    model: Model,
    task: Task,
    options: VerifyOptions,
    data: TaskData,
) -> list[str]:
    then, now = result.record, again.record
    notes = []
    if options.fraction < 1:
        n_queries = sum(
            len(part.data.query_ids) for part in data.parts if isinstance(part.data, RetrievalData)
        )
        n_pairs = sum(
            len(part.data.item_ids) for part in data.parts if isinstance(part.data, PairData)
        )
        ran = (
            f"on a sample: {n_queries} queries, all documents"
            if n_queries
            else f"on a sample: {n_pairs} pairs"
        )
        whole = f"whole: an item of {task.spec.type} has no score of its own"
        notes.append(f"{result.task} was run {ran if n_queries or n_pairs else whole}.")
    notes += _changes(then.versions, now.versions)
    notes += _changes(
        then.hardware.as_json() if then.hardware else {},
        now.hardware.as_json() if now.hardware else {},
    )
    if then.task.metric_version != now.task.metric_version:
        notes.append(
            f"metric version: {then.task.metric_version} then, {now.task.metric_version} now."
        )
    if "prompts" not in then.model.variant:
        for role, declared in prompts_of(model, task.spec).items():
            recorded = then.prompts.get(role)
            prompt = recorded.prompt if recorded else None
            if prompt != declared.prompt:
                notes.append(
                    f"prompt of {role}: {prompt!r} then (used here), {declared.prompt!r} declared "
                    "now."
                )
    return notes


def _changes(then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [
        f"{name}: {then.get(name, 'not recorded')} then, {now.get(name, 'not there')} now."
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name)
    ]
