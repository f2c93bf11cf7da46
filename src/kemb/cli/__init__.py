"""The command line: one thin function per verb. Everything but click is imported when a verb needs
it.
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from kemb.cli import (
    choose,
    compare,
    convert,
    docs,
    draft,
    exchange,
    lists,
    publish,
    review,
    run,
    study,
    train,
)
from kemb.cli.options import add_lang, results_option
from kemb.errors import KembError, UsageError
from kemb.files import disk
from kemb.messages import language, note, printable, say
from kemb.publishing import progress


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kemb", message="kemb %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Evaluate, rank and compare text-embedding models, Korean first.

    \b
    Examples:
      kemb demo
      kemb run KLUE-STS Ko-StrategyQA -m BAAI/bge-m3 -m bm25:kiwi
      kemb board
    """


def main() -> None:
    """Run the command line; a KembError becomes one paragraph and an exit code."""
    _end_by_sigterm()
    try:
        with progress.pulse(partial(_at_work, time.monotonic()), _deafness()):
            try:
                cli.main(standalone_mode=False)
            finally:
                sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        by_hand = not _endings
        interrupted = note("cli.interrupted" if by_hand else "cli.terminated")
        _leave(128 + (signal.SIGINT if by_hand else _endings[0]), say(interrupted, language()))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KembError as error:
        if "--debug" in sys.argv:
            raise
        _leave(error.exit_code, say(note("cli.error", why=str(error)), language()))
    except BrokenPipeError:
        _forget_output()
        sys.exit(1)
    except MemoryError as error:  # pyarrow's and numpy's are kinds of it
        if "--debug" in sys.argv:
            raise
        _leave(1, say(note("cli.no_memory", why=str(error)), language()))
    except OSError as error:
        if "--debug" in sys.argv or not (disk.is_full(error) or error.filename):
            raise
        _leave_refused(error)


def _leave_refused(error: OSError) -> NoReturn:
    """End with what the system says: of the output, if it is full, or of the file that it names."""
    why = disk.reason_of(error)
    if disk.is_full(error):
        _forget_output()
        _leave(1, say(note("cli.full", why=why), language()))
    _leave(1, say(note("cli.unreachable", path=str(error.filename), why=why), language()))


_endings: list[int] = []
"""Signals, other than Ctrl-C, that ask this process to end."""


def _end_by_sigterm() -> None:
    """SIGTERM ends as Ctrl-C does."""

    def end(number: int, frame: object) -> None:
        _endings.append(number)
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


def _deafness() -> str:
    """What is to be said where Ctrl-C is ignored, as in background jobs of a script; else ''."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        return ""
    return say(note("cli.deaf", pid=str(os.getpid())), language())


def _at_work(started: float) -> str:
    """What is said of a verb that says nothing of itself."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    seconds = round(time.monotonic() - started)
    return say(note("cli.at_work", verb=verb, seconds=seconds), language())


def _forget_output() -> None:
    """What standard output still holds cannot be written: not at the end of the process either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(code: int, message: str) -> NoReturn:
    message = printable(message)
    width = min(os.get_terminal_size(2).columns, 120) if sys.stderr.isatty() else 10_000
    click.echo(
        textwrap.fill(message, width, break_long_words=False, break_on_hyphens=False), err=True
    )
    sys.exit(code)


@cli.command()
@click.argument("targets", nargs=-1, metavar="[BENCHMARK|FILE.toml|TASK...]")
@results_option
@click.option("--formula", default="", help="One of the benchmark's formulas.  [its first]")
@click.option(
    "--only", type=click.Choice(["measured", "claimed"]), help="Leave out the other rows."
)
@click.option("--claimed", is_flag=True, help="Without a benchmark: published scores as well.")
@click.option(
    "--intervals",
    type=click.Choice(["auto", "items", "tasks", "none"]),
    default="auto",
    show_default=True,
    help="What is resampled.",
)
@click.option("--mixed", is_flag=True, help="Rank different data revisions together, as mteb does.")
@click.option("--wide", is_flag=True, help="Every column, however wide.")
@click.option("--all", "every", is_flag=True, help="Every row below the line.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "md", "csv", "json"]),
    default="table",
    show_default=True,
)
def board(
    targets: tuple[str, ...],
    results_dir: Path,
    formula: str,
    only: str | None,
    claimed: bool,
    form: str,
    **settings: Any,  # noqa: ANN401  click gives each its type
) -> None:
    """Rank results, with intervals for scores and ranks.

    With a benchmark the published scores that come with kemb stand beside your own. With tasks, or
    without any name, only what was measured in the results folder.

    \b
    Examples:
      kemb board
      kemb board mteb-kor-v2
      kemb board KorSTS KLUE-STS --format md
    """
    from kemb.boards import BoardOptions, build_board
    from kemb.evaluation.targets import benchmark_of, refuse_unknown
    from kemb.publishing import tables
    from kemb.results.claims import read_all, shipped

    benchmark, is_public = benchmark_of(targets)
    results = read_all(results_dir)
    if (is_public or claimed or only == "claimed") and only != "measured":
        results += shipped()
    else:
        only = "measured"
    results = [
        result for result in results if only in (None, "claimed" if result.claim else "measured")
    ]
    options = BoardOptions(intervals=settings["intervals"], allow_mixed_revisions=settings["mixed"])
    with progress.busy(note("cli.ranking")):
        built = build_board(results, benchmark, formula, options) if results else None
    if built is None or not built.rows:
        refuse_unknown(targets, [result.task for result in results])
        public = "" if is_public else ", or type `kemb board mteb-kor-v2` for published scores"
        name = f" of {', '.join(targets)}" if targets else ""
        raise UsageError(
            f"There are no results{name} in {results_dir}. Make some with `kemb run`, or name "
            f"--results DIR{public}."
        )
    if form == "table":
        from kemb.publishing.terminal import print_board

        print_board(built, wide=settings["wide"], every=settings["every"])
    elif form == "md":
        click.echo(tables.to_markdown(built, settings["wide"], settings["every"]), nl=False)
    else:
        click.echo({"csv": tables.to_csv, "json": tables.to_json}[form](built), nl=False)


for command in (
    run.run_command,
    run.demo,
    run.check,
    review.review,
    study.prompts_group,
    study.robustness,
    compare.compare,
    compare.verify,
    choose.choose,
    choose.power,
    publish.audit,
    publish.site,
    publish.card,
    exchange.import_group,
    exchange.export_group,
    exchange.submit,
    exchange.init,
    train.train,
    train.mine,
    draft.draft,
    lists.tasks_group,
    lists.models,
    lists.benchmarks,
    lists.store,
    docs.docs,
    convert.convert,
):
    cli.add_command(command)
add_lang(cli)
