"""A choice among ways of cutting as terminal text and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kemb.choosing import report
from kemb.choosing.cuts import CutChoice, CutRow
from kemb.choosing.sentences import cut_notes
from kemb.messages import Lang, language, note, say
from kemb.publishing.reports import clean

_BUDGETS = (1000, 4000)


def print_cuts(choice: CutChoice) -> None:
    """Print the table, what was not measured, and the sentences."""
    import click

    from kemb.publishing.terminal import print_table

    lang = language()
    print_table(header(lang), body(choice))
    for line in [*report.not_tried(choice, lang), "", *sentences(choice, lang)]:
        click.echo(clean(line))


def write_page(choice: CutChoice, path: Path, lang: Lang) -> None:
    """Write the choice as one HTML file.

    :raises DiskError: the file cannot be written.
    """
    page = report.Page(
        title=note("cuts.title", task=choice.task),
        header=header(lang),
        lines=body(choice),
        bars=[
            report.bar(choice.decision, row, choice.rows[row].score)
            for row in report.best_first(choice)
        ],
        pick=report.best_first(choice).index(choice.decision.pick),
        sentences=sentences(choice, lang),
        left_out=report.not_tried(choice, lang),
        method=note("cuts.method"),
    )
    page.write(path, lang)


def header(lang: Lang) -> list[str]:
    """Titles of the columns."""
    _, _, rank, picked, *_ = report.header(lang)
    main, *others = (say(note("cuts.seen", n=n), lang) for n in (2000, *_BUDGETS))
    last = [say(note(key), lang) for key in ("cuts.ndcg", "cuts.chunks", "cuts.characters")]
    gold = say(note("cuts.gold", n=2000), lang)
    return [say(note("cuts.row"), lang), main, rank, picked, *others, gold, *last]


def body(choice: CutChoice) -> list[list[str]]:
    """A line per row, best score first."""
    return [_line(choice, row) for row in report.best_first(choice)]


def sentences(choice: CutChoice, lang: Lang) -> list[str]:
    """What the choice ends with."""
    return [say(sentence, lang) for sentence in cut_notes(choice, choice.notes, choice.smallest)]


def to_json(choice: CutChoice) -> str:
    """Everything, in fractions at full precision; sentences in English."""
    record = {
        **report.decided_record(choice),
        "rows": [_row_record(choice, number) for number in report.best_first(choice)],
        "sentences": sentences(choice, "en"),
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _row_record(choice: CutChoice, number: int) -> dict[str, Any]:
    row = choice.rows[number]
    return {
        **report.decided_row(choice, number),
        "chunks": row.chunking,
        "model": row.model.row,
        "n_chunks": row.n_chunks,
        "n_characters": row.n_characters,
        "index_bytes": row.index_bytes,
        "metrics": row.metrics,
    }


def _line(choice: CutChoice, number: int) -> list[str]:
    row = choice.rows[number]
    return [
        *report.decided_cells(choice, number),
        *(_points(row, f"span_recall@{n}") for n in _BUDGETS),
        _points(row, "span_precision@2000"),
        _points(row, "ndcg@10"),
        f"{row.n_chunks:,}",
        f"{row.n_characters:,}",
    ]


def _points(row: CutRow, metric: str) -> str:
    return f"{row.metrics[metric] * 100:.1f}"
