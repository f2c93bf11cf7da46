"""What some tasks do to a run before it is scored, as in mteb."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kemb.scoring.search.topk import empty_run
from kemb.types import RetrievalData, Run

SUBQUERIES = "max_over_subqueries_"


def without_own_ids(run: Run, data: RetrievalData) -> Run:
    """The run without documents that have the id of their query (mteb's `ignore_identical_ids`); the rest moves up."""
    row_of = {doc_id: row for row, doc_id in enumerate(data.doc_ids)}
    own = np.array([row_of.get(query_id, -2) for query_id in data.query_ids], dtype=np.int64)
    order = np.argsort(run.indices == own[:, None], axis=1, kind="stable")
    indices, scores = (np.take_along_axis(array, order, axis=1) for array in (run.indices, run.scores))
    is_own = indices == own[:, None]
    return replace(run, indices=np.where(is_own, -1, indices), scores=np.where(is_own, -np.inf, scores))


def merged_subqueries(run: Run, data: RetrievalData) -> tuple[Run, RetrievalData]:
    """One query for all whose ids differ only after the last `_`, each document with its best score.

    As mteb's `max_over_subqueries`: the judgments are those of the last of them.
    """
    groups: dict[str, list[int]] = {}
    for row, query_id in enumerate(data.query_ids):
        groups.setdefault(query_id.rpartition("_")[0], []).append(row)
    ids = np.array(data.doc_ids)
    indices, scores = empty_run(len(groups), run.indices.shape[1] * max(map(len, groups.values())))
    for place, rows in enumerate(groups.values()):
        found, values = run.indices[rows].ravel(), run.scores[rows].ravel()
        found, values = found[found >= 0], values[found >= 0]
        order = np.lexsort((ids[found], values))[::-1]
        first = np.sort(np.unique(found[order], return_index=True)[1])
        best = order[first]
        indices[place, : len(best)], scores[place, : len(best)] = found[best], values[best]
    last = {name: rows[-1] for name, rows in groups.items()}
    merged = replace(
        data,
        query_ids=list(groups),
        queries=[data.queries[row] for row in last.values()],
        qrels={name: data.qrels.get(data.query_ids[row], {}) for name, row in last.items()},
    )
    return replace(run, indices=indices, scores=scores), merged
