"""Boards -> what the site shows of them, as plain data. Pure: no file is read, no clock is
asked.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from kemb import statistics
from kemb.boards import Board, Row
from kemb.boards.benchmark import CellSpec, spec_of
from kemb.boards.cells import expression_of
from kemb.models.facts import ModelFacts
from kemb.publishing import tables
from kemb.publishing.costs import cost_of
from kemb.publishing.site.schema import (
    SCHEMA_VERSION,
    BoardData,
    BoardRef,
    CellData,
    CostData,
    GroupData,
    ModelData,
    Named,
    RowData,
    SiteData,
    SnapshotRef,
)
from kemb.publishing.site.words import group_title


@dataclass(frozen=True, slots=True)
class Speed:
    """A measured rate of encoding."""

    texts_per_second: float
    hardware: str


@dataclass(frozen=True, slots=True)
class BoardView:
    """A board and its data, row for row."""

    board: Board
    data: BoardData
    href: str
    description: Named


@dataclass(frozen=True, slots=True)
class SiteView:
    """Everything that the pages show."""

    title: Named
    date: str
    """Of the newest record, YYYY-MM-DD."""
    boards: list[BoardView]
    models: list[ModelData]
    facts: Mapping[str, ModelFacts]
    """By name."""
    tasks: Mapping[str, str]
    """Task -> slug of its page."""
    has_private: bool = False
    """Whether a row rests on data that are not public."""
    snapshots: list[SnapshotRef] = field(default_factory=list)

    @property
    def data(self) -> SiteData:
        """For the script."""
        refs = [
            BoardRef(
                slug=view.data.slug,
                title=view.data.title,
                href=view.href,
                n_ranked=view.data.n_ranked,
                n_rows=len(view.data.rows),
            )
            for view in self.boards
        ]
        return SiteData(
            schema_version=SCHEMA_VERSION,
            title=self.title,
            boards=refs,
            models=self.models,
            snapshots=self.snapshots,
        )


def site_view(
    boards: Mapping[str, Board],
    facts: Mapping[str, ModelFacts],
    speeds: Mapping[str, Speed],
    *,
    title: Named,
    date: str,
) -> SiteView:
    """The view of some boards.

    :param boards: by slug; the first one is the start page.
    :param facts: of every model of every row, by name.
    :param speeds: measured ones, by name of the model.
    :param title: of the whole site.
    :param date: of the newest record.
    """
    names = sorted(
        {row.model for board in boards.values() for row in board.rows},
        key=lambda name: name.lower(),
    )
    of_model = slugs(names)
    task_slugs = slugs(cell.task for board in boards.values() for cell in board.cells)
    models = [_model(facts[name], of_model[name], speeds.get(name)) for name in names]
    places = {name: number for number, name in enumerate(names)}
    ids = _row_ids(boards, of_model)
    views = []
    for number, (slug, board) in enumerate(boards.items()):
        data = _board(slug, board, places, ids, task_slugs)
        text = " ".join(board.benchmark.description.split("\n\n")[0].split())
        href = "index.html" if number == 0 else f"board/{slug}.html"
        views.append(BoardView(board, data, href, Named(ko=text, en=text)))
    return SiteView(title, date, views, models, dict(facts), task_slugs)


def identity(row: Row) -> tuple[str, str, str, str]:
    """What tells a row from every other one of any board."""
    return row.model, row.revision, row.variant, row.claim.source if row.claim else ""


def _row_ids(
    boards: Mapping[str, Board], of_model: Mapping[str, str]
) -> dict[tuple[str, str, str, str], str]:
    """Ids of rows: the model's slug, its variant and source; the revision only where several stand
    side by side.
    """
    rows = list(dict.fromkeys(identity(row) for board in boards.values() for row in board.rows))
    parts = slugs(
        [variant for _, _, variant, _ in rows if variant]
        + [source for *_, source in rows if source]
    )
    short = {
        key: of_model[key[0]]
        + (f"~{parts[key[2]]}" if key[2] else "")
        + (f"~{parts[key[3]]}" if key[3] else "")
        for key in rows
    }
    counts = Counter(short.values())
    revisions = slugs(key[1] for key in rows if counts[short[key]] > 1)
    return {
        key: short[key] + (f"~{revisions[key[1]]}" if counts[short[key]] > 1 else "")
        for key in rows
    }


def _model(facts: ModelFacts, slug: str, speed: Speed | None) -> ModelData:
    return ModelData(
        slug=slug,
        name=facts.name,
        kind=facts.kind,
        n_parameters=facts.n_parameters,
        dim=facts.dim,
        truncate_dims=list(facts.truncate_dims),
        max_tokens=facts.max_tokens,
        license=facts.license,
        license_class=facts.license_class,
        open_weights=facts.open_weights,
        needs_prompt=facts.needs_prompt,
        released=facts.released,
        texts_per_second=speed.texts_per_second if speed else None,
        hardware=speed.hardware if speed else "",
    )


def _board(
    slug: str,
    board: Board,
    places: Mapping[str, int],
    ids: Mapping[tuple[str, str, str, str], str],
    task_slugs: Mapping[str, str],
) -> BoardData:
    keys = list(board.groups)
    weights = {key: sum(board.weights[number] for number in board.groups[key]) for key in keys}
    groups = [GroupData(key=key, title=group_title(key), weight=weights[key]) for key in keys]
    cells = [
        CellData(
            title=cell.title,
            task=cell.task,
            slug=task_slugs[cell.task],
            group=keys.index(cell.group_name),
            weight=weight,
            metric=_metric(cell, board),
            has_items=any(_has_items(row, cell.task) for row in board.rows),
        )
        for cell, weight in zip(board.cells, board.weights, strict=True)
    ]
    names, marks = tables.names(board, board.rows), tables.source_marks(board.rows)
    rows = [
        _row(
            board,
            row,
            name,
            marks[row.claim.source] if row.claim else "",
            places[row.model],
            ids[identity(row)],
        )
        for row, name in zip(board.rows, names, strict=True)
    ]
    return BoardData(
        schema_version=SCHEMA_VERSION,
        slug=slug,
        title=board_title(board),
        groups=groups,
        cells=cells,
        rows=rows,
        n_ranked=len(board.complete),
        mode=board.intervals.mode,
        level=board.intervals.level,
        zone=statistics.ZONE,
        better=bits(board.replicates.better),
    )


def bits(matrix: NDArray[np.bool_] | None) -> str:
    """`BoardData.better` of a matrix."""
    if matrix is None:
        return ""
    return base64.b64encode(np.packbits(matrix.ravel(), bitorder="little").tobytes()).decode()


def _metric(cell: CellSpec, board: Board) -> str:
    """The expression of a cell, with the name of the metric in place of `main_score` where it is
    known.
    """
    expression, spec = expression_of(cell, board.formula), spec_of(cell.task)
    if expression != "main_score":
        return expression
    if spec:
        return spec.main_metric
    records = (row.results[cell.task].kemb for row in board.rows if cell.task in row.results)
    return next((record.task.main_metric for record in records if record), expression)


def board_title(board: Board) -> Named:
    """Title of a benchmark, and of the formula where it is not the first."""
    bench = board.benchmark
    first = board.formula_name == next(iter(bench.formulas))
    formula = "" if first else f", {board.formula.title or board.formula_name}"
    return Named(ko=f"{bench.title}{formula}", en=f"{bench.title_en or bench.title}{formula}")


def _has_items(row: Row, task: str) -> bool:
    result = row.results.get(task)
    return result is not None and result.claims_items


def _row(board: Board, row: Row, label: str, mark: str, model: int, row_id: str) -> RowData:
    standing = row.standing
    marked = [number for number, cell in enumerate(board.cells) if tables.is_cut_in(row, cell)]
    return RowData(
        id=row_id,
        model=model,
        label=label,
        mark=mark,
        source=row.claim.source if row.claim else "",
        rank=standing.rank if standing else None,
        rank_low=standing.rank_low if standing else None,
        rank_high=standing.rank_high if standing else None,
        score=row.score,
        low=standing.low if standing else None,
        high=standing.high if standing else None,
        win_rate=row.common.win_rate if row.common else None,
        cells=row.cells,
        groups=[row.groups[key] for key in board.groups],
        cut=[] if row.claim else marked,
        cost=None if row.claim else CostData(**asdict(cost_of(row))),
    )


_LENGTH = 80


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A slug for every name: lower-case letters, digits, `.`, `_` and `-`.

    `BAAI/bge-m3` is `baai--bge-m3`. A name that loses something on the way, and every further name
        with the same slug,
    ends in 8 hex digits of its hash, so that no slug depends on which other names there are, but
    for those that differ only in case.
    """
    slug_by_name: dict[str, str] = {}
    unique_slugs: set[str] = set()
    for name in sorted(set(names)):
        slug = _slug(name)
        if slug in unique_slugs:
            slug = f"{slug}-{_digest(name)}"
        unique_slugs.add(slug)
        slug_by_name[name] = slug
    return slug_by_name


def _slug(name: str) -> str:
    plain = name.lower().replace("/", "--", 1).replace(":", "-")
    safe = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-.")
    if safe == plain and len(safe) <= _LENGTH and safe not in ("", "index"):
        return safe
    return f"{safe[:_LENGTH].strip('-.') or 'x'}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
