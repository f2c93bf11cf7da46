"""Facts of models, tasks and cells as pairs of a name and a text, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kemb import tasks
from kemb.boards.benchmark import spec_of
from kemb.encoding.lengths import TRUNCATED
from kemb.messages import Lang, Text, note, say
from kemb.models import catalogue
from kemb.models.facts import ModelFacts
from kemb.models.prompts import build_prompts, declares_prompts, resolve
from kemb.publishing import tables
from kemb.publishing.site.schema import Card, CostData, LengthData, ModelData
from kemb.publishing.site.views import BoardView, SiteView
from kemb.publishing.site.words import KINDS, group_title
from kemb.tasks.kinds import roles
from kemb.types import TaskType

Facts = list[tuple[str, str]]

_PROMPTED: tuple[TaskType, ...] = (
    "retrieval",
    "sts",
    "pair_classification",
    "classification",
    "clustering",
)


def _facts(pairs: Sequence[tuple[str, Text]], lang: Lang) -> Facts:
    """Pairs of a name, by its key, and a text; those without a text are left out."""
    return [(say(note(key), lang), say(text, lang)) for key, text in pairs if text]


def model_facts(model: ModelData, facts: ModelFacts, lang: Lang) -> Facts:
    """Size, limits, licence of a model; what nobody says is left out."""
    index = (
        f"{model.dim * 4e6 / 1e9:.1f} GB (int8 {model.dim * 1e6 / 1e9:.1f}, binary "
        f"{model.dim * 1e6 / 8e9:.2f})"
        if model.dim
        else ""
    )
    speed = f"{model.texts_per_second:,.0f} ({model.hardware})" if model.texts_per_second else ""
    licence: Text = model.license
    if model.license_class:
        kind = note(f"license.{model.license_class}")
        licence = note("detail.licence", licence=model.license or "?", kind=kind)
    pairs: list[tuple[str, Text]] = [
        ("fact.kind", KINDS[model.kind] if model.kind else ""),
        (
            "fact.parameters",
            f"{model.n_parameters:,}" if model.n_parameters else "",
        ),
        ("fact.dimension", f"{model.dim:,}" if model.dim else ""),
        ("fact.truncated_dimensions", ", ".join(map(str, model.truncate_dims))),
        ("fact.max_tokens", f"{model.max_tokens:,}" if model.max_tokens else ""),
        ("fact.licence", licence),
        ("fact.base_model", facts.base_model),
        ("fact.released", model.released),
        ("fact.million_vectors", index),
        ("fact.texts_per_second", speed),
    ]
    return _facts(pairs, lang)


def model_prompts(name: str, site: SiteView, lang: Lang) -> list[tuple[str, str, str]]:
    """What goes before the texts of each type of task: (type, role, prompt); empty where nobody
    says.

    The declared prompts of a known model, else those recorded with its measured results.
    """
    spec = catalogue.load_spec(name)
    if spec is not None and declares_prompts(spec):
        table = build_prompts(spec, None, None, tasks.names())
        return [
            (say(group_title(kind), lang), role, resolve(table, "", kind, "", role).prompt)
            for kind in _PROMPTED
            for role in roles(kind)
        ]
    prompts: dict[tuple[str, str, str], None] = {}
    for view in site.boards:
        for row in view.board.rows:
            for task, result in row.results.items() if row.model == name else ():
                for role, prompt in (result.kemb.prompts if result.kemb else {}).items():
                    prompts[task, role, prompt.prompt] = None
    return list(prompts)


def task_facts(task: str, n_items: int | None, lang: Lang) -> tuple[str, str, Facts]:
    """What a task measures, a link, and its facts; little is known of a task of one's own."""
    spec = spec_of(task)
    items = ("fact.items", f"{n_items:,}" if n_items else "")
    if spec is None:
        return "", "", _facts([items], lang)
    revision = spec.source.revision
    pairs: list[tuple[str, Text]] = [
        ("fact.type", group_title(spec.type)),
        ("fact.main_metric", spec.main_metric),
        items,
        ("fact.languages", ", ".join(spec.languages)),
        ("fact.licence", spec.license),
        ("fact.data", spec.source.hub or ""),
        (
            "fact.revision",
            note("detail.unpinned", revision=revision) if revision == "main" else revision[:12],
        ),
        ("fact.splits", ", ".join(spec.splits)),
    ]
    link = spec.reference if spec.reference.startswith("https://") else ""
    return (
        " ".join(spec.description.split()),
        link,
        _facts(pairs, lang),
    )


def card_details(card: Card, lang: Lang) -> Facts:
    """What is recorded behind a number and does not stand in the table already."""
    prompts = (
        "" if card.prompts is None else "; ".join(f"{p.role}: {p.prompt!r}" for p in card.prompts)
    )
    pairs: list[tuple[str, Text]] = [
        ("fact.model_revision", card.model_revision),
        ("fact.data_revision", card.dataset_revision),
        ("fact.data_hash", ", ".join(card.data_sha256)),
        ("fact.prompts", prompts),
        ("fact.max_tokens", str(card.max_tokens or "")),
        (
            "fact.truncated_texts",
            "; ".join(length_text(length_data, lang) for length_data in card.lengths),
        ),
        ("fact.dtype", card.dtype),
        ("fact.similarity", card.similarity),
        (
            "fact.versions",
            ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        ),
        ("fact.hardware", card.hardware),
        ("fact.seconds", _seconds(card)),
        ("fact.date", card.date),
        ("fact.command", card.command),
        ("fact.url", card.url),
        ("fact.commit", card.commit),
        (
            "fact.elsewhere",
            "; ".join(
                f"{o.source} {o.value * 100:.2f} ({(o.value - card.value) * 100:+.2f})"
                for o in card.others
            ),
        ),
    ]
    return _facts(pairs, lang)


def _seconds(card: Card) -> Text:
    """Spent on encoding and scoring; says where the vectors were there already."""
    parts = []
    if card.encode_seconds is not None:
        parts.append(note("detail.encode_seconds", seconds=card.encode_seconds))
    if card.score_seconds is not None:
        parts.append(note("detail.score_seconds", seconds=card.score_seconds))
    if card.from_store:
        return note("detail.seconds_stored", parts=parts)
    return note("detail.seconds_spent", parts=parts) if parts else ""


class CostColumn(NamedTuple):
    """A column of a board or of a table of costs."""

    key: str
    title: str
    about: str
    text: Callable[[CostData], str]
    """Of a cell; '' where nothing is known."""
    on_board: bool


def cost_columns(view: BoardView, lang: Lang) -> list[CostColumn]:
    """Those of a board's costs in which a row has something."""
    costs = [row.cost for row in view.data.rows if row.cost]
    return [
        column
        for column in _columns(lang)
        if column.on_board and any(column.text(cost) for cost in costs)
    ]


def cost_table(site: SiteView, model: int, lang: Lang) -> dict[str, Any] | None:
    """What the measured rows of a model cost: titles, (label, cells), prices of APIs. As on the
    first board of each.
    """
    rows: dict[str, tuple[str, CostData]] = {}
    for view in site.boards:
        for row in view.data.rows:
            if row.model == model and row.cost:
                rows.setdefault(row.id, (row.label, row.cost))
    columns = [
        column for column in _columns(lang) if any(column.text(cost) for _, cost in rows.values())
    ]
    if not columns:
        return None
    lines = sorted(
        rows.values(), key=lambda line: " [" in line[0]
    )  # the declared profile before its variants
    return {
        "titles": [(column.title, column.about) for column in columns],
        "lines": [(label, [column.text(cost) for column in columns]) for label, cost in lines],
        "prices": sorted({cost.price for _, cost in rows.values() if cost.price}),
    }


class CutTexts(NamedTuple):
    """The lengths of one column of a task's texts for a model."""

    task: str
    lengths: LengthData
    max_tokens: int | None
    is_much: bool
    """Whether so many are cut that the score is marked."""


def cut_texts(site: SiteView, cards: Mapping[str, Sequence[Card]], model: int) -> list[CutTexts]:
    """By task and column, as the first row of a model that knows them has them."""
    lines_by_task: dict[str, list[CutTexts]] = {}
    for view in site.boards:
        for card in cards.get(view.data.slug, ()):
            if view.data.rows[card.row].model == model and card.lengths:
                task = view.data.cells[card.cell].task
                task_lines = [
                    CutTexts(task, one, card.max_tokens, _is_much(one)) for one in card.lengths
                ]
                lines_by_task.setdefault(task, task_lines)
    return [line for lines in lines_by_task.values() for line in lines]


def _is_much(length_data: LengthData) -> bool:
    return (length_data.n_truncated or 0) > TRUNCATED * length_data.n_texts


def length_text(length_data: LengthData, lang: Lang) -> str:
    """How many texts of a column were cut, and how long the longest is."""
    cut = "–" if length_data.n_truncated is None else f"{length_data.n_truncated:,}"
    lengths = note(
        "detail.lengths",
        column=length_data.column,
        cut=cut,
        n_texts=length_data.n_texts,
        longest=length_data.longest,
    )
    return say(lengths, lang)


def _columns(lang: Lang) -> list[CostColumn]:
    """Of boards, then those of tables of costs alone."""
    stored = say(note("column.stored"), lang)

    def speed(cost: CostData) -> str:
        return tables.whole(cost.texts_per_second) or (stored if cost.from_store else "")

    def hardware(cost: CostData) -> str:
        return cost.hardware if cost.texts_per_second or cost.encode_seconds else ""

    def seconds(cost: CostData) -> str:
        return "" if cost.encode_seconds is None else f"{cost.encode_seconds:,.1f}"

    def usd(cost: CostData) -> str:
        return "" if cost.usd is None else f"{cost.usd:.4f}"

    def korean(cost: CostData) -> str:
        return tables.whole(cost.tokens_per_1000_korean)

    def index(cost: CostData) -> str:
        return tables.gigabytes(cost.index_bytes_per_document)

    def rate(cost: CostData) -> str:
        return tables.whole(cost.tokens_per_second)

    columns: list[tuple[str, str, str, Callable[[CostData], str], bool]] = [
        ("korean", "column.korean_tokens", "column.korean_tokens_about", korean, True),
        ("index", "column.index_gb", "column.index_gb_about", index, True),
        ("speed", "column.texts_per_second", "column.texts_per_second_about", speed, True),
        ("rate", "column.tokens_per_second", "", rate, False),
        ("seconds", "column.encode_seconds", "column.encode_seconds_about", seconds, False),
        ("hardware", "column.hardware", "", hardware, False),
        ("usd", "column.api_usd", "column.api_usd_about", usd, True),
    ]
    return [
        CostColumn(
            key,
            say(note(title), lang),
            say(note(about), lang) if about else "",
            text,
            on_board,
        )
        for key, title, about, text, on_board in columns
    ]
