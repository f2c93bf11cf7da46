"""The two dialects of embedding endpoints: what is sent, and what may be believed of the answer. No
network here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kemb.arrays import FloatArray
from kemb.errors import ModelError
from kemb.models.spec import ApiSpec

PATHS = {"openai": "embeddings", "cohere": "v2/embed"}
_COHERE_DEFAULT = "search_document"


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's worth of vectors, in the order of its texts."""

    vectors: FloatArray
    tokens: int | None
    """As the endpoint counts and bills them; None where it does not say."""
    served: str
    """What the endpoint calls the model that answered; '' where it does not say."""


def sent_model(api: ApiSpec, route: str) -> str:
    """The model name of a request; a route that is part of it (Upstage) is filled in."""
    return api.model.replace("{route}", route)


def url(api: ApiSpec) -> str:
    """Where requests go."""
    return f"{api.base_url.rstrip('/')}/{PATHS[api.kind]}"


def body(api: ApiSpec, route: str, texts: Sequence[str]) -> bytes:
    """The JSON of a request; ASCII, so that a lone surrogate is no error."""
    model = sent_model(api, route)
    fields: dict[str, Any]
    if api.kind == "cohere":
        fields = {"model": model, "texts": list(texts), "input_type": route or _COHERE_DEFAULT}
        fields["embedding_types"] = ["float"]
    else:
        fields = {"model": model, "input": list(texts), "encoding_format": api.encoding}
    return json.dumps({**fields, **api.body}).encode()


def read(api: ApiSpec, content: bytes, texts: Sequence[str], dim: int | None) -> Answer:
    """The vectors of an answer with status 200.

    :param dim: the dimension that earlier answers had; None for the first.
    :raises ModelError: what is wrong with the answer; nothing of it may be used.
    """
    record = _json(api, content)
    rows = _cohere_rows(record) if api.kind == "cohere" else _openai_rows(record, len(texts))
    if rows is None:
        raise ModelError(
            f"{_who(api)} answered without embeddings: {_start(content)}. {_KIND_HINT}"
        )
    if len(rows) != len(texts):
        raise ModelError(
            f"{_who(api)} returned {len(rows)} vectors for {len(texts)} texts; nothing of it was "
            "stored."
        )
    vectors = _array(api, rows, texts)
    if dim is not None and vectors.shape[1] != dim:
        raise ModelError(
            f"{_who(api)} returned vectors of {vectors.shape[1]} dimensions where it gave {dim} "
            "before; the model behind the endpoint has changed, or several answer. Nothing of it "
            "was stored."
        )
    usage, served = _mapping(record.get("usage")), record.get("model")
    if api.kind == "cohere":
        usage = _mapping(_mapping(record.get("meta")).get("billed_units"))
    counts = [usage.get(key) for key in ("total_tokens", "prompt_tokens", "input_tokens")]
    tokens = next((int(n) for n in counts if isinstance(n, int | float) and 0 <= n < 1e12), None)
    return Answer(vectors, tokens, served if isinstance(served, str) else "")


_KIND_HINT = (
    'Check the address (it often ends in /v1) and `kind` ("openai" or "cohere") in the '
    "model's [api] table."
)


def _json(api: ApiSpec, content: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        what = "a web page" if content.lstrip()[:1] == b"<" else "something that is no JSON"
        raise ModelError(
            f"{_who(api)} answered with {what}: {_start(content)}. {_KIND_HINT}"
        ) from error
    if not isinstance(record, dict):
        raise ModelError(
            f"{_who(api)} answered with a JSON {type(record).__name__}: {_start(content)}. "
            f"{_KIND_HINT}"
        )
    return record


def _openai_rows(record: Mapping[str, Any], n: int) -> list[Any] | None:
    """Embeddings in the order of the texts: by `index`, for servers answer in any order."""
    data = record.get("data")
    if not isinstance(data, list) or not all(
        isinstance(entry, dict) and "embedding" in entry for entry in data
    ):
        return None
    if len(data) != n or not any("index" in entry for entry in data):
        return [entry["embedding"] for entry in data]
    # Servers that leave out what is zero (protobuf's JSON) send no index with the first.
    n_without = sum("index" not in entry for entry in data)
    numbers = [entry.get("index", 0 if n_without == 1 else None) for entry in data]
    if not all(type(number) is int for number in numbers) or sorted(numbers) != list(range(n)):
        raise ModelError(
            f"The endpoint numbered its {n} vectors {str(numbers)[:80]}; expected every index from "
            f"0 to {n - 1} once. "
            "Nothing of it was stored, for a vector could belong to another text."
        )
    return [entry["embedding"] for entry in sorted(data, key=lambda entry: entry.get("index", 0))]


def _cohere_rows(record: Mapping[str, Any]) -> list[Any] | None:
    rows = record.get("embeddings")
    rows = rows.get("float") if isinstance(rows, dict) else rows
    return rows if isinstance(rows, list) else None


def _array(api: ApiSpec, rows: Sequence[Any], texts: Sequence[str]) -> FloatArray:
    """float32 [n, dim] from lists of numbers or base64 of little-endian float32, whichever came."""
    try:
        vectors = [_vector(row) for row in rows]
    except (TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise ModelError(
            f"{_who(api)} returned an embedding that is neither a list of numbers nor base64 of "
            f"float32: {error}"
        ) from error
    dims = {len(vector) for vector in vectors}
    if len(dims) != 1 or dims == {0}:
        raise ModelError(
            f"{_who(api)} returned vectors of different or no dimensions in one answer: "
            f"{sorted(dims)}."
        )
    array = np.stack(vectors)
    if not array.any():
        raise ModelError(
            f"{_who(api)} returned only zeros, for {texts[0][:80]!r} and {len(array) - 1} other "
            "texts; a score of them would say nothing. None was stored. Look at the server: is "
            "the model loaded, and is it one of embeddings?"
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ModelError(
            f"{_who(api)} returned a vector that is not a number (NaN or infinite) for "
            f"{texts[int(bad[0])][:80]!r}; "
            f"{len(bad)} of {len(array)} in this answer are affected and none was stored."
        )
    return array


def _vector(row: object) -> FloatArray:
    if isinstance(row, str):
        return np.frombuffer(base64.b64decode(row, validate=True), dtype="<f4").astype(np.float32)
    if not isinstance(row, list):
        raise TypeError(f"a {type(row).__name__}")
    if not all(value is None or type(value) in (int, float) for value in row):
        raise TypeError("a list of other things than numbers")
    with np.errstate(over="ignore"):
        return np.array(
            [np.nan if value is None else value for value in row], dtype=np.float64
        ).astype(np.float32)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _who(api: ApiSpec) -> str:
    return f"The endpoint {url(api)}"


def _start(content: bytes) -> str:
    return repr(" ".join(content[:400].decode("utf-8", "replace").split())[:120])


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def memory(api: ApiSpec) -> Path:
    """Where it is kept who answered at an endpoint."""
    import platformdirs

    request = json.dumps([api.kind, api.base_url, api.model, api.body], sort_keys=True)
    return Path(platformdirs.user_cache_dir("kemb")) / "api" / f"{digest(request)}.json"
