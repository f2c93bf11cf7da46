"""Which tokens a token sees: what a model's authors declare, and what the loaded network does.

Authors who let a decoder see later tokens ship code of their own for it. The stock class of that
name masks them without a word (gte-Qwen2: nDCG 0.07 for 0.51), so a declared model is tried once it
is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kemb.errors import ModelError
from kemb.models.spec import Attention

_NO_MASK = {"is_causal": False}
SWITCHES: dict[str, dict[str, Any]] = {
    "qwen2": _NO_MASK,
    "qwen3": _NO_MASK,
    "llama": _NO_MASK,
    "mistral": _NO_MASK,
    "gemma3_text": {"use_bidirectional_attention": True},
}
"""By `model_type`: the setting by which a stock class of transformers shows every token to all. No
switch is general: Gemma 3 has windows beside, which its own setting keeps.
"""

_N_TOKENS = 12
_LEAST_CHANGE = 1e-4
"""Of the first token's vector, relative to its length, when half of the others are replaced."""


def switch(attention: Attention | None, model_type: str | None) -> Mapping[str, Any]:
    """What to add to the configuration of a stock class, so that it computes what code of the
    authors' own would; empty where nothing is declared or nothing need be done.
    """
    return SWITCHES.get(model_type or "", {}) if attention == "bidirectional" else {}


def apply(model: Any, settings: Mapping[str, Any]) -> None:  # noqa: ANN401  sentence-transformers has no types
    """Set in a loaded network what its configuration has no field for: the masks ask the
    configuration, the kernels their module.
    """
    from transformers import PreTrainedModel

    if settings != _NO_MASK:
        return
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.config.is_causal = False
        if hasattr(module, "is_causal"):
            module.is_causal = False


def refuse_other(name: str, model: Any, attention: Attention) -> None:  # noqa: ANN401  sentence-transformers has no types
    """Try whether later tokens move the vector of the first, with a mask and without one.

    :param name: of the model.
    :raises ModelError: the network does not do what is declared, or cannot be tried.
    """
    from transformers import PreTrainedModel
    from transformers import __version__ as version

    networks = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    if not networks:
        raise ModelError(
            f"{name} is declared {attention}, and its files hold no network of transformers that "
            "could be tried. Remove `attention` from its description."
        )
    answers = {sees_later_tokens(networks[0], with_mask) for with_mask in (True, False)}
    if answers == {attention == "bidirectional"}:
        return
    loaded = (
        "causal" if answers == {False} else "bidirectional" if answers == {True} else "undecided"
    )
    raise ModelError(
        f"{name} is declared {attention}, but the network that transformers {version} makes of "
        f"its files is {loaded}: its vectors would not be those of its authors. Run the code of "
        "its authors with --trust-remote-code, or install another version of transformers."
    )


def sees_later_tokens(network: Any, with_mask: bool) -> bool:  # noqa: ANN401  transformers has no types
    """Whether the first token's vector moves when later tokens are others."""
    import torch

    network = network.base_model
    size = int(network.config.get_text_config().vocab_size)
    ids = torch.arange(_N_TOKENS, device=network.device) * 7919 % size
    others = ids.clone()
    others[_N_TOKENS // 2 :] = (ids[_N_TOKENS // 2 :] + size // 2) % size
    vectors = []
    with torch.inference_mode():
        for row in (ids, others):
            mask = {"attention_mask": torch.ones_like(row)[None]} if with_mask else {}
            states = network(input_ids=row[None], **mask)[0]
            vectors.append(states[0, 0].float())
    change = (vectors[0] - vectors[1]).norm() / vectors[0].norm().clamp_min(1e-12)
    return bool(change > _LEAST_CHANGE)
