"""Checks of finished data, and its content hash; the same for hub datasets and for folders of a
user's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from kemb.errors import DataError
from kemb.files.columns import blocks_of, repeats, rows_of
from kemb.tasks.kinds import columns, shape_of
from kemb.tasks.spec import Contract, TaskSpec
from kemb.types import Part, PartData, RetrievalData

Notes = dict[str, int]


def make_part(spec: TaskSpec, split: str, subset: str, data: PartData, notes: Notes) -> Part:
    """A checked part: not empty, with the counts of the specification's contract, and hashed.

    :raises DataError: the part is empty, or its counts are not those the contract names.
    """
    where = f"{spec.name}, split {split}, subset {subset}"
    counts = _counts(data)
    if empty := [name for name, count in counts.items() if count == 0]:
        raise DataError(f"{where} has no {' and no '.join(empty)}; there is nothing to evaluate.")
    expected = spec.contract.get(f"{split}/{subset}", Contract()).model_dump(exclude_none=True)
    for name, count in expected.items():
        if counts.get(name) != count:
            raise DataError(
                f"{where} has {counts.get(name)} {name}, expected {count}: these are not the data "
                f"the task was defined on ({spec.source.hub} at revision {spec.source.revision})."
            )
    if n_empty := sum(
        not text.strip() for column in columns(data).values() for text in column.texts
    ):
        notes = notes | {"n_empty_texts": n_empty}
    return Part(split, subset, data, content_sha256(data), notes)


def checked_retrieval(data: RetrievalData, where: str) -> tuple[RetrievalData, Notes]:
    """Retrieval data without the queries nobody judged, as in mteb; judgments in the order of the
    queries.

    :raises DataError: there are no documents or queries, an id occurs twice, or a judgment or
        candidate names a query or document that does not exist.
    """
    _refuse_wrong_ids(data, where)
    judged_rows = [i for i, query in enumerate(data.query_ids) if data.qrels.get(query)]
    query_ids = [data.query_ids[i] for i in judged_rows]
    notes = {
        "n_dropped_queries": len(data.query_ids) - len(judged_rows),
        "n_queries_without_relevant": sum(
            max(data.qrels[query].values()) <= 0 for query in query_ids
        ),
    }
    candidates = None
    if data.candidates is not None:
        candidates = {query: data.candidates.get(query, []) for query in query_ids}
        notes["n_queries_without_candidates"] = sum(not ranked for ranked in candidates.values())
    checked = replace(
        data,
        query_ids=query_ids,
        queries=[data.queries[i] for i in judged_rows],
        qrels={query: data.qrels[query] for query in query_ids},
        candidates=candidates,
    )
    return checked, {name: count for name, count in notes.items() if count}


def _refuse_wrong_ids(data: RetrievalData, where: str) -> None:
    for kind, ids in (("document", data.doc_ids), ("query", data.query_ids)):
        if not ids:
            raise DataError(f"{where} has no {kind} at all; there is nothing to evaluate.")
        if repeat := next(repeats(ids), None):
            raise DataError(f"{where}: the {kind} id {ids[repeat[0]]!r} occurs more than once.")
    queries = set(data.query_ids)
    # Lists of queries that are not asked do no harm; mteb's MIRACLReranking seems to have one.
    candidates = {
        query: ranked for query, ranked in (data.candidates or {}).items() if query in queries
    }
    lists_by_source: dict[str, Mapping[str, Collection[str]]] = {
        "qrels": data.qrels,
        "candidates": candidates,
    }
    sought = {
        document
        for lists in lists_by_source.values()
        for document_ids in lists.values()
        for document in document_ids
    }
    documents = rows_of(data.doc_ids, sought)
    for source, lists in lists_by_source.items():
        for query, document_ids in lists.items():
            if query not in queries:
                raise DataError(
                    f"{where}: the {source} name query {query!r}, which the queries do not have."
                )
            if absent := next(
                (document for document in document_ids if document not in documents), None
            ):
                raise DataError(
                    f"{where}: the {source} of query {query!r} name document {absent!r}, "
                    "which the corpus does not have."
                )


def content_sha256(data: PartData) -> str:
    """sha256 of everything a score depends on, in order, each string with its length before it."""
    digest = hashlib.sha256(type(data).__name__.encode())
    for strings in data.content():
        values = strings if isinstance(strings, Sequence) else list(strings)
        digest.update(b"%d\n" % len(values))
        for block in blocks_of(values):
            chunk = [value.encode("utf-8", "surrogatepass") for value in block]
            digest.update(b"".join(b"%d:%b" % (len(value), value) for value in chunk))
    return digest.hexdigest()


def _counts(data: PartData) -> dict[str, int]:
    return {name: len(getattr(data, of)) for name, of in shape_of(data).counts.items()}
