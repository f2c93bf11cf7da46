"""Part of the documents of a retrieval task: the right ones, the first of unlike retrievers, and
random others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from kemb import statistics
from kemb.drafting.pools import ranking_of_result
from kemb.results.files import TaskResult
from kemb.tasks.parts import content_sha256
from kemb.types import Part, RetrievalData

N_POOLED = 20
"""Documents per question and pool maker that every sub-corpus holds."""


def pooled(makers: Sequence[TaskResult], part: Part, depth: int) -> set[str]:
    """Ids of the documents that some maker has among its first for some question.

    :param makers: results on all documents.
    :param depth: documents per question and maker, at most 100.
    """
    rankings = [ranking_of_result(maker, (part.split, part.subset)) for maker in makers]
    return {
        document
        for ranking in rankings
        for documents in ranking.values()
        for document in documents[:depth]
    }


def right_documents(data: RetrievalData) -> set[str]:
    """Ids of the documents that are judged for some question, of whatever grade."""
    return {document for grades in data.qrels.values() for document in grades}


def cut(part: Part, pool: Collection[str], n_documents: int, seed: int) -> Part:
    """The part with all judged documents, those of the pool, and random others; the order of
    documents stays.

    The random ones are the first of one permutation: of two sizes by one pool the smaller is part
    of the larger.

    :param n_documents: how many it has then; more where the judged and the pooled ones are more.
    """
    data = part.data
    assert isinstance(data, RetrievalData)
    judged = right_documents(data)
    inside = np.array([doc in pool or doc in judged for doc in data.doc_ids], dtype=np.bool_)
    n_others = n_documents - int(inside.sum())
    if n_others > 0:
        rng = statistics.generator([seed, "sub-corpus", f"{part.split}/{part.subset}"])
        order = rng.permutation(len(data.doc_ids))
        inside[order[~inside[order]][:n_others]] = True
    rows = np.flatnonzero(inside).tolist()
    smaller = replace(
        data,
        doc_ids=[data.doc_ids[row] for row in rows],
        documents=[data.documents[row] for row in rows],
    )
    notes = part.notes | {"n_documents_left_out": len(data.doc_ids) - len(rows)}
    return replace(part, data=smaller, sha256=content_sha256(smaller), notes=notes)
