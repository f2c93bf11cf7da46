"""The life of an actor: it opens the model once, makes the job of the command again by itself, then
encodes the groups whose numbers it is sent and writes them to the store.

Numbers come in and counts go out; texts and vectors never pass the driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple

from kemb.encoding import leases, records
from kemb.encoding.batches import Batch, Batched, Event, Failed, Finished, GroupEncoder, Written
from kemb.encoding.executors.desk import Parcel
from kemb.encoding.executors.here import Streaming, batches_of, pulled
from kemb.encoding.executors.machines import Machine, machine
from kemb.encoding.job import Job
from kemb.errors import KembError, UsageError
from kemb.models.encoders import Encoder, StreamEncoder
from kemb.models.encoders.failures import reason


class Opened(NamedTuple):
    """The model is open."""

    machine: Machine


class Unopened(NamedTuple):
    """It is not."""

    text: str
    is_usage: bool


class Refused(NamedTuple):
    """The actor cannot take part in a job: it does not see what the driver sees."""

    text: str


class Answer(NamedTuple):
    """A parcel is done."""

    work: Written
    n_found: int
    """Texts that another command had stored meanwhile."""
    calls: Mapping[str, int]
    """As `Executor.calls`, of the actor so far."""


class Broken(NamedTuple):
    """A parcel failed, and where."""

    text: str


@dataclass(slots=True)
class _Task:
    """A group on its way through the actor."""

    number: int
    n_found: int = 0
    batches: list[Batch] | None = None
    """None where another command was faster."""
    answer: Future[Written] = field(default_factory=Future)


class Encoding:
    """An actor. Its methods may be called from several threads."""

    def __init__(self, n_threads: int) -> None:
        """:param n_threads: of every actor of a plan: torch may round otherwise with others."""
        self._n_threads = n_threads
        self._encoder: Encoder | None = None
        self._work: GroupEncoder | None = None
        self._job: Job | None = None
        self._inbox: SimpleQueue[_Task] = SimpleQueue()
        self._store = threading.Lock()
        """Only one thread at a time reads or writes the space."""

    def node(self) -> str:
        """The id of the node that the actor is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def open(self, opener: Callable[[], Encoder], device: str) -> Opened | Unopened:
        """Load the model."""
        try:
            self._encoder = opener()
        except KembError as error:
            return Unopened(str(error), isinstance(error, UsageError))
        except Exception as error:  # whatever a model's own code raises
            return Unopened(f"An actor could not load the model: {reason(error)}.", False)
        if not isinstance(self._encoder, StreamEncoder):
            self._work = GroupEncoder(self._encoder)
            threading.Thread(target=self._serve, daemon=True).start()
        return Opened(machine(device, self._n_threads))

    def begin(self, elsewhere: Callable[[], Job], plan: Mapping[str, object]) -> Refused | None:
        """Make the job again and compare it with the driver's.

        :param plan: `Job.plan` of the driver.
        """
        try:
            job = elsewhere()
            if isinstance(self._encoder, StreamEncoder):
                job.groups = batches_of(self._encoder, job.collection)
        except Exception as error:  # of the data's readers, or a failure to unpickle
            text = str(error) if isinstance(error, KembError) else reason(error)
            return Refused(f"it cannot read the data of the command: {text}")
        if records.read(job.space, f"{plan['plan']}.json") is None:
            return Refused(
                f"it does not see in {job.space.place} what the command wrote there. The store "
                "must lie where all nodes see it: name a folder of a shared file system, or an "
                "object store, with --store."
            )
        mine = job.plan()
        if mine != plan:
            return Refused(
                f"it makes another plan of the same command: {mine['n_inputs']:,} texts in "
                f"{mine['n_groups']:,} groups, where the command has {plan['n_inputs']:,} in "
                f"{plan['n_groups']:,}, or the texts differ. Bring the same data to all nodes."
            )
        job.on_found = lambda n_texts: None
        self._job = job
        return None

    def encode(self, parcel: Parcel, is_again: bool = False) -> Answer | Broken:
        """Encode groups and write them.

        :param is_again: another actor had them, and may have stored them.
        """
        try:
            if is_again:
                assert self._job is not None
                with self._store:
                    self._job.look()
            if isinstance(self._encoder, StreamEncoder):
                return self._streamed(self._encoder, parcel)
            tasks = [_Task(number) for number in parcel]
            for task in tasks:
                self._inbox.put(task)
            parts = [task.answer.result() for task in tasks]
            return Answer(_sum(parts), sum(task.n_found for task in tasks), {})
        except _Failure as failure:
            return Broken(str(failure))
        except KembError as error:
            return Broken(str(error))
        except Exception as error:  # whatever a model's own code raises
            assert self._job is not None
            where = self._job.where(parcel[0], 0)
            return Broken(
                f"An actor failed ({reason(error)}) at the texts that begin with {where}."
            )

    def end(self) -> None:
        """Give the spaces back that this process holds; it will be killed then."""
        leases.let_go()

    def _serve(self) -> None:
        """Groups, one after the other: the next is tokenised, and the last is written, while one is
        in the model.
        """
        with ThreadPoolExecutor(1) as tokeniser, ThreadPoolExecutor(1) as writer:
            before: Future[None] | None = None
            for prepared in pulled(self._inbox, self._prepare, tokeniser):
                task = prepared.result()
                if task.answer.done():
                    continue
                try:
                    events = self._events(task)
                except Exception as error:
                    task.answer.set_exception(error)
                    continue
                if before is not None:
                    before.result()  # one group at most waits to be written
                before = writer.submit(self._write, task, events)

    def _prepare(self, task: _Task) -> _Task:
        """Draw a group and make its batches; a failure becomes the task's answer."""
        job, work = self._job, self._work
        assert job is not None
        assert work is not None
        try:
            with self._store:
                inputs = job.draw(task.number)
            if inputs is None:
                task.n_found = len(job.groups[task.number])
                task.answer.set_result(Written(0, 0, 0, None))
            else:
                task.batches = work.batches(inputs, job.budget)
        except Exception as error:
            task.answer.set_exception(error)
        return task

    def _events(self, task: _Task) -> list[Event]:
        """What the model makes of a group.

        :raises _Failure: it fails.
        """
        job, work = self._job, self._work
        assert job is not None
        assert work is not None
        assert task.batches is not None
        events: list[Event] = []
        for event in work.events(task.batches):
            if isinstance(event, Failed):
                where = job.where(task.number, event.row)
                raise _Failure(f"{event.before}{where}{event.after}")
            events.append(event)
        return events

    def _write(self, task: _Task, events: Sequence[Event]) -> None:
        try:
            assert self._job is not None
            with self._store:
                task.answer.set_result(_written(self._job, task.number, events))
        except Exception as error:
            task.answer.set_exception(error)

    def _streamed(self, encoder: StreamEncoder, parcel: Parcel) -> Answer:
        """Batches of an endpoint; each is written as soon as it is there."""
        job = self._job
        assert job is not None
        n_found: list[int] = []
        job.on_found = n_found.append
        streaming = Streaming(encoder)
        parts = [
            _written(job, number, [event]) for number, event in streaming.run_some(job, parcel)
        ]
        return Answer(_sum(parts), sum(n_found), streaming.calls)


class _Failure(Exception):
    """A group failed; the message says where."""


def _written(job: Job, number: int, events: Sequence[Event]) -> Written:
    """Write what the events of a group hold, and count them."""
    parts = []
    for event in events:
        if isinstance(event, Finished):
            job.write(number, event)
        if isinstance(event, Batched):
            parts.append(Written(event.n_texts, event.n_tokens, 1, event.token_limit))
    return _sum(parts)


def _sum(parts: Sequence[Written]) -> Written:
    limits = [part.token_limit for part in parts if part.token_limit is not None]
    return Written(
        sum(part.n_texts for part in parts),
        sum(part.n_tokens for part in parts),
        sum(part.n_batches for part in parts),
        min(limits, default=None),
    )
