"""What differs between the kinds of sentence-transformers models: the class, what it is given, what is read off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kemb.errors import ModelError
from kemb.models.encoders import bge_m3
from kemb.types import FloatArray, Ragged, Rows


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model."""

    class_name: str
    """In sentence_transformers."""
    read: Callable[[Any, Any], Rows]
    """From the model and the output of its forward pass to vectors."""
    dim: Callable[[Any], int]
    given: Callable[[str, str], Any] = lambda text, prompt: prompt + text
    """What the model is given for a text of the store and a prompt."""
    nothing: str = ""
    """The text of the store in which there is none."""
    options: Callable[[Any], dict[str, Any]] = lambda model: {}
    """Of the forward pass."""
    check: Callable[[Any, Path], None] = lambda model, folder: None
    """Refuses a loaded model that cannot be used, or loads what it lacks."""


def pair_text(query: str, document: str) -> str:
    """A query and a document as one text of the store; the length in front says where the document begins."""
    return f"{len(query)} {query}{document}"


def split_pair(text: str) -> tuple[str, str]:
    """The query and the document of `pair_text`."""
    length, _, rest = text.partition(" ")
    return rest[: int(length)], rest[int(length) :]


def _pair(text: str, prompt: str) -> tuple[str, str]:
    query, document = split_pair(text)
    return prompt + query, document


def _array(tensor: Any) -> FloatArray:  # noqa: ANN401  a tensor
    """float32, or float16 where the model computes in it. bfloat16 is widened."""
    if str(tensor.dtype) not in ("torch.float32", "torch.float16"):
        tensor = tensor.float()
    return np.asarray(tensor.cpu().numpy())


def _scores(model: Any, output: Any) -> FloatArray:  # noqa: ANN401  sentence-transformers has no types
    """As `CrossEncoder.predict`: widened to float32, then the model's own activation function."""
    return _array(model.activation_fn(output["scores"].float())).reshape(-1, 1)


def _one_score(model: Any, folder: Path) -> None:  # noqa: ANN401  sentence-transformers has no types
    if model.num_labels != 1:
        raise ModelError(
            f"The model in {folder} gives {model.num_labels} scores for a pair, as classifiers do; a reranker gives "
            "one. Name another model."
        )


def _entries(model: Any, output: Any) -> Ragged:  # noqa: ANN401  sentence-transformers has no types
    """As `SparseEncoder.encode`: what is not 0, of that the model's greatest `max_active_dims`."""
    from sentence_transformers.util import select_max_active_dims

    dense = output["sentence_embedding"]
    if model.max_active_dims is not None:
        dense = select_max_active_dims(dense, max_active_dims=model.max_active_dims)
    found = dense.float().to_sparse().coalesce().cpu()
    rows, index = found.indices().numpy()
    counts = np.bincount(rows, minlength=dense.shape[0])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Ragged(offsets, found.values().numpy()[:, None], int(dense.shape[1]), index.astype(np.int32))


def _token_vectors(model: Any, output: Any) -> Ragged:  # noqa: ANN401  sentence-transformers has no types
    """As `MultiVectorEncoder.encode`: the vectors that count, in float16, half the size at an error below 0.001."""
    mask = output["attention_mask"].bool()
    vectors = output["token_embeddings"][mask].float().cpu().numpy()
    offsets = np.concatenate(([0], np.cumsum(mask.sum(dim=1).cpu().numpy())))
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused
        return Ragged(offsets, vectors.astype(np.float16), vectors.shape[1])


def _active_dims(model: Any) -> dict[str, Any]:  # noqa: ANN401  sentence-transformers has no types
    return {} if model.max_active_dims is None else {"max_active_dims": model.max_active_dims}


def _dim(model: Any) -> int:  # noqa: ANN401  sentence-transformers has no types
    return int(model.get_embedding_dimension())


DENSE = Kind("SentenceTransformer", lambda model, output: _array(output["sentence_embedding"]), _dim)
KINDS: dict[str, Kind] = {
    "dense": DENSE,
    "cross-encoder": Kind("CrossEncoder", _scores, lambda model: 1, _pair, pair_text("", ""), check=_one_score),
    "sparse": Kind("SparseEncoder", _entries, _dim, options=_active_dims),
    "late-interaction": Kind("MultiVectorEncoder", _token_vectors, _dim),
    "m3-sparse": Kind(
        "SentenceTransformer", bge_m3.token_weights, bge_m3.vocabulary, check=partial(bge_m3.attach, head="sparse")
    ),
    "m3-colbert": Kind(
        "SentenceTransformer", bge_m3.token_vectors, bge_m3.colbert_dim, check=partial(bge_m3.attach, head="colbert")
    ),
}
"""By family of the model, or by loader for the heads of BGE-M3."""
