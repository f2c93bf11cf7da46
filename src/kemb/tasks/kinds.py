"""What kinds of tasks there are: one row per task type, the only place that lists them.

Everything that differs by type stands in its row, or is named there by dotted name
(`package.module:function`) and resolved by the package that needs it. A type is added by adding a
row: docs/architecture.md, "Adding a task type".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kemb.errors import NotSupported
from kemb.types import (
    SIMILARITIES,
    BitextData,
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    PartData,
    RetrievalData,
    Role,
    SummaryData,
    TaskType,
)

CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
"""Ranks at which metrics of rankings are taken."""
SUBQUERIES = "max_over_subqueries_"
"""Before a metric of queries that were merged with those whose ids differ after the last `_`."""

BUDGETS = (1000, 2000, 4000)
"""After how many characters a reader of ranked chunks stops, in metrics of chunks."""

ItemMeaning = Literal["values", "predictions", "ranks", "order", "clusters"]
"""How a score comes from items.

- `values`: an item of a metric is the metric's value for it, and the metric is their mean;
- `predictions`: an item is a predicted label, in each of several experiments;
- `ranks`: items are similarities, and the metric is their correlation with the gold scores;
- `order`: items are similarities, and the metric says how well they separate two gold labels;
- `clusters`: items are numbers of clusters, and a single one has no score.
"""


class Column(NamedTuple):
    """A list of texts that needs vectors."""

    role: Role
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the data of a task type look like, by names of attributes of their class."""

    data: type[PartData]
    columns: dict[str, Role]
    """The texts that become vectors, and in which role."""
    ids: dict[str, str]
    """Column -> the ids of its texts; a column without ids has row numbers only."""
    counts: dict[str, str]
    """A count of `kemb.tasks.spec.Contract` -> the list that is counted."""
    items: str
    """The ids of what is scored."""
    user_column: str = ""
    """The column that users write; '' where there is none."""
    called: str = "Texts"
    """What they are, at the start of a sentence."""
    has_training_rows: bool = False
    """Whether few-shot rows are drawn, so that the function that builds the data takes `train`."""


RANKING = Shape(
    data=RetrievalData,
    columns={"queries": "query", "documents": "document"},
    ids={"queries": "query_ids", "documents": "doc_ids"},
    counts={"documents": "doc_ids", "queries": "query_ids"},
    items="query_ids",
    user_column="queries",
)
PAIRS = Shape(
    data=PairData,
    columns={"sentence1": "text", "sentence2": "text"},
    ids={"sentence1": "item_ids", "sentence2": "item_ids"},
    counts={"rows": "item_ids"},
    items="item_ids",
    user_column="sentence1",
)
TRANSLATIONS = Shape(
    data=BitextData,
    columns={"sentence1": "text", "sentence2": "text"},
    ids={"sentence1": "item_ids", "sentence2": "item_ids"},
    counts={"rows": "item_ids"},
    items="item_ids",
    user_column="sentence1",
)
LABELS = Shape(
    data=LabelData,
    columns={"texts": "text", "train_texts": "text"},
    ids={"texts": "item_ids"},
    counts={"rows": "item_ids"},
    items="item_ids",
    user_column="texts",
    has_training_rows=True,
)
MULTILABELS = Shape(
    data=MultilabelData,
    columns={"texts": "text", "train_texts": "text"},
    ids={"texts": "item_ids"},
    counts={"rows": "item_ids"},
    items="item_ids",
    user_column="texts",
    has_training_rows=True,
)
CLUSTERS = Shape(
    data=ClusterData,
    columns={"texts": "text"},
    ids={"texts": "item_ids"},
    counts={"rows": "item_ids"},
    items="item_ids",
    user_column="texts",
)
SUMMARIES = Shape(
    data=SummaryData,
    columns={"machine": "text", "human": "text"},
    ids={"machine": "machine_ids", "human": "human_ids"},
    counts={"rows": "document_ids"},
    items="document_ids",
    called="Summaries",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One task type."""

    shape: Shape
    builder: str
    """Makes the data of a part from tables: (spec, subset, split, read), and `train` where the
    shape has training rows; gives the data and notes.
    """
    scorer: str
    """Scores a part: (data, vectors), `similarity` where texts are compared with each other, and
    `protocol` where the type has one; of rankings (run, data). Gives a `kemb.types.PartScore`.
    """
    metrics: frozenset[str]
    """Those of the scorer, and those that mteb gives beside them."""
    main_metric: str
    """What stands for a task that names no other."""
    items: ItemMeaning
    title_ko: str
    title_en: str
    item_ko: str = ""
    """What `kemb.boards.paired.goodness` says of an item, in words; '' where it says nothing."""
    item_en: str = ""
    short_title: str = ""
    """For narrow terminals; '' where the name itself is short."""
    metric_version: int = 1
    """Goes up when a change moves any metric of the type."""
    recompute: str = ""
    """Computes the metrics again from a part's items: (items); '' where every metric is the mean of
    its items.
    """
    no_scores: frozenset[str] = frozenset()
    """Item metrics that are no score: gold answers, similarities, lists of what was found."""
    answers: Literal["", "retrieved", "nearest", "prediction"] = ""
    """The items whose targets are what a model answered."""
    is_ranking: bool = False
    """Whether documents are ranked, so that any retriever can be scored by its run."""
    has_candidates: bool = False
    """Whether a ranking is of the candidates that each query has."""
    compares: bool = False
    """Whether texts are compared with each other, so that sparse vectors do as well as dense ones.
    """
    similarities: tuple[str, ...] = SIMILARITIES
    """Those that the scorer computes."""
    protocol: str = ""
    """The field of a TaskSpec that holds the protocol of scoring, which is recorded."""
    can_be_sampled: bool = False
    """Whether an item has a score of its own, whatever the others are."""
    from_folder: bool = False
    """Whether a folder of a user's own can be such a task."""
    mteb: str = ""
    """mteb's name of the type; '' where it has none."""
    mteb_also: tuple[str, ...] = ()
    """More of mteb's types that are this one here."""
    hub_task: str = ""
    """The hub's task category, as `TaskMetadata._hf_task_type` of mteb pairs it with `mteb`."""


_OF_RANKINGS = frozenset(
    {
        "accuracy",
        *(
            f"{name}@{k}"
            for name in "ndcg map mrr recall precision hit_rate accuracy f1".split()
            for k in CUTOFFS
        ),
    }
)
_OF_CHUNKS = frozenset(f"{name}@{n}" for name in ("span_recall", "span_precision") for n in BUDGETS)
_CORRELATIONS = frozenset(
    {
        "mean_correlation",
        "pearson",
        "spearman",
        *(f"{name}_{kind}" for name in SIMILARITIES for kind in ("pearson", "spearman")),
    }
)
_OF_ORDER = frozenset(
    f"{similarity}_{name}"
    for similarity in (*SIMILARITIES, "similarity", "max")
    for name in ("ap", "accuracy", "f1", "precision", "recall")
)
_OF_LABELS = frozenset(
    {
        "accuracy",
        "ap",
        "ap_weighted",
        *(
            f"{name}{suffix}"
            for name in ("f1", "precision", "recall")
            for suffix in ("", "_weighted")
        ),
    }
)

KINDS: dict[TaskType, Kind] = {
    "retrieval": Kind(
        shape=RANKING,
        builder="kemb.tasks.layouts:retrieval",
        scorer="kemb.scoring.ranking:ranking_metrics",
        metrics=_OF_RANKINGS | _OF_CHUNKS,
        main_metric="ndcg@10",
        items="values",
        no_scores=frozenset({"retrieved", "candidates"}),
        answers="retrieved",
        is_ranking=True,
        can_be_sampled=True,
        from_folder=True,
        mteb="Retrieval",
        mteb_also=("InstructionRetrieval",),
        hub_task="text-retrieval",
        title_ko="검색",
        title_en="Retrieval",
        item_ko="질의별 점수",
        item_en="score of the query",
    ),
    "reranking": Kind(
        shape=RANKING,
        builder="kemb.tasks.layouts:retrieval",
        scorer="kemb.scoring.ranking:ranking_metrics",
        metrics=_OF_RANKINGS | {f"{SUBQUERIES}{name}" for name in _OF_RANKINGS},
        main_metric="ndcg@10",
        items="values",
        no_scores=frozenset({"retrieved", "candidates"}),
        answers="retrieved",
        is_ranking=True,
        has_candidates=True,
        can_be_sampled=True,
        mteb="Reranking",
        mteb_also=("InstructionReranking",),
        hub_task="text-ranking",
        title_ko="재순위",
        title_en="Reranking",
        item_ko="질의별 점수",
        item_en="score of the query",
    ),
    "sts": Kind(
        shape=PAIRS,
        builder="kemb.tasks.layouts:pairs",
        scorer="kemb.scoring.pairs:sts",
        recompute="kemb.scoring.pairs:correlations_of_items",
        metrics=_CORRELATIONS,
        main_metric="cosine_spearman",
        items="ranks",
        no_scores=frozenset({"gold", *SIMILARITIES}),
        compares=True,
        can_be_sampled=True,
        from_folder=True,
        mteb="STS",
        hub_task="sentence-similarity",
        title_ko="문장 유사도",
        title_en="STS",
        item_ko="1 - 정답과의 순위 차이 / n",
        item_en="1 - difference of ranks to gold / n",
    ),
    "pair_classification": Kind(
        shape=PAIRS,
        builder="kemb.tasks.layouts:pairs",
        scorer="kemb.scoring.pairs:pair_classification",
        recompute="kemb.scoring.pairs:separation_of_items",
        metrics=_OF_ORDER,
        main_metric="max_ap",
        items="order",
        no_scores=frozenset({"gold", *SIMILARITIES}),
        compares=True,
        can_be_sampled=True,
        from_folder=True,
        mteb="PairClassification",
        hub_task="text-classification",
        title_ko="문장쌍 분류",
        title_en="Pair classification",
        short_title="pairs",
        item_ko="반대 레이블 쌍과의 순서가 맞은 비율",
        item_en="share of pairs of the other label on the right side",
    ),
    "classification": Kind(
        shape=LABELS,
        builder="kemb.tasks.layouts:classification",
        scorer="kemb.scoring.labels:classification",
        recompute="kemb.scoring.labels:label_metrics_of_items",
        metrics=_OF_LABELS,
        main_metric="accuracy",
        items="predictions",
        no_scores=frozenset({"gold", "prediction"}),
        answers="prediction",
        from_folder=True,
        mteb="Classification",
        hub_task="text-classification",
        title_ko="분류",
        title_en="Classification",
        short_title="class.",
        item_ko="맞힌 실험의 비율",
        item_en="share of experiments that predict the label",
    ),
    "multilabel_classification": Kind(
        shape=MULTILABELS,
        builder="kemb.tasks.lists:multilabel",
        scorer="kemb.scoring.labels:multilabel_classification",
        recompute="kemb.scoring.labels:indicator_metrics_of_items",
        metrics=frozenset({"accuracy", "f1", "hamming", "lrap"}),
        main_metric="accuracy",
        items="predictions",
        no_scores=frozenset({"gold", "prediction"}),
        answers="prediction",
        mteb="MultilabelClassification",
        hub_task="text-classification",
        title_ko="다중 레이블 분류",
        title_en="Multilabel classification",
        short_title="multil.",
        item_ko="레이블을 모두 맞힌 실험의 비율",
        item_en="share of experiments that predict exactly the labels",
    ),
    "clustering": Kind(
        shape=CLUSTERS,
        builder="kemb.tasks.layouts:clusters",
        scorer="kemb.scoring.clusters:clustering",
        recompute="kemb.scoring.clusters:v_measures_of_items",
        metrics=frozenset({"v_measure", "v_measure_std", "ami", "ami_std"}),
        main_metric="v_measure",
        items="clusters",
        no_scores=frozenset({"gold", "assignment", "n_draws"}),
        protocol="clustering",
        from_folder=True,
        mteb="Clustering",
        hub_task="text-classification",
        title_ko="군집화",
        title_en="Clustering",
    ),
    "bitext_mining": Kind(
        shape=TRANSLATIONS,
        builder="kemb.tasks.layouts:bitext",
        scorer="kemb.scoring.pairs:bitext_mining",
        metrics=frozenset({"accuracy", "f1", "precision", "recall"}),
        main_metric="f1",
        items="values",
        no_scores=frozenset({"nearest"}),
        answers="nearest",
        compares=True,
        mteb="BitextMining",
        hub_task="translation",
        title_ko="대역문 찾기",
        title_en="Bitext mining",
        item_ko="문장별 점수",
        item_en="score of the sentence",
    ),
    "summarization": Kind(
        shape=SUMMARIES,
        builder="kemb.tasks.lists:summaries",
        scorer="kemb.scoring.summarization:summarization",
        metrics=_CORRELATIONS,
        main_metric="cosine_spearman",
        items="values",
        no_scores=frozenset({"gold", "cosine", "dot"}),
        compares=True,
        similarities=("cosine", "dot"),
        protocol="summarization",
        mteb="Summarization",
        hub_task="summarization",
        title_ko="요약",
        title_en="Summarization",
        item_ko="문서 안에서의 상관계수",
        item_en="correlation inside the document",
    ),
}


def kind_of(task_type: str) -> Kind:
    """The row of a task type.

    :raises NotSupported: a type that kemb does not know, with those that it does.
    """
    if task_type not in KINDS:
        raise NotSupported(
            f"kemb knows no task type {task_type!r}; it knows {', '.join(KINDS)}. Install the "
            "release of kemb, or the plug-in, that has it."
        )
    return KINDS[task_type]


def shape_of(data: PartData) -> Shape:
    """What data of this class look like."""
    return next(kind.shape for kind in KINDS.values() if kind.shape.data is type(data))


def columns(data: PartData) -> dict[str, Column]:
    """The texts of a part that must be encoded, by column name."""
    roles = shape_of(data).columns
    return {name: Column(role, getattr(data, name)) for name, role in roles.items()}


def ids_of(data: PartData, column: str) -> list[str] | None:
    """The ids of a column's texts; None where they have none."""
    name = shape_of(data).ids.get(column)
    ids: list[str] | None = getattr(data, name) if name else None
    return ids


def item_ids(data: PartData) -> list[str]:
    """The ids of the items that a part evaluates, as in its item scores."""
    ids: list[str] = getattr(data, shape_of(data).items)
    return ids


def roles(task_type: TaskType) -> tuple[Role, ...]:
    """The roles of a task type's texts."""
    return tuple(dict.fromkeys(kind_of(task_type).shape.columns.values()))


def with_roles() -> list[TaskType]:
    """The types whose texts are queries and documents."""
    return [name for name in KINDS if roles(name) != ("text",)]


def by_mteb_name() -> dict[str, TaskType]:
    """Our types by mteb's names of them."""
    return {kind.mteb: name for name, kind in KINDS.items() if kind.mteb}
