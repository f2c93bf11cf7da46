"""What a reviewer sees of a question: its passage with the answer marked, and other candidates."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kemb.drafting.judgments import read_deciding
from kemb.drafting.pools import read_pool
from kemb.errors import NotSupported
from kemb.scoring.judged import ranking_of
from kemb.scoring.search import lexical
from kemb.scoring.spans import Span
from kemb.tasks.kinds import KINDS
from kemb.tasks.own.check import examine, refuse_errors
from kemb.tasks.own.decisions import Pair
from kemb.tasks.own.records import records_by_id
from kemb.types import Qrels, RetrievalData

N_BM25 = 5
"""Candidates a question where there is no pool."""
_ANALYSER = "bigram"
"""Needs no package and no time."""

Segment = tuple[str, bool]
"""Text, and whether it is the answer."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage as it is shown."""

    id: str
    title: str
    text: str
    place: Span | None = None
    """In its source, where that is known."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was drafted."""

    id: str
    text: str
    way: str = ""
    """How it was made."""
    overlap: float | None = None
    """Share of its content words that stand in its passage."""
    spans: tuple[Span, ...] = ()
    flags: tuple[str, ...] = ()
    """Why the draft wants it looked at, as `kemb draft` names it."""


@dataclass(frozen=True, slots=True)
class Questions:
    """All that is reviewed in a folder."""

    root: Path
    questions: dict[str, Question]
    passages: dict[str, Passage]
    qrels: Qrels
    sources: Mapping[str, str]
    """Texts of the documents that passages were cut of."""
    candidates: Mapping[str, Sequence[str]]
    """By question, other passages, the best first."""
    retrievers: Mapping[Pair, Sequence[str]] = field(default_factory=dict)
    """Who found a candidate; nothing where there is no pool."""
    deciding: Sequence[Pair] = ()
    """The pairs that decide a comparison, the heaviest first."""

    def gold(self, query: str) -> list[str]:
        """The passages that the folder says answer a question."""
        return [doc for doc, grade in self.qrels.get(query, {}).items() if grade > 0]

    def segments(self, query: str, document: str) -> list[Segment]:
        """The text of a passage, cut where the question's answer begins and ends."""
        passage = self.passages[document]
        marks = [
            mark
            for span in self.questions[query].spans
            if (mark := _mark(span, passage, self.sources)) is not None
        ]
        return cut(passage.text, marks)


def read_questions(root: Path) -> Questions:
    """The questions of a folder with their passages, as they were before anybody reviewed them.

    :raises UsageError: there is no folder.
    :raises DataError: the folder holds errors; NotSupported: it is no retrieval task.
    """
    examined = examine(root, with_reviews=False)
    understood, clean = refuse_errors(root, examined), examined.clean
    if not KINDS[understood.spec.type].is_ranking:
        raise NotSupported(
            f"{root} is {understood.spec.type}; only questions with passages can be reviewed."
        )
    corpus, queries = clean["corpus"], clean["queries"]
    places = records_by_id(root / "corpus.jsonl")
    passages = {
        doc: Passage(doc, title, text, _span(places.get(doc, {})))
        for doc, title, text in zip(corpus["id"], corpus["title"], corpus["text"], strict=True)
    }
    details = records_by_id(root / "queries.jsonl")
    questions = {
        query: _question(query, text, details.get(query, {}))
        for query, text in zip(queries["id"], queries["text"], strict=True)
    }
    qrels: Qrels = {query: {} for query in questions}
    for split in understood.spec.splits:
        table = clean[f"qrels/{split}"]
        columns = (table["query-id"], table["corpus-id"], table["score"])
        for query, doc, grade in zip(*columns, strict=True):
            qrels[query][doc] = grade
    records = records_by_id(root / "sources.jsonl")
    sources = {name: str(record.get("text", "")) for name, record in records.items()}
    candidates, retrievers = _candidates(root, questions, passages, qrels)
    deciding = [
        (query, doc)
        for query, doc in read_deciding(root)
        if query in questions and doc in passages and doc not in qrels[query]
    ]
    return Questions(root, questions, passages, qrels, sources, candidates, retrievers, deciding)


def _candidates(
    root: Path,
    questions: Mapping[str, Question],
    passages: Mapping[str, Passage],
    qrels: Qrels,
) -> tuple[dict[str, list[str]], dict[Pair, list[str]]]:
    """Other passages of every question: those of the pool, by their best rank; else BM25's first.

    With who found them, where there is a pool.
    """
    pool = read_pool(root)
    if not pool:
        data = RetrievalData(
            list(passages),
            [f"{passage.title} {passage.text}".strip() for passage in passages.values()],
            list(questions),
            [question.text for question in questions.values()],
            qrels,
        )
        depth = min(N_BM25 + max(map(len, qrels.values()), default=0), len(passages))
        first = ranking_of(lexical.search(_ANALYSER, data, depth), data)
        return {
            query: [doc for doc in docs if qrels[query].get(doc, 0) <= 0][:N_BM25]
            for query, docs in first.items()
        }, {}
    places: dict[Pair, list[tuple[int, str]]] = {}
    for retriever, ranking in pool.items():
        for query, docs in ranking.items():
            for rank, doc in enumerate(docs):
                if query in questions and doc in passages and qrels[query].get(doc, 0) <= 0:
                    places.setdefault((query, doc), []).append((rank, retriever))
    candidates: dict[str, list[str]] = {}
    for query, doc in sorted(places, key=lambda pair: (min(places[pair])[0], -len(places[pair]))):
        candidates.setdefault(query, []).append(doc)
    retrievers = {pair: [name for _, name in sorted(of_pair)] for pair, of_pair in places.items()}
    return candidates, retrievers


def _question(query: str, text: str, details: Mapping[str, Any]) -> Question:
    overlap = details.get("overlap")
    spans, flags = (_list(details.get(name)) for name in ("spans", "flags"))
    places = [_span(span) for span in spans if isinstance(span, dict)]
    return Question(
        query,
        text,
        str(details.get("way") or ""),
        float(overlap) if isinstance(overlap, int | float) else None,
        tuple(place for place in places if place is not None),
        tuple(map(str, flags)),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _span(record: Mapping[str, Any]) -> Span | None:
    """The place that a record names; None where it names none."""
    source, start, end = (record.get(name) for name in ("source", "start", "end"))
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end:
        return None
    return Span(str(source), start, end)


def _mark(span: Span, passage: Passage, sources: Mapping[str, str]) -> tuple[int, int] | None:
    """Where an answer stands in a passage: by offsets where those fit its text, else by the words
    of the answer; None where it does not stand there.
    """
    place = passage.place
    if place is not None and place.source == span.source:
        if place.end - place.start == len(passage.text):
            start, end = max(span.start, place.start), min(span.end, place.end)
            return (start - place.start, end - place.start) if start < end else None
    answer = sources.get(span.source, "")[span.start : span.end].strip()
    start = passage.text.find(answer) if answer else -1
    return (start, start + len(answer)) if start >= 0 else None


def cut(text: str, marks: Iterable[tuple[int, int]]) -> list[Segment]:
    """A text in pieces, marked or not; marks that overlap or touch become one."""
    is_marked = [False] * len(text)
    for start, end in marks:
        is_marked[start:end] = [True] * len(text[start:end])
    pairs = zip(text, is_marked, strict=True)
    return [
        ("".join(letter for letter, _ in piece), mark)
        for mark, piece in itertools.groupby(pairs, key=lambda pair: pair[1])
    ]
