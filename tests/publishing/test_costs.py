"""Costs of a row are those of its records."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from kemb.boards import Row, build_board
from kemb.messages import say
from kemb.publishing.costs import Cost, cost_of
from kemb.publishing.notes import footer
from kemb.publishing.tables import columns, to_csv
from kemb.results.files import Claim, TaskResult
from kemb.results.record import Record
from records import record


def row(model: str, claim: Claim | None = None, **kemb: object) -> Row:
    results = {"t": TaskResult(Path("t.json"), model, "r", "", "t", "d", {}, record(**kemb), claim)}
    return Row(model, "r", "", claim, [0.5], {"t": 0.5}, 0.5, {}, results=results)


def test_costs_come_from_records_and_facts() -> None:
    found = cost_of(
        row(
            "BAAI/bge-m3",
            None,
            family="dense",
            index_bytes_per_document=1024,
            encoded={"n_encoded": 500},
            seconds={"encode": 2},
        )
    )
    assert (found.family, found.index_bytes_per_document, found.texts_per_second) == (
        "dense",
        1024,
        250,
    )
    assert found.n_parameters == pytest.approx(568e6, rel=0.01)
    few = cost_of(
        row("nobody/x", None, family="sparse", encoded={"n_encoded": 5}, seconds={"encode": 1})
    )
    assert (few.family, few.texts_per_second, few.n_parameters) == ("sparse", None, None)
    assert cost_of(row("BAAI/bge-m3", Claim("a paper"))).family == "dense"


def test_each_command_counts_once_and_what_is_not_known_stays_empty() -> None:
    def command(started: str, **changes: object) -> Record:
        own = {"n_encoded": 500, "n_tokens": 4000}
        api = {
            "usd": 0.5,
            "usd_per_million_tokens": 2.0,
            "price_date": "2026-07-03",
            "n_tokens_guessed": 0,
        }
        api |= changes.pop("api", {})
        return record(
            **{"started": started, "encoded": own, "seconds": {"encode": 2}, "api": api} | changes
        )

    def of(*records: Record) -> Cost:
        found = [
            TaskResult(Path("t.json"), "a/api", "r", "", str(n), "d", {}, own)
            for n, own in enumerate(records)
        ]
        results = {result.task: result for result in found}
        return cost_of(Row("a/api", "r", "", None, [0.5], {"t": 0.5}, 0.5, {}, results=results))

    one = of(command("1"), command("1"))
    assert (one.usd, one.encode_seconds, one.tokens_per_second) == (0.5, 2, 2000)
    assert one.price == "$2 per million tokens (2026-07-03)"
    two = of(command("1"), command("2"))
    assert (two.usd, two.encode_seconds) == (1.0, 4)
    unknown = command("2", api={"usd": None, "usd_per_million_tokens": None, "n_tokens_guessed": 7})
    assert (of(unknown).usd, of(unknown).price, of(unknown).tokens_per_second) == (None, "", None)
    assert of(command("1"), unknown).usd is None
    stored = command("1", encoded={"n_encoded": 0, "n_tokens": 0}, seconds={"encode": 0})
    assert (of(stored).from_store, of(stored).texts_per_second, of(stored).encode_seconds) == (
        True,
        None,
        None,
    )
    assert of(stored).usd is None
    assert not one.from_store
    pairs = [command("1", family="cross-encoder"), command("1", family="cross-encoder")]
    assert of(*pairs).encode_seconds == 4


def test_a_score_on_texts_that_were_cut_is_marked() -> None:
    def result(n_truncated: int) -> TaskResult:
        lengths = {"test/default": {
            "columns": {
                "queries": {"n_texts": 10, "n_truncated": 0, "longest": 9},
                "documents": {"n_texts": 100, "n_truncated": n_truncated, "longest": 900},
            },
            "korean": {"n_texts": 1, "n_chars": 100, "n_tokens": 60},
        }}  # fmt: skip
        kemb = record(model={"name": "a/own"}, lengths=lengths, family="dense")
        score = {"test": [{"hf_subset": "default", "main_score": 0.5}]}
        return TaskResult(Path("/r/a__own/r/t.json"), "a/own", "r", "", "t", "d", score, kemb)

    for n_truncated, printed, mark in ((5, "5%", "50.00"), (6, "6%", "50.00 ✂")):
        board = build_board([result(n_truncated)])
        found = {column.title: column.values for column in columns(board, board.rows, "en")}
        assert (found["t"], found["Truncated"], found["Tokens per 1k Korean"]) == (
            [mark],
            [printed],
            ["600"],
        )
        assert any(say(note, "en").startswith("✂") for note in footer(board, {})) is (
            n_truncated == 6
        )


def test_columns_of_costs_stand_beside_own_rows_only() -> None:
    score = {"test": [{"hf_subset": "default", "main_score": 0.5}]}
    kemb = record(model={"name": "a/own"}, family="dense", index_bytes_per_document=4096)
    own = TaskResult(Path("/r/a__own/r/t.json"), "a/own", "r", "", "t", "d", score, kemb)
    claimed = TaskResult(
        Path("/r/c.parquet"), "b/two", "r", "", "t", "d", score, None, Claim("a paper")
    )
    board = build_board([own, claimed])
    found = {
        column.title: column.values
        for column in columns(board, board.rows, "en")
        if column.kind == "cost"
    }
    assert found == {"Family": ["dense", ""], "GB per 1M": ["4.10", ""]}
    lines = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert [line["index_bytes_per_document"] for line in lines] == ["4096.0", ""]
    assert not [
        column
        for column in columns(build_board([claimed]), build_board([claimed]).rows, "en")
        if column.kind == "cost"
    ]
