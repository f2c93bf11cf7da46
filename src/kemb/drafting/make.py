"""`kemb draft`: from documents to a test set, and what to know of it before it is trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kemb.drafting.candidates import WAYS, Candidate, Omission, Way, candidates
from kemb.drafting.chunks import chunk, parse_chunking
from kemb.drafting.cutting import without_questions
from kemb.drafting.filters import sieve, with_parents
from kemb.drafting.folder import DraftReport, check_target, write_draft
from kemb.errors import DataError, UsageError
from kemb.tasks.own.documents import Document, read_documents
from kemb.tasks.own.findings import Findings

CHUNKS = "heading:800"
_N_NAMED = 3


@dataclass(frozen=True, slots=True)
class DraftSettings:
    """How a test set is drafted."""

    ways: tuple[Way, ...] = WAYS
    chunks: str = CHUNKS
    """How the documents are cut into passages (`kemb.drafting.chunks`)."""


def draft(source: Path, target: Path, settings: DraftSettings | None = None) -> DraftReport:
    """Make a test set out of documents and write it into a folder, whole or not at all.

    :param source: a folder of documents, or one.
    :param target: the folder of the set; one that an earlier draft wrote is replaced, and what
        people decided about its questions stays.
    :raises UsageError: there is nothing at the source, the target holds something else, or
        decisions about other passages.
    :raises DataError: no document could be read, or no question came out.
    :raises DiskError: the folder cannot be written.
    """
    settings = settings or DraftSettings()
    parse_chunking(settings.chunks)
    check_target(target)
    findings = Findings()
    documents = _documents(source, findings)
    hides_headings = bool({"heading", "title"} & set(settings.ways))
    questions, omissions = _questions(documents, settings.ways)
    cut_documents, questions = without_questions(documents, questions, hides_headings)
    chunks = chunk(cut_documents, settings.chunks)
    sieved = sieve(questions, chunks)
    omissions += sieved.omissions
    if not sieved.questions:
        raise DataError(_nothing(source, documents, omissions))
    report = DraftReport(
        folder=target,
        source=source.name,
        documents=cut_documents,
        chunks=chunks,
        chunking=settings.chunks,
        ways=settings.ways,
        hides_headings=hides_headings,
        questions=sieved.questions,
        omissions=omissions,
        n_joined=sieved.n_joined,
        n_joint_answers=sieved.n_joint_answers,
        findings=[str(finding) for finding in findings.kept],
        n_unread=findings.n_errors,
    )
    write_draft(report)
    return report


def parse_ways(names: str) -> tuple[Way, ...]:
    """The ways that a list with commas names; all of them where it is empty.

    :raises UsageError: there is no such way.
    """
    words = [word.strip() for word in names.split(",") if word.strip()]
    unknown = [word for word in words if word not in WAYS]
    if unknown:
        raise UsageError(
            f"Questions are found by {', '.join(WAYS)}, not by {', '.join(unknown)}. Type for "
            "example: --ways faq,sentence"
        )
    return tuple(way for way in WAYS if way in words) or WAYS


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


def _nothing(source: Path, documents: Sequence[Document], omissions: Sequence[Omission]) -> str:
    n = len(documents)
    reasons = Counter(omission.reason for omission in omissions).most_common(_N_NAMED)
    left_out = "; ".join(f"{n_left} left out: {reason}" for reason, n_left in reasons)
    why = f" ({left_out})" if left_out else ""
    return (
        f"{n} {'document' if n == 1 else 'documents'} of {source} gave no question: no heading, "
        f"title, FAQ or question sentence with a text that answers it{why}. "
        "Let a language model write questions: kemb draft ... --llm NAME --llm-base URL."
    )
