"""A card's table of tasks against its own metadata: the same score stands in both."""

from __future__ import annotations

from collections.abc import Iterator

from kemb.adapters.docinit import Document, Table
from kemb.adapters.mteb_results import metric_name
from kemb.audit.findings import Finding
from kemb.audit.shape import plain_name


def check_task_tables(document: Document) -> Iterator[Finding]:
    """Rows of tables with the columns Task, Split, Subset, Metric and Score, as kemb's cards have them.

    Metadata may be in percent or in fractions; a row that the metadata does not have is none of our business.
    """
    stated: dict[tuple[str, ...], float] = {}
    for entry in document.entries:
        task = entry.name.removeprefix("MTEB ").removesuffix(f" ({entry.config})").strip()
        percent = any(abs(value) > 1 for value in entry.metrics.values())
        for metric, value in entry.metrics.items():
            key = _key(task, entry.split, entry.config or "default", metric_name(metric))
            stated[key] = value if percent else value * 100
    for table in document.tables if stated else []:
        yield from _table(document, table, stated)


def _table(document: Document, table: Table, stated: dict[tuple[str, ...], float]) -> Iterator[Finding]:
    names = [plain_name(name) for name in table.columns]
    wanted = ["task", "split", "subset", "metric", "score"]
    if any(names.count(name) != 1 for name in wanted):
        return
    *identity, score = (names.index(name) for name in wanted)
    for row, line in zip(table.rows, table.lines, strict=True):
        task, split, subset, metric = (row[column].text for column in identity)
        value, cell = stated.get(_key(task, split, subset, metric)), row[score]
        if value is None or cell.number is None or abs(cell.number - value) <= cell.half_unit + 1e-9:
            continue
        yield Finding(
            "transcription",
            document.path.name,
            line,
            table.title,
            f"{task}, {metric}",
            f"The score of {task} in the table is not what the card's metadata says.",
            f"{cell.text} in the table, {value:.6g} in the model-index.",
            "One of the two was changed, or is of another run.",
        )


def _key(*parts: str) -> tuple[str, ...]:
    """Names without case and punctuation: Markdown escapes some of it."""
    return tuple(plain_name(part) for part in parts)
