"""Drafts that are killed, that meet another or a reviewer, and disks that fill up under them."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chat_server import ChatEndpoint
from kemb.drafting import DraftSettings, LlmSettings, draft
from kemb.drafting.folder import lock_of
from kemb.drafting.review_log import open_log
from kemb.errors import DiskError, UsageError
from kemb.files import disk, locks
from kemb.tasks.own.decisions import Decision

N_PASSAGES = 4


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(N_PASSAGES):
        text = (
            f"안내{n} 창구는 평일 {n + 1}시에 열립니다. 신분증을 들고 오시면 바로 처리해 드립니다."
        )
        (folder / f"{n}.txt").write_text(text, encoding="utf-8")
    return folder


def settings(chat: ChatEndpoint) -> DraftSettings:
    llm = LlmSettings("qwen", chat.url, concurrency=1, timeout_seconds=60.0, attempts=1)
    return DraftSettings(llm=llm)


def keys_in(folder: Path) -> list[str]:
    lines = (folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["key"] for line in lines]


@pytest.mark.slow
def test_a_killed_draft_goes_on_and_pays_nothing_twice(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    target = tmp_path / "set"
    script = f"""
from pathlib import Path
from kemb.drafting import DraftSettings, LlmSettings, draft
llm = LlmSettings("qwen", {chat.url!r}, concurrency=1, timeout_seconds=60.0, attempts=1)
draft(Path({str(docs)!r}), Path({str(target)!r}), DraftSettings(llm=llm))
"""
    process = subprocess.Popen([sys.executable, "-c", script])

    def kill(number: int, body: dict[str, object]) -> str | None:
        if number < 2:
            return None
        process.send_signal(signal.SIGKILL)
        return "drop"

    chat.misbehave = kill
    assert process.wait(60) == -signal.SIGKILL
    n_asked = len(chat.seen)
    kept = keys_in(target)
    assert len(kept) == 2
    assert lock_of(target).exists()  # of a process that is no more: it is taken over
    chat.misbehave = lambda number, body: None
    report = draft(docs, target, settings(chat))
    assert len(chat.seen) - n_asked == N_PASSAGES - len(kept)
    assert keys_in(target)[: len(kept)] == kept
    assert len(set(keys_in(target))) == len(keys_in(target)) == N_PASSAGES
    assert report.made_by["n_calls_of_this_command"] == N_PASSAGES - len(kept)
    assert not lock_of(target).exists()


def test_decisions_outlive_a_draft_that_was_killed_while_it_took_the_place_of_another(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    target = draft(docs, tmp_path / "set", settings(chat)).folder
    with open_log(target, "mina") as log:
        log.append(Decision("q1", "accept"))
    script = "from kemb.files import owners; print(owners.mark())"
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    target.rename(tmp_path / f".{ended.stdout.strip()}-{'0' * 12}.set.old.tmp")
    disk.remove_leftovers.cache_clear()
    again = draft(docs, target, settings(chat))
    assert again.made_by["n_calls_of_this_command"] == 0
    assert (target / "review" / "mina.jsonl").is_file()


def test_a_disk_that_fills_up_keeps_what_was_paid(
    chat: ChatEndpoint, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "set"
    n_synced = 0
    sync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal n_synced
        n_synced += 1
        if n_synced > 3:  # the first line and the name of its file, then the second line
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - 30)
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            DiskError, match=r"calls\.jsonl cannot be written \(No space .*same com"
        ):
            draft(docs, target, settings(chat))
    assert not lock_of(target).exists()
    n_asked = len(chat.seen)
    draft(docs, target, settings(chat))
    assert len(chat.seen) - n_asked == N_PASSAGES - 2


def test_a_second_draft_of_one_target_is_refused_before_anything_is_paid(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "set"
    target.parent.mkdir()
    assert locks.acquire(lock_of(target)) is None
    with pytest.raises(UsageError, match=rf"Another kemb draft writes .*process {os.getpid()} on"):
        draft(docs, target, settings(chat))
    assert chat.seen == []
    locks.release(lock_of(target))
    draft(docs, target, settings(chat))


def test_a_draft_and_a_review_of_one_folder_refuse_each_other(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    target = draft(docs, tmp_path / "set", settings(chat)).folder
    with open_log(target, "mina"):
        with pytest.raises(UsageError, match=r"Somebody reviews .* as mina .process"):
            draft(docs, target, settings(chat))
    assert locks.acquire(lock_of(target)) is None
    with pytest.raises(UsageError, match=r"kemb draft writes .* at this moment"):
        with open_log(target, "mina"):
            pass
    locks.release(lock_of(target))
    draft(docs, target, settings(chat))
    with open_log(target, "mina") as log:
        assert log.path.parent == target / "review"
