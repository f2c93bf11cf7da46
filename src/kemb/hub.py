"""What every request to the hub has in common: try again, and say in one paragraph why it
failed.
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from kemb.errors import FetchError

WAIT_SECONDS = (2.0, 8.0)
"""Pauses before the second and the third try of a request that failed for a passing reason."""

_T = TypeVar("_T")


def is_offline() -> bool:
    """Whether the user told the hub's client not to use the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def quiet_client() -> None:
    """Let the hub's client print no warnings, which kemb says again when it gives up, and bars only
    to a terminal.
    """
    from huggingface_hub.utils import logging as client_logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    client_logging.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()


def ask_first(repo: str, name: str, kind: str, commit: str) -> None:
    """Ask the hub for the size of a file before it is fetched: the client itself waits minutes for
    a hub that hangs.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, name, repo_type=kind, revision=commit)
    retry(partial(get_hf_file_metadata, url, timeout=constants.HF_HUB_ETAG_TIMEOUT))


def retry(call: Callable[[], _T]) -> _T:
    """The result of `call`, tried again after a pause when the failure looks like a passing one."""
    for wait in () if is_offline() else WAIT_SECONDS:
        try:
            return call()
        except Exception as error:
            if not _is_passing(error):
                raise
            time.sleep(wait)
    return call()


def explain(error: BaseException, need: str, kind: str, page: str, elsewhere: str) -> FetchError:
    """A failed request as one paragraph.

    :param need: what was wanted, as a main clause ("KorSTS needs the dataset X at revision Y").
    :param kind: "dataset" or "model".
    :param page: address of the repository's page.
    :param elsewhere: what to type where the hub cannot be reached.
    """
    names, status = _names(error), _status(error)
    login = "`hf auth login` (or set HF_TOKEN)"
    n_tries = len(WAIT_SECONDS) + 1
    if "GatedRepoError" in names:
        return FetchError(f"{need}, which is gated. Ask for access at {page} and type {login}.")
    if "RevisionNotFoundError" in names:
        return FetchError(
            f"{need}, but the hub has no such revision of it; {page}/commits/main lists the "
            "commits."
        )
    if "RepositoryNotFoundError" in names or status in (401, 403):
        return FetchError(
            f"{need}, but the hub has no such {kind}, or it is private. If it is private type "
            f"{login}."
        )
    if status is not None and (status >= 500 or status == 429):
        reason = (
            f"the hub answered {status}, {n_tries} times. Try again later: what arrived is kept."
        )
    elif is_offline() and names & {"ConnectionError", "LocalEntryNotFoundError"}:
        reason = (
            "it is not on this machine and HF_HUB_OFFLINE is set. Unset it if there is "
            "network here."
        )
    elif _is_unresolved(error):
        reason = (
            "it is not on this machine and the hub's host name cannot be resolved: there is "
            "no network."
        )
    elif _is_cut(error):
        reason = f"the download was cut short, {n_tries} times. Try again: what arrived is kept."
    elif "TimeoutException" in names:
        reason = f"the hub did not answer in time, {n_tries} times. Try again later."
    elif names & {"TransportError", "ConnectionError", "LocalEntryNotFoundError"}:
        reason = f"it is not on this machine and the hub cannot be reached ({one_line(error)})."
    else:
        return FetchError(
            f"{need}, which could not be downloaded: {type(error).__name__}: {one_line(error)}"
        )
    return FetchError(f"{need}, but {reason} {elsewhere}")


def one_line(error: BaseException) -> str:
    """The message of an error in one line, without anything that looks like a token."""
    return re.sub(r"hf_\w+", "hf_...", " ".join(str(error).split()))[:400]


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
    """Class names in a chain of errors, base classes included: the HTTP library below the hub's
    client varies.
    """
    return {base.__name__ for link in _chain(error) for base in type(link).__mro__}


def _is_unresolved(error: BaseException) -> bool:
    """Whether the host name could not be resolved: this machine has no network."""
    return any(isinstance(link, socket.gaierror) for link in _chain(error))


def _is_passing(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return status >= 500 or status == 429
    if _is_unresolved(error):
        return False
    return _is_cut(error) or bool(
        _names(error) & {"TimeoutException", "TransportError", "ConnectionError"}
    )


def _is_cut(error: BaseException) -> bool:
    """Whether an answer ended before its time."""
    # The hub's client raises a bare OSError, without a number, for a file of another size.
    return "RemoteProtocolError" in _names(error) or any(
        type(link) is OSError and link.errno is None for link in _chain(error)
    )
