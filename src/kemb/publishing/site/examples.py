"""Texts of items: some for the page of each task, all for flipped items; where the licence allows to show them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kemb import demo
from kemb.boards.benchmark import spec_of
from kemb.errors import DataError, FetchError
from kemb.tasks.load import load
from kemb.tasks.own import load_folder
from kemb.types import (
    BitextData,
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    PartData,
    RetrievalData,
    SummaryData,
    TaskData,
)

MAY_BE_SHOWN = ("apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0")
N_EXAMPLES = 3
LENGTH = 200
ITEM_LENGTH = 90
"""Letters of an example, and of an item among many."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown of a task's data."""

    examples: list[list[str]]
    """The texts of the first items: a question with a relevant document, a pair with its judgment, and so on."""
    texts: dict[tuple[str, str], dict[str, str]]
    """(split, subset) -> item id -> the beginning of its text."""


def shown(tasks: Iterable[str], data_dir: Path | None) -> dict[str, Shown]:
    """By task; a task is left out where its data are not at hand or may not be shown.

    :param data_dir: a mirror; nothing is asked of the network. Without one there are examples of the demo only.
    """
    own = dict(zip(demo.task_names(), demo.task_folders(), strict=True))
    there = _mirrored(data_dir)
    found = {}
    for task in tasks:
        if task in own:
            found[task] = _of_data(load_folder(own[task])[1])
            continue
        spec = spec_of(task)
        if spec is None or spec.source.hub not in there or spec.license not in MAY_BE_SHOWN:
            continue
        try:
            found[task] = _of_data(load(spec, data_dir, train=False))
        except (DataError, FetchError):  # a mirror without the part, or with other data: the page does without
            continue
    return found


def _mirrored(data_dir: Path | None) -> set[str]:
    """Hub ids of which the mirror holds anything."""
    path = data_dir / "index.json" if data_dir else None
    if path is None or not path.is_file():
        return set()
    return set(json.loads(path.read_text(encoding="utf-8")))


def _of_data(data: TaskData) -> Shown:
    first = [[_short(text, LENGTH) for text in texts] for texts in _first(data.parts[0].data)]
    return Shown(first, {(part.split, part.subset): _item_texts(part.data) for part in data.parts})


def _item_texts(data: PartData) -> dict[str, str]:
    match data:
        case RetrievalData():
            pairs = zip(data.query_ids, data.queries, strict=True)
        case PairData():
            both = (f"{first} / {second}" for first, second in zip(data.sentence1, data.sentence2, strict=True))
            pairs = zip(data.item_ids, both, strict=True)
        case BitextData():
            pairs = zip(data.item_ids, data.sentence1, strict=True)
        case LabelData() | ClusterData():
            pairs = zip(data.item_ids, data.texts, strict=True)
    return {item_id: _short(text, ITEM_LENGTH) for item_id, text in pairs}


def _first(data: PartData) -> list[list[str]]:
    """The first items: a question with a relevant document, a pair with its judgment, a text with its label."""
    match data:
        case RetrievalData():
            documents = dict(zip(data.doc_ids, data.documents, strict=True))
            rows = zip(data.query_ids[:N_EXAMPLES], data.queries[:N_EXAMPLES], strict=True)
            return [[query, *_relevant(data, query_id, documents)] for query_id, query in rows]
        case PairData():
            triples = zip(data.sentence1, data.sentence2, data.gold, strict=True)
            return [[first, second, f"{gold:g}"] for first, second, gold in triples][:N_EXAMPLES]
        case LabelData():
            return [[text, str(label)] for text, label in zip(data.texts, data.labels, strict=True)][:N_EXAMPLES]
        case MultilabelData():
            pairs = zip(data.texts, data.labels, strict=True)
            return [[text, ", ".join(map(str, labels))] for text, labels in pairs][:N_EXAMPLES]
        case SummaryData():
            return [[text, f"{gold:g}"] for text, gold in zip(data.machine, data.gold, strict=True)][:N_EXAMPLES]
        case ClusterData():
            return [[text, str(labels[0])] for text, labels in zip(data.texts, data.labels, strict=True)][:N_EXAMPLES]
        case BitextData():
            return [list(pair) for pair in zip(data.sentence1, data.sentence2, strict=True)][:N_EXAMPLES]


def _relevant(data: RetrievalData, query_id: str, documents: dict[str, str]) -> list[str]:
    grades = data.qrels.get(query_id, {})
    return [documents[doc] for doc, grade in grades.items() if grade > 0 and doc in documents][:1]


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
