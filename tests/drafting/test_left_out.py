"""Zobel's test: by hand, and what it must show of retrievers that find what nobody else finds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from kemb.drafting.left_out import leave_one_out, pooled
from kemb.drafting.pools import build_pool
from kemb.evaluation.evaluate import load_task
from kemb.types import Qrels, RetrievalData


def test_by_hand() -> None:
    truth: Qrels = {"q1": {"a": 1, "b": 1}, "q2": {"c": 1}}
    rankings = {
        "x": {"q1": ["a", "u"], "q2": ["c", "v"]},
        "y": {"q1": ["b", "u"], "q2": ["w", "c"]},
    }
    assert pooled(rankings, truth) == {
        "q1": {"a": 1, "u": 0, "b": 1},
        "q2": {"c": 1, "v": 0, "w": 0},
    }
    assert pooled(rankings, truth, 1) == {"q1": {"a": 1, "b": 1}, "q2": {"c": 1, "w": 0}}
    x, y = leave_one_out(rankings, truth)
    ideal = 1 + 1 / math.log2(3)
    assert x.score == pytest.approx((1 / ideal + 1) / 2)
    assert y.score == pytest.approx((1 / ideal + 1 / math.log2(3)) / 2)
    # Without x the passage a is unjudged, so x finds nothing right for q1; left out, still nothing.
    assert (x.n_alone, y.n_alone) == (1, 1)
    assert x.score_without == pytest.approx(1 / 2)
    assert x.score_condensed == pytest.approx(1 / 2)
    assert x.judged_at_10 == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert y.score_without == pytest.approx(1 / math.log2(3) / 2)
    # Without y the passage w is unjudged; left out, c comes first.
    assert y.score_condensed == pytest.approx(1 / 2)
    assert (x.rank, y.rank, x.rank_without, y.rank_without) == (1, 2, 2, 2)


def test_the_more_a_retriever_finds_alone_the_more_it_loses() -> None:
    """Five retrievers find alike passages, the sixth others that are right as often."""
    rng = np.random.default_rng(3)
    truth: Qrels = {}
    rankings: dict[str, dict[str, list[str]]] = {f"like{n}": {} for n in range(5)} | {"unlike": {}}
    for number in range(60):
        query = f"q{number}"
        common, rare = ([f"{kind}{number}-{n}" for n in range(20)] for kind in "cr")
        truth[query] = {common[0]: 1, common[1]: 1, rare[0]: 1, rare[1]: 1}
        for name in rankings:
            source = rare if name == "unlike" else common
            order = np.argsort(np.arange(20) + rng.normal(0, 2, 20))
            rankings[name][query] = [source[place] for place in order]
    table = {row.retriever: row for row in leave_one_out(rankings, truth)}
    assert table["unlike"].n_alone > 100
    assert table["unlike"].score_without == 0
    assert table["unlike"].judged_at_10 == 0
    assert table["unlike"].rank_without == 6
    for name in rankings.keys() - {"unlike"}:
        row = table[name]
        assert row.judged_at_10 > 0.9
        assert abs(row.score - row.score_without) < 0.02
        assert abs(row.rank - row.rank_without) <= 1


def test_on_the_shipped_task_with_unlike_retrievers(tmp_path: Path) -> None:
    """Four cheap retrievers; the right passages of the demo are known in full."""
    from kemb import demo

    folder = tmp_path / "ko-mini-retrieval"
    shipped = next(path for path in demo.task_folders() if path.name == folder.name)
    folder.mkdir()
    for path in shipped.rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(shipped)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    names = ["bm25:bigram", "bm25:mteb", "tfidf:char", "toy"]
    pool = build_pool(folder, names, tmp_path / "results", tmp_path / "store")
    data = load_task(folder).load().parts[0].data
    assert isinstance(data, RetrievalData)
    table = leave_one_out(pool, data.qrels)
    assert len(table) == 4
    for row in table:
        assert row.n_alone or row.score_without == pytest.approx(row.score)
        assert 0 <= row.judged_at_10 <= 1
        assert row.score_condensed >= row.score_without - 1e-9
