"""The items of several model rows -> measures, which know what a cell's score is on any resample of
its items.

Rows are aligned by item id: every measure has one line per row and one column per item, and all
rows are resampled together, so that what is hard for all of them cancels out in their differences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.boards.benchmark import CellSpec, Formula
from kemb.boards.cells import declared_parts, expression_of
from kemb.boards.expressions import evaluate, names_in
from kemb.errors import NotSupported, ResultError
from kemb.results.files import TaskResult, read_items
from kemb.scoring.dependence import cluster_codes
from kemb.scoring.items import of_metric, of_part
from kemb.scoring.pairs import LEADERBOARD_CORRELATIONS
from kemb.tasks.kinds import KINDS, Kind
from kemb.types import SIMILARITIES

FEWEST = 2
"""Items, or clusters of them, that make an interval possible."""
_COMPOSITE = re.compile(r"\b(main_score|mean_correlation|v_measure)\b")


@dataclass(frozen=True, slots=True)
class PartMeasures:
    """One (split, subset) of a task, of M rows over the same items."""

    task: str
    split: str
    subset: str
    item_ids: list[str]
    expression: str
    """Of the names of `measures`."""
    measures: dict[str, statistics.Measure]
    clusters: IntArray | None
    """[n_items]: items of one cluster are drawn together; None where all are independent."""
    lacks_clusters: bool = False
    """Whether these are questions of results that do not say which share a right passage, so that
    they are drawn one by one.
    """

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @property
    def n_independent(self) -> int:
        """Items, or clusters of them, that are drawn on their own; of less than two there is no
        interval.
        """
        return n_independent(self.clusters, self.n_items)

    def point(self) -> DoubleArray:
        """The scores [M] of the items as they are."""
        return evaluate(
            self.expression, {name: measure.point() for name, measure in self.measures.items()}
        )

    def replicates(self, n_replicates: int, seed: int) -> DoubleArray:
        """The scores [n_replicates, M] of resampled items; the same resamples for every row and
        metric.

        Their mean is moved to the point: a resample repeats items, which lifts the v-measure by
        points (pairs of equal documents always agree) and average precision a little, so that the
        interval of the raw replicates can miss the very score it belongs to. Differences between
        rows keep their spread.
        """
        counts = statistics.draw_counts(
            self.n_items,
            n_replicates,
            [seed, self.task, self.split, self.subset],
            clusters=self.clusters,
        )
        raw = evaluate(
            self.expression, {name: m.replicates(counts) for name, m in self.measures.items()}
        )
        centred: DoubleArray = raw + (self.point() - raw.mean(axis=0))
        return centred


def n_independent(clusters: IntArray | None, n_items: int) -> int:
    """How many things are drawn when items are resampled: the items, or their clusters."""
    return n_items if clusters is None else len(np.unique(clusters))


def cell_measures(
    cell: CellSpec, formula: Formula, rows: Sequence[Mapping[str, TaskResult]]
) -> list[PartMeasures]:
    """All parts of a cell, or of its members; the cell is their mean.

    :param rows: for every model row its results by task.
    :raises ResultError: items are missing, were changed, or are others in another row.
    :raises NotSupported: a metric that cannot be computed again on a resample; rows of which some
        hold the task and others its members, or members with different numbers of parts.
    """
    tasks = [cell.task] if all(cell.task in row for row in rows) else cell.members
    if not tasks or any(task not in row for row in rows for task in tasks):
        raise NotSupported(f"the rows do not hold the same tasks for {cell.title}")
    parts_by_task: list[list[PartMeasures]] = []
    for task in tasks:
        results = [row[task] for row in rows]
        tables = [read_items(result) for result in results]
        recorded = [
            (split, str(entry["hf_subset"]))
            for split, part in results[0].scores.items()
            for entry in part
        ]
        parts = declared_parts(cell) or recorded
        parts_by_task.append(
            [part_measures(results, tables, part, expression_of(cell, formula)) for part in parts]
        )
    if len({len(parts) for parts in parts_by_task}) > 1:
        raise NotSupported(f"the members of {cell.title} have different numbers of parts")
    return [part for parts in parts_by_task for part in parts]


def cell_replicates(parts: Sequence[PartMeasures], n_replicates: int, seed: int) -> DoubleArray:
    """The scores [n_replicates, M] of a cell: the mean over its parts, each resampled on
    its own.
    """
    total: DoubleArray = sum(
        (part.replicates(n_replicates, seed) for part in parts[1:]),
        start=parts[0].replicates(n_replicates, seed),
    )
    return total / len(parts)


def n_items(result: TaskResult, parts: Sequence[tuple[str, str]]) -> int:
    """Items of a result: questions, pairs, texts, of some of its (split, subset).

    :raises ResultError: the items are missing or were changed.
    """
    table = read_items(result)
    return sum(len(of_part(table, *part)["item_id"].unique()) for part in parts)


def part_measures(
    results: Sequence[TaskResult],
    tables: Sequence[pa.Table],
    part: tuple[str, str],
    expression: str,
) -> PartMeasures:
    """The measures of one (split, subset) of a task.

    :param results: one for each row, of the same task.
    :param tables: their items, whole (`results.read_items`).
    :raises ResultError: the items of two rows are not the same.
    :raises NotSupported: a metric that cannot be computed again on a resample.
    """
    part_tables = [of_part(table, *part) for table in tables]
    items = _Items(results, part_tables, part)
    item_ids = items.ids  # first, as it refuses a table without items
    expression = items.expand(expression)
    measures = {name: items.measure(name) for name in names_in(expression)}
    return PartMeasures(
        results[0].task,
        *part,
        item_ids,
        expression,
        measures,
        items.clusters,
        items.lacks_clusters,
    )


@dataclass(frozen=True)
class _Items:
    """The item tables [M] of one part."""

    results: Sequence[TaskResult]
    tables: Sequence[pa.Table]
    part: tuple[str, str]

    @property
    def kind(self) -> Kind | None:
        """The row of the task's type; None where kemb does not know it."""
        return KINDS.get(self.results[0].record.task.type)

    @cached_property
    def names(self) -> set[str]:
        """The metrics there are items of, in the first row."""
        return set(self.tables[0]["metric"].unique().to_pylist())

    @cached_property
    def anchor(self) -> pa.Table:
        """The items of the first row, each once: they set the order for all rows."""
        metrics = ["gold", "gold_level_0", "ndcg@10", "f1"]
        if self.kind is not None and self.kind.items == "values":
            # Of documents where gold scores are those of summaries, of merged queries where those
            # are scored.
            metrics.insert(0, self.results[0].record.task.main_metric)
        first = next((name for name in metrics if name in self.names), "")
        return of_metric(self.tables[0], first)

    @cached_property
    def ids(self) -> list[str]:
        if not self.anchor.num_rows:
            raise self._other_items(self.results[0])
        ids: list[str] = self.anchor["item_id"].to_pylist()
        return ids

    @cached_property
    def place(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.ids)}

    @cached_property
    def clusters(self) -> IntArray | None:
        return None if self._cluster_ids is None else cluster_codes(self._cluster_ids)

    @property
    def lacks_clusters(self) -> bool:
        return self.kind is not None and self.kind.is_ranking and self._cluster_ids is None

    @cached_property
    def _cluster_ids(self) -> list[str] | None:
        """Of the items in the order of `ids`, by the first row that says it for all of them:
        results of before questions had clusters may stand beside newer ones.
        """
        metric = self.anchor["metric"][0].as_py()
        for row, table in enumerate(self.tables):
            of_row = of_metric(table, metric)
            if len(of_row) == len(self.ids) and not of_row["cluster_id"].null_count:
                order = np.argsort(self._places(of_row, row))
                cluster_ids: list[str] = of_row["cluster_id"].take(order).to_pylist()
                return cluster_ids
        return None

    def expand(self, expression: str) -> str:
        """The expression in names that items are kept of: composite metrics are means of them."""

        def parts(match: re.Match[str]) -> str:
            name = match[1]
            if name == "main_score":
                return self.expand(self.results[0].record.task.main_metric)
            if name == "mean_correlation":
                return f"mean({', '.join(LEADERBOARD_CORRELATIONS)})"
            levels = sorted(
                metric.removeprefix("gold")
                for metric in self.names
                if metric.startswith("gold_level_")
            )
            return f"mean({', '.join(name + level for level in levels)})" if levels else name

        return _COMPOSITE.sub(parts, expression)

    def measure(self, name: str) -> statistics.Measure:
        prefix, _, metric = name.rpartition("_")
        scores = self.names - self.kind.no_scores if self.kind else set()
        match self.kind.items if self.kind else "":
            case "values" if name in scores:
                return statistics.MeanMeasure(self.column([name] * len(self.results)))
            case "values" if not prefix and f"cosine_{metric}" in scores:
                return statistics.MeanMeasure(self.column(self._declared(prefix, f"_{metric}")))
            case "predictions" if name == "accuracy":
                return statistics.MeanMeasure(self._share_right())
            case "ranks" if metric in ("pearson", "spearman"):
                kind = "pearson" if metric == "pearson" else "spearman"
                return statistics.CorrelationMeasure(self._gold(), self._similarities(prefix), kind)  # type: ignore[arg-type]
            case "order" if metric == "ap":
                labels = self._gold().astype(np.int64)
                if prefix != "max":
                    return statistics.PrecisionMeasure(labels, self._similarities(prefix))
                return statistics.PrecisionMeasure(
                    labels, np.stack([self._similarities(s) for s in SIMILARITIES], axis=1)
                )
            case "clusters" if name.startswith("v_measure") and not name.endswith("_std"):
                return self._v_measure(name.removeprefix("v_measure"))
        raise NotSupported(
            f"{self.results[0].task}: {name} cannot be computed again on a resample of its items"
        )

    def column(self, names: Sequence[str]) -> DoubleArray:
        """Values [M, n] of one metric for each row, in the order of `ids`."""
        out = np.empty((len(self.results), len(self.ids)))
        for row, name in enumerate(names):
            metric_table = of_metric(self.tables[row], name)
            places = self._places(metric_table, row)
            if len(places) != len(self.ids) or len(np.unique(places)) != len(places):
                raise self._other_items(self.results[row])
            out[row, places] = metric_table["value"].to_numpy()
        return out

    def _places(self, metric_table: pa.Table, row: int) -> IntArray:
        """For every line of a table the place of its item."""
        ids = metric_table["item_id"].to_pylist()
        if ids == self.ids:
            return np.arange(len(ids))
        places = np.array([self.place.get(item_id, -1) for item_id in ids], dtype=np.int64)
        if (places < 0).any():
            raise self._other_items(self.results[row])
        return places

    def _other_items(self, result: TaskResult) -> ResultError:
        where = "/".join(self.part)
        return ResultError(
            f"The items of {where} in {result.path} are not those of the other rows, or are "
            f"missing. Run {result.task} again for {result.model} with --overwrite."
        )

    def _gold(self) -> DoubleArray:
        gold: DoubleArray = self.column(["gold"] * len(self.results))[0]
        return gold

    def _similarities(self, prefix: str) -> DoubleArray:
        """[M, n]; without a prefix, or with `similarity`, the one that each row's model
        declares.
        """
        return self.column(self._declared(prefix))

    def _declared(self, prefix: str, suffix: str = "") -> list[str]:
        """For each row the name of a similarity; without a prefix, or with `similarity`, the one
        its model declares.
        """
        similarities = [result.record.model.similarity for result in self.results]
        return [
            f"{similarity if prefix in ('', 'similarity') else prefix}{suffix}"
            for similarity in similarities
        ]

    def _share_right(self) -> DoubleArray:
        """[M, n]: of the experiments, the share that predicts the label."""
        shares = []
        for row, table in enumerate(self.tables):
            predictions = of_metric(table, "prediction")
            right = np.bincount(
                self._places(predictions, row),
                predictions["value"].to_numpy(),
                minlength=len(self.ids),
            )
            if not predictions.num_rows or predictions.num_rows % len(self.ids):
                raise self._other_items(self.results[row])
            shares.append(right / (predictions.num_rows // len(self.ids)))
        return np.stack(shares)

    def _v_measure(self, level: str) -> statistics.VMeasure:
        """Assignments [M, experiments, n], -1 where a document was not drawn, and how often
        it was.
        """
        gold = of_metric(self.tables[0], f"gold{level}")
        labels = np.zeros(
            len(self.ids), dtype=np.int64
        )  # documents without this level are never drawn
        labels[self._places(gold, 0)] = gold["value"].to_numpy().astype(np.int64)
        assignment_tables = [of_metric(table, f"assignment{level}") for table in self.tables]
        for row, table in enumerate(assignment_tables):
            if not table.num_rows:
                raise self._other_items(self.results[row])
        numbers = [table["experiment"].to_numpy() for table in assignment_tables]
        experiments = np.unique(np.concatenate(numbers))
        shape = (len(self.tables), len(experiments), len(self.ids))
        assignments, draws = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, table in enumerate(assignment_tables):
            draw_table = of_metric(self.tables[row], f"n_draws{level}")
            where = (
                np.searchsorted(experiments, numbers[row]),
                self._places(table, row),
            )
            assignments[row][where] = table["value"].to_numpy().astype(np.int64)
            draws[row][where] = (
                draw_table["value"].to_numpy().astype(np.int64) if draw_table.num_rows else 1
            )
        return statistics.VMeasure(
            labels, assignments, draws[:1] if (draws == draws[:1]).all() else draws
        )
