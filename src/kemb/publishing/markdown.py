"""Pieces of Markdown that no text from outside can break out of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from kemb import demo
from kemb.boards.benchmark import spec_of
from kemb.results.files import TaskResult

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


def is_own(task: str, dataset_revision: str = "") -> bool:
    """Whether data are somebody's own: neither kemb's specifications nor its demo know the task, or
    it is a folder.
    """
    return task not in _of_demo() and (
        spec_of(task) is None or dataset_revision.startswith("sha256:")
    )


def own_data(results: Iterable[TaskResult]) -> list[TaskResult]:
    """The results on data of one's own, also those that another program wrote into a results
    folder.

    Published numbers, imported or shipped, are public whatever their task.
    """
    return [
        result
        for result in results
        if (result.claim is None or result.path.suffix == ".json")
        and is_own(result.task, result.dataset_revision)
    ]


@cache
def _of_demo() -> frozenset[str]:
    return frozenset(demo.task_names())
