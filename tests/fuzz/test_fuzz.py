"""A stranger's file gives a result or one paragraph, in bounded time and memory, and a refusal
writes nothing.

Seeds come from cases/hostile. 45 seconds in all; `make fuzz` takes as long as it is told.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import run_cases
import targets

pytestmark = [pytest.mark.shared, pytest.mark.slow]

SECONDS = float(os.environ.get("KEMB_FUZZ_SECONDS", "45"))
IN_THE_SUITE = SECONDS <= 60


@pytest.fixture(scope="module")
def runner(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[run_cases.Runner]:
    made = run_cases.Runner(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_broken_file(name: str, runner: run_cases.Runner, tmp_path: Path) -> None:
    target = targets.TARGETS[name]
    runner.wait_for(target.server)
    seed = targets.seed_of(name, runner)
    end = time.monotonic() + SECONDS / len(targets.TARGETS)
    failures: list[bytes] = []
    n_tried = 0

    @settings(
        max_examples=100 if IN_THE_SUITE else 1_000_000,
        report_multiple_bugs=False,
        phases=[Phase.generate],  # to make a failure small takes minutes
        deadline=None,
        derandomize=IN_THE_SUITE,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def holds(chance: random.Random) -> None:
        nonlocal n_tried
        content = target.breaker(chance, seed)
        if time.monotonic() > end and not failures:
            return  # what failed is tried again for the report, however late it is
        n_tried += 1
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for call, faults in targets.calls_of(target, content, runner, folder):
            if faults:
                failures.append(content)
            assert not faults, (call.arguments, faults, content[:1500], call.err[-1500:])
        shutil.rmtree(folder)

    holds()
    assert n_tried > 0
