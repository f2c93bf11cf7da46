"""Ends by signals, and signs of life where stderr is no terminal."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EVERY_SECONDS = 0.2
START = """
import io, os, signal, sys, threading, time
signal.signal(signal.SIGINT, {sigint})
written = threading.Semaphore(0)
class Stderr(io.TextIOWrapper):
    def write(self, text):
        super().write(text)
        self.flush()
        for line in text.splitlines():
            written.release()
        return len(text)
def lines(n):
    for _ in range(n):
        assert written.acquire(timeout=50)
sys.stderr = Stderr(sys.stderr.buffer, encoding="utf-8")
sys.argv = ["kemb", "run"]
import kemb.cli as cli
from kemb.publishing import progress
progress.EVERY_SECONDS = {every}
def work(**settings):
    {work}
cli.cli.main = work
cli.main()
"""


def ended(
    work: str, sigint: str = "signal.default_int_handler", every: float = EVERY_SECONDS
) -> tuple[int, str]:
    """Exit code and stderr of `kemb run` that does nothing but `work`, which may wait for `lines`
    on stderr: no test depends on how fast they come.
    """
    script = START.format(work=work, sigint=sigint, every=every)
    command = [sys.executable, "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return process.returncode, process.stderr


@pytest.mark.parametrize(
    ("number", "first"), [(signal.SIGINT, "Interrupted."), (signal.SIGTERM, "Ended by a signal.")]
)
def test_a_signal_ends_with_one_sentence(number: signal.Signals, first: str) -> None:
    code, errors = ended(f"os.kill(os.getpid(), {int(number)}); time.sleep(9)")
    assert code == 128 + number
    assert errors.startswith(f"{first} What was finished is kept")
    assert errors.count("\n") == 1


def test_where_ctrl_c_is_ignored_the_user_is_told_and_sigterm_ends_it() -> None:
    work = "os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGTERM)"
    code, errors = ended(f"lines(3); {work}; time.sleep(9)", "signal.SIG_IGN")
    assert code == 143
    assert errors.count("Ctrl-C is ignored here") == 1
    assert "kill " in errors.splitlines()[0]


def test_a_command_that_takes_long_says_so_into_a_pipe() -> None:
    assert ended("pass", "signal.SIG_IGN", every=600) == (0, "")
    start = time.monotonic()
    code, errors = ended("lines(3)")
    elapsed = time.monotonic() - start
    assert code == 0
    lines = errors.splitlines()
    assert {re.sub(r"\d+", "N", line) for line in lines} == {"kemb run: at work for N s"}
    assert 3 <= len(lines) <= elapsed / EVERY_SECONDS


def test_output_to_a_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "kemb", "benchmarks"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert process.returncode == 1
    assert process.stderr.startswith("Error: The output cannot be written (")
    assert process.stderr.count("\n") == 1


def test_what_the_system_refuses_is_one_line_and_no_traceback() -> None:
    name = "질문" * 100  # 600 bytes; no file system takes a name of more than 255
    process = subprocess.run(
        [sys.executable, "-m", "kemb", "run", f"./{name}/x", "-m", "toy"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert process.returncode in (1, 2)
    assert process.stderr.startswith("Error: ")
    assert name in process.stderr
    assert "Traceback" not in process.stderr
