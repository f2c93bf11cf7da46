"""Progress as one line of plain text, for notebooks and scripts; the command line has bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from kemb.encoding.encode import Progress
from kemb.evaluation.evaluate import Outcome, Task
from kemb.messages import Text, language, note, say

_SECONDS = 0.2
"""Between two lines of one stage."""


def is_interactive() -> bool:
    """Whether somebody is looking: a terminal, or a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if hasattr(shell, "kernel"):
        return True
    return sys.stderr is not None and sys.stderr.isatty()


class LineReporter:
    """Writes what a run is doing over and over the same line of a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._width = 0
        self._last = 0.0

    def __enter__(self) -> LineReporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._show("")
        self._stream.write("\r")
        self._stream.flush()

    def loading(self, task: str) -> None:
        self._say(note("terminal.loading", task=task))

    def warned(self, task: Task, warnings: Mapping[str, int]) -> None:
        """A line of its own, which stays."""
        self.noted(note("terminal.warned_kinds", task=task.spec.name, kinds=list(warnings)))

    def noted(self, text: Text) -> None:
        """A line of its own, which stays."""
        self._say(text)
        self._stream.write("\n")
        self._width = 0

    def encoding(self, row: str, progress: Progress) -> None:
        n_done = progress.n_stored + progress.n_encoded
        is_last = n_done == progress.n_unique
        if not is_last and time.monotonic() - self._last < _SECONDS:
            return
        rate: Text = ""
        if progress.seconds:
            rate = note("terminal.texts_rate", texts=progress.n_encoded / progress.seconds)
        encoding = note("terminal.encoding", row=row)
        self._say(
            note(
                "terminal.encoding_texts",
                encoding=encoding,
                n_done=n_done,
                n_texts=progress.n_unique,
                rate=rate,
            )
        )

    def scoring(self, row: str, task: str) -> None:
        self._say(note("terminal.scoring", row=row, task=task))

    def done(self, outcome: Outcome) -> None:
        self._show(f"{outcome.row} on {outcome.task}: {outcome.status}")

    def _say(self, text: Text) -> None:
        self._show(say(text, language()))

    def _show(self, line: str) -> None:
        self._last = time.monotonic()
        line = line[:120]
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
