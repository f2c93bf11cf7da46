"""Checks on published tables and cards: what is wrong, by which evidence, with which
consequence.
"""

from collections.abc import Sequence
from pathlib import Path

from kemb.adapters.documents import Document, read_document
from kemb.audit.averages import check_averages
from kemb.audit.findings import Audit, Finding
from kemb.audit.names import check_labels, check_links, shape_of
from kemb.audit.rankings import check_rankings
from kemb.audit.sources import (
    Facts,
    check_card,
    check_sources,
    check_tables_agree,
    check_task_tables,
    facts,
)

__all__ = ["Audit", "Finding", "audit"]


def audit(paths: Sequence[Path], against: Sequence[Path] = ()) -> Audit:
    """Check documents, each by itself and against numbers of other sources.

    :param against: files with results of other sources (`kure_results.json`, result folders); the
        public scores that kemb ships are always asked.
    :raises DataError: a file that is no text, or no results.
    """
    documents = [read_document(path) for path in paths]
    published = facts(against)
    findings = [finding for document in documents for finding in _check(document, published)]
    problems = [
        f"{document.path}: {problem}" for document in documents for problem in document.problems
    ]
    n_tables = sum(len(document.tables) for document in documents)
    return Audit(findings, problems, n_tables, sum(len(document.entries) for document in documents))


def _check(document: Document, published: Facts) -> list[Finding]:
    file = document.path.name
    shapes = [shape for table in document.tables if (shape := shape_of(table)) is not None]
    findings: list[Finding] = []
    for shape in shapes:
        findings += check_averages(shape, file, document.text)
    findings += check_rankings(shapes, file)
    findings += check_labels(document, shapes)
    findings += check_links(document, shapes)
    findings += check_tables_agree(shapes, file)
    findings += check_card(document)
    findings += check_task_tables(document)
    findings += check_sources(document, shapes, published)
    return findings
