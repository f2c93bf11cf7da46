"""Runs that somebody's retriever makes, and runs that are there already, by ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from kemb.errors import DataError, ModelError
from kemb.models.doors import Door
from kemb.scoring.search.search import run_from_scores
from kemb.types import RetrievalData, Run

Ranked = list[tuple[str, float]]
"""Documents of one query in the order in which a retriever gave them."""
_FORMS = "a list of pairs (id, score), or a table id -> score"


def retrieve(door: Door, data: RetrievalData, depth: int) -> Run:
    """Ask a retriever for the best documents of every query.

    Fewer than were asked for are allowed, and counted in the run; more are cut.

    :param depth: documents per query that are asked for, at most all of them.
    :raises ModelError: the function raises, or what it returns has another form.
    :raises DataError: an id that is unknown or repeated, a score that is not finite, scores that
        rise.
    """
    k = min(depth, len(data.doc_ids))
    doc_ids = set(data.doc_ids)
    scores: dict[str, dict[str, float]] = {}
    n_short = 0
    for start in range(0, len(data.queries), door.batch_size):
        queries = list(data.queries[start : start + door.batch_size])
        ids = data.query_ids[start : start + door.batch_size]
        for query_id, answer in zip(ids, _asked(door, queries, k), strict=True):
            ranked = _documents(door, query_id, answer)[:k]
            _check(door, query_id, ranked, doc_ids)
            n_short += len(ranked) < k
            scores[query_id] = dict(ranked)
    run = run_from_scores(scores, data.query_ids, data.doc_ids, depth)
    return replace(run, n_short_queries=n_short)


def _asked(door: Door, queries: list[str], k: int) -> Sequence[Any]:
    """What a retriever returns for some queries: one answer for each."""
    try:
        answers = door.value(queries, k)
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f": {lines[0][:200].rstrip('.')}" if lines else ""
        raise ModelError(
            f"{door.name} raised {type(error).__name__}{reason} for {len(queries)} queries, the "
            f"first of them {queries[0][:80]!r}."
        ) from error
    if isinstance(answers, tuple) and len(answers) == 2 and len(answers[0]) == len(answers[1]):
        answers = [tuple(pair) for pair in zip(*answers, strict=True)]
    if not isinstance(answers, list) or len(answers) != len(queries):
        size = f" of {len(answers)}" if hasattr(answers, "__len__") else ""
        raise ModelError(
            f"{door.name} returned a {type(answers).__name__}{size} for {len(queries)} queries; "
            f"expected a list of {len(queries)}, for each query {_FORMS}."
        )
    return answers


def _documents(door: Door, query_id: str, answer: Any) -> Ranked:  # noqa: ANN401  whatever was returned
    """One query's documents; those of a table are put in order."""
    try:
        if isinstance(answer, Mapping):
            table = [(str(key), float(value)) for key, value in answer.items()]
            return sorted(table, key=lambda pair: -pair[1])
        if isinstance(answer, tuple):  # ids and scores
            ids, values = (list(part) for part in answer)
            answer = list(zip(ids, values, strict=True))
        if any(isinstance(pair, str) for pair in answer):
            raise TypeError("ids without scores")
        ranked = [(doc_id, float(score)) for doc_id, score in answer]
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{door.name} returned {answer!r:.80} for the query {query_id!r}; expected {_FORMS}."
        ) from error
    return [(str(doc_id), score) for doc_id, score in ranked]


def _check(door: Door, query_id: str, ranked: Ranked, doc_ids: set[str]) -> None:
    where = f"for the query {query_id!r}"
    earlier: set[str] = set()
    for doc_id, score in ranked:
        if doc_id not in doc_ids:
            raise DataError(
                f"{door.name} returned the document {doc_id!r} {where}, which the task does not "
                "have; return the ids of the task's own documents."
            )
        if doc_id in earlier:
            raise DataError(f"{door.name} returned the document {doc_id!r} twice {where}.")
        if not np.isfinite(score):
            raise DataError(
                f"{door.name} gave the document {doc_id!r} the score {score} {where}; expected a "
                "finite number."
            )
        earlier.add(doc_id)
    for (one, higher), (other, lower) in pairwise(ranked):
        if lower > higher:
            raise DataError(
                f"{door.name} returned {other!r} with {lower:g} behind {one!r} with {higher:g} "
                f"{where}: scores must fall. If less is better, return the negated distance; if "
                "they are in no order, return a table id -> score."
            )
