"""The precision that is declared is the one that is computed: no TensorFloat-32 in float32, and
what comes after a network of half precision in float32.
"""

from __future__ import annotations

import os
from typing import Any

from kemb.errors import ModelError

OVERRIDE = "NVIDIA_TF32_OVERRIDE"
"""Read by the driver's libraries themselves: no program can undo it."""
_HEADS = ("pooler", "pre_classifier", "classifier", "score")
"""What networks of transformers call the layers after the last hidden state."""


def refuse_short_products(device: str, dtype: str) -> None:
    """Switch TensorFloat-32 off, which keeps 10 bits of each factor, and see that it is off.

    :raises ModelError: products are still short.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if dtype != "float32" or not device.startswith("cuda"):
        return
    if os.environ.get(OVERRIDE) not in (None, "0"):
        raise ModelError(
            f"{OVERRIDE}={os.environ[OVERRIDE]} is set: products of float32 would keep 10 bits of "
            f"each factor, and kemb cannot undo it. Type: unset {OVERRIDE}"
        )
    if is_short(device):
        raise ModelError(
            f"float32 products on {device} keep fewer bits than float32 has (TensorFloat-32), "
            "though kemb switched that off. Look for a setting of the driver or container, or "
            "type --dtype bfloat16, which is a row of its own."
        )


def is_short(device: str) -> bool:
    """Whether a product loses what only float32 keeps: (1 + 2^-12) times 1, 64 times."""
    import torch

    factor = torch.full((64, 64), 1 + 2.0**-12, device=device)
    product = factor @ torch.eye(64, device=device)
    return bool((product != factor).any())


def widen_heads(model: Any) -> None:  # noqa: ANN401  sentence-transformers has no types
    """Let all that follows a network of half precision compute in float32: pooling, dense layers,
    normalisation, the head of a reranker.

    Half precision has 128 to 1,024 values an octave: scores of a reranker would tie, and document
    ids decide. The logits of a sparse model stay as they are: a copy in float32 would double the
    largest tensor of all.
    """
    import torch
    from transformers import PreTrainedModel

    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            for name in _HEADS:
                if isinstance(head := getattr(module, name, None), torch.nn.Module):
                    head.float().register_forward_pre_hook(_widened_inputs)
    for first, *others in _sequences(model):
        if any(type(stage).__name__ == "SpladePooling" for stage in others):
            continue
        first.register_forward_hook(_widened_output)
        for other in others:
            other.float()


def _sequences(model: Any) -> list[list[Any]]:  # noqa: ANN401  sentence-transformers has no types
    """The modules of the model in order; of a router, those of each route."""
    stages = list(model.children())
    if type(stages[0]).__name__ != "Router":
        return [stages]
    return [[*route, *stages[1:]] for route in stages[0].sub_modules.values()]


def _widened_inputs(module: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ANN401  of torch
    return tuple(_widened(value) for value in values)


def _widened_output(module: Any, values: Any, features: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401  of torch
    names = ("token_embeddings", "sentence_embedding", "scores")
    return features | {name: _widened(features[name]) for name in names if name in features}


def _widened(value: Any) -> Any:  # noqa: ANN401  of torch
    return value.float() if getattr(value, "is_floating_point", bool)() else value
