"""Cohen's kappa beside scikit-learn's, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, kendalltau
from sklearn.metrics import cohen_kappa_score

from kemb.statistics.agreement import agreement, kendall_tau


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 200))
    first = rng.choice(["accept", "edit", "reject"], n, p=[0.6, 0.1, 0.3])
    second = np.where(rng.random(n) < 0.7, first, rng.choice(["accept", "reject"], n))
    if len(set(first) | set(second)) < 2:
        pytest.skip("one kind of rating")
    of = agreement(first.tolist(), second.tolist())
    assert of.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert of.share_equal == pytest.approx(np.mean(first == second))


def test_by_hand() -> None:
    # Cohen's formula: 45 of 60 alike; 25 + 20, and 10 + 5 apart.
    first = ["yes"] * 25 + ["yes"] * 10 + ["no"] * 5 + ["no"] * 20
    second = ["yes"] * 25 + ["no"] * 10 + ["yes"] * 5 + ["no"] * 20
    expected = (35 * 30 + 25 * 30) / 60**2
    of = agreement(first, second)
    assert of.kappa == pytest.approx((0.75 - expected) / (1 - expected))
    assert of.low < of.kappa < of.high


def test_where_there_is_nothing_to_tell_kappa_is_none() -> None:
    assert math.isnan(agreement([], []).kappa)
    same = agreement(["accept"] * 30, ["accept"] * 30)
    assert same.share_equal == 1
    assert math.isnan(same.kappa)
    assert math.isnan(same.low)


def test_few_or_equal_ratings_make_no_sure_interval() -> None:
    assert math.isnan(agreement(["a", "b"] * 4, ["a", "b"] * 4).low)
    alike = agreement(["a", "b"] * 15, ["a", "b"] * 15)
    assert (alike.kappa, alike.high) == (1, 1)
    # No unequal pair among 30; by chance half are alike.
    bound = binomtest(0, 30, alternative="less").proportion_ci(0.95).high
    assert alike.low == pytest.approx(1 - bound / 0.5)
    assert agreement(["a", "b"] * 50, ["a", "b"] * 50).low > alike.low


def test_ratings_of_one_question_are_drawn_together() -> None:
    """Five passages of each of twenty questions that are rated alike tell no more than twenty."""
    first = ["right", "wrong"] * 10
    second = [*first[:15], *reversed(first[15:])]
    alone = agreement(first, second)
    fivefold = [value for value in first for _ in range(5)]
    others = [value for value in second for _ in range(5)]
    questions = [number for number in range(20) for _ in range(5)]
    together = agreement(fivefold, others, clusters=questions)
    assert (together.n, together.kappa) == (100, pytest.approx(alone.kappa))
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    assert agreement(fivefold, others).low > alone.low
    assert math.isnan(agreement(fivefold, others, clusters=[n % 9 for n in range(100)]).low)


@pytest.mark.slow
def test_the_interval_covers_the_true_kappa() -> None:
    """Two raters of the same truth with known habits, 100 things, 200 times."""
    rng = np.random.default_rng(5)
    chance = np.array([[0.40, 0.10], [0.05, 0.45]])
    by_chance = float(chance.sum(axis=1) @ chance.sum(axis=0))
    true_kappa = (np.trace(chance) - by_chance) / (1 - by_chance)
    n_covered = 0
    for _ in range(200):
        cells = rng.choice(4, 100, p=chance.ravel())
        of = agreement((cells // 2).tolist(), (cells % 2).tolist())
        n_covered += of.low <= true_kappa <= of.high
    assert 0.90 <= n_covered / 200 <= 0.99


def test_kendall_is_scipys_with_ties_and_over_many_lines() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 6, (2, 50, 9)).astype(np.float64)
    expected = [kendalltau(x, y).statistic for x, y in zip(one, other, strict=True)]
    assert kendall_tau(one, other) == pytest.approx(expected)
    assert kendall_tau(one[0], one[0]) == pytest.approx(1)
    assert np.isnan(kendall_tau(np.ones(4), np.arange(4.0)))
