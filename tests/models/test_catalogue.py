"""The known models: every file fits, every published name is found, nothing else is."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import kemb.models
import kemb.tasks
from kemb.errors import UnknownName, UsageError
from kemb.models.catalogue import accepted_names, load_spec, names, profiles, read_spec, slug
from kemb.models.families import LOADERS
from kemb.models.prompts import build_prompts, read_prompts_file, rules_for
from kemb.models.spec import ModelSpec

KNOWN = sorted((Path(kemb.models.__file__).parent / "known").glob("*.toml"))
TASKS = [
    str(tomllib.loads(path.read_text(encoding="utf-8"))["name"])
    for path in Path(kemb.tasks.__file__).parent.glob("known/*.toml")
]


@pytest.mark.parametrize("path", KNOWN, ids=lambda path: path.stem)
def test_every_file_fits(path: Path) -> None:
    spec = read_spec(path)
    assert path.stem == slug(spec.name)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", path.stem)
    assert spec.revision is None or re.fullmatch(r"[0-9a-f]{40}", spec.revision)
    assert spec.prompt_source or LOADERS[spec.loader].cannot_run
    assert spec.loader != "transformers" or spec.pooling, "pooling is never guessed"
    build_prompts(spec, None, None, TASKS)
    assert load_spec(spec.name) == spec


def test_names_are_unique_in_every_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counter(name.lower() for name in accepted_names())
    assert [name for name, n in counts.items() if n > 1] == []
    assert len(names()) == len(KNOWN)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", accepted_names())
def test_every_accepted_name_loads(name: str) -> None:
    assert load_spec(name) is not None
    assert load_spec(name.upper()) == load_spec(name)


def test_short_names_and_aliases() -> None:
    for given, full in {
        "bge-m3": "BAAI/bge-m3",
        "baai/BGE-M3": "BAAI/bge-m3",
        "BGE-m3-ko": "dragonkue/BGE-m3-ko",
        "openai ada 002": "openai/text-embedding-ada-002",
        "KU-HIAI-ONTHEIT-large-v1.1": "KU-HIAI-ONTHEIT/ontheit-large-v1_1",
        "BM25:Kiwi": "bm25:kiwi",
    }.items():
        spec = load_spec(given)
        assert spec is not None
        assert spec.name == full


@pytest.mark.parametrize(
    "name",
    ["", "no/such-model", "../spec", "baai__bge-m3/../toy", "/etc/passwd", "*", "m3", "BAAI"],
)
def test_other_names_are_unknown(name: str) -> None:
    assert load_spec(name) is None


def test_near_names_are_offered() -> None:
    error = UnknownName("model", "bge-m3-koo", accepted_names(), "")
    assert "BGE-m3-ko" in str(error)


def test_a_row_variant_takes_the_rest_from_its_hub_model(tmp_path: Path) -> None:
    base = load_spec("BAAI/bge-multilingual-gemma2")
    variant = load_spec("BAAI/bge-multilingual-gemma2-fp16")
    assert base is not None
    assert variant is not None
    assert (variant.hub, variant.dtype, base.dtype) == (
        "BAAI/bge-multilingual-gemma2",
        "float16",
        None,
    )
    same = {"name", "hub", "dtype"}
    assert variant.model_dump(exclude=same) == base.model_dump(exclude=same)
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\nhub = "BAAI/bge-m3"\nmax_tokens = 512\n', encoding="utf-8")
    spec = read_spec(mine)
    assert (spec.name, spec.max_tokens, spec.pooling, spec.dim) == ("mine", 512, "cls", 1024)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a/b"\npoolin = "cls"', "key 'poolin'.*Known keys"),
        ('name = "a/b"\npooling = "max"', "key 'pooling'.*'mean', 'cls' or 'last'.*given 'max'"),
        ("dim = 3", "key 'name'"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_broken_file_is_named_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "model.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"model\.toml.*{message}"):
        read_spec(path)


def test_models_that_cannot_run_say_why() -> None:
    for name in ("kanana-nano-2.1b-embedding-fp16", "instructor-xl"):
        spec = load_spec(name)
        assert spec is not None
        assert LOADERS[spec.loader].cannot_run.endswith(".")


def test_profiles_fit_their_models() -> None:
    assert set(profiles()) == {"ko-leaderboard", "korean-instruction", "mteb", "none"}
    for path in profiles().values():
        file = read_prompts_file(path)
        assert file.name == path.stem
        for model in file.models:
            spec = load_spec(model)
            assert spec is not None
            assert spec.name == model
            build_prompts(spec, rules_for(file, model), None, TASKS)


def model_column(path: Path) -> list[tuple[str, dict[str, object]]]:
    table = json.loads(path.read_text(encoding="utf-8"))
    columns = table.get("columns", []) if isinstance(table, dict) else []
    if not columns or columns[0].lower() not in ("model", "model name"):
        return []
    return [(row[0], dict(zip(columns, row, strict=True))) for row in table["rows"]]


@pytest.mark.shared
def test_every_published_model_is_known(shared_data: Path) -> None:
    """All names of all published tables, and the dimensions those tables state."""
    found: dict[str, ModelSpec | None] = {}
    for path in sorted((shared_data / "published").glob("*.json")):
        for name, cells in model_column(path):
            found[name] = spec = load_spec(name)
            dimension = cells.get("Dimension", cells.get("Embedding dimension"))
            if spec is not None and dimension is not None:
                assert spec.dim == dimension, name
    assert [name for name, spec in found.items() if spec is None] == []
    assert len(found) == 86
    variants = [name for name in found if name.endswith(("-fp16", "-bf16"))]
    assert len(variants) == 5
    for name in variants:
        spec = found[name]
        assert spec is not None
        assert spec.hub == name[:-5]
        assert spec.dtype == {"fp16": "float16", "bf16": "bfloat16"}[name[-4:]]
