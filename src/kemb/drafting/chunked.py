"""One drafted test set as a task for every way of cutting its documents: the answers are known by
their places, so that all of them are scored by what a reader gets to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kemb.drafting.chunks import Chunk, Chunking, chunk, parse_chunking
from kemb.errors import DataError
from kemb.scoring.spans import Letters, Span, parse_spans, span_qrels
from kemb.tasks.own import load_folder
from kemb.tasks.own.documents import Document
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.readers import read_table
from kemb.tasks.parts import make_part
from kemb.tasks.spec import TaskSpec
from kemb.types import Places, RetrievalData, TaskData

MAIN_METRIC = "span_recall@2000"
"""The share of the answer among the first 2,000 characters that are shown."""
_SOURCES, _CORPUS, _QUERIES = "sources.jsonl", "corpus.jsonl", "queries.jsonl"

Answers = dict[str, list[list[Span]]]
"""By query."""


@dataclass(frozen=True, slots=True)
class ChunkedTask:
    """The test set with its documents cut in one way."""

    chunking: Chunking
    spec: TaskSpec
    data: TaskData
    n_chunks: int
    n_characters: int
    """Of all chunks: what an index of them holds; overlap counts as often as it is there."""


def chunked_tasks(folder: Path, chunkings: Sequence[str]) -> list[ChunkedTask]:
    """A test set that `kemb draft` made, as a retrieval task for every way of cutting.

    The questions, their ids and their answers are the same in all of them, so results can be
    compared question by question. The main metric is `span_recall@2000`. What reviewers decided
    counts: rejected questions are not asked; an answer whose passage was judged wrong is none, and
    a passage that was judged right is an alternative.

    :param folder: with `sources.jsonl`, and `spans` in `queries.jsonl`.
    :param chunkings: as `parse_chunking` reads them.
    :raises UsageError: an unknown chunking; MissingExtra for `sentences` without kiwipiepy.
    :raises DataError: the folder has no sources, a span does not fit them, or no question has an
        answer.
    """
    parsed = [parse_chunking(name) for name in chunkings]
    spec, task = load_folder(folder)
    part = task.parts[0]
    if not isinstance(part.data, RetrievalData):
        raise DataError(f"{folder} is a {spec.type} task; only passages of documents are cut.")
    documents = _documents(folder)
    answers = _answers(folder, part.data, {document.id: document.text for document in documents})
    if not answers:
        raise DataError(
            f"No question of {folder} has an answer in {_SOURCES}; draft the set anew with: "
            f"kemb draft DOCUMENTS -o {folder}"
        )
    notes = part.notes | {"n_dropped_queries": len(part.data.query_ids) - len(answers)}
    notes = {name: count for name, count in notes.items() if count}
    tasks = []
    for chunking in parsed:
        chunks = chunk(documents, chunking.name)
        own_spec = spec.model_copy(
            update={
                "name": f"{spec.name}.{chunking.name.replace(':', '-')}",
                "main_score": MAIN_METRIC,
            }
        )
        data = _data(part.data, documents, chunks, answers)
        own_part = make_part(own_spec, part.split, part.subset, data, notes)
        own_task = replace(task, task=own_spec.name, parts=[own_part])
        n_characters = sum(len(piece.text) for piece in chunks)
        tasks.append(ChunkedTask(chunking, own_spec, own_task, len(chunks), n_characters))
    return tasks


def _data(
    data: RetrievalData, documents: Sequence[Document], chunks: Sequence[Chunk], answers: Answers
) -> RetrievalData:
    texts = {document.id: document.text for document in documents}
    places = {piece.id: Span(piece.source, piece.start, piece.end) for piece in chunks}
    query_of = dict(zip(data.query_ids, data.queries, strict=True))
    return RetrievalData(
        doc_ids=list(places),
        documents=[f"{piece.title} {piece.text}".strip() for piece in chunks],
        query_ids=list(answers),
        queries=[query_of[query_id] for query_id in answers],
        qrels=span_qrels(answers, places, Letters(texts)),
        places=Places(texts, list(places.values()), list(answers.values())),
    )


def _documents(folder: Path) -> list[Document]:
    columns = _table(folder, _SOURCES, ("_id", "text")).columns
    titles = columns.get("title", [""] * len(columns["_id"]))
    return [
        Document(str(source), str(title or ""), str(text))
        for source, title, text in zip(columns["_id"], titles, columns["text"], strict=True)
    ]


def _answers(folder: Path, data: RetrievalData, texts: Mapping[str, str]) -> Answers:
    """Of every question the places that answer it, by its spans and the judgments of passages."""
    queries = _table(folder, _QUERIES, ("_id", "spans"))
    letters = Letters(texts)
    passages = _passages(folder, texts, letters)
    answers: Answers = {}
    for row, query_id, spans in zip(
        queries.rows, queries.columns["_id"], queries.columns["spans"], strict=True
    ):
        judged = data.qrels.get(str(query_id), {})
        right = [passages[name] for name, grade in judged.items() if grade > 0 and name in passages]
        try:
            of_query = parse_spans(spans if isinstance(spans, list) else [])
            _check(of_query, texts, letters)
        except ValueError as error:
            raise DataError(f"{folder / _QUERIES}, row {row}, spans: {error}.") from error
        confirmed = [answer for answer in of_query if any(_meet(answer, place) for place in right)]
        added = [[place] for place in right if not any(_meet(a, place) for a in confirmed)]
        if confirmed or added:
            answers[str(query_id)] = confirmed + added
    return {query_id: answers[query_id] for query_id in data.query_ids if query_id in answers}


def _passages(folder: Path, texts: Mapping[str, str], letters: Letters) -> dict[str, Span]:
    """The places of the passages by id."""
    names = ("source", "start", "end")
    corpus = _table(folder, _CORPUS, ("_id", *names))
    places = zip(*(corpus.columns[name] for name in names), strict=True)
    passages: dict[str, Span] = {}
    for row, passage, place in zip(corpus.rows, corpus.columns["_id"], places, strict=True):
        try:
            [[span]] = parse_spans([dict(zip(names, place, strict=True))])
            _check([[span]], texts, letters)
        except ValueError as error:
            raise DataError(f"{folder / _CORPUS}, row {row}: {error}.") from error
        passages[str(passage)] = span
    return passages


def _check(answers: Sequence[Sequence[Span]], texts: Mapping[str, str], letters: Letters) -> None:
    for answer in answers:
        for span in answer:
            if span.end > len(texts.get(span.source, "")):
                raise ValueError(f"{span.source} has no characters {span.start} to {span.end}")
        if not letters.count(answer):
            raise ValueError(f"{answer[0].source} from {answer[0].start} on holds white space only")


def _meet(answer: Sequence[Span], place: Span) -> bool:
    """Whether a place holds a character of an answer."""
    return any(
        span.source == place.source and span.start < place.end and place.start < span.end
        for span in answer
    )


def _table(folder: Path, name: str, columns: Sequence[str]) -> Table:
    findings = Findings()
    table = read_table(folder / name, name, findings)
    missing = [column for column in columns if table is None or column not in table.columns]
    if table is not None and not missing and not findings.n_errors:
        return table
    problem = next((str(finding) for finding in findings.kept), f"no column {', '.join(missing)}")
    raise DataError(
        f"{folder / name} cannot be used: {problem}. Ways of cutting are compared on a folder that "
        "kemb draft made, with sources.jsonl and the places of the answers."
    )
