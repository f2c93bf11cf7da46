"""`kemb choose --dims --quantize`: dimensions and codes are rows like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drafted_set import write_set
from invented import corpus_of
from kemb.choosing.candidates import Limits, named, with_smaller
from kemb.cli import cli
from kemb.errors import UsageError
from kemb.messages import say
from kemb.models.facts import ModelFacts, facts_of
from kemb.models.model import ModelOptions

CPU = ModelOptions(device="cpu")
MODELS = ("bm25:bigram", "toy")


@pytest.fixture
def is_matryoshka(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy model (256 dimensions) says that it was trained for 64 and 128."""

    def trained(name: str) -> ModelFacts:
        facts = facts_of(name)
        return replace(facts, dim=256, truncate_dims=(64, 128, 256)) if name == "toy" else facts

    monkeypatch.setattr("kemb.choosing.candidates.facts_of", trained)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("smaller")
    corpus_of(root / "mydata", n_passages=30, per_passage=2, n_others=100)
    return root


def choose(data: Path, *words: str, names: tuple[str, ...] = MODELS) -> Result:
    arguments = ["choose", str(data), "--device", "cpu", "--no-hybrids"]
    keeping = ["--results", str(data.parent / "results"), "--store", str(data.parent / "store")]
    models = [word for model in names for word in ("-m", model)]
    return CliRunner().invoke(cli, [*arguments, *keeping, *models, *words])


def record_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads(result.stdout)
    return record


@pytest.mark.usefixtures("is_matryoshka")
def test_dimensions_and_codes_are_rows_of_the_same_test(root: Path) -> None:
    words = ("--dims", "64", "--quantize", "int8,binary", "--stages", "", "--smallest", "index")
    record = record_of(choose(root / "mydata", *words, "--json"))
    sizes = {row["name"]: row["index_bytes_per_document"] for row in record["rows"]}
    del sizes["bm25:bigram"]
    assert sizes == {
        "toy": 1024,
        "toy [quantize_int8]": 256,
        "toy [quantize_binary]": 32,
        "toy [dims_64]": 256,
        "toy [dims_64__quantize_int8]": 64,
        "toy [dims_64__quantize_binary]": 8,
    }
    assert record["smallest_by"] == "index"
    table = choose(root / "mydata", *words)
    assert "Declared: 7 rows" in table.stderr
    assert "MB per 1M" in table.stdout


def test_small_is_said_and_means_what_was_asked_for(root: Path) -> None:
    words = ("--quantize", "int8,binary", "--stages", "")
    names = ("toy", "bm25:bigram")
    by_index = choose(root / "mydata", *words, "--smallest", "index", names=("tfidf:char",))
    assert "Small means here: few bytes in the index, then few parameters." in by_index.stdout
    assert "The smallest of them is tfidf:char [quantize_" in by_index.stdout
    assert "say so to the index" not in by_index.stdout, "the pick is no code"
    korean = choose(root / "mydata", *words, "--lang", "ko", names=("tfidf:char",))
    assert "--smallest index를 주면 거꾸로 따집니다." in korean.stdout
    assert record_of(choose(root / "mydata", *words, "--json", names=names))["smallest_by"] == (
        "parameters"
    )


def test_codes_that_are_taken_are_said_to_the_index(tmp_path: Path) -> None:
    """Questions that hold nearly all words of their passages are answered by every row."""
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1, n_shared=24)
    taken = choose(tmp_path / "mydata", "--quantize", "int8,binary", names=("toy",))
    assert "Take toy [quantize_binary]" in taken.stdout
    assert "Its vectors are binary codes: say so to the index (Qdrant: " in taken.stdout


def test_nothing_is_encoded_twice(root: Path) -> None:
    record = record_of(choose(root / "mydata", "--quantize", "binary", "--stages", "", "--json"))
    [path] = [row["result"] for row in record["rows"] if row["name"] == "toy [quantize_binary]"]
    encoded = json.loads(Path(path).read_text(encoding="utf-8"))["kemb"]["encoded"]
    assert encoded["n_texts"] > 0
    assert encoded["n_encoded"] == 0


def test_a_model_that_declares_no_fewer_dimensions_is_named_and_not_cut() -> None:
    tried, _ = named(MODELS, Limits(), CPU)
    rows, left_out = with_smaller(tried, Limits(), "128", "int8")
    assert [row.name for row in rows] == ["bm25:bigram", "toy", "toy [quantize_int8]"]
    [entry] = left_out
    assert entry.name == "toy"
    assert say(entry.why, "en").startswith("not with 128 dimensions: it does not say")


@pytest.mark.usefixtures("is_matryoshka")
def test_only_dimensions_that_a_model_was_trained_for() -> None:
    tried, _ = named(["toy"], Limits(), CPU)
    rows, left_out = with_smaller(tried, Limits(), "256,100,64")
    assert [row.name for row in rows] == ["toy", "toy [dims_64]"]
    assert [say(entry.why, "en") for entry in left_out] == [
        "not with 256 dimensions: the fewer ones that it was trained for are 64, 128",
        "not with 100 dimensions: the fewer ones that it was trained for are 64, 128",
    ]


@pytest.mark.usefixtures("is_matryoshka")
def test_codes_of_a_model_that_a_limit_cut_are_no_wider() -> None:
    limits = Limits(dim=128)
    tried, _ = named(["toy"], limits, CPU)
    rows, _ = with_smaller(tried, limits, "64", "int8")
    assert [row.name for row in rows] == [
        "toy [dims_128]",
        "toy [dims_128__quantize_int8]",
        "toy [dims_64]",
        "toy [dims_64__quantize_int8]",
    ]
    with pytest.raises(UsageError, match="--dims 256 is more than --dim 128"):
        with_smaller(tried, limits, "256")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dims", "many"], "is no number of dimensions"),
        (["--quantize", "int3"], "is not known"),
    ],
)
def test_what_cannot_be(root: Path, words: list[str], message: str) -> None:
    assert message in str(choose(root / "mydata", *words).exception)


def test_codes_with_ways_of_cutting(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    words = ("--chunks", "fixed:30", "--quantize", "int8", "--smallest", "index", "--json")
    record = record_of(choose(folder, *words))
    rows = {row["name"]: row for row in record["rows"]}
    full, codes = rows["fixed:30 · toy"], rows["fixed:30 · toy [quantize_int8]"]
    assert full["index_bytes"] == 4 * codes["index_bytes"] == 1024 * full["n_chunks"]
