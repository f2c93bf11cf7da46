"""What training starts from: a model folder, made from scratch or fetched, and the object that is
trained.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kemb.arrays import FloatArray
from kemb.errors import MissingExtra, UsageError
from kemb.models import files
from kemb.models.encoders.failures import told
from kemb.models.encoders.torch import ST_POOLING
from kemb.models.families import by_recipe_name
from kemb.models.identity import content_hash
from kemb.models.weights import weights_kwargs
from kemb.training.recipe import BaseSection, PromptsSection, RecipeFile, TokenizerSection

SPECIAL = ["[PAD]", "[UNK]"]


def need_libraries() -> Any:  # noqa: ANN401  sentence-transformers has no types
    """sentence_transformers, quiet.

    :raises MissingExtra: when it or the trainer's own needs are not installed.
    """
    try:
        import accelerate  # noqa: F401  only whether it is there
        import datasets
        import sentence_transformers
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise MissingExtra("Training", "train") from error
    datasets.disable_progress_bars()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    return sentence_transformers


def base_folder(file: RecipeFile) -> tuple[Path, str]:
    """The folder of a base that exists, and its revision: a commit, or the hash of its files.

    :raises ModelError: when the folder holds no model; FetchError when it cannot be fetched.
    """
    base = file.recipe.base
    if base.kind == "hub":
        from kemb.models.files import fetch_model

        give = 'name that folder in a copy of the recipe: kind = "local", id = "DIR" under [base]'
        return fetch_model(base.id, base.revision, trust_code=False, give=give)
    folder = (file.path.parent / base.id).resolve()
    if not folder.is_dir():
        raise file.error(
            ("base", "id"),
            f"there is no folder {folder}; a base of kind 'local' is a model's folder.",
        )
    files.read_folder(folder)
    return folder, content_hash(folder)[:12]


def make_untrained(
    base: BaseSection, folder: Path, prompts: PromptsSection, seed: int, out: Path
) -> None:
    """Save a plain transformers model with the modules its family needs, so that it can be
    evaluated and trained.
    """
    import transformers

    transformers.set_seed(seed)
    save(open_model(base.model_copy(update={"lora": None}), folder, prompts, "cpu"), out)


def guide_folder(file: RecipeFile) -> Path | None:
    """The folder of the guide model, fetched if need be; None where the recipe has none."""
    name = file.recipe.loss.guide
    if not name:
        return None
    local = (file.path.parent / name).resolve()
    if local.is_dir():
        files.read_folder(local)
        return local
    from kemb.models.files import fetch_model

    plain, _, revision = name.partition("@")
    give = 'name that folder in the recipe: guide = "DIR" under [loss]'
    return fetch_model(plain, revision or None, trust_code=False, give=give)[0]


def make_static(
    base: BaseSection, texts: Iterable[str], seed: int, prompts: PromptsSection, out: Path
) -> None:
    """Save an untrained static model: a tokenizer trained on `texts`, rows at random or from Kiwi's
    vectors.
    """
    st = need_libraries()
    import torch
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = train_tokenizer(base.tokenizer, sorted(set(texts)))
    if base.kind == "kiwi-static":
        static = StaticEmbedding(tokenizer, embedding_weights=kiwi_rows(tokenizer))
    else:
        torch.manual_seed(seed)
        static = StaticEmbedding(tokenizer, embedding_dim=base.dim)
    model = st.SentenceTransformer(modules=[static], device="cpu")
    set_prompts(model, prompts)
    save(model, out)


def train_tokenizer(section: TokenizerSection, texts: Sequence[str]) -> Any:  # noqa: ANN401  no types
    """A tokenizer over NFKC lower-case text, split at spaces and punctuation.

    Unknown characters become [UNK], so that no text is left without a token.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    common: dict[str, Any] = {
        "vocab_size": section.vocab,
        "special_tokens": SPECIAL,
        "show_progress": False,
    }
    unknown: dict[str, Any] = {"unk_token": "[UNK]"}
    model, trainer = {
        "bpe": (models.BPE(**unknown), trainers.BpeTrainer(**common)),
        "unigram": (models.Unigram(), trainers.UnigramTrainer(**common, **unknown)),
        "wordpiece": (models.WordPiece(**unknown), trainers.WordPieceTrainer(**common)),
    }[section.type]
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def kiwi_rows(tokenizer: Any) -> FloatArray:  # noqa: ANN401  no types
    """A row of Kiwi's vectors for each token [vocab, 256]: what `kiwi-static` makes of the token's
    own text.

    [PAD] has none, and stays zero.
    """
    from kemb.models.encoders.kiwi_static import open_kiwi_static
    from kemb.types import Input

    tokens = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    words = [token.replace("▁", " ").removeprefix("##").strip() for token in tokens]
    rows = open_kiwi_static().encode([Input("", "", word) for word in words]).astype(np.float32)
    rows[tokens.index("[PAD]")] = 0
    return rows


def open_model(base: BaseSection, folder: Path, prompts: PromptsSection, device: str) -> Any:  # noqa: ANN401  no types
    """The model that is trained, in float32, with the recipe's limits, pooling and prompts.

    :raises UsageError: for a plain transformers model without a pooling.
    :raises ModelError: when it cannot be loaded.
    """
    st = need_libraries()
    model_kwargs = weights_kwargs(folder)
    with told(folder):
        if base.family == "dense":
            model = _open_dense(base, folder, device)
        elif base.family == "cross-encoder":
            model = st.CrossEncoder(
                str(folder),
                num_labels=1,
                device=device,
                max_length=base.max_tokens,
                model_kwargs=model_kwargs,
            )
        else:
            model = getattr(st, by_recipe_name()[base.family].st_class)(
                str(folder), device=device, model_kwargs=model_kwargs
            )
    if base.max_tokens and base.family != "cross-encoder":
        model.max_seq_length = base.max_tokens
    set_prompts(model, prompts)
    if base.lora:
        _add_lora(model, base)
    return model


def _open_dense(base: BaseSection, folder: Path, device: str) -> Any:  # noqa: ANN401  as above
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    base_files = files.read_folder(folder)
    if base_files.has_modules:
        model = SentenceTransformer(str(folder), device=device, model_kwargs=weights_kwargs(folder))
        if base.pooling != "keep":
            position = next(
                number for number, module in enumerate(model) if isinstance(module, Pooling)
            )
            model[position] = Pooling(model.get_embedding_dimension(), ST_POOLING[base.pooling])
        return model
    if base.pooling == "keep":
        raise UsageError(
            f"The base {base.id} is a plain transformers model; its files do not say how token "
            "vectors become one "
            'vector. Type pooling = "mean", "cls" or "last" under [base].'
        )
    transformer = Transformer(str(folder), model_kwargs=weights_kwargs(folder))
    pooling = Pooling(transformer.get_embedding_dimension(), ST_POOLING[base.pooling])
    return SentenceTransformer(modules=[transformer, pooling], device=device)


def set_prompts(model: Any, prompts: PromptsSection) -> None:  # noqa: ANN401  as above
    """Write the recipe's prompts into the model, where everyone who loads it finds them."""
    if not hasattr(model, "prompts"):
        return
    model.prompts = {"query": prompts.query, "document": prompts.document}
    model.default_prompt_name = None
    if prompts.text:
        model.prompts["text"] = prompts.text
        model.default_prompt_name = "text"


def _add_lora(model: Any, base: BaseSection) -> None:  # noqa: ANN401  as above
    from peft import LoraConfig

    assert base.lora is not None
    lora = base.lora
    model.add_adapter(
        LoraConfig(
            r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.targets
        )
    )


def merge_lora(model: Any) -> None:  # noqa: ANN401  as above
    """Put trained adapters into the weights, so that the saved model needs no peft."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    for module in model.modules():
        if getattr(module, "_hf_peft_config_loaded", False):
            module._hf_peft_config_loaded = False
            del module.peft_config


def save(model: Any, out: Path) -> None:  # noqa: ANN401  as above
    """Save as safetensors, without the library's own model card: kemb writes one that says what was
    measured.
    """
    model.save_pretrained(str(out), create_model_card=False, safe_serialization=True)
