"""What the tables of a retrieval task hold: documents, questions and judgments, converted and
checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kemb.files.columns import lengths_of, mapped, rows_of
from kemb.messages import note
from kemb.tasks.own.columns import Mapped
from kemb.tasks.own.decisions import Clean
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.forms import loose_form
from kemb.tasks.own.values import MOST_READ, ids_of, note_repeated, number_of, texts_of
from kemb.tasks.spec import TaskSpec

_MAX_GRADE = 1000
"""trec_eval counts the documents of every grade, so a grade is a small number."""


def check_retrieval(spec: TaskSpec, tables: dict[str, Mapped], findings: Findings) -> Clean:
    corpus, queries = tables["corpus"], tables["queries"]
    has_titles = "title" in corpus.columns
    titles = (
        texts_of(corpus, "title", findings, may_be_empty=True)
        if has_titles
        else mapped(lambda value: "", corpus.columns["text"])
    )
    documents = {
        "id": ids_of(corpus, "id", findings, unique=True),
        "title": titles,
        "text": texts_of(corpus, "text", findings, may_be_empty=True),
    }
    _note_long(corpus, documents["text"], findings)
    questions = {
        "id": ids_of(queries, "id", findings, unique=True),
        "text": texts_of(queries, "text", findings),
    }
    for row, title, text in zip(corpus.rows, titles, documents["text"], strict=True):
        if not (title.strip() or text.strip()):
            findings.warn(
                "empty document",
                corpus.file,
                note("finding.empty_document"),
                row=row,
                column=corpus.names["text"],
            )
    note_repeated(corpus, "repeated document", findings, titles, documents["text"])
    note_repeated(queries, "repeated query", findings, questions["text"])
    if not spec.ignore_identical_ids:
        _note_queries_in_corpus(queries, questions, documents, findings)
    clean: Clean = {"corpus": documents, "queries": questions}
    known_ids = {
        "query-id": (questions["id"], queries.file),
        "corpus-id": (documents["id"], corpus.file),
    }
    relevant: set[str] = set()
    for key, table in tables.items():
        if key.startswith("qrels/"):
            clean[key] = _judgments(table, known_ids, findings)
            scored = zip(clean[key]["query-id"], clean[key]["score"], strict=True)
            relevant |= {query_id for query_id, grade in scored if grade > 0}
    for row, query_id in zip(queries.rows, questions["id"], strict=True):
        if query_id not in relevant:
            message = note("finding.no_relevant_document")
            findings.warn(
                "no relevant document", queries.file, message, row=row, column="id", value=query_id
            )
    for split in spec.splits:
        if not any(grade > 0 for grade in clean[f"qrels/{split}"]["score"]):
            file = tables[f"qrels/{split}"].file
            findings.error("nothing to score", file, note("finding.nothing_to_score"))
    return clean


def _note_long(corpus: Mapped, texts: Sequence[str], findings: Findings) -> None:
    """Count the documents of which most models read only the beginning."""
    lengths = lengths_of(texts)
    n_long = int((lengths > MOST_READ).sum())
    if not n_long:
        return
    longest = int(lengths.max())
    row = corpus.rows[int(np.flatnonzero(lengths == longest)[-1])]
    findings.warn(
        "long documents",
        corpus.file,
        note(
            "finding.long_documents",
            n_long=n_long,
            n=len(texts),
            most_read=MOST_READ,
            longest=longest,
        ),
        row=row,
        column=corpus.names["text"],
    )


def _note_queries_in_corpus(
    queries: Mapped,
    questions: dict[str, Sequence[str]],
    documents: dict[str, Sequence[str]],
    findings: Findings,
) -> None:
    """Queries whose text is a document, which every model finds first."""
    ids_by_text: dict[str, list[str]] = {text.strip(): [] for text in questions["text"]}
    for doc_id, title, text in zip(*documents.values(), strict=True):
        for whole in {text.strip(), f"{title} {text}".strip()}:
            if whole in ids_by_text:
                ids_by_text[whole].append(doc_id)
    for row, query_id, text in zip(queries.rows, *questions.values(), strict=True):
        doc_ids = ids_by_text.get(text.strip()) if text.strip() else None
        if not doc_ids:
            continue
        if query_id in doc_ids:
            advice = note("finding.ignore_identical")
        else:
            advice = note("finding.give_the_same_id")
        message = note("finding.query_in_corpus", document=repr(doc_ids[0]), advice=advice)
        findings.warn("query in corpus", queries.file, message, row=row, column="text", value=text)


def _judgments(
    table: Mapped, known_ids: dict[str, tuple[Sequence[str], str]], findings: Findings
) -> dict[str, Sequence[Any]]:
    columns: dict[str, Sequence[Any]] = {ours: ids_of(table, ours, findings) for ours in known_ids}
    for ours, (ids, file) in known_ids.items():
        values = {value for value in columns[ours] if value}
        unknown = values - rows_of(ids, values).keys()
        loose = set(map(loose_form, unknown))
        alike = {form: one for one in ids if (form := loose_form(one)) in loose} if unknown else {}
        for row, value in zip(table.rows, columns[ours], strict=True):
            if value in unknown:
                near = alike.get(loose_form(value))
                message = note("finding.unknown_id", file=file)
                if near:
                    message = note("finding.unknown_id_near", file=file, near=repr(near))
                findings.error(
                    "unknown id",
                    table.file,
                    message,
                    row=row,
                    column=table.names[ours],
                    value=value,
                )
    grades = _grades(table, findings) if "score" in table.columns else [1] * len(table)
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for row, *pair, grade in zip(table.rows, *columns.values(), grades, strict=True):
        earlier, earlier_grade = first.setdefault((pair[0], pair[1]), (row, grade))
        if earlier != row:
            # The same judgment twice is harmless, two different ones are not.
            tell = findings.warn if grade == earlier_grade else findings.error
            message = note(
                "finding.repeated_judgment", earlier=earlier, there=earlier_grade, here=grade
            )
            tell("repeated judgment", table.file, message, row=row, value=" ".join(pair))
    return columns | {"score": grades}


def _grades(table: Mapped, findings: Findings) -> list[int]:
    grades = []
    for row, value in zip(table.rows, table.columns["score"], strict=True):
        number = number_of(value, table, row, "score", findings)
        if number != int(number) or abs(number) > _MAX_GRADE:
            message = note("finding.grade")
            findings.error(
                "wrong type", table.file, message, row=row, column=table.names["score"], value=value
            )
        grades.append(int(number))
    return grades
