"""What is different between two snapshots, and why: every changed number has one cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kemb.messages import Lang, Note, note, say
from kemb.publishing.history.snapshots import BoardState, Record, RowState, Snapshot

Cause = Literal[
    "formula",
    "data revision",
    "metric version",
    "model revision",
    "profile",
    "prompt",
    "correction",
    "re-run",
]
Ranks = tuple[int, int]

_N_MOVED = 10
"""Rows that a sentence names."""
_N_REVISION = 12
_N_PROMPT = 40


@dataclass(frozen=True, slots=True)
class BoardChange:
    """A board came or went."""

    board: str
    title: str
    kind: Literal["added", "removed"]


@dataclass(frozen=True, slots=True)
class FormulaChange:
    """A board adds its cells up in another way."""

    board: str
    title: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A board got or lost a column; its cells are not listed one by one."""

    board: str
    title: str
    column: str
    kind: Literal["added", "removed"]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A model came or went; its cells are not listed one by one."""

    board: str
    title: str
    row: str
    row_id: str
    kind: Literal["added", "removed"]


@dataclass(frozen=True, slots=True)
class RowRevised:
    """A row stands for another revision of its model; its changed cells follow."""

    board: str
    title: str
    row: str
    row_id: str
    """In the new snapshot."""
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class CellChange:
    """A number came, went or became another one."""

    board: str
    title: str
    row: str
    row_id: str
    column: str
    kind: Literal["added", "removed", "changed"]
    old: float | None
    new: float | None
    cause: Cause | None
    """Of changed numbers only."""
    detail: str = ""
    """What was other: the prompts, the revisions; of a removed number, why a result gives none."""

    @property
    def difference(self) -> float | None:
        return None if self.old is None or self.new is None else self.new - self.old


@dataclass(frozen=True, slots=True)
class Moved:
    """The rank interval of a row before and after; None below the line."""

    row: str
    row_id: str
    old: Ranks | None
    new: Ranks | None


@dataclass(frozen=True, slots=True)
class RanksMoved:
    """All rows of a board, on it before and after, whose rank interval is another one."""

    board: str
    title: str
    moved: tuple[Moved, ...]


Change = (
    BoardChange | FormulaChange | ColumnChange | RowChange | RowRevised | CellChange | RanksMoved
)


def changes(old: Snapshot, new: Snapshot) -> list[Change]:
    """Every difference, board by board in the order of their names, rows in the order of the new
    board.
    """
    all_changes: list[Change] = []
    for name in sorted(old.boards.keys() | new.boards.keys()):
        before, after = old.boards.get(name), new.boards.get(name)
        if before is None and after is not None:
            all_changes.append(BoardChange(name, after.title, "added"))
        elif after is None and before is not None:
            all_changes.append(BoardChange(name, before.title, "removed"))
        elif before is not None and after is not None:
            all_changes += _of_board(name, (before, old.records), (after, new.records))
    return all_changes


def same_rows(
    old: Sequence[RowState], new: Sequence[RowState]
) -> list[tuple[RowState | None, RowState | None]]:
    """Rows that belong together, then the added ones, then those that went.

    A row that went and a row that came are one row at another revision where model, variant and
    source are the same and there is no choice.
    """
    by_key, new_keys = {_key(row): row for row in old}, {_key(row) for row in new}
    old_only = [row for row in old if _key(row) not in new_keys]
    new_only = [row for row in new if _key(row) not in by_key]
    counts = [Counter(map(_name, rows)) for rows in (old_only, new_only)]
    twins = {_name(row): row for row in old_only if all(count[_name(row)] == 1 for count in counts)}
    pairs: list[tuple[RowState | None, RowState | None]] = [
        (by_key[_key(row)] if _key(row) in by_key else twins.get(_name(row)), row) for row in new
    ]
    pairs.sort(key=lambda pair: pair[0] is None)
    return pairs + [(row, None) for row in old_only if _name(row) not in twins]


def _key(row: RowState) -> tuple[str, str, str, str]:
    return row.model, row.revision, row.variant, row.source


def _name(row: RowState) -> tuple[str, str, str]:
    return row.model, row.variant, row.source


def _of_board(
    name: str, old: tuple[BoardState, list[Record]], new: tuple[BoardState, list[Record]]
) -> Iterator[Change]:
    before, after = old[0], new[0]
    title = after.title
    if (before.formula, before.groups) != (after.formula, after.groups):
        yield FormulaChange(name, title, _formula(before), _formula(after))
    columns = [
        {column.title: place for place, column in enumerate(board.columns)}
        for board in (before, after)
    ]
    yield from (
        ColumnChange(name, title, column, "added")
        for column in columns[1]
        if column not in columns[0]
    )
    yield from (
        ColumnChange(name, title, column, "removed")
        for column in columns[0]
        if column not in columns[1]
    )
    moved = []
    for was, now in same_rows(before.rows, after.rows):
        if was is None or now is None:
            if row := now or was:
                yield RowChange(name, title, row.label, row.id, "added" if now else "removed")
            continue
        if was.revision != now.revision:
            yield RowRevised(name, title, now.label, now.id, was.revision, now.revision)
        for column in columns[1]:
            if column in columns[0]:
                places = columns[0][column], columns[1][column]
                yield from _of_cell(
                    name, column, (old[0], was, old[1]), (new[0], now, new[1]), places
                )
        if _ranks(was) != _ranks(now):
            moved.append(Moved(now.label, now.id, _ranks(was), _ranks(now)))
    if moved:
        yield RanksMoved(name, title, tuple(moved))


def _formula(board: BoardState) -> str:
    weights = ", ".join(f"{group} {weight:.4g}" for group, weight in board.groups.items())
    return f"{board.formula.rstrip('.')} [{weights}]"


def _ranks(row: RowState) -> Ranks | None:
    return None if row.rank_low is None or row.rank_high is None else (row.rank_low, row.rank_high)


_Cells = tuple[BoardState, RowState, list[Record]]


def _of_cell(
    board: str, column: str, old: _Cells, new: _Cells, places: tuple[int, int]
) -> Iterator[CellChange]:
    was, now = old[1].cells[places[0]], new[1].cells[places[1]]
    if was == now:
        return
    row = new[1]
    where = (board, new[0].title, row.label, row.id, column)
    if was is None:
        yield CellChange(*where, "added", was, now, None)
    elif now is None:
        yield CellChange(*where, "removed", was, now, None, row.missing.get(column, ""))
    else:
        yield CellChange(*where, "changed", was, now, *_cause(old, new, places))


def _cause(old: _Cells, new: _Cells, places: tuple[int, int]) -> tuple[Cause, str]:
    """The first thing that is other, from what weighs most: other data make the question of prompts
    idle.
    """
    before, after = old[0].columns[places[0]], new[0].columns[places[1]]
    if (before.task, before.metric) != (after.task, after.metric):
        return "formula", f"{before.task} {before.metric} → {after.task} {after.metric}"
    then = [old[2][place] for place in old[1].records[places[0]]]
    now = [new[2][place] for place in new[1].records[places[1]]]
    kinds: list[tuple[Cause, Callable[[Record], str], Callable[[Record], object]]] = [
        (
            "data revision",
            lambda r: r.dataset_revision[:_N_REVISION],
            lambda r: (r.dataset_revision, r.data_sha256),
        ),
        (
            "metric version",
            lambda r: f"{r.metric} {r.metric_version} {r.protocol}".strip(),
            lambda r: (r.metric, r.metric_version, r.protocol),
        ),
    ]
    for cause, words, key in kinds:
        if [key(record) for record in then] != [key(record) for record in now]:
            return cause, _arrow(then, now, words)
    if old[1].revision != new[1].revision:
        return (
            "model revision",
            f"{old[1].revision[:_N_REVISION]} → {new[1].revision[:_N_REVISION]}",
        )
    if new[1].source:
        return "correction", _arrow(then, now, lambda r: r.claim_commit[:_N_REVISION])
    if [_profile(record) for record in then] != [_profile(record) for record in now]:
        return "profile", _arrow(then, now, _profile)
    if [record.prompts for record in then] != [record.prompts for record in now]:
        return "prompt", _arrow(then, now, _prompts)
    return "re-run", ""


def _profile(record: Record) -> str:
    tokens = f"max tokens {record.max_tokens}" if record.max_tokens else ""
    return ", ".join(filter(None, [record.dtype, tokens, record.pooling, record.similarity]))


def _prompts(record: Record) -> str:
    return ", ".join(
        f"{role} {prompt.prompt[:_N_PROMPT]!r}" + (f" via {prompt.route}" if prompt.route else "")
        for role, prompt in record.prompts.items()
    )


def _arrow(then: Sequence[Record], now: Sequence[Record], words: Callable[[Record], str]) -> str:
    """What it was and is; '' where it reads the same."""
    texts = ["; ".join(dict.fromkeys(filter(None, map(words, records)))) for records in (then, now)]
    return f"{texts[0] or '?'} → {texts[1] or '?'}" if texts[0] != texts[1] else ""


def sentence(change: Change, lang: Lang) -> str:
    """A change in words, as plain text of one line: whoever shows it escapes it."""
    text = note("change.on_board", board=change.title, change=change_note(change))
    return " ".join(say(text, lang).split())


def change_note(change: Change) -> Note:
    """What changed, without the board that it changed on."""
    match change:
        case BoardChange():
            return note(f"change.board_{change.kind}")
        case FormulaChange():
            return note("change.formula_changed", old=change.old, new=change.new)
        case ColumnChange():
            return note(f"change.task_{change.kind}", task=change.column)
        case RowChange():
            return note(f"change.row_{change.kind}", row=change.row)
        case RowRevised():
            old, new = change.old[:_N_REVISION], change.new[:_N_REVISION]
            return note("change.revision_changed", row=change.row, old=old, new=new)
        case CellChange():
            return _cell_note(change)
        case RanksMoved():
            return _ranks_note(change)


def _cell_note(change: CellChange) -> Note:
    row, task = change.row, change.column
    detail = note("change.detail", detail=change.detail) if change.detail else ""
    old, new = _points(change.old or 0.0), _points(change.new or 0.0)
    if change.difference is None or change.cause is None:
        if change.old is None:
            return note("change.score_added", row=row, task=task, score=new, detail=detail)
        return note("change.score_removed", row=row, task=task, score=old, detail=detail)
    return note(
        "change.score_moved",
        row=row,
        task=task,
        old=old,
        new=new,
        difference=_difference(change.difference),
        cause=note(f"cause.{change.cause.replace(' ', '_').replace('-', '_')}"),
        detail=detail,
    )


def _points(value: float) -> str:
    return f"{100 * value:.2f}"


def _difference(value: float) -> str:
    """In points, with a sign; never a change of 0.00."""
    text = f"{100 * value:+.2f}"
    return text if float(text) else f"{'+' if value > 0 else '-'}<0.01"


def _ranks_note(change: RanksMoved) -> Note:
    def interval(ranks: Ranks | None) -> Note:
        if ranks is None:
            return note("change.no_rank")
        low, high = ranks
        return note("change.rank", interval=f"{low}" if low == high else f"{low}-{high}")

    rows = [
        note("change.rank_of_row", row=row.row, old=interval(row.old), new=interval(row.new))
        for row in change.moved[:_N_MOVED]
    ]
    n_more = len(change.moved) - len(rows)
    more = note("change.more_rows", n=n_more) if n_more else ""
    return note("change.ranks_moved", n=len(change.moved), rows=rows, more=more)
