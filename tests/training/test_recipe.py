"""Reading a recipe: what is wrong is said with its line, before any work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kemb.errors import UnknownName, UsageError
from kemb.training.arguments import PUBLISHED
from kemb.training.check import check_models, check_recipe
from kemb.training.losses import KINDS, n_negatives
from kemb.training.recipe import line_of, read_recipe, shipped_names

RECIPE = """recipe = 1
name = "mine"

[base]
kind = "hub"
id = "BAAI/bge-m3"

[[data]]
id = "first"
source = { file = "a.parquet" }
license = "MIT"

[[data]]
id = "second"
source = { file = "b.parquet" }
license = "MIT"

[loss]
name = "cached-mnrl"

[train]
batch = 64

[evaluate]
tasks = ["KorSTS"]
"""


def written(tmp_path: Path, *replacements: tuple[str, str]) -> Path:
    text = RECIPE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("batch = 64", "batchsize = 64", 22, "unknown key train.batchsize. Did you mean batch?"),
        (
            'id = "second"\n',
            'id = "second"\nlicence = "MIT"\n',
            15,
            "unknown key data[2].licence. Did you mean license?",
        ),
        ('license = "MIT"\n\n[loss]', "\n[loss]", 13, "data[2].license is missing"),
        (
            "batch = 64",
            "batch = 0",
            22,
            "train.batch should be greater than or equal to 1, given 0",
        ),
        (
            'kind = "hub"',
            'kind = "huub"',
            5,
            "base.kind should be 'hub', 'local', 'static' or 'kiwi-static'",
        ),
        ('id = "BAAI/bge-m3"\n', "", 4, "a base of kind 'hub' needs an id"),
        ("[train]", '[prompts]\nqueri = "a"\n[train]', 22, "Did you mean query?"),
        (
            "[train]",
            "[matryoshka]\ndims = [64, 128]\n[train]",
            21,
            "dims must fall, given [64, 128]",
        ),
        ("recipe = 1", "recipe = 2", 1, "recipe should be 1, given 2"),
        ('name = "mine"', 'name = "../mine"', 2, "name String should match pattern"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_line(
    old: str, new: str, line: int, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, (old, new))
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert f"{path}, line {line}: " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (
            "batch = 64",
            "batch = 64\naccumulate = 4",
            23,
            "gradient accumulation does not add negatives",
        ),
        ("batch = 64", 'precision = "fp16"', 22, "fp16 needs a GPU"),
        (
            'name = "cached-mnrl"',
            'name = "cachd-mnrl"',
            19,
            "unknown loss 'cachd-mnrl' for a dense model. Did you mean c",
        ),
        (
            'name = "cached-mnrl"',
            'name = "cached-mnrl"\ntemperature = 0.02',
            20,
            "has no temperature; it takes directions",
        ),
        ('name = "cached-mnrl"', 'name = "cached-gist"', 18, "needs a guide"),
        ('name = "cached-mnrl"', 'name = "mnrl"\nguide = "a/b"', 20, "the loss mnrl has no guide"),
        ('name = "cached-mnrl"', 'name = "embed-distill"', 18, "needs a teacher"),
        (
            'license = "MIT"\n\n[loss]',
            'license = "MIT"\nin_batch_negatives = false\n[loss]',
            17,
            "forbids",
        ),
        (
            'license = "MIT"\n\n[loss]',
            'license = "MIT"\nrole = "similarity"\n[loss]\nsimilarity = "mnrl"',
            19,
            "takes no scores",
        ),
        ('id = "second"', 'id = "first"', 9, "two sections of [[data]] have the id 'first'"),
        (
            'id = "BAAI/bge-m3"',
            'id = "a/b"\nfamily = "sparse"',
            20,
            "unknown loss 'cached-mnrl' for a sparse model",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_line(
    old: str, new: str, line: int, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, (old, new))
    file = read_recipe(path)
    with pytest.raises(UsageError) as caught:
        check_recipe(file, "cpu")
    assert words in str(caught.value)
    assert f"{path}, line {line}: " in str(caught.value)


def test_lines_are_found_through_comments_strings_and_dotted_keys() -> None:
    text = (
        '# a = 1\n[a.b]\nc.d = """\nc.e = 3\n"""\nc.f = [\n "x",\n]\n[[t]]\n[[t]]\n[t.u]\nv = 1\n'
    )
    assert line_of(text, ("a", "b", "c", "d")) == 3
    assert line_of(text, ("a", "b", "c", "e")) == 3
    assert line_of(text, ("a", "b", "c", "f", 0)) == 6
    assert line_of(text, ("t", 1, "u", "v")) == 12
    assert line_of(text, ("nothing",)) == 1


def test_unknown_recipes_are_offered_the_nearest_and_broken_files_say_why(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean static-ko"):
        read_recipe("static-k")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [", encoding="utf-8")
    with pytest.raises(UsageError, match="is not valid TOML"):
        read_recipe(broken)
    with pytest.raises(
        UsageError,
        match=r"absent.toml does not exist. Type the path .* bge-base-en, .*static-ko\.$",
    ):
        read_recipe(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match=r"folder.toml is a folder"):
        read_recipe(tmp_path / "folder.toml")
    broken.write_bytes("# \uac00".encode("cp949"))
    with pytest.raises(UsageError, match=r"is no UTF-8 text \(byte 2\)"):
        read_recipe(broken)


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_is_sound(name: str) -> None:
    from kemb import tasks
    from kemb.boards import benchmark

    file = read_recipe(name)
    assert file.recipe.name == name
    check_recipe(file, "cuda")
    for task in file.recipe.evaluate.tasks:
        assert task in [
            *tasks.names(),
            *benchmark.names(),
            "DocsKo",
        ]  # the last is a folder of the shared data


@pytest.mark.torch
@pytest.mark.shared
def test_the_arguments_of_the_published_card_are_all_mapped(shared_data: Path) -> None:
    pytest.importorskip("accelerate")
    import dataclasses

    from sentence_transformers import SentenceTransformerTrainingArguments

    card = (shared_data / "published" / "documents" / "bge-m3-ko-card-1.txt").read_text(
        encoding="utf-8"
    )
    listed = card[card.index("All Hyperparameters") : card.index("Citation\n")]
    assert set(re.findall(r"•\s+(\w+):", listed)) == PUBLISHED.keys()
    assert len(PUBLISHED) == 108
    installed = {field.name for field in dataclasses.fields(SentenceTransformerTrainingArguments)}
    still_there = {name for name in PUBLISHED if name in installed}
    assert {name for name, entry in PUBLISHED.items() if entry.fate == "kept"} == still_there - {
        "warmup_ratio"
    }
    for entry in PUBLISHED.values():
        if entry.fate == "renamed":
            assert entry.now.split(";")[0] in installed or entry.now.startswith("train."), entry


@pytest.mark.torch
def test_every_loss_exists_in_the_installed_library_and_takes_its_options() -> None:
    pytest.importorskip("sentence_transformers")
    import inspect

    from kemb.training.losses import _class

    for family, kinds in KINDS.items():
        for name, kind in kinds.items():
            known = {
                parameter
                for cls in (_class(family, kind.cls), _class(family, kind.inner or kind.cls))
                for parameter in inspect.signature(cls.__init__).parameters
            }
            assert set(kind.options.values()) <= known, (family, name)


def test_negatives_of_an_anchor_are_counted_per_device_unless_gathered() -> None:
    assert n_negatives(batch=32, n_hard=0, n_devices=1, gather=False) == 31
    assert n_negatives(batch=32, n_hard=5, n_devices=1, gather=False) == 191
    assert n_negatives(batch=32, n_hard=5, n_devices=8, gather=False) == 191
    assert n_negatives(batch=32, n_hard=5, n_devices=8, gather=True) == 1535


MINED = '[mine]\nteacher = {{ id = "{teacher}" }}\n{more}[evaluate]'


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("[evaluate]", MINED.format(teacher="nope", more=""), 25, "mine.teacher 'nope': Unknown"),
        ("[evaluate]", MINED.format(teacher="rrf(toy, bm25:bigram)", more=""), 25, "family fusion"),
        (
            "[evaluate]",
            MINED.format(teacher="toy", more='rerank = { id = "bm25:bigram" }\n'),
            26,
            "takes a cross-encoder",
        ),
        ('"KorSTS"]\n', '"KorSTS"]\nlexical = ["bm25:bigram", "nope"]\n', 26, "lexical 'nope'"),
        ('"KorSTS"]\n', '"KorSTS"]\nlexical = ["./nope"]\n', 26, "lexical './nope'"),
        ('"cached-mnrl"', '"embed-distill"\nteacher = "bm25:bigram"', 20, "has no vectors"),
    ],
)
def test_models_that_nobody_knows_or_that_do_not_fit_are_refused_before_any_work(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    file = read_recipe(written(tmp_path, (old, new)))
    with pytest.raises(UsageError) as caught:
        check_models(file)
    assert f"line {line}: " in str(caught.value)
    assert words in str(caught.value)


def test_models_of_the_hub_are_not_fetched_to_check_a_recipe(tmp_path: Path) -> None:
    teacher = MINED.format(teacher="org/nowhere", more="")
    lexical = '"KorSTS"]\nlexical = ["rrf(bm25:bigram, org/nowhere@main)"]\n'
    check_models(read_recipe(written(tmp_path, ("[evaluate]", teacher), ('"KorSTS"]\n', lexical))))
