"""Keys in texts: what looks like one, and the same text without it.

Keys come from environment variables and go into one header. Whatever else kemb writes (records,
the store, messages) goes through `redacted` where a key could have got into it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

MARK = "[key]"
"""What stands in the place of a key."""
_SHAPE = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|AKIA[0-9A-Z]{16}|xox[a-z]-[\w-]{10,}|AIza[\w-]{30,}|glpat-[\w-]{20,}|gsk_\w{20,}"
    r"|nvapi-[\w-]{20,}|jina_\w{20,}|up_[A-Za-z0-9]{20,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,})"
)
_WORD = r"(?:api)?(?:key|token|secret|password|passwd|credentials?|authorization|signature|sig)"
_KEY_WORD = re.compile(rf"{_WORD}\d*", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_NAMED = re.compile(
    rf"(?<![A-Za-z0-9])(?P<name>(?:[A-Za-z0-9]+[_-])*{_WORD}\d*)(?P<between>=|:\s*bearer\s+|['\"]\s*:\s*['\"])"
    r"(?P<value>[^\s&'\"]+)",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST = 8
"""Characters of the value of an environment variable that is looked for in texts."""


def redacted(text: str, *keys: str) -> str:
    """A text without keys: those given, those of the environment, what has the shape of one, the
    user part of addresses, and the values of fields and parameters that are named like a key.
    """
    for key in sorted({*keys, *environment_keys()}, key=len, reverse=True):
        if key:
            text = text.replace(key, MARK)
    text = _USER.sub(MARK, _SHAPE.sub(MARK, text))
    return _NAMED.sub(rf"\g<name>\g<between>{MARK}", text)


def first_shape(text: str) -> str:
    """What looks like a key, shortened so that it is of no use; '' where nothing does."""
    match = _SHAPE.search(text)
    return f"{match[0][:6]}..." if match else ""


def is_key(text: str) -> bool:
    """Whether a text has the shape of a key, or is the value of an environment variable that holds
    one.
    """
    return _SHAPE.search(text) is not None or text in set(environment_keys())


def names_key(name: str) -> bool:
    """Whether a field says of itself that it holds a key: `api_key`, `X-Auth-Token`; `max_tokens`
    does not.
    """
    last = re.split(r"[_.-]", name)[-1]
    return (
        _KEY_WORD.fullmatch(last) is not None or _KEY_WORD.fullmatch(_last_hump(last)) is not None
    )


def is_variable_of_key(name: str) -> bool:
    """Whether a name is that of an environment variable and has a word that says key, as
    `MY_API_KEY` has and `PATH` has not.
    """
    if not _VARIABLE.fullmatch(name) or _SHAPE.search(name):
        return False
    return any(_KEY_WORD.fullmatch(word) for word in name.split("_"))


def environment_keys() -> Iterator[str]:
    """Values of the environment variables that are named like a key."""
    for name, value in os.environ.items():
        if is_variable_of_key(name) and len(value.strip()) >= _SHORTEST:
            yield value.strip()


def _last_hump(word: str) -> str:
    """`Key` of `apiKey`."""
    return re.split(r"(?<=[a-z0-9])(?=[A-Z])", word)[-1]
