"""The plain data that one stage hands to the next.

A task is one or more parts, one per (split, subset). A part holds texts with their gold answers and knows
nothing of models; `columns` says which texts must become vectors, and in which role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Label = str | int
Qrels = dict[str, dict[str, int]]

Role = Literal["query", "document", "text"]
TaskType = Literal[
    "retrieval",
    "reranking",
    "sts",
    "pair_classification",
    "classification",
    "multilabel_classification",
    "clustering",
    "bitext_mining",
    "summarization",
]


class Input(NamedTuple):
    """What an encoder sees: an opaque route, the literal prompt, the text."""

    route: str
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class RetrievalData:
    """Documents, queries and judgments; ids are unique, every qrels id exists (checked at load)."""

    doc_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    qrels: Qrels
    candidates: dict[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class PairData:
    """Sentence pairs with a gold score (STS) or a 0/1 label (pair classification), row by row."""

    item_ids: list[str]
    sentence1: list[str]
    sentence2: list[str]
    gold: DoubleArray


@dataclass(frozen=True, slots=True)
class LabelData:
    """Evaluated texts with labels, and the few-shot training rows of every experiment.

    `experiments[i]` are row numbers into `train_texts`, in training order; only rows that some experiment uses
    are kept.
    """

    item_ids: list[str]
    texts: list[str]
    labels: list[Label]
    train_texts: list[str]
    train_labels: list[Label]
    experiments: list[IntArray]
    train_is_evaluated: bool


@dataclass(frozen=True, slots=True)
class MultilabelData:
    """As LabelData, but every text has any number of labels, sorted."""

    item_ids: list[str]
    texts: list[str]
    labels: list[tuple[Label, ...]]
    train_texts: list[str]
    train_labels: list[tuple[Label, ...]]
    experiments: list[IntArray]
    train_is_evaluated: bool


@dataclass(frozen=True, slots=True)
class ClusterData:
    """Texts with one label per level (usually one level), and the problem each text belongs to.

    `problems[i]` numbers independent clustering problems from 0; the bootstrap protocol has only problem 0.
    """

    item_ids: list[str]
    texts: list[str]
    labels: list[tuple[Label, ...]]
    problems: IntArray


@dataclass(frozen=True, slots=True)
class BitextData:
    """Aligned sentences: row i of one language is the translation of row i of the other."""

    item_ids: list[str]
    sentence1: list[str]
    sentence2: list[str]


@dataclass(frozen=True, slots=True)
class SummaryData:
    """Summaries of documents: those by machines with a gold score, those by humans to compare them with.

    `machine_of[i]` and `human_of[i]` number the document of a summary, ascending; `document_ids` names the documents.
    """

    document_ids: list[str]
    machine: list[str]
    machine_of: IntArray
    human: list[str]
    human_of: IntArray
    gold: DoubleArray


PartData = RetrievalData | PairData | LabelData | MultilabelData | ClusterData | BitextData | SummaryData


@dataclass(frozen=True, slots=True)
class Part:
    """One scored unit of a task."""

    split: str
    subset: str
    data: PartData
    sha256: str
    notes: dict[str, int] = field(default_factory=dict)
    """Counts worth recording, for example `n_dropped_duplicate_pairs`."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """All parts of a task at one data revision (a commit, or a content hash for local folders)."""

    task: str
    type: TaskType
    revision: str
    parts: list[Part]


class Column(NamedTuple):
    """A list of texts that needs vectors."""

    role: Role
    texts: list[str]


def columns(data: PartData) -> dict[str, Column]:
    """The texts of a part that must be encoded, by column name."""
    match data:
        case RetrievalData():
            return {"queries": Column("query", data.queries), "documents": Column("document", data.documents)}
        case PairData() | BitextData():
            return {"sentence1": Column("text", data.sentence1), "sentence2": Column("text", data.sentence2)}
        case LabelData() | MultilabelData():
            return {"texts": Column("text", data.texts), "train_texts": Column("text", data.train_texts)}
        case SummaryData():
            return {"machine": Column("text", data.machine), "human": Column("text", data.human)}
        case ClusterData():
            return {"texts": Column("text", data.texts)}


class Vectors(Protocol):
    """Rows of float32 vectors that may not fit in memory; read block by block."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def block(self, start: int, stop: int) -> FloatArray:
        """Rows start..stop as a contiguous float32 array [stop - start, dim]."""
        ...


class ArrayVectors:
    """Vectors that are already in memory."""

    def __init__(self, array: FloatArray) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, int]:
        return (self.array.shape[0], self.array.shape[1])

    def block(self, start: int, stop: int) -> FloatArray:
        return np.ascontiguousarray(self.array[start:stop], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of unequal length: the vectors of a text's tokens, or the entries of a sparse vector that are not 0."""

    offsets: IntArray
    """[n + 1]: row i is values[offsets[i]:offsets[i + 1]]."""
    values: NDArray[np.floating]
    """[total, dim] of tokens, [total, 1] of sparse vectors; float16 or float32."""
    dim: int
    index: NDArray[np.int32] | None = None
    """[total], of sparse vectors: the dimension of each entry, ascending in a row."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self), self.dim)

    def lengths(self) -> IntArray:
        """Tokens, or entries, of each row [n]."""
        return np.diff(self.offsets)

    def take(self, rows: IntArray) -> Ragged:
        """The rows of these numbers, in their order."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        places = np.repeat(self.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Ragged(offsets, self.values[places], self.dim, None if self.index is None else self.index[places])


Rows = NDArray[np.floating] | Ragged
"""What encoders make and the store keeps: vectors [n, dim] or ragged rows."""


@dataclass(frozen=True, slots=True)
class Together:
    """Rows of several kinds for the same texts, made by one forward pass; those that were asked for come first."""

    kinds: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.kinds[0])


def kinds_of(rows: Rows | Together) -> tuple[Rows, ...]:
    """Rows kind by kind; mostly there is one."""
    return rows.kinds if isinstance(rows, Together) else (rows,)


def stack_together(parts: Sequence[Rows | Together]) -> Rows | Together:
    """As `stack`, kind by kind."""
    stacked = [stack(of_kind) for of_kind in zip(*map(kinds_of, parts), strict=True)]
    return stacked[0] if len(stacked) == 1 else Together(tuple(stacked))


def stack(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other; all parts are of one kind."""
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return np.concatenate([part for part in parts if not isinstance(part, Ragged)])
    counts = np.concatenate([np.diff(part.offsets) for part in ragged])
    index = [part.index for part in ragged if part.index is not None]
    values = np.concatenate([part.values for part in ragged])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Ragged(offsets, values, ragged[0].dim, np.concatenate(index) if index else None)


class RaggedRows(Protocol):
    """Ragged rows that may not fit in memory."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def lengths(self) -> IntArray:
        """Tokens, or entries, of each row [n]."""
        ...

    def take(self, rows: IntArray) -> Ragged:
        """The rows of these numbers, in their order."""
        ...


Representations = Mapping[str, Vectors | Ragged]
"""Of a part's columns: dense vectors, or sparse ones."""


@dataclass(frozen=True, slots=True)
class Run:
    """Ranked documents per query, best first; ties are by document id, descending, as in trec_eval.

    `indices` [n_queries, k] are row numbers of the corpus, -1 where fewer than k documents were returned;
    `scores` [n_queries, k] are float32, -inf there.
    """

    indices: IntArray
    scores: FloatArray
    n_zero_vectors: int = 0
    """Queries and documents without a direction, whose cosine similarities were set to 0."""
    candidates: Run | None = None
    """The first stage's documents, where a reranker put them in order."""
    n_postings: int = 0
    """Of the inverted index that the run was made with, or its parts were; 0 where there was none."""


class ItemBlock(NamedTuple):
    """Item scores of one metric; every sequence has one entry per item, or is None."""

    metric: str
    item_ids: Sequence[str]
    values: DoubleArray
    experiment: int | None = None
    cluster_ids: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    """A text that belongs to the value: the predicted label, or the id of the retrieved document."""


@dataclass(frozen=True, slots=True)
class PartScore:
    """Scores of one part: aggregates at full precision, and the items each of them comes from."""

    metrics: dict[str, float]
    experiments: dict[str, list[float]]
    """Per-experiment values of metrics that are means over experiments (classification, clustering)."""
    items: list[ItemBlock]
    notes: dict[str, int] = field(default_factory=dict)
    """Counts worth recording, for example `n_zero_vectors`; only those that are not 0."""
