"""BGE-M3's three heads, against the numbers of FlagEmbedding (tests/m3_folder.py says how they were
made).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from kemb.encoding.store import Space, Store
from kemb.errors import KembError, ModelError, UsageError
from kemb.evaluation.evaluate import Outcome, RunOptions, evaluate, load_task
from kemb.evaluation.verify import VerifyOptions, verify_result
from kemb.models import catalogue
from kemb.models.encoders import torch
from kemb.models.encoders.bge_m3 import split_head
from kemb.models.facts import facts_of
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.results.files import read_items, read_results
from kemb.results.rows import find_row, rows_of
from kemb.types import Input
from m3_folder import LETTERS, PAIRS, make

pytestmark = pytest.mark.torch

FLAG_EMBEDDING = {
    "dense": [0.8882925510406494, 0.9612445831298828, 0.3535592257976532],
    "sparse": [27.284276962280273, 45.77292251586914, 0.0],
    "colbert": [0.8833126425743103, 0.9532597661018372, 0.608310341835022],
}
FLAG_EMBEDDING_HYBRID = [6.165497303009033, 9.92038631439209, 0.38474783301353455]
"""With the weights 0.4, 0.2, 0.4, which sum to 1."""
TOLERANCE = {"dense": 1e-5, "sparse": 1e-4, "colbert": 1e-3}
"""Token vectors are stored in float16."""


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("heads") / "tiny-m3")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("heads") / "plain-m3", is_plain=True)


@pytest.fixture
def search(tmp_path: Path) -> Path:
    folder = tmp_path / "my-search"
    (folder / "qrels").mkdir(parents=True)
    write(
        folder / "corpus.jsonl",
        [{"_id": f"d{i}", "text": text} for i, (_, text) in enumerate(PAIRS)],
    )
    write(
        folder / "queries.jsonl",
        [{"_id": f"q{i}", "text": text} for i, (text, _) in enumerate(PAIRS)],
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\nq2\td2\t1\n"
    )
    return folder


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def go(task: Path, models: Sequence[Model], tmp_path: Path, store: str = "store") -> list[Outcome]:
    return evaluate(
        [load_task(task)], models, RunOptions(tmp_path / "results", Store(tmp_path / store))
    )


def of_pairs(outcome: Outcome) -> list[float]:
    """The scores of query i with document i."""
    assert outcome.result is not None, outcome.message
    rows = read_items(outcome.result).to_pylist()
    found = {
        (row["item_id"], row["target"]): row["value"]
        for row in rows
        if row["metric"] == "retrieved"
    }
    return [found[f"q{i}", f"d{i}"] for i in range(len(PAIRS))]


def all_heads(folder: Path) -> list[Model]:
    return [resolve(f"{folder}#{head}") for head in FLAG_EMBEDDING]


@pytest.mark.parametrize("kind", ["m3", "plain"])
def test_scores_are_those_of_flagembedding(
    kind: str, search: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    for head, outcome in zip(FLAG_EMBEDDING, go(search, all_heads(folder), tmp_path), strict=True):
        assert of_pairs(outcome) == pytest.approx(FLAG_EMBEDDING[head], abs=TOLERANCE[head])


def test_a_head_in_safetensors_is_the_same(m3: Path, search: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = shutil.copytree(m3, tmp_path / "safe")
    for path in folder.glob("*_linear.pt"):
        save_file(torch.load(path, weights_only=True), path.with_suffix(".safetensors"))
        path.unlink()
    _, *outcomes = go(search, all_heads(folder), tmp_path)
    for head, outcome in zip(("sparse", "colbert"), outcomes, strict=True):
        assert of_pairs(outcome) == pytest.approx(FLAG_EMBEDDING[head], abs=TOLERANCE[head])


def stored(models: Sequence[Model], store: Path) -> dict[str, bytes]:
    """The bytes of all vectors of the texts, by model."""
    from kemb.encoding.store import input_keys

    keys = input_keys("", "", [text for pair in PAIRS for text in pair])
    found = {}
    for model in models:
        space = Store(store).space(model.fingerprint())
        if model.family == "dense":
            found[model.name] = space.vectors(keys).block(0, len(keys)).tobytes()
        else:
            rows = space.ragged(keys).take(np.arange(len(keys)))
            found[model.name] = rows.values.tobytes() + rows.offsets.tobytes()
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """How often a model was loaded, and how many kinds of vectors each was to make."""
    calls: list[tuple[str, int]] = []
    real = torch.open_torch

    def counted(folder: Path, loading: torch.Loading) -> torch.TorchEncoder:
        calls.append((folder.name, 1 + len(loading.beside)))
        return real(folder, loading)

    monkeypatch.setattr(torch, "open_torch", counted)
    return calls


def test_one_forward_pass_makes_the_vectors_of_all_heads_of_a_command(
    m3: Path, search: Path, tmp_path: Path, opened: list[tuple[str, int]]
) -> None:
    models = all_heads(m3)
    together = go(search, models, tmp_path)
    assert opened == [("tiny-m3", 3)]
    assert [outcome.result.record.encoded.n_encoded for outcome in together if outcome.result] == [
        6,
        0,
        0,
    ]
    for model, outcome in zip(models, together, strict=True):
        options = RunOptions(tmp_path / "other", Store(tmp_path / "apart"))
        (apart,) = evaluate([load_task(search)], [model], options)
        assert apart.result is not None
        assert outcome.result is not None
        assert outcome.result.record.lengths == apart.result.record.lengths != {}
    assert opened[1:] == [("tiny-m3", 1)] * 3
    assert stored(models, tmp_path / "store") == stored(models, tmp_path / "apart")


def test_heads_get_vectors_of_their_own_tasks_only(
    m3: Path, search: Path, tmp_path: Path, opened: list[tuple[str, int]]
) -> None:
    folder = tmp_path / "topics"
    folder.mkdir()
    rows = [
        {"text": f"{text} {LETTERS[i]}{LETTERS[i + 9]}", "label": i % 2}
        for i in range(20)
        for text in ("비", "눈")
    ]
    for split in ("train", "test"):
        write(folder / f"{split}.jsonl", rows)
    models = all_heads(m3)
    tasks = [load_task(search), load_task(folder)]
    outcomes = evaluate(tasks, models, RunOptions(tmp_path / "results", Store(tmp_path / "store")))
    assert [outcome.status for outcome in outcomes if outcome.task == "topics"] == ["scored"] + [
        "not applicable"
    ] * 2
    assert opened == [("tiny-m3", 3)]
    counts = {
        model.name: Store(tmp_path / "store").space(model.fingerprint()).n_vectors()
        for model in models
    }
    assert counts == {"local/tiny-m3": 46, "local/tiny-m3#sparse": 6, "local/tiny-m3#colbert": 6}


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_run_killed_between_two_heads_ends_with_the_same_bits(
    nth: int, m3: Path, search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = all_heads(m3)
    real: Callable[..., str] = Space.add
    n_calls = 0

    def killed(self: Space, *given: object) -> str:
        nonlocal n_calls
        n_calls += 1
        if n_calls == nth:
            raise KeyboardInterrupt
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Space, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            go(search, models, tmp_path, "killed")
    go(search, models, tmp_path, "killed")
    evaluate([load_task(search)], models, RunOptions(tmp_path / "other", Store(tmp_path / "whole")))
    assert stored(models, tmp_path / "killed") == stored(models, tmp_path / "whole")


def test_heads_share_a_pass_only_under_one_profile(m3: Path, plain: Path) -> None:
    from kemb.encoding.plan import heads_beside

    dense_one, sparse, colbert = all_heads(m3)
    assert heads_beside(dense_one, [dense_one, sparse, colbert]) == [colbert, sparse]
    shorter = resolve(f"{m3}#sparse", ModelOptions(max_tokens=8))
    assert heads_beside(dense_one, [shorter, resolve(f"{plain}#sparse")]) == []
    mean = resolve(str(plain), ModelOptions(pooling="mean"))
    assert heads_beside(resolve(f"{plain}#sparse"), [mean, resolve(f"{plain}#dense")]) == [
        resolve(f"{plain}#dense")
    ]


def test_the_heads_are_rows_that_are_found_verified_and_fused(
    m3: Path, search: Path, tmp_path: Path
) -> None:
    names = [f"{m3}#{head}" for head in FLAG_EMBEDDING]
    fused = f"fuse(0.4*{names[0]} + 0.2*{names[1]} + 0.4*{names[2]})"
    outcomes = go(search, [*all_heads(m3), resolve(fused)], tmp_path)
    rows = rows_of(read_results(tmp_path / "results"))
    assert {row.model for row in rows} == {
        "local/tiny-m3",
        "local/tiny-m3#sparse",
        "local/tiny-m3#colbert",
        "fuse(0.4*local/tiny-m3+0.2*local/tiny-m3#sparse+0.4*local/tiny-m3#colbert)",
    }
    assert {find_row(row.label, rows).label for row in rows} == {row.label for row in rows}
    for outcome, name in zip(outcomes, [*names, fused], strict=True):
        assert outcome.result is not None
        found = verify_result(
            outcome.result, load_task(search), VerifyOptions(device="cpu", model=name)
        )
        assert [check.status for check in found.checks] == ["OK"]


def test_the_published_hybrid_is_the_sum_of_raw_scores(
    m3: Path, search: Path, tmp_path: Path
) -> None:
    (outcome,) = go(
        search, [resolve(f"sum(0.4*{m3}#dense + 0.2*{m3}#sparse + 0.4*{m3}#colbert)")], tmp_path
    )
    assert of_pairs(outcome) == pytest.approx(FLAG_EMBEDDING_HYBRID, abs=1e-3)
    assert outcome.result is not None
    assert (
        outcome.result.model
        == "sum(0.4*local/tiny-m3+0.2*local/tiny-m3#sparse+0.4*local/tiny-m3#colbert)"
    )
    fused = resolve(f"fuse(0.4*{m3}#dense + 0.2*{m3}#sparse + 0.4*{m3}#colbert)")
    assert (
        fused.revision
        != resolve(f"sum(0.4*{m3}#dense + 0.2*{m3}#sparse + 0.4*{m3}#colbert)").revision
    )
    assert of_pairs(go(search, [fused], tmp_path)[0]) != pytest.approx(
        FLAG_EMBEDDING_HYBRID, abs=0.1
    )


def test_names_of_heads() -> None:
    assert split_head("BAAI/bge-m3#sparse@abc") == ("BAAI/bge-m3@abc", "sparse")
    assert split_head("rrf(a#sparse, b)") == ("rrf(a#sparse, b)", None)
    spec = catalogue.load_spec("bge-m3#colbert")
    assert spec is not None
    assert (spec.name, spec.hub, spec.similarity) == (
        "BAAI/bge-m3#colbert",
        "BAAI/bge-m3",
        "meanmaxsim",
    )
    assert catalogue.load_spec("bge-m3#dense") == catalogue.load_spec("BAAI/bge-m3")
    facts = facts_of("BAAI/bge-m3#sparse")
    assert (facts.kind, facts.n_parameters, facts.dim) == ("sparse", 568_000_000, None)


def test_the_published_files_are_read_as_they_are(m3: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(m3, tmp_path / "as-published")
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    for head in FLAG_EMBEDDING:
        given = [Input("", "", "나무 그림")]
        own, safe = (
            open_model(resolve(f"{where}#{head}", ModelOptions(device="cpu"))).encode(given)
            for where in (folder, m3)
        )
        assert np.array_equal(getattr(own, "values", own), getattr(safe, "values", safe))


def test_another_head_file_is_another_model(m3: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(m3, tmp_path / "other")
    before = [resolve(f"{folder}#{head}").revision for head in FLAG_EMBEDDING]
    data = bytearray((folder / "sparse_linear.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "sparse_linear.pt").write_bytes(data)
    after = [resolve(f"{folder}#{head}").revision for head in FLAG_EMBEDDING]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]


def test_what_has_no_such_head_says_so(m3: Path, tiny_st: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"has no sparse head: .* holds no sparse_linear\.pt"
    ) as caught:
        resolve(f"{tiny_st}#sparse")
    assert "copy sparse_linear.pt and colbert_linear.pt of the original beside the weights" in str(
        caught.value
    )
    for name, problem in {
        f"{m3}#lexical": "asks for the head 'lexical'",
        "BAAI/bge-m3#": "asks for the head ''",
        "bm25:kiwi#sparse": "is of the kind 'bm25' and has no head",
        "api:BAAI/bge-m3#sparse": "is of the kind 'API' and has no head",
    }.items():
        with pytest.raises(UsageError, match=problem):
            resolve(name)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (exec, ("import os; os.environ['KEMB_EVIL'] = '1'",))


@pytest.mark.parametrize("damage", ["shape", "code", "cut"])
def test_head_files_that_are_none(
    damage: str, m3: Path, search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("KEMB_EVIL", "0")
    folder = shutil.copytree(m3, tmp_path / damage)
    file = folder / "sparse_linear.pt"
    expected = "cannot be read as tensors"
    if damage == "shape":
        torch.save({"weight": torch.zeros(1, 7), "bias": torch.zeros(1)}, file)
        expected = r"weight \[1, 32\] and bias \[1\], a linear layer on the 32 dimensions"
    elif damage == "code":
        torch.save({"weight": Evil()}, file)
    else:
        file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(KembError, match=expected):
        open_model(resolve(f"{folder}#sparse"))
    (outcome,) = go(search, [resolve(f"{folder}#sparse")], tmp_path)
    assert outcome.status == "failed"
    assert "Traceback" not in outcome.message
    import os

    assert os.environ["KEMB_EVIL"] == "0"
