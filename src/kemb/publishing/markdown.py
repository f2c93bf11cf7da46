"""Pieces of Markdown that no text from outside can break out of."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|"} | {"\n": " "})


def clean(text: str) -> str:
    """Without control characters, which could do things to a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def escape(text: str) -> str:
    """Text that reads as it is, on one line."""
    return text.translate(_SPECIAL)


def code(text: str) -> str:
    """A span of code, also inside of a table."""
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{clean(text)}{pad}{fence}".replace("|", "\\|")


def block(content: str, language: str) -> str:
    """A block of code, fenced by more backticks than it holds."""
    fence = "`" * max(3, _longest_run(content) + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A GitHub table of cells that are Markdown already.

    :param right: columns of numbers.
    """
    rule = ["---:" if column in right else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
