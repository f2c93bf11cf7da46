"""Which questions are drawn together, and whether intervals then hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.boards.items import PartMeasures
from kemb.scoring.dependence import cluster_codes, components, effective, question_clusters
from kemb.types import Qrels


def sizes(clusters: list[str]) -> list[int]:
    return sorted(np.unique(clusters, return_counts=True)[1].tolist())


def test_questions_that_share_a_right_passage_are_one_cluster() -> None:
    qrels: Qrels = {
        "a": {"1": 1},
        "b": {"1": 1, "2": 1},
        "c": {"2": 1, "9": 0},
        "d": {"3": 1},
        "e": {"9": 0},  # not right for c, and for nobody else
    }
    assert question_clusters(qrels, ["d", "a", "b", "c", "e"]) == ["d", "a", "a", "a", "e"]
    assert cluster_codes(question_clusters(qrels, ["a", "d"])) is None


@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.unique(rng.integers(0, 60, (50, 2)), axis=0)
    keys = [edges[edges[:, 0] == item, 1].tolist() for item in range(60)]
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], 60 + edges[:, 1])), shape=(120, 120))
    _, labels = connected_components(graph, directed=False)
    expected = [int(np.flatnonzero(labels == labels[item])[0]) for item in range(60)]
    assert components(keys) == expected


def test_a_passage_that_is_right_for_all_does_not_make_one_cluster_of_all() -> None:
    chained: Qrels = {f"q{n}": {"generic": 1, f"d{n // 2}": 1} for n in range(40)}
    # By shared passages all are one; those with the same two passages are pairs.
    assert sizes(question_clusters(chained, list(chained))) == [2] * 20
    # A chain that leaves enough clusters stays whole.
    half = {f"q{n}": ({"generic": 1} if n < 4 else {}) | {f"d{n}": 1} for n in range(40)}
    assert sizes(question_clusters(half, list(half))) == [1] * 36 + [4]
    # Nine passages and no other: the second rule would not help, so the first one holds.
    few: Qrels = {f"q{n}": {f"d{n % 9}": 1} for n in range(45)}
    assert sizes(question_clusters(few, list(few))) == [5] * 9
    # One passage: one cluster, which has no interval.
    one: Qrels = {f"q{n}": {"d": 1} for n in range(30)}
    assert sizes(question_clusters(one, list(one))) == [30]


def test_effective_clusters_by_hand() -> None:
    assert effective("abcd") == 4
    assert effective("aabb") == 2
    assert effective("aaab") == pytest.approx(16 / 10)
    assert effective("") == 0


def coverage(values: DoubleArray, clusters: IntArray | None) -> float:
    """In what share of simulations [n_simulations, n_questions] the interval holds 0."""
    ids = [f"q{n}" for n in range(values.shape[1])]
    measures: dict[str, statistics.Measure] = {"score": statistics.MeanMeasure(values)}
    part = PartMeasures("task", "test", "default", ids, "score", measures, clusters)
    low, high = statistics.interval(part.replicates(1000, 42))
    return float(np.mean((low <= 0) & (high >= 0)))


def test_intervals_of_questions_on_one_passage_hold_the_truth_in_95_of_100_cases() -> None:
    """Differences of two rows that are equal: half of their variance belongs to the passage."""
    rng = np.random.default_rng(7)
    passage = np.repeat(np.arange(150), rng.integers(1, 12, 150))
    qrels: Qrels = {f"q{n}": {f"d{number}": 1} for n, number in enumerate(passage.tolist())}
    n_simulations = 1000
    of_passage = rng.normal(0, 1, (n_simulations, 150))[:, passage]
    values = of_passage + rng.normal(0, 1, (n_simulations, len(passage)))
    clusters = cluster_codes(question_clusters(qrels, list(qrels)))
    assert 0.93 <= coverage(values, clusters) <= 0.965
    assert coverage(values, None) < 0.75
    # Where nothing depends on the passage, drawing them together costs nothing.
    assert 0.93 <= coverage(rng.normal(0, 1, values.shape), clusters) <= 0.965
