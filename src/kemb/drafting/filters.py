"""Which questions become part of a drafted set, which passages answer each, and what a reviewer
should look at first.

Nothing is dropped for the words that a question shares with its passage: a cap would only turn the
bias round. What is dropped is counted and listed with its reason.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kemb.drafting.candidates import ORDER, Candidate, Omission
from kemb.drafting.chunks import Chunk
from kemb.drafting.vocabulary import Postings, Words, content_words, overlap
from kemb.scoring.spans import Span
from kemb.training.shingles import near_within, normal_form, windows

MANY = 10
"""A question that so many passages answer equally says nothing of a ranking."""
SHINGLE, JACCARD = 5, 0.85
"""Passages that share so much are one answer; as `kemb.training` takes texts for near duplicates.
"""
MIN_WORDS = 2
"""Content words of a heading or title that can stand alone."""
_MIN_QUOTE = 8
"""Letters of a question that may be said to stand in a passage word for word."""
_HANGUL = re.compile(r"[가-힣]")
_LEANING = re.compile(
    r"^(?:이|그|저|이런|그런|저런|이러한|그러한|여기|이것|그것|그러면|그럼|그렇다면|왜 그런)"
    r"(?:[은는이가을를도의에서와과,]*)\s"
)
"""How sentences begin that are understood only after the one before them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a drafted set."""

    id: str
    """A hash of the question, so that decisions of reviewers outlive another draft."""
    text: str
    way: str
    style: str
    spans: tuple[Span, ...]
    """The text that answers it, in the documents of the set; any one of several will do."""
    passages: tuple[str, ...]
    """Ids of the passages that are right."""
    overlap: float
    """The share of its content words that stand in a right passage."""
    flags: tuple[str, ...]
    """What a reviewer should know."""


@dataclass(frozen=True, slots=True)
class Sieve:
    """What came through, and what did not."""

    questions: list[Question]
    omissions: list[Omission]
    n_joined: int
    """Questions that were asked twice and have the answers of both."""
    n_joint_answers: int
    """Passages that are right because they are nearly the same as one that is."""


def with_parents(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Omission]]:
    """Headings as questions: with as many of the headings above before them as it takes to have two
    content words and to be told from the others. Titles need two of their own.
    """
    pieces = [
        [" ".join([*reversed(each.parents[:n]), each.text]) for n in range(len(each.parents) + 1)]
        for each in candidates
    ]
    forms = [[normal_form(text) for text in texts] for texts in pieces]
    n_of_form: dict[tuple[int, str], int] = defaultdict(int)
    for of_candidate in forms:
        for depth, form in enumerate(of_candidate):
            n_of_form[depth, form] += 1
    words = iter(content_words([text for texts in pieces for text in texts]))
    questions, omissions = [], []
    for candidate, texts, of_candidate in zip(candidates, pieces, forms, strict=True):
        of_texts = [next(words) for _ in texts]
        enough = [
            depth
            for depth, form in enumerate(of_candidate)
            if len(of_texts[depth]) >= MIN_WORDS or candidate.way not in ("heading", "title")
        ]
        alone = [depth for depth in enough if n_of_form[depth, of_candidate[depth]] == 1]
        if not enough or not of_texts[-1]:
            reason = "fewer than two content words"
            omissions.append(
                Omission(candidate.text, candidate.way, candidate.answer.source, reason)
            )
            continue
        depth = (alone or enough[-1:])[0]
        questions.append(replace(candidate, text=texts[depth], parents=()))
    return questions, omissions


def sieve(candidates: Sequence[Candidate], chunks: Sequence[Chunk]) -> Sieve:
    """Questions with their right passages.

    :param candidates: with answers in the documents that the chunks are of.
    :param chunks: the passages of the set.
    """
    omissions: list[Omission] = []
    groups = _joined(candidates)
    twins = _NearDuplicates(chunks)
    layouts = _layouts(chunks)
    passage_words = content_words([f"{chunk.title} {chunk.text}" for chunk in chunks])
    passage_forms = [normal_form(f"{chunk.title} {chunk.text}") for chunk in chunks]
    postings = Postings(passage_words)
    hangul = [(len(_HANGUL.findall(chunk.text)), len(chunk.text)) for chunk in chunks]
    question_words = content_words([group[0].text for group in groups])
    questions: list[Question] = []
    n_joint = 0
    for group, words in zip(groups, question_words, strict=True):
        first = group[0]
        spans = tuple(dict.fromkeys(candidate.answer for candidate in group))
        direct = [
            row
            for span in spans
            for row in answering(span, chunks, layouts[span.source].rows_near(span))
        ]
        right = list(dict.fromkeys([*direct, *(twin for row in direct for twin in twins.of(row))]))
        if len(direct) == 1:
            spans += tuple(_place(chunks[twin]) for twin in right[1:])
        reason = _why_not(words, right)
        if reason:
            omissions.append(Omission(first.text, first.way, first.answer.source, reason))
            continue
        n_joint += len(right) - len(set(direct))
        quoted = _is_quoted(first.text, [passage_forms[row] for row in right])
        questions.append(
            Question(
                question_id(first.text),
                first.text,
                first.way,
                first.style,
                spans,
                tuple(chunks[row].id for row in right),
                overlap(words, [passage_words[row] for row in right]),
                _flags(first, words, postings, _is_korean([hangul[row] for row in right]), quoted),
            )
        )
    return Sieve(questions, omissions, len(candidates) - len(groups), n_joint)


def question_id(text: str) -> str:
    """The id of a question: that of equal questions is equal."""
    return f"q-{hashlib.sha256(normal_form(text).encode()).hexdigest()[:12]}"


def answering(span: Span, chunks: Sequence[Chunk], rows: Sequence[int]) -> list[int]:
    """The passages that answer: those that share at least half of the answer, or of themselves,
    with it; where no passage does, the one that shares most. Behind the first `MANY`, which are too
    many for a question, no others are looked for.

    :param span: the answer.
    :param chunks: all passages.
    :param rows: those of the answer's document, or those of them that are near it.
    """
    shares: dict[int, float] = {}
    enough: list[int] = []
    for row in rows:
        if len(enough) == MANY:
            break
        chunk = chunks[row]
        shared = min(chunk.end, span.end) - max(chunk.start, span.start)
        if shared > 0:
            shares[row] = shared / min(chunk.end - chunk.start, span.end - span.start)
            if shares[row] >= 0.5:
                enough.append(row)
    return enough or sorted(shares, key=lambda row: (-shares[row], row))[:1]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the passages of one document lie, in its order."""

    rows: list[int]
    starts: list[int]
    ends: list[int]

    def rows_near(self, span: Span) -> list[int]:
        """The passages that share a character with a place."""
        return self.rows[bisect_right(self.ends, span.start) : bisect_left(self.starts, span.end)]


def _layouts(chunks: Sequence[Chunk]) -> Mapping[str, _Layout]:
    layouts: dict[str, _Layout] = defaultdict(lambda: _Layout([], [], []))
    for row, chunk in enumerate(chunks):
        layout = layouts[chunk.source]
        layout.rows.append(row)
        layout.starts.append(chunk.start)
        layout.ends.append(chunk.end)
    return layouts


def _joined(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates by question, the most natural way first; equal are those of one normal form."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: ORDER.index(candidate.way)):
        groups.setdefault(normal_form(candidate.text) or candidate.text, []).append(candidate)
    return list(groups.values())


class _NearDuplicates:
    """Of every passage those that are nearly the same.

    Passages of one normal form are compared with the others once: a line that stands in a file a
    hundred thousand times makes no ten thousand million pairs.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        numbers: dict[str, int] = {}
        forms = (normal_form(chunk.text) for chunk in chunks)
        self._form_of_row = [numbers.setdefault(form, len(numbers)) for form in forms]
        self._rows: list[list[int]] = [[] for _ in numbers]
        for row, number in enumerate(self._form_of_row):
            if number != numbers.get(""):  # what has no letters is like nothing else
                self._rows[number].append(row)
        self._near: dict[int, list[int]] = defaultdict(list)
        near = near_within(windows(list(numbers), SHINGLE), JACCARD)
        for one, other in zip(near.a.tolist(), near.b.tolist(), strict=True):
            self._near[one].append(other)
            self._near[other].append(one)

    def of(self, row: int) -> list[int]:
        """Passages nearly the same as one, in their order; `MANY` at most."""
        form = self._form_of_row[row]
        alike = (self._rows[one][: MANY + 1] for one in (form, *self._near[form]))
        twins = sorted(one for rows in itertools.islice(alike, MANY + 1) for one in rows)
        return [one for one in twins if one != row][:MANY]


def _place(chunk: Chunk) -> Span:
    return Span(chunk.source, chunk.start, chunk.end)


def _why_not(words: Words, right: Sequence[int]) -> str:
    if not words:
        return "no content words"
    if not right:
        return "no passage answers it"
    return "ten passages or more answer it equally" if len(right) >= MANY else ""


def _is_quoted(question: str, passages: Sequence[str]) -> bool:
    form = normal_form(question)
    return len(form) >= _MIN_QUOTE and any(form in passage for passage in passages)


def _is_korean(counts: Sequence[tuple[int, int]]) -> bool:
    """Whether a quarter of the passages' characters are Hangul.

    :param counts: of every passage its Hangul and all of its characters.
    """
    return sum(n_hangul for n_hangul, _ in counts) >= sum(n for _, n in counts) / 4


def _flags(
    candidate: Candidate, words: Words, postings: Postings, of_korean: bool, is_quoted: bool
) -> tuple[str, ...]:
    is_korean = _HANGUL.search(candidate.text) is not None
    conditions = {
        "no passage holds a word of it": postings.holds_none(words),
        "ten passages hold all its words": postings.n_with_all(words) >= MANY,
        "its passage holds it word for word": is_quoted,
        "another language than its passage": is_korean != of_korean,
        "begins with a word that points back": _LEANING.match(candidate.text) is not None,
    }
    return tuple(flag for flag, holds in conditions.items() if holds)
