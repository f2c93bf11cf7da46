"""Scores of retrieved chunks against gold answers that are places in the documents, so that one
test set judges any way of cutting them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.tasks.kinds import BUDGETS
from kemb.types import Places, Qrels, Run


class Span(NamedTuple):
    """A place in a document: from `start` to `end`, in code points."""

    source: str
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


Answers = Sequence[Sequence[Span]]
"""Alternative answers of a query, each a number of spans that belong together."""


class Letters:
    """How many characters of a place are no white space.

    Only these count: chunks begin and end without white space, so that between two of them some is
    shown by no chunk.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Count.

        :param texts: the documents by id.
        """
        self._before: dict[str, IntArray] = {
            source: np.cumsum([0, *(not letter.isspace() for letter in text)])
            for source, text in texts.items()
        }

    def count(self, spans: Iterable[Span]) -> int:
        """In all spans together; one that stands in two of them twice."""
        return sum(
            int(self._before[span.source][span.end] - self._before[span.source][span.start])
            for span in spans
        )


def span_metrics(
    run: Run,
    chunks: Sequence[Span],
    answers: Sequence[Answers],
    letters: Letters,
    budgets: Sequence[int] = BUDGETS,
) -> dict[str, DoubleArray]:
    """What a reader of the first N characters gets to see, one value per query [n_queries].

    Chunks are read in rank order, the last one is cut at N. A character that two chunks hold costs
    twice and counts once, so that neither large chunks nor small ones nor overlap win by
    themselves.

    - `span_recall@N`: letters of the answer that were seen, divided by the answer's; of
      alternative answers the best one counts.
    - `span_precision@N`: letters that were seen and belong to any answer, divided by all that
      were read; 0 where nothing was.

    White space costs, and counts for nothing. After the token-wise recall and precision of Smith
    and Troynikov, Evaluating Chunking Strategies for Retrieval (Chroma, 2024), with a budget of
    characters in place of a number of chunks.

    :param run: rows of `chunks` per query, best first.
    :param chunks: the place of every chunk.
    :param answers: of every query at least one answer, each with at least one letter.
    :param letters: of the documents.
    :param budgets: the numbers N of characters.
    """
    metrics = {
        f"{name}@{budget}": np.zeros(len(answers))
        for budget in budgets
        for name in ("span_recall", "span_precision")
    }
    for row, of_query in enumerate(answers):
        ranked = [chunks[place] for place in run.indices[row].tolist() if place >= 0]
        gold = [merge(answer) for answer in of_query]
        every = merge(span for answer in gold for span in answer)
        for budget in budgets:
            read = _read(ranked, budget)
            once = merge(read)
            n_read = letters.count(read)
            metrics[f"span_recall@{budget}"][row] = max(
                letters.count(_common(once, answer)) / letters.count(answer) for answer in gold
            )
            metrics[f"span_precision@{budget}"][row] = (
                letters.count(_common(once, every)) / n_read if n_read else 0
            )
    return metrics


def place_metrics(run: Run, places: Places) -> dict[str, DoubleArray]:
    """`span_metrics` of a corpus of chunks, one value per query [n_queries]."""
    return span_metrics(
        run,
        [Span(*place) for place in places.chunks],
        [
            [[Span(*place) for place in answer] for answer in of_query]
            for of_query in places.answers
        ],
        Letters(places.sources),
    )


def n_short_reads(run: Run, places: Places) -> int:
    """For how many queries the ranked chunks end before a reader of 4000 characters does."""
    sizes = [end - start for _, start, end in places.chunks]
    sizes.append(0)  # index -1: nothing retrieved
    n_read = np.array(sizes)[run.indices].sum(axis=1)
    return int(np.count_nonzero(n_read < BUDGETS[-1]))


def span_qrels(
    answers: Mapping[str, Answers], chunks: Mapping[str, Span], letters: Letters
) -> Qrels:
    """Judgments of chunks: the percentage of an answer's letters that a chunk holds, rounded up;
    chunks that hold none are not judged. Of alternative answers the larger share counts.

    :param answers: by query.
    :param chunks: by id.
    :param letters: of the documents.
    """
    ids_of: dict[str, list[str]] = {}
    for chunk_id, chunk in chunks.items():
        ids_of.setdefault(chunk.source, []).append(chunk_id)
    qrels: Qrels = {}
    for query_id, of_query in answers.items():
        grades = qrels.setdefault(query_id, {})
        for answer in map(merge, of_query):
            size = letters.count(answer)
            for source in dict.fromkeys(span.source for span in answer):
                for chunk_id in ids_of.get(source, ()):
                    n_held = letters.count(_common([chunks[chunk_id]], answer))
                    if n_held:
                        grade = -(-100 * n_held // size)
                        grades[chunk_id] = max(grade, grades.get(chunk_id, 0))
    return qrels


def parse_spans(spans: Iterable[object]) -> list[list[Span]]:
    """Answers from the `spans` of a query: `{"source", "start", "end"}`; spans with the same
    `answer` belong together, other values of it are alternatives.

    :raises ValueError: a span is not of that form, or holds no character.
    """
    answers: dict[str | int, list[Span]] = {}
    for entry in spans:
        if not isinstance(entry, Mapping):
            raise ValueError(f"expected source, start and end, not {entry!r}")
        answer = entry.get("answer", 0)
        if not isinstance(answer, str | int):
            raise ValueError(f"expected a number or a name as answer, not {answer!r}")
        source, start, end = entry.get("source"), entry.get("start"), entry.get("end")
        if not (isinstance(source, str) and isinstance(start, int) and isinstance(end, int)):
            raise ValueError(f"expected source, start and end, not {dict(entry)!r}")
        if not 0 <= start < end:
            raise ValueError(f"{source} from {start} to {end} holds no character")
        answers.setdefault(answer, []).append(Span(source, start, end))
    return list(answers.values())


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same characters as spans that neither overlap nor touch, sorted."""
    merged: list[Span] = []
    for span in sorted(spans):
        last = merged[-1] if merged else None
        if last and last.source == span.source and span.start <= last.end:
            merged[-1] = Span(last.source, last.start, max(last.end, span.end))
        else:
            merged.append(span)
    return merged


def _read(ranked: Iterable[Span], budget: int) -> list[Span]:
    """The chunks up to a budget of characters, the last one cut."""
    read = []
    for span in ranked:
        if budget <= 0:
            break
        read.append(Span(span.source, span.start, min(span.end, span.start + budget)))
        budget -= span.size
    return read


def _common(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What stands in both; each of them merged."""
    common = []
    for span in spans:
        for other in others:
            start, end = max(span.start, other.start), min(span.end, other.end)
            if span.source == other.source and start < end:
                common.append(Span(span.source, start, end))
    return common
