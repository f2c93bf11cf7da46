"""How models are put together on the command line: `rrf(A, B)`, `fuse(0.3*A + 0.7*B)`,
`sum(1*A + 0.3*B)`, `A+reranker:B@100`, `run:FILE`.

model     = fusion | name | "run:" file
name      = of the catalogue, a hub id (with @revision) or a folder
fusion    = "rrf(" model "," model ... ["," "k=" number] ")"
          | ("fuse(" | "sum(") weight "*" model "+" weight "*" model ... ")"
any model may be followed by "+reranker:" name ["@" depth], depth 100 where it is left out
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kemb.errors import UsageError

DEPTH = 100
"""Candidates that a reranker scores, unless said otherwise."""
MAX_DEPTH = 1000
RERANKER = "+reranker:"
EXAMPLES = (
    "rrf(bm25:kiwi, BAAI/bge-m3), fuse(0.3*bm25:kiwi + 0.7*BAAI/bge-m3), "
    "bm25:kiwi+reranker:ORG/NAME@100"
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One model by name, folder or hub id."""

    name: str


@dataclass(frozen=True, slots=True)
class Fused:
    """Several models whose runs become one; without weights by reciprocal ranks."""

    parts: tuple[Expression, ...]
    weights: tuple[float, ...] = ()
    constant: int = 60
    is_raw: bool = False
    """Whether scores are added as they are, not brought to 0..1 first."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """A first stage whose best documents another model puts in order."""

    first: Expression
    reranker: str
    depth: int = DEPTH


Expression = Leaf | Fused | Reranked


def leaves_of(expression: Expression) -> Iterator[str]:
    """The names of its models, from left to right."""
    match expression:
        case Leaf(name):
            yield name
        case Fused(parts):
            for part in parts:
                yield from leaves_of(part)
        case Reranked(first, reranker):
            yield from leaves_of(first)
            yield reranker


def parse(text: str) -> Expression:
    """Read an expression; a plain name is a Leaf.

    :raises UsageError: what is wrong with it, and how expressions look.
    """
    text = text.strip()
    at = _last_outside(text, RERANKER)
    if at >= 0:
        match = re.fullmatch(
            r"(?P<name>[^@\s].*?)(@(?P<depth>\d{1,5}))?", text[at + len(RERANKER) :].strip()
        )
        depth = int(match["depth"] or DEPTH) if match else 0
        if match is None or not text[:at].strip() or not 1 <= depth <= MAX_DEPTH:
            raise _wrong(
                text, f"a reranker needs a first stage, a name and a depth of 1 to {MAX_DEPTH}"
            )
        return Reranked(parse(text[:at]), match["name"], depth)
    match = re.fullmatch(r"(rrf|fuse|sum)\s*\((.*)\)", text, re.DOTALL)
    if match is None:
        if not text or re.match(r"(rrf|fuse|sum)\s*\(", text):
            raise _wrong(text, "a parenthesis is missing" if text else "a name is missing")
        if other := re.fullmatch(r"([A-Za-z]\w*)\s*\(.*[,*].*\)", text, re.DOTALL):
            raise _wrong(text, f"there are rrf(...), fuse(...) and sum(...), no {other[1]}(...)")
        return Leaf(text)
    return (
        _rrf(text, match[2]) if match[1] == "rrf" else _weighted(text, match[2], match[1] == "sum")
    )


def _rrf(text: str, inside: str) -> Fused:
    pieces = list(_split(inside, ","))
    constant = 60
    if option := re.fullmatch(r"\s*k\s*=\s*(\d{1,6})\s*", pieces[-1]):
        constant = int(option[1])
        pieces.pop()
    elif re.match(r"\s*[a-zA-Z]+\s*=", pieces[-1]):
        raise _wrong(
            text,
            f"{pieces[-1].strip()!r} is no setting; the last place may be k=60, a whole number",
        )
    if len(pieces) < 2:
        raise _wrong(text, "rrf needs two models or more, separated by commas")
    return Fused(tuple(parse(piece) for piece in pieces), constant=constant)


_MOST_WEIGHT = 1e9


def _weighted(text: str, inside: str, is_raw: bool) -> Fused:
    pieces: list[str] = []
    for piece in _split(inside, "+"):
        if re.match(r"\s*[\d.]+\s*\*", piece) or not pieces:
            pieces.append(piece)
        else:
            pieces[-1] += f"+{piece}"  # part of a name, or of +reranker:
    weights, parts = [], []
    for piece in pieces:
        match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*\*(.*)", piece, re.DOTALL)
        if match is None or not 0 < float(match[1]) <= _MOST_WEIGHT:
            start = piece.strip()[:60]
            raise _wrong(text[:200], f"{start!r} is not a positive weight, * and a model")
        weights.append(float(match[1]))
        parts.append(parse(match[2]))
    if len(parts) < 2:
        name = "sum" if is_raw else "fuse"
        raise _wrong(text, f"{name} needs two models or more, each with its weight, joined by +")
    return Fused(tuple(parts), tuple(weights), is_raw=is_raw)


def _split(text: str, separator: str) -> Iterator[str]:
    """Pieces between separators that stand in no parentheses."""
    start = depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == separator and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _last_outside(text: str, part: str) -> int:
    """Where `part` stands last outside of parentheses; -1 if nowhere."""
    places = [match.start() for match in re.finditer(re.escape(part), text)]
    return max(
        (place for place in places if text[:place].count("(") == text[:place].count(")")),
        default=-1,
    )


def _wrong(text: str, problem: str) -> UsageError:
    return UsageError(
        f"The model {text!r} cannot be read: {problem}. Type for example: {EXAMPLES}."
    )
