"""What a task is: a TOML file that names its data, its columns and its protocol. Data, no code."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from kemb.errors import nearest
from kemb.tasks.kinds import KINDS
from kemb.types import TaskType

Layout = Literal["rows", "beir", "qa", "belebele"]


def one_of(name: str, choices: Collection[str]) -> str:
    """The name, refused in pydantic's words for one of several values where it is unknown."""
    if name not in choices:
        *most, last = map(repr, choices)
        expected = f"{', '.join(most)} or {last}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )
    return name


def _known_type(name: str) -> str:
    return one_of(name, KINDS)


KnownType = Annotated[TaskType, AfterValidator(_known_type)]
"""A field that holds a task type."""


class Strict(BaseModel):
    """A table of a TOML file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """Where the data lies."""

    hub: str | None = None
    """Hub dataset id; None for a local folder."""
    revision: str = ""
    """Commit of the hub dataset; "main" means unpinned and is flagged."""
    config: str = "default"
    """Hub config; `{subset}` stands for the subset's name."""
    layout: Layout = "rows"
    """`rows`: one table per split. `beir`: configs `corpus`, `queries`, qrels (`default` or
    `qrels`), with `<subset>-` in front where the task has subsets. `qa`: rows of question and
    answer; every distinct answer is a document.
    `belebele`: one config per language; a subset is `<corpus language>-<question language>`."""
    instructions: bool = False
    """The queries of the layout `beir` have instructions in a config `instruction`, and are
    followed by them.
    """
    group_column: str = ""
    """Column that names the subset of a row, where one config holds all subsets (mteb's
    `fast_loading`).
    """


class Subsample(Strict):
    """A stratified sample of `rows` rows, with the rows and the order of mteb's
    `stratified_subsampling`.
    """

    splits: list[str]
    rows: int = 2048
    seed: int = 42


class Contract(Strict):
    """Counts of one part that are known beforehand; a count that is not given is not checked."""

    rows: int | None = None
    """Scored rows: pairs, or texts with a label."""
    documents: int | None = None
    queries: int | None = None


class ClassificationProtocol(Strict):
    """Few-shot logistic regression, or, for many labels per text, nearest neighbours, as in
    mteb.
    """

    n_experiments: int = 10
    samples_per_label: int = 8
    train_split: str = "train"
    max_rows: int = 3000
    """Of texts with many labels at most so many rows are scored, a sample stratified as in mteb."""


class ClusteringProtocol(Strict):
    """`rows`: mteb's legacy protocol, one k-means per row of the data. `bootstrap`: mteb's fast
    protocol.
    """

    kind: Literal["rows", "bootstrap"] = "bootstrap"
    max_documents: int | None = None
    fraction: float | None = None
    n_experiments: int = 10
    documents_per_experiment: int = 16384
    max_depth: int | None = None


class SummarizationProtocol(Strict):
    """Correlations per document, averaged."""

    average_p_values: bool = False
    """Average each correlation with its p-value, as mteb's first SummEval does by a mistake that is
    kept there for the sake of published scores (its issue 1156).
    """


class Lite(Strict):
    """How a lite version of a task was drawn (`kemb tasks lite`)."""

    of: str
    """The full task."""
    revision: str
    """Of its data."""
    sha256: str
    """Of the content of the part that it is a version of."""
    n_full: int
    """Documents of the full task."""
    n_documents: int
    n_judged: int
    n_pooled: int
    """Documents that are in it for the pool alone; the rest are random."""
    seed: int
    depth: int
    """Documents per question and member of the pool."""
    pool: list[str]
    """Its members, as `<row>@<revision>`."""
    shares: dict[str, float] = {}
    """By `<row>@<revision>`, the share of the first ten documents of the full task that are in
    it.
    """


class TaskSpec(Strict):
    """One task."""

    name: str
    type: KnownType
    description: str = ""
    main_score: str = ""
    languages: list[str] = ["kor-Hang"]
    subset_languages: dict[str, list[str]] = {}
    """Languages of a subset, where they differ from `languages` (cross-lingual subsets)."""
    license: str = ""
    reference: str = ""
    instruction: str | dict[str, str] = ""
    """mteb's prompt of the task, one or one each for `query` and `document`; used only by models
    whose specification asks for task instructions.
    """
    splits: list[str]
    subsets: list[str] = ["default"]
    source: Source
    columns: dict[str, str] = {}
    """Our column name -> column of the data, where they differ; a dot reaches into a struct
    (`labels.label`).
    """
    join_splits: list[str] = []
    """The evaluated split is these splits of the data, one after the other (SIB200ClusteringS2S).
    """
    subsample: Subsample | None = None
    labels: dict[str, str | int] = {}
    """Value in the data -> label we score; rows with other values are dropped (KLUE-NLI's neutral
    pairs).
    """
    encode_labels: bool = False
    """Number the labels from 0 in the order of their text, as mteb does where the data has no class
    ids.
    """
    dedupe_pairs: bool = False
    """Drop the second of two pairs that are equal in either order, as the Korean leaderboard does.
    """
    ignore_identical_ids: bool = False
    """A document that has the id of the query is not among its results: the queries of the task are
    documents.
    """
    drafted: bool = False
    """The questions were drafted from the documents (`kemb draft`), not asked by anybody; records
    and boards mark it, with the share that a person has seen.
    """
    lite: Lite | None = None
    """The task is a small version of another one, and is never ranked beside it."""
    contract: dict[str, Contract] = {}
    """Expected counts by "<split>/<subset>"; data that has other counts is refused."""
    classification: ClassificationProtocol = Field(default_factory=ClassificationProtocol)
    clustering: ClusteringProtocol = Field(default_factory=ClusteringProtocol)
    summarization: SummarizationProtocol = Field(default_factory=SummarizationProtocol)

    @field_validator("instruction")
    @classmethod
    def _is_for_queries_and_documents(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        if (
            unknown := []
            if isinstance(value, str)
            else sorted(value.keys() - {"query", "document"})
        ):
            raise ValueError(f"an instruction is for query or document, not {', '.join(unknown)}")
        return value

    @property
    def main_metric(self) -> str:
        """The metric that stands for the task on a board."""
        return self.main_score or KINDS[self.type].main_metric

    @property
    def unknown_metric(self) -> str:
        """What is wrong with a `main_score` that no task of the type has; '' for any other."""
        metrics = KINDS[self.type].metrics
        if not self.main_score or self.main_score in metrics:
            return ""
        near = nearest(self.main_score, metrics)
        offer = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"no task of type {self.type} has the metric {self.main_score!r}{offer}"
