"""Several processes for one model, each with the model loaded: one per GPU, or some that share the
cores of a CPU.

The parent draws groups, hands each to a process that is free, and is the only one that writes to
the store. A group is the unit of work in one process and in many, so the vectors are the same
(docs/store.md).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from typing import NamedTuple

from kemb.encoding.batches import Batched, Budget, Event, Failed, GroupEncoder
from kemb.encoding.executors.here import pulled
from kemb.encoding.job import Job
from kemb.errors import KembError, ModelError, UsageError
from kemb.models.encoders import Encoder
from kemb.models.encoders.failures import reason
from kemb.types import Input

Opener = Callable[[], Encoder]
"""Opens the encoder in a worker; it is sent there, so it is made of functions and data that can be
pickled.
"""
_STOP_SECONDS = 5.0


class _Task(NamedTuple):
    """What a worker is sent: the arguments of `GroupEncoder.batches`."""

    inputs: list[Input]
    budget: Budget


class _Opened(NamedTuple):
    """What a worker answers first."""


class _Unopened(NamedTuple):
    """What it answers when it has no model."""

    text: str
    is_usage: bool


@dataclass(slots=True)
class _Worker:
    """A process and the groups that it has been sent, the one under way first."""

    name: str
    process: SpawnProcess
    connection: Connection
    sent: deque[int] = field(default_factory=deque)
    is_open: bool = False


class Workers:
    """Processes that encode groups; started when there is work, kept until `close`."""

    def __init__(self, openers: Sequence[tuple[str, Opener]]) -> None:
        """:param openers: of each worker its device, for messages, and how it opens its encoder."""
        self._openers = openers
        self._workers: list[_Worker] = []
        self.calls: dict[str, int] = {}
        self.machines: list[dict[str, str]] = []

    def run(self, job: Job) -> Generator[tuple[int, Event], None, None]:
        """As `Executor.run`.

        A worker that is at work has the next group waiting, as long as there are enough groups for
        all.
        """
        waiting = deque(job.pending())
        n_workers = min(len(self._openers), len(waiting))
        try:
            with _quiet_start():
                self._workers += [
                    _start(*opener) for opener in self._openers[len(self._workers) : n_workers]
                ]
            for depth in (1, 2):
                for worker in self._workers[:n_workers]:
                    self._feed(worker, waiting, job, depth)
            while busy := [worker for worker in self._workers if worker.sent]:
                ready = wait([worker.connection for worker in busy])
                for worker in (worker for worker in busy if worker.connection in ready):
                    event = _received(worker)
                    if isinstance(event, _Opened):
                        worker.is_open = True
                        continue
                    yield worker.sent[0], event
                    if not isinstance(event, Batched):
                        worker.sent.popleft()
                        self._feed(worker, waiting, job, 2)
        finally:
            if any(
                worker.sent for worker in self._workers
            ):  # what they are doing is wanted no more
                self.close()

    def _feed(self, worker: _Worker, waiting: deque[int], job: Job, depth: int) -> None:
        """Send groups until the worker has `depth` of them; the last ones are for workers that have
        none.
        """
        while (
            waiting
            and len(worker.sent) < depth
            and (not worker.sent or len(waiting) > len(self._workers))
        ):
            number = waiting.popleft()
            if (inputs := job.draw(number)) is None:
                continue
            worker.sent.append(number)
            with contextlib.suppress(
                OSError
            ):  # a process that is gone is found when its answer is read
                worker.connection.send(_Task(inputs, job.budget))

    def close(self) -> None:
        """End all processes."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(_STOP_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
            worker.process.close()


def _start(device: str, opener: Opener) -> _Worker:
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs, opener), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is the end of what can be read
    return _Worker(device, process, ours)


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Started in here, a process ignores Ctrl-C, which is the parent's business, and imports
    nothing of the script.

    `spawn` imports the main module again; a script without `if __name__ == "__main__"` would run a
        second time.
    """
    main = sys.modules["__main__"]
    hidden: dict[str, object] = {
        name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)
    }
    main.__spec__ = None
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        yield
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, before)
        vars(main).update(hidden)


def _received(worker: _Worker) -> Event | _Opened:
    """The next answer of a worker; its end is a failure of the group that it had begun."""
    try:
        answer: Event | _Opened | _Unopened = worker.connection.recv()
    except (EOFError, OSError):
        return _died(worker)
    if isinstance(answer, _Unopened):
        raise (UsageError if answer.is_usage else ModelError)(answer.text)
    return answer


def _died(worker: _Worker) -> Failed:
    worker.process.join(_STOP_SECONDS)
    code = worker.process.exitcode
    how = f"exit code {code}"
    if code is not None and code < 0:
        how = f"signal {-code}"
        if -code == 9:
            how += ", which is mostly the system's when memory runs out"
    advice = (
        "What was finished is stored. Type fewer --workers or --device and run the same "
        "command again."
    )
    if not worker.is_open:
        raise ModelError(
            f"The worker process on {worker.name} ended while it loaded the model ({how}). {advice}"
        )
    return Failed(
        0,
        f"The worker process on {worker.name} ended ({how}) at the texts that begin with ",
        f". {advice}",
    )


def _serve(connection: Connection, opener: Opener) -> None:
    """The life of a worker: open the model, then encode what comes, until the parent ends it or is
    gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: SimpleQueue[_Task] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    try:
        work = GroupEncoder(opener())
    except KembError as error:
        _tell(connection, _Unopened(str(error), isinstance(error, UsageError)))
        return
    except Exception as error:  # whatever a model's own code raises
        text = f"A worker process could not load the model: {reason(error)}."
        _tell(connection, _Unopened(text, False))
        return
    _tell(connection, _Opened())
    with ThreadPoolExecutor(max_workers=1) as pool:
        for batches in pulled(inbox, lambda task: work.batches(*task), pool):
            try:
                for event in work.events(batches.result()):
                    _tell(connection, event)
            except KembError as error:
                _tell(connection, Failed(0, f"{error} The texts began with ", "."))
            except Exception as error:  # as above; here the parent says where
                before = f"A worker process failed ({reason(error)}) at the texts that begin with "
                _tell(connection, Failed(0, before, "."))


def _tell(connection: Connection, answer: Event | _Opened | _Unopened) -> None:
    """Send an answer; where the parent is gone, end as silently as by `_listen`."""
    try:
        connection.send(answer)
    except OSError:
        os._exit(0)


def _listen(connection: Connection, inbox: SimpleQueue[_Task]) -> None:
    """Read at once what the parent sends, so that it never waits; end with the parent, whatever
    ended it.
    """
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)
