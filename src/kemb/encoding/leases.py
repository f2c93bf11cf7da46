"""A process holds the spaces that it uses until it ends; what cleans up leaves those alone.

A lease is a lock of the process's own in the space. Whoever cleans takes the space's lock first and
looks for leases then; whoever uses it leaves its lease first and looks for that lock then. So of
two that begin at once, at least one sees the other.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from kemb.errors import StoreError
from kemb.files import locks, owners

SUFFIX = ".lease"
CLEANING = ".gc.lock"
LONGEST_WAIT = 900.0
"""Seconds; to check and merge the shards of a large space takes minutes."""
_POLL = 0.1

_leases: dict[tuple[int, Path], Path] = {}
"""Of this process, by process (a child may inherit the table) and space."""


def hold(folder: Path) -> None:
    """Keep a space from being cleaned as long as this process runs; where the folder cannot be
    written, or is not there, nothing is held.

    :raises StoreError: it is being cleaned, and is so for a long time.
    """
    place = os.getpid(), folder.absolute()
    if place in _leases and _leases[place].exists():
        return
    started = time.monotonic()
    lease = folder / f".{owners.mark()}-{uuid.uuid4().hex[:12]}{SUFFIX}"
    while True:
        try:
            locks.acquire(lease)
        except OSError:
            return
        if not locks.is_held(folder / CLEANING):
            break
        locks.release(lease)
        if time.monotonic() - started > LONGEST_WAIT:
            raise StoreError(
                f"{folder} is being cleaned by {locks.holder_of(folder / CLEANING)}. Wait for it, "
                f"or remove {folder / CLEANING} if no such process runs."
            )
        time.sleep(_POLL)
    _leases[place] = lease
    _users(folder)


@atexit.register
def let_go() -> None:
    """Give all leases of this process back."""
    for place in [place for place in _leases if place[0] == os.getpid()]:
        with contextlib.suppress(OSError):
            _leases.pop(place).unlink()


@contextlib.contextmanager
def cleaning(folder: Path) -> Iterator[list[str]]:
    """Around what removes vectors: who uses the space, and how to end that; empty where nobody does
    and nobody will until the block ends.

    :raises OSError: the folder cannot be written.
    """
    lock = folder / CLEANING
    holder = locks.acquire(lock)
    if holder is not None:
        yield [f"{holder} ({lock})"]
        return
    with locks.released_after(lock):
        yield _users(folder)


def sweep(root: Path) -> None:
    """Remove the leases and locks that killed processes of this host left in a store, and the
    folder of a space in which nothing else was.
    """
    for folder in sorted(root.glob("*/")):
        with contextlib.suppress(OSError):  # a folder of another user
            is_free = [locks.break_gone(path) for path in folder.glob(f".*{SUFFIX}")]
            if locks.break_gone(folder / CLEANING) or any(is_free):
                folder.rmdir()


def _users(folder: Path) -> list[str]:
    """Other processes that hold a space; the leases of those that have ended are removed."""
    users = []
    for lease in sorted(folder.glob(f".*{SUFFIX}")):
        holder = locks.holder_of(lease)
        if holder is None or holder.mark == owners.mark():
            continue
        if owners.is_gone(holder.mark):
            with contextlib.suppress(OSError):  # of another user
                lease.unlink()
        else:
            users.append(f"{holder} ({lease})")
    return users
