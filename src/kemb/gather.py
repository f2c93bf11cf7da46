"""From tasks to the store and back: which texts a model needs under which prompt, and where their vectors lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kemb.encode import Budget, Collection, OnProgress, Progress, Texts, encode_missing
from kemb.models.prompts import Resolved, resolve, roles
from kemb.models.resolve import Model
from kemb.store import Space
from kemb.tasks.spec import TaskSpec
from kemb.types import (
    ArrayVectors,
    BitextData,
    ClusterData,
    LabelData,
    PairData,
    Part,
    PartData,
    RetrievalData,
    Role,
    TaskData,
    Vectors,
    columns,
)

Columns = dict[tuple[str, str, str, str], Texts]
"""Texts with their keys by task, split, subset and column."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The vectors of all texts that a model needs, and where each column lies."""

    space: Space
    progress: Progress
    columns: Columns

    def vectors(self, spec: TaskSpec, part: Part) -> dict[str, Vectors]:
        """Vectors of a part by column; documents stay on disk and are read in blocks, the rest is read now."""
        found: dict[str, Vectors] = {}
        for name, column in columns(part.data).items():
            stored = self.space.vectors(self.columns[spec.name, part.split, part.subset, name].keys)
            found[name] = stored if column.role == "document" else ArrayVectors(stored.block(0, len(column.texts)))
        return found


def prompts_of(model: Model, spec: TaskSpec) -> dict[Role, Resolved]:
    """What goes before the texts of each role of a task."""
    return {role: resolve(model.prompts, spec.name, spec.type, spec.instruction, role) for role in roles(spec.type)}


def columns_of(tasks: Sequence[tuple[TaskSpec, TaskData]], model: Model) -> Columns:
    """All texts of the tasks as the model is to see them."""
    found: Columns = {}
    for spec, data in tasks:
        prompts = prompts_of(model, spec)
        for part in data.parts:
            for name, column in columns(part.data).items():
                where = _Where(spec.name, part, name)
                prompt = prompts[column.role]
                key = (spec.name, part.split, part.subset, name)
                found[key] = Texts.of(prompt.route, prompt.prompt, column.texts, where)
    return found


def encode(columns: Columns, space: Space, model: Model, on_progress: OnProgress) -> Encoded:
    """Encode what the space lacks.

    :raises ModelError: as `encode_missing`.
    :raises StoreError: when the store cannot be written.
    """
    budget = Budget.for_device(model.device)
    progress = encode_missing(Collection(list(columns.values())), space, model.open, budget, on_progress)
    return Encoded(space, progress, columns)


def stored(columns: Columns, space: Space) -> Encoded:
    """What is in a space, with nothing encoded."""
    collection = Collection(list(columns.values()))
    return Encoded(space, Progress(collection.n_texts, len(collection), len(collection)), columns)


@dataclass(frozen=True, slots=True)
class _Where:
    """Names the origin of a text, for messages."""

    task: str
    part: Part
    column: str

    def __call__(self, row: int) -> str:
        ids = _ids(self.part.data, self.column)
        item = ids[row] if ids is not None else f"row {row}"
        return f"{self.task} ({self.part.subset}, {self.part.split}), {self.column}, id {item}"


def _ids(data: PartData, column: str) -> list[str] | None:
    match data:
        case RetrievalData():
            return data.doc_ids if column == "documents" else data.query_ids
        case LabelData():
            return data.item_ids if column == "texts" else None
        case PairData() | ClusterData() | BitextData():
            return data.item_ids
