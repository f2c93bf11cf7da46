"""What kemb evaluates on: one TOML file per known task in `known/`, and how its data is loaded.

Importing this package is cheap; nothing heavy is loaded before a specification is read.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kemb.errors import DataError, UnknownName

if TYPE_CHECKING:
    from kemb.tasks.spec import TaskSpec

_FOLDER = Path(__file__).parent / "known"


def names() -> list[str]:
    """The names of all known tasks, sorted."""
    return sorted(path.name.removesuffix(".toml") for path in _FOLDER.glob("*.toml"))


@cache
def load_spec(name: str) -> TaskSpec:
    """The specification of a known task.

    :raises UnknownName: no known task has this name; upper and lower case matter.
    """
    if name not in names():
        raise UnknownName("task", name, names(), "Type: kemb tasks")
    return read_spec(_FOLDER / f"{name}.toml")


def read_spec(path: Path) -> TaskSpec:
    """Read a task's TOML file.

    :raises DataError: the file is missing, is no TOML, or has a key or value that a task does not
        have.
    """
    import tomllib

    from pydantic import ValidationError

    from kemb.tasks.spec import TaskSpec

    try:
        return TaskSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} cannot be read as a task's TOML file: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"key '{'.'.join(map(str, problem['loc']))}': {problem['msg']} (given: "
            f"{problem['input']!r:.80})"
            for problem in error.errors()
        )
        raise DataError(f"{path} does not describe a task: {problems}.") from error
