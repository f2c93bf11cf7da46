from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kemb.arrays import FloatArray, IntArray
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import Budget, encode_missing
from kemb.encoding.store import Space, Store
from kemb.errors import ModelError
from kemb.models.encoders import OutOfMemory
from kemb.types import Input

SMALL = Budget(group_chars=200, batch_tokens=60, max_batch=8)


class Recorder:
    """An encoder that remembers its batches; a token is a character. Vectors depend on the batch,
    as rounding does.
    """

    dim = 3

    def __init__(self, fits: int = 10**9, broken: str | None = None, dim: int = 3) -> None:
        self.batches: list[list[str]] = []
        self.fits = fits
        self.broken = broken
        self.dim = dim

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        return np.array([len(i.prompt + i.text) for i in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        assert len({(i.route, i.prompt) for i in inputs}) == 1
        if len(inputs) * max(len(i.prompt + i.text) for i in inputs) > self.fits:
            raise OutOfMemory
        self.batches.append([i.prompt + i.text for i in inputs])
        rows = [
            [len(i.text), sum(map(ord, i.prompt + i.text)), len(inputs)][: self.dim] for i in inputs
        ]
        vectors = np.array(rows, dtype=np.float32)
        vectors[[i.text == self.broken for i in inputs]] = np.nan
        return vectors


class Killed(BaseException):
    """Stands for the end of the process."""


def texts(n: int, prompt: str = "", start: int = 0) -> Texts:
    words = [f"{'가' * (i % 23)}{i}" for i in range(start, start + n)]
    return Texts.of("", prompt, words, lambda row: f"Task, column, id {row}")


def space_in(folder: Path) -> Space:
    return Store(folder).space({"model": "recorder", "revision": "1"})


def test_equal_inputs_are_encoded_once_and_prompts_make_other_inputs(tmp_path: Path) -> None:
    encoder = Recorder()
    collection = Collection([texts(50), texts(30, start=20), texts(10, prompt="query: ")])
    progress = encode_missing(collection, space_in(tmp_path), lambda: encoder, SMALL)
    seen = [text for batch in encoder.batches for text in batch]
    assert (progress.n_texts, progress.n_unique, progress.n_encoded) == (90, 60, 60)
    assert len(seen) == len(set(seen)) == 60
    assert sum(text.startswith("query: ") for text in seen) == 10


def test_a_batch_stays_within_its_token_budget_and_holds_texts_of_like_length(
    tmp_path: Path,
) -> None:
    encoder = Recorder()
    encode_missing(Collection([texts(300)]), space_in(tmp_path), lambda: encoder, SMALL)
    for batch in encoder.batches:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= SMALL.batch_tokens
        assert len(batch) <= SMALL.max_batch
    padding = sum(len(b) * max(map(len, b)) for b in encoder.batches) / sum(
        len(t) for b in encoder.batches for t in b
    )
    assert padding < 1.1


def test_everything_stored_opens_no_model(tmp_path: Path) -> None:
    encode_missing(Collection([texts(20)]), space_in(tmp_path), Recorder, SMALL)

    def never() -> Recorder:
        raise AssertionError("the model was opened")

    progress = encode_missing(Collection([texts(20)]), space_in(tmp_path), never, SMALL)
    assert (progress.n_stored, progress.n_encoded) == (20, 0)


@pytest.mark.parametrize("kill_after", [1, 7, 30])
def test_killed_and_resumed_gives_the_same_bits_and_encodes_no_finished_group_again(
    tmp_path: Path, kill_after: int
) -> None:
    collection = Collection([texts(200), texts(100, prompt="query: ")])
    whole = Recorder()
    encode_missing(collection, space_in(tmp_path / "whole"), lambda: whole, SMALL)

    class Mortal(Recorder):
        def encode(self, inputs: Sequence[Input]) -> FloatArray:
            if len(self.batches) == kill_after:
                raise Killed
            return super().encode(inputs)

    first = Mortal()
    with pytest.raises(Killed):
        encode_missing(collection, space_in(tmp_path / "cut"), lambda: first, SMALL)
    stored = set(collection.keys[space_in(tmp_path / "cut").stored(collection.keys)].tolist())
    second = Recorder()
    encode_missing(collection, space_in(tmp_path / "cut"), lambda: second, SMALL)
    again = Collection(
        [Texts.of("", "", [t], str) for batch in second.batches for t in batch if t[0] != "q"]
    )
    assert not stored & set(again.keys.tolist())
    one, other = (
        space_in(tmp_path / name).vectors(collection.keys).block(0, 999)
        for name in ("whole", "cut")
    )
    assert np.array_equal(one, other)


def test_out_of_memory_halves_the_batch_and_remembers(tmp_path: Path) -> None:
    encoder = Recorder(fits=30)
    progress = encode_missing(Collection([texts(100)]), space_in(tmp_path), lambda: encoder, SMALL)
    assert progress.n_encoded == 100
    assert progress.token_limit is not None
    assert progress.token_limit <= 30
    assert all(len(batch) * max(map(len, batch)) <= 30 for batch in encoder.batches)


def test_a_single_text_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"does not fit in memory \(Task, column, id 22\).*--max-tokens"
    ):
        encode_missing(
            Collection([texts(40)]), space_in(tmp_path), lambda: Recorder(fits=23), SMALL
        )


def test_nan_names_model_and_item_and_is_not_stored(tmp_path: Path) -> None:
    collection = Collection([texts(40)])
    broken = collection.columns[0].texts[17]
    with pytest.raises(
        ModelError, match=r"recorder gave a vector that is not a number .* Task, column, id 17"
    ):
        encode_missing(collection, space_in(tmp_path), lambda: Recorder(broken=broken), SMALL)
    assert not space_in(tmp_path).stored(
        collection.keys[[list(collection.keys).index(collection.columns[0].keys[17])]]
    )


def test_another_dimension_than_before_is_refused(tmp_path: Path) -> None:
    encode_missing(Collection([texts(5)]), space_in(tmp_path), Recorder, SMALL)
    with pytest.raises(ModelError, match=r"gave vectors of 2 dimensions, but the store .* holds 3"):
        encode_missing(Collection([texts(9)]), space_in(tmp_path), lambda: Recorder(dim=2), SMALL)


def test_too_few_vectors_are_refused(tmp_path: Path) -> None:
    class Lossy(Recorder):
        def encode(self, inputs: Sequence[Input]) -> FloatArray:
            return super().encode(inputs)[1:]

    with pytest.raises(ModelError, match=r"returned \d+ vectors for \d+ texts"):
        encode_missing(Collection([texts(9)]), space_in(tmp_path), Lossy, SMALL)


def test_a_partly_filled_store_gets_only_what_it_lacks(tmp_path: Path) -> None:
    encode_missing(Collection([texts(60)]), space_in(tmp_path), Recorder, SMALL)
    encoder = Recorder()
    progress = encode_missing(Collection([texts(100)]), space_in(tmp_path), lambda: encoder, SMALL)
    assert (progress.n_stored, progress.n_encoded) == (60, 40)
    assert sum(map(len, encoder.batches)) == 40
