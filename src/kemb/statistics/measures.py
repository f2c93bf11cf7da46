"""Metrics of one part of a task, for several models over the same items, recomputed on resamples of
the items.

A resample is a row of counts: how often each item was drawn. Every measure gives its `point`
[n_models], and its
`replicates` [B, n_models] for counts [B, n_items]; each replicate equals the metric on the items
    written out as often
as they were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray, IntArray

BLOCK = 256
"""Replicates that are worked on together: their rows of items stay in the cache."""

Counts = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class MeanMeasure:
    """The mean of item scores, `values` [n_models, n_items]."""

    values: DoubleArray

    def point(self) -> DoubleArray:
        """The means [n_models]."""
        means: DoubleArray = self.values.mean(axis=1)
        return means

    def replicates(self, counts: Counts) -> DoubleArray:
        """The means of the resamples [B, n_models]."""
        out = np.empty((len(counts), len(self.values)))
        for rows in _blocks(len(counts)):
            weights = counts[rows].astype(np.float64)
            out[rows] = weights @ self.values.T / weights.sum(axis=1)[:, None]
        return out


@dataclass(frozen=True, slots=True)
class CorrelationMeasure:
    """Pearson's or Spearman's correlation of `similarities` [n_models, n_items] with `gold`
    [n_items].

    Ties get mean ranks. A resample in which one of the two is constant has no correlation: NaN.
    """

    gold: DoubleArray
    similarities: DoubleArray
    kind: Literal["spearman", "pearson"] = "spearman"

    def point(self) -> DoubleArray:
        """The correlations [n_models]."""
        return _of_all(self, len(self.gold))

    def replicates(self, counts: Counts) -> DoubleArray:
        """The correlations of the resamples [B, n_models]."""
        return self._pearson(counts) if self.kind == "pearson" else self._spearman(counts)

    def _pearson(self, counts: Counts) -> DoubleArray:
        y = self.gold - self.gold.mean()
        x = self.similarities - self.similarities.mean(axis=1, keepdims=True)
        out = np.empty((len(counts), len(x)))
        for rows in _blocks(len(counts)):
            w = counts[rows].astype(np.float64)
            n = w.sum(axis=1)[:, None]
            mean_x, mean_y = w @ x.T / n, (w @ y)[:, None] / n
            covariance = w @ (x * y).T / n - mean_x * mean_y
            variance = (w @ (x * x).T / n - mean_x**2) * ((w @ (y * y))[:, None] / n - mean_y**2)
            out[rows] = _ratio(covariance, np.sqrt(np.maximum(variance, 0)), np.nan)
        return out

    def _spearman(self, counts: Counts) -> DoubleArray:
        gold = _Order.of(self.gold)
        orders, of_model = _distinct([_Order.of(row) for row in self.similarities])
        out = np.empty((len(counts), len(orders)))
        with ThreadPoolExecutor() as pool:
            for rows in _blocks(len(counts)):
                item_counts = np.ascontiguousarray(counts[rows].T, dtype=np.float64)
                centred, spread = gold.centred_ranks(item_counts)
                weighted = gold.scatter(centred) * item_counts

                def correlate(
                    order: _Order,
                    item_counts: DoubleArray = item_counts,
                    weighted: DoubleArray = weighted,
                ) -> tuple[DoubleArray, DoubleArray]:
                    ranks, order_spread = order.centred_ranks(item_counts)
                    return np.einsum("ij,ij->j", ranks, order.gather(weighted)), order_spread

                for column, (covariance, order_spread) in enumerate(pool.map(correlate, orders)):
                    out[rows, column] = _ratio(covariance, np.sqrt(spread * order_spread), np.nan)
        correlations: DoubleArray = out[:, of_model]
        return correlations


@dataclass(frozen=True, slots=True)
class PrecisionMeasure:
    """Average precision of `similarities` for `labels` [n_items] of 0 and 1, as scikit-learn
    computes it.

    `similarities` is [n_models, n_items]; or [n_models, n_orderings, n_items], of which the best
        average precision
    counts (mteb's `max_ap`). A resample without positive items has none: NaN.
    """

    labels: IntArray
    similarities: DoubleArray

    def point(self) -> DoubleArray:
        """The average precisions [n_models]."""
        return _of_all(self, len(self.labels))

    def replicates(self, counts: Counts) -> DoubleArray:
        """The average precisions of the resamples [B, n_models]."""
        n_models, n_items = len(self.similarities), len(self.labels)
        every = self.similarities.reshape(-1, n_items)
        orders, of_row = _distinct([_Order.of(-row) for row in every])
        out = np.empty((len(counts), len(orders)))
        with ThreadPoolExecutor() as pool:
            for rows in _blocks(len(counts)):
                item_counts = np.ascontiguousarray(counts[rows].T, dtype=np.float32)
                for column, values in enumerate(
                    pool.map(lambda order, w=item_counts: self._precision(order, w), orders)
                ):
                    out[rows, column] = values
        best: DoubleArray = out[:, of_row].reshape(len(counts), n_models, -1).max(axis=2)
        return best

    def _precision(self, order: _Order, item_counts: NDArray[np.float32]) -> DoubleArray:
        """Of one ordering, for counts [n_items, B]; counts are whole numbers, exact in float32."""
        positive = self.labels[order.items] == 1
        places = np.flatnonzero(positive)
        sorted_counts = item_counts.take(
            order.items, axis=0
        )  # `take` lets other threads run, indexing does not
        hits = sorted_counts.take(places, axis=0)
        if order.starts is not None:
            group = np.searchsorted(order.starts, places, side="right") - 1
            ends = np.append(order.starts[1:], len(order.items)) - 1
            n_up_to = np.cumsum(sorted_counts, axis=0, out=sorted_counts).take(ends[group], axis=0)
            hits_up_to = np.cumsum(hits, axis=0)
            last = np.append(np.flatnonzero(np.diff(group)), len(group) - 1)
            hits_up_to = hits_up_to.take(last[np.searchsorted(group[last], group)], axis=0)
        else:
            n_up_to = np.cumsum(sorted_counts, axis=0, out=sorted_counts).take(places, axis=0)
            hits_up_to = np.cumsum(hits, axis=0)
        np.maximum(n_up_to, 1, out=n_up_to)
        total = hits.sum(axis=0, dtype=np.float64)
        hits_up_to /= n_up_to
        return _ratio(np.einsum("ij,ij->j", hits_up_to, hits, dtype=np.float64), total, np.nan)


@dataclass(frozen=True, slots=True)
class VMeasure:
    """The mean v-measure of several clusterings of drawn documents (Rosenberg and Hirschberg 2007).

    `labels` [n_items] are the classes, `assignments` [n_models, n_experiments, n_items] the
        clusters, and `draws`
    [n_models or 1, n_experiments, n_items] how often each document was drawn for the experiment; 0
    where it was not.
    """

    labels: IntArray
    assignments: IntArray
    draws: IntArray

    def point(self) -> DoubleArray:
        """The mean v-measures [n_models]."""
        return _of_all(self, len(self.labels))

    def replicates(self, counts: Counts) -> DoubleArray:
        """The mean v-measures of the resamples [B, n_models]; documents are resampled, not
        experiments.
        """
        n_models, n_experiments, _ = self.assignments.shape
        labels = np.unique(self.labels, return_inverse=True)[1]
        jobs = [
            (model, experiment) for model in range(n_models) for experiment in range(n_experiments)
        ]
        out = np.zeros((len(counts), n_models))
        most = int(counts.sum(axis=1).max(initial=1)) * int(self.draws.max(initial=1))
        table = np.arange(most + 1, dtype=np.float64)
        table[1:] *= np.log(table[1:])
        with ThreadPoolExecutor() as pool:
            for rows in _blocks(len(counts)):
                item_counts = np.ascontiguousarray(counts[rows].T, dtype=np.int32)

                def score(
                    job: tuple[int, int], item_counts: NDArray[np.int32] = item_counts
                ) -> DoubleArray:
                    model, experiment = job
                    draws = self.draws[model if len(self.draws) > 1 else 0, experiment]
                    return _v_measure(
                        labels, self.assignments[model, experiment], draws, item_counts, table
                    )

                for (model, _), values in zip(jobs, pool.map(score, jobs), strict=True):
                    out[rows, model] += values / n_experiments
        return out


def _of_all(measure: CorrelationMeasure | PrecisionMeasure | VMeasure, n_items: int) -> DoubleArray:
    point: DoubleArray = measure.replicates(np.ones((1, n_items), dtype=np.int64))[0]
    return point


Measure = MeanMeasure | CorrelationMeasure | PrecisionMeasure | VMeasure


def _v_measure(
    labels: IntArray,
    assignment: IntArray,
    draws: IntArray,
    item_counts: NDArray[np.int32],
    table: DoubleArray,
) -> DoubleArray:
    """V-measures [B] of one clustering: 2 (H(labels) + H(clusters) - H(both)) / (H(labels) +
    H(clusters)).

    :param table: x log x of 0, 1, 2, ..., as counts are whole numbers.
    """
    items = np.flatnonzero(draws > 0)
    clusters = np.unique(assignment[items], return_inverse=True)[1]
    cell = labels[items] * (clusters.max(initial=0) + 1) + clusters
    order = np.argsort(cell, kind="stable")
    items, cell = items[order], cell[order]
    weights = item_counts.take(items, axis=0)
    if (draws[items] != 1).any():
        weights *= draws[items, None].astype(np.int32)
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    both = np.add.reduceat(weights, starts, axis=0)
    cells = cell[starts]
    width = clusters.max(initial=0) + 1
    by_label = np.add.reduceat(both, np.flatnonzero(np.diff(cells // width, prepend=-1)), axis=0)
    by_cluster = np.zeros((width, both.shape[1]), dtype=np.int32)
    np.add.at(by_cluster, cells % width, both)
    # n H = n log n - sum of x log x, so that n cancels.
    whole = table.take(both.sum(axis=0))
    entropies = [whole - table.take(parts).sum(axis=0) for parts in (by_label, by_cluster, both)]
    apart = entropies[0] + entropies[1]
    shared = np.maximum(apart - entropies[2], 0)
    tiny = 1e-12 * np.maximum(whole, 1)
    return np.where(apart > tiny, _ratio(2 * shared, apart, 1.0), 1.0)


@dataclass(frozen=True, slots=True)
class _Order:
    """Items in ascending order of a score, and where groups of equal scores start (None where all
    differ).
    """

    items: IntArray
    starts: IntArray | None

    @classmethod
    def of(cls, scores: DoubleArray) -> _Order:
        items = np.argsort(scores, kind="stable")
        new = np.diff(scores[items], prepend=-np.inf) != 0
        return cls(items, None if new.all() else np.flatnonzero(new))

    def gather(self, values: DoubleArray) -> DoubleArray:
        """Values [n_items, B] in this order, summed over groups."""
        values_in_order: DoubleArray = values.take(self.items, axis=0)
        return (
            values_in_order
            if self.starts is None
            else np.add.reduceat(values_in_order, self.starts, axis=0)
        )

    def centred_ranks(self, item_counts: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Mean ranks minus their mean of groups [n_groups, B], and their sum of squares over drawn
        items [B].

        A group of w drawn items, with c drawn items up to its end, has the mean rank c - (w - 1) /
        2; the mean of all ranks is (n + 1) / 2.
        """
        counts = self.gather(item_counts)
        ranks = np.cumsum(counts, axis=0)
        total = ranks[-1].copy()
        ranks -= counts / 2
        ranks -= total / 2
        return ranks, np.einsum("ij,ij,ij->j", counts, ranks, ranks)

    def scatter(self, groups: DoubleArray) -> DoubleArray:
        """Values of groups [n_groups, B] in the order of the items [n_items, B]."""
        if self.starts is not None:
            groups = np.repeat(groups, np.diff(self.starts, append=len(self.items)), axis=0)
        out = np.empty_like(groups)
        out[self.items] = groups
        return out


def _distinct(orders: list[_Order]) -> tuple[list[_Order], IntArray]:
    """The orders that differ, and which of them each is: cosine and Euclidean order of unit vectors
    are one.
    """
    first: dict[tuple[bytes, bytes], int] = {}
    keys = [(o.items.tobytes(), b"" if o.starts is None else o.starts.tobytes()) for o in orders]
    numbers = np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)
    return [orders[int(np.argmax(numbers == number))] for number in range(len(first))], numbers


def _ratio(above: DoubleArray, below: DoubleArray, otherwise: float) -> DoubleArray:
    """Above / below, and `otherwise` where below is not above 0."""
    out = np.full(np.broadcast(above, below).shape, otherwise)
    ratio: DoubleArray = np.divide(above, below, out=out, where=below > 0)
    return ratio


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))
