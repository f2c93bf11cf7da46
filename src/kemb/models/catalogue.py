"""Known models: `known/<slug>.toml`, one file per model, and `aliases.toml` for the names tables
print.

A name is never made into a path: its slug is looked up among the files that are there.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kemb.errors import UsageError
from kemb.files import disk
from kemb.models import secrets
from kemb.models.encoders.bge_m3 import spec_of_head, split_head
from kemb.models.spec import ModelSpec
from kemb.tasks import plugins

HERE = Path(__file__).parent
AnyModel = TypeVar("AnyModel", bound=BaseModel)
_MOST_BYTES = 4 * 2**20


def slug(name: str) -> str:
    """File name of a model without its ending: `BAAI/bge-m3` is `baai__bge-m3`, `bm25:kiwi` is
    `bm25-kiwi`.
    """
    return name.lower().replace("/", "__").replace(":", "-")


def names() -> list[str]:
    """Full names of all known models, sorted without case."""
    return sorted((str(read_table(path)["name"]) for path in _files().values()), key=str.lower)


def accepted_names() -> list[str]:
    """Every spelling `load_spec` knows: full names, short names and aliases; for near-name
    suggestions.
    """
    full = names()
    short = [name.split("/")[1] for name in full if "/" in name and _find(name.split("/")[1])]
    return [*full, *short, *_aliases()]


def load_spec(name: str) -> ModelSpec | None:
    """The known model of a full name, short name (`bge-m3`) or alias, compared without case; None
    if unknown.

    `NAME#sparse` is a head of it.
    """
    plain, head = split_head(name)
    path = _find(_aliases().get(plain.lower(), plain))
    if path is None or head is None:
        return read_spec(path) if path else None
    return spec_of_head(read_spec(path), head)


def read_spec(path: Path) -> ModelSpec:
    """Read a model TOML. A row variant (`hub` names another known model) takes from it what it
    leaves out.

    :raises UsageError: when the file is missing, is no TOML or breaks the contract of ModelSpec.
    """
    table = read_table(path)
    hub = table.get("hub")
    base = _files().get(slug(hub)) if isinstance(hub, str) else None
    if base is not None and base != path:
        table = {**read_table(base), **table}
    return parse(ModelSpec, table, path)


def profiles() -> dict[str, Path]:
    """Prompts files that come with kemb, by name: what a published table or mteb sends to these
    models.
    """
    return {path.stem: path for path in sorted((HERE / "profiles").glob("*.toml"))}


def read_table(path: Path) -> dict[str, Any]:
    """The content of a TOML or JSON file.

    :raises UsageError: when it cannot be read or is not a table.
    """
    try:
        content = disk.read_bytes(path, _MOST_BYTES)
        is_json = path.suffix.lower() == ".json"
        table: Any = _parsed_json(content) if is_json else tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}. Give the path of a TOML file."
        ) from error
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UsageError(
            f"{path} is not valid {path.suffix.lstrip('.').upper() or 'TOML'}: {why}."
        ) from error
    if not isinstance(table, dict):
        raise UsageError(
            f"{path} must hold one table of keys and values, and holds a {type(table).__name__}."
        )
    return table


def _parsed_json(content: bytes) -> Any:  # noqa: ANN401  whatever JSON can hold
    """JSON without keys that stand twice in an object, of which a reader would drop one.

    :raises ValueError: such a key, and as `disk.parse_json`.
    """
    parsed = disk.parse_json(content)
    json.loads(content, object_pairs_hook=_refuse_twice)
    return parsed


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    twice = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]
    if twice:
        raise ValueError(f"the key {twice[0]!r} stands twice in one object; keep one of the two")


def parse(kind: type[AnyModel], table: dict[str, Any], path: Path) -> AnyModel:
    """Check a table against its contract.

    :raises UsageError: one paragraph that names the file and every wrong key.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        problems = error.errors()
        wrong = "; ".join(
            f"key {'.'.join(str(part) for part in problem['loc'])!r}: {problem['msg']}, given "
            f"{_shown(problem['loc'], problem['input'])}"
            for problem in problems
        )
        unknown = any(problem["type"] == "extra_forbidden" for problem in problems)
        hint = f" Known keys: {', '.join(kind.model_fields)}." if unknown else ""
        raise UsageError(f"{path} does not fit: {wrong}.{hint}") from error


def _shown(place: Sequence[str | int], value: object) -> str:
    """What stands at a place of a table, unless it may be a key."""
    name = str(place[-1]) if place else ""
    return secrets.MARK if secrets.names_key(name) else f"{secrets.redacted(repr(value)):.80}"


@cache
def _files() -> dict[str, Path]:
    """Files of known models by slug, shipped and of plug-ins.

    :raises UsageError: when a plug-in has a model that is there already.
    """
    files = {path.stem: path for path in (HERE / "known").glob("*.toml")}
    for folder in plugins.folders(plugins.MODELS_GROUP):
        more = {path.stem: path for path in folder.glob("*.toml")}
        if repeated := sorted(files.keys() & more.keys()):
            raise UsageError(
                f"{folder} has a model {repeated[0]!r}, and so has {files[repeated[0]].parent}. "
                "Rename it, or uninstall the plug-in."
            )
        files |= more
    return files


@cache
def _aliases() -> dict[str, str]:
    return {alias.lower(): name for alias, name in read_table(HERE / "aliases.toml").items()}


def _find(name: str) -> Path | None:
    stem_of_name = slug(name)
    if stem_of_name in _files():
        return _files()[stem_of_name]
    short = [path for stem, path in _files().items() if stem.partition("__")[2] == stem_of_name]
    return short[0] if len(short) == 1 else None
