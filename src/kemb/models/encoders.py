"""What an encoder is: inputs in, vectors out. It never hears of tasks, splits or roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from kemb.types import Input, IntArray, Rows


class Encoder(Protocol):
    """Turns inputs into vectors; a vector depends on its own input only (beyond floating point)."""

    @property
    def dim(self) -> int: ...

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Number of tokens of each input after truncation, [n]; used to make batches of equal cost."""
        ...

    def encode(self, inputs: Sequence[Input]) -> Rows:
        """Vectors of the inputs, float32 or float16 [n, dim], or ragged rows."""
        ...


@runtime_checkable
class TwoStageEncoder(Encoder, Protocol):
    """An encoder whose tokenisation can run ahead of its forward pass, in another thread."""

    def prepare(self, inputs: Sequence[Input]) -> Any:  # noqa: ANN401  the encoder's own business
        """Tokenise the inputs of one batch; all have the same route and prompt."""
        ...

    def encode_prepared(self, prepared: Any) -> Rows:  # noqa: ANN401  what `prepare` returned
        """Vectors of a prepared batch, float32 or float16 [n, dim], or ragged rows."""
        ...


class OutOfMemory(Exception):
    """A batch did not fit; the caller tries a smaller one."""
