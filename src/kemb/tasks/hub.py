"""Datasets from the Hugging Face hub at a pinned commit, and what to tell a user when that fails."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kemb.errors import DataError, FetchError

if TYPE_CHECKING:
    import pyarrow as pa

WAIT_SECONDS = (2.0, 8.0)
"""Pauses before the second and the third try of a request that failed for a passing reason."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_T = TypeVar("_T")


class Download(NamedTuple):
    """One config of a hub dataset: its commit, its name there, and its rows by split."""

    revision: str
    config: str
    tables: dict[str, pa.Table]


def download(task: str, hub: str, revision: str, configs: Sequence[str]) -> Download:
    """Download a config of a dataset through `datasets`, whose cache is used where it has this very commit.

    Args:
        task: name of the task, for messages.
        hub: dataset id.
        revision: commit, or a branch such as "main", which is resolved to its commit first.
        configs: names the config may have, best first; "" stands for the only config of a dataset.

    Raises:
        FetchError: the hub cannot be reached, refuses, or lacks the dataset or the revision.
        DataError: the dataset has none of the configs, or its files cannot be read.
    """
    try:
        commit = _retry(lambda: _resolve(hub, revision))
        for config in configs:
            try:
                return Download(commit, config or configs[0], _retry(lambda name=config: _load(hub, name, commit)))
            except ValueError as error:
                if "BuilderConfig" not in str(error):
                    raise
                missing = error
    except (FetchError, DataError):
        raise
    except Exception as error:
        raise _explain(error, task, hub, revision) from error
    wanted = " or ".join(repr(name) for name in configs if name)
    raise DataError(f"{task}: dataset {hub} at revision {commit} has no config {wanted}: {_one_line(missing)}")


def _resolve(hub: str, revision: str) -> str:
    """The commit of a revision. Also asks for the dataset's card, as gated datasets refuse only their files."""
    from huggingface_hub import HfApi, constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if constants.HF_HUB_OFFLINE and _COMMIT.fullmatch(revision):
        return revision
    info = HfApi().dataset_info(hub, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    try:
        hf_hub_download(hub, "README.md", repo_type="dataset", revision=info.sha)
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        pass
    return str(info.sha)


def _load(hub: str, config: str, commit: str) -> dict[str, pa.Table]:
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    loaded = datasets.load_dataset(hub, config or None, revision=commit)
    for split in loaded.values():
        # Where the hub fails, `datasets` falls back to whatever revision its cache saw last.
        if not all(commit in str(file["filename"]) for file in split.cache_files):
            raise ConnectionError(f"the local cache of `datasets` has another revision of {hub}")
    return {str(name): split.data.table for name, split in loaded.items()}


def _retry(call: Callable[[], _T]) -> _T:
    for wait in WAIT_SECONDS:
        try:
            return call()
        except Exception as error:
            if not _is_passing(error):
                raise
            time.sleep(wait)
    return call()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """HTTP status of the first answer in a chain of errors."""
    for link in _chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _names(error: BaseException) -> set[str]:
    """Class names in a chain of errors, base classes included: the HTTP library below the hub's client varies."""
    return {base.__name__ for link in _chain(error) for base in type(link).__mro__}


def _is_unresolved(error: BaseException) -> bool:
    """Whether the host name could not be resolved: this machine has no network."""
    return any(isinstance(link, socket.gaierror) or "Errno -" in str(link) for link in _chain(error))


def _is_passing(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return status >= 500 or status == 429
    if "OfflineModeIsEnabled" in _names(error) or _is_unresolved(error):
        return False
    return _is_cut(error) or bool(_names(error) & {"TimeoutException", "TransportError", "ConnectionError"})


def _is_cut(error: BaseException) -> bool:
    return any("Consistency check failed" in str(link) for link in _chain(error))


def _explain(error: BaseException, task: str, hub: str, revision: str) -> FetchError:
    names, status = _names(error), _status(error)
    need = f"{task} needs the dataset {hub} at revision {revision}"
    page = f"https://huggingface.co/datasets/{hub}"
    login = "`hf auth login` (or set HF_TOKEN)"
    elsewhere = (
        f"On a machine with network type `kemb tasks fetch {task} -o DIR`, and give that folder here with `--data DIR`."
    )
    if "GatedRepoError" in names:
        return FetchError(f"{need}, which is gated. Ask for access at {page} and type {login}.")
    if "RevisionNotFoundError" in names:
        return FetchError(f"{need}, but the hub has no such revision of it; {page}/commits/main lists the commits.")
    if "RepositoryNotFoundError" in names or status in (401, 403):
        return FetchError(f"{need}, but the hub has no such dataset, or it is private. If it is private type {login}.")
    if status is not None and (status >= 500 or status == 429):
        reason = f"the hub answered {status}, {len(WAIT_SECONDS) + 1} times. Try again later: what arrived is kept."
    elif "OfflineModeIsEnabled" in names:
        reason = "it is not on this machine and HF_HUB_OFFLINE is set."
    elif _is_unresolved(error):
        reason = "it is not on this machine and the hub's host name cannot be resolved: there is no network."
    elif _is_cut(error):
        reason = f"the download was cut short, {len(WAIT_SECONDS) + 1} times. Try again: what arrived is kept."
    elif "TimeoutException" in names:
        reason = f"the hub did not answer in time, {len(WAIT_SECONDS) + 1} times. Try again later."
    elif names & {"TransportError", "ConnectionError", "LocalEntryNotFoundError"}:
        reason = f"it is not on this machine and the hub cannot be reached ({_one_line(error)})."
    else:
        return FetchError(f"{need}, which could not be downloaded: {type(error).__name__}: {_one_line(error)}")
    return FetchError(f"{need}, but {reason} {elsewhere}")


def _one_line(error: BaseException) -> str:
    """The message of an error in one line, without anything that looks like a token."""
    return re.sub(r"hf_\w+", "hf_...", " ".join(str(error).split()))[:400]
