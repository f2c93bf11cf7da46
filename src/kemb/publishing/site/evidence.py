"""What lies behind the numbers of a board: provenance, other sources' values, items of measured
rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from kemb import demo
from kemb.boards import Row
from kemb.boards.benchmark import CellSpec, spec_of
from kemb.boards.cells import declared_parts, expression_of
from kemb.boards.paired import PartItems, goodness
from kemb.encoding.lengths import lengths_of
from kemb.errors import DataError, FetchError, ResultError
from kemb.publishing.costs import hardware
from kemb.publishing.site.schema import (
    Card,
    CardData,
    ItemData,
    ItemPart,
    LengthData,
    Named,
    OtherValue,
    PromptData,
    ReplicateData,
)
from kemb.publishing.site.views import BoardView
from kemb.results.files import TaskResult, read_items
from kemb.results.record import ColumnLengths
from kemb.scoring.items import of_part
from kemb.tasks.kinds import KINDS, columns, item_ids, shape_of
from kemb.tasks.load import load
from kemb.tasks.own import load_folder
from kemb.tasks.sources import hub_ids
from kemb.types import (
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    PartData,
    RetrievalData,
    SummaryData,
    TaskData,
)

N_ITEMS = 1000
"""Items of a task that a page holds."""
N_DRAWS = 2000
N_VALUES = 400_000
"""Item replicates (draws x cells x rows) that a page holds."""
MIN_DRAWS = 200
SCALE = 20_000


def replicate_data(view: BoardView) -> ReplicateData | None:
    """The resamples of a board for its sliders and differences; None where it has none.

    Of items only the first draws are given, so many that the file stays small; those of tasks are
    all there.
    """
    replicates, slug = view.board.replicates, view.data.slug
    if replicates.cells is not None:
        _, n_cells, n_rows = replicates.cells.shape
        n = max(MIN_DRAWS, min(N_DRAWS, N_VALUES // max(1, n_cells * n_rows)))
        values = np.round(replicates.cells[:n] * SCALE).clip(-32767, 32767).astype("<i2")
        return ReplicateData(
            slug=slug,
            mode="items",
            n_replicates=len(values),
            scale=SCALE,
            strata=[],
            values=_text(values),
        )
    if replicates.draws is not None:
        names = list(dict.fromkeys(replicates.strata))
        strata = [names.index(name) for name in replicates.strata]
        counts = replicates.draws[:N_DRAWS].astype(np.uint8)
        return ReplicateData(
            slug=slug,
            mode="tasks",
            n_replicates=len(counts),
            scale=1,
            strata=strata,
            values=_text(counts),
        )
    return None


def _text(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def card_data(view: BoardView, n_items: Mapping[str, int]) -> CardData:
    """A card for every number of a board.

    :param n_items: of tasks whose items are known.
    """
    board = view.board
    cards = []
    for number, row in enumerate(board.rows):
        for column, (cell, value) in enumerate(zip(board.cells, row.cells, strict=True)):
            result = _result_of(row, cell)
            if value is not None and result is not None:
                cards.append(_card(view, number, column, value, result, n_items.get(cell.task)))
    return CardData(slug=view.data.slug, cards=cards)


def _result_of(row: Row, cell: CellSpec) -> TaskResult | None:
    """Of a cell that is the mean of its members, the first member's."""
    return next(
        (row.results[task] for task in [cell.task, *cell.members] if task in row.results), None
    )


def _card(
    view: BoardView, number: int, column: int, value: float, result: TaskResult, n_items: int | None
) -> Card:
    board, record = view.board, result.kemb
    model = record.model if record else None
    encoded = record.encoded if record else None
    row = board.rows[number]
    intervals = row.standing.cell_intervals if row.standing else []
    low, high = intervals[column] if intervals else (None, None)
    claim = row.claim
    from_store = encoded is not None and not encoded.n_encoded
    n_loaded = record.loaded.max_tokens if record and record.loaded else None
    hashes = record.task.data_sha256 if record else {}
    lengths = lengths_of(record) if record else {}
    return Card(
        row=number,
        cell=column,
        value=value,
        low=low,
        high=high,
        metric=view.data.cells[column].metric,
        model_revision=row.revision,
        dataset_revision=result.dataset_revision or "",
        data_sha256=[f"{part} {digest}" for part, digest in sorted(hashes.items())],
        n_items=None if row.claim else n_items,
        prompts=_prompts(result),
        max_tokens=(model.max_tokens if model else None) or n_loaded,
        lengths=[_length(column, of_column) for column, of_column in lengths.items()],
        dtype=(model.dtype if model else None) or "",
        similarity=model.similarity if model else "",
        versions=_versions(result),
        hardware=hardware(record) if record else "",
        encode_seconds=record.seconds.encode if record and not from_store else None,
        from_store=from_store,
        score_seconds=record.seconds.score if record else None,
        date=record.date if record else "",
        command=record.command if record else "",
        source=claim.source if claim else "",
        url=claim.url if claim else "",
        commit=claim.commit if claim else "",
        others=list(_others(view, number, column)),
    )


def _prompts(result: TaskResult) -> list[PromptData] | None:
    if result.kemb is None:
        return None
    return [
        PromptData(role=role, prompt=prompt.prompt, route=prompt.route, source=prompt.source)
        for role, prompt in result.kemb.prompts.items()
    ]


def _length(column: str, lengths: ColumnLengths) -> LengthData:
    return LengthData(
        column=column,
        n_texts=lengths.n_texts,
        n_truncated=lengths.n_truncated,
        longest=lengths.longest,
    )


def _versions(result: TaskResult) -> dict[str, str]:
    if result.claim and result.claim.mteb_version:
        return {"mteb": result.claim.mteb_version}
    versions = result.kemb.versions if result.kemb else {}
    return {name: version for name, version in versions.items() if version}


def _others(view: BoardView, number: int, column: int) -> Iterator[OtherValue]:
    """The same cell in other rows of the same model."""
    model = view.board.rows[number].model
    for other, row in enumerate(view.board.rows):
        value = row.cells[column]
        if other != number and row.model == model and value is not None:
            data = view.data.rows[other]
            yield OtherValue(source=data.source or data.label, value=value, href=f"#{data.id}")


def item_data(view: BoardView, column: int, texts: Shown | None = None) -> ItemData | None:
    """How well each measured row does on every item of a cell; None where fewer than two rows have
    items.
    """
    cell = view.board.cells[column]
    rows = {
        data.id: row.results[cell.task]
        for row, data in zip(view.board.rows, view.data.rows, strict=True)
        if not row.claim and cell.task in row.results and row.results[cell.task].claims_items
    }
    if len(rows) < 2:
        return None
    loaded = {row_id: read_items(result) for row_id, result in rows.items()}
    first = next(iter(rows.values()))
    kind = first.record.task.type
    metric = expression_of(cell, view.board.formula)
    metric = first.record.task.main_metric if metric == "main_score" else metric
    parts, left_out = [], 0
    for split, subset in declared_parts(cell) or first.parts:
        part_and_left_out = _item_part((split, subset), kind, metric, rows, loaded, texts)
        if part_and_left_out is not None:
            parts.append(part_and_left_out[0])
            left_out += part_and_left_out[1]
    if not parts:
        return None
    row = KINDS[kind]
    return ItemData(
        slug=view.data.cells[column].slug,
        task=cell.task,
        meaning=Named(ko=row.item_ko, en=row.item_en),
        parts=parts,
        n_left_out=left_out,
    )


def _item_part(
    where: tuple[str, str],
    kind: str,
    metric: str,
    rows: dict[str, TaskResult],
    loaded: dict[str, pa.Table],
    texts: Shown | None,
) -> tuple[ItemPart, int] | None:
    """One (split, subset): the items of the first row, and how many are left out; None where rows
    do not fit.
    """
    split, subset = where
    ids: Sequence[str] = []
    values: dict[str, list[float]] = {}
    for row_id, result in rows.items():
        part_items = of_part(loaded[row_id], split, subset)
        similarity = result.record.model.similarity
        try:
            judged = goodness(
                PartItems(split, subset, kind, metric, similarity, (part_items, part_items))
            )
        except (ResultError, KeyError, IndexError):
            continue  # items of another kind or of a broken run: the row has no items here
        if judged is None:
            return None
        if values and judged[0] != ids:
            continue
        ids = judged[0]
        values[row_id] = [round(value, 2) for value in judged[1][0][:N_ITEMS].tolist()]
    if len(values) < 2:
        return None
    part_texts = texts.texts.get(where, {}) if texts else {}
    item_texts = [part_texts.get(item_id, "") for item_id in ids[:N_ITEMS]] if part_texts else []
    part = ItemPart(
        split=split, subset=subset, ids=list(ids[:N_ITEMS]), texts=item_texts, values=values
    )
    return part, max(0, len(ids) - N_ITEMS)


MAY_BE_SHOWN = (
    "apache-2.0",
    "mit",
    "cc0-1.0",
    "cc-by-2.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
)


N_EXAMPLES = 3


LENGTH = 200


ITEM_LENGTH = 90
"""Letters of an example, and of an item among many."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown of a task's data."""

    examples: list[list[str]]
    """The texts of the first items: a question with a relevant document, a pair with its judgment,
    and so on.
    """
    texts: dict[tuple[str, str], dict[str, str]]
    """(split, subset) -> item id -> the beginning of its text."""


def shown(tasks: Iterable[str], data_dir: Path | None) -> dict[str, Shown]:
    """By task; a task is left out where its data are not at hand or may not be shown.

    :param data_dir: a mirror; nothing is asked of the network. Without one there are examples of
        the demo only.
    """
    demo_folders = dict(zip(demo.task_names(), demo.task_folders(), strict=True))
    mirrored_ids = hub_ids(data_dir) if data_dir else set()
    texts_by_task = {}
    for task in tasks:
        if task in demo_folders:
            texts_by_task[task] = _of_data(load_folder(demo_folders[task])[1])
            continue
        spec = spec_of(task)
        if spec is None or spec.source.hub not in mirrored_ids or spec.license not in MAY_BE_SHOWN:
            continue
        try:
            texts_by_task[task] = _of_data(load(spec, data_dir, train=False))
        except (
            DataError,
            FetchError,
        ):  # a mirror without the part, or with other data: the page does without
            continue
    return texts_by_task


def _of_data(data: TaskData) -> Shown:
    first = [[_short(text, LENGTH) for text in texts] for texts in _first(data.parts[0].data)]
    return Shown(first, {(part.split, part.subset): _item_texts(part.data) for part in data.parts})


def _item_texts(data: PartData) -> dict[str, str]:
    match data:
        case PairData():
            both = (
                f"{first} / {second}"
                for first, second in zip(data.sentence1, data.sentence2, strict=True)
            )
            pairs = zip(item_ids(data), both, strict=True)
        case _:
            column = shape_of(data).user_column
            if not column:
                return {}
            pairs = zip(item_ids(data), getattr(data, column), strict=True)
    return {item_id: _short(text, ITEM_LENGTH) for item_id, text in pairs}


def _first(data: PartData) -> list[list[str]]:
    """The first items: a question with a relevant document, a pair with its judgment, a text with
    its label.
    """
    match data:
        case RetrievalData():
            documents = dict(zip(data.doc_ids, data.documents, strict=True))
            rows = zip(data.query_ids[:N_EXAMPLES], data.queries[:N_EXAMPLES], strict=True)
            return [[query, *_relevant(data, query_id, documents)] for query_id, query in rows]
        case PairData():
            triples = zip(data.sentence1, data.sentence2, data.gold, strict=True)
            return [[first, second, f"{gold:g}"] for first, second, gold in triples][:N_EXAMPLES]
        case LabelData():
            return [
                [text, str(label)] for text, label in zip(data.texts, data.labels, strict=True)
            ][:N_EXAMPLES]
        case MultilabelData():
            pairs = zip(data.texts, data.labels, strict=True)
            return [[text, ", ".join(map(str, labels))] for text, labels in pairs][:N_EXAMPLES]
        case SummaryData():
            return [
                [text, f"{gold:g}"] for text, gold in zip(data.machine, data.gold, strict=True)
            ][:N_EXAMPLES]
        case ClusterData():
            return [
                [text, str(labels[0])] for text, labels in zip(data.texts, data.labels, strict=True)
            ][:N_EXAMPLES]
        case _:
            texts = [column.texts for column in columns(data).values()]
            return [list(row) for row in zip(*texts, strict=False)][:N_EXAMPLES]


def _relevant(data: RetrievalData, query_id: str, documents: dict[str, str]) -> list[str]:
    grades = data.qrels.get(query_id, {})
    return [documents[doc] for doc, grade in grades.items() if grade > 0 and doc in documents][:1]


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
