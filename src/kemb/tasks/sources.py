"""A local mirror of hub datasets: a folder with `index.json` and, per dataset, Parquet files.

`index.json` maps hub id -> config -> {folder, config}. Each folder has a `README.md` whose YAML
    `configs` name the
Parquet files of every split, so that `datasets.load_dataset(folder, config)` reads it too, and a
`manifest.json` with source, commit, licence, rows and checksums.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from kemb.errors import DataError, FetchError
from kemb.files import disk
from kemb.files.columns import parquet_on_disk
from kemb.hub import (
    COMMIT,
    ask_first,
    check_file,
    describe,
    explain,
    is_offline,
    one_line,
    quiet_client,
)

if TYPE_CHECKING:
    import pyarrow as pa

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

INDEX = "index.json"
_ROWS_PER_GROUP = 65536


@dataclass(frozen=True, slots=True)
class Config:
    """One config of a mirrored dataset: its Parquet files by split."""

    name: str
    folder: Path
    revision: str
    """Commit of the hub dataset the files came from; empty where the mirror does not record it."""
    files: dict[str, list[Path]]

    def origin(self, split: str) -> str:
        """The file of a split, or the folder if there are several files."""
        paths = self.files[split]
        return str(paths[0] if len(paths) == 1 else self.folder)

    def read(self, split: str) -> pa.Table:
        """All rows of a split."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = []
        for path in self.files[split]:
            try:
                disk.size_of_file(path)
                if (table := parquet_on_disk([path])) is not None:
                    tables.append(table)
                    continue
                table = pq.ParquetFile(path).read()
                table.validate(full=True)  # that texts are UTF-8, too
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DataError(
                    f"{path} cannot be read as a Parquet file: {reason} Was its download cut "
                    "short? Remove the file and fetch its task again: kemb tasks fetch TASK -o "
                    "DIR."
                ) from error
            tables.append(table)
        return pa.concat_tables(tables)


def find(root: Path, hub: str, configs: Sequence[str]) -> Config | None:
    """The first of `configs` that the mirror has for a hub dataset, or None.

    :raises DataError: the mirror's index, README or files are missing or unusable.
    """
    entries = _read_json(root / INDEX).get(hub, {})
    for name in configs:
        if entry := entries.get(name):
            folder = _inside(root, str(entry["folder"]))
            manifest = folder / "manifest.json"
            revision = str(_read_json(manifest).get("revision", "")) if manifest.exists() else ""
            return Config(name, folder, revision, _config_files(folder, str(entry["config"])))
    return None


def write(
    root: Path, hub: str, revision: str, config: str, tables: Mapping[str, pa.Table], license: str
) -> None:
    """Add one config of a hub dataset to a mirror; the mirror is usable at every moment of it.

    :param root: the mirror's folder; made if it does not exist.
    :param hub: hub dataset id.
    :param revision: the commit the tables were read at.
    :param config: name of the config in the mirror.
    :param tables: the rows by split.
    :param license: for people and other programs that read the folder.
    """
    folder = root / f"{_file_name(hub.replace('/', '__'))}-{revision[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [_write_table(folder, config, split, table) for split, table in tables.items()]
    with locked(root):
        manifest = (
            _read_json(folder / "manifest.json")
            if (folder / "manifest.json").exists()
            else {"files": []}
        )
        others = [entry for entry in manifest["files"] if entry["config"] != config]
        manifest = {
            "name": hub,
            "hub": hub,
            "revision": revision,
            "license": license,
            "source": f"https://huggingface.co/datasets/{hub}/tree/{revision}",
            "files": others + files,
        }
        _write(folder / "README.md", _readme(manifest))
        _write(folder / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1))
        index = _read_json(root / INDEX) if (root / INDEX).exists() else {}
        here = {
            name: entry
            for name, entry in index.get(hub, {}).items()
            if entry["folder"] == folder.name
        }
        index[hub] = here | {config: {"folder": folder.name, "config": config}}
        _write(root / INDEX, json.dumps(index, ensure_ascii=False, indent=1))


def _write(path: Path, text: str) -> None:
    disk.write(path, text, "Free space, or name another folder with -o DIR.")


def _config_files(folder: Path, config: str) -> dict[str, list[Path]]:
    """Parquet files by split, as the YAML header of the folder's README names them."""
    import yaml

    readme = folder / "README.md"
    try:
        header = yaml.safe_load(disk.read_text(readme).split("---\n", 2)[1])
        entry = next(entry for entry in header["configs"] if entry["config_name"] == config)
        patterns = {str(item["split"]): item["path"] for item in entry["data_files"]}
    except (
        OSError,
        UnicodeDecodeError,
        yaml.YAMLError,
        LookupError,
        TypeError,
        StopIteration,
    ) as error:
        raise DataError(
            f"{readme} must begin with a YAML header whose `configs` list names the Parquet files "
            f"of every split of config {config!r} (config_name, data_files: split, path); that "
            "could not be read."
        ) from error
    return {
        split: [
            path
            for pattern in ([value] if isinstance(value, str) else value)
            for path in _glob(folder, pattern)
        ]
        for split, value in patterns.items()
    }


def _glob(folder: Path, pattern: str) -> list[Path]:
    _inside(folder, pattern)
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise DataError(
            f"{folder / pattern} is named in {folder / 'README.md'} but does not exist."
        )
    return paths


def _inside(root: Path, name: str) -> Path:
    """root/name, refused if that leads out of root."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(
            f"{name!r} leads out of the mirror {root}; paths in a mirror must stay inside it."
        )
    return path


def _file_name(name: str) -> str:
    """A name from outside as one harmless path component."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")


def _write_table(folder: Path, config: str, split: str, table: pa.Table) -> dict[str, str | int]:
    import pyarrow.parquet as pq

    path = folder / _file_name(f"{config}-{split}.parquet")
    with disk.replacing(path) as unfinished:
        pq.write_table(table, unfinished, compression="zstd", row_group_size=_ROWS_PER_GROUP)
    return {
        "file": path.name,
        "config": config,
        "split": split,
        "rows": table.num_rows,
        "bytes": path.stat().st_size,
        "sha256": disk.sha256(path),
    }


def _readme(manifest: dict[str, Any]) -> str:
    import yaml

    configs: dict[str, list[dict[str, str]]] = {}
    for entry in manifest["files"]:
        configs.setdefault(entry["config"], []).append(
            {"split": entry["split"], "path": entry["file"]}
        )
    header = {
        "configs": [{"config_name": name, "data_files": files} for name, files in configs.items()]
    }
    return (
        f"---\n{yaml.safe_dump(header, allow_unicode=True, sort_keys=False)}---\n\n# "
        f"{manifest['hub']}\n\n"
        f"Copy of {manifest['source']}, licence: {manifest['license'] or 'see there'}. See "
        "manifest.json.\n"
    )


def hub_ids(root: Path) -> set[str]:
    """The hub datasets of which a mirror holds anything; none where it has no index.

    :raises DataError: its index cannot be read.
    """
    return set(_read_json(root / INDEX)) if (root / INDEX).exists() else set()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = disk.read_json(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} cannot be read as JSON: {reason}. A data folder for `--data` is made by "
            "`kemb tasks fetch NAME -o DIR`."
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(value).__name__}.")
    return value


@contextmanager
def locked(root: Path, name: str = ".lock") -> Iterator[None]:
    """Let one process at a time in: two that fetch at once must not lose each other's entries."""
    from filelock import FileLock

    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / name):
        yield


_NO_DATA = ["*.py", "*.md", ".git*", "*/.git*"]
"""Files of a repository that hold no rows."""


class Download(NamedTuple):
    """One config of a hub dataset: its commit, its name there, and its rows by split."""

    revision: str
    config: str
    tables: dict[str, pa.Table]


@contextmanager
def download(
    task: str, hub: str, revision: str, configs: Sequence[str], work_dir: Path, elsewhere: str = ""
) -> Iterator[Download]:
    """Fetch a config of a dataset; its tables can be read until the context ends.

    Offline, the cache of `datasets` is used if it has the config at this very commit.

    :param task: name of the task, for messages.
    :param hub: dataset id.
    :param revision: commit, or a branch such as "main", which is resolved to its commit first.
    :param configs: names the config may have, best first; "" stands for the only config of a
        dataset.
    :param work_dir: where files lie meanwhile; what a failed download left there is used by the
        next one.
    :param elsewhere: what to do where the hub cannot be reached; by default `kemb tasks fetch` on
        another machine.
    :raises FetchError: the hub cannot be reached, refuses, or lacks the dataset or the revision.
    :raises DataError: the dataset has none of the configs, or its files cannot be read.
    """
    quiet_client()
    try:
        folder, got = (
            _cached(hub, revision, configs)
            if is_offline()
            else _fetched(task, hub, revision, configs, work_dir)
        )
    except (DataError, FetchError):
        raise
    except Exception as error:
        raise _explain(error, task, hub, revision, elsewhere) from error
    yield got
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _fetched(
    task: str, hub: str, revision: str, configs: Sequence[str], work_dir: Path
) -> tuple[Path, Download]:
    """The folder the files were downloaded to, and what is in them."""
    repository = describe("dataset", hub, revision)
    commit, names = repository.commit, repository.names
    folder = work_dir / f"{hub.replace('/', '__')}-{commit}"
    config, patterns = _prepare(task, hub, commit, configs, folder)
    for name in _matching(names, patterns):
        _file(hub, commit, name, folder)
    try:
        return folder, Download(commit, config or configs[0], _read(folder, config))
    except Exception as error:
        raise DataError(
            f"{task}: the files of {hub} at revision {commit} cannot be read: {one_line(error)}"
        ) from error


def _file(hub: str, commit: str, name: str, folder: Path) -> Path:
    sha256 = ask_first(hub, name, "dataset", commit).sha256
    return fetch_file(hub, commit, name, folder, sha256)


def fetch_file(hub: str, commit: str, name: str, folder: Path, sha256: str) -> Path:
    """Fetch a file of a data set; the hub's client resumes it by itself.

    :param sha256: what the hub says of it; '' where it says nothing.
    :raises StrangeAnswer: the file is another; it is removed.
    """
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(hub, name, repo_type="dataset", revision=commit, local_dir=folder))
    check_file(path, sha256)
    return path


def _prepare(
    task: str, hub: str, commit: str, configs: Sequence[str], folder: Path
) -> tuple[str, list[str] | None]:
    """The name of the wanted config and the patterns of its files; None for all files of the
    dataset.

    The folder gets a README that names this config only, as the files of the others will not be
    there.
    """
    import yaml
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    readme = folder / "README.md"
    try:
        text = _file(hub, commit, readme.name, folder).read_text(encoding="utf-8")
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise
        text = ""
    header: dict[str, Any] = (
        (yaml.safe_load(text.split("---\n", 2)[1]) or {}) if text.startswith("---\n") else {}
    )
    entries = {entry["config_name"]: entry for entry in header.get("configs") or []}
    if not entries:
        entries = {"default": {}}
    for config in configs:
        if config == "":
            only = [
                name for name, entry in entries.items() if len(entries) == 1 or entry.get("default")
            ]
            config = only[0] if only else ""
        if config in entries:
            if entry := entries[config]:
                header["configs"] = [entry]
                readme.unlink()
                readme.write_text(
                    f"---\n{yaml.safe_dump(header, allow_unicode=True)}---\n", encoding="utf-8"
                )
            return config, _patterns(entry)
    config_names = " or ".join(repr(name) for name in configs if name)
    raise DataError(
        f"{task}: {hub} at revision {commit} has no config {config_names}; it has "
        f"{', '.join(sorted(entries))}."
    )


def _patterns(entry: dict[str, Any]) -> list[str] | None:
    """File patterns of a config in any of the forms a README may give them."""
    files = entry.get("data_files")
    if files is None:
        return None
    patterns: list[str] = []
    for item in [files] if isinstance(files, str) else files:
        value = item["path"] if isinstance(item, dict) else item
        patterns += [value] if isinstance(value, str) else value
    return [str(Path(entry.get("data_dir") or "") / pattern) for pattern in patterns]


def _matching(names: Sequence[str], patterns: list[str] | None) -> list[str]:
    globs = ["*"] if patterns is None else [pattern.replace("**/", "*") for pattern in patterns]
    return [
        name
        for name in names
        if ".." not in PurePosixPath(name).parts
        and not name.startswith("/")
        and any(fnmatchcase(name, pattern) for pattern in globs)
        and not any(fnmatchcase(name, pattern) for pattern in _NO_DATA)
    ]


def _read(folder: Path, config: str) -> dict[str, pa.Table]:
    """The rows by split, as `datasets` reads them: it knows formats, delimiters and features."""
    import datasets

    _quiet_datasets()
    loaded = datasets.load_dataset(str(folder), config, cache_dir=str(folder / ".arrow"))
    return {str(name): split.data.table for name, split in loaded.items()}


def _cached(hub: str, revision: str, configs: Sequence[str]) -> tuple[None, Download]:
    """What the cache of `datasets` has at this very commit."""
    import datasets

    _quiet_datasets()
    if COMMIT.fullmatch(revision):
        for config in configs:
            try:
                loaded = datasets.load_dataset(hub, config or None, revision=revision)
            except (ValueError, OSError):
                continue
            # Offline, `datasets` takes whatever revision it saw last.
            if all(
                revision in str(file["filename"])
                for split in loaded.values()
                for file in split.cache_files
            ):
                tables = {str(name): split.data.table for name, split in loaded.items()}
                return None, Download(revision, config or configs[0], tables)
    raise ConnectionError(f"the cache of `datasets` does not have {hub} at revision {revision}")


def _quiet_datasets() -> None:
    import datasets

    logging.getLogger("datasets").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()


def _explain(error: Exception, task: str, hub: str, revision: str, elsewhere: str) -> FetchError:
    need = f"{task} needs the dataset {hub} at revision {revision}"
    elsewhere = elsewhere or (
        f"On a machine with network type `kemb tasks fetch {task} -o DIR`, and give that folder "
        "here with `--data DIR`."
    )
    return explain(error, need, "dataset", f"https://huggingface.co/datasets/{hub}", elsewhere)
