"""What training data and evaluations have in common, against sets of shingles and against known
facts of real data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb import load_task
from kemb.encoding.store import Store
from kemb.errors import DataError, ResultError
from kemb.evaluation.evaluate import RunOptions, evaluate
from kemb.models.resolve import resolve
from kemb.publishing.card import training as published
from kemb.results.files import TaskResult
from kemb.training import contamination, data, shingles
from kemb.training.contamination import LineageNote, clean_scores, lineage
from kemb.training.filters import evaluations
from kemb.training.overlap import eval_texts, read_registry, write_registry
from kemb.training.sections import (
    Columns,
    ContaminationSection,
    DataSection,
    FiltersSection,
    Source,
)
from kemb.types import PairData, Part, RetrievalData, TaskData

ITEM = "동해물과 백두산이 마르고 닳도록 하느님이 보우하사 우리나라 만세, 무궁화 삼천리 화려 강산"


def pairs(rows: list[tuple[str, str]], name: str = "Eval") -> TaskData:
    first, second = [a for a, _ in rows], [b for _, b in rows]
    own = PairData([f"i{i}" for i in range(len(rows))], first, second, np.zeros(len(rows)))
    return TaskData(name, "sts", "x", [Part("test", "default", own, "")])


def table(rows: list[tuple[str, str]], groups: list[str | None] | None = None) -> pa.Table:
    return pa.table(
        {
            "anchor": [a for a, _ in rows],
            "positive": [b for _, b in rows],
            "score": pa.array([None] * len(rows), pa.float64()),
            "group": pa.array(groups or [None] * len(rows), pa.string()),
            "source": ["own"] * len(rows),
            "row": list(range(len(rows))),
        }
    )


def check(
    rows: pa.Table, task: TaskData, **settings: object
) -> tuple[list[bool], contamination.ContaminationReport]:
    section = ContaminationSection.model_validate({"max_dropped": 1.0} | settings)
    keep, report = contamination.check(rows, section, [eval_texts([task])])
    return keep.tolist(), report


def shared_pairs(
    root: Path, file: str, anchor: str, positive: str, group: str | None = None
) -> pa.Table:
    columns = Columns(anchor=anchor, positive=positive, group=group)
    section = DataSection(
        id=Path(file).parent.name, source=Source(file=file), columns=columns, license="CC-BY-SA-4.0"
    )
    return data.load_pairs([section], root)


def test_near_pairs_are_those_of_a_full_comparison_of_sets() -> None:
    random = np.random.default_rng(0)
    texts = [
        "".join(random.choice(list("가나다라"), size=random.integers(0, 30))) for _ in range(120)
    ]
    a, b = texts[:70], texts[50:]
    own = [
        {text[i : i + 3] for i in range(len(text) - 2)} if len(text) > 3 else {text} - {""}
        for text in texts
    ]
    for limit in (0.2, 0.5, 0.85, 1.0):
        expected = {
            (i, j): len(x & y) / len(x | y)
            for i, x in enumerate(own[:70])
            for j, y in enumerate(own[50:])
            if x and y and len(x & y) / len(x | y) >= limit - 1e-12
        }
        found = shingles.near_pairs(shingles.windows(a, 3), shingles.windows(b, 3), limit)
        got = dict(
            zip(
                zip(found.a.tolist(), found.b.tolist(), strict=True),
                found.jaccard.tolist(),
                strict=True,
            )
        )
        assert got == pytest.approx(expected)
        within = shingles.near_within(shingles.windows(a, 3), limit)
        inner = shingles.near_pairs(shingles.windows(a, 3), shingles.windows(a, 3), limit)
        assert list(zip(within.a, within.b, strict=True)) == [
            (i, j) for i, j in zip(inner.a, inner.b, strict=True) if i < j
        ]


def test_sketches_are_exact_for_small_sets_and_close_for_large_ones() -> None:
    small = ["가나다라마바사", "가나다라마바아", "하하하하하하하"]
    sets = shingles.windows(small, 5)
    exact = shingles.near_pairs(sets, sets, 0.3)
    own = shingles.sketch(sets, 7)
    estimate = shingles.estimated_pairs(own, own, 7, 0.3)
    assert list(map(tuple, np.stack(estimate, axis=1))) == list(map(tuple, np.stack(exact, axis=1)))
    random = np.random.default_rng(1)
    long = "".join(chr(0xAC00 + n) for n in random.integers(0, 11172, size=400))
    both = shingles.windows([long, long[:300] + "끝"], 5)  # 296 of 397 shingles: 0.746
    many = shingles.sketch(both, 128)
    assert shingles.estimated_pairs(many, many, 128, 0.6).jaccard[1] == pytest.approx(
        0.746, abs=0.09
    )


def test_marks_case_width_and_spaces_do_not_hide_a_text() -> None:
    keep, report = check(
        table([("ＡＢＣ  회의는\n언제 인가요", "다름")]), pairs([("abc 회의는 언제인가요?", "나")])
    )
    assert keep == [False]
    assert report.parts[0].items["exact"] == 1
    keep, _ = check(
        table([("!!!", "???")]), pairs([("...", "--")])
    )  # nothing but marks is equal to nothing
    assert keep == [True]


def test_levels_drop_or_report_as_told() -> None:
    near = ITEM.replace("만세", "만만세")
    task = pairs([(ITEM, "짝")])
    longer = (
        f"앞에 아주 긴 다른 글이 있고 그 다음에는 {ITEM} 뒤에도 아주 긴 글이 이어서 나온다고 한다"
    )
    keep, report = check(
        table([(ITEM, "가"), (near, "나"), (longer, "다"), ("아주 다른 글", "라")]), task
    )
    assert keep == [False, False, True, True]
    assert report.dropped == {"exact": {"own": 1}, "near": {"own": 1}}
    assert report.parts[0].items == {"exact": 1, "near": 1, "containment": 1, "pair": 0}
    assert report.parts[0].remaining == {"i0": "containment"}
    levels = {
        "exact": "report",
        "near": {"action": "ignore"},
        "containment": {"action": "drop", "ngram_chars": 12},
    }
    keep, report = check(table([(ITEM, "가"), (near, "나"), (longer, "다")]), task, levels=levels)
    assert keep == [True, False, False]


def test_a_document_alone_is_reported_and_with_its_query_dropped() -> None:
    own = RetrievalData(
        ["d1", "d2"],
        ["첫 문서의 긴 내용입니다", "둘째 문서입니다"],
        ["q"],
        ["질문입니다"],
        {"q": {"d1": 1}},
    )
    task = TaskData("R", "retrieval", "x", [Part("test", "default", own, "")])
    rows = table(
        [("다른 질문이에요", "첫 문서의 긴 내용입니다"), ("질문입니다", "첫 문서의 긴 내용입니다")]
    )
    keep, report = check(rows, task)
    assert keep == [True, False]
    assert report.parts[0].remaining == {"q": "exact"}
    keep, report = check(rows, task, sides={"query": "report"})
    assert (keep, report.dropped) == ([True, False], {"pair": {"own": 1}})
    keep, _ = check(rows, task, sides={"query": "report", "pair": "report"})
    assert keep == [True, True]


def test_a_pair_is_found_the_other_way_round() -> None:
    keep, report = check(
        table([("나나나", "가가가")]), pairs([("가가가", "나나나")]), sides={"query": "report"}
    )
    assert (keep, report.parts[0].items["pair"]) == ([False], 1)
    keep, report = check(
        table([("나나나", "라라라")]), pairs([("가가가", "나나나")]), sides={"query": "report"}
    )
    assert (keep, report.parts[0].items["pair"]) == ([True], 0)


def test_a_contaminated_member_takes_its_group_along() -> None:
    rows = table([(ITEM, "가"), ("다른 글", "나"), ("또 다른 글", "다")], ["g", "g", "h"])
    keep, report = check(rows, pairs([(ITEM, "짝")]))
    assert (keep, report.dropped) == (
        [False, False, True],
        {"exact": {"own": 1}, "group": {"own": 1}},
    )
    keep, _ = check(rows, pairs([(ITEM, "짝")]), propagate="none")
    assert keep == [False, True, True]


def test_too_much_contamination_ends_the_run_and_names_the_task() -> None:
    with pytest.raises(
        DataError, match=r"1 of 2 rows are contaminated.*max_dropped = 0\.2.*Eval \(test\)"
    ):
        check(table([(ITEM, "가"), ("다른 글", "나")]), pairs([(ITEM, "짝")]), max_dropped=0.2)


def test_lineage_follows_a_base_to_the_models_it_was_made_from() -> None:
    section = DataSection(
        id="x", source=Source(file="data/paraKQC_v1.jsonl"), license="CC-BY-SA-4.0"
    )
    notes = lineage([section], "dragonkue/BGE-m3-ko")
    assert [(note.subject, note.tasks[0]) for note in notes] == [
        ("x", "KLUE-STS"),
        ("BAAI/bge-m3", "MIRACLRetrieval"),
    ]
    assert (
        lineage([section.model_copy(update={"source": Source(file="a.jsonl")})], "no/such-model")
        == []
    )


def test_report_is_escaped_and_complete(tmp_path: Path) -> None:
    task = pairs([(ITEM, "짝")], name="E|val<b>")
    rows = table([(ITEM, "가")])
    notes = [LineageNote("own", ("E",), "because", "https://example.org")]
    section = ContaminationSection(max_dropped=1.0)
    _, report = contamination.check(rows, section, [eval_texts([task])], notes)
    published.write(tmp_path, report, {})
    text = (tmp_path / "CONTAMINATION.md").read_text(encoding="utf-8")
    assert r"| E\|val\<b\> | test | 1 | 1 | 0 | 0 | 0 | 1 | 0 |" in text
    record = json.loads((tmp_path / "contamination.json").read_text(encoding="utf-8"))
    assert record.pop("scores") == {}
    assert contamination.ContaminationReport.from_json(record) == report


def test_the_clean_score_is_that_of_a_run_on_the_clean_items_alone(tmp_path: Path) -> None:
    rows = [(f"문장 {i} 입니다 {ITEM[i:]}", f"{ITEM[: i * 2]} 문장 {i}") for i in range(12)]
    gold = np.array([0.0, 3, 1, 2, 5, 4, 1, 3, 2, 0, 5, 4])

    def saved(name: str, chosen: list[int]) -> TaskResult:
        folder = tmp_path / name
        folder.mkdir()
        lines = [
            json.dumps(
                {"sentence1": rows[i][0], "sentence2": rows[i][1], "score": gold[i]},
                ensure_ascii=False,
            )
            for i in chosen
        ]
        (folder / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (folder / "task.toml").write_text(f'name = "{name}"\ntype = "sts"\n', encoding="utf-8")
        options = RunOptions(tmp_path / f"results-{name}", Store(tmp_path / "store"))
        (outcome,) = evaluate([load_task(folder)], [resolve("toy")], options)
        assert outcome.result is not None, outcome.message
        return outcome.result

    full, part = saved("whole", list(range(12))), saved("part", list(range(3, 12)))
    own_ids = load_task(tmp_path / "whole").load().parts[0]
    clean = {(own_ids.split, own_ids.subset): own_ids.data.item_ids[3:]}  # type: ignore[union-attr]
    (score,) = clean_scores(full, clean)
    assert (score.n_items, score.n_clean) == (12, 9)
    assert score.full == pytest.approx(full.main_score, abs=1e-12)
    assert score.clean == pytest.approx(part.main_score, abs=1e-12)
    with pytest.raises(ResultError, match="0 of the 1 clean items"):
        clean_scores(full, {(own_ids.split, own_ids.subset): ["no such item"]})


def test_clean_items_are_those_no_kept_row_touches() -> None:
    task = pairs([(ITEM, "짝"), ("둘째 문장", "짝이다"), ("셋째 문장", "짝꿍")])
    levels = {"exact": "report"}
    _, report = check(table([(ITEM, "가"), ("셋째 문장", "나")]), task, levels=levels)
    assert contamination.clean_items(task, report) == {("test", "default"): ["i1"]}
    _, report = check(table([(ITEM, "가"), ("셋째 문장", "나")]), task)  # dropped, so all are clean
    assert contamination.clean_items(task, report) == {("test", "default"): ["i0", "i1", "i2"]}
    with pytest.raises(ResultError, match="does not cover Other"):
        contamination.clean_items(pairs([("가", "나")], "Other"), report)


def test_registry_finds_what_the_texts_would(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    long = "".join(chr(0xAC00 + n) for n in random.integers(0, 11172, size=400))
    task = pairs([(ITEM, "짝"), ("둘째 문장입니다", "그 짝입니다"), (f"시작 {long} 끝", "긴 글")])
    path = tmp_path / "r.parquet"
    write_registry(path, eval_texts([task]))
    first = path.read_bytes()
    write_registry(path, eval_texts([task]))
    assert path.read_bytes() == first
    assert "둘째".encode() not in first
    rows = table(
        [
            (ITEM, "가"),
            ("그 짝입니다", "둘째 문장입니다"),
            (f"전혀 다른 앞 {long[:200]} 다른 뒤", "나"),
            ("무관", "다"),
        ]
    )
    section = ContaminationSection(max_dropped=1.0)
    keep, report = contamination.check(rows, section, [read_registry(path)])
    assert keep.tolist() == [False, False, True, True]
    assert report.parts[0].items["exact"] == 2
    assert report.parts[0].items["pair"] == 1
    assert report.parts[0].items["containment"] >= 1
    assert report.parts[0].hashed
    assert report.parts[0].remaining == {}
    path.write_bytes(b"no registry")
    with pytest.raises(DataError, match="make_registry"):
        read_registry(path)


@pytest.mark.shared
def test_korsts_train_against_its_test(shared_data: Path) -> None:
    """158 exact sentences in 170 rows, 227 sentences with near ones; 344 of the training rows go
    for exact ones.
    """
    packs = shared_data / "packs"
    rows = shared_pairs(packs, "KorSTS/train.parquet", "sentence1", "sentence2")
    test = pq.read_table(packs / "KorSTS/test_full.parquet")
    task = pairs(
        list(zip(test["sentence1"].to_pylist(), test["sentence2"].to_pylist(), strict=True))
    )
    keep, report = check(rows, task)
    (part,) = report.parts
    assert (part.n_items, part.items["exact"], part.texts["exact"]) == (1379, 170, 158)
    assert part.texts["exact"] + part.texts["near"] == 227
    assert report.dropped["exact"] == {"KorSTS": 344}
    assert part.n_remaining == part.items["containment"] == 2
    assert sum(keep) == 5749 - report.n_dropped


@pytest.mark.shared
@pytest.mark.slow
def test_docsko_sections(shared_data: Path) -> None:
    """Four training rows have the heading of a held-out query; no body is near at any threshold
    above 0.1.
    """
    packs = shared_data / "packs"
    rows = shared_pairs(packs, "DocsKo/train.parquet", "anchor", "positive")
    names = ("corpus", "queries", "qrels")
    corpus, queries, qrels = (
        pq.read_table(packs / f"DocsKo/{name}.parquet").to_pylist() for name in names
    )
    judged: dict[str, dict[str, int]] = {}
    for line in qrels:
        judged.setdefault(line["query-id"], {})[line["corpus-id"]] = int(line["score"])
    own = RetrievalData(
        [d["id"] for d in corpus],
        [d["text"] for d in corpus],
        [q["id"] for q in queries],
        [q["text"] for q in queries],
        judged,
    )
    task = TaskData("DocsKo", "retrieval", "x", [Part("test", "default", own, "")])
    keep, report = check(rows, task)
    assert report.n_dropped == keep.count(False) == 4
    assert report.parts[0].items == {"exact": 3, "near": 0, "containment": 0, "pair": 0}
    gone = [row for row, kept in zip(rows.to_pylist(), keep, strict=True) if not kept]
    assert sorted(row["anchor"] for row in gone) == ["내장 컴포넌트", "소개", "소개", "소개"]


@pytest.mark.shared
def test_one_utterance_takes_its_group_of_parakqc(shared_data: Path) -> None:
    packs = shared_data / "packs"
    texts = pq.read_table(packs / "ParaKQC/test.parquet").to_pylist()
    members: dict[str, list[str]] = {}
    for line in texts:
        members.setdefault(str(line["group"]), []).append(line["text"])
    rows = table(
        [(own[0], other) for own in members.values() for other in own[1:]],
        [group for group, own in members.items() for _ in own[1:]],
    )
    task = pairs([(members["7"][3], "짝"), (members["400"][9], "짝")])
    keep, report = check(rows, task, levels={"near": {"action": "report"}})
    assert report.dropped["exact"] == {"own": 2}
    assert report.dropped["group"] == {"own": 16}
    assert {row["group"] for row, kept in zip(rows.to_pylist(), keep, strict=True) if not kept} == {
        "7",
        "400",
    }


@pytest.mark.shared
def test_shipped_registry_knows_the_tasks(shared_data: Path) -> None:
    registry = read_registry()
    tasks = {part.task: part.n_items for part in registry.parts}
    assert tasks["KorSTS"] == 1376
    assert tasks["AutoRAGRetrieval"] == 114
    (found,) = evaluations(FiltersSection(), [])
    rows = shared_pairs(shared_data / "packs", "KorSTS/train.parquet", "sentence1", "sentence2")
    _, report = contamination.check(rows, ContaminationSection(max_dropped=1.0), [found])
    by_task = {part.task: part for part in report.parts}
    assert by_task["KorSTS"].texts["exact"] == 158
    left = evaluations(FiltersSection(), [pairs([("가", "나")], "KorSTS")])
    assert "KorSTS" not in {part.task for part in left[1].parts}


@pytest.mark.shared
@pytest.mark.slow
def test_the_tool_writes_the_shipped_registry(shared_data: Path, tmp_path: Path) -> None:
    tool = Path(__file__).parents[2] / "tools/make_registry.py"
    made = tmp_path / "registry.parquet"
    subprocess.run(
        [sys.executable, tool, shared_data / "packs", "-o", made], check=True, capture_output=True
    )
    ours, shipped = read_registry(made), read_registry()
    assert made.stat().st_size < 1_000_000
    np.testing.assert_array_equal(ours.keys, shipped.keys)
    assert [(part.task, part.split, part.n_items) for part in ours.parts] == [
        (part.task, part.split, part.n_items) for part in shipped.parts
    ]
    for sets, known in ((ours.sketches, shipped.sketches), (ours.passages, shipped.passages)):
        assert sets is not None
        assert known is not None
        np.testing.assert_array_equal(sets.hashes, known.hashes)
