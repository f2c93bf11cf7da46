from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from kemb.encoding import collection as module
from kemb.encoding.collection import Collection, Texts
from kemb.files import scratch
from kemb.files.columns import ColumnWriter
from kemb.types import Input


def columns_of(seed: int, n: int) -> list[Texts]:
    """Three columns under two prompts, with many repeated texts of all lengths."""
    rng = np.random.default_rng(seed)
    columns = []
    for name, prompt in (("a", "p: "), ("b", ""), ("c", "p: ")):
        numbers = rng.integers(0, n, n)
        texts = ["가" * int(number % 17) + str(number) for number in numbers]
        columns.append(Texts.of("", prompt, texts, partial("{} {}".format, name)))
    return columns


def plain_groups(columns: list[Texts], group_chars: int) -> list[list[Input]]:
    """The groups, from their definition alone."""
    inputs = {
        key: Input(column.route, column.prompt, text)
        for column in reversed(columns)
        for key, text in zip(column.keys.tolist(), column.texts, strict=True)
    }
    in_order = sorted(
        inputs.items(), key=lambda pair: (pair[1][:2], -len(pair[1].text), pair[0].ljust(32, b"\0"))
    )
    groups: list[list[Input]] = []
    for _, item in in_order:
        last = groups[-1] if groups else []
        n_chars = sum(len(other.text) for other in last) + len(item.text)
        if last and last[0][:2] == item[:2] and n_chars <= group_chars:
            last.append(item)
        else:
            groups.append([item])
    return groups


@pytest.mark.parametrize("group_chars", [1, 30, 500])
def test_groups_are_those_of_their_definition(group_chars: int) -> None:
    columns = columns_of(group_chars, 300)
    collection = Collection(columns)
    groups = collection.groups(group_chars)
    inputs = [[collection.input(number) for number in group.tolist()] for group in groups]
    assert inputs == plain_groups(columns, group_chars)


@pytest.mark.parametrize("n_bits", [0, 3, 64])
def test_keys_are_unique_in_order_and_of_the_first_row(
    monkeypatch: pytest.MonkeyPatch, n_bits: int
) -> None:
    """Also where the beginnings of keys, by which they are sorted, are the same."""
    prefixes_of = module.prefixes_of

    def coarse(keys: NDArray[np.bytes_]) -> NDArray[np.uint64]:
        return prefixes_of(keys) >> np.uint64(64 - n_bits) if n_bits else prefixes_of(keys) * 0

    monkeypatch.setattr(module, "prefixes_of", coarse)
    monkeypatch.setattr(module, "_STEP", 50)
    columns = columns_of(1, 200)
    every = np.concatenate([column.keys for column in columns])
    keys, first = np.unique(every, return_index=True)
    collection = Collection(columns)
    assert collection.n_texts == 600
    assert np.array_equal(collection.keys, keys)
    names = [f"{name} {row}" for name in "abc" for row in range(200)]
    wheres = [collection.where(number) for number in range(len(collection))]
    assert wheres == [names[row] for row in first.tolist()]


def test_no_column_and_an_empty_one() -> None:
    assert len(Collection([])) == 0
    empty = Texts.of("", "", [], str)
    assert Collection([empty]).groups(10) == []


def test_memory_per_document_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither texts nor keys: what they take lies on disk (the measure is not the machine's)."""
    monkeypatch.setattr(scratch, "LARGE_BYTES", 1 << 16)
    n = 20_000
    writer = ColumnWriter()
    for number in range(n):
        writer.append(f"문서 {number} 의 본문 " * 10)
    texts = writer.finish()
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        collection = Collection([Texts.of("", "", texts, str)])
        groups = collection.groups(1 << 15)
        stays, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, groups)) == n
    assert pa.total_allocated_bytes() - before < n
    blocks = 6 * 2**20  # 8,192 texts at a time
    assert stays < 10 * n + 2**18
    assert peak < 60 * n + blocks
