"""The verb `review`: people look at questions and passages, or a language model judges passages."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path
from typing import Any

import click

from kemb.cli.draft import llm_of
from kemb.cli.options import in_one, llm_address, llm_consent
from kemb.errors import UsageError
from kemb.messages import Note, language, printable, say


@click.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True)
)
@in_one(
    "page",
    click.option("--as", "reviewer", metavar="NAME", help="Who decides.  [your login name]"),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        help="Of the page's address.  [one that is free]",
    ),
    click.option("--no-open", is_flag=True, help="Do not open a browser."),
    click.option(
        "--conflicts", is_flag=True, help="Only what reviewers disagree on, with what each said."
    ),
)
@click.option(
    "--merge", "only_merge", is_flag=True, help="Show what all decided, and their agreement."
)
@in_one(
    "judge",
    click.option(
        "--judge", "name", default="", help="A language model that judges unjudged passages."
    ),
    *llm_address,
    click.option(
        "--pairs",
        "n_pairs",
        type=click.IntRange(1),
        help="At most so many pairs are asked about now.  [all]",
    ),
    *llm_consent,
)
@click.option("--json", "as_json", is_flag=True, help="With --merge or --judge: print as JSON.")
def review(
    folder: Path, page: dict[str, Any], only_merge: bool, judge: dict[str, Any], as_json: bool
) -> None:
    """Look at the questions of a folder on a page of this machine: accept, reject, edit, judge.

    Every decision is written to DIR/review/NAME.jsonl at once and counts as soon as the folder is
    used. Several people review under names of their own. With --judge a language model judges the
    passages of the pool that nobody judged; its labels count only once they agree with people's.

    \b
    Examples:
      kemb review ./drafted --as mina
      kemb review ./drafted --merge
      kemb review ./drafted --judge qwen3:8b --llm-base http://localhost:11434/v1
    """
    _refuse_mixtures(page, only_merge, judge, as_json)
    if judge["name"]:
        _judge(folder, as_json, **judge)
    elif only_merge:
        _merge(folder, as_json)
    else:
        _review(folder, **page)


def _review(folder: Path, reviewer: str | None, port: int, no_open: bool, conflicts: bool) -> None:
    from kemb.drafting import review as reviews
    from kemb.drafting.judging import check_judges
    from kemb.publishing import progress

    name = reviewer or _login_name()
    with reviews.reviewing(folder, name, port, conflicts) as (server, notes):
        for sentence in notes:
            _show(sentence)
        with progress.described(str):  # a server that waits has nothing to say every ten seconds
            reviews.serve(server, not no_open, _show)
    for sentence in check_judges(folder):
        _show(sentence)


def _merge(folder: Path, as_json: bool) -> None:
    from kemb.drafting import review as reviews
    from kemb.drafting.judging import check_judges
    from kemb.drafting.review_merge import as_json as to_json
    from kemb.drafting.review_merge import as_text

    report = reviews.merged(folder)
    of_judges = check_judges(folder)
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(printable(as_text(report, language())))
    for sentence in of_judges:
        _show(sentence)


def _judge(folder: Path, as_json: bool, **options: Any) -> None:  # noqa: ANN401  of --judge
    from kemb.drafting.judging import JudgeSettings, judge

    n_pairs = options.pop("n_pairs")
    judging = judge(folder, JudgeSettings(llm_of(**options), n_pairs))
    if as_json:
        click.echo(json.dumps(judging.as_json(), ensure_ascii=False, indent=1))
        return
    for sentence in judging.notes():
        _show(sentence)


def _refuse_mixtures(
    page: dict[str, Any], only_merge: bool, judge: dict[str, Any], as_json: bool
) -> None:
    """:raises UsageError: options that do nothing together."""
    flags = {
        "--as": page["reviewer"],
        "--port": page["port"],
        "--no-open": page["no_open"],
        "--conflicts": page["conflicts"],
    }
    of_the_page = [flag for flag, value in flags.items() if value]
    other = "--judge" if judge["name"] else "--merge" if only_merge else ""
    if judge["name"] and only_merge:
        raise UsageError("--judge asks a language model, --merge shows decisions: type one.")
    if other and of_the_page:
        raise UsageError(
            f"With {other} no page is opened, so there is no {' and no '.join(of_the_page)}. Leave "
            f"it out, or leave out {other}."
        )
    if as_json and not other:
        raise UsageError("--json prints what was merged or judged: add --merge or --judge.")
    if any(judge.values()) and not judge["name"]:
        raise UsageError(
            "--llm-base, --llm-price, --pairs, --prompts and --yes are of a language model that "
            "judges; name it: --judge NAME"
        )


def _show(sentence: Note) -> None:
    click.echo(printable(say(sentence, language())))


def _login_name() -> str:
    """The user's login name, as it can be that of a file."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody, as in some containers
        name = ""
    return re.sub(r"[^\w.-]", "-", name).strip("._-")[:40] or "reviewer"
