"""What it costs a retriever not to have been in the pool: Zobel's test, one retriever after the
other.

Zobel 1998, "How reliable are the results of large-scale information retrieval experiments?": the
pool is made again without what only one retriever contributed, as if that one had come later, and
the change of its score and of its rank is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from kemb.drafting.judgments import METRIC
from kemb.scoring.judged import JUDGED_DEPTH, Ranking, condensed, mean_judged, scores_of
from kemb.types import Qrels


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A retriever, judged by a pool with it and by one without it."""

    retriever: str
    n_alone: int
    """Right passages that nobody else has among its first."""
    judged_at_10: float
    """judged@10 in the pool without it."""
    score: float
    """With it in the pool."""
    score_without: float
    score_condensed: float
    """By the pool without it, unjudged passages left out."""
    rank: int
    """Among all, from 1, equal scores sharing the best; by the pool with it."""
    rank_without: int
    rank_condensed: int


def pooled(rankings: Mapping[str, Ranking], truth: Qrels, depth: int = JUDGED_DEPTH) -> Qrels:
    """The judgments of a pool: every pooled passage with its grade, 0 where the truth names none.

    :param rankings: by retriever, who makes the pool.
    :param truth: all right passages of every question.
    :return: by question; a question of which nothing was pooled has no judgment.
    """
    qrels: Qrels = {}
    for ranking in rankings.values():
        for query in truth:
            for document in ranking.get(query, ())[:depth]:
                qrels.setdefault(query, {})[document] = truth[query].get(document, 0)
    return qrels


def leave_one_out(
    rankings: Mapping[str, Ranking], truth: Qrels, depth: int = JUDGED_DEPTH
) -> list[LeftOut]:
    """Score every retriever by a pool that it was not in.

    By nDCG@10; a question whose right passages no member of the pool finds scores 0 for everybody.

    :param rankings: of at least two retrievers, best unlike ones; 100 documents a question.
    :param truth: all right passages of every question.
    """
    full = pooled(rankings, truth, depth)
    n_questions = len(truth)
    with_all = {name: _mean(of, full, n_questions) for name, of in rankings.items()}
    table = []
    for name, ranking in rankings.items():
        others = {other: of for other, of in rankings.items() if other != name}
        reduced = pooled(others, truth, depth)
        n_alone = sum(
            grade > 0 and document not in reduced.get(query, {})
            for query, grades in full.items()
            for document, grade in grades.items()
        )
        plain = {other: _mean(of, reduced, n_questions) for other, of in rankings.items()}
        short = {
            other: _mean(condensed(of, reduced), reduced, n_questions)
            for other, of in rankings.items()
        }
        table.append(
            LeftOut(
                name,
                n_alone,
                mean_judged(ranking, reduced),
                with_all[name],
                plain[name],
                short[name],
                _rank(name, with_all),
                _rank(name, plain),
                _rank(name, short),
            )
        )
    return table


def _mean(ranking: Ranking, qrels: Qrels, n_questions: int) -> float:
    """Mean over all questions, those of which nothing was judged included."""
    return fmean([*scores_of(ranking, qrels, METRIC).values(), *[0.0] * (n_questions - len(qrels))])


def _rank(name: str, scores: Mapping[str, float]) -> int:
    return 1 + sum(score > scores[name] + 1e-12 for score in scores.values())
