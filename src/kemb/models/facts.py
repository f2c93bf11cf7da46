"""What a reader wants to know of a model beside its scores: size, limits, licence, kind. From data,
never guessed.

A model's own TOML comes first, then mteb's registry (`data/models.json`, written by
tools/model_facts.py), then what
`model_meta.json` beside its results says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from kemb.models import catalogue
from kemb.models.families import KINDS, LOADERS, kind_name
from kemb.models.spec import ModelSpec

_TABLE = Path(__file__).parent.parent / "data" / "models.json"

LicenseClass = Literal["commercial", "conditional", "noncommercial", "closed", ""]
"""`commercial`: permissive. `conditional`: commercial use under conditions of its own (share-alike,
an acceptable-use policy). `closed`: served only, under terms of service. '': nobody says.
"""

_PERMISSIVE = {
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-3.0",
    "cc0-1.0",
    "unlicense",
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of one model; None, '' or empty where nothing is known."""

    name: str
    kind: str = ""
    """A key of `kemb.models.families.KINDS`."""
    n_parameters: int | None = None
    dim: int | None = None
    truncate_dims: tuple[int, ...] = ()
    """Smaller dimensions that the model was trained for."""
    max_tokens: int | None = None
    license: str = ""
    open_weights: bool | None = None
    base_model: str = ""
    languages: tuple[str, ...] = ()
    released: str = ""
    """YYYY-MM-DD."""
    reference: str = ""
    needs_prompt: bool | None = None
    """Whether its authors have it used with a prompt or an instruction."""
    similarity: str = ""

    @property
    def license_class(self) -> LicenseClass:
        """What the licence allows, coarsely; the licence itself decides."""
        name = self.license.lower()
        if self.open_weights is False:
            return "closed"
        if not name:
            return ""
        if name in _PERMISSIVE:
            return "commercial"
        return "noncommercial" if "-nc" in name else "conditional"


def facts_of(name: str, meta: Mapping[str, Any] | None = None) -> ModelFacts:
    """The facts of a model.

    :param meta: the content of the `model_meta.json` beside its results.
    """
    spec = catalogue.load_spec(name)
    facts = _with(ModelFacts(name), _from_meta(meta or {}))
    entry = _registry().get(name.lower())
    if entry is None and spec is not None:
        entry = _registry().get((spec.hub or spec.name).lower())
    facts = _with(facts, _from_registry(entry or {}))
    # What the registry says of BGE-M3 is true of its dense vectors.
    if spec is not None and LOADERS[spec.loader].head:
        facts = replace(facts, dim=None, truncate_dims=(), similarity="")
    return _with(facts, _from_spec(spec)) if spec else facts


def _with(facts: ModelFacts, values: Mapping[str, Any]) -> ModelFacts:
    return replace(
        facts, **{key: value for key, value in values.items() if value not in (None, "", ())}
    )


def _from_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The format is mteb's `ModelMeta.to_dict`; numbers that are none are left out, as the file may
    be anybody's.
    """
    numbers = {"n_parameters": "n_parameters", "embed_dim": "dim", "max_tokens": "max_tokens"}
    values: dict[str, Any] = {
        field: int(meta[key])
        for key, field in numbers.items()
        if type(meta.get(key)) in (int, float) and meta[key] > 0
    }
    texts = {"license": "license", "reference": "reference", "adapted_from": "base_model"}
    values |= {field: meta[key] for key, field in texts.items() if isinstance(meta.get(key), str)}
    kinds = meta.get("model_type")
    if isinstance(kinds, list) and kinds and kinds[0] in KINDS:
        values["kind"] = kinds[0]
    if isinstance(meta.get("open_weights"), bool):
        values["open_weights"] = meta["open_weights"]
    return values


def _from_registry(entry: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in entry.items() if key != "instructions"}
    return values | {
        "truncate_dims": tuple(entry.get("truncate_dims", ())),
        "needs_prompt": entry.get("instructions"),
    }


def _from_spec(spec: ModelSpec) -> dict[str, Any]:
    says_prompts = bool({"prompts", "instructions", "instruction_template"} & spec.model_fields_set)
    sends = (
        any(spec.prompts.values()) or any(spec.instructions.values()) or spec.use_task_instructions
    )
    return {
        "kind": kind_name(spec.loader),
        "n_parameters": spec.n_parameters,
        "dim": spec.dim,
        "truncate_dims": tuple(spec.truncate_dims),
        "max_tokens": spec.max_tokens,
        "license": spec.license,
        "open_weights": spec.open_weights,
        "base_model": spec.base_model,
        "languages": tuple(spec.languages),
        "reference": spec.reference,
        "needs_prompt": sends if says_prompts else None,
        "similarity": spec.similarity,
    }


@cache
def _registry() -> dict[str, dict[str, Any]]:
    table = json.loads(_TABLE.read_text(encoding="utf-8"))["models"]
    return {name.lower(): entry for name, entry in table.items()}
