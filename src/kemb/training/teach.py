"""Vectors of a teacher, as kemb itself encodes them: its prompts, its limits, its store."""

from __future__ import annotations

from kemb.encoding.encode import Budget, Collection, Texts, encode_missing
from kemb.encoding.store import Store
from kemb.errors import NotSupported
from kemb.models.prompts import resolve
from kemb.models.resolve import Model
from kemb.training.shapes import Teacher
from kemb.types import FloatArray, Role, TaskType


def teacher(model: Model, store: Store) -> Teacher:
    """The teacher as a function of role and texts.

    :raises NotSupported: for a model without vectors.
    """
    if model.family != "dense":
        raise NotSupported(f"{model.name} has no vectors, so it cannot be a teacher of them. Name a dense model.")

    def vectors(role: str, texts: list[str]) -> FloatArray:
        task_type: TaskType = "sts" if role == "text" else "retrieval"
        asked: Role = "text" if role == "text" else "query" if role == "query" else "document"
        found = resolve(model.prompts, "", task_type, "", asked)
        column = Texts.of(found.route, found.prompt, texts, lambda row: f"{role} {row} of the training data")
        space = store.space(model.fingerprint())
        encode_missing(Collection([column]), space, model.open, Budget.for_device(model.device))
        return space.vectors(column.keys).block(0, len(texts))

    return vectors
