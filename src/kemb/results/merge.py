"""Results of one task from several commands: a benchmark asks for some subsets, another command for others.

A result file holds all parts that were measured under one profile; a command adds its parts and keeps the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kemb.results.files import TaskResult

PER_PART = ("data_sha256", "notes", "train_is_evaluated")
"""Keys of the record's `task` that speak of single parts, by "<split>/<subset>"."""

Record = Mapping[str, Any]


def same_profile(recorded: Record, wanted: Record) -> bool:
    """Whether two records differ in parts only: metric, revision, model and prompts are the same (DESIGN 3.10)."""
    if any(recorded.get(key) != value for key, value in wanted.items() if key != "task"):
        return False
    own, its = _task(recorded), _task(wanted)
    return all(own.get(key) == its.get(key) for key in (own.keys() | its.keys()) - set(PER_PART))


def holds(recorded: Record, wanted: Record) -> bool:
    """Whether a record has every part that is wanted, of the same data."""
    own, its = _task(recorded), _task(wanted)
    parts = its["data_sha256"]
    if any(own.get("data_sha256", {}).get(part) != sha256 for part, sha256 in parts.items()):
        return False
    return all(_of_parts(own.get(key), parts) == _of_parts(its[key], parts) for key in PER_PART)


def other_parts(result: TaskResult, wanted: Record) -> list[tuple[str, str]]:
    """The (split, subset) of a result that a record does not speak of, and that may stay beside it."""
    if not same_profile(result.kemb, wanted):
        return []
    own = [(split, str(entry["hf_subset"])) for split, entries in result.scores.items() for entry in entries]
    return [part for part in own if "/".join(part) not in _task(wanted)["data_sha256"]]


def merged(record: Record, kept: TaskResult, parts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A record with what an earlier one says of the parts that are kept."""
    names = ["/".join(part) for part in parts]
    old, new = _task(kept.kemb), dict(_task(record))
    for key in PER_PART:
        before, now = _of_parts(old.get(key), names), new[key]
        new[key] = before | now if isinstance(now, Mapping) else [*before, *now]
    lengths = _of_parts(kept.kemb.get("lengths") or {}, names) | dict(record.get("lengths") or {})
    return {**record, "task": new} | ({"lengths": lengths} if lengths else {})


def _task(record: Record) -> Record:
    found: Record = record.get("task", {})
    return found


def _of_parts(value: Any, parts: Any) -> Any:  # noqa: ANN401  a table or a list of parts
    if isinstance(value, Mapping):
        return {part: found for part, found in value.items() if part in parts}
    return [part for part in value or () if part in parts]
