"""Groups become shards of their plan: the same bytes whoever joins them, and no row is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kemb.arrays import Ragged, Rows
from kemb.encoding import joining
from kemb.encoding.batches import Budget
from kemb.encoding.clean import compact
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import encode_missing
from kemb.encoding.joining import Joining, plan_shards
from kemb.encoding.store import Space, Store, input_keys
from kemb.models.open import open_model
from kemb.models.resolve import resolve

N_TEXTS = 600
PRINT = {"model": "m"}
BUDGET = Budget(group_chars=400, batch_tokens=256, max_batch=8)
OLD_STORE = Path(__file__).parent / "store_of_2fa8190"
ROWS: dict[str, Callable[[int, int], Rows]] = {
    "dense": lambda start, stop: np.arange(start * 4, stop * 4, dtype=np.float32).reshape(-1, 4),
    "tokens": lambda start, stop: ragged(start, stop, is_sparse=False),
    "sparse": lambda start, stop: ragged(start, stop, is_sparse=True),
}


def ragged(start: int, stop: int, is_sparse: bool) -> Ragged:
    lengths = np.arange(start, stop) % 3 + 1
    values = np.repeat(np.arange(start, stop), lengths)[:, None]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    if not is_sparse:
        return Ragged(offsets, (values + np.zeros((1, 4))).astype(np.float16), 4)
    index = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    return Ragged(offsets, values.astype(np.float32), 100, index)


def same(space: Space, keys: np.ndarray, rows: Rows) -> bool:
    """Whether the space gives these rows for the keys."""
    if not isinstance(rows, Ragged):
        return np.array_equal(space.vectors(keys).block(0, len(keys)), rows)
    ours = space.ragged(keys).take(np.arange(len(keys)))
    parts = zip((ours.offsets, ours.values), (rows.offsets, rows.values), strict=True)
    is_same = all(np.array_equal(one, other) for one, other in parts)
    if rows.index is None:
        return is_same and ours.index is None
    assert ours.index is not None
    return is_same and np.array_equal(ours.index, rows.index)


def collection(n: int = N_TEXTS) -> Collection:
    texts = [f"문장 {i} " + "가나다 " * (i % 11) for i in range(n)]
    return Collection([Texts.of("", "", texts, str)])


def encode(folder: Path, n: int = N_TEXTS) -> Space:
    model = resolve("toy")
    space = Store(folder).space(model.fingerprint())
    encode_missing(collection(n), space, lambda: open_model(model), BUDGET)
    return space


def content(space: Space) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in space.paths()}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of the plan of about 150 rows of `toy`."""
    n_bytes = 150 * (256 * 4 + 48)
    cut = plan_shards
    monkeypatch.setattr(
        joining, "plan_shards", lambda groups, chars, rows: cut(groups, chars, rows, n_bytes)
    )


@pytest.mark.parametrize("kind", ROWS)
def test_joined_rows_are_those_of_the_groups(tmp_path: Path, kind: str) -> None:
    keys = input_keys("", "", [f"{i}" for i in range(30)])
    space = Store(tmp_path).space(PRINT)
    groups = [keys[start : start + 10] for start in range(0, 30, 10)]
    for start, group in zip(range(0, 30, 10), groups, strict=True):
        assert space.join(groups) is None
        counts = np.stack([np.arange(start, start + 10)] * 2, axis=1)
        space.add(group, ROWS[kind](start, start + 10), counts if start else None)
    name = space.join(groups)
    assert [path.name for path in space.paths()] == [name]
    assert same(space, keys, ROWS[kind](0, 30))
    assert space.counts(keys)[:, 0].tolist() == [-1] * 10 + list(range(10, 30))
    again = Store(tmp_path).space(PRINT)
    assert again.join(groups) == name
    assert same(again, keys, ROWS[kind](0, 30))


@pytest.mark.usefixtures("small_shards")
def test_a_job_leaves_shards_of_its_plan_and_the_same_after_any_kill(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole")
    assert 2 <= len(whole.paths()) <= 4
    assert whole.n_vectors() == N_TEXTS
    for limit in range(1, 40, 6):
        folder = tmp_path / str(limit)
        subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(limit)], check=False, env=os.environ
        )
        n_before = len(list(folder.rglob("*.arrow")))
        assert content(encode(folder)) == content(whole), f"killed at {limit} ({n_before} files)"


KILLED = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_joining as t
from kemb.files import disk

cut, place, unlink, n_left = t.plan_shards, disk.place, Path.unlink, [int(sys.argv[2])]
size = 150 * (256 * 4 + 48)
t.joining.plan_shards = lambda groups, chars, rows: cut(groups, chars, rows, size)

def count():
    n_left[0] -= 1
    if not n_left[0]:
        os._exit(9)

def placed(*arguments, **options):
    place(*arguments, **options)
    count()

def unlinked(path, *arguments, **options):
    unlink(path, *arguments, **options)
    if path.suffix == ".arrow":
        count()

disk.place, Path.unlink = placed, unlinked
t.encode(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("n_removed", [0, 1, 2])
def test_who_is_killed_while_he_removes_groups_leaves_rows_twice_and_the_next_cleans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_removed: int
) -> None:
    keys = input_keys("", "", [f"{i}" for i in range(30)])
    groups = [keys[start : start + 10] for start in range(0, 30, 10)]
    space = Store(tmp_path).space(PRINT)
    for group, start in zip(groups, range(0, 30, 10), strict=True):
        space.add(group, ROWS["dense"](start, start + 10))
    n_left = [n_removed]
    unlink = Path.unlink

    def removed(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".arrow":
            n_left[0] -= 1
            if n_left[0] < 0:
                raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", removed)
    with pytest.raises(KeyboardInterrupt):
        space.join(groups)
    monkeypatch.undo()
    fresh = Store(tmp_path).space(PRINT)
    assert len(fresh.paths()) == 4 - n_removed
    assert fresh.n_vectors() == 30
    assert same(fresh, keys, ROWS["dense"](0, 30))
    fresh.join(groups)
    assert len(fresh.paths()) == 1
    assert same(Store(tmp_path).space(PRINT), keys, ROWS["dense"](0, 30))


JOINER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_joining as t
keys = t.input_keys("", "", [str(i) for i in range(400)])
space = t.Store(Path(sys.argv[1])).space(t.PRINT)
sys.stdin.readline()
for size in (20, 50, 400):
    for start in range(0, 400, size):
        groups = [keys[i : i + 5] for i in range(start, start + size, 5)]
        space.join(groups[:: int(sys.argv[2])])
"""


def test_two_processes_that_join_at_once_lose_nothing(tmp_path: Path) -> None:
    keys = input_keys("", "", [str(i) for i in range(400)])
    space = Store(tmp_path).space(PRINT)
    for start in range(0, 400, 5):
        space.add(keys[start : start + 5], ROWS["dense"](start, start + 5))
    joiners = [
        subprocess.Popen(
            [sys.executable, "-c", JOINER, str(tmp_path), order], stdin=subprocess.PIPE, text=True
        )
        for order in ("1", "1", "-1")  # the last one in another order
    ]
    for joiner in joiners:
        assert joiner.stdin is not None
        joiner.stdin.write("\n")
        joiner.stdin.flush()
    for joiner in joiners:
        joiner.communicate()
        assert joiner.returncode == 0
    fresh = Store(tmp_path).space(PRINT)
    assert same(fresh, keys, ROWS["dense"](0, 400))
    fresh.join([keys])
    assert len(fresh.paths()) == 1


def test_rows_that_lie_among_others_stay_where_they_are(tmp_path: Path) -> None:
    keys = input_keys("", "", [str(i) for i in range(30)])
    space = Store(tmp_path).space(PRINT)
    among_others = space.add(keys[:12], ROWS["dense"](0, 12))
    for start in (12, 18, 24):
        space.add(keys[start : start + 6], ROWS["dense"](start, start + 6))
    joined = space.join([keys[6:18], keys[18:30]])
    assert {path.name for path in space.paths()} == {among_others, joined}
    assert same(space, keys, ROWS["dense"](0, 30))


def test_a_damaged_group_is_not_joined(tmp_path: Path) -> None:
    keys = input_keys("", "", [str(i) for i in range(20)])
    space = Store(tmp_path).space(PRINT)
    space.add(keys[:10], ROWS["dense"](0, 10))
    name = space.add(keys[10:], ROWS["dense"](10, 20))
    content = bytearray((space.folder / name).read_bytes())
    content[content.find(ROWS["dense"](10, 20).tobytes())] ^= 1
    (space.folder / name).write_bytes(content)
    fresh = Store(tmp_path).space(PRINT)
    assert fresh.join([keys]) is None
    assert fresh.stored(keys).tolist() == [True] * 10 + [False] * 10
    assert fresh.damaged == [name]


@pytest.mark.usefixtures("small_shards")
def test_a_job_that_is_done_but_not_joined_is_joined_by_the_next_look(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Joining, "done", lambda joining, number: None)
        patch.setattr(Joining, "rest", lambda joining: None)
        groups = encode(tmp_path / "groups")
    assert len(groups.paths()) > 20
    assert content(encode(tmp_path / "groups")) == content(whole)


def test_shards_of_a_plan_follow_from_the_plan_and_the_size_of_a_row() -> None:
    groups = [np.arange(10)] * 100
    rows = np.zeros((1, 238), dtype=np.float32)  # 1,000 bytes a text with its key and counts
    shards = list(plan_shards(groups, 0, rows, 250_000))
    assert [len(shard) for shard in shards] == [25, 25, 25, 25]
    assert [number for shard in shards for number in shard] == list(range(100))
    assert [len(shard) for shard in plan_shards(groups, 0, rows, 450_000)] == [45, 55]
    tokens = ROWS["tokens"](0, 3)  # 8 bytes a token
    shards = list(plan_shards(groups, 1000, tokens, 100_000))
    assert [len(shard) for shard in shards] == [23, 23, 23, 31]
    assert list(plan_shards([], 1000, tokens)) == []


@pytest.mark.parametrize("kind", ROWS)
def test_a_store_of_an_earlier_kemb_is_read_joined_and_compacted(tmp_path: Path, kind: str) -> None:
    """Written by the code of the commit 2fa8190."""
    shutil.copytree(OLD_STORE, tmp_path / "store")
    keys = input_keys("", "", [f"text {i}" for i in range(12)])
    print_of = {"model": f"old/{kind}", "revision": "1"}
    space = Store(tmp_path / "store").space(print_of)
    assert len(space.paths()) == 2
    assert same(space, keys, ROWS[kind](0, 12))
    counts = space.counts(keys)
    assert counts.tolist() == [[-1, -1]] * 6 + [[i + 2, i] for i in range(6, 12)]
    assert space.facts() == {"n_parameters": 7}
    space.join([keys[:5], keys[5:]])
    compact(space)
    fresh = Store(tmp_path / "store").space(print_of)
    assert len(fresh.paths()) == 1
    assert same(fresh, keys, ROWS[kind](0, 12))
    assert np.array_equal(fresh.counts(keys), counts)
