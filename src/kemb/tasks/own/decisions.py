"""What people decided about the questions of a folder: `review/REVIEWER.jsonl`, merged and applied.

Every line is one decision of one reviewer; nothing is ever taken out of a file, so the last line of
a reviewer about a question, or about a question and a passage, is what he thinks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kemb.files import disk
from kemb.messages import note
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.records import records_by_id

FOLDER = "review"
OF_QUESTIONS = ("accept", "reject", "edit", "none")
"""`none` takes back what was decided before."""
OF_PAIRS = ("right", "wrong", "unjudged")
"""Of a question and a passage; `unjudged` takes back."""
_TAKES_BACK = ("none", "unjudged")
_MOST_BYTES = 256 * 2**20

Pair = tuple[str, str]
"""Ids of a question and of a passage."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reviewer said of a question, or of a question and a passage."""

    query: str
    decision: str
    """One of `OF_QUESTIONS`, or with a document one of `OF_PAIRS`."""
    document: str = ""
    text: str = ""
    """The question as it should be, of `edit`."""
    at: str = ""
    """When, as ISO 8601."""

    @property
    def vote(self) -> str:
        """What must be the same for two reviewers to agree."""
        return f"edit: {self.text}" if self.decision == "edit" else self.decision

    def as_json(self) -> dict[str, str]:
        """The keys of a line; those that say nothing are left out."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: text for name, text in fields.items() if text}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A question, or a question and a passage, of which reviewers think differently."""

    query: str
    document: str
    """'' where it is the question itself."""
    votes: dict[str, Decision]
    """By reviewer."""
    settled: Decision | None
    """What more than half of them say; None where nothing applies."""


@dataclass
class Decisions:
    """The newest decisions of every reviewer about every question and pair."""

    questions: dict[str, dict[str, Decision]] = field(default_factory=dict)
    """By reviewer and question."""
    pairs: dict[str, dict[Pair, Decision]] = field(default_factory=dict)
    """By reviewer and pair."""

    @property
    def reviewers(self) -> list[str]:
        return sorted(self.questions)

    def add(self, reviewer: str, decision: Decision) -> None:
        """Put a decision in place of the reviewer's earlier one."""
        of_questions = self.questions.setdefault(reviewer, {})
        of_pairs = self.pairs.setdefault(reviewer, {})
        if decision.decision in OF_PAIRS:
            _replace(of_pairs, (decision.query, decision.document), decision)
        else:
            _replace(of_questions, decision.query, decision)

    def merged(self) -> Merged:
        """What holds, by the votes of all reviewers."""
        merged = Merged()
        for query, votes in _turned(self.questions).items():
            merged.seen.add(query)
            settled = _majority(votes)
            if settled is not None:
                merged.questions[query] = settled
            if len({decision.vote for decision in votes.values()}) > 1:
                merged.conflicts.append(Conflict(query, "", votes, settled))
        for (query, document), votes in _turned(self.pairs).items():
            settled = _majority(votes)
            if settled is not None:
                merged.judgments[query, document] = int(settled.decision == "right")
            if len({decision.vote for decision in votes.values()}) > 1:
                merged.conflicts.append(Conflict(query, document, votes, settled))
        return merged


@dataclass
class Merged:
    """What more than half of those who decided say."""

    questions: dict[str, Decision] = field(default_factory=dict)
    """By question: accept, reject or edit."""
    judgments: dict[Pair, int] = field(default_factory=dict)
    """1 for a passage that answers, 0 for one that does not."""
    conflicts: list[Conflict] = field(default_factory=list)
    """All disagreements, those that a majority settles too."""
    seen: set[str] = field(default_factory=set)
    """Questions that a person has decided on, in whatever way."""

    def seen_share(self, query_ids: Iterable[str]) -> float:
        """Of the questions that are scored the share that a person has decided on; 0 of none.

        :param query_ids: all questions; those that were rejected are not scored.
        """
        scored = [query for query in query_ids if not self.is_rejected(query)]
        return sum(query in self.seen for query in scored) / len(scored) if scored else 0.0

    def is_rejected(self, query: str) -> bool:
        """Whether the question is to be dropped."""
        settled = self.questions.get(query)
        return settled is not None and settled.decision == "reject"


def review_files(root: Path) -> list[Path]:
    """The files of decisions of a folder, one per reviewer."""
    return sorted(path for path in (root / FOLDER).glob("*.jsonl") if path.is_file())


def read_decisions(root: Path, findings: Findings) -> Decisions:
    """The decisions of all reviewers of a folder.

    :param root: the folder of the task.
    :param findings: takes lines that are no decisions; a file whose end was torn off has one.
    """
    decisions = Decisions()
    for path in review_files(root):
        for decision in read_file(path, findings):
            decisions.add(path.stem, decision)
    return decisions


def read_file(path: Path, findings: Findings) -> list[Decision]:
    """The decisions of one reviewer, in the order in which they were made."""
    name = f"{FOLDER}/{path.name}"
    try:
        if path.stat().st_size > _MOST_BYTES:
            findings.error(
                "unreadable file", name, note("finding.too_many_bytes", most_bytes=_MOST_BYTES)
            )
            return []
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        findings.error(
            "unreadable file", name, note("finding.cannot_be_read", reason=disk.reason_of(error))
        )
        return []
    decisions = []
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        decision = _parsed(line)
        if decision is None:
            why = (
                note("finding.torn_decision") if row == len(lines) else note("finding.no_decision")
            )
            findings.warn("torn decision", name, why, row=row, value=line[:60])
        else:
            decisions.append(decision)
    return decisions


def apply(
    merged: Merged, clean: dict[str, dict[str, list[Any]]], findings: Findings
) -> dict[str, int]:
    """Drop rejected questions, put edited ones in place, and add the judgments of passages.

    :param merged: what holds.
    :param clean: the columns of `corpus`, `queries` and `qrels/<split>`; changed.
    :param findings: takes conflicts that nobody settled, and decisions about what is not there.
    :return: counts of what was done, for the notes of the part.
    """
    queries = clean["queries"]
    question_ids, document_ids = set(queries["id"]), set(clean["corpus"]["id"])
    _note_unknown(merged, question_ids, document_ids, findings)
    for conflict in merged.conflicts:
        if conflict.settled is None:
            message = note("finding.reviewers_disagree", names=sorted(conflict.votes))
            place = f"{conflict.query} {conflict.document}".strip()
            findings.warn("reviewers disagree", FOLDER, message, value=place)
    rejected = {query for query in question_ids if merged.is_rejected(query)}
    edits = {
        query: settled.text
        for query, settled in merged.questions.items()
        if settled.decision == "edit" and query in question_ids
    }
    texts = [
        edits.get(query, text) for query, text in zip(queries["id"], queries["text"], strict=True)
    ]
    clean["queries"] = queries | {"text": texts}
    judgments = {
        (query, document): grade
        for (query, document), grade in merged.judgments.items()
        if query in question_ids - rejected and document in document_ids
    }
    _drop(clean, rejected)
    n_changed = _add_judgments(clean, judgments)
    unanswered = _unanswered(clean, {query for query, _ in judgments})
    _drop(clean, unanswered)
    for key in clean:
        if key.startswith("qrels/") and not any(grade > 0 for grade in clean[key]["score"]):
            message = note("finding.reviews_left_nothing")
            findings.error("nothing to score", FOLDER, message)
    counts = {
        "n_rejected_questions": len(rejected),
        "n_questions_without_answer": len(unanswered),
        "n_edited_questions": len(edits.keys() - rejected - unanswered),
        "n_reviewed_judgments": n_changed,
    }
    return {name: count for name, count in counts.items() if count}


def seen_share(root: Path) -> float:
    """Of the scored questions of a drafted folder the share that a person has decided on; 0 where
    there is no `queries.jsonl`.

    :raises DataError: a line of it is no object.
    """
    ids = records_by_id(root / "queries.jsonl")
    return read_decisions(root, Findings()).merged().seen_share(ids)


def _replace(decisions: dict[Any, Decision], key: object, decision: Decision) -> None:
    """Put a decision in place of an earlier one, or only take that back."""
    decisions.pop(key, None)
    if decision.decision not in _TAKES_BACK:
        decisions[key] = decision


def _turned(
    by_reviewer: Mapping[str, Mapping[Any, Decision]],
) -> dict[Any, dict[str, Decision]]:
    """The decisions by what they are about, then by reviewer."""
    turned: dict[Any, dict[str, Decision]] = {}
    for reviewer in sorted(by_reviewer):
        for key, decision in by_reviewer[reviewer].items():
            turned.setdefault(key, {})[reviewer] = decision
    return turned


def _majority(votes: Mapping[str, Decision]) -> Decision | None:
    """The decision of more than half of the reviewers."""
    counts = Counter(decision.vote for decision in votes.values())
    vote, n_votes = counts.most_common(1)[0]
    if 2 * n_votes <= len(votes):
        return None
    return next(decision for decision in votes.values() if decision.vote == vote)


def _parsed(line: bytes) -> Decision | None:
    """A decision; None for a line that is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    fields = {name: record.get(name, "") for name in Decision.__slots__}
    if not all(isinstance(text, str) for text in fields.values()):
        return None
    decision = Decision(**fields)
    return decision if decision.query and is_whole(decision) else None


def is_whole(decision: Decision) -> bool:
    """Whether a decision has all that its kind needs, and text that can be written."""
    try:
        "".join(decision.as_json().values()).encode()
    except UnicodeEncodeError:  # half of a character, which JSON can spell
        return False
    if decision.decision in OF_PAIRS:
        return bool(decision.document)
    is_edit = decision.decision == "edit"
    return decision.decision in OF_QUESTIONS and bool(decision.text.strip()) == is_edit


def _note_unknown(
    merged: Merged, question_ids: set[str], document_ids: set[str], findings: Findings
) -> None:
    """Decisions about questions and passages that the folder does not have (any more)."""
    for query in sorted(merged.seen - question_ids):
        findings.warn("unknown id", FOLDER, note("finding.decided_unknown"), value=query)
    for query, document in sorted(merged.judgments):
        if query not in question_ids or document not in document_ids:
            message = note("finding.judged_unknown")
            findings.warn("unknown id", FOLDER, message, value=f"{query} {document}")


def _drop(clean: dict[str, dict[str, list[Any]]], query_ids: set[str]) -> None:
    """Take questions and their judgments out of the tables."""
    for key, columns in clean.items():
        if key == "queries" or key.startswith("qrels/"):
            ids = columns["id" if key == "queries" else "query-id"]
            rows = [row for row, query in enumerate(ids) if query not in query_ids]
            clean[key] = {name: [values[row] for row in rows] for name, values in columns.items()}


def _add_judgments(clean: dict[str, dict[str, list[Any]]], judgments: Mapping[Pair, int]) -> int:
    """Put what people judged over the judgments of every split that has the question.

    :return: how many of these say something new.
    """
    n_changed = 0
    for key in [key for key in clean if key.startswith("qrels/")]:
        qrels = clean[key]
        pairs = zip(qrels["query-id"], qrels["corpus-id"], strict=True)
        grades: dict[Pair, int] = dict(zip(pairs, qrels["score"], strict=True))
        judged_queries = set(qrels["query-id"])
        for pair, grade in judgments.items():
            earlier = grades.get(pair)
            if pair[0] in judged_queries and (earlier is None or (earlier > 0) != (grade > 0)):
                grades[pair] = grade
                n_changed += 1
        clean[key] = {
            "query-id": [query for query, _ in grades],
            "corpus-id": [document for _, document in grades],
            "score": list(grades.values()),
        }
    return n_changed


def _unanswered(clean: dict[str, dict[str, list[Any]]], query_ids: set[str]) -> set[str]:
    """Those of some questions that have no right passage in any split."""
    answered = {
        query
        for key, qrels in clean.items()
        if key.startswith("qrels/")
        for query, grade in zip(qrels["query-id"], qrels["score"], strict=True)
        if grade > 0
    }
    return query_ids - answered
