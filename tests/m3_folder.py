"""A tiny BGE-M3: random weights from numpy's generator, the same on every machine.

The constants in test_heads.py are what FlagEmbedding 1.4.2 says of this folder. To make them again,
in an environment with FlagEmbedding:

    PYTHONPATH=src:tests python -m m3_folder DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

LETTERS = "비가눈이바람구름햇볕안개우박서리슬무지온다그친불어흩진내린걷힌떨맺힐까오늘은 "
DIM, COLBERT_DIM = 32, 12
PAIRS = [
    ("비가 온다", "오늘은 비가 그친다"),
    ("눈이 내릴까", "눈이 내린다 눈이"),
    ("바람", "안개가 걷힌다"),
]


def make(folder: Path, *, is_plain: bool = False) -> Path:
    """Write the folder, with heads as BGE-M3 has them.

    :param is_plain: without the modules of sentence-transformers, as FlagEmbedding saves a
        fine-tuned model.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    vocabulary = {
        token: i
        for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(LETTERS)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=special
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=40,
        **names,
    )
    config = XLMRobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=48,
        pad_token_id=1,
    )
    rng = np.random.default_rng(7)
    model = XLMRobertaModel(config)
    for name, parameter in sorted(model.named_parameters()):
        drawn = rng.normal(
            scale=1.0 if "word_embeddings" in name else 0.2, size=tuple(parameter.shape)
        )
        parameter.data = torch.from_numpy(drawn + name.endswith("LayerNorm.weight")).float()
    base = folder if is_plain else folder / "base"
    model.save_pretrained(base)
    fast.save_pretrained(base)
    if not is_plain:
        modules = [Transformer(str(base)), Pooling(DIM, "cls"), Normalize()]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder))
        for path in base.iterdir():
            path.unlink()
        base.rmdir()
    for stem, n_out in (("sparse_linear", 1), ("colbert_linear", COLBERT_DIM)):
        state = {"weight": rng.normal(size=(n_out, DIM)), "bias": rng.normal(size=n_out)}
        torch.save(
            {name: torch.from_numpy(value).float() for name, value in state.items()},
            folder / f"{stem}.pt",
        )
    return folder


if __name__ == "__main__":
    from FlagEmbedding.inference.embedder.encoder_only.m3 import M3Embedder  # type: ignore[import-not-found]

    theirs = M3Embedder(
        str(make(Path(sys.argv[1]))), use_fp16=False, devices="cpu", colbert_dim=COLBERT_DIM
    )
    for kind, values in theirs.compute_score(
        PAIRS, weights_for_different_modes=[0.4, 0.2, 0.4]
    ).items():
        sys.stdout.write(f"{kind} {values}\n")
