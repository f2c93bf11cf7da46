"""Run the cases of the shared folder and say which behave as their expected.md says.

    python tests/cases/run_cases.py [-v] [NAME...]

Every case runs its own run.sh in a copy; `kemb` and `python` in it are `case_client.py`, which
records each call. What is right stands in `case_rights.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import case_rights
import case_scripts
from case_client import ask_server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHARED = Path(os.environ.get("KEMB_SHARED", ROOT.parent / "shared"))
GROUPS = {"field": "cases/field", "hostile": "cases/hostile", "training": "training/cases"}
TRAINING = ("16", "35", "61")  # the others are asked for elsewhere
WIDTH = 5  # cases at a time: some wait for a slow server, and do not compute
START_SECONDS = 120


@dataclass(frozen=True)
class Call:
    """One call of kemb, as the client recorded it."""

    arguments: list[str]
    folder: str
    exit: int
    out: str
    err: str
    seconds: float
    cpu_seconds: float = 0.0
    peak_kilobytes: int = 0
    lost: bool = False

    @property
    def verb(self) -> str:
        """The words before the first option, for messages."""
        return " ".join(self.arguments[:2])


@dataclass(frozen=True)
class Outcome:
    """What a case did: the output of its script, and every call of kemb in it."""

    name: str
    folder: Path
    exit: int
    out: str
    err: str
    seconds: float
    stopped: bool
    calls: list[Call] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def call(self, *words: str) -> list[Call]:
        """The calls whose arguments begin with these words."""
        return [call for call in self.calls if tuple(call.arguments[: len(words)]) == words]


def case_folders() -> dict[str, Path]:
    """Every case by name; empty where the shared folder is missing."""
    folders: dict[str, Path] = {}
    for group, path in GROUPS.items():
        for script in sorted((SHARED / path).glob("*/run.sh")):
            name = script.parent.name
            if group != "training" or name.startswith(TRAINING):
                folders[f"{group}/{name}"] = script.parent
    return folders


class Runner:
    """Two servers, a folder, and a pool of threads that each run one case at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = _programs(folder / "bin")
        self._servers: dict[str, tuple[Path, subprocess.Popen[bytes]]] = {}
        self._pool = ThreadPoolExecutor(WIDTH)
        for kind in ("light", "torch"):
            socket = Path(tempfile.mkdtemp(prefix="kemb-case-")) / kind  # a socket's path is short
            socket.parent.chmod(0o755)
            home = folder / f"home-{kind}"
            home.mkdir()
            command = [sys.executable, str(HERE / "case_server.py"), str(socket), kind]
            environment = _server_environment(home)
            with (folder / f"{kind}.log").open("wb") as log:
                process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
                )
            self._servers[kind] = (socket, process)

    def close(self) -> None:
        """End the servers; what is still running is stopped by its own limit."""
        self._pool.shutdown(cancel_futures=True)
        for socket, process in self._servers.values():
            process.communicate()  # the end of its input ends it
            shutil.rmtree(socket.parent, ignore_errors=True)

    def submit(self, name: str) -> Future[Outcome]:
        """Run one case when a thread is free."""
        return self._pool.submit(self.run, name)

    def run(self, name: str) -> Outcome:
        """Copy a case, run it, and collect what it said and did."""
        right = case_rights.RIGHTS[name]
        place = _copy(name, self.folder / name.replace("/", "-"))
        environment = self._environment(place, self._server(right.server), right)
        if right.prepare:
            right.prepare(place, environment)
        if right.script:
            return self._collect(name, place, *right.script(place, environment))
        start = time.monotonic()
        command = ["bash", "./run.sh"]
        out, err = place.root / "out.log", place.root / "err.log"
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                command,
                cwd=place.case,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                start_new_session=True,
            )
            try:
                code, stopped = process.wait(right.seconds), False
            except subprocess.TimeoutExpired:
                code, stopped = -9, True
            try:  # a case's stub servers end with it
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        seconds = time.monotonic() - start
        texts = [path.read_bytes().decode("utf-8", "replace") for path in (out, err)]
        return self._collect(name, place, code, texts[0], texts[1], seconds, stopped)

    def ask(
        self,
        kind: str,
        arguments: list[str],
        folder: Path,
        cpu_seconds: int = 0,
        kill_after: float | None = None,
    ) -> Call:
        """One call of kemb without a script around it, as fast as it can be had.

        :param kill_after: seconds after which it is killed.
        """
        environment = self.environment_of(kind, folder)
        socket = self._server(kind)
        report = ask_server(socket, arguments, str(folder), environment, cpu_seconds, kill_after)
        return Call(**report)

    def environment_of(self, kind: str, folder: Path) -> dict[str, str]:
        """What a call without a script finds in its environment; its home lies in its folder."""
        home = folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **{"HOME": str(home), "XDG_CACHE_HOME": str(home), "KEMB_STORE": str(folder / "s")},
            **{"HF_HUB_OFFLINE": "1", "PATH": f"{self._programs}:{os.environ['PATH']}"},
            **{"NO_COLOR": "1", "COLUMNS": "160", "TOKENIZERS_PARALLELISM": "false"},
            **{"TMPDIR": str(home), "OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO,STRICT"},
            **{"LANG": "C.UTF-8", "KEMB_CASE_SERVER": self._server(kind)},
        }

    def wait_for(self, kind: str) -> None:
        """Return when a server is ready."""
        self._server(kind)

    def _collect(
        self,
        name: str,
        place: case_scripts.Place,
        code: int,
        out: str,
        err: str,
        seconds: float,
        stopped: bool,
        facts: dict[str, Any] | None = None,
    ) -> Outcome:
        records = sorted(place.calls.glob("*.json"), key=lambda path: path.name)
        calls = [Call(**json.loads(path.read_text("utf-8"))) for path in records]
        return Outcome(name, place.root, code, out, err, seconds, stopped, calls, facts or {})

    def _server(self, kind: str) -> str:
        if kind == "none":
            return ""
        socket, process = self._servers[kind]
        deadline = time.monotonic() + START_SECONDS
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / f"{kind}.log").read_text("utf-8")
                raise RuntimeError(f"the server {kind} did not start: {log[-2000:]}")
            time.sleep(0.05)
        return str(socket)

    def _environment(
        self, place: case_scripts.Place, socket: str, right: case_rights.Right
    ) -> dict[str, str]:
        client = self._programs
        environment = {
            "PATH": f"{client}:{os.environ['PATH']}",
            "HOME": str(place.root / "home"),
            "LANG": "C.UTF-8",
            "TMPDIR": str(place.temporary),
            "KEMB": str(client / "kemb"),
            "PY": sys.executable,
            "KEMB_CASE_SERVER": socket,
            "KEMB_CASE_CALLS": str(place.calls),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BASE": str(place.group / "mini-base"),
        }
        if right.cpu_seconds:
            environment["KEMB_CASE_CPU"] = str(right.cpu_seconds)
        if right.server == "none":
            environment["KEMB_CASE_REAL"] = f"{sys.executable} -m kemb"
        return environment


def _programs(folder: Path) -> Path:
    """Make the programs a script calls."""
    folder.mkdir(parents=True)
    for name, program in (("kemb", "kemb"), ("python", "python")):
        path = folder / name
        start = f'exec "{sys.executable}" -I -S "{HERE / "case_client.py"}" {program}'
        path.write_text(f'#!/bin/sh\n{start} "$@"\n', "utf-8")
        path.chmod(0o755)
    # Another user may not be allowed to start this Python; the server's fork changes its own user.
    path = folder / "setpriv"
    path.write_text('#!/bin/sh\nexport KEMB_CASE_USER=65534\nshift 3\nexec "$@"\n', "utf-8")
    path.chmod(0o755)
    return folder


def _server_environment(home: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "KEMB_SHARED") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {
        **inherited,
        **threads,
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "LANG": "C.UTF-8",
        "MKL_CBWR": "AUTO,STRICT",
        "NO_COLOR": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _copy(name: str, root: Path) -> case_scripts.Place:
    """A case and what its script names, in the places in which the script looks for them."""
    group, _, case = name.partition("/")
    path = Path(GROUPS[group])
    copied = root / path
    copied.mkdir(parents=True)
    for sibling in (SHARED / path).iterdir():
        if sibling.name == case:
            shutil.copytree(sibling, copied / case, symlinks=True)
        else:
            (copied / sibling.name).symlink_to(sibling)
    outer = SHARED / path.parent / "env.sh"
    if outer.exists():
        shutil.copy(outer, copied.parent / "env.sh")
    (copied / "mini-base").symlink_to(SHARED / "cases/hostile/data/mini-st")
    make_writable(copied / case)
    # Deep, so that a path that climbs eight folders stays in the case's own.
    temporary = root / "t/t/t/t/t/t"
    temporary.mkdir(parents=True)
    calls = root / "calls"
    for folder in (calls, root / "home"):
        folder.mkdir()
        folder.chmod(0o777)
    for folder in (root, *temporary.parents):
        if folder.is_relative_to(root):
            folder.chmod(0o755)
    return case_scripts.Place(root, copied, copied / case, temporary, calls)


def make_writable(folder: Path) -> None:
    """Let a copy from the read-only shared folder be changed."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)


def run_all(names: Iterable[str], folder: Path) -> Iterator[tuple[str, Outcome, list[str]]]:
    """Each case with its outcome and what is wrong with it, in order of name."""
    runner = Runner(folder)
    try:
        futures = {name: runner.submit(name) for name in case_rights.slowest_first(names)}
        for name in sorted(futures):
            outcome = futures[name].result()
            yield name, outcome, case_rights.faults(outcome)
    finally:
        runner.close()


def main() -> None:
    """Print a line per case; exit 1 where one is wrong that is not marked so, or the reverse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="what every call said")
    parser.add_argument("-k", "--keep", type=Path, help="a new folder to run in, which is kept")
    parser.add_argument("names", nargs="*", help="parts of the names of cases")
    options = parser.parse_args()
    names = [n for n in case_folders() if not options.names or any(p in n for p in options.names)]
    surprises = 0
    start = time.monotonic()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="kemb-cases-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for name, outcome, faults in run_all(names, folder):
        mark = case_rights.reason(name)
        word = "wrong" if faults else "right"
        surprises += bool(faults) != bool(mark)
        note = "" if bool(faults) == bool(mark) else "  <- marked otherwise"
        print(f"{word}  {name}  {outcome.seconds:.1f} s{note}")
        for fault in faults:
            print(f"       {fault}")
        if options.verbose:
            _print_calls(outcome)
    print(f"{len(names)} cases in {time.monotonic() - start:.0f} s, {surprises} surprises")
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(surprises > 0)


def _print_calls(outcome: Outcome) -> None:
    for call in outcome.calls:
        shown = " ".join(call.arguments)[:150]
        print(f"   $ kemb {shown}  -> {call.exit}, {call.seconds:.1f} s, {call.peak_kilobytes} kB")
        for text in (call.out, call.err):
            for line in text.strip().splitlines()[-12:]:
                print(f"       | {line[:400]}")
    for text in (outcome.out, outcome.err):
        for line in text.strip().splitlines()[-25:]:
            print(f"   > {line[:300]}")


if __name__ == "__main__":
    main()
