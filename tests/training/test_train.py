"""Recipes through the whole pipeline on small static models: determinism, resume, guards, proof."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytest.importorskip("accelerate")
from kemb.encoding.store import Store
from kemb.errors import FetchError, ModelError, UsageError
from kemb.pipeline import train
from kemb.training.job import TrainOptions
from kemb.training.plan import plan
from kemb.training.recipe import read_recipe

pytestmark = pytest.mark.torch

WHO = "아버지가 어머니가 동생이 친구가 선생님이 할머니가 이웃이 사장이".split()
WHO += "의사가 기자가 농부가 학생이 군인이 가수가 화가가".split()
WHAT = "사과를 편지를 자전거를 우산을 그림을 가방을 신문을 시계를 모자를 의자를".split()
DID = [
    ("샀다", "구입했다"),
    ("버렸다", "내던졌다"),
    ("찾았다", "발견했다"),
    ("빌렸다", "얻어 썼다"),
]

SCORED = """[[data]]
id = "scored"
source = { file = "scored.parquet" }
columns = { score = "score" }
role = "similarity"
license = "CC0-1.0"
"""

RECIPE = (
    """
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
"""
    + SCORED
    + """[matryoshka]
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
)


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe with 450 pairs, and a retrieval task of 150 other pairs."""
    made = tmp_path / "recipe"
    made.mkdir()
    pairs = [(f"{a} {b} {c}", f"{b} {a} {d}") for a in WHO for b in WHAT for c, d in DID]
    order = np.random.default_rng(0).permutation(len(pairs)).tolist()
    train_pairs, test = [pairs[i] for i in order[:450]], [pairs[i] for i in order[450:]]
    table = pa.table(
        {"anchor": [a for a, _ in train_pairs], "positive": [b for _, b in train_pairs]}
    )
    pq.write_table(table, made / "pairs.parquet")
    halves = [(f"{a} 오늘", f"{b} 오늘", 5.0) for a, b in train_pairs[:48]]
    halves += [(a, f"{train_pairs[i + 60][1]} 오늘", 1.0) for i, (a, _, _) in enumerate(halves)]
    scored = {
        name: [row[i] for row in halves] for i, name in enumerate(("anchor", "positive", "score"))
    }
    pq.write_table(pa.table(scored), made / "scored.parquet")
    task = made / "my-search"
    (task / "qrels").mkdir(parents=True)
    write(
        task / "corpus.jsonl", [{"_id": f"d{i}", "text": text} for i, (_, text) in enumerate(test)]
    )
    write(
        task / "queries.jsonl", [{"_id": f"q{i}", "text": text} for i, (text, _) in enumerate(test)]
    )
    lines = [f"q{i}\td{i}\t1" for i in range(len(test))]
    (task / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
    )
    (made / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return made


def mislead(folder: Path) -> None:
    """Give every anchor another's positive, and swap high and low scores."""
    table = pq.read_table(folder / "pairs.parquet")
    wrong = table.set_column(1, "positive", pa.array(table["positive"].to_pylist()[::-1]))
    pq.write_table(wrong, folder / "pairs.parquet")
    scored = pq.read_table(folder / "scored.parquet")
    swapped = pa.array([6 - score for score in scored["score"].to_pylist()])
    pq.write_table(scored.set_column(2, "score", swapped), folder / "scored.parquet")


def options(tmp_path: Path, name: str = "run", resume: bool = False) -> TrainOptions:
    return TrainOptions(tmp_path / name, Store(tmp_path / "store"), resume=resume)


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


def test_one_command_trains_proves_and_exports_and_a_rerun_does_nothing(
    folder: Path, tmp_path: Path
) -> None:
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


def test_a_changed_value_makes_only_the_stages_that_depend_on_it(
    folder: Path, tmp_path: Path
) -> None:
    train(read_recipe(folder / "recipe.toml"), options(tmp_path))
    outcome = train(read_recipe(changed(folder, ("lr = 0.05", "lr = 0.04"))), options(tmp_path))
    assert {stage.name: stage.was_there for stage in outcome.stages} == {
        "data": True,
        "filter": True,
        "base": True,
        "fit": False,
        "proof": False,
    }


def kill_in_step(
    step: int, recipe: Path, run_dir: Path, store: Path
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(recipe), str(run_dir), str(store), str(step)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_killed_fit_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    whole = train(read_recipe(folder / "recipe.toml"), options(tmp_path, "whole"))
    run_dir = tmp_path / "killed"
    killed = kill_in_step(23, folder / "recipe.toml", run_dir, tmp_path / "store")
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
from kemb.training.job import Quiet, TrainOptions
from kemb.encoding.store import Store
from kemb.training.recipe import read_recipe

class Killer(Quiet):
    def step(self, number, total, loss):
        if number == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

train(read_recipe(sys.argv[1]), TrainOptions(Path(sys.argv[2]), Store(Path(sys.argv[3]))), Killer())
"""


def test_a_text_without_a_vector_stops_before_it_destroys_the_weights(
    folder: Path, tmp_path: Path
) -> None:
    """The silent NaN: a text of zero rows, normalised twice, turns every row into NaN in the first
    step.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    from kemb.training import bases
    from kemb.training.recipe import TokenizerSection

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
    keeping = ("[train]", '[filters]\nempty_vector = "keep"\n[train]')
    path = changed(
        folder,
        (SCORED, ""),
        keeping,
        (static_base, 'kind = "local"\nid = "zeros"'),
        (prompts, 'query = ""'),
    )
    with pytest.raises(ModelError, match=r"no vector, or one of zeros: '어머나'\.") as caught:
        train(read_recipe(path), options(tmp_path))
    assert "Step 1 gave numbers that are not finite" in str(caught.value)


def test_a_dry_run_counts_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    found = plan(read_recipe(folder / "recipe.toml"), options(tmp_path))
    assert found.n_rows == {"pairs": 445, "scored": 96}  # five pairs are nearly those of the task
    assert found.n_steps == 3 * (14 + 3)
    assert found.n_negatives == {"pairs": 31}
    assert found.n_parameters == 300 * 32
    assert not (tmp_path / "run").exists()


def test_a_dry_run_times_steps_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile
    import time

    from click.testing import CliRunner

    from kemb.cli import train as cli_train
    from kemb.training import guards
    from kemb.training import plan as planning

    before = guards.Watch.before_step

    def slow(watch: guards.Watch, step: int) -> None:
        time.sleep(0.05)
        before(watch, step)

    monkeypatch.setattr(guards.Watch, "before_step", slow)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    command = [str(folder / "recipe.toml"), "--dry-run", "-o", str(tmp_path / "run")]
    said = CliRunner().invoke(cli_train.train, command, catch_exceptions=False).output
    assert re.search(
        r"The fit will take about \d+ s, by 5 timed steps of "
        r"(0\.0[5-9]|0\.[1-9]\d|[1-9]\d*\.\d\d) s; the memory",
        said,
    )
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == []
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(planning, "LIMIT_SECONDS", 0.0)
    found = plan(read_recipe(folder / "recipe.toml"), options(tmp_path), timed=True).timing
    assert found is not None
    assert found.n_timed == 1
    monkeypatch.setattr(planning, "free_gb", lambda device: 1e-5)
    tight = plan(read_recipe(folder / "recipe.toml"), options(tmp_path), timed=True)
    assert (tight.timing, tight.untimed) == (
        None,
        "0.0 GB and the activations are needed, 0.0 GB are free",
    )
    mined = plan(
        read_recipe(changed(folder, ("[train]", MINE + "[train]"))), options(tmp_path), timed=True
    )
    assert (mined.timing, mined.untimed) == (None, "the negatives are mined first")
    shared = plan(
        read_recipe(changed(folder, ("batch = 32", "processes = 2"))), options(tmp_path), timed=True
    )
    assert (shared.timing, shared.untimed) == (None, "2 processes make each of them")


def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no interrupted fit"):
        train(read_recipe(folder / "recipe.toml"), options(tmp_path, resume=True))
    assert not (tmp_path / "run").exists()
    kill_in_step(23, folder / "recipe.toml", tmp_path / "run", tmp_path / "store")
    path = changed(folder, ("lr = 0.05", "lr = 0.04"))
    line = path.read_text(encoding="utf-8").splitlines().index("lr = 0.04") + 1
    with pytest.raises(
        UsageError,
        match=rf"changed.toml, line {line}: the checkpoint in .* recipe.train.lr changed",
    ):
        train(read_recipe(path), options(tmp_path, resume=True))


def test_a_task_that_is_the_training_data_is_refused(folder: Path, tmp_path: Path) -> None:
    rows = pq.read_table(folder / "pairs.parquet").to_pylist()
    queries = [
        {"_id": f"q{i}", "text": rows[i]["anchor"] if i % 2 else f"다른 {i}"} for i in range(150)
    ]
    write(folder / "my-search" / "queries.jsonl", queries)
    for work in (train, plan):
        with pytest.raises(
            UsageError, match=r"line \d+: 50% of the items of my-search \(test\) stand"
        ):
            work(read_recipe(folder / "recipe.toml"), options(tmp_path))


def test_a_base_that_is_not_here_is_to_be_named_in_the_recipe(folder: Path, tmp_path: Path) -> None:
    path = changed(
        folder,
        ('kind = "static"\ndim = 32\ntokenizer = { vocab = 300 }', 'kind = "hub"\nid = "org/none"'),
    )
    with pytest.raises(
        FetchError,
        match=r'hf download org/none --local-dir DIR`, .* kind = "local", id = "DIR" under',
    ):
        plan(read_recipe(path), options(tmp_path))


def test_data_that_cannot_be_read_is_refused_with_its_line(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "pairs.parquet")
    pq.write_table(table.rename_columns(["anchor", "answer"]), folder / "pairs-2.parquet")
    path = changed(folder, ('file = "pairs.parquet"', f'file = "{folder}/pairs*.parquet"'))
    line = next(
        n
        for n, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "pairs*" in text
    )
    with pytest.raises(
        UsageError,
        match=rf"line {line}: the data pairs: .*pairs-2.parquet has no column 'positive'",
    ):
        train(read_recipe(path), options(tmp_path))
    (folder / "pairs-2.parquet").unlink()
    assert (
        plan(read_recipe(path), options(tmp_path)).n_rows["pairs"] == 445
    )  # an absolute pattern finds the same


def test_a_batch_that_the_data_cannot_fill_is_refused_before_anything_is_mined(
    folder: Path, tmp_path: Path
) -> None:
    mining = '[mine]\nteacher = { id = "bm25:bigram" }\n[train]'
    path = changed(folder, ("batch = 32", "batch = 4096"), ("[train]", mining))
    with pytest.raises(
        UsageError,
        match=r"line \d+: a batch of 4096 rows is larger than the \d+ different positives",
    ):
        train(read_recipe(path), options(tmp_path))
    made = sorted(stage.name.partition("-")[0] for stage in (tmp_path / "run" / "stages").iterdir())
    assert made == ["data", "filter"]


def test_what_is_forgotten_fails_the_run_and_a_merge_may_save_it(
    folder: Path, tmp_path: Path
) -> None:
    """Trained on wrong pairs, the model loses; mixed with 99.9 % of its base it does not."""
    mislead(folder)
    (folder / "recipe.toml").write_text(
        RECIPE.replace("tolerance = 5", "tolerance = 1"), encoding="utf-8"
    )
    lost = train(read_recipe(folder / "recipe.toml"), options(tmp_path))
    assert not lost.proof.passed
    assert lost.model_dir is None
    (line,) = lost.proof.guard
    assert line.low is not None
    assert line.low * 100 < -1
    saved = train(
        read_recipe(changed(folder, ("[evaluate]", "[merge]\nweight = 0.001\n[evaluate]"))),
        options(tmp_path),
    )
    assert saved.merged
    assert saved.proof.passed
    assert saved.model_dir is not None
    assert [stage.name for stage in saved.stages if not stage.was_there] == [
        "merge",
        "proof-merged",
    ]


def test_merging_is_the_weighted_mean_of_all_weights(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from kemb.training import bases
    from kemb.training.export import merge

    recipe = read_recipe(folder / "recipe.toml").recipe
    for seed in (1, 2):
        bases.make_static(recipe.base, ["사과를 샀다"], seed, recipe.prompts, tmp_path / str(seed))
    merge(recipe, tmp_path / "1", tmp_path / "2", 0.25, tmp_path / "mixed")
    one, two, mixed = (
        load_file(tmp_path / name / "model.safetensors")["embedding.weight"]
        for name in ("1", "2", "mixed")
    )
    np.testing.assert_allclose(mixed, 0.75 * one + 0.25 * two, rtol=1e-6)


def test_the_command_exits_with_1_when_something_was_forgotten(
    folder: Path, tmp_path: Path
) -> None:
    mislead(folder)
    command = [
        sys.executable,
        "-m",
        "kemb",
        "train",
        str(folder / "recipe.toml"),
        "-o",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "my-search: FORGOTTEN" in done.stdout
    assert "every anchor is compared with 31 negatives" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("family", "loss", "first"),
    [
        ("dense", 'name = "mnrl"', "local/tiny-base"),
        ("cross-encoder", 'name = "bce"', "bm25:bigram"),
        (
            "sparse",
            'name = "splade"\ndocument_weight = 3e-5\nquery_weight = 5e-5',
            "local/tiny-base",
        ),
        ("multi-vector", 'name = "mnrl"', "local/tiny-base"),
    ],
)
def test_every_family_goes_the_whole_way(
    family: str,
    loss: str,
    first: str,
    folder: Path,
    tiny_transformer: Path,
    tiny_mlm: Path,
    tmp_path: Path,
) -> None:
    from kemb.audit import audit

    base = tiny_mlm if family == "sparse" else tiny_transformer
    pooling = '\npooling = "mean"' if family == "dense" else ""
    path = changed(
        folder,
        (
            'kind = "static"\ndim = 32\ntokenizer = { vocab = 300 }',
            f'kind = "local"\nid = "{base}"\nfamily = "{family}"{pooling}',
        ),
        ('[prompts]\nquery = "질문: "\ndocument = "문서: "\n', ""),
        (SCORED, ""),
        ("[matryoshka]\ndims = [32, 16]\n", f"[loss]\n{loss}\n"),
        ("epochs = 3\nlr = 0.05", "max_steps = 3\nlr = 1e-4"),
        ("[evaluate]", "[dev]\nshare = 0.1\nevery = 2\n[evaluate]"),
        ("guard = { tolerance = 5 }", 'guard = { decision = "none" }\n[card]\nown_data = true'),
    )
    outcome = train(read_recipe(path), options(tmp_path))
    comparison = outcome.proof.comparison
    assert comparison.a.model == first
    assert [cell.n_items for cell in comparison.cells] == [150]
    dev = next(stage for stage in outcome.stages if stage.name == "fit").report["dev"]
    assert dev["before"].keys() == {"dev", "dev.held-out.pairs"}
    assert [step for step, _ in dev["curve"]] == [2, 3]
    assert outcome.model_dir is not None
    found = audit([outcome.model_dir / "README.md"])
    assert found.findings == []
    assert found.n_entries == 1


MINE = """[mine]
teacher = { id = "bm25:bigram" }
rank = { min = 0, max = 100 }
margin = {}
negatives = 2
"""


def test_mined_negatives_reach_the_fit_and_scored_rows_need_none(
    folder: Path, tmp_path: Path
) -> None:
    from kemb.pipeline import mine

    path = changed(folder, ("[train]", MINE + "[train]"))
    stage = mine(read_recipe(path), options(tmp_path))
    table = pq.read_table(stage.folder / "pairs.parquet")
    rows = table.filter(pc.equal(table["source"], "pairs")).to_pylist()
    assert len(rows) == 445
    for row in rows:
        assert row["positive"] not in (row["negative_1"], row["negative_2"])
        assert row["negative_1"] != row["negative_2"]
    assert table.num_rows == 445 + 96
    planned = plan(read_recipe(path), options(tmp_path))
    assert (planned.n_mined, planned.n_negatives) == (2 * 445, {"pairs": 32 * 3 - 1})
    assert plan(read_recipe(path), options(tmp_path, name="elsewhere")).n_mined is None
    outcome = train(read_recipe(path), options(tmp_path))
    assert [s.name for s in outcome.stages] == ["data", "filter", "mine", "base", "fit", "proof"]
    fit = next(s for s in outcome.stages if s.name == "fit")
    assert fit.report["n_negatives"] == {"pairs": 32 * 3 - 1}
    assert outcome.model_dir is not None
    card = (outcome.model_dir / "README.md").read_text(encoding="utf-8")
    section = card[card.index("## Mined negatives") :].partition("\n## ")[0]
    assert "| Rows by their negatives | 2: 445 |" in section
    assert "{" not in section


def test_mine_without_a_section_says_so(folder: Path, tmp_path: Path) -> None:
    from kemb.pipeline import mine

    with pytest.raises(UsageError, match=r"has no \[mine\] section"):
        mine(read_recipe(folder / "recipe.toml"), options(tmp_path))


def test_the_mine_command_probes_groups(folder: Path, tmp_path: Path) -> None:
    """With top ranks and no margin, the other texts of a group are taken for negatives."""
    groups = [
        {"group": f"g{i}", "text": f"{a} {b} {end}"}
        for i, (a, b) in enumerate(zip(WHO, WHAT * 2, strict=False))
        for end in ("샀다", "사 왔다", "사 갔다", "사 두었다")
    ]
    write(tmp_path / "groups.jsonl", groups)
    path = changed(folder, ("[train]", MINE + 'sampling = "top"\n[train]'))
    command = [
        sys.executable,
        "-m",
        "kemb",
        "mine",
        str(path),
        "--probe",
        str(tmp_path / "groups.jsonl"),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["n_negatives"] == 30
    assert report["rate"] == report["n_false"] / 30
    assert report["rate"] > 0.9


@pytest.mark.shared
@pytest.mark.slow
def test_static_ko_beats_its_untrained_self_on_real_data(shared_data: Path, tmp_path: Path) -> None:
    """Half a minute: the numbers of docs/train.md, with room for other versions of libraries."""
    outcome = train(
        read_recipe("static-ko"),
        TrainOptions(tmp_path / "run", Store(tmp_path / "store"), shared_data / "packs"),
    )
    cells = {cell.title: cell for cell in outcome.proof.comparison.cells}
    assert cells["KorSTS"].scores[1] == pytest.approx(0.617, abs=0.02)
    assert cells["DocsKo"].scores[1] > 0.25
    assert cells["DocsKo"].p is not None
    assert cells["DocsKo"].p < 0.001
    assert outcome.proof.lexical["bm25:bigram"]["DocsKo"] == pytest.approx(0.443, abs=0.005)
    assert outcome.model_dir is not None
    assert "| KorSTS | test | 1,376 | 170 |" in (outcome.model_dir / "CONTAMINATION.md").read_text(
        encoding="utf-8"
    )


CONTAMINATED = """
recipe = 1
name = "leaky"
[base]
kind = "static"
dim = 32
tokenizer = { vocab = 2000 }
[[data]]
id = "korsts"
source = { file = "KorSTS/train.parquet" }
columns = { anchor = "sentence1", positive = "sentence2", score = "score" }
role = "similarity"
license = "CC-BY-SA-4.0"
[filters.contamination]
against = []
levels = { exact = "report", near = { action = "ignore" }, containment = { action = "ignore" } }
[train]
batch = 128
max_steps = 20
lr = 0.05
[evaluate]
tasks = ["KorSTS"]
guard = { decision = "none" }
"""


@pytest.mark.shared
def test_scores_on_all_and_on_clean_items_reach_the_card(shared_data: Path, tmp_path: Path) -> None:
    """170 of KorSTS' test rows have a sentence that stands in its training rows, which are kept
    here.
    """
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    from kemb.training.shingles import normal_form

    packs = shared_data / "packs"
    (tmp_path / "leaky.toml").write_text(CONTAMINATED, encoding="utf-8")
    where = TrainOptions(tmp_path / "run", Store(tmp_path / "store"), packs)
    outcome = train(read_recipe(tmp_path / "leaky.toml"), where)
    assert outcome.model_dir is not None
    trained, test = (
        pq.read_table(packs / "KorSTS" / f"{split}.parquet") for split in ("train", "test")
    )
    names = ("sentence1", "sentence2")
    known = {normal_form(text) for name in names for text in trained[name].to_pylist()}
    left, right = (test[name].to_pylist() for name in names)
    clean = np.array(
        [not known & {normal_form(a), normal_form(b)} for a, b in zip(left, right, strict=True)]
    )
    assert (len(clean), int(clean.sum())) == (1376, 1376 - 170)
    model = SentenceTransformer(str(outcome.model_dir), device="cpu")
    one, two = (model.encode(texts, normalize_embeddings=True) for texts in (left, right))
    cosine, gold = (one * two).sum(axis=1), test["score"].to_numpy()
    full, without = (
        spearmanr(cosine[rows], gold[rows]).statistic for rows in (clean | True, clean)
    )
    row = f"| KorSTS (test) | {full * 100:.2f} | 1,376 | {without * 100:.2f} | 1,206 |"
    assert row in (outcome.model_dir / "README.md").read_text(encoding="utf-8")
