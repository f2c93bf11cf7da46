"""Labels and scores of pairs as people mark them: O and X, true and false, `80%`, `0,5`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kemb.messages import note
from kemb.tasks.own.columns import Mapped
from kemb.tasks.own.findings import Findings

_YES_AND_NO = (
    (frozenset("oㅇ○⭕"), frozenset("x×✕❌")),
    (frozenset(("true",)), frozenset(("false",))),
    (frozenset(("yes", "y")), frozenset(("no", "n"))),
    (frozenset(("예", "네")), frozenset(("아니오", "아니요"))),
    (frozenset(("참",)), frozenset(("거짓",))),
)
"""Words for yes and for no, in small letters; a column has them of one kind."""
_PERCENT = re.compile(r"(-?\d+(?:[.,]\d+)?)\s*[%％]")
_DECIMAL_COMMA = re.compile(r"-?\d+(?:,\d+)?")
_DECIMALS = re.compile(r"-?(?:0,\d+|\d+,(?!\d{3}$)\d+)")
"""A comma that cannot stand between thousands."""


def yes_and_no(values: Sequence[object]) -> dict[str, str | int]:
    """1 for the words of a column that say yes and 0 for those that say no.

    :return: by the column's words; empty where others stand among them, or all say the same.
    """
    words = {value.strip() for value in values if isinstance(value, str) and value.strip()}
    for yes, no in _YES_AND_NO:
        plain = {word.lower() for word in words}
        if plain <= yes | no and plain & yes and plain & no:
            spellings = sorted({value for value in values if isinstance(value, str)})
            return {word: int(word.strip().lower() in yes) for word in spellings if word.strip()}
    return {}


def numbers_spelled(values: Sequence[object]) -> list[object] | None:
    """The values of a column of percentages, or of numbers with a decimal comma, as Python spells
    numbers; None where one of them is something else, or may have commas between thousands.
    """
    filled = [value for value in values if value not in (None, "")]
    texts = [value.strip() for value in filled if isinstance(value, str)]
    if not texts or len(texts) < len(filled):
        return None
    percents = [_PERCENT.fullmatch(text) for text in texts]
    if all(percents):
        plain = [match[1].replace(",", ".") for match in percents if match]
    elif all(map(_DECIMAL_COMMA.fullmatch, texts)) and any(map(_DECIMALS.fullmatch, texts)):
        plain = [text.replace(",", ".") for text in texts]
    else:
        return None
    spelled = iter(plain)
    return [value if value in (None, "") else next(spelled) for value in values]


def with_numbers(table: Mapped, ours: str, findings: Findings) -> Mapped:
    """The table with a column as numbers, which is said where they had to be read as such.

    :param ours: our name of the column.
    """
    values = table.columns[ours]
    example = next((value for value in values if value not in (None, "")), None)
    if not isinstance(example, str) or not (spelled := numbers_spelled(values)):
        return table
    is_percent = _PERCENT.fullmatch(example.strip())
    message = note("finding.percent") if is_percent else note("finding.decimal_comma")
    column = table.names[ours]
    findings.warn("numbers decided", table.file, message, column=column, value=example)
    return replace(table, columns={**table.columns, ours: spelled})
