"""Figures as numbers: where marks stand. Templates draw them as SVG, so that they print and need no
script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemb.boards import Board, Row
from kemb.messages import Lang, say
from kemb.publishing.costs import cost_of
from kemb.publishing.site.views import BoardView
from kemb.results.record import ViewRecord
from kemb.statistics import mean_ranks

LABEL = 28
"""Letters of a label that are shown."""
N_PROFILED = 5
N_STRIPS = 15
MIN_CORRELATED = 5
"""Rows that a correlation of tasks needs."""


@dataclass(frozen=True, slots=True)
class Point:
    """A model in the plane; everything is in percent of the figure."""

    row: int
    x: float
    y: float
    low: float
    high: float
    """y of the interval's ends."""
    on_front: bool
    label: str
    label_at: tuple[float, float] = (0.0, 0.0)
    """Where the label of a point on the front begins."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """Score against parameters (log)."""

    points: list[Point]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    front: str
    """The Pareto line as the `points` of a polyline."""
    without: list[str]
    """Ranked models whose size nobody says."""


def scatter(view: BoardView, parameters: Sequence[int | None]) -> Scatter | None:
    """Score against size of the ranked rows; None with fewer than two sizes."""
    ranked = view.data.rows[: view.data.n_ranked]
    entries = [(n, row, parameters[row.model]) for n, row in enumerate(ranked)]
    placed = [(n, row, size) for n, row, size in entries if size]
    if len(placed) < 2:
        return None
    logs = [math.log10(size) for *_, size in placed]
    left, right = min(logs) - 0.1, max(logs) + 0.1
    ends = [
        bound
        for _, row, _ in placed
        for bound in (row.low, row.high, row.score)
        if bound is not None
    ]
    bottom, top = min(ends), max(ends)
    margin = 0.05 * (top - bottom or 1)
    bottom, top = bottom - margin, top + margin

    def across(log: float) -> float:
        return round(100 * (log - left) / (right - left), 2)

    def down(score: float) -> float:
        return round(100 * (top - score) / (top - bottom), 2)

    front = _front([(size, row.score or 0.0) for _, row, size in placed])
    points = [
        Point(
            n,
            across(log),
            down(row.score or 0.0),
            down(row.low if row.low is not None else row.score or 0.0),
            down(row.high if row.high is not None else row.score or 0.0),
            place in front,
            row.label.rpartition("/")[2],
        )
        for place, ((n, row, _), log) in enumerate(zip(placed, logs, strict=True))
    ]
    line = sorted((points[place] for place in front), key=lambda point: point.x)
    points = _labelled(points)
    x_ticks = [
        Tick(across(math.log10(size)), text)
        for size, text in (
            (1e7, "10M"),
            (3e7, "30M"),
            (1e8, "100M"),
            (3e8, "300M"),
            (1e9, "1B"),
            (3e9, "3B"),
            (1e10, "10B"),
        )
        if left <= math.log10(size) <= right
    ]
    y_ticks = [Tick(down(value), f"{value * 100:g}") for value in round_values(bottom, top)]
    without = [row.label for _, row, size in entries if not size]
    return Scatter(points, x_ticks, y_ticks, " ".join(f"{p.x},{p.y}" for p in line), without)


_WIDE, _HIGH = 0.82, 4.5
"""Size of a letter in percent of the figure."""


def _labelled(points: Sequence[Point]) -> list[Point]:
    """Places for the labels of the points on the front: near the point, not over another label or
    point.
    """
    obstacles = [(point.x - 0.6, point.y - 1.2, point.x + 0.6, point.y + 1.2) for point in points]
    out = list(points)
    for place in sorted(
        (n for n, point in enumerate(points) if point.on_front), key=lambda n: points[n].x
    ):
        point = points[place]
        width = _WIDE * min(len(point.label), LABEL)
        sides = (point.x + 1, point.x - width - 1)
        tries = [
            (x, point.y + down)
            for step in range(1, 16)
            for down in (-step * 3.5, step * 3.5)
            for x in sides
        ]
        boxes = [(x, y - _HIGH, x + width, y) for x, y in tries]
        fits = (
            n
            for n, box in enumerate(boxes)
            if _inside(box) and not any(_overlap(box, other) for other in obstacles)
        )
        best = next(fits, 0)
        obstacles.append(boxes[best])
        out[place] = replace(point, label_at=(round(tries[best][0], 2), round(tries[best][1], 2)))
    return out


def _inside(box: tuple[float, float, float, float]) -> bool:
    return box[0] >= 0 and box[1] >= -2 and box[2] <= 102 and box[3] <= 100


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _front(pairs: Sequence[tuple[float, float]]) -> set[int]:
    """Places of (cost, score) pairs that no other beats: none is as cheap and better, or cheaper
    and as good.
    """
    return {
        place
        for place, (cost, score) in enumerate(pairs)
        if not any((c <= cost and s > score) or (c < cost and s >= score) for c, s in pairs)
    }


def round_values(low: float, high: float) -> list[float]:
    """Four to eight round numbers between the ends."""
    span = high - low
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 8)
    first = math.ceil(low / step)
    return [round(k * step, 10) for k in range(first, math.floor(high / step) + 1)]


@dataclass(frozen=True, slots=True)
class Strip:
    """One line of a dot figure; positions are in percent."""

    title: str
    ticks: list[float]
    dots: list[tuple[float, str]]
    """(position, what stands in the dot)."""
    ends: tuple[str, str]


def profile(view: BoardView, lang: Lang) -> list[Strip]:
    """For every group the scores of all ranked rows, the first five numbered."""
    ranked = view.data.rows[: view.data.n_ranked]
    strips = []
    for column, group in enumerate(view.data.groups):
        values = [row.groups[column] for row in ranked]
        scores = [value for value in values if value is not None]
        if len(scores) < 2 or len(view.data.groups) < 2:
            continue
        low, high = min(scores), max(scores)
        at = [round(100 * ((value or 0.0) - low) / ((high - low) or 1), 2) for value in values]
        dots = [(position, str(number + 1)) for number, position in enumerate(at[:N_PROFILED])]
        title = say(group.title, lang)
        strips.append(Strip(title, at, dots, (f"{low * 100:.1f}", f"{high * 100:.1f}")))
    return strips


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How the rank of a row changes with the way of adding up; positions in percent."""

    row: int
    label: str
    interval: tuple[float, float]
    """Start and width of the rank interval."""
    span: tuple[float, float]
    """Start and width from the best to the worst rank of any view or left-out task."""
    marks: list[tuple[float, str]]
    """(position, view)."""
    text: str


def sensitivity(view: BoardView) -> list[Sensitivity]:
    """The first rows of a board of several tasks."""
    board = view.board
    if len(board.cells) < 2 or len(board.complete) < 2:
        return []
    n = len(board.complete)
    return [_sensitivity(view, number, n) for number in range(min(N_STRIPS, n))]


def _sensitivity(view: BoardView, number: int, n: int) -> Sensitivity:
    standing = view.board.complete[number].standing
    assert standing is not None
    best, worst = standing.elsewhere

    def stretch(low: int, high: int) -> tuple[float, float]:
        return round(100 * (low - 1) / n, 2), round(100 * (high - low + 1) / n, 2)

    marks = [(round(100 * (rank - 0.5) / n, 2), name) for name, (_, rank) in standing.views.items()]
    return Sensitivity(
        number,
        view.data.rows[number].label,
        stretch(standing.rank_low, standing.rank_high),
        stretch(best, worst),
        marks,
        f"{best}–{worst}",
    )


def correlations(board: Board) -> list[list[float]]:
    """Spearman correlations of the tasks over the ranked rows; empty where there are too few rows
    or tasks.
    """
    if len(board.complete) < MIN_CORRELATED or len(board.cells) < 2:
        return []
    values = np.array([row.cells for row in board.complete], dtype=np.float64)
    ranks = np.stack([mean_ranks(column) for column in values.T])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    product = ranks @ ranks.T
    scale = np.outer(norms, norms)
    matrix: list[list[float]] = np.divide(
        product, scale, out=np.zeros_like(product), where=scale > 0
    ).tolist()
    return matrix


def heat(values: Sequence[float | None]) -> list[int | None]:
    """A step from 0 to 6 for every value, None where there is none.

    The scale begins at the lowest tenth of the values, or one bad model would take the colour from
    all others.
    """
    numbers = [value for value in values if value is not None]
    if len(numbers) < 2 or max(numbers) == min(numbers):
        return [None] * len(values)
    low = float(np.quantile(numbers, 0.1))
    span = (max(numbers) - low) or 1.0
    return [
        None if value is None else max(0, min(6, int(7 * (value - low) / span))) for value in values
    ]


_BYTES = {"": 4, "int8": 1, "binary": 1 / 8}
"""Of a number by level of quantisation; '' is float32."""


MIN_POINTS = 3


_DODGE = 0.6
"""Percent of the figure between marks of two levels with indexes of one size."""


@dataclass(frozen=True, slots=True)
class RowView:
    """A row as a view of its model's vectors."""

    row: int
    """Place on the board."""
    dims: int
    level: str
    """'', int8, binary, or binary@100 where the best 100 are rescored."""
    index_bytes: float
    """Of one document."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A row in the plane; everything is in percent of the figure."""

    row: int
    x: float
    y: float
    low: float
    high: float
    """y of the interval's ends."""
    dims: int
    index_bytes: float


@dataclass(frozen=True, slots=True)
class Series:
    """The rows of one level, largest index first."""

    level: str
    name: str
    points: list[CurvePoint]


@dataclass(frozen=True, slots=True)
class Curve:
    """The views of one model, beside its full vectors."""

    title: str
    series: list[Series]
    x_ticks: list[Tick]
    """GB per million documents."""
    y_ticks: list[Tick]


def curves(view: BoardView, model: int | None = None) -> list[Curve]:
    """A curve for every model of a board that has three ranked rows which differ in dimensions or
    level only.

    :param model: its place in `SiteData.models`; None for all.
    """
    families: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(view.board.complete):
        if row.claim is None and model in (None, view.data.rows[place].model):
            families.setdefault((row.model, row.revision, _base(row.variant)), []).append(place)
    model_curves = []
    for (name, _, variant), places in families.items():
        row_views = _row_views(view.board.complete, places)
        if (
            len(row_views) >= MIN_POINTS
            and len({row_view.index_bytes for row_view in row_views}) > 1
        ):
            model_curves.append(_curve(view, f"{name} [{variant}]" if variant else name, row_views))
    return model_curves


def _base(variant: str) -> str:
    return "__".join(
        part for part in variant.split("__") if not part.startswith(("dims_", "quantize_"))
    )


def _row_views(rows: Sequence[Row], places: Sequence[int]) -> list[RowView]:
    """Those of the rows whose index is known."""
    row_views = []
    for place in places:
        cost = cost_of(rows[place])
        record = next(iter(rows[place].results.values())).kemb
        view = (record.view if record else None) or ViewRecord()
        level = view.level or ""
        if (
            (size := cost.index_bytes_per_document)
            and record is not None
            and record.family == "dense"
        ):
            rescored = f"@{view.candidates}" if view.candidates else ""
            row_views.append(
                RowView(
                    place,
                    view.dims or round(size / _BYTES[level]),
                    f"{level}{rescored}",
                    size,
                )
            )
    return sorted(row_views, key=lambda row_view: -row_view.index_bytes)


def _coarseness(level: str) -> tuple[float, str]:
    return -_BYTES[level.partition("@")[0]], level


def _curve(view: BoardView, title: str, row_views: Sequence[RowView]) -> Curve:
    rows = view.data.rows
    logs = [math.log10(row_view.index_bytes) for row_view in row_views]
    left, right = min(logs) - 0.08, max(logs) + 0.12
    bounds = [bound for row_view in row_views for bound in _ends(view, row_view.row)]
    margin = 0.06 * (max(bounds) - min(bounds) or 0.01)
    bottom, top = min(bounds) - margin, max(bounds) + margin

    def across(size: float) -> float:
        return round(100 * (math.log10(size) - left) / (right - left), 2)

    def down(score: float) -> float:
        return round(100 * (top - score) / (top - bottom), 2)

    series = []
    levels = {row_view.level for row_view in row_views}
    for number, level in enumerate(sorted(levels, key=_coarseness)):
        points = [
            CurvePoint(
                row_view.row,
                round(across(row_view.index_bytes) + (number - 1) * _DODGE, 2),
                down(rows[row_view.row].score or 0.0),
                down(_ends(view, row_view.row)[0]),
                down(_ends(view, row_view.row)[1]),
                row_view.dims,
                row_view.index_bytes,
            )
            for row_view in row_views
            if row_view.level == level
        ]
        if points:
            series.append(Series(level, level or "float32", points))
    sizes = [step * 10.0**power for power in range(0, 7) for step in (1, 2, 5)]
    x_ticks = [
        Tick(across(size), f"{size / 1e3:g}") for size in sizes if left <= math.log10(size) <= right
    ]
    y_ticks = [Tick(down(value), f"{value * 100:g}") for value in round_values(bottom, top)]
    return Curve(title, series, x_ticks, y_ticks)


def _ends(view: BoardView, place: int) -> tuple[float, float]:
    row = view.data.rows[place]
    score = row.score or 0.0
    return (score if row.low is None else row.low, score if row.high is None else row.high)
