"""Which items of a task depend on each other, and so are drawn together: pairs that share a
sentence, questions that share a right passage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence

import numpy as np

from kemb.arrays import IntArray
from kemb.statistics import FEWEST
from kemb.types import Qrels


def components(keys_by_item: Sequence[Collection[Hashable]]) -> list[int]:
    """For every item [n] the first item of its cluster; items that share a key, directly or by
    others, are one.
    """
    above = list(range(len(keys_by_item)))

    def root(item: int) -> int:
        while above[item] != item:
            above[item] = above[above[item]]
            item = above[item]
        return item

    first_with: dict[Hashable, int] = {}
    for item, keys in enumerate(keys_by_item):
        for key in keys:
            one, other = sorted((root(item), root(first_with.setdefault(key, item))))
            above[other] = one
    return [root(item) for item in range(len(above))]


def question_clusters(qrels: Qrels, query_ids: Sequence[str]) -> list[str]:
    """For every question [n] the first question of its cluster (docs/statistics.md, "Questions on
    one passage").

    Questions that share a right passage, directly or by others, are one cluster. Where a few
    passages that are right for many questions chain nearly all of them, only questions with the
    very same right passages are: if the first rule leaves fewer than `statistics.FEWEST` effective
    clusters, and the second one does not. It never depends on a score. A question without a right
    passage is a cluster of its own.
    """
    right = [
        frozenset(doc for doc, grade in qrels.get(query, {}).items() if grade > 0)
        for query in query_ids
    ]
    clusters = components(right)
    if effective(clusters) < FEWEST:
        same_passages = components([{passages} if passages else () for passages in right])
        if effective(same_passages) >= FEWEST:
            clusters = same_passages
    return [query_ids[first] for first in clusters]


def cluster_codes(cluster_ids: Sequence[str]) -> IntArray | None:
    """The clusters of items [n] as numbers; None where every item is one of its own."""
    different, codes = np.unique(np.array(cluster_ids), return_inverse=True)
    return None if len(different) == len(codes) else np.asarray(codes, dtype=np.int64)


def effective(clusters: Sequence[Hashable]) -> float:
    """How many clusters of equal size say as much: n^2 / sum of squared sizes (Kish 1965), the
    effective number of Carter, Schnepel and Steigerwald 2017 where clusters differ in size alone.
    """
    squares = sum(size**2 for size in Counter(clusters).values())
    return len(clusters) ** 2 / squares if squares else 0.0
