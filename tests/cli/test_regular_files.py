"""What is named to any verb and is no regular file is refused at once, by its name."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.errors import KembError, UsageError
from kemb.publishing.card.card import read_existing
from kemb.scoring.search.runs import read_qrels

SECONDS = 20


@pytest.fixture(autouse=True)
def guard() -> Iterator[None]:
    """No test waits for the writer of a pipe: Python is interrupted, a library ends the process."""

    def interrupt(*_: object) -> None:
        pytest.fail(f"still waiting after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/null")


def folder(path: Path) -> None:
    path.mkdir()


KINDS: dict[str, Callable[[Path], None]] = {"pipe": pipe, "device": device, "folder": folder}

FILES = {
    "a task": ["run", "task.toml", "-m", "toy"],
    "a board to run": ["run", "board.toml", "-m", "toy"],
    "a run file": ["run", "data", "--run", "some.trec"],
    "a run file as a model": ["run", "data", "-m", "run:some.trec"],
    "a run file in an expression": ["run", "data", "-m", "rrf(toy, run:some.trec)"],
    "the table of an endpoint": ["run", "data", "-m", "api:mine.toml"],
    "prompts": [
        "prompts",
        "show",
        "intfloat/multilingual-e5-small",
        "KorSTS",
        "--prompts",
        "my.toml",
    ],
    "a task whose prompts are shown": ["prompts", "show", "toy", "task.toml"],
    "a task to perturb": ["robustness", "task.toml", "-m", "toy"],
    "a board": ["board", "board.toml"],
    "a board of a site": ["site", "board.toml", "-o", "site"],
    "a record to verify": ["verify", "KorSTS.json"],
    "a submission to verify": ["verify", "some.zip"],
    "a submission to import": ["import", "submission", "some.zip"],
    "a table to import": ["import", "table", "README.md", "--benchmark", "kure"],
    "a card to import": ["import", "card", "README.md"],
    "the board of a table": ["import", "table", "page.md", "--benchmark", "board.toml"],
    "a page to audit": ["audit", "README.md"],
    "a recipe to train": ["train", "recipe.toml"],
    "a recipe to mine": ["mine", "recipe.toml"],
}
DATA = {
    "numbers to audit against": ["audit", "page.md", "--against", "numbers.json"],
    "a table of one's own": ["run", "pairs.csv", "-m", "toy"],
    "a table to check": ["check", "pairs.jsonl"],
    "columns to check": ["check", "pairs.parquet"],
}
INSIDE = {
    "task.toml": (["run", "data", "-m", "toy"], "data/task.toml"),
    "its table": (["run", "data", "-m", "toy"], "data/test.csv"),
    "its judgments": (["check", "search"], "search/qrels/test.tsv"),
    "the settings of a model": (["run", "data", "-m", "./tiny"], "tiny/tokenizer.json"),
    "the weights of a model": (["run", "data", "-m", "./tiny"], "tiny/model.safetensors"),
    "the index of a mirror": (
        ["run", "KorSTS", "-m", "toy", "--data", "mirror"],
        "mirror/index.json",
    ),
    "kemb.toml": (["tasks"], "kemb.toml"),
    "tasks of one's own": (["tasks"], "tasks/mine.toml"),
    "a record": (["board"], "results/a__b/0123/KorSTS.json"),
    "a record of a site": (["site", "-o", "site"], "results/a__b/0123/KorSTS.json"),
    "numbers of others": (["board"], "results/claims/x.parquet"),
    "a result of mteb": (["import", "mteb", "mteb"], "mteb/a__b/0123/KorSTS.json"),
    "a record to submit": (
        ["submit", "results/a__b/0123", "-o", "x.zip"],
        "results/a__b/0123/KorSTS.json",
    ),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with data, a model without weights, results and the like."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/test.csv").write_text("sentence1,sentence2,score\n가,나,1\n다,라,2\n마,바,3\n")
    Path("search/qrels").mkdir(parents=True)
    Path("search/corpus.jsonl").write_text('{"_id": "d", "text": "글"}\n')
    Path("search/queries.jsonl").write_text('{"_id": "q", "text": "글"}\n')
    Path("search/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    Path("tiny").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        Path("tiny", name).write_text("{}")
    for name in ("mirror", "tasks", "results/a__b/0123", "results/claims", "mteb/a__b/0123"):
        Path(name).mkdir(parents=True)
    Path("kemb.toml").write_text('tasks = "tasks"\n')
    Path("page.md").write_text("# Page\n\n| model | KorSTS |\n|---|---|\n| a | 1.0 |\n")
    return tmp_path


def refuse(arguments: list[str], name: str) -> None:
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code in (1, 2), outcome.output
    assert isinstance(outcome.exception, SystemExit | KembError), repr(outcome.exception)
    says = f"{outcome.output} {outcome.exception}"
    assert Path(name).name in says, says


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_none_is_refused(place: Path, case: str, kind: str) -> None:
    names = [word.removeprefix("api:").rpartition("run:")[2] for word in FILES[case]]
    (name,) = (name.strip(")") for name in names if "." in name and name != "page.md")
    KINDS[kind](Path(name))
    refuse(FILES[case], name)


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("case", DATA)
def test_data_that_are_no_file_are_refused(place: Path, case: str, kind: str) -> None:
    name = DATA[case][-1 if case.startswith("numbers") else 1]
    KINDS[kind](Path(name))
    refuse(DATA[case], name)


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("case", INSIDE)
def test_a_file_inside_a_folder_that_is_none_is_refused(place: Path, case: str, kind: str) -> None:
    arguments, name = INSIDE[case]
    path = Path(name)
    if path.exists():
        path.unlink()
    KINDS[kind](path)
    refuse(arguments, name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_the_library_reads_is_refused_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "README.md"
    KINDS[kind](path)
    with pytest.raises(KembError, match=r"README.md cannot be read as UTF-8 text \(.*regular file"):
        read_existing(path)
    with pytest.raises(UsageError, match=r"README\.md cannot be read: it is no regular file"):
        read_qrels(path)
