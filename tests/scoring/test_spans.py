"""Scores of chunks against places of the answers: against a brute-force oracle that marks single
characters, and by what must not pay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemb.scoring.spans import (
    Answers,
    Letters,
    Span,
    merge,
    n_short,
    parse_spans,
    span_metrics,
    span_qrels,
)
from kemb.types import Run

TEXTS = {"a": "가나다 라마바사 아자차카타파하", "b": "one two  three\nfour five six"}
SPANS = st.builds(
    lambda source, start, size: Span(source, start, min(start + size, len(TEXTS[source]))),
    st.sampled_from(["a", "b"]),
    st.integers(0, 16),
    st.integers(1, 12),
)
ANSWERS = st.lists(
    st.lists(SPANS, min_size=1, max_size=3).filter(
        lambda spans: any(TEXTS[s.source][s.start : s.end].strip() for s in spans)
    ),
    min_size=1,
    max_size=3,
)


def run_of(rankings: Sequence[Sequence[int]]) -> Run:
    width = max(map(len, rankings))
    rows = [[*ranking, *[-1] * (width - len(ranking))] for ranking in rankings]
    return Run(np.array(rows, dtype=np.int64).reshape(len(rows), width), np.zeros((1, 1)))


def oracle(
    ranking: Sequence[Span], answers: Answers, budget: int, texts: Mapping[str, str] = TEXTS
) -> tuple[float, float]:
    """Recall and precision, character by character."""
    read = [(span.source, i) for span in ranking for i in range(span.start, span.end)][:budget]
    letters = [(source, i) for source, i in read if not texts[source][i].isspace()]
    recalls, every = [], set()
    for answer in answers:
        gold = {
            (span.source, i)
            for span in answer
            for i in range(span.start, span.end)
            if not texts[span.source][i].isspace()
        }
        every |= gold
        recalls.append(len(gold & set(letters)) / len(gold))
    precision = len(every & set(letters)) / len(letters) if letters else 0
    return max(recalls), precision


@given(st.lists(SPANS, max_size=8), ANSWERS, st.integers(1, 60))
def test_scores_are_those_of_an_oracle(
    chunks: list[Span], answers: list[list[Span]], budget: int
) -> None:
    run = run_of([range(len(chunks))])
    metrics = span_metrics(run, chunks, [answers], Letters(TEXTS), (budget,))
    recall, precision = oracle(chunks, answers, budget)
    assert metrics[f"span_recall@{budget}c"].tolist() == [pytest.approx(recall)]
    assert metrics[f"span_precision@{budget}c"].tolist() == [pytest.approx(precision)]


@given(st.lists(SPANS, min_size=1, max_size=8, unique=True), ANSWERS)
def test_judgments_are_percentages_of_the_answer(
    chunks: list[Span], answers: list[list[Span]]
) -> None:
    ids = {str(i): span for i, span in enumerate(chunks)}
    qrels = span_qrels({"q": answers}, ids, Letters(TEXTS))
    expected = {
        chunk_id: math.ceil(100 * share - 1e-9)
        for chunk_id, span in ids.items()
        if (share := oracle([span], answers, 1000)[0])
    }
    assert qrels == {"q": expected}


def test_by_hand() -> None:
    texts = {"a": "가나다라 마바사아 자차카타"}
    chunks = [Span("a", 0, 4), Span("a", 2, 9), Span("a", 10, 14)]
    answer = [Span("a", 3, 7)]  # 라 마바: three letters
    run = run_of([[0, 1, 2], [2]])
    metrics = span_metrics(run, chunks, [[answer], [answer]], Letters(texts), (4, 7, 100))
    # Read up to 7: 가나다라 and 다라_ of the second chunk; 라 is paid for twice and counts once.
    assert metrics["span_recall@4c"].tolist() == [1 / 3, 0]
    assert metrics["span_recall@7c"].tolist() == [1 / 3, 0]
    assert metrics["span_precision@7c"].tolist() == [1 / 6, 0]
    assert metrics["span_recall@100c"].tolist() == [1, 0]
    assert metrics["span_precision@100c"].tolist() == [3 / 14, 0]
    assert n_short(run, chunks, 15) == 1
    assert n_short(run, chunks, 16) == 2


def test_one_of_several_answers_is_enough() -> None:
    texts = {"a": "가나다라", "b": "가나다라"}
    answers = [[Span("a", 0, 4)], [Span("b", 0, 4)]]
    metrics = span_metrics(run_of([[0]]), [Span("b", 0, 4)], [answers], Letters(texts), (10,))
    assert metrics["span_recall@10c"].tolist() == [1]
    assert span_qrels({"q": answers}, {"c": Span("b", 0, 2)}, Letters(texts)) == {"q": {"c": 50}}


def test_spans_that_touch_are_one() -> None:
    spans = [Span("b", 0, 1), Span("a", 3, 5), Span("a", 0, 3), Span("a", 4, 6), Span("a", 8, 9)]
    assert merge(spans) == [Span("a", 0, 6), Span("a", 8, 9), Span("b", 0, 1)]


def test_spans_of_a_file() -> None:
    one, two, three = ({"source": "a", "start": i, "end": i + 2} for i in range(3))
    assert parse_spans([one, two]) == [[Span("a", 0, 2), Span("a", 1, 3)]]
    assert parse_spans([one | {"answer": 1}, two | {"answer": 2}, three | {"answer": 1}]) == [
        [Span("a", 0, 2), Span("a", 2, 4)],
        [Span("a", 1, 3)],
    ]
    with pytest.raises(ValueError, match="holds no character"):
        parse_spans([{"source": "a", "start": 2, "end": 2}])
    with pytest.raises(ValueError, match="expected source, start and end"):
        parse_spans([{"source": "a", "start": "2", "end": 3}])
