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
import json
import re
import stat
import tempfile
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
from kemb.publishing.markdown import is_own
from kemb.results.files import ITEMS_SCHEMA, META, TaskResult, items_path, read_result, result_dir
from kemb.tasks.spec import KnownType

FORMAT = "kemb submission"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ROOT = "results"
_MOST_FILES = 20_000
_MOST_BYTES = 2**30
_MOST_JSON_BYTES = 64 * 2**20
_MOST_ITEMS = 20_000_000
_MOST_TEXT_BYTES = 4 * 2**30
_NAME = re.compile(r"\w[\w.+@-]{0,150}")
_PATH = re.compile(
    rf"{ROOT}/[\w.+@-]+/[\w.+@-]+(/experiments/[\w.+@-]+)?/\w[\w.+@-]*\.(json|parquet)"
)
_TEXT = pa.dictionary(pa.int32(), pa.string())
_TEXTS = [field.name for field in ITEMS_SCHEMA if field.type not in (pa.float64(), pa.int32())]
_READ_SCHEMA = pa.schema([(f.name, _TEXT if f.name in _TEXTS else f.type) for f in ITEMS_SCHEMA])
_DAY = 86_400


class _Given(BaseModel):
    """What others wrote; keys that we do not need may be there."""

    model_config = ConfigDict(extra="ignore", frozen=True)


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


class _Task(_Given):
    type: KnownType
    main_metric: str
    data_sha256: dict[str, str]
    metric_version: int


class _Model(_Given):
    name: str
    revision: str
    variant: str
    similarity: str
    dtype: str | None = None
    max_tokens: int | None = None


class _Prompt(_Given):
    prompt: str
    route: str


_Count = Annotated[int, Field(ge=0)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Column(_Strict):
    n_texts: _Count
    n_truncated: _Count | None
    longest: _Count


class _Korean(_Strict):
    n_texts: _Count
    n_chars: _Count
    n_tokens: _Count


class _Lengths(_Strict):
    columns: dict[str, _Column]
    korean: _Korean


class _Loaded(_Strict):
    dim: _Count | None = None
    max_tokens: _Count | None = None
    n_parameters: _Count | None = None


class _Encoded(_Given):
    n_encoded: _Count = 0
    n_tokens: _Count = 0


class _Seconds(_Given):
    encode: _Amount = 0


class _Billed(_Strict):
    n_chars: _Count
    n_tokens: _Count


class _Api(_Given):
    n_tokens_guessed: _Count | None = None
    usd: _Amount | None = None
    usd_per_million_tokens: _Amount | None = None
    korean: _Billed | None = None


class _Provenance(_Given):
    task: _Task
    model: _Model
    prompts: dict[str, _Prompt]
    items_sha256: str
    timestamp: Annotated[int, Field(gt=0)]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T")]
    command: str
    started: str = ""
    family: str = ""
    encoded: _Encoded = _Encoded()
    seconds: _Seconds = _Seconds()
    hardware: dict[str, Any] = {}
    api: _Api | None = None
    lengths: dict[str, _Lengths] = {}
    loaded: _Loaded | None = None
    index_bytes_per_document: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    main_score: Annotated[float, Field(allow_inf_nan=False, ge=-1, le=1)]
    hf_subset: str


class _Record(_Given):
    task_name: Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]
    dataset_revision: str
    scores: Annotated[dict[str, Annotated[list[_Entry], Field(min_length=1)]], Field(min_length=1)]
    kemb: _Provenance


@dataclass(frozen=True, slots=True)
class Checked:
    """A submission whose files are the ones of its manifest."""

    manifest: Manifest
    verifications: list[Verification]
    """Of the results without problems; paths are those inside the zip."""
    problems: list[str]

    @property
    def is_good(self) -> bool:
        return not self.problems and not any(found.differs for found in self.verifications)


def check(path: Path, tolerance: float = TOLERANCE) -> Checked:
    """Check a submission without model and data.

    Raises:
        ResultError: the file is no submission, is unsafe, or is not what its manifest says.
    """
    with unpacked(path) as (folder, manifest):
        return check_unpacked(folder, manifest, tolerance)


def check_unpacked(folder: Path, manifest: Manifest, tolerance: float = TOLERANCE) -> Checked:
    """As `check`, of files that `unpacked` has already taken out."""
    verifications, problems = [], []
    for entry in manifest.results:
        try:
            result = _result(folder, entry)
            found = verify_items(result, tolerance)
        except ResultError as error:
            problems.append(f"{entry.file}: {str(error).replace(f'{folder}/', '')}")
            continue
        verifications.append(replace(found, result=replace(result, path=Path(entry.file))))
    return Checked(manifest, verifications, problems)


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, Manifest]]:
    """A temporary folder with the files of a submission, and its manifest; sizes and hashes are
    those it says.

    Raises:
        ResultError: as `check`.
    """
    with tempfile.TemporaryDirectory(prefix="kemb-submission-") as scratch:
        folder = Path(scratch)
        try:
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
        manifest = Manifest.model_validate(_json(archive.read(MANIFEST)))
    except ValidationError as error:
        _refuse(path, f"{MANIFEST}: {_first(error)}")
    except ValueError as error:
        _refuse(path, f"{MANIFEST}: {error}")
    if other := sorted(set(names) - {MANIFEST} ^ manifest.files.keys()):
        _refuse(path, f"{other[0]} is in the zip or in the manifest, but not in both")
    wanted = {str(PurePosixPath(entry.file).parent / META) for entry in manifest.results}
    for entry in manifest.results:
        wanted |= {entry.file, entry.file.removesuffix(".json") + ".items.parquet"}
    if other := sorted(wanted ^ manifest.files.keys()):
        _refuse(path, f"{other[0]} belongs to no result of the manifest, or is missing")
    return manifest


def _result(folder: Path, entry: ResultEntry) -> TaskResult:
    """A result that is what the manifest and its folder say, with items that can be read.

    :raises ResultError: one sentence.
    """
    path = folder / entry.file
    try:
        record = _Record.model_validate(_json(path.read_bytes()))
        _json(path.with_name(META).read_bytes())
    except ValidationError as error:
        raise ResultError(f"The record is not one of kemb's ({_first(error)}).") from error
    except ValueError as error:
        raise ResultError(f"The record cannot be read ({error}).") from error
    model = record.kemb.model
    said = (entry.model, entry.revision, entry.variant, entry.task)
    if said != (model.name, model.revision, model.variant, record.task_name):
        raise ResultError(
            "Its record is of another model, revision, variant or task than the manifest says."
        )
    if (
        path
        != result_dir(folder / ROOT, model.name, model.revision, model.variant)
        / f"{record.task_name}.json"
    ):
        raise ResultError("It does not lie in the folder of its model, revision and variant.")
    if record.kemb.timestamp > time.time() + _DAY:
        raise ResultError("Its date is in the future.")
    days = [
        datetime.datetime.fromtimestamp(record.kemb.timestamp + shift, datetime.UTC)
        for shift in (0, 60)
    ]
    if record.kemb.date[:10] not in [day.date().isoformat() for day in days]:
        raise ResultError(
            f"Its date is {record.kemb.date:.20}, but its time stamp is of {days[0].date()}."
        )
    _check_task(record, entry)
    result = read_result(path)
    if result.main_score != entry.main_score:
        raise ResultError(
            f"Its main score is {result.main_score}; the manifest says {entry.main_score}."
        )
    _check_items(items_path(result))
    return result


def _check_task(record: _Record, entry: ResultEntry) -> None:
    spec = spec_of(record.task_name)
    if entry.own_data != is_own(record.task_name, record.dataset_revision):
        raise ResultError("The manifest is wrong on whether the data are the submitter's own.")
    if spec is not None and (record.kemb.task.type, record.kemb.task.main_metric) != (
        spec.type,
        spec.main_metric,
    ):
        raise ResultError(
            f"{spec.name} is a {spec.type} task with the main metric {spec.main_metric}; the "
            "record differs."
        )


def _check_items(path: Path) -> None:
    """Items have the columns of items, and are not far larger in memory than on disk."""
    try:
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
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise ResultError(f"Its items cannot be read ({type(error).__name__}).") from error
    if n_bytes > _MOST_TEXT_BYTES:
        raise ResultError(
            f"Its items hold {n_bytes} bytes of text; at most {_MOST_TEXT_BYTES} are read."
        )


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
    return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)


def _json(content: bytes) -> Mapping[str, Any]:
    """:raises ValueError: no JSON object, or one with NaN or with half characters."""
    if len(content) > _MOST_JSON_BYTES:
        raise ValueError(f"it has {len(content)} bytes")
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _refuse(path: Path, why: str) -> NoReturn:
    raise ResultError(
        f"{path} is no submission that can be used: {why}. Make one with: kemb submit MODEL -o "
        "FILE.zip"
    )
