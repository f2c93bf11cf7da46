"""Every error kemb raises on purpose.

KembError                 one paragraph for a human; the command line prints it without a traceback
├── UsageError            the command or its arguments are wrong (exit code 2)
│   ├── UnknownName       a task, model or benchmark nobody knows; carries the nearest names
│   ├── MissingExtra      an optional part is not installed; the message holds the pip command
│   └── NotSupported      the combination asked for does not exist (yet)
└── RunError              the work itself failed (exit code 1)
    ├── DataError         task data breaks its contract; says file, row and column or id
    ├── FetchError        the hub or the network failed; says what to do next
    ├── ModelError        weights, configuration or vectors of a model are unusable
    ├── DiskError         a disk is full, or a folder cannot be written: no further work is of use
    ├── StoreError        the vector store cannot be read, or lacks vectors
    └── ResultError       a result file cannot be read or does not fit its task
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KembError(Exception):
    """A message for a human: what was given, what was expected, what to type."""

    exit_code = 1


class UsageError(KembError):
    """The command or its arguments are wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not known; the nearest known names are offered."""

    def __init__(self, kind: str, name: str, names: Iterable[str], hint: str) -> None:
        near = nearest(name, names)
        offer = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"Unknown {kind} {name!r}.{offer} {hint}")


class MissingExtra(UsageError):
    """An optional dependency is missing."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f'{what} needs packages that are not installed. Type: pip install "kemb[{extra}]"'
        )


class NotSupported(UsageError):
    """The combination asked for does not exist."""


class RunError(KembError):
    """The work itself failed."""


class DataError(RunError):
    """Task data breaks its contract."""


class FetchError(RunError):
    """The hub or the network failed."""


class ModelError(RunError):
    """Weights, configuration or vectors of a model are unusable."""


class DiskError(RunError):
    """A disk is full, or a file or folder cannot be written."""


class StoreError(RunError):
    """The vector store cannot be read, or lacks vectors."""


class ResultError(RunError):
    """A result file cannot be read or does not fit its task."""


def nearest(name: str, names: Iterable[str], n: int = 3) -> list[str]:
    """The known names closest to `name`, best first, compared without case."""
    by_lower = {item.lower(): item for item in names}
    return [
        by_lower[match]
        for match in difflib.get_close_matches(name.lower(), by_lower, n=n, cutoff=0.5)
    ]
