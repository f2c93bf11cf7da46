"""Which row to take, and how sure that is, when the choice itself is part of what is uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.choosing.stages import MARGIN


@dataclass(frozen=True, slots=True)
class Decision:
    """Rows by number."""

    group: list[int]
    """Those that no row is certainly better than, best score first."""
    pick: int
    smallest: int
    """Of the group."""
    low: float
    """Interval of the pick's score; the choice was made again in every resample."""
    high: float
    optimism: float
    """By how much the score of what is picked is too high on average, because it was picked."""
    shares: list[float]
    """Of the resamples in which each row is picked [M]."""
    ranks: list[tuple[int, int]]
    """Rank interval of every row [M]."""
    score_intervals: list[tuple[float, float]]
    """Of every row by itself [M]."""
    is_too_few: bool = False
    """Whether there are too few questions to tell any rows apart; the intervals mean nothing."""


def decide(
    point: DoubleArray,
    replicates: DoubleArray,
    sizes: Sequence[int],
    alpha: float,
    n_clusters: int | None = None,
) -> Decision:
    """Which row to take.

    The first group are the rows that none is certainly better than, all pairs tested together
    (`statistics.certainly_better`). Of those whose score is at most one point below the best of the
    group the smallest is taken.

    Its interval: in every resample the same rule picks a row, of all rows, and that row's score in
    the resample minus its score here is the error of a chosen score; the quantiles of these errors
    are taken off the score (Efron 1983; for choices among many: Tsamardinos, Greasidou and
    Borboudakis 2018). An interval of the row alone would be too high, since the best of n owes part
    of its place to luck.

    :param point: scores [M].
    :param replicates: [B, M].
    :param sizes: place of every row when sorted by size, 0 for the smallest [M].
    :param alpha: error of the joint test.
    :param n_clusters: independent questions. A resample of fewer than 10 knows nothing of their
        spread, so that no row is called better than another. None: enough.
    """
    better: NDArray[np.bool_] = np.zeros((len(point), len(point)), dtype=np.bool_)
    is_too_few = n_clusters is not None and n_clusters < statistics.FEWEST
    if len(point) > 1 and not is_too_few:
        better = statistics.certainly_better(point, replicates, 1 - alpha)
    group = [row for row in np.argsort(-point, kind="stable").tolist() if not better[:, row].any()]
    inside = np.zeros(len(point), dtype=np.bool_)
    inside[group] = True
    places = np.asarray(sizes, dtype=np.int64)
    pick = int(_picks(np.where(inside, point, -np.inf)[None], places)[0])
    again = _picks(replicates, places)
    errors = replicates[np.arange(len(replicates)), again] - point[again]
    low, high = statistics.interval(errors)
    rank_low, rank_high = statistics.rank_intervals(better)
    alone = statistics.interval(replicates)
    return Decision(
        group=group,
        pick=pick,
        smallest=min(group, key=lambda row: sizes[row]),
        low=float(point[pick] - high),
        high=float(point[pick] - low),
        optimism=float(errors.mean()),
        shares=(np.bincount(again, minlength=len(point)) / len(again)).tolist(),
        ranks=list(zip(rank_low.tolist(), rank_high.tolist(), strict=True)),
        score_intervals=list(zip(alone[0].tolist(), alone[1].tolist(), strict=True)),
        is_too_few=is_too_few,
    )


def _picks(scores: DoubleArray, sizes: IntArray) -> IntArray:
    """For each line of scores [B, M] the smallest row that is at most one point below the best."""
    near = scores >= scores.max(axis=1, keepdims=True) - MARGIN
    picks: IntArray = np.where(near, sizes, len(sizes)).argmin(axis=1)
    return picks
