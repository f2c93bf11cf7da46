"""Checks of finished data, and its content hash; the same for hub datasets and for folders of a
user's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kemb.errors import DataError
from kemb.tasks.spec import Contract, TaskSpec
from kemb.types import (
    BitextData,
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    Part,
    PartData,
    RetrievalData,
    SummaryData,
    columns,
)

Notes = dict[str, int]
_STRINGS_PER_UPDATE = 8192


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
        if len(set(ids)) < len(ids):
            raise DataError(
                f"{where}: the {kind} id {_first_repeated(ids)!r} occurs more than once."
            )
    documents, queries = set(data.doc_ids), set(data.query_ids)
    # Lists of queries that are not asked do no harm; mteb's MIRACLReranking seems to have one.
    candidates = {
        query: ranked for query, ranked in (data.candidates or {}).items() if query in queries
    }
    for source, lists in (("qrels", data.qrels), ("candidates", candidates)):
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
    """sha256 of everything a score depends on, in order, each string with its length before it.

    Row numbers are not part of it. Judgments are taken in the order of the queries and sorted by
    document.
    """
    digest = hashlib.sha256(type(data).__name__.encode())
    for strings in _content(data):
        values = list(strings)
        digest.update(b"%d\n" % len(values))
        for start in range(0, len(values), _STRINGS_PER_UPDATE):
            chunk = [
                value.encode("utf-8", "surrogatepass")
                for value in values[start : start + _STRINGS_PER_UPDATE]
            ]
            digest.update(b"".join(b"%d:%b" % (len(value), value) for value in chunk))
    return digest.hexdigest()


def _content(data: PartData) -> Iterable[Iterable[str]]:
    """The lists of strings that make up a part; text labels are quoted, so that 1 and "1"
    differ.
    """
    match data:
        case RetrievalData():
            yield from (data.doc_ids, data.documents, data.query_ids, data.queries)
            yield (
                f"{q}\0{d}\0{grade}"
                for q in data.query_ids
                for d, grade in sorted(data.qrels[q].items())
            )
            if data.candidates is not None:
                yield (f"{q}\0{d}" for q in data.query_ids for d in data.candidates[q])
        case PairData():
            yield from (data.sentence1, data.sentence2, map(repr, data.gold.tolist()))
        case BitextData():
            yield from (data.sentence1, data.sentence2)
        case LabelData() | MultilabelData():
            yield from (
                data.texts,
                map(repr, data.labels),
                data.train_texts,
                map(repr, data.train_labels),
            )
            yield from (map(str, rows.tolist()) for rows in data.experiments)
        case ClusterData():
            yield from (data.texts, map(repr, data.labels), map(str, data.problems.tolist()))
        case SummaryData():
            yield from (
                data.machine,
                map(str, data.machine_of.tolist()),
                map(repr, data.gold.tolist()),
            )
            yield from (data.human, map(str, data.human_of.tolist()))


def _counts(data: PartData) -> dict[str, int]:
    match data:
        case RetrievalData():
            return {"documents": len(data.doc_ids), "queries": len(data.query_ids)}
        case PairData() | BitextData():
            return {"rows": len(data.sentence1)}
        case LabelData() | MultilabelData() | ClusterData():
            return {"rows": len(data.texts)}
        case SummaryData():
            return {"rows": len(data.document_ids)}


def _first_repeated(ids: Sequence[str]) -> str:
    earlier_ids: set[str] = set()
    return next(i for i in ids if i in earlier_ids or earlier_ids.add(i))  # type: ignore[func-returns-value]
