"""Records of results for tests: whole ones, of which a test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kemb.results.record import Record

WHOLE: dict[str, Any] = {
    "task": {
        "type": "sts",
        "data_sha256": {"test/default": "s1"},
        "main_metric": "cosine_spearman",
        "metric_version": 1,
        "dedupe_pairs": False,
    },
    "model": {"name": "org/m", "revision": "r1", "variant": "", "similarity": "cosine"},
    "prompts": {},
    "timestamp": 100,
    "date": "1970-01-01T00:01:40+00:00",
    "command": "kemb run",
    "schema": 1,
    "items_sha256": "",
}


def record(**changes: object) -> Record:
    """A record as kemb writes it, but for some keys; those of tables are changed key by key."""
    return changed(Record.model_validate(WHOLE), **changes)


def changed(before: Record | None, **changes: object) -> Record:
    """A record with other values of some keys; those of tables are changed key by key."""
    assert before is not None
    content = before.as_json()
    for key, change in changes.items():
        table = content.get(key)
        is_table = isinstance(table, dict) and isinstance(change, Mapping)
        content[key] = {**table, **change} if is_table else change
    return Record.model_validate(content)
