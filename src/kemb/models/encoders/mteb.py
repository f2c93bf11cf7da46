"""Models that mteb loads: `mteb:NAME`, with mteb's own code and prompts for them.

mteb chooses prompts by task and role, so the route of an input names both. A text is encoded again
for every task.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kemb.arrays import FloatArray, IntArray
from kemb.errors import MissingExtra, ModelError, NotSupported, UnknownName, UsageError
from kemb.models.device import find_devices
from kemb.models.doors import Door
from kemb.models.families import Similarity
from kemb.models.model import Model, ModelOptions
from kemb.models.prompts import Layer, PromptTable
from kemb.models.spec import ModelSpec
from kemb.types import Input

if TYPE_CHECKING:
    from mteb.models import ModelMeta

_SEPARATOR = "|"


def resolve_mteb(name: str, options: ModelOptions, task_names: Collection[str]) -> Model:
    """A model of mteb's registry, not loaded yet; its row and results are the variant `loader_mteb`
    of its name.

    :raises MissingExtra: mteb is not installed.
    :raises UnknownName: mteb does not know the model.
    :raises NotSupported: the model is no encoder of one vector per text, or has no revision.
    :raises UsageError: an option that only kemb's own loaders have.
    """
    _refuse_options(name, options)
    plain, _, revision = name.partition("@")
    meta = _meta(plain, revision or None)
    return model_of_meta(meta, task_names, find_devices(options.device, options.workers))


def _refuse_options(name: str, options: ModelOptions) -> None:
    values = {
        "--dtype": options.dtype,
        "--max-tokens": options.max_tokens,
        "--pooling": options.pooling,
        "--prompts": options.prompts_file,
        "--backend": options.backend,
        "--as": options.known_as,
    }
    if wrong := [flag for flag, value in values.items() if value is not None]:
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with mteb:{name}, which mteb loads and prompts."
        )


def model_of_meta(
    meta: ModelMeta,
    task_names: Collection[str],
    devices: tuple[str, ...] = ("cpu",),
    door: Door | None = None,
) -> Model:
    """The model that mteb's meta data describe.

    :param door: the loaded encoder, where it was handed in; it may state the revision.
    :raises NotSupported: it is no encoder of one vector per text, or has no revision.
    """
    revision = (door.revision if door else "") or str(meta.revision or "")
    similarity = _similarity(meta, revision)
    has_limit = meta.max_tokens and np.isfinite(meta.max_tokens)
    return Model(
        spec=ModelSpec(
            name=str(meta.name),
            loader="mteb",
            similarity=similarity,
            license=meta.license or "",
        ),
        name=str(meta.name),
        revision=revision,
        variant="loader_mteb",
        prompts=PromptTable((Layer("none", {}, _routes(task_names)),)),
        similarity=similarity,
        max_tokens=int(meta.max_tokens or 0) if has_limit else None,
        device=devices[0],
        devices=devices,
        door=door,
    )


def _similarity(meta: ModelMeta, revision: str) -> Similarity:
    """How a dense model's vectors are compared; other models, and those without a revision, are
    refused.
    """
    name_there = str(getattr(meta.similarity_fn_name, "value", meta.similarity_fn_name) or "cosine")
    similarities: dict[str, Similarity] = {"cosine": "cosine", "dot": "dot"}
    if "dense" not in meta.model_type or name_there not in similarities or not revision:
        why = (
            f"of type {', '.join(meta.model_type)}, similarity {name_there}, revision "
            f"{revision or 'unknown'}"
        )
        raise NotSupported(
            f"mteb:{meta.name} is {why}; kemb takes dense models with cosine or dot product and a "
            "revision."
        )
    return similarities[name_there]


def _routes(task_names: Collection[str]) -> dict[str, str]:
    """By prompt key what tells the encoder the task, and the role of its texts."""
    routes = {task: task for task in task_names}
    for task in task_names:
        for role in ("query", "document"):
            routes[f"{task}-{role}"] = f"{task}{_SEPARATOR}{role}"
    return routes


def open_mteb(model: Model, _beside: Sequence[Model] = ()) -> MtebEncoder:
    """Load a model with mteb's loader, or take what was handed in loaded.

    :raises ModelError: mteb cannot load it.
    """
    name = model.name
    if model.door is not None:
        return MtebEncoder(name, model.door.value)
    try:
        loaded = _meta(name, model.revision).load_model(device=model.device)
        return MtebEncoder(name, loaded)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"mteb could not load {name}: {type(error).__name__}: {reason}") from error


@dataclass(slots=True)
class MtebEncoder:
    """A model of mteb's as an encoder of ours."""

    name: str
    model: Any

    @property
    def dim(self) -> int:
        dims = self.model.mteb_model_meta.embed_dim
        return int(dims[0] if isinstance(dims, list) else dims)

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Characters of each input, [n]; mteb's models do not show their tokens."""
        return np.array([len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        """Vectors, float32 [n, dim], of inputs that all have the same route.

        :raises ModelError: mteb does not know the task that the route names.
        """
        from mteb._create_dataloaders import _create_dataloader_from_texts
        from mteb.types import PromptType

        (route,) = {item.route for item in inputs}
        task, _, role = route.partition(_SEPARATOR)
        metadata = _task_metadata(self.name, task)
        output = self.model.encode(
            _create_dataloader_from_texts([item.text for item in inputs], batch_size=len(inputs)),
            task_metadata=metadata,
            hf_split=metadata.eval_splits[0],
            hf_subset=metadata.hf_subsets[0],
            prompt_type=PromptType(role) if role else None,
            batch_size=len(inputs),
            show_progress_bar=False,
        )
        array = output.detach().float().cpu().numpy() if hasattr(output, "detach") else output
        return np.asarray(array, dtype=np.float32)


def _meta(name: str, revision: str | None) -> ModelMeta:
    try:
        import mteb
    except ImportError:
        raise MissingExtra(f"The model mteb:{name}", "mteb") from None
    try:
        return mteb.get_model_meta(name, revision=revision)
    except KeyError:
        names = [str(meta.name) for meta in mteb.get_model_metas()]
        raise UnknownName(
            "model of mteb", name, names, "Give the model without mteb: to load it by kemb."
        ) from None
    except ValueError as error:
        raise ModelError(f"mteb:{name}: {error}") from error


@cache
def _task_metadata(model: str, task: str) -> Any:  # noqa: ANN401  mteb.TaskMetadata
    import mteb

    try:
        return mteb.get_task(task).metadata
    except KeyError:
        raise ModelError(
            f"mteb:{model} takes its prompts from mteb's tasks, and mteb has no task {task!r}. For "
            f"tasks of your own let kemb load the model: -m {model}"
        ) from None
