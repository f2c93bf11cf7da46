"""Metric expressions: `ndcg@10`, `mean(ndcg@5, ndcg@10)`, `f1_of_means@10`.

    expression = name | "mean(" expression {"," expression} ")" | "f1_of_means@" k

`f1_of_means@k` is KURE's F1: 2PR / (P + R) of the task's mean precision@k and mean recall@k, not
    the mean of the
queries' F1, which is the metric `f1@k`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from kemb.arrays import DoubleArray
from kemb.errors import UsageError

_NAME = re.compile(r"[A-Za-z][\w.]*(?:@\d+)?")
_F1 = re.compile(r"f1_of_means@(\d+)")
_MAX_LENGTH = 1000
_Value = TypeVar("_Value", float, DoubleArray)


def canonical(expression: str) -> str:
    """The expression as results record it: one blank after each comma and nowhere else."""
    return re.sub(r"\s+", "", expression).replace(",", ", ")


def names_in(expression: str) -> list[str]:
    """The metrics an expression is made of, each once, in order.

    :raises UsageError: when it is no expression.
    """
    names: list[str] = []

    def note(name: str) -> float:
        names.append(name)
        return 1.0

    _evaluate(expression, note)
    return list(dict.fromkeys(names))


def evaluate(expression: str, scores: Mapping[str, _Value]) -> _Value:
    """The value of an expression; works on numbers and, elementwise, on arrays of one shape.

    :raises KeyError: with the name of a metric that `scores` lacks.
    :raises UsageError: when it is no expression.
    """
    return _evaluate(expression, lambda name: scores[name])


def _evaluate(expression: str, value: Callable[[str], _Value]) -> _Value:
    text = expression.strip()
    if len(text) > _MAX_LENGTH:
        raise UsageError(
            f"A metric expression of {len(text)} characters; expected at most {_MAX_LENGTH}."
        )
    if match := _F1.fullmatch(text):
        precision, recall = value(f"precision@{match[1]}"), value(f"recall@{match[1]}")
        total = precision + recall
        divisor: _Value = total + (total == 0)  # 0 / 1 where both are 0
        return 2 * precision * recall / divisor
    if text.startswith("mean(") and text.endswith(")"):
        parts = [_evaluate(part, value) for part in _split(text[5:-1], expression)]
        total_value = parts[0]
        for part in parts[1:]:
            total_value = total_value + part
        return total_value / len(parts)
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{expression!r} is not a metric expression; expected a metric such as ndcg@10, "
            "mean(a, b, ...) or f1_of_means@k."
        )
    return value(text)


def _split(inner: str, expression: str) -> list[str]:
    """The arguments between commas that stand outside parentheses."""
    parts, depth = [""], 0
    for character in inner:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            raise UsageError(f"{expression!r} has a closing parenthesis too many.")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UsageError(f"{expression!r} lacks a closing parenthesis.")
    return parts
