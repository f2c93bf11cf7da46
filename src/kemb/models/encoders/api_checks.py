"""What an endpoint's table may say: an address that is one, and keys by the names of environment
variables alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from kemb.errors import UsageError
from kemb.models import secrets
from kemb.models.spec import ApiSpec

KEY_ENV = "KEMB_API_KEY"
EXAMPLE = "http://localhost:8000/v1"
_INSTEAD = (
    f"Put the key into an environment variable, {KEY_ENV} or the one that key_env of the model's "
    "TOML names; it is sent as a bearer token and written nowhere."
)


def check_endpoint(api: ApiSpec) -> None:
    """Refuse an address that is none, and a key anywhere but in the environment.

    :raises UsageError: what is wrong; no message shows what may be a key.
    """
    check_address(api.base_url)
    _check_variable(api.key_env)
    for path, value in _leaves("body", api.body):
        name = path.rpartition(".")[2]
        if isinstance(value, str) and value and (secrets.names_key(name) or secrets.is_key(value)):
            raise UsageError(
                f"{path} of the model's [api] table looks like a key. What stands in `body` is "
                f"kept with vectors and results. {_INSTEAD}"
            )


def check_address(base: str) -> None:
    """Refuse what is no address of an endpoint, or holds a key.

    :raises UsageError: what is wrong; no message shows what may be a key.
    """
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"The address {secrets.redacted(base)!r} of an API cannot be read ({error}). One looks "
            f"like {EXAMPLE}."
        ) from error
    if not base.isprintable() or any(mark.isspace() or mark == "\\" for mark in base):
        raise UsageError(
            f"The address {secrets.redacted(base)!r} of an API holds blanks, line ends or other "
            f"characters that no address has. One looks like {EXAMPLE}."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            f"The address {secrets.redacted(base)!r} of an API must begin with http:// or "
            f"https:// and name a host, such as {EXAMPLE}."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"The address of the API at {host} must hold no user, key or query. {_INSTEAD}"
        )
    if any(secrets.is_key(segment) for segment in parts.path.split("/") if segment):
        raise UsageError(
            f"The address of the API at {host} holds what looks like a key in its path. {_INSTEAD}"
        )


def _check_variable(name: str) -> None:
    if name and not secrets.is_variable_of_key(name):
        # What stands there may be the key itself.
        label = f" ({name})" if name.isupper() and name.isalpha() and len(name) < 20 else ""
        raise UsageError(
            f"key_env of the model's [api] table{label} must be the name of an environment "
            "variable that holds a key, with KEY or TOKEN as one of its words, as in "
            "MY_API_KEY; what it holds is sent to the endpoint. Export the key under such a name."
        )


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  whatever TOML can hold
    """Values inside tables and lists, with the way to them."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from _leaves(f"{path}.{name}", inner)
        case list():
            for inner in value:
                yield from _leaves(path, inner)
        case _:
            yield path, value
