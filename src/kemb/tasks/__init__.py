"""What kemb evaluates on: one TOML file per known task in `known/`, and how its data is loaded.

Known are the tasks in that folder, those of installed plug-ins (`kemb.tasks.plugins`), and one's
own: the TOML files in the folders that `KEMB_TASKS` names, or the key `tasks` of a `kemb.toml` in
the current folder.

Importing this package is cheap; nothing heavy is loaded before a specification is read.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kemb.errors import DataError, UnknownName, UsageError

if TYPE_CHECKING:
    from kemb.tasks.spec import TaskSpec

_FOLDER = Path(__file__).parent / "known"
VARIABLE = "KEMB_TASKS"
CONFIG = "kemb.toml"


def names() -> list[str]:
    """The names of all known tasks, sorted.

    :raises UsageError: a folder of one's own that is not there, or that repeats a name.
    """
    return sorted(_paths())


def load_spec(name: str) -> TaskSpec:
    """The specification of a known task.

    :raises UnknownName: no known task has this name; upper and lower case matter.
    :raises DataError: as `read_spec`.
    """
    spec = find_spec(name)
    if spec is None:
        raise UnknownName("task", name, names(), "Type: kemb tasks")
    return spec


def find_spec(name: str) -> TaskSpec | None:
    """The specification of a known task; None for any other name.

    :raises DataError: as `read_spec`, or for a file that names its task otherwise than itself.
    """
    if (installed := _installed().get(name)) is not None:
        return _read_unchanged(installed, 0)
    path = _paths().get(name)
    if path is None:
        return None
    spec = _read_unchanged(path, path.stat().st_mtime_ns)
    if spec.name != name:
        raise DataError(f"{path} names its task {spec.name!r}; expected {name!r}, as the file.")
    return spec


def read_spec(path: Path) -> TaskSpec:
    """Read a task's TOML file.

    :raises DataError: the file is missing, is no TOML, or has a key or value that a task does not
        have.
    """
    import tomllib

    from pydantic import ValidationError

    from kemb.files import disk
    from kemb.tasks.spec import TaskSpec

    try:
        spec = TaskSpec.model_validate(tomllib.loads(disk.read_text(path)))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} cannot be read as a task's TOML file: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"key '{'.'.join(map(str, problem['loc']))}': {problem['msg']} (given: "
            f"{problem['input']!r:.80})"
            for problem in error.errors()
        )
        raise DataError(f"{path} does not describe a task: {problems}.") from error
    if spec.unknown_metric:
        raise DataError(f"{path} cannot be used: key 'main_score': {spec.unknown_metric}.")
    return spec


def own_folders() -> tuple[Path, ...]:
    """The folders of one's own tasks: of `KEMB_TASKS`, else of `kemb.toml` in the current folder.

    :raises UsageError: a `kemb.toml` that cannot be read.
    """
    if configured := os.environ.get(VARIABLE):
        return tuple(Path(folder) for folder in configured.split(os.pathsep) if folder)
    config = Path(CONFIG)
    if not config.exists():
        return ()
    if not config.is_file():
        from kemb.files.disk import what_is

        raise UsageError(f"{config} cannot be read: {what_is(config)}.")
    return _configured(config.resolve(), config.stat().st_mtime_ns)


@cache
def _configured(config: Path, _: int) -> tuple[Path, ...]:
    import tomllib

    from kemb.files import disk

    try:
        table = tomllib.loads(disk.read_text(config))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{config} cannot be read: {error}.") from error
    folders = table.pop("tasks", [])
    folders = [folders] if isinstance(folders, str) else folders
    if table or not isinstance(folders, list) or not all(isinstance(f, str) for f in folders):
        raise UsageError(
            f'{config} must hold one key, tasks = "FOLDER" or tasks = ["FOLDER", ...]; it holds '
            f"{', '.join([*table, *(['tasks'] if folders else [])]) or 'nothing'}."
        )
    return tuple(config.parent / folder for folder in folders)


def _paths() -> dict[str, Path]:
    """The files of all known tasks, by name."""
    paths = _installed()
    for folder in own_folders():
        if not folder.is_dir():
            raise UsageError(
                f"There is no folder {folder} with tasks of your own. Correct {VARIABLE} or "
                f"{CONFIG}."
            )
        paths = _joined(paths, folder, _toml_files(folder, folder.stat().st_mtime_ns))
    return paths


@cache
def _installed() -> dict[str, Path]:
    from kemb.tasks import plugins

    paths = {path.stem: path for path in _FOLDER.glob("*.toml")}
    for folder in plugins.folders(plugins.TASKS_GROUP):
        paths = _joined(paths, folder, tuple(folder.glob("*.toml")))
    return paths


@cache
def _toml_files(folder: Path, _: int) -> tuple[Path, ...]:
    return tuple(sorted(folder.resolve().glob("*.toml")))


def _joined(paths: dict[str, Path], folder: Path, more: tuple[Path, ...]) -> dict[str, Path]:
    if repeated := sorted(path.stem for path in more if path.stem in paths):
        raise UsageError(
            f"{folder} has a task {repeated[0]!r}, and so has {paths[repeated[0]].parent}. Rename "
            "the file and its task."
        )
    return paths | {path.stem: path for path in more}


@cache
def _read_unchanged(path: Path, _: int) -> TaskSpec:
    return read_spec(path)
