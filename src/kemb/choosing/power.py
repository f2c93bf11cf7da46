"""How many questions are enough to tell two rows apart, or to show that they are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray
from kemb.choosing.decide import Decision
from kemb.choosing.questions import SEED, Questions, questions_of
from kemb.drafting.judgments import comparable
from kemb.drafting.pools import ranking_of_result
from kemb.errors import NotSupported, UsageError
from kemb.results.files import TaskResult
from kemb.results.rows import ResultRow
from kemb.tasks.own.decisions import Pair
from kemb.types import RetrievalData, TaskData

DIFFERENCE = 0.02
"""Two points: what is planned for unless somebody declares another difference."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Questions in all that reach a goal; the range is what is not known of the spread."""

    n_now: int
    low: int
    best: int
    high: int

    @property
    def more(self) -> tuple[int, int]:
        """The range of questions beyond those there are."""
        return max(0, self.low - self.n_now), max(0, self.high - self.n_now)


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes to compare two rows of a task."""

    task: str
    metric: str
    a: str
    b: str
    difference: float
    """The declared one, as a fraction; the observed one has no part in the plan."""
    power: float
    n_questions: int
    n_clusters: int
    """Questions that share no right passage."""
    deviation: float
    """Of paired differences; `kemb.statistics.deviation`."""
    to_see: Goal
    """The difference, where it is true."""
    to_equate: Goal
    """That they differ by less, where they are equal."""
    unjudged: tuple[Pair, ...] = ()
    """Pairs of question and passage without a judgment that could change the comparison, the
    heaviest first.
    """


def check_difference(difference: float) -> None:
    """
    :param difference: a fraction; 0.02 is two points.
    :raises UsageError: it is none that can be planned for.
    """
    if not 0 < difference < 1:
        raise UsageError(
            f"A difference of {difference * 100:g} points cannot be planned for; expected more "
            "than 0 and less than 100, such as --difference 2 (0.02 in Python)."
        )


def plan(
    a: ResultRow,
    b: ResultRow,
    data: TaskData,
    difference: float = DIFFERENCE,
    power: float = statistics.POWER,
) -> Plan:
    """How many questions of a task tell two measured rows apart, or show that they are equal.

    New questions are assumed to be like the old ones: of the same spread, and as many to a passage.

    :param difference: declared, as a fraction.
    :raises UsageError: a row without a result of the task, too few questions, or the same row
        twice.
    :raises NotSupported: a metric that is no mean over questions.
    """
    check_difference(difference)
    if not 0.5 <= power < 1:
        raise UsageError(
            f"A power of {power * 100:g} % cannot be planned for; expected 50 up to 100, such as "
            "--power 80."
        )
    for row in (a, b):
        if data.task not in row.results:
            raise UsageError(
                f"{row.label} has no result of {data.task}; measure it with kemb run first."
            )
    if a.label == b.label:
        raise UsageError(f"A and B are the same row, {a.label}; name two.")
    results = [row.results[data.task] for row in (a, b)]
    questions = questions_of(results, data)
    planned = plan_of(questions, (0, 1), (a.label, b.label), data.task, difference, power)
    by_row = dict(zip((a.label, b.label), results, strict=True))
    return replace(planned, unjudged=unjudged_pairs(by_row, data))


def unjudged_pairs(results: Mapping[str, TaskResult], data: TaskData) -> tuple[Pair, ...]:
    """The pairs without a judgment that could change what is said of some rows, where judgments
    were looked for in pools at all; of complete ones nothing can be said.

    :param results: by row; two rows may be variants of one model.
    """
    part = data.parts[0]
    if len(data.parts) > 1 or not isinstance(part.data, RetrievalData):
        return ()
    rankings = {row: ranking_of_result(result) for row, result in results.items()}
    judged = comparable(rankings, part.data.qrels)
    return judged.pairs if judged.status == "not yet" else ()


def plan_of(
    questions: Questions,
    rows: tuple[int, int],
    names: tuple[str, str],
    task: str,
    difference: float = DIFFERENCE,
    power: float = statistics.POWER,
) -> Plan:
    """As `plan`, for two of several rows on the same questions.

    :param rows: numbers of the two.
    :param names: of the two, for the reader.
    :raises UsageError: too few questions. NotSupported: a metric that is no mean over questions.
    """
    values = questions.values()
    if values is None:
        raise NotSupported(
            f"{task} is scored by {questions.metric}, which is no mean over questions, so that "
            "nothing can be planned from their spread."
        )
    if questions.n_clusters < statistics.FEWEST:
        raise UsageError(
            f"{task} has {questions.n_clusters} groups of questions that share no passage; from "
            f"fewer than {statistics.FEWEST} nobody can say how many are needed. Write some more "
            "first."
        )
    differences = values[rows[0]] - values[rows[1]]
    clusters = questions.clusters()
    deviations = _deviations(differences, questions, task)
    to_see = [statistics.n_to_see(spread, difference, power=power) for spread in deviations]
    to_equate = [statistics.n_to_equate(spread, difference, power=power) for spread in deviations]
    n = questions.n_questions
    return Plan(
        task=task,
        metric=questions.metric,
        a=names[0],
        b=names[1],
        difference=difference,
        power=power,
        n_questions=n,
        n_clusters=len(np.unique(clusters)),
        deviation=deviations[1],
        to_see=Goal(n, *to_see),
        to_equate=Goal(n, *to_equate),
    )


def plan_among(
    questions: Questions, names: Sequence[str], decision: Decision, task: str, difference: float
) -> tuple[Plan | None, str]:
    """For the row that is taken and the best other one of the first group.

    :param names: of the rows.
    :return: no plan where the group is one row; and why there is none where there might be one.
    """
    rival = next((row for row in decision.group if row != decision.pick), None)
    if rival is None or decision.is_too_few:
        return None, ""
    pair = (decision.pick, rival)
    try:
        return plan_of(questions, pair, (names[pair[0]], names[rival]), task, difference), ""
    except (UsageError, NotSupported) as error:
        return None, str(error)


def _deviations(
    differences: DoubleArray, questions: Questions, task: str
) -> tuple[float, float, float]:
    """Low end, best estimate and high end of the spread."""
    clusters = questions.clusters()
    best = statistics.deviation(differences, clusters)
    low, high = statistics.deviation_range(differences, clusters, key=[SEED, "power", task])
    return min(low, best), best, max(high, best)
