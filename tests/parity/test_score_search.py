"""Search against mteb's own, over random vectors with ties."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np
from datasets import Dataset
from mteb.models.search_wrappers import SearchEncoderWrapper

from kemb.arrays import ArrayVectors, FloatArray
from kemb.scoring import top_k
from mteb_tasks import TableEncoder, metadata_of, numbers, rows, tied

pytestmark = pytest.mark.torch


def mteb_search(
    table: FloatArray, n_queries: int, doc_ids: list[str], k: int, similarity: str
) -> dict[str, dict[str, float]]:
    corpus: Dataset = rows(
        id=doc_ids, text=numbers(len(doc_ids), n_queries), title=[""] * len(doc_ids)
    )
    queries: Dataset = rows(id=numbers(n_queries), text=numbers(n_queries))
    wrapper = SearchEncoderWrapper(
        TableEncoder(table, similarity), corpus_chunk_size=len(doc_ids) // 3
    )
    where = {
        "task_metadata": metadata_of("AutoRAGRetrieval"),
        "hf_split": "test",
        "hf_subset": "default",
    }
    options = {"encode_kwargs": {"batch_size": 64, "show_progress_bar": False}}
    wrapper.index(corpus, **where, **options)
    found: dict[str, dict[str, float]] = wrapper.search(queries, top_k=k, **where, **options)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_same_documents_and_scores_as_mteb(seed: int, similarity: str) -> None:
    rng = np.random.default_rng(seed)
    n_queries, n, k = 25, 600, 40
    table = (
        np.concatenate([tied(rng, n_queries, 16), tied(rng, n, 16)])
        if similarity == "dot"
        else None
    )
    if table is None:
        table = rng.standard_normal((n_queries + n, 384), dtype=np.float32)
        table[rng.choice(np.arange(n_queries, n_queries + n), 60)] = table[-1]
    doc_ids = [f"문서{i}" for i in rng.permutation(n)]
    ours = top_k(
        table[:n_queries],
        ArrayVectors(table[n_queries:]),
        k,
        doc_ids=doc_ids,
        similarity=similarity,
    )
    theirs = mteb_search(table, n_queries, doc_ids, k, similarity)
    for i in range(n_queries):
        expected = sorted(
            ((score, doc_id) for doc_id, score in theirs[str(i)].items()), reverse=True
        )
        assert np.abs(ours.scores[i] - [score for score, _ in expected]).max() < 1e-6
        if similarity == "cosine":
            assert [doc_ids[row] for row in ours.indices[i]] == [doc_id for _, doc_id in expected]
        else:
            # torch.topk drops tied documents at the end of each of mteb's chunks by chance; above
            # the last score nothing is dropped.
            certain = [doc_id for score, doc_id in expected if score > expected[-1][0]]
            assert [doc_ids[row] for row in ours.indices[i, : len(certain)]] == certain
