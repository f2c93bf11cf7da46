from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, v_measure_score

from kemb.arrays import ArrayVectors, FloatArray, Vectors
from kemb.errors import DataError, ModelError
from kemb.scoring.clusters import clustering
from kemb.tasks.spec import ClusteringProtocol
from kemb.types import ClusterData, Label, PartScore

ROWS = ClusteringProtocol(kind="rows")
BOOTSTRAP = ClusteringProtocol(n_experiments=3, documents_per_experiment=200)


def topics(n: int, n_topics: int, noise: float) -> tuple[FloatArray, list[tuple[Label, ...]]]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, n_topics, n)
    array = np.eye(8)[codes] * 4 + rng.normal(0, noise, (n, 8))
    return array.astype(np.float32), [(f"topic {code}",) for code in codes]


def data_of(labels: list[tuple[Label, ...]], problems: list[int] | None = None) -> ClusterData:
    ids = [f"t{i}" for i in range(len(labels))]
    return ClusterData(ids, ids, labels, np.array(problems or [0] * len(ids)))


def vectors_of(array: FloatArray) -> dict[str, Vectors]:
    return {"texts": ArrayVectors(array)}


def labels_by_item(score: PartScore, name: str) -> dict[str, str]:
    (block,) = [block for block in score.items if block.metric == name]
    assert block.targets is not None
    return dict(zip(block.item_ids, block.targets, strict=True))


def test_clear_topics_are_found() -> None:
    array, labels = topics(120, 4, 0.05)
    assert clustering(ROWS, data_of(labels), vectors_of(array)).metrics[
        "v_measure"
    ] == pytest.approx(1)


def test_rows_are_problems_of_their_own_and_a_single_label_scores_one() -> None:
    array, labels = topics(90, 3, 2.0)
    labels[60:] = [("one",)] * 30
    score = clustering(ROWS, data_of(labels, [0] * 30 + [1] * 30 + [2] * 30), vectors_of(array))
    alone = [
        clustering(ROWS, data_of(labels[a : a + 30]), vectors_of(array[a : a + 30]))
        for a in (0, 30)
    ]
    assert score.experiments["v_measure"] == [*(part.metrics["v_measure"] for part in alone), 1.0]
    assert score.metrics["v_measure"] == np.mean(score.experiments["v_measure"])
    assert score.metrics["v_measure_std"] == np.std(score.experiments["v_measure"])


def test_rows_can_be_recomputed_from_the_items() -> None:
    array, labels = topics(60, 3, 2.0)
    score = clustering(ROWS, data_of(labels, [0] * 30 + [1] * 30), vectors_of(array))
    gold = labels_by_item(score, "gold")
    for block in (block for block in score.items if block.metric == "assignment"):
        assert block.experiment is not None
        again = v_measure_score([gold[item] for item in block.item_ids], block.values)
        assert again == score.experiments["v_measure"][block.experiment]


def test_bootstrap_can_be_recomputed_from_the_items() -> None:
    array, labels = topics(60, 3, 2.0)
    score = clustering(BOOTSTRAP, data_of(labels), vectors_of(array))
    gold = labels_by_item(score, "gold")
    assert len(score.experiments["v_measure"]) == 3
    for i in range(3):
        assigned, drawn = (
            block
            for block in score.items
            if block.experiment == i and block.metric in ("assignment", "n_draws")
        )
        assert assigned.item_ids == drawn.item_ids
        times = drawn.values.astype(int)
        assert times.sum() == 200
        true = np.repeat([gold[item] for item in assigned.item_ids], times)
        found = np.repeat(assigned.values, times)
        assert v_measure_score(true, found) == pytest.approx(
            score.experiments["v_measure"][i], abs=1e-12
        )
        assert adjusted_mutual_info_score(true, found) == pytest.approx(
            score.experiments["ami"][i], abs=1e-12
        )


def test_levels_are_scored_one_after_the_other() -> None:
    array, labels = topics(80, 4, 1.5)
    deep: list[tuple[Label, ...]] = [(i % 2, label[0]) for i, label in enumerate(labels)]
    score = clustering(BOOTSTRAP, data_of(deep), vectors_of(array))
    assert len(score.experiments["v_measure"]) == 6
    assert {block.metric for block in score.items} == {
        f"{name}_level_{level}" for name in ("gold", "assignment", "n_draws") for level in (0, 1)
    }
    assert [b.experiment for b in score.items if b.metric == "assignment_level_1"] == [3, 4, 5]
    one = clustering(
        BOOTSTRAP.model_copy(update={"max_depth": 1}), data_of(deep), vectors_of(array)
    )
    assert one.experiments["v_measure"] == score.experiments["v_measure"][:3]


def test_a_part_does_not_depend_on_what_was_scored_before() -> None:
    array, labels = topics(60, 3, 2.0)
    protocol = BOOTSTRAP.model_copy(update={"max_documents": 40})
    first = clustering(protocol, data_of(labels), vectors_of(array))
    clustering(BOOTSTRAP, data_of(labels), vectors_of(array))
    assert clustering(protocol, data_of(labels), vectors_of(array)).experiments == first.experiments
    assert len(labels_by_item(first, "gold")) == 40


def test_unusable_vector_is_named() -> None:
    array, labels = topics(60, 3, 2.0)
    array[9, 0] = np.nan
    with pytest.raises(ModelError, match=r"'texts'.*'t9'"):
        clustering(ROWS, data_of(labels), vectors_of(array))


def test_too_few_documents_are_refused() -> None:
    array, labels = topics(20, 3, 2.0)
    for change, message in (
        ({"fraction": 0.04}, "0.04 of 20 documents is none"),
        ({"documents_per_experiment": 2}, "2 documents for 3 labels"),
    ):
        with pytest.raises(DataError, match=message):
            clustering(BOOTSTRAP.model_copy(update=change), data_of(labels), vectors_of(array))
