"""Which rows mteb would take: its stratified samples and its few-shot examples, row for row and in its order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kemb.tasks.spec import ClassificationProtocol, Subsample
from kemb.types import IntArray, Label


def few_shot_rows(train_labels: Sequence[Label], protocol: ClassificationProtocol) -> list[IntArray]:
    """Row numbers of the training rows of every experiment, in training order.

    mteb (`AbsTaskClassification._undersample_data`) shuffles the rows with a fresh `RandomState(42)` and takes the
    first `samples_per_label` of each label; as it shuffles the order the last experiment left, experiment i uses
    the same permutation applied i + 1 times.
    """
    order = np.arange(len(train_labels))
    experiments = []
    for _ in range(protocol.n_experiments):
        np.random.RandomState(42).shuffle(order)
        taken: dict[Label, int] = {}
        rows = []
        for row in order.tolist():
            label = train_labels[row]
            if taken.get(label, 0) < protocol.samples_per_label:
                taken[label] = taken.get(label, 0) + 1
                rows.append(row)
        experiments.append(np.array(rows, dtype=np.int64))
    return experiments


def stratified_rows(labels: Sequence[Label], sample: Subsample) -> IntArray:
    """Row numbers of mteb's `AbsTask.stratified_subsampling`, in its order; all rows if there are no more.

    mteb numbers the labels in the order of their text and calls
    `Dataset.train_test_split(test_size=rows, stratify_by_column=label)["test"]`; so do we.
    """
    if len(labels) <= sample.rows:
        return np.arange(len(labels))
    import datasets

    names = sorted({str(label) for label in labels})
    features = datasets.Features({"row": datasets.Value("int64"), "label": datasets.ClassLabel(names=names)})
    columns = {"row": list(range(len(labels))), "label": [str(label) for label in labels]}
    table = datasets.Dataset.from_dict(columns, features=features)
    split = table.train_test_split(test_size=sample.rows, seed=sample.seed, stratify_by_column="label")
    return np.array(split["test"]["row"], dtype=np.int64)


def encoded(labels: Sequence[Label], among: Sequence[Label]) -> list[Label]:
    """Labels as their numbers in the sorted texts of `among`, as `datasets` encodes a class column."""
    number = {name: i for i, name in enumerate(sorted({str(label) for label in among}))}
    return [number[str(label)] for label in labels]
