"""Which results of a task may be ranked together, and what readers must know about those that are
(docs/architecture.md, "Comparable or not").
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kemb.boards.benchmark import Comparable
from kemb.messages import Note, Text, Title, note, say
from kemb.models import catalogue
from kemb.results.claims import FOLDER
from kemb.results.files import TaskResult
from kemb.results.rows import ResultRow

UNSTATED = ("", "unknown")
"""Data revisions of results whose source does not say which one it used."""
_N_NAMED = 3
_N_TASKS = 4
"""Of more tasks a board does not speak one by one."""
REVISION = "comparable.revision"
"""The key of the reason that a result is of another data revision."""
_SHORT = "n_short_queries"
"""Among the notes of a score: `kemb.types.Run.n_short_queries`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A result that is not ranked with the others of its task."""

    row: int
    task: str
    reason: Note


def refuse(
    rows: Sequence[ResultRow],
    tasks: Sequence[str],
    rule: Comparable,
    complete_rows: Collection[int],
) -> list[Refused]:
    """The results that must not be ranked with the others.

    Of each task the largest group of results with the same data and metric is the standard: the
    largest among complete rows (those that have every cell, whatever its data), of equal ones that
    with the row that leads them all (measured, then imported, then shipped; newest first), so that
    one row stays whole; else the largest among all, the newest among equals. A result that does not
    say which data revision it used, as published tables never do, is not refused for it.

    :param complete_rows: numbers of the rows whose vote goes first.
    """
    refusals = [
        refusal for number, row in enumerate(rows) for refusal in _other_profile(number, row)
    ]
    in_order = sorted(complete_rows, key=lambda number: (_precedence(rows[number]), -number))
    lead = {number: place for place, number in enumerate(in_order, start=1)}
    for task in tasks:
        refused_rows = {refusal.row for refusal in refusals if refusal.task == task}
        results_by_row = {
            n: row.results[task]
            for n, row in enumerate(rows)
            if task in row.results and n not in refused_rows
        }
        if rule.dataset_revision:
            stated = {
                n: result
                for n, result in results_by_row.items()
                if result.dataset_revision not in UNSTATED
            }
            refusals += _minority(
                task, stated, lead, lambda result: result.dataset_revision, _revision_reason
            )
            refused_rows = {refusal.row for refusal in refusals if refusal.task == task}
            results_by_row = {n: results_by_row[n] for n in results_by_row.keys() - refused_rows}
        if rule.data:
            measured = {
                n: result for n, result in results_by_row.items() if result.kemb is not None
            }
            refusals += _minority(task, measured, lead, _data_key, _data_reason)
    return refusals


def _minority(
    task: str,
    results: Mapping[int, TaskResult],
    lead: Mapping[int, int],
    key_of: Callable[[TaskResult], str],
    reason: Callable[[TaskResult, TaskResult], Note],
) -> list[Refused]:
    keys = {number: key_of(result) for number, result in results.items()}
    if len(set(keys.values())) < 2:
        return []
    all_votes, first_votes = Counter(keys.values()), Counter(keys[n] for n in keys if n in lead)
    newest: dict[str, int] = {}
    first: dict[str, int] = {}
    for number, key in keys.items():
        first[key] = max(first.get(key, 0), lead.get(number, 0))
        newest[key] = max(newest.get(key, 0), _timestamp(results[number]))
    standard = max(
        all_votes, key=lambda key: (first_votes[key], first[key], all_votes[key], newest[key], key)
    )
    example = results[min(number for number, key in keys.items() if key == standard)]
    return [
        Refused(number, task, reason(results[number], example))
        for number, key in sorted(keys.items())
        if key != standard
    ]


def _precedence(row: ResultRow) -> tuple[bool, bool, int, str]:
    """Measured rows, then imports of one's own, then what comes with kemb; the newest record or
    reading first.
    """
    results = list(row.results.values())
    shipped = any(FOLDER in result.path.parents for result in results)
    newest_record = max(map(_timestamp, results), default=0)
    newest_reading = max((result.claim.retrieved for result in results if result.claim), default="")
    return not row.source, not shipped, newest_record, newest_reading


def _timestamp(result: TaskResult) -> int:
    return result.kemb.timestamp if result.kemb else 0


def _revision_reason(result: TaskResult, standard: TaskResult) -> Note:
    revision, ranked = result.dataset_revision[:12], standard.dataset_revision[:12]
    return note(REVISION, revision=revision, ranked=ranked)


_DATA_FIELDS = ("data_sha256", "main_metric", "metric_version", "dedupe_pairs", "clustering")


def _protocol(result: TaskResult) -> dict[str, Any]:
    """The data and the metric of a measured result."""
    task = result.record.task
    return {field: getattr(task, field) for field in _DATA_FIELDS}


def _data_key(result: TaskResult) -> str:
    return json.dumps(list(_protocol(result).values()), sort_keys=True)


def _data_reason(result: TaskResult, standard: TaskResult) -> Note:
    task, ranked = result.record.task, standard.record.task
    protocol, ranked_protocol = _protocol(result), _protocol(standard)
    differing = [field for field in _DATA_FIELDS if protocol[field] != ranked_protocol[field]]
    reasons = {
        "data_sha256": note("comparable.other_data"),
        "main_metric": note(
            "comparable.main_metric", metric=task.main_metric, ranked=ranked.main_metric
        ),
        "metric_version": note(
            "comparable.metric_version",
            version=str(task.metric_version),
            ranked=str(ranked.metric_version),
        ),
        "dedupe_pairs": note(
            "comparable.pairs_dropped" if task.dedupe_pairs else "comparable.pairs_kept"
        ),
        "clustering": note("comparable.clustering"),
    }
    return _joined([reasons[field] for field in differing])


def _joined(reasons: Sequence[Note]) -> Note:
    return reasons[0] if len(reasons) == 1 else note("comparable.several", reasons=tuple(reasons))


_PROFILE = {
    "dtype": Title(ko="수 형식(dtype)", en="dtype"),
    "max_tokens": Title(ko="최대 토큰", en="max tokens"),
    "pooling": Title(ko="풀링", en="pooling"),
    "similarity": Title(ko="유사도", en="similarity"),
    "probe": Title(ko="시험 글의 결과(probe)", en="probe"),
}
"""What all results of a row have in common, and its name."""


def _other_profile(number: int, row: ResultRow) -> list[Refused]:
    """Results made with another profile than the row stands for: the declared one, or that of its
    other results.
    """
    profiles = {
        task: result.kemb.model for task, result in row.results.items() if result.kemb is not None
    }
    if not profiles:
        return []
    keys = {
        task: (
            *(getattr(profile, field) for field in _PROFILE if field != "probe"),
            ", ".join(door.probe or "" for door in row.results[task].record.doors) or None,
        )
        for task, profile in profiles.items()
    }
    counts = Counter(keys.values())
    usual = max(counts, key=lambda key: (counts[key], str(key)))
    spec = None if row.variant else catalogue.load_spec(row.model)
    declared = spec.max_tokens if spec else None
    refusals = []
    for task, key in keys.items():
        max_tokens = profiles[task].max_tokens
        prompts = row.results[task].record.prompts.values()
        if key != usual:
            differing = [
                i for i, (value, most) in enumerate(zip(key, usual, strict=True)) if value != most
            ]
            titles = list(_PROFILE.values())
            reasons = [
                note("comparable.profile", field=titles[i], value=str(key[i]), usual=str(usual[i]))
                for i in differing
            ]
            refusals.append(Refused(number, task, _joined(reasons)))
        elif declared and max_tokens and max_tokens != declared:
            reason = note(
                "comparable.max_tokens", max_tokens=str(max_tokens), declared=str(declared)
            )
            refusals.append(Refused(number, task, reason))
        elif not row.variant and any(prompt.source == "file" for prompt in prompts):
            refusals.append(Refused(number, task, note("comparable.prompts_of_file")))
    return refusals


def refusal_notes(rows: Sequence[ResultRow], refusals: Sequence[Refused]) -> list[Note]:
    """One sentence for each task and reason, naming some rows; one for all where rows use other
    data in many tasks.
    """
    by_reason: dict[tuple[str, Note], list[str]] = {}
    for refusal in refusals:
        by_reason.setdefault((refusal.task, refusal.reason), []).append(rows[refusal.row].name)
    of_data: dict[tuple[str, ...], list[str]] = {}
    in_order = sorted(by_reason.items(), key=lambda item: (item[0][0], say(item[0][1], "en")))
    for (task, reason), names in in_order:
        if reason.key == REVISION:
            of_data.setdefault(tuple(names), []).append(task)
    notes = []
    for row_names, tasks in of_data.items():
        if len(tasks) > _N_TASKS:
            notes.append(
                note(
                    "comparable.not_ranked_tasks",
                    tasks=tasks[:_N_NAMED],
                    n_tasks=len(tasks) - _N_NAMED,
                    rows=_some(row_names),
                )
            )
    for (task, reason), names in in_order:
        if reason.key != REVISION or len(of_data[tuple(names)]) <= _N_TASKS:
            notes.append(note("comparable.not_ranked", task=task, rows=_some(names), reason=reason))
    return notes


def _some(names: Sequence[str]) -> Text:
    if len(names) <= _N_NAMED:
        return ", ".join(names)
    return note("comparable.some_rows", n_rows=len(names), row=names[0])


def data_notes(rows: Sequence[ResultRow], tasks: Sequence[str]) -> list[Note]:
    """What must be known of the data of results that are ranked together."""
    notes = []
    unstated: set[str] = set()
    mixed: dict[str, list[Note]] = {}
    for task in tasks:
        results_by_row = {n: row.results[task] for n, row in enumerate(rows) if task in row.results}
        records = [
            result.kemb.task for result in results_by_row.values() if result.kemb is not None
        ]
        if parts := next(
            (record.train_is_evaluated for record in records if record.train_is_evaluated), None
        ):
            notes.append(note("comparable.few_shot", task=task, parts=parts))
        if any(record.unpinned for record in records):
            notes.append(note("comparable.unpinned", task=task))
        notes += [
            note("comparable.mixed_devices", task=task, row=rows[n].name, devices=devices)
            for n, result in results_by_row.items()
            if (devices := _mixed_devices(result))
        ]
        counts = Counter(
            r.dataset_revision
            for r in results_by_row.values()
            if r.dataset_revision not in UNSTATED
        )
        if len(counts) > 1:
            mixed[task] = [
                note("comparable.rows_of_revision", revision=revision[:12], n_rows=n)
                for revision, n in counts.most_common()
            ]
        unstated |= {
            rows[n].name
            for n, result in results_by_row.items()
            if result.dataset_revision in UNSTATED
        }
    if len(mixed) > _N_TASKS:
        some_tasks, n_others = list(mixed)[:_N_NAMED], len(mixed) - _N_NAMED
        notes.append(note("comparable.mixed_tasks", tasks=some_tasks, n_tasks=n_others))
    else:
        notes += [
            note("comparable.mixed", task=task, revisions=revisions)
            for task, revisions in mixed.items()
        ]
    if unstated:
        notes.append(note("comparable.unstated", rows=_some(sorted(unstated))))
    return notes


def _mixed_devices(result: TaskResult) -> list[str]:
    """Devices, beside the first, that vectors behind a result were computed on."""
    hardware = result.kemb.hardware if result.kemb is not None else None
    return (hardware.mixed_devices or []) if hardware is not None else []


def candidate_notes(rows: Sequence[ResultRow], tasks: Sequence[str]) -> list[Note]:
    """Of reranked rows the share of relevant documents that their first stage found."""
    notes = []
    for row in rows:
        recalls = []
        for task in (task for task in tasks if task in row.results):
            entries = [
                entry
                for part_entries in row.results[task].scores.values()
                for entry in part_entries
            ]
            shares = [entry["candidate_recall"] for entry in entries if "candidate_recall" in entry]
            if shares:
                recall = fmean(shares) * 100
                recalls.append(note("comparable.recall_of_task", task=task, recall=recall))
        if recalls:
            notes.append(note("comparable.candidates", row=row.name, recalls=recalls))
    return notes


def door_notes(rows: Sequence[ResultRow]) -> list[Note]:
    """Of rows of Python objects: what has no identity, and retrievers that gave too little."""
    notes = []
    for row in rows:
        records = {
            task: result.kemb for task, result in row.results.items() if result.kemb is not None
        }
        if any(door.identity == "none" for record in records.values() for door in record.doors):
            notes.append(note("board.object_without_revision", row=row.name))
        short = {
            task: sum(counts.get(_SHORT, 0) for counts in record.score_notes.values())
            for task, record in records.items()
        }
        tasks = [
            note("board.short_queries_of_task", task=task, n=n) for task, n in short.items() if n
        ]
        if tasks:
            notes.append(note("board.short_queries", row=row.name, tasks=tasks))
    return notes
