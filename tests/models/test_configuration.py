"""The readers of configuration files and of weights, and the identity of folders; no torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from kemb.errors import ModelError, UsageError
from kemb.models import configuration
from kemb.models.catalogue import read_table
from kemb.models.files import read_folder
from kemb.models.identity import content_hash
from kemb.models.weights import tensors


def write_weights(path: Path, header: object, n_bytes: int) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(n_bytes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network of one tensor, 4 x 2 numbers."""
    config = {"model_type": "bert", "hidden_size": 2, "num_hidden_layers": 1, "vocab_size": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    header = {"w": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]}}
    write_weights(tmp_path / "model.safetensors", header, 32)
    return tmp_path


def test_a_folder_that_says_what_models_say_is_read(folder: Path) -> None:
    config = {"truncate_dim": 1, "similarity_fn_name": "dot_product", "prompts": {"query": None}}
    modules = [{"type": "x.Transformer", "path": "", "name": "0"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    (folder / "sentence_roberta_config.json").write_text('{"max_seq_length": 7}')
    read = read_folder(folder)
    assert (read.truncate_dim, read.similarity, read.max_tokens) == (1, "dot", 7)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("config.json", "null", "should be a valid dictionary"),
        ("config.json", '{"architectures": "x"}', "'architectures'"),
        ("config.json", "[" * 100_000, "nested too deeply"),
        ("config.json", '{"hidden_size": %s}' % ("9" * 5000), "not valid JSON"),
        ("config.json", '{"hidden_size": 9999}', "hidden_size is 9999, where"),
        ("config.json", '{"text_config": {"num_layers": 257}}', "num_layers is 257, where 256"),
        ("config.json", '{"vocab_size": "4"}', "vocab_size should be a whole number"),
        ("config.json", '{"hidden_size": -1}', "hidden_size is -1"),
        ("config.json", '{"max_position_embeddings": 99999999}', "max_position_embeddings"),
        ("modules.json", '["a"]', "key '0'"),
        ("modules.json", '[{"type": "x", "name": "0"}]', "key '0.path': Field required"),
        ("modules.json", '[{"type": "x", "path": ""}]', "key '0.name': Field required"),
        (
            "modules.json",
            '[{"type": "x", "path": "", "name": "0"}, {"type": "y", "path": "", "name": "0"}]',
            "two modules should not have one name",
        ),
        ("modules.json", '[{"type": "x", "path": "../other"}]', "inside the model's"),
        ("config_sentence_transformers.json", '{"similarity_fn_name": "x; rm"}', "similarity_fn"),
        ("config_sentence_transformers.json", '{"truncate_dim": 0}', "truncate_dim"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 5}}', "prompts.query"),
        ("sentence_bert_config.json", '{"max_seq_length": 0}', "max_seq_length"),
        ("tokenizer_config.json", '{"model_max_length": -5}', "model_max_length"),
    ],
)
def test_what_no_model_can_be_is_refused_with_file_and_key(
    folder: Path, name: str, content: str, why: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ModelError) as refusal:
        read_folder(folder)
    assert str(folder / name) in str(refusal.value)
    assert why in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_limit_without_an_end_is_none(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    assert configuration.max_tokens(folder, configuration.Network()) is None


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ([], "the header"),
        ({"w": "x"}, "w"),
        ({"w": {"dtype": "F32", "shape": [8], "data_offsets": [0]}}, "w.data_offsets"),
        ({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 32]}}, r"shape \[9\]"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, "bytes"),
    ],
)
def test_weights_that_contradict_themselves_are_refused(
    tmp_path: Path, header: object, why: str
) -> None:
    write_weights(tmp_path / "model.safetensors", header, 32)
    with pytest.raises(ModelError, match=rf"model\.safetensors are damaged.*{why}"):
        tensors(tmp_path / "model.safetensors")


def test_the_base_of_an_adapter_is_part_of_its_identity(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(folder)})
    )
    before = content_hash(adapter)
    assert content_hash(adapter) == before
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + b"\1")
    assert content_hash(adapter) != before


def test_an_adapter_without_its_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/absent"}')
    with pytest.raises(ModelError, match=r"needs org/absent.*hf download org/absent"):
        content_hash(tmp_path)


def test_files_behind_a_link_to_a_folder_are_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text('{"in_features": 1}')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "1_Dense").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "model" / "again").symlink_to(tmp_path / "model")  # no end, if it were followed
    before = content_hash(tmp_path / "model")
    (tmp_path / "elsewhere" / "config.json").write_text('{"in_features": 2}')
    assert content_hash(tmp_path / "model") != before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"prompts": {"query": "a", "query": "b"}}', "key 'query' stands twice"),
        ('{"prompts": {"query": "\\ud800"}}', "half of a character"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_prompts_in_json_that_readers_disagree_on_are_refused(
    tmp_path: Path, content: str, why: str
) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(UsageError, match=rf"p\.json.*{why}"):
        read_table(tmp_path / "p.json")
