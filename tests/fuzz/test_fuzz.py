"""A stranger's file gives a result or one paragraph, in bounded time and memory, and a refusal
writes nothing.

Seeds come from cases/hostile. 60 seconds in all; `make fuzz` takes as long as it is told.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import foreign
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import case_checks
import run_cases

pytestmark = [pytest.mark.shared, pytest.mark.slow]

SECONDS = float(os.environ.get("KEMB_FUZZ_SECONDS", "60"))
CPU_SECONDS = 10
KILOBYTES = 1_500_000
SHARED = run_cases.SHARED / "cases"
RECORD = "r/kemb__toy/597ceae6317b/KorSTS.json"


@dataclass(frozen=True)
class Target:
    """A file, how it is broken, and the commands that read it.

    :param folder: with the seed and what else the commands need, below the shared cases.
    :param file: the one that is broken.
    """

    folder: str
    file: str
    broken: Callable[[bytes], st.SearchStrategy[bytes]]
    commands: tuple[str, ...]
    server: str = "light"


TARGETS = {
    "table-import": Target(
        "field/10-import-leaderboard-v2-header",
        "README.md",
        foreign.text_files,
        ("import table README.md --benchmark ko-leaderboard-v2 --results out --name x",),
    ),
    "table-audit": Target(
        "field/11-import-header-one-name-too-many",
        "README.md",
        foreign.text_files,
        ("audit README.md", "audit README.md --json"),
    ),
    "card": Target(
        "hostile/I-03-card-bad-date-value/in",
        "d.md",
        foreign.text_files,
        ("audit d.md", "import card d.md --results r"),
    ),
    "csv": Target("hostile/A-2-401loc/in", "d/test.csv", foreign.text_files, ("check d",)),
    "corpus": Target("hostile/E-01-06/in", "d/corpus.jsonl", foreign.text_files, ("check d",)),
    "qrels": Target("hostile/E-01-06/in", "d/qrels/test.tsv", foreign.text_files, ("check d",)),
    "recipe": Target(
        "hostile/R-10-mine-none/in",
        "t.toml",
        foreign.text_files,
        ("train t.toml --dry-run",),
        "torch",
    ),
    "record": Target(
        "hostile/J-07-broken-symlink/in",
        RECORD,
        foreign.json_files,
        ("board --results r --format json", "verify toy --items-only --results r"),
    ),
    "model-config": Target(
        "hostile/M-50-unreadable/in",
        "m/config.json",
        foreign.json_files,
        ("run d -m m --store s --results out --json",),
        "torch",
    ),
    "modules": Target(
        "hostile/M-50-unreadable/in",
        "m/modules.json",
        foreign.json_files,
        ("run d -m m --store s --results out --json",),
        "torch",
    ),
}

UNMENDED: dict[str, str] = {
    "table-import": "control characters of a table's header reach the terminal",
    "card": "a date that is none ends with a traceback of the YAML reader",
    "qrels": "control characters of a column's name reach the terminal (check)",
    "record": "a deeply nested record ends with a RecursionError",
    "model-config": "a deeply nested config.json ends with a RecursionError",
    "modules": "a deeply nested modules.json ends with a RecursionError",
}
"""The targets that do not hold yet, each with its reason."""


@pytest.fixture(scope="module")
def runner(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[run_cases.Runner]:
    made = run_cases.Runner(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


def _targets() -> list[object]:
    marks = {
        name: [pytest.mark.xfail(strict=False, raises=AssertionError, reason=reason)]
        for name, reason in UNMENDED.items()
    }
    return [pytest.param(name, marks=marks.get(name, []), id=name) for name in TARGETS]


@pytest.mark.parametrize("name", _targets())
def test_a_broken_file(name: str, runner: run_cases.Runner, tmp_path: Path) -> None:
    target = TARGETS[name]
    seed = (SHARED / target.folder / target.file).read_bytes()
    runner.wait_for(target.server)
    end = time.monotonic() + SECONDS / len(TARGETS)

    failing: set[bytes] = set()

    @settings(
        max_examples=1_000_000 if SECONDS > 60 else 2_000,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        deadline=None,
        derandomize=SECONDS <= 60,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.broken(seed))
    def holds(content: bytes) -> None:
        if time.monotonic() > end and content not in failing:
            return  # what failed is tried again for the report, however late it is
        failing.add(content)
        _try(target, content, runner, tmp_path)
        failing.discard(content)

    holds()


def _try(target: Target, content: bytes, runner: run_cases.Runner, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    shutil.copytree(SHARED / target.folder, folder, dirs_exist_ok=True)
    run_cases.make_writable(folder)
    (folder / target.file).write_bytes(content)
    for command in target.commands:
        before = _files(folder)
        call = runner.ask(target.server, command.split(), folder, CPU_SECONDS)
        faults = list(case_checks.sound_call(call))
        assert not faults, (command, faults, call.err[-1500:])
        assert call.peak_kilobytes < KILOBYTES, (command, call.peak_kilobytes)
        if call.exit:
            assert _files(folder) == before, f"{command} was refused and wrote"
    shutil.rmtree(folder)


def _files(folder: Path) -> dict[str, int]:
    """The files with their sizes; the store of vectors may grow."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in paths}
    return {name: size for name, size in sizes.items() if not name.startswith(("s/", "home/"))}
