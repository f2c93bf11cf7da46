"""The file of a reviewer: on the disk before anybody is told, whole lines, one process a name."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kemb.drafting.review_log import open_log
from kemb.errors import DiskError, UsageError
from kemb.tasks.own.decisions import Decision, read_file
from kemb.tasks.own.findings import Findings

ACCEPT = Decision("q1", "accept")


def decisions_in(path: Path) -> list[str]:
    return [decision.query for decision in read_file(path, Findings())]


def test_a_line_has_what_was_decided_and_when(tmp_path: Path) -> None:
    with open_log(tmp_path, "mina") as log:
        log.append(Decision("질문 1", "edit", text="고친\n질문\u2028?"))
        log.append(Decision("q2", "right", "d1"))
    lines = (tmp_path / "review/mina.jsonl").read_bytes().split(b"\n")
    assert len(lines) == 3
    assert lines[2] == b""
    first = json.loads(lines[0])
    assert first.pop("at").endswith("+00:00")
    assert first == {"query": "질문 1", "decision": "edit", "text": "고친\n질문\u2028?"}
    assert "text" not in json.loads(lines[1])


def test_a_torn_end_spoils_no_later_line(tmp_path: Path) -> None:
    with open_log(tmp_path, "mina") as log:
        log.append(ACCEPT)
        with log.path.open("ab") as file:
            file.write(b'{"query": "q2", "dec')
        log.append(Decision("q3", "reject"))
    assert decisions_in(tmp_path / "review/mina.jsonl") == ["q1", "q3"]


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_a_full_disk_takes_nothing_and_leaves_no_half_line(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def full(descriptor: int, content: memoryview | None = None) -> int:
        if content is not None and len(content) > 10:
            return real_write(descriptor, content[:10])  # then no more
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_log(tmp_path, "mina") as log:
        log.append(ACCEPT)
        before = log.path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, fails, full)
            with pytest.raises(DiskError, match=r"mina\.jsonl cannot be written \(No space left"):
                log.append(Decision("q2", "reject"))
        assert log.path.read_bytes() == before
        log.append(Decision("q2", "reject"))
    assert decisions_in(log.path) == ["q1", "q2"]


def test_a_name_is_taken_until_its_review_ends(tmp_path: Path) -> None:
    with open_log(tmp_path, "mina"):
        with pytest.raises(UsageError, match="as mina already"):
            with open_log(tmp_path, "mina"):
                pass
        with open_log(tmp_path, "준호") as other:
            other.append(ACCEPT)
    with open_log(tmp_path, "mina") as log:
        log.append(ACCEPT)
    assert sorted(path.name for path in (tmp_path / "review").iterdir()) == [
        "mina.jsonl",
        "준호.jsonl",
    ]


@pytest.mark.parametrize("name", ["", ".", "../up", "a/b", "a b", "x" * 41, "_x", "x.", "a\n"])
def test_names_that_cannot_be_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a reviewer"):
        with open_log(tmp_path, name):
            pass


def test_a_killed_review_loses_nothing_and_leaves_no_lock(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from kemb.drafting.review_log import open_log
from kemb.tasks.own.decisions import Decision
with open_log(Path({str(tmp_path)!r}), "mina") as log:
    for number in range(10_000):
        log.append(Decision(f"q{{number}}", "accept"))
        print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = -1
    for line in process.stdout:
        told = int(line)
        if told >= 20:
            process.send_signal(signal.SIGKILL)
            break
    rest, _ = process.communicate()
    told = max([told, *map(int, rest.split())])
    path = tmp_path / "review/mina.jsonl"
    assert decisions_in(path)[: told + 1] == [f"q{number}" for number in range(told + 1)]
    with open_log(tmp_path, "mina") as log:  # the lock of a process that is no more
        log.append(Decision("last", "accept"))
    assert decisions_in(path)[-1] == "last"


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "review").write_text("a file")
    with pytest.raises(DiskError, match="review cannot be written"):
        with open_log(tmp_path, "mina"):
            pass
