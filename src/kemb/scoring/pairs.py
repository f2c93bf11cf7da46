"""Sentence pairs: correlations with gold scores (STS), and separation of positive from negative
pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from kemb.arrays import DoubleArray, FloatArray, Ragged, Representations, Vectors
from kemb.errors import DataError, ModelError
from kemb.scoring.dependence import components
from kemb.scoring.items import of_metric
from kemb.scoring.search.ragged import rank_ragged
from kemb.scoring.search.search import top_k
from kemb.scoring.similarity import check_finite, read_all, read_sparse
from kemb.types import SIMILARITIES, BitextData, ItemBlock, PairData, PartScore, RetrievalData

LEADERBOARD_CORRELATIONS = tuple(
    f"{prefix}{kind}"
    for prefix in ("", "cosine_", "euclidean_", "manhattan_")
    for kind in ("pearson", "spearman")
)
"""What the Korean leaderboard averages: the eight correlations mteb reports, `dot` not among them.
"""

_BLOCK = 16384


def sts(data: PairData, vectors: Representations, *, similarity: str) -> PartScore:
    """Pearson and Spearman correlation (ties get mean ranks) of every similarity with the gold
    scores.

    Metrics `<similarity>_pearson` and `<similarity>_spearman`; without a prefix those of the
    similarity the model declares; `mean_correlation` is the mean of LEADERBOARD_CORRELATIONS.

    :raises ModelError: vectors that are not finite, or a similarity that is the same for all pairs.
    :raises DataError: gold scores that are all the same.
    """
    from scipy.stats import pearsonr, spearmanr

    if np.ptp(data.gold) == 0:
        raise DataError(
            f"All {len(data.gold)} gold scores are {data.gold[0]}: a correlation with them is "
            "undefined; "
            "expected at least two different scores."
        )
    values, n_zero = pair_similarities(data, vectors)
    metrics = {}
    for name, scores in values.items():
        if np.ptp(scores) == 0:
            raise ModelError(
                f"The {name} similarity is {scores[0]} for all {len(scores)} pairs, so its "
                "correlation with the gold scores is undefined: the model gives the same vector "
                "for every text, or no vector a direction. "
                "Check its weights and pooling."
            )
        metrics[f"{name}_pearson"] = float(pearsonr(scores, data.gold)[0])
        metrics[f"{name}_spearman"] = float(spearmanr(scores, data.gold)[0])
    metrics |= {kind: metrics[f"{similarity}_{kind}"] for kind in ("pearson", "spearman")}
    metrics["mean_correlation"] = float(
        np.mean([metrics[name] for name in LEADERBOARD_CORRELATIONS])
    )
    return _part_score(metrics, data, values, n_zero)


def pair_classification(data: PairData, vectors: Representations, *, similarity: str) -> PartScore:
    """How well each similarity separates pairs with gold 1 from pairs with gold 0.

    Metrics `<similarity>_<ap|accuracy|f1|precision|recall>`; with the prefix `similarity` those of
    the similarity the model declares; with `max` the best of all, chosen on the evaluated pairs
    themselves, as in mteb.

    :raises ModelError: vectors that are not finite.
    :raises DataError: gold values other than 0 and 1, or only one of them.
    """
    if set(np.unique(data.gold)) != {0.0, 1.0}:
        raise DataError(
            "Pair classification needs the labels 0 and 1, each at least once; got "
            f"{np.unique(data.gold)[:5].tolist()}. Map other labels with [labels] in the task's "
            "TOML."
        )
    values, n_zero = pair_similarities(data, vectors)
    labels = data.gold == 1
    metrics: dict[str, float] = {}
    for name, scores in values.items():
        metrics |= {
            f"{name}_{metric}": value for metric, value in separation(scores, labels).items()
        }
    for metric in ("ap", "accuracy", "f1", "precision", "recall"):
        metrics[f"similarity_{metric}"] = metrics[f"{similarity}_{metric}"]
        metrics[f"max_{metric}"] = max(metrics[f"{name}_{metric}"] for name in SIMILARITIES)
    return _part_score(metrics, data, values, n_zero)


def separation(
    scores: DoubleArray, labels: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> dict[str, float]:
    """Average precision, and accuracy and F1 at their best thresholds, of pairs ordered by score.

    A threshold never splits equal scores. `ap` is sum of (R_n - R_{n-1}) P_n over the distinct
    scores, as in scikit-learn. `accuracy` and `f1` are the best over thresholds between two
    different scores, so calling every pair positive, or none, is not tried; `precision` and
    `recall` are those where F1 is best. As in mteb 2.26.

    :param scores: [n], higher for pairs more alike.
    :param labels: [n], True for positive pairs, of which there is at least one.
    """
    order = np.argsort(-scores, kind="stable")
    n, n_positive = len(labels), int(labels.sum())
    last = np.flatnonzero(
        np.diff(scores[order], append=np.nan)
    )  # the last pair of each group of equal scores
    n_called = last + 1
    n_true = np.cumsum(labels[order])[last]
    precision, recall = n_true / n_called, n_true / n_positive
    ap = float(np.sum(np.diff(recall, prepend=0.0) * precision))

    n_called, n_true, precision, recall = n_called[:-1], n_true[:-1], precision[:-1], recall[:-1]
    accuracy = (n_true + (n - n_positive) - (n_called - n_true)) / n
    f1 = np.divide(
        2 * precision * recall, precision + recall, out=np.zeros(len(n_true)), where=n_true > 0
    )
    best = int(np.argmax(f1)) if len(f1) and f1.max() > 0 else None
    return {
        "ap": ap,
        "accuracy": float(accuracy.max(initial=0.0)),
        "f1": 0.0 if best is None else float(f1[best]),
        "precision": 0.0 if best is None else float(precision[best]),
        "recall": 0.0 if best is None else float(recall[best]),
    }


def pair_similarities(
    data: PairData, vectors: Representations
) -> tuple[dict[str, DoubleArray], int]:
    """Cosine, dot product, and negated Euclidean and Manhattan distance [n] of every pair, higher
    for more alike.

    Computed in float32 by the functions mteb uses; the cosine is 1 - |a' - b'|^2 / 2 of the
    normalised vectors, which makes it 0.5, not 0, for a pair with one vector of zeros. Sparse
    vectors are not unfolded, and their cosine is a . b / (|a| |b|): 0 where they have no entry in
    common.

    :return: The similarities, and the number of vectors that are zeros.

    :raises ModelError: a vector is not finite.
    """
    from sklearn.metrics.pairwise import (
        paired_cosine_distances,
        paired_euclidean_distances,
        paired_manhattan_distances,
    )

    n_zero = 0
    blocks: list[list[FloatArray]] = []
    for start in range(0, len(data.item_ids), _BLOCK):
        stop = min(start + _BLOCK, len(data.item_ids))
        (a, squares), (b, others) = (
            _block(vectors[column], column, data.item_ids, start, stop)
            for column in ("sentence1", "sentence2")
        )
        n_zero += int(np.count_nonzero(squares == 0) + np.count_nonzero(others == 0))
        if isinstance(a, np.ndarray):
            cosines, products = 1 - paired_cosine_distances(a, b), np.einsum("ij,ij->i", a, b)
        else:
            cosines, products = _sparse_cosines(a.astype(np.float64), b.astype(np.float64))
        blocks.append(
            [
                cosines,
                products,
                -paired_euclidean_distances(a, b),
                -paired_manhattan_distances(a, b),
            ]
        )
    joined = (np.concatenate(parts).astype(np.float64) for parts in zip(*blocks, strict=True))
    return dict(zip(SIMILARITIES, joined, strict=True)), n_zero


def _block(
    column: Vectors | Ragged, name: str, ids: Sequence[str], start: int, stop: int
) -> tuple[Any, FloatArray]:
    """Rows of a column, dense or a sparse matrix, and their squared lengths."""
    if isinstance(column, Ragged):
        return read_sparse(column.take(np.arange(start, stop)), name, ids, start)
    block = column.block(start, stop)
    return block, check_finite(block, name, ids, start)


def _sparse_cosines(a: Any, b: Any) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401  scipy has no types
    """Cosines and dot products of sparse rows, from float64 rounded to float32.

    Many pairs share no entry: they must tie at exactly 0, which 1 - |a' - b'|^2 / 2 would scatter.
    """
    products, squares, others = (
        np.asarray(one.multiply(other).sum(axis=1)).reshape(-1)
        for one, other in ((a, b), (a, a), (b, b))
    )
    both = np.sqrt(squares) * np.sqrt(others)
    cosines = np.divide(products, both, out=np.zeros(len(products)), where=both > 0)
    return cosines.astype(np.float32), products.astype(np.float32)


def sentence_clusters(data: PairData) -> list[str] | None:
    """For each pair the first item of its cluster; pairs that share a sentence, directly or by
    others, are one.

    :return: Ids [n], or None where no two pairs share a sentence.
    """
    firsts = components(list(zip(data.sentence1, data.sentence2, strict=True)))
    if len(set(firsts)) == len(firsts):
        return None
    return [data.item_ids[first] for first in firsts]


def _part_score(
    metrics: dict[str, float], data: PairData, values: Mapping[str, DoubleArray], n_zero: int
) -> PartScore:
    clusters: Sequence[str] | None = sentence_clusters(data)
    return PartScore(
        metrics=metrics,
        experiments={},
        items=[
            ItemBlock(metric, data.item_ids, array, cluster_ids=clusters)
            for metric, array in {"gold": data.gold, **values}.items()
        ],
        notes={"n_zero_vectors": n_zero} if n_zero else {},
    )


def bitext_mining(data: BitextData, vectors: Representations, *, similarity: str) -> PartScore:
    """Precision, recall and F1, averaged over sentences, and accuracy, as mteb.

    Every sentence1 gets the most similar sentence2; of equally similar ones the first. Each row is
    a class of its own with one gold member, so that scikit-learn's weighted averages are plain
    means over rows: with m sentences that were given sentence2 i, and hit = 1 if sentence1 i is
    among them, precision = hit / m, recall = hit, F1 = 2 hit / (m + 1).

    Items: `precision`, `recall`, `f1` of every row, and `nearest` with the id of the sentence found
        as target and 1
    as value where it is the aligned one.

    :raises ModelError: a vector is not finite.
    """
    n = len(data.item_ids)
    places = [
        f"{n - 1 - row:012d}" for row in range(n)
    ]  # ties go to the greatest id: the first row
    first, second = vectors["sentence1"], vectors["sentence2"]
    if isinstance(first, Ragged) and isinstance(second, Ragged):
        texts = RetrievalData(places, data.sentence2, data.item_ids, data.sentence1, {})
        run = rank_ragged(first, second, texts, similarity=similarity, k=1)
    else:
        assert not isinstance(first, Ragged)
        assert not isinstance(second, Ragged)
        queries = read_all(first, "sentence1", data.item_ids)
        run = top_k(
            queries, second, 1, doc_ids=places, query_ids=data.item_ids, similarity=similarity
        )
    nearest = run.indices[:, 0]
    hit = (nearest == np.arange(n)).astype(np.float64)
    n_given = np.bincount(nearest, minlength=n)
    values = {
        "precision": hit / np.maximum(n_given, 1),
        "recall": hit,
        "f1": 2 * hit / (n_given + 1),
    }
    items = [ItemBlock(metric, data.item_ids, array) for metric, array in values.items()]
    items.append(
        ItemBlock(
            "nearest", data.item_ids, hit, targets=[data.item_ids[row] for row in nearest.tolist()]
        )
    )
    metrics = {metric: float(np.mean(array)) for metric, array in values.items()}
    notes = {"n_zero_vectors": run.n_zero_vectors} if run.n_zero_vectors else {}
    return PartScore(metrics | {"accuracy": metrics["recall"]}, {}, items, notes)


def correlations_of_items(items: pa.Table) -> dict[str, float]:
    """The correlations of `sts`, out of its items."""
    from scipy.stats import pearsonr, spearmanr

    gold = of_metric(items, "gold")["value"].to_numpy()
    metrics: dict[str, float] = {}
    for name in SIMILARITIES:
        values = of_metric(items, name)["value"].to_numpy()
        metrics[f"{name}_pearson"] = float(pearsonr(values, gold)[0])
        metrics[f"{name}_spearman"] = float(spearmanr(values, gold)[0])
    return metrics


def separation_of_items(items: pa.Table) -> dict[str, float]:
    """The metrics of `pair_classification`, out of its items."""
    is_positive = of_metric(items, "gold")["value"].to_numpy() == 1
    metrics: dict[str, float] = {}
    for name in SIMILARITIES:
        values = of_metric(items, name)["value"].to_numpy()
        separated = separation(values, is_positive)
        metrics |= {f"{name}_{metric}": value for metric, value in separated.items()}
    for metric in ("ap", "accuracy", "f1", "precision", "recall"):
        metrics[f"max_{metric}"] = max(metrics[f"{name}_{metric}"] for name in SIMILARITIES)
    return metrics
