"""How long a fit will take and what it needs, from a few of its own steps."""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path

from kemb.train import bases, fit, guards

N_STEPS = 5
LIMIT_SECONDS = 60.0
"""No further step is begun after this long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """What a few steps took; the first, in which libraries warm up, does not count."""

    n_timed: int
    seconds_per_step: float
    peak_gb: float
    """Of the GPU; on the CPU of the whole process, data and libraries included."""


def time_steps(job: fit.FitJob) -> Timing:
    """Train a few steps on the job's data and forget them; nothing is left behind.

    :raises ModelError: as `fit.fit`.
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
    n = len(ends) - 1
    return Timing(n, (ends[-1] - ends[0]) / n, _peak_bytes(on_gpu) / 1e9)


class _Enough(Exception):
    """Steps that take long need not be many."""


def _peak_bytes(on_gpu: bool) -> int:
    if on_gpu:
        import torch

        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
