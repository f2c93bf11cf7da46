"""The plain data that one stage hands to the next.

A task is one or more parts, one per (split, subset). A part holds texts with their gold answers and
knows nothing of models; `columns` says which texts must become vectors, and in which role.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kemb.arrays import DoubleArray, FloatArray, IntArray

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

    `experiments[i]` are row numbers into `train_texts`, in training order; only rows that some
        experiment uses
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

    `problems[i]` numbers independent clustering problems from 0; the bootstrap protocol has only
        problem 0.
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
    """Summaries of documents: those by machines with a gold score, those by humans to compare them
    with.

    `machine_of[i]` and `human_of[i]` number the document of a summary, ascending; `document_ids`
        names the documents.
    """

    document_ids: list[str]
    machine: list[str]
    machine_of: IntArray
    human: list[str]
    human_of: IntArray
    gold: DoubleArray


PartData = (
    RetrievalData | PairData | LabelData | MultilabelData | ClusterData | BitextData | SummaryData
)


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
            return {
                "queries": Column("query", data.queries),
                "documents": Column("document", data.documents),
            }
        case PairData() | BitextData():
            return {
                "sentence1": Column("text", data.sentence1),
                "sentence2": Column("text", data.sentence2),
            }
        case LabelData() | MultilabelData():
            return {
                "texts": Column("text", data.texts),
                "train_texts": Column("text", data.train_texts),
            }
        case SummaryData():
            return {"machine": Column("text", data.machine), "human": Column("text", data.human)}
        case ClusterData():
            return {"texts": Column("text", data.texts)}


@dataclass(frozen=True, slots=True)
class Run:
    """Ranked documents per query, best first; ties are by document id, descending, as in trec_eval.

    `indices` [n_queries, k] are row numbers of the corpus, -1 where fewer than k documents were
        returned;
    `scores` [n_queries, k] are float32, -inf there.
    """

    indices: IntArray
    scores: FloatArray
    n_zero_vectors: int = 0
    """Queries and documents without a direction, whose cosine similarities were set to 0."""
    candidates: Run | None = None
    """The first stage's documents, where a reranker put them in order."""
    n_postings: int = 0
    """Of the inverted index that the run was made with, or its parts were; 0 where there was none.
    """
    n_short_queries: int = 0
    """Queries for which a retriever gave fewer documents than it was asked for."""


class ItemBlock(NamedTuple):
    """Item scores of one metric; every sequence has one entry per item, or is None."""

    metric: str
    item_ids: Sequence[str]
    values: DoubleArray
    experiment: int | None = None
    cluster_ids: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    """A text that belongs to the value: the predicted label, or the id of the retrieved document.
    """


@dataclass(frozen=True, slots=True)
class PartScore:
    """Scores of one part: aggregates at full precision, and the items each of them comes from."""

    metrics: dict[str, float]
    experiments: dict[str, list[float]]
    """Per-experiment values of metrics that are means over experiments (classification,
    clustering).
    """
    items: list[ItemBlock]
    notes: dict[str, int] = field(default_factory=dict)
    """Counts worth recording, for example `n_zero_vectors`; only those that are not 0."""
