"""One reviewer at work on a folder: the order of the questions, what is shown, what is decided."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kemb.drafting.review_log import ReviewLog
from kemb.drafting.review_questions import Question, Questions
from kemb.errors import UsageError
from kemb.messages import Lang, Note, Text, note, say, table
from kemb.tasks.own.decisions import (
    OF_PAIRS,
    Decision,
    Decisions,
    Pair,
    is_whole,
)


@dataclass
class Session:
    """What the page of one reviewer asks for."""

    questions: Questions
    reviewer: str
    log: ReviewLog
    decisions: Decisions
    """Of all reviewers, as they were at the start; those of this one are kept up to date."""
    only_conflicts: bool = False
    """Show only what reviewers disagree on, with what each of them said."""
    order: list[str] = field(init=False)
    """Ids of the questions as they are shown: those of pairs that decide, then those without a
    decision of this reviewer, then the others.
    """
    _deciding: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.order = self._in_order()

    def _in_order(self) -> list[str]:
        queries = list(self.questions.questions)
        if self.only_conflicts:
            conflicts = {conflict.query for conflict in self.decisions.merged().conflicts}
            queries = [query for query in queries if query in conflicts]
        place_of: dict[str, int] = {}
        for place, (query, document) in enumerate(self.questions.deciding):
            if (query, document) not in self.judgments:
                place_of.setdefault(query, place)
        last = len(self.questions.deciding)
        return sorted(queries, key=lambda query: (place_of.get(query, last), query in self.decided))

    @property
    def decided(self) -> Mapping[str, Decision]:
        """This reviewer's decisions about questions."""
        return self.decisions.questions.get(self.reviewer, {})

    @property
    def judgments(self) -> Mapping[Pair, Decision]:
        """This reviewer's decisions about pairs."""
        return self.decisions.pairs.get(self.reviewer, {})

    def decide(self, fields: Mapping[str, object]) -> None:
        """Write a decision; it counts when it is on the disk.

        :param fields: those of a `Decision`, as a page sent them.
        :raises UsageError: it is no decision about this folder.
        :raises DiskError: it is not written.
        """
        names = ("query", "decision", "document", "text")
        texts = {name: fields.get(name, "") for name in names}
        if not all(isinstance(text, str) for text in texts.values()):
            raise UsageError("A decision has query, decision, document and text, all of them text.")
        decision = Decision(**{name: str(text) for name, text in texts.items()})
        is_of_pair = decision.decision in OF_PAIRS
        is_here = decision.query in self.questions.questions and (
            decision.document in self.questions.passages if is_of_pair else not decision.document
        )
        if not is_here or not is_whole(decision):
            raise UsageError("This is no decision about a question or passage of this folder.")
        with self._deciding:
            self.decisions.add(self.reviewer, self.log.append(decision))

    def listing(self, lang: Lang) -> dict[str, Any]:
        """All questions in their order, and which of them are decided."""
        return {
            "ids": self.order,
            "decided": {query: decision.decision for query, decision in self.decided.items()},
            "progress": self.progress(lang),
        }

    def progress(self, lang: Lang) -> str:
        """How far this reviewer is, in a sentence."""
        n_decided = sum(query in self.decided for query in self.order)
        n_judged = len(self.judgments)
        return say(
            note("review.progress", n_decided=n_decided, n=len(self.order), n_judged=n_judged), lang
        )

    def shown(self, query: str, lang: Lang) -> dict[str, Any]:
        """All that the page shows of a question.

        :raises KeyError: there is no such question.
        """
        question = self.questions.questions[query]
        deciding = [doc for of, doc in self.questions.deciding if of == query]
        candidates = dict.fromkeys([*deciding, *self.questions.candidates.get(query, ())])
        decision = self.decided.get(query)
        return {
            "id": query,
            "heading": say(
                note("review.heading", number=self.order.index(query) + 1, n=len(self.order)), lang
            ),
            "text": question.text,
            "details": [say(detail, lang) for detail in _details(question)],
            "decision": decision.decision if decision else "",
            "edited": decision.text if decision else "",
            "votes": self._votes(query, lang) if self.only_conflicts else [],
            "gold": [self._passage(query, doc, lang) for doc in self.questions.gold(query)],
            "candidates": [self._passage(query, doc, lang) for doc in candidates],
            "progress": self.progress(lang),
        }

    def _passage(self, query: str, document: str, lang: Lang) -> dict[str, Any]:
        passage = self.questions.passages[document]
        judgment = self.judgments.get((query, document))
        retrievers = self.questions.retrievers.get((query, document), ())
        marks = []
        if (query, document) in self.questions.deciding:
            marks.append(note("review.decides"))
        if retrievers:
            marks.append(note("review.retrievers", retrievers=list(retrievers)))
        if passage.place is not None:
            marks.append(note("review.source", source=passage.place.source))
        return {
            "id": document,
            "title": passage.title,
            "segments": self.questions.segments(query, document),
            "judgment": judgment.decision if judgment else "",
            "details": [say(mark, lang) for mark in marks],
        }

    def _votes(self, query: str, lang: Lang) -> list[str]:
        """What every reviewer said of a question and of its passages, where they disagree."""
        sentences = []
        for conflict in self.decisions.merged().conflicts:
            if conflict.query == query:
                votes = [
                    note("review.vote", reviewer=reviewer, vote=said_of(decision))
                    for reviewer, decision in sorted(conflict.votes.items())
                ]
                about = conflict.document or query
                sentences.append(say(note("review.conflict", about=about, votes=votes), lang))
        return sentences


def said_of(decision: Decision) -> Note:
    """A decision in words."""
    if decision.decision == "edit":
        return note("review.vote_edit", text=decision.text)
    return note(f"review.said_{decision.decision}")


def _details(question: Question) -> list[Note]:
    """How a question was made, and what the draft says of it."""
    details = []
    if question.flags:
        flags = [_drafted_word("flag", flag) for flag in question.flags]
        details.append(note("review.flags", flags=flags))
    if question.way:
        details.append(note("review.way", way=_drafted_word("way", question.way)))
    if question.overlap is not None:
        details.append(note("review.overlap", share=question.overlap))
    return details


def _drafted_word(kind: Literal["flag", "way"], name: str) -> Text:
    """What `kemb draft` calls a way or a flag; the name itself where it has no word."""
    key = name.replace(" ", "_")
    if f"{kind}_{key}" not in table("draft"):
        return name
    return note(f"draft.way_{key}") if kind == "way" else note(f"draft.flag_{key}")
