"""`kemb draft`: from documents to a test set, and what to know of it before it is trusted."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kemb.drafting.ask import Writing, ask
from kemb.drafting.candidates import WAYS, Candidate, Omission, Way, candidates
from kemb.drafting.chunks import chunk, parse_chunking
from kemb.drafting.cutting import without_questions
from kemb.drafting.doubtful import note_alike, note_long
from kemb.drafting.filters import sieve, with_parents
from kemb.drafting.folder import (
    CALLS,
    DraftReport,
    alone,
    check_decisions,
    check_target,
    write_draft,
)
from kemb.drafting.llm import LlmSettings, check_llm
from kemb.errors import DataError, UsageError
from kemb.tasks.own.documents import Document, read_documents
from kemb.tasks.own.findings import Findings

CHUNKS = "heading:800"
_N_NAMED = 3


@dataclass(frozen=True, slots=True)
class DraftSettings:
    """How a test set is drafted."""

    ways: tuple[Way, ...] | None = None
    """How questions are found in the documents: None for all of `WAYS`; beside a language model,
    those that leave headings where they are.
    """
    chunks: str = CHUNKS
    """How the documents are cut into passages (`kemb.drafting.chunks`)."""
    llm: LlmSettings | None = None

    @property
    def document_ways(self) -> tuple[Way, ...]:
        """The ways that are tried in the documents."""
        if self.ways is not None:
            return self.ways
        return WAYS if self.llm is None else ("faq", "sentence")


def draft(source: Path, target: Path, settings: DraftSettings | None = None) -> DraftReport:
    """Make a test set out of documents and write it into a folder, whole or not at all.

    :param source: a folder of documents, or one.
    :param target: the folder of the set; one that an earlier draft wrote is replaced, and what
        people decided about its questions stays.
    :raises UsageError: there is nothing at the source, the target holds something else or
        decisions about other passages, or another process drafts into it or reviews it.
    :raises DataError: no document could be read, or no question came out.
    :raises DiskError: the folder cannot be written.
    """
    settings = settings or DraftSettings()
    parse_chunking(settings.chunks)
    check_target(target)
    _check_apart(source, target)
    if settings.llm is not None:
        check_llm(settings.llm)
    findings = Findings()
    documents = _documents(source, findings)
    note_alike(documents, findings)
    hides_headings = bool({"heading", "title"} & set(settings.document_ways))
    questions, omissions = _questions(documents, settings.document_ways)
    cut_documents, questions = without_questions(documents, questions, hides_headings)
    chunks = chunk(cut_documents, settings.chunks)
    note_long(chunks, settings.chunks, findings)
    with alone(target):
        check_decisions(target, chunks)
        writing = Writing([], [], {})
        if settings.llm is not None:
            writing = ask(chunks, settings.llm, str(source), target / CALLS)
        selection = sieve(questions + writing.questions, chunks)
        omissions += writing.omissions + selection.omissions
        if not selection.questions:
            raise DataError(_nothing(source, documents, omissions, settings.llm is not None))
        report = DraftReport(
            folder=target,
            source=Path(os.path.abspath(source)).name,
            documents=cut_documents,
            chunks=chunks,
            chunking=settings.chunks,
            ways=[*settings.document_ways, *(["llm"] if settings.llm else [])],
            hides_headings=hides_headings,
            questions=selection.questions,
            omissions=omissions,
            n_joined=selection.n_joined,
            n_joint_answers=selection.n_joint_answers,
            findings=findings.lines(),
            n_unread=findings.n_errors,
            made_by=writing.made_by,
        )
        write_draft(report)
    return report


def _check_apart(source: Path, target: Path) -> None:
    """Refuse a set among its own documents: they would no longer be a folder of documents."""
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{target} lies in {source}, among the documents; a set stands beside them. Type for "
            f"example: -o {shlex.quote(str(beside(source)))}"
        )


def beside(source: Path) -> Path:
    """Where the set of a folder of documents stands, if nobody names a place."""
    folder = source.resolve()
    return folder.with_name(f"{folder.name}-test")


def parse_ways(names: str) -> tuple[Way, ...] | None:
    """The ways that a list with commas names; None where it is empty.

    :raises UsageError: there is no such way.
    """
    words = [word.strip() for word in names.split(",") if word.strip()]
    unknown = [word for word in words if word not in WAYS]
    if unknown:
        raise UsageError(
            f"Questions are found by {', '.join(WAYS)}, not by {', '.join(unknown)}. Type for "
            "example: --ways faq,sentence"
        )
    return tuple(way for way in WAYS if way in words) or None


def _questions(
    documents: Sequence[Document], ways: Sequence[Way]
) -> tuple[list[Candidate], list[Omission]]:
    questions: list[Candidate] = []
    omissions: list[Omission] = []
    for document in documents:
        of_document, passed_over = candidates(document, ways)
        questions += of_document
        omissions += passed_over
    questions, too_short = with_parents(questions)
    return questions, omissions + too_short


def _documents(source: Path, findings: Findings) -> list[Document]:
    documents = read_documents(source, findings)
    if documents:
        return documents
    reasons = [str(finding) for finding in findings.kept[:_N_NAMED]]
    raise DataError(f"No document of {source} could be read: {'; '.join(reasons)}.")


def _nothing(
    source: Path,
    documents: Sequence[Document],
    omissions: Sequence[Omission],
    has_llm: bool,
) -> str:
    n = len(documents)
    reasons = Counter(omission.reason for omission in omissions).most_common(_N_NAMED)
    left_out = "; ".join(f"{n_left} left out: {reason}" for reason, n_left in reasons)
    why = f" ({left_out})" if left_out else ""
    gave = f"{n} {'document' if n == 1 else 'documents'} of {source} gave no question"
    if has_llm:
        return (
            f"{gave}{why}. Look at what the model answered, in {CALLS} of the folder; another "
            "model or other --prompts are asked anew."
        )
    return (
        f"{gave}: no heading, title, FAQ or question sentence with a text that answers it{why}. "
        "Let a language model write questions: kemb draft ... --llm NAME --llm-base URL"
    )
