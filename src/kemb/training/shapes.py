"""From the table of pairs to the data sets a loss wants: columns in its order, prompts by role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kemb.errors import DataError
from kemb.training.losses import LossKind, kind_of
from kemb.training.recipe import PromptsSection, RecipeFile
from kemb.training.sections import DataSection
from kemb.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

Teacher = Callable[[str, list[str]], FloatArray]
"""Vectors of a role's texts, float32 [n, dim]."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The rows of one data section in the shape of its loss."""

    name: str
    kind: LossKind
    table: pa.Table
    prompts: dict[str, str]
    """By text column."""
    n_negatives: int
    """Hard negatives of a row."""
    n_unique_positives: int


def training_sets(file: RecipeFile, table: pa.Table, teacher: Teacher | None = None) -> list[TrainingSet]:
    """One data set for each [[data]] section that has rows (two where a teacher's vectors are the target).

    :param table: columns anchor, positive, negative_1.., score, source; and positive_score, negative_1_score.. where
        a teacher has scored them.
    :raises DataError: when a section lacks what its loss needs, or nothing is left.
    """
    import pyarrow.compute as pc

    made: list[TrainingSet] = []
    for section in file.recipe.data:
        rows = table.filter(pc.equal(table["source"], section.id))
        if rows.num_rows:
            kind = kind_of(file, section.role)
            made += _shaped(file, section, kind, rows, teacher)
    if not made:
        raise DataError(f"{file.path}: no row is left to train on. Look at the filters' report and loosen [filters].")
    return made


def _shaped(
    file: RecipeFile, section: DataSection, kind: LossKind, rows: pa.Table, teacher: Teacher | None
) -> list[TrainingSet]:
    import pyarrow as pa

    prompts = file.recipe.prompts
    symmetric = section.role in ("similarity", "nli")
    negatives = _full_negatives(rows)
    of_role = dict.fromkeys(["anchor", "positive", *negatives], prompts.text) if symmetric else _by_role(prompts)
    unique = len(rows["positive"].unique())

    def one(name: str, table: pa.Table, columns: dict[str, str], n_hard: int) -> TrainingSet:
        return TrainingSet(name, kind, table, columns, n_hard, unique)

    texts = ["anchor", "positive", *negatives]
    if kind.shape == "tuple":
        return [one(section.id, rows.select(texts), _pick(of_role, texts), len(negatives))]
    if kind.shape == "scored":
        pair = rows.select(["anchor", "positive"])
        scores = _scores(section, rows, unit=kind.cls == "BinaryCrossEntropyLoss")
        return [
            one(section.id, pair.append_column("score", pa.array(scores)), _pick(of_role, ["anchor", "positive"]), 0)
        ]
    if kind.shape == "labelled":
        return [one(section.id, _labelled(rows, negatives), {}, 0)]
    if kind.shape == "listed":
        return [one(section.id, _listed(section, rows, negatives), {}, len(negatives))]
    if kind.shape == "taught":
        label = _taught(section, rows, negatives)
        table = rows.select(texts).append_column("label", label)
        return [one(section.id, table, _pick(of_role, texts), len(negatives))]
    assert teacher is not None
    return [
        one(
            f"{section.id}-{role}",
            _with_vectors(rows[column], teacher(role, _unique(rows[column]))),
            {"text": prompt},
            0,
        )
        for column, role, prompt in _sides(symmetric, prompts)
    ]


def _sides(symmetric: bool, prompts: PromptsSection) -> list[tuple[str, str, str]]:
    if symmetric:
        return [("anchor", "text", prompts.text), ("positive", "text", prompts.text)]
    return [("anchor", "query", prompts.query), ("positive", "document", prompts.document)]


def _by_role(prompts: PromptsSection) -> dict[str, str]:
    return {"anchor": prompts.query, "": prompts.document}


def _pick(prompts: dict[str, str], columns: list[str]) -> dict[str, str]:
    """The prompts of columns, without the empty ones; '' stands for all others."""
    found = {column: prompts.get(column, prompts.get("", "")) for column in columns}
    return {column: prompt for column, prompt in found.items() if prompt}


def _full_negatives(rows: pa.Table) -> list[str]:
    """The negative columns that every row fills; a batch needs the same number in each row."""
    names = sorted(
        (name for name in rows.column_names if name.startswith("negative_") and not name.endswith("_score")),
        key=lambda name: int(name.removeprefix("negative_")),
    )
    full = [name for name in names if rows[name].null_count == 0]
    return names[: len(full)] if full == names[: len(full)] else full


def _scores(section: DataSection, rows: pa.Table, unit: bool) -> list[float]:
    if "score" not in rows.column_names or rows["score"].null_count:
        raise DataError(
            f"The data {section.id} has rows without a score, which its role 'similarity' needs. Name the column "
            "under columns: score = ..."
        )
    scores = rows["score"].to_numpy().astype(np.float64)
    if unit and scores.max() > 1:  # binary cross-entropy wants 0 to 1
        scores = scores / scores.max()
    return [float(score) for score in scores]


def _labelled(rows: pa.Table, negatives: list[str]) -> pa.Table:
    """Every text of a row with its anchor, and whether it is the positive."""
    import pyarrow as pa

    anchors = rows["anchor"].to_pylist()
    columns = [rows[name].to_pylist() for name in ("positive", *negatives)]
    return pa.table(
        {
            "anchor": [anchor for anchor in anchors for _ in columns],
            "text": [column[row] for row in range(len(anchors)) for column in columns],
            "label": [float(position == 0) for _ in anchors for position in range(len(columns))],
        }
    )


def _listed(section: DataSection, rows: pa.Table, negatives: list[str]) -> pa.Table:
    import pyarrow as pa

    if not negatives:
        raise DataError(
            f"The data {section.id} has no negatives, which this loss ranks. Add them, or a [mine] section."
        )
    columns = [rows[name].to_pylist() for name in ("positive", *negatives)]
    texts = [list(row) for row in zip(*columns, strict=True)]
    labels = [[1.0] + [0.0] * len(negatives)] * len(texts)
    return pa.table({"anchor": rows["anchor"], "texts": texts, "labels": labels})


def _taught(section: DataSection, rows: pa.Table, negatives: list[str]) -> pa.Array:
    import pyarrow as pa

    names = ["positive_score", *(f"{name}_score" for name in negatives)]
    if not negatives or any(name not in rows.column_names for name in names):
        raise DataError(
            f"The data {section.id} has no teacher's scores ({', '.join(names)}), which this loss learns from. Add a "
            "[mine] section: it scores what it finds."
        )
    return pa.array(np.stack([rows[name].to_numpy() for name in names], axis=1).astype(np.float64).tolist())


def _unique(column: pa.ChunkedArray) -> list[str]:
    return [str(text) for text in column.unique().to_pylist()]


def _with_vectors(column: pa.ChunkedArray, vectors: FloatArray) -> pa.Table:
    import pyarrow as pa

    label = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({"text": column.unique(), "label": label.cast(pa.list_(pa.float32()))})
