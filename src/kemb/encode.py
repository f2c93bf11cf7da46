"""Encode what the store lacks: unique inputs, grouped, batched by token budget. The only caller of `.encode`.

A plan is made from the full set of unique inputs, before the store is subtracted: inputs are sorted by (route,
prompt, length) and cut into groups. A group is the unit of work: what it lacks is tokenised, batched and written as
one shard, whole or not at all. So a run that is killed and started again makes the same batches, and gives the same
bits, as one that was not (DESIGN 3.6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from kemb.errors import ModelError
from kemb.models.encoders import Encoder, OutOfMemory, StreamEncoder, TwoStageEncoder
from kemb.shards import Keys
from kemb.store import Space, input_keys
from kemb.types import Input, IntArray, Ragged, Rows, Together, kinds_of, stack_together

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts under one route and prompt, and a way to say where row i came from."""

    route: str
    prompt: str
    texts: Sequence[str]
    keys: Keys
    where: Callable[[int], str]

    @classmethod
    def of(cls, route: str, prompt: str, texts: Sequence[str], where: Callable[[int], str]) -> Texts:
        """The column with its keys computed."""
        return cls(route, prompt, texts, input_keys(route, prompt, texts), where)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much work goes together: characters per group (one shard), tokens per batch (one forward pass)."""

    group_chars: int
    batch_tokens: int
    max_batch: int

    @classmethod
    def for_device(cls, device: str) -> Budget:
        """Small batches on a CPU, where padding costs more than calls; large ones on an accelerator."""
        if device == "cpu":
            return cls(group_chars=1 << 15, batch_tokens=1 << 10, max_batch=64)
        return cls(group_chars=1 << 20, batch_tokens=1 << 15, max_batch=1024)


@dataclass(frozen=True, slots=True)
class Beside:
    """Where rows of another kind go that a forward pass makes too, and of which inputs they are wanted."""

    space: Space
    keys: Keys
    """Sorted."""


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


OnProgress = Callable[[Progress], None]


class Collection:
    """The unique inputs of a command for one model, and which column and row each came from."""

    def __init__(self, columns: Sequence[Texts]) -> None:
        self.columns = columns
        every = np.concatenate([column.keys for column in columns]) if columns else np.empty(0, dtype="S32")
        self.n_texts = len(every)
        self.keys, first = np.unique(every, return_index=True)
        starts = np.cumsum([0, *(len(column.keys) for column in columns)])
        column_of = np.searchsorted(starts, first, side="right") - 1
        self._column_of: list[int] = column_of.tolist()
        self._row_of: list[int] = (first - starts[column_of]).tolist()

    def __len__(self) -> int:
        return len(self.keys)

    def input(self, number: int) -> Input:
        """Unique input `number`."""
        column, row = self._locate(number)
        return Input(column.route, column.prompt, column.texts[row])

    def where(self, number: int) -> str:
        """Where unique input `number` occurs first: task, split, column and item id."""
        column, row = self._locate(number)
        return column.where(row)

    def groups(self, group_chars: int) -> list[IntArray]:
        """Unique inputs in groups of about `group_chars` characters; equal (route, prompt), similar lengths.

        The longest come first within a prompt, so that running out of memory shows at once.
        """
        rank = {head: place for place, head in enumerate(sorted({(c.route, c.prompt) for c in self.columns}))}
        rank_of_column = np.array([rank[c.route, c.prompt] for c in self.columns], dtype=np.int64)
        head = rank_of_column[self._column_of]
        texts = [column.texts for column in self.columns]
        places = zip(self._column_of, self._row_of, strict=True)
        length = np.array([len(texts[column][row]) for column, row in places], dtype=np.int64)
        order = np.lexsort((np.arange(len(self)), -length, head))
        groups, start, chars = [], 0, 0
        for place, number in enumerate(order.tolist()):
            new_head = place > start and head[number] != head[order[start]]
            if place > start and (new_head or chars + length[number] > group_chars):
                groups.append(order[start:place])
                start, chars = place, 0
            chars += int(length[number])
        if len(order):
            groups.append(order[start:])
        return groups

    def _locate(self, number: int) -> tuple[Texts, int]:
        return self.columns[self._column_of[number]], self._row_of[number]


def encode_missing(
    collection: Collection,
    space: Space,
    open_encoder: Callable[[], Encoder],
    budget: Budget,
    on_progress: OnProgress = lambda progress: None,
    beside: Sequence[Beside] = (),
) -> Progress:
    """Encode the inputs of `collection` that `space` lacks; the encoder is opened only if there are any.

    :param beside: where the other kinds of rows belong that the encoder makes in the same pass, in its order.

    :raises ModelError: for vectors that are not finite or have another dimension, with the place of the input.
    :raises StoreError: when the store cannot be written; finished groups are kept.
    """
    stored = space.stored(collection.keys)
    progress = Progress(collection.n_texts, len(collection), n_stored=int(stored.sum()))
    on_progress(progress)
    if stored.all():
        return progress
    started = time.perf_counter()
    encoder = open_encoder()
    if isinstance(encoder, StreamEncoder):
        return _stream_missing(collection, space, encoder, progress, on_progress)
    work = _Work(collection, encoder, budget)
    groups = [missing for group in collection.groups(budget.group_chars) if len(missing := group[~stored[group]])]
    for batches in _ahead(partial(work.batches, group) for group in groups):
        numbers = np.concatenate([batch.numbers for batch in batches])
        if space.stored(collection.keys[numbers]).all():
            progress.n_stored += len(numbers)  # another process was faster
            on_progress(progress)
            continue
        made = stack_together([work.run(batch, progress, started, on_progress) for batch in batches])
        vectors, *others = kinds_of(made)
        for place, rows in zip(beside, others, strict=True):  # first, so that a killed run makes the group again
            work.keep_beside(numbers, rows, place)
        work.check(numbers, vectors, space)
        space.add(collection.keys[numbers], vectors)
        progress.n_shards += 1
    progress.seconds = time.perf_counter() - started
    return progress


def _stream_missing(
    collection: Collection, space: Space, encoder: StreamEncoder, progress: Progress, on_progress: OnProgress
) -> Progress:
    """Many batches at once; each is written as soon as it is there, so that none is paid for twice."""
    started = time.perf_counter()
    max_batch, batch_tokens = encoder.limits
    work = _Work(collection, encoder, Budget(1 << 62, batch_tokens, max_batch))
    stored = space.stored(collection.keys)
    plan = [batch.numbers for group in collection.groups(1 << 62) for batch in work.batches(group)]
    plan = [missing for numbers in plan if len(missing := numbers[~stored[numbers]])]
    inputs = ([collection.input(number) for number in numbers.tolist()] for numbers in plan)
    for done in encoder.stream(inputs):
        numbers = plan[done.number]
        work.check(numbers, done.vectors, space)
        space.add(collection.keys[numbers], done.vectors)
        progress.n_encoded += len(numbers)
        progress.n_tokens += done.n_tokens
        progress.n_batches += 1
        progress.n_shards += 1
        progress.seconds = time.perf_counter() - started
        progress.calls = dict(encoder.calls)
        on_progress(progress)
    return progress


@dataclass(frozen=True, slots=True)
class _Batch:
    """Unique inputs that go through the model together, longest first."""

    numbers: IntArray
    tokens: IntArray
    inputs: list[Input]
    prepared: object


class _Work:
    """One encoder at work on one collection."""

    def __init__(self, collection: Collection, encoder: Encoder, budget: Budget) -> None:
        self.collection = collection
        self.encoder = encoder
        self.two_stage = encoder if isinstance(encoder, TwoStageEncoder) else None
        self.budget = budget
        self.limit: int | None = None
        """Padded tokens per batch that are known to fit, once a batch did not."""

    def batches(self, group: IntArray) -> list[_Batch]:
        """The batches of a group: sorted by token count, padded cost within the budget, tokenised."""
        inputs = [self.collection.input(number) for number in group.tolist()]
        tokens = self.encoder.token_counts(inputs)
        order = np.argsort(-tokens, kind="stable")
        batches, start = [], 0
        while start < len(order):
            fit = max(1, self.budget.batch_tokens // max(int(tokens[order[start]]), 1))
            chosen = order[start : start + min(fit, self.budget.max_batch)]
            batches.append(self._batch(group[chosen], tokens[chosen], [inputs[i] for i in chosen.tolist()]))
            start += len(chosen)
        return batches

    def _batch(self, numbers: IntArray, tokens: IntArray, inputs: list[Input]) -> _Batch:
        return _Batch(numbers, tokens, inputs, self.two_stage.prepare(inputs) if self.two_stage else None)

    def run(self, batch: _Batch, progress: Progress, started: float, on_progress: OnProgress) -> Rows | Together:
        """Vectors of a batch; halved and tried again when it does not fit in memory."""
        cost = len(batch.numbers) * int(batch.tokens.max())
        if self.limit is None or cost <= self.limit or len(batch.numbers) == 1:
            try:
                vectors = self._forward(batch)
            except OutOfMemory:
                if len(batch.numbers) == 1:
                    raise ModelError(
                        f"One text of {cost} tokens does not fit in memory ({self._where(batch)}). "
                        "Cut texts with --max-tokens N, use --dtype bfloat16, or another --device."
                    ) from None
                self.limit = progress.token_limit = cost // 2
            else:
                progress.n_encoded += len(batch.numbers)
                progress.n_tokens += int(batch.tokens.sum())
                progress.n_batches += 1
                progress.seconds = time.perf_counter() - started
                on_progress(progress)
                return vectors
        half = len(batch.numbers) // 2
        halves = [
            self._batch(batch.numbers[part], batch.tokens[part], batch.inputs[part])
            for part in (slice(0, half), slice(half, None))
        ]
        return stack_together([self.run(part, progress, started, on_progress) for part in halves])

    def _forward(self, batch: _Batch) -> Rows | Together:
        vectors: Rows | Together
        if self.two_stage is not None:
            vectors = self.two_stage.encode_prepared(batch.prepared)
        else:
            vectors = self.encoder.encode(batch.inputs)
        if len(vectors) != len(batch.numbers):
            raise ModelError(
                f"The model returned {len(vectors)} vectors for {len(batch.numbers)} texts ({self._where(batch)})."
            )
        return vectors

    def keep_beside(self, numbers: IntArray, rows: Rows, beside: Beside) -> None:
        """Store the rows of another kind that are wanted and not there."""
        keys = self.collection.keys[numbers]
        wanted = np.flatnonzero(np.isin(keys, beside.keys) & ~beside.space.stored(keys))
        if len(wanted):
            chosen = rows.take(wanted) if isinstance(rows, Ragged) else rows[wanted]
            self.check(numbers[wanted], chosen, beside.space)
            beside.space.add(keys[wanted], chosen)

    def check(self, numbers: IntArray, vectors: Rows, space: Space) -> None:
        """Refuse vectors that are not numbers or have another dimension than those stored before."""
        bad = _not_finite(vectors)
        if len(bad):
            number = int(numbers[bad[0]])
            raise ModelError(
                f"The model {space.fingerprint['model']} gave a vector that is not a number (NaN or infinite) for "
                f"{self.collection.where(number)}: {self.collection.input(number).text[:80]!r}; {len(bad)} of "
                f"{len(vectors)} vectors in this group are affected and none was stored. Try --dtype float32."
            )
        expected = space.dim()
        if expected is not None and expected != vectors.shape[1]:
            raise ModelError(
                f"The model {space.fingerprint['model']} gave vectors of {vectors.shape[1]} dimensions, but the store "
                f"{space.folder} holds {expected} for the same model and revision. If the model changed under its "
                "revision, remove that folder and run again."
            )

    def _where(self, batch: _Batch) -> str:
        return self.collection.where(int(batch.numbers[0]))


def _not_finite(vectors: Rows) -> IntArray:
    """Rows that hold NaN or infinite values."""
    if not isinstance(vectors, Ragged):
        return np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    places = np.flatnonzero(~np.isfinite(vectors.values).all(axis=1))
    return np.unique(np.searchsorted(vectors.offsets, places, side="right") - 1)


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
