"""Writes frontend/test/golden.json: what kemb.statistics computes, for the same functions in the
site's script.

Run by hand (`python tools/golden.py`) when kemb.statistics changes; a test computes the numbers
again.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemb import statistics
from kemb.publishing.site.views import bits

OUT = Path(__file__).parent.parent / "frontend" / "test" / "golden.json"
SCALE = 20000
N_REPLICATES = 240
Array = NDArray[Any]


def main() -> None:
    OUT.write_text(json.dumps(cases(), indent=1) + "\n", encoding="utf-8")
    print(OUT)


def cases() -> dict[str, Any]:
    """Boards with their resamples, under several weights; quantiles; verdicts."""
    rng = statistics.generator(["golden"])
    scores = rng.uniform(0.3, 0.9, 9)[:, None] + rng.normal(0, 0.08, (9, 8))
    scores[4] = scores[3]  # equal rows: no difference, no error
    scores[6, :-1], scores[6, -1] = (
        scores[5, :-1],
        scores[5, -1] - 0.1,
    )  # differ where nothing is drawn
    strata = ["a", "a", "b", "b", "b", "c", "c", ""]
    draws = statistics.draw_tasks(strata, N_REPLICATES, ["golden", "tasks"]).astype(np.uint8)
    noise = rng.normal(0, 0.02, (N_REPLICATES, 8, 9)) + scores.T
    noise[:, :, 4] = noise[:, :, 3]
    items = np.round(noise * SCALE).astype("<i2")
    weights = [
        np.full(8, 1 / 8),
        np.array([0.1, 0.1, 0, 0.2, 0.1, 0.05, 0.25, 0.2]),
        np.array([1.0, 0, 0, 2, 0, 0, 0, 0]),
    ]
    quantiles = rng.normal(size=37)
    edges = [
        (-0.004, 0.004),
        (0.001, 0.02),
        (-0.02, -0.006),
        (-0.01, 0.01),
        (0.001, 0.005),
        (0.0, 0.01),
    ]
    return {
        "boards": [
            _board("tasks", scores, weights, strata, draws),
            _board("items", scores, weights, [], items),
        ],
        "interval": {
            "values": quantiles.tolist(),
            "levels": [
                [level, *map(float, statistics.interval(quantiles, level))]
                for level in (0.95, 0.9, 0.5)
            ],
        },
        "verdicts": [[low, high, statistics.verdict(low, high)] for low, high in edges],
    }


def _board(
    mode: str, scores: Array, weights: list[Array], strata: list[str], values: Array
) -> dict[str, Any]:
    names = list(dict.fromkeys(strata))
    return {
        "cells": scores.tolist(),
        "data": {
            "slug": "golden",
            "mode": mode,
            "n_replicates": len(values),
            "scale": SCALE if mode == "items" else 1,
            "strata": [names.index(name) for name in strata],
            "values": base64.b64encode(values.tobytes()).decode(),
        },
        "cases": [_case(mode, scores, weight, strata, values) for weight in weights],
    }


def _case(
    mode: str, scores: Array, weights: Array, strata: list[str], values: Array
) -> dict[str, Any]:
    if mode == "tasks":
        replicates = statistics.weigh_draws(values.astype(np.int64), strata, weights) @ scores.T
    else:
        replicates = np.einsum("btm,t->bm", values / SCALE, weights)
    point = scores @ weights
    low, high = statistics.interval(replicates)
    better = statistics.certainly_better(point, replicates)
    rank_low, rank_high = statistics.rank_intervals(better)
    return {
        "weights": weights.tolist(),
        "scores": point.tolist(),
        "replicates": replicates[:5].tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "rank_low": rank_low.tolist(),
        "rank_high": rank_high.tolist(),
        "better": ["".join("01"[int(one)] for one in row) for row in better],
        "bits": bits(better),
    }


if __name__ == "__main__":
    main()
