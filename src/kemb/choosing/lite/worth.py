"""What a lite version is worth: every row's score on it beside that on the full task, and whether
both order the rows alike.

A pool treats its members unlike others: all of their first documents are in it, wrong ones too,
which others need not meet. So the order is compared on scores by pools that the row was not in; of
a member the pool is drawn again without it, as if it came later (Zobel 1998, as in
`kemb.drafting.left_out`).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.boards.lite import LEAST_SHARE
from kemb.scoring.judged import Ranking
from kemb.statistics.agreement import kendall_tau

DEPTH = 10
"""Documents of the full task that a lite version should hold."""
_FEWEST = 3
"""Rows, for a rank correlation."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A row on the full task and on the lite version."""

    row: str
    """`<row>@<revision>`."""
    is_pooled: bool
    is_derived: bool
    """Whether its lite scores are those of its stored ranking without the documents that the lite
    version does not have; else it was run on it.
    """
    share: float
    """Of its first ten documents of the full task, those that the lite version holds."""
    outside_share: float
    """As `share`, of the version that a pool without it draws."""
    full: DoubleArray
    """Of every question [n], as `lite` and `outside`."""
    lite: DoubleArray
    outside: DoubleArray
    """By a pool that it is not in: of rows that are in none the same as `lite`."""

    @property
    def is_marked(self) -> bool:
        """Whether too little of what it finds is in the lite version."""
        return self.share < LEAST_SHARE


@dataclass(frozen=True, slots=True)
class Turned:
    """Two rows that the full task tells apart and the lite version puts the other way round."""

    better: str
    worse: str
    full: float
    """better - worse."""
    lite: float
    p: float
    """Of the full task: paired sign flips, adjusted by Holm over all pairs."""


@dataclass(frozen=True, slots=True)
class Worth:
    """How far a lite version orders rows as the full task does, by pools that no row was in."""

    n_rows: int
    tau: float
    """Kendall's tau-b; NaN for fewer than three rows."""
    low: float
    high: float
    """Interval of tau by resampling questions."""
    n_apart: int
    """Pairs of rows that the full task tells apart."""
    turned: list[Turned]


def share_inside(ranking: Ranking, documents: Collection[str], depth: int = DEPTH) -> float:
    """The mean share of each question's first documents that are among some; 1 where nothing was
    ranked at all.

    :param ranking: of the full task.
    :param documents: ids; best a set.
    """
    shares = [
        fmean(document in documents for document in ranked[:depth])
        for ranked in ranking.values()
        if ranked
    ]
    return fmean(shares) if shares else 1.0


def worth(
    references: Sequence[Reference],
    clusters: IntArray | None,
    key: statistics.Key,
    n_replicates: int = statistics.N_REPLICATES,
    n_flips: int = statistics.N_FLIPS,
) -> Worth:
    """Compare the orders of some rows.

    :param clusters: of every question [n], where questions share right documents.
    :param key: names the task, for the resamples.
    """
    n_rows = len(references)
    full = np.array([reference.full for reference in references])
    outside = np.array([reference.outside for reference in references])
    tau = low = high = float("nan")
    if n_rows >= _FEWEST:
        tau = float(kendall_tau(full.mean(axis=1), outside.mean(axis=1)))
        counts = statistics.draw_counts(full.shape[1], n_replicates, key, clusters)
        replicates = kendall_tau(
            statistics.MeanMeasure(full).replicates(counts),
            statistics.MeanMeasure(outside).replicates(counts),
        )
        bounds = statistics.interval(replicates[np.isfinite(replicates)])
        low, high = map(float, bounds)
    apart = _apart(references, full, clusters, key, n_flips)
    turned = [
        turned_pair
        for (one, other), p in apart.items()
        if (turned_pair := _turned(references[one], references[other], p)) is not None
    ]
    return Worth(n_rows, tau, low, high, len(apart), turned)


def _apart(
    references: Sequence[Reference],
    full: DoubleArray,
    clusters: IntArray | None,
    key: statistics.Key,
    n_flips: int,
) -> Mapping[tuple[int, int], float]:
    """Pairs of rows, the better first, that the full task tells apart, with adjusted p values."""
    pairs = list(itertools.combinations(range(len(references)), 2))
    if not pairs:
        return {}
    p_values = [
        statistics.sign_flip(full[one] - full[other], n_flips, key, clusters)
        for one, other in pairs
    ]
    adjusted = statistics.holm(np.array(p_values)).tolist()
    means = full.mean(axis=1)
    return {
        (one, other) if means[one] > means[other] else (other, one): p
        for (one, other), p in zip(pairs, adjusted, strict=True)
        if p < 1 - statistics.LEVEL
    }


def _turned(better: Reference, worse: Reference, p: float) -> Turned | None:
    difference = float(better.outside.mean() - worse.outside.mean())
    if difference >= -1e-12:
        return None
    full = float(better.full.mean() - worse.full.mean())
    return Turned(better.row, worse.row, full, difference, p)
