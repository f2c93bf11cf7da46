"""What a plan was and who carried it out, beside the vectors: small tables in the folder of a
space, there whole or not at all.

A driver that is started again finds the device of its plan here; an actor on another machine sees
here that its store is the driver's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from kemb.encoding.store import Space
from kemb.files import disk

FOLDER = "plans"
_NAME = re.compile(r"[0-9a-f]{32}(\.device|\.[0-9a-f]{8}\.mixed)?\.json")
MIXED = ".mixed.json"
"""Ends the name of the record of a second device that took part in a plan."""


def read(space: Space, name: str) -> dict[str, Any] | None:
    """A table; None where it is not there."""
    with contextlib.suppress(OSError, ValueError):
        table: dict[str, Any] = disk.parse_json(space.place.read(f"{FOLDER}/{name}"))
        return table
    return None


def write_absent(space: Space, name: str, table: Mapping[str, object]) -> dict[str, Any]:
    """Write a table, unless one of this name is there.

    :return: the table that is there now; where two write at once it is the one that both read
        afterwards.
    :raises DiskError: when the folder cannot be written.
    """
    if (earlier := read(space, name)) is not None:
        return earlier
    text = json.dumps(dict(table), indent=1, sort_keys=True, ensure_ascii=False)
    space.place.write(f"{FOLDER}/{name}", text + "\n")
    return read(space, name) or dict(table)


def paths(space: Space) -> list[str]:
    """Of all tables of a space, from its folder."""
    return [f"{FOLDER}/{name}" for name in space.place.names(FOLDER) if _NAME.fullmatch(name)]


def digest(table: Mapping[str, object]) -> str:
    """8 hex digits that name a table."""
    return hashlib.sha256(json.dumps(dict(table), sort_keys=True).encode()).hexdigest()[:8]


def mixed_devices(space: Space) -> list[str]:
    """Devices, beside that of the plan, that vectors of a space were computed on."""
    names = [name for name in space.place.names(FOLDER) if name.endswith(MIXED)]
    tables = [read(space, name) or {} for name in names]
    return sorted({str(table.get("device", "unknown")) for table in tables})
