"""Resampling, intervals, tests and rank sets; everything random is derived from a key, so that it
never changes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, IntArray

N_REPLICATES = 2000
LEVEL = 0.95
ZONE = 0.005
"""Practical equality: half a point."""
N_FLIPS = 9999
EXACT_UP_TO = 18
"""Differences of which all 2^n sign patterns are tried."""

Verdict = Literal["better", "worse", "practically equal", "undecided"]
Key = Sequence[str | int]


def generator(key: Key) -> np.random.Generator:
    """Random numbers that depend on nothing but the key (seed, task, split, subset, ...)."""
    digest = hashlib.sha256(json.dumps([str(part) for part in key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def draw_counts(
    n_items: int, n_replicates: int, key: Key, clusters: IntArray | None = None
) -> NDArray[np.int32]:
    """How often each item is drawn in each resample with replacement [n_replicates, n_items].

    The same for every model: differences between models are paired.

    :param n_items: items of the part.
    :param n_replicates: resamples.
    :param key: names the part.
    :param clusters: cluster of every item [n_items], where items are not independent (questions on
        one document). Whole clusters are drawn, as many as there are, so that the number of items
        varies.
    """
    if clusters is not None:
        numbers = np.unique(clusters, return_inverse=True)[1]
        return draw_counts(int(numbers.max()) + 1, n_replicates, key)[:, numbers]
    rng = generator(key)
    counts = np.empty((n_replicates, n_items), dtype=np.int32)
    for row in range(n_replicates):
        counts[row] = np.bincount(rng.integers(0, n_items, n_items), minlength=n_items)
    return counts


def interval(replicates: DoubleArray, level: float = LEVEL) -> tuple[DoubleArray, DoubleArray]:
    """Percentile interval over the first axis of [B, ...] (Efron 1979)."""
    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return low, high


def resample_tasks(
    scores: DoubleArray,
    groups: Sequence[str],
    weights: Sequence[float] | DoubleArray,
    n_replicates: int,
    key: Key,
    replicates: DoubleArray | None = None,
) -> DoubleArray:
    """Overall scores [B, n_models] if other tasks of the same groups had been chosen.

    Tasks are drawn with replacement inside their group, and a group keeps its weight. A group of
    one task does not vary.

    :param scores: [n_models, n_tasks].
    :param groups: the group of every task.
    :param weights: of every task in the overall score.
    :param n_replicates: resamples.
    :param key: names what is resampled.
    :param replicates: [B, n_models, n_tasks] of item resamples; then items vary inside the drawn
        tasks as well.
    """
    task_weights = weigh_draws(
        draw_tasks(groups, n_replicates, key), groups, np.asarray(weights, dtype=np.float64)
    )
    if replicates is None:
        return task_weights @ scores.T
    combined: DoubleArray = np.einsum("bt,bmt->bm", task_weights, replicates)
    return combined


def draw_tasks(groups: Sequence[str], n_replicates: int, key: Key) -> IntArray:
    """How often each task is drawn [n_replicates, n_tasks], with replacement inside its group."""
    rng = generator(key)
    counts = np.zeros((n_replicates, len(groups)), dtype=np.int64)
    for group in dict.fromkeys(groups):
        tasks = np.flatnonzero([name == group for name in groups])
        draws = rng.integers(0, len(tasks), (n_replicates, len(tasks)))
        counts[:, tasks] = np.stack(
            [(draws == place).sum(axis=1) for place in range(len(tasks))], axis=1
        )
    return counts


def weigh_draws(counts: IntArray, groups: Sequence[str], weights: DoubleArray) -> DoubleArray:
    """The weight of every task in every replicate [n_replicates, n_tasks]: a group keeps the sum of
    its weights.

    Where the tasks drawn have no weight at all, the group has none in that replicate.
    """
    task_weights = np.zeros(counts.shape)
    for group in dict.fromkeys(groups):
        tasks = np.flatnonzero([name == group for name in groups])
        group_weights = counts[:, tasks] * weights[tasks]
        total = group_weights.sum(axis=1, keepdims=True)
        task_weights[:, tasks] = np.divide(
            group_weights * weights[tasks].sum(),
            total,
            out=np.zeros_like(group_weights),
            where=total > 0,
        )
    return task_weights


def sign_flip(
    differences: DoubleArray,
    n_flips: int = N_FLIPS,
    key: Key = (),
    clusters: IntArray | None = None,
) -> float:
    """Two-sided p value of paired differences [n] under the hypothesis that their signs are chance.

    All sign patterns are tried where at most 18 differences (or clusters of them) are not 0, else
    `n_flips` random ones and p = (1 + those at least as extreme) / (1 + n_flips) (Fisher 1935;
    Phipson and Smyth 2010).

    :param clusters: of every difference [n]; the signs of a cluster flip together.
    """
    sums = (
        differences
        if clusters is None
        else np.bincount(np.unique(clusters, return_inverse=True)[1], differences)
    )
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    observed = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()
    if len(sums) <= EXACT_UP_TO:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(sums) - 1))).reshape(
            2 ** (len(sums) - 1), len(sums) - 1
        )
        return float(np.mean(np.abs(sums[0] + signs @ sums[1:]) >= observed))
    rng, n_extreme = generator(key), 0
    for start in range(0, n_flips, 512):
        n = min(512, n_flips - start)
        bits = np.unpackbits(
            np.frombuffer(rng.bytes(n * -(-len(sums) // 8)), dtype=np.uint8).reshape(n, -1), axis=1
        )
        flipped = 2 * (bits[:, : len(sums)].astype(np.float64) @ sums) - sums.sum()
        n_extreme += int(np.count_nonzero(np.abs(flipped) >= observed))
    return (1 + n_extreme) / (1 + n_flips)


def holm(p_values: DoubleArray) -> DoubleArray:
    """Adjusted p values of a family (Holm 1979): rejecting those up to 5 % errs at all in at most 5
    % of families.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1)
    return adjusted


def max_t(replicates: DoubleArray, point: DoubleArray) -> DoubleArray:
    """Adjusted p values [K] of K differences by step-down max-|t| (Westfall and Young 1993; Romano
    and Wolf 2005).

    The differences may depend on each other in any way, as their replicates do.

    :param replicates: of the differences [B, K]; they are centred here.
    :param point: the observed differences [K].
    """
    error = replicates.std(axis=0, ddof=1)
    observed = _studentised(np.abs(point), error)
    order = np.argsort(-observed, kind="stable")
    highest = np.full(len(replicates), -np.inf)
    adjusted = np.empty(len(point))
    for place in order[::-1]:  # from the smallest |t|: the maximum over all that are not larger
        highest = np.maximum(
            highest, _studentised(np.abs(replicates[:, place] - point[place]), error[place])
        )
        adjusted[place] = (1 + np.count_nonzero(highest >= observed[place])) / (1 + len(replicates))
    adjusted[order] = np.maximum.accumulate(adjusted[order])
    return adjusted


def minimum_detectable(deviation: float, n: int, level: float = LEVEL, power: float = 0.8) -> float:
    """The smallest true mean difference that a two-sided test finds with the given power: (z + z')
    sd / sqrt(n).

    :param deviation: standard deviation of the paired differences of n items.
    """
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)) * deviation / float(np.sqrt(n))


def verdict(low: float, high: float, zone: float = ZONE) -> Verdict:
    """What an interval of a difference allows to say.

    "practically equal": it lies within +-zone. "better" or "worse": it lies on one side of 0, and
    not within the zone. "undecided": everything else.
    """
    if -zone <= low and high <= zone:
        return "practically equal"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"


def _studentised(differences: DoubleArray, error: DoubleArray) -> DoubleArray:
    """Differences / error; 0 where nothing differs and infinite where a constant difference has no
    error.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: DoubleArray = np.where(differences <= 1e-12, 0.0, differences / error)
    return ratio


_CELLS = 1 << 22
"""Differences that are in memory at once."""


def rank_intervals(better: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Lowest and highest rank of every model [n_models]; together they hold all true ranks with
    the probability of the decided pairs.

    A rank is between 1 + the number of certainly better and n - the number of certainly worse
    models (Mogstad, Romano, Shaikh and Wilhelm 2024).

    :param better: of `certainly_better` [n_models, n_models].
    """
    return 1 + better.sum(axis=0), len(better) - better.sum(axis=1)


def certainly_better(
    point: DoubleArray, replicates: DoubleArray, level: float = LEVEL
) -> NDArray[np.bool_]:
    """Which model (row) is certainly better than which (column) [n_models, n_models].

    Every pair is two hypotheses, one for each order. The critical value is the quantile of the
    largest t of all hypotheses; it is found again without the rejected ones until no more are
    (Romano and Wolf 2005). The opposite of a rejected hypothesis stays, or wrong orders would not
    be controlled; csranks, by the authors, does the same.

    :param point: overall scores [n_models], higher is better.
    :param replicates: [B, n_models].
    :param level: of the whole set.
    """
    n = len(point)
    firsts, seconds = np.triu_indices(n, 1)
    differences = point[firsts] - point[seconds]
    step = max(1, _CELLS // len(replicates))
    blocks = [slice(start, start + step) for start in range(0, len(firsts), step)]
    error = np.empty(len(firsts))
    for block in blocks:
        error[block] = (replicates[:, firsts[block]] - replicates[:, seconds[block]]).std(
            axis=0, ddof=1
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.where(np.abs(differences) <= 1e-12, 0.0, np.abs(differences) / error)
    decided = np.zeros(len(firsts), dtype=np.bool_)
    while not decided.all():
        highest = np.zeros(len(replicates))
        for block in blocks:
            pairs = np.flatnonzero(error[block] > 0) + block.start
            centred = (
                replicates[:, firsts[pairs]] - replicates[:, seconds[pairs]] - differences[pairs]
            )
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


def joint_intervals(
    point: DoubleArray, replicates: DoubleArray, level: float = LEVEL
) -> tuple[DoubleArray, DoubleArray]:
    """Intervals of the differences row - column of all pairs, low and high [n_models, n_models],
    which all hold together with the probability of the level.

    Single-step max-|t|: every difference +- the quantile of the largest |t| of all pairs times its
    own standard error (Hothorn, Bretz and Westfall 2008; by the bootstrap, Romano and Wolf 2005).
    Wider than `certainly_better` needs, which decides signs only.

    :param point: overall scores [n_models].
    :param replicates: [B, n_models].
    :param level: of all intervals together.
    """
    n = len(point)
    firsts, seconds = np.triu_indices(n, 1)
    differences = point[:, None] - point[None, :]
    errors = np.zeros((n, n))
    highest = np.zeros(len(replicates))
    for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
        centred = replicates[:, first] - replicates[:, second] - differences[first, second]
        error = float(centred.std(ddof=1))
        errors[first, second] = errors[second, first] = error
        if error > 0:
            highest = np.maximum(highest, np.abs(centred) / error)
    width = float(np.quantile(highest, level, method="higher")) * errors
    return differences - width, differences + width


def rank_probability(replicates: DoubleArray, k: int) -> DoubleArray:
    """The share of replicates [B, n_models] in which each model is among the first k; equal models
    share a place.
    """
    kth = np.sort(replicates, axis=1)[:, ::-1][:, min(k, replicates.shape[1]) - 1]
    return np.asarray((replicates >= kth[:, None]).mean(axis=0), dtype=np.float64)


def mean_ranks(scores: DoubleArray) -> DoubleArray:
    """Ranks of a column of scores [n_models] from 1 for the highest; equal scores share the mean of
    their ranks.
    """
    order = np.sort(-scores)
    ranks: DoubleArray = (
        np.searchsorted(order, -scores, "left") + np.searchsorted(order, -scores, "right") + 1
    ) / 2
    return ranks


def borda(scores: DoubleArray) -> DoubleArray:
    """Borda counts [n_models] of scores [n_models, n_tasks]: per task the number of models minus
    the mean rank.

    As mteb counts; but a missing score (NaN) is refused by callers, not counted as nothing.
    """
    counts: DoubleArray = np.sum([len(scores) - mean_ranks(column) for column in scores.T], axis=0)
    return counts


def standardised_mean(scores: DoubleArray, weights: DoubleArray) -> DoubleArray:
    """Weighted means [n_models] of z-scores: every task counts with the same spread over the models
    shown.
    """
    spread = scores.std(axis=0)
    z = np.divide(scores - scores.mean(axis=0), spread, out=np.zeros_like(scores), where=spread > 0)
    total: DoubleArray = z @ weights
    return total
