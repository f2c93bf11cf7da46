"""The rules of the suite itself: what a quick run leaves out, and what it fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODULE = """
import pytest

def test_plain(): ...

def test_unmarked():
    import torch

@pytest.mark.torch
def test_marked(): ...

@pytest.mark.slow
def test_slow(): ...

def test_asks_whether_it_is_there():
    import importlib.util
    assert importlib.util.find_spec("torch")

def test_of_a_model(minilm): ...
"""
WHOLE = """
import pytest, torch

pytestmark = [pytest.mark.shared, pytest.mark.torch]
"""


def test_a_quick_run_leaves_out_marked_tests_and_fails_unmarked_imports_of_torch(
    tmp_path: Path,
) -> None:
    for name in ("conftest.py", "browser.py", "sentences.py"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "test_a.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "test_whole.py").write_text(WHOLE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  torch\n  slow\n  shared\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quick", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert re.search("1 failed, 2 passed, 3 deselected", done.stdout), done.stdout
    assert "FAILED test_a.py::test_unmarked - Failed: a quick test imports torch" in done.stdout


def test_tests_of_a_module_share_a_worker_and_so_do_modules_that_read_the_shared_store(
    tmp_path: Path,
) -> None:
    for name in ("conftest.py", "browser.py", "sentences.py"):
        shutil.copy(HERE / name, tmp_path)
    tests = "".join(f"def test_{number}(): ...\n" for number in range(6))
    for name in "abcd":
        reads = "# shared_store\n" if name in "ad" else ""
        (tmp_path / f"test_{name}.py").write_text(reads + tests, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  torch\n  slow\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-n", "2"]
    done = subprocess.run(
        [*command, "--dist", "loadscope", "--no-loadscope-reorder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    ran = re.findall(r"\[(gw\d)\] .* PASSED test_(\w)\.py", done.stdout)
    assert len(ran) == 24, done.stdout
    workers = {name: {worker for worker, module in ran if module == name} for name in "abcd"}
    assert all(len(found) == 1 for found in workers.values()), workers
    assert workers["a"] == workers["d"]
