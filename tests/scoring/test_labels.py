from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from kemb.arrays import ArrayVectors, FloatArray, Vectors
from kemb.errors import DataError, ModelError
from kemb.scoring.labels import classification, label_metrics
from kemb.types import Label, LabelData


def separable(n_per_label: int, labels: list[Label]) -> tuple[LabelData, dict[str, Vectors]]:
    """Texts of which each label has a direction of its own."""
    rng = np.random.default_rng(0)
    gold = labels * n_per_label
    codes = [labels.index(label) for label in gold]
    array: FloatArray = (
        np.eye(len(labels))[codes] * 5 + rng.normal(0, 0.1, (len(gold), len(labels)))
    ).astype(np.float32)
    experiments = [np.arange(2 * len(labels)), np.arange(len(labels), 3 * len(labels))]
    ids = [f"t{i}" for i in range(len(gold))]
    data = LabelData(ids, ids, gold, ids, gold, experiments, True)
    return data, {"texts": ArrayVectors(array), "train_texts": ArrayVectors(array)}


@pytest.mark.parametrize("labels", [["정치", "경제", "IT"], [0, 1], [3, 5, 7]])
def test_separable_texts_are_classified_without_error(labels: list[Label]) -> None:
    data, vectors = separable(10, labels)
    score = classification(data, vectors)
    assert score.metrics["accuracy"] == score.metrics["f1"] == 1
    assert score.experiments["accuracy"] == [1, 1]


def test_every_metric_can_be_recomputed_from_the_items() -> None:
    rng = np.random.default_rng(1)
    data, _ = separable(20, ["a", "b", "c"])
    noise = rng.normal(size=(60, 3)).astype(np.float32)
    score = classification(data, {"texts": ArrayVectors(noise), "train_texts": ArrayVectors(noise)})
    gold, *predictions = score.items
    assert [block.metric for block in score.items] == ["gold", "prediction", "prediction"]
    for i, block in enumerate(predictions):
        assert block.experiment == i
        assert block.item_ids == gold.item_ids == data.item_ids
        assert gold.targets is not None
        assert block.targets is not None
        assert (
            accuracy_score(gold.targets, block.targets)
            == score.experiments["accuracy"][i]
            == block.values.mean()
        )
        assert f1_score(gold.targets, block.targets, average="macro") == score.experiments["f1"][i]
    assert score.metrics["f1"] == np.mean(score.experiments["f1"])


def test_only_the_rows_of_an_experiment_train_it() -> None:
    """Experiment 1 is trained on flipped labels, and errs on everything."""
    data, vectors = separable(10, [0, 1])
    flipped = LabelData(
        data.item_ids,
        data.texts,
        data.labels,
        data.texts * 2,
        [*data.labels, *(1 - int(x) for x in data.labels)],
        [np.arange(8), np.arange(20, 28)],
        False,
    )
    block = vectors["texts"].block(0, 20)
    score = classification(
        flipped, {"texts": ArrayVectors(block), "train_texts": ArrayVectors(np.tile(block, (2, 1)))}
    )
    assert score.experiments["accuracy"] == [1, 0]


def test_fits_that_stop_early_are_counted_not_warned_about() -> None:
    rng = np.random.default_rng(0)
    ids = [f"t{i}" for i in range(60)]
    data = LabelData(
        ids, ids, [0, 1, 2] * 20, ids, [0, 1, 2] * 20, [np.arange(60), np.arange(59)], True
    )
    uneven = ArrayVectors(
        (rng.normal(size=(60, 40)) * 10.0 ** rng.uniform(-3, 3, 40)).astype(np.float32)
    )
    assert classification(data, {"texts": uneven, "train_texts": uneven}).notes == {
        "n_not_converged": 2
    }


def test_average_precision_of_hard_labels_by_hand() -> None:
    """Predicted positive: 2 of 3 right; then everything: 3 positives in 5."""
    gold, predicted = [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]
    expected = 2 / 3 * 2 / 3 + 1 / 3 * 3 / 5
    assert label_metrics(gold, predicted)["ap"] == pytest.approx(expected)
    words = (
        ["긍정" if label else "가짜" for label in gold],
        ["긍정" if label else "가짜" for label in predicted],
    )
    assert (
        label_metrics(*words)["ap"]
        == label_metrics(*words)["ap_weighted"]
        == pytest.approx(expected)
    )
    assert "ap" not in label_metrics(["a", "b", "c"], ["a", "b", "c"])


def test_unusable_training_vector_is_named() -> None:
    data, vectors = separable(10, [0, 1])
    broken = vectors["texts"].block(0, 20).copy()
    broken[7] = np.nan
    with pytest.raises(ModelError, match=r"'train_texts'.*'training row 7'"):
        classification(data, {"texts": vectors["texts"], "train_texts": ArrayVectors(broken)})


def test_training_rows_of_one_label_are_refused() -> None:
    data, vectors = separable(10, [0, 1])
    with pytest.raises(DataError, match="training rows of 1 different labels"):
        classification(replace(data, experiments=[np.arange(4), np.array([0, 2])]), vectors)
    with pytest.raises(DataError, match="training rows of 0 different labels"):
        classification(replace(data, experiments=[]), vectors)


def test_labels_that_are_text_in_one_split_and_numbers_in_the_other_are_refused() -> None:
    data, vectors = separable(10, [0, 1])
    as_text: list[Label] = [str(label) for label in data.labels]
    with pytest.raises(
        DataError, match="text, for example '0', and others numbers, for example 0;"
    ):
        classification(replace(data, train_labels=as_text), vectors)
