"""Freshly created mteb tasks over given data and vectors: the oracle of the score tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import mteb
import numpy as np
from datasets import Dataset, DatasetDict
from mteb.similarity_functions import cos_sim, dot_score, pairwise_cos_sim, pairwise_dot_score

from kemb.arrays import FloatArray


class TableEncoder:
    """A model for mteb whose vector of the text "7" is row 7 of a table."""

    mteb_model_meta = None

    def __init__(self, table: FloatArray, similarity: str = "cosine") -> None:
        self.table = table
        self.similarity, self.similarity_pairwise = (
            (cos_sim, pairwise_cos_sim)
            if similarity == "cosine"
            else (dot_score, pairwise_dot_score)
        )

    def encode(self, inputs: Iterable[dict[str, list[str]]], **_: object) -> FloatArray:
        return self.table[[int(text) for batch in inputs for text in batch["text"]]]


def evaluate(
    task: str,
    split: str,
    dataset: Mapping[str, object],
    table: FloatArray,
    similarity: str = "cosine",
    **attributes: object,
) -> dict[str, Any]:
    """Scores mteb gives for a task when its data is `dataset` and texts are row numbers of
    `table`.
    """
    new = mteb.get_task(task)
    subset = new.hf_subsets[0]
    new.dataset = {subset: dataset} if subset != "default" else dataset
    new.data_loaded = True
    for name, value in attributes.items():
        setattr(new, name, value)
    scores = new.evaluate(
        TableEncoder(table, similarity),
        split,
        subsets_to_run=[subset],
        encode_kwargs={"batch_size": 32, "show_progress_bar": False},
    )
    result: dict[str, Any] = scores[subset]
    return result


def rows(**columns: Iterable[object]) -> Dataset:
    """A data set from columns."""
    return Dataset.from_dict({name: list(values) for name, values in columns.items()})


def splits(**parts: Dataset) -> DatasetDict:
    """A data set dictionary from splits."""
    return DatasetDict(parts)


def numbers(n: int, start: int = 0) -> list[str]:
    """The texts of rows start to start + n of the table."""
    return [str(i) for i in range(start, start + n)]


def tied(rng: np.random.Generator, n: int, dim: int, levels: int = 2) -> FloatArray:
    """Vectors of few small integers [n, dim]: their products are exact in float32 and tie often."""
    return rng.integers(-levels, levels + 1, (n, dim)).astype(np.float32)


def metadata_of(task: str) -> object:
    """What mteb's functions want to be told about a task."""
    return mteb.get_task(task).metadata
