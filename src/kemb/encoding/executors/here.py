"""Groups encoded in this process: by a model, tokenised ahead in a thread, or by an endpoint, many
requests at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

import numpy as np

from kemb.arrays import IntArray
from kemb.encoding.batches import Batch, Batched, Budget, Event, Finished, GroupEncoder
from kemb.encoding.collection import Collection
from kemb.encoding.executors import Executor
from kemb.encoding.job import Job
from kemb.models.encoders import Encoder, StreamEncoder
from kemb.types import Input

S = TypeVar("S")
T = TypeVar("T")


def here(encoder: Encoder) -> Executor:
    """The executor of an encoder that is open in this process."""
    return Streaming(encoder) if isinstance(encoder, StreamEncoder) else Here(encoder)


class Here:
    """One group after the other; the next is tokenised in a thread meanwhile."""

    def __init__(self, encoder: Encoder) -> None:
        self._work = GroupEncoder(encoder)
        self.calls: dict[str, int] = {}
        self.machines: list[dict[str, str]] = []

    def run(self, job: Job) -> Generator[tuple[int, Event], None, None]:
        """As `Executor.run`."""

        def prepare(number: int, inputs: list[Input]) -> tuple[int, list[Batch]]:
            return number, self._work.batches(inputs, job.budget)

        groups = (
            (number, inputs) for number in job.pending() if (inputs := job.draw(number)) is not None
        )
        for number, batches in _ahead(partial(prepare, *group) for group in groups):
            for event in self._work.events(batches):
                yield number, event


class Streaming:
    """Many batches at once; each is a group, so that it is written as soon as it is there and none
    is paid for twice.
    """

    def __init__(self, encoder: StreamEncoder) -> None:
        self._encoder = encoder
        self.machines: list[dict[str, str]] = []

    def run(self, job: Job) -> Generator[tuple[int, Event], None, None]:
        """As `Executor.run`; the groups of the job become the batches of the endpoint."""
        job.groups = batches_of(self._encoder, job.collection)
        yield from self.run_some(job, job.pending())

    def run_some(self, job: Job, numbers: Sequence[int]) -> Iterator[tuple[int, Event]]:
        """As `run`, of some of the job's groups, which are batches of the endpoint."""
        numbers_by_place: list[int] = []

        def inputs_of_batches() -> Iterator[list[Input]]:
            for number in numbers:
                if (inputs := job.draw(number)) is not None:
                    numbers_by_place.append(number)
                    yield inputs

        for answer in self._encoder.stream(inputs_of_batches()):
            number, n_texts = numbers_by_place[answer.number], len(answer.vectors)
            yield number, Finished(np.arange(n_texts), answer.vectors, None, {})
            yield number, Batched(n_texts, answer.n_tokens, None)

    @property
    def calls(self) -> dict[str, int]:
        """As `Executor.calls`."""
        return dict(self._encoder.calls)


def batches_of(encoder: StreamEncoder, collection: Collection) -> list[IntArray]:
    """The batches that an endpoint is asked for, whatever is stored; numbers of unique inputs."""
    max_batch, batch_tokens = encoder.limits
    work, budget = GroupEncoder(encoder), Budget(1 << 62, batch_tokens, max_batch)
    batches: list[IntArray] = []
    for group in collection.groups(budget.group_chars):
        inputs = [collection.input(number) for number in group.tolist()]
        batches += [group[batch.rows] for batch in work.batches(inputs, budget)]
    return batches


def _ahead(steps: Iterator[Callable[[], T]]) -> Iterator[T]:
    """Results of `steps` in order, each computed in a thread while the one before is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = None
        for step in steps:
            following = pool.submit(step)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()


def pulled(
    inbox: SimpleQueue[S], prepare: Callable[[S], T], pool: ThreadPoolExecutor
) -> Iterator[Future[T]]:
    """What `prepare` makes of one task after the other, for ever; that of the next, if it is there,
    is made meanwhile.

    :param pool: of one thread.
    """
    following: Future[T] | None = None
    while True:
        current = following or pool.submit(prepare, inbox.get())
        following = None
        current.exception()  # wait: the thread prepares one task at a time
        with contextlib.suppress(Empty):
            following = pool.submit(prepare, inbox.get_nowait())
        yield current
