"""A killed command that is typed again ends as if nobody had killed it (`run_kills.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import run_cases
import run_kills

pytestmark = [pytest.mark.shared, pytest.mark.slow]

KILLS = {"run-light": 2, "train": 1, "site": 1, "table": 2, "submission": 2, "gc": 1, "gc-model": 1}
SEED = 1


@pytest.fixture(scope="module")
def runner(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[run_cases.Runner]:
    made = run_cases.Runner(tmp_path_factory.mktemp("kills"))
    yield made
    made.close()


def test_ten_kills_over_all_verbs() -> None:
    assert sum(KILLS.values()) == 10
    assert {run_kills.VERBS[name].command.split()[0] for name in KILLS} == {
        verb.command.split()[0] for verb in run_kills.VERBS.values()
    }


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_command_is_typed_again(name: str, runner: run_cases.Runner) -> None:
    lines: list[str] = []
    tally = run_kills.kill_and_repeat(name, KILLS[name], SEED, runner, lines.append)
    assert tally.faults == []
    assert tally.n_kills == KILLS[name], lines
