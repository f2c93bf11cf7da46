"""Named sets of tasks, one TOML each."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kemb.errors import UnknownName

FOLDER = Path(__file__).parent


class BenchmarkSpec(BaseModel):
    """A benchmark: a title for readers and the tasks it consists of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    description: str = ""
    tasks: list[str]


@cache
def names() -> list[str]:
    """The names of all benchmarks."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_spec(name: str) -> BenchmarkSpec:
    """A benchmark by name.

    :raises UnknownName: with the nearest known names.
    """
    if name not in names():
        raise UnknownName("benchmark", name, names(), "Type `kemb benchmarks` for all.")
    return BenchmarkSpec.model_validate(tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")))
