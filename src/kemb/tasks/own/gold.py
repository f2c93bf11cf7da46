"""Right chunks as people write them: ids in a cell, lists as text, or the passages themselves."""

from __future__ import annotations

import ast
import bisect
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

LEAST_CHARS = 15
"""A passage, or a chunk, that is shorter (without blanks) may stand in any text by chance, so only
an equal text matches it.
"""
MOST_CHUNKS = 10
"""A passage that stands in more chunks than this is boilerplate and says nothing."""

_SEPARATORS = (
    *(r"[;；]", r"\|", r"[,，、]", r"\n|\\n", r"[/／]", r"[&＆]"),
    *(r"[;；|,，、\n&＆/／]", r"\s+"),
)
"""What may stand between ids, tried in this order."""
_PASSAGE_SEPARATORS = (r"\n\s*\n", r"\|", r"\n", r"[;；]")
"""What may stand between passages in one cell."""
_TOKEN = re.compile(
    r"\s*(?:(?P<open>[\[({])|(?P<close>[\])}])|(?P<comma>,)"
    r"|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<word>[^\s,\[\](){}'\"]+))",
    re.DOTALL,
)
_NOISE = re.compile(r"array|dtype=\w+|nan|None|null", re.IGNORECASE)
"""Words of numpy's and Python's way to write lists that are no values."""


def parse_list(text: str, bare_words: bool = True) -> list[Any] | None:
    """The list that a cell writes out, as JSON, Python or numpy print it; None if it is none.

    numpy leaves out commas and, in long arrays, values: `...` makes it no list.

    :param text: the cell.
    :param bare_words: take words without quotes for values, as in `[c1, c7]`.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _parse_printed(text, bare_words)
    return value if isinstance(value, list) else None


def _parse_printed(text: str, bare_words: bool) -> list[Any] | None:
    stack: list[list[Any]] = [[]]
    position = 0
    stripped = text.strip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None or match["word"] == "..." or (match["word"] or "").startswith(":"):
            return None  # cut short, or a dictionary
        position = match.end()
        if match["open"]:
            stack.append([])
        elif match["close"]:
            if len(stack) < 2:
                return None
            inner = stack.pop()
            stack[-1].append(inner)
        elif match["string"]:
            stack[-1].append(_unquoted(match["string"]))
        elif match["word"] and not _NOISE.fullmatch(match["word"]):
            if not bare_words:
                return None
            stack[-1].append(match["word"])
    if len(stack) != 1 or len(stack[0]) != 1 or not isinstance(stack[0][0], list):
        return None
    return _without_call_brackets(stack[0][0])


def _unquoted(token: str) -> str:
    try:
        return str(ast.literal_eval(token.replace("\n", "\\n")))
    except (ValueError, SyntaxError):
        return token[1:-1]


def _without_call_brackets(value: list[Any]) -> list[Any]:
    """What numpy prints as `array(['a'])` is read as a list in a list; it is the inner one."""
    items = [_without_call_brackets(item) if isinstance(item, list) else item for item in value]
    return [
        item[0] if isinstance(item, list) and len(item) == 1 and isinstance(item[0], list) else item
        for item in items
    ]


def flat_texts(value: object) -> list[str]:
    """All texts and whole numbers in nested lists, as text; empty ones are left out."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in flat_texts(item)]
    text = _plain_text(value)
    return [text] if text.strip() else []


def _plain_text(value: object) -> str:
    if value is None or isinstance(value, bool) or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing: no text, an empty list, `nan` of a data frame."""
    return not passages_in(value)


def ids_in(value: object, known_ids: Collection[str]) -> list[str]:
    """The ids in a cell, in order: a list or set, also as text, one id, or several between `;`,
    `|`, `,`, `/`, `&` or blanks; where some of them are unknown they are there, too.

    :param value: the cell.
    :param known_ids: of the chunks; an id with a comma in it is one id.
    """
    if not isinstance(value, str):
        return list(dict.fromkeys(flat_texts(value)))
    text = value.strip()
    if text in known_ids:
        return [text]
    if text[:1] in "[({" and (items := parse_list(text)) is not None:
        return list(dict.fromkeys(flat_texts(items)))
    best = [text]
    n_best = 0
    for separator in _SEPARATORS:
        pieces = [piece.strip() for piece in re.split(separator, text)]
        pieces = list(dict.fromkeys(piece for piece in pieces if piece))
        n_known = sum(piece in known_ids for piece in pieces)
        if pieces and n_known == len(pieces):
            return pieces
        if n_known > n_best:
            best, n_best = pieces, n_known
    return best


def is_ambiguous(value: object, known_ids: Collection[str]) -> bool:
    """Whether a cell is an id and, by its separators, also several ids."""
    text = value.strip() if isinstance(value, str) else ""
    if text not in known_ids:
        return False
    splits = (re.split(separator, text) for separator in _SEPARATORS)
    return any(
        len(pieces) > 1 and all(piece.strip() in known_ids for piece in pieces) for pieces in splits
    )


def passages_in(value: object) -> list[str]:
    """The passages in a cell: a list, a list as text, or the whole cell as one."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "(", "{"):
        items = parse_list(value, bare_words=False)
        if items is not None:
            return flat_texts(items)
    return flat_texts(value)


def normal_form(text: str) -> str:
    """A text without blanks, case and compatibility forms, as passages are compared."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass
class Passages:
    """Chunks, found again by passages of their text."""

    ids: Sequence[str]
    titles: Sequence[str]
    texts: Sequence[str]
    _by_text: dict[str, list[str]] = field(default_factory=dict)
    _by_start: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    _joined: str = ""
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        normal_texts = [normal_form(text) for text in self.texts]
        position = 0
        for chunk_id, title, text in zip(self.ids, self.titles, normal_texts, strict=True):
            for whole in {text, normal_form(title) + text}:
                self._by_text.setdefault(whole, []).append(chunk_id)
            if len(text) >= LEAST_CHARS:
                self._by_start.setdefault(text[:LEAST_CHARS], []).append((text, chunk_id))
            self._starts.append(position)
            position += len(text) + 1
        self._joined = "\0".join(normal_texts)

    def find(self, passage: str) -> list[str]:
        """Ids of the chunks that a passage is: equal to it after normalisation; else those that
        hold it; else those that lie in it. None where it is nowhere or, as boilerplate, everywhere.
        """
        normal = normal_form(passage)
        if normal in self._by_text:
            return self._by_text[normal]
        if len(normal) < LEAST_CHARS:
            return []
        around = list(dict.fromkeys(self._around(normal)))
        if around:
            return around if len(around) <= MOST_CHUNKS else []
        return list(dict.fromkeys(self._within(normal)))

    def find_all(self, value: object) -> tuple[list[str], list[str]]:
        """Ids of the chunks that a cell's passages are, and the passages that are no chunk."""
        matches = {passage: self.find(passage) for passage in passages_in(value)}
        if isinstance(value, str) and not any(matches.values()):
            for separator in _PASSAGE_SEPARATORS:
                pieces = [piece for piece in re.split(separator, value) if piece.strip()]
                by_piece = {piece: self.find(piece) for piece in pieces}
                if len(pieces) > 1 and all(by_piece.values()):
                    matches = by_piece
                    break
        ids = dict.fromkeys(chunk_id for chunk_ids in matches.values() for chunk_id in chunk_ids)
        return list(ids), [passage for passage, chunk_ids in matches.items() if not chunk_ids]

    def _around(self, normal: str) -> Iterator[str]:
        """Chunks that hold the passage."""
        position = self._joined.find(normal)
        while position >= 0:
            number = bisect.bisect_right(self._starts, position) - 1
            yield self.ids[number]
            position = self._joined.find(normal, position + 1)

    def _within(self, normal: str) -> Iterator[str]:
        """Chunks that lie in the passage, in its order."""
        for position in range(len(normal) - LEAST_CHARS + 1):
            start = normal[position : position + LEAST_CHARS]
            for text, chunk_id in self._by_start.get(start, ()):
                if normal.startswith(text, position):
                    yield chunk_id
