"""Whether a verdict depends on how many words questions share with their passages: the first group
of all questions beside that of each third of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.messages import Note, note

MIN_QUESTIONS = 5
"""Of passages of their own; with fewer a third has no verdict."""


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that no other is certainly better than, on some of the questions."""

    low: float
    """The smallest overlap of the questions."""
    high: float
    n_questions: int
    means: dict[str, float]
    first: tuple[str, ...]
    """Names of rows, the highest mean first; empty where there are too few questions."""


@dataclass(frozen=True, slots=True)
class Thirds:
    """The first group of all questions, and of thirds of them by their overlap, the lowest first.

    Questions of equal overlap stay together, so there may be fewer than three, of unlike sizes.
    """

    of_all: Group
    parts: tuple[Group, ...]

    @property
    def differ(self) -> bool:
        """Whether the first group is not the same in all parts that have one."""
        return len({frozenset(part.first) for part in self._decided}) > 1

    @property
    def contradict(self) -> bool:
        """Whether no row is in the first group of all parts."""
        groups = [set(part.first) for part in self._decided]
        return len(groups) > 1 and not set.intersection(*groups)

    @property
    def _decided(self) -> list[Group]:
        return [part for part in self.parts if part.first]

    def note(self) -> Note | None:
        """What a reader must be told: where the first group changes, between which shares; None
        where it does not.
        """
        if not self.differ:
            return None
        lines = [
            note(
                "draft.third",
                low=part.low,
                high=part.high,
                n_questions=part.n_questions,
                rows=list(part.first),
            )
            for part in self._decided
        ]
        return note("draft.thirds_contradict" if self.contradict else "draft.thirds", parts=lines)


def thirds(
    scores: DoubleArray,
    overlap: DoubleArray,
    names: Sequence[str],
    clusters: IntArray | None = None,
    level: float = statistics.LEVEL,
) -> Thirds:
    """First groups of all questions and of thirds by overlap.

    :param scores: of every question by every row [n_rows, n_questions].
    :param overlap: the share of a question's content words in its passage [n_questions].
    :param names: of the rows.
    :param clusters: of every question [n_questions], where several are asked of one passage.
    :param level: of every group's verdicts together.
    """
    everything = np.ones(len(overlap), dtype=np.bool_)
    cuts = np.quantile(overlap, [1 / 3, 2 / 3]) if len(overlap) else np.zeros(2)
    place = np.searchsorted(cuts, overlap, side="left")
    masks = [place == number for number in range(3)]
    passages = np.arange(len(overlap)) if clusters is None else clusters
    groups = [
        _group(scores[:, mask], overlap[mask], names, passages[mask], level)
        for mask in [everything, *masks]
        if mask.any()
    ]
    return Thirds(groups[0], tuple(groups[1:]))


def _group(
    scores: DoubleArray,
    overlap: DoubleArray,
    names: Sequence[str],
    clusters: IntArray,
    level: float,
) -> Group:
    means = scores.mean(axis=1)
    order = np.argsort(-means, kind="stable").tolist()
    first: tuple[str, ...] = ()
    n = scores.shape[1]
    if len(np.unique(clusters)) >= MIN_QUESTIONS:
        counts = statistics.draw_counts(n, statistics.N_REPLICATES, ("thirds",), clusters)
        replicates = (counts @ scores.T) / counts.sum(axis=1, keepdims=True)
        better = statistics.certainly_better(means, replicates, level)
        first = tuple(names[row] for row in order if not better[:, row].any())
    return Group(
        float(overlap.min()),
        float(overlap.max()),
        n,
        {names[row]: float(means[row]) for row in order},
        first,
    )
