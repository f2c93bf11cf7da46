"""Summarization: are machine summaries that humans prefer closer to human summaries?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kemb.arrays import DoubleArray, FloatArray, IntArray, Ragged, Representations, Vectors
from kemb.errors import DataError, ModelError
from kemb.scoring.similarity import check_finite, lengths, read_sparse
from kemb.tasks.kinds import KINDS
from kemb.tasks.spec import SummarizationProtocol
from kemb.types import ItemBlock, PartScore, SummaryData

SIMILARITIES = KINDS["summarization"].similarities


def summarization(
    protocol: SummarizationProtocol, data: SummaryData, vectors: Representations, *, similarity: str
) -> PartScore:
    """Mean over documents of the correlation between gold scores and the similarity to the nearest
    human summary.

    Metrics `<similarity>_pearson` and `<similarity>_spearman`; without a prefix those of the
    similarity the model declares. Documents are left out, and counted, where all gold scores,
    cosines or dot products are equal, as in mteb.

    Items: `gold`, `cosine` and `dot` of every machine summary, whose id is that of its document,
        `/`, its place there;
    the metrics with a prefix for every document that counts.

    :raises ModelError: vectors that are not finite, or the same for all summaries.
    :raises DataError: no document whose gold scores differ.
    """
    values, n_zero = nearest_similarities(data, vectors)
    of_document = {
        name: per_document(data.gold, data.machine_of, values[name], protocol)
        for name in SIMILARITIES
    }
    varied = np.array([_is_varied(data.gold[rows]) for rows in documents(data.machine_of)])
    is_counted = varied & np.array(
        [
            all(_is_varied(values[name][rows]) for name in SIMILARITIES)
            for rows in documents(data.machine_of)
        ]
    )
    if not varied.any():
        raise DataError(
            "No document has summaries of different gold scores, so no correlation with them is "
            "defined."
        )
    if not is_counted.any():
        raise ModelError(
            "All summaries of a document are equally similar to the human ones, in every document: "
            "the model gives the same vector for every text, or no vector a direction. Check its "
            "weights and pooling."
        )
    ids = [name for name, counts in zip(data.document_ids, is_counted, strict=True) if counts]
    scored = {
        f"{name}_{kind}": correlations[is_counted]
        for name in SIMILARITIES
        for kind, correlations in of_document[name].items()
    }
    metrics = {name: float(np.mean(correlations)) for name, correlations in scored.items()}
    metrics |= {kind: metrics[f"{similarity}_{kind}"] for kind in ("pearson", "spearman")}
    notes = {"n_zero_vectors": n_zero, "n_skipped_documents": int(np.sum(~is_counted))}
    return PartScore(
        metrics,
        {},
        [
            *_items(data, values),
            *(ItemBlock(name, ids, correlations) for name, correlations in scored.items()),
        ],
        {name: count for name, count in notes.items() if count},
    )


def nearest_similarities(
    data: SummaryData, vectors: Representations
) -> tuple[dict[str, DoubleArray], int]:
    """For every machine summary [n_machine] the cosine and the dot product with the nearest human
    one.

    Products are float64 and rounded to float32, so that equal vectors tie wherever they stand.

    :return: The similarities by name, and the number of vectors without a direction, whose cosines
        are 0.
    """
    machine, machine_squares = _read(vectors["machine"], "machine", data)
    human, human_squares = _read(vectors["human"], "human", data)
    machine_lengths, human_lengths = (
        lengths(values).astype(np.float64) for values in (machine_squares, human_squares)
    )
    values = {name: np.empty(machine.shape[0]) for name in SIMILARITIES}
    for rows, human_rows in zip(documents(data.machine_of), documents(data.human_of), strict=True):
        products = machine[rows].astype(np.float64) @ human[human_rows].astype(np.float64).T
        products = products if isinstance(products, np.ndarray) else products.toarray()
        cosines = products / machine_lengths[rows, None] / human_lengths[None, human_rows]
        for name, matrix in (("cosine", cosines), ("dot", products)):
            values[name][rows] = matrix.astype(np.float32).max(axis=1)
    n_zero = int(np.sum(machine_squares == 0) + np.sum(human_squares == 0))
    return values, n_zero


def documents(of: IntArray) -> list[slice]:
    """The rows of every document; `of` [n] numbers the document of each row, ascending from 0."""
    ends = np.flatnonzero(np.diff(of, append=-1)) + 1
    return [slice(int(start), int(stop)) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]


def per_document(
    gold: DoubleArray, of: IntArray, values: DoubleArray, protocol: SummarizationProtocol
) -> dict[str, DoubleArray]:
    """`pearson` and `spearman` of every document, NaN where one side does not vary; with p-values
    if asked.
    """
    from scipy.stats import pearsonr, spearmanr

    correlations: dict[str, DoubleArray] = {}
    for kind, correlate in (("pearson", pearsonr), ("spearman", spearmanr)):
        correlations[kind] = np.full(len(documents(of)), np.nan)
        for number, rows in enumerate(documents(of)):
            if _is_varied(gold[rows]) and _is_varied(values[rows]):
                correlation, p_value = correlate(gold[rows], values[rows])
                correlations[kind][number] = (
                    (correlation + p_value) / 2 if protocol.average_p_values else correlation
                )
    return correlations


def _read(column: Vectors | Ragged, name: str, data: SummaryData) -> tuple[Any, FloatArray]:
    """A column, dense or a sparse matrix, and the squared lengths of its rows."""
    ids = data.machine_ids if name == "machine" else data.human_ids
    if isinstance(column, Ragged):
        return read_sparse(column, name, ids)
    array = column.block(0, column.shape[0])
    return array, check_finite(array, name, ids, 0)


def _is_varied(values: DoubleArray) -> bool:
    return bool(np.ptp(values) > 0)


def _items(data: SummaryData, values: Mapping[str, DoubleArray]) -> list[ItemBlock]:
    ids = data.machine_ids
    clusters = [data.document_ids[number] for number in data.machine_of.tolist()]
    columns = {"gold": data.gold, **values}
    return [ItemBlock(name, ids, array, cluster_ids=clusters) for name, array in columns.items()]
