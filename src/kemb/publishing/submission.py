"""A submission: results of some rows in one zip file, and whether it may be trusted as far as a
file can be.

    manifest.json                                                  what is inside, with hashes
    results/<org>__<model>/<revision>/{<Task>.json, <Task>.items.parquet, model_meta.json}

Files are stored, not compressed (Parquet is compressed itself): equal results make equal bytes
whatever zlib there is, and nothing can grow when it is unpacked. The check shows that the scores
follow from the items and that nothing was changed on the way; that a model really gave these items
shows only a new run (`kemb verify` of the results).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import stat
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kemb.boards.benchmark import spec_of
from kemb.errors import ResultError
from kemb.evaluation.verify import TOLERANCE, Verification, verify_items
from kemb.files import disk
from kemb.files.disk import refuse_bomb
from kemb.publishing.markdown import is_own
from kemb.results.files import ITEMS_SCHEMA, META, TaskResult, items_path, read_result, result_dir
from kemb.results.meta import read_meta
from kemb.results.record import Record, first_problem

FORMAT = "kemb submission"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ROOT = "results"
_MOST_FILES = 20_000
_MOST_BYTES = 2**30
_MOST_ITEMS = 20_000_000
_MOST_TEXT_BYTES = 4 * 2**30
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T")
_NAME = re.compile(r"\w[\w.+@-]{0,150}")
_PATH = re.compile(
    rf"{ROOT}/[\w.+@-]+/[\w.+@-]+(/experiments/[\w.+@-]+)?/\w[\w.+@-]*\.(json|parquet)"
)
_TEXT = pa.dictionary(pa.int32(), pa.string())
_TEXTS = [field.name for field in ITEMS_SCHEMA if field.type not in (pa.float64(), pa.int32())]
_READ_SCHEMA = pa.schema([(f.name, _TEXT if f.name in _TEXTS else f.type) for f in ITEMS_SCHEMA])
_KEYS = [name for name in ITEMS_SCHEMA.names if name != "value"]
_DAY = 86_400


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file of a submission."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


class ResultEntry(_Strict):
    """One result of a submission."""

    model: str
    revision: str
    variant: str
    task: str
    main_score: Annotated[float, Field(allow_inf_nan=False)]
    own_data: bool
    """Whether kemb does not know the task: its data are the submitter's."""
    file: str


class Manifest(_Strict):
    """`manifest.json`."""

    format: Literal["kemb submission"]
    schema_version: Literal[1]
    kemb_version: str
    results: Annotated[list[ResultEntry], Field(min_length=1)]
    files: dict[str, FileEntry]


@dataclass(frozen=True, slots=True)
class Checked:
    """A submission whose files are the ones of its manifest."""

    manifest: Manifest
    verifications: list[Verification]
    """Of the results without problems; paths are those inside the zip."""
    problems: list[str]

    @property
    def is_good(self) -> bool:
        return not self.problems and not any(
            verification.differs for verification in self.verifications
        )


def check(path: Path, tolerance: float = TOLERANCE) -> Checked:
    """Check a submission without model and data.

    :raises ResultError: the file is no submission, is unsafe, or is not what its manifest says.
    """
    with unpacked(path) as (folder, manifest):
        return check_unpacked(folder, manifest, tolerance)


def check_unpacked(folder: Path, manifest: Manifest, tolerance: float = TOLERANCE) -> Checked:
    """As `check`, of files that `unpacked` has already taken out."""
    verifications, problems = [], []
    for entry in manifest.results:
        try:
            result = _result(folder, entry)
            verification = verify_items(result, tolerance)
        except ResultError as error:
            problems.append(f"{entry.file}: {str(error).replace(f'{folder}/', '')}")
            continue
        verifications.append(replace(verification, result=replace(result, path=Path(entry.file))))
    return Checked(manifest, verifications, problems)


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, Manifest]]:
    """A temporary folder with the files of a submission, and its manifest; sizes and hashes are
    those it says.

    :raises ResultError: as `check`.
    """
    with disk.scratch_folder() as folder:
        try:
            disk.size_of_file(path)
            with zipfile.ZipFile(path) as archive:
                names = _safe_names(path, archive)
                manifest = _manifest(path, archive, names)
                for name, entry in manifest.files.items():
                    content = archive.read(name)
                    if (len(content), hashlib.sha256(content).hexdigest()) != (
                        entry.size,
                        entry.sha256,
                    ):
                        _refuse(path, f"{name} is not the file that the manifest describes")
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            EOFError,
            ValueError,
        ) as error:
            _refuse(path, f"it cannot be read as a zip file: {error}")
        except OSError as error:
            raise ResultError(
                f"{path} cannot be unpacked ({error.strerror or error}). Free space and try again."
            ) from error
        yield folder, manifest


def _safe_names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The names of all files, none of which leads out of the folder or is larger than what was
    sent.
    """
    infos = archive.infolist()
    if len(infos) > _MOST_FILES or sum(info.file_size for info in infos) > min(
        path.stat().st_size, _MOST_BYTES
    ):
        _refuse(
            path,
            f"it is too large, or its files overlap; at most {_MOST_FILES} files and {_MOST_BYTES} "
            "bytes",
        )
    for info in infos:
        name = info.orig_filename
        mode = info.external_attr >> 16
        if name != MANIFEST and not _PATH.fullmatch(name):
            _refuse(path, f"{name!r:.200} is no name of a file in a submission")
        if any(set(part) == {"."} for part in PurePosixPath(name).parts):
            _refuse(path, f"{name!r:.200} leads out of its folder")
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            _refuse(path, f"{name!r:.200} is a link or something else that is no file")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            _refuse(path, f"{name!r:.200} is compressed or encrypted")
    names = [info.filename for info in infos]
    if len({name.casefold() for name in names}) != len(names):
        _refuse(path, "two files have the same name")
    return names


def _manifest(path: Path, archive: zipfile.ZipFile, names: list[str]) -> Manifest:
    if MANIFEST not in names:
        _refuse(path, f"it has no {MANIFEST}")
    try:
        if archive.getinfo(MANIFEST).file_size > disk.MOST_JSON_BYTES:
            raise ValueError(f"it has more than {disk.MOST_JSON_BYTES} bytes")
        parsed = disk.parse_json(archive.read(MANIFEST), finite=True)
        manifest = Manifest.model_validate(_object(parsed))
    except ValidationError as error:
        _refuse(path, f"{MANIFEST}: {first_problem(error)}")
    except ValueError as error:
        _refuse(path, f"{MANIFEST}: {error}")
    unmatched = sorted(set(names) - {MANIFEST} ^ manifest.files.keys())
    if unmatched:
        _refuse(path, f"{unmatched[0]} is in the zip or in the manifest, but not in both")
    entries = [entry.file for entry in manifest.results]
    if len(set(entries)) != len(entries):
        _refuse(path, f"{MANIFEST} lists a result twice")
    names_of_results = {str(PurePosixPath(entry.file).parent / META) for entry in manifest.results}
    for entry in manifest.results:
        names_of_results |= {entry.file, entry.file.removesuffix(".json") + ".items.parquet"}
    unmatched = sorted(names_of_results ^ manifest.files.keys())
    if unmatched:
        _refuse(path, f"{unmatched[0]} belongs to no result of the manifest, or is missing")
    return manifest


def _result(folder: Path, entry: ResultEntry) -> TaskResult:
    """A result that is what the manifest and its folder say, with items that can be read.

    :raises ResultError: one sentence.
    """
    path = folder / entry.file
    try:
        _object(disk.read_json(path, finite=True))
    except ValueError as error:
        raise ResultError(f"The record cannot be read ({error}).") from error
    read_meta(path.with_name(META))
    result = read_result(path)
    if result.kemb is None:
        raise ResultError("The record is not one of kemb's (it has no key kemb).")
    model = result.kemb.model
    listed = (entry.model, entry.revision, entry.variant, entry.task)
    if listed != (model.name, model.revision, model.variant, result.task):
        raise ResultError(
            "Its record is of another model, revision, variant or task than the manifest says."
        )
    if (
        path
        != result_dir(folder / ROOT, model.name, model.revision, model.variant)
        / f"{result.task}.json"
    ):
        raise ResultError("It does not lie in the folder of its model, revision and variant.")
    _check_values(result, result.kemb)
    _check_task(result, result.kemb, entry)
    if result.main_score != entry.main_score:
        raise ResultError(
            f"Its main score is {result.main_score}; the manifest says {entry.main_score}."
        )
    _check_items(items_path(result))
    return result


def _check_values(result: TaskResult, record: Record) -> None:
    """A name that is one word, and dates that may be true."""
    if not _NAME.fullmatch(result.task):
        raise ResultError(f"{result.task!r:.200} is no name of a task.")
    if not _DATE.match(record.date):
        raise ResultError(f"kemb.date: {record.date!r:.40} is none; one is 2026-01-31T00:00:00.")
    if record.timestamp > time.time() + _DAY:
        raise ResultError("Its date is in the future.")
    days = [
        datetime.datetime.fromtimestamp(record.timestamp + shift, datetime.UTC) for shift in (0, 60)
    ]
    if record.date[:10] not in [day.date().isoformat() for day in days]:
        raise ResultError(
            f"Its date is {record.date:.20}, but its time stamp is of {days[0].date()}."
        )
    if record.index_bytes_per_document == 0:
        raise ResultError("kemb.index_bytes_per_document: an index has more than no bytes.")


def _check_task(result: TaskResult, record: Record, entry: ResultEntry) -> None:
    spec = spec_of(result.task)
    if entry.own_data != is_own(result.task, result.dataset_revision):
        raise ResultError("The manifest is wrong on whether the data are the submitter's own.")
    recorded = (record.task.type, record.task.main_metric)
    if spec is not None and recorded != (spec.type, spec.main_metric):
        raise ResultError(
            f"{spec.name} is a {spec.type} task with the main metric {spec.main_metric}; the "
            "record differs."
        )


def _check_items(path: Path) -> None:
    """Items have the columns of items, each once, and are not far larger in memory than on disk."""
    try:
        refuse_bomb(path)
        with pq.ParquetFile(path, read_dictionary=_TEXTS) as file:
            if file.metadata.num_rows > _MOST_ITEMS:
                raise ResultError(
                    f"It has {file.metadata.num_rows} items; at most {_MOST_ITEMS} are read."
                )
            if not file.schema_arrow.equals(_READ_SCHEMA):
                raise ResultError(
                    f"Its items have the columns {', '.join(file.schema_arrow.names)[:200]}."
                )
            n_bytes = sum(
                _text_bytes(chunk) for name in _TEXTS for chunk in file.read([name])[name].chunks
            )
            n_twice = 0 if n_bytes > _MOST_TEXT_BYTES else _n_listed_twice(file.read(_KEYS))
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        why = f": {error}" if type(error) is ValueError else ""
        raise ResultError(f"Its items cannot be read ({type(error).__name__}{why}).") from error
    if n_bytes > _MOST_TEXT_BYTES:
        raise ResultError(
            f"Its items hold {n_bytes} bytes of text; at most {_MOST_TEXT_BYTES} are read."
        )
    if n_twice:
        raise ResultError(f"Its items list {n_twice} items twice.")


def _n_listed_twice(keys: pa.Table) -> int:
    """Rows that say the same of the same item as one before."""
    plain = keys.cast(pa.schema([(f.name, _plain(f.type)) for f in keys.schema]))
    return int(keys.num_rows - plain.group_by(_KEYS).aggregate([([], "count_all")]).num_rows)


def _plain(field_type: pa.DataType) -> pa.DataType:
    return field_type.value_type if pa.types.is_dictionary(field_type) else field_type


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
    return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)


def _object(parsed: object) -> Mapping[str, Any]:
    """:raises ValueError: it is no JSON object."""
    if not isinstance(parsed, dict):
        raise ValueError("it is no JSON object")
    return parsed


def _refuse(path: Path, why: str) -> NoReturn:
    raise ResultError(
        f"{path} is no submission that can be used: {why}. Make one with: kemb submit MODEL -o "
        "FILE.zip"
    )
