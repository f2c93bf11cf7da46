from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import nct, t

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray

N_SIMULATIONS = 4000


@pytest.mark.parametrize("difference", [0.02, 0.2])
def test_the_planned_number_is_the_smallest_with_the_power_of_the_t_test(difference: float) -> None:
    """The exact power, of the noncentral t distribution; the second plan is a small one."""

    def power(n: int) -> float:
        critical = t.ppf(0.975, n - 1)
        shift = difference / 0.3 * math.sqrt(n)
        return float(nct.sf(critical, n - 1, shift) + nct.cdf(-critical, n - 1, shift))

    n = statistics.n_to_see(0.3, difference)
    assert power(n - 1) < 0.8 <= power(n)


def test_planned_numbers_equal_the_textbook() -> None:
    # Chow, Shao and Wang's formula by hand: (1.959964 + 0.841621)^2 = 7.8489, and 1.9208 for t.
    assert statistics.n_to_see(0.3, 0.02) == math.ceil(7.8489 * 225 + 1.9208)
    # Both one-sided tests succeed: (1.959964 + 1.281552)^2 = 10.5074.
    assert statistics.n_to_equate(0.3, 0.02) == math.ceil(10.5074 * 225 + 1.9208)
    assert statistics.n_to_see(0.3, 0.02, power=0.9) > statistics.n_to_see(0.3, 0.02)


def test_the_planned_number_is_what_the_minimum_detectable_difference_turns_round() -> None:
    n = statistics.n_to_see(0.25, 0.02)
    assert statistics.minimum_detectable(0.25, n) == pytest.approx(0.02, rel=2e-3)


def test_the_deviation_of_independent_differences_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(size=50)
    alone = statistics.deviation(differences)
    assert alone == pytest.approx(differences.std(ddof=1))
    assert statistics.deviation(differences, np.arange(50)) == pytest.approx(alone)
    assert statistics.deviation(np.zeros(20)) == 0


def test_equal_members_of_clusters_count_once() -> None:
    rng = np.random.default_rng(1)
    of_passages = rng.normal(size=400)
    differences = np.repeat(of_passages, 4)
    clusters = np.repeat(np.arange(400), 4)
    # The variance of the mean of 1600 is that of the mean of 400: the design effect is 4.
    assert statistics.deviation(differences, clusters) == pytest.approx(
        2 * of_passages.std(ddof=1), rel=1e-9
    )


def test_the_range_holds_the_true_spread_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    n_inside = 0
    for number in range(200):
        differences = (rng.random(150) < 0.3) * rng.choice([-1.0, 1.0], 150)
        low, high = statistics.deviation_range(differences, n_replicates=400, key=[number])
        n_inside += low <= math.sqrt(0.3) <= high
    assert 0.9 <= n_inside / 200 <= 0.985


def means(rng: np.random.Generator, n: int) -> tuple[DoubleArray, IntArray]:
    """Differences of nDCG, 2 points on average: half of them 0, the others skewed."""
    return np.where(rng.random(n) < 0.5, 0.0, rng.beta(2, 3, n) - 0.36), np.arange(n)


def hits(rng: np.random.Generator, n: int) -> tuple[DoubleArray, IntArray]:
    """Differences of hits and misses, 8 points on average: -1, 0 or 1."""
    return rng.choice([-1.0, 0.0, 1.0], n, p=[0.11, 0.7, 0.19]), np.arange(n)


def clustered(rng: np.random.Generator, n: int) -> tuple[DoubleArray, IntArray]:
    """One to four questions on a passage, which half of the spread comes from; 10 points."""
    clusters = np.repeat(np.arange(n), np.resize([1, 2, 3, 4], n))[:n]
    values = rng.normal(0, 0.3, n)[clusters] + rng.normal(0.1, 0.3, n)
    return values, clusters


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "shift"), [(means, 0.02), (hits, 0.08), (clustered, 0.1)])
def test_the_promised_power_is_reached(kind, shift) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """New data of the planned size, of a population whose true difference is the declared one. The
    test is kemb's: the interval by 1,000 resamples lies above or below 0.
    """
    rng = np.random.default_rng(3)
    old, old_clusters = kind(rng, 200_000)
    n = statistics.n_to_see(statistics.deviation(old, old_clusters), shift)
    n_seen = 0
    for start in range(0, N_SIMULATIONS, 40):  # the same resamples serve 40 data sets
        clusters = kind(rng, n)[1]
        weights = statistics.draw_counts(clusters[-1] + 1, 1000, [start]).astype(np.float64)
        for _ in range(40):
            sums = np.bincount(clusters, kind(rng, n)[0])
            low, high = statistics.interval(weights @ sums / (weights @ np.bincount(clusters)))
            n_seen += bool(low > 0 or high < 0)
    assert 0.78 <= n_seen / N_SIMULATIONS <= 0.82, n_seen / N_SIMULATIONS


@pytest.mark.slow
def test_equal_rows_are_shown_to_be_equal_as_often_as_planned() -> None:
    rng = np.random.default_rng(4)
    spread, margin = 0.3, 0.1
    n = statistics.n_to_equate(spread, margin)
    differences = rng.normal(0, spread, (20_000, n))
    error = differences.std(axis=1, ddof=1) / math.sqrt(n)
    width = NormalDist().inv_cdf(0.975) * error
    inside = (np.abs(differences.mean(axis=1)) + width < margin).mean()
    assert 0.78 <= inside <= 0.83
