"""Weighted mean of a base and its fine-tune: LM-Cocktail (Xiao et al. 2023), against forgetting.

`SentenceTransformer.merge` needs mergekit, which pins old libraries; the linear case is one line.
"""

from __future__ import annotations

from pathlib import Path

from kemb.errors import ModelError
from kemb.training import bases
from kemb.training.recipe import Recipe


def merge(recipe: Recipe, base: Path, tuned: Path, weight: float, out: Path) -> None:
    """Save weight * tuned + (1 - weight) * base to `out`; everything else is the tuned model's.

    :raises ModelError: when the two are not the same network.
    """
    st = bases.need_libraries()
    model = st.SentenceTransformer(str(tuned), device="cpu", model_kwargs={"use_safetensors": True})
    plain = recipe.base.model_copy(update={"lora": None})
    before = bases.open_model(plain, base, recipe.prompts, "cpu").state_dict()
    after = model.state_dict()
    if before.keys() != after.keys() or any(before[name].shape != after[name].shape for name in after):
        raise ModelError(f"The models in {base} and {tuned} are not the same network; they cannot be merged.")
    mixed = {
        name: weight * tensor + (1 - weight) * before[name] if tensor.is_floating_point() else tensor
        for name, tensor in after.items()
    }
    model.load_state_dict(mixed)
    bases.save(model, out)
