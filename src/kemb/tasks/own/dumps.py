"""JSON that keeps texts by id, and what search engines and vector stores write out, as records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kemb.tasks.own.columns import CORPUS, QRELS, QUERIES, plain_name

_RIGHT = ("relevant_docs", "qrels", "relevance_judgments")
"""Keys of the right documents of every query beside `corpus` and `queries`."""
_LISTS = (("hits", "hits"), ("result", "points"), ("points",), ("hits",), ("result",))
"""Where the answers of Elasticsearch, OpenSearch and Qdrant hold their records."""
_BODIES = (("_source", "_id"), ("payload", "id"))
"""Keys of a record's fields and of its id in those answers."""
_CHROMA = ("ids", "documents")
_ID_NAMES = frozenset(name for name in CORPUS["id"] if "." not in name)

Records = list[dict[str, Any]]


def evaluator_tables(value: Mapping[str, Any]) -> dict[str, Records]:
    """Corpus and queries of one JSON of three dictionaries, as LlamaIndex's
    EmbeddingQAFinetuneDataset and sentence-transformers' InformationRetrievalEvaluator have them:
    texts by id, and the right ids of every query, with grades or without.

    :return: records by `corpus` and `queries`; empty where it is something else.
    """
    key = next((key for key in _RIGHT if isinstance(value.get(key), dict)), "")
    parts = [value.get("corpus"), value.get("queries")]
    if not key or not all(isinstance(part, dict) for part in parts):
        return {}
    queries: Records = []
    # A question that is judged and has no text is a missing value, and is told as one.
    for query_id in dict.fromkeys((*value["queries"], *value[key])):
        record = {"id": query_id, "question": _text_of(value["queries"].get(query_id), "queries")}
        right = value[key].get(query_id)
        if isinstance(right, dict) and right:
            queries += [
                record | {"relevant_docs": doc_id, "relevance": grade}
                for doc_id, grade in right.items()
            ]
        else:
            queries.append(record | {"relevant_docs": right})
    return {"corpus": records_by_key(value["corpus"], "corpus"), "queries": queries}


def records_by_key(value: Mapping[str, Any], role: str) -> Records:
    """Records of a dictionary that keeps texts, or fields of texts, by id, and judgments by query.

    :param role: `corpus`, `queries` or `qrels`: only a name or a key tells it from settings.
    :return: empty where it is something else.
    """
    if role == "qrels":
        return _judgments(value)
    names = CORPUS if role == "corpus" else QUERIES
    if role not in ("corpus", "queries") or {*map(plain_name, value)} & {*names["text"]}:
        return []
    if value and all(isinstance(one, str) for one in value.values()):
        return [{"id": key, "text": one} for key, one in value.items()]
    if value and all(isinstance(one, dict) and _text_name(one, role) for one in value.values()):
        return [{"id": key} | one for key, one in value.items()]
    return []


def _judgments(value: Mapping[str, Any]) -> Records:
    """Judgments of a dictionary: the right ids, or grades by id, of every query."""
    records: Records = []
    if {*map(plain_name, value)} & {name for names in QRELS.values() for name in names}:
        return []  # columns
    for query_id, right in value.items():
        is_list = isinstance(right, list) and all(isinstance(one, str | int) for one in right)
        if not is_list and not isinstance(right, dict):
            return []
        grades = right if isinstance(right, dict) else dict.fromkeys(map(str, right), 1)
        if not all(isinstance(grade, int) for grade in grades.values()):
            return []
        records += [
            {"query-id": query_id, "corpus-id": doc_id, "score": int(grade)}
            for doc_id, grade in grades.items()
        ]
    return records


def _text_name(record: Mapping[str, Any], role: str) -> str:
    """The field of a text, nothing if there is none."""
    usual = (CORPUS if role == "corpus" else QUERIES)["text"]
    return next((name for name in record if plain_name(name) in usual), "")


def _text_of(value: object, role: str) -> object:
    return value.get(_text_name(value, role)) if isinstance(value, dict) else value


def database_records(value: Mapping[str, Any]) -> Records:
    """Records of what Chroma's `get()`, Qdrant's `scroll` or a search of Elasticsearch answer.

    :return: with their envelopes; empty where it is something else.
    """
    if all(isinstance(value.get(key), list) for key in _CHROMA):
        ids, texts = (value[key] for key in _CHROMA)
        metadata = value.get("metadatas") or [None] * len(ids)
        if len(ids) == len(texts) == len(metadata) and all(isinstance(one, str) for one in ids):
            rows = zip(ids, texts, metadata, strict=True)
            return [{"id": one, "text": text, "metadata": more} for one, text, more in rows]
    for path in _LISTS:
        inner: object = value
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, list) and inner and all(map(_is_hit, inner)):
            return list(inner)
    return []


def has_more(value: Mapping[str, Any], n_records: int) -> bool:
    """Whether the answer of a search engine says that it holds a part of the records only."""
    hits, result = value.get("hits"), value.get("result")
    total = hits.get("total") if isinstance(hits, dict) else None
    total = total.get("value") if isinstance(total, dict) else total
    if isinstance(total, int) and total > n_records:
        return True
    return isinstance(result, dict) and result.get("next_page_offset") is not None


def _is_hit(record: object) -> bool:
    return isinstance(record, dict) and hit_fields(record) is not None


def hit_fields(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of a record of a search engine, with its id unless they have one; None of
    others.
    """
    for body, id_name in _BODIES:
        fields = record.get(body)
        if isinstance(fields, dict) and id_name in record:
            has_id = any(plain_name(name) in _ID_NAMES for name in fields)
            return dict(fields) if has_id else {"id": record[id_name]} | fields
    return None
