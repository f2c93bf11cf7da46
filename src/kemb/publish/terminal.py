"""What a person sees in the terminal: progress on stderr, tables on stdout."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kemb.board import Board
from kemb.encode import Progress as EncodeProgress
from kemb.publish.tables import body, header
from kemb.run import Outcome

PIPE_WIDTH = 10_000


def print_board(board: Board, console: Console | None = None) -> None:
    """Print a board; rows without all tasks stand below a line, without a rank."""
    table = Table(header_style="bold")
    table.add_column("#", justify="right")
    for name in header(board):
        table.add_column(name, justify="left" if name == "Model" else "right", overflow="fold")
    ranked = [row for row in board.rows if row.mean is not None]
    for place, (row, line) in enumerate(zip(board.rows, body(board), strict=True)):
        rank = str(place + 1) if row.mean is not None else ""
        table.add_row(rank, *map(Text, line), end_section=place + 1 == len(ranked) < len(board.rows))
    console = console or _out()
    console.print(table)
    if len(ranked) < len(board.rows):
        console.print("Below the line: rows without all tasks have no mean and no rank.", style="dim")
    for note in board.notes:
        console.print(Text(note), style="yellow")


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print plain rows, one line each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _out().print(table)


def _out() -> Console:
    """Stdout; never cut to 80 columns when it is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


class TerminalReporter:
    """Progress of a run on stderr; bars only where that is a terminal, failures always."""

    def __init__(self) -> None:
        self.console = Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, width=PIPE_WIDTH)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=None, rate="")

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def loading(self, task: str) -> None:
        self._show(f"loading {task}")

    def encoding(self, row: str, progress: EncodeProgress) -> None:
        done = progress.n_stored + progress.n_encoded
        rate = ""
        if progress.seconds > 0:
            texts, tokens = progress.n_encoded / progress.seconds, progress.n_tokens / progress.seconds
            rate = f"{texts:,.0f} texts/s, {tokens:,.0f} tokens/s"
        self._progress.update(
            self._bar, description=f"encoding {row}", completed=done, total=progress.n_unique, rate=rate
        )

    def scoring(self, row: str, task: str) -> None:
        self._show(f"scoring {row} on {task}")

    def done(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self.console.print(Text(f"{outcome.row}, {outcome.task}: failed. {outcome.message}", style="red"))

    def _show(self, description: str) -> None:
        self._progress.update(self._bar, description=description, total=None, completed=0, rate="")
