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
from functools import partial

import numpy as np

from kemb.arrays import IntArray, Ragged, Rows, kinds_of
from kemb.encoding.batches import Batched, Budget, Failed, Finished, GroupEncoder, encode_here
from kemb.encoding.shards import Keys
from kemb.encoding.store import Space, input_keys
from kemb.encoding.workers import Workers
from kemb.errors import ModelError
from kemb.models.encoders import Encoder, StreamEncoder
from kemb.types import Input

__all__ = ["Beside", "Budget", "Collection", "OnProgress", "Progress", "Texts", "encode_missing"]


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts under one route and prompt, and a way to say where row i came from."""

    route: str
    prompt: str
    texts: Sequence[str]
    keys: Keys
    where: Callable[[int], str]

    @classmethod
    def of(
        cls, route: str, prompt: str, texts: Sequence[str], where: Callable[[int], str]
    ) -> Texts:
        """The column with its keys computed."""
        return cls(route, prompt, texts, input_keys(route, prompt, texts), where)


@dataclass(frozen=True, slots=True)
class Beside:
    """Where rows of another kind go that a forward pass makes too, and of which inputs they are
    wanted.
    """

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

    def add(self, batch: Batched, seconds: float) -> None:
        """Count a batch."""
        self.n_encoded += batch.n_texts
        self.n_tokens += batch.n_tokens
        self.n_batches += 1
        self.seconds = seconds
        limits = [limit for limit in (self.token_limit, batch.token_limit) if limit is not None]
        self.token_limit = min(limits, default=None)


OnProgress = Callable[[Progress], None]


class Collection:
    """The unique inputs of a command for one model, and which column and row each came from."""

    def __init__(self, columns: Sequence[Texts]) -> None:
        self.columns = columns
        every = (
            np.concatenate([column.keys for column in columns])
            if columns
            else np.empty(0, dtype="S32")
        )
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
        """Unique inputs in groups of about `group_chars` characters; equal (route, prompt), similar
        lengths.

        The longest come first within a prompt, so that running out of memory shows at once.
        """
        rank = {
            head: place
            for place, head in enumerate(sorted({(c.route, c.prompt) for c in self.columns}))
        }
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
    open_encoder: Callable[[], Encoder | Workers],
    budget: Budget,
    on_progress: OnProgress = lambda progress: None,
    beside: Sequence[Beside] = (),
) -> Progress:
    """Encode the inputs of `collection` that `space` lacks; the encoder is opened only if there are
    any.

    :param beside: where the other kinds of rows belong that the encoder makes in the same pass, in
        its order.

    :raises ModelError: for vectors that are not finite or have another dimension, with the place of
        the input.
    :raises DiskError: when the store cannot be written; finished groups are kept.
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
    groups = [group[~stored[group]] for group in collection.groups(budget.group_chars)]
    groups = [group for group in groups if len(group)]

    def draw(group: IntArray) -> list[Input] | None:
        if space.stored(collection.keys[group], fresh=False).all():
            progress.n_stored += len(group)  # another command was faster
            on_progress(progress)
            return None
        return [collection.input(number) for number in group.tolist()]

    draws = [partial(draw, group) for group in groups]
    run = (
        encoder.encode(draws, budget)
        if isinstance(encoder, Workers)
        else encode_here(encoder, draws, budget)
    )
    with closing(run) as events:
        for number, event in events:
            match event:
                case Batched():
                    progress.add(event, time.perf_counter() - started)
                    on_progress(progress)
                case Finished():
                    _keep_group(collection, groups[number], event, space, beside)
                    progress.n_shards += 1
                case Failed(row, before, after):
                    raise ModelError(f"{before}{collection.where(int(groups[number][row]))}{after}")
    progress.seconds = time.perf_counter() - started
    return progress


def _stream_missing(
    collection: Collection,
    space: Space,
    encoder: StreamEncoder,
    progress: Progress,
    on_progress: OnProgress,
) -> Progress:
    """Many batches at once; each is written as soon as it is there, so that none is paid
    for twice.
    """
    started = time.perf_counter()
    max_batch, batch_tokens = encoder.limits
    work, budget = GroupEncoder(encoder), Budget(1 << 62, batch_tokens, max_batch)
    stored = space.stored(collection.keys)
    batches_of_plan = []
    for group in collection.groups(budget.group_chars):
        batches = work.batches([collection.input(number) for number in group.tolist()], budget)
        batches_of_plan += [group[batch.rows] for batch in batches]
    plan = [numbers[~stored[numbers]] for numbers in batches_of_plan]
    plan = [numbers for numbers in plan if len(numbers)]
    inputs = ([collection.input(number) for number in numbers.tolist()] for numbers in plan)
    for answer in encoder.stream(inputs):
        numbers = plan[answer.number]
        _check(collection, numbers, answer.vectors, space)
        space.add(collection.keys[numbers], answer.vectors)
        progress.n_encoded += len(numbers)
        progress.n_tokens += answer.n_tokens
        progress.n_batches += 1
        progress.n_shards += 1
        progress.seconds = time.perf_counter() - started
        progress.calls = dict(encoder.calls)
        on_progress(progress)
    return progress


def _keep_group(
    collection: Collection,
    group: IntArray,
    finished: Finished,
    space: Space,
    beside: Sequence[Beside],
) -> None:
    """One shard of the space; rows of other kinds are stored before, so that a killed run makes
    them again.
    """
    numbers = group[finished.rows]
    rows, *rows_beside = kinds_of(finished.vectors)
    for place, rows_of_kind in zip(beside, rows_beside, strict=True):
        place.space.describe(finished.facts)
        _keep_beside(collection, numbers, rows_of_kind, finished.counts, place)
    _check(collection, numbers, rows, space)
    space.describe(finished.facts)
    space.add(collection.keys[numbers], rows, finished.counts)


def _keep_beside(
    collection: Collection, numbers: IntArray, rows: Rows, counts: IntArray | None, beside: Beside
) -> None:
    """Store the rows of another kind that are wanted and not there."""
    keys = collection.keys[numbers]
    is_missing = ~beside.space.stored(keys, fresh=False)
    missing_rows = np.flatnonzero(np.isin(keys, beside.keys) & is_missing)
    if len(missing_rows):
        missing_vectors = (
            rows.take(missing_rows) if isinstance(rows, Ragged) else rows[missing_rows]
        )
        _check(collection, numbers[missing_rows], missing_vectors, beside.space)
        beside.space.add(
            keys[missing_rows], missing_vectors, None if counts is None else counts[missing_rows]
        )


def _check(collection: Collection, numbers: IntArray, vectors: Rows, space: Space) -> None:
    """Refuse vectors that are not numbers or have another dimension than those stored before."""
    bad = _not_finite(vectors)
    if len(bad):
        number = int(numbers[bad[0]])
        raise ModelError(
            f"The model {space.fingerprint['model']} gave a vector that is not a number (NaN or "
            f"infinite) for {collection.where(number)}: {collection.input(number).text[:80]!r}; "
            f"{len(bad)} of {len(vectors)} vectors in this group are affected and none was stored. "
            "Try --dtype float32."
        )
    expected = space.dim()
    if expected is not None and expected != vectors.shape[1]:
        raise ModelError(
            f"The model {space.fingerprint['model']} gave vectors of {vectors.shape[1]} "
            f"dimensions, but the store {space.folder} holds {expected} for the same model and "
            "revision. If the model changed under its "
            "revision, remove that folder and run again."
        )


def _not_finite(vectors: Rows) -> IntArray:
    """Rows that hold NaN or infinite values."""
    if not isinstance(vectors, Ragged):
        return np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    places = np.flatnonzero(~np.isfinite(vectors.values).all(axis=1))
    return np.unique(np.searchsorted(vectors.offsets, places, side="right") - 1)
