"""One fit in several processes on one machine: each has the whole model and a part of every batch.

The command stays one process. It starts the ranks for the fit alone, hears their steps, and ends
all when one ends; only this module, `fit.py` and `guards.py` know of ranks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemb import errors
from kemb.errors import KembError, RunError

if TYPE_CHECKING:
    from kemb.training.fit import FitJob, FitReport

FOLDER = "ranks"
JOB = "job.json"
REPORT = "report.json"
GRACE = 5.0
"""Seconds in which the other ranks may say what happened, and then may end by themselves."""
COMMAND = [sys.executable, "-m", "kemb.training.processes"]
Rank = subprocess.Popen[str]


def fit_on_ranks(job: FitJob) -> FitReport:
    """Train in `train.processes` processes; as `fit.fit`, and raises what a rank raised.

    :raises RunError: when a rank was killed, or failed without a word for the user.
    """
    from kemb.training import fit

    fit.check_batches(job.file, job.sets)
    folder = job.out / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _hand_over(job, folder)
    n_ranks = job.file.recipe.train.processes
    ranks: list[Rank] = []
    try:
        ranks.extend(_start(folder, rank, n_ranks) for rank in range(n_ranks))
        _follow(ranks, job, folder)
    finally:
        _end(ranks)
    report = fit.FitReport(**json.loads((folder / REPORT).read_text(encoding="utf-8")))
    shutil.rmtree(folder)
    return report


def n_threads(n_ranks: int) -> int:
    """Threads of torch in each rank: those of this process, divided."""
    import torch

    return max(1, int(torch.get_num_threads()) // n_ranks)


def _hand_over(job: FitJob, folder: Path) -> None:
    """Write what a rank needs."""
    import pyarrow.parquet as pq

    from kemb.training.stages import write_json

    sets = []
    for number, entry in enumerate(job.sets):
        pq.write_table(entry.table, folder / f"set-{number}.parquet")
        fields = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
        sets.append(
            fields | {"kind": dataclasses.asdict(entry.kind), "table": f"set-{number}.parquet"}
        )
    write_json(
        folder / JOB,
        {
            "path": str(job.file.path),
            "text": job.file.text,
            "recipe": job.file.recipe.model_dump(mode="json", exclude_unset=True),
            "sets": sets,
            "base": str(job.base),
            "out": str(job.out),
            "key": job.key,
            "device": job.device,
            "guide": str(job.guide) if job.guide else None,
            "resume": job.resume,
            "threads": n_threads(job.file.recipe.train.processes),
        },
    )


def _start(folder: Path, rank: int, n_ranks: int) -> Rank:
    rank_environment = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": n_ranks,
        "LOCAL_WORLD_SIZE": n_ranks,
        "OMP_NUM_THREADS": json.loads((folder / JOB).read_text(encoding="utf-8"))["threads"],
    }
    # Gloo would look for the machine's own name, which in a container often leads nowhere.
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    network_environment = {"GLOO_SOCKET_IFNAME": loopback} if loopback else {}
    with (folder / f"rank-{rank}.log").open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            [*COMMAND, str(folder)],
            env=network_environment
            | os.environ
            | {name: str(value) for name, value in rank_environment.items()},
            stdin=subprocess.PIPE,  # it closes when this process ends, however it ends
            stdout=subprocess.PIPE if rank == 0 else log,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process, which ends the ranks
        )


def _follow(ranks: Sequence[Rank], job: FitJob, folder: Path) -> None:
    """Hand on the steps until all ranks are done.

    :raises KembError: as soon as one has failed.
    """
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        assert ranks[0].stdout is not None
        for line in ranks[0].stdout:
            lines.put(line)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while listener.is_alive() or not lines.empty() or _running(ranks):
        if any(rank.poll() for rank in ranks):
            raise _failure(ranks, folder)
        with contextlib.suppress(queue.Empty):
            number, total, loss = json.loads(lines.get(timeout=0.1))
            if job.on_step:
                job.on_step(number, total, loss)
    if any(rank.poll() for rank in ranks):
        raise _failure(ranks, folder)


def _running(ranks: Sequence[Rank]) -> bool:
    return any(rank.poll() is None for rank in ranks)


def _failure(ranks: Sequence[Rank], folder: Path) -> KembError:
    """What the user should read of ranks of which one has failed."""
    until = time.monotonic() + GRACE
    while (
        time.monotonic() < until
        and all((rank.poll() or 0) >= 0 for rank in ranks)
        and _running(ranks)
    ):
        time.sleep(0.05)
    for path in sorted(folder.glob("error-*.json")):
        failure = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(errors, failure["kind"])
        return (
            kind(failure["message"])
            if kind.__init__ is Exception.__init__
            else RunError(failure["message"])
        )
    failures = []
    for number, rank in enumerate(ranks):
        code = rank.poll()
        if code is not None and code < 0:
            killed = f"process {number} of {len(ranks)} was killed by {signal.Signals(-code).name}"
            return RunError(
                f"The training stopped at once: {killed}, the others were ended. (Out of memory, "
                "perhaps: lower train.batch.) Type the same command to go on from "
                "the last checkpoint."
            )
        if code:
            lines = (
                (folder / f"rank-{number}.log")
                .read_text(encoding="utf-8", errors="replace")
                .split("\n")
            )
            last = next(
                (line.strip() for line in reversed(lines) if line.strip()), "it said nothing"
            )
            failures.append(f"process {number} of {len(ranks)} failed: {last[:300]}")
    return RunError(
        f"The training stopped: {'; '.join(failures)}. More is in {folder}/rank-*.log. Type the "
        "same command to go on from the last checkpoint."
    )


def _end(ranks: Sequence[Rank]) -> None:
    """End what still runs."""
    for rank in ranks:
        if rank.stdin:
            rank.stdin.close()
        if rank.poll() is None:
            rank.terminate()
    for rank in ranks:
        try:
            rank.wait(GRACE)
        except subprocess.TimeoutExpired:
            rank.kill()
            rank.wait()
        if rank.stdout:
            rank.stdout.close()


def _end_with_parent() -> None:
    """End this process when the one that started it ends, kill -9 included."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock a thread must not hold when Python ends
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(folder: Path) -> int:
    """One rank: take part in the fit of `folder`. Rank 0 prints its steps and writes the report."""
    from kemb.training.stages import write_json

    _end_with_parent()
    rank = int(os.environ["RANK"])
    steps = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no step

    def on_step(number: int, total: int, loss: float | None) -> None:
        print(json.dumps([number, total, loss]), file=steps, flush=True)

    try:
        report = _take_part(folder, rank, on_step if rank == 0 else None)
    except KembError as error:
        write_json(
            folder / f"error-{rank}.json", {"kind": type(error).__name__, "message": str(error)}
        )
        return 1
    if rank == 0:
        write_json(folder / REPORT, dataclasses.asdict(report))
    return 0


def _take_part(folder: Path, rank: int, on_step: Any) -> FitReport:  # noqa: ANN401  guards.OnStep, or nothing
    import torch

    from kemb.training import fit

    content = json.loads((folder / JOB).read_text(encoding="utf-8"))
    torch.set_num_threads(content["threads"])
    job = _read_job(content, folder, rank, on_step)
    on_gpu = job.device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=(folder / "rendezvous")
        .resolve()
        .as_uri(),  # no port that another program may take
        rank=rank,
        world_size=job.file.recipe.train.processes,
    )
    report = fit.fit(job)
    torch.distributed.barrier()  # the others stay until rank 0 has saved
    torch.distributed.destroy_process_group()
    return report


def _read_job(content: dict[str, Any], folder: Path, rank: int, on_step: Any) -> FitJob:  # noqa: ANN401  as above
    import pyarrow.parquet as pq

    from kemb.training.fit import FitJob
    from kemb.training.losses import LossKind, TrainingSet
    from kemb.training.recipe import Recipe, RecipeFile

    return FitJob(
        file=RecipeFile(
            Path(content["path"]), content["text"], Recipe.model_validate(content["recipe"])
        ),
        sets=[
            TrainingSet(
                **entry
                | {
                    "kind": LossKind(**entry["kind"]),
                    "table": pq.read_table(folder / entry["table"]),
                }
            )
            for entry in content["sets"]
        ],
        base=Path(content["base"]),
        out=Path(content["out"]),
        key=content["key"],
        device=f"cuda:{rank}" if content["device"].startswith("cuda") else content["device"],
        guide=Path(content["guide"]) if content["guide"] else None,
        resume=content["resume"],
        on_step=on_step,
        rank=rank,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
