from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemb.encoding import leases, places
from kemb.encoding.clean import compact, forget, freeable
from kemb.encoding.store import Space, Store, input_keys
from kemb.errors import DiskError, StoreError
from kemb.files import owners

PRINT = {"model": "org/name", "revision": "abc"}


def vectors_of(keys: np.ndarray, dim: int = 4) -> np.ndarray:
    """A vector that only depends on its key."""
    return np.stack(
        [np.frombuffer(bytes(k).ljust(32, b"\0"), dtype=np.uint8)[:dim] for k in keys]
    ).astype(np.float32)


def open_space(root: Path) -> Space:
    return Store(root).space(PRINT)


def test_key_is_the_hash_of_the_length_prefixed_input() -> None:
    parts = [b"route", b"prompt: ", "한국어".encode()]
    expected = hashlib.sha256(b"".join(len(p).to_bytes(8, "little") + p for p in parts)).digest()
    assert input_keys("route", "prompt: ", ["한국어"]).tobytes() == expected


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_keys_are_equal_only_for_equal_inputs(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    keys = [input_keys(r, p, [t]).tobytes() for r, p, t in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_what_is_added_comes_back_from_a_new_process_view(tmp_path: Path) -> None:
    keys = input_keys("", "", [f"text {i}" for i in range(100)])
    first = open_space(tmp_path)
    first.add(keys[:60], vectors_of(keys[:60]))
    first.add(keys[60:], vectors_of(keys[60:]).astype(np.float16))
    second = open_space(tmp_path)
    asked = keys[::-1]
    assert second.stored(asked).all()
    assert np.array_equal(second.vectors(asked).block(10, 90), vectors_of(asked[10:90]))


def test_a_key_with_trailing_zero_bytes_is_not_mistaken_for_a_shorter_one(tmp_path: Path) -> None:
    keys = np.frombuffer(b"a" * 31 + b"\0" + b"a" * 32, dtype="S32")
    space = open_space(tmp_path)
    space.add(keys[:1], np.ones((1, 2), np.float32))
    assert space.stored(keys).tolist() == [True, False]


def test_models_with_another_fingerprint_never_meet(tmp_path: Path) -> None:
    keys = input_keys("", "", ["text"])
    open_space(tmp_path).add(keys, np.ones((1, 2), np.float32))
    assert not Store(tmp_path).space(PRINT | {"dtype": "float16"}).stored(keys).any()


def test_missing_vectors_are_counted_in_the_message(tmp_path: Path) -> None:
    keys = input_keys("", "", ["one", "two", "three"])
    space = open_space(tmp_path)
    space.add(keys[:1], np.ones((1, 2), np.float32))
    with pytest.raises(StoreError, match="2 of 3 vectors are not in the store"):
        space.vectors(keys)


@pytest.mark.parametrize("damage", ["flip", "truncate", "garbage"])
def test_a_damaged_shard_is_noticed_and_its_keys_are_missing_again(
    tmp_path: Path, damage: str
) -> None:
    keys = input_keys("", "", [f"text {i}" for i in range(50)])
    space = open_space(tmp_path)
    space.add(keys[:25], vectors_of(keys[:25]))
    (intact,) = space.folder.glob("*.arrow")
    space.add(keys[25:], vectors_of(keys[25:]))
    (shard,) = set(space.folder.glob("*.arrow")) - {intact}
    content = bytearray(shard.read_bytes())
    if damage == "flip":
        content[content.find(vectors_of(keys[25:]).tobytes()[:16]) + 5] ^= 1
    shard.write_bytes({"flip": content, "truncate": content[:-40], "garbage": b"x" * 100}[damage])
    fresh = open_space(tmp_path)
    assert fresh.stored(keys).tolist() == [True] * 25 + [False] * 25
    assert fresh.damaged == [shard.name]
    assert [path.name for path in (space.folder / "damaged").iterdir()] == [shard.name]
    assert not shard.exists()
    fresh.add(keys[25:], vectors_of(keys[25:]))
    assert fresh.stored(keys).all()


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ENOMEM])
@pytest.mark.parametrize("at", ["map", "read"])
def test_a_shard_that_cannot_be_read_is_refused_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int, at: str
) -> None:
    keys = input_keys("", "", ["one", "two"])
    open_space(tmp_path).add(keys, vectors_of(keys))
    (shard,) = open_space(tmp_path).paths()
    content = shard.read_bytes()

    def failing(path: Path) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(places, "read_shard" if at == "map" else "checksum", failing)
    with pytest.raises(StoreError) as caught:
        open_space(tmp_path).stored(keys)
    assert str(shard) in str(caught.value)
    assert os.strerror(reason) in str(caught.value)
    assert ("not enough memory" in str(caught.value)) == (reason == errno.ENOMEM)
    monkeypatch.undo()
    assert shard.read_bytes() == content
    assert open_space(tmp_path).stored(keys).all()


def test_files_of_others_are_no_shards(tmp_path: Path) -> None:
    keys = input_keys("", "", ["one", "two"])
    space = open_space(tmp_path)
    space.add(keys, vectors_of(keys))
    (space.folder / "notes.arrow").write_text("mine")
    (space.folder / "d.arrow").mkdir()
    (space.folder / "half.tmp").write_text("mine")
    fresh = open_space(tmp_path)
    assert fresh.stored(keys).all()
    assert fresh.n_vectors() == 2
    compact(fresh)
    cleaned = forget(fresh)
    assert [path.name for path in cleaned.strangers] == ["d.arrow", "half.tmp", "notes.arrow"]
    assert sorted(path.name for path in space.folder.glob("*")) == [
        "d.arrow",
        "half.tmp",
        "notes.arrow",
    ]


def test_looking_at_a_damaged_shard_changes_nothing_and_gc_removes_it(tmp_path: Path) -> None:
    keys = input_keys("", "", ["one", "two"])
    space = open_space(tmp_path)
    space.add(keys, vectors_of(keys))
    (shard,) = space.paths()
    shard.write_bytes(b"x" * 100)
    fresh = open_space(tmp_path)
    assert fresh.n_vectors() == 0
    assert fresh.damaged == [shard.name]
    assert shard.read_bytes() == b"x" * 100
    assert not fresh.stored(keys).any()
    damaged = space.folder / "damaged" / shard.name
    assert damaged.read_bytes() == b"x" * 100
    assert freeable(open_space(tmp_path)) == 100
    (damaged.parent / "mine").write_text("x")
    compact(open_space(tmp_path))
    assert [path.name for path in damaged.parent.iterdir()] == ["mine"]


USER = """
import sys
from pathlib import Path
from kemb.encoding.store import Store, input_keys
space = Store(Path(sys.argv[1])).space({"model": "org/name", "revision": "abc"})
print(space.stored(input_keys("", "", ["one", "two"])).all(), flush=True)
sys.stdin.readline()
"""


def test_a_space_in_use_is_not_cleaned_until_its_user_has_ended(tmp_path: Path) -> None:
    keys = input_keys("", "", ["one", "two"])
    space = open_space(tmp_path)
    for row in (0, 1):
        space.add(keys[row : row + 1], vectors_of(keys[row : row + 1]))
    before = space.paths()
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    assert user.stdout.readline() == "True\n"
    for work in (compact, forget):
        (holder,) = work(open_space(tmp_path)).users
        assert f"process {user.pid} on " in holder
    assert space.paths() == before
    user.kill()
    user.communicate()
    leases.let_go()
    (lease,) = space.folder.glob(".*.lease")  # of the killed one
    assert open_space(tmp_path).stored(keys).all()
    assert not lease.exists()
    assert compact(open_space(tmp_path)).users == []
    assert len(space.paths()) == 1
    forget(open_space(tmp_path))
    assert not space.folder.exists()


ENCODER = """
import sys
from pathlib import Path
import numpy as np
from kemb.encoding.store import Store, input_keys
store, n_encoded = Store(Path(sys.argv[1])), 0
for turn in range(3):
    space = store.space({"model": "org/name", "revision": "abc"})
    for group in range(30):
        keys = input_keys("", "", [f"{group} {row}" for row in range(20)])
        if not space.stored(keys).all():
            space.add(keys, np.full((20, 4), group, dtype=np.float32))
            n_encoded += 1
print(n_encoded)
"""


def test_leases_and_locks_of_the_killed_are_swept_and_those_of_the_living_stay(
    tmp_path: Path,
) -> None:
    gone = f"{owners.mark().partition('-')[0]}-999999999-1"
    holder = {"mark": gone, "host": "here", "pid": 999999999, "since": "then"}
    space = open_space(tmp_path)
    space.add(input_keys("", "", ["one"]), vectors_of(input_keys("", "", ["one"])))
    forgotten, empty = tmp_path / "forgotten", tmp_path / "empty"
    for folder in (space.folder, forgotten):
        folder.mkdir(exist_ok=True)
        (folder / leases.CLEANING).write_text(json.dumps(holder))
        (folder / f".{gone}-0123456789ab{leases.SUFFIX}").write_text(json.dumps(holder))
    empty.mkdir()
    before = {path.name for path in space.folder.iterdir()}
    leases.sweep(tmp_path)
    assert not forgotten.exists()
    assert empty.exists()
    left = {path.name for path in space.folder.iterdir()}
    assert before - left == {leases.CLEANING, f".{gone}-0123456789ab{leases.SUFFIX}"}
    assert sum(name.endswith(leases.SUFFIX) for name in left) == 1  # our own


def test_gc_in_a_loop_makes_no_command_encode_anything_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENCODER, str(tmp_path)]
    encoder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    n_cleaned = 0
    while encoder.poll() is None:
        for space in Store(tmp_path).spaces():
            for work in (compact, forget):
                n_cleaned += bool(work(space).users)
    assert encoder.communicate()[0] == "30\n"
    assert n_cleaned > 0, "nothing was in use while it was cleaned"
    assert encoder.returncode == 0
    assert open_space(tmp_path).n_vectors() in (0, 600)


def test_who_comes_while_a_space_is_cleaned_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = input_keys("", "", ["one", "two"])
    space = open_space(tmp_path)
    space.add(keys, vectors_of(keys))
    leases.let_go()
    lock = space.folder / leases.CLEANING
    lock.write_text('{"mark": "00000000-1-1", "host": "other", "pid": 1, "since": "now"}')
    monkeypatch.setattr(leases, "LONGEST_WAIT", 0.2)
    with pytest.raises(StoreError, match=r"process 1 on other, since now.*remove .*gc\.lock"):
        open_space(tmp_path).stored(keys)
    assert list(space.folder.glob(".*.lease")) == []
    lock.unlink()
    assert open_space(tmp_path).stored(keys).all()


def test_two_processes_may_write_the_same_keys(tmp_path: Path) -> None:
    keys = input_keys("", "", ["one", "two"])
    first, second = open_space(tmp_path), open_space(tmp_path)
    first.add(keys, vectors_of(keys))
    second.add(keys[:1], vectors_of(keys[:1]))
    assert np.array_equal(first.vectors(keys).block(0, 2), second.vectors(keys).block(0, 2))
    assert second.n_vectors() == 2


def test_a_full_disk_is_one_paragraph_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = input_keys("", "", ["one", "two"])
    space = open_space(tmp_path)
    space.add(keys[:1], vectors_of(keys[:1]))
    before = sorted(p.name for p in space.folder.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=r"disk .* is full.*--store DIR") as caught:
        space.add(keys[1:], vectors_of(keys[1:]))
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in space.folder.iterdir()) == before


def test_a_writer_killed_at_any_moment_leaves_only_whole_shards(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from pathlib import Path; from kemb.encoding.store import Store, "
        "input_keys\n"
        f"space = Store(Path(sys.argv[1])).space({PRINT!r})\n"
        "for i in range(100000):\n"
        "    keys = input_keys('', '', [f'{i} {j}' for j in range(2000)])\n"
        "    space.add(keys, np.full((2000, 64), i, np.float32)); print(i, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(3):
        writer.stdout.readline()
    time.sleep(0.01)
    writer.kill()
    finished = 3 + len(writer.stdout.read().split())
    writer.wait()
    writer.stdout.close()
    space = open_space(tmp_path)
    n_stored = sum(
        bool(space.stored(input_keys("", "", [f"{i} {j}" for j in range(2000)])).all())
        for i in range(finished + 2)
    )
    assert n_stored >= finished
    assert space.damaged == []


def test_compact_merges_shards_drops_repeats_and_old_leftovers(tmp_path: Path) -> None:
    keys = input_keys("", "", [f"text {i}" for i in range(40)])
    space = open_space(tmp_path)
    for start in range(0, 40, 5):
        space.add(keys[start : start + 5], vectors_of(keys[start : start + 5]))
    space.add(keys[:7], vectors_of(keys[:7]))
    old, young = (space.folder / f".{digit * 32}.tmp" for digit in "ab")
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert compact(space).n_bytes > 0
    assert space.size()[0] == 1
    assert not old.exists()
    assert young.exists()
    fresh = open_space(tmp_path)
    assert np.array_equal(fresh.vectors(keys).block(0, 40), vectors_of(keys))
    assert fresh.n_vectors() == 40


def test_compact_keeps_everything_when_one_shard_holds_all_the_others(tmp_path: Path) -> None:
    """As a `gc` leaves it that was killed after it wrote the merged shard and before it removed the
    parts.
    """
    keys = np.sort(input_keys("", "", [f"글 {i}" for i in range(20)]))
    vectors = np.arange(80, dtype=np.float32).reshape(20, 4)
    space = Store(tmp_path).space({"model": "m"})
    for rows in (slice(0, 10), slice(10, 20), slice(0, 20)):
        space.add(keys[rows], vectors[rows])
    compact(space)
    left = Store(tmp_path).space({"model": "m"})
    assert left.size()[0] == 1
    assert np.array_equal(left.vectors(keys).block(0, 20), vectors)


def test_a_shard_that_another_process_merged_away_is_looked_for_again(tmp_path: Path) -> None:
    keys, vectors = input_keys("", "", ["하나", "둘"]), np.eye(2, dtype=np.float32)
    writer = Store(tmp_path).space({"model": "m"})
    for row in (0, 1):
        writer.add(keys[row : row + 1], vectors[row : row + 1])
    reader = Store(tmp_path).space({"model": "m"})
    look, calls = reader.refresh, []

    def refresh_then_merge() -> None:
        look()
        calls.append(1)
        if len(calls) == 1:
            compact(Store(tmp_path).space({"model": "m"}))

    reader.refresh = refresh_then_merge  # type: ignore[method-assign]
    assert reader.stored(keys).all()
    assert len(calls) > 1
    assert reader.damaged == []


def test_a_damaged_fingerprint_file_is_passed_over_and_written_again(tmp_path: Path) -> None:
    keys = input_keys("", "", ["하나", "둘"])
    space = Store(tmp_path).space({"model": "m"})
    space.add(keys[:1], np.ones((1, 2), dtype=np.float32))
    (space.folder / "fingerprint.json").write_text("")
    assert Store(tmp_path).spaces() == []
    Store(tmp_path).space({"model": "m"}).add(keys[1:], np.ones((1, 2), dtype=np.float32))
    assert [found.fingerprint for found in Store(tmp_path).spaces()] == [{"model": "m"}]
