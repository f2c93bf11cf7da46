"""Documents without the questions that are asked of them: else a question would be read in its own
passage, and a match of words would be all that it takes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kemb.drafting.candidates import Candidate
from kemb.scoring.spans import Span
from kemb.tasks.own.documents import Document
from kemb.tasks.own.headings import find_headings, front_matter_end


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of a text, and what stands there instead."""

    start: int
    end: int
    instead: str = ""


class Edited:
    """A text after edits, and where its characters went.

    :param text: as it was.
    :param edits: in any order; of those that touch each other's characters the first stays.
    """

    def __init__(self, text: str, edits: Iterable[Edit]) -> None:
        self._edits: list[Edit] = []
        for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
            if not self._edits or edit.start >= self._edits[-1].end:
                self._edits.append(edit)
        pieces: list[str] = []
        self._shifts = [0]
        place = 0
        for edit in self._edits:
            pieces += [text[place : edit.start], edit.instead]
            shift = len(edit.instead) - (edit.end - edit.start)
            self._shifts.append(self._shifts[-1] + shift)
            place = edit.end
        self.text = "".join([*pieces, text[place:]])
        self._starts = [edit.start for edit in self._edits]

    def moved(self, place: int) -> int:
        """Where a place of the text is now; inside an edit, the end of what stands there
        instead.
        """
        return self._moved(place, bisect_right(self._starts, place))

    def _moved(self, place: int, n_before: int) -> int:
        """:param n_before: edits that begin before the place."""
        if n_before and place < self._edits[n_before - 1].end:
            place = self._edits[n_before - 1].end
        return place + self._shifts[n_before]

    def moved_span(self, span: Span) -> Span:
        """A stretch of the text, where it is now, without white space at its ends; what stands
        instead of an edit that begins at its end is no part of it.
        """
        start = self.moved(span.start)
        end = self._moved(span.end, bisect_left(self._starts, span.end))
        while start < end and self.text[start].isspace():
            start += 1
        while start < end and self.text[end - 1].isspace():
            end -= 1
        return Span(span.source, start, end)


def without_questions(
    documents: Sequence[Document], questions: Sequence[Candidate], hides_headings: bool
) -> tuple[list[Document], list[Candidate]]:
    """The documents without the questions, and the questions with answers that lie in these.

    :param documents: as they were read.
    :param questions: with answers in those.
    :param hides_headings: headings lose their words (`## 설치` becomes `##`) and documents their
        titles, all of them: where some are questions, a heading that stayed would draw those of
        others.
    """
    edits: dict[str, list[Edit]] = {document.id: [] for document in documents}
    for question in questions:
        if question.place is not None:
            edits[question.answer.source].append(Edit(*question.place))
    edited_texts: dict[str, Edited] = {}
    edited_documents = []
    for document in documents:
        of_headings = _of_headings(document, edits[document.id], hides_headings)
        edited = Edited(document.text, of_headings + edits[document.id])
        edited_texts[document.id] = edited
        title = "" if hides_headings else document.title
        edited_documents.append(replace(document, text=edited.text, title=title))
    moved = [
        replace(question, answer=edited_texts[question.answer.source].moved_span(question.answer))
        for question in questions
    ]
    return edited_documents, moved


def _of_headings(document: Document, others: Sequence[Edit], hides_all: bool) -> list[Edit]:
    """Headings become bare marks: all of them, or those that are questions."""
    question_starts = {edit.start for edit in others}
    edits = [
        Edit(heading.start, heading.end, f"{'#' * heading.level}\n")
        for heading in find_headings(document.text)
        if hides_all or heading.start in question_starts
    ]
    if hides_all and front_matter_end(document.text):
        edits.append(Edit(0, front_matter_end(document.text)))
    return edits
