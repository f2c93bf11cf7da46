"""What a recipe will do, as far as it can be known before it is done: rows, steps, negatives, time.

Nothing is written into the folder of the run. Negatives that an earlier command mined with the same
inputs are counted as they are; others are not mined for a plan.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kemb.errors import RunError
from kemb.files import disk
from kemb.training import bases, data, dev, fit, guards, stages
from kemb.training.job import (
    Quiet,
    TrainOptions,
    Work,
    filtered,
    load_rows,
    memory_gb,
    n_parameters,
    prepare,
)
from kemb.training.losses import TrainingSet, training_sets
from kemb.training.negatives import NegativeCounts
from kemb.training.pairs import make_pairs, read_pairs
from kemb.training.recipe import RecipeFile
from kemb.training.stages import Stage

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe will do, as far as it can be known before any work."""

    n_rows: dict[str, int]
    n_mined: int | None
    """Negatives that an earlier command mined; None where none did, or none are to be mined."""
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


def plan(file: RecipeFile, options: TrainOptions, timed: bool = False) -> Plan:
    """Check a recipe and count; nothing is written.

    :param timed: train a few steps, and forget them.
    """
    run = prepare(file, options, Quiet())
    mined = _mined(run)
    table = _rows(run) if mined is None else read_pairs(mined)
    sets = training_sets(file, table, _no_teacher)
    fit.check_batches(file, sets)
    size = n_parameters(run)
    untimed = _untimed(run, size, mined) if timed else ""
    return Plan(
        n_rows={entry.name: entry.table.num_rows for entry in sets},
        n_mined=mined.report["n_negatives"] if mined else None,
        n_steps=fit.n_steps(file, sets),
        n_negatives=fit.negatives(file, sets),
        hard_negatives=fit.hard_negatives(sets),
        n_parameters=size,
        memory_gb=memory_gb(run, size) if size else None,
        device=run.where,
        timing=_timing(run, table, sets) if timed and not untimed else None,
        untimed=untimed,
    )


def _mined(run: Work) -> Stage | None:
    """The stage of the mined negatives, where an earlier command has made it with these inputs."""
    if run.file.recipe.mine is None:
        return None
    try:
        return make_pairs(dataclasses.replace(run, only_looks=True))
    except stages.NotMade:
        return None


def _rows(run: Work) -> pa.Table:
    """The rows to train on, without mined negatives."""
    file = run.file
    table = filtered(run, load_rows(run))[0]
    if file.recipe.dev and file.recipe.dev.share:
        sources = dev.held_out_sources(file)
        table = dev.hold_out(table, file.recipe.dev.share, sources, file.recipe.seed)[0]
    return table


def _untimed(run: Work, size: int | None, mined: Stage | None) -> str:
    """Why steps cannot be timed before the stages in front of the fit, or here."""
    if run.file.recipe.mine and mined is None:
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
    with disk.scratch_folder() as folder:
        base = run.base
        if base is None:
            base = folder / "base"
            bases.make_static(recipe.base, data.texts_of(table), recipe.seed, recipe.prompts, base)
        return time_steps(fit.FitJob(run.file, sets, base, folder, "", run.device, run.guide))


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

    with disk.scratch_folder() as folder:
        timing_job = dataclasses.replace(job, file=file, out=folder, resume=False, dev=None)
        model = bases.open_model(recipe.base, job.base, recipe.prompts, job.device)
        losses = fit.losses_of(timing_job, model)
        watch = guards.Watch(model, losses, [], folder / fit.EVENTS, on_step=ended)
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
