"""`kemb review DIR --judge NAME`: a language model says of unjudged passages whether they answer;
and how far that can be believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.drafting.bill import after, announce, bill_of
from kemb.drafting.calls import Call, Journal
from kemb.drafting.folder import lock_of
from kemb.drafting.judge import JudgeReport, check_judge
from kemb.drafting.llm import Chat, LlmSettings, Todo, check_llm, todo_of
from kemb.drafting.pools import read_pool
from kemb.drafting.review_questions import Questions, read_questions
from kemb.drafting.verdicts import (
    REFUSED,
    JudgePrompts,
    judge_messages,
    read_judge_prompts,
    read_verdict,
)
from kemb.errors import UsageError
from kemb.files import disk, locks
from kemb.messages import Note, note, say
from kemb.tasks.own.decisions import Merged, Pair, read_decisions
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.judges import (
    ENOUGH,
    FOLDER,
    LEAST_KAPPA,
    Check,
    Judge,
    Label,
    judge_files,
    read_judges,
    sha256_of,
)

_HINT = "What was answered is kept; free space and type the same command again."


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Who judges, and how much."""

    llm: LlmSettings
    """`prompts` is a file of a judge's prompts; styles and passages have no part."""
    n_pairs: int | None = None
    """At most so many pairs are asked about by one command; None for all."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What came of it."""

    path: Path
    """The file of labels."""
    judge: Judge
    report: JudgeReport
    """Its labels beside people's."""
    n_new: int
    """Calls of this command."""
    n_waiting: int
    """Pairs that were not asked about yet."""

    def as_json(self) -> dict[str, Any]:
        """For programs: the file without what was said of each pair, and the sentences."""
        labels = Counter(label.label for label in self.judge.labels)
        return {
            **self.judge.model_dump(exclude={"labels"}),
            "path": str(self.path),
            "n_labels": dict(labels),
            "n_calls_of_this_command": self.n_new,
            "n_waiting": self.n_waiting,
            "sentences": [say(sentence, "en") for sentence in self.notes()],
        }

    def notes(self) -> list[Note]:
        """What is to be said."""
        judge = self.judge
        labels = Counter(label.label for label in judge.labels)
        notes = [
            note(
                "judged.labelled",
                judge=judge.judge,
                n=len(judge.labels),
                n_right=labels["right"],
                n_wrong=labels["wrong"],
                n_new=self.n_new,
                path=str(self.path),
            )
        ]
        if judge.left_out:
            reasons = Counter(entry["why"] for entry in judge.left_out)
            counts = [
                note("draft.count", what=note(f"draft.why_{why.replace(' ', '_')}"), n=n)
                for why, n in reasons.most_common()
            ]
            notes.append(note("judged.no_label", n=len(judge.left_out), counts=counts))
        if n_flagged := sum(bool(label.flags) for label in judge.labels):
            notes.append(note("judged.gives_instruction", n=n_flagged))
        if self.n_waiting:
            notes.append(note("judged.waiting", n=self.n_waiting))
        return [*notes, *use_notes(judge, self.report)]


def use_notes(judge: Judge, report: JudgeReport) -> list[Note]:
    """How far a judge agrees with people, and whether its labels count."""
    check = judge.check
    if judge.use == "scores":
        use = note("judged.counts", judge=judge.judge)
    elif check.n >= ENOUGH and check.low is not None:
        use = note("judged.judge_only_kappa", judge=judge.judge, low=check.low, least=LEAST_KAPPA)
    else:
        use = note("judged.judge_only", judge=judge.judge)
    return [*report.notes(), use]


def judge(folder: Path, settings: JudgeSettings) -> Judging:
    """Let a language model say of passages that nobody judged whether they answer their question.

    Pairs that people have judged come first, so that it can be checked; then those that decide a
    comparison; then what the pool's members found, by rank. One call a pair, each kept as soon as
    it is answered.

    :param folder: of a retrieval task with a pool (`kemb choose`).
    :raises UsageError: there is no pool, nothing to judge, nobody consented that text leaves this
        machine, or another process judges under this name.
    :raises ModelError: the endpoint refuses, or does not answer as one; what it answered is kept.
    :raises DataError: the folder holds errors.
    """
    llm = settings.llm
    check_llm(llm)
    prompts = read_judge_prompts(llm.prompts)
    questions = read_questions(folder)
    people = read_decisions(folder, Findings()).merged()
    path = _path_of(folder, llm.name)
    with _alone(folder, path):
        earlier = [one for one in read_judges(folder, Findings()) if one.judge == llm.name]
        pairs = _pairs(questions, people, read_pool(folder), earlier)
        if not pairs:
            raise UsageError(_nothing(folder))
        calls = Journal(path.with_suffix(".calls.jsonl"))
        todos = {pair: _todo(pair, questions, people, prompts, llm) for pair in pairs}
        missing = [todo for todo in todos.values() if calls.get(todo.key) is None]
        new = missing[: settings.n_pairs]
        chat = Chat(llm, calls)
        if new:
            announce(new, len(todos) - len(missing), llm, str(folder))
            chat.ask(new)
        answers = {pair: calls.get(todo.key) for pair, todo in todos.items()}
        new_keys = {todo.key for todo in new}
        paid = [call for call in answers.values() if call is not None and call.key in new_keys]
        made_by = bill_of(llm, prompts.sha256, list(answers.values()), paid)
        labels, left_out = _labels(answers, questions, prompts, llm.name)
        left_out += [_omission(pair, REFUSED) for pair in pairs if _name(pair) in chat.refusals]
        content, report = _checked(folder, llm.name, made_by, labels, left_out, people)
        disk.write(path, disk.json_text(content.model_dump()), _HINT, sync=True)
    if paid:
        llm.on_note(after(paid, llm.price))
    return Judging(path, content, report, len(paid), len(missing) - len(new))


def check_judges(folder: Path) -> list[Note]:
    """Compare every judge of a folder with what people say now, and keep what comes of it.

    :return: what is to be said; nothing where no model judged.
    :raises DiskError: the folder cannot be written.
    """
    people = read_decisions(folder, Findings()).merged()
    notes: list[Note] = []
    for path in judge_files(folder):
        with _alone(folder, path):
            for earlier in read_judges(folder, Findings()):
                if _path_of(folder, earlier.judge) != path:
                    continue
                parts = (earlier.made_by, earlier.labels, earlier.left_out)
                content, report = _checked(folder, earlier.judge, *parts, people)
                if content != earlier:
                    disk.write(path, disk.json_text(content.model_dump()), _HINT, sync=True)
                notes += use_notes(content, report)
    return notes


def _checked(
    folder: Path,
    name: str,
    made_by: Mapping[str, object],
    labels: Sequence[Label],
    left_out: Sequence[dict[str, str]],
    people: Merged,
) -> tuple[Judge, JudgeReport]:
    """The file of a judge, with the check of its labels."""
    grades = {label.pair: label.grade for label in labels}
    served = made_by.get("served")
    report = check_judge(folder, name, grades, served if isinstance(served, list) else [])
    of = report.agreement
    check = Check(
        n=of.n,
        kappa=_finite(of.kappa),
        low=_finite(of.low),
        high=_finite(of.high),
        people_sha256=sha256_of(people.judgments, grades),
    )
    content = Judge(
        judge=name,
        use="scores" if check.is_passed else "judge-only",
        wrote_questions=report.wrote_questions,
        check=check,
        made_by=dict(made_by),
        labels=list(labels),
        left_out=list(left_out),
    )
    return content, report


def _finite(number: float) -> float | None:
    return round(number, 6) if math.isfinite(number) else None


def _pairs(
    questions: Questions,
    people: Merged,
    pool: Mapping[str, Mapping[str, Sequence[str]]],
    earlier: Sequence[Judge],
) -> list[Pair]:
    """What is judged, in order: as people did, what decides, what the pool holds, what was judged
    before. A pair that the folder itself calls right is judged only where people did, too.
    """
    ranked = [
        (rank, query, document)
        for ranking in pool.values()
        for query, documents in ranking.items()
        for rank, document in enumerate(documents)
    ]
    in_pool = [(query, document) for _, query, document in sorted(ranked)]
    before = [label.pair for one in earlier for label in one.labels]
    rest = itertools.chain(questions.deciding, in_pool, before)
    unjudged = [pair for pair in rest if pair[1] not in questions.qrels.get(pair[0], {})]
    return [
        (query, document)
        for query, document in dict.fromkeys([*sorted(people.judgments), *unjudged])
        if query in questions.questions
        and document in questions.passages
        and not people.is_rejected(query)
    ]


def _todo(
    pair: Pair, questions: Questions, people: Merged, prompts: JudgePrompts, llm: LlmSettings
) -> Todo:
    """The call about a pair; a question that people have edited is asked as they want it."""
    query, document = pair
    settled = people.questions.get(query)
    is_edited = settled is not None and settled.decision == "edit"
    text = settled.text if settled and is_edited else questions.questions[query].text
    passage = questions.passages[document]
    messages = judge_messages(prompts, text, passage.title, passage.text)
    return todo_of(llm, prompts.body, _name(pair), messages)


def _labels(
    answers: Mapping[Pair, Call | None],
    questions: Questions,
    prompts: JudgePrompts,
    name: str,
) -> tuple[list[Label], list[dict[str, str]]]:
    labels, left_out = [], []
    for pair, call in answers.items():
        if call is None:
            continue
        text = questions.passages[pair[1]].text
        verdict = read_verdict(call.content, call.finish == "length", text, prompts)
        if verdict.label is None:
            left_out.append(_omission(pair, verdict.reason))
            continue
        labels.append(
            Label(
                query=pair[0],
                document=pair[1],
                label=verdict.label,
                judge=name,
                quote=verdict.quote,
                flags=list(verdict.flags),
            )
        )
    return labels, left_out


def _omission(pair: Pair, why: str) -> dict[str, str]:
    return {"query": pair[0], "document": pair[1], "why": why}


def _name(pair: Pair) -> str:
    """Of a pair, as a call keeps it."""
    return "\t".join(pair)


def _path_of(folder: Path, name: str) -> Path:
    """The file of a judge; a name that no file can have gets a hash, so that no two meet."""
    safe = re.sub(r"[^\w.-]", "-", name)[:60].strip(".")
    hashed = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return folder / FOLDER / f"{safe if safe == name else f'{safe}-{hashed}'}.json"


@contextlib.contextmanager
def _alone(folder: Path, path: Path) -> Iterator[None]:
    """Around everything that is paid for and written: one process a judge, and no draft.

    :raises UsageError: another process judges under this name, or drafts the folder.
    """
    lock = path.with_name(f".{path.stem}.lock")
    with disk.writing(f"{path} cannot be written", _HINT):
        path.parent.mkdir(exist_ok=True)
        holder = locks.acquire(lock)
    if holder is not None:
        raise UsageError(
            f"Another kemb review --judge writes {path} ({holder}). Wait for it or end it; if no "
            f"such process runs any more, remove {lock}."
        )
    with locks.released_after(lock):
        drafter = locks.live_holder_of(lock_of(folder))
        if drafter is not None:
            raise UsageError(
                f"kemb draft writes {folder} at this moment ({drafter}); labels could be lost. "
                "Wait for it to end and type the same command again."
            )
        yield


def _nothing(folder: Path) -> str:
    return (
        f"{folder} has nothing to judge: no pool of what unlike retrievers find, or nothing in it "
        f"that is not judged. Type for example: kemb choose {folder}, which fills the pool, and "
        "then the same command again."
    )
