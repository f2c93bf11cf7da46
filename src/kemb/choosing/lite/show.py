"""A lite version as terminal text: how it was drawn, every row on both, the order."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from kemb.boards.lite import LEAST_SHARE
from kemb.choosing.lite.measure import LiteVersion
from kemb.choosing.lite.worth import Reference
from kemb.messages import Lang, Note, language, note, say
from kemb.publishing.costs import LITE
from kemb.publishing.reports import clean

_DERIVED = "*"


def show(version: LiteVersion, n_asked: int) -> None:
    """Print what was drawn and what it is worth; members of the pool apart from the others.

    :param n_asked: documents that were asked for.
    """
    import click

    from kemb.publishing.terminal import print_table

    lang = language()

    def echo(notes: Sequence[Note]) -> None:
        for sentence in notes:
            click.echo(clean(say(sentence, lang)))

    echo(drawn_notes(version, n_asked))
    titles = {True: note("lite.members"), False: note("lite.others")}
    for is_pooled, title in titles.items():
        rows = [one for one in version.references if one.is_pooled == is_pooled]
        if rows:
            echo([title])
            print_table(header(lang, is_pooled), [line(one) for one in rows])
    echo(worth_notes(version))


def drawn_notes(version: LiteVersion, n_asked: int) -> list[Note]:
    """How it was drawn."""
    lite = version.spec.lite
    assert lite is not None
    n_random = lite.n_documents - lite.n_judged - lite.n_pooled
    notes = [
        note(
            "lite.drawn",
            name=version.spec.name,
            full=lite.of,
            n_documents=lite.n_documents,
            n_full=lite.n_full,
            n_judged=lite.n_judged,
            n_pooled=lite.n_pooled,
            depth=lite.depth,
            n_random=n_random,
            n_questions=version.n_questions,
            folder=str(version.folder),
        )
    ]
    if lite.n_documents > n_asked:
        notes.append(note("lite.no_random", n_asked=n_asked))
    if version.has_lost_groups:
        notes.append(note("lite.lost_groups"))
    return notes


def header(lang: Lang, is_pooled: bool) -> list[str]:
    """Titles of the columns; of members of the pool two more."""
    keys = ["row", "full", "lite", "share", *(["outside", "outside_share"] if is_pooled else [])]
    return [say(note(f"lite.column_{key}"), lang) for key in keys]


def line(one: Reference) -> list[str]:
    """A row, in points; its revision is in the JSON."""
    name = one.row.rpartition("@")[0]
    cells = [
        f"{name} {_DERIVED}" if one.is_derived else name,
        f"{one.full.mean() * 100:.1f}",
        f"{one.lite.mean() * 100:.1f}" + (f" {LITE}" if one.is_marked else ""),
        f"{one.share:.0%}",
    ]
    if not one.is_pooled:
        return cells
    mark = f" {LITE}" if one.outside_share < LEAST_SHARE else ""
    return [*cells, f"{one.outside.mean() * 100:.1f}{mark}", f"{one.outside_share:.0%}"]


def worth_notes(version: LiteVersion) -> list[Note]:
    """Marks, the order of the rows, and what to do next."""
    notes, verdict = [], version.worth
    if any(min(one.share, one.outside_share) < LEAST_SHARE for one in version.references):
        notes.append(note("lite.mark", mark=LITE, share=LEAST_SHARE))
    if any(one.is_derived for one in version.references):
        notes.append(note("lite.derived"))
    if version.n_short:
        notes.append(note("lite.short", n=version.n_short))
    if verdict.tau == verdict.tau:
        order = note(
            "lite.order", n=verdict.n_rows, tau=verdict.tau, low=verdict.low, high=verdict.high
        )
        notes.append(order)
    else:
        notes.append(note("lite.no_order", n=verdict.n_rows))
    notes.append(note("lite.apart", n_apart=verdict.n_apart, n_turned=len(verdict.turned)))
    notes += [
        note(
            "lite.turned",
            better=pair.better.rpartition("@")[0],
            worse=pair.worse.rpartition("@")[0],
            full=pair.full * 100,
            lite=pair.lite * 100,
        )
        for pair in verdict.turned
    ]
    lite = version.spec.lite
    assert lite is not None
    notes.append(note("lite.next", folder=shlex.quote(str(version.folder)), full=lite.of))
    return notes
