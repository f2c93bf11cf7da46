from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from command import kemb, kemb_process

LINE = '{"sentence1": "비가 온다", "sentence2": "눈이 온다", "score": 2}\n'


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The message of a refusal: one paragraph, no traceback, the right exit code."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    words = "산 강 들 숲 돌 별 달 해 꽃 잎".split()
    rows = [
        {"sentence1": f"{a} {place}", "sentence2": f"{b} {place}", "score": (i * j) % 6}
        for place in ("위에", "아래")  # two clusters of pairs, so that there are intervals
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    ]
    (folder / "test.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    return folder


def test_the_main_job_prints_a_table_and_the_board_prints_it_again(
    pairs: Path, tmp_path: Path
) -> None:
    where = ("--results", tmp_path / "results", "--store", tmp_path / "store")
    done = kemb_process("run", pairs, "-m", "toy", "-m", "tfidf:char", "-m", "bm25:bigram", *where)
    assert done.returncode == 0, done.stderr
    assert "pairs" in done.stdout
    warnings = "pairs: 90 warnings on its data (reversed pair 90)"
    assert done.stderr == f"{warnings}. Where and why: kemb check {pairs}\n"
    shown = kemb("board", "--results", tmp_path / "results", "--format", "json")
    board = json.loads(shown.stdout)
    assert sorted(row["model"] for row in board["rows"]) == ["tfidf:char", "toy"]
    markdown = kemb(
        "board", "--results", tmp_path / "results", "--format", "md"
    ).stdout.splitlines()
    assert (
        markdown[0] == "| Rank | Model | Score | P(1st) | P(top 3) | Family | GB per 1M | pairs |"
    )
    scores = [row["score"] for row in board["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert board["intervals"]["mode"] == "items"
    assert f"| {100 * scores[0]:.2f} ±" in markdown[2]


def test_json_says_what_became_of_every_cell(pairs: Path, tmp_path: Path) -> None:
    where = ("--results", tmp_path / "results", "--store", tmp_path / "store", "--json")
    cells = json.loads(kemb("run", pairs, "-m", "toy", "-m", "bm25:bigram", *where).stdout)
    assert [(cell["model"], cell["status"]) for cell in cells] == [
        ("toy", "scored"),
        ("bm25:bigram", "not applicable"),
    ]
    assert Path(cells[0]["path"]).is_file()
    command = json.loads(Path(cells[0]["path"]).read_text())["kemb"]["command"]
    assert command.startswith("kemb run ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["run", "KorSTSS", "-m", "toy"],
            "file or task 'KorSTSS'. Did you mean KorSTS",
        ),
        (["run", "KorSTS", "-m", "bge-m4"], "Unknown model 'bge-m4'. Did you mean bge-m3"),
        (["run", "KorSTS", "-m", "toy", "--dtype", "int3"], "--dtype 'int3' is not known"),
        (
            ["run", "KorSTS", "-m", "toy", "--max-tokens", "9"],
            "--max-tokens cannot be used with toy",
        ),
        (["benchmarks", "mteb-kor-v3"], "Did you mean mteb-kor-v2"),
        (["models", "kiwi-statik"], "Did you mean kiwi-static"),
        (["board", "--results", "/nowhere"], "There are no results in /nowhere"),
        (["prompts", "e5-large", "KorSTSS"], "Did you mean KorSTS"),
    ],
)
def test_wrong_usage_is_one_paragraph_and_exit_code_2(arguments: list[str], says: str) -> None:
    assert says in refused(kemb(*arguments), 2)


def test_a_folder_with_errors_is_refused_with_file_row_and_value(
    pairs: Path, tmp_path: Path
) -> None:
    (pairs / "test.jsonl").write_text(LINE + LINE.replace("2}", '"two"}') + LINE, encoding="utf-8")
    message = refused(kemb("run", pairs, "-m", "toy", "--results", tmp_path / "results"), 1)
    for part in ("test.jsonl", "row 2", "two", f"kemb check {pairs}"):
        assert part in message
    assert not (tmp_path / "results").exists()
    report = kemb("check", pairs)
    assert report.returncode == 1
    assert "two" in report.stdout


def test_offline_data_that_is_not_here_fails_its_cell_and_says_what_to_type(tmp_path: Path) -> None:
    done = kemb_process(
        "run", "KLUE-STS", "-m", "toy", "--results", tmp_path / "r", HF_HUB_OFFLINE="1"
    )
    assert done.returncode == 1
    assert "kemb tasks fetch KLUE-STS -o DIR" in done.stderr
    assert "1 of 1 cells failed" in done.stderr
    assert not (tmp_path / "r").exists()


def test_prompts_prints_exact_strings_without_the_models_files() -> None:
    done = kemb("prompts", "intfloat/multilingual-e5-large", "Ko-StrategyQA", "--json")
    assert [(line["role"], line["shown"]) for line in json.loads(done.stdout)] == [
        ("query", "'query: 예시 문장'"),
        ("document", "'passage: 예시 문장'"),
    ]


def test_task_model_and_benchmark_lists() -> None:
    assert "KLUE-STS" in kemb("tasks").stdout
    assert 'hub = "klue/klue"' in kemb("tasks", "KLUE-STS").stdout
    assert "BAAI/bge-m3" in kemb("models").stdout
    assert json.loads(kemb("models", "bge-m3").stdout)["name"] == "BAAI/bge-m3"
    assert "Ko-StrategyQA" in kemb("benchmarks", "mteb-kor-v2").stdout.splitlines()


def test_store_stats_and_gc(pairs: Path, tmp_path: Path) -> None:
    where = ("--results", tmp_path / "results", "--store", tmp_path / "store")
    kemb("run", pairs, "-m", "toy", *where)
    (space,) = json.loads(kemb("store", "stats", "--store", tmp_path / "store", "--json").stdout)
    assert space["n_vectors"] == 20
    store = ("--store", tmp_path / "store")
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*.*")}
    for model in ("", ".", "tfidf"):
        refused = kemb("store", "gc", *store, "--yes", "--model", model)
        assert refused.returncode == 2, model
        assert "--model" in refused.stderr or "no model tfidf" in refused.stderr
    unasked = kemb("store", "gc", *store, "--model", "toy")
    assert unasked.returncode == 2
    assert "(all vectors)" in unasked.stderr
    assert "Add --yes" in unasked.stderr
    assert before == {path: path.read_bytes() for path in (tmp_path / "store").rglob("*.*")}
    assert kemb("store", "gc", *store, "--model", "toy", "--yes").returncode == 0
    assert json.loads(kemb("store", "stats", "--store", tmp_path / "store", "--json").stdout) == []


def test_help_is_quick_enough_to_be_used() -> None:
    """The promise is 0.4 s; the test only notices when something heavy is imported again. Time of
    the processor, which a busy machine does not lengthen as it does that of the wall.
    """
    before = os.times()
    assert "kemb demo" in kemb_process("--help").stdout
    after = os.times()
    assert sum(after[2:4]) - sum(before[2:4]) < 4  # of children: user, system


@pytest.mark.slow
def test_demo_runs_offline_and_ranks_its_models(tmp_path: Path) -> None:
    done = kemb_process(
        "demo", "-o", tmp_path / "demo", "--store", tmp_path / "store", HF_HUB_OFFLINE="1"
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "KoMiniRetrieval",
        "KoMiniSTS",
        "KoMiniNLI",
        "KoMiniTopics",
        "tfidf:char",
        "bm25:bigram",
    ):
        assert name in done.stdout
    assert len(list((tmp_path / "demo" / "results").rglob("*.items.parquet"))) >= 10


def test_a_model_that_applies_to_no_task_is_a_row_of_dashes(pairs: Path, tmp_path: Path) -> None:
    where = ("--results", tmp_path / "results", "--store", tmp_path / "store")
    for models in (["-m", "bm25:bigram"], ["-m", "bm25:bigram", "-m", "toy"]):
        done = kemb("run", pairs, *models, *where)
        assert done.returncode == 0, done.stderr
        row = next(line for line in done.stdout.splitlines() if "bm25:bigram" in line)
        assert row.count(" - ") == 2


def test_a_prompts_file_that_is_not_there_is_one_sentence(
    pairs: Path, tiny_st: Path, tmp_path: Path
) -> None:
    done = kemb(
        "run",
        pairs,
        "-m",
        tiny_st,
        "--prompts",
        tmp_path / "none.toml",
        "--results",
        tmp_path / "results",
    )
    assert "none.toml cannot be read" in refused(done, 2)


def test_a_path_that_leads_nowhere_is_said_to_be_one(tmp_path: Path) -> None:
    assert "no file or folder" in refused(
        kemb("run", "./nowhere", "-m", "toy", "--results", tmp_path), 2
    )


@pytest.mark.parametrize("verb", ["tasks", "models", "benchmarks"])
def test_lists_are_there_as_json(verb: str) -> None:
    listed = json.loads(kemb(verb, "--json").stdout)
    assert {entry["name"] for entry in listed} > {
        "tasks": {"KLUE-STS"},
        "models": {"BAAI/bge-m3"},
    }.get(verb, set())


def test_check_reports_as_json_with_the_same_exit_code(pairs: Path) -> None:
    done = kemb("check", pairs, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["spec"]["type"] == "sts"
    (pairs / "test.jsonl").write_text(LINE.replace("2}", '"x"}'))
    done = kemb("check", pairs, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["n_errors"] > 0


@pytest.mark.slow
def test_tasks_of_mteb_become_files_that_run(tmp_path: Path) -> None:
    pytest.importorskip("mteb")
    done = kemb(
        "tasks", "import", "mteb", "STS22", "NFCorpus", "KLUE-NLI", "--subset", "en", "-o", tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "2 tasks written" in done.stdout
    assert "KLUE-NLI was left out: it changes its data by code of its own" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["NFCorpus.toml", "STS22.toml"]
    from kemb.evaluation.evaluate import load_task

    assert load_task(tmp_path / "STS22.toml").spec.subsets == ["en"]
    assert "Name a task of mteb" in refused(kemb("tasks", "import", "mteb"), 2)
