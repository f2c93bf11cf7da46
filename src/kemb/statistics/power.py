"""How many items a comparison needs: for a declared difference, from the spread of the paired
differences that were measured.

The observed difference is never used: a power that is computed from it says nothing that the p
value of the same data does not say (Hoenig and Heisey 2001, "The Abuse of Power").
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.statistics.inference import LEVEL, N_REPLICATES, Key, draw_counts

POWER = 0.8
FEWEST = 10
"""Independent items, or clusters of them, below which their spread is not known at all."""


def n_to_see(
    deviation: float, difference: float, level: float = LEVEL, power: float = POWER
) -> int:
    """Items with which a two-sided paired test finds a true mean difference with the given power.

    n = ((z + z') sd / difference)^2 + z^2 / 2, with z of the level and z' of the power (Chow, Shao
    and Wang 2008, section 3.1); the last term stands for the t distribution of few items (Guenther
    1981).

    :param deviation: of paired differences, as `deviation` gives it.
    :param difference: the declared one, as a fraction.
    """
    return _n_items(deviation, difference, level, power)


def n_to_equate(deviation: float, margin: float, level: float = LEVEL, power: float = POWER) -> int:
    """Items with which the interval of the level lies within +-margin with the given power, where
    both are truly equal: two one-sided tests (Schuirmann 1987; Phillips 1990).

    As `n_to_see`, with (1 + power) / 2 in place of the power, since both sides must succeed. The
    level is that of the interval, as verdicts have it, so each side errs in (1 - level) / 2.
    """
    return _n_items(deviation, margin, level, (1 + power) / 2)


def deviation(differences: DoubleArray, clusters: IntArray | None = None) -> float:
    """The standard deviation that plans the mean of paired differences [n]: its square divided by n
    is the variance of the mean.

    Without clusters the usual one. With clusters the variance is that of a ratio of sums of
    clusters (Kish 1965; Cochran 1977, section 9A.2), so that its square is the usual one times the
    design effect: new items are taken to come in clusters of the same sizes.

    :param clusters: cluster of every item [n].
    """
    sums, sizes = _of_clusters(differences, clusters)
    return float(_deviations(np.ones((1, len(sums))), sums, sizes)[0])


def deviation_range(
    differences: DoubleArray,
    clusters: IntArray | None = None,
    level: float = LEVEL,
    n_replicates: int = N_REPLICATES,
    key: Key = (),
) -> tuple[float, float]:
    """An interval of `deviation`: percentiles over resamples of whole clusters (Efron 1979).

    The interval by the chi-square distribution is not used: it holds for normal differences, and
    those of rankings are mostly 0. That a plan needs one at all: Browne 1995.

    :param differences: [n].
    :param clusters: [n].
    :param level: of the interval.
    :param n_replicates: resamples.
    :param key: names what is resampled.
    """
    sums, sizes = _of_clusters(differences, clusters)
    counts = draw_counts(len(sums), n_replicates, key).astype(np.float64)
    tail = (1 - level) / 2
    low, high = np.quantile(_deviations(counts, sums, sizes), [tail, 1 - tail])
    return float(low), float(high)


def _n_items(spread: float, difference: float, level: float, power: float) -> int:
    normal = NormalDist()
    of_level, of_power = normal.inv_cdf((1 + level) / 2), normal.inv_cdf(power)
    return math.ceil(((of_level + of_power) * spread / difference) ** 2 + of_level**2 / 2)


def _of_clusters(
    differences: DoubleArray, clusters: IntArray | None
) -> tuple[DoubleArray, DoubleArray]:
    """Sums and sizes [G] of the clusters; an item alone is a cluster of its own."""
    if clusters is None:
        return differences, np.ones(len(differences))
    numbers = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(numbers, differences)
    return np.asarray(sums, dtype=np.float64), np.bincount(numbers).astype(np.float64)


def _deviations(counts: DoubleArray, sums: DoubleArray, sizes: DoubleArray) -> DoubleArray:
    """Deviations [B] where clusters were drawn so often [B, G]."""
    n_clusters = len(sums)
    n_items = counts @ sizes
    mean = counts @ sums / n_items
    squares = (
        counts @ sums**2 - 2 * mean * (counts @ (sums * sizes)) + mean**2 * (counts @ sizes**2)
    )
    variance = n_clusters / max(1, n_clusters - 1) * np.maximum(squares, 0) / n_items
    deviations: DoubleArray = np.sqrt(variance)
    return deviations
