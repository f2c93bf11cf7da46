"""Which rows mteb would take: its stratified samples and its few-shot examples, row for row and in
its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from kemb.arrays import IntArray
from kemb.tasks.spec import ClassificationProtocol, Subsample
from kemb.types import Label


def few_shot_rows(
    train_labels: Sequence[Label], protocol: ClassificationProtocol
) -> list[IntArray]:
    """Row numbers of the training rows of every experiment, in training order.

    mteb (`AbsTaskClassification._undersample_data`) shuffles the rows with a fresh
    `RandomState(42)` and takes the first `samples_per_label` of each label; as it shuffles the
    order the last experiment left, experiment i uses the same permutation applied i + 1 times.
    """
    order = np.arange(len(train_labels))
    experiments = []
    for _ in range(protocol.n_experiments):
        np.random.RandomState(42).shuffle(order)
        n_by_label: dict[Label, int] = {}
        rows = []
        for row in order.tolist():
            label = train_labels[row]
            if n_by_label.get(label, 0) < protocol.samples_per_label:
                n_by_label[label] = n_by_label.get(label, 0) + 1
                rows.append(row)
        experiments.append(np.array(rows, dtype=np.int64))
    return experiments


def stratified_rows(labels: Sequence[Label], sample: Subsample) -> IntArray:
    """Row numbers of mteb's `AbsTask.stratified_subsampling`, in its order; all rows if there are
    no more.

    mteb numbers the labels in the order of their text and calls
    `Dataset.train_test_split(test_size=rows, stratify_by_column=label)["test"]`; so do we.
    """
    if len(labels) <= sample.rows:
        return np.arange(len(labels))
    import datasets

    names = sorted({str(label) for label in labels})
    features = datasets.Features(
        {"row": datasets.Value("int64"), "label": datasets.ClassLabel(names=names)}
    )
    columns = {"row": list(range(len(labels))), "label": [str(label) for label in labels]}
    table = datasets.Dataset.from_dict(columns, features=features)
    split = table.train_test_split(
        test_size=sample.rows, seed=sample.seed, stratify_by_column="label"
    )
    return np.array(split["test"]["row"], dtype=np.int64)


def encoded(labels: Sequence[Label], among: Sequence[Label]) -> list[Label]:
    """Labels as their numbers in the sorted texts of `among`, as `datasets` encodes a class
    column.
    """
    number = {name: i for i, name in enumerate(sorted({str(label) for label in among}))}
    return [number[str(label)] for label in labels]


def few_shot_multilabel_rows(
    train_labels: Sequence[Sequence[Label]], protocol: ClassificationProtocol
) -> list[IntArray]:
    """Row numbers of the training rows of every experiment, in training order, where texts have
    many labels.

    mteb (`AbsTaskMultilabelClassification._undersample_data_indices`) shuffles all rows for every
    experiment with one
    `default_rng(42)` of the task, and takes a row while any of its labels has fewer than
        `samples_per_label` rows.
    Here every part begins with a fresh generator, so that no score depends on what was scored
    before it.
    """
    generator = np.random.default_rng(42)
    experiments = []
    for _ in range(protocol.n_experiments):
        order = list(range(len(train_labels)))
        generator.shuffle(order)
        n_by_label: dict[Label, int] = {}
        rows = []
        for row in order:
            if any(
                n_by_label.get(label, 0) < protocol.samples_per_label for label in train_labels[row]
            ):
                rows.append(row)
                for label in train_labels[row]:
                    n_by_label[label] = n_by_label.get(label, 0) + 1
        experiments.append(np.array(rows, dtype=np.int64))
    return experiments


def stratified_multilabel_rows(labels: Sequence[Sequence[Label]], n_rows: int) -> IntArray:
    """Row numbers of mteb's `_multilabel_subsampling` with seed 42, ascending: about `n_rows`.

    Iterative stratification of second order (Sechidis et al. 2011; Szymański and Kajdanowicz 2017)
    of all rows into two folds; the rows that mteb takes are those outside of the first, whose share
    of the rows is `n_rows`' own.
    """
    folds = _Folds(labels, [n_rows / len(labels), 1 - n_rows / len(labels)])
    while (pair := folds.most_wanted_pair()) is not None:
        folds.distribute(pair)
    folds.distribute_rest()
    return np.array(sorted(folds.members[0]), dtype=np.int64)


class _Folds:
    """Two folds that are filled row by row, in the order of scikit-multilearn's
    `IterativeStratification`.
    """

    def __init__(self, labels: Sequence[Sequence[Label]], shares: Sequence[float]) -> None:
        self.random = np.random.RandomState(42)
        self.members: list[list[int]] = [[] for _ in shares]
        self.wanted = np.array(shares) * len(labels)
        place = {
            label: i
            for i, label in enumerate(
                sorted({x for row_labels in labels for x in row_labels}, key=_by_kind)
            )
        }
        numbers = [sorted(place[label] for label in set(row_labels)) for row_labels in labels]
        self.pairs = [
            list(combinations_with_replacement(row_numbers, 2)) for row_numbers in numbers
        ]
        self.rows: dict[tuple[int, ...], dict[int, None]] = {}
        """Rows of every pair of labels that are in no fold yet, in order."""
        for row, pairs in enumerate(self.pairs):
            for pair in pairs:
                self.rows.setdefault(pair, {})[row] = None
        self.wanted_of = {pair: len(rows) * np.array(shares) for pair, rows in self.rows.items()}
        self.free = dict.fromkeys(range(len(labels)))

    def most_wanted_pair(self) -> tuple[int, ...] | None:
        """The first pair with rows left, unless one of more different labels and fewer rows comes
        after it.
        """
        best = None
        for pair, rows in self.rows.items():
            if rows and (
                best is None
                or (len(set(best)) < len(set(pair)) and len(self.rows[best]) > len(rows))
            ):
                best = pair
        return best

    def distribute(self, pair: tuple[int, ...]) -> None:
        """Give the rows of a pair, the last one first, to the fold that wants most of it."""
        while self.rows[pair]:
            row = next(reversed(self.rows[pair]))
            demand = self.wanted_of[pair]
            folds = np.flatnonzero(demand == demand.max())
            self._put(
                row, int(folds[0]) if len(folds) == 1 else int(self.random.choice(folds, 1)[0])
            )

    def distribute_rest(self) -> None:
        """Give the rows without labels to any fold that wants more."""
        for row in list(reversed(self.free)):
            self._put(row, int(self.random.choice(np.flatnonzero(self.wanted > 0), 1)[0]))

    def _put(self, row: int, fold: int) -> None:
        self.members[fold].append(row)
        del self.free[row]
        for pair in self.pairs[row]:
            del self.rows[pair][row]
            self.wanted_of[pair][fold] -= 1
        self.wanted[fold] -= 1


def _by_kind(label: Label) -> tuple[str, Label]:
    return type(label).__name__, label
