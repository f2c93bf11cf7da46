"""How many actors of which size, and what is said where a cluster cannot give them."""

from __future__ import annotations

import socket

import pytest

from kemb.cli import cli
from kemb.encoding.executors.session import ClusterOptions, Node, Pool, connect, pool_of
from kemb.errors import MissingExtra, UsageError

GB = float(1 << 30)
LAPTOP = [Node(8, 0, 16 * GB)]
EIGHT_GPUS = [Node(64, 8, 900 * GB)]
HEAD = Node(0, 0, GB)


@pytest.mark.parametrize(
    ("nodes", "n_actors", "gpus", "pool"),
    [
        (LAPTOP, None, None, Pool(1, 8, 0)),
        (LAPTOP, 4, None, Pool(4, 2, 0)),
        (LAPTOP, 3, None, Pool(3, 2, 0)),
        ([HEAD, *LAPTOP, *LAPTOP], None, None, Pool(2, 8, 0)),
        ([Node(4, 0, GB), Node(16, 0, GB)], None, None, Pool(2, 4, 0)),
        ([Node(4, 0, GB), Node(16, 0, GB)], 5, None, Pool(5, 4, 0)),
        (EIGHT_GPUS, None, None, Pool(8, 8, 1)),
        ([*EIGHT_GPUS, HEAD], 3, None, Pool(3, 8, 1)),
        (EIGHT_GPUS, None, 0.5, Pool(16, 4, 0.5)),
        (EIGHT_GPUS, None, 0.0, Pool(1, 64, 0)),
    ],
)
def test_pools(nodes: list[Node], n_actors: int | None, gpus: float | None, pool: Pool) -> None:
    assert pool_of(nodes, ClusterOptions("auto", n_actors, gpus)) == pool


@pytest.mark.parametrize(
    ("nodes", "n_actors", "gpus", "message"),
    [
        (LAPTOP, 4, 1.0, r"4 actors with 1 GPUs each need 4, and the cluster has 0\. Type fewer"),
        (EIGHT_GPUS, 9, None, r"9 actors with 1 GPUs each need 9, and the cluster has 8"),
        (LAPTOP, 9, None, r"9 actors need a CPU each, and the cluster has 8\. Type --actors 8"),
        (LAPTOP, None, 4.0, r"--gpus-per-actor 4 is not possible: a model lies on one GPU"),
        ([HEAD], None, None, "no CPU to run an actor on"),
        # 1.5 GPUs hold one actor with a whole GPU.
        ([Node(4, 0.5, GB), Node(4, 1, GB)], 2, 1.0, "2 actors with 1 GPUs each need 2"),
    ],
)
def test_pools_that_are_not_there(
    nodes: list[Node], n_actors: int | None, gpus: float | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pool_of(nodes, ClusterOptions("auto", n_actors, gpus))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://host:10001", "no address of a cluster.*ray job submit"),
        ("host", "no address of a cluster"),
        ("local", "--cluster local is not known"),
    ],
)
def test_addresses_that_are_none(address: str, message: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=message):
        connect(ClusterOptions(address), print)


def test_an_address_where_nobody_listens_is_one_sentence() -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match=f"--cluster 127.0.0.1:{port}: nothing answers there"):
        connect(ClusterOptions(f"127.0.0.1:{port}"), print)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r'pip install "kemb\[ray\]"'):
        connect(ClusterOptions("auto"), print)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--actors", "2"], "--actors cannot stand without --cluster"),
        (["--mixed-devices", "--gpus-per-actor", "0"], "--gpus-per-actor and --mixed-devices"),
        (["--cluster", "auto", "--workers", "2"], "leave out --workers and --device"),
        (["--cluster", "auto", "--device", "cuda:1"], "leave out --workers and --device"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cli.main(["run", "KorSTS", "-m", "toy", *words], standalone_mode=False)
