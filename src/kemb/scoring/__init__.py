"""From vectors or runs to scores, with the items every score comes from: pure functions on
arrays.
"""

from __future__ import annotations

from dataclasses import replace

from kemb.arrays import Ragged, Representations
from kemb.errors import DataError, ModelError, NotSupported
from kemb.scoring.clusters import clustering
from kemb.scoring.labels import classification, multilabel_classification
from kemb.scoring.pairs import bitext_mining, pair_classification, sts
from kemb.scoring.ranking import SUBQUERIES, merged_subqueries, ranking_metrics, without_own_ids
from kemb.scoring.search.dense import check_shapes, rank, ranked
from kemb.scoring.search.search import run_from_scores, top_k
from kemb.scoring.similarity import SIMILARITIES
from kemb.scoring.summarization import summarization
from kemb.tasks.spec import TaskSpec
from kemb.types import (
    BitextData,
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    PartData,
    PartScore,
    RetrievalData,
    Run,
    SummaryData,
    TaskType,
)

__all__ = ["METRIC_VERSION", "rank", "run_from_scores", "score", "score_run", "top_k"]

METRIC_VERSION: dict[TaskType, int] = {
    "retrieval": 1,
    "reranking": 1,
    "sts": 1,
    "pair_classification": 1,
    "classification": 1,
    "multilabel_classification": 1,
    "clustering": 1,
    "bitext_mining": 1,
    "summarization": 1,
}
"""A version goes up when a change moves any metric of the type."""


def score(
    spec: TaskSpec, data: PartData, vectors: Representations, *, similarity: str
) -> PartScore:
    """The score of one part of a task.

    Args:
        spec: the task.
        data: texts and gold answers.
        vectors: for every column of `kemb.types.columns(data)` one row per text, all of the same
            dimension; sparse ones where texts are compared in pairs (STS, pair classification,
            bitext mining, summarization).
        similarity: what the model declares, one of `kemb.scoring.similarity.SIMILARITIES`.

    Raises:
        NotSupported: a similarity that cannot be scored, or sparse vectors where dense ones are
            needed.
        DataError: data that no score can be computed from.
        ModelError: vectors that do not fit the data, are not finite, or are all the same.
    """
    if similarity not in SIMILARITIES:
        raise NotSupported(
            f"Models with the similarity {similarity!r} cannot be scored; known: {SIMILARITIES}."
        )
    try:
        check_shapes(data, vectors)
        if isinstance(data, PairData | BitextData | SummaryData):
            return _score_pairs(spec, data, vectors, similarity)
        dense = {name: column for name, column in vectors.items() if not isinstance(column, Ragged)}
        if len(dense) < len(vectors):
            raise NotSupported(
                f"Task {spec.name} has the type {spec.type!r}, which needs dense vectors."
            )
        match data:
            case RetrievalData():
                return _score_of_run(spec, ranked(spec, data, dense, similarity), data)
            case LabelData():
                return classification(data, dense)
            case MultilabelData():
                return multilabel_classification(data, dense)
            case ClusterData():
                return clustering(spec.clustering, data, dense)
    except (DataError, ModelError) as error:
        raise type(error)(f"Task {spec.name}: {error}") from error


def _score_pairs(
    spec: TaskSpec,
    data: PairData | BitextData | SummaryData,
    vectors: Representations,
    similarity: str,
) -> PartScore:
    """The score of texts that are compared with each other."""
    match data:
        case PairData() if spec.type == "sts":
            return sts(data, vectors, similarity=similarity)
        case PairData():
            return pair_classification(data, vectors, similarity=similarity)
        case BitextData():
            return bitext_mining(data, vectors, similarity=similarity)
        case SummaryData():
            return summarization(spec.summarization, data, vectors, similarity=similarity)


def score_run(spec: TaskSpec, data: RetrievalData, run: Run) -> PartScore:
    """The score of a run that some retriever made (`top_k`, `run_from_scores`, BM25).

    Raises:
        NotSupported: a task type without runs.
        DataError: no query has a judgment, or the run has another number of queries.
    """
    if spec.type not in ("retrieval", "reranking"):
        raise NotSupported(
            f"Task {spec.name} has the type {spec.type!r}; only rankings can be scored as a run."
        )
    if len(run.indices) != len(data.query_ids):
        raise DataError(
            f"Task {spec.name}: the run has {len(run.indices)} queries; expected "
            f"{len(data.query_ids)}, in the order of the task."
        )
    return _score_of_run(spec, run, data)


def _score_of_run(spec: TaskSpec, run: Run, data: RetrievalData) -> PartScore:
    if spec.ignore_identical_ids:
        run = without_own_ids(run, data)
    found = ranking_metrics(run, data)
    if not spec.main_metric.startswith(SUBQUERIES):
        return found
    # With values of the merged queries beside those of every single one, and the former as the main
    # score.
    merged = ranking_metrics(*merged_subqueries(run, data))
    metrics = {f"{SUBQUERIES}{name}": value for name, value in merged.metrics.items()}
    items = [block._replace(metric=f"{SUBQUERIES}{block.metric}") for block in merged.items]
    return replace(found, metrics=found.metrics | metrics, items=[*found.items, *items[:-1]])
