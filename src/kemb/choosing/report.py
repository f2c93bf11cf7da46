"""A choice as terminal text, JSON, and a page that needs nothing beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kemb.choosing.choose import Choice, ChoiceRow, drop_note
from kemb.choosing.code import code_of
from kemb.choosing.decide import Decision
from kemb.choosing.sentences import Decided, choice_notes
from kemb.files import disk
from kemb.messages import Lang, Note, Value, language, note, say
from kemb.publishing.reports import clean
from kemb.publishing.site.schema import Snippet
from kemb.publishing.tables import millions, share, whole

_TEMPLATES = Path(__file__).parents[1] / "publishing" / "templates"
_HEADER = (
    "choose.row",
    "choose.points",
    "choose.rank",
    "choose.picked",
    "choose.parameters",
    "choose.index",
    "choose.why",
)


def header(lang: Lang) -> list[str]:
    """Titles of the columns."""
    return [say(note(key), lang) for key in _HEADER]


def body(choice: Choice, lang: Lang) -> list[list[str]]:
    """A line per row of the last look, best score first."""
    return [_line(choice, row, lang) for row in best_first(choice)]


def print_choice(choice: Choice) -> None:
    """Print the table, what was not tried, the sentences and the code."""
    import click

    from kemb.publishing.terminal import print_table

    lang = language()
    print_table(header(lang), body(choice, lang))
    for line in [*left_out_lines(choice, lang), "", *sentences(choice, lang)]:
        click.echo(clean(line))
    for snippet in code_of(choice):
        click.echo(f"\n--- {snippet.name}\n{snippet.code.rstrip()}")


def sentences(choice: Choice, lang: Lang) -> list[str]:
    """What the choice ends with."""
    return [say(sentence, lang) for sentence in choice_notes(choice)]


def best_first(choice: Decided) -> list[int]:
    """Numbers of the rows, the highest score first."""
    rows = range(len(choice.rows))
    return sorted(rows, key=lambda row: (-choice.rows[row].score, choice.rows[row].name))


def decided_cells(choice: Decided, number: int) -> list[str]:
    """Name, score with its interval, ranks, and how often a row is picked."""
    row, decision = choice.rows[number], choice.decision
    rank_low, rank_high = decision.ranks[number]
    return [
        clean(row.name),
        _score(decision, number, row.score),
        str(rank_low) if rank_low == rank_high else f"{rank_low}-{rank_high}",
        share(decision.shares[number]),
    ]


def left_out_lines(choice: Choice, lang: Lang) -> list[str]:
    """What was not tried, and what was dropped at which look, with the reason."""
    dropped = [
        drop_note(drop, look.names, look.share) for look in choice.looks for drop in look.drops
    ]
    return [*not_tried(choice, lang), *(say(sentence, lang) for sentence in dropped)]


def not_tried(choice: Decided, lang: Lang) -> list[str]:
    """What was not tried or failed, with the reason."""
    return [
        say(note("choose.left_out", name=entry.name, why=entry.why), lang)
        for entry in choice.left_out
    ]


def to_json(choice: Choice) -> str:
    """Everything, in fractions at full precision; sentences in English."""
    record = {
        **decided_record(choice),
        "n_documents": choice.n_documents,
        "smallest": choice.rows[choice.decision.smallest].name,
        "smallest_by": choice.smallest,
        "rows": [_row_record(choice, number) for number in best_first(choice)],
        "looks": [dataclasses.asdict(look) for look in choice.looks],
        "misses": choice.misses,
        "sentences": sentences(choice, "en"),
        "code": {snippet.name: snippet.code for snippet in code_of(choice)},
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def decided_record(choice: Decided) -> dict[str, Any]:
    """What every record of a decision says, in fractions at full precision."""
    decision = choice.decision
    return {
        "task": choice.task,
        "metric": choice.metric,
        "n_questions": choice.n_questions,
        "n_clusters": choice.n_clusters,
        "take": choice.rows[decision.pick].name,
        "first_group": [choice.rows[row].name for row in decision.group],
        "is_too_few": decision.is_too_few,
        "interval": [decision.low, decision.high],
        "optimism": decision.optimism,
        "plan": None if choice.plan is None else dataclasses.asdict(choice.plan),
        "left_out": [
            {"name": entry.name, "why": say(entry.why, "en")} for entry in choice.left_out
        ],
    }


def decided_row(choice: Decided, number: int) -> dict[str, Any]:
    """What every record of a decision says of a row."""
    row, decision = choice.rows[number], choice.decision
    return {
        "name": row.name,
        "score": row.score,
        "interval": decision.score_intervals[number],
        "ranks": decision.ranks[number],
        "taken_in": decision.shares[number],
        "result": str(row.result.path),
    }


def write_page(choice: Choice, path: Path, lang: Lang) -> None:
    """Write the choice as one HTML file.

    :raises DiskError: the file cannot be written.
    """
    page = Page(
        title=note("choose.title", task=choice.task),
        header=header(lang),
        lines=body(choice, lang),
        bars=[bar(choice.decision, row, choice.rows[row].score) for row in best_first(choice)],
        pick=best_first(choice).index(choice.decision.pick),
        sentences=sentences(choice, lang),
        left_out=left_out_lines(choice, lang),
        method=note("choose.method"),
        snippets=code_of(choice),
    )
    page.write(path, lang)


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on the page of a choice."""

    title: Note
    header: list[str]
    lines: list[list[str]]
    """Of the table; the name of a row comes first, its score second."""
    bars: list[dict[str, float]]
    pick: int
    """The line of the row that is taken."""
    sentences: list[str]
    left_out: list[str]
    method: Note
    snippets: Sequence[Snippet] = ()

    def write(self, path: Path, lang: Lang) -> None:
        """Write one HTML file: no script, no request, everything from outside escaped.

        :raises DiskError: the file cannot be written.
        """

        def t(key: str, /, **values: Value) -> str:
            return say(note(key, **values), lang)

        text = (
            _environment()
            .get_template("choice.html.j2")
            .render(
                t=t,
                lang=lang,
                page=self,
                title=say(self.title, lang),
                method=say(self.method, lang),
            )
        )
        disk.write(path, text, "Name another file with -o.")


def _score(decision: Decision, number: int, score: float) -> str:
    """Points of a row with their interval, where there are questions enough for one."""
    if decision.is_too_few:
        return f"{score * 100:.1f}"
    low, high = decision.score_intervals[number]
    return f"{score * 100:.1f} ({low * 100:.1f}-{high * 100:.1f})"


def bar(decision: Decision, number: int, score: float) -> dict[str, float]:
    """Places of the bar of a row in percent."""
    low, high = decision.score_intervals[number]
    return {"low": low * 100, "width": max(0.5, (high - low) * 100), "score": score * 100}


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _line(choice: Choice, number: int, lang: Lang) -> list[str]:
    row = choice.rows[number]
    index = whole(row.index_bytes_per_document)
    return [*decided_cells(choice, number), _size(row), index, clean(say(row.why, lang))]


def _size(row: ChoiceRow) -> str:
    return "0" if row.n_parameters == 0 else millions(row.n_parameters)


def _row_record(choice: Choice, number: int) -> dict[str, Any]:
    row = choice.rows[number]
    return {
        **decided_row(choice, number),
        "why": say(row.why, "en"),
        "n_parameters": row.n_parameters,
        "index_bytes_per_document": row.index_bytes_per_document,
    }
