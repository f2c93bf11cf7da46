from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from invented import corpus_of
from kemb import statistics
from kemb.choosing import power
from kemb.choosing.power import plan
from kemb.choosing.questions import questions_of
from kemb.cli import cli
from kemb.drafting.judgments import Comparability
from kemb.encoding.store import Store
from kemb.errors import UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.resolve import resolve
from kemb.results.files import read_results
from kemb.results.rows import rows_of
from kemb.scoring.judged import Ranking
from kemb.types import Qrels

MODELS = ("bm25:bigram", "tfidf:char", "toy")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of data and one of results."""
    root = tmp_path_factory.mktemp("measured")
    data = corpus_of(root / "mydata")
    options = RunOptions(root / "results", Store(root / "store"))
    evaluate([load_task(data)], [resolve(name) for name in MODELS], options)
    return data, root / "results"


def test_scores_of_questions_are_those_of_the_results(measured: tuple[Path, Path]) -> None:
    data_dir, results_dir = measured
    data = load_task(data_dir).load()
    results = read_results(results_dir)
    questions = questions_of(results, data)
    values = questions.values()
    assert values is not None
    np.testing.assert_allclose(questions.point(), [result.main_score for result in results])
    np.testing.assert_allclose(values.mean(axis=1), questions.point())
    assert (questions.n_questions, questions.n_clusters) == (80, 40)
    # Clusters are drawn whole: the spread of the mean is that of 40 pairs.
    spread = questions.replicates().std(axis=0)[0]
    pairs = values[0].reshape(40, 2).mean(axis=1)
    assert spread == pytest.approx(pairs.std() / np.sqrt(40), rel=0.1)


def test_a_plan_comes_from_the_spread_and_not_from_the_observed_difference(
    measured: tuple[Path, Path],
) -> None:
    data_dir, results_dir = measured
    data = load_task(data_dir).load()
    rows = {row.model: row for row in rows_of(read_results(results_dir))}
    a, b = rows["bm25:bigram"], rows["toy"]
    planned = plan(a, b, data, 0.02)
    values = questions_of([row.results["mydata"] for row in (a, b)], data).values()
    assert values is not None
    of_pairs = (values[0] - values[1]).reshape(40, 2).sum(axis=1)
    assert planned.deviation == pytest.approx(np.sqrt(of_pairs.var(ddof=1) / 2), rel=1e-6)
    assert planned.to_see.best == statistics.n_to_see(planned.deviation, 0.02)
    assert planned.to_see.low < planned.to_see.best < planned.to_see.high
    assert planned.to_equate.best > planned.to_see.best
    assert plan(b, a, data, 0.02).to_see == planned.to_see
    wide = plan(a, b, data, 0.04)
    assert wide.to_see.best == pytest.approx(planned.to_see.best / 4, rel=0.01)
    with pytest.raises(UsageError, match="the same row"):
        plan(a, a, data)


def test_two_variants_of_one_model_are_two_rows_of_a_plan(
    measured: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, results_dir = measured
    data = load_task(data_dir).load()
    rows = {row.model: row for row in rows_of(read_results(results_dir))}
    a, other = rows["toy"], rows["tfidf:char"]
    renamed = {"mydata": replace(other.results["mydata"], model="toy")}
    b = replace(other, model="toy", variant="other", results=renamed)
    compared: list[int] = []
    original = power.comparable

    def comparable(rankings: Mapping[str, Ranking], qrels: Qrels) -> Comparability:
        compared.append(len(rankings))
        return original(rankings, qrels)

    monkeypatch.setattr(power, "comparable", comparable)
    plan(a, b, data)
    assert compared == [2]


def test_the_verb_says_it_in_both_languages(measured: tuple[Path, Path]) -> None:
    data_dir, results_dir = measured
    words = [
        "power",
        str(data_dir),
        "-a",
        "bm25:bigram",
        "-b",
        "toy",
        "--results",
        str(results_dir),
    ]
    english = CliRunner().invoke(cli, words)
    assert english.exit_code == 0, english.output
    assert "mydata: ndcg@10 on 80 questions in 40 groups; those of a group share" in english.output
    assert "To see a difference of 2 points between bm25:bigram@" in english.output
    assert "more questions" in english.output
    assert "assumed to be like the old ones" in english.output
    korean = CliRunner().invoke(cli, [*words, "--lang", "ko"])
    assert "2점 차이를 80%의 경우에 찾아내려면, 질문이" in korean.output
    record = json.loads(CliRunner().invoke(cli, [*words, "--difference", "50", "--json"]).output)
    assert record["to_see"]["high"] < record["n_questions"]
    enough = CliRunner().invoke(cli, [*words, "--difference", "50"])
    assert "you need no more questions." in enough.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--difference", "0"], "cannot be planned for"),
        (["--power", "100"], "cannot be planned for"),
        (["-b", "nobody"], "Unknown result row"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    measured: tuple[Path, Path], words: list[str], message: str
) -> None:
    data_dir, results_dir = measured
    base = ["power", str(data_dir), "-a", "bm25:bigram", "-b", "toy", "--results", str(results_dir)]
    outcome = CliRunner().invoke(cli, [*base, *words])
    assert message in str(outcome.exception)


def test_results_of_other_data_are_refused(measured: tuple[Path, Path], tmp_path: Path) -> None:
    other = load_task(corpus_of(tmp_path / "mydata", seed=1)).load()
    rows = rows_of(read_results(measured[1]))
    with pytest.raises(UsageError, match="another state of mydata"):
        plan(rows[0], rows[1], other)
