"""Records on disk: `<Task>.json` in mteb's layout and format, `<Task>.items.parquet` beside it,
`model_meta.json`.

    results/<org>__<model>/<revision>/<Task>.json                          the declared profile
    results/<org>__<model>/<revision>/experiments/<variant>/<Task>.json    anything else

Provenance is the key `kemb` inside `<Task>.json`; mteb's loader ignores it. Files appear by a
rename, and the JSON holds the hash of its items, so a pair that a crash left torn is noticed and
made again.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kemb.errors import ResultError, UsageError
from kemb.files import disk
from kemb.files.disk import refuse_bomb
from kemb.results import record
from kemb.results.record import SCHEMA_VERSION, Provenance, Record, Setting, known
from kemb.types import PartScore


class NoItems(ResultError):
    """Items that are the ones of their record, and cannot be those of any result."""


_T = TypeVar("_T")
EXPERIMENTS = "experiments"
META = "model_meta.json"

ITEMS_SCHEMA = pa.schema(
    [
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("subset", pa.dictionary(pa.int32(), pa.string())),
        ("item_id", pa.string()),
        ("cluster_id", pa.string()),
        ("metric", pa.dictionary(pa.int32(), pa.string())),
        ("experiment", pa.int32()),
        ("target", pa.string()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """The score of one (split, subset)."""

    split: str
    subset: str
    languages: Sequence[str]
    score: PartScore
    main_metric: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Where a number comes from that kemb did not measure."""

    source: str
    """A short name for readers: "embeddings-benchmark/results", "KURE README"."""
    url: str = ""
    commit: str = ""
    mteb_version: str = ""
    retrieved: str = ""
    """The date of the state that was read, as YYYY-MM-DD."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One cell of a board: a task's scores for one model row, as read from disk."""

    path: Path
    model: str
    revision: str
    variant: str
    task: str
    dataset_revision: str
    scores: dict[str, list[dict[str, Any]]]
    """split -> one entry per subset; metric names are ours (`ndcg@10`)."""
    kemb: Record | None
    """How the scores came about; None for results that kemb did not make."""
    claim: Claim | None = None
    """The source, for imported results; None for those that were measured here."""

    @property
    def main_score(self) -> float:
        """Unweighted mean of the main score over the recorded splits and subsets, as mteb's
        `get_score`.
        """
        return float(
            np.mean([entry["main_score"] for entries in self.scores.values() for entry in entries])
        )

    def has_parts(self, parts: Sequence[tuple[str, str]]) -> bool:
        """Whether the result holds exactly these (split, subset) and no other."""
        return set(self.parts) == set(parts)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The (split, subset) that it holds."""
        return [
            (split, str(entry["hf_subset"]))
            for split, entries in self.scores.items()
            for entry in entries
        ]

    @property
    def claims_items(self) -> bool:
        """Whether the record names items; they may be gone, or not be the ones any more."""
        return self.kemb is not None and bool(self.kemb.items_sha256)

    @property
    def record(self) -> Record:
        """The record of a result that kemb made.

        :raises UsageError: for any other.
        """
        if self.kemb is None:
            raise UsageError(
                f"{self.path} was not made by kemb: it does not say how it came about. Measure it "
                f"with: kemb run {self.task} -m {self.model}"
            )
        return self.kemb


def result_dir(root: Path, model: str, revision: str, variant: str = "") -> Path:
    """The folder of a model row.

    :raises ResultError: for a name that is no safe path.
    """
    full = model if "/" in model else f"kemb/{model}"
    names = [
        full.replace("/", "__").replace(":", "-"),
        revision,
        *([EXPERIMENTS, variant] if variant else []),
    ]
    for name in names:
        if not re.fullmatch(r"[\w.+@-]+", name) or set(name) == {"."}:
            raise ResultError(
                f"{name!r} cannot be the name of a result folder; use letters, digits, . _ - + @."
            )
    return root.joinpath(*names)


def write_result(
    folder: Path,
    task: str,
    dataset_revision: str,
    parts: Sequence[ScoredPart],
    provenance: Provenance,
    earlier: tuple[TaskResult, Sequence[tuple[str, str]]] | None = None,
) -> Path:
    """Write items and the JSON that refers to them; the items take their place first.

    :param earlier: a result that is replaced, and those of its (split, subset) that stay, before
        the new ones.

    :raises DiskError: when the folder cannot be written.
    :raises ResultError: when the scores are none that a record may hold.
    """
    items, json_path = folder / f"{task}.items.parquet", folder / f"{task}.json"
    scores: dict[str, list[dict[str, Any]]] = {}
    notes: dict[str, dict[str, int]] = {}
    judged: dict[str, dict[str, float]] = {}
    table = items_table(parts)
    if earlier is not None:
        result, staying = earlier
        scores = _entries_of(result, staying)
        notes = _of_parts(result.kemb.score_notes if result.kemb else {}, _names(staying))
        before = _of_parts(result.kemb.judged if result.kemb else {}, _names(staying))
        judged = {part: shares.as_json() for part, shares in before.items()}
        table = pa.concat_tables([_items_of(result, staying), table]).unify_dictionaries()
    for part in parts:
        scores.setdefault(part.split, []).append(_entry(part))
    notes |= {f"{p.split}/{p.subset}": p.score.notes for p in parts if p.score.notes}
    judged |= {
        f"{p.split}/{p.subset}": known(**p.score.judged._asdict()) for p in parts if p.score.judged
    }
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (
            disk.replacing(json_path, sync=True) as new_json,
            disk.replacing(items, sync=True) as new_items,
        ):
            pq.write_table(table, new_items, compression="zstd", store_schema=False)
            hashed = {"schema": SCHEMA_VERSION, "items_sha256": disk.sha256(new_items)}
            file = record.checked(
                json_path,
                {
                    "dataset_revision": dataset_revision,
                    "task_name": task,
                    "mteb_version": None,
                    "scores": scores,
                    "evaluation_time": provenance.seconds.score,
                    "kg_co2_emissions": None,
                    "date": provenance.timestamp,
                    "kemb": provenance.as_json()
                    | {"score_notes": notes}
                    | ({"judged": judged} if judged else {})
                    | hashed,
                },
            )
            new_json.write_bytes(file.text().encode())
    return json_path


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `model_meta.json`, without which mteb does not list the folder.

    :raises DiskError: when the folder cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with disk.replacing(folder / META, sync=True) as unfinished:
            unfinished.write_bytes(disk.json_text(meta).encode())


def items_table(parts: Sequence[ScoredPart]) -> pa.Table:
    """All item scores as one long table; the order of rows is that of the data."""
    tables = []
    for part in parts:
        for block in part.score.items:
            n = len(block.values)
            columns = {
                "split": np.full(n, part.split),
                "subset": np.full(n, part.subset),
                "item_id": list(block.item_ids),
                "cluster_id": list(block.cluster_ids)
                if block.cluster_ids is not None
                else [None] * n,
                "metric": np.full(n, block.metric),
                "experiment": [block.experiment] * n,
                "target": list(block.targets) if block.targets is not None else [None] * n,
                "value": np.asarray(block.values, dtype=np.float64),
            }
            arrays = [
                pa.array(columns[f.name], type=_plain(f.type)).cast(f.type) for f in ITEMS_SCHEMA
            ]
            tables.append(pa.Table.from_arrays(arrays, schema=ITEMS_SCHEMA))
    return pa.concat_tables(tables).unify_dictionaries() if tables else ITEMS_SCHEMA.empty_table()


def _items_of(result: TaskResult, parts: Sequence[tuple[str, str]]) -> pa.Table:
    table = read_items(result)
    masks = [
        pc.and_(pc.equal(table["split"], split), pc.equal(table["subset"], subset))
        for split, subset in parts
    ]
    return table.filter(functools.reduce(pc.or_, masks)).cast(ITEMS_SCHEMA)


def read_result(path: Path) -> TaskResult:
    """Read a result file of kemb's or mteb's.

    :raises ResultError: when it is no such file.
    """
    file = record.read(path)
    scores = {
        split: [{our_metric(name): value for name, value in entry.items()} for entry in entries]
        for split, entries in file.scores.items()
    }
    folder = path.parent
    variant = folder.name if folder.parent.name == EXPERIMENTS else ""
    revision_dir = folder.parent.parent if variant else folder
    model = file.kemb.model.name if file.kemb else ""
    return TaskResult(
        path,
        model or revision_dir.parent.name.replace("__", "/", 1),
        revision_dir.name,
        variant,
        file.task_name,
        file.dataset_revision,
        scores,
        file.kemb,
    )


def read_results(root: Path) -> list[TaskResult]:
    """Every result below `root`, ordered by path."""
    patterns = ("*/*/*.json", f"*/*/{EXPERIMENTS}/*/*.json")
    paths = sorted(path for pattern in patterns for path in root.glob(pattern) if path.name != META)
    return [read_result(path) for path in paths]


def read_items(result: TaskResult) -> pa.Table:
    """The item scores of a result.

    :raises ResultError: when they are missing or not the ones the result was written with.
    :raises NoItems: when they are those, and no item scores.
    """
    path = items_path(result)
    if not has_items(result):
        raise ResultError(
            f"The item scores {path} are missing or were changed after {result.path.name} was "
            f"written. Make them again with: {again(result, '--rescore')}"
        )
    try:
        refuse_bomb(path)
        with pq.ParquetFile(path) as file:  # pq.read_table would import pandas
            table = file.read()
        table.validate(full=True)  # that texts are UTF-8, too
    except (OSError, ValueError, pa.ArrowException) as error:
        why = str(error) if type(error) is ValueError else type(error).__name__
        raise _not_items(path, result, why) from error
    columns = {field.name: _plain(field.type) for field in table.schema}
    if columns != {field.name: _plain(field.type) for field in ITEMS_SCHEMA}:
        described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        raise _not_items(path, result, f"it has the columns {described}"[:200])
    return table


def _not_items(path: Path, result: TaskResult, why: str) -> NoItems:
    return NoItems(
        f"{path} holds no item scores as kemb writes them ({why}). Make them again with: "
        f"{again(result, '--rescore')}"
    )


def again(result: TaskResult, flag: str) -> str:
    """What to type to make a result again: the command that made it, with one more option; where
    it was none of the command line, the task and the model.

    Records come from strangers too: every word is quoted, and what cannot be printed is not shown.
    """
    command = result.kemb.command if result.kemb else ""
    try:
        words = shlex.split(command) if command.isprintable() else []
    except ValueError:
        words = []
    if words[:2] != ["kemb", "run"] or len(words) == 2:
        names = {"TASK": result.task, "MODEL": result.model}
        task, model = (name if name.isprintable() else kind for kind, name in names.items())
        words = ["kemb", "run", task, "-m", model]
    return shlex.join(words if flag in words else [*words, flag])


def items_path(result: TaskResult) -> Path:
    """Where the item scores of a result lie."""
    return result.path.with_name(f"{result.task}.items.parquet")


def has_items(result: TaskResult) -> bool:
    """Whether the item scores are there and are the ones the result was written with."""
    path = items_path(result)
    if result.kemb is None or not path.is_file():
        return False
    return disk.sha256(path) == result.kemb.items_sha256


def mteb_metric(name: str) -> str:
    """`ndcg@10` as mteb writes it: `ndcg_at_10`."""
    return re.sub(r"@(\d+)$", r"_at_\1", name)


def our_metric(name: str) -> str:
    """`ndcg_at_10` as kemb writes it: `ndcg@10`."""
    return re.sub(r"_at_(\d+)$", r"@\1", name)


def _entries_of(
    result: TaskResult, parts: Sequence[tuple[str, str]]
) -> dict[str, list[dict[str, Any]]]:
    """The entries of some parts, with metrics as mteb names them."""
    scores: dict[str, list[dict[str, Any]]] = {}
    for split, subset in parts:
        entry = next(entry for entry in result.scores[split] if entry["hf_subset"] == subset)
        scores.setdefault(split, []).append(
            {mteb_metric(name): value for name, value in entry.items()}
        )
    return scores


def _entry(part: ScoredPart) -> dict[str, Any]:
    if part.main_metric not in part.score.metrics:
        raise ResultError(
            f"The main score {part.main_metric!r} is not among the metrics of this task type: "
            f"{', '.join(sorted(part.score.metrics))}."
        )
    entry: dict[str, Any] = {mteb_metric(name): value for name, value in part.score.metrics.items()}
    if part.score.experiments:
        names = list(part.score.experiments)
        rows = zip(*part.score.experiments.values(), strict=True)
        entry["scores_per_experiment"] = [
            dict(zip(map(mteb_metric, names), row, strict=True)) for row in rows
        ]
    entry["main_score"] = part.score.metrics[part.main_metric]
    entry["hf_subset"] = part.subset
    entry["languages"] = list(part.languages)
    return entry


def _plain(field_type: pa.DataType) -> pa.DataType:
    return field_type.value_type if pa.types.is_dictionary(field_type) else field_type


def _writing(folder: Path) -> contextlib.AbstractContextManager[None]:
    return disk.writing(
        f"Results cannot be written to {folder}",
        "Free space or name another folder with --results DIR; vectors that were encoded are kept "
        "in the store.",
    )


PER_PART = ("data_sha256", "notes", "train_is_evaluated")
"""Keys of the record's `task` that speak of single parts, by "<split>/<subset>"."""


def same_profile(recorded: Setting, now: Setting) -> bool:
    """Whether two records differ in parts only: metric, revision, model, prompts are equal."""
    before, after = recorded.as_json(), now.as_json()
    task, other_task = before.pop("task"), after.pop("task")
    if any(before.get(key) != value for key, value in after.items()):
        return False
    keys = (task.keys() | other_task.keys()) - set(PER_PART)
    return all(task.get(key) == other_task.get(key) for key in keys)


def holds(recorded: Setting, now: Setting) -> bool:
    """Whether a record has every part of a setting, of the same data."""
    task, other_task = recorded.task, now.task
    hashes = other_task.data_sha256
    if any(task.data_sha256.get(part) != sha256 for part, sha256 in hashes.items()):
        return False
    return _of_parts(task.notes, hashes) == _of_parts(other_task.notes, hashes) and [
        part for part in task.train_is_evaluated if part in hashes
    ] == [part for part in other_task.train_is_evaluated if part in hashes]


def other_parts(result: TaskResult, now: Setting) -> list[tuple[str, str]]:
    """The (split, subset) of a result that a setting does not speak of, and that may stay
    beside it.
    """
    if result.kemb is None or not same_profile(result.kemb, now):
        return []
    return [part for part in result.parts if "/".join(part) not in now.task.data_sha256]


def merged(now: Provenance, earlier: Record, parts: Sequence[tuple[str, str]]) -> Provenance:
    """A record with what an earlier one says of the parts that stay."""
    names = _names(parts)
    before, task = earlier.task, now.task
    evaluated = [part for part in before.train_is_evaluated if part in names]
    changes: dict[str, Any] = {
        "task": task.model_copy(
            update={
                "data_sha256": _of_parts(before.data_sha256, names) | task.data_sha256,
                "notes": _of_parts(before.notes, names) | task.notes,
                "train_is_evaluated": evaluated + task.train_is_evaluated,
            }
        )
    }
    if lengths := _of_parts(earlier.lengths, names) | now.lengths:
        changes["lengths"] = lengths
    return now.model_copy(update=changes)


def _names(parts: Sequence[tuple[str, str]]) -> list[str]:
    return ["/".join(part) for part in parts]


def _of_parts(values: Mapping[str, _T], parts: Collection[str]) -> dict[str, _T]:
    return {part: value for part, value in values.items() if part in parts}
