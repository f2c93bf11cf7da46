"""What several people decided, and the verb `kemb review`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner
from sklearn.metrics import cohen_kappa_score

from command import kemb
from drafted_folder import drafted
from kemb.cli import cli
from kemb.drafting.review_log import open_log
from kemb.errors import UsageError
from kemb.tasks.own.decisions import Decision


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return drafted(tmp_path / "drafted", 12)


def decide(folder: Path, reviewer: str, *decisions: Decision) -> None:
    with open_log(folder, reviewer) as log:
        for decision in decisions:
            log.append(decision)


def merge(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(cli, ["review", str(folder), "--merge", *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_agreement_and_disagreements_are_shown(folder: Path) -> None:
    assert "Nobody has decided anything" in merge(folder)
    mina = ["accept"] * 6 + ["reject"] * 4
    jun = ["accept"] * 5 + ["reject"] * 3 + ["accept"] * 2
    decide(folder, "mina", *(Decision(f"q{k}", what) for k, what in enumerate(mina)))
    decide(folder, "jun", *(Decision(f"q{k}", what) for k, what in enumerate(jun)))
    decide(folder, "mina", Decision("q0", "right", "d1"), Decision("q11", "accept"))
    decide(folder, "jun", Decision("q0", "wrong", "d1"))
    text = merge(folder, "--lang", "en")
    kappa = cohen_kappa_score(mina, jun)
    assert f"jun and mina, questions: 10 decided by both, 70% alike, kappa {kappa:.2f}" in text
    assert "jun and mina, passages: 1 decided by both, 0% alike; kappa says nothing" in text
    assert "4 disagreements:" in text
    assert "q0 d1: jun: does not answer, mina: answers (open" in text
    # q6 and q7 are rejected by both; of the ten others all but q10 were decided on.
    assert "2 of 12 questions are dropped, 0 edited; of the others people have seen 90%." in text
    report = json.loads(merge(folder, "--json"))
    assert report["agreement"][0]["questions"]["kappa"] == pytest.approx(kappa)
    assert report["agreement"][0]["passages"]["low"] is None
    assert report["seen_share"] == 0.9
    assert {conflict["query"] for conflict in report["conflicts"]} == {"q0", "q5", "q8", "q9"}
    assert "카파" in merge(folder, "--lang", "ko")


def test_what_reviewers_wrote_does_nothing_to_the_terminal(folder: Path) -> None:
    decide(folder, "mina", Decision("q0", "edit", text="소리\x07가 납니까?"))
    decide(folder, "jun", Decision("q0", "reject"))
    text = merge(folder)
    assert "소리\ufffd가 납니까?" in text
    assert "\x07" not in text


def test_torn_lines_are_named(folder: Path) -> None:
    decide(folder, "mina", Decision("q0", "accept"))
    with (folder / "review/mina.jsonl").open("a") as file:
        file.write('{"query": "q1", ')
    assert "Read past: review/mina.jsonl, row 2" in merge(folder, "--lang", "en")


def test_the_verb_says_where_it_is_and_ends_by_ctrl_c(folder: Path) -> None:
    main = (
        "import signal; from kemb.cli import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # ignored in background jobs
        "main()"
    )
    command = [sys.executable, "-c", main, "review", str(folder), "--as", "mina", "--no-open"]
    process = subprocess.Popen(
        [*command, "--lang", "en"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert "12 questions, 0 decided by mina." in process.stdout.readline()
    told = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", told)
    assert address is not None
    assert "Stop with Ctrl-C" in told
    body = json.dumps({"query": "q3", "decision": "accept"}).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{address[0]}decide", body, headers), timeout=10) as answer:
        assert answer.status == 200
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert f"as mina already (process {process.pid} on" in again.stderr
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "1 of 12 questions decided, 0 passages judged; all of it is in" in rest
    assert errors == ""
    assert [path.name for path in (folder / "review").iterdir()] == ["mina.jsonl"]


def test_what_cannot_be_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ([str(folder), "--as", "a/b"], "cannot be the name of a reviewer"),
        ([str(tmp_path / "nowhere")], "does not exist"),
        ([str(tmp_path)], "cannot be used"),
    ):
        done = kemb("review", *arguments, "--no-open")
        assert done.returncode in (1, 2)
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--json"], "add --merge or --judge"),
        (["--merge", "--as", "kim", "--no-open"], "--as and no --no-open"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    folder: Path, words: list[str], problem: str
) -> None:
    outcome = CliRunner().invoke(cli, ["review", str(folder), *words])
    assert isinstance(outcome.exception, UsageError)
    assert problem in str(outcome.exception)
