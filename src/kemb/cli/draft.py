"""The verbs that make a test set out of documents."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli.options import in_one, llm_address, llm_consent
from kemb.messages import language, note, printable, say

if TYPE_CHECKING:
    from kemb.drafting import DraftReport, LlmSettings


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
@in_one(
    "llm",
    click.option("--llm", "name", default="", help="A language model that writes questions."),
    *llm_address,
    click.option(
        "--styles", default="", help="Of the prompts: keyword, colloquial, formal, typos."
    ),
    click.option(
        "--passages",
        "n_passages",
        type=click.IntRange(1),
        help="At most so many passages are asked about.  [100]",
    ),
    *llm_consent,
)
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
def draft(
    docs: Path, out: Path, ways: str, chunks: str, llm: dict[str, Any], as_json: bool
) -> None:
    """Make a test set out of documents that have no questions.

    Questions are what the documents ask themselves: FAQs, sentences that ask, headings, titles; or
    what a language model writes. They go from the passages that answer them. The set is marked as
    drafted wherever its scores are shown, and says how far it can be trusted.

    \b
    Examples:
      kemb draft ./docs -o ./set
      kemb draft ./docs -o ./set --ways faq,sentence
      kemb draft ./docs -o ./set --llm qwen3:8b --llm-base http://localhost:11434/v1
      kemb review ./set
      kemb run ./set -m bm25:kiwi -m kiwi-static
    """
    from kemb.drafting import DraftSettings
    from kemb.drafting import draft as make_draft
    from kemb.drafting.make import parse_ways

    settings = DraftSettings(parse_ways(ways), chunks, _llm(**llm))
    report = make_draft(docs, out, settings)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
    else:
        _show(report)


def _llm(
    name: str,
    base_url: str,
    price: str,
    styles: str,
    n_passages: int | None,
    prompts: Path | None,
    is_agreed: bool,
) -> LlmSettings | None:
    if not any((name, base_url, price, styles, n_passages, prompts, is_agreed)):
        return None
    settings = llm_of(name, base_url, price, prompts, is_agreed)
    names = tuple(style.strip() for style in styles.split(",") if style.strip())
    return replace(settings, styles=names, n_passages=n_passages or settings.n_passages)


def llm_of(
    name: str, base_url: str, price: str, prompts: Path | None, is_agreed: bool
) -> LlmSettings:
    """The settings that the options of a language model mean.

    :raises UsageError: a price that is none.
    """
    from kemb.drafting import LlmSettings
    from kemb.errors import UsageError

    dollars = [part.strip() for part in price.split(",")] if price else []
    try:
        amounts = [float(part) for part in dollars]
    except ValueError:
        amounts = [-1.0]
    if amounts and (len(amounts) != 2 or not all(0 <= amount < 1e6 for amount in amounts)):
        raise UsageError(
            f"--llm-price takes two amounts in US dollars, not {price!r}; for example: "
            "--llm-price 0.15,0.60"
        )
    return LlmSettings(
        name,
        base_url,
        prompts,
        price=(amounts[0], amounts[1]) if amounts else None,
        consent=lambda before: is_agreed or _agrees(base_url),
        on_note=lambda text: click.echo(say(text, language()), err=True),
    )


def _agrees(base_url: str) -> bool:
    """What a person at a terminal says; no where nobody is asked."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(say(note("draft.agree", host=base_url), language()), err=True)


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
        click.echo(printable(say(line, lang)))


def _name(reason: str) -> str:
    """Of a reason or flag in the table of messages."""
    return reason.replace(" ", "_")
