"""The words that carry a text's content, and how many of a question's stand in its passage."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kemb.models.analysers import analyser_version, tokenize

Words = frozenset[str]


def analyser() -> str:
    """Morphemes where Kiwi is installed, else pairs of characters."""
    return "kiwi" if importlib.util.find_spec("kiwipiepy") is not None else "bigram"


def described() -> str:
    """The analyser and its version, as a draft records it."""
    return f"{analyser()} {analyser_version(analyser())}"


def content_words(texts: Sequence[str]) -> list[Words]:
    """The distinct content words of every text."""
    return [frozenset(words) for words in tokenize(analyser(), texts)]


def overlap(question: Words, passages: Iterable[Words]) -> float:
    """The share of a question's words that stand in its passage: of several, in the one that has
    most.

    :return: between 0 and 1; 0 for a question without content words.
    """
    most = max((len(question & words) for words in passages), default=0)
    return most / len(question) if question else 0.0


class Postings:
    """Which passages hold which word.

    :param passages: the words of every passage.
    """

    def __init__(self, passages: Sequence[Words]) -> None:
        self._passages = passages
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, words in enumerate(passages):
            for word in words:
                self._rows[word].append(row)

    def n_with_all(self, words: Words) -> int:
        """Passages that hold every one of some words."""
        if any(word not in self._rows for word in words):
            return 0
        fewest = min((self._rows[word] for word in words), key=len, default=[])
        return sum(words <= self._passages[row] for row in fewest)

    def holds_none(self, words: Words) -> bool:
        """Whether no passage holds any of some words."""
        return not any(word in self._rows for word in words)
