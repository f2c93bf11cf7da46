"""What differs between the kinds of sentence-transformers models: the class, what it is given, what is read off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kemb.errors import ModelError
from kemb.types import FloatArray


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model."""

    class_name: str
    """In sentence_transformers."""
    read: Callable[[Any, Any], FloatArray]
    """From the model and the output of its forward pass to vectors."""
    dim: Callable[[Any], int]
    given: Callable[[str, str], Any] = lambda text, prompt: prompt + text
    """What the model is given for a text of the store and a prompt."""
    check: Callable[[Any, Path], None] = lambda model, folder: None
    """Refuses a loaded model that cannot be used."""


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


def _dim(model: Any) -> int:  # noqa: ANN401  sentence-transformers has no types
    return int(model.get_embedding_dimension())


DENSE = Kind("SentenceTransformer", lambda model, output: _array(output["sentence_embedding"]), _dim)
KINDS: dict[str, Kind] = {
    "dense": DENSE,
    "cross-encoder": Kind("CrossEncoder", _scores, lambda model: 1, _pair, _one_score),
}
"""By family of the model."""
