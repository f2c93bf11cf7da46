"""The record of a result: all that `<Task>.json` holds, typed. The only reader and writer of it.

The layout is mteb's; what kemb knows of how a score came about is its key `kemb`, which mteb's
loader ignores. A file of another schema, or with other types than kemb writes, is refused here,
with file and key; files of other programs have no key `kemb` and are read for their scores. Keys
that this kemb does not know are read and written without a look at them: a record may say more than
we ask.

What is written has the order of the fields below, and only the fields that were set.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from kemb.errors import ResultError
from kemb.files import disk
from kemb.models.backends import Runtime
from kemb.models.doors import DoorKind, HowKnown
from kemb.models.families import Similarity
from kemb.models.spec import Dtype, Level
from kemb.tasks.spec import KnownType

SCHEMA_VERSION = 1
_MOST = 2**53
"""The largest number that JSON readers agree on."""

_KINDS_OF_NUMBERS = ("constrained-int", "constrained-float")
"""What pydantic puts behind the key of an `Amount`."""

Count = Annotated[int, Field(ge=0, le=_MOST)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Count | Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]


class OtherSchema(ResultError):
    """A record that another version of kemb wrote."""


class Unreadable(ResultError):
    """A record that may be intact, and that the system does not hand out."""


class Data(BaseModel):
    """A part of the record: exact types, and room for keys that a later kemb writes."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def as_json(self) -> dict[str, Any]:
        """The fields that were set, in the order of the file."""
        return self.model_dump(by_alias=True, exclude_unset=True)


def known(**fields: object) -> dict[str, Any]:
    """Those fields that are not None: what is not known has no key in the record."""
    return {name: value for name, value in fields.items() if value is not None}


class JudgeRecord(Data):
    """A language model that labelled passages of the task."""

    judge: str
    use: Literal["scores", "judge-only"]
    """Whether its labels count in the score."""
    n_used: int = 0
    """Labels that count."""
    n_judge_only: int = 0
    """Labels that do not."""
    n_checked: int
    """Pairs that people had labelled, too."""
    kappa: float | None = None
    low: float | None = None
    high: float | None = None
    """Of its agreement with people, with the interval."""
    wrote_questions: bool = False
    """Whether the same model wrote the questions."""


class TaskRecord(Data):
    """What was scored."""

    type: KnownType
    revision: str = ""
    """Of the data."""
    unpinned: bool = False
    """Whether the revision may change under its name."""
    data_sha256: dict[str, str]
    """By "<split>/<subset>", the hash of its data."""
    notes: dict[str, dict[str, int]] = {}
    """By "<split>/<subset>", counts that should make one look twice."""
    drafted: bool = False
    """Whether the questions were drafted from the documents, not asked by anybody."""
    seen: Share | None = None
    """Of drafted questions the share that a person had decided on."""
    judges: list[JudgeRecord] | None = None
    """Language models that labelled passages."""
    dedupe_pairs: bool = False
    train_is_evaluated: list[str] = []
    """The "<split>/<subset>" whose few-shot examples stand among the evaluated rows."""
    main_metric: str
    clustering: dict[str, str | int | float | None] | None = None
    """The protocol, of clustering."""
    metric_version: int
    summarization: dict[str, bool] | None = None
    """The protocol, of summarization."""


class BackendRecord(Data):
    """The file that another runtime than torch computed."""

    runtime: Runtime
    file: str
    sha256: str


class ModelRecord(Data):
    """Which model it was, and how it was configured."""

    name: str
    revision: str
    variant: str
    dtype: Dtype | None = None
    max_tokens: Count | None = None
    similarity: str
    pooling: str | None = None
    backend: BackendRecord | None = None
    known_as: str | None = None
    """The known model whose settings a local folder got."""
    truncate_dim: Count | None = None
    """Dimensions that were kept of every vector, as its files say."""


class PromptRecord(Data):
    """What stood before the texts of one role, and who said so."""

    prompt: str
    route: str
    key: str = ""
    source: str = ""


class Distribution(Data):
    """The installed distribution that an object's code comes from."""

    distribution: str
    version: str
    sha256: str
    """Of the names and hashes of its files."""


class DoorRecord(Data):
    """An object of Python that did the work: how it was named, and by what it is told from
    others.
    """

    kind: DoorKind
    reference: str | None
    """`python:package.module:object`, where it was named so."""
    identity: HowKnown
    probe: str | None
    """Hash of what it answers on a few texts; None where it was not asked."""
    distribution: Distribution | None


class ViewRecord(Data):
    """What was made of stored vectors before they were compared."""

    dims: Count | None = None
    level: Level | None = None
    candidates: Count | None = None
    similarity: Similarity | None = None


class Profile(Data):
    """A model as it was used on the task; one part of a fusion or a pipeline."""

    model: ModelRecord
    prompts: dict[str, PromptRecord]
    """By role."""
    door: DoorRecord | None = None
    view: ViewRecord | None = None
    parts: list[Profile] | None = None

    @property
    def doors(self) -> list[DoorRecord]:
        """Of the model and of its parts."""
        return _doors(self.door, self.parts)


class Setting(Data):
    """What decides whether two scores may be compared, and the profile of the row."""

    task: TaskRecord
    model: ModelRecord
    prompts: dict[str, PromptRecord]
    """By role."""
    door: DoorRecord | None = None
    view: ViewRecord | None = None
    parts: list[Profile] | None = None
    """Of a fusion or a pipeline."""

    @property
    def doors(self) -> list[DoorRecord]:
        """Of the model and of its parts."""
        return _doors(self.door, self.parts)

    def under(self, circumstances: Circumstances) -> Provenance:
        """A score's setting together with the circumstances in which it was made."""
        return Provenance.model_validate(self.as_json() | circumstances.as_json())


def _doors(door: DoorRecord | None, parts: list[Profile] | None) -> list[DoorRecord]:
    doors_of_parts = [other for part in parts or [] for other in part.doors]
    return [*([door] if door else []), *doors_of_parts]


class Hardware(Data):
    """Where it ran."""

    device: str = ""
    cpu: str = ""
    n_cores: Count | None = None
    gpu: str | None = None
    devices: list[str] | None = None
    """Where several processes shared the work."""


class Seconds(Data):
    """How long it took."""

    score: Amount | None = None
    encode: Amount | None = None
    """Of all tasks of the command together."""


class EncodedTexts(Data):
    """What the command encoded, for all its tasks together."""

    n_texts: Count = 0
    n_unique: Count = 0
    n_stored_before: Count = 0
    n_encoded: Count = 0
    n_tokens: Count = 0
    token_limit_after_out_of_memory: Count | None = None


class BilledKorean(Data):
    """Korean characters sent to an endpoint, and the tokens that it billed for them."""

    n_chars: Count
    n_tokens: Count


class ApiRecord(Data):
    """What the command asked of an endpoint, and what that costs at the declared price."""

    n_requests: Count | None = None
    n_retries: Count | None = None
    n_tokens: Count | None = None
    n_tokens_guessed: Count | None = None
    n_cut: Count | None = None
    usd_per_million_tokens: Amount | None = None
    price_date: str | None = None
    price_source: str | None = None
    usd: Amount | None = None
    """None where tokens are guessed or no price is declared."""
    korean: BilledKorean | None = None


class Loaded(Data):
    """What loading the model has shown."""

    max_tokens: Count | None = None
    n_parameters: Count | None = None
    dim: Count | None = None
    n_filled_tensors: Count | None = None
    """Of the network, that its files lack; no vector depends on them."""
    n_unread_tensors: Count | None = None
    """Of its files, that the network has no place for."""


class ColumnLengths(Data):
    """How long the texts of a column are, in tokens."""

    n_texts: Count
    n_truncated: Count | None
    """Texts of more tokens than the model reads; None where it has no limit, or several."""
    longest: Count

    @model_validator(mode="after")
    def _no_more_cut_texts_than_texts(self) -> ColumnLengths:
        if (self.n_truncated or 0) > self.n_texts:
            raise ValueError(f"{self.n_truncated} of {self.n_texts} texts are truncated")
        return self


class KoreanTexts(Data):
    """Unique Korean texts of a part, their characters, and the tokens that they add."""

    n_texts: Count
    n_chars: Count
    n_tokens: Count


class PartLengths(Data):
    """Lengths of one (split, subset)."""

    columns: dict[str, ColumnLengths]
    korean: KoreanTexts


class Circumstances(Data):
    """What is shown and never gates: versions, hardware, time, command, costs."""

    fingerprint_id: str | None = None
    fingerprint: dict[str, Any] | None = None
    """What names the vectors in the store."""
    family: str = ""
    warnings: list[str] = []
    data_warnings: dict[str, Count] = {}
    """What `kemb check` warned of in the data: how often, by kind."""
    data_source: str = ""
    """`ORG/NAME@COMMIT` of a data set of the hub that was read like a folder of one's own; the
    task's revision and hashes are of its content.
    """
    versions: dict[str, str] = {}
    hardware: Hardware | None = None
    seconds: Seconds = Seconds()
    timestamp: Count
    """Seconds since 1970."""
    date: str
    started: str = ""
    """When the command began with the model; with `command` it tells commands apart."""
    command: str
    encoded: EncodedTexts | None = None
    api: ApiRecord | None = None
    index_bytes_per_document: Amount | None = None
    loaded: Loaded | None = None
    lengths: dict[str, PartLengths] = {}
    """By "<split>/<subset>"."""
    part_fingerprints: dict[str, dict[str, Any]] | None = None


class Provenance(Circumstances, Setting):
    """What a score is of, and how it came about."""


class JudgedRecord(Data):
    """What of a ranking was judged, of drafted questions."""

    at_10: Share
    """Mean share of the first ten documents that have a judgment."""
    condensed: Share | None = None
    """The main metric without the documents that nobody judged; None where none was judged wrong.
    """


class Record(Provenance):
    """The key `kemb` of a result file."""

    score_notes: dict[str, dict[str, int]] = {}
    """By "<split>/<subset>", counts of the scorer that should make one look twice."""
    judged: dict[str, JudgedRecord] = {}
    """By "<split>/<subset>", only of drafted questions."""
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    items_sha256: str


def _checked_entry(entry: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(entry.get("hf_subset"), str):
        raise ValueError("hf_subset should be a string")
    if "main_score" not in entry:
        raise ValueError("main_score is missing")
    for name, value in entry.items():
        if isinstance(value, int) and abs(value) > _MOST:
            raise ValueError(f"{name} is too large for a number")
    value = entry["main_score"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("main_score should be a number")
    if not math.isfinite(value) or abs(value) > 1:
        raise ValueError("main_score should be a fraction between -1 and 1")
    return entry


def _checked_task_name(name: str) -> str:
    if not name.isprintable() or name.startswith(".") or set(name) & set("/\\"):
        raise ValueError("a task's name is the name of its file, and leads nowhere else")
    return name


Entry = Annotated[dict[str, Any], AfterValidator(_checked_entry)]
"""The scores of one subset, with metrics as mteb names them, `hf_subset` and `languages`."""


class ResultFile(Data):
    """The whole file, kemb's or mteb's."""

    dataset_revision: str
    task_name: Annotated[str, Field(min_length=1), AfterValidator(_checked_task_name)]
    mteb_version: Any = None
    scores: Annotated[dict[str, Annotated[list[Entry], Field(min_length=1)]], Field(min_length=1)]
    """split -> one entry per subset."""
    evaluation_time: Any = None
    kg_co2_emissions: Any = None
    date: Any = None
    kemb: Record | None = None
    """None in files of other programs."""

    def text(self) -> str:
        """The file's content."""
        return disk.json_text(self.as_json())


def read(path: Path) -> ResultFile:
    """A result file of kemb's or mteb's.

    :raises OtherSchema: another version of kemb wrote it.
    :raises Unreadable: it may be intact.
    :raises ResultError: it is no such file, or has other types than kemb writes; file and key are
        named.
    """
    try:
        content = disk.read_json(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise _not_a_result(path, _short(error)) from error
    if not isinstance(content, dict):
        raise _not_a_result(path, f"it holds a {type(content).__name__}, not an object")
    if content.get("kemb", {}) is None:
        raise _not_a_result(path, "kemb: it is null")
    _refuse_other_schema(path, content)
    try:
        return ResultFile.model_validate(content)
    except ValidationError as error:
        raise _not_a_result(path, first_problem(error)) from error


def checked(path: Path, content: Mapping[str, Any]) -> ResultFile:
    """What is to be written, by the rules that it will be read by.

    :raises ResultError: a score or a fact that a record cannot hold; the key is named.
    """
    try:
        return ResultFile.model_validate(dict(content))
    except ValidationError as error:
        raise ResultError(
            f"{path} is not written, as no result may hold this ({first_problem(error)}). Look at "
            "the data and the model: nothing can be ranked by such a number."
        ) from error


def first_problem(error: ValidationError) -> str:
    """The key that is not as it should be, and how it should be."""
    problem = error.errors(include_url=False)[0]
    keys = [str(key)[:80] for key in problem["loc"]]
    if keys and keys[-1] in _KINDS_OF_NUMBERS:
        keys.pop()
    where = ".".join(keys)
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where!r}: {message}" if not where.isprintable() else f"{where}: {message}"


def _refuse_other_schema(path: Path, content: Mapping[str, Any]) -> None:
    record = content.get("kemb")
    schema = record.get("schema") if isinstance(record, dict) else SCHEMA_VERSION
    if isinstance(schema, int) and schema != SCHEMA_VERSION and abs(schema) <= _MOST:
        raise OtherSchema(
            f"{path} has the schema {schema} (kemb.schema); this kemb reads and writes "
            f"{SCHEMA_VERSION}. Read it with the kemb that wrote it, or name another folder with "
            "--results DIR."
        )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _unreadable(path: Path, error: OSError) -> ResultError:
    """What the system does not hand out may be as good as ever: it is not to be deleted."""
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        return ResultError(
            f"{path} is a link to {os.readlink(path)!r:.200}, and nothing is there. Put the result "
            "there, or remove the link."
        )
    if isinstance(error, FileNotFoundError):
        return ResultError(
            f"{path} is not a result file: there is no file of that name. Name one of a results "
            "folder."
        )
    return Unreadable(
        f"The result file {path} cannot be read ({disk.reason_of(error)}). It may be intact: give "
        "yourself the right to read it, or name another folder with --results DIR."
    )


def _not_a_result(path: Path, why: str) -> ResultError:
    return ResultError(f"{path} is not a result file ({why}). Delete it and run the task again.")
