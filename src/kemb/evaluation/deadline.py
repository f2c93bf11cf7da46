"""Wall time that a run may take: after it no further group of texts is begun.

A group is what the store keeps whole (docs/store.md), so whatever was encoded is there for the next
command.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kemb.encoding.encode import Progress
from kemb.errors import RunError
from kemb.evaluation.evaluate import Outcome, Reporter, Silent, Task


class TimeIsOver(RunError):
    """The time was over before all texts of a row were encoded."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a row lacks that was stopped half-way."""

    n_missing: int
    """Texts that are not encoded."""
    n_texts: int
    """Unique ones of its encoder, of all."""


@dataclass(slots=True)
class Deadline:
    """Wall time that began with it."""

    seconds: float | None = None
    """None: any."""
    started: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return self.seconds is not None and time.monotonic() - self.started > self.seconds


class Punctual:
    """A reporter that ends the work on a row between two groups once the time is over; what it
    hears goes to another reporter.

    The row has the outcome `failed` then; `shortfall` says what it lacks.
    """

    def __init__(self, deadline: Deadline, reporter: Reporter | None = None) -> None:
        self._deadline, self._reporter = deadline, reporter or Silent()
        self._progress: Progress | None = None
        self._n_groups = 0
        self.shortfall: Shortfall | None = None
        """Of the row that was stopped last; None once another is begun."""

    def loading(self, task: str) -> None:
        self.shortfall = None
        self._reporter.loading(task)

    def warned(self, task: Task, warnings: Mapping[str, int]) -> None:
        self._reporter.warned(task, warnings)

    def encoding(self, row: str, progress: Progress) -> None:
        """:raises TimeIsOver: the time is over, and no group of the row is under way."""
        self._reporter.encoding(row, progress)
        is_between = progress is not self._progress or progress.n_shards > self._n_groups
        self._progress, self._n_groups = progress, progress.n_shards
        n_missing = progress.n_unique - progress.n_stored - progress.n_encoded
        if is_between and n_missing > 0 and self._deadline.is_over:
            self.shortfall = Shortfall(n_missing, progress.n_unique)
            raise TimeIsOver(f"{n_missing} of {progress.n_unique} texts are not encoded.")

    def scoring(self, row: str, task: str) -> None:
        self._reporter.scoring(row, task)

    def done(self, outcome: Outcome) -> None:
        self._reporter.done(outcome)
