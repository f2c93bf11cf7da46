"""Marks of processes, in the names of files that are not finished: `<host>-<process>-<start>`.

A mark lets a later process tell that its owner has ended, on the same host only: of other hosts
nothing can be told, so nothing of theirs is ever taken away.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
from pathlib import Path

PATTERN = r"[0-9a-f]{8}-[0-9]+-[0-9]*"
"""Of a mark, as a regular expression."""
_ENDED = ("Z", "X")


def mark() -> str:
    """This process: its host, its number and when it was started, in ticks since the boot."""
    return f"{_host()}-{os.getpid()}-{_status(os.getpid())[1]}"


def is_gone(owner: str) -> bool:
    """Whether the process of a mark has certainly ended: one of this host that is no more."""
    if os.name != "posix" or not re.fullmatch(PATTERN, owner):
        return False
    host, pid, start = owner.split("-")
    if host != _host():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # a process of another user
        return False
    state, its_start = _status(int(pid))
    return state in _ENDED or bool(start and its_start and start != its_start)


@functools.cache
def _host() -> str:
    """Eight digits for this host; containers have their own, as they see other processes."""
    namespace = 0
    with contextlib.suppress(OSError):
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _status(pid: int) -> tuple[str, str]:
    """State and start of a process; empty where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    state, *numbers = fields.rpartition(")")[2].split()
    return state, numbers[18]
