"""Headings of a Markdown text, with the places they take; and the title of a document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_NO_PARAGRAPH = re.compile(r"[ \t]*(?:[-*+>|#]|\d+[.)]|$)|(?: {4}|\t)")
_MOST_LEVELS = 6


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading, and the characters of the text that it takes."""

    level: int
    """1 to 6."""
    title: str
    """Empty where the marks stand alone."""
    start: int
    """Where its line begins, in code points."""
    end: int
    """Behind its line and the line break."""


def find_headings(text: str) -> list[Heading]:
    r"""Headings of CommonMark in order: `#` lines, and single lines underlined with `=` or `-`; not
    those in fenced code, nor in the YAML head of the file.

    :param text: Markdown; line breaks are `\n`.
    """
    headings: list[Heading] = []
    fence = ""
    before = ""
    above = ""
    above_start = 0
    for start, line in _lines(text, front_matter_end(text)):
        end = min(start + len(line) + 1, len(text))
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
            before, above = above, ""
            continue
        if mark and (mark[1][0] == "~" or "`" not in mark[2]):
            fence = mark[1]
            before, above = above, ""
            continue
        level, title = _hash_heading(line)
        if level:
            headings.append(Heading(level, title, start, end))
        elif _UNDERLINE.fullmatch(line) and not before.strip() and not _NO_PARAGRAPH.match(above):
            level = 1 if line.lstrip().startswith("=") else 2
            headings.append(Heading(level, above.strip(), above_start, end))
            line = ""
        before, above, above_start = ("" if level else above), ("" if level else line), start
    return headings


def front_matter_end(text: str) -> int:
    """Where the text begins behind its YAML head; 0 without one."""
    match = _FRONT_MATTER.match(text)
    return match.end() if match else 0


def title_of(text: str, otherwise: str) -> str:
    """The title in the YAML head, else the first heading of the highest level, else `otherwise`."""
    in_head = _FRONT_TITLE.search(text, 0, front_matter_end(text))
    if in_head:
        return in_head[1].strip().strip("\"'").strip() or otherwise
    titled = (heading for heading in find_headings(text) if heading.title)
    best = min(titled, key=lambda heading: heading.level, default=None)
    return best.title if best else otherwise


def _lines(text: str, start: int) -> Iterator[tuple[int, str]]:
    """Where every line begins, and the line without its break."""
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def _hash_heading(line: str) -> tuple[int, str]:
    """Level and title of a `#` line; level 0 for any other line."""
    body = line.lstrip(" ")
    rest = body.lstrip("#")
    level = len(body) - len(rest)
    is_heading = 1 <= level <= _MOST_LEVELS and rest[:1] in ("", " ", "\t")
    if not is_heading or len(line) - len(body) > 3:
        return 0, ""
    title = rest.strip()
    without_marks = title.rstrip("#")
    return level, without_marks.strip() if without_marks[-1:] in ("", " ", "\t") else title
