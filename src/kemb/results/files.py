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
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kemb.errors import ResultError
from kemb.types import PartScore

SCHEMA_VERSION = 1
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
    kemb: dict[str, Any]
    """Provenance; empty for results that kemb did not make."""
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
        own = {
            (split, entry["hf_subset"])
            for split, entries in self.scores.items()
            for entry in entries
        }
        return own == set(parts)


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
    provenance: Mapping[str, Any],
    kept: tuple[TaskResult, Sequence[tuple[str, str]]] | None = None,
) -> Path:
    """Write items and the JSON that refers to them; the items take their place first.

    :param kept: an earlier result and those of its (split, subset) that stay, before the new ones.

    :raises ResultError: when the folder cannot be written.
    """
    items, json_path = folder / f"{task}.items.parquet", folder / f"{task}.json"
    scores: dict[str, list[dict[str, Any]]] = {}
    notes: dict[str, dict[str, int]] = {}
    table = items_table(parts)
    if kept is not None:
        before, stay = kept
        for split, subset in stay:
            entry = next(entry for entry in before.scores[split] if entry["hf_subset"] == subset)
            scores.setdefault(split, []).append(
                {mteb_metric(name): value for name, value in entry.items()}
            )
        notes = {
            f"{s}/{t}": n
            for s, t in stay
            if (n := before.kemb.get("score_notes", {}).get(f"{s}/{t}"))
        }
        table = pa.concat_tables([_items_of(before, stay), table]).unify_dictionaries()
    for part in parts:
        scores.setdefault(part.split, []).append(_entry(part))
    notes |= {f"{p.split}/{p.subset}": p.score.notes for p in parts if p.score.notes}
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _replacing(json_path) as new_json, _replacing(items) as new_items:
            pq.write_table(table, new_items, compression="zstd", store_schema=False)
            record = {
                "dataset_revision": dataset_revision,
                "task_name": task,
                "mteb_version": None,
                "scores": scores,
                "evaluation_time": provenance.get("seconds", {}).get("score"),
                "kg_co2_emissions": None,
                "date": provenance.get("timestamp"),
                "kemb": {
                    **provenance,
                    "score_notes": notes,
                    "schema": SCHEMA_VERSION,
                    "items_sha256": _sha256(new_items),
                },
            }
            new_json.write_text(
                json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
            )
    return json_path


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `model_meta.json`, without which mteb does not list the folder."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _replacing(folder / META) as temporary:
            temporary.write_text(
                json.dumps(meta, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
            )


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
    own = [
        pc.and_(pc.equal(table["split"], split), pc.equal(table["subset"], subset))
        for split, subset in parts
    ]
    return table.filter(functools.reduce(pc.or_, own)).cast(ITEMS_SCHEMA)


def read_result(path: Path) -> TaskResult:
    """Read a result file of kemb's or mteb's.

    :raises ResultError: when it is no such file.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        scores = {
            split: [{our_metric(name): value for name, value in entry.items()} for entry in entries]
            for split, entries in record["scores"].items()
        }
        task, dataset_revision = record["task_name"], record["dataset_revision"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ResultError(
            f"{path} is not a result file ({type(error).__name__}: {error}). Delete it and run the "
            "task again."
        ) from error
    folder = path.parent
    variant = folder.name if folder.parent.name == EXPERIMENTS else ""
    revision_dir = folder.parent.parent if variant else folder
    provenance = record.get("kemb", {})
    name = provenance.get("model", {}).get("name") or revision_dir.parent.name.replace("__", "/", 1)
    return TaskResult(
        path, name, revision_dir.name, variant, task, dataset_revision, scores, provenance
    )


def read_results(root: Path) -> list[TaskResult]:
    """Every result below `root`, ordered by path."""
    patterns = ("*/*/*.json", f"*/*/{EXPERIMENTS}/*/*.json")
    paths = sorted(path for pattern in patterns for path in root.glob(pattern) if path.name != META)
    return [read_result(path) for path in paths]


def read_items(result: TaskResult) -> pa.Table:
    """The item scores of a result.

    :raises ResultError: when they are missing or not the ones the result was written with.
    """
    path = items_path(result)
    if not has_items(result):
        raise ResultError(
            f"The item scores {path} are missing or were changed after {result.path.name} was "
            "written. "
            f"Type `kemb run {result.task} --rescore` for this model to make them again."
        )
    return pq.read_table(path)


def items_path(result: TaskResult) -> Path:
    """Where the item scores of a result lie."""
    return result.path.with_name(f"{result.task}.items.parquet")


def has_items(result: TaskResult) -> bool:
    """Whether the item scores are there and are the ones the result was written with."""
    path = items_path(result)
    return path.is_file() and _sha256(path) == result.kemb.get("items_sha256")


def mteb_metric(name: str) -> str:
    """`ndcg@10` as mteb writes it: `ndcg_at_10`."""
    return re.sub(r"@(\d+)$", r"_at_\1", name)


def our_metric(name: str) -> str:
    """`ndcg_at_10` as kemb writes it: `ndcg@10`."""
    return re.sub(r"_at_(\d+)$", r"@\1", name)


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultError(
            f"Results cannot be written to {folder} ({error.strerror or error}). Free space or "
            "name another folder with --results DIR; vectors that were encoded are kept in the "
            "store."
        ) from error


PER_PART = ("data_sha256", "notes", "train_is_evaluated")
"""Keys of the record's `task` that speak of single parts, by "<split>/<subset>"."""


Record = Mapping[str, Any]


def same_profile(recorded: Record, wanted: Record) -> bool:
    """Whether two records differ in parts only: metric, revision, model and prompts are equal."""
    if any(recorded.get(key) != value for key, value in wanted.items() if key != "task"):
        return False
    own, its = _task(recorded), _task(wanted)
    return all(own.get(key) == its.get(key) for key in (own.keys() | its.keys()) - set(PER_PART))


def holds(recorded: Record, wanted: Record) -> bool:
    """Whether a record has every part that is wanted, of the same data."""
    own, its = _task(recorded), _task(wanted)
    parts = its["data_sha256"]
    if any(own.get("data_sha256", {}).get(part) != sha256 for part, sha256 in parts.items()):
        return False
    return all(_of_parts(own.get(key), parts) == _of_parts(its[key], parts) for key in PER_PART)


def other_parts(result: TaskResult, wanted: Record) -> list[tuple[str, str]]:
    """The (split, subset) of a result that a record does not speak of, and that may stay
    beside it.
    """
    if not same_profile(result.kemb, wanted):
        return []
    own = [
        (split, str(entry["hf_subset"]))
        for split, entries in result.scores.items()
        for entry in entries
    ]
    return [part for part in own if "/".join(part) not in _task(wanted)["data_sha256"]]


def merged(record: Record, kept: TaskResult, parts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A record with what an earlier one says of the parts that are kept."""
    names = ["/".join(part) for part in parts]
    old, new = _task(kept.kemb), dict(_task(record))
    for key in PER_PART:
        before, now = _of_parts(old.get(key), names), new[key]
        new[key] = before | now if isinstance(now, Mapping) else [*before, *now]
    lengths = _of_parts(kept.kemb.get("lengths") or {}, names) | dict(record.get("lengths") or {})
    return {**record, "task": new} | ({"lengths": lengths} if lengths else {})


def _task(record: Record) -> Record:
    found: Record = record.get("task", {})
    return found


def _of_parts(value: Any, parts: Any) -> Any:  # noqa: ANN401  a table or a list of parts
    if isinstance(value, Mapping):
        return {part: found for part, found in value.items() if part in parts}
    return [part for part in value or () if part in parts]
