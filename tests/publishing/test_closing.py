from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from invented import corpus_of
from kemb.boards import build_board
from kemb.boards.benchmark import of_tasks
from kemb.cli import cli
from kemb.messages import say
from kemb.publishing import tables
from kemb.publishing.closing import closing
from kemb.publishing.notes import intervals_note
from kemb.results.files import read_results


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("closing")
    return corpus_of(root / "mydata"), root


def run(folders: tuple[Path, Path], *models: str, lang: str = "en", name: str = "results") -> str:
    data, root = folders
    words = ["run", str(data), "--results", str(root / name), "--store", str(root / "store")]
    for model in models:
        words += ["-m", model]
    outcome = CliRunner().invoke(cli, [*words, "--lang", lang])
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_one_row_ends_with_its_score_and_no_word_of_ranks(folders: tuple[Path, Path]) -> None:
    output = run(folders, "toy")
    assert "mydata: ndcg@10 on 80 questions." in output
    assert "toy scores " in output
    assert "One row says nothing of an order" in output
    assert "P(1st)" not in output
    assert "100%" not in output
    assert "all pairs" not in output
    assert "-m으로 하나 더" in run(folders, "toy", lang="ko")


def test_rows_end_with_who_can_be_first(folders: tuple[Path, Path]) -> None:
    decided = run(folders, "bm25:bigram", "toy", name="decided")
    assert "bm25:bigram is first: certainly better than every other of the 2 rows" in decided
    assert "P(1st)" in decided
    korean = run(folders, "bm25:bigram", "toy", name="decided", lang="ko")
    assert "bm25:bigram이(가) 1위입니다" in korean or "bm25:bigram이 1위입니다" in korean


def test_rows_that_cannot_be_told_apart_are_all_named(tmp_path: Path) -> None:
    run(
        (corpus_of(tmp_path / "mydata", n_passages=6, per_passage=1), tmp_path), "toy", "tfidf:char"
    )
    results = read_results(tmp_path / "results")
    board = build_board(results, of_tasks(["mydata"]))
    names = {row.name for row in board.first_group}
    assert names == {"toy", "tfidf:char"}, "the data of this test must not decide"
    basis, order = (say(sentence, "en") for sentence in closing(board))
    assert basis == "mydata: ndcg@10 on 6 questions."
    assert order.startswith("First can be ")
    assert "these 2 of 2 rows cannot be told apart" in order
    assert any(column.kind == "certainty" for column in tables.columns(board, board.rows, "en"))
    assert "all pairs" in say(intervals_note(board), "en")


def test_an_interval_ends_where_the_scale_does(tmp_path: Path) -> None:
    """Scores of 1, 1 and less: widened resamples reach past 1."""
    data = tmp_path / "mydata"
    (data / "qrels").mkdir(parents=True)
    documents = [f'{{"_id": "d{i}", "text": "{word} 이야기"}}' for i, word in enumerate("가나다라")]
    (data / "corpus.jsonl").write_text("\n".join(documents), encoding="utf-8")
    questions = [f'{{"_id": "q{i}", "text": "{word} 이야기"}}' for i, word in enumerate("가나라")]
    (data / "queries.jsonl").write_text("\n".join(questions), encoding="utf-8")
    judged = "query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\nq2\td2\t1\n"
    (data / "qrels/test.tsv").write_text(judged, encoding="utf-8")
    output = run((data, tmp_path), "tfidf:char")
    high = re.search(r"interval \S+ to (\S+)\. One row", output)
    assert high
    assert high[1] == "100.00"
