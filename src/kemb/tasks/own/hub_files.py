"""Which files of a data set of the hub are read, and under which names: its tables where a folder
has them, or those of one of its configs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from kemb.tasks.own.outline import TOML, role_of, split_of
from kemb.tasks.own.readers import suffix_of
from kemb.tasks.own.understand import SUBFOLDERS

TABLES = (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt")
README = "README.md"
DRAFT = "drafted.json"
CONFIG = re.compile(r"[\w][\w.+-]{0,99}", re.ASCII)
"""Names of configs that can be that of a folder."""
_DESCRIPTIONS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json")
"""What the hub's tools write beside tables."""
_RETRIEVAL = {"corpus": "corpus", "queries": "queries", "qrels": "qrels", "default": "qrels"}
"""Last words of the folders of a retrieval config (`ko-corpus`), and the folder that each is read
as.
"""
_MOST_README = 2**20

Files = dict[str, str]
"""Name in the repository -> name in the folder that is read."""


def at_the_top(names: Sequence[str]) -> Files:
    """The files of the data set itself: tables at its top or where a folder may have them, its
    task.toml and README; of a drafted set also what was said of it.
    """
    tables = [name for name in names if _is_table(PurePosixPath(name))]
    if not tables:
        return {}
    beside = [name for name in (TOML, README) if name in names]
    if DRAFT in names:
        beside += [name for name in names if _is_said(PurePosixPath(name))]
    return {name: name for name in [*tables, *beside]}


def configs_of(names: Sequence[str], readme: str) -> dict[str, Files]:
    """The configs of a data set that can be named, by what its README says and by its folders.

    :param names: of all its files.
    :param readme: its text.
    """
    configs = {**_of_folders(names), **_of_retrieval(names)}
    for name, entry in _declared(readme).items():
        if files := _of_entry(entry, names):
            configs[name] = files
    parts = {*SUBFOLDERS, *(f"{name}-{word}" for name in configs for word in _RETRIEVAL)}
    usable = {
        name: files
        for name, files in configs.items()
        if CONFIG.fullmatch(name) and name not in parts
    }
    return {name: _with_settings(name, files, names) for name, files in sorted(usable.items())}


def _is_table(path: PurePosixPath) -> bool:
    """Whether a file stands where tables stand, and may be one: a readme as .txt is none."""
    suffix = suffix_of(Path(path))
    has_place = len(path.parts) == 1 or (len(path.parts) == 2 and path.parts[0] in SUBFOLDERS)
    if not has_place or suffix not in TABLES or path.name.startswith("."):
        return False
    if path.name in _DESCRIPTIONS:
        return False
    return suffix != ".txt" or bool(role_of(str(path)) or split_of(str(path)))


def _is_said(path: PurePosixPath) -> bool:
    """Whether a file of a drafted set holds decisions of people or labels of a judge."""
    if len(path.parts) != 2 or path.name.startswith("."):
        return False
    is_judge = path.parts[0] == "judge" and path.suffix == ".json"
    return is_judge or (path.parts[0] == "review" and path.suffix == ".jsonl")


def _of_folders(names: Sequence[str]) -> dict[str, Files]:
    """Folders at the top that hold what a data set may hold."""
    configs: dict[str, Files] = {}
    for name in names:
        folder, _, rest = name.partition("/")
        if rest and folder not in SUBFOLDERS and _is_table(PurePosixPath(rest)):
            configs.setdefault(folder, {})[name] = rest
    return configs


def _of_retrieval(names: Sequence[str]) -> dict[str, Files]:
    """Configs whose corpus, queries and judgments stand in folders of their own: `ko-corpus`,
    `ko-queries`, and `ko-qrels`, `ko-default` or `ko`.
    """
    folders: dict[str, dict[str, list[str]]] = {}
    for name in names:
        path = PurePosixPath(name)
        if len(path.parts) != 2 or suffix_of(Path(path)) not in TABLES:
            continue
        config, _, word = path.parts[0].rpartition("-")
        place = _RETRIEVAL.get(word) if config else None
        config, place = (config, place) if place else (path.parts[0], "qrels")
        folders.setdefault(config, {}).setdefault(place, []).append(name)
    return {
        config: {
            name: f"{place}/{PurePosixPath(name).name}"
            for place, of_place in places.items()
            for name in of_place
        }
        for config, places in folders.items()
        if {"corpus", "queries"} <= places.keys()
    }


def _declared(readme: str) -> dict[str, Mapping[str, Any]]:
    """The `configs` of a README's head; nothing where it has none, or is broken."""
    import yaml

    head = readme[:_MOST_README].split("---\n", 2)
    if len(head) < 3 or head[0].strip():
        return {}
    try:
        entries = yaml.safe_load(head[1])["configs"]
        return {str(entry["config_name"]): entry for entry in entries}
    except (yaml.YAMLError, RecursionError, LookupError, TypeError, ValueError):
        return {}


def _of_entry(entry: Mapping[str, Any], names: Sequence[str]) -> Files:
    """The files that an entry's patterns fit, called by their splits where it names them."""
    patterns = list(_patterns(entry))
    by_split: dict[str, list[str]] = {}
    for split, pattern in patterns:
        fitting = [
            name for name in names if _fits(name, pattern) and suffix_of(Path(name)) in TABLES
        ]
        by_split.setdefault(split, []).extend(fitting)
    files: Files = {}
    for split, of_split in by_split.items():
        shards = list(dict.fromkeys(of_split))
        for number, name in enumerate(shards):
            shard = f"-{number:05}-of-{len(shards):05}" if len(shards) > 1 else ""
            place = f"{split}{shard}{_ending(name)}" if split else PurePosixPath(name).name
            # Without splits two folders may hold files of one name.
            files[name] = name.replace("/", "-") if place in files.values() else place
    return files


def _fits(name: str, pattern: str) -> bool:
    """As the hub's patterns: only `**` goes into folders."""
    is_deep = "**" in pattern or name.count("/") == pattern.count("/")
    return is_deep and fnmatchcase(name, pattern)


def _ending(name: str) -> str:
    """`.csv`, or `.csv.gz` of a packed file."""
    path = PurePosixPath(name)
    is_packed = suffix_of(Path(path)) != path.suffix.lower()
    return "".join(path.suffixes[-2:]) if is_packed else path.suffix


def _patterns(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Split ('' where none is said) and pattern of every file of an entry, in any of the forms that
    a README may give them.
    """
    patterns = entry.get("data_files")
    folder = entry.get("data_dir")
    if patterns is None:
        return [("", f"{folder}/**")] if isinstance(folder, str) and folder else []
    if isinstance(patterns, Mapping):
        patterns = [{"split": split, "path": path} for split, path in patterns.items()]
    pairs: list[tuple[str, object]] = []
    for item in patterns if isinstance(patterns, list) else [patterns]:
        split = str(item.get("split") or "") if isinstance(item, Mapping) else ""
        paths = item.get("path") if isinstance(item, Mapping) else item
        pairs += [(split, path) for path in (paths if isinstance(paths, list) else [paths])]
    prefix = f"{folder}/" if isinstance(folder, str) and folder else ""
    return [
        (split, f"{prefix}{path}".replace("**/", "**"))
        for split, path in pairs
        if isinstance(path, str) and re.fullmatch(r"[\w.-]*", split)
    ]


def _with_settings(config: str, files: Files, names: Sequence[str]) -> Files:
    """With the task.toml of the config's folder; else with that of the data set, if no table stands
    at its top.
    """
    settings = f"{config}/{TOML}"
    if settings in names:
        return files | {settings: TOML}
    return files | {TOML: TOML} if TOML in names and not at_the_top(names) else files
