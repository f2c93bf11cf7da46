"""What an encoder is: inputs in, vectors out. It never hears of tasks, splits or roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from kemb.arrays import FloatArray, IntArray, Rows, Together
from kemb.errors import ModelError
from kemb.types import Input


class Encoder(Protocol):
    """Turns inputs into vectors; a vector depends on its own input only (beyond floating point)."""

    @property
    def dim(self) -> int: ...

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Number of tokens of each input after truncation, [n]; used to make batches of
        equal cost.
        """
        ...

    def encode(self, inputs: Sequence[Input]) -> Rows | Together:
        """Vectors of the inputs, float32 or float16 [n, dim], or ragged rows; or several kinds of
        them.
        """
        ...


@runtime_checkable
class TwoStageEncoder(Encoder, Protocol):
    """An encoder whose tokenisation can run ahead of its forward pass, in another thread."""

    def prepare(self, inputs: Sequence[Input]) -> Any:  # noqa: ANN401  the encoder's own business
        """Tokenise the inputs of one batch; all have the same route and prompt."""
        ...

    def encode_prepared(self, prepared: Any) -> Rows | Together:  # noqa: ANN401  what `prepare` returned
        """As `encode`, of a prepared batch."""
        ...


@runtime_checkable
class Measured(Encoder, Protocol):
    """An encoder that shows its tokens, and what its weights are."""

    @property
    def limit(self) -> int:
        """Most tokens of an input that it reads."""
        ...

    @property
    def facts(self) -> Mapping[str, int]:
        """`n_parameters` and `max_tokens` of the loaded model, where they are known."""
        ...

    def lengths(self, inputs: Sequence[Input]) -> IntArray:
        """Of each input its tokens before truncation, and those that its text adds to the prompt
        [n, 2].

        All inputs have the same prompt. Special tokens count as the prompt's.
        """
        ...


class Done(NamedTuple):
    """One batch of a stream: its number, its vectors [n, dim] and the tokens it cost."""

    number: int
    vectors: FloatArray
    n_tokens: int


@runtime_checkable
class StreamEncoder(Encoder, Protocol):
    """An encoder that works on many batches at once: the endpoint of an API."""

    @property
    def limits(self) -> tuple[int, int]:
        """Most texts and most tokens of a batch."""
        ...

    @property
    def calls(self) -> Mapping[str, int]:
        """Counts of what was asked, for the record."""
        ...

    def stream(self, batches: Iterable[Sequence[Input]]) -> Iterator[Done]:
        """Every batch once, in the order in which they are done; those of one batch have the same
        route and prompt.
        """
        ...


class InputError(ModelError):
    """An input that an encoder cannot take, or an answer to it that cannot be used."""

    def __init__(self, message: str, place: int = 0) -> None:
        super().__init__(message)
        self.place = place
        """Of the input in the batch."""


class OutOfMemory(Exception):
    """A batch did not fit; the caller tries a smaller one."""
