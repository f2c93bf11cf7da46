"""What a page says about its board in words, in Korean and English: formula, intervals, influence, sources."""

from __future__ import annotations

from fractions import Fraction

from kemb.boards import Board
from kemb.encoding.lengths import TRUNCATED
from kemb.publishing import words
from kemb.publishing.costs import CUT, cost_of, is_cut
from kemb.publishing.site.figures import group_name
from kemb.publishing.site.words import Lang
from kemb.publishing.tables import source_marks


def board_notes(board: Board, lang: Lang) -> list[str]:
    """Formula, intervals, influence, missing policy, sources; not the notes on data, which are `board.notes`."""
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
        notes.append(f"{CUT} 질의나 문서, 텍스트의 {TRUNCATED:.0%}를 넘게 모델이 읽는 길이보다 길어 뒤가 잘렸습니다.")
    if any(cost.tokens_per_1000_korean for cost in costs):
        notes.append("한국어 토큰: 과제의 한국어 텍스트 1,000자당 토큰 수.")
    if places := sorted({cost.hardware for cost in costs if cost.texts_per_second}):
        notes.append(f"인코딩 속도를 잰 장비: {'; '.join(places)}. '저장소'는 벡터가 이미 있어 재지 않은 행입니다.")
    if prices := sorted({cost.price for cost in costs if cost.price}):
        notes.append(f"API 달러: API가 센 토큰에 낸 돈. 값: {'; '.join(prices)}.")
    return notes


_MISSING_KO = (
    "빠진 점수는 채우지 않습니다. 과제가 하나라도 빠진 모델은 평균도 순위도 없이 선 아래에 두고, 함께 가진 과제로만 "
    "비교합니다."
)
_MISSING_EN = "Nothing is imputed: a model without all tasks has no mean and no rank; it stands below the line."


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
    weights = {name: Fraction(weight) for name, weight in formula.weights.items() if Fraction(weight)}
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
        "items": "같은 과제의 문항을 모든 모델에 똑같이 다시 뽑아, 다른 문항이 나왔다면 얼마나 달라졌을지를 보았습니다",
        "tasks": "분야 안에서 과제를 다시 뽑아, 같은 종류의 다른 과제였다면 얼마나 달라졌을지를 보았습니다",
    }[found.mode]
    family = f"순위 구간은 순위 있는 {len(board.complete)}개 모델의 모든 쌍에 함께 성립합니다(max-|t|, 단계적)"
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
        where = ", ".join(filter(None, [claim.url, f"커밋 {claim.commit[:12]}" if claim.commit else ""]))
        who = f"{mark} {source}{f' ({where})' if where else ''}"
        notes.append(f"{who}의 발표값. 직접 재지 않았고, 프롬프트와 최대 토큰은 기록되어 있지 않습니다.")
    return notes
