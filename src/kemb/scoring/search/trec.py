"""Run files in TREC's format: `query Q0 document rank score tag`, one line per retrieved document."""

from __future__ import annotations

import math
from pathlib import Path

from kemb.errors import DataError, UsageError

Scores = dict[str, dict[str, float]]


def read_run(path: Path) -> Scores:
    """Scores by query id and document id. Only they count, as in trec_eval: the rank is not looked at.

    Raises:
        UsageError: there is no such file.
        DataError: a line that is no line of a run, with its number.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise UsageError(f"The run {path} cannot be read: {error.strerror or error}. Give a TREC run file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"The run {path} is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    scores: Scores = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 6:
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns, expected the 6 of a TREC run (query Q0 document rank "
                f"score tag): {line.strip()[:80]!r}. Ids must not contain spaces."
            )
        query, _, document, _, text, _ = fields
        score = _number(text)
        if score is None:
            raise DataError(f"{path}, line {number}: the score {text[:40]!r} in column 5 is not a finite number.")
        if document in scores.setdefault(query, {}):
            raise DataError(f"{path}, line {number}: document {document!r} stands twice in the run of query {query!r}.")
        scores[query][document] = score
    if not scores:
        raise DataError(f"The run {path} is empty; expected lines of `query Q0 document rank score tag`.")
    return scores


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
