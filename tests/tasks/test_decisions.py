"""What reviewers decided: read past torn lines, merged by majority, applied to the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb.errors import DataError
from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder
from kemb.tasks.own.decisions import Decision, Decisions, read_decisions, seen_share
from kemb.tasks.own.findings import Findings
from kemb.types import RetrievalData, TaskData


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four questions over five passages, one right passage each."""
    root = tmp_path / "drafted"
    (root / "qrels").mkdir(parents=True)
    passages = [{"_id": f"d{n}", "title": "", "text": f"지문 {n}"} for n in range(5)]
    questions = [{"_id": f"q{n}", "text": f"질문 {n}은?"} for n in range(4)]
    for name, records in (("corpus", passages), ("queries", questions)):
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"q{n}\td{n}\t1" for n in range(4)]
    (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")
    return root


def decide(root: Path, reviewer: str, *decisions: Decision) -> Path:
    path = root / "review" / f"{reviewer}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for decision in decisions:
            file.write(json.dumps(decision.as_json(), ensure_ascii=False) + "\n")
    return path


def data_of(root: Path) -> tuple[RetrievalData, TaskData]:
    task = load_folder(root)[1]
    data = task.parts[0].data
    assert isinstance(data, RetrievalData)
    return data, task


def test_decisions_change_the_task_its_notes_and_its_revision(folder: Path) -> None:
    _, before = data_of(folder)
    decide(
        folder,
        "mina",
        Decision("q0", "reject"),
        Decision("q1", "edit", text="고친 질문은?"),
        Decision("q2", "accept"),
        Decision("q2", "right", "d4"),
        Decision("q2", "wrong", "d3"),
        Decision("q3", "right", "d3"),  # says nothing new
    )
    data, task = data_of(folder)
    assert data.query_ids == ["q1", "q2", "q3"]
    assert data.queries == ["고친 질문은?", "질문 2은?", "질문 3은?"]
    assert data.qrels == {"q1": {"d1": 1}, "q2": {"d2": 1, "d4": 1, "d3": 0}, "q3": {"d3": 1}}
    assert task.parts[0].notes == {
        "n_rejected_questions": 1,
        "n_edited_questions": 1,
        "n_reviewed_judgments": 2,
    }
    assert task.revision != before.revision
    assert task.warnings == before.warnings
    decide(folder, "mina", Decision("q3", "accept"))
    assert data_of(folder)[1].revision != task.revision


def test_what_is_taken_back_is_as_if_it_had_never_been(folder: Path) -> None:
    before, task = data_of(folder)
    decide(
        folder,
        "mina",
        Decision("q0", "reject"),
        Decision("q1", "right", "d4"),
        Decision("q1", "unjudged", "d4"),
        Decision("q0", "none"),
    )
    after, reviewed = data_of(folder)
    assert after == before
    assert reviewed.parts[0].sha256 == task.parts[0].sha256
    assert seen_share(folder) == 0


def test_a_majority_settles_and_a_tie_leaves_the_draft(folder: Path) -> None:
    decide(folder, "a", Decision("q0", "reject"), Decision("q1", "reject"))
    decide(folder, "b", Decision("q0", "reject"), Decision("q1", "accept"))
    decide(folder, "c", Decision("q0", "accept"))
    data, task = data_of(folder)
    assert data.query_ids == ["q1", "q2", "q3"]
    assert task.warnings == {"reviewers disagree": 1}
    merged = read_decisions(folder, Findings()).merged()
    settled = {conflict.query: conflict.settled for conflict in merged.conflicts}
    assert settled["q1"] is None
    assert settled["q0"] is not None
    assert settled["q0"].decision == "reject"
    # q1, q2 and q3 are scored; of these q1 was seen.
    assert seen_share(folder) == pytest.approx(1 / 3)


def test_two_edits_agree_only_if_they_say_the_same() -> None:
    decisions = Decisions()
    decisions.add("a", Decision("q", "edit", text="이렇게?"))
    decisions.add("b", Decision("q", "edit", text="저렇게?"))
    assert len(decisions.merged().conflicts) == 1
    decisions.add("b", Decision("q", "edit", text="이렇게?"))
    assert decisions.merged().conflicts == []
    assert decisions.merged().questions["q"].text == "이렇게?"


def test_torn_and_foreign_lines_are_read_past_with_a_word(folder: Path) -> None:
    path = decide(folder, "mina", Decision("q0", "reject"))
    whole = path.read_bytes()
    bad = [
        b'{"query": "q1", "decision": "love"}',
        b'{"query": "q1", "decision": "right"}',  # of what?
        b'{"query": "q1", "decision": "edit"}',  # to what?
        b'{"query": 1, "decision": "reject"}',
        b'{"query": "q1", "decision": "edit", "text": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
    ]
    path.write_bytes(whole + b"\n".join(bad) + b'\n{"query": "q1", "decis')
    report = check_folder(folder)
    assert report.n_findings["torn decision"] == len(bad) + 1
    assert not report.has_errors
    findings = Findings()
    read_decisions(folder, findings)
    assert "review/mina.jsonl, row 2" in str(findings.kept[0])
    assert data_of(folder)[0].query_ids == ["q1", "q2", "q3"]
    path.write_bytes(whole + b'{"query": "q1", "decis')
    findings = Findings()
    read_decisions(folder, findings)
    assert "killed while it wrote" in str(findings.kept[0])


def test_every_cut_of_a_file_keeps_the_decisions_before_it(folder: Path) -> None:
    path = decide(folder, "mina", Decision("q0", "reject"), Decision("q1", "edit", text="고침?"))
    whole = path.read_bytes()
    first_end = whole.index(b"\n") + 1
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        decisions = read_decisions(folder, Findings()).questions.get("mina", {})
        # A line without its line end is whole, too.
        n_whole = (size >= first_end - 1) + (size >= len(whole) - 1)
        assert len(decisions) == n_whole, size


def test_a_question_whose_passage_does_not_answer_is_not_scored(folder: Path) -> None:
    decide(folder, "mina", Decision("q0", "wrong", "d0"), Decision("q1", "wrong", "d1"))
    decide(folder, "mina", Decision("q1", "right", "d4"))
    data, task = data_of(folder)
    assert data.query_ids == ["q1", "q2", "q3"]
    assert data.qrels["q1"] == {"d1": 0, "d4": 1}
    assert task.parts[0].notes == {"n_questions_without_answer": 1, "n_reviewed_judgments": 3}


def test_decisions_about_what_is_not_there_are_warned_of(folder: Path) -> None:
    decide(
        folder,
        "mina",
        Decision("q9", "reject"),
        Decision("q1", "right", "d9"),
        Decision("q9", "wrong", "d1"),
    )
    data, task = data_of(folder)
    assert len(data.query_ids) == 4
    assert task.warnings == {"unknown id": 3}


def test_a_folder_without_a_question_left_is_refused(folder: Path) -> None:
    decide(folder, "mina", *(Decision(f"q{n}", "reject") for n in range(4)))
    with pytest.raises(DataError, match="the reviews left no question"):
        load_folder(folder)


def test_pools_and_deciding_pairs_are_no_tables_of_the_task(folder: Path) -> None:
    _, before = data_of(folder)
    for name in ("pool", "deciding"):
        (folder / f"{name}.jsonl").write_text('{"query": "q0", "document": "d0"}\n')
    assert not check_folder(folder).findings
    assert data_of(folder)[1].revision == before.revision


def test_answers_in_groups_cannot_be_reviewed_one_by_one(tmp_path: Path) -> None:
    """AutoRAG's groups would be scored as they were, beside judgments that reviewers changed."""
    pq.write_table(
        pa.table({"doc_id": ["d1", "d2"], "contents": ["하나", "둘"]}), tmp_path / "corpus.parquet"
    )
    answers = {"qid": ["q1"], "query": ["무엇?"], "retrieval_gt": [[["d1", "d2"]]]}
    pq.write_table(pa.table(answers), tmp_path / "qa.parquet")
    load_folder(tmp_path)
    decide(tmp_path, "kim", Decision("q1", "wrong", "d2"))
    with pytest.raises(DataError, match=r"answers come in groups .*kemb convert"):
        load_folder(tmp_path)
