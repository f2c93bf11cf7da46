"""One request to an endpoint and its answer, within a total time and a size, without the key."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kemb.errors import ModelError
from kemb.hub import TooLate, in_time
from kemb.models import secrets

if TYPE_CHECKING:
    import httpx

_MOST_REFUSAL_BYTES = 65_536
"""Of an answer that is no success, this much is read."""
_BYTES_BESIDE = 4 * 2**20
_BYTES_PER_VALUE = 64
_DIM_UNKNOWN = 16_384


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    content: bytes

    @property
    def text(self) -> str:
        """The content, whatever its bytes are."""
        return self.content.decode("utf-8", "replace")


def most_bytes(n_texts: int, dim: int | None) -> int:
    """The size that an answer with vectors of so many texts may have.

    :param dim: of the vectors; None where it is not known yet.
    """
    return _BYTES_BESIDE + _BYTES_PER_VALUE * n_texts * (dim or _DIM_UNKNOWN)


def post(
    http: httpx.Client, url: str, content: bytes, seconds: float, most: int, key: str
) -> Reply:
    """The answer to a request.

    :param seconds: for the whole exchange.
    :param most: bytes of an answer that is a success.
    :param key: is written nowhere, should the endpoint repeat it.
    :raises TooLate: it takes longer.
    :raises ModelError: it is larger, or the address is none.
    :raises httpx.HTTPError: the connection fails.
    """
    deadline = time.monotonic() + seconds
    reply = in_time(lambda: _read(http, url, content, deadline, most), seconds)
    return _without(reply, key)


def _read(http: httpx.Client, url: str, content: bytes, deadline: float, most: int) -> Reply:
    import httpx

    try:
        with http.stream("POST", url, content=content) as response:
            is_good = response.status_code == 200
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise TooLate
                if len(body) > (most if is_good else _MOST_REFUSAL_BYTES):
                    break
    except (httpx.InvalidURL, UnicodeError) as error:  # the latter of host names
        raise ModelError(
            f"{secrets.redacted(url)!r} is no address of an endpoint ({error}). Give another "
            "address, or mend base_url in the model's [api] table."
        ) from error
    if is_good and len(body) > most:
        raise ModelError(
            f"The endpoint {url} answered with more than {most} bytes, far more than what it "
            "was asked for. Nothing of it was stored. Check its address, and of a model's row its "
            "[api] table."
        )
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, response.reason_phrase, headers, bytes(body))


def _without(reply: Reply, key: str) -> Reply:
    if not key:
        return reply
    return Reply(
        reply.status,
        reply.phrase.replace(key, secrets.MARK),
        {name: value.replace(key, secrets.MARK) for name, value in reply.headers.items()},
        reply.content.replace(key.encode(), secrets.MARK.encode()),
    )
