"""What a person sees in the terminal: progress on stderr, tables on stdout."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from kemb import messages
from kemb.boards import Board
from kemb.boards.comparable import REVISION
from kemb.encoding.encode import Progress as EncodeProgress
from kemb.evaluation.evaluate import Outcome, Task
from kemb.publishing import notes, progress, tables
from kemb.publishing.tables import Column
from kemb.tasks.kinds import KINDS

PIPE_WIDTH = 10_000


def print_board(
    board: Board, console: Console | None = None, wide: bool = False, every: bool = False
) -> None:
    """Print a board; rows without all tasks stand below a line, without a rank.

    What does not fit the console is left out: of a long benchmark first single cells, then costs,
    certainties and means of groups; of a short one certainties first.

    :param wide: print all columns, however wide.
    :param every: print all rows below the line.
    """
    console = console or stdout()
    rows, n_hidden = tables.visible(board, every)
    lang = messages.language()
    every_column = tables.columns(board, rows, lang)
    columns = every_column if wide else _fitting(every_column, console.width)
    if title := messages.say(notes.heading(board), lang):
        console.print(Text(title, style="bold"))
    table = Table(header_style="bold")
    for column in columns:
        is_model = column.kind == "model"
        table.add_column(
            Text(_short(column)),
            justify="left" if is_model else "right",
            overflow="fold",
            min_width=None if is_model else _width(column),
        )
    for number, row in enumerate(rows):
        style = "dim" if row.claim and row.standing is None else ""
        last = number + 1 == len(board.complete) < len(rows)
        table.add_row(
            *(Text(messages.printable(column.values[number])) for column in columns),
            style=style,
            end_section=last,
        )
    console.print(table)
    below: list[messages.Text] = []
    if n_hidden_columns := len(every_column) - len(columns):
        below.append(messages.note("board.hidden_columns", n_columns=n_hidden_columns))
    below += notes.below_line(board, n_hidden)
    if any(why.key == REVISION for row in board.rows for why in row.missing.values()):
        below.append(messages.note("board.mixed"))
    below += notes.footer(board, tables.source_marks(rows))
    for text in below:
        console.print(Text(messages.say(text, lang)), style="dim")


def _fitting(columns: list[Column], width: int) -> list[Column]:
    """The columns that fit, in their order: the first three always, others by kind, all of a kind
    or none.
    """
    fitting_kinds = {"rank", "model", "score"}
    is_short = sum(column.kind == "cell" for column in columns) <= _FEW_CELLS
    kinds = (
        ("cell", "cost", "group", "certainty")
        if is_short
        else ("group", "certainty", "cost", "cell")
    )
    for kind in (*kinds, "detail"):
        candidates = [column for column in columns if column.kind in fitting_kinds | {kind}]
        text_width = sum(
            min(_width(c), _MODEL_WIDTH) if c.kind == "model" else _width(c) for c in candidates
        )
        if text_width + 3 * len(candidates) + 1 <= width:
            fitting_kinds.add(kind)
    return [column for column in columns if column.kind in fitting_kinds]


_FEW_CELLS = 8
"""Tasks that a reader wants to see one by one before anything else."""
_MODEL_WIDTH = 28
_TITLE_WIDTH = 12


def _short(column: Column) -> str:
    kind = KINDS.get(column.title) if column.kind == "group" else None
    return kind.short_title or column.title if kind else column.title


def _width(column: Column) -> int:
    """Cells of the terminal that a column needs; long titles are folded."""
    return max([min(cell_len(_short(column)), _TITLE_WIDTH), *map(cell_len, column.values)])


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print plain rows, one line each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(messages.printable(cell)) for cell in row))
    stdout().print(table)


def stdout() -> Console:
    """Stdout; never cut to 80 columns when it is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


class TerminalReporter:
    """Progress of a run on stderr: bars where that is a terminal, else a line now and then.
    Failures are always shown.

    :param n_cells: results that are asked for; 0 where that is not clear.
    """

    def __init__(self, n_cells: int = 0) -> None:
        self._n_cells, self._n_done = n_cells, 0
        self._what, self._since = "", time.monotonic()
        self._encoded: EncodeProgress | None = None
        self._pulse = progress.described(self._line)
        self.console = (
            Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, width=PIPE_WIDTH)
        )
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
        self._rows_cut: set[str] = set()
        self._warned_tasks: set[str] = set()

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        self._pulse.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._pulse.__exit__(kind, error, tb)
        self._progress.stop()

    def loading(self, task: str) -> None:
        self._show(_said("terminal.loading", task=task))

    def warned(self, task: Task, warnings: Mapping[str, int]) -> None:
        """One line for a task, once."""
        if task.spec.name in self._warned_tasks:
            return
        self._warned_tasks.add(task.spec.name)
        text = _said(
            "terminal.warned",
            task=task.spec.name,
            n_warnings=sum(warnings.values()),
            kinds=notes.warning_kinds(warnings),
            path=shlex.quote(task.path or task.spec.name),
        )
        self.console.print(Text(text, style="yellow"))

    def noted(self, text: messages.Text) -> None:
        """One line, which stays."""
        self.console.print(Text(messages.say(text, messages.language()), style="yellow"))

    def encoding(self, row: str, encoded: EncodeProgress) -> None:
        n_ready = encoded.n_stored + encoded.n_encoded
        rate = _rate(encoded) if encoded.seconds > 0 else ""
        self._what, self._encoded = _said("terminal.encoding", row=row), encoded
        self._progress.update(
            self._bar, description=self._what, completed=n_ready, total=encoded.n_unique, rate=rate
        )

    def scoring(self, row: str, task: str) -> None:
        self._show(_said("terminal.scoring", row=row, task=task))

    def done(self, outcome: Outcome) -> None:
        self._n_done += 1
        row, task, why = outcome.row, outcome.task, outcome.message
        if outcome.status == "failed":
            text = _said("terminal.failed", row=row, task=task, why=why)
            self.console.print(Text(text, style="red"))
        elif outcome.status == "not applicable" and why:
            text = _said("terminal.not_applicable", row=row, task=task, why=why)
            self.console.print(Text(text, style="dim"))
        record = outcome.result.kemb if outcome.result else None
        n_cut = (record.api.n_cut or 0) if record and record.api else 0
        if n_cut and row not in self._rows_cut:
            self._rows_cut.add(row)
            self.console.print(Text(_said("terminal.cut", row=row, n=n_cut), style="yellow"))

    def _show(self, description: str) -> None:
        self._what, self._since, self._encoded = description, time.monotonic(), None
        self._progress.update(self._bar, description=description, total=None, completed=0, rate="")

    def _line(self) -> str:
        """What is being done, for where there is no bar."""
        encoded = self._encoded
        if encoded is not None and encoded.n_encoded and encoded.seconds > 0:
            n_done = encoded.n_stored + encoded.n_encoded
            line = _said(
                "terminal.pulse_encoding",
                what=self._what,
                n_done=n_done,
                n=encoded.n_unique,
                percent=100 * n_done / encoded.n_unique,
                rate=_rate(encoded),
                left=(encoded.n_unique - n_done) * encoded.seconds / encoded.n_encoded,
            )
        else:
            seconds = time.monotonic() - self._since
            line = _said(
                "terminal.pulse", what=self._what or _said("terminal.preparing"), seconds=seconds
            )
        if not self._n_cells:
            return line
        return _said("terminal.pulse_results", line=line, n_done=self._n_done, n=self._n_cells)


def _rate(encoded: EncodeProgress) -> str:
    texts, tokens = encoded.n_encoded / encoded.seconds, encoded.n_tokens / encoded.seconds
    return _said("terminal.rate", texts=texts, tokens=tokens)


def _said(key: str, /, **values: messages.Value) -> str:
    return messages.say(messages.note(key, **values), messages.language())
