from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import studentized_range

from invented import corpus_of
from kemb import statistics
from kemb.choosing.decide import decide
from kemb.choosing.stages import MARGIN, drops, makers_of, spend, stages_of
from kemb.encoding.store import Store
from kemb.errors import UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.resolve import resolve
from kemb.results.files import TaskResult
from kemb.types import RetrievalData, TaskData


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskData, list[TaskResult]]:
    """Six questions over 1,000 passages, and the results of two pool makers."""
    root = tmp_path_factory.mktemp("stages")
    task = load_task(corpus_of(root / "mydata", n_passages=6, per_passage=1, n_others=994))
    options = RunOptions(root / "results", Store(root / "store"))
    outcomes = evaluate([task], [resolve("bm25:bigram"), resolve("toy")], options)
    return task.load(), [outcome.result for outcome in outcomes if outcome.result]


def retrieval(data: TaskData) -> RetrievalData:
    part = data.parts[0].data
    assert isinstance(part, RetrievalData)
    return part


def test_the_error_is_split_over_the_looks_and_never_grows() -> None:
    for n_looks in (1, 2, 3, 4):
        assert math.isclose(sum(spend(n_looks)), 0.05)
    assert spend(3) == pytest.approx([0.01, 0.01, 0.03])


def test_sub_corpora_are_nested_and_hold_what_answers(
    corpus: tuple[TaskData, list[TaskResult]],
) -> None:
    data, makers = corpus
    stages = stages_of(data, makers, (0.25, 0.5))
    assert [stage.share for stage in stages] == [0.25, 0.5, 1.0]
    assert [stage.n_documents for stage in stages] == [250, 500, 1000]
    documents = [retrieval(stage.data).doc_ids for stage in stages]
    assert set(documents[0]) < set(documents[1]) < set(documents[2])
    right = {doc for grades in retrieval(data).qrels.values() for doc in grades}
    assert right <= set(documents[0])
    order = {doc: row for row, doc in enumerate(retrieval(data).doc_ids)}
    assert [order[doc] for doc in documents[0]] == sorted(order[doc] for doc in documents[0])
    texts = dict(zip(retrieval(data).doc_ids, retrieval(data).documents, strict=True))
    smallest = retrieval(stages[0].data)
    assert smallest.documents == [texts[doc] for doc in smallest.doc_ids]
    assert stages[0].data.parts[0].sha256 != data.parts[0].sha256
    again = stages_of(data, makers, (0.25, 0.5))
    assert [s.data.parts[0].sha256 for s in again] == [s.data.parts[0].sha256 for s in stages]


def test_the_pool_is_the_first_twenty_of_every_maker(
    corpus: tuple[TaskData, list[TaskResult]], tmp_path: Path
) -> None:
    data, makers = corpus
    from kemb.results.files import read_items

    inside = set(retrieval(stages_of(data, makers, (0.25,))[0].data).doc_ids)
    for result in makers:
        rows = [row for row in read_items(result).to_pylist() if row["metric"] == "retrieved"]
        for question in retrieval(data).query_ids:
            documents = [row["target"] for row in rows if row["item_id"] == question]
            assert set(documents[:20]) <= inside
            assert not set(documents) <= inside, "the pool must not be everything"


def test_a_stage_that_saves_too_little_is_left_out(
    corpus: tuple[TaskData, list[TaskResult]],
) -> None:
    data, makers = corpus
    # The pool holds more than 10 %, so that the look at "10 %" would be that at 18 % or so.
    shares = [stage.share for stage in stages_of(data, makers, (0.1, 0.22, 0.9))]
    assert len(shares) == 2
    assert shares[1] == 1
    with pytest.raises(UsageError, match="ascending percentages"):
        stages_of(data, makers, (0.3, 0.1))


def test_pool_makers_are_cheap_and_unlike() -> None:
    sizes = {
        "bm25:kiwi": ("lexical", 0),
        "bm25:bigram": ("lexical", 0),
        "kiwi-static": ("static", 0),
        "large": ("dense", 568),
        "small": ("dense", 118),
        "paid": ("api", 0),
    }
    assert makers_of(sizes) == ["bm25:kiwi", "kiwi-static", "small"]


def test_a_model_of_unknown_size_is_not_the_cheapest() -> None:
    assert makers_of({"unknown": ("dense", math.inf), "large": ("dense", 7e9)}) == ["large"]


def replicates_of(values: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    counts = statistics.draw_counts(values.shape[1], 1000, [seed]).astype(np.float64)
    return values.mean(axis=1), counts @ values.T / values.shape[1]


def test_joint_intervals_are_those_of_tukey() -> None:
    """Of independent rows with one variance the largest |t| is Tukey's range / sqrt 2."""
    values = np.random.default_rng(0).normal(size=(4, 2000))
    point, replicates = replicates_of(values)
    low, high = statistics.joint_intervals(point, replicates, 0.9)
    quantile = studentized_range.ppf(0.9, 4, np.inf) / math.sqrt(2)
    error = (replicates[:, 1] - replicates[:, 3]).std(ddof=1)
    # 1,000 resamples: the quantile itself has an error of about 2 %.
    assert (high[1, 3] - (point[1] - point[3])) / error == pytest.approx(quantile, rel=0.05)
    assert low[3, 1] == pytest.approx(-high[1, 3])
    assert (np.diag(low) == 0).all()
    # Rows of unequal spread: every pair has the same multiple of its own error.
    point, replicates = replicates_of(values * np.array([[1], [2], [1], [0.5]]))
    _, high = statistics.joint_intervals(point, replicates, 0.9)
    widths = high - (point[:, None] - point)
    errors = (replicates[:, :, None] - replicates[:, None]).std(axis=0, ddof=1)
    apart = ~np.eye(4, dtype=bool)
    assert np.ptp(widths[apart] / errors[apart]) < 1e-9


def test_only_rows_that_are_certainly_more_than_a_point_worse_are_dropped() -> None:
    rng = np.random.default_rng(1)
    base = rng.beta(2, 2, 400)
    noise = rng.normal(0, 0.02, (3, 400))
    # 0.5 points worse for certain, and 3 points worse for certain.
    point, replicates = replicates_of(np.stack([base, base - 0.005, base - 0.03]) + noise)
    assert [drop.row for drop in drops(point, replicates, 400, 0.01)] == [2]
    drop = drops(point, replicates, 400, 0.01)[0]
    assert drop.low < point[2] - point[drop.other] < drop.high < -MARGIN
    assert drops(point, replicates, 49, 0.01) == []


@pytest.mark.slow
def test_a_row_that_is_a_point_worse_is_dropped_at_most_as_often_as_the_error_says() -> None:
    rng = np.random.default_rng(2)
    n_simulations, alpha, n_wrong = 400, 0.05, 0
    counts = statistics.draw_counts(150, 1000, ["drops"]).astype(np.float64)
    for _ in range(n_simulations):
        hard = rng.normal(0, 0.2, 150)
        values = hard + rng.normal(0, 0.2, (5, 150))
        values[4] -= MARGIN  # at the edge of what may be dropped
        replicates = counts @ values.T / 150
        n_wrong += bool(drops(values.mean(axis=1), replicates, 150, alpha))
    assert n_wrong / n_simulations <= alpha + 0.03


def test_the_smallest_row_within_a_point_of_the_best_is_taken() -> None:
    rng = np.random.default_rng(3)
    base = rng.beta(2, 2, 200)
    values = np.stack([base, base - 0.004, base - 0.5]) + rng.normal(0, 0.1, (3, 200))
    values[:2] += np.array([[0.5], [0.496]]) - values[:2].mean(axis=1, keepdims=True)
    point, replicates = replicates_of(values)
    decision = decide(point, replicates, [2, 1, 0], 0.05)
    assert decision.group == [0, 1]
    assert decision.pick == 1  # 0.4 points below, and smaller
    assert decision.smallest == 1
    assert decision.ranks == [(1, 2), (1, 2), (3, 3)]
    assert decide(point, replicates, [0, 1, 2], 0.05).pick == 0
    assert sum(decision.shares) == pytest.approx(1)


def test_the_interval_of_what_was_picked_takes_the_luck_of_the_best_away() -> None:
    """Ten equal rows of true score 0.5: the best of them seems better than it is."""
    rng = np.random.default_rng(4)
    n_naive, n_honest, optimism = 0, 0, []
    counts = statistics.draw_counts(100, 500, ["luck"]).astype(np.float64)
    for _ in range(200):
        values = 0.5 + rng.normal(0, 0.3, (10, 100))
        point, replicates = values.mean(axis=1), counts @ values.T / 100
        decision = decide(point, replicates, list(range(10)), 0.05)
        low, high = decision.score_intervals[decision.pick]
        n_naive += low <= 0.5 <= high
        n_honest += decision.low <= 0.5 <= decision.high
        optimism.append(decision.optimism)
    assert n_naive / 200 < 0.85
    assert n_honest / 200 > 0.9
    assert 0.02 < np.mean(optimism) < 0.06
