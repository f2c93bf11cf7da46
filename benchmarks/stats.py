"""Resampled scores and rank intervals of a whole board beside one scipy or scikit-learn call per
replicate.

    python benchmarks/stats.py [--models 60] [--tasks 25] [--replicates 2000]

Synthetic items, 1,000 to 3,500 per task: 3 STS, 3 pair and 3 clustering tasks (10 experiments
each), the rest means. The peer does 3 replicates of 2 models of one task of each kind; its time for
the whole board is extrapolated.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, v_measure_score

from kemb import statistics

N_EXPERIMENTS = 10


def make_measure(kind: str, n: int, n_models: int, rng: np.random.Generator) -> statistics.Measure:
    if kind == "sts":
        gold = np.round(rng.uniform(0, 5, n), 1)
        return statistics.CorrelationMeasure(gold, gold + rng.normal(0, 2, (n_models, n)))
    if kind == "pairs":
        labels = rng.integers(0, 2, n)
        return statistics.PrecisionMeasure(labels, labels + rng.normal(0, 1, (n_models, n)))
    if kind == "clustering":
        labels = rng.integers(0, 7, n)
        noise = rng.integers(0, 7, (n_models, N_EXPERIMENTS, n))
        assignments = np.where(rng.random(noise.shape) < 0.6, labels, noise)
        return statistics.VMeasure(labels, assignments, rng.poisson(1, (1, N_EXPERIMENTS, n)))
    return statistics.MeanMeasure(rng.beta(2, 1, (n_models, n)))


def plain_seconds(measure: statistics.Measure, counts: np.ndarray) -> float:
    """Seconds per replicate and model of the library call on the items written out."""
    started = time.perf_counter()
    for row in counts[:3]:
        rows = np.repeat(np.arange(len(row)), row)
        for model in range(2):
            match measure:
                case statistics.CorrelationMeasure():
                    spearmanr(measure.similarities[model, rows], measure.gold[rows])
                case statistics.PrecisionMeasure():
                    average_precision_score(measure.labels[rows], measure.similarities[model, rows])
                case statistics.VMeasure():
                    for experiment in range(N_EXPERIMENTS):
                        drawn = np.repeat(np.arange(len(row)), row * measure.draws[0, experiment])
                        v_measure_score(
                            measure.labels[drawn], measure.assignments[model, experiment, drawn]
                        )
                case statistics.MeanMeasure():
                    measure.values[model, rows].mean()
    return (time.perf_counter() - started) / 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=60)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--replicates", type=int, default=2000)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    kinds = ["sts"] * 3 + ["pairs"] * 3 + ["clustering"] * 3
    kinds += ["mean"] * (chosen.tasks - len(kinds))
    ours: dict[str, float] = {}
    plain: dict[str, float] = {}
    scores = []
    for number, kind in enumerate(kinds):
        n = int(rng.integers(1000, 3501))
        measure = make_measure(kind, n, chosen.models, rng)
        started = time.perf_counter()
        counts = statistics.draw_counts(n, chosen.replicates, ["benchmark", number])
        scores.append((measure.point(), measure.replicates(counts)))
        ours[kind] = ours.get(kind, 0) + time.perf_counter() - started
        plain[kind] = (
            plain.get(kind, 0) + plain_seconds(measure, counts) * chosen.replicates * chosen.models
        )
    started = time.perf_counter()
    point, replicates = (np.mean([score[part] for score in scores], axis=0) for part in (0, 1))
    statistics.rank_intervals(statistics.certainly_better(point, replicates))
    ours["rank intervals"] = time.perf_counter() - started
    print(f"{chosen.models} models, {chosen.tasks} tasks, {chosen.replicates} replicates\n")
    print("| | kemb, s | a call per replicate, s | ratio |\n|---|---:|---:|---:|")
    for kind, seconds in ours.items():
        peer = plain.get(kind)
        print(
            f"| {kind} | {seconds:.1f} | "
            + (f"{peer:.0f} | {peer / seconds:.0f} |" if peer else "| |")
        )
    print(f"| **all** | **{sum(ours.values()):.1f}** | {sum(plain.values()):.0f} | |")


if __name__ == "__main__":
    main()
