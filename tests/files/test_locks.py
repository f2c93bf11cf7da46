"""Marks tell which processes have ended; locks name their holder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kemb.files import disk, locks, owners

WRITER = """
import sys
from pathlib import Path
from kemb.files import disk, locks, owners
folder = Path(sys.argv[1])
print(locks.acquire(folder / "lock"), owners.mark(), flush=True)
with disk.temporary(folder) as unfinished, disk.temporary(folder, "site") as old:
    unfinished.mkdir()
    (unfinished / "new").write_text("new")
    (folder / "site").rename(old)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_process_left_is_cleaned_and_what_lives_is_not(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "old").write_text("old")
    (tmp_path / ".mine.tmp").write_text("mine")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    acquired, mark = writer.stdout.readline().split()
    assert acquired == "None"
    assert writer.stdout.readline() == "ready\n"
    assert not owners.is_gone(mark)
    holder = locks.acquire(tmp_path / "lock")
    assert holder is not None
    assert (holder.pid, holder.mark) == (writer.pid, mark)
    assert f"process {writer.pid} on " in str(holder)
    assert ", since 20" in str(holder)
    assert len(list(tmp_path.glob(f".{mark}-*"))) == 2
    writer.kill()
    writer.communicate()
    assert owners.is_gone(mark)
    disk.remove_leftovers.cache_clear()
    assert locks.acquire(tmp_path / "lock") is None
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".mine.tmp", "lock", "site"]
    assert (tmp_path / "site" / "old").read_text() == "old"
    locks.release(tmp_path / "lock")
    assert locks.holder_of(tmp_path / "lock") is None


def test_of_other_hosts_and_of_strange_files_nothing_is_taken(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    for content in ("", "mine", '{"mark": "00000000-1-1", "host": "b", "pid": 1, "since": "s"}'):
        lock.write_text(content)
        assert locks.acquire(lock) is not None
        assert lock.read_text() == content
    assert str(locks.holder_of(lock)) == "process 1 on b, since s"
    assert not owners.is_gone("00000000-999999999-1")
    assert not owners.is_gone("mine")


def test_a_number_that_another_process_has_now_is_of_one_that_ended() -> None:
    host, pid, start = owners.mark().split("-")
    assert int(pid) == os.getpid()
    assert not owners.is_gone(f"{host}-{pid}-{start}")
    if start:
        assert owners.is_gone(f"{host}-{pid}-{int(start) + 1}")
