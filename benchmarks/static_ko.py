"""The recipe static-ko on the shared data packs, twice: what comes out, how long it takes, whether
the bits are equal.

python benchmarks/static_ko.py ../shared/data/packs
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path

from kemb.encoding.store import Store
from kemb.pipeline import Outcome, train
from kemb.training.job import TrainOptions
from kemb.training.recipe import read_recipe


def run(root: Path, packs: Path, name: str) -> tuple[Outcome, float]:
    started = time.perf_counter()
    outcome = train(
        read_recipe("static-ko"), TrainOptions(root / name, Store(root / f"store-{name}"), packs)
    )
    return outcome, time.perf_counter() - started


def main(packs: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcome, seconds = run(Path(folder), packs, "one")
        again, _ = run(Path(folder), packs, "two")
        assert outcome.model_dir is not None
        assert again.model_dir is not None
        hashes = {
            hashlib.sha256((made / "model.safetensors").read_bytes()).hexdigest()
            for made in (outcome.model_dir, again.model_dir)
        }
        print("| task | untrained | trained | difference | 95 % interval | p |")
        print("|---|---:|---:|---:|---|---:|")
        for cell in outcome.proof.comparison.cells:
            a, b = (score * 100 for score in cell.scores)
            interval = f"{(cell.low or 0) * 100:+.2f} to {(cell.high or 0) * 100:+.2f}"
            print(f"| {cell.title} | {a:.2f} | {b:.2f} | {b - a:+.2f} | {interval} | {cell.p} |")
        for model, scores in outcome.proof.lexical.items():
            print(
                f"{model}: "
                + ", ".join(f"{task} {score * 100:.2f}" for task, score in scores.items())
            )
        for stage in outcome.stages:
            print(f"{stage.name}: {stage.seconds:.1f} s")
        print(
            f"all: {seconds:.1f} s; the second run's weights are "
            f"{'equal' if len(hashes) == 1 else 'DIFFERENT'}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
