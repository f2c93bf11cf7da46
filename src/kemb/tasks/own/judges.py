"""What language models said of the passages of a folder: `judge/NAME.json`, one file per judge.

A judge's labels are never a person's. They count in scores only where the judge was checked against
people's labels and agrees with them enough; all others are judge-only, and counted as that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kemb.files import disk
from kemb.files.columns import rows_of
from kemb.messages import note
from kemb.tasks.own.decisions import Clean, Pair
from kemb.tasks.own.findings import Findings
from kemb.types import JudgeUse

FOLDER = "judge"
ENOUGH = 50
"""Pairs that both people and the judge have labelled."""
LEAST_KAPPA = 0.2
"""The lower end of kappa's interval, from which on labels count."""
_MOST_BYTES = 256 * 2**20


class Label(BaseModel):
    """What a judge said of a question and a passage."""

    model_config = ConfigDict(frozen=True)

    query: str = Field(min_length=1)
    document: str = Field(min_length=1)
    label: Literal["right", "wrong"]
    judge: str
    """Who gave it: the model's name."""
    quote: str = ""
    """What the judge copied from the passage as its reason."""
    flags: list[str] = []
    """Why a person should look at it."""

    @property
    def pair(self) -> Pair:
        return self.query, self.document

    @property
    def grade(self) -> int:
        """1 for right, 0 for wrong."""
        return int(self.label == "right")


class Check(BaseModel):
    """How far a judge's labels are those of people, when that was last looked at."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(ge=0)
    """Pairs that both had labelled."""
    kappa: float | None = None
    low: float | None = None
    high: float | None = None
    """None where it cannot be told."""
    people_sha256: str
    """Of people's labels of the judge's pairs: other labels need another check."""

    @property
    def is_passed(self) -> bool:
        """Whether labels of a judge like this count."""
        return self.n >= ENOUGH and self.low is not None and self.low >= LEAST_KAPPA


class Judge(BaseModel):
    """A file of labels."""

    model_config = ConfigDict(frozen=True)

    judge: str
    use: Literal["scores", "judge-only"]
    """What the last check allows."""
    wrote_questions: bool = False
    """Whether the same model wrote the questions."""
    check: Check
    made_by: dict[str, Any] = {}
    """Calls, tokens, dollars, prompts."""
    labels: list[Label]
    left_out: list[dict[str, str]] = []
    """Pairs without a label, and why."""

    def grades(self) -> dict[Pair, int]:
        """By question and passage, 1 for right."""
        return {label.pair: label.grade for label in self.labels}


def judge_files(root: Path) -> list[Path]:
    """The files of labels of a folder, one per judge."""
    return sorted(path for path in (root / FOLDER).glob("*.json") if path.is_file())


def read_judges(root: Path, findings: Findings) -> list[Judge]:
    """All judges of a folder.

    :param findings: takes files that are none, which are read past.
    """
    judges = []
    for path in judge_files(root):
        name = f"{FOLDER}/{path.name}"
        try:
            judges.append(Judge.model_validate_json(disk.read_text(path, _MOST_BYTES)))
        except (OSError, UnicodeDecodeError) as error:
            message = note("finding.judge_unreadable", reason=str(error))
            findings.warn("labels of a judge", name, message)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            message = note("finding.judge_without_labels", where=where, reason=first["msg"])
            findings.warn("labels of a judge", name, message)
    return judges


def sha256_of(people: Mapping[Pair, int], labels: Mapping[Pair, int]) -> str:
    """Of what people said of the pairs that a judge has labelled."""
    both = sorted((*pair, grade > 0) for pair, grade in people.items() if pair in labels)
    return hashlib.sha256(json.dumps(both).encode()).hexdigest()


def apply(
    judges: list[Judge],
    people: Mapping[Pair, int],
    clean: Clean,
    findings: Findings,
) -> tuple[list[JudgeUse], dict[str, int]]:
    """Add the labels of judges who were checked, where nobody else has judged.

    Where two such judges differ on a pair, it stays unjudged.

    :param people: what people say of pairs; a check of other labels than these does not count.
    :param clean: the columns of `corpus`, `queries` and `qrels/<split>`; changed.
    :param findings: takes checks that are out of date.
    :return: who labelled how much, and counts for the notes of the part.
    """
    usable: list[tuple[Judge, bool, dict[Pair, int]]] = []
    labels: dict[Pair, int] = {}
    unsettled: set[Pair] = set()
    present = _judged(clean)
    questions = {query for query, _ in present}
    labelled = {document for judge in judges for _, document in judge.grades()}
    documents = rows_of(clean["corpus"]["id"], labelled)
    for judge in judges:
        is_used = judge.check.is_passed
        if is_used and judge.check.people_sha256 != sha256_of(people, judge.grades()):
            is_used = False
            message = note("finding.judge_to_check", judge=judge.judge)
            findings.warn("check of a judge", FOLDER, message)
        grades = {
            pair: grade
            for pair, grade in judge.grades().items()
            if pair not in present and pair[0] in questions and pair[1] in documents
        }
        for pair, grade in grades.items() if is_used else ():
            if labels.setdefault(pair, grade) != grade:
                unsettled.add(pair)
        usable.append((judge, is_used, grades))
    uses = []
    for judge, is_used, grades in usable:
        n_used = len(grades.keys() - unsettled) if is_used else 0
        uses.append(_use(judge, is_used, n_used, len(grades) - n_used))
    settled = {pair: grade for pair, grade in labels.items() if pair not in unsettled}
    _add(clean, settled)
    counts = {
        "n_judge_labels": len(settled),
        "n_judge_only_labels": sum(use.n_judge_only for use in uses),
    }
    return uses, {name: count for name, count in counts.items() if count}


def _use(judge: Judge, is_used: bool, n_used: int, n_judge_only: int) -> JudgeUse:
    check = judge.check
    return JudgeUse(
        judge=judge.judge,
        is_used=is_used,
        n_used=n_used,
        n_judge_only=n_judge_only,
        n_checked=check.n,
        kappa=check.kappa,
        low=check.low,
        high=check.high,
        wrote_questions=judge.wrote_questions,
    )


def _judged(clean: Mapping[str, Mapping[str, Sequence[Any]]]) -> set[Pair]:
    """The pairs that have a judgment in some split."""
    return {
        pair
        for key, qrels in clean.items()
        if key.startswith("qrels/")
        for pair in zip(qrels["query-id"], qrels["corpus-id"], strict=True)
    }


def _add(clean: Clean, labels: Mapping[Pair, int]) -> None:
    """Put labels behind the judgments of every split that has the question."""
    for key in [key for key in clean if key.startswith("qrels/")]:
        qrels = clean[key]
        queries = set(qrels["query-id"])
        rows = [(*pair, grade) for pair, grade in labels.items() if pair[0] in queries]
        for place, name in enumerate(("query-id", "corpus-id", "score")):
            qrels = qrels | {name: [*qrels[name], *(row[place] for row in rows)]}
        clean[key] = qrels
