"""The folder of a drafted test set: BEIR's layout, the documents that its passages are of, and how
it was made.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from kemb.drafting import vocabulary
from kemb.drafting.candidates import Omission
from kemb.drafting.chunks import Chunk
from kemb.drafting.filters import Question
from kemb.errors import DataError, UsageError
from kemb.files import disk, locks
from kemb.files.lines import json_lines
from kemb.messages import Text, say
from kemb.tasks.own.documents import Document

REPORT = "drafted.json"
CALLS = "calls.jsonl"
"""What a language model answered, one call a line, only ever appended."""
_CORPUS = "corpus.jsonl"
_SOURCES = "sources.jsonl"
_REVIEW, _JUDGE = "review", "judge"
_OF_PASSAGES = ("pool.jsonl", "deciding.jsonl", _REVIEW, _JUDGE)
"""What was said of the passages, by people, models, retrievers: it stays where those stay."""
_HINT = "Free space, or name another folder with -o DIR."
_TOML = """\
# A test set that `kemb draft` made; drafted.json says how, `kemb docs drafting` what it is worth.
type = "retrieval"
splits = ["test"]
drafted = true
"""


@dataclass(frozen=True, slots=True)
class DraftReport:
    """A drafted test set, and what to know of it."""

    folder: Path
    source: str
    """The name of the folder of documents."""
    documents: Sequence[Document]
    """Without the questions that are asked of them."""
    chunks: Sequence[Chunk]
    """The passages."""
    chunking: str
    ways: Sequence[str]
    """Those that were tried."""
    hides_headings: bool
    """Whether headings and titles went from the documents, because some are questions."""
    questions: Sequence[Question]
    omissions: Sequence[Omission]
    """Questions that are not in the set."""
    n_joined: int
    """Questions that were asked twice and have the answers of both."""
    n_joint_answers: int
    """Passages that are right because they are nearly the same as one that is."""
    findings: Sequence[Text]
    """What of the documents could not be read: of each kind the first few, and how many more."""
    n_unread: int
    """Files of which nothing could be read, and the like."""
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """Of a language model: its name, its calls, what they cost."""

    @property
    def n_questions(self) -> dict[str, int]:
        """By way."""
        return dict(Counter(question.way for question in self.questions))

    @property
    def reasons(self) -> dict[str, int]:
        """Why questions are not in the set, and how many."""
        return dict(Counter(omission.reason for omission in self.omissions).most_common())

    @property
    def flags(self) -> dict[str, int]:
        """What a reviewer should look at, and how often."""
        flags = Counter(flag for question in self.questions for flag in question.flags)
        return dict(flags.most_common())

    @property
    def overlap(self) -> float:
        """The mean share of a question's content words that stand in its passage."""
        return fmean(question.overlap for question in self.questions)

    def as_json(self) -> dict[str, Any]:
        """As `drafted.json` has it."""
        return {
            "kemb": importlib.metadata.version("kemb"),
            "source": self.source,
            "chunks": self.chunking,
            "ways": list(self.ways),
            "headings_hidden": self.hides_headings,
            "analyser": vocabulary.described(),
            **({"llm": dict(self.made_by)} if self.made_by else {}),
            "n_documents": len(self.documents),
            "n_unread": self.n_unread,
            "documents": [say(finding, "en") for finding in self.findings],
            "n_passages": len(self.chunks),
            "n_questions": self.n_questions,
            "overlap": round(self.overlap, 4),
            "n_joined": self.n_joined,
            "n_joint_answers": self.n_joint_answers,
            "flags": self.flags,
            "n_left_out": self.reasons,
            "left_out": [omission._asdict() for omission in self.omissions],
        }


def check_target(folder: Path) -> None:
    """Refuse a folder that a draft would destroy.

    :raises UsageError: it holds something that is no draft.
    """
    if not folder.exists():
        return
    if folder.is_dir():
        names = {path.name for path in folder.iterdir()}
        if not names or names & {REPORT, CALLS}:
            return
    raise UsageError(
        f"{folder} is there and is no drafted test set; a draft would replace it. Name a folder "
        "that does not exist yet with -o DIR."
    )


def lock_of(folder: Path) -> Path:
    """Of the process that drafts into a folder; beside it, as a draft replaces the folder."""
    whole = folder.absolute()
    return whole.with_name(f".{whole.name}.draft.lock")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Around everything that is paid for and written: one draft, and no reviewer, whose decisions
    could come too late to be carried over.

    :raises UsageError: another process drafts into the folder, or somebody reviews it.
    :raises DiskError: the lock cannot be written.
    """
    lock = lock_of(folder)
    with disk.writing(f"{folder} cannot be written", _HINT):
        lock.parent.mkdir(parents=True, exist_ok=True)
        holder = locks.acquire(lock)
    if holder is not None:
        raise UsageError(
            f"Another kemb draft writes {folder} ({holder}). Wait for it or end it, or name "
            f"another folder with -o DIR; if no such process runs any more, remove {lock}."
        )
    with locks.released_after(lock):
        disk.remove_leftovers(lock.parent)  # a set that a killed draft was replacing comes back
        _refuse_judge(folder)
        for review in sorted((folder / _REVIEW).glob(".*.lock")):
            reviewer = locks.live_holder_of(review)
            if reviewer is not None:
                name = review.name.removeprefix(".").removesuffix(".lock")
                raise UsageError(
                    f"Somebody reviews {folder} as {name} ({reviewer}); a draft "
                    "would replace the folder under the review. End kemb review first, or name "
                    f"another folder with -o DIR; if nobody reviews any more, remove {review}."
                )
        yield


def _refuse_judge(folder: Path) -> None:
    """:raises UsageError: a language model judges the folder at this moment."""
    for lock in sorted((folder / _JUDGE).glob(".*.lock")):
        if (holder := locks.live_holder_of(lock)) is not None:
            raise UsageError(
                f"kemb review --judge writes labels into {folder} ({holder}); a draft would "
                "replace the folder under it. Wait for it or end it, or name another folder with "
                f"-o DIR; if no such process runs any more, remove {lock}."
            )


def write_draft(draft: DraftReport) -> None:
    """Write the folder, whole or not at all.

    :raises UsageError: people have decided about other passages.
    :raises DiskError: it cannot be written.
    """
    corpus = _corpus(draft.chunks)
    to_carry = _to_carry(draft.folder, corpus)
    files = {
        _CORPUS: corpus,
        "queries.jsonl": json_lines(map(_query, draft.questions)),
        "qrels/test.tsv": _qrels(draft.questions),
        _SOURCES: json_lines(
            {"_id": document.id, "title": document.title, "text": document.text}
            for document in draft.documents
        ),
        "task.toml": _TOML,
        REPORT: disk.json_text(draft.as_json()),
    }
    with disk.writing(f"{draft.folder} cannot be written", _HINT):
        draft.folder.parent.mkdir(parents=True, exist_ok=True)
        with disk.replacing_folder(draft.folder) as unfinished:
            for name, content in files.items():
                (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
                (unfinished / name).write_bytes(content.encode())
            for path in to_carry:
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, unfinished / path.name)


def check_decisions(folder: Path, chunks: Sequence[Chunk]) -> None:
    """Refuse to replace passages that people have decided about, before anything is paid for.

    :raises UsageError: the folder holds decisions about other passages.
    """
    _to_carry(folder, _corpus(chunks))


def _corpus(chunks: Sequence[Chunk]) -> str:
    return json_lines(
        {
            "_id": chunk.id,
            "title": chunk.title,
            "text": chunk.text,
            "source": chunk.source,
            "start": chunk.start,
            "end": chunk.end,
        }
        for chunk in chunks
    )


def _to_carry(folder: Path, corpus: str) -> list[Path]:
    """What stays of an earlier draft."""
    calls = [folder / CALLS] if (folder / CALLS).is_file() else []
    of_passages = [folder / name for name in _OF_PASSAGES if (folder / name).exists()]
    if not of_passages:
        return calls
    try:
        are_same = (folder / _CORPUS).read_text(encoding="utf-8") == corpus
    except (OSError, UnicodeDecodeError):
        are_same = False
    if are_same:
        return calls + of_passages
    kinds = {_REVIEW: "decisions of reviewers", _JUDGE: "labels of a judge"}
    lost = [what for name, what in kinds.items() if any((folder / name).glob("*.json*"))]
    if lost:
        raise UsageError(
            f"{folder} holds {' and '.join(lost)} about other passages than those that would be "
            "written now; they would be lost. Name another folder with -o DIR, or draft with the "
            f"documents, ways and chunks that {REPORT} names."
        )
    return calls


def _query(question: Question) -> dict[str, Any]:
    style = {"style": question.style} if question.style else {}
    flags = {"flags": list(question.flags)} if question.flags else {}
    return {
        "_id": question.id,
        "text": question.text,
        "way": question.way,
        **style,
        "overlap": round(question.overlap, 4),
        **flags,
        "spans": [
            {"source": span.source, "start": span.start, "end": span.end, "answer": number}
            for number, span in enumerate(question.spans)
        ],
    }


def _qrels(questions: Sequence[Question]) -> str:
    lines = ["query-id\tcorpus-id\tscore\n"]
    for question in questions:
        for passage in question.passages:
            if "\t" in passage or "\n" in passage:
                raise DataError(
                    f"The file name of {passage!r} holds a tab or a line end, which no table of "
                    "judgments can hold. Rename the file."
                )
            lines.append(f"{question.id}\t{passage}\t1\n")
    return "".join(lines)
