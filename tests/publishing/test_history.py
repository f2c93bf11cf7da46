from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from kemb.boards import BoardOptions, build_board
from kemb.boards.benchmark import Benchmark, CellSpec, Formula, load_benchmark
from kemb.errors import ResultError, UsageError
from kemb.messages import LANGS
from kemb.messages.notes import table
from kemb.publishing.history.changes import (
    Cause,
    CellChange,
    Change,
    RanksMoved,
    RowRevised,
    changes,
    sentence,
)
from kemb.publishing.history.feed import ATOM, XHTML, Entry, atom, entries
from kemb.publishing.history.snapshots import Snapshot, append, read_snapshots, snapshot_of
from kemb.publishing.site.build import SiteOptions, publish_site
from kemb.results.claims import shipped
from kemb.results.files import Claim, ScoredPart, TaskResult, result_dir, write_result
from kemb.types import PartScore
from records import changed as with_changes
from records import record

TASKS = ("ta", "tb")
BENCHMARK = Benchmark(
    name="small", title="작은 시험", cells=[CellSpec(task=task, group=task) for task in TASKS]
)
PAPER = Claim("a paper", "https://example.org/paper", "c1")
HOSTILE = "a/<script>&\"' ](javascript:x) \u202e\x00 " + "가" * 200


def result(
    model: str,
    task: str,
    value: float,
    *,
    revision: str = "r1",
    data: str = "d1",
    claim: Claim | None = None,
    timestamp: int = 86_400,
    **changed: Any,  # noqa: ANN401
) -> TaskResult:
    """A measured or claimed result; `changed` goes into the part of its record that has the key."""
    described = record(
        task={"main_metric": "m"},
        model={"name": model, "dtype": "float32", "max_tokens": 512, "pooling": "mean"},
        prompts={"query": {"prompt": changed.pop("prompt", "q: "), "route": ""}},
        timestamp=timestamp,
    )
    for part in ("task", "model"):
        keys = getattr(described, part).model_fields_set & changed.keys()
        described = with_changes(described, **{part: {key: changed[key] for key in keys}})
    scores = {"test": [{"hf_subset": "default", "main_score": value}]}
    return TaskResult(
        Path("/r/m/r/t.json"),
        model,
        revision,
        "",
        task,
        data,
        scores,
        None if claim else described,
        claim,
    )


def row(model: str, *values: float, **changed: Any) -> list[TaskResult]:  # noqa: ANN401
    return [
        result(model, task, value, **changed) for task, value in zip(TASKS, values, strict=False)
    ]


def state(
    results: Sequence[TaskResult], benchmark: Benchmark = BENCHMARK, date: str = "2026-01-02"
) -> Snapshot:
    board = build_board(results, benchmark, options=BoardOptions(intervals="none"))
    return snapshot_of({benchmark.name: board}, date)


OTHER = row("b/other", 0.4, 0.4)


def only_cell(old: Sequence[TaskResult], new: Sequence[TaskResult]) -> CellChange:
    found = [change for change in changes(state(old), state(new)) if isinstance(change, CellChange)]
    assert len(found) == 1
    return found[0]


def test_a_snapshot_holds_numbers_and_what_they_were_made_with() -> None:
    snapshot = state([*row("a/one", 0.5, 0.7), *row("c/claimed", 0.1, claim=PAPER)])
    board = snapshot.boards["small"]
    assert (board.title, board.groups) == ("작은 시험", {"ta": 0.5, "tb": 0.5})
    first, second = board.rows
    assert (first.model, first.score, first.rank, first.rank_low, first.rank_high) == (
        "a/one",
        0.6,
        1,
        1,
        1,
    )
    assert first.cells == [0.5, 0.7]
    record = snapshot.records[first.records[0][0]]
    assert (record.dataset_revision, record.data_sha256, record.metric_version) == (
        "d1",
        {"test/default": "s1"},
        "1",
    )
    assert (record.dtype, record.max_tokens, record.similarity, record.timestamp) == (
        "float32",
        512,
        "cosine",
        86_400,
    )
    assert record.prompts["query"].prompt == "q: "
    assert record.command_sha256 == hashlib.sha256(b"kemb run").hexdigest()
    assert (second.label, second.rank, second.cells) == ("c/claimed (a paper)", None, [0.1, None])
    assert snapshot.records[second.records[0][0]].claim_commit == "c1"
    assert second.records[1] == []


def test_the_order_of_results_does_not_matter_and_the_id_says_what_is_inside() -> None:
    results = [*row("a/one", 0.5, 0.7), *OTHER]
    assert state(results) == state(results[::-1])
    assert state(results).id == f"2026-01-02-{state(results).sha256[:8]}"
    assert state(results).id != state([*row("a/one", 0.5, 0.7000000000000001), *OTHER]).id


def test_numbers_without_a_date_are_kept_before_all_others(tmp_path: Path) -> None:
    undated = state(OTHER, date="")
    assert undated.id.startswith("0001-01-01-")
    append(tmp_path, undated)
    append(tmp_path, state(row("b/other", 0.4, 0.6)))
    assert [snapshot.date for snapshot in read_snapshots(tmp_path)[0]] == [
        "0001-01-01",
        "2026-01-02",
    ]


@pytest.mark.slow
def test_no_snapshot_keeps_or_shows_data_of_ones_own(tmp_path: Path) -> None:
    """A kept state is shown by every later site."""
    folder = result_dir(tmp_path / "results", "a/one", "0" * 40)
    for task in ("my-task", "KorSTS"):
        parts = [
            ScoredPart(
                "test",
                "default",
                ["kor-Hang"],
                PartScore({"cosine_spearman": 0.5}, {}, []),
                "cosine_spearman",
            )
        ]
        described = with_changes(result("a/one", task, 0.5).kemb, date="2026-01-02T00:00:00+00:00")
        write_result(folder, task, "0" * 40, parts, described)
    own = folder / "my-task.json"
    out, snapshots = tmp_path / "site", tmp_path / "results" / "snapshots"
    with pytest.raises(
        UsageError, match=r"A snapshot would keep results on data of your own.*my-task"
    ):
        publish_site(out, SiteOptions(tmp_path / "results", snapshot=True))
    assert not snapshots.exists()
    append(snapshots, state([result("a/one", "ta", 0.5)]))
    own.unlink()
    with pytest.raises(
        UsageError, match=r"snapshot 2026-01-02-\w+ shows a task of your own \(ta\)"
    ):
        publish_site(out, SiteOptions(tmp_path / "results", public=True))
    assert not out.exists()
    for path in snapshots.iterdir():
        path.unlink()
    append(
        snapshots, state([result("a/one", "ta", 0.5, claim=PAPER)])
    )  # published, of a task that kemb does not know
    publish_site(
        out, SiteOptions(tmp_path / "results", ("mteb-kor-v2",), public=True, snapshot=True)
    )
    assert len(list(snapshots.iterdir())) == 2


def test_the_folder_only_grows(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    one, two = state(OTHER), state(row("b/other", 0.4, 0.5))
    first = append(folder, one)
    assert first is not None
    assert first.name == f"{one.id}.json"
    assert append(folder, state(OTHER, date="2026-02-01")) is None
    second = append(folder, two)
    third = append(folder, one)  # back to the first state, on the same day
    assert second is not None
    assert third not in (None, first, second)
    kept, problems = read_snapshots(folder)
    assert [snapshot.number for snapshot in kept] == [1, 2, 3]
    assert [snapshot.content for snapshot in kept] == [one.content, two.content, one.content]
    assert problems == []
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        p.name for p in (first, second, third) if p
    )


def test_an_older_state_is_refused_but_not_the_newest_one(tmp_path: Path) -> None:
    append(tmp_path, state(OTHER, date="2026-02-02"))
    assert append(tmp_path, state(OTHER, date="2026-01-01")) is None
    with pytest.raises(ResultError, match=r"2026-01-01.*2026-02-02"):
        append(tmp_path, state(row("b/other", 0.1, 0.1), date="2026-01-01"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:100], "cannot be read"),
        (lambda text: "[]", "schema version None"),
        (
            lambda text: text.replace('"schema_version": 1', '"schema_version": 7'),
            "schema version 7; this kemb reads 1",
        ),
        (lambda text: text.replace('"boards"', '"planks"'), "is no snapshot"),
        (lambda text: text.replace("0.4", "0.9", 1), "was changed after it was written"),
        (
            lambda text: text.replace('"cells": [0.4, 0.4]', '"cells": [0.4]'),
            "not one value for each column",
        ),
        (
            lambda text: text.replace('"records": [[0]', '"records": [[99]'),
            "a record that is not there",
        ),
        (lambda text: text.replace("0.4", "NaN", 1), "is no snapshot"),
    ],
)
def test_a_bad_file_is_a_problem_and_the_others_stay_usable(
    tmp_path: Path,
    change: Any,  # noqa: ANN401
    message: str,
) -> None:
    bad = append(tmp_path, state(OTHER))
    assert bad is not None
    append(tmp_path, state(row("b/other", 0.4, 0.6), date="2026-01-03"))
    changed = change(bad.read_text())
    assert changed != bad.read_text()
    bad.write_text(changed)
    (kept,), (problem,) = read_snapshots(tmp_path)
    assert kept.date == "2026-01-03"
    assert problem.path == bad
    assert message in problem.message
    assert problem.message.count("\n") == 0


def test_a_damaged_snapshot_is_not_overwritten(tmp_path: Path) -> None:
    path = append(tmp_path, state(OTHER))
    assert path is not None
    path.write_text("{}")
    with pytest.raises(ResultError, match="is damaged"):
        append(tmp_path, state(OTHER))
    assert path.read_text() == "{}"


def test_nothing_changed() -> None:
    assert changes(state(OTHER), state(OTHER)) == []


@pytest.mark.parametrize(
    ("changed", "cause", "detail"),
    [
        ({"prompt": "질문: "}, "prompt", "query 'q: ' → query '질문: '"),
        ({"revision": "r2"}, "model revision", "r1 → r2"),
        ({"data": "d2"}, "data revision", "d1 → d2"),
        ({"data_sha256": {"test/default": "s2"}}, "data revision", ""),
        ({"metric_version": 2}, "metric version", "m 1 → m 2"),
        ({"max_tokens": 8192}, "profile", "512"),
        ({"similarity": "dot"}, "profile", "dot"),
        ({"timestamp": 99_999}, "re-run", ""),
        ({"data": "d2", "prompt": "x", "revision": "r2"}, "data revision", "d1 → d2"),
        ({"prompt": "x", "dtype": "bfloat16", "revision": "r2"}, "model revision", "r1 → r2"),
    ],
)
def test_every_changed_number_has_one_cause(
    changed: dict[str, Any], cause: str, detail: str
) -> None:
    old = result("a/one", "ta", 0.5)
    change = only_cell([old], [result("a/one", "ta", 0.6, **changed)])
    assert change.cause == cause
    assert detail in change.detail
    assert change.difference == pytest.approx(0.1)
    assert (change.old, change.new, change.kind, change.column) == (0.5, 0.6, "changed", "ta")


@pytest.mark.parametrize("commit", ["c1", "c2"])
def test_claimed_numbers_are_corrected(commit: str) -> None:
    old, new = (
        row("a/one", 0.5, claim=PAPER),
        row("a/one", 0.4, claim=replace(PAPER, commit=commit)),
    )
    change = only_cell(old, new)
    assert change.cause == "correction"
    assert change.detail == ("" if commit == "c1" else "c1 → c2")


def test_one_corrected_number_of_the_published_korean_table() -> None:
    """gemma2 has 65.60 on PublicHealthQA in the README, and 86.31 in KURE's results for the same
    metric.
    """
    every = [
        found
        for found in shipped()
        if found.claim and found.claim.source.startswith("ko-embedding-leaderboard")
    ]
    cells = [
        cell for cell in load_benchmark("ko-leaderboard-v1").cells if cell.group_name == "Retrieval"
    ]
    retrieval = Benchmark(name="retrieval", title="검색", cells=cells)
    (wrong,) = [r for r in every if "gemma2" in r.model and r.task == "PublicHealthQA"]
    ((split, (entry,)),) = wrong.scores.items()
    corrected = {split: [entry | {"mean(ndcg@5, ndcg@10)": 0.8631}]}
    right = [replace(r, scores=corrected) if r is wrong else r for r in every]
    cell, ranks = changes(state(every, retrieval), state(right, retrieval))
    assert isinstance(cell, CellChange)
    assert (cell.column, cell.old, cell.new, cell.cause) == (
        "PublicHealthQA",
        pytest.approx(0.656),
        0.8631,
        "correction",
    )
    assert isinstance(ranks, RanksMoved)
    before = {
        row.model: float(np.mean(row.cells))
        for row in state(every, retrieval).boards["retrieval"].rows
        if None not in row.cells
    }  # type: ignore[arg-type]
    after = before | {wrong.model: before[wrong.model] + (0.8631 - 0.656) / len(cells)}
    expected = {
        name: tuple(
            1 + sum(other > scores[name] for other in scores.values()) for scores in (before, after)
        )
        for name in before
    }
    assert {row.row.split(" (")[0]: (row.old, row.new) for row in ranks.moved} == {
        name: ((old, old), (new, new)) for name, (old, new) in expected.items() if old != new
    }
    assert expected[wrong.model] == (
        11,
        7,
    )  # 12 in the README, which ranks a row without two cells above it


def test_another_metric_of_a_column_is_a_change_of_the_formula() -> None:
    cells = [CellSpec(task="ta", group="ta", metric="ndcg@10"), BENCHMARK.cells[1]]
    scored = result("a/one", "ta", 0.5)
    scored.scores["test"][0]["ndcg@10"] = 0.25
    found = changes(state([scored]), state([scored], BENCHMARK.model_copy(update={"cells": cells})))
    (change,) = [change for change in found if isinstance(change, CellChange)]
    assert (change.cause, change.old, change.new) == ("formula", 0.5, 0.25)


def test_rows_columns_and_boards_come_and_go() -> None:
    three = Benchmark(
        name="small",
        title="작은 시험",
        cells=[*BENCHMARK.cells[:1], CellSpec(task="tc", group="tc")],
    )
    old = state([*OTHER, *row("a/one", 0.5, 0.7)])
    new = state([*OTHER, *row("z/new", 0.5, 0.7)], three)
    said = [sentence(change, "en") for change in changes(old, new)]
    assert said[1:] == [
        "작은 시험: new task: tc",
        "작은 시험: task removed: tb",
        "작은 시험: new model: z/new",
        "작은 시험: model removed: a/one",
        *said[5:],
    ]
    assert said[0].startswith("작은 시험: formula changed: Score: unweighted mean of 2 tasks")
    gone = Snapshot.model_validate(new.model_dump() | {"boards": {}})
    assert [sentence(change, "ko") for change in changes(new, gone)] == ["작은 시험: 보드 삭제"]
    assert [sentence(change, "en") for change in changes(gone, new)] == ["작은 시험: new board"]


def test_a_new_revision_is_the_same_row_unless_there_is_a_choice() -> None:
    old, new = row("a/one", 0.5, 0.7), row("a/one", 0.6, 0.7, revision="r2")
    found = changes(state(old), state(new))
    assert [type(change) for change in found] == [RowRevised, CellChange]
    assert sentence(found[0], "ko") == "작은 시험: 모델 버전 변경: a/one, r1 → r2"
    both = changes(state(old), state([*old, *new]))
    assert [sentence(change, "en") for change in both if not isinstance(change, RanksMoved)] == [
        "작은 시험: new model: a/one"
    ]
    two = [*new, *row("a/one", 0.6, 0.8, revision="r3")]
    kinds = [sentence(change, "en").split(": ")[1] for change in changes(state(old), state(two))]
    assert kinds == ["new model", "new model", "model removed"]


def test_numbers_that_come_and_go_and_moved_ranks() -> None:
    old = [*row("a/one", 0.5, 0.7), *OTHER, *row("c/third", 0.1)]
    new = [*row("a/one", 0.5), *OTHER, *row("c/third", 0.1, 0.2)]
    added, removed, moved = sorted(
        changes(state(old), state(new)), key=lambda change: sentence(change, "en")[8:]
    )[::1]
    texts = {lang: {sentence(change, lang) for change in (added, removed, moved)} for lang in LANGS}
    assert texts["en"] == {
        "작은 시험: new score: c/third, tb 20.00",
        "작은 시험: score removed: a/one, tb 70.00",
        "작은 시험: rank intervals changed for 3 models: b/other 2 → 1, c/third no rank → 2, a/one "
        "1 → no rank",
    }
    assert (
        "작은 시험: 순위 구간이 바뀐 모델 3개: b/other 2위 → 1위, c/third 순위 없음 → 2위, a/one "
        "1위 → 순위 없음" in texts["ko"]
    )


def test_a_refused_result_says_why_the_number_is_gone() -> None:
    data = {"data_sha256": {"test/default": "s2"}}
    rows = [*row("a/one", 0.5), *row("b/two", 0.4), *row("c/three", 0.3)]
    change = only_cell(rows, [*rows[:2], result("c/three", "ta", 0.3, **data)])
    assert (change.kind, change.cause, change.detail) == (
        "removed",
        None,
        "other data (their hash differs)",
    )


def test_sentences_have_both_numbers_and_never_a_difference_of_nothing() -> None:
    change = only_cell(row("a/one", 0.78125), row("a/one", 0.79, timestamp=1))
    assert sentence(change, "ko") == "작은 시험: a/one, ta 78.12 → 79.00 (+0.88), 원인: 다시 측정"
    change = only_cell(row("a/one", 0.5), row("a/one", 0.50000001, timestamp=1))
    assert sentence(change, "en") == "작은 시험: a/one, ta 50.00 → 50.00 (+<0.01), cause: re-run"
    said = [sentence(replace(change, cause=cause), "ko") for cause in get_args(Cause)]
    assert len(set(said)) == len(get_args(Cause)) == len(table("cause"))


def parse(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    assert root.tag == f"{{{ATOM}}}feed"
    for node in [root, *root.findall(f"{{{ATOM}}}entry")]:
        for name in ("id", "title", "updated"):  # RFC 4287, 4.1.1 and 4.1.2: exactly one each
            assert len(node.findall(f"{{{ATOM}}}{name}")) == 1
    assert root.find(f"{{{ATOM}}}author/{{{ATOM}}}name") is not None
    return root


def test_the_feed_is_atom_and_the_same_every_time() -> None:
    states = [state(OTHER), state(row("b/other", 0.4, 0.5), date="2026-03-04")]
    found = entries(states, "ko", ["at/one.html", "at/two.html"])
    text = atom(found, "https://example.org/board", "한국어 임베딩")
    assert text == atom(
        entries(states, "ko", ["at/one.html", "at/two.html"]),
        "https://example.org/board/",
        "한국어 임베딩",
    )
    root = parse(text)
    assert root.findtext(f"{{{ATOM}}}updated") == "2026-03-04T00:00:00Z"
    first, second = root.findall(f"{{{ATOM}}}entry")
    assert first.findtext(f"{{{ATOM}}}title") == "2026-03-04: 변경 1건"
    assert second.findtext(f"{{{ATOM}}}title") == "2026-01-02: 첫 기록, 보드 1개, 모델 행 1개"
    assert [item.text for item in first.iter(f"{{{XHTML}}}li")] == [
        "작은 시험: b/other, tb 40.00 → 50.00 (+10.00), 원인: 다시 측정"
    ]
    link = first.find(f"{{{ATOM}}}link")
    assert link is not None
    assert link.get("href") == "https://example.org/board/at/two.html"
    ids = [node.text for node in root.iter(f"{{{ATOM}}}id")]
    assert len(set(ids)) == 3
    assert ids[0] == "https://example.org/board/"
    later = [*states, state(OTHER, date="2026-04-01")]
    assert (
        ids[1:]
        == [node.text for node in parse(atom(entries(later, "ko"), "", "x")).iter(f"{{{ATOM}}}id")][
            2:
        ]
    )


def test_hostile_texts_are_text_in_the_feed() -> None:
    states = [state(OTHER), state([*OTHER, *row(HOSTILE, 0.1, 0.2)])]
    root = parse(atom(entries(states, "en"), "", HOSTILE))
    assert {node.tag.split("}")[1] for node in root.iter()} == {
        "feed",
        "id",
        "title",
        "updated",
        "author",
        "name",
        "entry",
        "content",
        "div",
        "ul",
        "li",
        "p",
    }
    assert root.findtext(f"{{{ATOM}}}title") == HOSTILE.replace("\x00", "\ufffd")
    (line, *_) = [node.text or "" for node in root.iter(f"{{{XHTML}}}li")]
    assert "<script>" in line
    hostile = Entry("urn:x", "2026-01-01", "\ud800]]>", ("\ud800<b>&amp;",), "../'\"<x>")
    text = atom([hostile], "https://example.org/a?b=<c>&d", "\ud800")
    assert [node.text for node in parse(text).iter(f"{{{XHTML}}}li")] == ["\ufffd<b>&amp;"]


def test_an_empty_feed_is_valid_and_many_changes_are_counted() -> None:
    parse(atom([], "", "nothing yet"))
    many = [result for n in range(300) for result in row(f"a/m{n}", 0.1)]
    newest = entries([state(OTHER), state([*OTHER, *many])], "en")[0]
    assert newest.title.endswith(": 300 changes")
    assert len(newest.lines) == 201
    assert newest.lines[-1] == "and 100 more"


@pytest.mark.parametrize(
    "url", ["example.org", "javascript:alert(1)", "file:///x", "http://", "http://["]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a site"):
        atom([], url, "x")


def test_formulas_are_kept_in_words() -> None:
    groups = BENCHMARK.model_copy(
        update={"formulas": {"w": Formula(weights={"ta": "3/4", "tb": "1/4"})}}
    )
    (change,) = changes(state(OTHER), state(OTHER, groups))
    said: Change = change
    assert "3/4 ta + 1/4 tb" in sentence(said, "ko")
