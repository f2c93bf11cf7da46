"""Labels and scores of pairs as people mark them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder
from kemb.tasks.own.marks import numbers_spelled, yes_and_no
from kemb.types import PairData
from own_inputs import write_csv

PAIRS = [("비가 온다", "비가 내린다"), ("눈이 온다", "해가 뜬다"), ("밥을 먹는다", "식사를 한다")]


def pairs(path: Path, column: str, marks: list[str]) -> Path:
    rows = [[*pair, mark] for pair, mark in zip(PAIRS, marks, strict=True)]
    write_csv(path / "pairs.csv", ["문장1", "문장2", column], rows)
    return path


def gold(path: Path) -> list[float]:
    data = load_folder(path)[1].parts[0].data
    assert isinstance(data, PairData)
    return [float(one) for one in data.gold]


@pytest.mark.parametrize(
    "marks",
    [["O", "X", "O"], ["True", "False", "TRUE"], ["예", "아니오", "네"], ["○", "×", "○"]],
)
def test_words_for_yes_and_no_are_labels_and_it_is_said(tmp_path: Path, marks: list[str]) -> None:
    report = check_folder(pairs(tmp_path, "라벨", marks))
    assert report.spec is not None
    assert report.spec.type == "pair_classification"
    assert report.n_findings == {"labels decided": 1}
    assert gold(tmp_path) == [1, 0, 1]


@pytest.mark.parametrize("marks", [["O", "X", "△"], ["O", "O", "O"], ["True", "아니오", "True"]])
def test_other_marks_are_refused(tmp_path: Path, marks: list[str]) -> None:
    report = check_folder(pairs(tmp_path, "라벨", marks))
    assert report.n_findings == {"unclear labels": 1}
    assert "clustering" not in report.proposal


@pytest.mark.parametrize(
    ("marks", "numbers"),
    [
        (["80%", "0 %", "55,5%"], [80, 0, 55.5]),
        (["0,5", "1,25", "3"], [0.5, 1.25, 3]),
    ],
)
def test_percentages_and_decimal_commas_are_scores_and_it_is_said(
    tmp_path: Path, marks: list[str], numbers: list[float]
) -> None:
    report = check_folder(pairs(tmp_path, "유사도", marks))
    assert report.spec is not None
    assert report.spec.type == "sts"
    assert report.n_findings == {"numbers decided": 1}
    assert gold(tmp_path) == numbers


def test_a_comma_between_thousands_is_no_decimal_comma() -> None:
    assert numbers_spelled(["1,500", "2,000"]) is None
    assert numbers_spelled(["1.5", "2,5"]) is None
    assert numbers_spelled(["80%", "90"]) is None
    assert yes_and_no(["O", "X", ""]) == {"O": 1, "X": 0}


def test_a_page_is_no_score(tmp_path: Path) -> None:
    rows = [[f"질문 {n}: 무엇을 하는가?", f"본문의 설명 {n}번이다", str(n % 3)] for n in range(9)]
    write_csv(tmp_path / "eval.csv", ["asked", "said", "target_page_no"], rows)
    proposal = check_folder(tmp_path).proposal
    assert "score" not in proposal
    assert "target_page_no" not in proposal
