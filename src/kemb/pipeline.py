"""A whole recipe: data, mining, fit, proof, export, card; every stage kept, a rerun does what changed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kemb.benchmarks import load_benchmark
from kemb.benchmarks import names as benchmark_names
from kemb.errors import NotSupported
from kemb.models.files import content_hash
from kemb.models.resolve import find_device, resolve
from kemb.run import Reporter, RunOptions, Silent, Task, load_task
from kemb.store import Store
from kemb.train import bases, check, data, export, fit, stages
from kemb.train.proof import Proof, prove
from kemb.train.recipe import RecipeFile
from kemb.train.shapes import TrainingSet, training_sets
from kemb.train.stages import Stage

if TYPE_CHECKING:
    import pyarrow as pa

PAIRS = "pairs.parquet"
OPTIMIZER_BYTES = 16
"""Per trained parameter in float32: weight, gradient and Adam's two moments."""


class Listener(Reporter, Protocol):
    """Hears what a pipeline is doing."""

    def stage(self, name: str, key: str, was_there: bool) -> None: ...

    def step(self, number: int, total: int, loss: float | None) -> None: ...

    def note(self, text: str) -> None: ...


class Quiet(Silent):
    """A listener that says nothing."""

    def stage(self, name: str, key: str, was_there: bool) -> None: ...

    def step(self, number: int, total: int, loss: float | None) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Where things lie."""

    run_dir: Path
    store: Store
    data_dir: Path | None = None
    """Root of the recipe's files and of the tasks' local mirror; without it files are seen from the recipe."""
    results_dir: Path | None = None
    """By default `results` in the run."""
    resume: bool = False
    command: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe will do, as far as it can be known before any work."""

    n_rows: dict[str, int]
    n_steps: int
    n_negatives: dict[str, int]
    n_parameters: int | None
    """None where the model has not been looked at."""
    memory_gb: float | None
    """Weights, gradients and optimizer; activations come on top."""
    device: str
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a recipe."""

    stages: list[Stage]
    proof: Proof
    merged: bool
    model_dir: Path | None
    """The exported model; None where the forget-check failed."""
    lock_path: Path


@dataclass(slots=True)
class _Run:
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
    done: list[Stage] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.options.data_dir or self.file.path.parent

    def stage(self, name: str, inputs: Mapping[str, Any], work: stages.Work, resume: bool = False) -> Stage:
        self.listener.stage(name, stages.key_of(name, inputs), False)
        made = stages.run_stage(self.options.run_dir, name, inputs, work, resume)
        self.listener.stage(name, made.key, made.was_there)
        self.done.append(made)
        stages.write_lock(self.file, self.options.run_dir, self.done, self.device, self.resolved())
        return made

    def resolved(self) -> dict[str, Any]:
        import torch

        return {
            "device": self.device,
            "base_revision": self.base_revision,
            "base_folder": str(self.base) if self.base else "",
            "torch_threads": torch.get_num_threads(),
            "command": self.options.command,
        }


def train(file: RecipeFile, options: TrainOptions, listener: Listener | None = None) -> Outcome:
    """Carry a recipe out.

    :raises UsageError: for what cannot work, with the line of the recipe, before any work.
    :raises RunError: when a stage fails; what is finished is kept.
    """
    run = _prepare(file, options, listener or Quiet())
    pairs = _pairs(run)
    base = _base(run, pairs)
    fitted = _fit(run, base, pairs)
    tuned_dir = fitted.folder / file.recipe.name
    proof = _proof(run, base, tuned_dir, "proof")
    merged = _merge(run, base, tuned_dir, proof)
    if merged is not None:
        tuned_dir, proof = merged
    model_dir = _export(run, tuned_dir, proof) if proof.passed else None
    lock = options.run_dir / stages.LOCK
    return Outcome(run.done, proof, merged is not None, model_dir, lock)


def plan(file: RecipeFile, options: TrainOptions) -> Plan:
    """Check a recipe and count; nothing is written."""
    run = _prepare(file, options, Quiet())
    table = _filtered(run, data.load_pairs(file.recipe.data, run.root))[0]
    sets = training_sets(file, table, _no_teacher)
    fit.check_batches(file, sets)
    n_parameters = _n_parameters(run)
    return Plan(
        n_rows={entry.name: entry.table.num_rows for entry in sets},
        n_steps=fit.n_steps(file, sets),
        n_negatives=fit.negatives(file, sets),
        n_parameters=n_parameters,
        memory_gb=n_parameters * OPTIMIZER_BYTES / 1e9 if n_parameters else None,
        device=run.device,
        notes=export.notes(file),
    )


def _prepare(file: RecipeFile, options: TrainOptions, listener: Listener) -> _Run:
    """Resolve and check everything that can be checked without reading the data."""
    bases.need_libraries()
    recipe = file.recipe
    device = find_device(recipe.train.device)
    check.check_recipe(file, device)
    export.check(file)
    tasks = _tasks(file, options.data_dir)
    base, revision = (None, "") if recipe.base.is_static else bases.base_folder(file)
    guide = bases.guide_folder(file)
    if guide is not None:
        check.check_guide(file, base, guide)
    return _Run(file, options, listener, device, tasks, base, revision, guide)


def _tasks(file: RecipeFile, data_dir: Path | None) -> list[Task]:
    found: dict[str, Task] = {}
    for target in file.recipe.evaluate.tasks:
        names = load_benchmark(target).tasks if target in benchmark_names() else [target]
        for name in names:
            own = file.path.parent / name
            task = load_task(own if own.exists() else name, data_dir)
            found.setdefault(task.spec.name, task)
    return list(found.values())


def _pairs(run: _Run) -> Stage:
    """The stages data, filter and mine: the last of them holds the pairs to train on."""
    import pyarrow.parquet as pq

    recipe = run.file.recipe

    def load(folder: Path) -> dict[str, Any]:
        table = data.load_pairs(recipe.data, run.root)
        check.check_tasks(run.file, table, {task.spec.name: task.load() for task in run.tasks})
        pq.write_table(table, folder / PAIRS)
        return {"n_rows": _counts(table)}

    sections = [section.model_dump(mode="json") for section in recipe.data]
    inputs = {"recipe": {"data": sections}, "files": _file_hashes(run), "tasks": _task_hashes(run)}
    loaded = run.stage("data", inputs, load)

    def keep(folder: Path) -> dict[str, Any]:
        table, report = _filtered(run, pq.read_table(loaded.folder / PAIRS))
        pq.write_table(table, folder / PAIRS)
        return {"n_rows": _counts(table)} | report

    filters = recipe.filters.model_dump(mode="json")
    return run.stage("filter", {"recipe": {"filters": filters}, "pairs": loaded.outputs[PAIRS]}, keep)


def _filtered(run: _Run, table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    return table, {}


def _base(run: _Run, pairs: Stage) -> Path:
    """The folder of the base; one from scratch is made."""
    import pyarrow.parquet as pq

    if run.base is not None:
        return run.base
    recipe = run.file.recipe
    name = f"{recipe.name}-base"

    def make(folder: Path) -> dict[str, Any]:
        table = pq.read_table(pairs.folder / PAIRS)
        texts = [text for column in _text_columns(table) for text in table[column].to_pylist() if text is not None]
        bases.make_static(recipe.base, texts, recipe.seed, recipe.prompts, folder / name)
        return {}

    inputs = {
        "recipe": {
            "base": recipe.base.model_dump(mode="json"),
            "prompts": recipe.prompts.model_dump(),
            "seed": recipe.seed,
        },
        "pairs": pairs.outputs[PAIRS],
        "libraries": _libraries(),
    }
    made = run.stage("base", inputs, make)
    run.base = made.folder / name
    run.base_revision = content_hash(run.base)[:12]
    return run.base


def _fit(run: _Run, base: Path, pairs: Stage) -> Stage:
    import pyarrow.parquet as pq

    recipe, options = run.file.recipe, run.options
    sections = recipe.model_dump(
        mode="json", include={"base", "prompts", "loss", "matryoshka", "train", "seed", "name"}
    )
    sections["data"] = [section.model_dump(mode="json", include={"id", "role"}) for section in recipe.data]
    inputs = {
        "recipe": sections,
        "pairs": pairs.outputs[PAIRS],
        "base": run.base_revision,
        "guide": content_hash(run.guide) if run.guide else "",
        "libraries": _libraries(),
    }
    if options.resume:
        stages.refuse_foreign_checkpoint(run.file, options.run_dir, "fit", inputs)

    def work(folder: Path) -> dict[str, Any]:
        sets = training_sets(run.file, pq.read_table(pairs.folder / PAIRS), _teacher(run))
        _announce(run, sets)
        key = stages.key_of("fit", inputs)
        job = fit.FitJob(run.file, sets, base, folder, key, run.device, run.guide, options.resume, run.listener.step)
        report = dataclasses.asdict(fit.fit(job))
        shutil.rmtree(folder / fit.CHECKPOINTS, ignore_errors=True)
        return report

    return run.stage("fit", inputs, work, resume=options.resume)


def _announce(run: _Run, sets: list[TrainingSet]) -> None:
    rows = ", ".join(f"{entry.name} {entry.table.num_rows:,}" for entry in sets)
    run.listener.note(f"Training on {rows} rows, {fit.n_steps(run.file, sets):,} steps, on {run.device}.")
    for name, count in fit.negatives(run.file, sets).items():
        run.listener.note(f"{name}: every anchor is compared with {count:,} negatives.")
    if n_parameters := _n_parameters(run):
        memory = n_parameters * OPTIMIZER_BYTES / 1e9
        run.listener.note(f"{n_parameters:,} parameters: {memory:.2f} GB and the activations.")


def _teacher(run: _Run) -> Any:  # noqa: ANN401  shapes.Teacher, or nothing
    name = run.file.recipe.loss.teacher
    if not name:
        return None
    from kemb.train.teach import teacher

    return teacher(resolve(name), run.options.store)


def _proof(run: _Run, base: Path, tuned: Path, name: str) -> Proof:
    """Evaluate and compare; the stage keeps the record, the scores lie in the results folder."""
    recipe = run.file.recipe
    if recipe.base.family != "dense":
        raise NotSupported(f"kemb cannot evaluate models of family {recipe.base.family} yet.")
    base_model = resolve(recipe.base.id if recipe.base.kind == "hub" else str(base))
    tuned_model = resolve(str(tuned))
    lexical = [resolve(lexical) for lexical in recipe.evaluate.lexical]
    results = run.options.results_dir or run.options.run_dir / "results"
    options = RunOptions(results, run.options.store, command=run.options.command)
    found: list[Proof] = []

    def work(folder: Path) -> dict[str, Any]:
        guard = recipe.evaluate.guard
        found.append(prove(base_model, tuned_model, lexical, run.tasks, guard, options, run.listener))
        return found[0].record()

    inputs = {
        "recipe": {"evaluate": recipe.evaluate.model_dump(mode="json")},
        "base": [base_model.name, base_model.revision],
        "tuned": [tuned_model.name, tuned_model.revision],
        "lexical": [[model.name, model.revision] for model in lexical],
        "tasks": _task_hashes(run),
        "libraries": _libraries(),
    }
    run.stage(name, inputs, work)
    if not found:  # the stage was there; its scores are read, not made again
        work(run.options.run_dir)
    return found[0]


def _merge(run: _Run, base: Path, tuned: Path, proof: Proof) -> tuple[Path, Proof] | None:
    """Mix the tuned model with its base and prove the mixture, where the recipe asks for it."""
    section = run.file.recipe.merge
    if section is None or (section.on == "forget-fail" and proof.passed):
        return None
    from kemb.train.merge import merge

    name = run.file.recipe.name

    def work(folder: Path) -> dict[str, Any]:
        merge(run.file.recipe, base, tuned, section.weight, folder / name)
        return {}

    inputs = {"recipe": {"merge": section.model_dump()}, "base": run.base_revision, "tuned": content_hash(tuned)}
    made = run.stage("merge", inputs, work)
    return made.folder / name, _proof(run, base, made.folder / name, "proof-merged")


def _export(run: _Run, tuned: Path, proof: Proof) -> Path:
    """The model under its own name in the run's folder, ready to be published."""
    out = run.options.run_dir / run.file.recipe.name
    export.copy_model(tuned, out)
    shutil.copyfile(run.options.run_dir / stages.LOCK, out / stages.LOCK)
    return out


def _n_parameters(run: _Run) -> int | None:
    base = run.file.recipe.base
    if base.is_static:
        return base.dim * base.tokenizer.vocab
    from kemb.models.files import read_folder

    assert run.base is not None
    folder = read_folder(run.base)
    return folder.weight_bytes // (2 if folder.stored_dtype in ("float16", "bfloat16") else 4)


def _libraries() -> dict[str, str]:
    """Versions that may change weights."""
    found = stages.versions()
    names = ("kemb", "sentence-transformers", "transformers", "torch", "tokenizers", "accelerate", "peft")
    return {name: found[name] for name in names if name in found}


def _file_hashes(run: _Run) -> dict[str, str]:
    paths = [path for section in run.file.recipe.data for path in run.root.glob(section.source.file or "")]
    return {path.relative_to(run.root).as_posix(): stages.file_hash(path) for path in sorted(paths) if path.is_file()}


def _task_hashes(run: _Run) -> dict[str, list[str]]:
    return {task.spec.name: [part.sha256 for part in task.load().parts] for task in run.tasks}


def _counts(table: pa.Table) -> dict[str, int]:
    import pyarrow.compute as pc

    counted = pc.value_counts(table["source"]).to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted}


def _text_columns(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name in ("anchor", "positive") or name.startswith("negative_")]


def _no_teacher(role: str, texts: list[str]) -> Any:  # noqa: ANN401  an array
    import numpy as np

    return np.zeros((len(texts), 1), dtype=np.float32)
