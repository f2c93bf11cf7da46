"""Scores of chunks against places of the answers: against a brute-force oracle that marks single
characters, and by what must not pay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemb.scoring.spans import (
    Answers,
    Letters,
    Span,
    merge,
    n_short_reads,
    parse_spans,
    span_metrics,
    span_qrels,
)
from kemb.types import Places, Run

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
    assert metrics[f"span_recall@{budget}"].tolist() == [pytest.approx(recall)]
    assert metrics[f"span_precision@{budget}"].tolist() == [pytest.approx(precision)]


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
    assert metrics["span_recall@4"].tolist() == [1 / 3, 0]
    assert metrics["span_recall@7"].tolist() == [1 / 3, 0]
    assert metrics["span_precision@7"].tolist() == [1 / 6, 0]
    assert metrics["span_recall@100"].tolist() == [1, 0]
    assert metrics["span_precision@100"].tolist() == [3 / 14, 0]


def test_rankings_that_end_before_the_reader_are_counted() -> None:
    places = Places({}, [("a", 0, 3999), ("a", 0, 1), ("a", 0, 4000)], [])
    assert n_short_reads(run_of([[0], [0, 1], [2], [1, 0], []]), places) == 2


def test_one_of_several_answers_is_enough() -> None:
    texts = {"a": "가나다라", "b": "가나다라"}
    answers = [[Span("a", 0, 4)], [Span("b", 0, 4)]]
    metrics = span_metrics(run_of([[0]]), [Span("b", 0, 4)], [answers], Letters(texts), (10,))
    assert metrics["span_recall@10"].tolist() == [1]
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


@dataclass(frozen=True)
class World:
    """Documents of random words, and questions whose answers are six sentences at a random place:
    four of its words and six others are asked for.
    """

    texts: dict[str, str]
    sentences: list[Span]
    questions: list[list[str]]
    answers: list[list[list[Span]]]


N_DOCUMENTS, N_SENTENCES, N_QUESTIONS = 12, 150, 150


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(8)
    words = np.array([f"w{i}" for i in range(1500)])
    common = 1 / np.arange(1, 1501) ** 0.7
    texts, sentences = {}, []
    for document in map(str, range(N_DOCUMENTS)):
        share = common * rng.gamma(1.0, 1.0, 1500)  # every document has its own frequent words
        text = ""
        for drawn in rng.choice(words, (N_SENTENCES, 8), p=share / share.sum()):
            sentence = " ".join(drawn)
            sentences.append(Span(document, len(text), len(text) + len(sentence)))
            text += sentence + "\n"
        texts[document] = text
    questions, answers = [], []
    for _ in range(N_QUESTIONS):
        first = N_SENTENCES * int(rng.integers(N_DOCUMENTS)) + int(rng.integers(N_SENTENCES - 6))
        begin, end = sentences[first], sentences[first + 5]
        answers.append([[Span(begin.source, begin.start, end.end)]])
        inside = texts[begin.source][begin.start : end.end].split()
        others = rng.choice(words, 6, p=common / common.sum())
        questions.append([*rng.choice(inside, 4, replace=False), *others])
    return World(texts, sentences, questions, answers)


def windows(world: World, size: int, overlap: int) -> list[Span]:
    return [
        Span(source, start, min(start + size, len(text)))
        for source, text in world.texts.items()
        for start in range(0, len(text) - overlap, size - overlap)
    ]


def bm25(world: World, chunks: Sequence[Span]) -> Run:
    """Chunks in the order of BM25 (k1 1.5, b 0.75)."""
    asked = dict.fromkeys(word for words in world.questions for word in words)
    column = {word: i for i, word in enumerate(asked)}
    counts = np.zeros((len(chunks), len(column)))
    length = np.zeros((len(chunks), 1))
    for row, chunk in enumerate(chunks):
        terms = world.texts[chunk.source][chunk.start : chunk.end].split()
        length[row] = len(terms)
        for term in terms:
            if term in column:
                counts[row, column[term]] += 1
    n_with = np.count_nonzero(counts, axis=0)
    weights = np.log(1 + (len(chunks) - n_with + 0.5) / (n_with + 0.5))
    weights = weights * counts * 2.5 / (counts + 1.5 * (0.25 + 0.75 * length / length.mean()))
    scores = [
        -weights[:, [column[word] for word in words]].sum(axis=1) for words in world.questions
    ]
    return Run(np.argsort(scores, axis=1, kind="stable"), np.zeros((1, 1)))


def mean_recall(world: World, chunks: Sequence[Span], run: Run) -> list[float]:
    metrics = span_metrics(run, chunks, world.answers, Letters(world.texts))
    return [float(metrics[f"span_recall@{budget}"].mean()) for budget in (1000, 2000, 4000)]


@pytest.mark.parametrize("extreme", ["documents", "sentences", "overlap"])
def test_neither_size_nor_overlap_beats_a_sensible_chunking(world: World, extreme: str) -> None:
    chunks = {
        "documents": [Span(source, 0, len(text)) for source, text in world.texts.items()],
        "sentences": world.sentences,
        "overlap": windows(world, 400, 360),
    }[extreme]
    sensible = windows(world, 400, 80)
    theirs = mean_recall(world, chunks, bm25(world, chunks))
    ours = mean_recall(world, sensible, bm25(world, sensible))
    assert [a > b + 0.02 for a, b in zip(ours, theirs, strict=True)] == [True] * 3


def test_where_the_order_is_random_nothing_is_gained_by_any_size(world: World) -> None:
    n_characters = sum(map(len, world.texts.values()))
    rng = np.random.default_rng(9)
    for size, overlap in ((100, 0), (400, 0), (1600, 0), (400, 360)):
        chunks = windows(world, size, overlap)
        recalls = []
        for _ in range(10):
            order = [rng.permutation(len(chunks)) for _ in world.questions]
            run = Run(np.array(order), np.zeros((1, 1)))
            recalls.append(mean_recall(world, chunks, run)[2])
        assert np.mean(recalls) == pytest.approx(4000 / n_characters, abs=0.012)
