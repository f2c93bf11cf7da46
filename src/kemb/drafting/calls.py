"""The calls of a language model, one line each: what was paid for is kept, and not asked again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kemb.files import disk
from kemb.files.lines import append_line

_HINT = "Free space and type the same command again: what was answered is kept."


class Call(BaseModel):
    """An answer of a language model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    key: str
    """Of what was asked: `key_of`."""
    passage: str
    served: str
    """What the endpoint calls the model."""
    finish: str
    """Why the model stopped: `stop`, `length`, ...; '' where the endpoint does not say."""
    content: str
    n_tokens_read: int | None = None
    """As the endpoint counts them; None where it does not."""
    n_tokens_written: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that makes an answer."""

    base_url: str
    model: str
    body: Mapping[str, object]
    messages: Sequence[Mapping[str, str]]


def key_of(request: Request) -> str:
    """What tells one call from another."""
    return hashlib.sha256(json.dumps(asdict(request), sort_keys=True).encode()).hexdigest()


class Journal:
    """A file of calls that only grows.

    A line that a killed process left half written is no call. Many threads may add.

    :param path: of the file; its folder is made with the first call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._calls: dict[str, Call] = {}
        content = path.read_bytes() if path.is_file() else b""
        for line in content.split(b"\n"):
            try:
                call = Call.model_validate_json(line)
            except ValidationError:
                continue
            self._calls[call.key] = call

    def get(self, key: str) -> Call | None:
        """The answer to a question that was asked before."""
        return self._calls.get(key)

    def add(self, call: Call) -> None:
        """Keep an answer; it is on the disk when this returns.

        :raises DiskError: it cannot be written.
        """
        line = call.model_dump_json().encode()
        with self._lock, disk.writing(f"{self.path} cannot be written", _HINT):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, line)
            self._calls[call.key] = call
