"""Titles of groups of tasks and of kinds of models, in Korean and English."""

from __future__ import annotations

from kemb.models.families import KINDS as MODEL_KINDS
from kemb.publishing.site.schema import Named
from kemb.tasks.kinds import KINDS as TASK_KINDS

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


def group_title(key: str) -> Named:
    """The title of a group, which may be a task type; its own name where it has no other."""
    if key in TASK_KINDS:
        return Named(ko=TASK_KINDS[key].title_ko, en=TASK_KINDS[key].title_en)
    return GROUPS.get(key, Named(ko=key, en=key))
