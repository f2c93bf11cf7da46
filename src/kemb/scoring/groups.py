"""Rankings of queries that are answered in full by one document of each of several groups, as
AutoRAG scores them (autorag/evaluation/metric/retrieval.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kemb.arrays import DoubleArray
from kemb.tasks.kinds import CUTOFFS
from kemb.types import RetrievalData, Run


def grouped_metrics(run: Run, data: RetrievalData, judged: Sequence[int]) -> dict[str, DoubleArray]:
    """The metrics [n_judged] that differ where answers come in groups; nothing without groups.

    - `recall@k`: groups with a document among the first k, divided by the groups.
    - `f1@k`: harmonic mean of that recall and the query's precision@k.
    - `mrr@k`: mean over the groups of 1 / rank of the first document of the group, 0 beyond k.
    - `map@k`: mean over the groups of the mean precision at the ranks, up to k, of the group's
      documents, 0 where there is none.

    :param judged: rows of the queries that are scored.
    """
    if data.groups is None:
        return {}
    values = {f"{name}@{k}": np.zeros(len(judged)) for name in _NAMES for k in CUTOFFS}
    for place, row in enumerate(judged):
        groups = data.groups.get(data.query_ids[row])
        if not groups:
            continue
        ranked = [data.doc_ids[number] for number in run.indices[row].tolist() if number >= 0]
        rank_of = {doc_id: rank for rank, doc_id in enumerate(ranked, start=1)}
        ranks = [sorted(rank_of[doc] for doc in set(group) & rank_of.keys()) for group in groups]
        relevant = {rank for of_group in ranks for rank in of_group}
        for k in CUTOFFS:
            for name, value in zip(_NAMES, _at(k, ranks, relevant), strict=True):
                values[f"{name}@{k}"][place] = value
    return values | {"accuracy": values["recall@1"]}


_NAMES = ("recall", "f1", "mrr", "map")


def _at(k: int, ranks: list[list[int]], relevant: set[int]) -> tuple[float, ...]:
    """Recall, F1, reciprocal rank and average precision of one query.

    :param ranks: of every group, the ranks of its documents, ascending.
    """
    within = [[rank for rank in of_group if rank <= k] for of_group in ranks]
    recall = sum(map(bool, within)) / len(ranks)
    precision = sum(rank <= k for rank in relevant) / k
    total = precision + recall
    f1 = 2 * precision * recall / total if total else 0.0
    reciprocal = sum(1 / of_group[0] for of_group in within if of_group) / len(ranks)
    precisions = [
        sum(nth / rank for nth, rank in enumerate(of_group, start=1)) / len(of_group)
        for of_group in within
        if of_group
    ]
    return recall, f1, reciprocal, sum(precisions) / len(ranks)
