"""One recipe at work: where things lie, what was resolved, and the plan that a dry run shows."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
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
from kemb.errors import DataError, RunError
from kemb.evaluation.evaluate import Reporter, Silent, Task, load_task
from kemb.files import disk
from kemb.models.device import find_device
from kemb.models.weights import weights_kwargs
from kemb.tasks import load_spec
from kemb.tasks import names as task_names
from kemb.tasks.load import load
from kemb.training import bases, check, data, dev, filters, fit, guards, processes, stages
from kemb.training.contamination import lineage
from kemb.training.filters import FilterReport
from kemb.training.losses import TrainingSet, training_sets
from kemb.training.negatives import NegativeCounts
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


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe will do, as far as it can be known before any work."""

    n_rows: dict[str, int]
    n_steps: int
    n_negatives: dict[str, int]
    hard_negatives: dict[str, NegativeCounts]
    n_parameters: int | None
    """None where the model has not been looked at."""
    memory_gb: float | None
    """Weights, gradients and optimizer; activations come on top."""
    device: str
    timing: Timing | None = None
    untimed: str = ""
    """Why no steps were timed."""


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


def plan(file: RecipeFile, options: TrainOptions, timed: bool = False) -> Plan:
    """Check a recipe and count; nothing is written.

    :param timed: train a few steps, and forget them.
    """
    run = prepare(file, options, Quiet())
    table = filtered(run, load_rows(run))[0]
    if file.recipe.dev and file.recipe.dev.share:
        table = dev.hold_out(
            table, file.recipe.dev.share, dev.held_out_sources(file), file.recipe.seed
        )[0]
    sets = training_sets(file, table, _no_teacher)
    fit.check_batches(file, sets)
    size = n_parameters(run)
    untimed = _untimed(run, size) if timed else ""
    return Plan(
        n_rows={entry.name: entry.table.num_rows for entry in sets},
        n_steps=fit.n_steps(file, sets),
        n_negatives=fit.negatives(file, sets),
        hard_negatives=fit.hard_negatives(sets),
        n_parameters=size,
        memory_gb=memory_gb(run, size) if size else None,
        device=run.where,
        timing=_timing(run, table, sets) if timed and not untimed else None,
        untimed=untimed,
    )


def _untimed(run: Work, size: int | None) -> str:
    """Why steps cannot be timed before the stages in front of the fit, or here."""
    if run.file.recipe.mine:
        return "the negatives are mined first"
    if run.file.recipe.loss.teacher:
        return "the teacher's vectors are made first"
    if (n := run.file.recipe.train.processes) > 1:
        return f"{n} processes make each of them"
    required, free = memory_gb(run, size or 0), free_gb(run.device)
    if free is not None and required > free:
        return f"{required:.1f} GB and the activations are needed, {free:.1f} GB are free"
    return ""


def _timing(run: Work, table: pa.Table, sets: Sequence[TrainingSet]) -> Timing:
    recipe = run.file.recipe
    with tempfile.TemporaryDirectory(prefix="kemb-timing-") as folder:
        base = run.base
        if base is None:
            base = Path(folder) / "base"
            bases.make_static(recipe.base, data.texts_of(table), recipe.seed, recipe.prompts, base)
        return time_steps(fit.FitJob(run.file, sets, base, Path(folder), "", run.device, run.guide))


def prepare(file: RecipeFile, options: TrainOptions, listener: Listener) -> Work:
    """Resolve and check everything that can be checked without reading the data."""
    bases.need_libraries()
    recipe = file.recipe
    device = find_device(recipe.train.device)
    check.check_recipe(file, device)
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
    folder = read_folder(run.base)
    return folder.weight_bytes // (2 if folder.stored_dtype in ("float16", "bfloat16") else 4)


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


def _no_teacher(role: str, texts: list[str]) -> Any:  # noqa: ANN401  an array
    import numpy as np

    return np.zeros((len(texts), 1), dtype=np.float32)


N_STEPS = 5


LIMIT_SECONDS = 60.0
"""No further step is begun after this long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """What a few steps took; the first, in which libraries warm up, does not count."""

    n_timed: int
    seconds_per_step: float
    peak_gb: float | None
    """Of the GPU; on the CPU of the whole process, data and libraries included. None where the
    system does not say.
    """


def time_steps(job: fit.FitJob) -> Timing:
    """Train a few steps on the job's data and forget them; nothing is left behind.

    :raises ModelError: as `fit.fit`.
    :raises RunError: when a step does not fit in the memory of the GPU.
    """
    import torch

    recipe = job.file.recipe
    few = recipe.train.model_copy(update={"max_steps": N_STEPS + 1, "processes": 1})
    file = dataclasses.replace(
        job.file, recipe=recipe.model_copy(update={"train": few, "dev": None})
    )
    on_gpu = job.device.startswith("cuda")
    ends: list[float] = []

    def ended(number: int, total: int, loss: float | None) -> None:
        if on_gpu:
            torch.cuda.synchronize()
        ends.append(time.perf_counter())
        if len(ends) > 1 and ends[-1] - ends[0] > LIMIT_SECONDS:
            raise _Enough

    with tempfile.TemporaryDirectory(prefix="kemb-timing-") as folder:
        timing_job = dataclasses.replace(job, file=file, out=Path(folder), resume=False, dev=None)
        model = bases.open_model(recipe.base, job.base, recipe.prompts, job.device)
        losses = fit.losses_of(timing_job, model)
        watch = guards.Watch(model, losses, [], Path(folder) / fit.EVENTS, on_step=ended)
        trainer = fit.trainer_of(timing_job, model, losses, watch, None, save_strategy="no")
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        try:
            trainer.train()
        except _Enough:
            pass
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"A step with batch = {recipe.train.batch} does not fit in the memory of the GPU. "
                "Lower train.batch or "
                'base.max_tokens, or type loss.name = "cached-mnrl" with a mini_batch that fits.'
            ) from error
    n = len(ends) - 1
    return Timing(n, (ends[-1] - ends[0]) / n, _peak_gb(on_gpu))


def free_gb(device: str) -> float | None:
    """Memory that is free for training; None where the system does not say."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.mem_get_info(device)[0]) / 1e9
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, OSError, ValueError):
        return None


class _Enough(Exception):
    """Steps that take long need not be many."""


def _peak_gb(on_gpu: bool) -> float | None:
    if on_gpu:
        import torch

        return float(torch.cuda.max_memory_allocated()) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
