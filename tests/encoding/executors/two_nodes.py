"""A small Ray cluster on loopback for tests, whose actors and nodes can be killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from kemb.encoding.executors.session import QUIET

os.environ |= QUIET  # read when ray is imported
HERE = Path(__file__).resolve().parent
SRC = HERE.parents[2] / "src"
OBJECT_STORE = 78 << 20
"""Bytes; Ray takes no less than 75 MB."""


class TwoNodes:
    """A head without CPUs, and two nodes with one each."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        """
        :param folder: for the log of what the nodes write, and their pretended packages.
        :param variables: of the nodes' environment.
        """
        from ray.cluster_utils import Cluster

        self.folder = folder
        self.log = folder / "writes.log"
        self.log.touch()
        self.gate = folder / "gate"
        """While it is there, groups wait before they are written."""
        self.variables = dict(variables or {})
        self.cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": OBJECT_STORE,
                "include_dashboard": False,
            },
        )
        self.nodes = [self.add("a"), self.add("b")]

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, name: str, slow: float = 0.0, packages: str = "") -> Any:  # noqa: ANN401  Ray's
        """A node.

        :param slow: seconds that every group takes longer on it.
        :param packages: a folder of packages that hide the true ones.
        """
        path = os.pathsep.join(filter(None, [str(HERE / "node_site"), packages, str(SRC)]))
        environment = {
            "PYTHONPATH": path,
            "KEMB_TEST_LOG": str(self.log),
            "KEMB_TEST_GATE": str(self.gate),
            "KEMB_TEST_SLOW": str(slow),
            "KEMB_TEST_NODE": name,
            "NO_PROXY": "127.0.0.1",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            **self.variables,
        }
        before = {name: os.environ.get(name) for name in environment}
        os.environ |= environment
        try:
            return self.cluster.add_node(
                num_cpus=1, object_store_memory=OBJECT_STORE, memory=8 << 30
            )
        finally:
            for variable, value in before.items():
                os.environ.pop(variable)
                if value is not None:
                    os.environ[variable] = value

    def kill(self, number: int) -> None:
        """Kill a node and all that has written on it; Ray alone would let actors go on a while."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)
        for pid in {int(pid) for _, pid, name in self.writes() if name == "ab"[number]}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def replace(self, number: int, slow: float = 0.0, packages: str = "") -> None:
        """Kill a node, unless it is gone, and start another in its place; in the main thread alone.

        :param slow: as of `add`.
        :param packages: as of `add`.
        """
        if self.nodes[number] in self.cluster.list_all_nodes():
            self.kill(number)
        self.nodes[number] = self.add("ab"[number], slow, packages)

    def actors(self) -> list[int]:
        """Processes that are actors of kemb now."""
        processes = psutil.Process().children(recursive=True)
        titles = []
        for process in processes:
            with contextlib.suppress(psutil.Error):
                titles.append((process.pid, " ".join(process.cmdline())))
        return [pid for pid, title in titles if title.startswith("ray::Encoding")]

    def kill_an_actor(self, draw: random.Random) -> bool:
        """Kill one, if there is any."""
        pids = self.actors()
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(pids), signal.SIGKILL)
        return bool(pids)

    def writes(self) -> list[list[str]]:
        """Number, process and node of every group that was about to be written."""
        return [line.split() for line in self.log.read_text("utf-8").splitlines()]

    def have_both_begun(self) -> bool:
        """Whether both nodes have a group that was about to be written."""
        return {name for *_, name in self.writes()} == {"a", "b"}

    @contextlib.contextmanager
    def shut(
        self, until: Callable[[], bool], act: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """Shut the gate until something holds; then do something, and open it."""

        def act_and_open() -> None:
            try:
                act()
            finally:
                self.gate.unlink()

        self.gate.touch()
        with meanwhile(act_and_open, until):
            yield

    def forget(self) -> None:
        """Begin the log anew."""
        self.log.write_text("", encoding="utf-8")

    def close(self) -> None:
        self.cluster.shutdown()


@contextlib.contextmanager
def meanwhile(act: Callable[[], object], until: Callable[[], bool]) -> Iterator[threading.Thread]:
    """Do something in a thread as soon as a condition holds."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not until() and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
