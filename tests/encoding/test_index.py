"""The index against a dict that holds every copy of every key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemb.encoding.index import Index
from kemb.encoding.shards import Keys
from kemb.encoding.store import Store, input_keys


def keys_of(numbers: list[int]) -> Keys:
    """Keys that share their first eight bytes with many others: with all of the same number
    modulo 3.
    """
    parts = [bytes([n % 3]) * 8 + b"\0" * 22 + n.to_bytes(2, "big") for n in numbers]
    return np.frombuffer(b"".join(parts), dtype="S32")


class Oracle:
    """What the index is to say, by brute force."""

    def __init__(self) -> None:
        self.rows: dict[bytes, dict[str, tuple[int, int]]] = {}

    def add(self, number: int, name: str, keys: Keys) -> None:
        for row, key in enumerate(keys.tolist()):
            self.rows.setdefault(key, {})[name] = number, row

    def drop(self, name: str) -> None:
        for copies in self.rows.values():
            copies.pop(name, None)

    def find(self, keys: Keys) -> list[tuple[int, int]]:
        copies = [self.rows.get(key, {}) for key in keys.tolist()]
        return [each[min(each)] if each else (-1, -1) for each in copies]

    def n_copies(self, keys: Keys) -> int:
        return sum(len(self.rows.get(key, {})) for key in keys.tolist())


shard = st.lists(st.integers(0, 40), unique=True, max_size=12)
step = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(st.integers(0, 999), shard), max_size=4)),
    st.tuples(st.just("drop"), st.integers(0, 99)),
)


@settings(deadline=None)
@given(st.lists(step, max_size=12))
def test_it_says_what_a_dict_says_after_every_step(steps: list[tuple[str, object]]) -> None:
    index, oracle = Index(), Oracle()
    numbers: dict[str, int] = {}
    asked = keys_of([*range(45), *range(45)])
    for kind, what in steps:
        if kind == "add":
            assert isinstance(what, list)
            named = {f"{name:03}": keys_of(rows) for name, rows in what}
            new = [(name, keys) for name, keys in named.items() if name not in numbers]
            for (name, keys), number in zip(new, index.add(new), strict=True):
                numbers[name] = number
                oracle.add(number, name, keys)
        elif numbers:
            assert isinstance(what, int)
            name = sorted(numbers)[what % len(numbers)]
            index.drop(numbers.pop(name))
            oracle.drop(name)
        pairs = list(zip(*(part.tolist() for part in index.find(asked)), strict=True))
        assert pairs == oracle.find(asked)
        assert len(index.matches(asked).query) == oracle.n_copies(asked)
        assert index.n_distinct() == sum(bool(copies) for copies in oracle.rows.values())


def test_a_shard_costs_about_its_own_keys_however_many_there_are() -> None:
    """Rows that are moved, counted: each at most once per doubling of what there is."""
    index, n_shards, n_rows = Index(), 512, 8
    random = np.random.default_rng(0)
    moved = 0
    for number in range(n_shards):
        before = [run.places for run in index._runs]
        keys = np.frombuffer(random.bytes(32 * n_rows), dtype="S32")
        index.add([(f"{number:04}", keys)])
        moved += sum(
            len(run.places)
            for run in index._runs
            if not any(run.places is places for places in before)
        )
    assert moved <= n_shards * n_rows * (np.log2(n_shards) + 1)
    assert len(index._runs) <= np.log2(n_shards) + 1


def test_a_store_says_what_a_dict_says_with_copies_damage_and_shards_that_vanish(
    tmp_path: Path,
) -> None:
    keys = input_keys("", "", [f"text {i}" for i in range(60)])
    random, rows = np.random.default_rng(1), {}
    writer = Store(tmp_path).space({"model": "m"})
    for value in range(12):
        picked = random.choice(60, 9, replace=False)
        name = writer.add(keys[picked], np.full((9, 2), value, dtype=np.float32))
        rows[name] = dict.fromkeys(picked.tolist(), value)
    damaged, gone = sorted(rows)[2], sorted(rows)[5]
    (writer.folder / damaged).write_bytes(b"x" * 3000)
    reader = Store(tmp_path).space({"model": "m"})
    assert reader.stored(keys).tolist() == [
        any(i in of_shard for name, of_shard in rows.items() if name != damaged) for i in range(60)
    ]
    (writer.folder / gone).unlink()
    left = {name: rows[name] for name in sorted(rows) if name not in (damaged, gone)}
    is_there = [any(i in of_shard for of_shard in left.values()) for i in range(60)]
    assert reader.stored(keys).tolist() == is_there
    wanted = [i for i in range(60) if is_there[i]]
    first = [next(of_shard[i] for of_shard in left.values() if i in of_shard) for i in wanted]
    assert reader.vectors(keys[wanted]).block(0, 60)[:, 0].tolist() == first
    with pytest.raises(Exception, match=f"{60 - len(wanted)} of 60 vectors are not in the store"):
        reader.vectors(keys)
