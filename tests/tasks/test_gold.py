"""Right chunks in a cell: ids, lists as text, and passages that are matched with chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemb.tasks.own.gold import (
    LEAST_CHARS,
    MOST_CHUNKS,
    Passages,
    flat_texts,
    ids_in,
    is_ambiguous,
    parse_list,
    passages_in,
)

KNOWN = {"c1", "c7", "12", "a,b", "제1조 2항"}


@pytest.mark.parametrize(
    ("cell", "ids"),
    [
        ("c1", ["c1"]),
        (" c1 ", ["c1"]),
        ("c1;c7", ["c1", "c7"]),
        ("c1, c7", ["c1", "c7"]),
        ("c1|c7|c1", ["c1", "c7"]),
        ("c1\nc7", ["c1", "c7"]),
        ("c1 c7", ["c1", "c7"]),
        ("c1;c7;", ["c1", "c7"]),
        ("c1; c7, 12", ["c1", "c7", "12"]),
        ("a,b", ["a,b"]),
        ("a,b;c1", ["a,b", "c1"]),
        ("제1조 2항", ["제1조 2항"]),
        ('["c1", "c7"]', ["c1", "c7"]),
        ("['c1', 'c7']", ["c1", "c7"]),
        ("[c1, c7]", ["c1", "c7"]),
        ("['c1' 'c7']", ["c1", "c7"]),
        ("[12]", ["12"]),
        (["c1", "c7"], ["c1", "c7"]),
        ([["c1"], ["c7"]], ["c1", "c7"]),
        (12, ["12"]),
        (12.0, ["12"]),
        ("c1;c9", ["c1", "c9"]),
        ("x;y", ["x;y"]),
        ("", [""]),
    ],
)
def test_ids_are_split_as_people_write_them(cell: object, ids: list[str]) -> None:
    assert ids_in(cell, KNOWN) == ids


def test_a_cell_that_may_be_one_id_or_several_is_ambiguous() -> None:
    assert is_ambiguous("a,b", {"a,b", "a", "b"})
    assert not is_ambiguous("a,b", {"a,b", "a"})
    assert not is_ambiguous("a;b", {"a", "b"})


def array(*values: object) -> Any:  # noqa: ANN401  what a data frame holds
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("value", "nested"),
    [
        ([["a"], ["b", "c"]], [["a"], ["b", "c"]]),
        (array(array("a"), array("b", "c")), [["a"], ["b", "c"]]),
        (array(array("it's", '"so"')), [["it's", '"so"']]),
        (array("a", "b"), ["a", "b"]),
    ],
)
def test_lists_are_read_as_python_and_numpy_print_them(value: object, nested: list[Any]) -> None:
    if isinstance(value, np.ndarray) and value.dtype == object and len(value) == 2:
        nested_in_array = np.empty(len(value), dtype=object)
        nested_in_array[:] = list(value)
        value = nested_in_array
    assert flat_texts(parse_list(str(value))) == flat_texts(nested)


def test_groups_of_one_printed_by_numpy_stay_groups() -> None:
    assert parse_list("[array(['a'], dtype=object) array(['b', 'c'], dtype=object)]") == [
        ["a"],
        ["b", "c"],
    ]
    assert parse_list("[['a'], ['b', 'c']]") == [["a"], ["b", "c"]]


@given(st.lists(st.lists(st.text(max_size=8), max_size=3), max_size=3))
def test_any_list_of_lists_survives_being_printed(value: list[list[str]]) -> None:
    assert parse_list(str(value)) == value


@pytest.mark.parametrize(
    "text", ["[공지] 휴무 안내", "[별표 1]", "(주)회사", "[1, 2", "1, 2]", "['a' ... 'z']"]
)
def test_texts_that_only_look_like_lists_are_passages(text: str) -> None:
    assert passages_in(text) == [text]


# ---- passages

LONG = "제2조 국내 출장의 숙박비는 하루 십만 원을 넘지 못한다."
TWO = "제3조 해외 출장의 일비는 지역 등급에 따라 차등하여 지급한다."


def found(passage: object, *texts: str) -> tuple[list[str], list[str]]:
    ids = [f"c{number}" for number in range(1, len(texts) + 1)]
    return Passages(ids, [""] * len(texts), texts).find_all(passage)


def test_an_equal_passage_is_found_whatever_its_blanks_case_and_form() -> None:
    assert found("ABC  도\n이다", "abc 도 이다", "다른 글") == (["c1"], [])
    assert found("\u1112\u1161\u11ab글", "한글", "영어") == (["c1"], [])
    assert found("가나", "가나", "다라", "가나") == (["c1", "c3"], [])  # equal chunks are all right


def test_a_title_may_stand_before_the_passage() -> None:
    passages = Passages(["c1"], ["출장 규정"], [LONG])
    assert passages.find(f"출장 규정 {LONG}") == ["c1"]


def test_a_part_of_a_chunk_finds_the_chunks_around_it() -> None:
    part = "국내 출장의 숙박비는 하루 십만 원을 넘지"
    assert found(part, TWO, LONG, f"머리말 {LONG} {TWO}") == (["c2", "c3"], [])


def test_a_passage_over_several_chunks_finds_those_inside_it() -> None:
    assert found(
        f"앞말 {LONG} {TWO} 뒷말", LONG, "남의 글이며 여기에 없는 아주 긴 글입니다.", TWO
    ) == (
        ["c1", "c3"],
        [],
    )


def test_short_texts_match_only_whole_chunks() -> None:
    assert len("서울") < LEAST_CHARS
    assert found("서울", "서울은 한국의 수도이다.") == ([], ["서울"])
    assert found("서울", "서울") == (["c1"], [])


def test_boilerplate_says_nothing() -> None:
    chunks = [f"{LONG} {number}" for number in range(MOST_CHUNKS + 1)]
    assert found(LONG, *chunks) == ([], [LONG])
    assert found(LONG, *chunks[:MOST_CHUNKS])[1] == []


def test_several_passages_stand_in_one_cell() -> None:
    assert found([LONG, TWO, "없는 글"], LONG, TWO) == (["c1", "c2"], ["없는 글"])
    assert found(f"{LONG}\n\n{TWO}", LONG, TWO) == (["c1", "c2"], [])
    assert found(str([LONG, TWO]), LONG, TWO) == (["c1", "c2"], [])
