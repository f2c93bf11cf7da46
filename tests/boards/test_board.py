from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from kemb.boards import Board, BoardOptions, Row, build_board
from kemb.boards.benchmark import Benchmark, CellSpec, Comparable, Formula, load_benchmark
from kemb.errors import UnknownName, UsageError
from kemb.messages import say
from kemb.publishing.tables import to_csv, to_json, to_markdown, visible
from kemb.publishing.terminal import print_board
from kemb.results.claims import FOLDER
from kemb.results.files import (
    Claim,
    ScoredPart,
    TaskResult,
    read_result,
    read_results,
    write_result,
)
from kemb.types import ItemBlock, PartScore
from records import changed, record

SOURCE = Claim("a paper", "https://example.org/paper", "abcdef0123456789")
BENCHMARK = Benchmark(
    name="small",
    title="작은 시험",
    cells=[
        CellSpec(task="ta", group="x", splits=["test"]),
        CellSpec(task="tb", group="x", splits=["test"]),
        CellSpec(task="tc", group="y", splits=["test"]),
    ],
    formulas={
        "mean": Formula(title="과제 평균"),
        "groups": Formula(weights="groups"),
        "only_x": Formula(weights={"x": "1", "y": "0"}),
        "eight_ninths": Formula(weights={"x": "5/9", "y": "1/3"}, weights_sum="8/9"),
    },
)


def result(
    model: str,
    task: str,
    value: float,
    *,
    revision: str = "r1",
    variant: str = "",
    data: str = "d1",
    claim: Claim | None = None,
    **changes: Any,  # noqa: ANN401
) -> TaskResult:
    """A result without items; `changes` go into its provenance, for example
    of_task={"metric_version": 2}.
    """
    described = record(
        task={"main_metric": "main_score"},
        model={"name": model, "dtype": "float32", "max_tokens": 512, "pooling": "mean"},
    )
    described = changed(
        described, **{key.removeprefix("of_"): change for key, change in changes.items()}
    )
    scores = {"test": [{"hf_subset": "default", "main_score": value}]}
    return TaskResult(
        Path("/r/m/r/t.json"),
        model,
        revision,
        variant,
        task,
        data,
        scores,
        None if claim else described,
        claim,
    )


def results(model: str, values: str, **changes: Any) -> list[TaskResult]:  # noqa: ANN401
    """One result for each of the tasks ta, tb, tc; `-` where there is none."""
    pairs = zip(["ta", "tb", "tc", "td", "te", "tf"], values.split(), strict=False)
    return [result(model, task, float(value), **changes) for task, value in pairs if value != "-"]


FOUR = (
    results("a", "0.9 0.5 0.2")
    + results("b", "0.8 0.5 0.6")
    + results("c", "0.4 0.3 0.8")
    + results("d", "0.85 - 0.5")
)


def by_name(board: Board) -> dict[str, Row]:
    return {row.name: row for row in board.rows}


def test_scores_ranks_and_other_views_by_hand() -> None:
    board = build_board(FOUR, BENCHMARK)
    rows = by_name(board)
    assert [row.name for row in board.rows] == ["b", "a", "c", "d"]
    assert [rows[name].score for name in "bac"] == pytest.approx([1.9 / 3, 1.6 / 3, 1.5 / 3])
    assert rows["b"].groups == pytest.approx({"x": 0.65, "y": 0.6})
    views = {name: rows[name].standing.views for name in "abc"}  # type: ignore[union-attr]
    # Borda: 3 - mean rank, summed. ta: a 1, b 2, c 3; tb: a and b 1.5, c 3; tc: c 1, b 2, a 3.
    assert {name: views[name]["borda"][0] for name in "abc"} == {
        "a": 2 + 1.5 + 0,
        "b": 1 + 1.5 + 1,
        "c": 0 + 0 + 2,
    }
    assert {name: views[name]["borda"][1] for name in "abc"} == {"a": 1, "b": 1, "c": 3}
    assert views["a"]["mean_task"][0] == pytest.approx(1.6 / 3)
    assert {name: views[name]["mean_group"][0] for name in "abc"} == pytest.approx(
        {"a": 0.45, "b": 0.625, "c": 0.575}
    )
    assert {name: views[name]["mean_group"][1] for name in "abc"} == {"a": 3, "b": 1, "c": 2}
    z = np.array([[0.9, 0.8, 0.4], [0.5, 0.5, 0.3], [0.2, 0.6, 0.8]])
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    assert [views[name]["standardised"][0] for name in "abc"] == pytest.approx(z.mean(axis=0))
    # Without ta, tb (its weight goes to the other of its group), tc (to both): b stays first but
    # without tc. a: 0.5*2/3+0.2/3 = 0.4, 0.9*2/3+0.2/3 = 0.667, 0.7; b: 0.533, 0.733, 0.65; c:
    # 0.467, 0.533, 0.35
    assert {name: rows[name].standing.leave_one_out for name in "abc"} == {
        "a": (1, 3),
        "b": (1, 2),
        "c": (2, 3),
    }  # type: ignore[union-attr]
    assert rows["a"].standing.elsewhere == (1, 3)  # type: ignore[union-attr]
    spread = {"x": 2 / 3 * np.std([0.7, 0.65, 0.35]), "y": 1 / 3 * np.std([0.2, 0.6, 0.8])}
    assert board.effective_weights == pytest.approx(
        {name: s / sum(spread.values()) for name, s in spread.items()}
    )


def test_formulas_weight_groups_and_leave_out_cells_without_weight() -> None:
    def scores(formula: str) -> dict[str, float | None]:
        return {row.name: row.score for row in build_board(FOUR, BENCHMARK, formula).rows}

    assert scores("groups")["a"] == pytest.approx(0.45)
    assert scores("eight_ninths")["a"] == pytest.approx(0.7 * 5 / 9 + 0.2 / 3)
    only_x = build_board(FOUR, BENCHMARK, "only_x")
    assert [cell.title for cell in only_x.cells] == ["ta", "tb"]
    assert "sum to 8/9, not 1" in to_markdown(build_board(FOUR, BENCHMARK, "eight_ninths"))
    with pytest.raises(UnknownName, match="formula 'grups'"):
        build_board(FOUR, BENCHMARK, "grups")


def test_incomplete_rows_never_get_a_mean_and_are_compared_on_what_they_have() -> None:
    board = build_board([*FOUR, *results("e", "0.1 - -"), *results("f", "0.4 0.3 -")], BENCHMARK)
    rows = by_name(board)
    for name in "def":
        assert rows[name].score is None
        assert rows[name].standing is None
        assert rows[name].missing
    # d: ta 0.85 beats b and c, tc 0.5 beats a: 3 of 6. f: ties c on both: 1 of 6. e: none, and too
    # few cells.
    assert rows["d"].common.win_rate == pytest.approx(3 / 6)  # type: ignore[union-attr]
    assert rows["f"].common.win_rate == pytest.approx((0.5 + 0.5) / 6)  # type: ignore[union-attr]
    assert [row.name for row in board.incomplete] == ["d", "f", "e"]
    assert missing(rows["d"]) == {"tb": "no result"}
    assert "| - |" not in to_markdown(board).splitlines()[4]
    assert "wins 50% of 2" in to_markdown(board)


def test_a_board_without_complete_rows_has_no_ranks() -> None:
    board = build_board(results("a", "0.1 - -") + results("b", "0.1 0.2 -"), BENCHMARK)
    assert [row.name for row in board.rows] == ["b", "a"]
    assert board.intervals.mode == "none"
    assert all(row.common and row.common.win_rate is None for row in board.rows)
    assert "| b |" in to_markdown(board)


def test_without_a_benchmark_it_is_the_plain_mean_of_all_tasks() -> None:
    board = build_board(FOUR)
    assert [cell.title for cell in board.cells] == ["ta", "tb", "tc"]
    assert by_name(board)["b"].score == pytest.approx(1.9 / 3)


def test_without_a_benchmark_what_was_run_of_a_task_counts() -> None:
    def sts17(model: str, values: Mapping[str, float]) -> TaskResult:
        entries = [{"hf_subset": subset, "main_score": value} for subset, value in values.items()]
        return dataclasses.replace(result(model, "STS17", 0.0), scores={"test": entries})

    english = [sts17("a", {"en-en": 0.8}), sts17("b", {"en-en": 0.7})]
    assert {name: row.score for name, row in by_name(build_board(english)).items()} == {
        "a": 0.8,
        "b": 0.7,
    }
    both = [sts17("a", {"en-en": 0.8}), sts17("b", {"en-en": 0.7, "ko-ko": 0.5})]
    assert {name: row.score for name, row in by_name(build_board(both)).items()} == {
        "a": None,
        "b": 0.5,
    }


def test_measured_and_claimed_numbers_never_share_a_row() -> None:
    claimed = results("a", "0.9 0.5 0.2", claim=SOURCE)
    board = build_board(claimed[:1] + FOUR[1:3] + results("b", "0.8 0.5 0.6"), BENCHMARK)
    kinds = [(row.name, row.claim is not None, row.score is None) for row in board.rows]
    assert kinds == [("b", False, False), ("a", False, True), ("a", True, True)]
    both = build_board(
        FOUR[:3] + claimed + results("a", "0.9 0.5 0.3", claim=Claim("another paper")), BENCHMARK
    )
    assert sorted(row.claim.source if row.claim else "" for row in both.complete) == [
        "",
        "a paper",
        "another paper",
    ]
    text = to_markdown(both)
    assert (
        "†1 claimed by a paper (https://example.org/paper, commit abcdef012345), not measured here"
        in text
    )
    assert "| a †1 |" in text
    assert "| a |" in text


def test_files_that_kemb_did_not_make_are_claimed(tmp_path: Path) -> None:
    path = tmp_path / "results" / "org__m" / "r" / "ta.json"
    path.parent.mkdir(parents=True)
    scores = {"test": [{"hf_subset": "default", "languages": [], "main_score": 0.5}]}
    path.write_text(json.dumps({"task_name": "ta", "dataset_revision": "d1", "scores": scores}))
    (row,) = build_board([read_result(path)]).rows
    assert row.claim is not None
    assert str(tmp_path / "results") in row.claim.source


def test_variants_and_revisions_are_rows_of_their_own() -> None:
    more = results("a", "0.9 0.6 0.2", variant="dtype_float16") + results(
        "a", "0.1 0.1 0.1", revision="r2-is-long-00"
    )
    board = build_board(FOUR[:3] + more, BENCHMARK)
    assert [(row.name, row.revision) for row in board.complete] == [
        ("a [dtype_float16]", "r1"),
        ("a", "r1"),
        ("a", "r2-is-long-00"),
    ]
    text = to_markdown(board)
    assert "| a@r1 |" in text
    assert "| a@r2-is-long-0 |" in text
    assert "| a \\[dtype\\_float16\\] |" in text


# Comparability: docs/architecture.md, "Comparable or not"


def refused(board: Board) -> dict[str, dict[str, str]]:
    return {row.name: missing(row) for row in board.rows if row.missing}


def missing(row: Row) -> dict[str, str]:
    """Why cells have no value, in English."""
    return {title: say(why, "en") for title, why in row.missing.items()}


def notes(board: Board) -> list[str]:
    """What is said of the data, in English."""
    return [say(text, "en") for text in board.notes]


def test_what_is_said_of_data_is_said_in_korean_too() -> None:
    other = [result("a", "ta", 0.9, data="d2"), *results("a", "- 0.5 -")]
    board = build_board(other + FOUR[3:9], BENCHMARK)
    assert "ta: 함께 순위를 매기지 않은 행: a. 데이터 리비전 d2, 순위는 d1 기준." in [
        say(text, "ko") for text in board.notes
    ]
    assert [say(why, "ko") for why in by_name(board)["a"].missing.values()] == [
        "데이터 리비전 d2, 순위는 d1 기준",
        "결과 없음",
    ]


def test_another_data_revision_is_refused_with_the_reason_unless_mixing_is_asked_for() -> None:
    other = [result("a", "ta", 0.9, data="d2"), *results("a", "- 0.5 0.2")]
    board = build_board(other + FOUR[3:9], BENCHMARK)
    assert refused(board) == {"a": {"ta": "data revision d2; ranked is d1"}}
    assert by_name(board)["a"].score is None
    assert "ta: not ranked with the others: a; data revision d2; ranked is d1." in notes(board)
    mixed = build_board(
        other + FOUR[3:9], BENCHMARK, options=BoardOptions(allow_mixed_revisions=True)
    )
    assert refused(mixed) == {}
    assert (
        "ta: results on different data revisions are ranked together: d1 (2 rows), d2 (1 rows)."
        in notes(mixed)
    )
    lax = BENCHMARK.model_copy(update={"comparable": Comparable(dataset_revision=False)})
    assert refused(build_board(other + FOUR[3:9], lax)) == {}


def test_the_largest_group_is_the_standard_among_possible_rows_and_the_newest_among_equals() -> (
    None
):
    incomplete = [result(name, "ta", 0.1, data="d2") for name in "pqr"]
    board = build_board(FOUR[:6] + incomplete, BENCHMARK)
    assert set(refused(board)) == set("pqr")
    assert "3 rows" not in notes(board)[0]
    assert (
        notes(board)[0]
        == "ta: not ranked with the others: p, q, r; data revision d2; ranked is d1."
    )
    newer = results("n", "0.1 0.1 0.1", data="d0", timestamp=200)
    board = build_board(FOUR[:3] + newer, BENCHMARK)
    assert set(refused(board)) == {"a"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data_sha256": {"test/default": "s2"}}, "other data (their hash differs)"),
        ({"metric_version": 2}, "metric version 2; ranked is 1"),
        ({"dedupe_pairs": True}, "repeated pairs dropped, not so by the others"),
    ],
)
def test_other_data_metrics_and_text_preparation_are_refused(
    change: dict[str, Any], reason: str
) -> None:
    odd = [result("a", "ta", 0.9, of_task=change), *results("a", "- 0.5 0.2")]
    assert refused(build_board(odd + FOUR[3:9], BENCHMARK)) == {"a": {"ta": reason}}
    lax = BENCHMARK.model_copy(update={"comparable": Comparable(data=False)})
    assert refused(build_board(odd + FOUR[3:9], lax)) == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"of_model": {"max_tokens": 128}}, "max tokens 128; elsewhere in the row 512"),
        ({"of_model": {"dtype": "float16"}}, "dtype float16; elsewhere in the row float32"),
        (
            {"prompts": {"text": {"prompt": "a: ", "route": "", "source": "file"}}},
            "prompts of a file are not declared, and the row is no variant",
        ),
    ],
)
def test_an_undeclared_profile_is_refused(changes: dict[str, Any], reason: str) -> None:
    odd = [result("a", "ta", 0.9, **changes), *results("a", "- 0.5 0.2")]
    assert refused(build_board(odd + FOUR[3:9], BENCHMARK)) == {"a": {"ta": reason}}


def test_max_tokens_must_be_those_that_a_known_model_declares_but_in_a_variant() -> None:
    undeclared = results("BAAI/bge-m3", "0.9 0.5 0.2")
    assert set(refused(build_board(undeclared, BENCHMARK))["BAAI/bge-m3"].values()) == {
        "max tokens 512 are not the declared 8192, and the row is no variant"
    }
    assert (
        refused(
            build_board(results("BAAI/bge-m3", "0.9 0.5 0.2", variant="max_tokens_512"), BENCHMARK)
        )
        == {}
    )


def test_sources_that_do_not_name_their_data_are_ranked_and_said_to_be() -> None:
    board = build_board(
        [*FOUR[:9], *results("p", "0.9 0.9 0.9", data="unknown", claim=SOURCE)], BENCHMARK
    )
    assert refused(board) == {}
    assert "Ranked without a stated data revision: p." in notes(board)


def test_missing_parts_are_named() -> None:
    benchmark = Benchmark(name="b", title="b", cells=[CellSpec(task="ta", splits=["test", "dev"])])
    (row,) = build_board(FOUR[:1], benchmark).rows
    assert missing(row) == {"ta": "without dev/default"}


def test_flaws_of_tasks_are_noted() -> None:
    flaws = {"train_is_evaluated": ["test/default"], "unpinned": True}
    assert notes(build_board([result("a", "ta", 0.5, of_task=flaws)])) == [
        "ta: its few-shot examples stand among the evaluated rows (test/default).",
        "ta: its data revision is not pinned.",
    ]


def test_mixed_boards_join_the_claimed_revisions_of_a_model() -> None:
    parts = results("a", "0.9 - 0.2", claim=SOURCE) + results(
        "a", "- 0.5 -", revision="external", claim=SOURCE
    )
    assert build_board(parts, BENCHMARK).complete == []
    (row,) = build_board(
        parts, BENCHMARK, options=BoardOptions(allow_mixed_revisions=True)
    ).complete
    assert (row.revision, row.score) == ("several", pytest.approx(1.6 / 3))


def test_dense_and_sparse_rows_are_told_apart() -> None:
    formulas = {"dense": Formula(rows="dense"), "sparse": Formula(rows="sparse")}
    benchmark = BENCHMARK.model_copy(update={"formulas": formulas})
    three = [
        r
        for name in ("bm25:kiwi", "telepix/PIXIE-Splade-v1.5", "toy")
        for r in results(name, "0.1 0.2 0.3")
    ]
    assert {row.name for row in build_board(three, benchmark, "sparse").rows} == {
        "bm25:kiwi",
        "telepix/PIXIE-Splade-v1.5",
    }
    measured = results("local/my-model", "0.1 0.2 0.3", family="sparse") + results(
        "a/sparse", "0.1 0.2 0.3", family="dense"
    )
    assert {row.name for row in build_board(measured, benchmark, "sparse").rows} == {
        "local/my-model"
    }
    assert {row.name for row in build_board(three, benchmark, "dense").rows} == {"toy"}


# Intervals


def with_items(root: Path, model: str, task: str, values: np.ndarray) -> TaskResult:
    """A result whose score is the mean of its items, on disk."""
    described = changed(
        result(model, task, 0.0).kemb, task={"type": "retrieval", "main_metric": "ndcg@10"}
    )
    ids = [f"q{n}" for n in range(len(values))]
    score = PartScore({"ndcg@10": float(values.mean())}, {}, [ItemBlock("ndcg@10", ids, values)])
    folder = root / f"org__{model}" / "r1"
    return read_result(
        write_result(
            folder, task, "d1", [ScoredPart("test", "default", [], score, "ndcg@10")], described
        )
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[TaskResult]:
    rng = np.random.default_rng(1)
    root = tmp_path_factory.mktemp("results")
    found = []
    for task, n in (("ta", 400), ("tb", 100), ("tc", 300)):
        hard = rng.normal(0.5, 0.2, n)
        for model, gain in (("weak", -0.2), ("good", 0.0), ("same", 0.0)):
            found.append(with_items(root, model, task, hard + gain + rng.normal(0, 0.05, n)))
    return found


def test_item_intervals_are_those_of_the_weighted_mean_and_ranks_are_paired(
    measured: list[TaskResult],
) -> None:
    board = build_board(measured, BENCHMARK, "groups")
    assert board.intervals.mode == "items"
    rows = by_name(board)
    errors = []
    for task, weight in (("ta", 1 / 4), ("tb", 1 / 4), ("tc", 1 / 2)):
        found = next(r for r in measured if (r.model, r.task) == ("weak", task))
        values = pq.read_table(found.path.with_name(f"{task}.items.parquet"))["value"].to_numpy()
        errors.append(weight * values.std() / np.sqrt(len(values)))
    half = 1.96 * np.sqrt(np.sum(np.square(errors)))
    standing = rows["weak"].standing
    assert standing is not None
    assert standing.low is not None
    assert standing.high is not None
    assert (standing.high - standing.low) / 2 == pytest.approx(half, rel=0.1)
    assert standing.low < (rows["weak"].score or 0) < standing.high
    assert (standing.rank_low, standing.rank_high, standing.p_top3) == (3, 3, 1.0)
    # Unpaired intervals of all three would overlap; the same items are resampled for all, so the
    # weak one is apart.
    assert {(rows[n].standing.rank_low, rows[n].standing.rank_high) for n in ("good", "same")} == {
        (1, 2)
    }  # type: ignore[union-attr]
    assert rows["good"].standing.p_first + rows["same"].standing.p_first == pytest.approx(1)  # type: ignore[union-attr, operator]
    assert len(standing.cell_intervals) == 3
    assert list(standing.group_intervals) == ["x", "y"]


def test_one_claimed_row_or_lost_items_make_it_tasks_and_the_board_says_so(
    measured: list[TaskResult], tmp_path: Path
) -> None:
    claimed = results("p", "0.9 0.5 0.2", claim=SOURCE)
    board = build_board(measured + claimed, BENCHMARK)
    assert board.intervals.mode == "none"
    assert "p are claimed, without items" in board.intervals.reason
    assert "Fewer than 5 tasks cannot be resampled" in board.intervals.reason
    lost = [
        result("lost", task, 0.5, of_task={"type": "retrieval", "main_metric": "ndcg@10"})
        for task in ("ta", "tb", "tc")
    ]
    assert "missing or were changed" in build_board(measured + lost, BENCHMARK).intervals.reason
    with pytest.raises(
        UsageError,
        match="--intervals items is not possible here: Items cannot be resampled: p are claimed",
    ):
        build_board(measured + claimed, BENCHMARK, options=BoardOptions(intervals="items"))
    quick = build_board(measured, BENCHMARK, options=BoardOptions(max_item_values=2399))
    assert quick.intervals.mode == "none"
    assert (
        build_board(measured, BENCHMARK, options=BoardOptions(max_item_values=2400)).intervals.mode
        == "items"
    )
    forged = [
        r
        if r.task != "ta"
        else TaskResult(
            r.path,
            r.model,
            r.revision,
            "",
            "ta",
            "d1",
            {"test": [{"hf_subset": "default", "main_score": 0.99}]},
            r.kemb,
        )
        for r in measured
    ]
    assert (
        "those of ta do not give its recorded scores"
        in build_board(forged, BENCHMARK).intervals.reason
    )


SIX = Benchmark(
    name="six",
    title="six",
    cells=[
        CellSpec(task=t, group=g, splits=["test"])
        for t, g in zip(["ta", "tb", "tc", "td", "te", "tf"], "xxxyyz", strict=True)
    ],
)


def test_tasks_are_resampled_inside_their_groups_where_there_are_no_items() -> None:
    claimed = results("p", "0.9 0.8 0.7 0.2 0.2 0.5", claim=SOURCE) + results(
        "q", "0.8 0.7 0.6 0.1 0.1 0.4", claim=SOURCE
    )
    board = build_board(claimed, SIX)
    assert board.intervals.mode == "tasks"
    p, q = by_name(board)["p"].standing, by_name(board)["q"].standing
    assert p is not None
    assert q is not None
    # q is 0.1 below p on every task: certain, though the intervals of the scores overlap.
    assert (p.rank_high, q.rank_low) == (1, 2)
    # Only group x varies: between 3 * 0.9 and 3 * 0.7.
    assert (p.low, p.high) == (
        pytest.approx((3 * 0.7 + 0.9) / 6, abs=0.01),
        pytest.approx((3 * 0.9 + 0.9) / 6, abs=0.01),
    )
    none = build_board(claimed, SIX, options=BoardOptions(intervals="none"))
    assert none.intervals.mode == "none"
    assert [row.standing.rank_low for row in none.complete if row.standing] == [1, 2]
    assert "No intervals." in to_markdown(none)
    assert "±" not in to_markdown(none).split("No intervals")[0]


def test_equal_scores_share_a_rank() -> None:
    board = build_board(
        results("a", "0.5 0.5 0.5") + results("b", "0.4 0.5 0.6") + results("c", "0.1 0.1 0.1"),
        BENCHMARK,
    )
    assert [(row.name, row.standing.rank) for row in board.complete if row.standing] == [
        ("a", 1),
        ("b", 1),
        ("c", 3),
    ]


# Formats


def test_output_does_not_depend_on_the_order_of_results(measured: list[TaskResult]) -> None:
    everything = [*measured, *FOUR, *results("a", "0.9 0.5 0.2", claim=SOURCE)]
    first = build_board(everything, BENCHMARK)
    random.Random(3).shuffle(everything)
    second = build_board(everything, BENCHMARK)
    assert [write(first) for write in (to_json, to_csv, to_markdown)] == [
        write(second) for write in (to_json, to_csv, to_markdown)
    ]


def test_names_from_outside_are_escaped() -> None:
    evil = "=cmd|'a' <b>*x*\x1b[31m\n"
    board = build_board(results(evil, "0.9 0.5 0.2") + results("ok", "0.9 0.5 0.1"), BENCHMARK)
    line = next(line for line in to_markdown(board).splitlines() if "cmd" in line)
    assert "=cmd\\|'a' \\<b\\>\\*x\\*\ufffd\\[31m\ufffd" in line
    (row,) = (row for row in csv.DictReader(io.StringIO(to_csv(board))) if "cmd" in row["model"])
    assert row["model"].startswith("'=cmd")
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    print_board(board, console)
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_csv_and_json_hold_everything(measured: list[TaskResult]) -> None:
    ranked = {"type": "retrieval", "main_metric": "ndcg@10"}
    board = build_board([*measured, *results("d", "0.85 - 0.5", of_task=ranked)], BENCHMARK)
    lines = list(csv.DictReader(io.StringIO(to_csv(board))))
    record = json.loads(to_json(board))
    assert (
        [line["model"] for line in lines]
        == [row["model"] for row in record["rows"]]
        == [r.model for r in board.rows]
    )
    top, rows = lines[0], by_name(board)
    row = rows[top["model"]]
    assert row.standing is not None
    assert float(top["score"]) == pytest.approx(100 * (row.score or 0), abs=1e-4)
    assert float(top["low"]) == pytest.approx(100 * (row.standing.low or 0), abs=1e-4)
    assert (top["rank_low"], top["rank_high"]) == (
        str(row.standing.rank_low),
        str(row.standing.rank_high),
    )
    assert float(top["ta"]) == pytest.approx(100 * (row.cells[0] or 0), abs=1e-4)
    assert record["rows"][0]["cells"]["ta"] == row.cells[0]
    assert lines[-1]["score"] == ""
    assert record["rows"][-1]["missing"] == {"tb": "no result"}
    assert record["rows"][-1]["common"]["n_cells"] == 2
    assert sum(group["weight"] for group in record["groups"].values()) == pytest.approx(1)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_the_terminal_stays_readable(width: int) -> None:
    cells = [
        CellSpec(task=f"t{n}", name=f"a-long-title-{n}", group=f"group_{n % 4}", splits=["test"])
        for n in range(20)
    ]
    benchmark = Benchmark(name="wide", title="넓은 표", cells=cells)
    found = [
        result(f"organisation/model-{m}", f"t{n}", 0.5 + m / 10 + n / 100)
        for m in range(3)
        for n in range(20)
    ]
    console = Console(file=io.StringIO(), width=width)
    print_board(build_board(found, benchmark), console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    assert "79.50" in text
    assert ("group_3 ┃" in text) == (width >= 100)
    assert "columns do not fit" in text
    print_board(
        build_board(found, benchmark), wide := Console(file=io.StringIO(), width=500), wide=True
    )
    assert "a-long-title" in wide.file.getvalue()  # type: ignore[attr-defined]


def test_of_many_claimed_rows_below_the_line_the_first_are_shown_and_measured_ones_always() -> None:
    many = [result(f"m{n}", "ta", n / 100, claim=SOURCE) for n in range(50)]
    board = build_board([*FOUR, *many, result("mine", "ta", 0.0)], BENCHMARK)
    rows, n_hidden = visible(board)
    assert n_hidden == 30
    assert "mine" in {row.name for row in rows}
    assert "30 more rows are not shown (--all)" in to_markdown(board)
    assert len(visible(board, every=True)[0]) == len(board.rows)


# Real data


@pytest.fixture(scope="module")
def public(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[TaskResult]:
    """The public result files of 60 models."""
    from kemb.adapters.mteb_results import read_results_folder, source_of
    from kemb.results.claims import read_claims, write_claims

    folder = shared_data / "mteb-results-ko"
    path = tmp_path_factory.mktemp("claims") / "all.parquet"
    rows = [row for row in read_results_folder(folder).rows if row.metric == "main_score"]
    write_claims(path, rows, source_of(folder))
    return read_claims(path)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "theirs", "n_complete"),
    [("mteb-kor-v1", "MTEB(kor, v1)", 54), ("mteb-kor-v2", "MTEB(kor, v2)", 23)],
)
def test_mtebs_own_tables_come_out(
    name: str, theirs: str, n_complete: int, public: list[TaskResult], shared_data: Path
) -> None:
    """Mean (Task), Mean (TaskType) and Rank (Borda) of all complete models, with mteb as oracle."""
    mteb = pytest.importorskip("mteb")
    from kemb.adapters.mteb_results import main_revisions

    loaded = mteb.ResultCache(shared_data / "mteb-results-ko").load_results(
        tasks=mteb.get_benchmark(theirs),
        require_model_meta=False,
        include_remote=False,
        validate_and_filter=True,
    )
    joined = loaded.join_revisions()
    table = joined.get_benchmark_result().dropna(subset=["Mean (Task)"])
    # mteb's Borda counts incomplete models too, and gives them nothing for what they lack; so only
    # the complete ones.
    table = joined.select_models(table["Model"].tolist()).get_benchmark_result().set_index("Model")
    options = BoardOptions("none", allow_mixed_revisions=True, main_revisions=main_revisions())
    boards = {
        formula: build_board(public, load_benchmark(name), formula, options)
        for formula in ("task", "type")
    }
    assert len(boards["task"].rows) > len(table)
    complete = {row.name: row for row in boards["task"].complete}
    assert set(complete) == set(table.index)
    assert len(complete) == n_complete
    by_type = {row.name: row.score for row in boards["type"].complete}
    for model, expected in table.iterrows():
        assert complete[model].score == pytest.approx(expected["Mean (Task)"], abs=1e-12)
        assert by_type[model] == pytest.approx(expected["Mean (TaskType)"], abs=1e-12)
        standing = complete[model].standing
        assert standing is not None
        assert standing.views["borda"][1] == expected["Rank (Borda)"]
        assert standing.views["mean_group"][0] == pytest.approx(by_type[model], abs=1e-12)


@pytest.mark.shared
def test_most_adjacent_ranks_of_the_public_board_cannot_be_told_apart(
    public: list[TaskResult],
) -> None:
    board = build_board(
        public, load_benchmark("mteb-kor-v2"), options=BoardOptions(allow_mixed_revisions=True)
    )
    assert board.intervals.mode == "tasks"
    spans = [
        (row.standing.rank_low, row.standing.rank_high) for row in board.complete if row.standing
    ]
    apart = sum(after[0] > before[1] for before, after in pairwise(spans))
    assert apart <= 3
    assert all(low <= rank <= high for rank, (low, high) in enumerate(spans, 1))
    assert sum(board.effective_weights.values()) == pytest.approx(1)
    # Ranked as published, the board says that its columns mix data revisions; otherwise it refuses
    # them.
    assert any(
        "more tasks: results on different data revisions are ranked together" in note
        for note in notes(board)
    )
    strict = build_board(
        public, load_benchmark("mteb-kor-v2").model_copy(update={"comparable": Comparable()})
    )
    assert len(strict.complete) < 23
    assert "ranked is" in " ".join(notes(strict))


@pytest.mark.shared
def test_a_measured_cell_is_what_one_computes_by_hand_from_the_file(
    shared_data: Path, tmp_path: Path
) -> None:
    from kemb.encoding.store import Store
    from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
    from kemb.models.resolve import resolve

    tasks = [load_task(name, shared_data / "packs") for name in ("KorSTS", "AutoRAGRetrieval")]
    evaluate(tasks, [resolve("toy")], RunOptions(tmp_path / "results", Store(tmp_path / "store")))
    (path,) = tmp_path.rglob("KorSTS.json")
    (korsts,) = json.loads(path.read_text())["scores"]["test"]
    (autorag,) = json.loads(path.with_name("AutoRAGRetrieval.json").read_text())["scores"]["test"]
    family = [
        "pearson",
        "spearman",
        "cosine_pearson",
        "cosine_spearman",
        "manhattan_pearson",
        "manhattan_spearman",
        "euclidean_pearson",
        "euclidean_spearman",
    ]
    board = build_board(read_results(tmp_path / "results"), load_benchmark("ko-leaderboard-v1"))
    (row,) = board.rows
    assert row.claim is None
    cells = {cell.task: value for cell, value in zip(board.cells, row.cells, strict=True)}
    assert cells["KorSTS"] == pytest.approx(sum(korsts[name] for name in family) / 8, abs=1e-12)
    assert cells["AutoRAGRetrieval"] == pytest.approx(
        (autorag["ndcg_at_5"] + autorag["ndcg_at_10"]) / 2, abs=1e-12
    )


# Command line


def kemb(*arguments: str | Path) -> Any:  # noqa: ANN401
    from kemb.cli import cli

    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_benchmarks_show_the_public_field_without_any_results(tmp_path: Path) -> None:
    lines = list(
        csv.DictReader(
            io.StringIO(
                kemb(
                    "board", "mteb-kor-v2", "--mixed", "--results", tmp_path, "--format", "csv"
                ).stdout
            )
        )
    )
    assert len(lines) > 200
    assert {line["kind"] for line in lines} == {"claimed"}
    assert lines[0]["model"] == "Qwen/Qwen3-Embedding-8B"
    assert lines[0]["score"] == "77.7335"
    nothing = kemb("board", "mteb-kor-v2", "--only", "measured", "--results", tmp_path)
    assert isinstance(nothing.exception, UsageError)
    assert "no results of mteb-kor-v2" in str(nothing.exception)


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    found = kemb("board", "mteb-kor-v3", "--results", tmp_path)
    assert isinstance(found.exception, UnknownName)
    assert "mteb-kor-v2" in str(found.exception)
    assert "formula 'typ'. Did you mean type" in str(
        kemb("board", "mteb-kor-v2", "--formula", "typ").exception
    )


def test_without_a_benchmark_published_scores_are_shown_on_request_only(tmp_path: Path) -> None:
    found = kemb("board", "--results", tmp_path)
    assert "kemb board mteb-kor-v2" in str(found.exception)
    shown = json.loads(
        kemb("board", "KorSTS", "--claimed", "--results", tmp_path, "--format", "json").stdout
    )
    assert len(shown["rows"]) > 100
    assert [cell["task"] for cell in shown["cells"]] == ["KorSTS"]


def test_numbers_that_several_sources_repeat_are_one_row() -> None:
    """The copy without an address goes; other numbers, fewer digits, other models and measured rows
    stay.
    """
    claimed = results("a", "0.9 0.5 0.2", claim=SOURCE)
    copied = results("a", "0.9 0.5 -", claim=Claim("a blog"))
    board = build_board(results("a", "0.9 0.5 0.2") + copied + claimed, BENCHMARK)
    assert [
        (row.claim.source if row.claim else "", row.score is not None) for row in board.rows
    ] == [
        ("", True),
        ("a paper", True),
    ]
    assert "a: the numbers of a blog are those of a paper; shown once." in notes(board)
    near = results("a", "0.9 0.5 0.21", claim=Claim("a blog")) + results(
        "b", "0.9 0.5 0.2", claim=Claim("a blog")
    )
    assert len(build_board(claimed + near, BENCHMARK).rows) == 3
    for source, revision, n_rows in (
        ("a blog", "r2", 2),
        ("a blog", "unstated", 1),
        ("a paper", "r2", 2),
    ):
        other = results("a", "0.9 0.5 0.2", claim=Claim(source, SOURCE.url), revision=revision)
        assert len(build_board(claimed + other, BENCHMARK).rows) == n_rows
    same_address = results("a", "0.9 0.5 0.2", claim=Claim("z", "https://example.org/z"))
    (row,) = build_board(claimed + same_address, BENCHMARK).rows
    assert row.claim is not None


def test_a_board_without_complete_rows_names_the_formula_that_has_some() -> None:
    some = BENCHMARK.model_copy(
        update={"formulas": {"all": Formula(), "two": Formula(without=["tc"])}}
    )
    given = results("a", "0.9 0.5 -") + results("b", "0.8 0.6 -")
    assert "No row has every task; 2 rows have all 2 of another formula: --formula two." in notes(
        build_board(given, some)
    )
    board = build_board(given, some, "two")
    assert [(row.model, row.score) for row in board.rows] == [("a", 0.7), ("b", 0.7)]
    assert [cell.task for cell in board.cells] == ["ta", "tb"]
    assert not [
        note
        for note in notes(build_board(given + results("c", "1 1 1"), some))
        if "formula" in note
    ]


def test_published_rows_without_a_value_have_no_say_and_no_note() -> None:
    """Three sources hold the task in another subset, at another revision, as STS17 ko-ko beside
    en-en.
    """
    one = BENCHMARK.model_copy(
        update={"cells": [CellSpec(task="ta", splits=["test"], subsets=["default"])]}
    )
    other = [
        replace(found, scores={"test": [{"hf_subset": "ko", "main_score": 0.1}]})
        for name in "xyz"
        for found in results(name, "0.1", data="old", claim=SOURCE)
    ]
    one = one.model_copy(update={"formulas": {"mean": Formula()}})
    board = build_board([*other, *results("a", "0.9", data="new", claim=SOURCE)], one)
    assert [(row.model, row.score) for row in board.rows] == [("a", 0.9)]
    assert notes(board) == []


def test_other_data_in_many_tasks_is_one_note() -> None:
    names = ["ta", "tb", "tc", "td", "te", "tf"]
    wide = BENCHMARK.model_copy(
        update={
            "cells": [CellSpec(task=name, splits=["test"]) for name in names],
            "formulas": {"mean": Formula()},
        }
    )
    values = "0.9 0.5 0.2 0.3 0.4 0.5"
    given = [*results("a", values, claim=SOURCE), *results("b", values, claim=SOURCE)]
    board = build_board(
        given + results("c", "0.8 0.4 0.1 0.2 0.3 0.6", data="d2", claim=SOURCE), wide
    )
    assert notes(board) == [
        "ta, tb, tc and 3 more tasks: not ranked with the others: c; other data revisions."
    ]
    board = build_board(given + results("c", "0.8 0.4 0.1", data="d2", claim=SOURCE), wide)
    assert notes(board)[0] == "ta: not ranked with the others: c; data revision d2; ranked is d1."
    assert len(notes(board)) == 3


def test_of_two_complete_rows_on_other_data_one_stays_whole() -> None:
    """Task by task the votes are equal; revisions sort differently in each, and other rows vote in
    some.
    """
    shipped = Claim("a paper", "https://example.org/paper", retrieved="2025-01-01")

    def of(model: str, revisions: str, claim: Claim | None) -> list[TaskResult]:
        pairs = zip(("ta", "tb", "tc"), revisions, strict=True)
        return [result(model, task, 0.5, data=data, claim=claim) for task, data in pairs]

    others = [result(name, "tb", 0.1, data="z", claim=shipped) for name in "xyz"]
    own = of("mine", "baz", Claim("results"))
    with_kemb = [
        replace(found, path=FOLDER / "paper.parquet") for found in of("old", "azm", shipped)
    ]
    for given in ([*with_kemb, *own, *others], [*own, *with_kemb, *others]):
        board = build_board(given, BENCHMARK)
        assert [(row.model, row.score is not None) for row in board.rows] == [("mine", True)]
    board = build_board([*of("old", "azm", None), *own, *others], BENCHMARK)
    assert [row.model for row in board.complete] == ["old"]
