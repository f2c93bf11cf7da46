"""The verbs that make a test set out of documents."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kemb.messages import language, note, say

if TYPE_CHECKING:
    from kemb.drafting import DraftReport


@click.command()
@click.argument("docs", type=click.Path(path_type=Path), metavar="DOCS")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the test set.",
)
@click.option(
    "--ways",
    default="",
    help="How questions are found: faq, sentence, heading, title.  [all four]",
)
@click.option(
    "--chunks",
    default="heading:800",
    show_default=True,
    help="How documents are cut into passages: sentences:N, heading:N, fixed:N+M, document.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
def draft(docs: Path, out: Path, ways: str, chunks: str, as_json: bool) -> None:
    """Make a test set out of documents that have no questions.

    Questions are what the documents ask themselves: FAQs, sentences that ask, headings, titles.
    They go from the passages that answer them. The set is marked as drafted wherever its scores
    are shown, and says how far it can be trusted.

    \b
    Examples:
      kemb draft ./docs -o ./set
      kemb draft ./docs -o ./set --ways faq,sentence
      kemb review ./set
      kemb run ./set -m bm25:kiwi -m kiwi-static
    """
    from kemb.drafting import DraftSettings
    from kemb.drafting import draft as make_draft
    from kemb.drafting.make import parse_ways

    report = make_draft(docs, out, DraftSettings(parse_ways(ways), chunks))
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
    else:
        _show(report)


def _show(report: DraftReport) -> None:
    lang = language()
    folder = shlex.quote(str(report.folder))
    of_ways = [
        note("draft.count", what=note(f"draft.way_{way}"), n=n)
        for way, n in report.n_questions.items()
    ]
    lines = [
        note(
            "draft.made",
            folder=str(report.folder),
            n_documents=len(report.documents),
            n_passages=len(report.chunks),
            chunks=report.chunking,
            n_questions=len(report.questions),
            ways=of_ways,
        ),
        note("draft.overlap", share=report.overlap),
    ]
    if report.hides_headings:
        lines.append(note("draft.headings_hidden"))
    if report.findings:
        lines.append(note("draft.findings", findings=list(report.findings)))
    if report.n_joined or report.n_joint_answers:
        lines.append(note("draft.joined", n_joined=report.n_joined, n_joint=report.n_joint_answers))
    if report.reasons:
        why = [
            note("draft.count", what=note(f"draft.why_{_name(reason)}"), n=n)
            for reason, n in report.reasons.items()
        ]
        lines.append(note("draft.left_out", n=len(report.omissions), counts=why))
    if report.flags:
        flags = [
            note("draft.count", what=note(f"draft.flag_{_name(flag)}"), n=n)
            for flag, n in report.flags.items()
        ]
        lines.append(note("draft.flagged", counts=flags))
    lines.append(note("draft.next", folder=folder))
    for line in lines:
        click.echo(say(line, lang))


def _name(reason: str) -> str:
    """Of a reason or flag in the table of messages."""
    return reason.replace(" ", "_")
