"""A model's labels beside people's: enough of both, and not the model that wrote the questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from drafted_folder import drafted
from kemb.drafting.judge import check_judge
from kemb.drafting.review_log import open_log
from kemb.messages import say
from kemb.tasks.own.decisions import Decision


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty pairs judged by a person, every third of them right."""
    root = drafted(tmp_path / "set", 12)
    with open_log(root, "mina") as log:
        for number in range(60):
            what = "right" if number % 3 == 0 else "wrong"
            log.append(Decision(f"q{number // 5}", what, f"d{number % 5}"))
    return root


def test_kappa_over_the_pairs_that_both_have_judged(folder: Path) -> None:
    labels = {(f"q{n // 5}", f"d{n % 5}"): int(n % 4 == 0) for n in range(60)} | {("q1", "d9"): 1}
    report = check_judge(folder, "big-model", labels)
    people = [n % 3 == 0 for n in range(60)]
    model = [n % 4 == 0 for n in range(60)]
    assert report.agreement.n == 60
    assert report.agreement.kappa == pytest.approx(cohen_kappa_score(people, model))
    [sentence] = [say(note, "en") for note in report.notes()]
    assert f"kappa {report.agreement.kappa:.2f} (" in sentence
    assert "not a person's" in sentence


def test_few_pairs_and_the_writer_of_the_questions_are_said(folder: Path) -> None:
    (folder / "drafted.json").write_text(
        json.dumps({"llm": {"model": "alias", "served": ["big-model"]}})
    )
    labels = {(f"q{n // 5}", f"d{n % 5}"): 1 for n in range(49)}
    report = check_judge(folder, "big-model", labels)
    assert not report.is_enough
    unknown, same = (say(note, "en") for note in report.notes())
    assert "both have judged 49 pairs, 50 of both kinds are needed" in unknown
    assert "also wrote the questions" in same
    assert not check_judge(folder, "other", labels).wrote_questions
