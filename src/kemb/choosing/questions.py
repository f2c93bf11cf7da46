"""Several rows on the same questions: their scores, their resamples, and which questions depend on
each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.boards.compare import incomparable
from kemb.boards.items import FEWEST, PartMeasures, part_measures
from kemb.errors import UsageError
from kemb.results.files import TaskResult, read_items
from kemb.scoring.dependence import cluster_codes, question_clusters
from kemb.types import RetrievalData, TaskData

SEED = 42


@dataclass(frozen=True, slots=True)
class Questions:
    """M rows on the questions of one task."""

    metric: str
    parts: list[PartMeasures]
    """The score of the task is their unweighted mean."""

    @property
    def n_questions(self) -> int:
        return sum(part.n_items for part in self.parts)

    @property
    def n_clusters(self) -> int:
        """Questions that are independent of each other, those of one passage counting once."""
        return len(np.unique(self.clusters()))

    def point(self) -> DoubleArray:
        """The scores [M]."""
        return np.asarray(np.mean([part.point() for part in self.parts], axis=0), dtype=np.float64)

    def replicates(self, n_replicates: int = statistics.N_REPLICATES) -> DoubleArray:
        """The scores [n_replicates, M] of resampled questions, the same for every row; clusters are
        drawn whole.
        """
        parts = [part.replicates(n_replicates, SEED) for part in self.parts]
        return np.asarray(np.mean(parts, axis=0), dtype=np.float64)

    def values(self) -> DoubleArray | None:
        """Of every question [M, n] what it adds, so that the mean of a line is the score; None for
        metrics that are no means over questions.
        """
        columns = []
        for part in self.parts:
            measure = next(iter(part.measures.values()))
            if len(part.measures) != 1 or not isinstance(measure, statistics.MeanMeasure):
                return None
            share = self.n_questions / len(self.parts) / part.n_items
            columns.append(measure.values * share)
        return np.concatenate(columns, axis=1)

    def clusters(self) -> IntArray:
        """The cluster of every question [n], numbers of one part other than those of another."""
        numbers: list[IntArray] = []
        first = 0
        for part in self.parts:
            of_part = np.arange(part.n_items) if part.clusters is None else part.clusters
            numbers.append(first + of_part)
            first += int(of_part.max()) + 1
        return np.concatenate(numbers)


def questions_of(results: Sequence[TaskResult], data: TaskData) -> Questions:
    """The questions of a task as several rows answered them.

    :param results: of the same task, one for each row.
    :param data: the task's, for which questions share a passage where older results do not say it.
    :raises UsageError: results of other data than these, or that are not comparable.
    :raises ResultError: items are missing, were changed, or are others in another row.
    :raises NotSupported: a metric that cannot be computed again on a resample.
    """
    first = results[0]
    hashes = {f"{part.split}/{part.subset}": part.sha256 for part in data.parts}
    for result in results:
        if any(
            result.record.task.data_sha256.get(name) != sha256 for name, sha256 in hashes.items()
        ):
            raise UsageError(
                f"{result.path} was measured on another state of {data.task}. Measure it again: "
                f"kemb run, with the data as they are now and -m {result.model}."
            )
        if reason := incomparable(first, result, "main_score"):
            raise UsageError(
                f"{first.model} and {result.model} cannot be compared on {data.task}: {reason}."
            )
    tables = [read_items(result) for result in results]
    parts = []
    for part in data.parts:
        measures = part_measures(results, tables, (part.split, part.subset), "main_score")
        if measures.lacks_clusters and isinstance(part.data, RetrievalData):
            clusters = cluster_codes(question_clusters(part.data.qrels, measures.item_ids))
            measures = replace(measures, clusters=clusters, lacks_clusters=False)
        parts.append(measures)
    return Questions(first.record.task.main_metric, parts)


def refuse_one_cluster(questions: Questions, task: str) -> None:
    """Refuse questions that are drawn as one: all resamples are alike, and everything seems
    certain.

    :raises UsageError: there is one question, or all share right passages.
    """
    if questions.n_clusters >= FEWEST:
        return
    n = questions.n_questions
    which = "has 1 question" if n == 1 else f"has {n} questions that share right passages"
    raise UsageError(
        f"{task} {which}, so that nothing can be said of how sure a choice is. Add questions on "
        "other passages."
    )
