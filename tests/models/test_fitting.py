"""Weights that fit their network or do not, and what `encode` does beyond `forward`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kemb.errors import ModelError
from kemb.models.model import ModelOptions
from kemb.models.open import open_model
from kemb.models.prompts import prompted
from kemb.models.resolve import resolve
from kemb.types import Input, Role

CPU = ModelOptions(device="cpu")
WORDS = ["가나다", "라마바사아", "자", "차카타파하 거너더"]


def vectors(folder: Path, texts: list[str] = WORDS) -> np.ndarray:
    inputs = [Input("", "", text) for text in texts]
    return np.asarray(open_model(resolve(str(folder), CPU)).encode(inputs))


def renamed(source: Path, folder: Path, change: dict[str, str | None]) -> Path:
    """A copy of a model whose tensors have other names, or are left out."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    for old, new in change.items():
        tensor = tensors.pop(old)
        if new is not None:
            tensors[new] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("n", [4, 16, 999])
def test_vectors_are_cut_as_the_model_declares(tiny_st: Path, tmp_path: Path, n: int) -> None:
    from sentence_transformers import SentenceTransformer

    folder = Path(shutil.copytree(tiny_st, tmp_path / "m"))
    config = json.loads((folder / "config_sentence_transformers.json").read_text())
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps(config | {"truncate_dim": n})
    )
    oracle = SentenceTransformer(str(folder), device="cpu").encode(WORDS)
    ours = vectors(folder)
    assert ours.shape == oracle.shape == (4, min(n, 32))
    assert np.allclose(ours, oracle, atol=1e-6)
    model = resolve(str(folder), CPU)
    assert model.fingerprint()["truncate_dim"] == str(n)
    assert "truncate_dim" not in resolve(str(tiny_st), CPU).fingerprint()


def test_a_dense_module_gives_the_vectors_of_sentence_transformers(
    tiny_transformer: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )

    modules = [Transformer(str(tiny_transformer)), Pooling(32, "cls"), Dense(32, 8), Normalize()]
    oracle = SentenceTransformer(modules=modules, device="cpu")
    oracle.save_pretrained(str(tmp_path / "m"))
    assert np.allclose(vectors(tmp_path / "m"), oracle.encode(WORDS), atol=1e-6)


def role_vectors(folder: Path, role: Role, texts: list[str] = WORDS) -> np.ndarray:
    """Vectors of texts in a role, with the prompt and the route that the model declares."""
    model = resolve(str(folder), CPU)
    task_type = "sts" if role == "text" else "retrieval"
    inputs = [prompted(model.prompts, "some-task", task_type, "", role, text) for text in texts]
    return np.asarray(open_model(model).encode(inputs))


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_static_embedding_gives_the_vectors_of_sentence_transformers(
    tiny_transformer: Path, tmp_path: Path, is_cut: bool
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_transformer / "tokenizer.json"))
    static = StaticEmbedding(tokenizer, embedding_dim=24)
    oracle = SentenceTransformer(
        modules=[static, *([] if is_cut else [Normalize()])],
        device="cpu",
        prompts={"query": "가: ", "document": ""},
        truncate_dim=8 if is_cut else None,
    )
    oracle.save_pretrained(str(tmp_path / "m"))
    loaded = SentenceTransformer(str(tmp_path / "m"), device="cpu")  # as anyone reads the folder
    assert np.allclose(vectors(tmp_path / "m"), loaded.encode(WORDS), atol=1e-6)
    ours = role_vectors(tmp_path / "m", "query")
    assert ours.shape == (len(WORDS), 8 if is_cut else 24)
    assert np.allclose(ours, loaded.encode_query(WORDS), atol=1e-6)
    assert not np.allclose(ours, loaded.encode(WORDS), atol=1e-3)
    documents = role_vectors(tmp_path / "m", "document")
    assert np.allclose(documents, loaded.encode_document(WORDS), atol=1e-6)
    assert resolve(str(tmp_path / "m"), CPU).max_tokens is None


@pytest.mark.parametrize("default", ["query", "document"])
def test_a_router_gives_the_vectors_of_sentence_transformers_for_every_role(
    tiny_transformer: Path, tmp_path: Path, default: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import (
        Normalize,
        Pooling,
        StaticEmbedding,
        Transformer,
    )
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_transformer / "tokenizer.json"))
    router = Router.for_query_document(
        query_modules=[StaticEmbedding(tokenizer, embedding_dim=32)],
        document_modules=[Transformer(str(tiny_transformer)), Pooling(32, "mean")],
        default_route=default,
    )
    oracle = SentenceTransformer(
        modules=[router, Normalize()], device="cpu", prompts={"query": "가: ", "document": "나: "}
    )
    oracle.save_pretrained(str(tmp_path / "m"))
    loaded = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    queries = role_vectors(tmp_path / "m", "query")
    documents = role_vectors(tmp_path / "m", "document")
    assert np.allclose(queries, loaded.encode_query(WORDS), atol=1e-6)
    assert np.allclose(documents, loaded.encode_document(WORDS), atol=1e-6)
    assert not np.allclose(queries, documents, atol=1e-2)
    texts = role_vectors(tmp_path / "m", "text")
    assert np.allclose(texts, loaded.encode(WORDS), atol=1e-6)
    # What changes a vector of either way changes the identity.
    before = resolve(str(tmp_path / "m"), CPU).revision
    (weights,) = (tmp_path / "m").rglob("*StaticEmbedding*/model.safetensors")
    tensor_bytes = bytearray(weights.read_bytes())
    tensor_bytes[-1] ^= 1
    weights.write_bytes(tensor_bytes)
    assert resolve(str(tmp_path / "m"), CPU).revision != before


def test_a_pooler_that_nobody_reads_may_be_missing(minilm: Path, tmp_path: Path) -> None:
    change: dict[str, str | None] = {"pooler.dense.weight": None, "pooler.dense.bias": None}
    folder = renamed(minilm, tmp_path / "m", change)
    encoder = open_model(resolve(str(folder), CPU))
    assert encoder.facts["n_filled_tensors"] == 2
    assert np.array_equal(vectors(folder), vectors(minilm))


def test_an_attention_tensor_of_another_name_is_refused_by_its_name(
    minilm: Path, tmp_path: Path
) -> None:
    name = "encoder.layer.3.attention.self.query.weight"
    folder = renamed(minilm, tmp_path / "m", {name: f"{name}s"})
    with pytest.raises(ModelError, match=rf"1 of its tensors .* {name}\."):
        open_model(resolve(str(folder), CPU))


def test_a_vocabulary_that_is_not_there_is_refused(minilm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(minilm, tmp_path / "m"))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="has no vocabulary"):
        open_model(resolve(str(folder), CPU))
