"""Encode what the store lacks: unique inputs, grouped, batched by token budget. The only caller of
`.encode`.

A plan is made from the full set of unique inputs, before the store is subtracted: inputs are sorted
by (route, prompt, length) and cut into groups. A group is the unit of work: what it lacks is
tokenised, batched and written as one shard, whole or not at all. So a run that is killed and
started again makes the same batches, and gives the same bits, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from kemb.encoding import joining
from kemb.encoding.batches import Batched, Budget, Failed, Finished, Written
from kemb.encoding.collection import Collection
from kemb.encoding.executors import Executor
from kemb.encoding.executors.here import here
from kemb.encoding.job import Beside, Job
from kemb.encoding.store import Space
from kemb.errors import ModelError
from kemb.models.encoders import Encoder

__all__ = ["Beside", "Budget", "OnProgress", "Progress", "encode_missing"]


@dataclass(slots=True)
class Progress:
    """What has been done so far; handed to the callback after every batch."""

    n_texts: int
    n_unique: int
    n_stored: int
    n_encoded: int = 0
    n_tokens: int = 0
    n_batches: int = 0
    n_shards: int = 0
    seconds: float = 0.0
    token_limit: int | None = None
    """Padded tokens per batch after out-of-memory back-off, if there was any."""
    calls: dict[str, int] = field(default_factory=dict)
    """Of an API: what it was asked."""
    machines: list[dict[str, str]] = field(default_factory=list)
    """Of a cluster: the machines that encoded, as `Machine.record`."""

    def add(self, work: Batched | Written, seconds: float) -> None:
        """Count a batch, or a group that was written elsewhere."""
        self.n_encoded += work.n_texts
        self.n_tokens += work.n_tokens
        self.n_batches += work.n_batches if isinstance(work, Written) else 1
        self.n_shards += isinstance(work, Written)
        self.seconds = seconds
        limits = [limit for limit in (self.token_limit, work.token_limit) if limit is not None]
        self.token_limit = min(limits, default=None)


OnProgress = Callable[[Progress], None]


def encode_missing(
    collection: Collection,
    space: Space,
    open_encoder: Callable[[], Encoder | Executor],
    budget: Budget,
    on_progress: OnProgress = lambda progress: None,
    beside: Sequence[Beside] = (),
    elsewhere: Callable[[], Job] | None = None,
) -> Progress:
    """Encode the inputs of `collection` that `space` lacks; the encoder is opened only if there are
    any.

    :param beside: where the other kinds of rows belong that the encoder makes in the same pass, in
        its order.
    :param elsewhere: as of `Job`.

    :raises ModelError: for vectors that are not finite or have another dimension, with the place of
        the input.
    :raises DiskError: when the store cannot be written; finished groups are kept.
    """
    stored = space.stored(collection.keys)
    progress = Progress(collection.n_texts, len(collection), n_stored=int(stored.sum()))
    on_progress(progress)
    if stored.all():
        if joining.is_due(space, collection.keys):
            Job(collection, space, budget).join()
        return progress
    started = time.perf_counter()
    encoder = open_encoder()
    executor = encoder if isinstance(encoder, Executor) else here(encoder)

    def find(n_texts: int) -> None:
        progress.n_stored += n_texts  # another command was faster
        on_progress(progress)

    job = Job(collection, space, budget, beside, find, elsewhere)
    with closing(executor.run(job)) as events:
        for number, event in events:
            match event:
                case Batched() | Written():
                    progress.add(event, time.perf_counter() - started)
                    progress.calls, progress.machines = executor.calls, executor.machines
                    on_progress(progress)
                    if isinstance(event, Written):
                        job.join(number)
                case Finished():
                    job.write(number, event)
                    job.join(number)
                    progress.n_shards += 1
                case Failed(row, before, after):
                    raise ModelError(f"{before}{job.where(number, row)}{after}")
    job.join()
    progress.seconds = time.perf_counter() - started
    return progress
