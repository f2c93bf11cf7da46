"""All checks on some documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kemb.adapters.docinit import Document, read_document
from kemb.audit.averages import check_averages
from kemb.audit.cards import check_task_tables
from kemb.audit.findings import Finding
from kemb.audit.labels import check_labels, check_links
from kemb.audit.rankings import check_rankings
from kemb.audit.shape import shape_of
from kemb.audit.sources import Facts, check_card, check_sources, check_tables_agree, facts


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in documents, and what of them could not be read."""

    findings: list[Finding]
    problems: list[str]
    n_tables: int
    n_entries: int

    @property
    def n_wrong(self) -> int:
        """Findings that are not confirmations."""
        return sum(not finding.confirms for finding in self.findings)


def audit(paths: Sequence[Path], against: Sequence[Path] = ()) -> Audit:
    """Check documents, each by itself and against numbers of other sources.

    :param against: files with results of other sources (`kure_results.json`, result folders); the public scores that
        kemb ships are always asked.
    :raises DataError: a file that is no text, or no results.
    """
    documents = [read_document(path) for path in paths]
    known = facts(against)
    findings = [finding for document in documents for finding in _check(document, known)]
    problems = [f"{document.path}: {problem}" for document in documents for problem in document.problems]
    n_tables = sum(len(document.tables) for document in documents)
    return Audit(findings, problems, n_tables, sum(len(document.entries) for document in documents))


def _check(document: Document, known: Facts) -> list[Finding]:
    file = document.path.name
    shapes = [shape for table in document.tables if (shape := shape_of(table)) is not None]
    found: list[Finding] = []
    for shape in shapes:
        found += check_averages(shape, file, document.text)
    found += check_rankings(shapes, file)
    found += check_labels(document, shapes)
    found += check_links(document, shapes)
    found += check_tables_agree(shapes, file)
    found += check_card(document)
    found += check_task_tables(document)
    found += check_sources(document, shapes, known)
    return found
