"""One group of inputs through one encoder: batches by token budget, halved where they do not fit in
memory.

What happens is told as events, so that it may happen in this process or in another, on this machine
or on another (`kemb.encoding.executors`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kemb.arrays import IntArray, Rows, Together, stack_together
from kemb.errors import KembError
from kemb.models.encoders import Encoder, InputError, Measured, OutOfMemory, TwoStageEncoder
from kemb.types import Input


@dataclass(frozen=True, slots=True)
class Budget:
    """How much work goes together: characters per group (one shard), tokens per batch (one forward
    pass).
    """

    group_chars: int
    batch_tokens: int
    max_batch: int

    @classmethod
    def for_device(cls, device: str) -> Budget:
        """Small batches on a CPU, where padding costs more than calls; large ones on an
        accelerator.
        """
        if device == "cpu":
            return cls(group_chars=1 << 15, batch_tokens=1 << 10, max_batch=64)
        return cls(group_chars=1 << 20, batch_tokens=1 << 15, max_batch=1024)


class Batched(NamedTuple):
    """A batch went through the model."""

    n_texts: int
    n_tokens: int
    token_limit: int | None
    """Padded tokens per batch that are known to fit, once a batch did not."""


class Finished(NamedTuple):
    """A group is done: `vectors` are those of its inputs `rows` [n]."""

    rows: IntArray
    vectors: Rows | Together
    counts: IntArray | None
    """As `Measured.lengths` [n, 2]; None where the encoder shows no tokens."""
    facts: Mapping[str, int]
    """As `Measured.facts`."""


class Failed(NamedTuple):
    """A batch failed; where its input `row` stands is to be said between `before` and `after`."""

    row: int
    before: str
    after: str


class Written(NamedTuple):
    """A group is done, and its shard was written where it was encoded; what that took."""

    n_texts: int
    n_tokens: int
    n_batches: int
    token_limit: int | None
    """As of `Batched`."""


Event = Batched | Finished | Failed | Written


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs that go through the model together, longest first, and their rows in the group."""

    rows: IntArray
    tokens: IntArray
    inputs: list[Input]
    prepared: object
    lengths: IntArray | None = None
    """Tokens before truncation, as the encoder tells them."""

    @property
    def cost(self) -> int:
        """Tokens with padding."""
        return len(self.rows) * int(self.tokens.max())


class GroupEncoder:
    """An encoder that takes groups, and remembers what fits in memory."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.two_stage = encoder if isinstance(encoder, TwoStageEncoder) else None
        self.measured = encoder if isinstance(encoder, Measured) else None
        self.facts = dict(self.measured.facts) if self.measured else {}
        self.limit: int | None = None

    def batches(self, inputs: Sequence[Input], budget: Budget) -> list[Batch]:
        """The batches of a group: sorted by token count, padded cost within the budget,
        tokenised.
        """
        lengths = self._lengths(inputs)
        if lengths is None or self.measured is None:
            tokens = self.encoder.token_counts(inputs)
        else:
            tokens = np.minimum(lengths[:, 0], self.measured.limit)
        order = np.argsort(-tokens, kind="stable")
        batches, start = [], 0
        while start < len(order):
            fit = max(1, budget.batch_tokens // max(int(tokens[order[start]]), 1))
            rows = order[start : start + min(fit, budget.max_batch)]
            batch_lengths = None if lengths is None else lengths[rows]
            batches.append(
                self._batch(rows, tokens[rows], [inputs[i] for i in rows.tolist()], batch_lengths)
            )
            start += len(rows)
        return batches

    def events(self, batches: Sequence[Batch]) -> Iterator[Event]:
        """What happens to a group: batches done, and at last all vectors, or a failure."""
        waiting, vectors_by_batch = list(reversed(batches)), []
        while waiting:
            batch = waiting.pop()
            if self.limit is not None and batch.cost > self.limit and len(batch.rows) > 1:
                waiting += reversed(self._halves(batch))
                continue
            try:
                vectors = self._forward(batch)
            except OutOfMemory:
                if len(batch.rows) == 1:
                    yield _too_long(batch)
                    return
                self.limit = batch.cost // 2
                waiting += reversed(self._halves(batch))
                continue
            except InputError as error:
                yield Failed(int(batch.rows[error.place]), f"{error} It is ", ".")
                return
            except KembError as error:
                yield Failed(int(batch.rows[0]), f"{error} The batch began with ", ".")
                return
            if len(vectors) != len(batch.rows):
                returned = (
                    f"The model returned {len(vectors)} vectors for {len(batch.rows)} texts ("
                )
                yield Failed(int(batch.rows[0]), returned, ").")
                return
            vectors_by_batch.append(vectors)
            yield Batched(len(batch.rows), int(batch.tokens.sum()), self.limit)
        lengths = [batch.lengths for batch in batches if batch.lengths is not None]
        counts = np.concatenate(lengths) if lengths else None
        yield Finished(
            np.concatenate([batch.rows for batch in batches]),
            stack_together(vectors_by_batch),
            counts,
            self.facts,
        )

    def _lengths(self, inputs: Sequence[Input]) -> IntArray | None:
        """Tokens before truncation [n, 2]; None where the encoder does not show them."""
        lengths = self.measured.lengths(inputs) if self.measured else None
        return None if lengths is None or (lengths < 0).any() else lengths

    def _forward(self, batch: Batch) -> Rows | Together:
        if self.two_stage is not None:
            vectors: Rows | Together = self.two_stage.encode_prepared(batch.prepared)
            return vectors
        return self.encoder.encode(batch.inputs)

    def _batch(
        self, rows: IntArray, tokens: IntArray, inputs: list[Input], lengths: IntArray | None = None
    ) -> Batch:
        return Batch(
            rows,
            tokens,
            inputs,
            self.two_stage.prepare(inputs) if self.two_stage else None,
            lengths,
        )

    def _halves(self, batch: Batch) -> list[Batch]:
        half = len(batch.rows) // 2
        return [
            self._batch(batch.rows[part], batch.tokens[part], batch.inputs[part])
            for part in (slice(0, half), slice(half, None))
        ]


def _too_long(batch: Batch) -> Failed:
    advice = "Cut texts with --max-tokens N, use --dtype bfloat16, or another --device."
    return Failed(
        int(batch.rows[0]),
        f"One text of {batch.cost} tokens does not fit in memory (",
        f"). {advice}",
    )
