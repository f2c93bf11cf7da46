"""What the store costs beside the encoder: a group's turn, an index of many keys, rows in the order
of a corpus.

    python benchmarks/store.py [--shards 100 300 600 3000] [--keys 1000000 10000000]

Synthetic keys and vectors. All times but the reading's are CPU time of this process, so that others
on the machine do not count. A group's turn is what `kemb run` does around its forward pass: is it
stored, add it. For an earlier kemb's turn run this script with that one's `src` in PYTHONPATH and
`--keys` without a number.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from kemb.encoding.store import Space, Store, input_keys

GROUP_ROWS, DIM, N_TURNS = 300, 256, 20
JOINED_ROWS = 250_000
"""About 256 MB of such vectors."""
N_TEXTS, TEXT_CHARS = 20_000, 100
BLOCK = 65_536


def random_keys(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.frombuffer(rng.bytes(32 * n), dtype="S32")


def fill(folder: Path, space: Space, n_shards: int, rng: np.random.Generator) -> None:
    """Shards of one group each, written one by one, so that an earlier kemb takes no hour."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n_shards):
        alone = Store(folder / str(number)).space(space.fingerprint)
        vectors = rng.random((GROUP_ROWS, DIM), dtype=np.float32)
        name = alone.add(random_keys(GROUP_ROWS, rng), vectors)
        next(folder.rglob(name)).rename(folder / name)


def turn_seconds(space: Space, rng: np.random.Generator) -> float:
    """CPU seconds of one group."""
    groups = [random_keys(GROUP_ROWS, rng) for _ in range(N_TURNS)]
    vectors = rng.random((GROUP_ROWS, DIM), dtype=np.float32)
    look = space.stored
    if "fresh" in inspect.signature(look).parameters:
        look = partial(look, fresh=False)
    started = time.process_time()
    for keys in groups:
        look(keys)
        space.add(keys, vectors)
    return (time.process_time() - started) / N_TURNS


def turns(n_shards: int, rng: np.random.Generator) -> None:
    with tempfile.TemporaryDirectory() as folder:
        space = Store(Path(folder)).space({"model": "synthetic"})
        space.add(random_keys(1, rng), np.zeros((1, DIM), dtype=np.float32))
        (place,) = (path.parent for path in Path(folder).glob("*/*.arrow"))
        fill(place, space, n_shards, rng)
        started = time.process_time()
        space.stored(random_keys(1, rng))
        opened = time.process_time() - started
        print(
            f"{n_shards:5} shards: {turn_seconds(space, rng) * 1e3:6.1f} ms of CPU a group; "
            f"{opened:.2f} s to open the store"
        )


def toy_seconds(n: int) -> float:
    """CPU seconds that the model `toy` takes for n texts, from a sample."""
    from kemb.models.open import open_model
    from kemb.models.resolve import resolve
    from kemb.types import Input

    rng = np.random.default_rng(1)
    letters = np.array([chr(code) for code in range(0xAC00, 0xAC00 + 800)])
    texts = ["".join(rng.choice(letters, TEXT_CHARS)) for _ in range(N_TEXTS)]
    encoder = open_model(resolve("toy"))
    inputs = [Input("", "", text) for text in texts]
    started = time.process_time()
    for start in range(0, N_TEXTS, GROUP_ROWS):
        encoder.encode(inputs[start : start + GROUP_ROWS])
    seconds = time.process_time() - started
    started = time.process_time()
    input_keys("", "", texts)
    print(f"keys of the texts themselves: {(time.process_time() - started) / seconds:.1%} of toy's")
    return seconds * n / N_TEXTS


def index(n_keys: int, rng: np.random.Generator) -> None:
    """Shards of a plan come one by one, as a run makes them; then every key is looked for."""
    from kemb.encoding.index import Index

    keys = random_keys(n_keys, rng)
    built = Index()
    started = time.process_time()
    for number, start in enumerate(range(0, n_keys, JOINED_ROWS)):
        built.add([(str(number), keys[start : start + JOINED_ROWS])])
    added = time.process_time() - started
    asked = keys[rng.permutation(n_keys)]
    started = time.process_time()
    assert (built.find(asked)[0] >= 0).all()
    found = time.process_time() - started
    n_bytes = sum(run.prefixes.nbytes + run.places.nbytes for run in built._runs)
    share = (added + found) / toy_seconds(n_keys)
    print(
        f"{n_keys:,} keys: {added:.2f} s to add, {found:.2f} s to find all of them, "
        f"{n_bytes / n_keys:.0f} bytes a key in memory; {share:.2%} of what `toy` takes"
    )


def reading(n_shards: int, rng: np.random.Generator) -> None:
    """Rows from files in the page cache, in the files' order and in another."""
    with tempfile.TemporaryDirectory() as folder:
        space = Store(Path(folder)).space({"model": "synthetic"})
        keys = random_keys(2 * BLOCK, rng)
        for part in np.array_split(np.arange(len(keys)), n_shards):
            space.add(keys[part], rng.random((len(part), DIM), dtype=np.float32))
        for name, order in (
            ("as stored", np.arange(len(keys))),
            ("shuffled", rng.permutation(len(keys))),
        ):
            vectors = space.vectors(keys[order])
            seconds = []
            for _ in range(5):
                started = time.perf_counter()
                for start in range(0, len(keys), BLOCK):
                    vectors.block(start, start + BLOCK)
                seconds.append(time.perf_counter() - started)
            rate = len(keys) * DIM * 4 / min(seconds) / 1e9
            print(f"{n_shards:5} shards, rows {name}: {rate:.1f} GB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="*", default=[100, 300, 600, 3000])
    parser.add_argument("--keys", type=int, nargs="*", default=[1_000_000, 10_000_000])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for n_shards in options.shards:
        turns(n_shards, rng)
    for n_keys in options.keys:
        index(n_keys, rng)
    for n_shards in (1, 400):
        reading(n_shards, rng)


if __name__ == "__main__":
    main()
