"""A choice among ways of cutting as terminal text and JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

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
    for line in [*left_out_lines(choice, lang), "", *sentences(choice, lang)]:
        click.echo(clean(line))


def left_out_lines(choice: CutChoice, lang: Lang) -> list[str]:
    """What was not measured, with the reason."""
    return [
        say(note("choose.left_out", name=entry.name, why=entry.why), lang)
        for entry in choice.left_out
    ]


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
        left_out=left_out_lines(choice, lang),
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
    decision = choice.decision
    record = {
        "task": choice.task,
        "metric": choice.metric,
        "n_questions": choice.n_questions,
        "n_clusters": choice.n_clusters,
        "take": choice.pick.name,
        "first_group": [choice.rows[row].name for row in decision.group],
        "is_too_few": decision.is_too_few,
        "interval": [decision.low, decision.high],
        "optimism": decision.optimism,
        "rows": [
            {
                "name": choice.rows[row].name,
                "chunks": choice.rows[row].chunking,
                "model": choice.rows[row].model.row,
                "interval": decision.score_intervals[row],
                "ranks": decision.ranks[row],
                "taken_in": decision.shares[row],
                "n_chunks": choice.rows[row].n_chunks,
                "n_characters": choice.rows[row].n_characters,
                "index_bytes": choice.rows[row].index_bytes,
                "metrics": choice.rows[row].metrics,
                "result": str(choice.rows[row].result.path),
            }
            for row in report.best_first(choice)
        ],
        "left_out": [
            {"name": entry.name, "why": say(entry.why, "en")} for entry in choice.left_out
        ],
        "plan": None if choice.plan is None else dataclasses.asdict(choice.plan),
        "sentences": sentences(choice, "en"),
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


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
