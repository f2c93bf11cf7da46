"""Data sets of the hub as data of one's own, from a stand-in of the hub on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub import SECRET, Fault, HubStandIn
from kemb.errors import UsageError
from kemb.evaluation.evaluate import load_task
from kemb.tasks.own.hub_files import configs_of
from kemb.tasks.own.hub_sets import HubSet, parse, source_of

REPO = "org/mini"
OLD, NEW = "a" * 40, "b" * 40
QUICK_WAITS = """
import sys, time
pause = time.sleep
time.sleep = lambda seconds: pause(min(seconds, 0.01))
from kemb.cli import main
from kemb.tasks.own import hub_sets
hub_sets.LARGE = LARGE
words = sys.argv[1:]
while words:  # several commands, each ended by "then"
    end = words.index("then") if "then" in words else len(words)
    sys.argv, words = ["kemb", *words[:end]], words[end + 1 :]
    try:
        main()
    except SystemExit:
        if not words:
            raise
"""
DOCUMENTS = ["숙박비는 하루 십만 원까지 받는다", "정산은 출장 뒤 열흘 안에 한다"]


def write_set(folder: Path, documents: list[str] = DOCUMENTS) -> Path:
    """Corpus, queries and judgments as the hub's sets have them, and files that must stay there."""
    for name in ("corpus", "queries", "data", "images"):
        (folder / name).mkdir(parents=True)
    ids = [f"c{number}" for number in range(len(documents))]
    for number, (doc_id, text) in enumerate(zip(ids, documents, strict=True)):
        shard = folder / "corpus" / f"corpus-0000{number}-of-0000{len(documents)}.parquet"
        pq.write_table(pa.table({"_id": [doc_id], "title": [""], "text": [text]}), shard)
    queries = {"_id": ["q0", "q1"], "text": ["숙박비는 얼마", "정산은 언제"]}
    pq.write_table(pa.table(queries), folder / "queries" / "queries-00000-of-00001.parquet")
    judged = {"query-id": ["q0", "q1"], "corpus-id": ["c0", "c1"], "score": [1, 1]}
    pq.write_table(pa.table(judged), folder / "data" / "test-00000-of-00001.parquet")
    (folder / "mini.py").write_text("raise SystemExit('code of a data set was run')\n")
    (folder / "task.toml").write_text('name = "renamed"\n')
    (folder / "images" / "x.csv").write_text("a,b\n1,2\n")
    (folder / "README.md").write_text("# mini\n")
    (folder / "dataset_infos.json").write_text("{}")
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    with HubStandIn() as stand_in:
        stand_in.add_repo("dataset", REPO, write_set(tmp_path / "old"), OLD)
        yield stand_in


def kemb(
    hub: HubStandIn, home: Path, *arguments: str, offline: bool = False, large: int = 10**9
) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own: the client reads its settings when it is imported."""
    environment = hub.environment(home, offline) | {"LC_ALL": "C.UTF-8"}
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", f"LARGE = {large}\n{QUICK_WAITS}", *arguments],
        env=os.environ | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def cached_files(home: Path) -> list[str]:
    folder = home / "cache" / "kemb" / "hub-sets" / REPO / OLD / "mini"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.mark.slow
def test_a_set_of_the_hub_runs_like_a_folder_and_the_record_says_where_it_is_from(
    hub: HubStandIn, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    done = kemb(hub, home, "run", REPO, "-m", "bm25:bigram", "--store", "store")
    assert done.returncode == 0, done.stderr
    assert f"6 files, 0.0 MB, are fetched from the hub at commit {OLD[:12]}" in done.stderr
    assert "Not fetched" in done.stderr
    assert "mini.py" in done.stderr
    assert "task.toml" not in done.stderr
    assert f"Configs that are not read here: images. To read one: {REPO}:images" in done.stderr
    assert cached_files(home) == [
        "README.md",
        "corpus/corpus-00000-of-00002.parquet",
        "corpus/corpus-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
        "queries/queries-00000-of-00001.parquet",
        "task.toml",
    ]
    assert not [one for one in hub.requests if "mini.py" in one or "images" in one]
    [path] = (home / "results").rglob("renamed.json")
    record = json.loads(path.read_text())["kemb"]
    assert record["data_source"] == f"{REPO}@{OLD}"
    assert record["task"]["revision"].startswith("sha256:")

    n_requests = len(hub.requests)
    again = kemb(hub, home, "check", REPO, "--json", offline=True)
    assert again.returncode == 0, again.stderr
    assert f"as it was last fetched, at commit {OLD}, because HF_HUB_OFFLINE" in again.stderr
    assert json.loads(again.stdout)["source"] == f"{REPO}@{OLD}"
    pinned = kemb(hub, home, "convert", f"{REPO}@{OLD}", "-o", "beir")
    assert pinned.returncode == 0, pinned.stderr
    assert pinned.stderr == ""
    assert len(hub.requests) == n_requests, "what was fetched at a commit is not asked for again"
    assert f'reference = "{REPO}@{OLD}"' in (home / "beir" / "task.toml").read_text("utf-8")
    assert len((home / "beir" / "corpus.jsonl").read_text("utf-8").splitlines()) == 2


@pytest.mark.slow
def test_main_is_asked_for_again_and_a_pinned_commit_stays(hub: HubStandIn, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert kemb(hub, home, "check", REPO).returncode == 0
    hub.add_repo("dataset", REPO, write_set(tmp_path / "new", [*DOCUMENTS, "새 문서"]), NEW)
    newer = json.loads(kemb(hub, home, "check", REPO, "--json").stdout)
    older = json.loads(kemb(hub, home, "check", f"{REPO}@{OLD}", "--json").stdout)
    assert (newer["source"], older["source"]) == (f"{REPO}@{NEW}", f"{REPO}@{OLD}")
    assert [file["n_rows"] for file in newer["files"] if file["role"] == "corpus"] == [3]
    assert [file["n_rows"] for file in older["files"] if file["role"] == "corpus"] == [2]


FAULTS: dict[Fault, str] = {
    "gated": f"which is gated. Ask for access at https://huggingface.co/datasets/{REPO} and type",
    "html": "the answer of the hub at",
    "error503": "the hub answered 503, 3 times",
    "swap": "gave a file corpus-00000-of-00002.parquet whose sha256 is",
    "truncate": "the download was cut short",
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_at_the_hub_is_one_paragraph_and_leaves_nothing(
    hub: HubStandIn, tmp_path: Path, fault: Fault
) -> None:
    home = tmp_path / "home"
    hub.fault(fault)
    done = kemb(hub, home, "check", REPO)
    *said, refusal = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert FAULTS[fault] in refusal
    assert all(REPO in line or "Not fetched" in line for line in said)
    assert cached_files(home) == []
    if fault == "truncate":
        hub.heal()
        assert kemb(hub, home, "check", REPO).returncode == 0, "the next try goes on"


@pytest.mark.slow
def test_names_that_are_no_readable_set_are_one_sentence(hub: HubStandIn, tmp_path: Path) -> None:
    empty, drafted = tmp_path / "empty", tmp_path / "drafted"
    empty.mkdir()
    (empty / "loader.py").write_text("x = 1\n")
    write_set(drafted)
    (drafted / "drafted.json").write_text("{}")
    (drafted / "task.toml").unlink()
    hub.add_repo("model", "org/model", empty)
    hub.add_repo("dataset", "org/code", empty)
    hub.add_repo("dataset", "org/drafted", drafted)
    expected = {
        "org/absent": "the hub has no such dataset, or it is private",
        "org/model": "org/model is a model of the hub, where data are expected",
        f"{REPO}@v9": "the hub has no such revision of it",
        "org/code": "has no file that kemb reads: expected .parquet,",
        "org/drafted": "was made by kemb draft, but its task.toml, which says so, is not there",
        f"{REPO}:imagse": "has no config 'imagse'. Did you mean images?",
    }
    words = [word for name in expected for word in ("check", name, "then")]
    done = kemb(hub, tmp_path / "home", *words[:-1])
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    for sentence, line in zip(expected.values(), lines, strict=True):
        assert sentence in line
    unseen = kemb(hub, tmp_path / "home", "run", REPO, "-m", "bm25:bigram", offline=True)
    assert unseen.returncode == 1
    assert "is not on this machine and HF_HUB_OFFLINE is set" in unseen.stderr


PAIRS = {
    "sentence1": [f"개 {n}마리가 잔다" for n in range(6)],
    "sentence2": [f"개 {n}마리가 존다" for n in range(6)],
    "score": [0, 1, 2, 3, 4, 5],
}


def write_configs(folder: Path) -> Path:
    """Three configs and nothing at the top: one by its folder, one that the README puts together,
    one whose corpus, queries and judgments have folders of their own.
    """
    for name in ("ko", "parts", "miracl-corpus", "miracl-queries", "miracl-qrels"):
        (folder / name).mkdir(parents=True)
    pq.write_table(pa.table(PAIRS), folder / "ko" / "test.parquet")
    (folder / "ko" / "task.toml").write_text('type = "sts"\nname = "mini-ko"\n')
    for name, rows in {"one": slice(0, 3), "two": slice(3, 6)}.items():
        half = {column: values[rows] for column, values in PAIRS.items()}
        pq.write_table(pa.table(half), folder / "parts" / f"{name}.parquet")
    corpus = {"_id": ["c0", "c1"], "text": DOCUMENTS, "title": ["", ""]}
    pq.write_table(pa.table(corpus), folder / "miracl-corpus" / "corpus.parquet")
    queries = {"_id": ["q0", "q1"], "text": ["숙박비는 얼마", "정산은 언제"]}
    pq.write_table(pa.table(queries), folder / "miracl-queries" / "queries.parquet")
    judged = {"query-id": ["q0", "q1"], "corpus-id": ["c0", "c1"], "score": [1, 1]}
    pq.write_table(pa.table(judged), folder / "miracl-qrels" / "test.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: together\n  data_files:\n  - split: test\n"
        "    path: parts/*.parquet\n---\n# mini\n"
    )
    return folder


@pytest.mark.slow
def test_configs_are_read_by_name(hub: HubStandIn, tmp_path: Path) -> None:
    repo, home = "org/many", tmp_path / "home"
    hub.add_repo("dataset", repo, write_configs(tmp_path / "many"), OLD)
    configs = ("ko", "together", "miracl")
    words = [word for name in configs for word in ("check", f"{repo}:{name}", "--json", "then")]
    done = kemb(hub, home, *words[:-1])
    assert done.returncode == 0, done.stdout + done.stderr
    decoder, text, records = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        record, end = decoder.raw_decode(text)
        records.append(record)
        text = text[end:].strip()
    assert [record["source"] for record in records] == [f"{repo}:{c}@{OLD}" for c in configs]
    names = [record["spec"]["name"] for record in records]
    assert names == ["mini-ko", "many.together", "many.miracl"]
    roles = {file["role"] for file in records[2]["files"]}
    assert roles == {"corpus", "queries", "qrels/test"}
    assert [file["n_rows"] for file in records[1]["files"]] == [6]
    offline = kemb(hub, home, "check", f"{repo}:ko", "--json", offline=True)
    assert json.loads(offline.stdout)["revision"] == records[0]["revision"]
    assert f"{repo}:ko is read as it was last fetched" in offline.stderr
    plain = kemb(hub, home, "check", repo)
    assert plain.returncode == 1
    assert "Its configs are ko, miracl, parts, together. Name one" in plain.stderr


@pytest.mark.slow
def test_a_large_set_is_fetched_only_where_somebody_agreed(hub: HubStandIn, tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = ["run", REPO, "-m", "bm25:bigram", "--store", "store"]
    done = kemb(hub, home, *run, large=1000)
    *_, refusal = done.stderr.strip().splitlines()
    assert done.returncode == 2
    assert f"Nothing of it was fetched. Type kemb check {REPO} --yes" in refusal
    assert not [one for one in hub.requests if one.startswith("GET") and ".parquet" in one]
    done = kemb(hub, home, "check", REPO, "--yes", "then", *run, large=1000)
    assert done.returncode == 0, done.stderr
    assert list((home / "results").rglob("renamed.json"))


@pytest.mark.slow
def test_a_drafted_set_keeps_its_mark_and_what_people_said(hub: HubStandIn, tmp_path: Path) -> None:
    folder, home = write_set(tmp_path / "drafted"), tmp_path / "home"
    (folder / "drafted.json").write_text("{}")
    (folder / "task.toml").write_text('type = "retrieval"\nsplits = ["test"]\ndrafted = true\n')
    (folder / "review").mkdir()
    (folder / "review" / "mina.jsonl").write_text('{"query": "q0", "decision": "reject"}\n')
    hub.add_repo("dataset", "org/drafts", folder, OLD)
    done = kemb(hub, home, "run", "org/drafts", "-m", "bm25:bigram", "--store", "store")
    assert done.returncode == 0, done.stderr
    [path] = (home / "results").rglob("drafts.json")
    record = json.loads(path.read_text())["kemb"]["task"]
    assert record["drafted"] is True
    assert record["notes"]["test/default"]["n_rejected_questions"] == 1


def test_configs_of_readmes_that_say_it_in_other_forms_or_lie() -> None:
    names = ["a/x.csv", "b/deep/y.jsonl", "b/deep/z.jsonl", "data/w.csv"]

    def of(entry: str) -> dict[str, dict[str, str]]:
        return configs_of(names, f"---\nconfigs:\n- config_name: c\n{entry}---\n")

    assert of("  data_files: a/*.csv\n")["c"] == {"a/x.csv": "x.csv"}
    assert of("  data_dir: b/deep\n")["c"] == {name: name[7:] for name in names[1:3]}
    assert of("  data_files:\n    test: b/**/*.jsonl\n")["c"] == {
        "b/deep/y.jsonl": "test-00000-of-00002.jsonl",
        "b/deep/z.jsonl": "test-00001-of-00002.jsonl",
    }
    assert "c" not in of("  data_files: nowhere/*\n")
    names = ["a.csv", "d/x.csv", "en/test.csv", "ko/test.csv", "p/q.jsonl.gz"]
    assert of("  data_files: '*.csv'\n")["c"] == {"a.csv": "a.csv"}
    assert of("  data_files: '*/test.csv'\n")["c"] == {
        "en/test.csv": "test.csv",
        "ko/test.csv": "ko-test.csv",
    }
    assert of("  data_files:\n    test: ['d/*.csv', 'd/x.csv']\n")["c"] == {"d/x.csv": "test.csv"}
    assert of("  data_files:\n    test: p/*\n")["c"] == {"p/q.jsonl.gz": "test.jsonl.gz"}
    names = ["a/x.csv", "b/deep/y.jsonl", "b/deep/z.jsonl", "data/w.csv"]
    escaping = "---\nconfigs:\n- config_name: ../up\n  data_files: a/*\n---\n"
    odd = ("- [\n", "configs: 3\n", "configs:\n- 1\n")
    for readme in ["", escaping, *(f"---\n{head}---\n" for head in odd)]:
        assert list(configs_of(names, readme)) == ["a"], readme


def test_a_name_of_the_hub_is_told_from_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    assert parse("org/name") == HubSet("org/name", None)
    assert parse("org/name@refs/pr/1") == HubSet("org/name", "refs/pr/1")
    assert parse("docs/typo@main") == HubSet("docs/typo", "main")
    assert parse("org/name:ko@v1") == HubSet("org/name", "v1", "ko")
    assert str(HubSet("org/name", "v1", "ko")) == "org/name:ko@v1"
    paths = "docs docs/typo 자료/문서 a/b/c ./name ../name org/.. org/data.csv /org org/".split()
    for path in [*paths, "org/name@../x", "org/name@", "org/name:../x", "org/name:"]:
        assert parse(path) is None, path
    assert source_of(tmp_path / "docs") == ""
    with pytest.raises(UsageError, match="There is no file or folder docs/typo"):
        load_task("docs/typo")
