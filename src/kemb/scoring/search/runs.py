"""Several runs of the same queries made into one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.errors import DataError, UsageError
from kemb.files import disk
from kemb.models.model import RunOrder
from kemb.scoring.search.search import TOP_K
from kemb.scoring.search.topk import empty_run, fill_run, rank_ids
from kemb.types import Run

_MOST_BYTES = 4 * 2**30
"""Of a file of a run, or of judgments."""

RRF_K = 60
"""As in Cormack et al. 2009, who found it by a pilot and that it is not critical."""


def reciprocal_ranks(
    runs: Sequence[Run], doc_ids: Sequence[str], *, constant: int = RRF_K, depth: int = TOP_K
) -> Run:
    """Reciprocal rank fusion: a document's score is the sum over runs of 1 / (constant + rank),
    ranks from 1.

    A run that does not hold the document adds nothing (Cormack, Clarke and Büttcher 2009). Ties go
    by document id, descending.

    :param runs: of the same queries and documents.
    :param doc_ids: of the rows that the runs name.
    :param constant: added to every rank.
    :param depth: documents per query in the result.
    """
    values = [
        np.broadcast_to(
            1 / (constant + np.arange(1.0, run.indices.shape[1] + 1)), run.indices.shape
        )
        for run in runs
    ]
    return _sum(runs, values, doc_ids, depth)


def weighted_sum(
    runs: Sequence[Run], weights: Sequence[float], doc_ids: Sequence[str], *, depth: int = TOP_K
) -> Run:
    """The weighted sum of scores, each run's brought to 0..1 by min-max over the documents of the
    query.

    (score - min) / max(max - min, 1e-9), as in ranx; a run that does not hold the document adds 0,
    as if it were its last one. Ties go by document id, descending.

    :param runs: of the same queries and documents.
    :param weights: one per run.
    :param doc_ids: of the rows that the runs name.
    :param depth: documents per query in the result.
    """
    values = [weight * min_max(run) for run, weight in zip(runs, weights, strict=True)]
    return _sum(runs, values, doc_ids, depth)


def raw_sum(
    runs: Sequence[Run], weights: Sequence[float], doc_ids: Sequence[str], *, depth: int = TOP_K
) -> Run:
    """The weighted sum of scores as they are, of runs that hold the same documents. Arguments as
    `weighted_sum`.
    """
    values = [
        weight * run.scores.astype(np.float64) for run, weight in zip(runs, weights, strict=True)
    ]
    return _sum(runs, values, doc_ids, depth)


def pooled(
    runs: Sequence[Run], query_ids: Sequence[str], doc_ids: Sequence[str]
) -> dict[str, list[str]]:
    """By query the documents that a run holds among its best, as many of each run as make 1,000
    together.
    """
    rows = np.concatenate([run.indices[:, : TOP_K // len(runs)] for run in runs], axis=1)
    return {
        query: [doc_ids[row] for row in np.unique(query_rows[query_rows >= 0]).tolist()]
        for query, query_rows in zip(query_ids, rows, strict=True)
    }


def min_max(run: Run) -> DoubleArray:
    """Scores [n_queries, k] from 0 to 1 within each query; 0 where nothing was retrieved, or where
    all are equal.
    """
    is_retrieved = run.indices >= 0
    scores = run.scores.astype(np.float64)
    low = np.where(is_retrieved, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(is_retrieved, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    out = np.zeros(scores.shape)
    width = np.maximum(np.where(high > low, high - low, 0.0), 1e-9)
    np.divide(scores - np.where(np.isfinite(low), low, 0.0), width, out=out, where=is_retrieved)
    return out


def without_zeros(run: Run) -> Run:
    """A run without documents that share no term with the query (score 0), which a search engine
    does not return.
    """
    keep = (run.indices >= 0) & (run.scores > 0)
    scores = np.where(keep, run.scores, -np.inf).astype(np.float32)
    return Run(np.where(keep, run.indices, -1), scores, n_postings=run.n_postings)


def first(run: Run, depth: int) -> Run:
    """The best `depth` documents of every query."""
    return Run(run.indices[:, :depth], run.scores[:, :depth], run.n_zero_vectors)


def _sum(
    runs: Sequence[Run], values: Sequence[DoubleArray], doc_ids: Sequence[str], depth: int
) -> Run:
    order, id_ranks = rank_ids(doc_ids)
    n_queries = len(runs[0].indices)
    indices, scores = empty_run(n_queries, min(depth, len(doc_ids)))
    for i in range(n_queries):
        rows: IntArray = np.concatenate([run.indices[i] for run in runs])
        terms = np.concatenate([value[i] for value in values])[rows >= 0]
        document_rows, place = np.unique(rows[rows >= 0], return_inverse=True)
        total = np.bincount(place, terms, minlength=len(document_rows)).astype(np.float32)
        fill_run(indices[i], scores[i], total, id_ranks[document_rows], order)
    return Run(indices, scores, sum(run.n_zero_vectors for run in runs))


Scores = dict[str, dict[str, float]]


class _Line(NamedTuple):
    """One line of a run file."""

    number: int
    """From 1."""
    document: str
    rank: str
    score: float


def read_run(path: Path, order: RunOrder = "score") -> Scores:
    """Scores by query id and document id of a TREC run file.

    As in trec_eval only the scores count. Where they say another order than the ranks, or none, the
    file is not what it seems (distances, rounded or missing scores), and it is refused.

    :param path: the file.
    :param order: `rank` takes the ranks instead: the score of a document is its negated rank.
    :raises UsageError: there is no such file.
    :raises DataError: a line that is no line of a run, with its number; scores that contradict the
        ranks, rise, or are all the same; ranks that are asked for and are no ranks.
    """
    lines = _read_lines(path)
    if order == "rank":
        return {query: _by_rank(path, of_query) for query, of_query in lines.items()}
    _refuse_other_order(path, lines)
    return {
        query: {line.document: line.score for line in of_query} for query, of_query in lines.items()
    }


def _read_lines(path: Path) -> dict[str, list[_Line]]:
    """The lines of a run file by query."""
    try:
        texts = disk.read_bytes(path, _MOST_BYTES).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"The run {path} is not UTF-8 text ({error.reason} at byte {error.start})."
        ) from error
    except (OSError, ValueError) as error:
        reason = disk.reason_of(error) if isinstance(error, OSError) else error
        raise UsageError(
            f"The run {path} cannot be read: {reason}. Give a TREC run file."
        ) from error
    lines: dict[str, list[_Line]] = {}
    pairs: set[tuple[str, str]] = set()
    for number, text in enumerate(texts, start=1):
        fields = text.split()
        if not fields:
            continue
        if len(fields) != 6:
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns, expected the 6 of a TREC run "
                f"(query Q0 document rank score tag): {text.strip()[:80]!r}. Ids must not contain "
                "spaces."
            )
        query, _, document, rank, score_text, _ = fields
        score = _number(score_text)
        if score is None:
            raise DataError(
                f"{path}, line {number}: the score {score_text[:40]!r} in column 5 is not a finite "
                "number."
            )
        if (query, document) in pairs:
            raise DataError(
                f"{path}, line {number}: document {document!r} stands twice in the run of query "
                f"{query!r}."
            )
        pairs.add((query, document))
        lines.setdefault(query, []).append(_Line(number, document, rank, score))
    if not lines:
        raise DataError(
            f"The run {path} is empty; expected lines of `query Q0 document rank score tag`."
        )
    return lines


_BY_RANK = (
    "If the ranks in column 4 are right, type --run-order rank; else write scores that are higher "
    "for better documents (a distance with a minus)"
)


def _refuse_other_order(path: Path, lines: Mapping[str, Sequence[_Line]]) -> None:
    several = {query: of_query for query, of_query in lines.items() if len(of_query) > 1}
    constant = [q for q, of_query in several.items() if len({line.score for line in of_query}) == 1]
    if 2 * len(constant) > len(several):
        raise DataError(
            f"{path}: for {len(constant):,} of {len(several):,} queries (such as {constant[0]!r}) "
            "all documents have one and the same score, so that their order would be that of their "
            f"ids. {_BY_RANK}."
        )
    for query, of_query in several.items():
        by_rank = _in_order_of_rank(of_query)
        for better, worse in pairwise(by_rank or ()):
            if worse.score > better.score:
                raise DataError(
                    f"{path}, line {worse.number}: document {worse.document!r} of query {query!r} "
                    f"has the rank {worse.rank} and the score {worse.score:g}, but the score is "
                    f"higher than that of rank {better.rank} (line {better.number}, "
                    f"{better.score:g}): scores and ranks contradict each other. {_BY_RANK}."
                )
    if several and all(map(_rises, several.values())):
        query, of_query = next(iter(several.items()))
        raise DataError(
            f"{path}: the scores rise from line to line in every query (line "
            f"{of_query[0].number}, query {query!r}), as distances do; expected higher scores for "
            f"better documents. {_BY_RANK}."
        )


def _rises(lines: Sequence[_Line]) -> bool:
    """Whether lines without usable ranks have ever higher scores."""
    is_rising = all(line.score < after.score for line, after in pairwise(lines))
    return is_rising and _in_order_of_rank(lines) is None


def _in_order_of_rank(lines: Sequence[_Line]) -> list[_Line] | None:
    """A query's lines by their ranks; None where these are no whole numbers, or not all
    different.
    """
    if not all(re.fullmatch(r"-?[0-9]{1,15}", line.rank) for line in lines):
        return None
    if len({int(line.rank) for line in lines}) < len(lines):
        return None
    return sorted(lines, key=lambda line: int(line.rank))


def _by_rank(path: Path, lines: Sequence[_Line]) -> dict[str, float]:
    by_rank = _in_order_of_rank(lines)
    if by_rank is None:
        raise DataError(
            f"{path}, line {lines[0].number}: --run-order rank needs a different whole number in "
            f"column 4 for every document of a query, given {lines[0].rank[:40]!r} and others."
        )
    return {line.document: -float(place) for place, line in enumerate(by_rank, start=1)}


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Grades by query id and document id: lines of `query 0 document grade` as of TREC, or a table
    with the head `query-id corpus-id score` as of BEIR.

    :raises UsageError: there is no such file.
    :raises DataError: a line that is no judgment, with its number.
    """
    try:
        lines = disk.read_bytes(path, _MOST_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The judgments {path} cannot be read: {error}. Give a file of `query 0 document "
            "grade` lines."
        ) from error
    grades: dict[str, dict[str, int]] = {}
    is_beir = bool(lines) and lines[0].split() == ["query-id", "corpus-id", "score"]
    for number, line in enumerate(lines[is_beir:], start=1 + is_beir):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != (3 if is_beir else 4):
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns: {line.strip()[:80]!r}; expected "
                f"{'query document grade' if is_beir else 'query 0 document grade'}."
            )
        query, document, text = fields[0], fields[-2], fields[-1]
        try:
            grade = int(text)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: the grade {text[:40]!r} is no whole number."
            ) from error
        if document in grades.setdefault(query, {}):
            raise DataError(
                f"{path}, line {number}: document {document!r} is judged twice for query {query!r}."
            )
        grades[query][document] = grade
    if not grades:
        raise DataError(f"The judgments {path} are empty; expected lines of query and document.")
    return grades


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
