"""`kemb choose` where there is little to choose with: few questions, one row, none that works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from invented import corpus_of
from kemb.choosing import choose as choosing
from kemb.choosing.decide import decide
from kemb.cli import cli
from kemb.errors import UsageError
from kemb.evaluation.evaluate import Outcome


def choose(data: Path, *words: str) -> Result:
    keeping = ["--results", str(data.parent / "results"), "--store", str(data.parent / "store")]
    return CliRunner().invoke(cli, ["choose", str(data), "--device", "cpu", *keeping, *words])


@pytest.mark.parametrize("n", [2, 3, 9])
def test_fewer_than_ten_questions_call_no_row_better(tmp_path: Path, n: int) -> None:
    """Resamples of so few are too much alike, which is no certainty."""
    corpus_of(tmp_path / "mydata", n_passages=n, per_passage=1, n_others=30)
    words = ("-m", "bm25:bigram", "-m", "toy", "--no-hybrids")
    outcome = choose(tmp_path / "mydata", *words)
    assert outcome.exit_code == 0, outcome.output
    assert f"{n} questions (ndcg@10), {n} of them on passages of their own" in outcome.stdout
    for word in ("certainly", "Take ", "every resample", "first impression", "more questions."):
        assert word not in outcome.stdout.partition("\n---")[0]
    record = json.loads(choose(tmp_path / "mydata", *words, "--json").stdout)
    assert f"Now {record['take']} (" in outcome.stdout
    assert record["is_too_few"]
    assert len(record["first_group"]) == 2
    assert record["plan"] is None


def test_questions_on_one_passage_are_one_question(tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=2, per_passage=10, n_others=30)
    outcome = choose(tmp_path / "mydata", "-m", "bm25:bigram", "-m", "toy", "--lang", "ko")
    assert "질문 20개(ndcg@10, 서로 다른 문서에 관한 것은 2개)로는" in outcome.stdout


def test_ten_are_enough_to_say_something() -> None:
    point = np.array([0.2, 0.8])
    replicates = point + np.random.default_rng(0).normal(0, 0.01, (500, 2))
    assert decide(point, replicates, [0, 1], 0.05, 10).group == [1]
    assert decide(point, replicates, [0, 1], 0.05, 9).group == [1, 0]


def test_of_one_row_only_its_score_is_said(tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1)
    outcome = choose(tmp_path / "mydata", "-m", "toy", "-o", str(tmp_path / "page.html"))
    assert "Declared: one row, so there is nothing to compare it with." in outcome.stderr
    assert "there is only toy, so there is nothing to choose from" in outcome.stdout
    assert "with other questions of this kind" in outcome.stdout
    assert "flatters" not in outcome.stdout
    assert (tmp_path / "page.html").is_file()


def test_where_all_rows_fail_one_sentence_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1)

    def fail(*arguments: object) -> list[Outcome]:
        return [Outcome("toy", "mydata", "failed", message="out of memory")]

    monkeypatch.setattr(choosing, "evaluate", fail)
    outcome = choose(tmp_path / "mydata", "-m", "toy", "-m", "bm25:bigram", "-m", "tfidf:char")
    assert isinstance(outcome.exception, UsageError)
    assert "No model could be measured on mydata. toy: out of memory" in str(outcome.exception)
