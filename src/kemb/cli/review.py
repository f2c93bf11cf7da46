"""The verb `review`."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import click

from kemb.errors import UsageError
from kemb.messages import Note, language, printable, say


@click.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True)
)
@click.option("--as", "reviewer", metavar="NAME", help="Who decides.  [your login name]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Of the page's address.  [one that is free]",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option(
    "--conflicts", is_flag=True, help="Only what reviewers disagree on, with what each said."
)
@click.option(
    "--merge", "only_merge", is_flag=True, help="Show what all decided, and their agreement."
)
@click.option("--json", "as_json", is_flag=True, help="With --merge: print as JSON.")
def review(
    folder: Path,
    reviewer: str | None,
    port: int,
    no_open: bool,
    conflicts: bool,
    only_merge: bool,
    as_json: bool,
) -> None:
    """Look at the questions of a folder on a page of this machine: accept, reject, edit, judge.

    Every decision is written to DIR/review/NAME.jsonl at once and counts as soon as the folder is
    used. Several people review under names of their own.

    \b
    Examples:
      kemb review ./drafted --as mina
      kemb review ./drafted --merge
    """
    from kemb.drafting import review as reviews
    from kemb.drafting.review_merge import as_json as to_json
    from kemb.drafting.review_merge import as_text
    from kemb.publishing import progress

    if as_json and not only_merge:
        raise UsageError("--json prints what was merged: type it with --merge.")
    of_the_page = {"--as": reviewer, "--port": port, "--no-open": no_open, "--conflicts": conflicts}
    if only_merge and (flags := [flag for flag, value in of_the_page.items() if value]):
        raise UsageError(
            f"With --merge no page is opened, so there is no {' and no '.join(flags)}. Leave it "
            "out, or leave out --merge."
        )
    if only_merge:
        report = reviews.merged(folder)
        click.echo(to_json(report) if as_json else printable(as_text(report, language())))
        return
    name = reviewer or _login_name()
    with reviews.reviewing(folder, name, port, conflicts) as (server, notes):
        for sentence in notes:
            _show(sentence)
        with progress.described(str):  # a server that waits has nothing to say every ten seconds
            reviews.serve(server, not no_open, _show)


def _show(sentence: Note) -> None:
    click.echo(printable(say(sentence, language())))


def _login_name() -> str:
    """The user's login name, as it can be that of a file."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody, as in some containers
        name = ""
    return re.sub(r"[^\w.-]", "-", name).strip("._-")[:40] or "reviewer"
