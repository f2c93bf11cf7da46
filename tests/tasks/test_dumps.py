"""JSON that search engines, vector stores and evaluators write, and folders of text files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder
from kemb.types import PairData, RetrievalData
from own_inputs import CHUNKS, QUESTIONS, csv_text, write_csv, write_json, write_jsonl

HITS = [
    {"_index": "a", "_id": one, "_score": 1.0, "_source": {"content": text}}
    for one, text in CHUNKS.items()
]
POINTS = [
    {"id": n, "payload": {"chunk_id": one, "text": text}, "vector": None}
    for n, (one, text) in enumerate(CHUNKS.items())
]
CORPORA: dict[str, Any] = {
    "chroma.json": {
        "ids": [*CHUNKS],
        "documents": [*CHUNKS.values()],
        "metadatas": [{"page": 1}] * len(CHUNKS),
        "embeddings": None,
    },
    "points.json": {"result": {"points": POINTS, "next_page_offset": None}, "status": "ok"},
    "hits.json": {"took": 3, "hits": {"total": {"value": 5}, "hits": HITS}},
    "corpus.json": CHUNKS,
    "chunks.json": {one: {"title": "", "text": text} for one, text in CHUNKS.items()},
}
QUESTION_TEXTS = {one: text for one, (text, _) in QUESTIONS.items()}
LISTS = {one: right for one, (_, right) in QUESTIONS.items()}
GRADES = {one: dict.fromkeys(right, 1) for one, right in LISTS.items()}


def questions(path: Path) -> None:
    rows = [[text, ";".join(right)] for text, right in QUESTIONS.values()]
    write_csv(path / "questions.csv", ["질문", "정답"], rows)


def assert_whole(path: Path, warnings: dict[str, int] | None = None) -> None:
    """All chunks, all questions, and their right chunks."""
    report = check_folder(path)
    assert not report.has_errors, report.findings
    assert report.n_findings == (warnings or {})
    data = load_folder(path)[1].parts[0].data
    assert isinstance(data, RetrievalData)
    assert sorted(data.documents) == sorted(CHUNKS.values())
    text_of = dict(zip(data.doc_ids, data.documents, strict=True))
    right = {
        query: {text_of[one] for one in data.qrels[query_id]}
        for query_id, query in zip(data.query_ids, data.queries, strict=True)
    }
    assert right == {text: {CHUNKS[one] for one in ids} for text, ids in QUESTIONS.values()}


@pytest.mark.parametrize("name", CORPORA)
def test_texts_by_id_and_dumps_of_stores_are_chunks(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / name, CORPORA[name])
    questions(tmp_path)
    assert_whole(tmp_path)


def test_lines_of_a_dump_of_elasticsearch_are_chunks(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "dump.jsonl", HITS)
    questions(tmp_path)
    assert_whole(tmp_path)


@pytest.mark.parametrize("key", ["relevant_docs", "qrels"])
@pytest.mark.parametrize("right", [LISTS, GRADES], ids=["lists", "grades"])
def test_one_json_of_an_evaluator_is_a_task(tmp_path: Path, key: str, right: object) -> None:
    value = {"corpus": CHUNKS, "queries": QUESTION_TEXTS, key: right}
    write_json(tmp_path / "eval.json", value)
    assert_whole(tmp_path)


@pytest.mark.parametrize("right", [LISTS, GRADES], ids=["lists", "grades"])
def test_three_json_of_dictionaries_are_a_task(tmp_path: Path, right: object) -> None:
    write_json(tmp_path / "corpus.json", CHUNKS)
    write_json(tmp_path / "queries.json", QUESTION_TEXTS)
    write_json(tmp_path / "qrels.json", right)
    assert_whole(tmp_path)


def test_judgments_in_columns_are_no_dictionary_by_query(tmp_path: Path) -> None:
    write_json(tmp_path / "corpus.json", CHUNKS)
    write_json(tmp_path / "queries.json", QUESTION_TEXTS)
    pairs = [(query, one) for query, right in LISTS.items() for one in right]
    queries, documents = map(list, zip(*pairs, strict=True))
    write_json(tmp_path / "qrels.json", {"query-id": queries, "corpus-id": documents})
    assert_whole(tmp_path)


def test_grades_of_a_dictionary_are_grades(tmp_path: Path) -> None:
    right = {"q1": {"c2": 2, "c3": 0}, "q2": {"c4": 1}, "q3": {"c3": 1}}
    value = {"corpus": CHUNKS, "queries": QUESTION_TEXTS, "qrels": right}
    write_json(tmp_path / "eval.json", value)
    assert not check_folder(tmp_path).has_errors
    data = load_folder(tmp_path)[1].parts[0].data
    assert isinstance(data, RetrievalData)
    assert data.qrels["q1"] == {"c2": 2, "c3": 0}


def test_settings_of_a_program_are_no_chunks(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model": "bge", "device": "cpu"})
    write_json(tmp_path / "corpus.json", CHUNKS)
    questions(tmp_path)
    assert_whole(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_packed_files_are_read(tmp_path: Path, suffix: str) -> None:
    lines = [json.dumps({"id": one, "text": text}) + "\n" for one, text in CHUNKS.items()]
    rows = [list(pair) for pair in CHUNKS.items()]
    text = csv_text(["id", "text"], rows) if suffix == ".csv" else "".join(lines)
    (tmp_path / f"chunks{suffix}.gz").write_bytes(gzip.compress(text.encode()))
    questions(tmp_path)
    assert_whole(tmp_path)
    assert not check_folder(tmp_path / f"chunks{suffix}.gz").n_findings.get("file not used")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no gzip", id="none"),
        pytest.param(gzip.compress(b"id,text\nc1,a\n" * 99, mtime=0)[:-20], id="cut"),
    ],
)
def test_a_broken_packed_file_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chunks.csv.gz").write_bytes(content)
    questions(tmp_path)
    assert check_folder(tmp_path).has_errors


@pytest.mark.parametrize("name", ["c1", "c1.txt"])
def test_text_files_that_questions_name_are_chunks(tmp_path: Path, name: str) -> None:
    (tmp_path / "docs").mkdir()
    for one, text in CHUNKS.items():
        (tmp_path / "docs" / f"{one}.txt").write_text(text + "\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("읽어 보세요", encoding="utf-8")
    ending = name.removeprefix("c1")
    rows = [[text, ";".join(one + ending for one in ids)] for text, ids in QUESTIONS.values()]
    write_csv(tmp_path / "questions.csv", ["질문", "정답"], rows)
    said = {"files as chunks": 1} | ({} if ending else {"id form": 1})
    assert_whole(tmp_path, said)
    before = check_folder(tmp_path).revision
    (tmp_path / "docs" / "c1.txt").write_text("다른 글이다.", encoding="utf-8")
    assert check_folder(tmp_path).revision != before


def test_text_files_that_no_question_names_are_no_chunks(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("메모", encoding="utf-8")
    questions(tmp_path)
    assert check_folder(tmp_path).n_findings == {"missing file": 1}


def test_text_that_is_called_excel_is_read_and_a_page_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "corpus.json", CHUNKS)
    questions(tmp_path)
    (tmp_path / "questions.csv").rename(tmp_path / "questions.xls")
    assert_whole(tmp_path, {"no Excel": 1})
    (tmp_path / "questions.xls").write_text("<html><table><tr><td>질문</td></tr></table></html>")
    (finding,) = (one for one in check_folder(tmp_path).findings if one.kind == "broken Excel")
    assert "HTML" in finding.en
    assert "password" not in finding.en


def test_a_workbook_with_a_password_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "corpus.json", CHUNKS)
    old_kind = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    (tmp_path / "questions.xlsx").write_bytes(old_kind)
    (finding,) = (one for one in check_folder(tmp_path).findings if one.kind == "broken Excel")
    assert "password" in finding.en
    assert "암호" in finding.ko


def test_a_header_in_a_second_language_is_no_question(tmp_path: Path) -> None:
    write_json(tmp_path / "corpus.json", CHUNKS)
    rows = [[text, ";".join(right)] for text, right in QUESTIONS.values()]
    write_csv(tmp_path / "questions.csv", ["질문", "정답"], [["question", "answer"], *rows])
    assert_whole(tmp_path, {"header": 1})


def test_a_first_row_that_only_sounds_like_names_is_a_row(tmp_path: Path) -> None:
    rows = [["본문", "제목", "1.5"], ["지문", "문단", "4"], ["날씨", "하늘", "0.5"]]
    write_csv(tmp_path / "pairs.csv", ["문장1", "문장2", "점수"], rows)
    data = load_folder(tmp_path)[1].parts[0].data
    assert isinstance(data, PairData)
    assert data.gold.tolist() == [1.5, 4, 0.5]


@pytest.mark.parametrize(
    "answer",
    [
        {"hits": {"total": {"value": 5000}, "hits": HITS}},
        {"hits": {"total": 5000, "hits": HITS}},
        {"result": {"points": POINTS, "next_page_offset": 7}},
    ],
    ids=["elasticsearch", "of old", "qdrant"],
)
def test_one_page_of_an_answer_is_no_corpus(tmp_path: Path, answer: dict[str, Any]) -> None:
    """What is not there would count as nothing that could mislead: scores would be too high."""
    write_json(tmp_path / "chunks.json", answer)
    questions(tmp_path)
    assert check_folder(tmp_path).n_findings.get("part of an answer") == 1


def test_a_judged_question_without_a_text_is_told(tmp_path: Path) -> None:
    right = {**LISTS, "q99": ["c1"]}
    value = {"corpus": CHUNKS, "queries": QUESTION_TEXTS, "relevant_docs": right}
    write_json(tmp_path / "eval.json", value)
    assert check_folder(tmp_path).has_errors


def test_files_that_people_do_not_mean_are_no_chunks(tmp_path: Path) -> None:
    for one, text in CHUNKS.items():
        (tmp_path / f"p-{one}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "README.md").write_text("읽어 보세요", encoding="utf-8")
    (tmp_path / "._p-c1.txt").write_bytes(b"\0\5\26\7")
    rows = [[text, ";".join(f"p-{one}.txt" for one in ids)] for text, ids in QUESTIONS.values()]
    write_csv(tmp_path / "questions.csv", ["질문", "정답"], rows)
    assert_whole(tmp_path, {"files as chunks": 1})


def test_packed_shards_are_one_table(tmp_path: Path) -> None:
    lines = [json.dumps({"id": one, "text": text}) for one, text in CHUNKS.items()]
    for number, part in enumerate((lines[:2], lines[2:])):
        content = gzip.compress("\n".join(part).encode(), mtime=0)
        (tmp_path / f"corpus-{number:05}-of-00002.jsonl.gz").write_bytes(content)
    questions(tmp_path)
    assert_whole(tmp_path)


def test_a_first_column_without_a_name_is_an_id_where_it_is_no_number(tmp_path: Path) -> None:
    write_csv(tmp_path / "chunks.csv", ["", "text"], [[*item] for item in CHUNKS.items()])
    questions(tmp_path)
    assert_whole(tmp_path, {"header": 1})
