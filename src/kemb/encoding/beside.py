"""Which models of a command are heads of one encoder, so that one forward pass makes the vectors of all."""

from __future__ import annotations

from collections.abc import Iterable

from kemb.models.encoders.bge_m3 import LOADERS
from kemb.models.resolve import Model


def heads_beside(model: Model, others: Iterable[Model]) -> list[Model]:
    """Those of the others whose vectors a forward pass of the model makes too, each kind once."""
    found = {other.kind: other for other in reversed(list(others)) if _shares(model, other)}
    return list(found.values())


def _shares(one: Model, other: Model) -> bool:
    """Whether both are heads of BGE-M3 in one folder, under one profile, and see the same inputs."""
    kinds = {one.kind, other.kind}
    if len(kinds) < 2 or not kinds & LOADERS.keys() or not kinds <= {"dense", *LOADERS}:
        return False
    return _encoder(one) == _encoder(other)


def _encoder(model: Model) -> tuple[object, ...]:
    """What two heads must have in common; a plain folder may be pooled otherwise than BGE-M3 does."""
    path = model.folder.path if model.folder else None
    profile = (model.device, model.dtype, model.max_tokens, model.spec.append_eos, model.trust_remote_code)
    return (path, model.built, model.prompts, model.backend, profile)
