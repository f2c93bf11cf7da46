"""One recipe at work: where things lie, what was resolved, what was checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import IntArray
from kemb.boards.benchmark import load_benchmark
from kemb.boards.benchmark import names as benchmark_names
from kemb.encoding.store import Store
from kemb.errors import DataError
from kemb.evaluation.evaluate import Reporter, Silent, Task, load_task
from kemb.files import disk
from kemb.models.device import find_device
from kemb.models.weights import weights_kwargs
from kemb.tasks import load_spec
from kemb.tasks import names as task_names
from kemb.tasks.load import load
from kemb.training import bases, check, data, filters, processes, stages
from kemb.training.contamination import lineage
from kemb.training.filters import FilterReport
from kemb.training.recipe import RecipeFile
from kemb.training.sections import REGISTRY
from kemb.training.stages import Stage

if TYPE_CHECKING:
    import pyarrow as pa

WEIGHT_BYTES, TRAINED_BYTES = 4, 16
"""Of a parameter in float32: its weight; and, where it is trained, its gradient and Adam's two
moments.
"""


class Listener(Reporter, Protocol):
    """Hears what a pipeline is doing."""

    def begun(self, stage: str) -> None: ...

    def finished(self, stage: Stage) -> None: ...

    def step(self, number: int, total: int, loss: float | None) -> None: ...

    def note(self, text: str) -> None: ...


class Quiet(Silent):
    """A listener that says nothing."""

    def begun(self, stage: str) -> None: ...

    def finished(self, stage: Stage) -> None: ...

    def step(self, number: int, total: int, loss: float | None) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Where things lie."""

    run_dir: Path
    store: Store
    data_dir: Path | None = None
    """Root of the recipe's files and of the tasks' local mirror; without it files are seen from the
    recipe.
    """
    results_dir: Path | None = None
    """By default `results` in the run."""
    resume: bool = False
    """Refuse where there is no interrupted fit to go on with."""
    fresh: bool = False
    """Begin an interrupted fit anew; what it left is moved aside."""
    push: bool = False
    """Upload the model to the recipe's repository once it has passed everything."""
    command: str = ""


@dataclass(slots=True)
class Work:
    """One recipe at work."""

    file: RecipeFile
    options: TrainOptions
    listener: Listener
    device: str
    tasks: list[Task]
    base: Path | None
    """None for a model from scratch, until it is made."""
    base_revision: str
    guide: Path | None
    dev_tasks: list[Task] = field(default_factory=list)
    base_is_made: bool = False
    """Whether the base was made by this run, from scratch or of a plain network."""
    done: list[Stage] = field(default_factory=list)
    only_looks: bool = False
    """Whether nothing is made or written, and a stage that is not there is an error."""

    @property
    def results_dir(self) -> Path:
        return self.options.results_dir or self.options.run_dir / "results"

    @property
    def root(self) -> Path:
        return self.options.data_dir or self.file.path.parent

    @property
    def where(self) -> str:
        """The device, and how many processes, for a human."""
        n = self.file.recipe.train.processes
        return self.device if n == 1 else f"{self.device}, {n} processes"

    def stage(
        self, name: str, inputs: Mapping[str, Any], work: stages.Work, resume: bool = False
    ) -> Stage:
        """The stage with these inputs, found or made.

        :raises NotMade: for a run that only looks, where no earlier run has made it.
        """
        if self.only_looks:
            return stages.made_before(self.options.run_dir, name, inputs)
        self.listener.begun(name)
        stage = stages.run_stage(
            self.options.run_dir, name, inputs, work, resume, self.listener.note
        )
        self.listener.finished(stage)
        self.done.append(stage)
        stages.write_lock(self.file, self.options.run_dir, self.done, self.device, self.resolved())
        return stage

    def resolved(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "base_revision": self.base_revision,
            "processes": self.file.recipe.train.processes,
            "torch_threads": processes.n_threads(self.file.recipe.train.processes),
            "command": self.options.command,
        }


def prepare(file: RecipeFile, options: TrainOptions, listener: Listener) -> Work:
    """Resolve and check everything that can be checked without reading the data."""
    bases.need_libraries()
    recipe = file.recipe
    device = find_device(recipe.train.device)
    check.check_recipe(file, device)
    check.check_models(file)
    tasks = _load_tasks(file, recipe.evaluate.tasks, options.data_dir)
    base, revision = (None, "") if recipe.base.is_static else bases.base_folder(file)
    check.check_export(file, base)
    guide = bases.guide_folder(file)
    if guide is not None:
        check.check_guide(file, base, guide)
    dev_tasks = _load_tasks(file, recipe.dev.tasks, options.data_dir) if recipe.dev else []
    check.check_dev(file, dev_tasks, tasks)
    return Work(file, options, listener, device, tasks, base, revision, guide, dev_tasks)


def _load_tasks(file: RecipeFile, targets: Sequence[str], data_dir: Path | None) -> list[Task]:
    """Tasks by name, by benchmark, or by folder, each once."""
    tasks_by_name: dict[str, Task] = {}
    for target in targets:
        names = load_benchmark(target).tasks if target in benchmark_names() else [target]
        for name in names:
            task = _split_of(name, data_dir) or load_task(
                _own_folder(file, name, data_dir) or name, data_dir
            )
            tasks_by_name.setdefault(task.spec.name, task)
    return list(tasks_by_name.values())


def _split_of(target: str, data_dir: Path | None) -> Task | None:
    """Another split of a known task: `KorSTS:validation`."""
    name, _, split = target.partition(":")
    if not split or name not in task_names():
        return None
    spec = load_spec(name).model_copy(update={"name": target, "splits": [split]})
    return Task(spec, lambda: load(spec, data_dir))


def _own_folder(file: RecipeFile, name: str, data_dir: Path | None) -> Path | None:
    """The folder of a task of one's own, seen from the recipe or from the data folder."""
    if name in task_names():
        return None
    folders = [root / name for root in (file.path.parent, data_dir) if root is not None]
    return next((folder for folder in folders if folder.exists()), None)


def load_rows(run: Work) -> pa.Table:
    """All rows of the recipe's data, as `data.load_pairs`.

    :raises UsageError: with the line of the source that cannot be read, or of a task that is the
        training data.
    """
    tables = []
    for number, section in enumerate(run.file.recipe.data):
        try:
            tables.append(data.table_of(section, run.root, run.options.data_dir))
        except DataError as error:
            message = str(error)
            raise run.file.error(
                ("data", number, "source"), message[:1].lower() + message[1:]
            ) from error
    table = data.joined(tables)
    check.check_tasks(run.file, table, {task.spec.name: task.load() for task in run.tasks})
    return table


def filtered(run: Work, table: pa.Table) -> tuple[pa.Table, FilterReport]:
    """The rows that training may see: counted, cut, without duplicates, empty vectors and
    evaluation texts.
    """
    recipe = run.file.recipe
    return filters.apply(
        table,
        recipe.filters,
        _token_counts(run.base),
        [task.load() for task in [*run.tasks, *_against(run)]],
        are_empty=_are_empty(run.base),
        lineage=lineage(recipe.data, recipe.base.id if recipe.base.kind == "hub" else ""),
    )


def _against(run: Work) -> list[Task]:
    """Tasks whose texts must not be trained on, beside those of the evaluation."""
    names = [name for name in run.file.recipe.filters.contamination.against if name != REGISTRY]
    evaluated_names = {task.spec.name for task in run.tasks}
    loaded = [*run.dev_tasks, *_load_tasks(run.file, names, run.options.data_dir)]
    return [task for task in loaded if task.spec.name not in evaluated_names]


def _token_counts(base: Path | None) -> filters.TokenCounts | None:
    """Counts by the base's own tokenizer, its marks at begin and end included; None for a model
    from scratch.
    """
    path = base / "tokenizer.json" if base else None
    if path is None or not path.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    tokenizer.no_truncation()

    def counts_of(texts: Sequence[str]) -> IntArray:
        return np.array(
            [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))], dtype=np.int64
        )

    return counts_of


def _are_empty(base: Path | None) -> filters.AreEmpty | None:
    """For a static base: whether the vector of a text is zero. Networks give every text a
    vector.
    """
    if base is None or "StaticEmbedding" not in _modules(base):
        return None
    model = bases.need_libraries().SentenceTransformer(
        str(base), device="cpu", model_kwargs=weights_kwargs(base)
    )

    def empty(texts: Sequence[str]) -> NDArray[np.bool_]:
        vectors = model.encode(list(texts), prompt="", show_progress_bar=False)
        return ~np.asarray(np.linalg.norm(vectors, axis=1) > 0)

    return empty


def _modules(folder: Path) -> str:
    path = folder / "modules.json"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def n_parameters(run: Work) -> int | None:
    base = run.file.recipe.base
    if base.is_static:
        return base.dim * base.tokenizer.vocab
    from kemb.models.files import read_folder

    assert run.base is not None
    return read_folder(run.base).n_parameters


def memory_gb(run: Work, size: int) -> float:
    """Weights, gradients and optimizer of `size` parameters; adapters are small beside them and do
    not count.
    """
    return size * (WEIGHT_BYTES if run.file.recipe.base.lora else TRAINED_BYTES) / 1e9


def libraries() -> dict[str, str]:
    """Versions that may change weights."""
    versions = stages.versions()
    names = (
        "kemb",
        "sentence-transformers",
        "transformers",
        "torch",
        "tokenizers",
        "accelerate",
        "peft",
    )
    return {name: versions[name] for name in names if name in versions}


def file_hashes(run: Work) -> dict[str, str]:
    names = {
        name for section in run.file.recipe.data for name in data.file_names(section, run.root)
    }
    return {name: disk.sha256(run.root / name) for name in sorted(names)}


def task_hashes(run: Work, every: bool = False) -> dict[str, list[str]]:
    """Hashes of the evaluation's data; with `every` also of the tasks that are only kept out of
    training.
    """
    tasks = [*run.tasks, *(_against(run) if every else [])]
    return hashes(tasks)


def hashes(tasks: Sequence[Task]) -> dict[str, list[str]]:
    return {task.spec.name: [part.sha256 for part in task.load().parts] for task in tasks}


def counts(table: pa.Table) -> dict[str, int]:
    import pyarrow.compute as pc

    entries = pc.value_counts(table["source"]).to_pylist()
    return {entry["values"]: entry["counts"] for entry in entries}
