"""Tasks whose rows hold lists: texts with many labels, documents with many summaries."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from kemb.arrays import DoubleArray
from kemb.errors import DataError
from kemb.tasks.layouts import ReadRows, Rows, is_list, rows_request, texts
from kemb.tasks.parts import Notes
from kemb.tasks.sampling import few_shot_multilabel_rows, stratified_multilabel_rows
from kemb.tasks.spec import TaskSpec
from kemb.types import Label, MultilabelData, SummaryData


def multilabel(
    spec: TaskSpec, subset: str, split: str, read: ReadRows, train: bool
) -> tuple[MultilabelData, Notes]:
    """Evaluated texts with their labels, and the few-shot rows of every experiment (none if `train`
    is false).
    """
    request = rows_request(spec, subset)
    text_name, label_name = (spec.columns.get(name, name) for name in ("text", "label"))
    scored = read(request, split)
    labels = _label_sets(spec, scored, label_name)
    row_numbers = np.arange(len(labels))
    limit = spec.classification.max_rows
    if len(labels) > limit:
        row_numbers = stratified_multilabel_rows(labels, limit)
    shots = read(request, spec.classification.train_split) if train else None
    shot_labels = _label_sets(spec, shots, label_name) if shots else []
    experiments = few_shot_multilabel_rows(shot_labels, spec.classification) if shots else []
    train_rows = (
        np.unique(np.concatenate(experiments)) if experiments else np.empty(0, dtype=np.int64)
    )
    data = MultilabelData(
        item_ids=[str(row) for row in row_numbers],
        texts=texts(scored.take(row_numbers), text_name),
        labels=[labels[row] for row in row_numbers],
        train_texts=texts(shots.take(train_rows), text_name) if shots else [],
        train_labels=[shot_labels[row] for row in train_rows],
        experiments=[np.searchsorted(train_rows, rows) for rows in experiments],
        train_is_evaluated=spec.classification.train_split == split,
    )
    n_left_out = len(labels) - len(row_numbers)
    return data, {"n_left_out_rows": n_left_out} if n_left_out else {}


def _label_sets(spec: TaskSpec, rows: Rows, name: str) -> list[tuple[Label, ...]]:
    """The labels of every row, sorted, each once."""
    lists = _lists(rows, name, (str, int), "labels: text or whole numbers")
    if len({isinstance(label, str) for label in chain.from_iterable(lists)}) > 1:
        raise DataError(
            f"{rows.origin}: column {name!r} holds text and numbers; expected one kind of label."
        )
    if spec.labels:
        lists = [
            [spec.labels[str(label)] for label in row_labels if str(label) in spec.labels]
            for row_labels in lists
        ]
    return [tuple(sorted(set(row_labels))) for row_labels in lists]


def summaries(spec: TaskSpec, subset: str, split: str, read: ReadRows) -> tuple[SummaryData, Notes]:
    """Summaries by machines and by humans of every document, with the gold scores of the former."""
    rows = read(rows_request(spec, subset), split)
    column_names = {
        name: spec.columns.get(name, name)
        for name in ("machine_summaries", "human_summaries", "relevance")
    }
    machine, human = (
        _lists(rows, column_names[f"{kind}_summaries"], (str,), "texts")
        for kind in ("machine", "human")
    )
    gold = _lists(rows, column_names["relevance"], (int, float), "numbers")
    for row, (by_machine, by_human, scores) in enumerate(zip(machine, human, gold, strict=True)):
        if not (by_machine and by_human) or len(by_machine) != len(scores):
            raise DataError(
                f"{rows.origin}, row {row} has {len(by_machine)} machine summaries, {len(scores)} "
                f"scores of them and {len(by_human)} human summaries; expected a score for every "
                "machine summary, and one or more of each."
            )
    values: DoubleArray = np.array(list(chain.from_iterable(gold)), dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"{rows.origin}: column {column_names['relevance']!r} holds a number that is not "
            "finite."
        )
    data = SummaryData(
        document_ids=[str(row) for row in range(len(machine))],
        machine=list(chain.from_iterable(machine)),
        machine_of=np.repeat(
            np.arange(len(machine)), [len(of_document) for of_document in machine]
        ),
        human=list(chain.from_iterable(human)),
        human_of=np.repeat(np.arange(len(human)), [len(of_document) for of_document in human]),
        gold=values,
    )
    return data, {}


def _lists(rows: Rows, name: str, kinds: tuple[type, ...], expected: str) -> list[list[Any]]:
    """A column of lists, refused where a row is no list or holds anything else."""
    if name not in rows.table.column_names:
        raise DataError(
            f"{rows.origin} has no column {name!r}; it has "
            f"{', '.join(map(repr, rows.table.column_names))}."
        )
    array = rows.table.column(name)
    if not is_list(array):
        raise DataError(
            f"{rows.origin}: column {name!r} holds {array.type}; expected lists of {expected}."
        )
    lists: list[list[Any]] = array.to_pylist()
    for row, values in enumerate(lists):
        if values is None or not all(isinstance(value, kinds) for value in values):
            raise DataError(
                f"{rows.origin}: column {name!r}, row {row} is {values!r:.60}; expected a list of "
                f"{expected}."
            )
    return lists
