"""A copy of a known model is known by its content; names are hints, said and not followed."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

from kemb.errors import KembError, UnknownName, UsageError
from kemb.files import disk
from kemb.models import recognise
from kemb.models.catalogue import load_spec
from kemb.models.model import Model, ModelOptions
from kemb.models.prompts import resolve as prompt_of
from kemb.models.resolve import resolve

E5 = "intfloat/multilingual-e5-small"
SPEC = load_spec(E5)
assert SPEC is not None
COMMIT = str(SPEC.revision)


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What `hf download` leaves: files, and beside them commit and hash of each."""
    folder = tmp_path / "anything"
    header = b'{"w":{"dtype":"F32","shape":[1024],"data_offsets":[0,4096]}}'
    files = {
        "model.safetensors": struct.pack("<Q", len(header)) + header + bytes(4096),
        "config.json": json.dumps({"model_type": "bert", "_name_or_path": E5}).encode(),
    }
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        is_large = name.endswith(".safetensors")
        etag = hashlib.sha256(content).hexdigest() if is_large else blob_id(content)
        (notes / f"{name}.metadata").write_text(f"{COMMIT}\n{etag}\n1700000000.0\n")
    return folder


def opened(folder: Path, known_as: str | None = None) -> Model:
    return resolve(str(folder), ModelOptions(device="cpu", pooling="mean", known_as=known_as))


def query_prompt(model: Model) -> str:
    return prompt_of(model.prompts, "AutoRAGRetrieval", "retrieval", "", "query").prompt


def test_a_true_copy_has_the_settings_of_the_known_model_and_stays_local(copy: Path) -> None:
    model = opened(copy)
    assert (model.name, model.variant, model.known_as) == ("local/anything", "", E5)
    assert query_prompt(model) == "query: "
    assert model.warnings == ()


def test_the_files_are_hashed_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    sha256 = disk.sha256

    def heard(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    monkeypatch.setattr(disk, "sha256", heard)
    resolve(str(copy))
    assert hashed
    assert len(hashed) == len(set(hashed))


def test_one_byte_changed_is_another_model_and_the_name_is_said(copy: Path) -> None:
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[:-1] + b"\1")
    model = opened(copy)
    assert (model.known_as, query_prompt(model)) == (None, "")
    (warning,) = model.warnings
    assert f"looks like {E5}" in warning
    assert f"-m {copy} --as {E5}" in warning
    assert "--as none" in warning


def test_a_fine_tune_inherits_the_name_and_nothing_else(copy: Path) -> None:
    for note in (copy / ".cache" / "huggingface" / "download").iterdir():
        note.unlink()
    model = opened(copy)
    assert (model.known_as, query_prompt(model), len(model.warnings)) == (None, "", 1)


def test_a_file_beside_those_of_the_commit_makes_no_copy(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    assert opened(copy).known_as is None


def test_what_is_typed_decides_and_names_the_row(copy: Path) -> None:
    none = opened(copy, "none")
    assert (none.known_as, none.variant, query_prompt(none)) == (None, "pooling_mean__as_none", "")
    as_itself = opened(copy, E5)
    assert (as_itself.known_as, as_itself.variant) == (E5, "")
    (copy / ".cache" / "huggingface" / "download" / "config.json.metadata").unlink()
    typed = opened(copy, E5)
    assert (typed.known_as, query_prompt(typed), typed.warnings) == (E5, "query: ", ())
    assert typed.variant == "as_intfloat__multilingual-e5-small"
    assert opened(copy, "none").variant == "pooling_mean"


def test_weights_whose_hash_the_catalogue_has_are_a_copy(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "tokenizer.json").write_text("{}")
    digest = hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()
    assert SPEC is not None
    listed = SPEC.model_copy(update={"weights": {"model.safetensors": digest}})
    monkeypatch.setattr(recognise, "_known", lambda: iter([listed]))
    assert opened(copy).known_as == E5


def test_the_name_of_a_folder_is_a_hint(copy: Path, tmp_path: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "bert"}')
    renamed = copy.rename(tmp_path / "multilingual-e5-small")
    (warning,) = opened(renamed).warnings
    assert E5 in warning


def test_as_names_a_known_model_of_files(copy: Path) -> None:
    with pytest.raises(UnknownName):
        opened(copy, "intfloat/multilingual-e5-smal")
    with pytest.raises(UsageError, match="no model of files"):
        opened(copy, "bm25:kiwi")
    with pytest.raises(UsageError, match="is no folder"):
        resolve(E5, ModelOptions(known_as=E5))


@pytest.mark.parametrize("name", ["toy", "bm25:bigram", "python:json:dumps"])
def test_as_is_refused_of_what_is_no_folder(name: str) -> None:
    with pytest.raises(KembError, match="--as"):
        resolve(name, ModelOptions(known_as="intfloat/multilingual-e5-small"))
