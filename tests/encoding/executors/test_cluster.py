"""Groups on a Ray cluster of two nodes: the bytes of one process, whoever is killed; one process is
the oracle.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from two_nodes import OBJECT_STORE, SRC, TwoNodes, meanwhile

from endpoint_server import serving
from kemb.encoding import joining
from kemb.encoding.batches import Budget
from kemb.encoding.executors.cluster import IN_HAND, Cluster
from kemb.encoding.executors.session import ClusterOptions, Session, connect
from kemb.encoding.plan import JobOfTasks
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import Outcome, RunOptions, Silent, evaluate, load_task
from kemb.messages import Text, say
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

WORDS = (
    "서울 부산 대구 인천 광주 대전 울산 세종 학교 병원 도서관 시장 공원 극장 은행 우체국".split()
)
N_DOCUMENTS = 1500


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An S3 server, as variables of the environment say it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "kemb",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }
    server.stop()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, s3: dict[str, str]) -> Iterator[TwoNodes]:
    two = TwoNodes(tmp_path_factory.mktemp("nodes"), s3)
    yield two
    import ray

    ray.shutdown()
    two.close()


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def session(nodes: TwoNodes, heard: list[str]) -> Session:
    def hear(text: Text) -> None:
        heard.append(say(text, "en"))

    nodes.forget()
    return connect(ClusterOptions(nodes.address, n_actors=2), hear)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("data"), random.Random(7)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(4, 30))) for _ in range(N_DOCUMENTS)]
    (folder / "qrels").mkdir()
    corpus = [{"_id": f"d{n}", "text": f"{text} {n}"} for n, text in enumerate(texts)]
    queries = [{"_id": f"q{n}", "text": texts[n * 9][:20]} for n in range(100)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    judgments = "".join(f"q{n}\td{n * 9}\t1\n" for n in range(100))
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgments}", "utf-8")
    return folder


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Groups of 2,500 characters, and shards of about six groups of `toy`."""
    cut, n_bytes = joining.plan_shards, 300_000
    patch.setattr(Budget, "for_device", lambda device: Budget(2500, 1024, 64))
    patch.setattr(
        joining, "plan_shards", lambda groups, chars, rows: cut(groups, chars, rows, n_bytes)
    )


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def run(
    folder: Path, data: Path, model: Model, session: Session | None = None, name: str = "out"
) -> Outcome:
    options = RunOptions(folder / name, Store(folder / "store"), session=session)
    (outcome,) = evaluate([load_task(data)], [model], options, Silent())
    assert outcome.result is not None, outcome.message
    return outcome


def shards(folder: Path) -> list[str]:
    """Names of the shards, which are hashes of their bytes."""
    return sorted(path.name for path in (folder / "store").rglob("*.arrow"))


def n_groups(folder: Path) -> int:
    """As the driver of a cluster wrote it."""
    (path,) = (path for path in (folder / "store").glob("*/plans/*.json") if len(path.name) == 37)
    return int(json.loads(path.read_text("utf-8"))["n_groups"])


def items(folder: Path, name: str = "out") -> bytes:
    (path,) = (folder / name).rglob("*.items.parquet")
    return path.read_bytes()


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        run(folder, data, resolve("toy"))
    return folder


def test_the_bytes_are_those_of_one_process_and_both_nodes_did_some(
    nodes: TwoNodes, session: Session, data: Path, alone: Path, tmp_path: Path, heard: list[str]
) -> None:
    with nodes.shut(nodes.have_both_begun):
        outcome = run(tmp_path, data, resolve("toy"), session)
    assert shards(tmp_path) == shards(alone)
    assert n_groups(tmp_path) > 30
    assert 3 <= len(shards(alone)) < 10
    assert items(tmp_path) == items(alone)
    writes = nodes.writes()
    assert sorted(int(number) for number, *_ in writes) == list(range(n_groups(tmp_path)))
    assert {node for *_, node in writes} == {"a", "b"}
    assert heard == []
    assert outcome.result is not None
    assert not list((tmp_path / "store").rglob("*.lease"))[1:], "actors give their spaces back"


def test_killed_actors_are_replaced_and_what_they_had_is_done_again(
    nodes: TwoNodes, session: Session, data: Path, alone: Path, tmp_path: Path, heard: list[str]
) -> None:
    draw, n_kills = random.Random(1), 2
    kills = [draw.randint(2, 30) for _ in range(n_kills)]

    def kill() -> None:
        for n_writes in sorted(kills):
            while len(nodes.writes()) < n_writes:
                time.sleep(0.01)
            nodes.kill_an_actor(draw)

    with meanwhile(kill, lambda: True):
        run(tmp_path, data, resolve("toy"), session)
    assert shards(tmp_path) == shards(alone)
    assert items(tmp_path) == items(alone)
    n_writes = len(nodes.writes())
    assert n_groups(tmp_path) <= n_writes <= n_groups(tmp_path) + n_kills * IN_HAND
    assert len(heard) == n_kills
    assert all("another takes its place" in sentence for sentence in heard), heard


def test_a_node_that_is_gone_is_no_failure_of_its_group(
    nodes: TwoNodes, session: Session, data: Path, alone: Path, tmp_path: Path, heard: list[str]
) -> None:
    with nodes.shut(nodes.have_both_begun, lambda: nodes.kill(1)):
        run(tmp_path, data, resolve("toy"), session)
    nodes.replace(1)
    assert shards(tmp_path) == shards(alone)
    assert len(nodes.writes()) <= n_groups(tmp_path) + IN_HAND
    assert any("is gone" in sentence for sentence in heard), heard


def command(folder: Path, data: Path, address: str = "", store: str = "") -> list[str]:
    """One of one process, if no address is given."""
    paths = ["--store", store or str(folder / "store"), "--results", str(folder / "out")]
    cluster = ["--cluster", address, "--actors", "2"] if address else []
    return [sys.executable, "-m", "kemb", "run", str(data), "-m", "toy", *paths, *cluster, "--json"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(SRC)}


def test_the_driver_is_killed_and_the_same_command_goes_on_and_ray_says_nothing(
    nodes: TwoNodes, data: Path, tmp_path: Path
) -> None:
    nodes.forget()
    words = command(tmp_path, data, nodes.address)
    first = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL)
    while not shards(tmp_path):
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    killed = threading.Thread(target=lambda: nodes.kill_an_actor(random.Random(2)), daemon=True)
    second = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killed.start()
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    (cell,) = json.loads(out)  # nothing else stands there
    assert cell["status"] == "scored"
    lines = [line for line in err.splitlines() if not line.startswith("encoding toy")]
    assert all("An actor on the node" in line for line in lines), err
    # The command has groups of the size of a CPU, three in all.
    assert len(nodes.writes()) <= n_groups(tmp_path) + 2 * IN_HAND + IN_HAND


def test_objects_on_s3_are_the_shards_of_one_process_after_an_actor_was_killed(
    nodes: TwoNodes, s3: dict[str, str], data: Path, tmp_path: Path
) -> None:
    """The actor is killed between its first group's vectors and their object."""
    fs = s3fs_of(s3)
    fs.mkdir("cluster")
    local = command(tmp_path / "one", data)
    alone = subprocess.run(local, env=environment(), capture_output=True, text=True, check=False)
    assert alone.returncode == 0, alone.stderr
    nodes.forget()
    words = command(tmp_path / "several", data, nodes.address, "s3://cluster/store")
    variables = environment() | s3 | {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def kill() -> None:
        os.kill(int(nodes.writes()[0][1]), signal.SIGKILL)

    with nodes.shut(lambda: bool(nodes.writes()), kill):
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "another takes its place" in done.stderr
    assert "a-secret-of-the-test" not in done.stdout + done.stderr
    (cell,) = json.loads(done.stdout)
    assert cell["status"] == "scored"
    paths = [path for path in fs.find("cluster/store") if path.endswith(".arrow")]
    objects = {path.rpartition("/")[2]: fs.cat_file(path) for path in paths}
    files = (tmp_path / "one" / "store").rglob("*.arrow")
    assert objects == {path.name: path.read_bytes() for path in files}
    assert items(tmp_path / "several") == items(tmp_path / "one")
    numbers = [number for number, *_ in nodes.writes()]
    assert len(numbers) > len(set(numbers)), "the group of the actor was done again"
    assert not (tmp_path / "several" / "store").exists()


def s3fs_of(variables: dict[str, str]) -> Any:  # noqa: ANN401  s3fs has no types
    import s3fs

    return s3fs.S3FileSystem(
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        key=variables["AWS_ACCESS_KEY_ID"],
        secret=variables["AWS_SECRET_ACCESS_KEY"],
        skip_instance_cache=True,
        use_listings_cache=False,
    )


def test_two_drivers_on_one_store(
    session: Session, data: Path, alone: Path, tmp_path: Path
) -> None:
    faults: list[BaseException] = []

    def attempt(name: str) -> None:
        try:
            run(tmp_path, data, resolve("toy"), replace_actors(session, 1), name)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=attempt, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == []
    assert shards(tmp_path) == shards(alone)
    assert items(tmp_path, "one") == items(tmp_path, "two") == items(alone)


def replace_actors(session: Session, n_actors: int) -> Session:
    return replace(session, pool=session.pool._replace(n_actors=n_actors))


def test_unequal_devices_are_refused_by_name_unless_they_may_mix(
    session: Session, data: Path, alone: Path, tmp_path: Path
) -> None:
    """The plan's device is pretended: it stands in the store, as another command left it."""
    run(tmp_path, data, resolve("toy"), session)
    (path,) = (tmp_path / "store").rglob("*.device.json")
    device = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(device | {"device": "Z80"}), "utf-8")
    for shard in (tmp_path / "store").rglob("*.arrow"):
        shard.unlink()
    store = Store(tmp_path / "store")
    options = RunOptions(tmp_path / "b", store, session=session)
    (outcome,) = evaluate([load_task(data)], [resolve("toy")], options)
    assert outcome.status == "failed"
    assert "No node of the cluster can take part" in outcome.message
    assert "(here Z80)" in outcome.message
    mixed = replace(session, options=replace(session.options, mixed_devices=True))
    outcome = run(tmp_path, data, resolve("toy"), mixed, "c")
    assert outcome.result is not None
    hardware: Any = outcome.result.record.hardware
    assert hardware.mixed_devices == [device["device"]]
    assert {actor.device for actor in hardware.actors} == {device["device"]}
    assert shards(tmp_path) == shards(alone)


def test_a_node_with_other_libraries_is_refused_by_name(
    nodes: TwoNodes, session: Session, data: Path, alone: Path, tmp_path: Path, heard: list[str]
) -> None:
    pretended = tmp_path / "packages" / "tokenizers-0.0.1.dist-info"
    pretended.mkdir(parents=True)
    (pretended / "METADATA").write_text("Metadata-Version: 2.1\nName: tokenizers\nVersion: 0.0.1\n")
    nodes.replace(1, packages=str(pretended.parent))
    try:
        with nodes.shut(lambda: any("tokenizers" in sentence for sentence in heard)):
            run(tmp_path, data, resolve("toy"), session)
        assert shards(tmp_path) == shards(alone)
        assert {node for *_, node in nodes.writes()} == {"a"}
        assert any("tokenizers 0.0.1 (here " in sentence for sentence in heard), heard
    finally:
        nodes.replace(1)


def test_a_full_object_store_is_no_matter_as_only_numbers_are_sent(
    session: Session, data: Path, alone: Path, tmp_path: Path
) -> None:
    import numpy as np
    import ray
    from ray import cloudpickle

    pinned = [ray.put(np.zeros(30 << 20, dtype=np.uint8)) for _ in range(3)]
    assert len(pinned) * (30 << 20) > OBJECT_STORE
    run(tmp_path, data, resolve("toy"), session)
    assert shards(tmp_path) == shards(alone)
    task = load_task(data)
    assert task.elsewhere is not None
    sent = JobOfTasks(
        resolve("toy"), (), Store(tmp_path), ((task.spec, task.elsewhere),), Budget(1, 1, 1)
    )
    assert len(cloudpickle.dumps(sent)) < 100_000, "Ray keeps what is larger in the object store"


def test_a_slow_node_changes_nothing(
    nodes: TwoNodes, session: Session, data: Path, alone: Path, tmp_path: Path
) -> None:
    nodes.replace(1, slow=0.3)
    try:
        run(tmp_path, data, resolve("toy"), session)
        assert len(nodes.writes()) == n_groups(tmp_path)
        assert shards(tmp_path) == shards(alone)
    finally:
        nodes.replace(1)


def test_a_transformer_with_one_thread_is_bit_equal_to_one_process(
    session: Session, data: Path, tiny_st: Path, tmp_path: Path
) -> None:
    model = resolve(str(tiny_st), ModelOptions(device="cpu"))
    for name, cluster in (("one", None), ("several", session)):
        run(tmp_path / name, data, model, cluster)
    assert shards(tmp_path / "one") == shards(tmp_path / "several")
    assert items(tmp_path / "one") == items(tmp_path / "several")


def test_pairs_of_a_reranker_are_scored_on_the_cluster(
    session: Session, data: Path, tiny_transformer: Path, tmp_path: Path
) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    folder = tmp_path / "reranker"
    CrossEncoder(str(tiny_transformer), num_labels=1).save_pretrained(str(folder))
    model = resolve(f"bm25:bigram+reranker:{folder}@3", ModelOptions(device="cpu"))
    for name, cluster in (("one", None), ("several", session)):
        run(tmp_path / name, data, model, cluster)
    assert n_groups(tmp_path / "several") > 3
    assert shards(tmp_path / "one") == shards(tmp_path / "several")
    assert items(tmp_path / "one") == items(tmp_path / "several")


def test_actors_share_the_limits_of_an_endpoint_and_every_text_is_paid_once(
    session: Session, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, n_requests = tmp_path / "own.toml", []
    for name, cluster in (("one", None), ("several", session)):
        with serving() as endpoint:
            lines = ['name = "me/own"', 'loader = "api"', "prompts = {}", "[api]", 'model = "m"']
            limits = ["max_batch_texts = 16", "concurrency = 4", "requests_per_minute = 60000"]
            address = f'base_url = "{endpoint.url}"'
            path.write_text("\n".join([*lines, address, *limits]), "utf-8")
            model = resolve(f"api:{path}")
            probes = set(endpoint.paid)  # asked once per machine, to know who answers
            outcome = run(tmp_path / name, data, model, cluster)
            paid = {text: n for text, n in endpoint.paid.items() if text not in probes}
            assert set(paid.values()) == {1}
            assert outcome.result is not None
            assert outcome.result.record.api is not None
            n_requests.append(outcome.result.record.api.n_requests)
        space = Store(tmp_path / name / "store").space(model.fingerprint())
        assert space.n_vectors() == len(paid)
    assert n_requests == [n_groups(tmp_path / "several")] * 2
    assert items(tmp_path / "one") == items(tmp_path / "several")
    api = Cluster(session, model)._shared(2).spec.api
    assert api is not None
    assert (api.concurrency, api.requests_per_minute) == (2, 30000)
