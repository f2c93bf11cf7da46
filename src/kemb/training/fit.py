"""Train: sentence-transformers' trainer on a recipe's data, watched by `guards.py`.

A fit goes on from its last whole checkpoint to the same bits on a CPU with the same number of
threads.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.errors import RunError
from kemb.files import disk
from kemb.models import files
from kemb.models.families import by_recipe_name
from kemb.models.weights import weights_kwargs
from kemb.training import arguments, bases, check, dev, guards
from kemb.training.losses import TrainingSet, build_loss, n_negatives
from kemb.training.negatives import NegativeCounts
from kemb.training.recipe import RecipeFile
from kemb.training.stages import REPORT

CHECKPOINTS = "checkpoints"
EVENTS = "events.jsonl"


@dataclass(frozen=True, slots=True)
class FitJob:
    """Everything a fit depends on."""

    file: RecipeFile
    sets: Sequence[TrainingSet]
    base: Path
    out: Path
    """Folder for the checkpoints, the events and the model."""
    key: str
    """Names the fit; checkpoints of another are not touched."""
    device: str
    guide: Path | None = None
    resume: bool = False
    """Go on from the last whole checkpoint in the folder, if there is one."""
    on_step: guards.OnStep | None = None
    dev: dev.DevSet | None = None
    """Given where the recipe has a section [dev]."""
    on_note: Callable[[str], None] = lambda text: None
    rank: int = 0
    """Of this process among train.processes; the first writes, the others only train (`ranks.py`).
    """

    @property
    def model_dir(self) -> Path:
        return self.out / self.file.recipe.name


@dataclass(frozen=True, slots=True)
class FitReport:
    """What is worth knowing of a fit."""

    n_rows: dict[str, int]
    n_steps: int
    n_negatives: dict[str, int]
    """Negatives of an anchor, by data set."""
    hard_negatives: dict[str, NegativeCounts]
    """What became of the hard negatives that were given, by data set."""
    n_parameters: int
    resumed_at: int
    seconds: float
    loss_first: float | None
    loss_last: float | None
    mean_cosine: float | None
    effective_rank: float | None
    dev: DevReport | None


@dataclass(frozen=True, slots=True)
class DevReport:
    """The scores on dev data, and what was chosen by them."""

    before: dict[str, float]
    """Of the model before the first step: `dev`, the mean over the dev tasks, and `dev.<task>`."""
    curve: list[tuple[int, float]]
    """Step and mean over the dev tasks."""
    step: int
    """The first with the best score: its weights are the model's."""
    scores: dict[str, float]
    """At that step."""
    ended_early: bool


def fit(job: FitJob) -> FitReport:
    """Train and save; the model lies in `job.model_dir`.

    :raises UsageError: for batches that the data cannot fill.
    :raises ModelError: for NaN, a loss of nothing, collapsed vectors.
    :raises RunError: where the saved model is not the trained one.
    """
    check_batches(job.file, job.sets)
    recipe = job.file.recipe
    _seed(recipe.seed)
    model = bases.open_model(recipe.base, job.base, recipe.prompts, job.device)
    losses = losses_of(job, model)
    job.out.mkdir(parents=True, exist_ok=True)
    last = _last_checkpoint(job)
    watch = guards.Watch(
        model,
        losses,
        _probe(job.sets),
        job.out / EVENTS,
        last,
        job.on_step,
        job.on_note,
        patience=recipe.dev.patience if recipe.dev else None,
        is_scaled=recipe.train.precision == "fp16",
        rank=job.rank,
        several=recipe.train.processes > 1,
    )
    watch.look(0)
    score, before = None, {}
    if job.dev:
        with dev.random_state_kept():
            score = dev.scorer(job.file, job.dev, job.base, job.device)
            before = score(model)
        job.on_note(f"Dev score before training: {before[dev.SCORE]:.4f}")
    trainer = trainer_of(job, model, losses, watch, score)
    resumed_at = int(last.name.rpartition("-")[2]) if last else 0
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    seconds = time.perf_counter() - started
    best = _keep_best(job, trainer, before) if score else None
    watch.look(trainer.state.global_step)
    if job.rank == 0:
        if recipe.base.lora:
            bases.merge_lora(model)
        _save(job, model)
    history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return FitReport(
        n_rows={entry.name: entry.table.num_rows for entry in job.sets},
        n_steps=best.curve[-1][0] if best else int(trainer.state.global_step),
        n_negatives=negatives(job.file, job.sets),
        hard_negatives=hard_negatives(job.sets),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        resumed_at=resumed_at,
        seconds=round(seconds, 3),
        loss_first=history[0] if history else None,
        loss_last=history[-1] if history else None,
        mean_cosine=watch.geometry.get("mean_cosine"),
        effective_rank=watch.geometry.get("effective_rank"),
        dev=best,
    )


def _keep_best(job: FitJob, trainer: Any, before: dict[str, float]) -> DevReport:  # noqa: ANN401  sentence-transformers
    """Load the checkpoint with the best dev score; of equal ones the first."""
    history = trainer.state.log_history
    curve = guards.dev_curve(history)
    step, best = max(curve, key=lambda entry: (entry[1], -entry[0]))
    folder = job.out / CHECKPOINTS / f"checkpoint-{step}"
    if not folder.is_dir():
        raise RunError(
            f"The checkpoint {folder}, the best by its dev score {best:.4f}, is gone. Type the "
            "same command with --fresh to train anew."
        )
    trainer._load_from_checkpoint(str(folder))
    entry = next(
        entry for entry in history if entry.get("step") == step and arguments.DEV_KEY in entry
    )
    scores = {
        key.removeprefix("eval_"): value
        for key, value in entry.items()
        if key.startswith(arguments.DEV_KEY)
    }
    return DevReport(
        before, curve, step, scores, ended_early=curve[-1][0] < trainer.state.max_steps
    )


def check_batches(file: RecipeFile, sets: Sequence[TrainingSet]) -> None:
    """Refuse a batch that cannot be filled with different positives, and dev scores that choose
    nothing.

    :raises UsageError: with the line of train.batch or dev.every.
    """
    train = file.recipe.train
    for entry in sets:
        if entry.kind.contrastive:
            check.check_batch(file, entry.name, entry.n_unique_positives)
        if train.processes > 1 and train.rows_per_step > entry.table.num_rows:
            raise file.error(
                ("train", "processes"),
                f"the data {entry.name} has {entry.table.num_rows} rows, a step of "
                f"{train.processes} processes {train.rows_per_step}; they leave out a step that is "
                "not full, so nothing would be trained. Lower "
                "batch or processes.",
            )
    section, steps = file.recipe.dev, n_steps(file, sets)
    if section and section.every >= steps:
        raise file.error(
            ("dev", "every"),
            f"of {steps} steps only the last would be scored, with {section.every} steps between "
            f"scores: there is nothing to choose from. Type every = {max(steps // 10, 1)}.",
        )


def negatives(file: RecipeFile, sets: Sequence[TrainingSet]) -> dict[str, int]:
    """Negatives of an anchor in each contrastive data set."""
    train, gather = file.recipe.train, bool(file.recipe.loss.gather)
    return {
        entry.name: n_negatives(train.batch, entry.n_negatives, train.processes, gather)
        for entry in sets
        if entry.kind.contrastive
    }


def hard_negatives(sets: Sequence[TrainingSet]) -> dict[str, NegativeCounts]:
    """What became of the hard negatives, by data set that has any."""
    return {entry.name: entry.negatives for entry in sets if entry.negatives is not None}


def without_others(file: RecipeFile, sets: Sequence[TrainingSet]) -> bool:
    """Whether negatives of the other processes are left out, though the loss could take them."""
    recipe = file.recipe
    could = any(entry.kind.contrastive and "gather" in entry.kind.options for entry in sets)
    return could and recipe.train.processes > 1 and not recipe.loss.gather


def n_steps(file: RecipeFile, sets: Sequence[TrainingSet]) -> int:
    """Optimizer steps of a fit; the no-duplicates sampler may need a few more."""
    train = file.recipe.train
    if train.max_steps:
        return train.max_steps
    counts: list[float] = [entry.table.num_rows / train.rows_per_step for entry in sets]
    only_full = train.drop_last or train.processes > 1
    batches = sum(math.floor(count) if only_full else math.ceil(count) for count in counts)
    return math.ceil(batches * train.epochs / train.accumulate)


def trainer_of(
    job: FitJob,
    model: Any,  # noqa: ANN401  sentence-transformers
    losses: Any,  # noqa: ANN401  sentence-transformers
    watch: guards.Watch,
    score: dev.Scorer | None,
    **changes: Any,  # noqa: ANN401  sentence-transformers
) -> Any:  # noqa: ANN401  sentence-transformers
    """The library's trainer.

    :param changes: arguments that differ from those of the recipe.
    """
    st = bases.need_libraries()
    import datasets
    from transformers import PrinterCallback

    # Its model card would ask the hub, and show rows of the training data.
    model.model_card_data.local_files_only = True
    overrides: dict[str, Any] = {"add_model_card_callback": lambda trainer, defaults: None}
    library_class = getattr(st, f"{by_recipe_name()[job.file.recipe.base.family].st_class}Trainer")

    def evaluate(trainer: Any, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401  as above
        with dev.random_state_kept():  # being looked at changes nothing
            scores: dict[str, float] = library_class.evaluate(trainer, *args, **kwargs)
        return scores

    if score:
        overrides["evaluate"] = evaluate
    recipe = job.file.recipe
    prompts = {entry.name: entry.prompts for entry in job.sets}
    rows = {entry.name: datasets.Dataset(entry.table) for entry in job.sets}
    argument_values = arguments.values(
        recipe,
        (job.out / CHECKPOINTS).resolve(),  # a resumed fit may be started elsewhere
        job.device,
        sum(entry.table.num_rows for entry in job.sets),
        prompts if len(rows) > 1 else next(iter(prompts.values())),
    )

    def training_step(trainer: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as above
        step_loss = library_class.training_step(trainer, *args, **kwargs)
        watch.average()
        return step_loss

    trainer_class = type("Trainer", (library_class,), overrides | {"training_step": training_step})
    trainer = trainer_class(
        model=model,
        args=arguments.training_arguments(recipe.base.family, argument_values | changes),
        train_dataset=datasets.DatasetDict(rows) if len(rows) > 1 else next(iter(rows.values())),
        loss=losses,
        evaluator=_evaluator(score) if score else None,
        callbacks=[guards.callback_of(watch, job.key)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.data_collator.preprocess_fn = watch.remember(trainer.data_collator.preprocess_fn)
    return trainer


def _evaluator(score: dev.Scorer) -> Any:  # noqa: ANN401  sentence-transformers
    """A scorer as the trainer's evaluator."""
    from sentence_transformers.base.evaluation import BaseEvaluator

    class Evaluator(BaseEvaluator):  # type: ignore[misc]  # sentence-transformers is not followed
        def __call__(self, model: Any, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
            return score(model)

    return Evaluator()


def losses_of(job: FitJob, model: Any) -> Any:  # noqa: ANN401  as above
    """The loss, or losses by data set."""
    recipe = job.file.recipe
    guide = None
    if job.guide:
        guide = bases.need_libraries().SentenceTransformer(
            str(job.guide), device=job.device, model_kwargs=weights_kwargs(job.guide)
        )
    losses = {}
    for entry in job.sets:
        teacher_dim = None
        if entry.kind.shape == "vectors":
            teacher_dim = len(entry.table["label"][0].as_py())
        scored = entry.kind.shape == "scored"
        section = recipe.loss.model_copy(update={"scale": None}) if scored else recipe.loss
        losses[entry.name] = build_loss(
            recipe.base.family, entry.kind, section, model, guide, teacher_dim
        )
    if recipe.matryoshka:
        from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

        dims, weights = recipe.matryoshka.dims, recipe.matryoshka.weights
        losses = {name: MatryoshkaLoss(model, loss, dims, weights) for name, loss in losses.items()}
    return losses if len(losses) > 1 else next(iter(losses.values()))


def _last_checkpoint(job: FitJob) -> Path | None:
    """The last whole checkpoint of this fit; torn ones, and all where the fit begins anew, are
    removed.
    """
    whole: list[tuple[int, Path]] = []
    for folder in sorted((job.out / CHECKPOINTS).glob("checkpoint-*")):
        record = guards.read_mark(folder) if job.resume else None
        if record is not None:
            if record["fit"] != job.key:
                raise RunError(
                    f"The checkpoint {folder} belongs to another fit. Type the same command with "
                    "--fresh to train anew."
                )
            whole.append((record["step"], folder))
        elif job.rank == 0 and folder.name.removeprefix("checkpoint-").isdecimal():
            if job.resume:
                job.on_note(f"{folder.name} is not whole; the one before it is taken.")
            _remove_checkpoint(folder)
    if not whole:
        if job.rank == 0:
            (job.out / EVENTS).unlink(missing_ok=True)
        return None
    step, last = max(whole)
    if job.rank == 0:
        job.on_note(f"Going on from step {step:,}, the last checkpoint in {last.parent}.")
    return last


def _remove_checkpoint(folder: Path) -> None:
    """Its mark goes first, so that a kill meanwhile leaves a torn one."""
    (folder / guards.MARK).unlink(missing_ok=True)
    shutil.rmtree(folder)


def finish(job: FitJob, train: Callable[[FitJob], FitReport]) -> dict[str, Any]:
    """Train, unless an interrupted run had saved the model already, and remove the checkpoints.

    :param train: `fit`, or the same in several processes.
    :return: the report, as JSON.
    """
    path = job.out / REPORT
    try:
        report: dict[str, Any] = disk.read_json(path)
    except (OSError, ValueError):
        report = json.loads(json.dumps(dataclasses.asdict(train(job))))
        with disk.replacing(path) as unfinished:
            unfinished.write_text(disk.json_text(report), encoding="utf-8")
    for folder in sorted((job.out / CHECKPOINTS).glob("checkpoint-*")):
        _remove_checkpoint(folder)
    shutil.rmtree(job.out / CHECKPOINTS, ignore_errors=True)
    return report


def _seed(seed: int) -> None:
    import transformers

    transformers.set_seed(seed)


def _probe(sets: Sequence[TrainingSet]) -> list[str]:
    """Up to 512 different training texts, drawn once."""
    texts: dict[str, None] = {}
    for entry in sets:
        column = next(
            name for name in ("positive", "anchor", "text") if name in entry.table.column_names
        )
        texts |= dict.fromkeys(entry.table[column].to_pylist())
    return random.Random(0).sample(sorted(texts), min(guards.N_PROBE, len(texts)))


def _save(job: FitJob, model: Any) -> None:  # noqa: ANN401  as above
    """Save, load again, and compare."""
    out = job.model_dir
    if out.exists():
        shutil.rmtree(out)
    bases.save(model, out)
    files.read_folder(out)  # safetensors, complete
    if job.file.recipe.base.family != "dense":
        return
    st = bases.need_libraries()
    loaded = st.SentenceTransformer(
        str(out), device=job.device, model_kwargs={"use_safetensors": True}
    )
    guards.check_saved(model, loaded, dict(model.prompts))
    _check_pooling(job, out)


def _check_pooling(job: FitJob, out: Path) -> None:
    before, after = (files.read_folder(folder) for folder in (job.base, out))
    declared = job.file.recipe.base.pooling
    pooling = before.pooling if declared == "keep" else declared
    if before.has_modules and after.pooling != pooling:
        raise RunError(
            f"The saved model pools by {after.pooling}, its base by {before.pooling}, and the "
            "recipe says so."
        )
