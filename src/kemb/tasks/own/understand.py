"""The rules by which the files of a folder become a task (`layout` says which comes first)."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from kemb.errors import UsageError, nearest
from kemb.files.columns import joined
from kemb.files.disk import what_is
from kemb.messages import Text, note
from kemb.tasks import names as known_tasks
from kemb.tasks.kinds import KINDS
from kemb.tasks.own.decisions import review_files
from kemb.tasks.own.detect import detect
from kemb.tasks.own.documents import DOCUMENT_SUFFIXES
from kemb.tasks.own.encodings import decode
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.judges import judge_files
from kemb.tasks.own.outline import TOML, Draft, Files, Settings, role_of, split_of
from kemb.tasks.own.readers import DATA_SUFFIXES, read_tables, suffix_of
from kemb.tasks.own.texts import text_chunks
from kemb.tasks.spec import TaskSpec

SUBFOLDERS = ("qrels", "corpus", "queries", "default", "data")
"""Of a folder that may hold tables; the last three as on the hub, where each config is a folder."""
QRELS_FOLDERS = ("qrels/", "default/", "data/")
"""Folders of judgments beside a corpus and queries."""
KEPT_BESIDE = ("pool.jsonl", "deciding.jsonl", "lite-report.json")
"""What kemb keeps beside a corpus and is no part of the data: pools, the pairs that decide, and
what a lite version is worth.
"""
SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<n>\d{5})(?P<suffix>\.\w+(?:\.gz)?)")
"""The name of a part of a table, as the hub's tools write it."""
DRAFTED = frozenset(("drafted.json", "sources.jsonl", "pool.jsonl", "deciding.jsonl"))
"""What `kemb draft` and `kemb review` write beside the corpus, the queries and the judgments."""
UNREAD = frozenset(
    (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".arrow", ".feather", ".ods", ".pkl", "")
)
"""Endings of files that may hold tables, in forms that kemb does not read."""
_BLOCK = 1 << 20
_N_NAMED = 10
"""Files that a message names."""
SAFE_NAME = re.compile(r"[^\W_][\w.+-]{0,59}(?<!\.)")


@dataclass(frozen=True, slots=True)
class Understood:
    """A folder as a task."""

    spec: TaskSpec
    draft: Draft
    revision: str


class Folder(NamedTuple):
    """A folder, or a single file, as it was read."""

    path: Path
    parts: dict[str, list[Path]]
    """The files by name, each with its shards."""
    files: Files
    roles: dict[str, str]
    settings: Settings


def read_folder(path: Path, findings: Findings) -> Folder | None:
    """Read all tables of a folder, or of a single file; None, and findings, if there is none.

    :raises UsageError: if there is nothing at the path.
    """
    paths = _data_files(path)
    settings = _read_toml(path / TOML, findings)
    if not paths:
        others = sorted(item.name for item in path.iterdir())
        examples: Text = ", ".join(others[:_N_NAMED]) or note("finding.nothing")
        if len(others) > _N_NAMED:
            examples = note("finding.and_more", examples=examples, n=len(others) - _N_NAMED)
        message = note("finding.no_data", suffixes=DATA_SUFFIXES, examples=examples)
        if any(item.suffix.lower() in DOCUMENT_SUFFIXES for item in path.iterdir()):
            message = note(
                "finding.documents_alone",
                suffixes=DATA_SUFFIXES,
                examples=examples,
                path=str(path),
            )
        findings.error("no data", path.name, message)
        return None
    files, roles = _read_files(path, paths, settings, findings)
    if not files:
        message = note("finding.no_records")
        findings.error("no records", ", ".join(paths), message)
        return None
    if path.is_dir() and "corpus" not in roles.values():
        tables = [table for table in files.values() if table is not None]
        if chunks := text_chunks(path, tables, findings):
            name = chunks.table.file
            paths[name], files[name], roles[name] = chunks.paths, chunks.table, "corpus"
    return Folder(path, paths, files, roles, settings)


def understand(folder: Folder, findings: Findings) -> Understood | None:
    """Decide what a folder is; None, and findings, if that cannot be said."""
    path, paths, files, roles, settings = folder
    draft = detect(files, roles, settings, findings)
    if draft is None:
        return None
    names_in_use = {*KEPT_BESIDE, *(one.split("#")[0] for one in files)}
    without_records = [file for file in paths if file not in names_in_use]
    if without_records:
        draft.rules.append(note("rule.json_without_records", files=without_records))
    spec = _to_spec(path, draft, settings, findings)
    if lite := spec.lite:
        about = note("rule.lite", full=lite.of, n_documents=lite.n_documents, n_full=lite.n_full)
        draft.rules.append(about)
    tables_in_task = {file for table in draft.tables.values() for file in table.file.split(", ")}
    if ("error", "several files") not in findings.counts:
        for file in sorted(files.keys() - tables_in_task - set(draft.other_splits)):
            message = note("finding.file_not_used")
            findings.warn("file not used", file, message)
    _warn_of_unread(path, findings)
    names_in_task = sorted({file.partition("#")[0] for file in tables_in_task})
    parts_in_task = [part for name in names_in_task for part in paths[name]]
    revision = _content_hash(path, [*parts_in_task, *review_files(path), *judge_files(path)])
    return Understood(spec, draft, revision)


def _warn_of_unread(path: Path, findings: Findings) -> None:
    """Name the files of a folder that speak of data by their name and are not read."""
    for item in sorted(path.iterdir()) if path.is_dir() else []:
        speaks_of_data = role_of(item.name) or split_of(item.name)
        if suffix_of(item) in UNREAD and speaks_of_data and item.is_file():
            message = note("finding.file_not_read", suffixes=DATA_SUFFIXES)
            findings.warn("file not used", item.name, message)


def _read_files(
    path: Path, paths: dict[str, list[Path]], settings: Settings, findings: Findings
) -> tuple[Files, dict[str, str]]:
    """All tables by name, and the role that each name speaks of; JSON files without records are
    left out. A table whose columns task.toml names has a header.
    """
    roles = {file: role_of(file) if path.is_dir() else "" for file in paths}
    if {"corpus", "queries"} & set(roles.values()):
        in_qrels_folder = {file for file in paths if file.startswith(QRELS_FOLDERS)}
        roles |= dict.fromkeys(in_qrels_folder, "qrels")
        paths = {file: parts for file, parts in paths.items() if file not in KEPT_BESIDE}
    files: Files = {}
    for file, parts in paths.items():
        n_errors = findings.n_errors
        has_header = any(ours.startswith(f"{roles[file]}.") for ours in settings.get("columns", ()))
        tables = _read_parts(parts, file, findings, "" if has_header else roles[file])
        files |= tables
        if not tables and findings.n_errors > n_errors:
            files[file] = None
        roles |= {name: role_of(name) for name in tables if "#" in name}
    return files, {file: roles[file] for file in files}


def _data_files(path: Path) -> dict[str, list[Path]]:
    """Data files by name, each with its parts; of subfolders those count that BEIR and data sets on
    the hub have.
    """
    if path.is_file():
        if suffix_of(path) not in DATA_SUFFIXES:
            raise UsageError(
                f"{path} is no data file kemb reads: expected {', '.join(DATA_SUFFIXES)}, or a "
                "folder."
            )
        return {path.name: [path]}
    if not path.is_dir():
        if os.path.lexists(path):
            raise UsageError(
                f"{path} cannot be read: {what_is(path)}. Name a folder or a data file."
            )
        raise UsageError(
            f"There is no file or folder {path}. Type the path of a folder with your data."
        )
    paths = [*path.iterdir(), *(item for name in SUBFOLDERS for item in (path / name).glob("*"))]
    is_drafted = (path / "drafted.json").exists()
    parts_by_name: dict[str, list[Path]] = {}
    for item in sorted(paths):
        if is_drafted and item.parent == path and item.name in DRAFTED:
            continue
        if (
            suffix_of(item) not in DATA_SUFFIXES
            or item.name.startswith((".", "~$"))
            or item.is_dir()
        ):
            continue
        name = item.relative_to(path).as_posix()
        if suffix_of(item) == ".txt" and not (role_of(name) or split_of(name)):
            continue  # a readme, a licence
        shard = SHARD.fullmatch(name)
        if shard and int(shard["n"]) > 1:
            name = f"{shard['stem']}-of-{shard['n']}{shard['suffix']}"
        parts_by_name.setdefault(name, []).append(item)
    return parts_by_name


def _read_parts(parts: list[Path], file: str, findings: Findings, role: str) -> dict[str, Table]:
    """The tables of one file, or the one table of shards that are numbered `-00000-of-00002`; rows
    are then counted through all of them.
    """
    shard = SHARD.fullmatch(parts[0].name)
    if shard is None or int(shard["n"]) == 1:
        return read_tables(parts[0], file, findings, role)
    names = [
        f"{shard['stem']}-{number:05}-of-{shard['n']}{shard['suffix']}"
        for number in range(int(shard["n"]))
    ]
    missing = sorted(set(names) - {part.name for part in parts})
    if missing:
        message = note("finding.missing_part", names=missing[:3])
        findings.error("missing part", file, message)
        return {}
    tables = [read_tables(part, part.name, findings, role).get(part.name) for part in parts]
    whole = [table for table in tables if table is not None]
    if len(whole) < len(parts):
        return {}
    for table in whole:
        if set(table.columns) != set(whole[0].columns):
            message = note(
                "finding.other_columns",
                columns=list(table.columns),
                file=whole[0].file,
                others=list(whole[0].columns),
            )
            findings.error("other columns", table.file, message)
            return {}
    columns = {name: joined([table.columns[name] for table in whole]) for name in whole[0].columns}
    return {file: Table(file, columns, range(1, sum(map(len, whole)) + 1))}


def _read_toml(path: Path, findings: Findings) -> Settings:
    if not os.path.lexists(path):
        return {}
    if not path.is_file():
        findings.error(
            "unreadable file", TOML, note("finding.cannot_be_read", reason=what_is(path))
        )
        return {}
    text = decode(path.read_bytes(), TOML, findings)
    try:
        raw = tomllib.loads(text or "")
        # The four fields that a folder need not give have stand-ins here.
        spec = TaskSpec.model_validate(
            {"name": "task", "type": "sts", "splits": ["test"], "source": {}, **raw}
        )
    except tomllib.TOMLDecodeError as error:
        findings.error("broken TOML", TOML, note("finding.broken_toml", reason=str(error)))
        return {}
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(map(str, problem["loc"]))
            near = (
                nearest(key, TaskSpec.model_fields) if problem["type"] == "extra_forbidden" else []
            )
            message = note("finding.wrong_setting", reason=problem["msg"])
            if near:
                message = note("finding.unknown_setting", near=near)
            findings.error("task.toml", TOML, message, column=key, value=problem["input"])
        return {}
    settings = {key: getattr(spec, key) for key in raw}
    if spec.source.hub or spec.source.revision:
        findings.error(
            "task.toml",
            TOML,
            note("finding.no_hub_in_folder"),
            column="source",
        )
    if not KINDS[spec.type].from_folder:
        types = [name for name, kind in KINDS.items() if kind.from_folder]
        message = note("finding.folder_types", types=types)
        findings.error("task.toml", TOML, message, column="type", value=spec.type)
        del settings["type"]
    return settings


def _to_spec(path: Path, draft: Draft, settings: Settings, findings: Findings) -> TaskSpec:
    """The specification: what the files say, and over it what task.toml says."""
    folder = Path(
        os.path.abspath(path)
    )  # not resolve(): the name is the one that was typed, link or not
    name = settings.get(
        "name", unicodedata.normalize("NFC", folder.stem if path.is_file() else folder.name)
    )
    if name.lower() in map(str.lower, known_tasks()):
        message = note("finding.name_of_kemb", file=TOML)
        findings.error("unsafe name", folder.name, message, column="name", value=name)
    elif not SAFE_NAME.fullmatch(name):
        message = note("finding.unsafe_name", file=TOML)
        findings.error("unsafe name", folder.name, message, column="name", value=name)
    subsets, source = settings.get("subsets", ["default"]), settings.get("source")
    if len(subsets) != 1:
        findings.error(
            "task.toml", TOML, note("finding.one_subset"), column="subsets", value=subsets
        )
    if source and source.layout != draft.fields["source"].layout:
        message = note("finding.other_layout", layout=repr(draft.fields["source"].layout))
        findings.error("task.toml", TOML, message, column="source.layout", value=source.layout)
    decided = (
        draft.fields
        if draft.fields.get("labels")
        else {k: v for k, v in draft.fields.items() if k != "labels"}
    )
    spec = TaskSpec.model_validate({**settings, "name": name, **decided})
    if spec.unknown_metric:
        findings.error(
            "task.toml",
            TOML,
            note("finding.unknown_metric", reason=spec.unknown_metric),
            column="main_score",
        )
    return spec


def _content_hash(root: Path, paths: list[Path]) -> str:
    """Identity of the data: every file's name and bytes, so that any change of them makes another
    revision.
    """
    digest = hashlib.sha256()
    for path in paths:
        file = path.name if path == root else path.relative_to(root).as_posix()
        with path.open("rb") as raw:
            digest.update(f"{file}\0{path.stat().st_size}\0".encode())
            while block := raw.read(_BLOCK):
                digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"
