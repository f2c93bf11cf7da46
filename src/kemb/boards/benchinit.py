"""Named sets of cells with formulas, one TOML each."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from kemb.boards.benchmark import Benchmark
from kemb.errors import UnknownName, UsageError

FOLDER = Path(__file__).parent / "known"


@cache
def names() -> list[str]:
    """The names of all shipped benchmarks."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_benchmark(name: str | Path) -> Benchmark:
    """A shipped benchmark by name, or one's own by the path of its TOML.

    :raises UnknownName: with the nearest known names.
    :raises UsageError: when the TOML is not a benchmark; says where.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in names():
            raise UnknownName("benchmark", str(name), names(), "Type `kemb benchmarks` for all.")
        path = FOLDER / f"{name}.toml"
    try:
        return Benchmark.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a benchmark: {error}.") from error
    except ValidationError as error:
        where = "; ".join(
            ": ".join(filter(None, [".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")]))
            for e in error.errors()
        )
        raise UsageError(f"{path} is not a benchmark: {where}.") from error
