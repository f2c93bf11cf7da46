"""Bitext mining: the nearest sentence of the other language, against the aligned one."""

from __future__ import annotations

import numpy as np

from kemb.scoring.search.ragged import rank_ragged
from kemb.scoring.search.search import top_k
from kemb.scoring.vectors import read_all
from kemb.types import BitextData, ItemBlock, PartScore, Ragged, Representations, RetrievalData


def bitext_mining(data: BitextData, vectors: Representations, *, similarity: str) -> PartScore:
    """Precision, recall and F1, averaged over sentences, and accuracy, as mteb.

    Every sentence1 gets the most similar sentence2; of equally similar ones the first. Each row is a class of its
    own with one gold member, so that scikit-learn's weighted averages are plain means over rows: with m sentences
    that were given sentence2 i, and hit = 1 if sentence1 i is among them, precision = hit / m, recall = hit,
    F1 = 2 hit / (m + 1).

    Items: `precision`, `recall`, `f1` of every row, and `nearest` with the id of the sentence found as target and 1
    as value where it is the aligned one.

    Raises:
        ModelError: a vector is not finite.
    """
    n = len(data.item_ids)
    places = [f"{n - 1 - row:012d}" for row in range(n)]  # ties go to the greatest id: the first row
    first, second = vectors["sentence1"], vectors["sentence2"]
    if isinstance(first, Ragged) and isinstance(second, Ragged):
        texts = RetrievalData(places, data.sentence2, data.item_ids, data.sentence1, {})
        run = rank_ragged(first, second, texts, similarity=similarity, k=1)
    else:
        assert not isinstance(first, Ragged)
        assert not isinstance(second, Ragged)
        queries = read_all(first, "sentence1", data.item_ids)
        run = top_k(queries, second, 1, doc_ids=places, query_ids=data.item_ids, similarity=similarity)
    found = run.indices[:, 0]
    hit = (found == np.arange(n)).astype(np.float64)
    n_given = np.bincount(found, minlength=n)
    values = {"precision": hit / np.maximum(n_given, 1), "recall": hit, "f1": 2 * hit / (n_given + 1)}
    items = [ItemBlock(metric, data.item_ids, array) for metric, array in values.items()]
    items.append(ItemBlock("nearest", data.item_ids, hit, targets=[data.item_ids[row] for row in found.tolist()]))
    metrics = {metric: float(np.mean(array)) for metric, array in values.items()}
    notes = {"n_zero_vectors": run.n_zero_vectors} if run.n_zero_vectors else {}
    return PartScore(metrics | {"accuracy": metrics["recall"]}, {}, items, notes)
