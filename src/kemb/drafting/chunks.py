"""Chunks of documents: sentences, sections under headings, fixed sizes, or whole documents, each
with its place in the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from kemb.errors import MissingExtra, UsageError
from kemb.models.analysers import load_kiwi
from kemb.tasks.own.documents import Document
from kemb.tasks.own.headings import find_headings

Kind = Literal["sentences", "heading", "fixed", "document"]
_KINDS = get_args(Kind)
_SPEC = re.compile(r"(sentences|heading|fixed):(\d{1,6})(?:\+(\d{1,6}))?")
_MOST_AT_ONCE = 4096
"""Kiwi needs more than linear time in one long text."""
_BLOCK = re.compile(r"[ \t]*(?:#{1,6}[ \t]|[-*+>|]|\d{1,9}[.)][ \t]|```|~~~|$)")
"""Lines at which no sentence of the line above goes on: headings, items, tables, fences, blanks."""

_MARK = re.compile(r"[.!?。！？…][\"'”’)\]」』]*\s+")

Place = tuple[int, int]
"""Start and end in a text, in code points."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut."""

    kind: Kind
    size: int = 0
    """The most characters of a chunk; 0 for whole documents."""
    overlap: int = 0
    """The most characters that a chunk repeats of the one before it."""

    @property
    def name(self) -> str:
        """As it is typed: `sentences:300`, `fixed:400+80`, `document`."""
        if self.kind == "document":
            return self.kind
        return f"{self.kind}:{self.size}" + (f"+{self.overlap}" if self.overlap else "")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text` is the document's from `start` to `end`."""

    id: str
    """`<document>#<start>-<end>`."""
    title: str
    """That of the document."""
    text: str
    source: str
    """The id of the document."""
    start: int
    """In code points, as `end`."""
    end: int


def parse_chunking(spec: str) -> Chunking:
    """Read `sentences:N`, `heading:N`, `fixed:N`, with `+M` for an overlap, or `document`.

    :raises UsageError: it is none of these, or the overlap is not smaller than the size.
    """
    spec = spec.strip()
    if spec == "document":
        return Chunking("document")
    match = _SPEC.fullmatch(spec)
    if match is None or not int(match[2]):
        raise UsageError(
            f"Unknown chunking {spec!r}; expected sentences:N, heading:N or fixed:N with the most "
            "characters of a chunk, with +M for M characters of overlap, or document. Type for "
            'example: --chunks "sentences:300, heading:800, fixed:400+80"'
        )
    kind, size, overlap = match[1], int(match[2]), int(match[3] or 0)
    if overlap >= size:
        raise UsageError(
            f"The chunking {spec!r} repeats {overlap} characters in chunks of {size}; expected an "
            f"overlap below the size. Type for example: {kind}:{size}+{size // 5}"
        )
    return Chunking(next(name for name in _KINDS if name == kind), size, overlap)


def chunk(documents: Sequence[Document], spec: str) -> list[Chunk]:
    """The chunks of documents, in their order.

    No chunk begins or ends with white space, and every other character of a document stands in at
    least one. A chunk has at most N characters:

    - `sentences:N`: as many whole sentences as fit (Kiwi's splitter), a heading with the sentence
      below it; a longer sentence is cut at white space;
    - `heading:N`: a section with its heading; a longer one is cut at line ends; a heading without
      text of its own stands with the section below it;
    - `fixed:N`: N characters, wherever that cuts;
    - `document`: all of it.

    :param documents: as `read_documents` returns them.
    :param spec: what `parse_chunking` reads.
    :raises UsageError: an unknown chunking; MissingExtra: `sentences` without kiwipiepy.
    """
    chunking = parse_chunking(spec)
    if chunking.kind == "sentences":
        load_kiwi(f"The chunking {chunking.name}")
    return [
        Chunk(
            f"{document.id}#{start}-{end}",
            document.title,
            document.text[start:end],
            document.id,
            start,
            end,
        )
        for document in documents
        for start, end in _places(document.text, chunking)
    ]


@lru_cache(maxsize=1 << 12)
def sentences(text: str) -> tuple[Place, ...]:
    """Where the sentences of a text stand, without white space at their ends: by Kiwi where it is
    installed, else behind `.`, `!` and `?`. No sentence runs through headings, items of lists, rows
    of tables and blank lines; every character that is no white space belongs to one.
    """
    pieces = [place for block in _blocks(text) for place in _parts(text, *block)]
    starts = set()
    for (start, end), later in zip(pieces, _later_starts(text, pieces), strict=True):
        starts |= {start, *(start + place for place in later if 0 < place < end - start)}
    ordered = sorted(starts)
    ends = [*ordered[1:], len(text)]
    return tuple(
        place for i, start in enumerate(ordered) for place in _trimmed(text, start, ends[i])
    )


def _later_starts(text: str, pieces: Sequence[Place]) -> Iterator[list[int]]:
    """Of every piece where its sentences but the first begin, counted from its start."""
    try:
        kiwi = load_kiwi("Sentences")
    except MissingExtra:
        yield from ([m.end() for m in _MARK.finditer(text[s:e])] for s, e in pieces)
        return
    split = kiwi.split_into_sents((text[s:e] for s, e in pieces), return_sub_sents=False)
    yield from ([sentence.start for sentence in of_piece[1:]] for of_piece in split)


def _places(text: str, chunking: Chunking) -> Iterator[Place]:
    size, overlap = chunking.size, chunking.overlap
    if chunking.kind == "document":
        yield from _trimmed(text, 0, len(text))
    elif chunking.kind == "fixed":
        yield from _windows(text, size, overlap)
    elif chunking.kind == "sentences":
        units = _cut(text, sentences(text), size)
        yield from _pack(_behind_headings(text, units, size), size, overlap)
    else:
        for start, end in _sections(text):
            yield from _pack(_cut(text, _lines(text, start, end), size), size, overlap)


def _trimmed(text: str, start: int, end: int) -> Iterator[Place]:
    """The place without white space at its ends; nothing where there is nothing else."""
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    right = start + len(piece.rstrip())
    if left < right:
        yield left, right


def _windows(text: str, size: int, overlap: int) -> Iterator[Place]:
    """Windows of a size; one that holds nothing but what stood in the one before it is left out."""
    for start, last in _trimmed(text, 0, len(text)):
        before = start
        while before < last:
            for place in _trimmed(text, start, min(start + size, last)):
                if place[1] > before:
                    yield place
                before = max(before, place[1])
            start += size - overlap
            while start < last and text[start].isspace():
                start += 1


def _pack(units: Sequence[Place], size: int, overlap: int) -> Iterator[Place]:
    """Neighbours put together up to a size; a chunk begins with what fits of the last units of the
    one before it into the overlap, if a unit that is new fits behind it.

    :param units: places in order, none longer than the size.
    """
    first = 0
    while first < len(units):
        last = first
        while last + 1 < len(units) and units[last + 1][1] - units[first][0] <= size:
            last += 1
        yield units[first][0], units[last][1]
        if last + 1 == len(units):
            return
        earliest = max(units[last][1] - overlap, units[last + 1][1] - size)
        behind = last + 1
        while behind - 1 > first and units[behind - 1][0] >= earliest:
            behind -= 1
        first = behind


def _behind_headings(text: str, units: Sequence[Place], size: int) -> list[Place]:
    """The units, a heading together with what stands below it where both fit into the size."""
    headings = {heading.start for heading in find_headings(text)}
    places: list[Place] = []
    joins = False
    for start, end in units:
        if joins and end - places[-1][0] <= size:
            places[-1] = places[-1][0], end
        else:
            places.append((start, end))
        joins = start in headings
    return places


def _cut(text: str, places: Iterable[Place], size: int) -> list[Place]:
    """The places without white space at their ends, those longer than the size cut: at the last
    white space in the second half of what fits, else anywhere.
    """
    pieces: list[Place] = []
    for place in places:
        for start, end in _trimmed(text, *place):
            while end - start > size:
                middle = _last_blank(text, start + max(size // 2, 1), start + size)
                pieces += _trimmed(text, start, middle)
                while text[middle].isspace():
                    middle += 1
                start = middle
            pieces.append((start, end))
    return pieces


def _last_blank(text: str, start: int, end: int) -> int:
    """The last white space from `start` to `end`, both included; `end` where there is none."""
    return next((place for place in range(end, start - 1, -1) if text[place].isspace()), end)


def _lines(text: str, start: int, end: int) -> Iterator[Place]:
    while start < end:
        line_end = text.find("\n", start, end)
        line_end = end if line_end < 0 else line_end + 1
        yield start, line_end
        start = line_end


def _sections(text: str) -> Iterator[Place]:
    headings = find_headings(text)
    ends = [*(heading.start for heading in headings), len(text)][1:]
    start = 0
    if headings and text[: headings[0].start].strip():
        yield 0, headings[0].start
        start = headings[0].start
    for heading, end in zip(headings, ends, strict=True):
        if text[heading.end : end].strip():
            yield start, end
            start = end
    if start < len(text):
        yield start, len(text)


def _blocks(text: str) -> Iterator[Place]:
    """Lines that sentences may run through: paragraphs, items of lists, rows of tables."""
    start = 0
    is_heading = False
    for line_start, line_end in _lines(text, 0, len(text)):
        begins_block = is_heading or _BLOCK.match(text, line_start, line_end) is not None
        if begins_block and line_start > start:
            yield start, line_start
            start = line_start
        is_heading = text[line_start:line_end].lstrip().startswith("#")
    if start < len(text):
        yield start, len(text)


def _parts(text: str, start: int, end: int) -> Iterator[Place]:
    """A block in parts that Kiwi takes at once, cut at white space where there is any."""
    while end - start > _MOST_AT_ONCE:
        middle = start + _MOST_AT_ONCE
        blank = max(text.rfind(mark, start, middle) for mark in " \n\t")
        middle = blank + 1 if blank > start else middle
        yield start, middle
        start = middle
    yield start, end
