"""[export] of a recipe: ONNX and int8 files, the gates they must pass, and what the card says of
them.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

pytest.importorskip("accelerate")
from kemb.adapters import onnx_export
from kemb.cli import cli
from kemb.encoding.store import Store
from kemb.errors import MissingExtra, UsageError
from kemb.models.model import ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.pipeline import train
from kemb.training.check import check_export
from kemb.training.export import from_json
from kemb.training.job import TrainOptions
from kemb.training.recipe import RecipeFile, read_recipe
from kemb.types import Input

pytestmark = pytest.mark.torch

LETTERS = [chr(0xAC00 + 28 * i) for i in range(200)]
"""Syllables that the tiny network knows."""
WRITES_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
onnx = pytest.mark.skipif(not WRITES_ONNX, reason='ONNX files need pip install "kemb[onnx]"')


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def recipe(folder: Path, base: str, more: str) -> RecipeFile:
    """A recipe of three steps on 32 pairs, evaluated on 40 other pairs."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(LETTERS, 3)) for _ in range(72)]
    table = {
        "anchor": [f"{word} 가" for word in words[:32]],
        "positive": [f"나 {word}" for word in words[:32]],
    }
    pq.write_table(pa.table(table), folder / "pairs.parquet")
    task = folder / "my-search"
    (task / "qrels").mkdir(parents=True)
    write(
        task / "corpus.jsonl",
        [{"_id": f"d{i}", "text": f"나 {word}"} for i, word in enumerate(words[32:])],
    )
    write(
        task / "queries.jsonl",
        [{"_id": f"q{i}", "text": f"{word} 가"} for i, word in enumerate(words[32:])],
    )
    lines = [f"q{i}\td{i}\t1" for i in range(40)]
    (task / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
    )
    path = folder / "recipe.toml"
    path.write_text(
        f"""recipe = 1
name = "tiny"
[base]
{base}
[[data]]
id = "pairs"
source = {{ file = "pairs.parquet" }}
license = "CC0-1.0"
[train]
batch = 8
max_steps = 3
[evaluate]
tasks = ["my-search"]
guard = {{ decision = "none" }}
[export]
{more}
""",
        encoding="utf-8",
    )
    return read_recipe(path)


def options(tmp_path: Path) -> TrainOptions:
    return TrainOptions(tmp_path / "run", Store(tmp_path / "store"))


def local(base: Path) -> str:
    return f'kind = "local"\nid = "{base}"'


@onnx
def test_files_that_pass_lie_beside_the_weights_and_stand_on_card_and_board(
    tiny_st: Path, tmp_path: Path
) -> None:
    made = recipe(
        tmp_path, local(tiny_st), 'formats = ["safetensors", "onnx", "int8"]\ntolerance = 50'
    )
    outcome = train(made, options(tmp_path))
    out = outcome.model_dir
    assert out is not None
    whole, int8 = from_json(outcome.stages[-1].report)
    assert [stage.name for stage in outcome.stages][-2:] == ["proof", "export"]
    assert sorted(path.name for path in (out / "onnx").iterdir()) == [
        "model.onnx",
        "model_int8.onnx",
    ]
    assert (whole.problem, int8.problem) == ("", "")
    assert (whole.n_bytes, int8.n_bytes) == tuple(
        (out / file.file).stat().st_size for file in (whole, int8)
    )
    assert whole.parity.max_difference < 1e-6 < int8.parity.max_difference
    assert whole.parity.n_texts == 80
    assert [line.task for line in int8.quality] == ["my-search"]
    torch, of_file = (
        np.asarray(
            open_model(resolve(str(out), setting)).encode(
                [Input("", "", "가갸 거겨"), Input("", "", "나")]
            )
        )
        for setting in (ModelOptions(device="cpu"), ModelOptions(backend="onnx"))
    )
    assert np.abs(torch - of_file).max() < 1e-5
    card = (out / "README.md").read_text(encoding="utf-8")
    files = card[card.index("## Files") : card.index("<!-- kemb:training:end -->")]
    assert "| `onnx/model.onnx` |" in files
    assert "same vectors | kept |" in files
    assert f"my-search {int8.quality[0].difference * 100:+.2f} | kept |" in files
    (variant,) = outcome.results_dir.glob(
        "local__tiny/*/experiments/backend_onnx-model_int8.onnx-*/my-search.json"
    )
    scores = [
        json.loads(path.read_text())["scores"]["test"][0]["main_score"]
        for path in (variant, *(outcome.results_dir.glob("local__tiny/*/my-search.json")))
    ]
    assert scores[0] - scores[1] == pytest.approx(int8.quality[0].difference)
    again = train(made, options(tmp_path))
    assert all(stage.was_there for stage in again.stages)
    assert (out / "onnx" / "model.onnx").is_file()


@onnx
def test_files_that_fail_are_left_out_and_it_is_said(
    tiny_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "write_int8", write_spoilt)
    more = 'formats = ["safetensors", "onnx", "int8"]\nmax_difference = 1e-12\nmin_cosine = -1'
    made = recipe(tmp_path, local(tiny_st), more)
    command = [
        "train",
        str(made.path),
        "-o",
        str(tmp_path / "run"),
        "--store",
        str(tmp_path / "store"),
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1, done.output
    assert "onnx/model.onnx" in done.output
    assert "LEFT OUT: numbers differ from torch's by" in done.output
    assert (
        "LEFT OUT: it may score below torch by more than the tolerance of 1 (my-search: lowest "
        "plausible" in done.output
    )
    assert "or take the format out of export.formats" in done.output
    out = tmp_path / "run" / "tiny"
    assert (out / "model.safetensors").is_file()
    assert not (out / "onnx").exists()
    assert not list(tmp_path.glob("run/stages/export-*/**/*.onnx"))
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| left out: numbers differ from torch" in card


def write_spoilt(source: Path, path: Path) -> None:
    """A network with noise on its weights."""
    import onnx
    from onnx.numpy_helper import from_array, to_array

    network, random = onnx.load(source), np.random.default_rng(0)
    for weight in network.graph.initializer:
        values = to_array(weight)
        if values.dtype == np.float32 and values.ndim == 2:
            noise = random.normal(size=values.shape).astype(np.float32)
            weight.CopyFrom(from_array(values + noise, weight.name))
    onnx.save(network, path)


@onnx
def test_a_file_that_is_far_from_torch_is_left_out(
    tiny_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "write_int8", write_spoilt)
    made = recipe(tmp_path, local(tiny_st), 'formats = ["safetensors", "int8"]\ntolerance = 50')
    (found,) = from_json(train(made, options(tmp_path)).stages[-1].report)
    assert found.file == "onnx/model_int8.onnx"
    assert re.fullmatch(
        r"the cosine with torch's vector falls to -?0\.\d+, below 0\.9", found.problem
    )


def test_a_static_model_is_marked_as_not_applicable(tmp_path: Path) -> None:
    base = 'kind = "static"\ndim = 16\ntokenizer = { vocab = 300 }'
    outcome = train(recipe(tmp_path, base, ""), options(tmp_path))
    assert outcome.model_dir is not None
    card = (outcome.model_dir / "README.md").read_text(encoding="utf-8")
    assert "ONNX and int8 are not applicable: a static model is a table of word vectors" in card
    (tmp_path / "second").mkdir()
    made = recipe(
        tmp_path / "second", local(outcome.model_dir), 'formats = ["safetensors", "onnx"]'
    )
    with pytest.raises(
        UsageError, match=r"line 17: onnx is not applicable: a static model is a table"
    ):
        train(made, options(tmp_path / "second"))
    assert not (tmp_path / "second" / "run").exists()


@pytest.mark.parametrize(
    ("base", "line", "says"),
    [
        (
            'kind = "static"',
            16,
            r"onnx and int8 are not applicable: a static model .*Type formats = \[",
        ),
        (
            'kind = "hub"\nid = "a/b"\nfamily = "sparse"',
            18,
            "onnx and int8 are not applicable: ONNX files are written of dense models",
        ),
    ],
)
def test_formats_that_a_model_cannot_have_are_refused(
    base: str, line: int, says: str, tmp_path: Path
) -> None:
    made = recipe(tmp_path, base, 'formats = ["safetensors", "onnx", "int8"]')
    with pytest.raises(UsageError, match=rf"line {line}: {says}"):
        check_export(made, None)


@pytest.mark.parametrize("formats", ['["onnx"]', '["safetensors", "onnx", "onnx"]'])
def test_formats_hold_the_model_itself_and_each_once(formats: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r'line 16: export formats must hold "safetensors", the model itself'
    ):
        recipe(tmp_path, 'kind = "hub"\nid = "a/b"', f"formats = {formats}")


def test_a_missing_package_is_said_before_any_work(
    tiny_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(tmp_path, local(tiny_st), 'formats = ["safetensors", "onnx"]')
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r'Writing ONNX files needs .*pip install "kemb\[onnx\]"'
    ):
        check_export(made, None)
