"""Any model of ours as an encoder for mteb: `mteb.evaluate(to_mteb(resolve("toy")), tasks)`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kemb.adapters import mteb_results
from kemb.adapters.mteb_tasks import instruction_of, our_types
from kemb.arrays import FloatArray
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import Budget, encode_missing
from kemb.encoding.store import Store, default_root
from kemb.errors import MissingExtra, NotSupported
from kemb.models.encoders import Encoder
from kemb.models.model import Model
from kemb.models.open import open_model
from kemb.models.prompts import resolve
from kemb.types import Role

if TYPE_CHECKING:
    from mteb.models import ModelMeta


def to_mteb(model: Model, store: Store | None = None) -> KembEncoder:
    """A model as mteb's `EncoderProtocol`: our prompts, our batches, and every text encoded once
    into our store.

    :param model: any model that makes vectors.
    :param store: where vectors are kept; the user's own by default.
    :raises MissingExtra: mteb is not installed.
    :raises NotSupported: a model that is not one of dense vectors.
    """
    try:
        import mteb  # noqa: F401  only whether it is there
    except ImportError:
        raise MissingExtra("Handing a model to mteb", "mteb") from None
    if model.family != "dense":
        raise NotSupported(
            f"{model.name} is a {model.family} model; only models of one vector per text go to "
            "mteb."
        )
    return KembEncoder(model, store or Store(default_root()))


@dataclass
class KembEncoder:
    """What mteb asks of an encoder."""

    model: Model
    store: Store
    _opened: list[Encoder] = field(default_factory=list, repr=False)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,  # noqa: ANN401  mteb.TaskMetadata
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,  # noqa: ANN401  mteb.TaskMetadata
        **_: object,
    ) -> FloatArray:
        """Vectors, float32 [n, dim], of the texts of all batches, under the prompts kemb would use.

        :raises NotSupported: a task type that kemb has no prompts for.
        :raises ModelError: the model cannot be loaded, or gives vectors that are not finite.
        """
        if task_metadata.type not in our_types():
            raise NotSupported(
                f"{self.model.name} cannot be given mteb's {task_metadata.type} tasks."
            )
        role: Role = "text" if prompt_type is None else prompt_type.value
        instruction = instruction_of(task_metadata.prompt)
        prompt = resolve(
            self.model.prompts,
            task_metadata.name,
            our_types()[task_metadata.type],
            instruction,
            role,
        )
        texts = [str(text) for batch in inputs for text in batch["text"]]

        def where(row: int) -> str:
            return f"{task_metadata.name} ({hf_subset}, {hf_split}), row {row}"

        column = Texts.of(prompt.route, prompt.prompt, texts, where)
        space = self.store.space(self.model.fingerprint())
        encode_missing(
            Collection([column]), space, self._open, Budget.for_device(self.model.device)
        )
        return space.vectors(column.keys).block(0, len(texts))

    def _open(self) -> Encoder:
        """The loaded model; mteb asks for one column after the other."""
        if not self._opened:
            self._opened.append(open_model(self.model))
        return self._opened[0]

    @property
    def similarity(self) -> Callable[..., Any]:
        """All pairs of two sets of vectors."""
        return _similarity("{}_sim", self.model.similarity)

    @property
    def similarity_pairwise(self) -> Callable[..., Any]:
        """Row by row."""
        return _similarity("pairwise_{}_sim", self.model.similarity)

    @cached_property
    def mteb_model_meta(self) -> ModelMeta:
        """Name, revision and what else is known; the name of a built-in model is put under
        `kemb/`.
        """
        from mteb.models import ModelMeta

        meta = mteb_results.mteb_meta(self.model, {})
        plain = re.sub(r"[^\w.-]+", "-", self.model.name.rpartition("/")[2])
        organisation = self.model.name.rpartition("/")[0] or "kemb"
        keys = (
            "revision n_parameters max_tokens embed_dim open_weights similarity_fn_name "
            "use_instructions"
        )
        values = {key: meta[key] for key in [*keys.split(), "experiment_kwargs"]}
        return ModelMeta.create_empty(overwrites=values | {"name": f"{organisation}/{plain}"})


def _similarity(form: str, name: str) -> Callable[..., Any]:
    """The function of mteb for a similarity, of sentence-transformers for the one that mteb
    lacks.
    """
    import mteb.similarity_functions
    import sentence_transformers.util

    short = {"cosine": form.format("cos"), "dot": form.format("dot").replace("_sim", "_score")}
    module = sentence_transformers.util if name == "manhattan" else mteb.similarity_functions
    function: Callable[..., Any] = getattr(module, short.get(name, form.format(name)))
    return function
