"""Words of a text for lexical models: morphemes, character n-grams, the cut that mteb makes."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from kemb.errors import MissingExtra, UnknownName

if TYPE_CHECKING:
    from kiwipiepy import Kiwi, Token


ANALYSERS = ("kiwi", "bigram", "mteb")


MTEB_COMMON = 0.9
"""Share of the documents from which on mteb drops a term."""


CONTENT_TAGS = frozenset(
    "NNG NNP NNB NR NP VV VA XR SL SH SN UN W_URL W_EMAIL W_HASHTAG W_MENTION W_SERIAL".split()
)
"""Nouns, numerals, pronouns, stems of verbs and adjectives, roots, foreign words, hanja, numbers,
unknown words and web tokens. Lucene's Korean analyser (nori) keeps these too; auxiliary verbs,
copulas and marks, which nori keeps, are dropped.
"""


_PIECE = re.compile(r".{1,4096}(?:\s|\Z)|.{1,4096}", re.DOTALL)
"""Kiwi needs more than linear time in one long text, so it gets pieces, cut at white space where
there is any.
"""


def analyser_version(analyser: str) -> str:
    """What stands for the analyser as a model revision: our version, and Kiwi's where it does the
    work.
    """
    _check(analyser)
    return f"1-{kiwi_version('bm25:kiwi')}" if analyser == "kiwi" else "1"


def revision(name: str) -> str:
    """The version of `bm25:<analyser>`."""
    return analyser_version(name.partition(":")[2])


def tokenize(analyser: str, texts: Sequence[str]) -> Iterator[list[str]]:
    """The terms of every text, in the order of `texts`.

    :raises UnknownName: no such analyser; MissingExtra: `kiwi` without kiwipiepy.
    """
    _check(analyser)
    normal = (unicodedata.normalize("NFKC", text) for text in texts)
    if analyser == "kiwi":
        analysed = kiwi_tokens(normal, "bm25:kiwi")
        return (
            [t.form.lower() for t in tokens if t.tag.partition("-")[0] in CONTENT_TAGS]
            for tokens in analysed
        )
    lower = (text.lower() for text in normal)
    if analyser == "bigram":
        return (
            [word[i : i + 2] for word in text.split() for i in range(len(word) - 1)]
            for text in lower
        )
    # mteb removes blanks only, but it puts "\n" before every document, and then drops it as a
    # common term.
    return (list(text.replace(" ", "").replace("\n", "")) for text in lower)


def kiwi_tokens(texts: Iterable[str], what: str) -> Iterator[list[Token]]:
    """Kiwi's morphemes of every text, in order; the texts of one call are shared out to Kiwi's
    threads.
    """
    pieces = [_PIECE.findall(text) for text in texts]
    token_stream = load_kiwi(what).tokenize(itertools.chain.from_iterable(pieces))
    for parts in pieces:
        yield [token for tokens in itertools.islice(token_stream, len(parts)) for token in tokens]


def load_kiwi(what: str) -> Kiwi:
    """The process's one Kiwi, with its default dictionary and its default model, named here lest
    that change.

    :raises MissingExtra: without kiwipiepy; the message names `what` needs it.
    """
    try:
        return _kiwi()
    except ImportError as error:
        raise MissingExtra(what, "kiwi") from error


@cache
def _kiwi() -> Kiwi:
    from kiwipiepy import Kiwi

    return Kiwi(model_type="cong")


def kiwi_version(what: str) -> str:
    """Versions of everything that changes an analysis, for example
    `kiwipiepy-0.24.1+model-0.24.0`.
    """
    try:
        version = importlib.metadata.version
        return f"kiwipiepy-{version('kiwipiepy')}+model-{version('kiwipiepy_model')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(what, "kiwi") from error


def _check(analyser: str) -> None:
    if analyser not in ANALYSERS:
        raise UnknownName("BM25 analyser", analyser, ANALYSERS, f"Known: {', '.join(ANALYSERS)}.")
