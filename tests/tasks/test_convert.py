"""`kemb convert`: any retrieval folder in BEIR's layout, with the same score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from kemb.cli import cli
from kemb.tasks.own import load_folder
from kemb.types import RetrievalData
from own_inputs import QUESTIONS, autorag_csv, excel_csv, qa_csv, ragas, write_csv


def kemb(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def scores(folder: Path, work: Path) -> dict[str, Any]:
    """Every value of every question, by metric."""
    where = ["--results", work / "results", "--store", work / "store"]
    done = kemb("run", folder, "-m", "bm25:bigram", *where)
    assert done.exit_code == 0, done.output
    (items,) = (work / "results").rglob("*.parquet")
    rows = pq.read_table(items).to_pylist()
    return {f"{row['item_id']} {row['metric']}": row["value"] for row in rows}


@pytest.mark.parametrize("write", [ragas, qa_csv, excel_csv], ids=lambda write: write.__name__)
def test_the_converted_folder_has_the_same_scores(tmp_path: Path, write: Any) -> None:  # noqa: ANN401
    source = write(tmp_path / "my-data")
    done = kemb("convert", source, "-o", tmp_path / "new" / "beir")
    assert done.exit_code == 0, done.output
    assert "3 questions" in done.output
    before, after = load_folder(source), load_folder(tmp_path / "new" / "beir")
    assert after[0].name == before[0].name
    assert after[1].parts[0].sha256 == before[1].parts[0].sha256
    assert scores(tmp_path / "new" / "beir", tmp_path / "1") == scores(source, tmp_path / "2")
    assert sorted(path.name for path in (tmp_path / "new" / "beir").rglob("*")) == [
        *("corpus.jsonl", "qrels", "queries.jsonl", "task.toml", "test.tsv"),
    ]


def test_groups_are_lost_and_said_to_be(tmp_path: Path) -> None:
    done = kemb("convert", autorag_csv(tmp_path / "a"), "-o", tmp_path / "b")
    assert "nDCG stays the same" in done.output
    before, after = scores(tmp_path / "a", tmp_path / "1"), scores(tmp_path / "b", tmp_path / "2")
    assert {key: value for key, value in before.items() if "ndcg" in key} == {
        key: value for key, value in after.items() if "ndcg" in key
    }


def test_all_questions_and_other_settings_come_along(tmp_path: Path) -> None:
    """A question without a right chunk is kept: it is counted by `kemb check`, before and after."""
    write_csv(
        tmp_path / "d" / "chunks.csv",
        ["id", "title", "text"],
        [["a", "제목", "글"], ["b", "", "말"]],
    )
    rows = [["1", "무엇?", "a", 2], ["1", "무엇?", "b", 0], ["2", "어디?", "", ""]]
    write_csv(tmp_path / "d" / "questions_dev.csv", ["id", "질문", "정답", "관련도"], rows)
    (tmp_path / "d" / "task.toml").write_text('name = "meins"\nignore_identical_ids = true\n')
    assert kemb("convert", tmp_path / "d", "-o", tmp_path / "b").exit_code == 0
    for folder in ("d", "b"):
        checked = kemb("check", tmp_path / folder).output
        assert "dev: 1 of 2 questions are scored; 1 has no right chunk" in checked
    spec, task = load_folder(tmp_path / "b")
    assert (spec.name, spec.splits, spec.ignore_identical_ids) == ("meins", ["dev"], True)
    data = task.parts[0].data
    assert isinstance(data, RetrievalData)
    assert data.qrels == {"1": {"a": 2, "b": 0}}
    assert data.documents == ["제목 글", "말"]


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    source = qa_csv(tmp_path / "d")
    (tmp_path / "there").mkdir()
    refused = kemb("convert", source, "-o", tmp_path / "there")
    assert "is there already" in str(refused.exception)
    assert list((tmp_path / "there").iterdir()) == []
    write_csv(tmp_path / "tab" / "chunks.csv", ["id", "text"], [["a\tb", "글"], ["c", "말"]])
    write_csv(
        tmp_path / "tab" / "questions.csv", ["질문", "정답"], [["무엇?", "c"], ["왜?", "a\tb"]]
    )
    refused = kemb("convert", tmp_path / "tab", "-o", tmp_path / "new")
    assert "'a\\tb'" in str(refused.exception)
    assert not (tmp_path / "new").exists()


def test_only_retrieval_is_converted_and_errors_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "sts.csv", ["문장1", "문장2", "점수"], [["가", "나", 1], ["다", "라", 3]])
    refused = kemb("convert", tmp_path / "sts.csv", "-o", tmp_path / "b")
    assert "is sts; BEIR's layout holds documents" in str(refused.exception)
    write_csv(tmp_path / "d" / "chunks.csv", ["id", "text"], [["a", "글"]])
    write_csv(tmp_path / "d" / "questions.csv", ["질문", "정답"], [["무엇?", "a;x"], ["왜?", "a"]])
    refused = kemb("convert", tmp_path / "d", "-o", tmp_path / "b")
    assert "questions.csv, row 2, 정답: 'x' - chunks.csv has no such id" in str(refused.exception)


def test_what_was_written_can_be_read_by_programs(tmp_path: Path) -> None:
    done = kemb("convert", qa_csv(tmp_path / "d"), "-o", tmp_path / "b", "--json")
    record = json.loads(done.output)
    assert (record["n_documents"], record["n_queries"], record["n_judgments"]) == (4, 3, 4)
    assert record["warnings"] == {"no other chunks": 1}
    lines = (tmp_path / "b" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == [text for text, _ in QUESTIONS.values()]
