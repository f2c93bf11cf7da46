"""Checks on published tables and cards: what is wrong, by which evidence, with which
consequence.
"""

from collections.abc import Sequence
from pathlib import Path

from kemb.adapters.documents import Document, read_document
from kemb.adapters.tables import Budget
from kemb.audit.averages import check_averages, statements
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

MOST_COMPARED = 100
"""Tables of one document that are compared with each other."""


def audit(paths: Sequence[Path], against: Sequence[Path] = ()) -> Audit:
    """Check documents, each by itself and against numbers of other sources.

    :param against: files with results of other sources (`kure_results.json`, result folders); the
        public scores that kemb ships are always asked.
    :raises DataError: a file that is no text, or no results.
    """
    documents = [read_document(path) for path in paths]
    published = facts(against)
    findings: list[Finding] = []
    problems: list[str] = []
    for document in documents:
        of_document, limits = _check(document, published)
        findings += of_document
        problems += [f"{document.path}: {text}" for text in [*document.problems, *limits]]
    n_tables = sum(len(document.tables) for document in documents)
    return Audit(findings, problems, n_tables, sum(len(document.entries) for document in documents))


def _check(document: Document, published: Facts) -> tuple[list[Finding], list[str]]:
    """Findings, and what was not checked."""
    file = document.path.name
    budget = Budget(str(document.path))
    shapes = [shape for table in document.tables if (shape := shape_of(table)) is not None]
    compared, limits = shapes[:MOST_COMPARED], []
    if len(shapes) > MOST_COMPARED:
        limits.append(
            f"line {shapes[MOST_COMPARED].table.line}: from here on tables are checked each by "
            f"itself; only {MOST_COMPARED} tables of scores are compared with each other"
        )
    statement = statements(document.text)
    findings: list[Finding] = []
    for shape in shapes:
        budget.check()
        findings += check_averages(shape, file, statement)
    findings += check_rankings(compared, file, budget)
    findings += check_labels(document, shapes)
    findings += check_links(document, shapes)
    findings += check_tables_agree(compared, file)
    findings += check_card(document)
    findings += check_task_tables(document)
    budget.check()
    findings += check_sources(document, shapes, published)
    return findings, limits
