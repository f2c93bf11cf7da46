"""Recipes through the whole pipeline on small static models: determinism, resume, guards, proof."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("accelerate")
from kemb.errors import ModelError, UsageError
from kemb.pipeline import train
from kemb.train.job import TrainOptions, plan
from kemb.store import Store
from kemb.train.recipe import read_recipe

WHO = "아버지가 어머니가 동생이 친구가 선생님이 할머니가 이웃이 사장이 의사가 기자가 농부가 학생이 군인이 가수가 화가가".split()
WHAT = "사과를 편지를 자전거를 우산을 그림을 가방을 신문을 시계를 모자를 의자를".split()
DID = [("샀다", "구입했다"), ("버렸다", "내던졌다"), ("찾았다", "발견했다"), ("빌렸다", "얻어 썼다")]

RECIPE = """
recipe = 1
name = "tiny"
[base]
kind = "static"
dim = 32
tokenizer = { vocab = 300 }
[prompts]
query = "질문: "
document = "문서: "
[[data]]
id = "pairs"
source = { file = "pairs.parquet" }
license = "CC0-1.0"
[matryoshka]
dims = [32, 16]
[train]
batch = 32
epochs = 3
lr = 0.05
save_every = 10
log_every = 5
[evaluate]
tasks = ["my-search"]
guard = { tolerance = 5 }
"""


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe with 450 pairs, and a retrieval task of 150 other pairs."""
    made = tmp_path / "recipe"
    made.mkdir()
    pairs = [(f"{a} {b} {c}", f"{b} {a} {d}") for a in WHO for b in WHAT for c, d in DID]
    order = np.random.default_rng(0).permutation(len(pairs)).tolist()
    train_pairs, test = [pairs[i] for i in order[:450]], [pairs[i] for i in order[450:]]
    table = pa.table({"anchor": [a for a, _ in train_pairs], "positive": [b for _, b in train_pairs]})
    pq.write_table(table, made / "pairs.parquet")
    task = made / "my-search"
    (task / "qrels").mkdir(parents=True)
    write(task / "corpus.jsonl", [{"_id": f"d{i}", "text": text} for i, (_, text) in enumerate(test)])
    write(task / "queries.jsonl", [{"_id": f"q{i}", "text": text} for i, (text, _) in enumerate(test)])
    lines = [f"q{i}\td{i}\t1" for i in range(len(test))]
    (task / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    (made / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return made


def options(tmp_path: Path, name: str = "run", **changes: Any) -> TrainOptions:
    return TrainOptions(tmp_path / name, Store(tmp_path / "store"), **changes)


def changed(folder: Path, *replacements: tuple[str, str]) -> Path:
    text = (folder / "recipe.toml").read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = folder / "changed.toml"
    path.write_text(text, encoding="utf-8")
    return path


def weights(model_dir: Path) -> str:
    return hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest()


def test_one_command_trains_proves_and_exports_and_a_rerun_does_nothing(folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    file = read_recipe(folder / "recipe.toml")
    outcome = train(file, options(tmp_path))
    assert [stage.name for stage in outcome.stages] == ["data", "filter", "base", "fit", "proof"]
    (cell,) = outcome.proof.comparison.cells
    assert cell.verdict == "better"
    assert cell.n_items == 150
    assert set(outcome.proof.lexical) == {"bm25:bigram"}
    assert outcome.model_dir is not None
    model = SentenceTransformer(str(outcome.model_dir), device="cpu")
    assert model.prompts["query"] == "질문: "
    np.testing.assert_array_equal(model.encode_query("사과"), model.encode("질문: 사과"))
    np.testing.assert_array_equal(model.encode_document("사과"), model.encode("문서: 사과"))
    lock = json.loads(outcome.lock_path.read_text(encoding="utf-8"))
    assert lock["recipe"]["train"]["batch"] == 32
    assert lock["stages"]["fit"]["outputs"]["tiny/model.safetensors"] == weights(outcome.model_dir)
    assert lock["reads"] == {"my-search": 1}
    again = train(file, options(tmp_path))
    assert [stage.was_there for stage in again.stages] == [True] * 5
    assert json.loads(again.lock_path.read_text(encoding="utf-8"))["reads"] == {"my-search": 1}
    other = train(file, options(tmp_path, "other"))
    assert other.model_dir is not None
    assert weights(other.model_dir) == weights(outcome.model_dir)


def test_a_changed_value_makes_only_the_stages_that_depend_on_it(folder: Path, tmp_path: Path) -> None:
    train(read_recipe(folder / "recipe.toml"), options(tmp_path))
    outcome = train(read_recipe(changed(folder, ("lr = 0.05", "lr = 0.04"))), options(tmp_path))
    assert {stage.name: stage.was_there for stage in outcome.stages} == {
        "data": True,
        "filter": True,
        "base": True,
        "fit": False,
        "proof": False,
    }


def test_a_killed_fit_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    whole = train(read_recipe(folder / "recipe.toml"), options(tmp_path, "whole"))
    run_dir = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(folder / "recipe.toml"), str(run_dir), str(tmp_path / "store")]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    checkpoints = sorted(path.name for path in run_dir.glob("stages/fit-*.partial/checkpoints/*"))
    assert checkpoints == ["checkpoint-10", "checkpoint-20"]
    (torn,) = run_dir.glob("stages/fit-*.partial/checkpoints/checkpoint-20/kemb.json")
    torn.unlink()  # as if the kill had come while checkpoint 20 was written
    resumed = train(read_recipe(folder / "recipe.toml"), options(tmp_path, "killed", resume=True))
    fit = next(stage for stage in resumed.stages if stage.name == "fit")
    assert fit.report["resumed_at"] == 10
    assert whole.model_dir is not None
    assert resumed.model_dir is not None
    assert weights(resumed.model_dir) == weights(whole.model_dir)


KILLED = """
import os, signal, sys
from pathlib import Path
from kemb.pipeline import train
from kemb.train.job import Quiet, TrainOptions
from kemb.store import Store
from kemb.train.recipe import read_recipe

class Killer(Quiet):
    def step(self, number, total, loss):
        if number == 23:
            os.kill(os.getpid(), signal.SIGKILL)

train(read_recipe(sys.argv[1]), TrainOptions(Path(sys.argv[2]), Store(Path(sys.argv[3]))), Killer())
"""


def test_a_text_without_a_vector_stops_before_it_destroys_the_weights(folder: Path, tmp_path: Path) -> None:
    """The silent NaN: a text of zero rows, normalised twice, turns every row into NaN in the first step."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    from kemb.train import bases
    from kemb.train.recipe import TokenizerSection

    tokenizer = bases.train_tokenizer(TokenizerSection(vocab=300), ["어머나 세상에", "사과를 샀다"])
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 32)).astype(np.float32)
    rows[tokenizer.encode("어머나").ids] = 0
    static = StaticEmbedding(tokenizer, embedding_weights=rows)
    bases.save(SentenceTransformer(modules=[static, Normalize()], device="cpu"), folder / "zeros")
    pairs = pq.read_table(folder / "pairs.parquet").slice(0, 31)
    empty = pa.table({"anchor": ["어머나"], "positive": ["세상에"]})
    pq.write_table(pa.concat_tables([pairs, empty]), folder / "pairs.parquet")
    static_base = 'kind = "static"\ndim = 32\ntokenizer = { vocab = 300 }'
    prompts = 'query = "질문: "\ndocument = "문서: "'
    path = changed(folder, (static_base, 'kind = "local"\nid = "zeros"'), (prompts, 'query = ""'))
    with pytest.raises(ModelError, match="no vector, or one of zeros: '어머나'.") as caught:
        train(read_recipe(path), options(tmp_path))
    assert "Step 1 gave numbers that are not finite" in str(caught.value)
