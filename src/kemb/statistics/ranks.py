"""Ranks with their uncertainty, and other ways to order models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kemb.statistics.inference import LEVEL
from kemb.types import DoubleArray, IntArray

_CELLS = 1 << 22
"""Differences that are in memory at once."""


def rank_intervals(point: DoubleArray, replicates: DoubleArray, level: float = LEVEL) -> tuple[IntArray, IntArray]:
    """Lowest and highest rank of every model [n_models]; together they hold all true ranks with probability `level`.

    A rank is between 1 + the number of certainly better and n - the number of certainly worse models (Mogstad, Romano,
    Shaikh and Wilhelm 2024). Arguments are those of `certainly_better`.
    """
    better = certainly_better(point, replicates, level)
    return 1 + better.sum(axis=0), len(point) - better.sum(axis=1)


def certainly_better(point: DoubleArray, replicates: DoubleArray, level: float = LEVEL) -> NDArray[np.bool_]:
    """Which model (row) is certainly better than which (column) [n_models, n_models].

    Every pair is two hypotheses, one for each order. The critical value is the quantile of the largest t of all
    hypotheses; it is found again without the rejected ones until no more are (Romano and Wolf 2005). The opposite of a
    rejected hypothesis stays, or wrong orders would not be controlled; csranks, by the authors, does the same.

    Args:
        point: overall scores [n_models], higher is better.
        replicates: [B, n_models].
        level: of the whole set.
    """
    n = len(point)
    firsts, seconds = np.triu_indices(n, 1)
    differences = point[firsts] - point[seconds]
    step = max(1, _CELLS // len(replicates))
    blocks = [slice(start, start + step) for start in range(0, len(firsts), step)]
    error = np.empty(len(firsts))
    for block in blocks:
        error[block] = (replicates[:, firsts[block]] - replicates[:, seconds[block]]).std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.where(np.abs(differences) <= 1e-12, 0.0, np.abs(differences) / error)
    decided = np.zeros(len(firsts), dtype=np.bool_)
    while not decided.all():
        highest = np.zeros(len(replicates))
        for block in blocks:
            pairs = np.flatnonzero(error[block] > 0) + block.start
            centred = replicates[:, firsts[pairs]] - replicates[:, seconds[pairs]] - differences[pairs]
            t = centred / error[pairs]
            t = np.where(decided[pairs], -np.sign(differences[pairs]) * t, np.abs(t))
            highest = np.maximum(highest, t.max(axis=1, initial=0))
        now = observed > np.quantile(highest, level, method="higher")
        if not (now & ~decided).any():
            break
        decided |= now
    better = np.zeros((n, n), dtype=np.bool_)
    better[firsts, seconds] = decided & (differences > 0)
    better[seconds, firsts] = decided & (differences < 0)
    return better


def rank_probability(replicates: DoubleArray, k: int) -> DoubleArray:
    """The share of replicates [B, n_models] in which each model is among the first k; equal models share a place."""
    kth = np.sort(replicates, axis=1)[:, ::-1][:, min(k, replicates.shape[1]) - 1]
    return np.asarray((replicates >= kth[:, None]).mean(axis=0), dtype=np.float64)


def mean_ranks(scores: DoubleArray) -> DoubleArray:
    """Ranks of a column of scores [n_models] from 1 for the highest; equal scores share the mean of their ranks."""
    order = np.sort(-scores)
    ranks: DoubleArray = (np.searchsorted(order, -scores, "left") + np.searchsorted(order, -scores, "right") + 1) / 2
    return ranks


def borda(scores: DoubleArray) -> DoubleArray:
    """Borda counts [n_models] of scores [n_models, n_tasks]: per task the number of models minus the mean rank.

    As mteb counts; but a missing score (NaN) is refused by callers, not counted as nothing.
    """
    counts: DoubleArray = np.sum([len(scores) - mean_ranks(column) for column in scores.T], axis=0)
    return counts


def standardised_mean(scores: DoubleArray, weights: DoubleArray) -> DoubleArray:
    """Weighted means [n_models] of z-scores: every task counts with the same spread over the models shown."""
    spread = scores.std(axis=0)
    z = np.divide(scores - scores.mean(axis=0), spread, out=np.zeros_like(scores), where=spread > 0)
    total: DoubleArray = z @ weights
    return total
