"""The registry of model families and loaders: every row resolves, one kind is shown everywhere, and
a row alone adds a loader.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from kemb.arrays import FloatArray, IntArray
from kemb.boards import Row
from kemb.boards.build import is_sparse
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models import catalogue
from kemb.models.encoders.torch import Reading
from kemb.models.facts import facts_of
from kemb.models.families import (
    FAMILIES,
    KINDS,
    LOADERS,
    Loader,
    by_recipe_name,
    kind_name,
    ranks_of,
    st_class_of,
)
from kemb.models.model import ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import built_in, resolve
from kemb.models.spec import ModelSpec
from kemb.publishing.costs import cost_of
from kemb.results.files import Claim, TaskResult
from kemb.results.record import Record
from kemb.results.rows import ResultRow
from kemb.types import Input
from records import record


def parameters_of(dotted: str) -> list[inspect.Parameter]:
    return list(inspect.signature(resolve_name(dotted)).parameters.values())


def needed(dotted: str) -> int:
    """How many arguments must be given."""
    return sum(parameter.default is inspect.Parameter.empty for parameter in parameters_of(dotted))


@pytest.mark.torch
@pytest.mark.parametrize("name", LOADERS)
def test_every_row_names_what_it_says(name: str) -> None:
    loader = LOADERS[name]
    assert loader.family in FAMILIES
    assert kind_name(name) in KINDS
    if loader.is_built_in:
        assert len(parameters_of(loader.revision)) == 1
        assert not loader.opens or needed(loader.opens) == 0
    elif loader.opens:
        assert [p.name.strip("_") for p in parameters_of(loader.opens)] == ["model", "beside"]
        assert needed(loader.opens) == 1
    assert bool(loader.opens) == (
        loader.family in ("dense", "sparse", "late-interaction", "cross-encoder")
        and not loader.cannot_run
    )
    if loader.reading:
        assert isinstance(resolve_name(loader.reading), Reading)
        pytest.importorskip("sentence_transformers")
        assert inspect.isclass(resolve_name(f"sentence_transformers:{st_class_of(name)}"))


@pytest.mark.torch
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_ranks_documents(name: str) -> None:
    family = FAMILIES[name]
    names = [parameter.name.strip("_") for parameter in parameters_of(family.ranks)]
    assert names == ["model", "spec", "part", "sources"]
    assert family.kind in KINDS
    if family.recipe:
        pytest.importorskip("sentence_transformers")
        assert inspect.ismodule(resolve_name(f"sentence_transformers.{family.st_package}.losses"))


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_ranks_documents(name: str) -> None:
    names = [parameter.name.strip("_") for parameter in parameters_of(ranks_of(name))]
    assert names == ["model", "spec", "part", "sources"]
    assert not LOADERS[name].has_run or LOADERS[name].family == "run"


def test_no_two_loaders_claim_one_folder_or_head() -> None:
    claims = [said for loader in LOADERS.values() for said in loader.st_types]
    heads = [loader.head for loader in LOADERS.values() if loader.head]
    assert len(set(claims)) == len(claims)
    assert sorted(heads) == ["colbert", "sparse"]


def test_recipes_have_names_of_their_own_for_the_families_that_are_trained() -> None:
    assert {name: family.name for name, family in by_recipe_name().items()} == {
        "dense": "dense",
        "sparse": "sparse",
        "multi-vector": "late-interaction",
        "cross-encoder": "cross-encoder",
    }


def test_an_unknown_loader_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"'sentence-transformers', .* or 'custom'"):
        ModelSpec.model_validate({"name": "x", "loader": "abacus"})


# One kind everywhere


@pytest.mark.parametrize(
    ("name", "record", "kind"),
    [
        ("tfidf:char", "dense", "lexical"),
        ("bm25:kiwi", "lexical", "lexical"),
        ("toy", "dense", "dense"),
        ("BAAI/bge-m3#colbert", "late-interaction", "late-interaction"),
    ],
)
def test_costs_and_facts_call_a_model_the_same(name: str, record: str, kind: str) -> None:
    row = _row(name, record)
    assert (facts_of(name).kind, cost_of(row).family) == (kind, kind)


def test_the_kind_of_models_that_nobody_describes_follows_from_their_record() -> None:
    assert cost_of(_row("rrf(bm25:kiwi,toy)", "fusion")).family == "hybrid"
    assert cost_of(_row("run/mine", "run")).family == "run"


def test_claimed_rows_are_sparse_by_what_is_known_not_by_their_names() -> None:
    claimed = _result("", None, Claim("a paper"))
    known = {
        "telepix/PIXIE-Splade-v1.5": True,
        "bm25:kiwi": True,
        "BAAI/bge-m3": False,
        "nobody/sparse-matters-little": False,
        "rrf(bm25:kiwi,toy)": False,
    }
    for name, expected in known.items():
        row = ResultRow(name, "", "", "a paper", {"t": replace(claimed, model=name)})
        assert is_sparse(row) is expected, name


# A row alone adds a loader


class VowelCounts:
    """How often each vowel of a syllable occurs in a text."""

    dim = 22

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        return np.array([len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        rows = np.zeros((len(inputs), self.dim), dtype=np.float32)
        rows[:, 21] = 1
        for row, item in zip(rows, inputs, strict=True):
            for letter in item.text:
                if "가" <= letter <= "힣":
                    row[(ord(letter) - ord("가")) % 588 // 28] += 1
        return rows


def vowels_revision(name: str) -> str:
    return f"1-{name}"


def test_an_invented_loader_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        LOADERS,
        "vowels",
        Loader(
            "dense",
            opens=f"{__name__}:VowelCounts",
            revision=f"{__name__}:vowels_revision",
            kind="lexical",
        ),
    )
    spec = ModelSpec(name="vowels", loader="vowels")
    model = built_in(spec, ModelOptions(), [])
    assert (model.revision, model.family) == ("1-vowels", "dense")
    assert isinstance(open_model(model), VowelCounts)
    folder = tmp_path / "pairs"
    folder.mkdir()
    pairs: list[tuple[str, str, float]] = [
        ("가나다", "하자차", 5.0),  # the same vowels
        ("가나고", "가노도", 2.0),
        ("가나다", "고노도", 0.0),
    ]
    lines = [{"sentence1": a, "sentence2": b, "score": score} for a, b, score in pairs]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "test.jsonl").write_text(f"{text}\n", encoding="utf-8")
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    (outcome,) = evaluate([load_task(folder)], [model], options)
    assert outcome.status == "scored", outcome
    result: Any = outcome.result
    assert result.main_score == pytest.approx(1.0)
    assert result.record.family == "dense"
    assert cost_of(_row("vowels", "dense")).family == "dense"  # no TOML says more


def test_known_models_have_loaders_of_the_registry() -> None:
    for name in catalogue.names():
        spec = catalogue.load_spec(name)
        assert spec is not None
        assert spec.loader in LOADERS, name
    assert resolve("toy").head == ""


def _result(model: str, kemb: Record | None, claim: Claim | None = None) -> TaskResult:
    return TaskResult(Path("t.json"), model, "r", "", "t", "d", {}, kemb, claim)


def _row(name: str, family: str) -> Row:
    results = {"t": _result(name, record(family=family))}
    return Row(name, "r", "", None, [0.5], {"t": 0.5}, 0.5, {}, results=results)
