"""What every request to the hub has in common: try again, believe only what can be true, and say in
one paragraph why it failed.

A hub, or what stands between, may lie: commits and names from it are checked before any path is
made of them, files against the hash that they are listed with, and an answer that drips or never
ends is left.
"""

from __future__ import annotations

import importlib
import json
import logging
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from kemb.errors import FetchError
from kemb.files import disk

if TYPE_CHECKING:
    from huggingface_hub import HfApi

WAIT_SECONDS = (2.0, 8.0)
"""Pauses before the second and the third try of a request that failed for a passing reason."""

_T = TypeVar("_T")
COMMIT = re.compile(r"[0-9a-f]{40}")
"""The name of a commit, whole."""
_ETAG = re.compile(r'(?:W/)?"?[\w+=-][\w.+=-]{0,199}"?')
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_UNTOLD_BYTES = 64 * 2**20
"""Of an answer that does not say how long it is."""
_FEWEST_BYTES_PER_SECOND = 1024
_N_TIMEOUTS = 3
"""So many of the client's own time-outs an answer may come slower than that."""


_MOST_SENT_BYTES = 2**20
"""Of a request whose answer begins within a time limit; the rest is an upload."""


class StrangeAnswer(Exception):
    """The hub's answer cannot be true; the message is a clause without a subject."""


class TooLate(Exception):
    """Something was not complete in time."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit, as the hub describes it; commit and names are safe in paths."""

    commit: str
    names: list[str]
    """Of its files."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the hub says of a file before it is fetched."""

    sha256: str
    """'' where the hub says none; it does of large files."""
    n_bytes: int
    """0 where the hub does not say."""


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
    _guard_client()
    if not sys.stderr.isatty():
        disable_progress_bars()


def describe(kind: str, repo: str, revision: str | None, api: HfApi | None = None) -> Repository:
    """What the hub has of a repository.

    :param kind: "dataset" or "model".
    :param revision: a commit, branch or tag; None for the main branch.
    :param api: of another endpoint or token than those of the environment.
    :raises StrangeAnswer: it answers with something else, or with names that lead elsewhere.
    :raises Exception: what the hub's client raises; `explain` makes a paragraph of it.
    """
    from huggingface_hub import HfApi, constants

    look = getattr(api or HfApi(), f"{kind}_info")
    try:
        info = retry(partial(look, repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT))
        names = [file.rfilename for file in info.siblings or []]
        commit = info.sha
    except (
        AssertionError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:
        raise StrangeAnswer(
            "is no description of a repository (JSON with id, sha and siblings)"
        ) from error
    _check_commit(commit)
    for name in names:
        _check_name(name)
    return Repository(commit, names)


def ask_first(repo: str, name: str, kind: str, commit: str) -> FileFacts:
    """Ask the hub about a file before it is fetched: the client itself waits minutes for a hub that
    hangs.

    :raises StrangeAnswer: it is of another commit.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, name, repo_type=kind, revision=commit)
    metadata = retry(partial(get_hf_file_metadata, url, timeout=constants.HF_HUB_ETAG_TIMEOUT))
    if metadata.commit_hash not in (None, commit):
        raise StrangeAnswer(f"is of the commit {metadata.commit_hash}, not of {commit}")
    etag = metadata.etag or ""
    sha256 = etag if _SHA256.fullmatch(etag) else ""
    return FileFacts(sha256, metadata.size or 0)


def check_file(path: Path, sha256: str) -> None:
    """Compare a file that has just been fetched with what the hub says of it, and remove it where
    it is another: what lies in a cache is not looked at again.

    :param sha256: '' where the hub says none.
    :raises StrangeAnswer: it is another.
    """
    if not sha256:
        return
    content_sha256 = disk.sha256(path)
    if content_sha256 == sha256:
        return
    for file in {path, path.resolve()}:
        file.unlink(missing_ok=True)
    raise StrangeAnswer(
        f"gave a file {path.name} whose sha256 is {content_sha256[:12]}..., where it says "
        f"{sha256[:12]}...; the file was removed"
    )


def in_time(work: Callable[[], _T], seconds: float) -> _T:
    """What `work` gives or raises, in a thread of its own, so that it can be left behind.

    A server that sends a byte now and then never meets the time limits of single reads.

    :param seconds: for all of it.
    :raises TooLate: it takes longer.
    """
    outcomes: queue.SimpleQueue[tuple[list[_T], BaseException | None]] = queue.SimpleQueue()

    def attempt() -> None:
        try:
            outcomes.put(([work()], None))
        except BaseException as error:
            outcomes.put(([], error))

    threading.Thread(target=attempt, name="kemb-request", daemon=True).start()
    try:
        results, error = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise TooLate from None
    if error is not None:
        raise error
    return results[0]


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
    strange = next((link for link in _chain(error) if isinstance(link, StrangeAnswer)), None)
    if strange is None:
        return _failed(error, need, kind, page, elsewhere)
    return FetchError(
        f"{need}, but the answer of the hub at {_endpoint()} {strange}. It was not used. Look at "
        "HF_ENDPOINT and at proxies and login pages on the way, and try again. "
        f"{elsewhere}"
    )


def _failed(error: BaseException, need: str, kind: str, page: str, elsewhere: str) -> FetchError:
    """As `explain`, of a request that had no answer or a refusal."""
    names, status = _names(error), _status(error)
    login, n_tries = "`hf auth login` (or set HF_TOKEN)", len(WAIT_SECONDS) + 1
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


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _check_commit(commit: object) -> None:
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise StrangeAnswer(f"names {commit!r:.80} as its commit, where 40 hexadecimal digits are")


def _check_name(name: object) -> None:
    """A path inside the repository."""
    if isinstance(name, str) and name.isprintable() and not re.match(r"[/\\~]|[A-Za-z]:", name):
        if not {"", ".", ".."} & set(re.split(r"[/\\]", name)):
            return
    raise StrangeAnswer(f"lists a file {name!r:.80}, which is no name inside a repository")


@cache
def _guard_client() -> None:
    """Let the hub's client look at every answer before it uses it."""
    try:
        from huggingface_hub import set_client_factory
        from huggingface_hub.utils._http import default_client_factory
    except ImportError:  # before 1.0 it had no such door
        return

    def guarded() -> Any:  # noqa: ANN401  httpx.Client, by the name that the hub's client imports
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = hooks | {"response": [*hooks.get("response", []), _look_at]}
        client.send = partial(_sent_in_time, client.send)  # type: ignore[method-assign]
        return client

    set_client_factory(guarded)


def _sent_in_time(
    send: Callable[..., Any],
    request: Any,  # noqa: ANN401  of the library that the client uses
    *,
    stream: bool = False,
    **rest: Any,  # noqa: ANN401  as above
) -> Any:  # noqa: ANN401  as above
    """The answer to a request, whose headers come within a time limit; `_bounded` looks at the pace
    of what follows.

    :raises StrangeAnswer: they come too slowly.
    """
    begin = partial(send, request, stream=True, **rest)
    if int(request.headers.get("content-length", 0)) > _MOST_SENT_BYTES:
        response = begin()
    else:
        try:
            response = in_time(begin, _patience())
        except TooLate:
            raise StrangeAnswer(
                f"begins too slowly to be waited for: not within {_patience():.0f} s"
            ) from None
    if not stream:
        try:
            response.read()
        finally:
            response.close()
    return response


def _patience() -> float:
    """Seconds that the beginning of an answer, or a part that drips, may take."""
    from huggingface_hub import constants

    return _N_TIMEOUTS * float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _look_at(response: Any) -> None:  # noqa: ANN401  httpx.Response
    """Headers that become paths, and the pace of what follows.

    :raises StrangeAnswer: a header that leads elsewhere.
    """
    commit = response.headers.get("x-repo-commit")
    if commit is not None:
        _check_commit(commit)
        for name in ("x-linked-etag", "etag"):
            etag = response.headers.get(name)
            if etag is not None and not _ETAG.fullmatch(etag):
                raise StrangeAnswer(f"has the {name} {etag!r:.80}, which is none of a file")
    response.stream = _bounded(response)


def _bounded(response: Any) -> Any:  # noqa: ANN401  a stream of the library that the client uses
    library = importlib.import_module(type(response).__module__.partition(".")[0])
    stream, length = response.stream, response.headers.get("content-length")

    class Bounded(library.SyncByteStream):  # type: ignore[misc, name-defined]  # known at run time
        """A stream that ends when it drips, or goes on without having said how long it is."""

        def __iter__(self) -> Iterator[bytes]:
            return _within_bounds(iter(stream), length is None)

        def close(self) -> None:
            stream.close()

    return Bounded()


def _within_bounds(chunks: Iterator[bytes], is_untold: bool) -> Iterator[bytes]:
    """The chunks, as long as they come fast enough; the time that their reader takes is its own.

    :param is_untold: nobody said how many bytes they are.
    """
    n_bytes, n_since, waited = 0, 0, 0.0
    patience = _patience()
    while True:
        before = time.monotonic()
        chunk = next(chunks, None)
        waited += time.monotonic() - before
        if chunk is None:
            return
        n_bytes, n_since = n_bytes + len(chunk), n_since + len(chunk)
        if is_untold and n_bytes > _MOST_UNTOLD_BYTES:
            _refuse_endless()
        if waited >= patience:
            if n_since < _FEWEST_BYTES_PER_SECOND * waited:
                raise StrangeAnswer(
                    f"comes too slowly to be waited for: {n_since} bytes in {waited:.0f} s"
                )
            n_since, waited = 0, 0.0
        yield chunk


def _refuse_endless() -> NoReturn:
    raise StrangeAnswer(
        f"has more than {_MOST_UNTOLD_BYTES} bytes without having said how many they are"
    )
