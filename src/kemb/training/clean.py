"""Scores on the items that do not stand in the training data, from the item scores beside a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kemb.errors import ResultError
from kemb.results.files import TaskResult, read_items
from kemb.scoring import recompute


@dataclass(frozen=True, slots=True)
class CleanScore:
    """The main metric of one (split, subset), with and without the items that stand in the training data."""

    task: str
    split: str
    subset: str
    metric: str
    full: float
    clean: float
    n_items: int
    n_clean: int


def clean_scores(result: TaskResult, clean: Mapping[tuple[str, str], Sequence[str]]) -> list[CleanScore]:
    """A result computed again on some of its items, from the scores that lie beside it.

    :param clean: ids of items by (split, subset), as of `contamination.clean_items`.
    :raises ResultError: items are missing, or not those of the result, or none is left.
    """
    items = read_items(result)
    metric = str(result.kemb["task"]["main_metric"])
    found = []
    for (split, subset), ids in clean.items():
        part = recompute.of_part(items, split, subset)
        wanted = set(ids)
        rows = [name in wanted for name in part["item_id"].to_pylist()]
        left = part.filter(rows)
        n_items, n_clean = (len(table["item_id"].unique()) for table in (part, left))
        if n_clean != len(wanted) or not n_clean:
            raise ResultError(
                f"{result.path} has {n_clean:,} of the {len(wanted):,} clean items of {split}/{subset}; a score needs "
                f"all of them, and at least one. Run {result.task} again for {result.model} with --overwrite."
            )
        full, without = (
            _metric(recompute.metrics_from_items(table, result.kemb["task"]["type"]), metric, result)
            for table in (part, left)
        )
        found.append(CleanScore(result.task, split, subset, metric, full, without, n_items, n_clean))
    return found


def _metric(metrics: Mapping[str, float], name: str, result: TaskResult) -> float:
    similarity = str(result.kemb["model"]["similarity"])
    for known in (name, f"{similarity}_{name}", name.replace("similarity", similarity)):
        if known in metrics:
            return metrics[known]
    raise ResultError(f"{result.task}: {name} cannot be computed from its items; they give {', '.join(metrics)}.")
