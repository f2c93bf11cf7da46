"""Costs of a row are those of its records."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from kemb.board import Row, build_board
from kemb.publish.costs import cost_of
from kemb.publish.tables import columns, to_csv
from kemb.results import Claim, TaskResult


def row(model: str, claim: Claim | None = None, **kemb: object) -> Row:
    results = {"t": TaskResult(Path("t.json"), model, "r", "", "t", "d", {}, dict(kemb), claim)}
    return Row(model, "r", "", claim, [0.5], {"t": 0.5}, 0.5, {}, results=results)


def test_costs_come_from_records_and_facts() -> None:
    record = {
        "family": "dense",
        "index_bytes_per_vector": 1024,
        "encoded": {"n_encoded": 500},
        "seconds": {"encode": 2},
    }
    found = cost_of(row("BAAI/bge-m3", None, **record))
    assert (found.family, found.index_bytes_per_vector, found.texts_per_second) == ("dense", 1024, 250)
    assert found.n_parameters == pytest.approx(568e6, rel=0.01)
    few = cost_of(row("nobody/x", None, family="sparse", encoded={"n_encoded": 5}, seconds={"encode": 1}))
    assert (few.family, few.texts_per_second, few.n_parameters) == ("sparse", None, None)
    assert cost_of(row("BAAI/bge-m3", Claim("a paper"))).family == "dense"


def test_columns_of_costs_stand_beside_own_rows_only() -> None:
    score = {"test": [{"hf_subset": "default", "main_score": 0.5}]}
    kemb = {"model": {"name": "a/own", "similarity": "cosine"}, "family": "dense", "index_bytes_per_vector": 4096}
    own = TaskResult(Path("/r/a__own/r/t.json"), "a/own", "r", "", "t", "d", score, kemb)
    claimed = TaskResult(Path("/r/c.parquet"), "b/two", "r", "", "t", "d", score, {}, Claim("a paper"))
    board = build_board([own, claimed])
    found = {column.title: column.values for column in columns(board, board.rows) if column.kind == "cost"}
    assert found == {"Family": ["dense", ""], "GB per 1M": ["4.10", ""]}
    lines = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert [line["index_bytes_per_vector"] for line in lines] == ["4096", ""]
    assert not [
        column for column in columns(build_board([claimed]), build_board([claimed]).rows) if column.kind == "cost"
    ]
