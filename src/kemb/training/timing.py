"""How long a fit will take and what it needs, from a few of its own steps."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

from kemb.errors import RunError
from kemb.training import bases, fit, guards

N_STEPS = 5
LIMIT_SECONDS = 60.0
"""No further step is begun after this long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """What a few steps took; the first, in which libraries warm up, does not count."""

    n_timed: int
    seconds_per_step: float
    peak_gb: float | None
    """Of the GPU; on the CPU of the whole process, data and libraries included. None where the system does not say."""


def time_steps(job: fit.FitJob) -> Timing:
    """Train a few steps on the job's data and forget them; nothing is left behind.

    :raises ModelError: as `fit.fit`.
    :raises RunError: when a step does not fit in the memory of the GPU.
    """
    import torch

    recipe = job.file.recipe
    few = recipe.train.model_copy(update={"max_steps": N_STEPS + 1, "processes": 1})
    file = dataclasses.replace(job.file, recipe=recipe.model_copy(update={"train": few, "dev": None}))
    on_gpu = job.device.startswith("cuda")
    ends: list[float] = []

    def ended(number: int, total: int, loss: float | None) -> None:
        if on_gpu:
            torch.cuda.synchronize()
        ends.append(time.perf_counter())
        if len(ends) > 1 and ends[-1] - ends[0] > LIMIT_SECONDS:
            raise _Enough

    with tempfile.TemporaryDirectory(prefix="kemb-timing-") as folder:
        own = dataclasses.replace(job, file=file, out=Path(folder), resume=False, dev=None)
        model = bases.open_model(recipe.base, job.base, recipe.prompts, job.device)
        losses = fit.losses_of(own, model)
        watch = guards.Watch(model, losses, [], Path(folder) / fit.EVENTS, on_step=ended)
        trainer = fit.trainer_of(own, model, losses, watch, None, save_strategy="no")
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        try:
            trainer.train()
        except _Enough:
            pass
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"A step with batch = {recipe.train.batch} does not fit in the memory of the GPU. Lower train.batch or "
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
