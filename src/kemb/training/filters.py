"""Which rows of a table of pairs are kept, and as what; every row that goes is counted under its
rule and source.

In order: normalise, contamination (so that a group goes whole), empty texts, length, Hangul, empty
vectors, exact and near duplicates.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kemb.arrays import IntArray
from kemb.errors import DataError, UsageError
from kemb.training import contamination
from kemb.training.contamination import ContaminationReport, LineageNote
from kemb.training.data import negative_columns
from kemb.training.overlap import EvalTexts, eval_texts, read_registry
from kemb.training.sections import (
    REGISTRY,
    DedupSection,
    FiltersSection,
    LanguageSection,
    LengthSection,
    NormalizeSection,
)
from kemb.training.shingles import near_within, normal_form, windows
from kemb.types import TaskData

TokenCounts = Callable[[Sequence[str]], IntArray]
"""Tokens [n] of texts, before any cut."""
AreEmpty = Callable[[Sequence[str]], NDArray[np.bool_]]
"""Whether the vector of each text is zero [n]."""
Bools = NDArray[np.bool_]

_HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_LETTER = re.compile(r"[^\W\d_]")
_UNIT_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class FilterReport:
    """What became of the rows of every source."""

    n_before: dict[str, int]
    n_after: dict[str, int]
    dropped: dict[str, dict[str, int]]
    """Rule -> source -> rows."""
    changed: dict[str, dict[str, int]]
    """Rule -> source -> rows that are kept with a changed text."""
    contamination: ContaminationReport

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def apply(
    table: pa.Table,
    section: FiltersSection,
    tokenizer_length: TokenCounts | None = None,
    eval_tasks: Sequence[TaskData] = (),
    *,
    are_empty: AreEmpty | None = None,
    lineage: Sequence[LineageNote] = (),
) -> tuple[pa.Table, FilterReport]:
    """Filter a table of pairs.

    :param table: as `data.load_pairs`.
    :param tokenizer_length: wanted where lengths are in tokens.
    :param eval_tasks: the tasks that are evaluated on, and those of `contamination.against`.
    :param are_empty: wanted for `empty_vector = "drop"` to have an effect.
    :raises DataError: when nothing is left, or contamination is above its limit.
    :raises UsageError: lengths in tokens without a tokenizer.
    """
    if section.length is not None and section.length.unit == "token" and tokenizer_length is None:
        raise UsageError(
            '[filters.length] counts tokens, but there is no tokenizer yet. Type unit = "char".'
        )
    before = _counts(table)
    work = _Work(table, {}, {})
    work.rewrite(
        "normalize", lambda texts, _: [_normalized(text, section.normalize) for text in texts]
    )
    rows, report = contamination.check(
        work.table, section.contamination, evaluations(section, eval_tasks), lineage
    )
    work.keep("contamination", rows)
    work.keep(
        "empty text",
        _hold(work.table, lambda texts, _: np.array([bool(text.strip()) for text in texts])),
    )
    if section.length is not None:
        _lengths(work, section.length, tokenizer_length)
    if section.language is not None:
        work.keep("language", _korean(work.table, section.language))
    if section.empty_vector == "drop" and are_empty is not None:
        work.keep("empty vector", _hold(work.table, lambda texts, _: ~are_empty(texts)))
    _dedup(work, section.dedup)
    if not work.table.num_rows:
        raise DataError(
            f"No row passes the filters; of {table.num_rows:,} rows {_summary(work.dropped)}. "
            "Loosen [filters]."
        )
    return work.table, FilterReport(before, _counts(work.table), work.dropped, work.changed, report)


def evaluations(section: FiltersSection, eval_tasks: Sequence[TaskData]) -> list[EvalTexts]:
    """What the training data must not hold: the tasks, and the registry if the recipe names it.

    A task that is at hand is left out of the registry, as its own texts are the better witness.
    """
    texts = [eval_texts(eval_tasks)] if eval_tasks else []
    if REGISTRY in section.contamination.against:
        registry = read_registry()
        names = {task.task for task in eval_tasks}
        texts.append(
            replace(registry, parts=[part for part in registry.parts if part.task not in names])
        )
    return texts


class _Work:
    """The table as it is now, and the counts so far."""

    def __init__(
        self,
        table: pa.Table,
        dropped: dict[str, dict[str, int]],
        changed: dict[str, dict[str, int]],
    ) -> None:
        self.table, self.dropped, self.changed = table, dropped, changed

    def keep(self, rule: str, rows: Bools) -> None:
        """Keep some rows."""
        if not rows.all():
            self.dropped[rule] = _counts(self.table.filter(pa.array(~rows)))
            self.table = self.table.filter(pa.array(rows))

    def rewrite(self, rule: str, change: Callable[[list[str], str], list[str]]) -> None:
        """Change texts; a column's name tells anchors from the others."""
        touched = np.zeros(self.table.num_rows, dtype=bool)
        for name in _text_columns(self.table):
            texts = self.table[name].to_pylist()
            places = [i for i, text in enumerate(texts) if text is not None]
            changed = change([texts[i] for i in places], name)
            for i, new in zip(places, changed, strict=True):
                touched[i] |= texts[i] != new
                texts[i] = new
            column = self.table.column_names.index(name)
            self.table = self.table.set_column(column, name, pa.array(texts, pa.string()))
        if touched.any():
            self.changed[rule] = _counts(self.table.filter(pa.array(touched)))


def _normalized(text: str, section: NormalizeSection) -> str:
    if section.unicode != "keep":
        text = unicodedata.normalize("NFC" if section.unicode == "nfc" else "NFKC", text)
    return " ".join(text.split()) if section.whitespace == "squeeze" else text


def _hold(table: pa.Table, good: Callable[[list[str], str], Bools]) -> Bools:
    """Rows all of whose texts are good; a text is asked about once per column."""
    rows = np.ones(table.num_rows, dtype=bool)
    for name in _text_columns(table):
        texts = table[name].to_pylist()
        some = list(dict.fromkeys(text for text in texts if text is not None))
        verdict = dict(zip(some, good(some, name).tolist(), strict=True)) if some else {}
        rows &= np.array([text is None or verdict[text] for text in texts], dtype=bool)
    return rows


def _lengths(work: _Work, section: LengthSection, tokenizer_length: TokenCounts | None) -> None:
    def measure(texts: Sequence[str]) -> IntArray:
        if section.unit == "char" or tokenizer_length is None:
            return np.array([len(text) for text in texts], dtype=np.int64)
        return tokenizer_length(texts) if texts else np.empty(0, dtype=np.int64)

    def limits(name: str) -> tuple[int, int]:
        return section.anchor if name == "anchor" else section.positive

    work.keep("too short", _hold(work.table, lambda texts, name: measure(texts) >= limits(name)[0]))
    if section.on_long == "drop":
        work.keep(
            "too long", _hold(work.table, lambda texts, name: measure(texts) <= limits(name)[1])
        )
    else:
        work.rewrite("truncated", lambda texts, name: _cut(texts, limits(name)[1], measure))


def _cut(texts: list[str], most: int, measure: TokenCounts) -> list[str]:
    """Texts cut after the last character at which they still have at most so many units, by
    bisection over all.
    """
    out = list(texts)
    long = np.flatnonzero(measure(texts) > most)
    low = np.zeros(len(long), dtype=np.int64)
    high = np.array([len(texts[i]) for i in long.tolist()], dtype=np.int64)
    while (low + 1 < high).any():
        middle = (low + high) // 2
        fits = (
            measure([texts[i][:m] for i, m in zip(long.tolist(), middle.tolist(), strict=True)])
            <= most
        )
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    for i, length in zip(long.tolist(), low.tolist(), strict=True):
        out[i] = texts[i][:length].rstrip()
    return out


def hangul_share(text: str) -> float:
    """Hangul among the letters of a text; 0 where there is no letter."""
    letters = len(_LETTER.findall(text))
    return len(_HANGUL.findall(text)) / letters if letters else 0.0


def _korean(table: pa.Table, section: LanguageSection) -> Bools:
    rows = np.ones(table.num_rows, dtype=bool)
    for name in section.columns:
        rows &= np.array(
            [hangul_share(text) >= section.min_hangul for text in table[name].to_pylist()],
            dtype=bool,
        )
    return rows


def _dedup(work: _Work, section: DedupSection) -> None:
    """Of equal pairs the first stays, then of nearly equal ones the first of those that are
    left.
    """
    if section.exact:
        earlier_parts: set[tuple[str, ...]] = set()
        rows = np.ones(work.table.num_rows, dtype=bool)
        for i, parts in enumerate(_forms(work.table, section)):
            rows[i] = parts not in earlier_parts
            earlier_parts.add(parts)
        work.keep("duplicate", rows)
    if section.near is not None:
        whole = [_UNIT_SEPARATOR.join(parts) for parts in _forms(work.table, section)]
        sources = work.table["source"].to_pylist()
        near = near_within(windows(whole, section.near.shingle), section.near.jaccard)
        rows = np.ones(work.table.num_rows, dtype=bool)
        for a, b in zip(near.a.tolist(), near.b.tolist(), strict=True):
            if rows[a] and (section.across == "datasets" or sources[a] == sources[b]):
                rows[b] = False
        work.keep("near duplicate", rows)


def _forms(table: pa.Table, section: DedupSection) -> list[tuple[str, ...]]:
    """What makes a row the same as another one: its texts, and its source where sources are
    apart.
    """
    names = [*_text_columns(table), *(["source"] if section.across == "source" else [])]
    columns = []
    for name in names:
        cache: dict[str, str] = {}
        columns.append([_form(text, cache) for text in table[name].to_pylist()])
    return list(zip(*columns, strict=True))


def _form(text: str | None, cache: dict[str, str]) -> str:
    if text is None:
        return ""
    if text not in cache:
        cache[text] = normal_form(text) or text  # marks only: they are what the text is
    return cache[text]


def _text_columns(table: pa.Table) -> list[str]:
    return ["anchor", "positive", *negative_columns(table)]


def _counts(table: pa.Table) -> dict[str, int]:
    return dict(Counter(table["source"].to_pylist()))


def _summary(dropped: dict[str, dict[str, int]]) -> str:
    parts = [f"{sum(by_source.values()):,} went as {rule}" for rule, by_source in dropped.items()]
    return ", ".join(parts) or "none was there"
