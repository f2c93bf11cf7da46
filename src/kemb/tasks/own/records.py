"""JSON of other programs as tables: lists of records, LangChain's documents, LlamaIndex's nodes and
stores, SQuAD's nested questions, and columns as pandas and datasets write them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kemb.errors import DataError
from kemb.files import disk
from kemb.messages import note
from kemb.tasks.own import dumps
from kemb.tasks.own.findings import Findings, Table

_DOCSTORE = "docstore/data"
"""Key of the nodes in the docstore.json of LlamaIndex's `storage_context.persist()`."""
_MOST_BYTES = 4 * 2**30
"""Of a file that kemb keeps beside a corpus."""
_QUESTION_IDS = ("id", "guid", "question_id", "qid")


def table_of_records(
    file: str, records: Sequence[dict[str, object]], rows: Sequence[int] | None = None
) -> Table:
    """Records as columns; what a record lacks is None.

    :param file: the table's name in messages.
    :param records: one per row.
    :param rows: their row numbers; from 1 if not given.
    """
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(file, columns, range(1, len(records) + 1) if rows is None else rows)


def records_by_id(path: Path) -> dict[str, dict[str, Any]]:
    """The objects of a JSONL file by their `_id`, those that have one; none where there is no file.

    :raises DataError: the file cannot be read, or a line is no object.
    """
    if not path.exists():
        return {}
    hint = "Draft the folder again, or put the file back as it was."
    try:
        content = disk.read_bytes(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. {hint}") from error
    records: dict[str, dict[str, Any]] = {}
    for row, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            record = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise DataError(f"{path}, row {row} is no JSON object {{...}}. {hint}")
        if "_id" in record:
            records[str(record["_id"])] = record
    return records


def tables_of_json(
    value: object, file: str, findings: Findings, role: str = ""
) -> dict[str, Table]:
    """The tables in a parsed JSON file, by name; empty if it holds no records, as a program's
    settings do.

    :param value: the parsed file.
    :param file: its name in messages.
    :param findings: takes that a search engine answered with a part of its records.
    :param role: `corpus`, `queries` or `qrels` where the name says it: texts may stand by id.
    """
    if isinstance(value, list):
        return _one_table(file, _records_of_list(value))
    if not isinstance(value, dict):
        return {}
    if _is_squad(value):
        return _one_table(file, list(_squad_questions(value["data"])))
    if isinstance(nodes := value.get(_DOCSTORE), dict):
        return _one_table(file, _nodes(nodes))
    if whole := dumps.evaluator_tables(value):
        tables = {f"{file}#{name}": records for name, records in whole.items() if records}
        return {name: table_of_records(name, records) for name, records in tables.items()}
    if other := dumps.database_records(value) or dumps.records_by_key(value, role):
        if dumps.has_more(value, len(other)):
            findings.error("part of an answer", file, note("finding.one_page", n=len(other)))
        return _one_table(file, [unwrap(record) for record in other])
    by_column = _columns(value)
    if by_column is not None:
        return _one_table(file, by_column)
    lists = [_records_of_list(item) for item in value.values() if isinstance(item, list)]
    filled = [records for records in lists if records]
    return _one_table(file, filled[0]) if len(filled) == 1 else {}


def unwrap(record: dict[str, Any]) -> dict[str, Any]:
    """The record itself, of one that LangChain's or LlamaIndex's own JSON, or a search engine, puts
    into an envelope.
    """
    if record.get("type") == "constructor" and isinstance(record.get("kwargs"), dict):
        return dict(record["kwargs"])
    if (fields := dumps.hit_fields(record)) is not None:
        return fields
    data = record.get("__data__")
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            return record
    return data if isinstance(data, dict) else record


def _one_table(file: str, records: list[dict[str, object]]) -> dict[str, Table]:
    return {file: table_of_records(file, records)} if records else {}


def _records_of_list(items: list[Any]) -> list[dict[str, object]]:
    """The records of a list, nothing if it holds anything else; texts are records of a text."""
    if items and all(isinstance(item, str) for item in items):
        return [{"text": item} for item in items]
    if not all(isinstance(item, dict) for item in items):
        return []
    return [unwrap(item) for item in items]


def _nodes(nodes: dict[str, Any]) -> list[dict[str, object]]:
    """The nodes of a docstore, by id; those without a text (indexes, images) are no chunks."""
    records = [
        {"id_": node_id} | unwrap(node) for node_id, node in nodes.items() if isinstance(node, dict)
    ]
    return [record for record in records if record.get("text")]


def _columns(value: dict[str, Any]) -> list[dict[str, object]] | None:
    """Records out of columns: lists of one length, or pandas' objects with the same keys."""
    parts = list(value.values())
    if len(parts) < 2:
        return None
    if all(isinstance(part, list) for part in parts):
        columns = parts
    elif all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        columns = [list(part.values()) for part in parts]
    else:
        return None
    n_rows = len(columns[0])
    cells = [cell for column in columns for cell in column[:1]]
    if any(len(column) != n_rows for column in columns) or any(
        isinstance(cell, dict) for cell in cells
    ):
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


# ---- SQuAD, KorQuAD 1.0, KLUE-MRC


def _is_squad(value: dict[str, Any]) -> bool:
    articles = value.get("data")
    return isinstance(articles, list) and any(
        isinstance(article, dict) and isinstance(article.get("paragraphs"), list)
        for article in articles
    )


def _squad_questions(articles: list[Any]) -> Iterator[dict[str, object]]:
    """One record per question, with its paragraph and the title of the article."""
    for article in _objects(articles):
        title = article.get("title") or ""
        for paragraph in _objects(article.get("paragraphs")):
            for question in _objects(paragraph.get("qas")):
                yield {
                    "id": next((question[key] for key in _QUESTION_IDS if key in question), None),
                    "question": question.get("question"),
                    "context": paragraph.get("context"),
                    "title": title,
                    "is_impossible": bool(question.get("is_impossible")),
                }


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; nothing of anything else."""
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]
