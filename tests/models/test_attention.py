"""Models whose authors let every token see all others, in classes that do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kemb.errors import ModelError
from kemb.models.encoders.torch import Loading, open_torch
from kemb.models.files import read_folder, refuse_remote_code
from kemb.models.open import open_model
from kemb.models.resolve import ModelOptions, resolve
from kemb.models.spec import Attention
from kemb.types import Input

pytestmark = pytest.mark.torch

OWN_CODE = {"AutoModel": "modeling_qwen.Qwen2Model", "AutoConfig": "configuration_qwen.QwenConfig"}


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 of two layers, 32 dimensions, over bytes."""
    torch = pytest.importorskip("torch")
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

    vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    end = "<|endoftext|>"
    vocabulary[end] = len(vocabulary)
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], eos_token=end, pad_token=end, unk_token=end
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("qwen") / "tiny-qwen"
    Qwen2Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _by_hand(folder: Path, text: str, is_causal: bool) -> np.ndarray:
    """The mean vector of a text by one pass with a mask that is written here."""
    import torch
    from transformers import AutoTokenizer, Qwen2Model

    network = Qwen2Model.from_pretrained(folder, attn_implementation="eager").eval()
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    n = ids.shape[1]
    blocked = torch.triu(torch.ones(n, n), diagonal=1).bool() if is_causal else torch.zeros(n, n)
    mask = torch.zeros(1, 1, n, n).masked_fill(blocked.bool(), torch.finfo(torch.float32).min)
    with torch.inference_mode():
        return network(input_ids=ids, attention_mask=mask)[0][0].mean(dim=0).numpy()


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_a_stock_class_computes_what_is_declared(tiny_qwen: Path, attention: Attention) -> None:
    settings = {"is_causal": False} if attention == "bidirectional" else {}
    loading = Loading(
        "cpu", pooling="mean", attention=attention, network_settings=settings, max_tokens=64
    )
    encoder = open_torch(tiny_qwen, loading)
    text = "도서관은 언제 여나요"
    short = Input("", "", "책")
    vectors = np.asarray(encoder.encode([Input("", "", text), short]))
    assert np.allclose(vectors[0], _by_hand(tiny_qwen, text, attention == "causal"), atol=1e-5)
    assert np.allclose(vectors[1], np.asarray(encoder.encode([short]))[0], atol=1e-5)


def test_a_network_that_does_something_else_is_refused(tiny_qwen: Path) -> None:
    loading = Loading("cpu", pooling="mean", attention="bidirectional", max_tokens=64)
    with pytest.raises(ModelError, match=r"is declared bidirectional, but .* is causal"):
        open_torch(tiny_qwen, loading)
    with pytest.raises(ModelError, match=r"is declared causal, but .* is bidirectional"):
        open_torch(
            tiny_qwen,
            replace(loading, attention="causal", network_settings={"is_causal": False}),
        )


def test_an_encoder_is_bidirectional(tiny_transformer: Path) -> None:
    loading = Loading("cpu", pooling="mean", attention="bidirectional")
    open_torch(tiny_transformer, loading)
    with pytest.raises(ModelError, match="is declared causal"):
        open_torch(tiny_transformer, replace(loading, attention="causal"))


def test_own_code_for_a_known_class_is_refused_unless_declared(
    tiny_qwen: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "own-code"
    folder.mkdir()
    for file in tiny_qwen.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": OWN_CODE}))
    model = resolve(str(folder), ModelOptions(pooling="mean", device="cpu"))
    with pytest.raises(ModelError, match=r"auto_map in config.json.*--trust-remote-code"):
        open_model(model)
    declared = replace(model, spec=model.spec.model_copy(update={"attention": "bidirectional"}))
    assert declared.fingerprint()["attention"] == "is_causal=False"
    text = "도서관은 언제 여나요"
    vectors = np.asarray(open_model(declared).encode([Input("", "", text)]))
    assert np.allclose(vectors[0], _by_hand(tiny_qwen, text, is_causal=False), atol=1e-5)


def test_own_code_for_a_class_that_is_not_loaded_is_no_matter(
    tiny_qwen: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "generator"
    folder.mkdir()
    for file in tiny_qwen.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": own}))
    refuse_remote_code(read_folder(folder), "generator", is_trusted=False, is_declared=False)


def test_the_end_token_stays_when_a_text_is_cut(tiny_qwen: Path) -> None:
    """Last-token pooling reads the end token, not the word at which truncation cut."""
    import torch
    from transformers import AutoTokenizer, Qwen2Model

    encoder = open_torch(tiny_qwen, Loading("cpu", pooling="last", append_eos=True, max_tokens=8))
    long, short = "도서관은 평일에", "책"
    features, _ = encoder.prepare([Input("", "", long), Input("", "", short)])
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen)
    eos = tokenizer.eos_token_id
    assert features["attention_mask"].sum(dim=1).tolist() == [8, 4]  # three bytes a syllable
    assert features["input_ids"][0, 7] == eos
    network = Qwen2Model.from_pretrained(tiny_qwen).eval()
    ids = [*tokenizer(long)["input_ids"][:7], eos]
    with torch.inference_mode():
        expected = network(input_ids=torch.tensor([ids]))[0][0, -1].numpy()
    vectors = np.asarray(encoder.encode([Input("", "", long), Input("", "", short)]))
    assert np.allclose(vectors[0], expected, atol=1e-5)
