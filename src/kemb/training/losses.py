"""Losses by name: which class of sentence-transformers a recipe means, and what data it wants. No
loss is written here.

The sections "2.4" of sentence-transformers' own documentation describe them; the names are those
people use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kemb.arrays import FloatArray
from kemb.errors import DataError
from kemb.training.negatives import NegativeCounts, even_negatives, negative_names
from kemb.training.recipe import PromptsSection, RecipeFile
from kemb.training.sections import DataSection

if TYPE_CHECKING:
    import pyarrow as pa

from collections.abc import Mapping
from typing import Any, Literal

from kemb.errors import nearest
from kemb.models.families import by_recipe_name
from kemb.training.recipe import Family, LossSection

Shape = Literal["tuple", "scored", "labelled", "listed", "taught", "vectors"]
"""Columns a loss wants. tuple: anchor, positive, negatives. scored: two texts and a score.
labelled: two texts and 0 or 1, made of tuples. listed: anchor, texts, labels. taught: a tuple with
the teacher's score of each text. vectors: texts with the teacher's vectors.
"""

CONTRASTIVE = {"scale": "scale", "gather": "gather_across_devices", "directions": "directions"}
CACHE = {"mini_batch": "mini_batch_size"}
GUIDED = {
    "temperature": "temperature",
    "margin": "margin",
    "margin_strategy": "margin_strategy",
    "gather": "gather_across_devices",
}
SPLADE = {
    "document_weight": "document_regularizer_weight",
    "query_weight": "query_regularizer_weight",
}
SEEN_BY_US = ("name", "similarity", "guide", "teacher")


@dataclass(frozen=True, slots=True)
class LossKind:
    """What a name of a recipe stands for."""

    cls: str
    shape: Shape
    options: Mapping[str, str]
    """Keys of [loss] it takes, with the argument each becomes."""
    contrastive: bool = False
    """Whether the other rows of a batch are negatives."""
    cached: bool = False
    guided: bool = False
    inner: str = ""
    """Class of the loss it is put around; sentence-transformers trains no sparse model without such
    a wrapping.
    """


KINDS: dict[Family, dict[str, LossKind]] = {
    "dense": {
        "mnrl": LossKind("MultipleNegativesRankingLoss", "tuple", CONTRASTIVE, True),
        "cached-mnrl": LossKind(
            "CachedMultipleNegativesRankingLoss", "tuple", CONTRASTIVE | CACHE, True, True
        ),
        "gist": LossKind("GISTEmbedLoss", "tuple", GUIDED, True, guided=True),
        "cached-gist": LossKind("CachedGISTEmbedLoss", "tuple", GUIDED | CACHE, True, True, True),
        "cosent": LossKind("CoSENTLoss", "scored", {"scale": "scale"}),
        "angle": LossKind("AnglELoss", "scored", {"scale": "scale"}),
        "margin-mse": LossKind("MarginMSELoss", "taught", {}),
        "kl": LossKind("DistillKLDivLoss", "taught", {"temperature": "temperature"}),
        "embed-distill": LossKind("EmbedDistillLoss", "vectors", {"distance": "distance_metric"}),
    },
    "sparse": {
        "splade": LossKind(
            "SpladeLoss",
            "tuple",
            SPLADE | CONTRASTIVE,
            True,
            inner="SparseMultipleNegativesRankingLoss",
        ),
        "cached-splade": LossKind(
            "CachedSpladeLoss",
            "tuple",
            SPLADE | CACHE | CONTRASTIVE,
            True,
            True,
            inner="SparseMultipleNegativesRankingLoss",
        ),
        "splade-margin-mse": LossKind("SpladeLoss", "taught", SPLADE, inner="SparseMarginMSELoss"),
        "splade-kl": LossKind(
            "SpladeLoss",
            "taught",
            SPLADE | {"temperature": "temperature"},
            inner="SparseDistillKLDivLoss",
        ),
        "splade-cosent": LossKind(
            "SpladeLoss", "scored", SPLADE | {"scale": "scale"}, inner="SparseCoSENTLoss"
        ),
    },
    "cross-encoder": {
        "bce": LossKind("BinaryCrossEntropyLoss", "labelled", {}),
        "mnrl": LossKind(
            "MultipleNegativesRankingLoss",
            "tuple",
            {"scale": "scale", "n_random_negatives": "num_negatives"},
            True,
        ),
        "cached-mnrl": LossKind(
            "CachedMultipleNegativesRankingLoss",
            "tuple",
            {"scale": "scale", "n_random_negatives": "num_negatives"} | CACHE,
            True,
            True,
        ),
        "listnet": LossKind("ListNetLoss", "listed", CACHE),
        "lambda": LossKind("LambdaLoss", "listed", CACHE),
        "margin-mse": LossKind("MarginMSELoss", "taught", {}),
        "bce-scored": LossKind("BinaryCrossEntropyLoss", "scored", {}),
    },
    "multi-vector": {
        "mnrl": LossKind(
            "MultiVectorMultipleNegativesRankingLoss",
            "tuple",
            {"scale": "scale", "gather": "gather_across_devices"} | CACHE,
            True,
        ),
        "cached-mnrl": LossKind(
            "CachedMultiVectorMultipleNegativesRankingLoss",
            "tuple",
            {"scale": "scale", "gather": "gather_across_devices"} | CACHE,
            True,
            True,
        ),
        "kl": LossKind("MultiVectorDistillKLDivLoss", "taught", {"temperature": "temperature"}),
        "margin-mse": LossKind("MultiVectorMarginMSELoss", "taught", {}),
    },
}

NOT_CACHED = {"cached-mnrl": "mnrl", "cached-gist": "gist"}
"""For static models: a table of rows has nothing to cache, and sentence-transformers refuses."""


def kind_of(file: RecipeFile, role: str = "retrieval") -> LossKind:
    """The loss of a recipe for data of a role, checked.

    :raises UsageError: with the line, for an unknown name or a key that this loss does not take.
    """
    recipe = file.recipe
    key = "similarity" if role == "similarity" else "name"
    name = getattr(recipe.loss, key)
    if key == "similarity" and name == "cosent":  # the default, in the words of the family
        name = {"cross-encoder": "bce-scored", "sparse": "splade-cosent"}.get(
            recipe.base.family, name
        )
    if recipe.base.is_static:
        name = NOT_CACHED.get(name, name)
    kinds = KINDS[recipe.base.family]
    if name not in kinds:
        near = nearest(name, kinds, 1)
        offer = f"Did you mean {near[0]}? " if near else ""
        raise file.error(
            ("loss", key),
            f"unknown loss {name!r} for a {recipe.base.family} model. {offer}Known: "
            f"{', '.join(kinds)}.",
        )
    kind = kinds[name]
    if key == "similarity" and kind.shape != "scored":
        scored = (
            ", ".join(other for other, entry in kinds.items() if entry.shape == "scored") or "none"
        )
        raise file.error(
            ("loss", "similarity"),
            f"{name!r} takes no scores, as data of role similarity has them; losses that do: "
            f"{scored}.",
        )
    if kind.inner and recipe.loss.document_weight is None:
        raise file.error(("loss",), f"the loss {name} needs a document_weight, such as 3e-5.")
    if key == "name":
        _check_options(file, name, kind)
    return kind


def _check_options(file: RecipeFile, name: str, kind: LossKind) -> None:
    section = file.recipe.loss
    for key in sorted(section.model_fields_set - set(SEEN_BY_US)):
        if key not in kind.options and not (key == "mini_batch" and file.recipe.base.is_static):
            takes = ", ".join(sorted(kind.options)) or "no settings"
            raise file.error(("loss", key), f"the loss {name} has no {key}; it takes {takes}.")
    if kind.guided and not section.guide:
        raise file.error(("loss",), f"the loss {name} needs a guide: guide = org/name or a folder.")
    if section.guide and not kind.guided:
        raise file.error(
            ("loss", "guide"), f"the loss {name} has no guide; use gist or cached-gist."
        )
    if kind.shape == "vectors" and not section.teacher:
        raise file.error(
            ("loss",), f"the loss {name} needs a teacher: a model name that `kemb run -m` takes."
        )
    if section.teacher and kind.shape != "vectors":
        raise file.error(
            ("loss", "teacher"),
            f"the loss {name} has no teacher of its own; scores of a teacher come from [mine].",
        )


def build_loss(
    family: Family,
    kind: LossKind,
    section: LossSection,
    model: Any,  # noqa: ANN401  sentence-transformers has no types
    guide: Any = None,  # noqa: ANN401  sentence-transformers has no types
    teacher_dim: int | None = None,
) -> Any:  # noqa: ANN401  sentence-transformers has no types
    """The loss as a module around `model`.

    :param guide: a loaded model, for guided losses.
    :param teacher_dim: dimension of the teacher's vectors; another one than the student's makes a
        projection.
    """
    settings = {key: value for key, value in section.model_dump().items() if value is not None}
    options = {argument: settings[key] for key, argument in kind.options.items() if key in settings}
    if "directions" in options:
        options["directions"] = tuple(options["directions"])
    if kind.guided:
        options["guide"] = guide
    if kind.shape == "vectors" and teacher_dim not in (None, model.get_embedding_dimension()):
        options["projection_dim"] = teacher_dim
    if not kind.inner:
        return _class(family, kind.cls)(model, **options)
    outer_arguments = set(SPLADE.values()) | set(CACHE.values())
    inner = _class(family, kind.inner)(
        model, **{key: value for key, value in options.items() if key not in outer_arguments}
    )
    return _class(family, kind.cls)(
        model, inner, **{key: value for key, value in options.items() if key in outer_arguments}
    )


def _class(family: Family, name: str) -> Any:  # noqa: ANN401  as above
    import importlib

    package = by_recipe_name()[family].st_package
    return getattr(importlib.import_module(f"sentence_transformers.{package}.losses"), name)


def n_negatives(batch: int, n_hard: int, n_devices: int, gather: bool) -> int:
    """Negatives of one anchor: every other positive and every hard negative it is compared with.

    Without gathering each device sees its own batch only.
    """
    rows = batch * n_devices if gather else batch
    return rows * (1 + n_hard) - 1


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
    negatives: NegativeCounts | None = None
    """What became of the hard negatives of the section; None where the loss takes none."""


def training_sets(
    file: RecipeFile, table: pa.Table, teacher: Teacher | None = None
) -> list[TrainingSet]:
    """One data set for each [[data]] section that has rows (two where a teacher's vectors are the
    target).

    :param table: columns anchor, positive, negative_1.., score, source; and positive_score,
        negative_1_score.. where a teacher has scored them.
    :raises DataError: when a section lacks what its loss needs, or nothing is left.
    """
    import pyarrow.compute as pc

    sets: list[TrainingSet] = []
    for section in file.recipe.data:
        rows = table.filter(pc.equal(table["source"], section.id))
        if rows.num_rows:
            kind = kind_of(file, section.role)
            sets += _shaped(file, section, kind, rows, teacher)
    if not sets:
        raise DataError(
            f"{file.path}: no row is left to train on. Look at the filters' report and loosen "
            "[filters]."
        )
    return sets


def _shaped(
    file: RecipeFile, section: DataSection, kind: LossKind, rows: pa.Table, teacher: Teacher | None
) -> list[TrainingSet]:
    import pyarrow as pa

    prompts = file.recipe.prompts
    symmetric = section.role in ("similarity", "nli")
    whole = rows
    rows, negatives, counts = even_negatives(whole, file.recipe.train.negatives)
    of_role = (
        dict.fromkeys(["anchor", "positive", *negatives], prompts.text)
        if symmetric
        else _by_role(prompts)
    )
    unique = len(rows["positive"].unique())

    def one(name: str, table: pa.Table, columns: dict[str, str], n_hard: int) -> TrainingSet:
        return TrainingSet(name, kind, table, columns, n_hard, unique, counts if n_hard else None)

    texts = ["anchor", "positive", *negatives]
    if kind.shape == "tuple":
        return [one(section.id, rows.select(texts), _pick(of_role, texts), len(negatives))]
    if kind.shape == "scored":
        pair = rows.select(["anchor", "positive"])
        scores = _scores(section, rows, unit=kind.cls == "BinaryCrossEntropyLoss")
        return [
            one(
                section.id,
                pair.append_column("score", pa.array(scores)),
                _pick(of_role, ["anchor", "positive"]),
                0,
            )
        ]
    if kind.shape == "labelled":
        return [one(section.id, _labelled(whole), {}, 0)]
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
    prompts_by_column = {column: prompts.get(column, prompts.get("", "")) for column in columns}
    return {column: prompt for column, prompt in prompts_by_column.items() if prompt}


def _scores(section: DataSection, rows: pa.Table, unit: bool) -> list[float]:
    if "score" not in rows.column_names or rows["score"].null_count:
        raise DataError(
            f"The data {section.id} has rows without a score, which its role 'similarity' needs. "
            "Name the column under columns: score = ..."
        )
    scores = rows["score"].to_numpy().astype(np.float64)
    if unit and scores.max() > 1:  # binary cross-entropy wants 0 to 1
        scores = scores / scores.max()
    return [float(score) for score in scores]


def _labelled(rows: pa.Table) -> pa.Table:
    """Every text that a row has with its anchor, and whether it is the positive."""
    import pyarrow as pa

    anchors = rows["anchor"].to_pylist()
    columns = [rows[name].to_pylist() for name in ("positive", *negative_names(rows))]
    labelled = [
        (anchor, text, float(position == 0))
        for anchor, *texts in zip(anchors, *columns, strict=True)
        for position, text in enumerate(texts)
        if text is not None
    ]
    names = ("anchor", "text", "label")
    return pa.table({name: [row[n] for row in labelled] for n, name in enumerate(names)})


def _listed(section: DataSection, rows: pa.Table, negatives: list[str]) -> pa.Table:
    import pyarrow as pa

    if not negatives:
        raise DataError(
            f"The data {section.id} has no negatives, which this loss ranks. Add them, or a [mine] "
            "section."
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
            f"The data {section.id} has no teacher's scores ({', '.join(names)}), which this loss "
            "learns from. Add a [mine] section: it scores what it finds."
        )
    if n_bare := max(rows[name].null_count for name in names):
        raise DataError(
            f"The data {section.id} has {n_bare:,} rows without a negative that a teacher scored, "
            'which this loss learns from. Type on_few = "drop" under [mine], or widen mine.rank.'
        )
    return pa.array(
        np.stack([rows[name].to_numpy() for name in names], axis=1).astype(np.float64).tolist()
    )


def _unique(column: pa.ChunkedArray) -> list[str]:
    return [str(text) for text in column.unique().to_pylist()]


def _with_vectors(column: pa.ChunkedArray, vectors: FloatArray) -> pa.Table:
    import pyarrow as pa

    label = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({"text": column.unique(), "label": label.cast(pa.list_(pa.float32()))})
