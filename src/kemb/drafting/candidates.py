"""Questions that documents hold already: headings, titles, FAQs, sentences that ask; each with the
text that answers it. No model is asked.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from kemb.drafting.chunks import sentences
from kemb.models.analysers import kiwi_tokens
from kemb.scoring.spans import Span
from kemb.tasks.own.documents import Document
from kemb.tasks.own.headings import find_headings, front_matter_end

Way = Literal["faq", "sentence", "heading", "title", "llm"]
WAYS: tuple[Way, ...] = ("faq", "sentence", "heading", "title")
"""Without a language model, the most natural question first."""
ORDER: tuple[Way, ...] = ("llm", *WAYS)
MIN_ANSWER = 30
"""Letters and digits that a text must have to answer anything."""
MIN_SENTENCE = 5
"""Letters and digits of a sentence that is a question."""

_OPENING = r"^[ \t]*(?:[-*+>][ \t]+)?[*_]{0,3}[\[(【<]?"
_NUMBER = r"[ \t]?\d{0,3}"
_SEPARATOR = r"(?:[\])】>][*_]{0,3}[ \t]*[.:：]?|[*_]{0,3}[ \t]*[.:：)]|(?<=\d)(?=[ \t]))[*_]{0,3}"
_ASKS = re.compile(
    rf"{_OPENING}(?:Q|질문|물음|문|question){_NUMBER}{_SEPARATOR}[ \t]*(?P<text>\S?.*)$",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    rf"{_OPENING}(?:A|답변|대답|답|answer){_NUMBER}{_SEPARATOR}[ \t]*(?P<text>\S?.*)$",
    re.IGNORECASE,
)
_MARK = re.compile(r"^(?:Q|질문)\d{0,3}(?:[.:：)]\s*|\s+)")
"""Before a sentence that asks."""
_FENCED = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_PARAGRAPH = re.compile(r"\S.*?(?=\n[ \t]*\n|\Z)", re.DOTALL)
_NO_PROSE = re.compile(r"[|<]|\[[^\]]*\]:")
"""How tables, HTML and link definitions begin."""
_NUMBERING = re.compile(
    r"^(?:\d+(?:\.\d+)*[.)][ \t]+|\d+(?:\.\d+)+[ \t]+|제[ \t]*\d+[ \t]*[장절조항편][.:]?[ \t]+"
    r"|[IVX]+\.[ \t]+|[가-하][.)][ \t]+|[①-⑳][ \t]*)"
)
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_ANCHOR = re.compile(r"\{(?:#|/\*)[^}]*\}|<[^<>]*>")
_EMPHASIS = re.compile(r"[*_]{1,3}(?=\S)(.+?)(?<=\S)[*_]{1,3}(?!\w)|`+([^`]*)`+|~~(.+?)~~")
_CLOSING = "\"'”’»」』)]*_~` \t\n"
"""What may follow a question mark."""
_MAY_ASK = re.compile(unicodedata.normalize("NFD", r"(?:까|까요|나요|가|가요|냐)$"))
_MAY_HOLD_QUESTION = re.compile(r"[?？]|(?:까|요|냐)(?=\W|\Z)|가(?=[.。…!]|\s*\n|\s*\Z)")
"""Of paragraphs; sentences of the others are not looked for, which would take most of the time."""
_ASKING_FORM = re.compile(r"(?:니까|나요|(?:ᆫ|은|는|던)가(?:요)?|(?:ᆯ|을)까(?:요)?|냐)$")
"""Of Kiwi's final endings those that ask."""
_ASKING_END = re.compile(
    unicodedata.normalize(
        "NFD", r"(?:ᆸ니까|나요|(?:는|은|인|한|던)가(?:요)?|[느이]냐|[ᆫᆯ](?:까|까요|가요))$"
    )
)
"""Of words as they are written, decomposed, where there is no Kiwi."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question, where it stands, and the text that answers it."""

    way: Way
    text: str
    answer: Span
    place: tuple[int, int] | None = None
    """What must go from the document, lest the question be read in its own passage; None where
    nothing of it stands there.
    """
    parents: tuple[str, ...] = ()
    """Headings above it, the nearest first: words that may stand before it."""
    style: str = ""
    """That a language model was asked for."""


Reason = Literal[
    "too little text answers it",
    "fewer than two content words",
    "no content words",
    "no passage answers it",
    "ten passages or more answer it equally",
    "the endpoint refused the passage",
    "the answer was cut off",
    "the answer is not the JSON that was asked for",
    "the model saw nothing to ask",
    "it repeats an instruction of the passage",
    "a style that was not asked for",
    "its answer does not stand in the passage",
    "it quotes the passage",
]
"""Why a question is not in the set; the table of sentences has a `why_` for each."""


class Omission(NamedTuple):
    """A question that is not in the set."""

    question: str
    way: str
    source: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Section:
    """The text under a heading, up to the next one of any level."""

    title: str
    """In plain words; '' before the first heading."""
    parents: tuple[str, ...]
    heading_start: int
    start: int
    end: int


def candidates(document: Document, ways: Sequence[Way]) -> tuple[list[Candidate], list[Omission]]:
    """What a document asks and answers, in the order of the text; and what was passed over.

    :param document: as it was read.
    :param ways: of `WAYS`, those that are tried.
    """
    questions: list[Candidate] = []
    omissions: list[Omission] = []
    code = [(match.start(), match.end()) for match in _FENCED.finditer(document.text)]
    code_starts = [start for start, _ in code]
    for section in sections(document):
        first, last = (bisect_left(code_starts, end) for end in (section.start, section.end))
        for candidate in _of_section(document, section, ways, code[first:last]):
            answer = candidate.answer
            if not has_letters(document.text, MIN_ANSWER, answer.start, answer.end):
                reason: Reason = "too little text answers it"
                omissions.append(Omission(candidate.text, candidate.way, document.id, reason))
            else:
                questions.append(candidate)
    if "title" in ways and title_in(document):
        whole = Span(document.id, front_matter_end(document.text), len(document.text))
        questions.append(Candidate("title", title_in(document), whole))
    return questions, omissions


def title_in(document: Document) -> str:
    """The title in plain words; '' where the document has none, so that its file's name stands for
    it.
    """
    title = document.title
    return "" if title == PurePosixPath(document.id).stem else plain(title)


def sections(document: Document) -> list[Section]:
    """The text before the first heading, and that under every heading."""
    text = document.text
    headings = find_headings(text)
    ends = [heading.start for heading in headings] + [len(text)]
    start = front_matter_end(text)
    parts = [Section("", (), start, start, ends[0])]
    above: list[tuple[int, str]] = []
    title = title_in(document)
    for heading, end in zip(headings, ends[1:], strict=True):
        above = [(level, name) for level, name in above if level < heading.level]
        parents = [name for _, name in reversed(above)]
        if title and title not in (*parents, plain(heading.title)):
            parents.append(title)
        parts.append(Section(plain(heading.title), tuple(parents), heading.start, heading.end, end))
        above.append((heading.level, plain(heading.title)))
    return parts


def _of_section(
    document: Document, section: Section, ways: Sequence[Way], code: Sequence[tuple[int, int]]
) -> Iterator[Candidate]:
    is_title = "title" in ways and section.title == title_in(document)
    body = Span(document.id, section.start, section.end)
    asks = _ASKS.match(section.title)
    as_faq = "faq" in ways and (asks is not None or section.title.endswith(("?", "？")))
    if section.title and as_faq:
        words = asks["text"] if asks else section.title
        place = (section.heading_start, section.start)
        yield Candidate("faq", words, body, place)
    elif section.title and "heading" in ways and not is_title:
        yield Candidate("heading", section.title, body, parents=section.parents)
    pairs = list(_faq(document, section)) if "faq" in ways else []
    yield from pairs
    if "sentence" in ways:
        of_pairs = [(pair.place[0], pair.answer.end) for pair in pairs if pair.place]
        yield from _sentences(document, section, sorted([*code, *of_pairs]))


def _faq(document: Document, section: Section) -> Iterator[Candidate]:
    """Lines that begin with Q, 질문 and the like, with what follows up to the next such line."""
    lines = list(_lines(document.text, section.start, section.end))
    asking = [number for number, (_, line) in enumerate(lines) if _ASKS.match(line)]
    for number, following in itertools.pairwise([*asking, len(lines)]):
        start = lines[number][0]
        end = lines[following][0] if following < len(lines) else section.end
        rest = range(number + 1, following)
        mark = next((row for row in rest if _ANSWERS.match(lines[row][1])), None)
        last = number + 1 if mark is None else mark
        asks = _ASKS.match(lines[number][1])
        assert asks is not None
        words = plain(" ".join([asks["text"], *(line for _, line in lines[number + 1 : last])]))
        if not words:
            continue
        answer_start = lines[last][0] if last < following else end
        if mark is not None:
            answers = _ANSWERS.match(lines[mark][1])
            assert answers is not None
            answer_start = lines[mark][0] + answers.start("text")
        place = (start, lines[last][0] if last < following else end)
        yield Candidate("faq", words, Span(document.id, answer_start, end), place)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        yield start, text[start:stop]
        start = stop + 1


def _sentences(
    document: Document, section: Section, taken_spans: Sequence[tuple[int, int]]
) -> Iterator[Candidate]:
    """Sentences that ask; what follows in their paragraph answers them, else the next one.

    :param taken_spans: in order; paragraphs that begin in one of them are passed over.
    """
    text = document.text
    span_starts = [start for start, _ in taken_spans]
    furthest = [0, *itertools.accumulate((end for _, end in taken_spans), max)]
    paragraphs = [
        (match.start(), match.end())
        for match in _PARAGRAPH.finditer(text, section.start, section.end)
        if not _NO_PROSE.match(text, match.start(), match.end())
        and match.start() >= furthest[bisect_right(span_starts, match.start())]
    ]
    for (start, end), follower in itertools.zip_longest(paragraphs, paragraphs[1:]):
        if not _MAY_HOLD_QUESTION.search(text, start, end):
            continue
        spans = [(start + first, start + last) for first, last in sentences(text[start:end])]
        asking = asking_sentences([text[first:last] for first, last in spans])
        for (first, last), asks in zip(spans, asking, strict=True):
            if not asks or not has_letters(text, MIN_SENTENCE, first, last):
                continue
            answer = (last, end)
            if follower is not None and not has_letters(text, MIN_ANSWER, last, end):
                answer = follower
            words = _MARK.sub("", plain(text[first:last]))
            yield Candidate("sentence", words, Span(document.id, *answer), (first, last))


def asking_sentences(texts: Sequence[str]) -> list[bool]:
    """Whether each sentence asks: by its question mark, or by its Korean ending.

    With Kiwi an ending counts where it is a final one (`허가` is a noun); without, by its letters.
    """
    bare = [text.rstrip(_CLOSING) for text in texts]
    asks = [text.endswith(("?", "？")) for text in bare]
    words = [text.rstrip(".。…!" + _CLOSING) for text in bare]
    decomposed = [unicodedata.normalize("NFD", word[-6:]) for word in words]
    if importlib.util.find_spec("kiwipiepy") is None:
        return [
            is_marked or _ASKING_END.search(word) is not None
            for is_marked, word in zip(asks, decomposed, strict=True)
        ]
    rows = [
        row
        for row, is_marked in enumerate(asks)
        if not is_marked and _MAY_ASK.search(decomposed[row])
    ]
    tokens_of_rows = kiwi_tokens([words[row] for row in rows], "Finding questions")
    for row, tokens in zip(rows, tokens_of_rows, strict=True):
        if tokens and (tokens[-1].form, tokens[-1].tag) == ("요", "JX"):
            tokens.pop()
        is_final = bool(tokens) and tokens[-1].tag == "EF"
        asks[row] = is_final and _ASKING_FORM.search(tokens[-1].form) is not None
    return asks


def plain(text: str) -> str:
    """A heading or sentence without Markdown's marks, anchors and numbers, in one line."""
    text = _LINK.sub(r"\1", _ANCHOR.sub("", text))
    text = _EMPHASIS.sub(lambda match: next(filter(None, match.groups()), ""), text)
    return _NUMBERING.sub("", " ".join(text.split())).strip(" *_")


def has_letters(text: str, n: int, start: int = 0, end: int | None = None) -> bool:
    """Whether a text, or a stretch of it, has so many letters and digits; no more of it is read
    than it takes to tell.
    """
    places = range(start, len(text) if end is None else end)
    letters = (place for place in places if text[place].isalnum())
    return next(itertools.islice(letters, n - 1, None), None) is not None
