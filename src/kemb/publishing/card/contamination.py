"""CONTAMINATION.md and contamination.json: what stands in the training data, and scores without it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from kemb.publishing.markdown import escape
from kemb.training.clean import CleanScore
from kemb.training.contamination import LEVELS, ContaminationReport, PartReport


def write(folder: Path, report: ContaminationReport, scores: Mapping[str, Sequence[CleanScore]] | None = None) -> None:
    """Write both files.

    :param scores: by row (the base, the tuned model).
    """
    scores = scores or {}
    record = report.to_json() | {
        "scores": {row: [asdict(score) for score in own] for row, own in scores.items()},
    }
    _write(folder / "contamination.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    _write(folder / "CONTAMINATION.md", markdown(report, scores))


def markdown(report: ContaminationReport, scores: Mapping[str, Sequence[CleanScore]]) -> str:
    """CONTAMINATION.md, for readers of a model card."""
    lines = [
        "# Contamination",
        "",
        f"{report.n_rows:,} training rows were compared with the texts of the evaluations below; "
        f"{report.n_dropped:,} were dropped{_reasons(report)}.",
        "",
        "Texts are compared by NFKC, lower case, letters and digits only. "
        f"*Near*: Jaccard similarity of {report.shingle}-character shingles of at least {report.jaccard:g}. "
        f"*Passage*: {report.ngram_chars} characters in common. *Pair*: both texts of a row stand together in an "
        "evaluation item. *Left*: items of which a text stands in the rows that were trained on.",
        "",
        "| task | split | items | exact | near | passage | pair | touched | left |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *(_line(part) for part in report.parts if part.n_touched or not part.hashed),
    ]
    hashed = [part for part in report.parts if part.hashed]
    if hashed:
        touched = sum(part.n_touched > 0 for part in hashed)
        lines += [
            "",
            f"{len(hashed)} parts of tasks were compared by hashes only (†), of which {touched} were touched; near and "
            "passage are estimates there, which may miss some.",
        ]
    if report.lineage:
        lines += ["", "## Lineage", "", "| source or model | tasks | why | reference |", "|---|---|---|---|"]
        lines += [
            f"| {' | '.join(map(escape, (note.subject, ', '.join(note.tasks), note.why, note.reference)))} |"
            for note in report.lineage
        ]
    if any(scores.values()):
        lines += ["", "## Scores on all and on clean items", ""]
        lines += ["| model | task | metric | all | items | clean | items |", "|---|---|---|--:|--:|--:|--:|"]
        lines += [
            f"| {escape(row)} | {escape(s.task)} ({escape(s.split)}) | {escape(s.metric)} | {s.full * 100:.2f} | "
            f"{s.n_items:,} | {s.clean * 100:.2f} | {s.n_clean:,} |"
            for row, own in scores.items()
            for s in own
        ]
    return "\n".join(lines) + "\n"


def _line(part: PartReport) -> str:
    name = f"{escape(part.task)}{' †' if part.hashed else ''}"
    levels = " | ".join(f"{part.items[level]:,}" for level in LEVELS)
    split = part.split if part.subset in ("", "default") else f"{part.split}, {part.subset}"
    return f"| {name} | {escape(split)} | {part.n_items:,} | {levels} | {part.n_touched:,} | {part.n_remaining:,} |"


def _reasons(report: ContaminationReport) -> str:
    counts = {reason: sum(by_source.values()) for reason, by_source in report.dropped.items()}
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in counts.items())})" if counts else ""


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
