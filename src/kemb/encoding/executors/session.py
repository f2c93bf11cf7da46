"""A Ray cluster as a command uses it: connected to without a word on the screen, and how many
actors of which size it is to have.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kemb.errors import MissingExtra, UsageError
from kemb.messages import Text

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": r"\A",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""No usage reports; no lines of raylets, which Ray prints to stdout even without `log_to_driver`;
no warning about CUDA_VISIBLE_DEVICES.
"""
_CONNECT_SECONDS = 5.0
_GB = 1 << 30


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the command line says of a cluster."""

    address: str
    """`auto` for the one that this machine is part of, or HOST:PORT."""
    n_actors: int | None = None
    gpus_per_actor: float | None = None
    mixed_devices: bool = False
    """Whether actors on unequal devices share one plan."""


class Node(NamedTuple):
    """What a living node of the cluster offers."""

    n_cpus: float
    n_gpus: float
    memory: float


class Pool(NamedTuple):
    """How many actors, and what each of them holds."""

    n_actors: int
    n_cpus: int
    """And threads: the same for all, as they may change the last bit."""
    n_gpus: float


@dataclass(frozen=True, slots=True)
class Session:
    """A cluster that this process is connected to."""

    options: ClusterOptions
    pool: Pool
    hear: Callable[[Text], object]
    """Gets what a user must know of actors that are lost, refused or missing."""

    @property
    def device(self) -> str:
        """The kind of device of the actors; the driver's is never asked."""
        return "cuda" if self.pool.n_gpus else "cpu"


def connect(options: ClusterOptions, hear: Callable[[Text], object]) -> Session:
    """Connect to a cluster that runs, unless this process is connected already.

    :raises MissingExtra: ray is not installed.
    :raises UsageError: no cluster is there, or it has less than what was asked for.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--cluster", "ray") from error
    if not ray.is_initialized():
        _refuse_unreachable(options.address)
        try:
            ray.init(
                address=options.address,
                namespace="kemb",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=True,
            )
        except Exception as error:  # Ray has many, of connections, versions and sessions
            reason = " ".join(str(error).split())[:300]
            raise UsageError(
                f"--cluster {options.address}: no Ray cluster can be used there ({reason}). Start "
                "one with `ray start --head`, and on further machines `ray start "
                "--address=HOST:6379`; `kemb docs cluster` has the steps."
            ) from error
    nodes = [_node(entry) for entry in living_nodes()]
    return Session(options, pool_of(nodes, options), hear)


def living_nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster that answer, as Ray describes them."""
    import ray

    entries: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [entry for entry in entries if entry["Alive"]]


def _refuse_unreachable(address: str) -> None:
    """Refuse an address in seconds; Ray itself would wait for minutes, and print.

    :raises UsageError: nobody listens there, or it is none.
    """
    if address in ("auto", "local"):
        if address == "local":
            raise UsageError(
                "--cluster local is not known. On one machine use --workers or --device "
                "cuda:0,cuda:1, or start a cluster with `ray start --head` and type --cluster auto."
            )
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UsageError(
            f"--cluster {address} is no address of a cluster: type auto, or HOST:PORT of its head "
            "(6379, mostly), on a machine that is part of it. From outside send the whole command "
            "with `ray job submit`."
        )
    try:
        with contextlib.closing(
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS)
        ):
            return
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--cluster {address}: nothing answers there ({error}). Look at the address of the "
            "head, start it with `ray start --head`, or type --cluster auto on one of its machines."
        ) from error


def _node(entry: dict[str, Any]) -> Node:
    resources = entry["Resources"]
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", 0.0))


def pool_of(nodes: Sequence[Node], options: ClusterOptions) -> Pool:
    """The actors that a cluster is to have: one per GPU, or one per machine without GPUs, unless
    they are counted.

    :raises UsageError: what is asked for is more than what there is.
    """
    n_gpus = sum(node.n_gpus for node in nodes)
    share = options.gpus_per_actor if options.gpus_per_actor is not None else float(n_gpus > 0)
    if share > 1:
        raise UsageError(
            f"--gpus-per-actor {share:g} is not possible: a model lies on one GPU. Type 1, a share "
            "of a GPU (0.5), or 0 for the CPUs."
        )
    n_places = sum(int(node.n_gpus / share + 1e-6) for node in nodes) if share else 0
    hosts = [node for node in nodes if (node.n_gpus >= share if share else node.n_cpus >= 1)]
    n_actors = options.n_actors or (n_places if share else len(hosts))
    if (share and n_actors > n_places) or not n_actors:
        n_needed = max(n_actors, 1) * share
        raise UsageError(
            f"{max(n_actors, 1)} actors with {share:g} GPUs each need {n_needed:g}, and the "
            f"cluster has {n_gpus:g}. Type fewer --actors, --gpus-per-actor 0 for its CPUs, or add "
            "nodes with `ray start --address=HOST:6379`."
            if share
            else "The cluster has no CPU to run an actor on. Its nodes were started by `ray start "
            "--num-cpus=0`; start them without that option."
        )
    if share:
        per_node = [node.n_cpus / max(1, int(node.n_gpus / share + 1e-6)) for node in hosts]
        return Pool(n_actors, max(1, int(min(per_node))), share)
    n_cpus = int(sum(node.n_cpus for node in hosts))
    if n_actors > n_cpus:
        raise UsageError(
            f"{n_actors} actors need a CPU each, and the cluster has {n_cpus}. Type --actors "
            f"{n_cpus} or fewer, or add nodes with `ray start --address=HOST:6379`."
        )
    size = int(min(node.n_cpus for node in hosts))
    while sum(int(node.n_cpus // size) for node in hosts) < n_actors:
        size -= 1
    return Pool(n_actors, size, 0.0)
