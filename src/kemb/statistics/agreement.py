"""How far two people, a person and a judge, or two orders of the same things agree."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.statistics.inference import LEVEL, N_REPLICATES, Key, draw_counts

FEWEST = 10
"""Independent things that both have rated, for an interval."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two raters, over what both have rated."""

    n: int
    share_equal: float
    """Of the ratings; NaN where there are none."""
    kappa: float
    """Cohen's; NaN where both gave one and the same rating to everything, which shows nothing."""
    low: float
    high: float
    """Interval of kappa; NaN where it cannot be told."""


def cohen_kappa(confusion: DoubleArray) -> DoubleArray:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e): p_o the share of equal ratings, p_e the share that
    independent raters of the same habits would have (Cohen 1960, "A coefficient of agreement for
    nominal scales").

    :param confusion: how often the first rater said i and the second j [..., n_kinds, n_kinds].
    :return: [...]; NaN where the expected share is 1 or nothing was rated.
    """
    total = confusion.sum(axis=(-2, -1))
    equal = np.trace(confusion, axis1=-2, axis2=-1)
    by_chance = (confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed, expected = equal / total, by_chance / total**2
        kappa: DoubleArray = np.where(
            expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan
        )
    return kappa


def kendall_tau(one: DoubleArray, other: DoubleArray) -> DoubleArray:
    """Kendall's tau-b of every line of two tables of scores: the share of pairs in the same order
    less the share in opposite order, corrected for ties (Kendall 1945).

    :param one: [..., n_things]; differences of up to 1e-12 are ties.
    :param other: [..., n_things].
    :return: [...]; NaN where one of them ties everything.
    """
    firsts, seconds = np.triu_indices(one.shape[-1], 1)
    signs = []
    for scores in (one, other):
        differences = scores[..., firsts] - scores[..., seconds]
        signs.append(np.where(np.abs(differences) <= 1e-12, 0.0, np.sign(differences)))
    n_untied = np.abs(signs[0]).sum(axis=-1) * np.abs(signs[1]).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        tau: DoubleArray = (signs[0] * signs[1]).sum(axis=-1) / np.sqrt(n_untied)
    return tau


def agreement(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    key: Key = ("agreement",),
    level: float = LEVEL,
    clusters: Sequence[Hashable] | None = None,
) -> Agreement:
    """Agreement of two raters on the same things [n], with a percentile interval of kappa over
    resamples of the things.

    :param first: what the one said of each, any hashable values.
    :param second: what the other said, in the same order.
    :param key: names what is resampled.
    :param level: of the interval.
    :param clusters: of each, what it belongs to: passages of one question are drawn together.
    """
    n = len(first)
    if n == 0:
        return Agreement(0, np.nan, np.nan, np.nan, np.nan)
    kinds = _numbers([*first, *second])
    cells = np.zeros((n, len(kinds), len(kinds)))
    rows = np.arange(n)
    cells[rows, [kinds[kind] for kind in first], [kinds[kind] for kind in second]] = 1
    confusion = cells.sum(axis=0)
    share = float(np.trace(confusion) / n)
    kappa = float(cohen_kappa(confusion))
    groups = range(n) if clusters is None else clusters
    numbers = _numbers(groups)
    of_things = np.array([numbers[group] for group in groups], dtype=np.int64)
    low, high = _interval(cells, of_things, share, key, level)
    return Agreement(n, share, kappa, low, high)


def _numbers(kinds: Iterable[Hashable]) -> dict[Hashable, int]:
    return {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}


def _interval(
    cells: DoubleArray, clusters: IntArray, share: float, key: Key, level: float
) -> tuple[float, float]:
    """Percentiles over resamples of the clusters [n] of things [n, n_kinds, n_kinds]; NaN of fewer
    than `FEWEST` clusters and where most resamples have no kappa.

    Where all are alike, resamples are too. Then low is the kappa of the largest share of unequal
    ratings that gives none in so many clusters with the probability 1 - level.
    """
    n_clusters = len(np.unique(clusters))
    if n_clusters < FEWEST:
        return np.nan, np.nan
    if share == 1:
        marginal = cells.sum(axis=(0, 2)) / len(cells)
        unequal = 1 - (1 - level) ** (1 / n_clusters)
        by_chance = float(marginal @ marginal)
        return (1 - unequal / (1 - by_chance), 1.0) if by_chance < 1 else (np.nan, np.nan)
    counts = draw_counts(len(cells), N_REPLICATES, key, clusters)
    resampled = cohen_kappa(np.einsum("bn,nij->bij", counts, cells, optimize=True))
    resampled = resampled[np.isfinite(resampled)]
    if len(resampled) <= N_REPLICATES // 2:
        return np.nan, np.nan
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
