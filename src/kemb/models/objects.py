"""Models of Python objects: functions, objects with `encode`, loaded sentence-transformers models,
mteb's encoders.

An object is asked for its vectors of eight short texts first. What it answers becomes part of its
fingerprint, so that an object that has changed under its name and revision meets none of its old
vectors; and an object that cannot be used is refused before anything is written.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, NamedTuple, cast

from kemb.errors import ModelError, NotSupported, UsageError
from kemb.models import catalogue, doors
from kemb.models.doors import PYTHON, Door, Identity, Origin, class_names
from kemb.models.encoders.python import (
    PythonEncoder,
    PythonReranker,
    probe_of_encoder,
    probe_of_reranker,
)
from kemb.models.families import FAMILIES, LOADERS
from kemb.models.model import Model, ModelOptions
from kemb.models.prompts import build_prompts, prompts_label, rules_of_file
from kemb.models.spec import Dtype, ModelSpec
from kemb.tasks import plugins
from kemb.tasks.plugins import MODELS_GROUP

SCRATCH = "scratch"
"""The variant of rows whose model has no identity."""
_ST_LOADERS = {name: loader for loader, row in LOADERS.items() for name in row.st_types} | {
    FAMILIES["dense"].st_class: "sentence-transformers"
}
"""By classes of sentence-transformers."""
_RESERVED = ("api:", "mteb:", "run:", "run/", "local/", "memory/")
"""How names begin that kemb gives itself."""


class Identified(NamedTuple):
    """By what an object is told from others."""

    revision: str
    identity: Identity


def named_object(reference: str) -> Door:
    """The object of `python:package.module:object`, or of a plug-in's model, as a door.

    :raises UsageError: as `doors.named`, or for what is no model.
    """
    point = plugins.objects(MODELS_GROUP).get(reference)
    value = doors.named(f"{PYTHON}{point.value}" if point else reference)
    door = value if isinstance(value, Door) else replace(_door(value), name=reference)
    if point is not None and point.dist is not None:
        origin = doors.origin_of_distribution(point.dist.name)
        door = replace(door, name=reference, identity=Identity("none", origin))
    return replace(door, reference=f"{PYTHON}{point.value}" if point else reference)


def model_of(
    value: Any,  # noqa: ANN401  any object
    options: ModelOptions,
    task_names: Collection[str],
) -> Model:
    """The model of a door or of a bare object.

    :param options: those that files have (dtype, max_tokens, pooling, backend) are refused.
    :param task_names: that may be keys of prompts.
    :raises UsageError: an object that is no model, the name of a known model, or a setting that an
        object does not have.
    :raises ModelError: what it answers cannot be used.
    """
    door = value if isinstance(value, Door) else _door(value)
    _refuse_settings(door, options)
    if hasattr(door.value, "mteb_model_meta"):
        from kemb.models.encoders.mteb import model_of_meta

        _refuse_what_mteb_has(door)
        meta = door.value.mteb_model_meta
        return model_of_meta(meta, task_names, door=replace(door, identity=Identity("revision")))
    _refuse_known_name(door)
    if loader := _loader_of(door.value):
        return _of_sentence_transformers(door, loader, options, task_names)
    if door.kind == "run":
        revision = hashlib.sha256(json.dumps(door.value, sort_keys=True).encode()).hexdigest()
        return _model(door, "python-run", Identified(revision[:12], Identity("content")))
    if door.kind == "retriever":
        return _model(door, "python-retriever", _identified(door, None))
    if door.kind == "reranker":
        reranker = PythonReranker(door.value, door.name, door.batch_size)
        identified = _identified(door, lambda: probe_of_reranker(reranker))
        return _model(door, "python-reranker", identified)
    encoder = PythonEncoder(door.value, door.name, door.batch_size)
    identified = _identified(door, lambda: probe_of_encoder(encoder))
    model = _with_prompts(_model(door, "python-encoder", identified), options, task_names, None)
    return replace(model, prompts=replace(model.prompts, by_role=len(encoder.routes) > 1))


def _door(value: Any) -> Door:  # noqa: ANN401  any object
    if _loader_of(value) == "cross-encoder":
        return doors.reranker(value)
    return doors.encoder(value)


def _loader_of(value: object) -> str | None:
    """Of a loaded model of sentence-transformers."""
    for name in class_names(value):
        package, cls = name.partition(".")[0], name.rpartition(".")[2]
        if package == "sentence_transformers" and cls in _ST_LOADERS:
            return _ST_LOADERS[cls]
    return None


def _identified(door: Door, ask: Callable[[], str] | None) -> Identified:
    """The revision of an object: the one that was stated, else that of its distribution.

    The code of a function is all of it; of an object with a state what it answers must do, too.
    """
    probe = ask() if ask else ""
    origin = door.identity.origin or doors.origin_of(door.value)
    if door.revision:
        return Identified(door.revision, Identity("revision", origin, probe))
    is_code = doors.is_function_of_module(door.value)
    if origin is not None and (is_code or probe):
        state = "" if is_code else f"-{probe[:8]}"
        return Identified(_revision_of(origin) + state, Identity("distribution", origin, probe))
    return Identified(probe or uuid.uuid4().hex[:12], Identity("none", None, probe))


def _revision_of(origin: Origin) -> str:
    return f"{re.sub(r'[^A-Za-z0-9.+-]', '-', origin.version)}-{origin.sha256[:12]}"


def _model(door: Door, loader: str, identified: Identified) -> Model:
    return Model(
        spec=ModelSpec(name=door.name, loader=loader, similarity=door.similarity or "cosine"),
        name=door.name,
        revision=identified.revision,
        similarity=door.similarity or "cosine",
        variant=SCRATCH if identified.identity.how == "none" else "",
        door=replace(door, identity=identified.identity),
    )


def _with_prompts(
    model: Model,
    options: ModelOptions,
    task_names: Collection[str],
    st_config: dict[str, Any] | None,
) -> Model:
    """A model with the prompts of a file, of its door, or of the object's own configuration."""
    assert model.door is not None
    spec = model.spec
    if model.door.prompts:
        spec = spec.model_copy(update={"prompts": dict(model.door.prompts)})
    rules = rules_of_file(options.prompts_file, spec)
    table = build_prompts(spec, rules, st_config, task_names)
    layers = tuple(
        replace(layer, source="python") if layer.source == "model TOML" else layer
        for layer in table.layers
    )
    variant = model.variant
    if options.prompts_file:
        label = f"prompts_{prompts_label(options.prompts_file)}"
        variant = f"{variant}__{label}" if variant else label
    return replace(model, spec=spec, prompts=replace(table, layers=layers), variant=variant)


def _of_sentence_transformers(
    door: Door, loader: str, options: ModelOptions, task_names: Collection[str]
) -> Model:
    value = door.value
    if loader == "cross-encoder" and value.num_labels != 1:
        raise ModelError(
            f"{door.name} gives {value.num_labels} scores for a pair, as classifiers do; a "
            "reranker gives one."
        )
    configured = str(getattr(value, "similarity_fn_name", None) or "").lower()
    similarities = LOADERS[loader].similarities
    if door.similarity is not None and door.similarity not in similarities:
        raise UsageError(
            f"similarity={door.similarity!r} cannot be used with {door.name}, which compares by "
            f"{' or '.join(similarities)}. Leave it out, or give one of these."
        )
    stated = door.similarity or configured
    weights = weights_hash(value)[:12]
    identity = Identity("weights", None, weights)
    model = _model(door, loader, Identified(door.revision or weights, identity))
    model = replace(
        model,
        device=str(value.device),
        dtype=cast(Dtype, str(next(value.parameters()).dtype).removeprefix("torch.")),
        max_tokens=value.max_seq_length,
        similarity=next((name for name in similarities if name == stated), similarities[0]),
    )
    config = {"prompts": getattr(value, "prompts", None)}
    config["default_prompt_name"] = getattr(value, "default_prompt_name", None)
    model = _with_prompts(model, options, task_names, config)
    by_role = type(value[0]).__name__ == "Router" or LOADERS[loader].role_is_route
    return replace(model, prompts=replace(model.prompts, by_role=by_role))


def weights_hash(value: Any) -> str:  # noqa: ANN401  a sentence-transformers model
    """Of everything in a loaded model that changes a vector: weights, modules, limit, tokenizer."""
    total = hashlib.sha256()
    for name, tensor in sorted(value.state_dict().items()):
        array = tensor.detach().cpu().float().contiguous().numpy()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(memoryview(array).cast("B") if array.size else b"")
    total.update(f"{value!r} {value.max_seq_length}".encode())
    tokenizer = getattr(value, "tokenizer", None)
    fast: Any = getattr(tokenizer, "backend_tokenizer", tokenizer)
    total.update((fast.to_str() if hasattr(fast, "to_str") else repr(tokenizer)).encode())
    return total.hexdigest()


def _refuse_settings(door: Door, options: ModelOptions) -> None:
    settings: dict[str, object] = {
        "--dtype": options.dtype,
        "--max-tokens": options.max_tokens,
        "--pooling": options.pooling,
        "--backend": options.backend,
        "--workers": options.workers,
        "--as": options.known_as,
    }
    if stated := [flag for flag, value in settings.items() if value is not None]:
        raise UsageError(
            f"{' and '.join(stated)} cannot be used with {door.name}, which is an object of "
            "Python and runs as it is."
        )
    if door.kind in ("retriever", "run") and options.prompts_file:
        raise NotSupported(f"--prompts cannot be used with {door.name}, which gets no prompts.")


def _refuse_what_mteb_has(door: Door) -> None:
    """An encoder of mteb brings its prompts and its similarity; others would be ignored."""
    stated = [name for name in ("prompts", "similarity") if getattr(door, name)]
    if stated:
        raise UsageError(
            f"{' and '.join(f'{name}=' for name in stated)} cannot be used with {door.name}, an "
            "encoder of mteb, which has its own. Leave it out, or give kemb.encoder a function "
            "that calls the encoder."
        )


def _refuse_known_name(door: Door) -> None:
    if door.name == door.reference and door.name.startswith(PYTHON):
        return
    spec = catalogue.load_spec(door.name)
    reserved = next((start for start in _RESERVED if door.name.lower().startswith(start)), None)
    is_own = door.kind == "run" or _loader_of(door.value) is not None
    if spec is not None:
        raise UsageError(
            f"{door.name!r} is the name of a known model ({spec.name}); give the object another, "
            f"for example name='my-{door.name.rpartition('/')[2]}'."
        )
    if reserved and not is_own:
        raise UsageError(
            f"{door.name!r} cannot be the name of an object: names that begin with {reserved} are "
            "kemb's own."
        )
