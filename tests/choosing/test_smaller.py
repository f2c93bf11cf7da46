"""`kemb choose --dims --quantize`: dimensions and codes are rows like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from drafted_set import write_set
from invented import corpus_of
from kemb.arrays import ArrayVectors
from kemb.choosing.candidates import Limits, named, with_smaller
from kemb.choosing.code import view_code
from kemb.cli import cli
from kemb.encoding.views import see, viewed
from kemb.errors import UsageError
from kemb.messages import say
from kemb.models.facts import ModelFacts, facts_of
from kemb.models.model import ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.models.spec import View
from kemb.types import Input

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
    assert "codes; the code makes" not in by_index.stdout, "the pick is no code"
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
    assert "Its vectors are binary codes; the code makes those that were measured" in taken.stdout
    assert "BinaryQuantization(binary=binary)" in taken.stdout
    assert "embedding bit(256) NOT NULL" in taken.stdout
    assert '"dims": 256, "element_type": "bit"' in taken.stdout


VIEWS = [
    View(dims=64),
    View(level="int8"),
    View(dims=64, level="int8"),
    View(level="binary"),
    View(dims=64, level="binary"),
    View(dims=64, level="binary", candidates=5),
]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_code_of_a_view_makes_the_vectors_that_were_measured(view: View) -> None:
    """What is printed is run on the vectors of a model that does not exist."""
    rng = np.random.default_rng(0)
    vectors = {
        "queries": rng.normal(size=(7, 256)).astype(np.float32),
        "documents": rng.normal(size=(40, 256)).astype(np.float32),
    }
    vectors["documents"][0, 0] = 0.0  # no sign
    columns = {name: ArrayVectors(rows) for name, rows in vectors.items()}
    seen = see(viewed(resolve("toy"), view), columns)
    names: dict[str, Any] = dict(vectors)
    exec(view_code(view, view.dims or 256), names)
    for name, column in seen.items():
        measured = column.block(0, len(vectors[name]))
        np.testing.assert_array_equal(names[name], measured, err_msg=name)
    if view.level == "int8":
        assert names["document_codes"].nbytes == 40 * (view.dims or 256)
        np.testing.assert_array_equal(
            names["to_vectors"](names["document_codes"]), names["documents"]
        )
    if view.level == "binary":
        assert names["document_bits"].nbytes == 40 * (view.dims or 256) // 8
        differing = np.unpackbits(names["query_bits"][:, None] ^ names["document_bits"], axis=2)
        agreement = (view.dims or 256) - 2 * differing.sum(axis=2).astype(np.int64)
        np.testing.assert_array_equal(agreement, names["queries"] @ names["documents"].T)
    if view.candidates:
        full = vectors["queries"][2, : view.dims] @ seen["documents"].block(0, 40).T
        rows = [3, 8, 1, 30, 12]
        assert names["rescored"](2, rows) == sorted(rows, key=lambda row: -full[row])


def test_the_whole_code_of_a_pick_runs_but_for_its_index(tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1, n_shared=24)
    record = record_of(
        choose(tmp_path / "mydata", "--quantize", "binary", "--json", names=("toy",))
    )
    code = record["code"]
    assert list(code)[:2] == ["kemb", "kemb [binary]"]
    names: dict[str, Any] = {}
    exec(code["kemb"] + code["kemb [binary]"], names)
    toy = open_model(resolve("toy"))
    plain = np.asarray(toy.encode([Input("", "", "문서")]))
    np.testing.assert_array_equal(names["documents"], np.where(plain > 0, 1, -1))


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
