"""Whether rows can be compared on judgments that are not complete, and which pairs decide."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kemb.arrays import DoubleArray
from kemb.files import disk
from kemb.messages import Note, note
from kemb.scoring.dependence import cluster_codes, question_clusters
from kemb.scoring.judged import JUDGED_DEPTH, Ranking, condensed, mean_judged, scores_of
from kemb.statistics import LEVEL, N_REPLICATES, MeanMeasure, certainly_better, draw_counts
from kemb.tasks.own.decisions import Pair
from kemb.types import Qrels

FILE = "deciding.jsonl"
MARGIN = 0.1
"""How far judged@10 may lie below that of the pool's members."""
FEWEST_CHECKED = 10
"""Questions with a passage judged right and one judged wrong, for a verdict on condensed lists."""
METRIC = f"ndcg@{JUDGED_DEPTH}"

Status = Literal["comparable", "unchecked", "not yet"]


@dataclass(frozen=True, slots=True)
class Comparability:
    """What the judgments allow to say of some rows."""

    status: Status
    """`comparable`: nothing speaks against a verdict. `unchecked`: too few questions have a
    passage that was judged wrong, so that nothing can be said of unjudged ones. `not yet`: a
    verdict would rest on what nobody judged.
    """
    rows: tuple[str, ...]
    judged: dict[str, float]
    """By row its judged@10, a fraction."""
    pool_judged: float | None
    """Mean judged@10 of the pool's members; None without a pool."""
    less_judged: tuple[str, ...]
    """Rows whose judged@10 lies more than 10 points below it."""
    other_verdicts: tuple[tuple[str, str], ...]
    """Pairs of rows of which condensed lists say something else."""
    n_checked: int
    """Questions that have a passage judged right and one judged wrong."""
    pairs: tuple[Pair, ...]
    """The fewest unjudged pairs of question and passage that could change a verdict, the heaviest
    first.
    """

    def note(self) -> Note | None:
        """The sentence; None where rows can be compared."""
        if self.status == "comparable":
            return None
        n_pairs = len(self.pairs)
        if self.status == "unchecked":
            if self.n_checked == 0:
                return note("judged.unchecked", n_pairs=n_pairs)
            return note(
                "judged.few_checked", n=self.n_checked, enough=FEWEST_CHECKED, n_pairs=n_pairs
            )
        if self.less_judged:
            row = min(self.less_judged, key=self.judged.__getitem__)
            return note(
                "judged.less_judged",
                row=row,
                share=self.judged[row],
                pool=self.pool_judged or 0.0,
                n_pairs=n_pairs,
            )
        one, other = self.other_verdicts[0]
        return note("judged.other_verdict", one=one, other=other, n_pairs=n_pairs)


def comparable(
    rankings: Mapping[str, Ranking],
    qrels: Qrels,
    pool: Mapping[str, Ranking] | None = None,
    level: float = LEVEL,
) -> Comparability:
    """Whether a verdict on some rows would rest on passages that nobody judged.

    Questions are resampled, the same for all rows; verdicts hold jointly over all pairs of rows
    (`kemb.statistics.certainly_better`), by nDCG@10.

    :param rankings: of at least one row; at least 10 documents a question, better 100.
    :param qrels: all judgments, 0 for wrong.
    :param pool: the first documents of the pool's members.
    """
    rows = tuple(rankings)
    judged = {row: mean_judged(rankings[row], qrels) for row in rows}
    pool_judged = fmean(mean_judged(of, qrels) for of in pool.values()) if pool else None
    less_judged = tuple(
        row for row in rows if pool_judged is not None and judged[row] < pool_judged - MARGIN
    )
    two_sided = {
        query: grades
        for query, grades in qrels.items()
        if min(grades.values()) <= 0 < max(grades.values())
    }
    others: list[tuple[int, int]] = []
    is_checked = len(two_sided) >= FEWEST_CHECKED
    if is_checked:
        without = {row: condensed(ranking, two_sided) for row, ranking in rankings.items()}
        differs = _better(rankings, two_sided, level) != _better(without, two_sided, level)
        others = [
            (i, j) for i, j in combinations(range(len(rows)), 2) if differs[i, j] or differs[j, i]
        ]
    status: Status = "not yet" if less_judged or others else "comparable"
    if status == "comparable" and not is_checked:
        status = "unchecked"
    contested = others or _around_the_first(rankings, qrels, less_judged)
    is_settled = status == "comparable"
    return Comparability(
        status,
        rows,
        judged,
        pool_judged,
        less_judged,
        tuple((rows[i], rows[j]) for i, j in others),
        len(two_sided),
        () if is_settled else deciding_pairs(rankings, qrels, contested, level),
    )


def _better(rankings: Mapping[str, Ranking], qrels: Qrels, level: float) -> NDArray[np.bool_]:
    """Which row (row) is certainly better than which (column) [n_rows, n_rows]."""
    table = _score_table(rankings, qrels)
    return certainly_better(table.mean(axis=1), _replicates(table, qrels), level)


def _replicates(table: DoubleArray, qrels: Qrels) -> DoubleArray:
    """Means of every row over resampled questions [N_REPLICATES, n_rows]; clusters are drawn
    whole, so that a resample has more or fewer questions.
    """
    clusters = cluster_codes(question_clusters(qrels, list(qrels)))
    counts = draw_counts(len(qrels), N_REPLICATES, ("judged", *qrels), clusters)
    return MeanMeasure(table).replicates(counts)


def _score_table(rankings: Mapping[str, Ranking], qrels: Qrels) -> DoubleArray:
    return np.array(
        [list(scores_of(ranking, qrels, METRIC).values()) for ranking in rankings.values()]
    )


def _around_the_first(
    rankings: Mapping[str, Ranking], qrels: Qrels, less_judged: Sequence[str]
) -> list[tuple[int, int]]:
    """The pairs of rows that are contested where no verdict differs: each row that is less judged
    with the best of all, else the best two.
    """
    means = _score_table(rankings, qrels).mean(axis=1)
    order = np.argsort(-means, kind="stable").tolist()
    rows = list(rankings)
    if not less_judged:
        return [(order[0], order[1])] if len(rows) > 1 else []
    numbers = [rows.index(row) for row in less_judged]
    return [
        (order[0] if number != order[0] else order[1], number)
        for number in numbers
        if len(rows) > 1
    ]


def deciding_pairs(
    rankings: Mapping[str, Ranking],
    qrels: Qrels,
    contested: Sequence[tuple[int, int]],
    level: float = LEVEL,
) -> tuple[Pair, ...]:
    """The fewest unjudged pairs that could change what is said of contested rows, if every one of
    them were right, the heaviest first.

    What a pair could do to the difference of two rows is the difference of its gains there,
    1 / log2(rank + 1) up to rank 10, over the ideal DCG with one more right passage. A certain
    difference must fall to the edge of its interval, an uncertain one must grow to it.

    :param contested: pairs of row numbers.
    :return: all that could move a difference in the direction that changes it, where they are too
        light together.
    """
    rows = list(rankings)
    table = _score_table(rankings, qrels)
    replicates = _replicates(table, qrels)
    z = NormalDist().inv_cdf((1 + level) / 2)
    weights: dict[Pair, float] = {}
    for one, other in contested:
        difference = float((table[one] - table[other]).mean())
        ahead, behind = (one, other) if difference >= 0 else (other, one)
        edge = z * float((replicates[:, one] - replicates[:, other]).std(ddof=1))
        distance = abs(difference) - edge
        gainer, loser = (behind, ahead) if distance > 0 else (ahead, behind)
        effects = _effects(rankings[rows[gainer]], rankings[rows[loser]], qrels)
        need = abs(distance) * len(qrels)
        for pair, effect in effects:
            weights[pair] = max(effect, weights.get(pair, 0.0))
            need -= effect
            if need <= 0:
                break
    return tuple(sorted(weights, key=lambda pair: (-weights[pair], pair)))


def _effects(gainer: Ranking, loser: Ranking, qrels: Qrels) -> list[tuple[Pair, float]]:
    """Unjudged pairs that would help one row more than another, and by how much, the most first."""
    effects = []
    for query, grades in qrels.items():
        gains = _gains(gainer.get(query, ()))
        lost = _gains(loser.get(query, ()))
        n_right = sum(grade > 0 for grade in grades.values())
        ideal = sum(
            1 / math.log2(rank + 1) for rank in range(1, min(n_right + 1, JUDGED_DEPTH) + 1)
        )
        effects += [
            ((query, document), (gain - lost.get(document, 0.0)) / ideal)
            for document, gain in gains.items()
            if document not in grades and gain > lost.get(document, 0.0)
        ]
    return sorted(effects, key=lambda entry: (-entry[1], entry[0]))


def _gains(documents: Sequence[str]) -> dict[str, float]:
    first = documents[:JUDGED_DEPTH]
    return {document: 1 / math.log2(rank + 1) for rank, document in enumerate(first, start=1)}


def write_deciding(folder: Path, pairs: Sequence[Pair]) -> None:
    """Keep the pairs that decide, so that `kemb review` opens them first.

    :raises DiskError: the folder cannot be written.
    """
    lines = [
        json.dumps({"query": query, "document": document}, ensure_ascii=False)
        for query, document in pairs
    ]
    hint = "`kemb review` opens the questions in their order."
    disk.write(folder / FILE, "".join(f"{line}\n" for line in lines), hint)


def read_deciding(folder: Path) -> list[Pair]:
    """The pairs that decide, the heaviest first; none where the file is missing or broken: they
    only say where to begin.
    """
    try:
        lines = disk.read_text(folder / FILE).split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
        return [(str(record["query"]), str(record["document"])) for record in records]
    except (OSError, ValueError, KeyError, TypeError):
        return []
