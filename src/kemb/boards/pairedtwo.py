"""The items of two results side by side: the difference of a cell on every bootstrap replicate, and item by item."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kemb import statistics
from kemb.boards.expressions import names_in
from kemb.boards.items import part_measures
from kemb.boards.paired import Flip, PartItems, flips, goodness, wins_ties_losses
from kemb.errors import NotSupported
from kemb.results.files import TaskResult, read_items
from kemb.scoring.recompute import of_metric, of_part
from kemb.scoring.similarity import SIMILARITIES
from kemb.types import DoubleArray, IntArray, Part, TaskData


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two results of one task, to be compared on some of their parts."""

    results: tuple[TaskResult, TaskResult]
    parts: Sequence[tuple[str, str]]
    expression: str
    data: TaskData | None = None
    """Texts and judgments for the items that are shown."""


@dataclass(frozen=True, slots=True)
class PairedPart:
    """What the items of one (split, subset) say of the difference B - A."""

    replicates: DoubleArray | None
    """[n_replicates]; None where the metric cannot be computed on a resample."""
    is_mean: bool
    """Whether the difference is the mean of `differences`."""
    differences: DoubleArray
    """[n_items] of `goodness`; empty where there is none."""
    clusters: IntArray | None
    """[n_items], items that are not independent of each other."""
    n_items: int
    wins_ties_losses: tuple[int, int, int] | None
    flips: list[Flip]


def paired_parts(pairing: Pairing, n_replicates: int, seed: int, n_flips: int) -> list[PairedPart]:
    """Every part of a pairing.

    Raises:
        ResultError: the items of one result are missing, changed, or not those of the other.
    """
    tables = [read_items(result) for result in pairing.results]
    return [_paired_part(pairing, tables, where, n_replicates, seed, n_flips) for where in pairing.parts]


def _paired_part(
    pairing: Pairing, tables: Sequence[pa.Table], where: tuple[str, str], n_replicates: int, seed: int, n_flips: int
) -> PairedPart:
    own = [of_part(table, *where) for table in tables]
    parts = pairing.data.parts if pairing.data else []
    replicates, clusters, is_mean = None, None, False
    expression = _expression(pairing)
    # Without measures there is no interval, but there still are items to look at.
    with contextlib.suppress(NotSupported):
        found = part_measures(pairing.results, own, where, pairing.expression)
        both = found.replicates(n_replicates, seed)
        replicates, clusters, expression = both[:, 1] - both[:, 0], found.clusters, found.expression
        is_mean = "f1_of_means" not in expression
        is_mean = is_mean and all(isinstance(measure, statistics.MeanMeasure) for measure in found.measures.values())
    part = next((part for part in parts if (part.split, part.subset) == where), None)
    items = _items(pairing, own, where, expression, part)
    judged = goodness(items)
    if judged is None:
        n_items = len(of_metric(own[0], "gold"))
        return PairedPart(replicates, False, np.empty(0), clusters, n_items, None, [])
    ids, values = judged
    counts, changed = wins_ties_losses(values), flips(items, ids, values, n_flips)
    return PairedPart(replicates, is_mean, values[1] - values[0], clusters, len(ids), counts, changed)


def item_values(pairing: Pairing, where: tuple[str, str]) -> tuple[list[str], DoubleArray] | None:
    """Item ids [n] of a part and how well each result does on them [2, n]; see `kemb.boards.paired.goodness`.

    Raises:
        ResultError: as `paired_parts`.
    """
    own = [of_part(read_items(result), *where) for result in pairing.results]
    return goodness(_items(pairing, own, where, _expression(pairing), None))


def _items(
    pairing: Pairing, own: Sequence[pa.Table], where: tuple[str, str], expression: str, part: Part | None
) -> PartItems:
    return PartItems(
        *where,
        task_type=str(pairing.results[0].kemb["task"]["type"]),
        metric=expression,
        similarity=_deciding_similarity(pairing, expression),
        tables=(own[0], own[1]),
        part=part,
    )


def _expression(pairing: Pairing) -> str:
    main = str(pairing.results[0].kemb["task"]["main_metric"])
    return main if pairing.expression == "main_score" else pairing.expression


def _deciding_similarity(pairing: Pairing, expression: str) -> str:
    """The similarity of the metric, or the declared one where the metric is of several."""
    prefixes = {name.partition("_")[0] for name in names_in(expression)}
    named = next(iter(prefixes)) if len(prefixes) == 1 else ""
    return named if named in SIMILARITIES else str(pairing.results[0].kemb["model"]["similarity"])
