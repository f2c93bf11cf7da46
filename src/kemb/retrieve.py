"""The run of one part of a task by any family of models: lexical, fused, reranked, read from a file, or by vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kemb import score
from kemb.errors import DataError
from kemb.models.expression import Fused
from kemb.models.resolve import Model
from kemb.score import fusion
from kemb.tasks.spec import TaskSpec
from kemb.trec import read_run
from kemb.types import Part, RetrievalData, Run, TaskType, Vectors

RANKINGS: tuple[TaskType, ...] = ("retrieval", "reranking")
RUN_DEPTH = 1000
"""Documents per query in a run, as in mteb."""

VectorsOf = Callable[[Model, TaskSpec, Part], Mapping[str, Vectors]]


def unfit(model: Model, task_type: TaskType) -> str | None:
    """Why a model does not apply to a type of tasks: a sentence, '' where it goes without saying; None if it does."""
    if task_type in model.spec.not_for:
        return ""
    if model.family == "dense" or task_type in RANKINGS:
        return None
    return (
        "" if model.family == "lexical" else f"{model.name} only ranks documents; {task_type} needs a vector per text."
    )


def check(model: Model, spec: TaskSpec, part: Part) -> None:
    """Refuse run files that do not fit a task, before anything is encoded.

    Raises:
        DataError: a line that is none, an unknown document, no known query.
    """
    if model.run_file is not None:
        _of_file(model.run_file, _ranking_data(part))
    for member in model.parts:
        check(member, spec, part)


def make_run(model: Model, spec: TaskSpec, part: Part, vectors_of: VectorsOf) -> Run:
    """The ranked documents of every query.

    Args:
        model: any that applies to the task.
        vectors_of: the stored vectors of a part by column, for each of `model.encoders`.

    Raises:
        RunError: data, vectors or files that no run can be made from.
    """
    data = _ranking_data(part)
    match model.family:
        case "lexical":
            from kemb.models.lexical import search

            return search(model.name.partition(":")[2], data, RUN_DEPTH)
        case "run":
            assert model.run_file is not None
            return _of_file(model.run_file, data)
        case "fusion":
            runs = [_stage(member, spec, part, vectors_of) for member in model.parts]
            how = model.how
            assert isinstance(how, Fused)
            if how.weights:
                return fusion.weighted_sum(runs, how.weights, data.doc_ids, depth=RUN_DEPTH)
            return fusion.reciprocal_ranks(runs, data.doc_ids, constant=how.constant, depth=RUN_DEPTH)
        case _:
            return score.rank(spec, data, vectors_of(model, spec, part), similarity=model.similarity)


def _stage(model: Model, spec: TaskSpec, part: Part, vectors_of: VectorsOf) -> Run:
    """A run to be worked on: of a lexical model only documents that share a term with the query."""
    run = make_run(model, spec, part, vectors_of)
    return fusion.without_zeros(run) if model.family == "lexical" else run


def _of_file(path: Path, data: RetrievalData) -> Run:
    scores = read_run(path)
    try:
        run = score.run_from_scores(scores, data.query_ids, data.doc_ids, RUN_DEPTH)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for query in data.query_ids if data.candidates is not None else ():
        own = set((data.candidates or {}).get(query, ()))
        if other := next((document for document in scores.get(query, ()) if document not in own), None):
            raise DataError(f"{path}: document {other!r} is not among the candidates of query {query!r}.")
    return run


def _ranking_data(part: Part) -> RetrievalData:
    assert isinstance(part.data, RetrievalData)
    return part.data
