"""Right chunks that are written in another form than the chunks' own ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemb.tasks.own import load_folder
from kemb.tasks.own.check import CheckReport, check_folder
from kemb.tasks.own.forms import KnownIds, form_of, nearest_id
from kemb.types import RetrievalData
from own_inputs import write_csv

TEXTS = [
    "숙박비는 하루에 십만 원까지 준다.",
    "정산은 닷새 안에 한다.",
    "식비는 하루에 삼만 원이다.",
]
ASKED = ["숙박비는 얼마인가?", "정산은 언제까지 하나?", "식비는 얼마인가?"]


def folder(path: Path, ids: list[str], cells: list[str]) -> CheckReport:
    """Three chunks, and a question for each cell."""
    write_csv(path / "chunks.csv", ["청크번호", "내용"], [*map(list, zip(ids, TEXTS, strict=True))])
    asked = [*ASKED, "그 밖의 것은?", "또 무엇이 있나?"][: len(cells)]
    write_csv(
        path / "questions.csv", ["질문", "정답"], [*map(list, zip(asked, cells, strict=True))]
    )
    return check_folder(path)


def right(path: Path) -> dict[str, set[str]]:
    """The right chunks of every question that is scored."""
    data = load_folder(path)[1].parts[0].data
    assert isinstance(data, RetrievalData)
    return {query: set(grades) for query, grades in data.qrels.items() if grades}


@pytest.mark.parametrize(
    ("ids", "cells", "form"),
    [
        (["001", "002", "003"], ["1", "2", "3"], "number"),
        (["1", "2", "3"], ["1.0", "2.0", "3.0"], "number"),
        (["001", "002", "003"], ["1.0", "002", "3"], "number"),
        (["c1", "c2", "c3"], ["C1", "c2", "C3"], "case"),
        ([" c1 ", "c2", "c3"], ["c1", "c2", "c3"], "blanks"),
        (["c1.txt", "c2.txt", "c3.txt"], ["c1", "docs/c2.txt", "c3"], "ending"),
    ],
)
def test_a_column_that_differs_in_one_way_is_taken_and_said(
    tmp_path: Path, ids: list[str], cells: list[str], form: str
) -> None:
    report = folder(tmp_path, ids, cells)
    assert report.n_findings == {"id form": 1}
    change = form_of(cells, set(ids))
    assert change is not None
    assert change[0] == form
    (finding,) = report.findings
    assert "write them alike" in finding.en
    assert "같게 적으세요" in finding.ko
    assert right(tmp_path) == {f"q{n}": {one} for n, one in enumerate(ids, start=1)}


def test_ids_that_two_chunks_could_be_are_refused(tmp_path: Path) -> None:
    report = folder(tmp_path, ["01", "001", "2"], ["1", "1", "2"])
    assert report.has_errors
    assert form_of(["1", "2"], {"01", "001", "2"}) is None


def test_one_id_that_no_form_explains_refuses_all_and_the_nearest_is_named(tmp_path: Path) -> None:
    report = folder(tmp_path, ["c1", "c2", "c3"], ["C1", "C2", "x9"])
    assert report.has_errors
    (finding,) = report.findings
    assert "no 'C1'; the nearest of its ids is 'c1'" in finding.en
    assert "가장 비슷한 id는 'c1'" in finding.ko


def test_a_decimal_is_no_other_number(tmp_path: Path) -> None:
    assert form_of(["1.1"], {"1.10", "1.2"}) is None
    assert nearest_id("1.1", {"1.10", "1.2"}) == ""
    assert "1.0" in KnownIds({"1", "2"}, "number")
    assert "1.0" not in KnownIds({"1", "2"})


@pytest.mark.parametrize("cell", ["c1/c2", "c1 & c2", "{'c1', 'c2'}", "c1\nc2", "c1\\nc2"])
def test_several_ids_stand_in_a_cell_in_any_of_these_ways(tmp_path: Path, cell: str) -> None:
    report = folder(tmp_path, ["c1", "c2", "c3"], [cell, "c2", "c3"])
    assert report.n_findings == {}
    assert right(tmp_path)["q1"] == {"c1", "c2"}


def test_an_id_with_a_slash_is_one_id_and_refused_where_it_could_be_two(tmp_path: Path) -> None:
    assert not folder(tmp_path / "a", ["a/1", "a/2", "b/1"], ["a/1", "a/2", "b/1"]).n_findings
    report = folder(tmp_path / "b", ["a", "b", "a/b"], ["a/b", "a", "b"])
    assert report.n_findings["ambiguous ids"] == 1


@pytest.mark.parametrize("word", ["NaN", "None", "null", "", "없음", "-"])
def test_a_question_without_a_right_chunk_is_counted_and_not_scored(
    tmp_path: Path, word: str
) -> None:
    report = folder(tmp_path, ["c1", "c2", "c3"], ["c1", "c2", "c3", word])
    assert not report.has_errors
    assert report.n_findings["no relevant document"] == 1
    assert report.n_findings.get("no value", 0) == (1 if word else 0)
    assert [(one.n_scored, one.n_rows) for one in report.scored] == [(3, 4)]


def test_an_id_that_reads_like_no_value_is_an_id(tmp_path: Path) -> None:
    report = folder(tmp_path, ["NA", "KR", "US"], ["NA", "KR", "US"])
    assert not report.n_findings
    assert right(tmp_path)["q1"] == {"NA"}
