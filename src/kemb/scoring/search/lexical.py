"""BM25 over Korean text: a retriever that needs no weights and makes a run, not vectors.

Three analysers: `kiwi` (morphemes that carry content), `bigram` (character bigrams inside a word)
and `mteb` (characters, as mteb's `baseline-bm25s` cuts Korean). The formula is written out here in
NumPy: the package bm25s runs a JAX operation on import where JAX is installed, and orders ties by
chance.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kemb.arrays import DoubleArray, FloatArray, IntArray
from kemb.models.analysers import MTEB_COMMON, tokenize
from kemb.types import RetrievalData, Run

if TYPE_CHECKING:
    pass
K1 = 1.5
B = 0.75


class Index(NamedTuple):
    """Postings by term: term t stands in documents rows[starts[t]:starts[t + 1]] with those
    weights.
    """

    vocabulary: dict[str, int]
    starts: IntArray
    rows: IntArray
    weights: FloatArray
    n_documents: int


def search(
    analyser: str, data: RetrievalData, k: int, progress: Callable[[int], None] | None = None
) -> Run:
    """Rank all documents for every query, or its candidates, those that share no term with it
    (score 0) last.

    :param analyser: `kiwi`, `bigram` or `mteb`.
    :param data: corpus (not empty) and queries.
    :param k: documents per query.
    :param progress: called with the number of texts (documents and queries) finished since the last
        call.
    :return: indices and scores [n_queries, k]; equal scores are ordered by document id,
        descending.
    :raises UnknownName: no such analyser; MissingExtra: `kiwi` without kiwipiepy.
    """
    tick = progress or (lambda _n: None)
    # In descending order of ids a stable sort by score leaves ties as trec_eval wants them.
    order = np.array(
        sorted(range(len(data.doc_ids)), key=data.doc_ids.__getitem__, reverse=True), dtype=np.int64
    )
    place_of = {data.doc_ids[row]: place for place, row in enumerate(order.tolist())}
    documents = tokenize(analyser, [data.documents[row] for row in order])
    index = build_index(
        _counted(documents, tick), common=MTEB_COMMON if analyser == "mteb" else None
    )
    indices = np.full((len(data.queries), k), -1, dtype=np.int64)
    scores = np.full((len(data.queries), k), -np.inf, dtype=np.float32)
    for i, terms in enumerate(_counted(tokenize(analyser, data.queries), tick)):
        values = score_documents(index, terms)
        if data.candidates is None:
            best = _top(values, k)
        else:
            candidate_places = np.array(
                sorted({place_of[doc] for doc in data.candidates.get(data.query_ids[i], [])}),
                dtype=np.int64,
            )
            best = candidate_places[_top(values[candidate_places], k)]
        indices[i, : len(best)] = order[best]
        scores[i, : len(best)] = values[best]
    return Run(indices, scores, n_postings=len(index.rows))


def build_index(documents: Iterable[Sequence[str]], common: float | None = None) -> Index:
    """Weights of BM25 as Lucene computes them: idf * tf / (tf + k1 * (1 - b + b * length / mean
    length)).

    idf = ln(1 + (n - df + 0.5) / (df + 0.5)), k1 = 1.5, b = 0.75 (Kamphuis et al. 2020, "Which BM25
    do you mean?", variant "Lucene (accurate)"). Equal to bm25s 0.3 bit for bit: float64 inside, idf
    and weight rounded to float32.

    :param documents: the terms of each document.
    :param common: terms that stand in at least this share of the documents are dropped before
        lengths are counted.
    """
    vocabulary: dict[str, int] = {}
    terms, counts, n_terms = array("q"), array("q"), array("q")
    for tokens in documents:
        counter = Counter(tokens)
        terms.extend(vocabulary.setdefault(token, len(vocabulary)) for token in counter)
        counts.extend(counter.values())
        n_terms.append(len(counter))
    n = len(n_terms)
    term, tf = np.asarray(terms, dtype=np.int64), np.asarray(counts, dtype=np.int64)
    row = np.repeat(np.arange(n), np.asarray(n_terms, dtype=np.int64))
    df = np.bincount(term, minlength=len(vocabulary))
    if common is not None:
        keep = (df / n < common)[term]
        term, tf, row = term[keep], tf[keep], row[keep]
        df = np.bincount(term, minlength=len(vocabulary))
    weights = _weights(term, tf, row, df, n)
    by_term = np.argsort(term, kind="stable")
    starts = np.concatenate(([0], np.cumsum(df)))
    return Index(vocabulary, starts, row[by_term], weights[by_term], n)


def score_documents(index: Index, terms: Sequence[str]) -> FloatArray:
    """BM25 of every document [n_documents]; a term that stands twice in the query counts twice."""
    scores = np.zeros(index.n_documents, dtype=np.float32)
    for term in terms:
        if (t := index.vocabulary.get(term)) is not None:
            span = slice(index.starts[t], index.starts[t + 1])
            scores[index.rows[span]] += index.weights[span]
    return scores


def _counted(texts: Iterator[list[str]], tick: Callable[[int], None]) -> Iterator[list[str]]:
    for terms in texts:
        yield terms
        tick(1)


def _weights(term: IntArray, tf: IntArray, row: IntArray, df: IntArray, n: int) -> FloatArray:
    length = np.bincount(row, weights=tf, minlength=n)
    idf = np.log(1 + (n - df + 0.5) / (df + 0.5)).astype(np.float32)
    saturated: DoubleArray = tf / (K1 * (1 - B + B * length[row] / length.mean()) + tf)
    weights: DoubleArray = idf[term] * saturated
    return weights.astype(np.float32)


def _top(scores: FloatArray, k: int) -> IntArray:
    """Positions of the k best scores, best first; equal scores in the order of their positions."""
    best = np.arange(len(scores))
    if k < len(scores):
        threshold = np.partition(scores, -k)[-k]
        above = np.flatnonzero(scores > threshold)
        best = np.concatenate((above, np.flatnonzero(scores == threshold)[: k - len(above)]))
    return best[np.argsort(-scores[best], kind="stable")]
