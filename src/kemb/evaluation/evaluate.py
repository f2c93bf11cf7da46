"""tasks x models -> results: the main flow.

For each model: what is not on disk yet is collected over all tasks, encoded once, and scored task
by task; each score is written as soon as it is there. A task or a model that fails does not take
the others with it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from kemb.adapters import mteb_results
from kemb.encoding.batches import Budget
from kemb.encoding.encode import Progress
from kemb.encoding.executors.opened import Opened
from kemb.encoding.executors.session import Session
from kemb.encoding.plan import (
    Columns,
    Encoded,
    JobOfTasks,
    Load,
    Sources,
    columns_of,
    encode,
    of_other_devices,
    stored,
    together,
)
from kemb.encoding.store import Space, Store
from kemb.errors import (
    DiskError,
    KembError,
    ResultError,
    RunError,
    StoreError,
    UnknownName,
    UsageError,
)
from kemb.evaluation import provenance
from kemb.files import disk
from kemb.messages import Text, note
from kemb.models.model import Model
from kemb.results import files
from kemb.results.files import ScoredPart, TaskResult
from kemb.results.record import OtherSchema, Setting, Unreadable
from kemb.scoring import score, score_run
from kemb.scoring.search.retrieve import check, make_run, unfit
from kemb.scoring.ties import shared_vectors, tied_queries
from kemb.tasks.kinds import KINDS
from kemb.tasks.spec import TaskSpec
from kemb.types import Part, PartScore, RetrievalData, TaskData

MTEB = "mteb:"
"""Before the name of a task or model that mteb is to load."""

Status = Literal["scored", "kept", "not applicable", "failed"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task with the way to load its data; loading is put off until a result is wanted."""

    spec: TaskSpec
    load: Callable[[], TaskData]
    path: str = ""
    """What was typed, of a folder or a file of a user's own."""
    elsewhere: Load | None = None
    """Loads the same data on another machine; None where only this process has them."""


def load_task(
    target: str | Path,
    data_dir: Path | None = None,
    subsets: Sequence[str] = (),
    hear: Callable[[Text], object] = lambda text: None,
) -> Task:
    """A task by name or by its TOML file, `mteb:NAME` for any text task of mteb's, or one's own
    folder or file; `ORG/NAME` that is neither is a data set of the hub, read like a folder.

    :param data_dir: local copies of hub data sets, asked before the hub.
    :param subsets: those of a known task that are wanted, instead of those of its specification.
    :param hear: gets what is fetched of a data set of the hub, before.
    :raises UnknownName: with the nearest known names; UsageError for a path that leads nowhere.
    :raises DataError: when the folder cannot be understood (checked at once; named tasks load when
        they run).
    """
    from kemb import tasks
    from kemb.tasks.own import hub_sets

    if str(target).endswith(".toml") and Path(target).is_file():
        toml_spec = tasks.read_spec(Path(target))
        return _known(toml_spec, data_dir)
    is_data = Path(target).exists() or hub_sets.parse(target) is not None
    if is_data and str(target) not in tasks.names():
        from kemb.tasks.own import load_folder

        path = hub_sets.local_path(target, hear)
        spec, data = load_folder(path)
        again = partial(_own_data, hub_sets.source_of(path) or str(path.absolute()))
        return Task(spec, lambda: data, str(target), again)
    if str(target).startswith(MTEB):
        from kemb.adapters.mteb_tasks import load_mteb_task, spec_of_loaded, task_of

        name = str(target).removeprefix(MTEB)
        foreign = task_of(name)
        again = partial(_mteb_data, name)
        return Task(spec_of_loaded(foreign), lambda: load_mteb_task(foreign)[1], elsewhere=again)
    if os.sep in str(target) or str(target).startswith("."):
        raise UsageError(
            f"There is no file or folder {target}. Type the path of your data, or a name of `kemb "
            "tasks`; a data set of the hub is ORG/NAME, or ORG/NAME@main where a folder ORG is "
            "here."
        )
    known_spec = tasks.find_spec(str(target))
    if known_spec is None:
        hint = (
            "Type the path of a folder or file of yours, for example ./mydata, or a name that "
            "`kemb tasks` lists."
        )
        raise UnknownName("folder, file or task", str(target), tasks.names(), hint)
    update = {"subsets": list(subsets)} if subsets else {}
    return _known(known_spec.model_copy(update=update), data_dir)


def _known(spec: TaskSpec, data_dir: Path | None) -> Task:
    from kemb.tasks.load import load

    read = partial(load, spec, data_dir and data_dir.absolute())
    return Task(spec, read, elsewhere=read)


def _own_data(source: str) -> TaskData:
    """Data of one's own on another machine: at the same path, or the same commit of the hub."""
    from kemb.tasks.own import hub_sets, load_folder

    return load_folder(hub_sets.local_path(source))[1]


def _mteb_data(name: str) -> TaskData:
    from kemb.adapters.mteb_tasks import load_mteb_task, task_of

    return load_mteb_task(task_of(name))[1]


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
    session: Session | None = None
    """The cluster that encodes."""


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

    def warned(self, task: Task, warnings: Mapping[str, int]) -> None: ...

    def noted(self, text: Text) -> None: ...

    def encoding(self, row: str, progress: Progress) -> None: ...

    def scoring(self, row: str, task: str) -> None: ...

    def done(self, outcome: Outcome) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def loading(self, task: str) -> None: ...

    def warned(self, task: Task, warnings: Mapping[str, int]) -> None: ...

    def noted(self, text: Text) -> None: ...

    def encoding(self, row: str, progress: Progress) -> None: ...

    def scoring(self, row: str, task: str) -> None: ...

    def done(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A task whose data is there."""

    spec: TaskSpec
    data: TaskData
    elsewhere: Load | None
    """As of `Task`."""


def evaluate(
    tasks: Sequence[Task],
    models: Sequence[Model],
    options: RunOptions,
    reporter: Reporter | None = None,
) -> list[Outcome]:
    """Evaluate every model on every task; one outcome per cell, models outermost.

    Failures of single tasks and models are outcomes, not exceptions; a store or results folder that
    cannot be written ends the run.

    :raises DiskError: when the store or the results cannot be written.
    :raises StoreError: when the store lacks the vectors that --rescore asks for.
    """
    reporter = reporter or Silent()
    options.store.sweep()
    loaded: list[_Loaded] = []
    broken: dict[str, str] = {}
    for task in tasks:
        reporter.loading(task.spec.name)
        try:
            loaded.append(_Loaded(task.spec, task.load(), task.elsewhere))
        except KembError as error:
            broken[task.spec.name] = str(error)
            continue
        if warnings := loaded[-1].data.warnings:
            reporter.warned(task, warnings)
    outcomes: list[Outcome] = []
    encoders = [encoder for model in models for encoder in model.encoders]
    with _with_scratch(options, models) as options:
        for model in models:
            failed = [
                Outcome(model.row, name, "failed", message=message)
                for name, message in broken.items()
            ]
            opened = Opened(session=options.session)
            of_model = _OfModel(model, options, reporter, [], encoders, opened=opened)
            for outcome in failed:
                of_model.done(outcome)
            of_model.run(loaded)
            outcomes += of_model.outcomes
    return outcomes


@contextlib.contextmanager
def _with_scratch(options: RunOptions, models: Sequence[Model]) -> Iterator[RunOptions]:
    """The options with a store for models without an identity, deleted at the end."""
    if not any(model.is_scratch for model in models):
        yield options
        return
    with disk.scratch_folder() as folder:
        yield replace(options, store=Store(options.store.root, folder))


@dataclass(frozen=True, slots=True)
class _OfModel:
    """The work of one model."""

    model: Model
    options: RunOptions
    reporter: Reporter
    outcomes: list[Outcome]
    encoders: Sequence[Model] = ()
    """Of all models of the command: heads of one model are encoded together."""
    started: str = field(default_factory=lambda: provenance.now())
    """Tells one command's work on the model from another's."""
    opened: Opened = field(default_factory=Opened)
    """Rerankers that are loaded; they are needed by one task after the other."""

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.reporter.done(outcome)

    @property
    def folder(self) -> Path:
        model = self.model
        return files.result_dir(
            self.options.results_dir, model.path_name, model.revision, model.variant
        )

    def run(self, tasks: Sequence[_Loaded]) -> None:
        """Do what is not done."""
        todo = [task for task in tasks if not self._settled(task)]
        if not todo:
            return
        try:
            encoded = self._encode(todo)
        except (StoreError, DiskError):
            raise
        except KembError as error:
            for task in todo:
                self.done(Outcome(self.model.row, task.spec.name, "failed", message=str(error)))
            return
        with contextlib.closing(self.opened):
            for task in todo:
                self._attempt(task, encoded)

    def _write_meta(self) -> None:
        model = self.model
        has_space = model in model.encoders or model.family == "cross-encoder"
        facts = (
            provenance.loaded(model, self.options.store.space(model.fingerprint()))
            if has_space
            else {}
        )
        files.write_meta(self.folder, mteb_results.mteb_meta(model, facts))

    def _settled(self, task: _Loaded) -> bool:
        """Whether the cell needs no work: it does not apply, or a complete and comparable result is
        there.
        """
        model, spec = self.model, task.spec
        if (reason := unfit(model, spec.type)) is not None:
            self.done(Outcome(model.row, spec.name, "not applicable", message=reason))
            return True
        try:
            for part in task.data.parts:
                check(model, spec, part)
        except KembError as error:
            self.done(Outcome(model.row, spec.name, "failed", message=f"{spec.name}: {error}"))
            return True
        path = self.folder / f"{spec.name}.json"
        if not path.is_file() or self.options.overwrite or self.options.rescore:
            return False
        if model.is_scratch:
            return False  # nothing says that it is the same model
        try:
            result = files.read_result(path)
        except (OtherSchema, Unreadable) as error:
            self.done(Outcome(model.row, spec.name, "failed", message=str(error)))
            return True
        except ResultError:
            return False  # damaged: made again
        if result.kemb is None:
            message = (
                f"{path} was not made by kemb and would be overwritten. Name another folder "
                "with --results DIR."
            )
            self.done(Outcome(model.row, spec.name, "failed", message=message))
            return True
        if not self._is_current(result, task):
            return False
        self.done(Outcome(model.row, spec.name, "kept", result))
        return True

    def _is_current(self, result: TaskResult, task: _Loaded) -> bool:
        """Whether a result stands for the same data, metric and profile, with its items."""
        setting = provenance.setting(task.spec, task.data, self.model)
        return (
            files.same_profile(result.record, setting)
            and files.holds(result.record, setting)
            and files.has_items(result)
        )

    def _earlier(
        self, task: _Loaded, setting: Setting
    ) -> tuple[TaskResult, list[tuple[str, str]]] | None:
        """An earlier result under the same profile, and the parts of it that this command does not
        make again.
        """
        path = self.folder / f"{task.spec.name}.json"
        with contextlib.suppress(ResultError):
            result = files.read_result(path)
            if files.has_items(result) and (parts := files.other_parts(result, setting)):
                return result, parts
        return None

    def _encode(self, todo: Sequence[_Loaded]) -> dict[str, Encoded]:
        """Bring all texts of the tasks into the store, for every part of the model that makes
        vectors.
        """
        encoded_by_model: dict[str, Encoded] = {}
        for encoder in self.model.encoders:
            columns = columns_of([(task.spec, task.data) for task in todo], encoder)
            space = self._space(encoder, columns, todo)
            if self.options.rescore:
                encoded_by_model[encoder.identity] = stored(columns, space)
            else:
                report = partial(self.reporter.encoding, encoder.row)
                types = {task.spec.name: task.spec.type for task in todo}
                others = together(encoder, self.encoders, columns, types, self.options.store)
                heads = tuple(other for other, _ in others)
                encoded_by_model[encoder.identity] = encode(
                    columns,
                    space,
                    encoder,
                    report,
                    beside=others,
                    elsewhere=self._elsewhere(encoder, heads, todo),
                    session=self.options.session,
                )
        return encoded_by_model

    def _space(self, encoder: Model, columns: Columns, todo: Sequence[_Loaded]) -> Space:
        """Where the vectors of an encoder lie, or will: on the device of this command, else, where
        nothing else is asked for, on another one that has them all.
        """

        def is_complete(space: Space) -> bool:
            return all(space.stored(column.keys).all() for column in columns.values())

        store, fingerprint = self.options.store, encoder.fingerprint()
        spaces = [store.space(fingerprint)]
        if self.options.rescore and (recorded := self._recorded_space(todo)):
            spaces.insert(0, recorded)
        space = spaces[0]
        if (self.options.rescore or encoder.is_any_device) and not is_complete(space):
            # Other spaces are looked for only here: each is a file, or a request, to read.
            others = next(filter(is_complete, spaces[1:]), None)
            elsewhere = filter(is_complete, of_other_devices(store, fingerprint))
            space = others or next(elsewhere, space)
        device = space.fingerprint.get("device", encoder.device)
        if fingerprint.get("device", device) != device:
            self.reporter.noted(note("terminal.other_device", row=encoder.row, device=device))
        return space

    def _elsewhere(
        self, encoder: Model, heads: tuple[Model, ...], todo: Sequence[_Loaded]
    ) -> JobOfTasks | None:
        """How the same job is made on another machine; None where a task is known here alone."""
        tasks = tuple((task.spec, task.elsewhere) for task in todo if task.elsewhere is not None)
        if len(tasks) < len(todo):
            return None
        budget = Budget.for_device(encoder.device)
        return JobOfTasks(encoder, heads, self.options.store.absolute(), tasks, budget)

    def _recorded_space(self, todo: Sequence[_Loaded]) -> Space | None:
        """The space that an earlier result was scored from; its libraries may not be the ones
        installed now.
        """
        for task in todo:
            path = self.folder / f"{task.spec.name}.json"
            if not path.is_file():
                continue
            with contextlib.suppress(
                ResultError
            ):  # a damaged record names no space; it is made again
                record = files.read_result(path).kemb
                identifier = record.fingerprint_id if record else None
                space = self.options.store.find(identifier) if identifier else None
                if space is not None:
                    return space
        return None

    def _attempt(self, task: _Loaded, encoded: Mapping[str, Encoded]) -> None:
        """Score and write one task; what goes wrong becomes its outcome."""
        self.reporter.scoring(self.model.row, task.spec.name)
        started = time.perf_counter()
        try:
            report = partial(self.reporter.encoding, self.model.row)
            sources = Sources(
                self.options.store,
                encoded,
                self.options.rescore,
                report,
                self.opened,
                {task.spec.name: task.elsewhere} if task.elsewhere is not None else {},
            )
            parts = [self._scored(task.spec, part, sources) for part in task.data.parts]
            seconds = time.perf_counter() - started - sources.seconds
            setting = provenance.setting(task.spec, task.data, self.model)
            earlier = self._earlier(task, setting)
            around = provenance.Around(self.options.command, self.started)
            record = setting.under(
                provenance.circumstances(self.model, sources, task.data, seconds, around)
            )
            if earlier is not None:
                record = files.merged(record, earlier[0].record, earlier[1])
            self._write_meta()
            path = files.write_result(
                self.folder, task.spec.name, task.data.revision, parts, record, earlier
            )
            self.done(Outcome(self.model.row, task.spec.name, "scored", files.read_result(path)))
        except DiskError:
            raise
        except (RunError, ValueError) as error:
            self.done(
                Outcome(
                    self.model.row, task.spec.name, "failed", message=f"{task.spec.name}: {error}"
                )
            )

    def _scored(self, spec: TaskSpec, part: Part, sources: Sources) -> ScoredPart:
        languages = spec.subset_languages.get(part.subset, spec.languages)
        value = scored(self.model, spec, part, sources)
        return ScoredPart(part.split, part.subset, languages, value, spec.main_metric)


def scored(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> PartScore:
    """The score of one part of a task, from vectors or pair scores that are there.

    :raises ModelError: a score would rest on ties (`kemb.scoring.ties`).
    """
    notes: dict[str, int] = {}
    for encoder in model.encoders:
        if encoder.family == "dense" or (encoder.family == "sparse" and encoder is model):
            vectors = sources.representations(encoder, spec, part)
            if encoder.view is not None and encoder.view.candidates:
                # Queries put the candidates in order by their full vectors, not by their codes.
                vectors = {"documents": vectors["documents"]}
            notes |= shared_vectors(part.data, vectors)
    if KINDS[spec.type].is_ranking:
        assert isinstance(part.data, RetrievalData)
        run = make_run(model, spec, part, sources)
        sources.n_postings += run.n_postings
        sources.n_documents += len(part.data.documents)
        notes |= tied_queries(run, by_words=model.family in ("lexical", "sparse"))
        value = score_run(spec, part.data, run)
    else:
        vectors = sources.representations(model, spec, part)
        value = score(spec, part.data, vectors, similarity=model.similarity)
    return replace(value, notes=value.notes | notes)
