"""What other installed packages add, by entry points: known models and tasks.

    [project.entry-points."kemb.models"]
    my-encoder = "my_package.models:encoder"     an object that embeds, opened when it is named
    my-models = "my_package.known_models"        a package with TOML files of models

    [project.entry-points."kemb.tasks"]
    my-tasks = "my_package.tasks"                a package with TOML files of tasks

Entry points are read once; no code of a package runs before one of its objects is named.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from kemb.errors import UsageError

MODELS_GROUP = "kemb.models"
TASKS_GROUP = "kemb.tasks"


@cache
def objects(group: str) -> dict[str, EntryPoint]:
    """Entry points that name an object, by their own name."""
    return {point.name: point for point in entry_points(group=group) if point.attr}


@cache
def folders(group: str) -> tuple[Path, ...]:
    """Folders of the packages that entry points name, with their TOML files.

    :raises UsageError: a package that is not there.
    """
    package_folders: list[Path] = []
    for point in entry_points(group=group):
        if point.attr:
            continue
        folder = _folder_of(point)
        if folder is None:
            name = point.dist.name if point.dist else "a package"
            raise UsageError(
                f"{name} says that the package {point.module} holds files for kemb ({group}, "
                f"{point.name}), and there is none. Type: pip install --force-reinstall {name}"
            )
        package_folders.append(folder)
    return tuple(package_folders)


def _folder_of(point: EntryPoint) -> Path | None:
    """Where the package of an entry point lies; only of an editable install is its parent imported
    for that.
    """
    if point.dist is not None:
        folder = Path(str(point.dist.locate_file(point.module.replace(".", "/"))))
        if folder.is_dir():
            return folder
    try:
        spec = importlib.util.find_spec(point.module)
    except ImportError:
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None
