"""Words of the site in Korean and English. Data (names, prompts, notes on data) are shown as they
are.
"""

from __future__ import annotations

from typing import Literal

from kemb.models.families import KINDS as MODEL_KINDS
from kemb.publishing.site.schema import Named
from kemb.tasks.kinds import KINDS as TASK_KINDS

Lang = Literal["ko", "en"]
LANGS: tuple[Lang, ...] = ("ko", "en")

GROUPS = {
    "encyclopedia": Named(ko="백과", en="Encyclopedia"),
    "general": Named(ko="일반", en="General"),
    "documents": Named(ko="문서", en="Documents"),
    "law": Named(ko="법률", en="Law"),
    "health": Named(ko="보건·의료", en="Health"),
    "Clustering": Named(ko="군집화", en="Clustering"),
    "Retrieval": Named(ko="검색", en="Retrieval"),
    "STS": Named(ko="STS", en="STS"),
    "NLI": Named(ko="NLI", en="NLI"),
}

KINDS = {name: Named(ko=kind.title_ko, en=kind.title_en) for name, kind in MODEL_KINDS.items()}

LICENSES = {
    "commercial": Named(ko="상업 이용 가능", en="commercial use"),
    "conditional": Named(ko="조건부", en="conditional"),
    "noncommercial": Named(ko="비상업", en="non-commercial"),
    "closed": Named(ko="API 전용", en="API only"),
    "": Named(ko="알 수 없음", en="unknown"),
}

VIEWS = {
    "mean_task": Named(ko="과제 평균", en="mean of tasks"),
    "mean_group": Named(ko="분야 평균", en="mean of groups"),
    "borda": Named(ko="보르다", en="Borda"),
    "standardised": Named(ko="표준화 평균", en="standardised"),
}


def group_title(key: str) -> Named:
    """The title of a group, which may be a task type; its own name where it has no other."""
    if key in TASK_KINDS:
        return Named(ko=TASK_KINDS[key].title_ko, en=TASK_KINDS[key].title_en)
    return GROUPS.get(key, Named(ko=key, en=key))
