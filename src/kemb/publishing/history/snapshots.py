"""States of the boards, kept for good: one JSON file each in a folder that only grows.

    <results>/snapshots/<date>-<first 8 hex digits of the content's hash>.json

A snapshot holds the numbers of every board and, once for all boards, what each number was made
with: whatever decides why it is another number in the next snapshot (`changes.py`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kemb.boards import Board, Row
from kemb.boards.benchmark import CellSpec
from kemb.boards.build import NO_RESULT
from kemb.boards.cells import expression_of
from kemb.errors import ResultError
from kemb.files import disk
from kemb.messages import say
from kemb.publishing.notes import formula_text
from kemb.results.files import TaskResult

SCHEMA_VERSION = 1
FOLDER = "snapshots"
"""Below the results folder."""
_MOST_BYTES = 200_000_000

UNDATED = "0001-01-01"
"""The date of numbers none of which has one."""

_DATE = r"^\d{4}-\d{2}-\d{2}$"
Date = Annotated[str, Field(pattern=_DATE)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptState(_Data):
    """What was put before the texts of one role."""

    prompt: str
    route: str


class Record(_Data):
    """What one task's numbers of a row were made with; empty where nobody recorded it."""

    dataset_revision: str
    data_sha256: dict[str, str] = {}
    """By `<split>/<subset>`."""
    metric: str = ""
    metric_version: str = ""
    protocol: str = ""
    """What else decides the numbers: dropped pairs, the clustering protocol."""
    prompts: dict[str, PromptState] = {}
    """By role."""
    dtype: str = ""
    max_tokens: int | None = None
    pooling: str = ""
    similarity: str = ""
    timestamp: int = 0
    command_sha256: str = ""
    claim_commit: str = ""
    """Of the source, for published numbers."""

    @property
    def prompts_sha256(self) -> str:
        return _sha256({role: prompt.model_dump() for role, prompt in self.prompts.items()})


class ColumnState(_Data):
    """One column of a board."""

    title: str
    task: str
    metric: str
    """The expression that makes one number of the task's."""
    weight: Number


class RowState(_Data):
    """One row of a board; rows without a rank stand below the line."""

    label: str
    """For readers; it does not tell revisions apart."""
    model: str
    revision: str
    variant: str
    source: str
    """Who claims the numbers; '' for those that were measured."""
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    score: Number | None
    low: Number | None
    high: Number | None
    cells: list[Number | None]
    records: list[list[int]]
    """For every cell the places in `Snapshot.records` of what its value was made of."""
    missing: dict[str, str] = {}
    """Column -> why a result that is there gives no value."""

    @property
    def id(self) -> str:
        """Model, revision, variant and source in one; no other row of a board has it."""
        return _sha256([self.model, self.revision, self.variant, self.source])[:12]


class BoardState(_Data):
    """One board."""

    title: str
    formula: str
    """In words, with its weights."""
    groups: dict[str, Number]
    """Group of tasks -> its weight."""
    columns: list[ColumnState]
    rows: list[RowState]


class Snapshot(_Data):
    """One state of all boards."""

    schema_version: int
    number: Annotated[int, Field(ge=1)]
    """Place in the folder, from 1: several snapshots may have one date."""
    date: Date
    """Of the newest record, so that the same results always give the same snapshot."""
    kemb_version: str
    boards: dict[str, BoardState]
    records: list[Record]

    @property
    def id(self) -> str:
        return f"{self.date}-{self.sha256[:8]}"

    @property
    def sha256(self) -> str:
        """Hash of the content and its place, not of the program that wrote it."""
        return _sha256(self.model_dump(mode="json", exclude={"kemb_version"}))

    @property
    def content(self) -> tuple[dict[str, BoardState], list[Record]]:
        """What makes it worth keeping."""
        return self.boards, self.records


@dataclass(frozen=True, slots=True)
class Problem:
    """A file of the folder that is no usable snapshot."""

    path: Path
    message: str
    """One sentence."""


class _Records:
    """Every record once, in the order in which they first occur."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self._places: dict[str, int] = {}

    def place(self, record: Record) -> int:
        key = record.model_dump_json()
        if key not in self._places:
            self._places[key] = len(self.all)
            self.all.append(record)
        return self._places[key]


def snapshot_of(boards: Mapping[str, Board], date: str) -> Snapshot:
    """The state of some boards.

    :param boards: by the name under which the site shows them; it must stay the same.
    :param date: YYYY-MM-DD, of the newest record (`notes.data_date`); anything else counts as
        `UNDATED`.
    """
    records = _Records()
    states = {name: _board_state(name, board, records) for name, board in sorted(boards.items())}
    return Snapshot(
        schema_version=SCHEMA_VERSION,
        number=1,
        date=date if re.match(_DATE, date) else UNDATED,
        kemb_version=importlib.metadata.version("kemb"),
        boards=states,
        records=records.all,
    )


def read_snapshots(folder: Path) -> tuple[list[Snapshot], list[Problem]]:
    """All usable snapshots of a folder, oldest first, and what is wrong with the other files."""
    snapshots, problems = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            snapshots.append(read_snapshot(path))
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    return sorted(snapshots, key=lambda snapshot: (snapshot.date, snapshot.number)), problems


def measured_tasks(board: BoardState) -> list[str]:
    """The tasks of a board that a measured row has a value of."""
    rows = [row for row in board.rows if not row.source]
    return [
        column.task
        for place, column in enumerate(board.columns)
        if any(row.cells[place] is not None for row in rows)
    ]


def append(folder: Path, snapshot: Snapshot) -> Path | None:
    """Keep a snapshot; nothing that is there is changed.

    :return: The new file; None where the newest snapshot has the same content.
    :raises ResultError: the newest snapshot is of a later date.
    :raises DiskError: the folder cannot be written.
    """
    snapshots, _ = read_snapshots(folder)
    if snapshots:
        newest = snapshots[-1]
        if snapshot.content == newest.content:
            return None
        if snapshot.date < newest.date:
            raise ResultError(
                f"The newest results are of {snapshot.date}, but {folder} holds a snapshot of "
                f"{newest.date} with other numbers. Results seem to be missing; bring them back, "
                "or name another folder for the snapshots."
            )
        snapshot = snapshot.model_copy(update={"number": newest.number + 1})
    path = folder / f"{snapshot.id}.json"
    if path.exists():
        raise ResultError(f"{path} is damaged. Bring it back from a copy, or move it away.")
    text = json.dumps({"id": snapshot.id, **snapshot.model_dump(mode="json")}, ensure_ascii=False)
    with disk.writing(f"The snapshot {path} cannot be written", "Name another folder."):
        folder.mkdir(parents=True, exist_ok=True)
        with disk.replacing(path, sync=True) as unfinished:
            unfinished.write_text(text + "\n", encoding="utf-8")
    return path


def read_snapshot(path: Path) -> Snapshot:
    """A snapshot that is what its name says.

    :raises ValueError: one sentence.
    """
    try:
        content = disk.read_json(path, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({type(error).__name__}).") from error
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read ({error}).") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path.name} has the schema version {version}; this kemb reads {SCHEMA_VERSION}."
        )
    try:
        snapshot = Snapshot.model_validate(
            {key: value for key, value in content.items() if key != "id"}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path.name} is no snapshot ({where}: {first['msg']}).") from error
    if problem := _inconsistent(snapshot):
        raise ValueError(f"{path.name} is no snapshot ({problem}).")
    if snapshot.id != path.stem:
        raise ValueError(
            f"{path.name} was changed after it was written: its content is that of {snapshot.id}."
        )
    return snapshot


def _inconsistent(snapshot: Snapshot) -> str:
    """Why the parts do not fit together; '' where they do."""
    for name, board in snapshot.boards.items():
        if len({row.id for row in board.rows}) != len(board.rows):
            return f"two rows of {name} are the same"
        for row in board.rows:
            if not len(row.cells) == len(row.records) == len(board.columns):
                return f"{row.label!r:.80} in {name} has not one value for each column"
            if any(
                not 0 <= place < len(snapshot.records) for places in row.records for place in places
            ):
                return f"{row.label!r:.80} in {name} refers to a record that is not there"
    return ""


def _board_state(name: str, board: Board, records: _Records) -> BoardState:
    columns = [
        ColumnState(
            title=cell.title,
            task=cell.task,
            metric=expression_of(cell, board.formula),
            weight=weight,
        )
        for cell, weight in zip(board.cells, board.weights, strict=True)
    ]
    return BoardState(
        title=board.benchmark.title or board.benchmark.name or name,
        formula=formula_text(board),
        groups={
            group: math.fsum(board.weights[place] for place in places)
            for group, places in board.groups.items()
        },
        columns=columns,
        rows=[_row_state(row, board.cells, records) for row in board.rows],
    )


def _row_state(row: Row, cells: Sequence[CellSpec], records: _Records) -> RowState:
    source = row.claim.source if row.claim else ""
    places = []
    for cell, value in zip(cells, row.cells, strict=True):
        made_of = [cell.task] if cell.task in row.results else cell.members
        cell_records = [
            _record(row.results[task])
            for task in made_of
            if task in row.results and value is not None
        ]
        places.append([records.place(record) for record in cell_records])
    standing = row.standing
    return RowState(
        label=f"{row.name} ({source})" if source else row.name,
        model=row.model,
        revision=row.revision,
        variant=row.variant,
        source=source,
        rank=standing.rank if standing else None,
        rank_low=standing.rank_low if standing else None,
        rank_high=standing.rank_high if standing else None,
        score=row.score,
        low=standing.low if standing else None,
        high=standing.high if standing else None,
        cells=row.cells,
        records=places,
        missing={
            title: say(why, "en") for title, why in row.missing.items() if why.key != NO_RESULT
        },
    )


def _record(result: TaskResult) -> Record:
    claim_commit = result.claim.commit if result.claim else ""
    measured = result.kemb
    if measured is None:
        return Record(dataset_revision=result.dataset_revision, claim_commit=claim_commit)
    task, model, command = measured.task, measured.model, measured.command
    protocol = {
        key: value
        for key, value in (("dedupe_pairs", task.dedupe_pairs), ("clustering", task.clustering))
        if value
    }
    return Record(
        dataset_revision=result.dataset_revision,
        data_sha256=task.data_sha256,
        metric=task.main_metric,
        metric_version=str(task.metric_version),
        protocol=json.dumps(protocol, sort_keys=True) if protocol else "",
        prompts={
            role: PromptState(prompt=prompt.prompt, route=prompt.route)
            for role, prompt in sorted(measured.prompts.items())
        },
        dtype=model.dtype or "",
        max_tokens=model.max_tokens,
        pooling=model.pooling or "",
        similarity=model.similarity,
        timestamp=measured.timestamp,
        command_sha256=hashlib.sha256(command.encode()).hexdigest() if command else "",
        claim_commit=claim_commit,
    )


def _sha256(content: Any) -> str:  # noqa: ANN401  whatever JSON can hold
    return hashlib.sha256(
        json.dumps(content, ensure_ascii=True, sort_keys=True).encode()
    ).hexdigest()
