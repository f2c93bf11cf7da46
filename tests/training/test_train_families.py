"""Every kind of model and loss: three steps on a tiny random network, saved, loaded again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("accelerate")
from kemb.errors import DataError, ModelError, UsageError
from kemb.training import fit
from kemb.training.losses import training_sets
from kemb.training.recipe import RecipeFile, read_recipe

pytestmark = pytest.mark.torch

WORDS = "가을 나무 바다 구름 아침 저녁 학교 시장 노래 그림 편지 우산 시계 기차 공원 도서관".split()


def pairs(scored: bool = False, taught: bool = False) -> pa.Table:
    """16 rows with one negative."""
    table = {
        "anchor": [f"{word} 소개" for word in WORDS],
        "positive": [f"{word}에 대한 글" for word in WORDS],
        "negative_1": [f"{word}와 다른 이야기" for word in WORDS],
        "source": ["pairs"] * len(WORDS),
    }
    if scored:
        table["score"] = [float(i % 6) for i in range(len(WORDS))]
    if taught:
        table |= {
            "positive_score": [0.9] * len(WORDS),
            "negative_1_score": [0.1 + i / 50 for i in range(len(WORDS))],
        }
    return pa.table(table)


def recipe(
    folder: Path, base: Path, family: str, loss: str, role: str = "retrieval", more: str = ""
) -> RecipeFile:
    path = folder / "tiny.toml"
    plain = family == "dense" and not (base / "modules.json").is_file()
    pooling = 'pooling = "mean"' if plain else ""
    path.write_text(
        f"""recipe = 1
name = "tiny"
[base]
kind = "local"
id = "{base}"
family = "{family}"
{pooling}
[[data]]
id = "pairs"
source = {{ file = "pairs.parquet" }}
role = "{role}"
license = "CC0-1.0"
[loss]
{loss}
{more}
[train]
batch = 4
max_steps = 3
lr = 1e-3
save_every = 2
[evaluate]
tasks = ["KorSTS"]
""",
        encoding="utf-8",
    )
    return read_recipe(path)


def run(
    file: RecipeFile, base: Path, table: pa.Table, out: Path, resume: bool = False
) -> fit.FitReport:
    sets = training_sets(
        file,
        table,
        lambda role, texts: np.random.default_rng(0).random((len(texts), 8), np.float32),
    )
    return fit.fit(fit.FitJob(file, sets, base, out, "key", "cpu", resume=resume))


DENSE = [
    'name = "mnrl"',
    'name = "cached-mnrl"\nmini_batch = 2\nscale = 50\n'
    'directions = ["query_to_doc", "doc_to_query"]',
    'name = "margin-mse"',
    'name = "kl"\ntemperature = 2.0',
    'name = "embed-distill"\nteacher = "toy"',
]


@pytest.mark.parametrize("loss", DENSE, ids=lambda loss: loss.split('"')[1])
def test_dense(loss: str, tiny_transformer: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    file = recipe(tmp_path, tiny_transformer, "dense", loss, more='[prompts]\nquery = "가: "')
    report = run(file, tiny_transformer, pairs(taught=True), tmp_path / "out")
    assert report.n_steps == 3
    model = SentenceTransformer(str(tmp_path / "out" / "tiny"), device="cpu")
    np.testing.assert_allclose(
        model.encode_query("나무"), model.encode("가: 나무", prompt=""), atol=1e-6
    )


@pytest.mark.parametrize("loss", ["cosent", "angle"])
def test_dense_with_scores(loss: str, tiny_transformer: Path, tmp_path: Path) -> None:
    file = recipe(tmp_path, tiny_transformer, "dense", f'similarity = "{loss}"', "similarity")
    assert run(file, tiny_transformer, pairs(scored=True), tmp_path / "out").n_steps == 3


@pytest.mark.parametrize("name", ["gist", "cached-gist"])
def test_guided_losses_take_a_guide_of_the_same_tokenizer(
    name: str, tiny_st: Path, tmp_path: Path
) -> None:
    from kemb.training.check import check_guide

    made = recipe(tmp_path, tiny_st, "dense", f'name = "{name}"\nguide = "{tiny_st}"')
    check_guide(made, tiny_st, tiny_st)
    job = fit.FitJob(
        made, training_sets(made, pairs()), tiny_st, tmp_path / "out", "key", "cpu", tiny_st
    )
    assert fit.fit(job).n_steps == 3


def test_a_guide_of_another_tokenizer_is_refused(
    tiny_st: Path, minilm: Path, tmp_path: Path
) -> None:
    from kemb.training.check import check_guide

    file = recipe(tmp_path, tiny_st, "dense", f'name = "gist"\nguide = "{minilm}"')
    with pytest.raises(UsageError, match=r"line 15: the guide .* has another tokenizer"):
        check_guide(file, tiny_st, minilm)


@pytest.mark.parametrize("name", ["bce", "mnrl", "cached-mnrl", "listnet", "lambda", "margin-mse"])
def test_cross_encoder(name: str, tiny_transformer: Path, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    file = recipe(tmp_path, tiny_transformer, "cross-encoder", f'name = "{name}"')
    assert run(file, tiny_transformer, pairs(taught=True), tmp_path / "out").n_steps == 3
    scores = CrossEncoder(str(tmp_path / "out" / "tiny"), device="cpu").predict(
        [("나무", "나무 글"), ("바다", "산")]
    )
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


SPARSE = [
    'name = "splade"',
    'name = "cached-splade"\nmini_batch = 2',
    'name = "splade-kl"',
    'name = "splade-margin-mse"',
]


@pytest.mark.parametrize(
    "loss", [*SPARSE, 'similarity = "cosent"'], ids=lambda loss: loss.split('"')[1]
)
def test_sparse(loss: str, tiny_mlm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder

    weights = "document_weight = 3e-5\nquery_weight = 5e-5"
    scored = loss.startswith("similarity")
    file = recipe(
        tmp_path, tiny_mlm, "sparse", f"{loss}\n{weights}", "similarity" if scored else "retrieval"
    )
    assert run(file, tiny_mlm, pairs(scored=scored, taught=True), tmp_path / "out").n_steps == 3
    vectors = SparseEncoder(str(tmp_path / "out" / "tiny"), device="cpu").encode(
        ["나무"], convert_to_tensor=True
    )
    assert bool((vectors.to_dense() >= 0).all())
    assert bool((vectors.to_dense() > 0).any())


@pytest.mark.parametrize("name", ["mnrl", "cached-mnrl", "kl", "margin-mse"])
def test_multi_vector(name: str, tiny_transformer: Path, tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    file = recipe(tmp_path, tiny_transformer, "multi-vector", f'name = "{name}"')
    assert run(file, tiny_transformer, pairs(taught=True), tmp_path / "out").n_steps == 3
    (vectors,) = MultiVectorEncoder(str(tmp_path / "out" / "tiny"), device="cpu").encode(
        ["나무 그림"]
    )
    assert vectors.ndim == 2


def test_lora_ends_in_plain_weights_that_differ_from_the_base(
    tiny_transformer: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    more = '[base.lora]\nr = 2\nalpha = 4\ntargets = ["query", "value"]'
    file = recipe(tmp_path, tiny_transformer, "dense", 'name = "mnrl"', more=more)
    run(file, tiny_transformer, pairs(), tmp_path / "out")
    base = load_file(tiny_transformer / "model.safetensors")
    tuned = load_file(tmp_path / "out" / "tiny" / "model.safetensors")
    assert tuned.keys() == base.keys()
    moved = {name for name in base if not np.array_equal(base[name], tuned[name])}
    assert moved == {
        f"encoder.layer.{layer}.attention.self.{part}.weight"
        for layer in (0, 1)
        for part in ("query", "value")
    }


def test_a_loss_with_weights_of_its_own_goes_on_where_it_was(
    tiny_transformer: Path, tmp_path: Path
) -> None:
    """sentence-transformers forgets the projection of EmbedDistillLoss in its checkpoints."""
    import shutil

    file = recipe(tmp_path, tiny_transformer, "dense", 'name = "embed-distill"\nteacher = "toy"')
    run(file, tiny_transformer, pairs(), tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "checkpoint-3")
    report = run(file, tiny_transformer, pairs(), tmp_path / "cut", resume=True)
    assert report.resumed_at == 2
    whole, cut = (
        (tmp_path / name / "tiny" / "model.safetensors").read_bytes() for name in ("whole", "cut")
    )
    assert whole == cut
    torn = tmp_path / "cut" / "checkpoints" / "checkpoint-2"
    (torn / "loss_state.safetensors").unlink()
    mark = json.loads((torn / "kemb.json").read_text())
    del mark["files"]["loss_state.safetensors"]
    (torn / "kemb.json").write_text(json.dumps(mark))
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "checkpoint-3")
    run(file, tiny_transformer, pairs(), tmp_path / "cut", resume=True)
    assert (tmp_path / "cut" / "tiny" / "model.safetensors").read_bytes() != whole


def test_a_batch_larger_than_the_different_positives_is_refused(
    tiny_transformer: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path, tiny_transformer, "dense", 'name = "mnrl"')
    few = pairs().slice(0, 3)
    with pytest.raises(
        UsageError, match="line 17: a batch of 4 rows is larger than the 3 different positives"
    ):
        run(file, tiny_transformer, few, tmp_path / "out")


def test_losses_say_what_their_data_lacks(tiny_transformer: Path, tmp_path: Path) -> None:
    file = recipe(tmp_path, tiny_transformer, "dense", 'name = "kl"')
    with pytest.raises(DataError, match="no teacher's scores"):
        training_sets(file, pairs())
    file = recipe(tmp_path, tiny_transformer, "dense", 'similarity = "cosent"', "similarity")
    with pytest.raises(DataError, match="rows without a score"):
        training_sets(file, pairs())
    file = recipe(tmp_path, tiny_transformer, "cross-encoder", 'name = "listnet"')
    with pytest.raises(DataError, match="no negatives"):
        training_sets(file, pairs().drop_columns(["negative_1"]))


def test_vectors_that_fall_together_stop_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemb.training import guards

    rng = np.random.default_rng(0)
    shapes = {
        0: rng.normal(size=(64, 8)),
        1: rng.normal(size=(64, 8)) + 1,
        2: rng.normal(size=(64, 8)) + 200,
    }
    watch = guards.Watch(None, {}, ["한 문장"], tmp_path / "events.jsonl")
    for step, vectors in shapes.items():
        monkeypatch.setattr(guards, "_encode", lambda model, texts, found=vectors: found)
        if step < 2:
            watch.look(step)
            continue
        with pytest.raises(
            ModelError, match="collapsed: the mean cosine of 64 different training texts is"
        ):
            watch.look(step)


def test_geometry_of_known_clouds() -> None:
    from kemb.training.guards import geometry

    assert geometry(np.eye(4, dtype=np.float32)) == pytest.approx(
        {"mean_cosine": 0.0, "effective_rank": 4.0}
    )
    same = np.ones((5, 3), dtype=np.float32)
    assert geometry(same) == pytest.approx({"mean_cosine": 1.0, "effective_rank": 1.0}, abs=1e-6)


def test_a_step_that_overflows_in_fp16_is_left_out_but_not_for_ever(tmp_path: Path) -> None:
    """The first steps of fp16 overflow until the scale of the loss fits; a model that is broken
    overflows on.
    """
    import torch

    from kemb.training import guards

    model = torch.nn.Linear(2, 1)
    watch = guards.Watch(model, model, [], tmp_path / "events.jsonl")
    watch.recent.append(["한 문장"])
    model.weight.grad = torch.tensor([[1.0, float("inf")]])
    with pytest.raises(ModelError, match="Step 1 gave numbers that are not finite"):
        watch.before_step(0)
    watch.is_scaled, watch.n_skipped = True, 0
    for step in range(15):
        watch.before_step(step)
    model.weight.grad = torch.ones(1, 2)
    watch.before_step(15)
    model.weight.grad = torch.full((1, 2), float("nan"))
    for step in range(16, 16 + guards.MOST_SKIPPED):
        watch.before_step(step)
    with pytest.raises(ModelError, match="Step 37 gave"):
        watch.before_step(36)
