"""Locks that name their holder: files that appear with their content, on local disks and NFS alike.

The lock of a process of this host that has ended is taken over; one of another host is believed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kemb.files import disk, owners

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock."""

    mark: str
    host: str
    pid: int
    since: str
    """Local time with its zone."""

    def __str__(self) -> str:
        if not self.pid:
            return "an unknown process"
        return f"process {self.pid} on {self.host}, since {self.since}"


def acquire(path: Path) -> Holder | None:
    """Take a lock.

    :return: None where it is ours, until `release`; else who holds it.
    :raises OSError: the lock cannot be written.
    """
    holder = None
    for _ in range(_TRIES):
        if _create(path):
            return None
        holder = holder_of(path)
        if holder is not None and not owners.is_gone(holder.mark):
            return holder
        if holder is not None:
            _break(path, holder)
    return holder or Holder("", "", 0, "")


def release(path: Path) -> None:
    """Give a lock back, if it is ours."""
    holder = holder_of(path)
    if holder is not None and holder.mark == owners.mark():
        with contextlib.suppress(OSError):
            path.unlink()


def break_gone(path: Path) -> bool:
    """Remove a lock whose process has certainly ended; whether there was one."""
    holder = holder_of(path)
    if holder is None or not owners.is_gone(holder.mark):
        return False
    _break(path, holder)
    return True


def holder_of(path: Path) -> Holder | None:
    """Who holds a lock; None where nobody does. A file that is no lock has an unknown holder."""
    try:
        return Holder(**disk.read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Holder("", "", 0, "")


def live_holder_of(path: Path) -> Holder | None:
    """Who holds a lock and has not certainly ended; None where nobody does."""
    holder = holder_of(path)
    return None if holder is not None and owners.is_gone(holder.mark) else holder


def is_held(path: Path) -> bool:
    """Whether another process holds a lock, as far as can be told."""
    holder = live_holder_of(path)
    return holder is not None and holder.mark != owners.mark()


@contextlib.contextmanager
def released_after(path: Path) -> Iterator[None]:
    """Around what is done under a lock that is ours."""
    try:
        yield
    finally:
        release(path)


def _create(path: Path) -> bool:
    """Make the file of a lock, whole; False where one is there."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    content = json.dumps(asdict(Holder(owners.mark(), platform.node(), os.getpid(), since)))
    with disk.temporary(path.parent) as unfinished:
        unfinished.write_text(content + "\n", encoding="utf-8")
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return _create_at_once(path, content)
    return True


def _create_at_once(path: Path, content: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content + "\n")
    except FileExistsError:
        return False
    return True


def _break(path: Path, holder: Holder) -> None:
    """Remove the lock of a process that has ended, and none that another has taken meanwhile."""
    with disk.temporary(path.parent) as aside:
        try:
            disk.place(path, aside)
        except FileNotFoundError:
            return
        if holder_of(aside) != holder:
            with contextlib.suppress(OSError):
                os.link(aside, path)
