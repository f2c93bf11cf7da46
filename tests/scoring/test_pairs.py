from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kemb.arrays import ArrayVectors, FloatArray, Vectors
from kemb.errors import DataError, ModelError
from kemb.scoring.pairs import (
    LEADERBOARD_CORRELATIONS,
    pair_classification,
    pair_similarities,
    sentence_clusters,
    separation,
    sts,
)
from kemb.types import PairData


def pairs(
    gold: list[float], sentence1: list[str] | None = None, sentence2: list[str] | None = None
) -> PairData:
    ids = [f"p{i}" for i in range(len(gold))]
    first = sentence1 or [f"a{i}" for i in range(len(gold))]
    second = sentence2 or [f"b{i}" for i in range(len(gold))]
    return PairData(ids, first, second, np.array(gold))


def vectors(first: object, second: object) -> dict[str, Vectors]:
    arrays: list[FloatArray] = [np.array(array, dtype=np.float32) for array in (first, second)]
    return {"sentence1": ArrayVectors(arrays[0]), "sentence2": ArrayVectors(arrays[1])}


def test_similarities_by_hand_higher_is_more_alike() -> None:
    values, n_zero = pair_similarities(pairs([0, 1]), vectors([[3, 4], [1, 0]], [[4, 3], [0, -2]]))
    assert values["cosine"].tolist() == pytest.approx([24 / 25, 0], abs=1e-6)
    assert values["dot"].tolist() == [24, 0]
    assert values["euclidean"].tolist() == pytest.approx([-np.sqrt(2), -np.sqrt(5)])
    assert values["manhattan"].tolist() == [-2, -3]
    assert n_zero == 0


def test_sts_by_hand() -> None:
    """Two of three ranks swapped: Spearman 1 - 6 * 2 / (3 * 8) = 0.5."""
    data = pairs([1.0, 2.0, 3.0])
    score = sts(data, vectors([[1, 0]] * 3, [[0.5, 1], [2, 1], [1, 1]]), similarity="dot")
    assert score.metrics["dot_spearman"] == score.metrics["spearman"] == pytest.approx(0.5)
    assert score.metrics["dot_pearson"] == pytest.approx(np.corrcoef([1, 2, 3], [0.5, 2, 1])[0, 1])


def test_mean_correlation_is_the_eight_of_the_leaderboard() -> None:
    rng = np.random.default_rng(0)
    data = pairs(rng.random(30).tolist())
    metrics = sts(data, vectors(rng.random((30, 4)), rng.random((30, 4))), similarity="dot").metrics
    assert len(LEADERBOARD_CORRELATIONS) == 8
    assert not any(name.startswith("dot") for name in LEADERBOARD_CORRELATIONS)
    eight = [
        metrics[f"{p}{k}"]
        for p in ("", "cosine_", "manhattan_", "euclidean_")
        for k in ("pearson", "spearman")
    ]
    assert metrics["mean_correlation"] == pytest.approx(np.mean(eight), abs=1e-15)


@pytest.mark.shared
def test_mean_correlation_is_what_the_korean_leaderboard_published(shared_data: Path) -> None:
    """From public mteb results of models that were not changed since the leaderboard
    measured them.
    """
    published = json.loads((shared_data / "published" / "seed000_sts.json").read_text())["rows"]
    rows = {
        model: dict(zip(("KLUE-STS", "KorSTS", "STS17"), values, strict=False))
        for model, *values in published
    }
    table = pq.read_table(
        shared_data / "mteb_results_ko.parquet",
        columns=["model", "task", "subset", "metric", "value"],
        filters=[("subset", "in", ["default", "ko-ko"])],
    ).to_pylist()
    for model in ("nlpai-lab/KURE-v1", "dragonkue/snowflake-arctic-embed-l-v2.0-ko"):
        for task, expected in rows[model].items():
            found = {
                row["metric"]: row["value"]
                for row in table
                if (row["model"], row["task"]) == (model, task)
            }
            mean = np.mean([found[name] for name in LEADERBOARD_CORRELATIONS])
            assert 100 * mean == pytest.approx(expected, abs=0.035), (model, task)


def test_constant_encoder_is_refused() -> None:
    with pytest.raises(ModelError, match="same vector for every text"):
        sts(pairs([1, 2, 3]), vectors([[1, 2]] * 3, [[1, 2]] * 3), similarity="cosine")


def test_constant_gold_is_refused() -> None:
    with pytest.raises(DataError, match=r"All 2 gold scores are 4\.0"):
        sts(pairs([4.0, 4.0]), vectors([[1, 2], [2, 1]], [[1, 2], [1, 2]]), similarity="cosine")


def test_unusable_vector_is_named_by_column_and_item() -> None:
    with pytest.raises(ModelError, match=r"'sentence2'.*'p1'"):
        sts(pairs([1, 2]), vectors([[1, 2], [2, 1]], [[1, 2], [1, np.nan]]), similarity="cosine")


def test_zero_vectors_are_counted() -> None:
    score = pair_classification(
        pairs([1, 0]), vectors([[0, 0], [1, 0]], [[1, 0], [0, 1]]), similarity="cosine"
    )
    assert score.notes == {"n_zero_vectors": 1}


def test_separation_by_hand() -> None:
    """Scores 4 3 2 2 1 with labels + - + + -: thresholds after 4, 3 and the tied 2s."""
    values = separation(np.array([2.0, 4, 3, 2, 1]), np.array([True, True, False, True, False]))
    assert values["ap"] == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 4)
    assert values["accuracy"] == pytest.approx(4 / 5)
    assert values["precision"] == pytest.approx(3 / 4)
    assert values["recall"] == 1
    assert values["f1"] == pytest.approx(2 * 3 / 4 / (7 / 4))


def test_all_scores_tied_try_no_threshold() -> None:
    values = separation(np.ones(4), np.array([True, False, False, False]))
    assert values == {"ap": 0.25, "accuracy": 0, "f1": 0, "precision": 0, "recall": 0}


@pytest.mark.parametrize("gold", [[0.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
def test_labels_other_than_zero_and_one_are_refused(gold: list[float]) -> None:
    with pytest.raises(DataError, match="labels 0 and 1"):
        pair_classification(pairs(gold), vectors([[1], [2]], [[1], [2]]), similarity="cosine")


def test_pairs_that_share_a_sentence_are_one_cluster() -> None:
    data = pairs([0] * 6, ["a", "c", "e", "g", "b", "i"], ["b", "d", "f", "h", "c", "j"])
    assert sentence_clusters(data) == ["p0", "p0", "p2", "p3", "p0", "p5"]
    assert sentence_clusters(pairs([0] * 3)) is None
    assert sentence_clusters(pairs([0] * 2, ["x", "x"], ["x", "y"])) == ["p0", "p0"]


def test_items_hold_gold_and_every_similarity() -> None:
    rng = np.random.default_rng(0)
    data = pairs([0, 1, 1, 0], ["a", "a", "b", "c"])
    score = pair_classification(
        data, vectors(rng.random((4, 3)), rng.random((4, 3))), similarity="dot"
    )
    blocks = {block.metric: block for block in score.items}
    assert list(blocks) == ["gold", "cosine", "dot", "euclidean", "manhattan"]
    assert blocks["gold"].values.tolist() == [0, 1, 1, 0]
    assert blocks["cosine"].cluster_ids == ["p0", "p0", "p2", "p3"]
    again = separation(blocks["manhattan"].values, blocks["gold"].values == 1)
    assert {
        f"manhattan_{name}": value for name, value in again.items()
    }.items() <= score.metrics.items()
