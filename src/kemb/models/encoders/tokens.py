"""Token ids of texts, and the token that ends a text where the tokenizer leaves it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def token_ids(tokenizer: Any, texts: Sequence[Any]) -> list[list[int]]:  # noqa: ANN401  of two libraries
    """Token ids, not truncated, with special tokens where transformers adds them."""
    if callable(tokenizer):
        encoded = tokenizer(list(texts), truncation=False, padding=False, verbose=False)
        return list(encoded["input_ids"])
    # A static model's, of the package tokenizers.
    return [row.ids for row in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


@dataclass(frozen=True, slots=True)
class End:
    """The token that ends a text, of a model whose tokenizer leaves it out."""

    text: str
    id: int
    n_after: int
    """Special tokens that the tokenizer puts behind it."""

    @classmethod
    def of(cls, tokenizer: Any) -> End:  # noqa: ANN401  of transformers
        """The end token of a tokenizer."""
        text, number = str(tokenizer.eos_token), int(tokenizer.eos_token_id)
        reversed_ids = list(tokenizer(text)["input_ids"])[::-1]
        return cls(text, number, reversed_ids.index(number))

    def put(self, features: dict[str, Any]) -> dict[str, Any]:
        """The features with the token at the end of every row, also where truncation cut it."""
        import torch

        ids, mask = features["input_ids"], features["attention_mask"]
        places = torch.arange(mask.shape[1]).expand_as(mask)
        last = torch.where(mask.bool(), places, -1).amax(dim=1) - self.n_after
        ids = ids.clone()
        ids[torch.arange(len(ids)), last] = self.id
        return features | {"input_ids": ids}
