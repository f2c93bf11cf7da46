"""From what a user types after -m to a model with an identity: files, revision, prompts, limits,
variant.

Nothing here imports torch: a run whose vectors are all in the store never loads a model.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast, get_args

from kemb import tasks
from kemb.errors import NotSupported, UnknownName, UsageError
from kemb.files import disk
from kemb.models import backends, catalogue, files, recognise
from kemb.models.device import check_device, find_devices
from kemb.models.doors import PYTHON
from kemb.models.encoders import bge_m3
from kemb.models.encoders.bge_m3 import Head
from kemb.models.expressions import Expression, Fused, Leaf, Reranked, parse
from kemb.models.families import FAMILIES, LOADERS, Similarity
from kemb.models.identity import elsewhere, file_hashes, hash_of
from kemb.models.model import Model, ModelOptions, RunOrder
from kemb.models.prompts import (
    PromptTable,
    build_prompts,
    declares_prompts,
    prompts_label,
    rules_of_file,
)
from kemb.models.spec import Dtype, ModelSpec
from kemb.tasks import plugins
from kemb.tasks.plugins import MODELS_GROUP

_LONGEST = 4096
"""Characters of what is typed for a model."""


def is_folder(name: str) -> bool:
    """Whether a folder of this name is there; a name that no file system takes is none."""
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def is_on_hub(name: str) -> bool:
    """Whether a model of this name would be looked for on the hub: `org/name[@revision]`."""
    plain = name.partition("@")[0]
    return re.fullmatch(r"\w[\w.-]*/[\w.-]+", plain) is not None and not is_folder(name)


def resolve(
    name: str, options: ModelOptions | None = None, own_tasks: Collection[str] = ()
) -> Model:
    """The model a user means: a known name, a local folder, `org/name[@revision]` on the hub,
    `mteb:NAME`, `api:NAME`, or `python:package.module:object`.

    :param own_tasks: tasks of the user's own; their names, too, may be keys of prompts.
    :raises UnknownName: with the nearest known names.
    :raises ModelError: when the files are unusable; FetchError when they cannot be fetched.
    """
    options = options or ModelOptions()
    check_device(options.device)
    backends.check_options(options.backend, options.backend_file)
    if not is_folder(name) and (other := _without_files(name, options, own_tasks)) is not None:
        return other
    task_names = {*tasks.names(), *own_tasks}
    typed_name = name
    name, head = (name, None) if is_folder(name) else bge_m3.split_head(name)
    plain, _, revision = name.partition("@")
    spec = catalogue.load_spec(plain)
    if head and (
        name.startswith("api:") or (spec is not None and not LOADERS[spec.loader].may_have_heads)
    ):
        bge_m3.refuse_head(plain, spec.loader if spec else "API", head)
    if name.startswith("api:") or (spec is not None and spec.loader == "api"):
        from kemb.models.encoders.api_identity import resolve_api

        _refuse_known_as(options, typed_name)
        return resolve_api(name.removeprefix("api:"), options, task_names)
    if spec is None and is_folder(name):
        return _local(Path(name), options, task_names, head)
    bge_m3.refuse_other_heads(name)
    if spec is None:
        _refuse_path(name)
    _refuse_known_as(options, typed_name)
    if spec is None and not re.fullmatch(r"[\w.-]+/[\w.-]+", plain):
        raise UnknownName(
            "model",
            typed_name,
            catalogue.accepted_names(),
            "Type `kemb models`, a folder, or a hub id `org/name`.",
        )
    if spec is not None and LOADERS[spec.loader].is_built_in:
        return built_in(spec, options, task_names)
    if spec is not None and LOADERS[spec.loader].cannot_run:
        raise NotSupported(f"{spec.name} cannot be run. {LOADERS[spec.loader].cannot_run}")
    spec = spec or ModelSpec(name=plain)
    path, commit = _fetch(
        spec.hub or spec.name, revision or spec.revision, options, bge_m3.HUB_FILES if head else ()
    )
    folder = files.read_folder(path, needs_weights=options.backend is None)
    return _from_folder(spec, _with_elsewhere(path, commit), folder, options, task_names, head)


def _refuse_path(name: str) -> None:
    """Refuse what is meant for a folder that is not there.

    :raises UsageError: it is a path, or a file.
    """
    is_file = os.path.exists(name)
    if not is_file and not re.match(r"[./~\\]|[A-Za-z]:[/\\]", name) and name.count("/") < 2:
        return
    what = f"{name} is not a folder" if is_file else f"There is no folder {name}"
    raise UsageError(
        f"{what}; a model is a folder with its files, a name of `kemb models`, or a hub id "
        "`org/name` (a run file is typed run:FILE, the TOML file of an endpoint api:FILE)."
    )


def _refuse_known_as(options: ModelOptions, name: str) -> None:
    if options.known_as is not None:
        raise UsageError(
            f"--as says which known model a folder holds, and {name} is no folder. Leave it out, "
            "or run the folder by itself."
        )


def _with_elsewhere(path: Path, commit: str) -> str:
    """The revision of a fetched model: its commit, and what it needs of other repositories."""
    others = elsewhere(path)
    if not others:
        return commit
    return f"{commit}-{hashlib.sha256(chr(10).join(others.values()).encode()).hexdigest()[:12]}"


def _without_files(name: str, options: ModelOptions, own_tasks: Collection[str]) -> Model | None:
    """A run, an expression, an object of Python or a model of mteb's; None for any other name."""
    if (model := composed(name, options, own_tasks)) is not None:
        return model
    if name.startswith(PYTHON) or name in plugins.objects(MODELS_GROUP):
        from kemb.models.objects import named_object

        return resolve_object(named_object(name), options, own_tasks)
    if name.startswith("mteb:"):
        from kemb.models.encoders.mteb import resolve_mteb

        return resolve_mteb(name.removeprefix("mteb:"), options, {*tasks.names(), *own_tasks})
    return None


def resolve_object(
    value: Any,  # noqa: ANN401  any object
    options: ModelOptions | None = None,
    own_tasks: Collection[str] = (),
) -> Model:
    """The model of an object of Python: a door, a function, an object with `encode`, a loaded model
    of sentence-transformers or mteb.

    :raises UsageError, ModelError: as `kemb.models.objects.model_of`, and as `resolve` for a
        reranker's first stage.
    """
    from kemb.models.objects import model_of

    options = options or ModelOptions()
    model = model_of(value, options, {*tasks.names(), *own_tasks})
    if model.door is None or not model.door.first:
        return model
    first = model.door.first
    stage = compose(parse(first), options, own_tasks)
    return _reranked(stage, model, Reranked(Leaf(first), model.name, model.door.depth))


def _fetch(
    hub: str, revision: str | None, options: ModelOptions, also: Sequence[str]
) -> tuple[Path, str]:
    if options.backend is None:
        return files.fetch_model(hub, revision, options.trust_remote_code, also)
    instead = backends.patterns(options.backend, options.backend_file)
    path, commit = files.fetch_model(hub, revision, options.trust_remote_code, also, instead)
    if more := backends.weights_elsewhere(path, options.backend, options.backend_file):
        return files.fetch_model(hub, commit, options.trust_remote_code, also, [*instead, *more])
    return path, commit


def prompts_of(name: str, options: ModelOptions, own_tasks: Collection[str] = ()) -> PromptTable:
    """The prompts of a model, without its files where its TOML declares them.

    :raises UnknownName: as `resolve`.
    """
    spec = catalogue.load_spec(name.partition("@")[0])
    if spec is None or not declares_prompts(spec):
        model = resolve(name, options, own_tasks)
        return replace(model.prompts, warnings=model.warnings)
    if LOADERS[spec.loader].is_built_in:
        _refuse_settings(spec.name, options)
    return build_prompts(
        spec, rules_of_file(options.prompts_file, spec), None, {*tasks.names(), *own_tasks}
    )


def _local(
    path: Path, options: ModelOptions, task_names: Collection[str], head: Head | None
) -> Model:
    folder = files.read_folder(path.resolve(), needs_weights=options.backend is None)
    also = bge_m3.HUB_FILES if head in bge_m3.FILES else ()
    hashes = file_hashes(path.resolve(), also)
    revision = hash_of(path.resolve(), hashes)[:12]
    name = files.local_name(path)
    recognised = recognise.recognise(path.resolve(), hashes, str(path), options.known_as)
    original = recognised.spec
    spec = recognise.settings_of(original, name) if original else ModelSpec(name=name)
    model = _from_folder(spec, revision, folder, options, task_names, head)
    return replace(
        model,
        known_as=original.name if original else None,
        variant="__".join(part for part in (model.variant, recognised.variant) if part),
        remarks=(recognised.remark,) if recognised.remark else (),
    )


def built_in(spec: ModelSpec, options: ModelOptions, task_names: Collection[str]) -> Model:
    """A model that comes with kemb.

    :raises UsageError: a setting that such a model does not have.
    """
    _refuse_settings(spec.name, options)
    return Model(
        spec=spec,
        name=spec.name,
        revision=str(resolve_name(LOADERS[spec.loader].revision)(spec.name)),
        prompts=build_prompts(spec, None, None, task_names),
    )


def _refuse_settings(name: str, options: ModelOptions) -> None:
    values: dict[str, object] = {
        "--dtype": options.dtype,
        "--max-tokens": options.max_tokens,
        "--pooling": options.pooling,
        "--backend": options.backend,
        "--prompts": options.prompts_file,
        "--as": options.known_as,
    }
    wrong = [flag for flag, value in values.items() if value is not None]
    if wrong:
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with {name}, which has no such setting. Leave "
            "it out, or run that model by a command of its own."
        )


def _from_folder(
    spec: ModelSpec,
    revision: str,
    folder: files.ModelFolder,
    options: ModelOptions,
    task_names: Collection[str],
    head: Head | None = None,
) -> Model:
    spec = bge_m3.read_through(spec, folder, head) if head else spec
    if spec.loader == "sentence-transformers":
        spec = spec.model_copy(update={"loader": folder.loader})
    pooling = _pooling(spec, folder, options)
    # First of all: it says what is wrong with a prompts file.
    rules = rules_of_file(options.prompts_file, spec)
    prompts = build_prompts(spec, rules, folder.prompts_config, task_names)
    backend = _backend(spec, folder, options) if options.backend else None
    device, *others = find_devices(
        "cpu" if backend and options.device == "auto" else options.device, options.workers
    )
    dtype = options.dtype or _auto_dtype(spec, folder, device)
    declared_tokens = spec.max_tokens or folder.max_tokens
    max_tokens = options.max_tokens or declared_tokens
    differences = {
        "dtype": dtype if dtype != (spec.dtype or "float32") else None,
        "max_tokens": max_tokens if max_tokens != declared_tokens else None,
        "pooling": pooling if not folder.has_modules and pooling != spec.pooling else None,
        "prompts": prompts_label(options.prompts_file) if options.prompts_file else None,
        "backend": backend.label if backend else None,
    }
    return Model(
        spec=spec,
        name=spec.name,
        revision=revision,
        variant="__".join(
            f"{key}_{value}" for key, value in differences.items() if value is not None
        ),
        prompts=replace(prompts, by_role=folder.has_router or LOADERS[spec.loader].role_is_route),
        similarity=_similarity(spec, folder),
        max_tokens=max_tokens,
        pooling=pooling,
        truncate_dim=folder.truncate_dim if LOADERS[spec.loader].family == "dense" else None,
        folder=folder,
        device=device,
        is_any_device=options.device == "auto",
        devices=(device, *others),
        dtype=dtype,
        backend=backend,
        trust_remote_code=options.trust_remote_code,
    )


def _pooling(spec: ModelSpec, folder: files.ModelFolder, options: ModelOptions) -> str | None:
    """How token vectors become one: as asked, as the TOML says, or as the model's files do.

    :raises UsageError: a pooling that the model cannot have, or none where it needs one.
    """
    if LOADERS[spec.loader].family != "dense":
        if options.pooling:
            raise UsageError(
                f"--pooling cannot be used with {spec.name}, which is a {spec.loader} model."
            )
        return spec.pooling
    if folder.has_modules or folder.is_model2vec:
        if options.pooling and options.pooling != folder.pooling:
            raise UsageError(
                f"{spec.name} declares pooling {folder.pooling!r} in its own files; --pooling "
                f"{options.pooling} cannot change it."
            )
        return folder.pooling
    pooling = options.pooling or spec.pooling
    if pooling is None:
        raise UsageError(
            f"{spec.name} is a plain transformers model: its files do not say how token vectors "
            "become one vector. "
            "Look in its model card and type --pooling mean, --pooling cls or --pooling last."
        )
    return pooling


def _backend(
    spec: ModelSpec, folder: files.ModelFolder, options: ModelOptions
) -> backends.BackendFile:
    assert options.backend is not None
    is_dense = LOADERS[spec.loader].family == "dense" and not folder.is_table
    backends.refuse_settings(spec.name, is_dense, options.dtype)
    return backends.find_file(folder.path, options.backend, options.backend_file)


def _similarity(spec: ModelSpec, folder: files.ModelFolder) -> Similarity:
    """As the model's TOML says, else as its files say, else the default of its kind."""
    similarities = LOADERS[spec.loader].similarities
    if "similarity" in spec.model_fields_set and spec.similarity in similarities:
        return spec.similarity
    return next(
        (similarity for similarity in similarities if similarity == folder.similarity),
        similarities[0],
    )


def _auto_dtype(spec: ModelSpec, folder: files.ModelFolder, device: str) -> Dtype:
    """On an accelerator the precision that the model was published in; float32 on a CPU."""
    published = spec.dtype or folder.stored_dtype
    if device == "cpu" or published not in get_args(Dtype):
        return "float32"
    return cast(Dtype, published)


def run_of_file(path: Path, name: str = "", order: RunOrder = "score") -> Model:
    """A TREC run file as a model: its revision is the hash of its bytes.

    :param name: of the row; the file's name without its ending otherwise.
    :param order: the column of the file that counts; ranks make a variant.
    :raises UsageError: there is no such file, or the name cannot be one.
    """
    if not path.is_file():
        what = f" ({disk.what_is(path)})" if path.exists() else ""
        raise UsageError(
            f"There is no run file {path}{what}. Give a TREC run file: `query Q0 document rank "
            "score tag`."
        )
    name = name or re.sub(r"[^\w.-]+", "-", path.stem).strip(".-") or "run"
    if not re.fullmatch(r"[\w.-]+", name) or set(name) == {"."}:
        raise UsageError(
            f"--run-name {name!r} cannot be the name of a row; use letters, digits, . _ and -."
        )
    revision = disk.sha256(path)[:12]
    variant = "" if order == "score" else f"by-{order}"
    row = _ranker("run", f"run/{name}", revision)
    return replace(row, run_file=path, run_order=order, variant=variant)


def composed(name: str, options: ModelOptions, own_tasks: Collection[str] = ()) -> Model | None:
    """A run file or an expression as a model; None for a plain name. `resolve` comes here first.

    :raises UsageError: as `compose`, and for what can be neither.
    """
    if len(name) > _LONGEST:
        raise UsageError(
            f"The model {name[:60]!r}... has {len(name):,} characters; a name, a path or an "
            f"expression (rrf, fuse with its weights) has at most {_LONGEST:,}."
        )
    run_file = Path(name.removeprefix("run:")) if name.startswith("run:") else None
    expression = Leaf(name) if run_file is not None and run_file.is_file() else parse(name)
    if not isinstance(expression, Leaf):
        return compose(expression, options, own_tasks)
    if run_file is None:
        return None
    _refuse_settings(name, options)
    return run_of_file(run_file, order=options.run_order)


def compose(
    expression: Expression, options: ModelOptions, own_tasks: Collection[str] = ()
) -> Model:
    """The model of an expression; a setting reaches every part that has it.

    :raises UsageError: a part that cannot stand where it stands; and as `resolve` for each part.
    """
    match expression:
        case Leaf(name):
            return resolve(name, _settings_of(name, options), own_tasks)
        case Fused(parts, weights, constant):
            models = tuple(compose(part, options, own_tasks) for part in parts)
            for model in models:
                _refuse_reranker(model)
                if expression.is_raw and not FAMILIES[model.family].scores_any_document:
                    raise UsageError(
                        f"{model.name} cannot stand in sum(...): it adds the scores of models that "
                        "score any document (dense, sparse, late interaction, BM25). For other "
                        "runs type fuse(...) or rrf(...)."
                    )
            name = _fused_name(expression, models)
            settings = f"{weights} {constant}{' raw' if expression.is_raw else ''}"
            return _combined("fusion", name, settings, models, expression)
        case Reranked(first, reranker):
            stage = compose(first, options, own_tasks)
            scorer = resolve(reranker, options, own_tasks)
            if scorer.family != "cross-encoder":
                raise UsageError(
                    f"{scorer.name} is no reranker: its files name no cross-encoder (model_type "
                    f"CrossEncoder, or a {files.CLASSIFIER} architecture). To combine it with "
                    f"{stage.name}, type "
                    f'"rrf({typed(stage)}, {typed(scorer)})".'
                )
            return _reranked(stage, scorer, expression)


def _reranked(stage: Model, scorer: Model, how: Reranked) -> Model:
    name = f"{stage.name}+reranker:{scorer.name}@{how.depth}"
    _refuse_reranker(stage)
    return _combined("pipeline", name, str(how.depth), (stage, scorer), how)


def _fused_name(fused: Fused, models: tuple[Model, ...]) -> str:
    if fused.weights:
        how = "sum" if fused.is_raw else "fuse"
        weighted = zip(fused.weights, models, strict=True)
        return f"{how}({'+'.join(f'{weight:g}*{model.name}' for weight, model in weighted)})"
    constant = f",k={fused.constant}" if fused.constant != 60 else ""
    return f"rrf({','.join(model.name for model in models)}{constant})"


def _settings_of(name: str, options: ModelOptions) -> ModelOptions:
    """Models without files have no dtype, token limit or pooling, and ready ones no prompts."""
    spec = catalogue.load_spec(name.partition("@")[0])
    is_ready = name.startswith("run:") or bool(spec and LOADERS[spec.loader].is_built_in)
    if is_ready or name.startswith(("api:", PYTHON)) or (spec and spec.loader == "api"):
        return replace(
            options,
            dtype=None,
            max_tokens=None,
            pooling=None,
            backend=None,
            backend_file="",
            known_as=None,
            prompts_file=None if is_ready else options.prompts_file,
        )
    return options if Path(name).is_dir() else replace(options, known_as=None)


def typed(model: Model) -> str:
    """What to type for a model: its folder, where it is a local one."""
    return (
        str(model.folder.path) if model.name.startswith("local/") and model.folder else model.name
    )


def _refuse_reranker(model: Model) -> None:
    if model.family == "cross-encoder":
        raise UsageError(
            f"{model.name} is a reranker and needs a first stage: type "
            f"bm25:kiwi+reranker:{typed(model)}."
        )


def _combined(
    loader: str, name: str, settings: str, parts: tuple[Model, ...], how: Fused | Reranked
) -> Model:
    identity = [settings, *(f"{part.name}@{part.revision}[{part.variant}]" for part in parts)]
    revision = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]
    variant = "__".join(dict.fromkeys(part.variant for part in parts if part.variant))
    return replace(_ranker(loader, name, revision), parts=parts, how=how, variant=variant)


def _ranker(loader: str, name: str, revision: str) -> Model:
    return Model(spec=ModelSpec(name=name, loader=loader), name=name, revision=revision)
