"""Signs of life on stderr where that is no terminal: a line every ten seconds, written at once.

One thread writes for the whole command; what is said comes from whoever works at the moment.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from kemb.messages import Note, language, note, say

EVERY_SECONDS = 10.0
Describe = Callable[[], str]
"""What is being done at the moment, as one line."""

_describers: list[Describe] = []
_last = [0.0]
"""When a line of progress was written last, by the clock that only goes forward."""


@contextlib.contextmanager
def pulse(describe: Describe, opening: str = "") -> Iterator[None]:
    """Around a whole command.

    :param describe: what is said while nobody else has something to say (`described`).
    :param opening: a line before the first one; on a terminal it is written at once.
    """
    if sys.stderr.isatty():
        _write(opening)
        yield
        return
    ended = threading.Event()
    said()
    with described(describe):
        thread = threading.Thread(target=_beat, args=(ended, opening), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()


@contextlib.contextmanager
def described(describe: Describe) -> Iterator[None]:
    """Around work that can say what it is doing."""
    _describers.append(describe)
    try:
        yield
    finally:
        _describers.remove(describe)


def busy(what: Note) -> AbstractContextManager[object]:
    """Around work that cannot say how far it is: what it does, and for how long."""
    if sys.stderr.isatty():
        from rich.console import Console

        return Console(stderr=True).status(say(what, language()))
    started = time.monotonic()

    def line() -> str:
        seconds = round(time.monotonic() - started)
        return say(note("cli.busy", what=what, seconds=seconds), language())

    return described(line)


def said() -> None:
    """Another line of progress was written: the next one is due later."""
    _last[0] = time.monotonic()


def _beat(ended: threading.Event, opening: str) -> None:
    while not ended.wait(max(_last[0] + EVERY_SECONDS - time.monotonic(), 0.01)):
        if time.monotonic() - _last[0] < EVERY_SECONDS:
            continue
        said()
        _write(opening)
        opening = ""
        with contextlib.suppress(IndexError):  # the command has just ended
            _write(_describers[-1]())


def _write(line: str) -> None:
    if line:
        with contextlib.suppress(OSError, ValueError):  # stderr is closed
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
