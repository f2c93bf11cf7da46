"""A local mirror of hub datasets: a folder with `index.json` and, per dataset, Parquet files.

`index.json` maps hub id -> config -> {folder, config}. Each folder has a `README.md` whose YAML `configs` name the
Parquet files of every split, so that `datasets.load_dataset(folder, config)` reads it too, and a `manifest.json`
with source, commit, licence, rows and checksums.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemb.errors import DataError

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
                tables.append(pq.ParquetFile(path).read())
            except (pa.ArrowException, OSError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DataError(
                    f"{path} cannot be read as a Parquet file: {reason} Was its download cut short? "
                    "Remove the file and type `kemb tasks fetch` again."
                ) from error
        return pa.concat_tables(tables)


def find(root: Path, hub: str, configs: Sequence[str]) -> Config | None:
    """The first of `configs` that the mirror has for a hub dataset, or None.

    Raises:
        DataError: the mirror's index, README or files are missing or unusable.
    """
    entries = _read_json(root / INDEX).get(hub, {})
    for name in configs:
        if entry := entries.get(name):
            folder = _inside(root, str(entry["folder"]))
            manifest = folder / "manifest.json"
            revision = str(_read_json(manifest).get("revision", "")) if manifest.exists() else ""
            return Config(name, folder, revision, _config_files(folder, str(entry["config"])))
    return None


def write(root: Path, hub: str, revision: str, config: str, tables: Mapping[str, pa.Table], license: str) -> None:
    """Add one config of a hub dataset to a mirror; the mirror is usable at every moment of it.

    Args:
        root: the mirror's folder; made if it does not exist.
        hub: hub dataset id.
        revision: the commit the tables were read at.
        config: name of the config in the mirror.
        tables: the rows by split.
        license: for people and other programs that read the folder.
    """
    folder = root / f"{_file_name(hub.replace('/', '__'))}-{revision[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [_write_table(folder, config, split, table) for split, table in tables.items()]
    with locked(root):
        manifest = _read_json(folder / "manifest.json") if (folder / "manifest.json").exists() else {"files": []}
        others = [entry for entry in manifest["files"] if entry["config"] != config]
        manifest = {
            "name": hub,
            "hub": hub,
            "revision": revision,
            "license": license,
            "source": f"https://huggingface.co/datasets/{hub}/tree/{revision}",
            "files": others + files,
        }
        _replace(folder / "README.md", _readme(manifest).encode())
        _replace(folder / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1).encode())
        index = _read_json(root / INDEX) if (root / INDEX).exists() else {}
        here = {name: entry for name, entry in index.get(hub, {}).items() if entry["folder"] == folder.name}
        index[hub] = here | {config: {"folder": folder.name, "config": config}}
        _replace(root / INDEX, json.dumps(index, ensure_ascii=False, indent=1).encode())


def _config_files(folder: Path, config: str) -> dict[str, list[Path]]:
    """Parquet files by split, as the YAML header of the folder's README names them."""
    import yaml

    readme = folder / "README.md"
    try:
        header = yaml.safe_load(readme.read_text(encoding="utf-8").split("---\n", 2)[1])
        entry = next(entry for entry in header["configs"] if entry["config_name"] == config)
        patterns = {str(item["split"]): item["path"] for item in entry["data_files"]}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, StopIteration) as error:
        raise DataError(
            f"{readme} must begin with a YAML header whose `configs` list names the Parquet files of every split of "
            f"config {config!r} (config_name, data_files: split, path); that could not be read."
        ) from error
    return {
        split: [path for pattern in ([value] if isinstance(value, str) else value) for path in _glob(folder, pattern)]
        for split, value in patterns.items()
    }


def _glob(folder: Path, pattern: str) -> list[Path]:
    _inside(folder, pattern)
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise DataError(f"{folder / pattern} is named in {folder / 'README.md'} but does not exist.")
    return paths


def _inside(root: Path, name: str) -> Path:
    """root/name, refused if that leads out of root."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{name!r} leads out of the mirror {root}; paths in a mirror must stay inside it.")
    return path


def _file_name(name: str) -> str:
    """A name from outside as one harmless path component."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")


def _write_table(folder: Path, config: str, split: str, table: pa.Table) -> dict[str, str | int]:
    import pyarrow.parquet as pq

    path = folder / _file_name(f"{config}-{split}.parquet")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS_PER_GROUP)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": path.name,
        "config": config,
        "split": split,
        "rows": table.num_rows,
        "bytes": path.stat().st_size,
        "sha256": digest,
    }


def _readme(manifest: dict[str, Any]) -> str:
    import yaml

    configs: dict[str, list[dict[str, str]]] = {}
    for entry in manifest["files"]:
        configs.setdefault(entry["config"], []).append({"split": entry["split"], "path": entry["file"]})
    header = {"configs": [{"config_name": name, "data_files": files} for name, files in configs.items()]}
    return (
        f"---\n{yaml.safe_dump(header, allow_unicode=True, sort_keys=False)}---\n\n# {manifest['hub']}\n\n"
        f"Copy of {manifest['source']}, licence: {manifest['license'] or 'see there'}. See manifest.json.\n"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} cannot be read as JSON: {reason}. A data folder for `--data` is made by "
            "`kemb tasks fetch NAME -o DIR`."
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(value).__name__}.")
    return value


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(root: Path, name: str = ".lock") -> Iterator[None]:
    """Let one process at a time in: two that fetch at once must not lose each other's entries."""
    from filelock import FileLock

    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / name):
        yield
