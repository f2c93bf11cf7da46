"""Broken foreign files: seeds from cases/hostile, and what may be done to them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Change = Callable[[bytes], bytes]

DEEP = 2000
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 1e308, -1e308, float("nan"), float("inf")),
    *("", "x", "\ud800", "../../../etc/x", "\x1b[31m", "9" * 5000),
    *([], {}, [1], {"a": 1}, [[]] * 3, ["a"]),
)
PIECES = (
    *("|", "||", "|---|", "\n\n", "# x\n", "[", "](", "<br>", "<table>", "```", "---\n", " " * 200),
    *("1e308", "nan", "9" * 400, "0." + "0" * 400 + "1", "-", "−", "±", "🥇", "\u0000", "\u202e"),
    *("&a [*a]", "<<: *a", "!!python/object:os.system x", "2024-99-99", "= ", '"""', "'", "}", "]"),
    *("\t", ",", '"', "\r", "\ufeff", "가", "NaN"),
)


def value_somewhere(draw: st.DrawFn, record: Any) -> Any:  # noqa: ANN401  any JSON
    """The record with one value replaced, removed, or nested deeply."""
    changed = copy.deepcopy(record)
    parent, key = changed, None
    while isinstance(parent, (dict, list)) and parent:
        keys = sorted(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = draw(st.sampled_from(keys))
        child = parent[key]
        if not isinstance(child, (dict, list)) or not child or draw(st.booleans()):
            break
        parent = child
    if key is None:
        return draw(st.sampled_from(VALUES))
    if draw(st.integers(0, 5)) == 0:
        del parent[key]
    else:
        parent[key] = draw(st.sampled_from(VALUES))
    return changed


@st.composite
def json_files(draw: st.DrawFn, seed: bytes) -> bytes:
    """A JSON file of which one to three values are others, or which is nested deeply."""
    record = json.loads(seed)
    for _ in range(draw(st.integers(1, 3))):
        record = value_somewhere(draw, record)
    text = json.dumps(record, ensure_ascii=True)
    if draw(st.integers(0, 19)) == 0:
        text = "[" * DEEP + text + "]" * DEEP
    return text.encode()


@st.composite
def text_files(draw: st.DrawFn, seed: bytes) -> bytes:
    """A text of which pieces are repeated, left out, replaced or put in; at times no UTF-8."""
    content = seed
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 60)))
        piece = draw(
            st.one_of(
                st.sampled_from(PIECES).map(lambda text: text.encode("utf-8", "surrogatepass")),
                st.just(content[start:end] * draw(st.sampled_from((2, 50)))),
                st.binary(max_size=4),
            )
        )
        content = content[:start] + piece + content[end:]
    return content
