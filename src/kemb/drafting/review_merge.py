"""What several people decided, put together: their agreement, and where they disagree."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from kemb.drafting.review_session import said_of
from kemb.messages import Lang, Note, note, say
from kemb.statistics.agreement import Agreement, agreement
from kemb.tasks.own.decisions import Conflict, Decision, Decisions, Merged, read_decisions
from kemb.tasks.own.findings import Finding, Findings


@dataclass(frozen=True, slots=True)
class Pairwise:
    """How far two reviewers agree, over what both have decided."""

    one: str
    other: str
    questions: Agreement
    """Kinds of decisions: accept, edit, reject."""
    passages: Agreement
    """Right or wrong."""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The decisions of a folder, of all its reviewers."""

    folder: Path
    decisions: Decisions
    merged: Merged
    agreements: list[Pairwise]
    query_ids: list[str]
    findings: list[Finding]
    """Lines that were read past."""


def merge(folder: Path, query_ids: list[str]) -> MergeReport:
    """Read the decisions of all reviewers of a folder and compare them.

    :param query_ids: all questions of the folder.
    """
    findings = Findings()
    decisions = read_decisions(folder, findings)
    agreements = [
        Pairwise(
            one,
            other,
            _agreement(decisions.questions[one], decisions.questions[other]),
            _agreement(decisions.pairs[one], decisions.pairs[other], lambda pair: pair[0]),
        )
        for one, other in combinations(decisions.reviewers, 2)
    ]
    return MergeReport(folder, decisions, decisions.merged(), agreements, query_ids, findings.kept)


def _agreement(
    one: Mapping[Any, Decision],
    other: Mapping[Any, Decision],
    question_of: Callable[[Any], str] = str,
) -> Agreement:
    """:param question_of: of a key the question; what is said of one is not independent."""
    both = [key for key in one if key in other]
    return agreement(
        [one[key].decision for key in both],
        [other[key].decision for key in both],
        clusters=[question_of(key) for key in both],
    )


def sentences(report: MergeReport) -> list[Note]:
    """The report in sentences: every reviewer, agreements, conflicts, and what comes of it."""
    decisions, merged = report.decisions, report.merged
    notes = [note("review.torn", finding=finding) for finding in report.findings]
    if not decisions.reviewers:
        return [*notes, note("review.merged_nobody", folder=str(report.folder))]
    notes += [_reviewer_note(name, decisions) for name in decisions.reviewers]
    for pairwise in report.agreements:
        notes += _agreement_notes(pairwise)
    if merged.conflicts:
        notes.append(note("review.conflicts", n=len(merged.conflicts)))
        notes += [_conflict_note(conflict) for conflict in merged.conflicts]
    elif report.agreements:
        notes.append(note("review.no_conflicts"))
    ids = report.query_ids
    n_edited = sum(
        query in merged.questions and merged.questions[query].decision == "edit" for query in ids
    )
    notes.append(
        note(
            "review.merged_total",
            n=len(ids),
            n_rejected=sum(map(merged.is_rejected, ids)),
            n_edited=n_edited,
            share=merged.seen_share(ids),
        )
    )
    return notes


def _reviewer_note(reviewer: str, decisions: Decisions) -> Note:
    counts = Counter(
        decision.decision
        for of_reviewer in (decisions.questions[reviewer], decisions.pairs[reviewer])
        for decision in of_reviewer.values()
    )
    return note(
        "review.merged_reviewer",
        reviewer=reviewer,
        n_accepted=counts["accept"],
        n_edited=counts["edit"],
        n_rejected=counts["reject"],
        n_right=counts["right"],
        n_wrong=counts["wrong"],
    )


def _agreement_notes(pairwise: Pairwise) -> list[Note]:
    notes = []
    for what, of in (
        (note("review.agreement_questions"), pairwise.questions),
        (note("review.agreement_passages"), pairwise.passages),
    ):
        if of.n == 0:
            continue
        has_kappa = math.isfinite(of.kappa) and math.isfinite(of.low)
        one, other, share = pairwise.one, pairwise.other, of.share_equal
        notes.append(
            note(
                "review.agreement",
                one=one,
                other=other,
                what=what,
                n=of.n,
                share=share,
                kappa=of.kappa,
                low=of.low,
                high=of.high,
            )
            if has_kappa
            else note(
                "review.agreement_without_kappa",
                one=one,
                other=other,
                what=what,
                n=of.n,
                share=share,
            )
        )
    return notes


def _conflict_note(conflict: Conflict) -> Note:
    about = f"{conflict.query} {conflict.document}".strip()
    votes = [
        note("review.vote", reviewer=reviewer, vote=said_of(decision))
        for reviewer, decision in sorted(conflict.votes.items())
    ]
    if conflict.settled is None:
        return note("review.conflict_open", about=about, votes=votes)
    return note(
        "review.conflict_settled", about=about, votes=votes, settled=said_of(conflict.settled)
    )


def as_text(report: MergeReport, lang: Lang) -> str:
    """The report for a terminal."""
    return "\n".join(say(sentence, lang) for sentence in sentences(report))


def as_json(report: MergeReport) -> str:
    """The report for programs."""
    merged = report.merged
    content = {
        "reviewers": report.decisions.reviewers,
        "n_questions": len(report.query_ids),
        "n_rejected": sum(map(merged.is_rejected, report.query_ids)),
        "seen_share": merged.seen_share(report.query_ids),
        "agreement": [
            {
                "reviewers": [pairwise.one, pairwise.other],
                "questions": _numbers(pairwise.questions),
                "passages": _numbers(pairwise.passages),
            }
            for pairwise in report.agreements
        ],
        "conflicts": [
            {
                "query": conflict.query,
                "document": conflict.document or None,
                "votes": {name: decision.as_json() for name, decision in conflict.votes.items()},
                "settled": conflict.settled.as_json() if conflict.settled else None,
            }
            for conflict in merged.conflicts
        ],
        "read_past": [str(finding) for finding in report.findings],
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def _numbers(of: Agreement) -> dict[str, float | int | None]:
    numbers = {"share_equal": of.share_equal, "kappa": of.kappa, "low": of.low, "high": of.high}
    return {"n": of.n} | {
        name: number if math.isfinite(number) else None for name, number in numbers.items()
    }
