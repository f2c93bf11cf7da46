from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from kemb.arrays import Ragged
from kemb.encoding.shards import read_shard
from kemb.encoding.store import Store, input_keys


def test_opening_a_shard_copies_nothing(tmp_path: Path) -> None:
    space = Store(tmp_path).space({"model": "m", "revision": "1"})
    vectors = np.random.default_rng(0).standard_normal((2000, 64), dtype=np.float32)
    name = space.add(input_keys("", "", [*map(str, range(2000))]), vectors)
    before = pa.total_allocated_bytes()
    shard = read_shard(space.folder / name)
    assert pa.total_allocated_bytes() == before
    assert np.array_equal(np.asarray(shard.vectors), vectors)


def test_opening_ragged_rows_copies_nothing(tmp_path: Path) -> None:
    space = Store(tmp_path).space({"model": "m", "revision": "1"})
    values = np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float16)
    rows = Ragged(np.arange(0, 5001, 5), values, 8)
    name = space.add(input_keys("", "", [*map(str, range(1000))]), rows)
    before = pa.total_allocated_bytes()
    shard = read_shard(space.folder / name)
    assert pa.total_allocated_bytes() == before
    assert isinstance(shard.vectors, Ragged)
    assert np.array_equal(shard.vectors.values, values)
