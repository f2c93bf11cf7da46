"""Whatever a page says of the order of two models comes from one matrix of decided pairs."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from test_site import Page, data

from kemb.boards import Board, build_board
from kemb.boards.benchmark import load_benchmark
from kemb.publishing.site.build import build_site
from kemb.publishing.site.pages import N_MATRIX
from kemb.results.claims import shipped


@pytest.fixture(scope="module")
def board() -> Board:
    """20 complete rows of published scores; their tasks are resampled."""
    return build_board(shipped(), load_benchmark("mteb-kor-v2"))


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, bytes]:
    return build_site({"mteb-kor-v2": board})


def test_the_first_group_is_whom_nobody_is_certainly_better_than(board: Board) -> None:
    """Issue of overlapping intervals: they gave 13 rows, one of them at rank 6 to 17."""
    assert [row.name.split("/")[1] for row in board.first_group] == [
        "Qwen3-Embedding-8B",
        "Qwen3-Embedding-4B",
        "F2LLM-v2-14B",
        "F2LLM-v2-8B",
    ]
    better = board.replicates.better
    assert better is not None
    places = [board.complete.index(row) for row in board.first_group]
    assert not better[np.ix_(places, places)].any()


def test_rows_with_overlapping_rank_intervals_can_be_decided(board: Board) -> None:
    better = board.replicates.better
    assert better is not None
    spans = [
        (row.standing.rank_low, row.standing.rank_high)
        for row in board.complete
        if row.standing is not None
    ]
    overlapping = [
        (first, second)
        for first, second in np.argwhere(better).tolist()
        if spans[second][0] <= spans[first][1]
    ]
    assert overlapping


def test_rank_intervals_data_and_matrix_agree(board: Board, files: dict[str, bytes]) -> None:
    better = board.replicates.better
    assert better is not None
    n = len(board.complete)
    shipped_board = data(files, "board-mteb-kor-v2")
    bits = np.unpackbits(
        np.frombuffer(base64.b64decode(shipped_board["better"]), dtype=np.uint8),
        bitorder="little",
    )
    np.testing.assert_array_equal(bits[: n * n].reshape(n, n), better)
    for place, row in enumerate(shipped_board["rows"][:n]):
        assert row["rank_low"] == 1 + better[:, place].sum()
        assert row["rank_high"] == n - better[place].sum()
    for path in ("compare.html", "en/compare.html"):
        rows = Page(files[path].decode()).rows
        signs = [line[1:] for line in rows if len(line) == 1 + min(N_MATRIX, n)][
            -min(N_MATRIX, n) :
        ]
        for first, line in enumerate(signs):
            for second, sign in enumerate(line):
                expected = "·" if first == second else "="
                expected = "▲" if better[first, second] else expected
                expected = "▼" if better[second, first] else expected
                assert sign == expected, (path, first, second)
