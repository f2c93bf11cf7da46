"""Item by item: how well each of two rows does on it, and the items on which they differ most."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kemb import statistics
from kemb.arrays import DoubleArray, IntArray
from kemb.boards.expressions import evaluate, names_in
from kemb.boards.items import n_independent, part_measures
from kemb.errors import NotSupported, ResultError
from kemb.results.files import TaskResult, read_items
from kemb.scoring.items import of_metric, of_part
from kemb.tasks.kinds import KINDS
from kemb.types import (
    SIMILARITIES,
    BitextData,
    LabelData,
    MultilabelData,
    PairData,
    Part,
    RetrievalData,
    SummaryData,
    TaskData,
)

N_ANSWERS = 5
"""Documents per query that are shown."""
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """What a row says to an item: a retrieved document, a predicted label, or the similarity of a
    pair.
    """

    value: str
    right: bool | None = None
    """None where that is no question of right and wrong, or not known without the data."""
    score: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Flip:
    """An item on which the rows differ."""

    split: str
    subset: str
    item_id: str
    goodness: tuple[float, float]
    """Of A and B, see `goodness`."""
    answers: tuple[list[Answer], list[Answer]]
    texts: list[str] = field(default_factory=list)
    """The query, both sentences, or the text; empty without data."""
    expected: list[str] = field(default_factory=list)
    """Relevant documents (only with data), the gold score or the label."""


@dataclass(frozen=True, slots=True)
class PartItems:
    """The items of one (split, subset) of two results, and how they are to be judged."""

    split: str
    subset: str
    task_type: str
    metric: str
    similarity: str
    """That of a pair which decides; "" for other task types."""
    tables: tuple[pa.Table, pa.Table]
    part: Part | None = None
    """The data, where they are at hand."""


def goodness(items: PartItems) -> tuple[list[str], DoubleArray] | None:
    """How well each row does on every item: ids [n], values [2, n], higher is better; None for
    clustering.

    - rankings, bitext_mining, summarization: the value of the metric for the query, sentence or
      document;
    - classification: the share of experiments that predict the label, or, of many labels, exactly
        those;
    - pair_classification: the share of pairs of the other label that stand on the right side of
      this one, equal similarities counting half. Their mean over positive pairs is the area under
      the ROC curve;
    - sts: 1 - |rank by similarity - rank by gold score| / n, with mean ranks for ties.

    :raises ResultError: the rows hold other items.
    """
    kind = KINDS.get(items.task_type)
    match kind.items if kind else "":
        case "values":
            names = names_in(items.metric)
            columns = {name: column(items, name) for name in names}
            return columns[names[0]][0], evaluate(
                items.metric, {name: values for name, (_, values) in columns.items()}
            )
        case "predictions":
            return _share_right(items)
        case "ranks" | "order" as meaning:
            ids, similarities = column(items, items.similarity)
            gold = column(items, "gold")[1][0]
            judge = _rank_agreement if meaning == "ranks" else _on_the_right_side
            return ids, np.stack([judge(row, gold) for row in similarities])
        case _:
            return None


def wins_ties_losses(values: DoubleArray) -> tuple[int, int, int]:
    """On how many items B is better than, as good as, and worse than A, of values [2, n]."""
    difference = values[1] - values[0]
    wins, losses = int(np.sum(difference > _SAME)), int(np.sum(difference < -_SAME))
    return wins, difference.size - wins - losses, losses


def flips(items: PartItems, ids: Sequence[str], values: DoubleArray, n: int) -> list[Flip]:
    """The n items that lose most from A to B, then the n that gain most.

    :param ids: [n_items] and `values` [2, n_items] are those of `goodness`.
    """
    difference = values[1] - values[0]
    order = np.argsort(difference, kind="stable")
    worst = [row for row in order[:n] if difference[row] < -_SAME]
    best = [row for row in order[::-1][:n] if difference[row] > _SAME]
    texts = _texts(items.part)
    return [
        _flip(items, texts, ids[row], (float(values[0, row]), float(values[1, row])))
        for row in [*worst, *best]
    ]


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the data add to ids; all empty without data."""

    of_item: Mapping[str, list[str]]
    relevant: Mapping[str, list[str]] | None
    documents: Mapping[str, str]


def _texts(part: Part | None) -> _Texts:
    match part.data if part is not None else None:
        case RetrievalData() as data:
            relevant = {
                query: [doc for doc, grade in data.qrels[query].items() if grade > 0]
                for query in data.qrels
            }
            queries = {
                query: [text] for query, text in zip(data.query_ids, data.queries, strict=True)
            }
            return _Texts(queries, relevant, dict(zip(data.doc_ids, data.documents, strict=True)))
        case PairData() as data:
            rows = zip(data.item_ids, data.sentence1, data.sentence2, strict=True)
            return _Texts({item_id: [first, second] for item_id, first, second in rows}, None, {})
        case BitextData() as data:
            first = {
                item_id: [text] for item_id, text in zip(data.item_ids, data.sentence1, strict=True)
            }
            return _Texts(first, None, dict(zip(data.item_ids, data.sentence2, strict=True)))
        case SummaryData() as data:
            of_item: dict[str, list[str]] = {}
            for text, number in zip(data.machine, data.machine_of.tolist(), strict=True):
                of_item.setdefault(data.document_ids[number], []).append(text)
            return _Texts(of_item, None, {})
        case LabelData() | MultilabelData() as data:
            return _Texts(
                {item_id: [text] for item_id, text in zip(data.item_ids, data.texts, strict=True)},
                None,
                {},
            )
        case _:
            return _Texts({}, None, {})


def _flip(items: PartItems, texts: _Texts, item_id: str, pair: tuple[float, float]) -> Flip:
    item_tables = [table.filter(pc.equal(table["item_id"], item_id)) for table in items.tables]
    kind = KINDS[items.task_type]
    match kind.answers:
        case "nearest":
            expected = [item_id]
            a, b = (_nearest(table, texts.documents) for table in item_tables)
        case "retrieved":
            relevant = None if texts.relevant is None else texts.relevant.get(item_id, [])
            expected = relevant or []
            a, b = (_best_documents(table, relevant, texts.documents) for table in item_tables)
        case "prediction":
            expected = of_metric(item_tables[0], "gold")["target"].to_pylist()
            a, b = (_predictions(table, expected[0]) for table in item_tables)
        case _ if kind.items == "values":
            expected = []
            a, b = (
                [answer for name in names_in(items.metric) for answer in _similarity(table, name)]
                for table in item_tables
            )
        case _:
            expected = [f"{of_metric(item_tables[0], 'gold')['value'][0].as_py():g}"]
            a, b = (_similarity(table, items.similarity) for table in item_tables)
    item_texts = texts.of_item.get(item_id, [])
    return Flip(items.split, items.subset, item_id, pair, (a, b), item_texts, expected)


def _best_documents(
    table: pa.Table, relevant: Sequence[str] | None, documents: Mapping[str, str]
) -> list[Answer]:
    retrieved = of_metric(table, "retrieved").slice(0, N_ANSWERS)
    pairs = zip(retrieved["target"].to_pylist(), retrieved["value"].to_pylist(), strict=True)
    return [
        Answer(
            document,
            None if relevant is None else document in relevant,
            score,
            documents.get(document, ""),
        )
        for document, score in pairs
    ]


def _nearest(table: pa.Table, sentences: Mapping[str, str]) -> list[Answer]:
    nearest = of_metric(table, "nearest")
    item_id, right = nearest["target"][0].as_py(), nearest["value"][0].as_py() == 1
    return [Answer(item_id, right, text=sentences.get(item_id, ""))]


def _predictions(table: pa.Table, gold: str) -> list[Answer]:
    """Predicted labels by frequency; the score is the share of experiments."""
    predicted = of_metric(table, "prediction")["target"].to_pylist()
    return [
        Answer(label, label == gold, n / len(predicted))
        for label, n in Counter(predicted).most_common()
    ]


def _similarity(table: pa.Table, name: str) -> list[Answer]:
    return [Answer(name, score=of_metric(table, name)["value"][0].as_py())]


def column(items: PartItems, metric: str) -> tuple[list[str], DoubleArray]:
    """Ids [n] and values [2, n] of a metric, in the order of A.

    :raises ResultError: the rows hold other items.
    """
    metric_tables = [of_metric(table, metric) for table in items.tables]
    ids = metric_tables[0]["item_id"].to_pylist()
    places = {item_id: row for row, item_id in enumerate(metric_tables[1]["item_id"].to_pylist())}
    if not ids or places.keys() != set(ids):
        raise ResultError(
            f"The item scores of {items.split}/{items.subset} hold other items of {metric!r} in "
            f"the two rows ({len(ids)} and {len(places)}); run the task again for both."
        )
    a, b = (table["value"].to_numpy() for table in metric_tables)
    return ids, np.stack([a, b[[places[item_id] for item_id in ids]]])


def _share_right(items: PartItems) -> tuple[list[str], DoubleArray]:
    ids = of_metric(items.tables[0], "gold")["item_id"].to_pylist()
    place = {item_id: row for row, item_id in enumerate(ids)}
    shares = []
    for table in items.tables:
        predictions = of_metric(table, "prediction")
        rows = np.array([place.get(item_id, -1) for item_id in predictions["item_id"].to_pylist()])
        if not len(rows) or len(rows) % len(ids) or rows.min() < 0:
            raise ResultError(
                f"The item scores of {items.split}/{items.subset} hold other items in the two rows."
            )
        right = np.bincount(rows, predictions["value"].to_numpy(), minlength=len(ids))
        shares.append(right / (len(rows) // len(ids)))
    return ids, np.stack(shares)


def _rank_agreement(similarities: DoubleArray, gold: DoubleArray) -> DoubleArray:
    from scipy.stats import rankdata

    agreement: DoubleArray = 1 - np.abs(rankdata(similarities) - rankdata(gold)) / len(gold)
    return agreement


def _on_the_right_side(similarities: DoubleArray, gold: DoubleArray) -> DoubleArray:
    positive = gold == 1
    shares = np.empty(len(gold))
    for same_label, sign in ((positive, 1), (~positive, -1)):
        other_similarities = np.sort(sign * similarities[~same_label])
        same_similarities = sign * similarities[same_label]
        below = np.searchsorted(other_similarities, same_similarities, "left")
        up_to = np.searchsorted(other_similarities, same_similarities, "right")
        shares[same_label] = (below + up_to) / 2 / len(other_similarities)
    return shares


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two results of one task, to be compared on some of their parts."""

    results: tuple[TaskResult, TaskResult]
    parts: Sequence[tuple[str, str]]
    expression: str
    data: TaskData | None = None
    """Texts and judgments for the items that are shown."""


@dataclass(frozen=True, slots=True)
class PairedPart:
    """What the items of one (split, subset) say of the difference B - A."""

    replicates: DoubleArray | None
    """[n_replicates]; None where the metric cannot be computed on a resample."""
    is_mean: bool
    """Whether the difference is the mean of `differences`."""
    differences: DoubleArray
    """[n_items] of `goodness`; empty where there is none."""
    clusters: IntArray | None
    """[n_items], items that are not independent of each other."""
    lacks_clusters: bool
    """As of `kemb.boards.items.PartMeasures`."""
    n_items: int
    wins_ties_losses: tuple[int, int, int] | None
    flips: list[Flip]

    @property
    def n_independent(self) -> int:
        """As of `kemb.boards.items.PartMeasures`."""
        return n_independent(self.clusters, self.n_items)


def paired_parts(pairing: Pairing, n_replicates: int, seed: int, n_flips: int) -> list[PairedPart]:
    """Every part of a pairing.

    :raises ResultError: the items of one result are missing, changed, or not those of the other.
    """
    tables = [read_items(result) for result in pairing.results]
    return [
        _paired_part(pairing, tables, where, n_replicates, seed, n_flips) for where in pairing.parts
    ]


def _paired_part(
    pairing: Pairing,
    tables: Sequence[pa.Table],
    where: tuple[str, str],
    n_replicates: int,
    seed: int,
    n_flips: int,
) -> PairedPart:
    part_tables = [of_part(table, *where) for table in tables]
    parts = pairing.data.parts if pairing.data else []
    replicates, clusters, lacks_clusters, is_mean = None, None, False, False
    expression = _expression(pairing)
    # Without measures there is no interval, but there still are items to look at.
    with contextlib.suppress(NotSupported):
        measures = part_measures(pairing.results, part_tables, where, pairing.expression)
        replicates_of_rows = measures.replicates(n_replicates, seed)
        replicates = replicates_of_rows[:, 1] - replicates_of_rows[:, 0]
        clusters, expression = measures.clusters, measures.expression
        lacks_clusters = measures.lacks_clusters
        is_mean = "f1_of_means" not in expression
        is_mean = is_mean and all(
            isinstance(measure, statistics.MeanMeasure) for measure in measures.measures.values()
        )
    part = next((part for part in parts if (part.split, part.subset) == where), None)
    items = _items(pairing, part_tables, where, expression, part)
    item_goodness = goodness(items)
    if item_goodness is None:
        n_items = len(of_metric(part_tables[0], "gold"))
        return PairedPart(
            replicates, False, np.empty(0), clusters, lacks_clusters, n_items, None, []
        )
    ids, values = item_goodness
    counts, changed = wins_ties_losses(values), flips(items, ids, values, n_flips)
    return PairedPart(
        replicates,
        is_mean,
        values[1] - values[0],
        clusters,
        lacks_clusters,
        len(ids),
        counts,
        changed,
    )


def item_values(pairing: Pairing, where: tuple[str, str]) -> tuple[list[str], DoubleArray] | None:
    """Item ids [n] of a part and how well each result does on them [2, n]; see
    `kemb.boards.paired.goodness`.

    :raises ResultError: as `paired_parts`.
    """
    part_tables = [of_part(read_items(result), *where) for result in pairing.results]
    return goodness(_items(pairing, part_tables, where, _expression(pairing), None))


def _items(
    pairing: Pairing,
    part_tables: Sequence[pa.Table],
    where: tuple[str, str],
    expression: str,
    part: Part | None,
) -> PartItems:
    return PartItems(
        *where,
        task_type=pairing.results[0].record.task.type,
        metric=expression,
        similarity=_deciding_similarity(pairing, expression),
        tables=(part_tables[0], part_tables[1]),
        part=part,
    )


def _expression(pairing: Pairing) -> str:
    main = pairing.results[0].record.task.main_metric
    return main if pairing.expression == "main_score" else pairing.expression


def _deciding_similarity(pairing: Pairing, expression: str) -> str:
    """The similarity of the metric, or the declared one where the metric is of several."""
    prefixes = {name.partition("_")[0] for name in names_in(expression)}
    similarity = next(iter(prefixes)) if len(prefixes) == 1 else ""
    if similarity in SIMILARITIES:
        return similarity
    return pairing.results[0].record.model.similarity
