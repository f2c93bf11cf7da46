"""Facts of models, tasks and cells as pairs of a name and a text, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from kemb import tasks
from kemb.boards import Board
from kemb.boards.benchmark import spec_of
from kemb.encoding.lengths import TRUNCATED
from kemb.models import catalogue
from kemb.models.facts import ModelFacts
from kemb.models.prompts import build_prompts, declares_prompts, resolve
from kemb.publishing import tables, words
from kemb.publishing.costs import CUT, cost_of, is_cut
from kemb.publishing.site.figures import group_name
from kemb.publishing.site.schema import Card, CostData, LengthData, ModelData, Named
from kemb.publishing.site.views import BoardView, SiteView
from kemb.publishing.site.words import KINDS, LICENSES, Lang, group_title
from kemb.publishing.tables import source_marks
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


def _say(text: Named, lang: Lang) -> str:
    return text.ko if lang == "ko" else text.en


def model_facts(model: ModelData, facts: ModelFacts, lang: Lang) -> Facts:
    """Size, limits, licence of a model; what nobody says is left out."""
    ko = lang == "ko"
    index = (
        f"{model.dim * 4e6 / 1e9:.1f} GB (int8 {model.dim * 1e6 / 1e9:.1f}, binary "
        f"{model.dim * 1e6 / 8e9:.2f})"
        if model.dim
        else ""
    )
    speed = f"{model.texts_per_second:,.0f} ({model.hardware})" if model.texts_per_second else ""
    licence = (
        f"{model.license or '?'} ({_say(LICENSES[model.license_class], lang)})"
        if model.license_class
        else model.license
    )
    pairs = [
        ("종류" if ko else "Kind", _say(KINDS[model.kind], lang) if model.kind else ""),
        (
            "파라미터" if ko else "Parameters",
            f"{model.n_parameters:,}" if model.n_parameters else "",
        ),
        ("차원" if ko else "Dimension", f"{model.dim:,}" if model.dim else ""),
        ("줄인 차원" if ko else "Truncated dimensions", ", ".join(map(str, model.truncate_dims))),
        ("최대 토큰" if ko else "Max tokens", f"{model.max_tokens:,}" if model.max_tokens else ""),
        ("라이선스" if ko else "Licence", licence),
        ("바탕 모델" if ko else "Base model", facts.base_model),
        ("공개일" if ko else "Released", model.released),
        ("벡터 100만 개" if ko else "Million vectors", index),
        ("초당 문장" if ko else "Texts per second", speed),
    ]
    return [(name, value) for name, value in pairs if value]


def model_prompts(name: str, site: SiteView, lang: Lang) -> list[tuple[str, str, str]]:
    """What goes before the texts of each type of task: (type, role, prompt); empty where nobody
    says.

    The declared prompts of a known model, else those recorded with its measured results.
    """
    spec = catalogue.load_spec(name)
    if spec is not None and declares_prompts(spec):
        table = build_prompts(spec, None, None, tasks.names())
        return [
            (_say(group_title(kind), lang), role, resolve(table, "", kind, "", role).prompt)
            for kind in _PROMPTED
            for role in roles(kind)
        ]
    found: dict[tuple[str, str, str], None] = {}
    for view in site.boards:
        for row in view.board.rows:
            for task, result in row.results.items() if row.model == name else ():
                for role, prompt in result.kemb.get("prompts", {}).items():
                    found[task, role, prompt["prompt"]] = None
    return list(found)


def task_facts(task: str, n_items: int | None, lang: Lang) -> tuple[str, str, Facts]:
    """What a task measures, a link, and its facts; little is known of a task of one's own."""
    spec = spec_of(task)
    ko = lang == "ko"
    items = ("문항" if ko else "Items", f"{n_items:,}" if n_items else "")
    if spec is None:
        return "", "", [pair for pair in [items] if pair[1]]
    revision = spec.source.revision
    pairs = [
        ("종류" if ko else "Type", _say(group_title(spec.type), lang)),
        ("대표 지표" if ko else "Main metric", spec.main_metric),
        items,
        ("언어" if ko else "Languages", ", ".join(spec.languages)),
        ("라이선스" if ko else "Licence", spec.license),
        ("자료" if ko else "Data", spec.source.hub or ""),
        (
            "리비전" if ko else "Revision",
            "main (고정되지 않음)" if revision == "main" and ko else revision[:12],
        ),
        ("나눔" if ko else "Splits", ", ".join(spec.splits)),
    ]
    link = spec.reference if spec.reference.startswith("https://") else ""
    return (
        " ".join(spec.description.split()),
        link,
        [(name, value) for name, value in pairs if value],
    )


def card_details(card: Card, lang: Lang) -> Facts:
    """What is recorded behind a number and does not stand in the table already."""
    ko = lang == "ko"
    prompts = (
        "" if card.prompts is None else "; ".join(f"{p.role}: {p.prompt!r}" for p in card.prompts)
    )
    seconds = " + ".join(
        f"{value:.1f} s {what}"
        for value, what in ((card.encode_seconds, "encode"), (card.score_seconds, "score"))
        if value is not None
    )
    if card.from_store:
        seconds += " (벡터는 저장소에 있었음)" if ko else " (vectors were stored)"
    pairs = [
        ("모델 리비전" if ko else "Model revision", card.model_revision),
        ("자료 리비전" if ko else "Data revision", card.dataset_revision),
        ("자료 해시" if ko else "Data hash", ", ".join(card.data_sha256)),
        ("프롬프트" if ko else "Prompts", prompts),
        ("최대 토큰" if ko else "Max tokens", str(card.max_tokens or "")),
        (
            "잘린 텍스트" if ko else "Truncated texts",
            "; ".join(length_text(own, lang) for own in card.lengths),
        ),
        ("자료형" if ko else "Dtype", card.dtype),
        ("유사도" if ko else "Similarity", card.similarity),
        (
            "버전" if ko else "Versions",
            ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        ),
        ("장비" if ko else "Hardware", card.hardware),
        ("시간" if ko else "Seconds", seconds),
        ("날짜" if ko else "Date", card.date),
        ("명령" if ko else "Command", card.command),
        ("주소" if ko else "URL", card.url),
        ("커밋" if ko else "Commit", card.commit),
        (
            "다른 곳의 값" if ko else "Elsewhere",
            "; ".join(
                f"{o.source} {o.value * 100:.2f} ({(o.value - card.value) * 100:+.2f})"
                for o in card.others
            ),
        ),
    ]
    return [(name, value) for name, value in pairs if value]


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
    longest = (
        f"가장 긴 것 {own.longest:,}토큰" if lang == "ko" else f"longest {own.longest:,} tokens"
    )
    return f"{own.column} {cut} / {own.n_texts:,} ({longest})"


def _columns(lang: Lang) -> list[CostColumn]:
    def column(
        key: str,
        title: tuple[str, str],
        about: tuple[str, str],
        text: Callable[[CostData], str],
        on_board: bool = True,
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
        column(
            "rate",
            ("초당 토큰", "Tokens/s"),
            ("", ""),
            lambda cost: tables.whole(cost.tokens_per_second),
            False,
        ),
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


def board_notes(board: Board, lang: Lang) -> list[str]:
    """Formula, intervals, influence, missing policy, sources; not the notes on data, which are
    `board.notes`.
    """
    marks = source_marks(board.rows)
    if lang == "en":
        own = words.footer(board, marks)
        return [*own[: len(own) - len(board.notes)], _MISSING_EN]
    return [
        formula_text(board, "ko"),
        intervals_text(board, "ko"),
        *_influence(board),
        _MISSING_KO,
        *_sources(board),
        *_costs(board),
    ]


def _costs(board: Board) -> list[str]:
    """As `words.cost_notes`."""
    own = [row for row in board.rows if row.claim is None]
    costs = [cost_of(row) for row in own]
    notes = []
    if any(is_cut(result.kemb) for row in own for result in row.results.values()):
        notes.append(
            f"{CUT} 질의나 문서, 텍스트의 {TRUNCATED:.0%}를 넘게 모델이 읽는 길이보다 길어 뒤가 "
            "잘렸습니다."
        )
    if any(cost.tokens_per_1000_korean for cost in costs):
        notes.append("한국어 토큰: 과제의 한국어 텍스트 1,000자당 토큰 수.")
    if places := sorted({cost.hardware for cost in costs if cost.texts_per_second}):
        notes.append(
            f"인코딩 속도를 잰 장비: {'; '.join(places)}. '저장소'는 벡터가 이미 있어 재지 않은 "
            "행입니다."
        )
    if prices := sorted({cost.price for cost in costs if cost.price}):
        notes.append(f"API 달러: API가 센 토큰에 낸 돈. 값: {'; '.join(prices)}.")
    return notes


_MISSING_KO = (
    "빠진 점수는 채우지 않습니다. 과제가 하나라도 빠진 모델은 평균도 순위도 없이 선 아래에 두고, "
    "함께 가진 과제로만 비교합니다."
)


_MISSING_EN = (
    "Nothing is imputed: a model without all tasks has no mean and no rank; it stands "
    "below the line."
)


def formula_text(board: Board, lang: Lang) -> str:
    """How the score is made of the cells."""
    if lang == "en":
        return words.formula_text(board)
    formula, groups = board.formula, board.groups
    by = f" (지표 {formula.metric})" if formula.metric else ""
    if len(board.cells) == 1:
        return f"점수: {board.cells[0].title}{by}."
    if formula.weights == "cells":
        return f"점수: 과제 {len(board.cells)}개의 단순 평균{by}."
    names = [group_name(name, "ko") for name in groups]
    if formula.weights == "groups":
        return f"점수: 분야 {len(groups)}개({', '.join(names)}) 평균의 평균{by}."
    weights = {
        name: Fraction(weight) for name, weight in formula.weights.items() if Fraction(weight)
    }
    total = sum(weights.values(), Fraction(0))
    note = "" if total == 1 else f" 가중치의 합은 1이 아니라 {total}이며, 발표된 그대로입니다."
    parts = " + ".join(f"{weight} {group_name(name, 'ko')}" for name, weight in weights.items())
    return f"점수: {parts} (분야 평균의 가중합){by}.{note}"


def intervals_text(board: Board, lang: Lang) -> str:
    """What was resampled, and what the intervals cover."""
    if lang == "en":
        return words.intervals_text(board)
    found = board.intervals
    if not board.complete:
        return "구간 없음: 모든 과제의 점수가 있는 모델이 없습니다."
    if found.mode == "none":
        return "구간 없음: 문항별 점수가 없고, 다시 뽑을 만큼 과제가 많지도 않습니다."
    what = {
        "items": "같은 과제의 문항을 모든 모델에 똑같이 다시 뽑아, 다른 문항이 나왔다면 얼마나 "
        "달라졌을지를 보았습니다",
        "tasks": "분야 안에서 과제를 다시 뽑아, 같은 종류의 다른 과제였다면 얼마나 달라졌을지를 "
        "보았습니다",
    }[found.mode]
    family = (
        f"순위 구간은 순위 있는 {len(board.complete)}개 모델의 모든 쌍에 함께 "
        "성립합니다(max-|t|, 단계적)"
    )
    return f"구간: {found.level:.0%}, {found.n_replicates:,}번 {what}. {family}."


def mode_text(board: Board, lang: Lang) -> str:
    """The kind of interval in a few words."""
    ko, en = {
        "items": ("구간: 문항 재표집", "intervals over items"),
        "tasks": ("구간: 과제 재표집", "intervals over tasks"),
        "none": ("구간 없음", "no intervals"),
    }[board.intervals.mode]
    return ko if lang == "ko" else en


def _influence(board: Board) -> list[str]:
    if len(board.effective_weights) < 2:
        return []
    shares = sorted(board.effective_weights.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{group_name(name, 'ko')} {share:.0%}" for name, share in shares)
    return [f"순서에 미친 영향(가중치 x 흩어짐): {parts}."]


def _sources(board: Board) -> list[str]:
    claims = {row.claim.source: row.claim for row in board.rows if row.claim}
    notes = []
    for source, mark in source_marks(board.rows).items():
        claim = claims[source]
        where = ", ".join(
            filter(None, [claim.url, f"커밋 {claim.commit[:12]}" if claim.commit else ""])
        )
        who = f"{mark} {source}{f' ({where})' if where else ''}"
        notes.append(
            f"{who}의 발표값. 직접 재지 않았고, 프롬프트와 최대 토큰은 기록되어 있지 않습니다."
        )
    return notes
