"""Files as other programs and people write them: each is accepted by `kemb check` and scored by
`kemb run` as the same data in BEIR's layout is.
"""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder, to_toml
from kemb.types import RetrievalData
from own_inputs import (
    CHUNKS,
    Writer,
    autorag_csv,
    beir,
    csv_chunks,
    excel,
    excel_csv,
    jsonl_chunks,
    langchain,
    langchain_dumped,
    llama_finetune,
    llama_index,
    llama_nodes,
    ms_marco,
    parquet,
    qa_csv,
    ragas,
    ragas_old,
    trec,
    write_csv,
)

NINE: list[Writer] = [
    csv_chunks,
    jsonl_chunks,
    excel,
    langchain,
    ragas,
    llama_index,
    autorag_csv,
    qa_csv,
]
"""The inputs of which none was taken; a folder of documents has its own test."""
MORE: list[Writer] = [
    ragas_old,
    llama_finetune,
    langchain_dumped,
    llama_nodes,
    parquet,
    trec,
    ms_marco,
    excel_csv,
]
EXPECTED_WARNINGS = {
    "qa_csv": {"no other chunks": 1},
    "excel_csv": {"encoding decided": 2},
    "ms_marco": {"no header": 2},
}


def ndcg(path: Path, work: Path) -> list[float]:
    """The score of every question, by `kemb run` with BM25."""
    where = ["--results", str(work / "results"), "--store", str(work / "store")]
    done = CliRunner().invoke(cli, ["run", str(path), "-m", "bm25:bigram", *where, "--json"])
    assert done.exit_code == 0, done.output
    (items,) = (work / "results").rglob("*.parquet")
    rows = pq.read_table(items).to_pylist()
    return [row["value"] for row in rows if row["metric"] == "ndcg@10"]


def load(path: Path) -> RetrievalData:
    data = load_folder(path)[1].parts[0].data
    assert isinstance(data, RetrievalData)
    return data


def assert_toml_says_the_same(folder: Path) -> None:
    """The printed task.toml in the folder changes nothing."""
    spec, data = load_folder(folder)
    (folder / "task.toml").write_text(to_toml(spec), encoding="utf-8")
    again, data_again = load_folder(folder)
    (folder / "task.toml").unlink()
    assert again == spec
    assert [part.sha256 for part in data_again.parts] == [part.sha256 for part in data.parts]


@pytest.mark.parametrize("write", NINE + MORE, ids=lambda write: write.__name__)
def test_every_input_is_understood_and_scored_as_beir_is(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "mydata")
    checked = CliRunner().invoke(cli, ["check", str(path)])
    assert checked.exit_code == 0, checked.output
    assert "3 of 3 questions are scored" in checked.output
    report = check_folder(path)
    assert report.n_findings == EXPECTED_WARNINGS.get(write.__name__, {})
    if path.is_dir():
        assert_toml_says_the_same(path)
    scores = ndcg(path, tmp_path / "one")
    if write is qa_csv:  # its documents are the right ones alone: four of the five
        assert len(load(path).documents) == 4
    else:
        assert load(path).documents == list(CHUNKS.values())
        assert scores == ndcg(beir(tmp_path / "beir"), tmp_path / "two")
    assert scores[2] == pytest.approx(1 / math.log2(3))  # c4 has more of the words of q3


def test_a_question_with_two_right_chunks_scores_as_computed_by_hand(tmp_path: Path) -> None:
    """Every question but q2 has its chunk first; q2 has its two on the ranks that BM25 gives."""
    write_csv(tmp_path / "d" / "chunks.csv", ["id", "text"], [["a", "가나다"], ["b", "라마바"]])
    write_csv(
        tmp_path / "d" / "questions.csv",
        ["question", "gold_ids"],
        [["가나다", "a;b"], ["라마바", "a"], ["라마", "b"]],
    )
    # First: a is found first, b has no word in common but is ranked second: both right, 1.
    # Second: its right document is the second of two: 1 / log2(3).
    assert ndcg(tmp_path / "d", tmp_path) == pytest.approx([1.0, 1 / math.log2(3), 1.0])
