"""What rows cost, as columns of a board and as tables of a model's page, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kemb.encoding.lengths import TRUNCATED
from kemb.publishing import tables
from kemb.publishing.site.schema import Card, CostData, LengthData
from kemb.publishing.site.views import BoardView, SiteView
from kemb.publishing.site.words import Lang


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
    return [column for column in _columns(lang) if column.on_board and any(column.text(cost) for cost in costs)]


def cost_table(site: SiteView, model: int, lang: Lang) -> dict[str, Any] | None:
    """What the measured rows of a model cost: titles, (label, cells), prices of APIs. As on the first board of each."""
    rows: dict[str, tuple[str, CostData]] = {}
    for view in site.boards:
        for row in view.data.rows:
            if row.model == model and row.cost:
                rows.setdefault(row.id, (row.label, row.cost))
    columns = [column for column in _columns(lang) if any(column.text(cost) for _, cost in rows.values())]
    if not columns:
        return None
    lines = sorted(rows.values(), key=lambda line: " [" in line[0])  # the declared profile before its variants
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
    found: dict[str, list[CutTexts]] = {}
    for view in site.boards:
        for card in cards.get(view.data.slug, ()):
            if view.data.rows[card.row].model == model and card.lengths:
                task = view.data.cells[card.cell].task
                own = [CutTexts(task, one, card.max_tokens, _is_much(one)) for one in card.lengths]
                found.setdefault(task, own)
    return [line for lines in found.values() for line in lines]


def _is_much(own: LengthData) -> bool:
    return (own.n_truncated or 0) > TRUNCATED * own.n_texts


def length_text(own: LengthData, lang: Lang) -> str:
    """How many texts of a column were cut, and how long the longest is."""
    cut = "–" if own.n_truncated is None else f"{own.n_truncated:,}"
    longest = f"가장 긴 것 {own.longest:,}토큰" if lang == "ko" else f"longest {own.longest:,} tokens"
    return f"{own.column} {cut} / {own.n_texts:,} ({longest})"


def _columns(lang: Lang) -> list[CostColumn]:
    def column(
        key: str, title: tuple[str, str], about: tuple[str, str], text: Callable[[CostData], str], on_board: bool = True
    ) -> CostColumn:
        number = 0 if lang == "ko" else 1
        return CostColumn(key, title[number], about[number], text, on_board)

    stored = "저장소" if lang == "ko" else "stored"
    return [
        column(
            "korean",
            ("한국어 토큰", "Korean tokens"),
            ("한국어 텍스트 1,000자당 토큰", "Tokens per 1,000 characters of Korean text"),
            lambda cost: tables.whole(cost.tokens_per_1000_korean),
        ),
        column(
            "index",
            ("색인 GB", "Index GB"),
            ("문서 100만 건의 색인", "Index of a million documents"),
            lambda cost: tables.gigabytes(cost.index_bytes_per_document),
        ),
        column(
            "speed",
            ("초당 텍스트", "Texts/s"),
            (
                "인코딩 속도. 장비는 모델 페이지에 있습니다",
                "Encoding, on the hardware that the model's page names",
            ),
            lambda cost: tables.whole(cost.texts_per_second) or (stored if cost.from_store else ""),
        ),
        column("rate", ("초당 토큰", "Tokens/s"), ("", ""), lambda cost: tables.whole(cost.tokens_per_second), False),
        column(
            "seconds",
            ("인코딩 초", "Seconds"),
            ("인코딩에 걸린 시간", "Spent on encoding"),
            lambda cost: "" if cost.encode_seconds is None else f"{cost.encode_seconds:,.1f}",
            False,
        ),
        column(
            "hardware",
            ("장비", "Hardware"),
            ("", ""),
            lambda cost: cost.hardware if cost.texts_per_second or cost.encode_seconds else "",
            False,
        ),
        column(
            "usd",
            ("API 달러", "API USD"),
            ("이 결과를 만드는 데 낸 돈", "What these results cost"),
            lambda cost: "" if cost.usd is None else f"{cost.usd:.4f}",
        ),
    ]
