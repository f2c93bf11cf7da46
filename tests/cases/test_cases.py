"""Every case of the shared folder behaves as its expected.md says (`run_cases.py` runs them)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

import case_rights
import case_unmended
import run_cases

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def _cases() -> Sequence[object]:
    cases: list[object] = []
    for name in case_rights.RIGHTS:
        reason = case_rights.reason(name)
        marks = (
            # Only what a check finds is expected: a server that does not start is an error.
            [pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)] if reason else []
        )
        cases.append(pytest.param(name, marks=marks, id=name))
    return cases


@pytest.fixture(scope="session")
def outcomes(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[run_cases.Outcome]]]:
    """The chosen cases, running side by side."""
    folder = tmp_path_factory.mktemp("cases")
    for parent in (folder, *folder.parents):
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)  # a case runs as nobody
    chosen = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_case.__name__
    ]
    runner = run_cases.Runner(folder)
    try:
        yield {name: runner.submit(name) for name in case_rights.slowest_first(chosen)}
    finally:
        runner.close()


def test_every_case_has_its_right(shared_data: Path) -> None:
    assert run_cases.case_folders().keys() == case_rights.RIGHTS.keys()


def test_every_unmended_case_is_one() -> None:
    assert case_unmended.UNMENDED.keys() <= case_rights.RIGHTS.keys()


@pytest.mark.parametrize("name", _cases())
def test_case(name: str, outcomes: dict[str, Future[run_cases.Outcome]]) -> None:
    if name in case_rights.NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("changes its user, which only root may")
    outcome = outcomes[name].result()
    assert case_rights.faults(outcome) == []
