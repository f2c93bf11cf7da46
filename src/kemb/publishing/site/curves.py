"""Score against index size: what fewer dimensions and coarser numbers of one model cost, as marks of a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kemb.boards import Row
from kemb.publishing.costs import cost_of
from kemb.publishing.site.figures import Tick, round_values
from kemb.publishing.site.views import BoardView

_BYTES = {"": 4, "int8": 1, "binary": 1 / 8}
"""Of a number by level of quantisation; '' is float32."""
MIN_POINTS = 3
_DODGE = 0.6
"""Percent of the figure between marks of two levels with indexes of one size."""


@dataclass(frozen=True, slots=True)
class Seen:
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
    """A curve for every model of a board that has three ranked rows which differ in dimensions or level only.

    :param model: its place in `SiteData.models`; None for all.
    """
    families: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(view.board.complete):
        if row.claim is None and model in (None, view.data.rows[place].model):
            families.setdefault((row.model, row.revision, _base(row.variant)), []).append(place)
    found = []
    for (name, _, variant), places in families.items():
        seen = _seen(view.board.complete, places)
        if len(seen) >= MIN_POINTS and len({own.index_bytes for own in seen}) > 1:
            found.append(_curve(view, f"{name} [{variant}]" if variant else name, seen))
    return found


def _base(variant: str) -> str:
    return "__".join(part for part in variant.split("__") if not part.startswith(("dims_", "quantize_")))


def _seen(rows: Sequence[Row], places: Sequence[int]) -> list[Seen]:
    """Those of the rows whose index is known."""
    found = []
    for place in places:
        cost, view = cost_of(rows[place]), next(iter(rows[place].results.values())).kemb.get("view") or {}
        level = view.get("level") or ""
        if (size := cost.index_bytes_per_document) and cost.family == "dense":
            rescored = f"@{view['candidates']}" if view.get("candidates") else ""
            found.append(Seen(place, view.get("dims") or round(size / _BYTES[level]), f"{level}{rescored}", size))
    return sorted(found, key=lambda own: -own.index_bytes)


def _coarseness(level: str) -> tuple[float, str]:
    return -_BYTES[level.partition("@")[0]], level


def _curve(view: BoardView, title: str, seen: Sequence[Seen]) -> Curve:
    rows = view.data.rows
    logs = [math.log10(own.index_bytes) for own in seen]
    left, right = min(logs) - 0.08, max(logs) + 0.12
    bounds = [bound for own in seen for bound in _ends(view, own.row)]
    margin = 0.06 * (max(bounds) - min(bounds) or 0.01)
    bottom, top = min(bounds) - margin, max(bounds) + margin

    def across(size: float) -> float:
        return round(100 * (math.log10(size) - left) / (right - left), 2)

    def down(score: float) -> float:
        return round(100 * (top - score) / (top - bottom), 2)

    series = []
    for number, level in enumerate(
        sorted({own.level for own in seen}, key=lambda level: (-_BYTES[level.partition("@")[0]], level))
    ):
        points = [
            CurvePoint(
                own.row,
                round(across(own.index_bytes) + (number - 1) * _DODGE, 2),
                down(rows[own.row].score or 0.0),
                down(_ends(view, own.row)[0]),
                down(_ends(view, own.row)[1]),
                own.dims,
                own.index_bytes,
            )
            for own in seen
            if own.level == level
        ]
        if points:
            series.append(Series(level, level or "float32", points))
    sizes = [step * 10.0**power for power in range(0, 7) for step in (1, 2, 5)]
    x_ticks = [Tick(across(size), f"{size / 1e3:g}") for size in sizes if left <= math.log10(size) <= right]
    y_ticks = [Tick(down(value), f"{value * 100:g}") for value in round_values(bottom, top)]
    return Curve(title, series, x_ticks, y_ticks)


def _ends(view: BoardView, place: int) -> tuple[float, float]:
    row = view.data.rows[place]
    score = row.score or 0.0
    return (score if row.low is None else row.low, score if row.high is None else row.high)
