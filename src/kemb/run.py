"""tasks x models -> results: the main flow.

For each model: what is not on disk yet is collected over all tasks, encoded once, and scored task by task; each
score is written as soon as it is there. A task or a model that fails does not take the others with it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from kemb import provenance, results, score
from kemb.encode import Budget, Collection, Progress, Texts, encode_missing
from kemb.errors import KembError, ResultError, RunError, StoreError, UsageError
from kemb.models.prompts import Resolved, resolve
from kemb.models.resolve import Model
from kemb.results import ScoredPart, TaskResult
from kemb.score.summarization import summary_ids
from kemb.store import Space, Store
from kemb.tasks.spec import TaskSpec
from kemb.types import (
    ArrayVectors,
    BitextData,
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    Part,
    PartData,
    PartScore,
    RetrievalData,
    Role,
    SummaryData,
    TaskData,
    TaskType,
    Vectors,
    columns,
)

RANKINGS: tuple[TaskType, ...] = ("retrieval", "reranking")
RUN_DEPTH = 1000
"""Documents per query in a run, as in mteb."""

Status = Literal["scored", "kept", "not applicable", "failed"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task with the way to load its data; loading is put off until a result is wanted."""

    spec: TaskSpec
    load: Callable[[], TaskData]


def load_task(target: str | Path, data_dir: Path | None = None) -> Task:
    """A task by name or by its TOML file, or a folder or file of one's own data.

    :param data_dir: local copies of hub data sets, asked before the hub.
    :raises UnknownName: with the nearest known names; UsageError for a path that leads nowhere.
    :raises DataError: when the folder cannot be understood (checked at once; named tasks load when they run).
    """
    from kemb import tasks

    if str(target).endswith(".toml") and Path(target).is_file():
        from kemb.tasks.load import load

        own = tasks.read_spec(Path(target))
        return Task(own, lambda: load(own, data_dir))
    if Path(target).exists() and str(target) not in tasks.names():
        from kemb.tasks.folder import load_folder

        spec, data = load_folder(Path(target))
        return Task(spec, lambda: data)
    from kemb.tasks.load import load

    if os.sep in str(target) or str(target).startswith("."):
        raise UsageError(f"There is no file or folder {target}. Type the path of your data, or a name of `kemb tasks`.")
    spec = tasks.load_spec(str(target))
    return Task(spec, lambda: load(spec, data_dir))


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where things lie, and what to do about what is there already."""

    results_dir: Path
    store: Store
    rescore: bool = False
    """Score again from stored vectors; encode nothing."""
    overwrite: bool = False
    """Score again even where a comparable result exists."""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cell."""

    row: str
    task: str
    status: Status
    result: TaskResult | None = None
    message: str = ""


class Reporter(Protocol):
    """Hears what a run is doing; the command line shows it, the library may ignore it."""

    def loading(self, task: str) -> None: ...

    def encoding(self, row: str, progress: Progress) -> None: ...

    def scoring(self, row: str, task: str) -> None: ...

    def done(self, outcome: Outcome) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def loading(self, task: str) -> None: ...

    def encoding(self, row: str, progress: Progress) -> None: ...

    def scoring(self, row: str, task: str) -> None: ...

    def done(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A task whose data is there."""

    spec: TaskSpec
    data: TaskData


def evaluate(
    tasks: Sequence[Task], models: Sequence[Model], options: RunOptions, reporter: Reporter | None = None
) -> list[Outcome]:
    """Evaluate every model on every task; one outcome per cell, models outermost.

    Failures of single tasks and models are outcomes, not exceptions; a store or results folder that cannot be
    written ends the run.

    :raises StoreError: when the store cannot be written.
    :raises ResultError: when the results cannot be written.
    """
    reporter = reporter or Silent()
    loaded: list[_Loaded] = []
    broken: dict[str, str] = {}
    for task in tasks:
        reporter.loading(task.spec.name)
        try:
            loaded.append(_Loaded(task.spec, task.load()))
        except KembError as error:
            broken[task.spec.name] = str(error)
    outcomes: list[Outcome] = []
    for model in models:
        failed = [Outcome(model.row, name, "failed", message=message) for name, message in broken.items()]
        of_model = _OfModel(model, options, reporter, [])
        for outcome in failed:
            of_model.done(outcome)
        of_model.run(loaded)
        outcomes += of_model.outcomes
    return outcomes


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The vectors of all texts that a model needs, and where each column lies."""

    space: Space
    progress: Progress
    columns: dict[tuple[str, str, str, str], Texts]
    """By task, split, subset and column."""

    def vectors(self, spec: TaskSpec, part: Part) -> dict[str, Vectors]:
        """Vectors of a part by column; documents stay on disk and are read in blocks, the rest is read now."""
        found: dict[str, Vectors] = {}
        for name, column in columns(part.data).items():
            stored = self.space.vectors(self.columns[spec.name, part.split, part.subset, name].keys)
            found[name] = stored if column.role == "document" else ArrayVectors(stored.block(0, len(column.texts)))
        return found


@dataclass(frozen=True, slots=True)
class _OfModel:
    """The work of one model."""

    model: Model
    options: RunOptions
    reporter: Reporter
    outcomes: list[Outcome]

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.reporter.done(outcome)

    @property
    def folder(self) -> Path:
        return results.result_dir(self.options.results_dir, self.model.name, self.model.revision, self.model.variant)

    def run(self, tasks: Sequence[_Loaded]) -> None:
        """Do what is not done."""
        todo = [task for task in tasks if not self._settled(task)]
        if not todo:
            return
        results.write_meta(self.folder, provenance.mteb_meta(self.model))
        encoded = None
        if not self.model.is_lexical:
            try:
                encoded = self._encode(todo)
            except StoreError:
                raise
            except KembError as error:
                for task in todo:
                    self.done(Outcome(self.model.row, task.spec.name, "failed", message=str(error)))
                return
        for task in todo:
            self._attempt(task, encoded)

    def _settled(self, task: _Loaded) -> bool:
        """Whether the cell needs no work: it does not apply, or a complete and comparable result is there."""
        model, spec = self.model, task.spec
        if spec.type in model.spec.not_for or (model.is_lexical and spec.type not in RANKINGS):
            self.done(Outcome(model.row, spec.name, "not applicable"))
            return True
        path = self.folder / f"{spec.name}.json"
        if not path.is_file() or self.options.overwrite or self.options.rescore:
            return False
        try:
            result = results.read_result(path)
        except ResultError:
            return False  # damaged: made again
        if not result.kemb:
            message = f"{path} was not made by kemb and would be overwritten. Name another folder with --results DIR."
            self.done(Outcome(model.row, spec.name, "failed", message=message))
            return True
        if not self._is_current(result, task):
            return False
        self.done(Outcome(model.row, spec.name, "kept", result))
        return True

    def _is_current(self, result: TaskResult, task: _Loaded) -> bool:
        """Whether a result stands for the same data, metric and profile (DESIGN 3.10), with its items."""
        wanted = provenance.cell(task.spec, task.data, self._prompts(task), self.model)
        parts = [(part.split, part.subset) for part in task.data.parts]
        same = all(result.kemb.get(key) == value for key, value in wanted.items())
        return same and result.has_parts(parts) and results.has_items(result)

    def _prompts(self, task: _Loaded) -> dict[Role, Resolved]:
        spec = task.spec
        roles: list[Role] = ["query", "document"] if spec.type in RANKINGS else ["text"]
        return {role: resolve(self.model.prompts, spec.name, spec.type, spec.instruction, role) for role in roles}

    def _encode(self, todo: Sequence[_Loaded]) -> _Encoded:
        """Bring all texts of the tasks into the store."""
        model, store = self.model, self.options.store
        texts: dict[tuple[str, str, str, str], Texts] = {}
        for task in todo:
            prompts = self._prompts(task)
            for part in task.data.parts:
                for name, column in columns(part.data).items():
                    found = prompts[column.role]
                    where = _Where(task.spec.name, part, name)
                    key = (task.spec.name, part.split, part.subset, name)
                    texts[key] = Texts.of(found.route, found.prompt, column.texts, where)
        collection = Collection(list(texts.values()))
        space = store.space(model.fingerprint())
        if self.options.rescore:
            space = self._recorded_space(todo) or space
            return _Encoded(space, Progress(collection.n_texts, len(collection), len(collection)), texts)
        progress = encode_missing(
            collection,
            space,
            model.open,
            Budget.for_device(model.device),
            lambda progress: self.reporter.encoding(model.row, progress),
        )
        return _Encoded(space, progress, texts)

    def _recorded_space(self, todo: Sequence[_Loaded]) -> Space | None:
        """The space that an earlier result was scored from; its libraries may not be the ones installed now."""
        for task in todo:
            path = self.folder / f"{task.spec.name}.json"
            if not path.is_file():
                continue
            with contextlib.suppress(ResultError):  # a damaged record names no space; it is made again
                identifier = results.read_result(path).kemb.get("fingerprint_id", "")
                if space := self.options.store.find(identifier):
                    return space
        return None

    def _attempt(self, task: _Loaded, encoded: _Encoded | None) -> None:
        """Score and write one task; what goes wrong becomes its outcome."""
        self.reporter.scoring(self.model.row, task.spec.name)
        started = time.perf_counter()
        try:
            parts = [self._scored(task.spec, part, encoded) for part in task.data.parts]
            space, progress = (encoded.space, encoded.progress) if encoded else (None, None)
            seconds = time.perf_counter() - started
            record = provenance.cell(task.spec, task.data, self._prompts(task), self.model)
            record |= provenance.circumstances(self.model, space, progress, seconds, self.options.command)
            path = results.write_result(self.folder, task.spec.name, task.data.revision, parts, record)
            self.done(Outcome(self.model.row, task.spec.name, "scored", results.read_result(path)))
        except (RunError, ValueError) as error:
            if isinstance(error, ResultError) and "cannot be written" in str(error):
                raise
            self.done(Outcome(self.model.row, task.spec.name, "failed", message=f"{task.spec.name}: {error}"))

    def _scored(self, spec: TaskSpec, part: Part, encoded: _Encoded | None) -> ScoredPart:
        if encoded is None:
            from kemb.models.lexical import search

            assert isinstance(part.data, RetrievalData)
            analyser = self.model.name.partition(":")[2]
            value: PartScore = score.score_run(spec, part.data, search(analyser, part.data, RUN_DEPTH))
        else:
            value = score.score(spec, part.data, encoded.vectors(spec, part), similarity=self.model.similarity)
        languages = spec.subset_languages.get(part.subset, spec.languages)
        return ScoredPart(part.split, part.subset, languages, value, spec.main_metric)


@dataclass(frozen=True, slots=True)
class _Where:
    """Names the origin of a text, for messages."""

    task: str
    part: Part
    column: str

    def __call__(self, row: int) -> str:
        ids = _ids(self.part.data, self.column)
        item = ids[row] if ids is not None else f"row {row}"
        return f"{self.task} ({self.part.subset}, {self.part.split}), {self.column}, id {item}"


def _ids(data: PartData, column: str) -> list[str] | None:
    match data:
        case RetrievalData():
            return data.doc_ids if column == "documents" else data.query_ids
        case LabelData() | MultilabelData():
            return data.item_ids if column == "texts" else None
        case SummaryData():
            return summary_ids(data, column)
        case PairData() | ClusterData() | BitextData():
            return data.item_ids
