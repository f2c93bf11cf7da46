"""Datasets from the Hugging Face hub at a pinned commit, and what to tell a user when that fails.

Files are fetched one by one with the hub's own client, whose failures are exact, and only then read by `datasets`,
from a local folder: its own way to the hub waits for minutes when the hub hangs, and falls back silently to another
revision that it happens to have.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from kemb.errors import DataError, FetchError
from kemb.hub import ask_first, explain, is_offline, one_line, quiet_client, retry

if TYPE_CHECKING:
    import pyarrow as pa

_COMMIT = re.compile(r"[0-9a-f]{40}")
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

    Args:
        task: name of the task, for messages.
        hub: dataset id.
        revision: commit, or a branch such as "main", which is resolved to its commit first.
        configs: names the config may have, best first; "" stands for the only config of a dataset.
        work_dir: where files lie meanwhile; what a failed download left there is used by the next one.
        elsewhere: what to do where the hub cannot be reached; by default `kemb tasks fetch` on another machine.

    Raises:
        FetchError: the hub cannot be reached, refuses, or lacks the dataset or the revision.
        DataError: the dataset has none of the configs, or its files cannot be read.
    """
    quiet_client()
    try:
        folder, got = (
            _cached(hub, revision, configs) if is_offline() else _fetched(task, hub, revision, configs, work_dir)
        )
    except (DataError, FetchError):
        raise
    except Exception as error:
        raise _explain(error, task, hub, revision, elsewhere) from error
    yield got
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _fetched(task: str, hub: str, revision: str, configs: Sequence[str], work_dir: Path) -> tuple[Path, Download]:
    """The folder the files were downloaded to, and what is in them."""
    commit, names = retry(partial(_resolve, hub, revision))
    folder = work_dir / f"{hub.replace('/', '__')}-{commit}"
    config, patterns = _prepare(task, hub, commit, configs, folder)
    for name in _matching(names, patterns):
        _file(hub, commit, name, folder)
    try:
        return folder, Download(commit, config or configs[0], _read(folder, config))
    except Exception as error:
        raise DataError(f"{task}: the files of {hub} at revision {commit} cannot be read: {one_line(error)}") from error


def _resolve(hub: str, revision: str) -> tuple[str, list[str]]:
    """The commit of a revision, and the names of its files."""
    from huggingface_hub import HfApi, constants

    info = HfApi().dataset_info(hub, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    return str(info.sha), [file.rfilename for file in info.siblings or []]


def _file(hub: str, commit: str, name: str, folder: Path) -> Path:
    """Fetch a file; the hub's client resumes it by itself."""
    from huggingface_hub import hf_hub_download

    ask_first(hub, name, "dataset", commit)
    return Path(hf_hub_download(hub, name, repo_type="dataset", revision=commit, local_dir=folder))


def _prepare(task: str, hub: str, commit: str, configs: Sequence[str], folder: Path) -> tuple[str, list[str] | None]:
    """The name of the wanted config and the patterns of its files; None for all files of the dataset.

    The folder gets a README that names this config only, as the files of the others will not be there.
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
    header: dict[str, Any] = (yaml.safe_load(text.split("---\n", 2)[1]) or {}) if text.startswith("---\n") else {}
    entries = {entry["config_name"]: entry for entry in header.get("configs") or []}
    if not entries:
        entries = {"default": {}}
    for config in configs:
        if config == "":
            only = [name for name, entry in entries.items() if len(entries) == 1 or entry.get("default")]
            config = only[0] if only else ""
        if config in entries:
            if entry := entries[config]:
                header["configs"] = [entry]
                readme.unlink()
                readme.write_text(f"---\n{yaml.safe_dump(header, allow_unicode=True)}---\n", encoding="utf-8")
            return config, _patterns(entry)
    wanted = " or ".join(repr(name) for name in configs if name)
    raise DataError(f"{task}: {hub} at revision {commit} has no config {wanted}; it has {', '.join(sorted(entries))}.")


def _patterns(entry: dict[str, Any]) -> list[str] | None:
    """File patterns of a config in any of the forms a README may give them."""
    files = entry.get("data_files")
    if files is None:
        return None
    found: list[str] = []
    for item in [files] if isinstance(files, str) else files:
        value = item["path"] if isinstance(item, dict) else item
        found += [value] if isinstance(value, str) else value
    return [str(Path(entry.get("data_dir") or "") / pattern) for pattern in found]


def _matching(names: Sequence[str], patterns: list[str] | None) -> list[str]:
    wanted = ["*"] if patterns is None else [pattern.replace("**/", "*") for pattern in patterns]
    return [
        name
        for name in names
        if ".." not in PurePosixPath(name).parts
        and not name.startswith("/")
        and any(fnmatchcase(name, pattern) for pattern in wanted)
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
    if _COMMIT.fullmatch(revision):
        for config in configs:
            try:
                loaded = datasets.load_dataset(hub, config or None, revision=revision)
            except (ValueError, OSError):
                continue
            # Offline, `datasets` takes whatever revision it saw last.
            if all(revision in str(file["filename"]) for split in loaded.values() for file in split.cache_files):
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
        f"On a machine with network type `kemb tasks fetch {task} -o DIR`, and give that folder here with `--data DIR`."
    )
    return explain(error, need, "dataset", f"https://huggingface.co/datasets/{hub}", elsewhere)
