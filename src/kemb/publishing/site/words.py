"""Titles of groups of tasks and of kinds of models, in Korean and English."""

from __future__ import annotations

from kemb.publishing.site.schema import Named

GROUPS = {
    "classification": Named(ko="분류", en="Classification"),
    "multilabel_classification": Named(ko="다중 레이블 분류", en="Multilabel classification"),
    "clustering": Named(ko="군집화", en="Clustering"),
    "pair_classification": Named(ko="문장쌍 분류", en="Pair classification"),
    "reranking": Named(ko="재순위", en="Reranking"),
    "retrieval": Named(ko="검색", en="Retrieval"),
    "sts": Named(ko="문장 유사도", en="STS"),
    "summarization": Named(ko="요약", en="Summarization"),
    "bitext_mining": Named(ko="대역문 찾기", en="Bitext mining"),
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

KINDS = {
    "dense": Named(ko="밀집(dense)", en="dense"),
    "sparse": Named(ko="희소(sparse)", en="sparse"),
    "lexical": Named(ko="어휘(BM25 등)", en="lexical"),
    "late-interaction": Named(ko="다중 벡터", en="late interaction"),
    "cross-encoder": Named(ko="리랭커", en="reranker"),
    "hybrid": Named(ko="혼합", en="hybrid"),
    "": Named(ko="알 수 없음", en="unknown"),
}


def group_title(key: str) -> Named:
    """The title of a group; its own name where it has no other."""
    return GROUPS.get(key, Named(ko=key, en=key))
