"""Models made of others, and runs that another program made, as models with an identity."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from kemb.errors import UsageError
from kemb.models import files
from kemb.models.expressions import Expression, Fused, Leaf, Reranked, parse
from kemb.models.prompts import PromptTable
from kemb.models.resolve import BUILT_IN, Model, ModelOptions, resolve
from kemb.models.spec import Loader, ModelSpec

RAW = ("dense", "sparse", "late-interaction", "lexical")
"""Families that give any document a score, whatever else was retrieved."""


def run_of_file(path: Path, name: str = "") -> Model:
    """A TREC run file as a model: its revision is the hash of its bytes.

    :param name: of the row; the file's name without its ending otherwise.
    :raises UsageError: there is no such file, or the name cannot be one.
    """
    if not path.is_file():
        raise UsageError(f"There is no run file {path}. Give a TREC run file: `query Q0 document rank score tag`.")
    name = name or re.sub(r"[^\w.-]+", "-", path.stem).strip(".-") or "run"
    if not re.fullmatch(r"[\w.-]+", name) or set(name) == {"."}:
        raise UsageError(f"--run-name {name!r} cannot be the name of a row; use letters, digits, . _ and -.")
    with path.open("rb") as file:
        revision = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return replace(_ranker("run", f"run/{name}", revision), run_file=path)


def composed(name: str, options: ModelOptions, own_tasks: Collection[str] = ()) -> Model | None:
    """A run file or an expression as a model; None for a plain name. `resolve` comes here first.

    :raises UsageError: as `compose`, and for what can be neither.
    """
    run_file = Path(name.removeprefix("run:")) if name.startswith("run:") else None
    expression = Leaf(name) if run_file is not None and run_file.is_file() else parse(name)
    if not isinstance(expression, Leaf):
        return compose(expression, options, own_tasks)
    return None if run_file is None else run_of_file(run_file)


def compose(expression: Expression, options: ModelOptions, own_tasks: Collection[str] = ()) -> Model:
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
                if expression.is_raw and model.family not in RAW:
                    raise UsageError(
                        f"{model.name} cannot stand in sum(...): it adds the scores of models that score any document "
                        "(dense, sparse, late interaction, BM25). For other runs type fuse(...) or rrf(...)."
                    )
            name = _fused_name(expression, models)
            settings = f"{weights} {constant}{' raw' if expression.is_raw else ''}"
            return _combined("fusion", name, settings, models, expression)
        case Reranked(first, reranker, depth):
            stage = compose(first, options, own_tasks)
            scorer = resolve(reranker, options, own_tasks)
            if scorer.family != "cross-encoder":
                raise UsageError(
                    f"{scorer.name} is no reranker: its files name no cross-encoder (model_type CrossEncoder, or a "
                    f"{files.CLASSIFIER} architecture). To combine it with {stage.name}, type "
                    f'"rrf({typed(stage)}, {typed(scorer)})".'
                )
            name = f"{stage.name}+reranker:{scorer.name}@{depth}"
            _refuse_reranker(stage)
            return _combined("pipeline", name, str(depth), (stage, scorer), expression)


def _fused_name(fused: Fused, models: tuple[Model, ...]) -> str:
    if fused.weights:
        how = "sum" if fused.is_raw else "fuse"
        return f"{how}({'+'.join(f'{w:g}*{m.name}' for w, m in zip(fused.weights, models, strict=True))})"
    constant = f",k={fused.constant}" if fused.constant != 60 else ""
    return f"rrf({','.join(model.name for model in models)}{constant})"


def _settings_of(name: str, options: ModelOptions) -> ModelOptions:
    """Models without files have no dtype, token limit or pooling."""
    from kemb.models import catalogue

    spec = catalogue.load_spec(name.partition("@")[0])
    if name.startswith("api:") or (spec is not None and spec.loader in (*BUILT_IN, "bm25", "api")):
        return replace(options, dtype=None, max_tokens=None, pooling=None, backend=None, backend_file="")
    return options


def typed(model: Model) -> str:
    """What to type for a model: its folder, where it is a local one."""
    return str(model.folder.path) if model.name.startswith("local/") and model.folder else model.name


def _refuse_reranker(model: Model) -> None:
    if model.family == "cross-encoder":
        raise UsageError(f"{model.name} is a reranker and needs a first stage: type bm25:kiwi+reranker:{typed(model)}.")


def _combined(loader: Loader, name: str, settings: str, parts: tuple[Model, ...], how: Fused | Reranked) -> Model:
    identity = [settings, *(f"{part.name}@{part.revision}[{part.variant}]" for part in parts)]
    revision = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]
    variant = "__".join(dict.fromkeys(part.variant for part in parts if part.variant))
    warnings = tuple(warning for part in parts for warning in part.prompts.warnings)
    model = _ranker(loader, name, revision)
    return replace(model, parts=parts, how=how, variant=variant, prompts=PromptTable((), warnings))


def _ranker(loader: Loader, name: str, revision: str) -> Model:
    spec = ModelSpec(name=name, loader=loader)
    return Model(spec, name, revision, PromptTable(), None, "cpu", "float32", None, None, "cosine", "", False)
