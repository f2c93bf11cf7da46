"""Who encodes the groups of a job: this process, several of this machine, or the actors of a Ray
cluster.

All run the same loop over the same groups (`kemb.encoding.batches`), and tell what happens as
events.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol, runtime_checkable

from kemb.encoding.batches import Event
from kemb.encoding.job import Job


@runtime_checkable
class Executor(Protocol):
    """Encodes what a store lacks of the groups of a job."""

    def run(self, job: Job) -> Generator[tuple[int, Event], None, None]:
        """Events of the pending groups, each with the group's number, in the order in which they
        happen.

        Whoever hears `Finished` writes the group; of a group that is `Written` nothing is left to
        do.

        :raises UsageError, ModelError: the model cannot be opened, or whoever encodes is gone.
        """
        ...

    @property
    def calls(self) -> dict[str, int]:
        """Of an API: what it was asked so far."""
        ...

    @property
    def machines(self) -> list[dict[str, str]]:
        """Of a cluster: the machines that encoded so far, as records."""
        ...
