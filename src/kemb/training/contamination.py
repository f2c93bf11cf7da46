"""Which rows of the training data an evaluation has, too: the same text, nearly the same, a
passage, a whole pair.

Rows that are found are dropped or reported, as the recipe says; what is left is what a clean subset
is made from.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kemb.arrays import IntArray
from kemb.errors import DataError, ResultError
from kemb.models.facts import facts_of
from kemb.results.files import TaskResult, read_items
from kemb.scoring.items import metrics_from_items, of_part
from kemb.tasks.kinds import item_ids
from kemb.training.data import negative_columns
from kemb.training.overlap import SHINGLE, SKETCH, EvalPart, EvalTexts, sampled_windows
from kemb.training.sections import ACTIONS, ContaminationSection, DataSection
from kemb.training.shingles import (
    estimated_pairs,
    joined,
    keys_of,
    near_pairs,
    normal_form,
    shared,
    sketch,
    windows,
)
from kemb.types import TaskData

Level = Literal["exact", "near", "containment", "pair"]
LEVELS: tuple[Level, ...] = get_args(Level)
EXACT, NEAR, CONTAINMENT, PAIR = range(4)
Bools = NDArray[np.bool_]
N_EXAMPLES = 5
N_NORMAL = 1 << 16
"""Texts whose windows are made at once."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text of an evaluation in the training data."""

    item_id: str
    level: Level
    similarity: float
    source: str
    row: int


@dataclass(frozen=True, slots=True)
class PartReport:
    """What was found of one (split, subset) of a task."""

    task: str
    split: str
    subset: str
    n_items: int
    items: dict[Level, int]
    """Items with a text at this level; an item counts at each level it has."""
    texts: dict[Level, int]
    """Distinct texts by their strongest level."""
    n_touched: int
    n_remaining: int
    """Items still touched by rows that are kept."""
    examples: list[Example]
    remaining: dict[str, Level] = field(default_factory=dict)
    """Item id -> strongest level, of items that are touched by kept rows; empty for the registry,
    which has no ids.
    """
    hashed: bool = False


@dataclass(frozen=True, slots=True)
class ContaminationReport:
    """What of the evaluations stands in the training data."""

    n_rows: int
    n_dropped: int
    dropped: dict[str, dict[str, int]]
    """Reason (a level, or "group") -> source -> rows."""
    parts: list[PartReport]
    lineage: list[LineageNote]
    jaccard: float
    shingle: int
    ngram_chars: int

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ContaminationReport:
        """What `to_json` gave, as a stage of a run keeps it."""
        parts = [
            PartReport(
                **entry | {"examples": [Example(**example) for example in entry["examples"]]}
            )
            for entry in record["parts"]
        ]
        lineage = [
            LineageNote(**note | {"tasks": tuple(note["tasks"])}) for note in record["lineage"]
        ]
        return cls(**{**record, "parts": parts, "lineage": lineage})


@dataclass(frozen=True, slots=True)
class _Hits:
    """Training text, evaluation text, level, similarity: one line for each pair of texts that was
    found.
    """

    train: IntArray
    evaluated: IntArray
    level: IntArray
    similarity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The training table as numbers of distinct normal forms."""

    normals: list[str]
    cells: IntArray
    """[n_rows, n_columns]; -1 where there is no text. Columns 0 and 1 are anchor and positive."""


def check(
    table: pa.Table,
    section: ContaminationSection,
    evaluations: Sequence[EvalTexts],
    lineage: Sequence[LineageNote] = (),
) -> tuple[Bools, ContaminationReport]:
    """Which rows to keep [n_rows], and what was found.

    :param table: as `data.load_pairs`.
    :raises DataError: when more rows would be dropped than the recipe allows.
    """
    rows = _numbered(table)
    reason = np.full(table.num_rows, -1, dtype=np.int64)
    hits_by_texts: list[tuple[EvalTexts, _Hits]] = []
    for texts in evaluations:
        hits = _find(rows.normals, texts, section)
        hits_by_texts.append((texts, hits))
        _mark(reason, rows, texts, hits, section)
    reasons: list[Counter[str]] = [Counter() for _ in range(len(LEVELS) + 1)]
    rows_with_hits = np.flatnonzero(reason >= 0)
    if section.propagate == "group" and len(rows_with_hits):
        reason[_same_groups(table, rows_with_hits) & (reason < 0)] = len(LEVELS)
    sources = table["source"].to_pylist()
    for row in np.flatnonzero(reason >= 0).tolist():
        reasons[reason[row]][sources[row]] += 1
    keep = reason < 0
    names = [*LEVELS, "group"]
    report = ContaminationReport(
        table.num_rows,
        int((~keep).sum()),
        {name: dict(counter) for name, counter in zip(names, reasons, strict=True) if counter},
        [
            _describe(table, rows, texts, hits, part, keep)
            for texts, hits in hits_by_texts
            for part in texts.parts
        ],
        [] if section.levels.lineage == "ignore" else list(lineage),
        section.levels.near.jaccard,
        section.levels.near.shingle,
        section.levels.containment.ngram_chars,
    )
    if report.n_dropped > section.max_dropped * table.num_rows:
        worst = max(report.parts, key=lambda part: part.n_touched)
        raise DataError(
            f"{report.n_dropped:,} of {table.num_rows:,} rows are contaminated, more than "
            f"max_dropped = {section.max_dropped:g} allows; most of it is {worst.task} "
            f"({worst.split}), of which {worst.n_touched:,} of {worst.n_items:,} items stand in "
            "the training data. Take that source out, or do "
            "not evaluate on that task."
        )
    return keep, report


def clean_items(task: TaskData, report: ContaminationReport) -> dict[tuple[str, str], list[str]]:
    """The ids of the items, by (split, subset), of which no text stands in the rows that were kept.

    :raises ResultError: when the report is not about the task.
    """
    by_part = {
        (part.task, part.split, part.subset): part for part in report.parts if not part.hashed
    }
    clean_ids: dict[tuple[str, str], list[str]] = {}
    for part in task.parts:
        part_report = by_part.get((task.task, part.split, part.subset))
        if part_report is None:
            raise ResultError(
                f"The contamination report does not cover {task.task} ({part.split}, "
                f"{part.subset}). Add the task to against in [filters.contamination]."
            )
        clean_ids[part.split, part.subset] = [
            name for name in item_ids(part.data) if name not in part_report.remaining
        ]
    return clean_ids


def _numbered(table: pa.Table) -> _Rows:
    numbers: dict[str, int] = {}
    normal: dict[str, int] = {}
    cells = np.full((table.num_rows, 2 + len(negative_columns(table))), -1, dtype=np.int64)
    for column, name in enumerate(("anchor", "positive", *negative_columns(table))):
        for row, text in enumerate(table[name].to_pylist()):
            if text is not None:
                if text not in normal:
                    form = normal_form(text)
                    normal[text] = numbers.setdefault(form, len(numbers))
                cells[row, column] = normal[text]
    return _Rows(list(numbers), cells)


def _find(normals: Sequence[str], texts: EvalTexts, section: ContaminationSection) -> _Hits:
    """All pairs of a training and an evaluation text, each at its strongest level."""
    keys = keys_of(normals)
    pieces = [_exact(keys, texts)]
    for start in range(0, len(normals), N_NORMAL):
        chunk = normals[start : start + N_NORMAL]
        pieces += [
            _Hits(h.train + start, h.evaluated, h.level, h.similarity)
            for h in _alike(chunk, texts, section)
        ]
    train, evaluated, level, similarity = (
        np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("train", "evaluated", "level", "similarity")
    )
    # The first of each pair is its strongest: stable, and the pieces are in the order of levels
    # within a chunk.
    order = np.lexsort((level, evaluated, train))
    train, evaluated, level, similarity = (
        array[order] for array in (train, evaluated, level, similarity)
    )
    first = np.ones(len(train), dtype=bool)
    first[1:] = (train[1:] != train[:-1]) | (evaluated[1:] != evaluated[:-1])
    return _Hits(train[first], evaluated[first], level[first], similarity[first])


def _exact(keys: NDArray[np.uint64], texts: EvalTexts) -> _Hits:
    some = np.flatnonzero(keys)
    pairs = [(some[i], j) for i, j in joined(keys[some], texts.keys)]
    train, evaluated = (
        np.concatenate([pair[side] for pair in pairs] or [np.empty(0, np.int64)]) for side in (0, 1)
    )
    return _at(train, evaluated, EXACT)


def _alike(normals: Sequence[str], texts: EvalTexts, section: ContaminationSection) -> list[_Hits]:
    levels = section.levels
    pieces = []
    if levels.near.action != "ignore":
        if texts.sketches is not None:
            sketches = sketch(windows(normals, SHINGLE), SKETCH)
            near = estimated_pairs(sketches, texts.sketches, SKETCH, levels.near.jaccard)
        else:
            n = levels.near.shingle
            near = near_pairs(
                windows(normals, n), texts.windows(n, whole=True), levels.near.jaccard
            )
        pieces.append(_Hits(near.a, near.b, np.full(len(near.a), NEAR), near.jaccard))
    if levels.containment.action != "ignore":
        if texts.passages is not None:
            pairs = shared(sampled_windows(normals), texts.passages)
        else:
            n = levels.containment.ngram_chars
            pairs = shared(windows(normals, n, whole=False), texts.windows(n, whole=False))
        pieces.append(_at(*pairs, CONTAINMENT))
    return pieces


def _at(train: IntArray, evaluated: IntArray, level: int) -> _Hits:
    return _Hits(train, evaluated, np.full(len(train), level), np.ones(len(train)))


def _mark(
    reason: IntArray, rows: _Rows, texts: EvalTexts, hits: _Hits, section: ContaminationSection
) -> None:
    """Note for every row that must go the first reason."""
    levels, sides = section.levels, section.sides
    of_level = np.array(
        [ACTIONS.index(a) for a in (levels.exact, levels.near.action, levels.containment.action)]
    )
    of_side = np.array([ACTIONS.index(sides.query), ACTIONS.index(sides.document)])
    strictest = np.zeros(len(texts.keys), dtype=np.int64)
    for part in texts.parts:
        np.maximum.at(strictest, part.text, of_side[part.side])
    if texts.is_hashed:  # near and passage are estimates there
        of_level = np.minimum(of_level, [2, 1, 1])
    drop = np.minimum(of_level[hits.level], strictest[hits.evaluated]) == ACTIONS.index("drop")
    worst = np.full(len(rows.normals), PAIR + 1, dtype=np.int64)
    np.minimum.at(worst, hits.train[drop], hits.level[drop])
    of_cell = np.where(rows.cells >= 0, worst[rows.cells], PAIR + 1).min(axis=1)
    new = (of_cell <= CONTAINMENT) & (reason < 0)
    reason[new] = of_cell[new]
    if sides.pair == "drop":
        for part in texts.parts:
            for row, _item in _pairs(
                rows, hits, part, max_level=EXACT if texts.is_hashed else NEAR
            ):
                if reason[row] < 0:
                    reason[row] = PAIR


def _pairs(rows: _Rows, hits: _Hits, part: EvalPart, max_level: int) -> list[tuple[int, int]]:
    """(row, item): anchor and positive of the row are the two texts of the item, whichever way
    round.
    """
    if not len(part.pairs):
        return []
    strong = hits.level <= max_level
    of_text: dict[int, list[int]] = {}
    for train, evaluated in zip(
        hits.train[strong].tolist(), hits.evaluated[strong].tolist(), strict=True
    ):
        of_text.setdefault(train, []).append(evaluated)
    items: dict[frozenset[int], list[int]] = {}
    for item, a, b in part.pairs.tolist():
        items.setdefault(frozenset((a, b)), []).append(item)
    has = np.zeros(len(rows.normals) + 1, dtype=bool)
    has[list(of_text)] = True
    row_items = []
    for row in np.flatnonzero(has[rows.cells[:, 0]] & has[rows.cells[:, 1]]).tolist():
        anchor, positive = rows.cells[row, :2].tolist()
        for a in of_text[anchor]:
            for b in of_text[positive]:
                row_items += [(row, item) for item in items.get(frozenset((a, b)), ())]
    return row_items


def _same_groups(table: pa.Table, rows: IntArray) -> Bools:
    """The rows of the groups that some rows belong to."""
    places = list(zip(table["source"].to_pylist(), table["group"].to_pylist(), strict=True))
    groups = {places[row] for row in rows.tolist() if places[row][1] is not None}
    return np.array([place in groups for place in places], dtype=bool)


def _describe(
    table: pa.Table, rows: _Rows, texts: EvalTexts, hits: _Hits, part: EvalPart, keep: Bools
) -> PartReport:
    order = np.argsort(part.text, kind="stable")
    in_part = np.isin(hits.evaluated, part.text)
    levels = np.zeros((part.n_items, len(LEVELS)), dtype=bool)
    remains = np.zeros_like(levels)
    kept_text = np.zeros(len(rows.normals) + 1, dtype=bool)
    kept_text[rows.cells[keep]] = True
    kept_text[-1] = False
    item_hits: list[tuple[int, int]] = []
    for i, j in joined(hits.evaluated[in_part], part.text[order]):
        hit, item = np.flatnonzero(in_part)[i], part.item[order[j]]
        is_item = item >= 0
        hit, item = hit[is_item], item[is_item]
        levels[item, hits.level[hit]] = True
        stays = kept_text[hits.train[hit]]
        remains[item[stays], hits.level[hit[stays]]] = True
        item_hits += zip(item.tolist(), hit.tolist(), strict=True)
    for row, number in _pairs(rows, hits, part, max_level=EXACT if texts.is_hashed else NEAR):
        levels[number, PAIR] = True
        remains[number, PAIR] |= keep[row]
    strongest = np.full(len(texts.keys), PAIR)
    np.minimum.at(strongest, hits.evaluated[in_part], hits.level[in_part])
    remaining = np.flatnonzero(remains.any(axis=1))
    ids = part.item_ids
    return PartReport(
        part.task,
        part.split,
        part.subset,
        part.n_items,
        {level: int(levels[:, number].sum()) for number, level in enumerate(LEVELS)},
        {level: int((strongest == number).sum()) for number, level in enumerate(LEVELS[:PAIR])},
        int(levels.any(axis=1).sum()),
        len(remaining),
        _examples(table, rows, hits, part, item_hits),
        {}
        if ids is None
        else {ids[item]: LEVELS[int(np.argmax(remains[item]))] for item in remaining.tolist()},
        texts.is_hashed,
    )


def _examples(
    table: pa.Table, rows: _Rows, hits: _Hits, part: EvalPart, item_hits: list[tuple[int, int]]
) -> list[Example]:
    """The first few items by level, each with a row that holds its text."""
    examples: list[Example] = []
    n_by_level: Counter[int] = Counter()
    for item, hit in sorted(item_hits):
        level = int(hits.level[hit])
        if n_by_level[level] < N_EXAMPLES:
            n_by_level[level] += 1
            row = int(np.flatnonzero((rows.cells == hits.train[hit]).any(axis=1))[0])
            name = part.item_ids[item] if part.item_ids is not None else f"item {item}"
            source = str(table["source"][row].as_py())
            examples.append(
                Example(
                    name,
                    LEVELS[level],
                    float(hits.similarity[hit]),
                    source,
                    table["row"][row].as_py(),
                )
            )
    return examples


@dataclass(frozen=True, slots=True)
class CleanScore:
    """The main metric of one (split, subset), with and without the items that stand in the training
    data.
    """

    task: str
    split: str
    subset: str
    metric: str
    full: float
    clean: float
    n_items: int
    n_clean: int


def clean_scores(
    result: TaskResult, clean: Mapping[tuple[str, str], Sequence[str]]
) -> list[CleanScore]:
    """A result computed again on some of its items, from the scores that lie beside it.

    :param clean: ids of items by (split, subset), as of `contamination.clean_items`.
    :raises ResultError: items are missing, or not those of the result, or none is left.
    """
    items = read_items(result)
    metric = result.record.task.main_metric
    scores = []
    for (split, subset), ids in clean.items():
        part = of_part(items, split, subset)
        clean_ids = set(ids)
        rows = [name in clean_ids for name in part["item_id"].to_pylist()]
        clean_part = part.filter(rows)
        n_items, n_clean = (len(table["item_id"].unique()) for table in (part, clean_part))
        if n_clean != len(clean_ids) or not n_clean:
            raise ResultError(
                f"{result.path} has {n_clean:,} of the {len(clean_ids):,} clean items of "
                f"{split}/{subset}; a score needs all of them, and at least one. Run {result.task} "
                f"again for {result.model} with --overwrite."
            )
        full, without = (
            _metric(metrics_from_items(table, result.record.task.type), metric, result)
            for table in (part, clean_part)
        )
        scores.append(
            CleanScore(result.task, split, subset, metric, full, without, n_items, n_clean)
        )
    return scores


def _metric(metrics: Mapping[str, float], name: str, result: TaskResult) -> float:
    similarity = result.record.model.similarity
    for candidate in (name, f"{similarity}_{name}", name.replace("similarity", similarity)):
        if candidate in metrics:
            return metrics[candidate]
    raise ResultError(
        f"{result.task}: {name} cannot be computed from its items; they give {', '.join(metrics)}."
    )


_TABLE = Path(__file__).parent / "lineage.toml"


_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class LineageNote:
    """One thing known about where data or a base come from."""

    subject: str
    """The source's id, or the model."""
    tasks: tuple[str, ...]
    why: str
    reference: str


def lineage(sections: Sequence[DataSection], base: str = "") -> list[LineageNote]:
    """Notes on the sources and on the base with all models it was made from.

    :param base: the base's name on the hub; '' for none.
    """
    table = _table()
    notes = []
    for section in sections:
        names = " ".join(
            _plain(name) for name in (section.id, section.source.hub, section.source.file) if name
        )
        for entry in table["dataset"]:
            if any(_plain(name) in names for name in entry["match"]):
                notes.append(_note(section.id, entry))
    model, depth = base, 0
    while model and depth < _MAX_DEPTH:
        for entry in table["model"]:
            if model.lower() in (name.lower() for name in entry["match"]):
                notes.append(_note(model, entry))
        model, depth = facts_of(model).base_model, depth + 1
    return notes


def _note(subject: str, entry: dict[str, Any]) -> LineageNote:
    return LineageNote(subject, tuple(entry["tasks"]), entry["why"], entry["reference"])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))
