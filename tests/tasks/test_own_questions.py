"""Questions and chunks of a user's own: published layouts, what is counted, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from kemb.messages import note
from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder, format_report
from kemb.tasks.own.findings import Finding
from kemb.types import ClusterData, LabelData, PairData, RetrievalData
from own_inputs import CHUNKS, QUESTIONS, write_csv, write_json, write_jsonl, write_xlsx

CHUNK_ROWS = [[chunk_id, text] for chunk_id, text in CHUNKS.items()]
QUESTION_ROWS = [[text, ";".join(ids)] for text, ids in QUESTIONS.values()]


def retrieval(path: Path) -> RetrievalData:
    data = load_folder(path)[1].parts[0].data
    assert isinstance(data, RetrievalData)
    return data


def findings(path: Path, kind: str) -> list[Finding]:
    return [finding for finding in check_folder(path).findings if finding.kind == kind]


def write_both(folder: Path, rows: list[list[Any]], chunks: list[list[Any]] = CHUNK_ROWS) -> Path:
    write_csv(folder / "chunks.csv", ["청크번호", "내용"], chunks)
    write_csv(folder / "questions.csv", ["질문", "정답"], rows)
    return folder


# ---- layouts as they are published


def squad(questions: list[dict[str, Any]], context: str) -> dict[str, Any]:
    return {"paragraphs": [{"context": context, "qas": questions}], "title": "서울"}


def test_korquad_and_klue_mrc_are_questions_over_their_paragraphs(tmp_path: Path) -> None:
    answers = [{"text": "한양", "answer_start": 0}]
    value = {
        "version": "KorQuAD_v1.0_dev",
        "data": [
            squad(
                [{"id": "q-1", "question": "옛 이름은?", "answers": answers}], "한양은 옛 이름이다."
            ),
            squad(
                [
                    {"guid": "q-2", "question": "강은?", "answers": [], "is_impossible": False},
                    {"guid": "q-3", "question": "산은?", "answers": [], "is_impossible": True},
                ],
                "한강이 흐른다.",
            ),
        ],
    }
    data = retrieval(write_json(tmp_path / "KorQuAD_v1.0_dev.json", value))
    assert data.documents == ["서울 한양은 옛 이름이다.", "서울 한강이 흐른다."]
    assert data.qrels == {"q-1": {"1": 1}, "q-2": {"2": 1}}
    report = check_folder(tmp_path / "KorQuAD_v1.0_dev.json")
    assert [(one.n_rows, one.n_scored) for one in report.scored] == [(3, 2)]
    assert report.n_findings == {"no other chunks": 1, "no relevant document": 1}


def test_klue_sts_and_topic_files_are_taken_as_published(tmp_path: Path) -> None:
    pairs = [
        {
            "guid": f"klue-sts_{i}",
            "sentence1": f"비 {i}",
            "sentence2": f"눈 {i}",
            "labels": {"label": s},
        }
        for i, s in enumerate([0.5, 4.2, 3.0])
    ]
    sts = load_folder(write_json(tmp_path / "klue-sts-v1.1_dev.json", pairs))[1].parts[0].data
    assert isinstance(sts, PairData)
    assert sts.gold.tolist() == [0.5, 4.2, 3.0]
    topics = [
        {
            "guid": f"t{i}",
            "title": f"기사 {i}",
            "label": "정치" if i % 2 else "경제",
            "date": "2016",
        }
        for i in range(4)
    ]
    ynat = load_folder(write_json(tmp_path / "ynat-v1.1_dev.json", topics))[1].parts[0].data
    assert isinstance(ynat, ClusterData)
    assert ynat.texts == [topic["title"] for topic in topics]


def test_nsmc_is_classification(tmp_path: Path) -> None:
    rows = (
        "id\tdocument\tlabel\n1\t재미있다\t1\n2\t지루하다\t0\n3\t\t0\n4\t또 본다\t1\n5\t별로다\t0\n"
    )
    for split in ("train", "test"):
        (tmp_path / f"ratings_{split}.txt").write_text(rows, encoding="utf-8")
    spec, task = load_folder(tmp_path)
    data = task.parts[0].data
    assert isinstance(data, LabelData)
    assert (spec.type, data.texts) == (
        "classification",
        ["재미있다", "지루하다", "또 본다", "별로다"],
    )


def test_a_faq_is_retrieval_over_its_answers(tmp_path: Path) -> None:
    rows = [
        [f"{name}은 어떻게 하나요?", f"{name}은 고객 센터에 전화하여 신청합니다."]
        for name in "가나다"
    ]
    write_csv(tmp_path / "faq.csv", ["질문", "답변"], rows)
    data = retrieval(tmp_path / "faq.csv")
    assert data.documents == [answer for _, answer in rows]
    assert data.qrels == {"q1": {"1": 1}, "q2": {"2": 1}, "q3": {"3": 1}}


def test_a_column_of_whole_numbers_grades_the_right_chunks(tmp_path: Path) -> None:
    write_csv(tmp_path / "chunks.csv", ["id", "text"], CHUNK_ROWS)
    rows = [["어디?", "c1", 2], ["어디?", "c2", 0], ["무엇?", "c3", 1]]
    write_csv(tmp_path / "q.csv", ["질문", "chunk_id", "관련도"], rows)
    assert retrieval(tmp_path).qrels == {"q1": {"c1": 2, "c2": 0}, "q2": {"c3": 1}}


def test_ids_win_over_the_answer_in_words(tmp_path: Path) -> None:
    write_csv(tmp_path / "chunks.csv", ["id", "text"], CHUNK_ROWS)
    rows = [[text, "짧은 답", ids[0]] for text, ids in QUESTIONS.values()]
    write_csv(tmp_path / "q.csv", ["질문", "정답", "문서번호"], rows)
    assert retrieval(tmp_path).qrels == {"q1": {"c2": 1}, "q2": {"c4": 1}, "q3": {"c3": 1}}
    assert "not used: 정답" in format_report(check_folder(tmp_path))


def test_excel_numbers_are_ids_and_row_numbers_are_excels(tmp_path: Path) -> None:
    chunks = [["번호", "내용"], [], [1, "가나다라"], [2, "마바사아"]]
    write_xlsx(tmp_path / "chunks.xlsx", {"Sheet1": chunks})
    write_xlsx(
        tmp_path / "questions.xlsx", {"시트": [["질문", "문서번호"], ["무엇?", 2], ["왜?", 9]]}
    )
    (finding,) = findings(tmp_path, "unknown id")
    assert (finding.file, finding.row, finding.value) == ("questions.xlsx", 3, "'9'")
    write_xlsx(tmp_path / "questions.xlsx", {"시트": [["질문", "문서번호"], ["무엇?", 2]]})
    assert retrieval(tmp_path).qrels == {"q1": {"2": 1}}


def test_a_tsv_whose_columns_task_toml_names_has_a_header(tmp_path: Path) -> None:
    """Else its first row, of no usual names, would be taken for data, with a warning."""
    write_csv(tmp_path / "corpus.tsv", ["키", "원문"], CHUNK_ROWS)
    write_csv(tmp_path / "questions.csv", ["질문", "정답"], QUESTION_ROWS)
    assert len(retrieval(tmp_path).documents) == 1 + len(CHUNKS)
    assert check_folder(tmp_path).n_findings == {"no header": 1}
    (tmp_path / "task.toml").write_text('[columns]\n"corpus.id" = "키"\n"corpus.text" = "원문"\n')
    assert len(retrieval(tmp_path).documents) == len(CHUNKS)


def test_two_splits_of_questions_share_the_chunks(tmp_path: Path) -> None:
    write_csv(tmp_path / "chunks.csv", ["id", "text"], CHUNK_ROWS)
    write_csv(tmp_path / "qa_train.csv", ["질문", "정답"], QUESTION_ROWS[:1])
    write_csv(tmp_path / "qa_test.csv", ["질문", "정답"], QUESTION_ROWS[1:])
    assert retrieval(tmp_path).queries == [text for text, _ in QUESTION_ROWS[1:]]
    assert check_folder(tmp_path).n_findings == {}


def test_a_split_without_the_column_of_right_chunks_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "chunks.csv", ["id", "text"], CHUNK_ROWS)
    write_csv(tmp_path / "qa_dev.csv", ["질문", "정답"], QUESTION_ROWS)
    write_csv(tmp_path / "qa_test.csv", ["질문", "메모"], QUESTION_ROWS)
    (tmp_path / "task.toml").write_text('splits = ["dev", "test"]')
    (finding,) = findings(tmp_path, "missing column")
    assert (finding.file, finding.column) == ("qa_test.csv", "queries.gold")


# ---- what is counted, listed and refused


def test_what_is_scored_is_counted_and_what_does_not_match_is_listed(tmp_path: Path) -> None:
    rows = [[text, CHUNKS[ids[0]]] for text, ids in QUESTIONS.values()]
    rows += [
        ["없는 글을 묻는가?", "어느 청크에도 들어 있지 않은 아주 긴 글이다."],
        ["빈 칸인가?", ""],
    ]
    folder = write_both(tmp_path / "d", rows)
    report = check_folder(folder)
    text = format_report(report)
    assert "test: 3 of 5 questions are scored; 2 have no right chunk" in text
    assert "main metric: ndcg@10" in text
    (finding,) = findings(folder, "passage not found")
    assert (finding.level, finding.file, finding.row) == ("warning", "questions.csv", 5)
    assert "어느 청크에도" in finding.value
    korean = format_report(report, "ko")
    assert "질문 5개 가운데 3개를 채점합니다. 2개에는 정답 청크가 없습니다" in korean


BAD: dict[str, tuple[list[list[Any]], str, int | None, str]] = {
    "unknown id among several": (
        [["무엇?", "c1;c9"], ["왜?", "c2"]],
        "unknown id",
        2,
        "no such id",
    ),
    "answers in words": ([["무엇?", "서울"]], "no right chunks", None, "ids such as 'c1'"),
    "empty question": ([["", "c1"], ["왜?", "c2"]], "empty text", 2, "empty"),
    "nothing right": ([["무엇?", ""]], "no right chunks", None, "none that names the right chunks"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_questions_are_named_with_their_row(tmp_path: Path, case: str) -> None:
    rows, kind, row, piece = BAD[case]
    folder = write_both(tmp_path / "d", rows)
    (finding,) = findings(folder, kind)
    assert (finding.level, finding.file, finding.row) == ("error", "questions.csv", row)
    assert piece in finding.message


def test_an_id_that_a_spreadsheet_changed_is_recognised(tmp_path: Path) -> None:
    chunks = [["007", "가나다"], ["C8", "라마바"]]
    folder = write_both(tmp_path / "d", [["무엇?", "007"], ["왜?", "7"], ["어디?", "c 8"]], chunks)
    hints = [finding.message for finding in findings(folder, "unknown id")]
    assert hints == [
        "chunks.csv has no such id; did you mean '007'?",
        "chunks.csv has no such id; did you mean 'C8'?",
    ]


def test_an_id_with_a_comma_beside_its_parts_is_refused(tmp_path: Path) -> None:
    chunks = [["a", "가나다"], ["b", "라마바"], ["a,b", "사아자"]]
    (finding,) = findings(write_both(tmp_path / "d", [["무엇?", "a,b"]], chunks), "ambiguous ids")
    assert "write several as a JSON list" in finding.message
    write_both(tmp_path / "e", [["무엇?", '["a", "b"]']], chunks)
    assert retrieval(tmp_path / "e").qrels == {"q1": {"a": 1, "b": 1}}


def test_questions_in_another_place_than_chunks_are_told_apart_by_their_columns(
    tmp_path: Path,
) -> None:
    """File names that say nothing, and a JSON file of settings beside them."""
    write_csv(tmp_path / "a.csv", ["청크번호", "내용"], CHUNK_ROWS)
    write_csv(tmp_path / "b.csv", ["질문", "정답"], QUESTION_ROWS)
    write_json(tmp_path / "config.json", {"chunk_size": 300, "overlap": 50})
    report = check_folder(tmp_path)
    assert report.n_findings == {}
    assert note("rule.json_without_records", files=["config.json"]) in report.rules


def test_documents_without_questions_name_what_writes_questions(tmp_path: Path) -> None:
    (tmp_path / "규정.txt").write_text("제1조 이 규정은 ...")
    (finding,) = findings(tmp_path, "no data")
    assert f"kemb draft {tmp_path} -o DIR" in finding.message


def test_questions_alone_need_chunks(tmp_path: Path) -> None:
    write_csv(tmp_path / "q.csv", ["질문", "청크번호"], QUESTION_ROWS)
    (finding,) = findings(tmp_path / "q.csv", "missing file")
    assert "'청크번호' is no passage, and there is no file with the chunks" in finding.message
    write_csv(tmp_path / "q.csv", ["질문", "청크번호"], [["무엇?", ""]])
    (finding,) = findings(tmp_path / "q.csv", "missing file")
    assert "no column holds right passages" in finding.message


def test_chunks_alone_are_no_labels(tmp_path: Path) -> None:
    rows = [[f"c{i}", f"규정 {i}의 본문", f"{i}번 부서"] for i in range(200)]
    write_csv(tmp_path / "d" / "chunks.csv", ["id", "text", "부서"], rows)
    report = check_folder(tmp_path / "d")
    assert (report.spec, report.proposal) == (None, "")
    (finding,) = findings(tmp_path / "d", "missing file")
    assert "kemb draft" in finding.message
    write_csv(tmp_path / "x.csv", ["text", "label"], [row[1:] for row in rows])
    (finding,) = findings(tmp_path / "x.csv", "unlikely labels")
    assert 'type = "clustering"' in finding.message


def test_broken_json_and_workbooks_are_one_finding(tmp_path: Path) -> None:
    (tmp_path / "chunks.json").write_text('[{"id": "a", "text": }]')
    (tmp_path / "questions.xlsx").write_bytes(b"PK\x03\x04 cut off")
    report = check_folder(tmp_path)
    assert report.n_findings["broken JSON"] == 1
    assert report.n_findings["broken Excel"] == 1


def test_excel_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"s": [["질문", "context"], ["무엇?", "글"]]})
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    (finding,) = findings(tmp_path / "a.xlsx", "Excel")
    assert 'pip install "kemb[excel]"' in finding.message


def test_questions_in_another_language_than_the_documents_are_warned_of(tmp_path: Path) -> None:
    rows = [["How much may a hotel cost?", "c2"], ["When is it settled?", "c4"]]
    (finding,) = findings(write_both(tmp_path / "d", rows), "two languages")
    assert finding.message.startswith("0% of the questions' letters are Hangul, but 9")


# ---- proposals


def proposal(folder: Path) -> dict[str, Any]:
    """The proposed task.toml, written into the folder, which is then taken."""
    report = check_folder(folder)
    assert report.has_errors
    assert report.proposal
    assert all(line.strip() in format_report(report) for line in report.proposal.splitlines())
    (folder / "task.toml").write_text(report.proposal, encoding="utf-8")
    assert check_folder(folder).n_errors == 0
    return tomllib.loads(report.proposal)


def test_unknown_columns_are_proposed_by_their_values(tmp_path: Path) -> None:
    write_csv(tmp_path / "d" / "가.csv", ["키", "원문"], CHUNK_ROWS)
    write_csv(tmp_path / "d" / "나.csv", ["물어본것", "맞는것"], QUESTION_ROWS)
    columns = {
        "corpus.id": "키",
        "corpus.text": "원문",
        "queries.text": "물어본것",
        "queries.gold": "맞는것",
    }
    assert proposal(tmp_path / "d") == {"columns": columns}
    assert retrieval(tmp_path / "d").qrels == {
        "q1": {"c2": 1},
        "q2": {"c4": 1, "c5": 1},
        "q3": {"c3": 1},
    }


def test_only_what_is_unknown_is_proposed(tmp_path: Path) -> None:
    write_csv(tmp_path / "d" / "chunks.csv", ["id", "text"], CHUNK_ROWS)
    write_csv(tmp_path / "d" / "questions.csv", ["질문", "맞는것"], QUESTION_ROWS)
    assert proposal(tmp_path / "d") == {"columns": {"queries.gold": "맞는것"}}


def test_judgments_with_unknown_columns_are_proposed(tmp_path: Path) -> None:
    write_csv(tmp_path / "d" / "corpus.csv", ["k", "body"], CHUNK_ROWS)
    write_csv(
        tmp_path / "d" / "queries.csv", ["n", "q"], [[i, q] for i, (q, _) in QUESTIONS.items()]
    )
    judged = [[i, doc, 1] for i, (_, ids) in QUESTIONS.items() for doc in ids]
    write_csv(tmp_path / "d" / "qrels.csv", ["a", "b", "c"], judged)
    columns = proposal(tmp_path / "d")["columns"]
    assert (columns["qrels.query-id"], columns["qrels.corpus-id"]) == ("a", "b")


def test_other_problems_are_shown_beside_a_proposal(tmp_path: Path) -> None:
    rows = [*QUESTION_ROWS, ["묻지 않는다", "c9"], ["", "c1"]]
    write_csv(tmp_path / "d" / "chunks.csv", ["id", "text"], [*CHUNK_ROWS, ["c1", "같은 번호"]])
    write_csv(tmp_path / "d" / "questions.csv", ["질문", "맞는것"], rows)
    report = check_folder(tmp_path / "d")
    assert report.proposal == '[columns]\n"queries.gold" = "맞는것"\n'
    assert {
        "no right chunks",
        "repeated id",
        "unknown id",
        "empty text",
    } <= report.n_findings.keys()


@pytest.mark.parametrize(
    "value",
    [
        [{"page_content": "글", "metadata": None}],
        {"data": [{"paragraphs": None}]},
        {"data": [{"paragraphs": [None]}, None]},
        {"data": [{"paragraphs": [{"qas": [1]}]}]},
        {"docstore/data": {"a": 1, "b": {"__data__": "{"}}},
        {"queries": {"a": 1}, "corpus": {"b": 2}, "relevant_docs": {"a": 5}},
        {"a": [], "b": []},
        {"a": {}, "b": {}},
        [[1, 2], "x"],
        [],
        "text",
        {"a": [1], "b": [[None]]},
    ],
)
def test_no_json_makes_check_fail(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "d" / "x.json", value)
    write_jsonl(tmp_path / "d" / "questions.jsonl", [{"질문": "무엇?", "정답": value}])
    report = check_folder(tmp_path / "d")
    assert report.findings
    assert check_folder(tmp_path / "d" / "x.json").has_errors
