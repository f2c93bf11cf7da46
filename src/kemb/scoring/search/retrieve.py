"""The run of one part of a task by any family of models: lexical, fused, reranked, read from a
file, or by vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Protocol, overload

from kemb import scoring
from kemb.arrays import FloatArray, IntArray, Ragged, RaggedRows, Vectors
from kemb.errors import DataError
from kemb.models.encoders.torch import pair_text
from kemb.models.expressions import Fused, Reranked
from kemb.models.families import FAMILIES, ranks_of
from kemb.models.model import Model
from kemb.models.resolve import typed
from kemb.models.spec import View
from kemb.scoring.search import dense
from kemb.scoring.search.external import retrieve
from kemb.scoring.search.ragged import rank_ragged
from kemb.scoring.search.rerank import candidate_pairs, pairs_of_run, rerank, run_of_pairs
from kemb.scoring.search.runs import (
    first,
    pooled,
    raw_sum,
    read_run,
    reciprocal_ranks,
    weighted_sum,
    without_zeros,
)
from kemb.tasks.kinds import kind_of
from kemb.tasks.spec import TaskSpec
from kemb.types import SIMILARITIES, Part, RetrievalData, Run, TaskType

_NAMES = {name: name for name in SIMILARITIES} | {"dot": "dot product"}
RUN_DEPTH = 1000
"""Documents per query in a run, as in mteb."""


class Sources(Protocol):
    """Where vectors and scores of pairs come from."""

    def vectors(self, model: Model, spec: TaskSpec, part: Part) -> Mapping[str, Vectors]:
        """The stored vectors of a part by column, for each of `model.encoders`."""
        ...

    def ragged(self, model: Model, spec: TaskSpec, part: Part) -> tuple[Ragged, RaggedRows]:
        """The stored rows of queries and documents, of a sparse or late-interaction model."""
        ...

    def pair_scores(self, model: Model, spec: TaskSpec, pairs: Pairs) -> FloatArray:
        """A reranker's scores [n] of queries with documents."""
        ...


@dataclass(frozen=True, slots=True)
class Pairs(Sequence[str]):
    """Queries with documents as the texts that a store keeps scores of, made when they are asked
    for.
    """

    part: Part
    of_query: IntArray
    """Rows in ascending order."""
    of_document: IntArray

    def __len__(self) -> int:
        return len(self.of_query)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        data = _ranking_data(self.part)
        return pair_text(
            data.queries[self.of_query[number]], data.documents[self.of_document[number]]
        )


def unfit(model: Model, task_type: TaskType) -> str | None:
    """Why a model does not apply to a type of tasks: a sentence, '' where it goes without saying;
    None if it does.
    """
    if task_type in model.spec.not_for:
        return ""
    kind = kind_of(task_type)
    if model.family == "cross-encoder" and kind.is_ranking and not kind.has_candidates:
        if model.door is not None:
            return (
                f"A reranker needs candidates; give it a first stage: kemb.reranker(..., "
                f"name={model.name!r}, first='bm25:kiwi')"
            )
        return (
            "A reranker needs candidates; give it a first stage: -m "
            f"bm25:kiwi+reranker:{typed(model)}"
        )
    if model.family == "run" and not model.loader.has_run and kind.has_candidates:
        return (
            f"{model.name} finds documents by itself; a {task_type} task names the candidates that "
            "are to be put in order."
        )
    if kind.is_ranking or (model.family == "sparse" and kind.compares):
        return None
    if model.family == "dense":
        return _unseen(model, task_type)
    what = FAMILIES[model.family].makes
    noun = "vector" if kind.compares else "dense vector"
    return f"{model.name} {what}; {task_type} needs one {noun} per text." if what else ""


def _unseen(model: Model, task_type: TaskType) -> str | None:
    """Why a dense model's view does not apply to a type of tasks that are no rankings."""
    if model.view is not None and model.view.candidates is not None:
        return f"{model.row} puts found documents in order; {task_type} finds none."
    kind = kind_of(task_type)
    if kind.compares and model.similarity not in kind.similarities:
        names = " and ".join(_NAMES[similarity] for similarity in kind.similarities)
        return f"{kind.title_en} compares by {names}, not by {model.similarity} distance."
    return None


def check(model: Model, spec: TaskSpec, part: Part) -> None:
    """Refuse run files that do not fit a task, before anything is encoded.

    :raises DataError: a line that is none, an unknown document, no known query.
    """
    if model.loader.has_run:
        _ready_run(model, _ranking_data(part))
    for member in model.parts:
        check(member, spec, part)


def make_run(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """The ranked documents of every query, by the function that the row of the model's loader or
    family names.

    :param model: any that applies to the task.
    :param sources: of vectors and pair scores.
    :raises RunError: data, vectors or files that no run can be made from.
    """
    run: Run = resolve_name(ranks_of(model.spec.loader))(model, spec, part, sources)
    return run


def lexical_run(model: Model, _spec: TaskSpec, part: Part, _sources: Sources) -> Run:
    """By BM25 with the analyser that the model is named for."""
    from kemb.scoring.search.lexical import search

    return search(model.name.partition(":")[2], _ranking_data(part), RUN_DEPTH)


def ready_run(model: Model, _spec: TaskSpec, part: Part, _sources: Sources) -> Run:
    """As a TREC run file says, or a table that was handed in."""
    return _ready_run(model, _ranking_data(part))


def retriever_run(model: Model, _spec: TaskSpec, part: Part, _sources: Sources) -> Run:
    """By somebody's retriever."""
    assert model.door is not None
    return retrieve(model.door, _ranking_data(part), RUN_DEPTH)


def fused_run(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """From the runs of the model's parts."""
    how, doc_ids = model.how, _ranking_data(part).doc_ids
    assert isinstance(how, Fused)
    if how.is_raw:
        runs = _of_all(model, spec, part, sources)
        fused = raw_sum(runs, how.weights, doc_ids, depth=RUN_DEPTH)
    else:
        runs = [_stage(member, spec, part, sources) for member in model.parts]
        if how.weights:
            fused = weighted_sum(runs, how.weights, doc_ids, depth=RUN_DEPTH)
        else:
            fused = reciprocal_ranks(runs, doc_ids, constant=how.constant, depth=RUN_DEPTH)
    return replace(fused, n_postings=sum(run.n_postings for run in runs))


def candidates_run(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """The candidates of the task, put in order by a reranker."""
    pairs = Pairs(part, *candidate_pairs(_ranking_data(part)))
    return _reranked(model, spec, pairs, sources)


def pipeline_run(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """The best documents of a first stage, put in order by a reranker."""
    first_model, reranker = model.parts
    assert isinstance(model.how, Reranked)
    stage = _stage(first_model, spec, part, sources)
    candidates = first(stage, model.how.depth)
    pairs = Pairs(part, *pairs_of_run(candidates))
    ranked = _reranked(reranker, spec, pairs, sources)
    return replace(ranked, candidates=candidates, n_postings=stage.n_postings)


def ragged_run(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """By sparse vectors, or by a vector per token."""
    queries, documents = sources.ragged(model, spec, part)
    data = _ranking_data(part)
    return rank_ragged(queries, documents, data, similarity=model.similarity, k=RUN_DEPTH)


def dense_run(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """By one vector per text, through the model's view."""
    vectors = sources.vectors(model, spec, part)
    run = dense.rank(spec, _ranking_data(part), vectors, similarity=model.similarity)
    if model.view is None or model.view.candidates is None:
        return run
    candidates = first(run, model.view.candidates)
    return _rescored(model, spec, part, candidates, sources)


def _rescored(model: Model, spec: TaskSpec, part: Part, candidates: Run, sources: Sources) -> Run:
    """Candidates by binary codes in the order of the dot product of the query's full vector with
    the documents' codes.

    As Yamada et al. 2021, "Efficient Passage Retrieval with Hashing for Open-domain Question
    Answering".
    """
    assert model.view is not None
    full = replace(model, view=View(model.view.dims))
    data = _ranking_data(part)
    queries = sources.vectors(full, spec, part)["queries"].block(0, len(data.queries))
    codes = sources.vectors(model, spec, part)["documents"]
    return replace(
        rerank(queries, codes, data, similarity="dot", candidates=candidates), candidates=candidates
    )


def _reranked(model: Model, spec: TaskSpec, pairs: Pairs, sources: Sources) -> Run:
    if not len(pairs):
        raise DataError(f"No query has a candidate that {model.name} could rerank.")
    scores = sources.pair_scores(model, spec, pairs)
    return run_of_pairs(pairs.of_query, pairs.of_document, scores, _ranking_data(pairs.part))


def _of_all(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> list[Run]:
    """A run of every part over the same documents: the candidates of the task, or what any part has
    among its best.
    """
    data = _ranking_data(part)
    if data.candidates is None:
        runs = [_stage(member, spec, part, sources) for member in model.parts]
        candidates = pooled(runs, data.query_ids, data.doc_ids)
        part = replace(part, data=replace(data, candidates=candidates))
        spec = spec.model_copy(update={"type": "reranking"})
    return [make_run(member, spec, part, sources) for member in model.parts]


def _stage(model: Model, spec: TaskSpec, part: Part, sources: Sources) -> Run:
    """A run to be worked on: of a lexical or sparse model only documents that share a term with the
    query.
    """
    run = make_run(model, spec, part, sources)
    return without_zeros(run) if model.family in ("lexical", "sparse") else run


def _ready_run(model: Model, data: RetrievalData) -> Run:
    if model.run_file is not None:
        scores, name = read_run(model.run_file, model.run_order), str(model.run_file)
    else:
        assert model.door is not None
        scores, name = model.door.value, model.name
    try:
        run = scoring.run_from_scores(scores, data.query_ids, data.doc_ids, RUN_DEPTH)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if data.candidates is None:
        return run
    for query in data.query_ids:
        candidates = set(data.candidates.get(query, ()))
        others = (document for document in scores.get(query, ()) if document not in candidates)
        if other := next(others, None):
            raise DataError(
                f"{name}: document {other!r} is not among the candidates of query {query!r}."
            )
    return run


def _ranking_data(part: Part) -> RetrievalData:
    assert isinstance(part.data, RetrievalData)
    return part.data
