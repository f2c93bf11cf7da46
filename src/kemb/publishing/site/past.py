"""Older states on the site: the page of changes, the history of each model, and boards as they
were.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kemb.boards import Board
from kemb.messages import LANGS, Lang
from kemb.publishing.history.changes import Change, changes, sentence
from kemb.publishing.history.feed import atom, entries
from kemb.publishing.history.snapshots import Problem, Snapshot, snapshot_of
from kemb.publishing.notes import data_date
from kemb.publishing.site.pages import ChangeEntry
from kemb.publishing.site.schema import SnapshotRef

N_MODEL_LINES = 20


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of earlier states."""

    snapshots: Sequence[Snapshot] = ()
    """Oldest first; the last one is the state of the site."""
    problems: Sequence[Problem] = ()
    base_url: str = ""
    changes: list[list[Change]] = field(default_factory=list)
    """Of every snapshot against the one before; none for the first."""

    @property
    def older(self) -> Sequence[Snapshot]:
        """All but the state of the site."""
        return self.snapshots[:-1]


def past_of(
    boards: Mapping[str, Board],
    stored: Sequence[Snapshot],
    problems: Sequence[Problem],
    base_url: str = "",
) -> Past:
    """The stored states and, where it is none of them, the present one.

    :param stored: oldest first.
    """
    now = snapshot_of(boards, data_date(boards.values()))
    states = list(stored)
    if not states or states[-1].content != now.content:
        states.append(now.model_copy(update={"number": states[-1].number + 1 if states else 1}))
    compared: list[list[Change]] = [
        [],
        *(changes(old, new) for old, new in itertools.pairwise(states)),
    ]
    return Past(states, problems, base_url, compared)


def change_entries(past: Past) -> list[ChangeEntry]:
    """The page of changes, newest first."""
    entries = [
        ChangeEntry(
            snapshot.id,
            snapshot.date,
            {lang: [sentence(change, lang) for change in compared] for lang in LANGS},
            tuple(snapshot.boards) if snapshot is not past.snapshots[-1] else (),
        )
        for snapshot, compared in zip(past.snapshots, past.changes, strict=True)
    ]
    return entries[::-1]


def model_history(past: Past) -> dict[str, list[tuple[str, Mapping[Lang, str]]]]:
    """By name of the model what changed in its rows, newest first."""
    lines_by_model: dict[str, list[tuple[str, Mapping[Lang, str]]]] = {}
    for snapshot, compared in zip(reversed(past.snapshots), reversed(past.changes), strict=True):
        models = {
            row.id: row.model
            for state in past.snapshots
            for board in state.boards.values()
            for row in board.rows
        }
        for change in compared:
            model = models.get(getattr(change, "row_id", ""))
            if model is not None and len(lines_by_model.setdefault(model, [])) < N_MODEL_LINES:
                lines_by_model[model].append(
                    (snapshot.date, {lang: sentence(change, lang) for lang in LANGS})
                )
    return lines_by_model


def snapshot_refs(past: Past) -> list[SnapshotRef]:
    """The older states that can be read."""
    return [
        SnapshotRef(id=snapshot.id, date=snapshot.date, boards=list(snapshot.boards))
        for snapshot in past.older
    ]


def feed(past: Past, title: str) -> bytes:
    """The Atom feed, in Korean."""
    links = [f"changelog.html#{snapshot.id}" for snapshot in past.snapshots]
    return atom(entries(past.snapshots, "ko", links), past.base_url, title).encode()
