"""One drafted set, cut in several ways: the same questions, scored by what a reader sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafted_set import QUESTIONS, SOURCES, lines, span, write_set
from kemb.drafting.chunked import chunked_tasks
from kemb.encoding.store import Store
from kemb.errors import DataError, UsageError
from kemb.evaluation.evaluate import RunOptions, Task, evaluate
from kemb.models.resolve import resolve
from kemb.results.files import read_items
from kemb.types import RetrievalData, TaskData


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def data_of(task: TaskData) -> RetrievalData:
    data = task.parts[0].data
    assert isinstance(data, RetrievalData)
    return data


def test_every_way_of_cutting_is_a_task_with_the_same_questions(folder: Path) -> None:
    sentences, documents = chunked_tasks(folder, ["sentences:25", "document"])
    assert [task.spec.name for task in (sentences, documents)] == [
        "set.sentences-25",
        "set.document",
    ]
    assert sentences.spec.main_metric == "span_recall@2000"
    assert sentences.spec.drafted
    assert (sentences.n_chunks, documents.n_chunks) == (6, 3)
    assert documents.n_characters == sum(map(len, SOURCES.values()))
    small, whole = data_of(sentences.data), data_of(documents.data)
    assert small.query_ids == whole.query_ids == list(QUESTIONS)
    assert small.queries == [text for text, _, _ in QUESTIONS.values()]
    graded = {
        query: {small.documents[small.doc_ids.index(name)]: grade for name, grade in grades.items()}
        for query, grades in small.qrels.items()
    }
    assert graded == {
        "q1": {"카드를 잃어버리면 뒷면의 번호로 전화한다.": 100},
        "q2": {"신분증이 있어야 한다. 수수료는 없다.": 100},
        "q3": {"심사는 하루가 걸린다. 금리는 매달 바뀐다.": 100},
    }
    assert small.places is not None
    assert sentences.data.parts[0].sha256 != documents.data.parts[0].sha256


def test_results_have_the_scores_of_a_reader_question_by_question(
    folder: Path, tmp_path: Path
) -> None:
    tasks = chunked_tasks(folder, ["fixed:10", "document"])
    outcomes = evaluate(
        [Task(task.spec, lambda task=task: task.data) for task in tasks],  # type: ignore[misc]
        [resolve("bm25:bigram")],
        RunOptions(tmp_path / "results", Store(tmp_path / "store")),
    )
    results = [outcome.result for outcome in outcomes]
    assert [result.task for result in results if result] == ["set.fixed-10", "set.document"]
    for result in results:
        assert result is not None
        [entry] = result.scores["test"]
        assert entry["main_score"] == entry["span_recall@2000"] == 1
        rows = read_items(result).select(["metric", "item_id", "value"]).to_pylist()
        of_metric = [row for row in rows if row["metric"] == "span_recall@1000"]
        assert [(row["item_id"], row["value"]) for row in of_metric] == [
            (query, 1) for query in QUESTIONS
        ]


def test_what_reviewers_decided_counts(folder: Path) -> None:
    lines(
        folder / "review" / "kim.jsonl",
        [
            {"query": "q1", "decision": "reject"},
            {"query": "q2", "decision": "wrong", "document": "bank.md"},
            {"query": "q2", "decision": "right", "document": "loan.md"},
            {"query": "q3", "decision": "edit", "text": "심사는 며칠?"},
        ],
    )
    [task] = chunked_tasks(folder, ["document"])
    data = data_of(task.data)
    assert dict(zip(data.query_ids, data.queries, strict=True)) == {
        "q2": "통장을 만들 때 신분증",
        "q3": "심사는 며칠?",
    }
    assert [list(grades) for grades in data.qrels.values()] == [
        [f"loan.md#0-{len(SOURCES['loan.md'])}"],
        [f"loan.md#0-{len(SOURCES['loan.md'])}"],
    ]


def test_answers_can_be_alternatives(folder: Path) -> None:
    queries = folder / "queries.jsonl"
    rows = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()]
    rows[0]["spans"] = [
        span("card.md", "뒷면의") | {"answer": 0},
        span("card.md", "번호로 전화한다.") | {"answer": 0},
        span("card.md", "새 카드는") | {"answer": 1},
    ]
    lines(queries, rows)
    data = data_of(chunked_tasks(folder, ["document"])[0].data)
    assert data.places is not None
    assert [[len(answer) for answer in of_query] for of_query in data.places.answers] == [
        [2, 1],
        [1],
        [1],
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "card.md", "start": 0, "end": 999}, "card.md has no characters 0 to 999"),
        ({"source": "gone.md", "start": 0, "end": 9}, r"gone.md has no characters 0 to 9"),
        ({"source": "card.md", "start": 3, "end": 4}, "card.md from 3 on holds white space only"),
        ({"source": "card.md"}, "row 1, spans: expected source, start and end"),
        ("card.md", "row 1, spans: expected source, start and end, not 'card.md'"),
        ({"source": "card.md", "start": 0, "end": 3, "answer": []}, "as answer, not"),
    ],
)
def test_spans_that_do_not_fit_name_their_row(folder: Path, wrong: object, message: str) -> None:
    queries = folder / "queries.jsonl"
    rows = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()]
    rows[0]["spans"] = [wrong]
    lines(queries, rows)
    with pytest.raises(DataError, match=message):
        chunked_tasks(folder, ["document"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": None}, "row 1: expected source, start and end"),
        ({"end": 9999}, r"row 1: card.md has no characters 0 to 9999"),
    ],
)
def test_places_of_passages_that_do_not_fit_name_their_row(
    folder: Path, wrong: dict[str, Any], message: str
) -> None:
    corpus = folder / "corpus.jsonl"
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    lines(corpus, [rows[0] | wrong, *rows[1:]])
    with pytest.raises(DataError, match=message):
        chunked_tasks(folder, ["document"])


def test_a_folder_without_sources_says_what_is_needed(folder: Path) -> None:
    (folder / "sources.jsonl").unlink()
    with pytest.raises(DataError, match=r"sources.jsonl.*a folder that kemb draft made"):
        chunked_tasks(folder, ["document"])


def test_an_unknown_chunking_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown chunking 'paragraph:3'"):
        chunked_tasks(tmp_path / "nowhere", ["document", "paragraph:3"])
