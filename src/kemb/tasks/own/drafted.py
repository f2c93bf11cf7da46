"""Drafted questions: what share of them a person has decided on.

Decisions lie in `review/<reviewer>.jsonl`, one JSON object a line, appended and never changed. The
last line of a reviewer on a question is his decision; `none` takes it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kemb.files import disk

QUESTIONS = "queries.jsonl"
REVIEWS = "review"
NO_DECISION = "none"


def seen_share(folder: Path) -> float:
    """The share of a drafted folder's questions that at least one person has decided on.

    :param folder: of a drafted test set.
    :return: between 0 and 1; 0 without any question or decision.
    """
    ids = {str(record.get("_id", "")) for record in records(folder / QUESTIONS)}
    decided_ids: set[str] = set()
    for path in sorted((folder / REVIEWS).glob("*.jsonl")):
        decisions = {
            str(record.get("query", "")): record.get("decision") for record in records(path)
        }
        decided_ids |= {query for query, decision in decisions.items() if decision != NO_DECISION}
    return len(ids & decided_ids) / len(ids) if ids else 0.0


def records(path: Path) -> Iterator[dict[str, object]]:
    """The objects of a JSONL file, those lines that are whole; nothing where there is no file.

    A line that a killed process left half written is no decision.
    """
    try:
        content = disk.read_bytes(path, disk.MOST_JSON_BYTES)
    except (OSError, ValueError):
        return
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
