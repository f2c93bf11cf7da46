"""From vectors or runs to scores, with the items every score comes from: pure functions on
arrays.
"""

from __future__ import annotations

from dataclasses import replace
from pkgutil import resolve_name

from kemb.arrays import Ragged, Representations
from kemb.errors import DataError, ModelError, NotSupported
from kemb.scoring.judged import judged_of
from kemb.scoring.ranking import merged_subqueries, without_own_ids
from kemb.scoring.search.dense import check_shapes, rank, ranked
from kemb.scoring.search.search import run_from_scores, top_k
from kemb.tasks.kinds import KINDS, SUBQUERIES
from kemb.tasks.spec import TaskSpec
from kemb.types import SIMILARITIES, PartData, PartScore, RetrievalData, Run

__all__ = ["rank", "run_from_scores", "score", "score_run", "top_k"]


def score(
    spec: TaskSpec, data: PartData, vectors: Representations, *, similarity: str
) -> PartScore:
    """The score of one part of a task, by the scorer that the row of its type names.

    :param spec: the task.
    :param data: texts and gold answers.
    :param vectors: for every column of `kemb.tasks.kinds.columns(data)` one row per text, all of
        the same dimension; sparse ones where texts are compared with each other (STS, pair
        classification, bitext mining, summarization).
    :param similarity: what the model declares, one of `kemb.types.SIMILARITIES`.
    :raises NotSupported: a similarity that cannot be scored, or sparse vectors where dense ones are
        needed.
    :raises DataError: data that no score can be computed from.
    :raises ModelError: vectors that do not fit the data, are not finite, or are all the same.
    """
    if similarity not in SIMILARITIES:
        raise NotSupported(
            f"Models with the similarity {similarity!r} cannot be scored; known: {SIMILARITIES}."
        )
    kind = KINDS[spec.type]
    try:
        check_shapes(data, vectors)
        dense = {name: column for name, column in vectors.items() if not isinstance(column, Ragged)}
        if not kind.compares and len(dense) < len(vectors):
            raise NotSupported(
                f"Task {spec.name} has the type {spec.type!r}, which needs dense vectors."
            )
        if isinstance(data, RetrievalData):
            return _score_of_run(spec, ranked(spec, data, dense, similarity), data)
        settings: dict[str, object] = {"similarity": similarity} if kind.compares else {}
        if kind.protocol:
            settings["protocol"] = getattr(spec, kind.protocol)
        value: PartScore = resolve_name(kind.scorer)(data=data, vectors=vectors, **settings)
        return value
    except (DataError, ModelError) as error:
        raise type(error)(f"Task {spec.name}: {error}") from error


def score_run(spec: TaskSpec, data: RetrievalData, run: Run) -> PartScore:
    """The score of a run that some retriever made (`top_k`, `run_from_scores`, BM25).

    :raises NotSupported: a task type without runs.
    :raises DataError: no query has a judgment, or the run has another number of queries.
    """
    if not KINDS[spec.type].is_ranking:
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
    """By the scorer of the type, and where the main metric asks for it of merged queries, too."""
    scorer = resolve_name(KINDS[spec.type].scorer)
    if spec.ignore_identical_ids:
        run = without_own_ids(run, data)
    single: PartScore = scorer(run=run, data=data)
    if spec.drafted and data.places is None and spec.main_metric in single.metrics:
        single = replace(single, judged=judged_of(run, data, spec.main_metric))
    if not spec.main_metric.startswith(SUBQUERIES):
        return single
    merged_run, merged_data = merged_subqueries(run, data)
    merged: PartScore = scorer(run=merged_run, data=merged_data)
    metrics = {f"{SUBQUERIES}{name}": value for name, value in merged.metrics.items()}
    items = [block._replace(metric=f"{SUBQUERIES}{block.metric}") for block in merged.items]
    return replace(single, metrics=single.metrics | metrics, items=[*single.items, *items[:-1]])
