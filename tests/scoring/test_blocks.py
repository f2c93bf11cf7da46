"""Parts of a search make one run: the same bits for any number of them."""

from __future__ import annotations

import threading
import time
from itertools import chain, pairwise

import numpy as np
import pytest

from kemb.arrays import ArrayVectors, FloatArray, IntArray
from kemb.scoring.search import blocks
from kemb.scoring.search.blocks import candidates_of, merged, plan_of, ranked_corpus
from kemb.scoring.search.equal import find_duplicates, with_followers
from kemb.scoring.search.search import top_k
from kemb.scoring.search.topk import LOW, scores_of
from kemb.scoring.similarity import check_finite, for_product, of_products

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def corpus(n: int, dim: int, kind: str) -> FloatArray:
    rng = np.random.default_rng(len(kind))
    vectors = rng.standard_normal((n, dim), dtype=np.float32)
    match kind:
        case "ties":
            vectors = rng.integers(-1, 2, (n, dim)).astype(np.float32)
        case "equal":
            vectors[rng.permutation(n)[: n // 2]] = vectors[0]
        case "zeros":
            vectors[rng.permutation(n)[: n // 3]] = 0
    return vectors


@pytest.mark.parametrize("kind", ["plain", "ties", "equal", "zeros"])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_any_number_of_parts_in_any_order_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, similarity: str, kind: str
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 64)
    documents, queries = corpus(1000, 19, kind), corpus(150, 19, "plain")
    vectors = ArrayVectors(documents)
    doc_ids = [f"d{n}" for n in np.random.default_rng(3).permutation(1000)]
    whole = top_k(queries, vectors, 40, doc_ids=doc_ids, similarity=similarity)
    squares = check_finite(queries, "queries", doc_ids, 0)
    ready = for_product(queries, squares, similarity)
    plan = plan_of(150, 1000, 19, 40, similarity, 2**29)
    shared = ranked_corpus(vectors, doc_ids)
    assert len(plan.blocks) == 16
    for n_parts in (1, 2, 3, 7):
        ends = np.linspace(0, len(plan.blocks), n_parts + 1).astype(int).tolist()
        parts = [
            candidates_of(ready, vectors, shared, plan, range(start, stop))
            for start, stop in pairwise(ends)
        ]
        keys = merged([keys for keys, _ in reversed(parts)], shared, plan)
        keys = with_followers(keys, shared.duplicates, plan.depth)
        assert np.array_equal(shared.order[keys & LOW], whole.indices)
        scores = of_products(scores_of(keys), squares, similarity)
        assert np.array_equal(scores.view(np.int32), whole.scores.view(np.int32))
        assert sum(n_zero for _, n_zero in parts) == whole.n_zero_vectors


def test_the_number_of_cores_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, queries = corpus(3000, 384, "plain"), corpus(200, 384, "plain")
    runs = []
    for n_cores in (1, 2, 5):
        monkeypatch.setattr(blocks, "n_cpus", lambda n=n_cores: n)
        runs.append(top_k(queries, ArrayVectors(documents), 50, doc_ids=[*map(str, range(3000))]))
    assert all(np.array_equal(run.scores, runs[0].scores) for run in runs)


class Watched:
    """Vectors that remember what was read, and when."""

    def __init__(self, array: FloatArray) -> None:
        self.array, self.reads, self.threads = array, list[tuple[int, int]](), set[int]()

    @property
    def shape(self) -> tuple[int, int]:
        return (self.array.shape[0], self.array.shape[1])

    def block(self, start: int, stop: int) -> FloatArray:
        self.reads.append((start, stop))
        self.threads.add(threading.get_ident())
        time.sleep(0)
        return self.array[start:stop]


def test_documents_are_read_once_in_order_and_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 100)
    documents = corpus(950, 4, "plain")
    shared = ranked_corpus(ArrayVectors(documents), [*map(str, range(950))])
    plan, watched = plan_of(3, 950, 4, 5, "dot", 2**29), Watched(documents)
    candidates_of(documents[:3], watched, shared, plan, plan.blocks)
    assert watched.reads == [(start, min(start + 100, 950)) for start in range(0, 950, 100)]
    assert len(watched.threads) == 1
    assert threading.get_ident() not in watched.threads


def plain_duplicates(documents: FloatArray, ranks: IntArray) -> dict[int, list[int]]:
    groups: dict[bytes, list[int]] = {}
    for row, rank in zip(documents, ranks.tolist(), strict=True):
        groups.setdefault(row.tobytes(), []).append(rank)
    in_order = (sorted(group, reverse=True) for group in groups.values() if len(group) > 1)
    return {leader: others for leader, *others in in_order}


@pytest.mark.parametrize("kind", ["plain", "ties", "equal", "zeros"])
@pytest.mark.parametrize("dim", [2, 12])
def test_equal_rows_are_those_of_equal_bytes(kind: str, dim: int) -> None:
    documents = corpus(700, dim, kind)
    documents[5, : dim - 1] = documents[6, : dim - 1]  # nearly equal
    ranks = np.random.default_rng(9).permutation(700)
    groups = find_duplicates(ArrayVectors(documents), ranks)
    expected = plain_duplicates(documents, ranks)
    followers = np.split(groups.followers, groups.starts[1:-1])
    pairs = zip(groups.leaders.tolist(), followers, strict=True) if len(groups.leaders) else []
    assert {leader: ids.tolist() for leader, ids in pairs} == expected
    assert sorted(ranks[groups.is_follower].tolist()) == sorted(chain(*expected.values()))
