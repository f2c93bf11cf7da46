"""Which groups wait, which are in whose hands, and which failed: the books of a pool whose members
may be gone at any moment.

A member takes a parcel when it has room (a slow one takes few); what a lost member had goes to the
front again. At the end, when nothing waits, a parcel that takes far longer than all others did is
given to a second member as well: equal groups are equal bytes, so the first answer counts.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

Parcel = tuple[int, ...]
"""Numbers of groups that go to a member together."""
PATIENCE = 4.0
"""How many times longer than the longest so far a parcel may take before it is given out again."""
LEAST_SECONDS = 60.0
"""Before that nothing is given out again."""


@dataclass(slots=True)
class _Hold:
    """A parcel in hand: since when, and whose."""

    since: float
    members: list[Hashable] = field(default_factory=list)


class Desk:
    """The parcels of one job."""

    def __init__(
        self, parcels: Iterable[Parcel], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = deque(parcels)
        self._holds: dict[Parcel, _Hold] = {}
        self._failures: Counter[Parcel] = Counter()
        self._given: Counter[Parcel] = Counter()
        self._longest = 0.0
        self._clock = clock

    @property
    def is_clear(self) -> bool:
        """Whether nothing waits and nothing is in hand."""
        return not self._waiting and not self._holds

    def take(self, member: Hashable) -> Parcel | None:
        """The next parcel for a member; None where there is none."""
        if self._waiting:
            parcel = self._waiting.popleft()
            self._holds[parcel] = _Hold(self._clock(), [member])
            self._given[parcel] += 1
            return parcel
        return None

    def take_again(self, member: Hashable) -> Parcel | None:
        """A parcel that another member has had for too long, for one that has nothing to do."""
        limit = max(LEAST_SECONDS, PATIENCE * self._longest)
        for parcel, hold in self._holds.items():
            is_late = self._clock() - hold.since > limit
            if is_late and len(hold.members) == 1 and member not in hold.members:
                hold.members.append(member)
                self._given[parcel] += 1
                return parcel
        return None

    def is_again(self, parcel: Parcel) -> bool:
        """Whether it was given out more than once: some of it may be stored."""
        return self._given[parcel] > 1

    def in_hand(self, member: Hashable) -> list[Parcel]:
        """What a member has, the oldest first."""
        return [parcel for parcel, hold in self._holds.items() if member in hold.members]

    def finish(self, parcel: Parcel) -> bool:
        """A parcel is done.

        :return: whether it is the first answer.
        """
        hold = self._holds.pop(parcel, None)
        if hold is not None:
            self._longest = max(self._longest, self._clock() - hold.since)
        return hold is not None

    def put_back(self, member: Hashable) -> None:
        """What a member had, and nobody else has, waits again, before all else."""
        for parcel in reversed(self.in_hand(member)):
            self._release(parcel, member)

    def fail(self, parcel: Parcel, member: Hashable) -> int:
        """A parcel failed in the hands of a member, and waits again.

        :return: how often it has failed.
        """
        self._failures[parcel] += 1
        if parcel in self._holds:
            self._release(parcel, member)
        return self._failures[parcel]

    def _release(self, parcel: Parcel, member: Hashable) -> None:
        members = self._holds[parcel].members
        if member in members:
            members.remove(member)
        if not members:
            del self._holds[parcel]
            self._waiting.appendleft(parcel)
