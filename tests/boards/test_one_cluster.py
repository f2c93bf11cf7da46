"""Pairs that all hang together are drawn as one: no interval can be made of them, and none is."""

from __future__ import annotations

from pathlib import Path

from kemb.boards import Board, build_board
from kemb.boards.compare import compare
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.messages import say
from kemb.models.resolve import resolve
from kemb.publishing.card.body import part_scores
from kemb.results.files import TaskResult
from kemb.results.rows import rows_of

WORDS = "사과 바다 기차 학교 구름 의자 시계 나무 강물 편지 우산 노래".split()


def measured(folder: Path, anchors: list[str]) -> list[TaskResult]:
    """Two models on pairs of these sentences with others."""
    data = folder / "pairs"
    data.mkdir()
    lines = [
        f"{anchor},{word} {word} 이야기,{number % 6}"
        for number, (anchor, word) in enumerate(zip(anchors, WORDS, strict=True))
    ]
    (data / "test.csv").write_text("\n".join(["sentence1,sentence2,score", *lines]) + "\n")
    options = RunOptions(folder / "results", Store(folder / "store"))
    outcomes = evaluate([load_task(data)], [resolve("toy"), resolve("tfidf:char")], options)
    return [outcome.result for outcome in outcomes if outcome.result is not None]


def spans(board: Board) -> list[tuple[float | None, float | None, float | None]]:
    rows = [row.standing for row in board.rows if row.standing]
    return [(standing.low, standing.high, standing.p_first) for standing in rows]


def test_one_cluster_has_no_interval_and_two_have(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    results = measured(tmp_path / "one", ["사과와 바다"] * 12)
    board = build_board(results)
    assert board.intervals.mode == "none"
    assert "those of pairs all hang together in one cluster" in board.intervals.reason
    assert "한 무리" in say(board.intervals.reasons[0], "ko")
    assert spans(board) == [(None, None, None)] * 2
    assert board.first_group == []
    (cell,) = compare(*rows_of(results)).cells
    assert (cell.low, cell.high, cell.p) == (None, None, None)
    assert cell.note == "no interval: all items hang together in one cluster"
    (score,) = part_scores(results[0])
    assert (score.low, score.reason) == (None, "its items all hang together in one cluster")

    (tmp_path / "two").mkdir()
    results = measured(tmp_path / "two", ["사과와 바다", "기차와 학교"] * 6)
    board = build_board(results)
    assert board.intervals.mode == "items"
    assert all(low is not None and low < high for low, high, _ in spans(board))  # type: ignore[operator]
    (cell,) = compare(*rows_of(results)).cells
    assert cell.note == ""
    assert cell.low is not None
