"""The plain data that one stage hands to the next.

A task is one or more parts, one per (split, subset). A part holds texts with their gold answers and
knows nothing of models; `kemb.tasks.kinds` says which texts must become vectors, and in which role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from kemb.arrays import DoubleArray, FloatArray, IntArray

Label = str | int
Qrels = dict[str, dict[str, int]]

Role = Literal["query", "document", "text"]
TaskType = str
"""A key of `kemb.tasks.kinds.KINDS`."""

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
"""How two vectors are compared; higher is more alike, distances are negated."""


class Input(NamedTuple):
    """What an encoder sees: an opaque route, the literal prompt, the text."""

    route: str
    prompt: str
    text: str


class PartData(Protocol):
    """Texts with their gold answers; a frozen dataclass, described by a shape in
    `kemb.tasks.kinds`.
    """

    def content(self) -> Iterator[Iterable[str]]:
        """The lists of strings that a score depends on, in order, for the hash of the data.

        Text labels are quoted, so that 1 and "1" differ. Row numbers are not part of it.
        """
        ...


Place = tuple[str, int, int]
"""The id of a document, and where in its text something begins and ends, in code points."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the chunks of a corpus, and the answers to its queries, stand in the documents that it
    was cut from.
    """

    sources: dict[str, str]
    """The documents' texts by id."""
    chunks: Sequence[Place]
    """Of every document of the corpus."""
    answers: Sequence[Sequence[Sequence[Place]]]
    """Of every query alternative answers, each a number of places that belong together."""


@dataclass(frozen=True, slots=True)
class RetrievalData:
    """Documents, queries and judgments; ids are unique, every qrels id exists (checked at load)."""

    doc_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    qrels: Qrels
    candidates: dict[str, list[str]] | None = None
    groups: dict[str, list[list[str]]] | None = None
    """By query, groups of documents: one of every group answers it in full, as in AutoRAG."""
    places: Places | None = None
    """Where the documents are chunks of others, and the answers are known by their places there."""

    def content(self) -> Iterator[Iterable[str]]:
        """Judgments are taken in the order of the queries and sorted by document."""
        yield from (self.doc_ids, self.documents, self.query_ids, self.queries)
        yield (
            f"{query_id}\0{doc_id}\0{grade}"
            for query_id in self.query_ids
            for doc_id, grade in sorted(self.qrels[query_id].items())
        )
        if self.candidates is not None:
            ranked = self.candidates
            yield (f"{query_id}\0{doc}" for query_id in self.query_ids for doc in ranked[query_id])
        if self.groups is not None:
            of_query = self.groups
            yield (
                "\0".join((query_id, *group))
                for query_id in self.query_ids
                for group in of_query.get(query_id, ())
            )
        if self.places is not None:
            yield (f"{name}\0{start}\0{end}" for name, start, end in self.places.chunks)
            yield (
                f"{query_id}\0{number}\0{name}\0{start}\0{end}"
                for query_id, answers in zip(self.query_ids, self.places.answers, strict=True)
                for number, answer in enumerate(answers)
                for name, start, end in answer
            )


@dataclass(frozen=True, slots=True)
class PairData:
    """Sentence pairs with a gold score (STS) or a 0/1 label (pair classification), row by row."""

    item_ids: list[str]
    sentence1: list[str]
    sentence2: list[str]
    gold: DoubleArray

    def content(self) -> Iterator[Iterable[str]]:
        yield from (self.sentence1, self.sentence2, map(repr, self.gold.tolist()))


@dataclass(frozen=True, slots=True)
class LabelData:
    """Evaluated texts with labels, and the few-shot training rows of every experiment.

    `experiments[i]` are row numbers into `train_texts`, in training order; only rows that some
    experiment uses are kept.
    """

    item_ids: list[str]
    texts: list[str]
    labels: list[Label]
    train_texts: list[str]
    train_labels: list[Label]
    experiments: list[IntArray]
    train_is_evaluated: bool

    def content(self) -> Iterator[Iterable[str]]:
        yield from (
            self.texts,
            map(repr, self.labels),
            self.train_texts,
            map(repr, self.train_labels),
        )
        yield from (map(str, rows.tolist()) for rows in self.experiments)


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

    def content(self) -> Iterator[Iterable[str]]:
        yield from (
            self.texts,
            map(repr, self.labels),
            self.train_texts,
            map(repr, self.train_labels),
        )
        yield from (map(str, rows.tolist()) for rows in self.experiments)


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

    def content(self) -> Iterator[Iterable[str]]:
        yield from (self.texts, map(repr, self.labels), map(str, self.problems.tolist()))


@dataclass(frozen=True, slots=True)
class BitextData:
    """Aligned sentences: row i of one language is the translation of row i of the other."""

    item_ids: list[str]
    sentence1: list[str]
    sentence2: list[str]

    def content(self) -> Iterator[Iterable[str]]:
        yield from (self.sentence1, self.sentence2)


@dataclass(frozen=True, slots=True)
class SummaryData:
    """Summaries of documents: those by machines with a gold score, those by humans to compare them
    with.

    `machine_of[i]` and `human_of[i]` number the document of a summary, ascending from 0;
    `document_ids` names the documents.
    """

    document_ids: list[str]
    machine: list[str]
    machine_of: IntArray
    human: list[str]
    human_of: IntArray
    gold: DoubleArray

    @property
    def machine_ids(self) -> list[str]:
        """Of every summary by a machine the id of its document, and its place there."""
        return _numbered(self.document_ids, self.machine_of)

    @property
    def human_ids(self) -> list[str]:
        """As `machine_ids`, of the summaries by humans."""
        return _numbered(self.document_ids, self.human_of)

    def content(self) -> Iterator[Iterable[str]]:
        numbers = map(str, self.machine_of.tolist())
        yield from (self.machine, numbers, map(repr, self.gold.tolist()))
        yield from (self.human, map(str, self.human_of.tolist()))


def _numbered(ids: list[str], of: IntArray) -> list[str]:
    """`<id>/<place>` for rows [n] that belong to `ids[of[row]]`, ascending."""
    first_row: dict[int, int] = {}
    return [
        f"{ids[number]}/{row - first_row.setdefault(number, row)}"
        for row, number in enumerate(of.tolist())
    ]


@dataclass(frozen=True, slots=True)
class Part:
    """One scored unit of a task."""

    split: str
    subset: str
    data: PartData
    sha256: str
    notes: dict[str, int] = field(default_factory=dict)
    """Counts worth recording, for example `n_dropped_duplicate_pairs`."""


class JudgeUse(NamedTuple):
    """A language model that labelled passages of a task, and whether its labels count."""

    judge: str
    is_used: bool
    """Whether it agrees with people enough; else its labels are judge-only."""
    n_used: int
    """Labels that count in scores, where nobody else has judged."""
    n_judge_only: int
    """Labels that do not."""
    n_checked: int
    """Pairs that people have labelled, too."""
    kappa: float | None
    low: float | None
    high: float | None
    """Of its agreement with people, with the interval; None where that cannot be told."""
    wrote_questions: bool
    """Whether the same model wrote the questions."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """All parts of a task at one data revision (a commit, or a content hash for local folders)."""

    task: str
    type: TaskType
    revision: str
    parts: list[Part]
    warnings: dict[str, int] = field(default_factory=dict)
    """What `kemb check` warns of in a folder of a user's own: how often, by kind."""
    seen: float | None = None
    """Share of drafted questions that a person has decided on; None for questions that were not
    drafted.
    """
    source: str = ""
    """`ORG/NAME@COMMIT` of a data set of the hub that is read like a folder of one's own."""
    judges: tuple[JudgeUse, ...] = ()
    """Language models that labelled passages of a folder of a user's own."""


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


class Judged(NamedTuple):
    """What of a ranking was judged, of drafted questions (`kemb.scoring.judged`)."""

    at_10: float
    """Mean share of the first ten documents that have a judgment."""
    condensed: float | None
    """The main metric without the documents that nobody judged; None where none was judged wrong:
    what is left are right ones alone.
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
    judged: Judged | None = None
    """Only of drafted questions."""
