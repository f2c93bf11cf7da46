"""Looks on part of the documents: what a look sees, and which share of the error it may spend.

What a stage can save is documents: of a corpus they are 93 to 99 % of the characters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray
from kemb.choosing.questions import SEED
from kemb.errors import UsageError
from kemb.results.files import TaskResult, read_items
from kemb.scoring.items import of_metric, of_part
from kemb.tasks.kinds import KINDS
from kemb.tasks.parts import content_sha256
from kemb.types import Part, RetrievalData, TaskData

SHARES = (0.1, 0.3)
"""Of the documents, before the look at all of them."""
ALPHA = 1 - statistics.LEVEL
N_POOLED = 20
"""Documents per question and pool maker that every sub-corpus holds."""
FEWEST_QUESTIONS = 50
"""Of passages of their own; below that nothing is dropped."""
MARGIN = 0.01
"""A row is dropped only where it is certainly worse by more than one point."""
_WORTH = 0.6
"""A look at more than this share of the next look's documents saves too little."""
_LAST = 0.6
"""The last look's share of the error."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A look: the data it sees and the error it may spend."""

    data: TaskData
    n_documents: int
    share: float
    """Of all documents."""
    alpha: float

    @property
    def is_last(self) -> bool:
        return self.share == 1


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that is certainly worse than another by more than the margin."""

    row: int
    other: int
    low: float
    """Joint interval of row - other."""
    high: float


def spend(n_looks: int, alpha: float = ALPHA) -> list[float]:
    """The share of the error of each look: 3/5 for the last, the rest in equal parts for the looks
    before it.

    Their sum is `alpha`, so that by Bonferroni's inequality all looks together err at all with at
    most that probability, however they depend on each other; a spending function in the sense of
    Lan and DeMets 1983.
    """
    if n_looks == 1:
        return [alpha]
    before = alpha * (1 - _LAST) / (n_looks - 1)
    return [before] * (n_looks - 1) + [alpha * _LAST]


def stages_of(
    data: TaskData, makers: Sequence[TaskResult], shares: Sequence[float] = SHARES
) -> list[Stage]:
    """The looks, declared before any row is compared with another.

    Every sub-corpus holds every right document, the first 20 documents of the pool makers for each
    question, and random others; each is part of the next one. A stage that would hold more than
    60 % of the next one's documents is left out.

    :param makers: results of cheap rows on all documents.
    :param shares: of the documents, ascending, below 1.
    """
    if any(not 0 < share < 1 for share in shares) or list(shares) != sorted(set(shares)):
        raise UsageError(
            f"The stages {', '.join(f'{share * 100:g}' for share in shares)} cannot be; expected "
            "ascending percentages of the documents between 0 and 100, such as 10,30."
        )
    n_all = _n_documents(data)
    corpora = [(data, n_all)]
    if KINDS[data.type].is_ranking and not KINDS[data.type].has_candidates:
        pools = {_key(part): _pooled(makers, part) for part in data.parts}
        for share in reversed(shares):
            smaller = replace(data, parts=[_cut(p, pools[_key(p)], share) for p in data.parts])
            n_documents = _n_documents(smaller)
            if n_documents <= _WORTH * corpora[0][1]:
                corpora.insert(0, (smaller, n_documents))
    alphas = spend(len(corpora))
    return [
        Stage(corpus, n, n / n_all if corpus is not data else 1.0, alpha)
        for (corpus, n), alpha in zip(corpora, alphas, strict=True)
    ]


def drops(point: DoubleArray, replicates: DoubleArray, n_clusters: int, alpha: float) -> list[Drop]:
    """Rows that a look lets go: the joint interval of their difference to some row lies below -1
    point. Of several such rows the one that shows it most clearly is named.

    :param point: scores [M]; `replicates` are [B, M].
    :param n_clusters: questions that are independent of each other.
    """
    if n_clusters < FEWEST_QUESTIONS or len(point) < 2:
        return []
    low, high = statistics.joint_intervals(point, replicates, 1 - alpha)
    let_go = []
    for row in range(len(point)):
        other = int(np.argmin(high[row]))
        if high[row, other] < -MARGIN:
            let_go.append(Drop(row, other, float(low[row, other]), float(high[row, other])))
    return let_go


def _n_documents(data: TaskData) -> int:
    return sum(
        len(part.data.doc_ids) for part in data.parts if isinstance(part.data, RetrievalData)
    )


def _key(part: Part) -> str:
    return f"{part.split}/{part.subset}"


def _pooled(makers: Sequence[TaskResult], part: Part) -> set[str]:
    """Ids of the documents that some maker has among its first 20 for some question."""
    pool: set[str] = set()
    for result in makers:
        table = of_metric(of_part(read_items(result), part.split, part.subset), "retrieved")
        n_by_question: dict[str, int] = {}
        pairs = zip(table["item_id"].to_pylist(), table["target"].to_pylist(), strict=True)
        for question, document in pairs:
            rank = n_by_question[question] = n_by_question.get(question, 0) + 1
            if rank <= N_POOLED:
                pool.add(document)
    return pool


def _cut(part: Part, pool: set[str], share: float) -> Part:
    """The part with a share of its documents; the order of documents stays."""
    data = part.data
    assert isinstance(data, RetrievalData)
    judged_ids = {document for grades in data.qrels.values() for document in grades}
    inside = np.array([doc in pool or doc in judged_ids for doc in data.doc_ids], dtype=np.bool_)
    n_others = math.ceil(share * len(data.doc_ids)) - int(inside.sum())
    if n_others > 0:
        rng = statistics.generator([SEED, "sub-corpus", _key(part)])
        order = rng.permutation(len(data.doc_ids))
        inside[order[~inside[order]][:n_others]] = True
    rows = np.flatnonzero(inside).tolist()
    smaller = replace(
        data,
        doc_ids=[data.doc_ids[row] for row in rows],
        documents=[data.documents[row] for row in rows],
    )
    notes = part.notes | {"n_documents_left_out": len(data.doc_ids) - len(rows)}
    return replace(part, data=smaller, sha256=content_sha256(smaller), notes=notes)


def makers_of(sizes: Mapping[str, tuple[str, float]]) -> list[str]:
    """Names of the pool makers: the first lexical row, the first static one, and the dense one with
    the fewest parameters.

    :param sizes: by name, what the row is to a choice, and its parameters, infinite where nobody
        says.
    """
    first: dict[str, str] = {}
    for name, (role, _) in sizes.items():
        if role in ("lexical", "static"):
            first.setdefault(role, name)
    dense = [name for name, (role, _) in sizes.items() if role == "dense"]
    if dense:
        first["dense"] = min(dense, key=lambda name: sizes[name][1])
    return list(first.values())
