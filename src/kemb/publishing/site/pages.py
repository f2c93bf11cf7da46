"""The pages of a site: views -> HTML. Everything from outside is escaped by the templates."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kemb.boards import Board
from kemb.messages import LANGS, Lang, Note, Text, Value, note, say
from kemb.publishing import notes
from kemb.publishing.costs import CUT, LITE
from kemb.publishing.history.snapshots import BoardState, Snapshot
from kemb.publishing.site import figures
from kemb.publishing.site.describe import (
    card_details,
    cost_columns,
    cost_table,
    cut_texts,
    model_facts,
    model_prompts,
    task_facts,
)
from kemb.publishing.site.figures import curves
from kemb.publishing.site.schema import Card, RowData, Snippet
from kemb.publishing.site.views import BoardView, SiteView
from kemb.publishing.site.words import KINDS
from kemb.publishing.tables import is_lite_marked, source_marks

TEMPLATES = Path(__file__).parent.parent / "templates"
SHOWN_GROUPS = 2
"""Groups get columns of their own from this number on, where one of them has several tasks."""
LICENSE_CLASSES = ("commercial", "conditional", "noncommercial", "closed")
"""What a licence allows (`ModelData.license_class`), where it is known."""
N_MATRIX = 12
N_CURVES = 3
N_STRONG = 3


@dataclass(frozen=True, slots=True)
class ChangeEntry:
    """One state on the changes page."""

    id: str
    date: str
    lines: Mapping[Lang, Sequence[str]]
    boards: Sequence[str] = ()
    """Slugs of the boards that the state can be read for."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What pages show beside the boards."""

    cards: Mapping[str, Sequence[Card]] = field(default_factory=dict)
    """By slug of the board."""
    snippets: Mapping[str, Sequence[Snippet]] = field(default_factory=dict)
    """By slug of the model."""
    changes: Sequence[ChangeEntry] = ()
    """Newest first."""
    problems: Sequence[str] = ()
    """What is wrong with older states."""
    model_history: Mapping[str, Sequence[tuple[str, Mapping[Lang, str]]]] = field(
        default_factory=dict
    )
    """By name of the model: (date, sentence)."""
    detectable: Mapping[str, float] = field(default_factory=dict)
    """Task -> the difference that its items can show, as a fraction."""
    n_items: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Task -> texts of some items, where the licence allows."""


def render(
    site: SiteView, extras: Extras, older: Sequence[Snapshot] = ()
) -> Iterator[tuple[str, str]]:
    """Every page of the site in both languages as (path, HTML), with the boards of older states."""
    for lang in LANGS:
        context = _Context(site, extras, lang)
        for view in site.boards:
            yield context.page(view.href, "board", **board_page(context, view))
        first = site.boards[0] if site.boards else None
        yield context.page(
            "compare.html",
            "compare",
            title=context.t("site.compare_models"),
            matrix=_matrix(first, lang),
        )
        yield context.page(
            "choose.html",
            "choose",
            title=context.t("site.choose_a_model"),
            front=_front(site),
        )
        yield context.page("method.html", "method", **_method_page(context))
        yield context.page("changelog.html", "changelog", **_changes_page(context))
        for number in range(len(site.models)):
            page = _model_page(context, number)
            yield context.page(f"model/{site.models[number].slug}.html", "model", **page)
        for task, slug in site.tasks.items():
            yield context.page(f"task/{slug}.html", "task", **_task_page(context, task))
        for snapshot in older:
            for slug, board in snapshot.boards.items():
                yield context.page(
                    f"at/{snapshot.id}/{slug}.html",
                    "at",
                    **_old_page(context, snapshot, slug, board),
                )


@dataclass(frozen=True, slots=True)
class _Context:
    """Site, language, and how to render one page of them."""

    site: SiteView
    extras: Extras
    lang: Lang

    def t(self, key: str, /, **values: Value) -> str:
        """A sentence of the table, as plain text that the templates escape."""
        return say(note(key, **values), self.lang)

    def say(self, text: Text) -> str:
        return say(text, self.lang)

    def license_text(self, kind: str) -> str:
        """What a licence of a kind allows; '' is the unknown kind."""
        return self.t(f"license.{kind or 'unknown'}")

    def page(self, path: str, page: str, **values: Any) -> tuple[str, str]:  # noqa: ANN401  a template's variables
        other: Lang = "en" if self.lang == "ko" else "ko"
        depth = path.count("/")
        root = "../" * (depth + (self.lang == "en"))
        pages = "../" * depth
        other_href = f"{pages}en/{path}" if other == "en" else f"{root}{path}"
        common = {
            "site": self.site,
            "lang": self.lang,
            "other": other,
            "root": root,
            "pages": pages,
            "other_href": other_href,
            "page": page,
            "t": self.t,
            "version": importlib.metadata.version("kemb"),
            "license_text": self.license_text,
            "at": None,
            "description": "",
            "cut_mark": CUT,
            "lite_mark": LITE,
        }
        text = _environment().get_template(f"{page}.html.j2").render(common | values)
        return (f"en/{path}" if self.lang == "en" else path), text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment


def board_page(context: _Context, view: BoardView) -> dict[str, Any]:
    """The variables of a board's page."""
    board, data, lang = view.board, view.data, context.lang
    ranked = data.rows[: data.n_ranked]
    groups = len(data.groups) >= SHOWN_GROUPS and len(data.groups) < len(data.cells)
    bounds = [bound for row in ranked for bound in (row.low, row.high) if bound is not None]
    costs = cost_columns(view, lang)
    parameters = [model.n_parameters for model in context.site.models]
    return {
        "data": data,
        "title": context.say(data.title),
        "lead": context.say(view.description) if lang == "en" else "",
        "caption": context.t("site.board_caption", board=data.title, date=context.site.date),
        "mode_text": context.say(notes.mode_note(board)),
        "notes": [context.say(text) for text in _notes(board)],
        "data_notes": [context.say(text) for text in board.notes],
        "kinds": [(key, context.say(kind)) for key, kind in KINDS.items() if key],
        "licenses": [(kind, context.license_text(kind)) for kind in LICENSE_CLASSES],
        "show_groups": groups,
        "cost_columns": costs,
        "n_columns": 9 + len(costs) + len(data.cells) + (len(data.groups) if groups else 0),
        "score_low": min(bounds, default=0.0),
        "score_high": max(bounds, default=0.0),
        "heat_class": _heat_class(view),
        "lite_cells": {
            (line.id, number)
            for row, line in zip(board.rows, data.rows, strict=True)
            for number, cell in enumerate(board.cells)
            if is_lite_marked(row, cell)
        },
        "scatter": figures.scatter(view, parameters),
        "strips": figures.profile(view, lang),
        "sensitivity": figures.sensitivity(view),
        "correlations": figures.correlations(board),
        "curves": curves(view)[:N_CURVES],
    }


def _notes(board: Board) -> list[Note]:
    """Those of an empty board say nothing."""
    if not board.rows:
        return []
    return [
        *notes.board_notes(board, source_marks(board.rows)),
        note("board.nothing_imputed"),
    ]


def _heat_class(view: BoardView) -> Callable[[RowData, str, int, int], str]:
    """The class of a number by its place between the lowest and the highest of the ranked rows;
    `best` for the top.
    """
    ranked = view.data.rows[: view.data.n_ranked]
    columns = {("c", n): [row.cells[n] for row in ranked] for n in range(len(view.data.cells))}
    columns |= {("g", n): [row.groups[n] for row in ranked] for n in range(len(view.data.groups))}
    steps = {key: figures.heat(values) for key, values in columns.items()}
    best = {
        key: max((value for value in values if value is not None), default=None)
        for key, values in columns.items()
    }

    def of(row: RowData, kind: str, column: int, number: int) -> str:
        value = (row.cells if kind == "c" else row.groups)[column]
        step = steps[kind, column][number] if number < len(ranked) else None
        top = " best" if step is not None and value == best[kind, column] else ""
        return (f" heat-{step}" if step is not None else "") + top

    return of


def _matrix(view: BoardView | None, lang: Lang) -> dict[str, Any] | None:
    if view is None or view.board.replicates.better is None:
        return None
    title = say(view.data.title, lang)
    rows = view.data.rows[: min(N_MATRIX, view.data.n_ranked)]
    return {"title": title, "rows": rows, "better": view.board.replicates.better.tolist()}


def _front(site: SiteView) -> list[RowData]:
    """The Pareto front of score and parameters on the start page's board."""
    if not site.boards:
        return []
    view = site.boards[0]
    scatter = figures.scatter(view, [model.n_parameters for model in site.models])
    return (
        [view.data.rows[point.row] for point in scatter.points if point.on_front] if scatter else []
    )


def _method_page(context: _Context) -> dict[str, Any]:
    formulas = [
        (
            view,
            context.say(notes.formula_note(view.board)),
            context.say(notes.intervals_note(view.board)),
        )
        for view in context.site.boards
    ]
    title = context.t("site.method_title")
    return {"title": title, "formulas": formulas}


N_CHANGES = 30


def _changes_page(context: _Context) -> dict[str, Any]:
    titles = {view.data.slug: context.say(view.data.title) for view in context.site.boards}
    entries = [
        {
            "id": entry.id,
            "date": entry.date,
            "lines": list(entry.lines[context.lang])[:N_CHANGES],
            "more": list(entry.lines[context.lang])[N_CHANGES:],
            "none": context.t("site.first_state"),
            "boards": [
                (titles.get(slug, slug), f"at/{entry.id}/{slug}.html") for slug in entry.boards
            ],
        }
        for entry in context.extras.changes
    ]
    return {
        "title": context.t("site.changes"),
        "entries": entries,
        "problems": context.extras.problems,
    }


def _model_page(context: _Context, number: int) -> dict[str, Any]:
    site, lang = context.site, context.lang
    model = site.models[number]
    facts = site.facts[model.name]
    history = [
        (date, text[lang]) for date, text in context.extras.model_history.get(model.name, ())
    ]
    return {
        "title": model.name,
        "model": model,
        "link": facts.reference if facts.reference.startswith("https://") else "",
        "facts": model_facts(model, facts, lang),
        "entries": [entry for view in site.boards if (entry := _of_board(context, view, number))],
        "costs": cost_table(site, number, lang),
        "cut": cut_texts(site, context.extras.cards, number),
        "prompts": model_prompts(model.name, site, lang),
        "snippets": context.extras.snippets.get(model.slug, ()),
        "history": history,
    }


def _old_page(
    context: _Context, snapshot: Snapshot, slug: str, board: BoardState
) -> dict[str, Any]:
    """A board as it was; its link to the present leads to the start page where the board is
    gone.
    """
    now = {view.data.slug: view for view in context.site.boards}
    title = context.say(now[slug].data.title) if slug in now else board.title
    return {
        "title": title,
        "snapshot": snapshot,
        "board": board,
        "ranked": [row for row in board.rows if row.rank is not None],
        "unranked": [row for row in board.rows if row.rank is None],
        "at": {"date": snapshot.date, "now": now[slug].href if slug in now else "index.html"},
    }


def _of_board(context: _Context, view: BoardView, number: int) -> dict[str, Any] | None:
    """How a model does on one board: its rows side by side, strong and weak tasks."""
    data = view.data
    places = [place for place, row in enumerate(data.rows) if row.model == number]
    if not places:
        return None
    ranked = data.rows[: data.n_ranked]
    medians = [_median([row.cells[column] for row in ranked]) for column in range(len(data.cells))]
    lines = [
        {
            "title": cell.title,
            "slug": cell.slug,
            "median": medians[column],
            "cells": [_interval(view, place, column) for place in places],
        }
        for column, cell in enumerate(data.cells)
    ]
    first = view.board.rows[places[0]]
    gaps = [
        (cell.title, value - middle)
        for cell, value, middle in zip(data.cells, first.cells, medians, strict=True)
        if value is not None and middle is not None
    ]
    gaps.sort(key=lambda gap: -gap[1])
    enough = len(gaps) >= 2 * N_STRONG
    standing = first.standing
    return {
        "slug": data.slug,
        "title": context.say(data.title),
        "href": view.href,
        "rows": [data.rows[place] for place in places],
        "all_rows": data.rows,
        "n_ranked": data.n_ranked,
        "median": _median([row.score for row in ranked]),
        "lines": lines,
        "strong": gaps[:N_STRONG] if enough else [],
        "weak": gaps[::-1][:N_STRONG] if enough else [],
        "curves": curves(view, number),
        "views": [(context.t(f"view.{name}"), rank) for name, (_, rank) in standing.views.items()]
        if standing and len(data.cells) > 1
        else [],
        "left_out": standing.leave_one_out if standing else None,
        "missing": [(title, context.say(why)) for title, why in first.missing.items()],
    }


def _interval(view: BoardView, place: int, column: int) -> dict[str, float | None]:
    standing = view.board.rows[place].standing
    low, high = (
        standing.cell_intervals[column] if standing and standing.cell_intervals else (None, None)
    )
    return {"value": view.data.rows[place].cells[column], "low": low, "high": high}


def _median(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None


def _task_page(context: _Context, task: str) -> dict[str, Any]:
    extras, lang = context.extras, context.lang
    views = [
        view for view in context.site.boards if any(cell.task == task for cell in view.data.cells)
    ]
    about, link, facts = task_facts(task, extras.n_items.get(task), lang)
    return {
        "title": task,
        "task": task,
        "slug": context.site.tasks[task],
        "about": about,
        "link": link,
        "facts": facts,
        "boards": views,
        "mde": _detectable(context, extras.detectable.get(task)),
        "examples": extras.examples.get(task, ()),
        "sections": list(_task_sections(context, task, views)),
    }


def _detectable(context: _Context, difference: float | None) -> str:
    if difference is None:
        return ""
    return context.t("site.detectable", points=difference * 100)


def _task_sections(
    context: _Context, task: str, views: Sequence[BoardView]
) -> Iterator[dict[str, Any]]:
    """One table for each board and metric of the task; the first that has a row is where links to
    it lead.
    """
    anchored: set[str] = set()
    for view in views:
        for column, cell in enumerate(view.data.cells):
            if cell.task != task:
                continue
            cards = [
                card for card in context.extras.cards.get(view.data.slug, ()) if card.cell == column
            ]
            cards.sort(key=lambda card: -card.value)
            lines = []
            for card in cards:
                row = view.data.rows[card.row]
                details = card_details(card, context.lang)
                lines.append(
                    {
                        "row": row,
                        "card": card,
                        "details": details,
                        "is_anchor": row.id not in anchored,
                    }
                )
                anchored.add(row.id)
            if lines:
                title = f"{context.say(view.data.title)}: {cell.title}"
                yield {"title": title, "metric": cell.metric, "lines": lines}
