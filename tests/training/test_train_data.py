"""Reading pairs and filtering them."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from kemb.errors import DataError, UsageError
from kemb.tasks import sources
from kemb.training import data, filters
from kemb.training.sections import DataSection, FiltersSection, MineSection


def section(file: str = "a.jsonl", **changes: Any) -> DataSection:  # noqa: ANN401  values of TOML
    own = {"id": "own", "source": {"file": file}, "license": "MIT"}
    return DataSection.model_validate(own | changes)


def jsonl(path: Path, *records: dict[str, object]) -> None:
    path.write_text(
        "\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8"
    )


def filters_of(**changes: Any) -> FiltersSection:  # noqa: ANN401
    return FiltersSection.model_validate({"contamination": {"against": []}} | changes)


def pairs(*rows: tuple[str, str], source: Sequence[str] | None = None) -> pa.Table:
    return pa.table(
        {
            "anchor": [a for a, _ in rows],
            "positive": [b for _, b in rows],
            "score": pa.nulls(len(rows), pa.float64()),
            "group": pa.nulls(len(rows), pa.string()),
            "source": source or ["own"] * len(rows),
            "row": list(range(len(rows))),
        }
    )


def kept(table: pa.Table) -> list[int]:
    return table["row"].to_pylist()  # type: ignore[no-any-return]


def test_every_format_and_shape_becomes_one_table(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {"query": "질문", "pos": ["답 1", "답 2"], "neg": ["오답"]})
    pq.write_table(
        pa.table({"s1": ["가", "나"], "s2": ["다", "라"], "y": [1, 0], "g": [3, 3]}),
        tmp_path / "b.parquet",
    )
    with (tmp_path / "c.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["anchor", "positive", "label"], ["쉼표, 있음", "줄\n바꿈", 1], ["버림", "버림", 0]]
        )
    lists = section(columns={"anchor": "query", "positive": "pos", "negatives": ["neg"]})
    scored = section(
        "b.parquet",
        id="b",
        columns={"anchor": "s1", "positive": "s2", "score": "y", "group": "g"},
        role="similarity",
    )
    table = data.load_pairs([lists, scored, section("c.csv", id="c", where={"label": 1})], tmp_path)
    assert table.column_names == [
        "anchor",
        "positive",
        "negative_1",
        "score",
        "group",
        "source",
        "row",
    ]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("질문", "답 1", "오답", None, None, "own", 0),
        ("질문", "답 2", "오답", None, None, "own", 1),
        ("가", "다", None, 1.0, "3", "b", 0),
        ("나", "라", None, 0.0, "3", "b", 1),
        ("쉼표, 있음", "줄\n바꿈", None, None, None, "c", 0),
    ]


def test_patterns_are_read_in_order_and_limited(tmp_path: Path) -> None:
    for name in ("2", "1"):
        jsonl(
            tmp_path / f"{name}.jsonl",
            *({"anchor": f"{name}{i}", "positive": "x"} for i in range(3)),
        )
    assert (
        data.load_pairs([section("*.jsonl")], tmp_path)["anchor"].to_pylist()
        == "10 11 12 20 21 22".split()
    )
    assert data.load_pairs([section("*.jsonl", limit=4)], tmp_path)["row"].to_pylist() == [
        0,
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"anchor": "가", "positive": "", "neg": ["x"]},
            r"row 2: positive is empty; expected a text",
        ),
        (
            {"anchor": None, "positive": "나", "neg": ["x"]},
            r"row 2: anchor is missing; expected a text",
        ),
        ({"anchor": "가", "positive": 3, "neg": ["x"]}, r"row 2: positive is 3; expected a text"),
        (
            {"anchor": "가", "positive": "나", "neg": ["x", " "]},
            r"row 2: neg is empty; expected a text",
        ),
        (
            {"anchor": "가", "positive": "나", "neg": ["x"], "y": "높음"},
            r"row 2: y is '높음'; expected a number",
        ),
        (
            {"anchor": "가", "positive": "나", "neg": ["x"], "y": float("nan")},
            r"row 2: y is nan; expected a number",
        ),
    ],
)
def test_bad_rows_are_refused_with_file_and_row(
    tmp_path: Path, record: dict[str, object], message: str
) -> None:
    good = {"anchor": "가", "positive": "나", "neg": ["다"], "y": 1}
    jsonl(tmp_path / "a.jsonl", good, {"y": 1} | record)
    columns = {"negatives": ["neg"], "score": "y"}
    with pytest.raises(DataError, match=rf"The data own: .*a\.jsonl, {message}"):
        data.load_pairs([section(columns=columns)], tmp_path)


def test_many_bad_rows_are_counted_not_listed(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", *({"anchor": "", "positive": "x"} for _ in range(50)))
    with pytest.raises(
        DataError, match=r"row 3: anchor is empty; expected a text; and 47 more like these\.$"
    ):
        data.load_pairs([section()], tmp_path)


def test_a_column_missing_in_one_file_of_many_names_the_file(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {"anchor": "가", "positive": "나"})
    jsonl(tmp_path / "b.jsonl", {"anchor": "가", "positives": "나"})
    with pytest.raises(
        DataError, match=r"b\.jsonl has no column 'positive', did you mean 'positives'\?.*anchor"
    ):
        data.load_pairs([section("*.jsonl")], tmp_path)
    with pytest.raises(DataError, match=r"nothing under .* fits 'none\.jsonl'"):
        data.load_pairs([section("none.jsonl")], tmp_path)
    (tmp_path / "c.jsonl").write_text('{"anchor": "가"\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"c\.jsonl, row 1"):
        data.load_pairs([section("c.jsonl")], tmp_path)


def test_a_hub_dataset_comes_from_the_mirror_and_is_refused_offline(tmp_path: Path) -> None:
    commit = "a" * 40
    rows = pa.table({"anchor": ["가"], "positive": ["나"]})
    sources.write(tmp_path, "org/pairs", commit, "default", {"train": rows}, "MIT")
    own = section(source={"hub": "org/pairs", "revision": commit})
    assert data.load_pairs([own], tmp_path, data_dir=tmp_path)["anchor"].to_pylist() == ["가"]
    with pytest.raises(DataError, match="no split 'test'; it has train"):
        data.load_pairs(
            [section(source={"hub": "org/pairs", "split": "test"})], tmp_path, data_dir=tmp_path
        )
    with pytest.raises(
        Exception, match=r"own needs the dataset org/other.*name that as source\.file"
    ):
        data.load_pairs(
            [section(source={"hub": "org/other", "revision": commit})], tmp_path, data_dir=tmp_path
        )


def test_licences_are_required_and_restrictions_stop_publishing() -> None:
    with pytest.raises(ValidationError, match="license"):
        DataSection.model_validate({"id": "x", "source": {"file": "a"}})
    names = [
        "MIT",
        "CC-BY-SA-4.0",
        "CC-BY-NC-4.0",
        "cc-by-nd-4.0",
        "unknown",
        "custom: see NCSOFT terms",
    ]
    found = data.licences([section(id=name, license=name) for name in names])
    assert [entry.restriction for entry in found] == [
        "",
        "",
        "non-commercial",
        "no derivatives",
        "unknown",
        "",
    ]
    assert [entry.share_alike for entry in found] == [False, True, False, False, False, False]
    data.refuse_restricted([section(license="CC-BY-SA-4.0")])
    with pytest.raises(DataError, match=r"trained on own \(CC-BY-NC-4\.0: non-commercial\)"):
        data.refuse_restricted([section(license="CC-BY-NC-4.0")])


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {}},
        {"source": {"file": "a", "hub": "b/c"}},
        {"source": {"file": "a", "split": "train"}},
        {"licence": "MIT"},
        {"source": {"hub": "b/c", "revision": "v1"}},
    ],
)
def test_sections_refuse_what_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**changes)


def test_mining_sections_refuse_ranges_too_small() -> None:
    with pytest.raises(ValidationError, match="fewer than 5 negatives"):
        MineSection.model_validate({"teacher": {"id": "x"}, "rank": {"min": 0, "max": 4}})
    with pytest.raises(ValidationError, match=r"rank\.min must be below"):
        MineSection.model_validate({"teacher": {"id": "x"}, "rank": {"min": 9, "max": 9}})


def test_normalising_counts_what_it_changed() -> None:
    decomposed = unicodedata.normalize("NFD", "한글  글자\n둘")
    table, report = filters.apply(pairs((decomposed, "가"), ("나", "다")), filters_of())
    assert table["anchor"].to_pylist() == ["한글 글자 둘", "나"]
    assert report.changed == {"normalize": {"own": 1}}
    keep = {"unicode": "keep", "whitespace": "keep"}
    table, _ = filters.apply(pairs((decomposed, "가")), filters_of(normalize=keep))
    assert table["anchor"].to_pylist() == [decomposed]


def test_lengths_by_a_tokenizer_drop_or_cut() -> None:
    def syllables(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array([len(text.replace(" ", "")) for text in texts], dtype=np.int64)

    rows = pairs(("가", "나나나나"), ("가나다", "라 마바 사아"), ("가나", "다"))
    length = {"anchor": [2, 8], "positive": [1, 4], "on_long": "truncate"}
    table, report = filters.apply(rows, filters_of(length=length), syllables)
    assert table["positive"].to_pylist() == ["라 마바 사", "다"]
    assert (report.dropped, report.changed) == (
        {"too short": {"own": 1}},
        {"truncated": {"own": 1}},
    )
    table, report = filters.apply(rows, filters_of(length=length | {"on_long": "drop"}), syllables)
    assert (kept(table), report.dropped["too long"]) == ([2], {"own": 1})
    with pytest.raises(UsageError, match='unit = "char"'):
        filters.apply(rows, filters_of(length=length))
    table, _ = filters.apply(rows, filters_of(length=length | {"unit": "char"}))
    assert table["positive"].to_pylist() == ["라 마바", "다"]


def test_hangul_share_of_letters() -> None:
    assert filters.hangul_share("한글 abcd, 123!") == pytest.approx(2 / 6)
    assert filters.hangul_share("123 !?") == 0
    rows = pairs(("한글 질문", "english only"), ("한글", "답"))
    table, report = filters.apply(rows, filters_of(language={"min_hangul": 0.2}))
    assert (kept(table), report.dropped) == ([1], {"language": {"own": 1}})
    table, _ = filters.apply(rows, filters_of(language={"min_hangul": 0.2, "columns": ["anchor"]}))
    assert kept(table) == [0, 1]


def test_texts_without_a_vector_go_wherever_they_stand() -> None:
    rows = pairs(("어머나", "가"), ("나", "다")).append_column(
        "negative_1", pa.array([None, "후우"])
    )
    rows = pa.concat_tables([rows, pairs(("라", "마"))], promote_options="default")

    def are_empty(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.array([text in ("어머나", "후우") for text in texts], dtype=bool)

    table, report = filters.apply(rows, filters_of(), are_empty=are_empty)
    assert (table["anchor"].to_pylist(), report.dropped) == (["라"], {"empty vector": {"own": 2}})
    table, _ = filters.apply(rows, filters_of(empty_vector="keep"), are_empty=are_empty)
    assert table.num_rows == 3


def test_duplicates_within_and_across_sources() -> None:
    rows = pairs(
        ("안녕", "하세요"),
        ("안녕 ", "하세요."),
        ("안녕", "하세요"),
        ("안녕", "가세요"),
        source=["a", "a", "b", "b"],
    )
    table, report = filters.apply(rows, filters_of())
    assert (kept(table), report.dropped) == ([0, 3], {"duplicate": {"a": 1, "b": 1}})
    table, _ = filters.apply(rows, filters_of(dedup={"across": "source"}))
    assert kept(table) == [0, 2, 3]
    table, _ = filters.apply(rows, filters_of(dedup={"exact": False}))
    assert kept(table) == [0, 1, 2, 3]


def test_near_duplicates_keep_the_first() -> None:
    text = "오늘 서울의 날씨는 맑고 기온은 이십 도이며 바람은 약하게 분다고 한다"
    rows = pairs((text, "날씨"), (text + " 합니다", "날씨"), ("전혀 다른 이야기", "다름"))
    near = {"near": {"shingle": 5, "jaccard": 0.7}}
    table, report = filters.apply(rows, filters_of(dedup=near))
    assert (kept(table), report.dropped) == ([0, 2], {"near duplicate": {"own": 1}})
    table, _ = filters.apply(rows, filters_of(dedup={"near": {"jaccard": 0.99}}))
    assert kept(table) == [0, 1, 2]


def test_counts_add_up_and_nothing_left_is_an_error() -> None:
    rows = pairs(("한글", "가"), ("한글", "가"), ("abc", "def"))
    table, report = filters.apply(rows, filters_of(language={"min_hangul": 0.5}))
    gone = sum(sum(by_source.values()) for by_source in report.dropped.values())
    assert (
        sum(report.n_before.values()) - gone == sum(report.n_after.values()) == table.num_rows == 1
    )
    assert json.loads(json.dumps(report.to_json()))["dropped"] == report.dropped
    with pytest.raises(DataError, match=r"No row passes the filters; of 1 rows 1 went as language"):
        filters.apply(pairs(("abc", "def")), filters_of(language={"min_hangul": 0.5}))
