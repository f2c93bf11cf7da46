"""Model cards: the numbers of the results, the author's text kept, nothing that kemb's own audit
objects to.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard, metadata_load

from kemb import demo
from kemb.adapters.documents import read_document
from kemb.adapters.published import card_rows
from kemb.audit import audit
from kemb.boards import build_board
from kemb.boards.benchmark import of_tasks
from kemb.cli import cli
from kemb.encoding.store import Store
from kemb.errors import DataError, UsageError
from kemb.models.identity import content_hash
from kemb.publishing.card.body import part_scores
from kemb.publishing.card.card import BEGIN, END, CardOptions, make_card
from kemb.publishing.card.metadata import merged_index
from kemb.results.claims import read_all
from kemb.results.files import TaskResult, read_result, read_results

TASKS = ["KoMiniNLI", "KoMiniRetrieval", "KoMiniSTS", "KoMiniTopics"]


def kemb(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models on the mini benchmark."""
    folder = tmp_path_factory.mktemp("card") / "results"
    models = [
        argument for name in ("toy", "tfidf:char", "bm25:bigram") for argument in ("-m", name)
    ]
    done = kemb("run", *demo.task_folders(), *models, "--results", folder)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def minilm_results(
    minilm: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory, shared_store: Path
) -> Path:
    """A real model on two real tasks, from its folder."""
    from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
    from kemb.models.resolve import resolve

    folder = tmp_path_factory.mktemp("card-minilm") / "results"
    tasks = [load_task(name, shared_data / "packs") for name in ("KorSTS", "KLUE-NLI")]
    outcomes = evaluate(
        tasks, [resolve(str(minilm))], RunOptions(folder, Store(shared_store), command="kemb run")
    )
    assert [outcome.message for outcome in outcomes if outcome.status == "failed"] == []
    return folder


def numbers(results: Path, model: str) -> dict[str, float]:
    return {
        r.task: r.main_score for r in read_results(results) if r.model == model and not r.variant
    }


def test_a_card_states_the_results_and_passes_the_audit(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    done = kemb("card", "tfidf:char", "--results", results, "-o", path)
    assert done.exit_code == 0, done.output
    expected = numbers(results, "tfidf:char")
    assert sorted(expected) == TASKS
    front: dict[str, Any] = metadata_load(path) or {}
    (model,) = front["model-index"]
    stated = {
        entry["dataset"]["name"]: {m["type"]: m["value"] for m in entry["metrics"]}
        for entry in model["results"]
    }
    assert {
        name.removesuffix(" (default)"): found["main_score"] for name, found in stated.items()
    } == expected
    assert stated["KoMiniRetrieval (default)"]["ndcg_at_10"] == expected["KoMiniRetrieval"]
    assert front["language"] == ["ko"]
    assert not any(
        "verified" in metric for entry in model["results"] for metric in entry["metrics"]
    )
    ModelCard(path.read_text(encoding="utf-8"))  # the hub's own reader takes it
    table = next(
        t for t in read_document(path).tables if t.columns[0] == "Task" and "Score" in t.columns
    )
    for row in table.rows:
        assert row[5].text == f"{expected[row[0].text] * 100:.2f}"
    found = audit([path])
    assert found.findings == []
    assert found.problems == []
    assert found.n_entries == 4


def test_intervals_are_those_of_the_board(results: Path, tmp_path: Path) -> None:
    every = [r for r in read_results(results) if r.model == "tfidf:char"]
    for result in every:
        (part,) = part_scores(result)
        board = build_board([result], of_tasks([result.task]))
        standing = board.rows[0].standing
        assert standing is not None
        assert (part.low, part.high) == pytest.approx(standing.cell_intervals[0], abs=1e-12)
        assert part.low is not None
        assert part.low < part.value
        text = make_card("tfidf:char", CardOptions(results)).files["README.md"]
        assert f"{part.low * 100:.2f} to {(part.high or 0) * 100:.2f} | {part.n_items}" in text


def test_a_rank_is_that_of_the_board(results: Path, tmp_path: Path) -> None:
    text = make_card("tfidf:char", CardOptions(results)).files["README.md"]
    board = build_board(read_results(results))
    row = next(row for row in board.complete if row.model == "tfidf:char")
    assert row.standing is not None
    assert row.score is not None
    span = {row.standing.rank_low, row.standing.rank_high}
    line = f"| {'-'.join(map(str, sorted(span)))} | {len(board.complete)} | {row.score * 100:.2f} ±"
    assert line in text
    assert "Weights: 1/4 for each of the 4 tasks." in text
    # bm25 has no symmetric tasks: its board is that of the one it has.
    other = make_card("bm25:bigram", CardOptions(results)).files["README.md"]
    assert "### KoMiniRetrieval, among the models measured" in other
    # A benchmark that is asked for and not complete: what is missing, and no rank.
    bench = tmp_path / "b.toml"
    bench.write_text(
        'name = "b"\ntitle = "B"\n'
        + "".join(f'[[cells]]\ntask = "{t}"\n' for t in ("KoMiniSTS", "KLUE-STS"))
    )
    told = make_card("toy", CardOptions(results, benchmarks=(str(bench),))).files["README.md"]
    assert "No rank: 1 of 2 tasks are missing: KLUE-STS (no result)." in told


@pytest.mark.parametrize("where", ["| KoMiniSTS | STS", "      config: default"])
def test_a_tampered_card_is_found(results: Path, tmp_path: Path, where: str) -> None:
    text = make_card("tfidf:char", CardOptions(results)).files["README.md"]
    value = numbers(results, "tfidf:char")["KoMiniSTS"]
    wrong = text.replace(f"{value * 100:.2f} |", f"{value * 100 + 9:.2f} |", 1)
    if not where.startswith("|"):
        wrong = text.replace(f"value: {value!r}", f"value: {value + 0.09!r}")
    assert wrong != text
    path = tmp_path / "README.md"
    path.write_text(wrong, encoding="utf-8")
    (finding,) = audit([path]).findings
    assert finding.kind == "transcription"
    assert "KoMiniSTS" in finding.where
    assert f"{value * 100 + 9:.2f}"[:4] in finding.evidence


def test_the_import_reads_back_the_same_numbers(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    assert kemb("card", "toy", "--results", results, "-o", path).exit_code == 0
    done = kemb("import", "card", path, "--model", "org/toy", "--results", tmp_path / "other")
    assert done.exit_code == 0, done.output
    back = {r.task: r for r in read_all(tmp_path / "other")}
    own = {r.task: r for r in read_results(results) if r.model == "toy"}
    assert sorted(back) == sorted(own)
    for task, result in own.items():
        assert back[task].main_score == result.main_score
        assert back[task].dataset_revision == result.dataset_revision
        assert set(back[task].scores) == set(result.scores)


@pytest.mark.shared
def test_a_real_model_on_real_tasks(minilm_results: Path, minilm: Path, tmp_path: Path) -> None:
    from mteb._hf_integration.eval_result_model import HFEvalResults

    (one, two) = read_results(minilm_results)
    path = tmp_path / "README.md"
    done = kemb(
        "card",
        minilm,
        "--results",
        minilm_results,
        "-o",
        path,
        "--name",
        "org/mini",
        "--license",
        "Apache-2.0",
    )
    assert done.exit_code == 0, done.output
    assert audit([path, *sorted((tmp_path / ".eval_results").iterdir())]).findings == []
    front: dict[str, Any] = metadata_load(path) or {}
    assert (front["license"], front["pipeline_tag"]) == ("apache-2.0", "sentence-similarity")
    assert front["library_name"] == "sentence-transformers"
    assert front["model-index"][0]["name"] == "org/mini"
    assert {e["dataset"]["type"] for e in front["model-index"][0]["results"]} == {
        "klue/klue",
        "dkoterwa/kor-sts",
    }
    assert {e["dataset"]["revision"] for e in front["model-index"][0]["results"]} == {
        one.dataset_revision,
        two.dataset_revision,
    }
    text = path.read_text(encoding="utf-8")
    assert 'SentenceTransformer("org/mini")' in text
    assert str(minilm) not in text, "no path of this machine in a public card"
    for result in (one, two):
        entries = yaml.safe_load(
            (tmp_path / ".eval_results" / f"{result.task}.yaml").read_text(encoding="utf-8")
        )
        HFEvalResults.model_validate(entries)
        assert [e["dataset"]["task_id"] for e in entries] == [
            f"{result.task}_default_{next(iter(result.scores))}",
            result.task,
        ]
        assert all(e["value"] / 100 == pytest.approx(result.main_score, abs=1e-12) for e in entries)
        back = card_rows(
            "org/mini", read_document(tmp_path / ".eval_results" / f"{result.task}.yaml").entries
        )
        assert back.rows[0].value == pytest.approx(result.main_score, abs=1e-12)


def test_equal_results_give_equal_bytes_and_a_second_card_changes_nothing(results: Path) -> None:
    first = make_card("toy", CardOptions(results)).files
    assert first == make_card("toy", CardOptions(results)).files
    assert make_card("toy", CardOptions(results), first["README.md"]).files == first


AUTHOR = """---
license: mit
thumbnail: a.png  # mine
tags:
- my-tag
model-index:
- name: Mine
  results:
  - task:
      type: STS
    dataset:
      name: MTEB KoMiniSTS (default)
      type: old/id
      config: default
      split: test
    metrics:
    - type: cosine_spearman
      value: 0.1
    - type: cosine_pearson
      value: 0.2
  - task:
      type: Retrieval
    dataset:
      name: Other
      type: o/o
      config: default
      split: test
    metrics:
    - type: ndcg_at_10
      value: 0.5
---
# My model

Words of mine, with <b>HTML</b> | and pipes.
"""


def test_the_authors_text_and_fields_stay(results: Path) -> None:
    text = make_card("toy", CardOptions(results), AUTHOR).files["README.md"]
    assert "# My model\n\nWords of mine, with <b>HTML</b> | and pipes.\n\n" + BEGIN in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["thumbnail"], front["tags"][0]) == ("mit", "a.png", "my-tag")
    (model,) = front["model-index"]
    assert model["name"] == "Mine"
    found = [
        (e["dataset"]["name"], m["type"], m["value"])
        for e in model["results"]
        for m in e["metrics"]
    ]
    assert ("Other", "ndcg_at_10", 0.5) in found
    assert ("MTEB KoMiniSTS (default)", "cosine_pearson", 0.2) in found
    ours = [
        value for name, kind, value in found if "KoMiniSTS" in name and kind == "cosine_spearman"
    ]
    assert ours == [numbers(results, "toy")["KoMiniSTS"]]
    # Text around the block of an earlier card stays where it is; --license wins over the author's.
    around = text.replace(END, f"{END}\n\n## After")
    again = make_card("toy", CardOptions(results, license="cc-by-4.0"), around).files["README.md"]
    assert "license: cc-by-4.0" in again
    assert "license: mit" not in again
    assert again.rstrip().endswith("## After")
    assert again.count(BEGIN) == 1


def test_without_o_nothing_is_written_not_even_into_the_models_folder(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "mine"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    (model / "README.md").write_text(AUTHOR, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    source = next(r for r in read_results(results) if r.model == "toy" and r.task == "KoMiniSTS")
    made = copy_as(source, tmp_path / "r", "KoMiniSTS")
    record = json.loads(made.path.read_text(encoding="utf-8"))
    record["kemb"]["model"]["name"] = "local/mine"
    place = tmp_path / "r" / "local__mine" / content_hash(model)[:12]
    place.parent.mkdir()
    made.path.parent.rename(place)
    (place / made.path.name).write_text(json.dumps(record), encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = kemb("card", model, "--results", tmp_path / "r")
    assert done.exit_code == 0, done.output
    assert "Words of mine" in done.output
    assert "| KoMiniSTS | STS |" in done.output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_windows_line_ends_are_kept(results: Path) -> None:
    text = make_card("toy", CardOptions(results), AUTHOR.replace("\n", "\r\n")).files["README.md"]
    assert not re.search(r"(?<!\r)\n", text)
    assert make_card("toy", CardOptions(results), text).files["README.md"] == text


def test_numbers_follow_the_scale_of_the_entries_that_stay() -> None:
    new = [
        {
            "name": "m",
            "results": [{"dataset": {"name": "A"}, "metrics": [{"type": "ap", "value": 0.25}]}],
        }
    ]
    old = [
        {
            "name": "m",
            "results": [{"dataset": {"name": "B"}, "metrics": [{"type": "ap", "value": 61.5}]}],
        }
    ]
    assert [m["value"] for e in merged_index(old, new)[0]["results"] for m in e["metrics"]] == [
        61.5,
        25.0,
    ]
    old[0]["results"][0]["metrics"][0]["value"] = 0.615  # type: ignore[index]
    assert [m["value"] for e in merged_index(old, new)[0]["results"] for m in e["metrics"]] == [
        0.615,
        0.25,
    ]
    assert merged_index(None, new) == new
    assert merged_index([{"name": "m", "results": None}], new) == new


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        ("---\na: [1\n---\n", "no YAML"),
        ("---\n- a\n---\n", "no YAML"),
        (f"# x\n{BEGIN}\n", "a lone"),
        (f"{BEGIN}\na\n{END}\n{BEGIN}\nb\n{END}\n", "more than one pair"),
    ],
)
def test_a_readme_that_cannot_be_merged_is_left_alone(
    results: Path, tmp_path: Path, existing: str, said: str
) -> None:
    path = tmp_path / "README.md"
    path.write_text(existing, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        make_card("toy", CardOptions(results), existing)
    assert kemb("card", "toy", "--results", results, "-o", path).exit_code != 0
    assert path.read_text(encoding="utf-8") == existing
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_a_card(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only published numbers"):
        make_card("upskyy/bge-m3-korean", CardOptions(results))
    (tmp_path / "r" / "org__secret" / "abc").mkdir(parents=True)
    source = next(r for r in read_results(results) if r.model == "toy" and r.task == "KoMiniSTS")
    copied = copy_as(source, tmp_path / "r", "OurContracts")
    assert copied.task == "OurContracts"
    with pytest.raises(UsageError, match="--private"):
        make_card("toy", CardOptions(tmp_path / "r"))
    assert (
        "OurContracts"
        in make_card("toy", CardOptions(tmp_path / "r", private=True)).files["README.md"]
    )


def copy_as(result: TaskResult, root: Path, task: str) -> TaskResult:
    """A copy of a result under the name of another task."""
    folder = root / result.path.parent.parent.name / result.path.parent.name
    folder.mkdir(parents=True)
    record = json.loads(result.path.read_text(encoding="utf-8")) | {"task_name": task}
    (folder / f"{task}.json").write_text(json.dumps(record), encoding="utf-8")
    shutil.copy(
        result.path.with_name(f"{result.task}.items.parquet"), folder / f"{task}.items.parquet"
    )
    shutil.copy(result.path.with_name("model_meta.json"), folder)
    return read_result(folder / f"{task}.json")


@pytest.mark.parametrize(
    "hostile", ["[x](javascript:alert(1))", "<script>alert(1)</script>", "a | b\n# c", "`x` *y*"]
)
def test_hostile_names_are_only_text(results: Path, tmp_path: Path, hostile: str) -> None:
    source = next(r for r in read_results(results) if r.model == "toy" and r.task == "KoMiniSTS")
    made = copy_as(source, tmp_path / "r", "KoMiniSTS")
    record = json.loads(made.path.read_text(encoding="utf-8"))
    record["kemb"]["model"]["name"] = hostile
    record["kemb"]["prompts"]["text"]["prompt"] = f"```\n{END}\n{hostile}"
    made.path.write_text(json.dumps(record), encoding="utf-8")
    folder = made.path.parent
    text = make_card(str(folder), CardOptions(tmp_path / "r")).files["README.md"]
    body = text.split("\n---\n", 1)[1]
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", body.replace("\\`", ""), flags=re.DOTALL)
    assert "<script" not in outside.replace("\\<", "")
    assert "](javascript" not in outside.replace("\\]", "")
    assert "\n# c" not in outside
    assert make_card(str(folder), CardOptions(tmp_path / "r"), text).files["README.md"] == text
    assert (
        yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))["model-index"][0]["name"]
        == hostile
    )


def test_front_matter_that_kemb_did_not_write_stays_byte_for_byte(results: Path) -> None:
    head = (
        "language:\n- ko\n- no   # Norwegian\n\n# mine\nversion: 1.10\ntime: 12:30:00\n"
        "emissions: {a: 1_000}\nthumbnail: null\nrevision: 0123456\n"
    )
    text = make_card("toy", CardOptions(results), f"---\n{head}---\nx\n").files["README.md"]
    assert text.startswith(f"---\n{head}")
