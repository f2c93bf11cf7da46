"""Published numbers: one Parquet file per source, a row per number, read as results that carry
their source.

    results/claims/<source>.parquet      imported with `kemb import`
    kemb/data/claims/<source>.parquet    shipped: public scores of Korean tasks

Nobody measured these here: they have no items, and a row of them never takes cells from a measured
one. Values are fractions (0..1; correlations may be negative), never percent; where they come from
stands in the file's metadata.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kemb import tasks
from kemb.errors import ResultError
from kemb.files import disk
from kemb.files.disk import refuse_bomb
from kemb.results.files import Claim, TaskResult, read_results

FOLDER = Path(__file__).parent.parent / "data" / "claims"
UNSTATED = "unstated"
"""The revision of a model whose source does not say which one it scored."""

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        *(
            (name, _TEXT)
            for name in (
                "model",
                "revision",
                "variant",
                "task",
                "dataset_revision",
                "split",
                "subset",
            )
        ),
        ("metric", _TEXT),
        ("value", pa.float64()),
        ("mteb_version", _TEXT),
    ]
)


class ClaimRow(NamedTuple):
    """One published number."""

    model: str
    revision: str
    variant: str
    task: str
    dataset_revision: str
    split: str
    subset: str
    metric: str
    """Our name, `main_score`, or the whole expression of a benchmark's cell."""
    value: float
    mteb_version: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the numbers of one file come from."""

    name: str
    """A short name for readers: "embeddings-benchmark/results", "KURE README"."""
    url: str = ""
    commit: str = ""
    licence: str = ""
    retrieved: str = ""
    """The date of the state that was read, as YYYY-MM-DD."""


def claims_path(root: Path, name: str) -> Path:
    """Where the numbers of a source are kept below a results folder; any name makes a safe path."""
    slug = re.sub(r"[^\w.]+", "-", name.lower()).strip("-.")[:100]
    return root / "claims" / f"{slug or 'source'}.parquet"


def write_claims(path: Path, rows: Iterable[ClaimRow], source: Source) -> None:
    """Write the numbers of one source, in place of what the file held; equal rows give equal bytes.

    :raises ResultError: when a value is no fraction, or when one number is given twice with
        different values.
    :raises DiskError: when the file cannot be written.
    """
    ordered = sorted(set(rows))
    for row in ordered:
        if not (math.isfinite(row.value) and abs(row.value) <= 1):
            raise ResultError(
                f"{source.name}: {row.metric} of {row.model} on {row.task} is {row.value}; "
                "expected a fraction between -1 and 1. Divide percentages by 100."
            )
    for one, other in pairwise(ordered):
        if one[:8] == other[:8]:
            raise ResultError(
                f"{source.name} gives {one.metric} of {one.model} on {one.task} ({one.split}, "
                f"{one.subset}) twice: "
                f"{one.value} and {other.value}. Keep the right one."
            )
    columns = list(zip(*ordered, strict=True)) or [()] * len(SCHEMA)
    arrays = [
        pa.array(column, pa.float64())
        if field.type == pa.float64()
        else pa.array(column, pa.string()).cast(field.type)
        for column, field in zip(columns, SCHEMA, strict=True)
    ]
    schema = SCHEMA.with_metadata(dataclasses.asdict(source))
    table = pa.Table.from_arrays(arrays, schema=schema)
    with disk.writing(f"{path} cannot be written", "Name another --results DIR."):
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.replacing(path, sync=True) as unfinished:
            pq.write_table(table, unfinished, compression="zstd", compression_level=19)


def read_source(path: Path) -> Source:
    """Where the numbers of a file come from.

    :raises ResultError: when it is no such file.
    """
    try:
        refuse_bomb(path)
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _not_claims(path, str(error)) from error
    fields = {
        field.name: metadata.get(field.name.encode(), b"").decode("utf-8", "replace")
        for field in _SOURCE_FIELDS
    }
    if not fields["name"]:
        raise _not_claims(path, "its metadata name no source")
    return Source(**fields)


def read_claims(path: Path) -> list[TaskResult]:
    """The numbers of a file as results: one for each model, revision, variant and task, in that
    order.

    An entry has the metrics that its source gives, which may lack `main_score`.

    :raises ResultError: when it is no such file.
    """
    source = read_source(path)
    try:
        with pq.ParquetFile(path) as file:  # pq.read_table would import pandas
            table = file.read(columns=SCHEMA.names)
        table.validate(full=True)  # that texts are UTF-8, too
        columns = [table[name].cast(_plain(name)).to_pylist() for name in SCHEMA.names]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise _not_claims(path, str(error)) from error
    rows = [ClaimRow(*values) for values in zip(*columns, strict=True)]
    if any(value is None for row in rows for value in row):
        raise _not_claims(path, "a value is missing")
    rows.sort()
    for row in rows:
        if not (math.isfinite(row.value) and abs(row.value) <= 1):
            raise _not_claims(path, f"{row.metric} of {row.model} on {row.task} is no fraction")
    for one, other in pairwise(rows):
        if one[:8] == other[:8]:
            raise _not_claims(path, f"{one.metric} of {one.model} on {one.task} stands twice")
    grouped = groupby(rows, lambda row: (*row[:5], row.mteb_version))
    return [_result(path, source, list(of_task)) for _, of_task in grouped]


@cache
def shipped() -> list[TaskResult]:
    """All public scores that come with kemb. Do not change them: every caller gets the same
    ones.
    """
    return [result for path in sorted(FOLDER.glob("*.parquet")) for result in read_claims(path)]


def read_all(root: Path) -> list[TaskResult]:
    """Everything in a results folder: what was measured here, then what was imported.

    Result files that another program put there are claimed like imported ones, with the folder as
    their source.

    :raises ResultError: with the path of a file that cannot be read.
    """
    foreign = Claim(f"files in {root}")
    measured = [r if r.kemb else dataclasses.replace(r, claim=foreign) for r in read_results(root)]
    imported = [
        result
        for path in sorted((root / "claims").glob("*.parquet"))
        for result in read_claims(path)
    ]
    return measured + imported


def join_revisions(
    results: Sequence[TaskResult], main_revisions: Mapping[str, str]
) -> list[TaskResult]:
    """One result for each model, variant and task, chosen among the model's revisions by mteb's
    rule.

    First the main revision, then a result that says which version of mteb made it, then one whose
    revision is known (not `external` or `no_revision_available`), then the newest version of mteb;
    among equals the first revision by name, where mteb takes them as the file system lists them.
    Equal to `BenchmarkResults.join_revisions` of mteb 2.26. Results without entries are left out.
    Mind that a row then mixes revisions: kemb's own boards keep them apart.

    :param results: of one source; `revision` stays the one of each result.
    :param main_revisions: by model, those that mteb's registry names
        (`kemb.adapters.mteb_results.main_revisions`).
    """
    from packaging.version import InvalidVersion, Version

    def version(result: TaskResult) -> Version | None:
        try:
            return Version(result.claim.mteb_version) if result.claim else None
        except InvalidVersion:
            return None

    def preference(result: TaskResult) -> tuple[Any, ...]:
        made_by = version(result)
        is_main = result.revision == main_revisions.get(result.model)
        is_known = result.revision not in ("external", "no_revision_available", UNSTATED)
        return (is_main, made_by is not None, is_known, made_by or Version("0"))

    result_by_cell: dict[tuple[str, str, str], TaskResult] = {}
    for result in sorted(results, key=lambda result: result.revision):
        if not result.scores:
            continue
        key = (result.model, result.variant, result.task)
        if key not in result_by_cell or preference(result) > preference(result_by_cell[key]):
            result_by_cell[key] = result
    return [result_by_cell[key] for key in sorted(result_by_cell)]


_SOURCE_FIELDS = dataclasses.fields(Source)


def _plain(name: str) -> pa.DataType:
    return pa.float64() if name == "value" else pa.string()


def _result(path: Path, source: Source, rows: Sequence[ClaimRow]) -> TaskResult:
    first = rows[0]
    scores: dict[str, list[dict[str, Any]]] = {}
    for (split, subset), numbers in groupby(rows, lambda row: (row.split, row.subset)):
        entry: dict[str, Any] = {row.metric: row.value for row in numbers}
        scores.setdefault(split, []).append(
            entry | {"hf_subset": subset, "languages": _languages(first.task, subset)}
        )
    claim = Claim(source.name, source.url, source.commit, first.mteb_version, source.retrieved)
    model, revision, variant, task, dataset_revision = first[:5]
    return TaskResult(path, model, revision, variant, task, dataset_revision, scores, None, claim)


def _languages(task: str, subset: str) -> list[str]:
    """As the task's specification says; none for a task that nobody knows."""
    spec = tasks.find_spec(task)
    return list(spec.subset_languages.get(subset, spec.languages)) if spec else []


def _not_claims(path: Path, why: str) -> ResultError:
    return ResultError(
        f"{path} is not a file of published scores ({why}). Delete it, and import the numbers "
        "again with `kemb import`."
    )
