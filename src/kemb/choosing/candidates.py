"""Which models are tried, declared before anything is measured, each with its reason; and which are
not, with the reason for that.
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from kemb.encoding.views import with_views
from kemb.errors import KembError, UsageError
from kemb.files import disk
from kemb.messages import Note, Text, Title, note
from kemb.models import catalogue
from kemb.models.device import find_device
from kemb.models.facts import facts_of
from kemb.models.families import LOADERS
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve, typed

Role = Literal["lexical", "static", "dense", "api"]
_FILE = Path(__file__).parent / "candidates.toml"
_BYTES_PER_PARAMETER = 4
"""Of float32 weights, as they lie in memory on a CPU."""
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_INDEX = "model.safetensors.index.json"
"""Of weights in several files: which tensor is where."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may be; None: anything."""

    max_gb: float | None = None
    """Of weights in float32."""
    max_params: float | None = None
    license: Literal["commercial"] | None = None
    dim: int | None = None
    """Most dimensions."""
    api: bool = False
    """Whether texts may be sent to an API."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is tried."""

    model: Model
    why: Text
    role: Role
    whole: Model | None = None
    """The model with all its dimensions, where a limit has cut it."""

    @property
    def name(self) -> str:
        return self.model.row


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model that is not tried."""

    name: str
    why: Text


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of the file."""

    name: str
    hardware: tuple[str, ...]
    role: Role
    why: Title
    needs: str = ""
    extra: str = ""
    hub: bool = False
    instead_of: str = ""


def declared(
    limits: Limits, options: ModelOptions, own_tasks: Sequence[str] = ()
) -> tuple[list[Candidate], list[LeftOut]]:
    """The declared candidates of this machine's hardware, cheapest first, and what is left out.

    :param own_tasks: names of the user's own tasks, which may be keys of prompts.
    """
    hardware = "cpu" if find_device(options.device.split(",")[0]) == "cpu" else "gpu"
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for entry in _entries():
        if hardware not in entry.hardware:
            continue
        if entry.instead_of in {candidate.model.name for candidate in candidates}:
            continue
        if (why := _missing(entry, limits)) is not None:
            left_out.append(LeftOut(entry.name, why))
            continue
        try:
            model = resolve(entry.name, options, own_tasks)
        except KembError as error:
            left_out.append(LeftOut(entry.name, str(error)))
            continue
        more, refusals = within(limits, [Candidate(model, entry.why, entry.role)])
        candidates += more
        left_out += refusals
    return candidates, left_out


def named(
    names: Sequence[str], limits: Limits, options: ModelOptions, own_tasks: Sequence[str] = ()
) -> tuple[list[Candidate], list[LeftOut]]:
    """The models that a user names; limits hold for them too.

    :raises UsageError, RunError: as `kemb.models.resolve.resolve`.
    """
    why = note("choose.named")
    models = [resolve(name, options, own_tasks) for name in names]
    return within(limits, [Candidate(model, why, role_of(model)) for model in models])


def role_of(model: Model) -> Role:
    """What a model is to a choice: words, a table of vectors, a network, or an API."""
    if model.endpoint or model.spec.loader == "api":
        return "api"
    if model.family == "lexical":
        return "lexical"
    is_table = model.folder is not None and model.folder.is_table
    if is_table or model.spec.loader in ("kiwi-static", "toy", "tfidf"):
        return "static"
    return "dense"


def with_hybrids(
    candidates: Sequence[Candidate], options: ModelOptions, own_tasks: Sequence[str] = ()
) -> list[Candidate]:
    """The candidates, and of every dense one its reciprocal rank fusion with the first lexical one:
    rows like any other.

    :param own_tasks: names of the user's own tasks, which may be keys of prompts.
    """
    lexical = next((c.model for c in candidates if c.role == "lexical"), None)
    if lexical is None:
        return list(candidates)
    hybrids = []
    for candidate in candidates:
        model = candidate.model
        if model.family == "dense" and model.view is None and model.door is None:
            name = f"rrf({typed(lexical)}, {typed(model)})"
            why = note("choose.hybrid", lexical=lexical.name, dense=model.name)
            hybrids.append(Candidate(resolve(name, options, own_tasks), why, candidate.role))
    names = {candidate.name for candidate in candidates}
    return [*candidates, *(hybrid for hybrid in hybrids if hybrid.name not in names)]


def with_smaller(
    candidates: Sequence[Candidate], limits: Limits, dims: str = "", levels: str = ""
) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates, and after every dense one its stored vectors with fewer dimensions and as
    codes, combined and each alone; and the dimensions that a model was not trained for.

    :param dims: as for `kemb.encoding.views.with_views`.
    :param levels: so, too.
    :raises UsageError: as `with_views`; more dimensions than a limit allows.
    """
    with_views([candidate.model for candidate in candidates], dims, levels)
    numbers = [int(number) for number in dims.split(",") if number.strip()]
    if limits.dim and numbers and max(numbers) > limits.dim:
        raise UsageError(
            f"--dims {max(numbers)} is more than --dim {limits.dim} allows. Type fewer."
        )
    rows: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in candidates:
        rows.append(candidate)
        if candidate.model.family != "dense":
            continue
        trained = _trained(candidate.model)
        left_out += [
            LeftOut(candidate.name, _untrained(n, trained)) for n in numbers if n not in trained
        ]
        smaller = _smaller(candidate, [n for n in numbers if n in trained], levels)
        why = note("choose.view", name=candidate.model.name)
        rows += [Candidate(model, why, candidate.role) for model in smaller]
    return rows, left_out


def _smaller(candidate: Candidate, dims: Sequence[int], levels: str) -> list[Model]:
    """Views of a dense candidate; of one that a limit has cut none is wider than that."""
    view = candidate.model.view
    widest = view.dims if view else None
    numbers = dict.fromkeys([*([widest] if widest else []), *dims])
    whole = candidate.whole or candidate.model
    views = with_views([whole], ",".join(map(str, numbers)), levels)[1:]
    return [
        model
        for model in views
        if model.view != view and (widest is None or (model.view and model.view.dims))
    ]


def _trained(model: Model) -> tuple[int, ...]:
    """Dimensions, fewer than all, that a model was trained for."""
    facts = facts_of(model.known_as or model.name)
    dim = model.spec.dim or facts.dim
    return tuple(n for n in facts.truncate_dims if dim is None or n < dim)


def _untrained(n: int, trained: Sequence[int]) -> Note:
    if not trained:
        return note("choose.not_trained_for_fewer", n=n)
    return note("choose.not_trained_for", n=n, trained=[str(number) for number in trained])


def within(
    limits: Limits, candidates: Sequence[Candidate]
) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates that keep the limits; a model with too many dimensions is tried with fewer, if
    it was trained for them.
    """
    inside: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in candidates:
        fitting = _cut(candidate, limits)
        why = next(filter(None, map(lambda m: _refusal(m, limits), _leaves(fitting.model))), None)
        if why is None:
            inside.append(fitting)
        else:
            left_out.append(LeftOut(candidate.name, why))
    return inside, left_out


def n_parameters(model: Model) -> int | None:
    """Of a model and its parts; 0 of what has no network, None where nobody says."""
    total = 0
    for leaf in _leaves(model):
        if leaf.loader.is_built_in and leaf.spec.n_parameters is None:
            continue
        facts = facts_of(leaf.known_as or leaf.name)
        size = leaf.spec.n_parameters or facts.n_parameters
        if size is None and leaf.folder is not None:
            size = leaf.folder.n_parameters
        if size is None:
            return None
        total += size
    return total


def _leaves(model: Model) -> list[Model]:
    if not model.parts:
        return [model]
    return [leaf for part in model.parts for leaf in _leaves(part)]


def _cut(candidate: Candidate, limits: Limits) -> Candidate:
    model = candidate.model
    facts = facts_of(model.known_as or model.name)
    dim = model.spec.dim or facts.dim
    smaller = [n for n in facts.truncate_dims if limits.dim and n <= limits.dim]
    if not limits.dim or not dim or dim <= limits.dim or not smaller or model.family != "dense":
        return candidate
    view = with_views([model], dims=str(max(smaller)))[-1]
    return replace(candidate, model=view, whole=model)


def _refusal(model: Model, limits: Limits) -> Note | None:
    """Why a model does not keep the limits; None where it does."""
    facts = facts_of(model.known_as or model.name)
    if role_of(model) == "api" and not limits.api:
        return note("choose.is_api")
    size = n_parameters(model)
    if (limits.max_params or limits.max_gb) and size is None:
        return note("choose.size_unknown")
    if limits.max_params and size is not None and size > limits.max_params:
        return note("choose.too_many_parameters", millions=size / 1e6)
    gigabytes = (size or 0) * _BYTES_PER_PARAMETER / 1e9
    if limits.max_gb and gigabytes > limits.max_gb:
        return note("choose.too_large", gigabytes=gigabytes)
    if limits.license and not model.loader.is_built_in and facts.license_class != "commercial":
        return note("choose.license", license=facts.license or "?")
    dim = (model.view.dims if model.view else None) or model.spec.dim or facts.dim
    if limits.dim and dim is None and model.family == "dense" and not model.loader.is_built_in:
        return note("choose.dim_unknown")
    if limits.dim and dim and dim > limits.dim:
        return note("choose.too_many_dimensions", dim=dim)
    return None


def _missing(entry: _Entry, limits: Limits) -> Note | None:
    """Why a declared candidate cannot be tried on this machine; None where it can."""
    if entry.role == "api" and not limits.api:
        return note("choose.is_api")
    if entry.needs and importlib.util.find_spec(entry.needs) is None:
        return note("choose.not_installed", command=f'pip install "kemb[{entry.extra}]"')
    if entry.hub and not _has_weights(entry.name):
        return note("choose.not_fetched", command=f"-m {entry.name}")
    return None


def _has_weights(name: str) -> bool:
    """Whether a hub model lies in the local cache, at the revision that is declared; its
    configuration alone is what a fetch leaves that was cut short.
    """
    from huggingface_hub import try_to_load_from_cache

    spec = catalogue.load_spec(name)
    repo = (spec.hub if spec else None) or name
    revision = spec.revision if spec else None

    def in_cache(file: str) -> str | None:
        path = try_to_load_from_cache(repo, file, revision=revision)
        return path if isinstance(path, str) else None

    if any(map(in_cache, _WHOLE)):
        return True
    index = in_cache(_INDEX)
    if index is None:
        return False
    shards = set(disk.read_json(Path(index)).get("weight_map", {}).values())
    return bool(shards) and all(map(in_cache, shards))


@cache
def _entries() -> tuple[_Entry, ...]:
    rows = tomllib.loads(_FILE.read_text(encoding="utf-8"))["candidate"]
    entries = []
    for row in rows:
        values = row | {"why": Title(**row["why"]), "hardware": tuple(row["hardware"])}
        entry = _Entry(**values)
        spec = catalogue.load_spec(entry.name)
        if spec is None or LOADERS[spec.loader].cannot_run:
            raise UsageError(f"{_FILE} names {entry.name}, which kemb does not know.")
        entries.append(entry)
    return tuple(entries)
