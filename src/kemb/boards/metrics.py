"""The names of the metrics that a task of each type can have: what an expression may be made of."""

from __future__ import annotations

from kemb.types import TaskType

CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
MAIN_SCORE = "main_score"

_RANKED = ("ndcg", "map", "mrr", "recall", "precision", "hit_rate", "accuracy", "f1")
_SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
_RANKING = {"accuracy", *(f"{name}@{k}" for name in _RANKED for k in CUTOFFS)}
_MERGED = {f"max_over_subqueries_{name}" for name in _RANKING}
_CORRELATIONS = {"mean_correlation", "pearson", "spearman"} | {
    f"{similarity}_{kind}" for similarity in _SIMILARITIES for kind in ("pearson", "spearman")
}
_SEPARATION = {
    f"{similarity}_{name}"
    for similarity in (*_SIMILARITIES, "similarity", "max")
    for name in ("ap", "accuracy", "f1", "precision", "recall")
}
_LABELS = {"accuracy", "ap", "ap_weighted"} | {
    f"{name}{suffix}" for name in ("f1", "precision", "recall") for suffix in ("", "_weighted")
}

BY_TYPE: dict[TaskType, frozenset[str]] = {
    "retrieval": frozenset(_RANKING),
    "reranking": frozenset(_RANKING | _MERGED),
    "sts": frozenset(_CORRELATIONS),
    "summarization": frozenset(_CORRELATIONS),
    "pair_classification": frozenset(_SEPARATION),
    "classification": frozenset(_LABELS),
    "multilabel_classification": frozenset({"accuracy", "f1", "hamming", "lrap"}),
    "clustering": frozenset({"v_measure", "v_measure_std", "ami", "ami_std"}),
    "bitext_mining": frozenset({"accuracy", "f1", "precision", "recall"}),
}
"""What `kemb.scoring` gives, and, for types it does not score, mteb."""


def known_metrics(task_type: TaskType | None) -> frozenset[str]:
    """All metric names of a task type, `main_score` among them; of every type where the type is not known."""
    names = BY_TYPE[task_type] if task_type else frozenset().union(*BY_TYPE.values())
    return names | {MAIN_SCORE}
