"""Teachers of mining: anything that ranks documents for queries and scores given pairs on the same
scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from kemb.arrays import FloatArray, IntArray, Vectors
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import Budget, OnProgress, encode_missing
from kemb.encoding.store import Store
from kemb.errors import NotSupported
from kemb.models import analysers
from kemb.models.encoders.torch import pair_text
from kemb.models.model import Model
from kemb.models.open import open_model
from kemb.models.prompts import resolve
from kemb.models.prompts import resolve as resolve_prompt
from kemb.scoring.search import lexical
from kemb.scoring.search.search import top_k
from kemb.scoring.similarity import lengths
from kemb.training.losses import Teacher
from kemb.types import Role, TaskType

_ROWS = 1 << 14


class Ranked(NamedTuple):
    """The best documents of every query, and the scores of the pairs that were asked for."""

    indices: IntArray
    """[n_queries, k], best first; -1 where there are fewer documents."""
    scores: FloatArray
    """[n_queries, k], -inf there."""
    pair_scores: FloatArray
    """[n_pairs]."""


Ranker = Callable[[Sequence[str], Sequence[str], int, IntArray], Ranked]
"""Of queries, documents, k and pairs [n_pairs, 2] of (query, document) numbers. Equal scores go by
the number of the document, descending.
"""
Scorer = Callable[[Sequence[tuple[str, str]]], FloatArray]
"""A cross-encoder: scores [n] of (query, document) texts."""


def refuse_ranker(model: Model) -> None:
    """Refuse a teacher of mining that neither makes one vector per text nor is BM25.

    :raises NotSupported: with what it is.
    """
    if model.family not in ("lexical", "dense"):
        raise NotSupported(
            f"{model.name} is of the family {model.family}; a teacher makes one vector per text, "
            "or is BM25. A cross-encoder goes under mine.rerank."
        )


def refuse_scorer(model: Model) -> None:
    """Refuse a model that is no cross-encoder under mine.rerank.

    :raises NotSupported: with what it is.
    """
    if model.family != "cross-encoder":
        raise NotSupported(
            f"{model.name} is of the family {model.family}; mine.rerank takes a cross-encoder."
        )


def refuse_without_vectors(model: Model) -> None:
    """Refuse a teacher of vectors that has none.

    :raises NotSupported: with what to name.
    """
    if model.family != "dense":
        raise NotSupported(
            f"{model.name} has no vectors, so it cannot be a teacher of them. Name a dense model."
        )


def ranker_of(
    model: Model, store: Store, on_progress: OnProgress = lambda progress: None
) -> Ranker:
    """The teacher that a model is.

    :raises NotSupported: a model that neither makes one vector per text nor is BM25.
    """
    refuse_ranker(model)
    if model.family == "lexical":
        return bm25(model.name.partition(":")[2])
    return dense(model, store, on_progress)


def dense(model: Model, store: Store, on_progress: OnProgress = lambda progress: None) -> Ranker:
    """Exact search over the vectors of the store, with the model's own prompts; what is missing is
    encoded.
    """

    def rank(queries: Sequence[str], documents: Sequence[str], k: int, pairs: IntArray) -> Ranked:
        space = store.space(model.fingerprint())
        columns = [_texts(model, "query", queries), _texts(model, "document", documents)]
        encode_missing(
            Collection(columns),
            space,
            partial(open_model, model),
            Budget.for_device(model.device),
            on_progress,
        )
        query_vectors = space.vectors(columns[0].keys).block(0, len(queries))
        document_vectors = space.vectors(columns[1].keys)
        best = top_k(
            query_vectors,
            document_vectors,
            k,
            doc_ids=_ids(len(documents)),
            query_ids=queries,
            similarity=model.similarity,
        )
        return Ranked(
            best.indices,
            best.scores,
            _pair_scores(query_vectors, document_vectors, pairs, model.similarity),
        )

    return rank


def bm25(analyser: str) -> Ranker:
    """BM25 by one of kemb's analysers; documents that share no term with the query are not
    ranked.
    """

    def rank(queries: Sequence[str], documents: Sequence[str], k: int, pairs: IntArray) -> Ranked:
        n = len(documents)
        # Stable sorting by score leaves ties in the order of the array, which is that of descending
        # numbers.
        index = lexical.build_index(analysers.tokenize(analyser, documents[::-1]))
        indices = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        pair_scores = np.zeros(len(pairs), dtype=np.float32)
        order = np.argsort(pairs[:, 0], kind="stable")
        starts = np.searchsorted(pairs[order, 0], np.arange(len(queries) + 1))
        for i, terms in enumerate(analysers.tokenize(analyser, queries)):
            values = lexical.score_documents(index, terms)
            query_pairs = order[starts[i] : starts[i + 1]]
            pair_scores[query_pairs] = values[n - 1 - pairs[query_pairs, 1]]
            hits = np.flatnonzero(values > 0)
            hits = hits[np.argsort(-values[hits], kind="stable")][:k]
            indices[i, : len(hits)] = n - 1 - hits
            scores[i, : len(hits)] = values[hits]
        return Ranked(indices, scores, pair_scores)

    return rank


def scorer_of(
    model: Model, store: Store, on_progress: OnProgress = lambda progress: None
) -> Scorer:
    """The scores of a cross-encoder, kept in the store.

    :raises NotSupported: a model of another family.
    """
    refuse_scorer(model)

    def score(pairs: Sequence[tuple[str, str]]) -> FloatArray:
        space = store.space(model.fingerprint())
        column = _texts(model, "text", [pair_text(query, document) for query, document in pairs])
        encode_missing(
            Collection([column]),
            space,
            partial(open_model, model),
            Budget.for_device(model.device),
            on_progress,
        )
        return space.vectors(column.keys).block(0, len(pairs))[:, 0]

    return score


def _texts(model: Model, role: Role, texts: Sequence[str]) -> Texts:
    prompt = resolve_prompt(model.prompts, "", "retrieval", "", role)
    return Texts.of(
        prompt.route, prompt.prompt, texts, lambda row: f"the {role}s to mine, number {row}"
    )


def _pair_scores(
    queries: FloatArray, documents: Vectors, pairs: IntArray, similarity: str
) -> FloatArray:
    """Similarities [n_pairs] of queries [n, dim] with documents, in pieces."""
    out = np.empty(len(pairs), dtype=np.float32)
    order = np.argsort(pairs[:, 1], kind="stable")
    for start in range(0, documents.shape[0], _ROWS):
        stop = min(start + _ROWS, documents.shape[0])
        first, last = np.searchsorted(pairs[order, 1], [start, stop])
        block_pairs = order[first:last]
        if len(block_pairs):
            block = documents.block(start, stop)[pairs[block_pairs, 1] - start]
            query_block = queries[pairs[block_pairs, 0]]
            if similarity == "cosine":
                query_block, block = (
                    x / lengths(np.einsum("ij,ij->i", x, x))[:, None] for x in (query_block, block)
                )
            out[block_pairs] = np.einsum("ij,ij->i", query_block, block)
    return out


def _ids(n: int) -> list[str]:
    """Ids whose order is that of their numbers."""
    return [f"{number:010d}" for number in range(n)]


def teacher(model: Model, store: Store) -> Teacher:
    """The teacher as a function of role and texts.

    :raises NotSupported: for a model without vectors.
    """
    refuse_without_vectors(model)

    def vectors(role: str, texts: list[str]) -> FloatArray:
        task_type: TaskType = "sts" if role == "text" else "retrieval"
        text_role: Role = "document"
        if role in ("text", "query"):
            text_role = cast(Role, role)
        prompt = resolve(model.prompts, "", task_type, "", text_role)
        column = Texts.of(
            prompt.route, prompt.prompt, texts, lambda row: f"{role} {row} of the training data"
        )
        space = store.space(model.fingerprint())
        encode_missing(
            Collection([column]), space, partial(open_model, model), Budget.for_device(model.device)
        )
        return space.vectors(column.keys).block(0, len(texts))

    return vectors
