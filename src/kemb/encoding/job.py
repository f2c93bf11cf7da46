"""What is to be done with the unique inputs of a command: groups, numbered by the command alone,
and how the rows of a group are looked at and stored, wherever they were computed.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kemb.arrays import IntArray, Ragged, Rows, kinds_of
from kemb.encoding.batches import Budget, Finished
from kemb.encoding.collection import Collection
from kemb.encoding.joining import Joining
from kemb.encoding.shards import Keys
from kemb.encoding.store import Space, fingerprint_id
from kemb.errors import ModelError
from kemb.types import Input


@dataclass(frozen=True, slots=True)
class Beside:
    """Where rows of another kind go that a forward pass makes too, and of which inputs they are
    wanted.
    """

    space: Space
    keys: Keys
    """Sorted."""


class Job:
    """The groups of a collection, and the space that lacks some of them.

    A group is the unit of work, of writing and of loss. Every executor takes the same groups by
    their numbers, so the shards are the same bytes, whoever makes them.
    """

    def __init__(
        self,
        collection: Collection,
        space: Space,
        budget: Budget,
        beside: Sequence[Beside] = (),
        on_found: Callable[[int], object] = lambda n_texts: None,
        elsewhere: Callable[[], Job] | None = None,
    ) -> None:
        """:param on_found: hears how many texts of a group that was to be encoded another command
            has stored meanwhile.
        :param elsewhere: makes the same job on another machine: of functions and data that can be
            pickled, without texts; None where only this process has the texts.
        """
        self.collection, self.space, self.budget = collection, space, budget
        self.beside = beside
        self.groups = collection.groups(budget.group_chars)
        """Numbers of unique inputs."""
        self.on_found, self.elsewhere = on_found, elsewhere
        self._drawn: dict[int, IntArray] = {}
        """Of the groups at work, the inputs that the store lacked."""

    @functools.cached_property
    def _joinings(self) -> list[Joining]:
        """One for each kind of rows; made when the groups are final."""
        keys, chars = self.collection.keys, self.budget.group_chars
        joinings = [Joining(self.space, keys, self.groups, chars)]
        for place in self.beside:
            is_wanted = np.isin(keys, place.keys)
            groups = [group[is_wanted[group]] for group in self.groups]
            joinings.append(Joining(place.space, keys, groups, chars))
        return joinings

    def plan(self) -> dict[str, object]:
        """What the groups follow from, with a hash of all their keys in order: equal wherever the
        command is the same, whatever is stored.
        """
        order = np.concatenate([*self.groups, np.empty(0, dtype=np.int64)]).astype(np.int64)
        digest = hashlib.sha256(fingerprint_id(self.space.fingerprint).encode())
        digest.update(np.array([len(group) for group in self.groups], dtype="<i8").tobytes())
        digest.update(self.collection.keys[order].tobytes())
        digest.update(repr(self.budget).encode())
        return {
            "plan": digest.hexdigest()[:32],
            "n_inputs": len(self.collection),
            "n_groups": len(self.groups),
        }

    def pending(self) -> list[int]:
        """The groups of which the store lacks something, in order."""
        stored = self.space.stored(self.collection.keys, fresh=False)
        return [number for number, group in enumerate(self.groups) if not stored[group].all()]

    def draw(self, number: int) -> list[Input] | None:
        """What is to be encoded of a group when its turn has come; None if there is nothing any
        more.
        """
        missing = self.missing(number)
        if not len(missing):
            self.on_found(len(self.groups[number]))
            return None
        self._drawn[number] = missing
        return [self.collection.input(place) for place in missing.tolist()]

    def look(self) -> None:
        """Look now for what others have stored; between, a look of a while ago will do.

        :raises StoreError: a shard cannot be read.
        """
        for space in (self.space, *(place.space for place in self.beside)):
            space.refresh()

    def missing(self, number: int) -> IntArray:
        """The inputs of a group that the store lacks."""
        group = self.groups[number]
        return group[~self.space.stored(self.collection.keys[group], fresh=False)]

    def where(self, number: int, row: int) -> str:
        """Where input `row` of what was drawn of a group stands first."""
        inputs = self._drawn.get(number, self.groups[number])
        return self.collection.where(int(inputs[row]))

    def write(self, number: int, finished: Finished) -> None:
        """One shard of the space; rows of other kinds are stored before, so that a killed run makes
        them again.

        :raises ModelError: a vector is no number, or has another dimension than those before.
        :raises DiskError: when the store cannot be written.
        """
        inputs = self._drawn.pop(number)[finished.rows]
        rows, *rows_beside = kinds_of(finished.vectors)
        for place, rows_of_kind in zip(self.beside, rows_beside, strict=True):
            place.space.describe(finished.facts)
            self._write_beside(inputs, rows_of_kind, finished.counts, place)
        self._check(inputs, rows, self.space)
        self.space.describe(finished.facts)
        self.space.add(self.collection.keys[inputs], rows, finished.counts)

    def join(self, number: int | None = None) -> None:
        """Join groups into shards of the plan where all of a shard are stored.

        :param number: the group that was stored last; None: look at all of them.
        :raises DiskError: when the store cannot be written.
        """
        for joining in self._joinings:
            if number is None:
                joining.rest()
            else:
                joining.done(number)

    def _write_beside(
        self, inputs: IntArray, rows: Rows, counts: IntArray | None, beside: Beside
    ) -> None:
        """Store the rows of another kind that are wanted and not there."""
        keys = self.collection.keys[inputs]
        is_missing = ~beside.space.stored(keys, fresh=False)
        missing_rows = np.flatnonzero(np.isin(keys, beside.keys) & is_missing)
        if len(missing_rows):
            missing_vectors = (
                rows.take(missing_rows) if isinstance(rows, Ragged) else rows[missing_rows]
            )
            self._check(inputs[missing_rows], missing_vectors, beside.space)
            missing_counts = None if counts is None else counts[missing_rows]
            beside.space.add(keys[missing_rows], missing_vectors, missing_counts)

    def _check(self, inputs: IntArray, vectors: Rows, space: Space) -> None:
        """Refuse vectors that are not numbers or have another dimension than those stored
        before.
        """
        bad = _not_finite(vectors)
        if len(bad):
            number = int(inputs[bad[0]])
            text = self.collection.input(number).text[:80]
            raise ModelError(
                f"The model {space.fingerprint['model']} gave a vector that is not a number (NaN "
                f"or infinite) for {self.collection.where(number)}: {text!r}; "
                f"{len(bad)} of {len(vectors)} vectors in this group are affected and none was "
                "stored. Try --dtype float32."
            )
        expected = space.dim()
        if expected is not None and expected != vectors.shape[1]:
            raise ModelError(
                f"The model {space.fingerprint['model']} gave vectors of {vectors.shape[1]} "
                f"dimensions, but the store {space.place} holds {expected} for the same model and "
                "revision. If the model changed under its "
                "revision, remove that folder and run again."
            )


def _not_finite(vectors: Rows) -> IntArray:
    """Rows that hold NaN or infinite values."""
    if not isinstance(vectors, Ragged):
        return np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    places = np.flatnonzero(~np.isfinite(vectors.values).all(axis=1))
    return np.unique(np.searchsorted(vectors.offsets, places, side="right") - 1)
