"""Kill drivers, actors and nodes of a local Ray cluster at random moments, and compare what is left
with what one process makes, byte for byte.

    python tests/encoding/executors/run_cluster_kills.py [--rounds 15] [--seed 0]

A round is one command on a fresh store with four kills: its driver (the same command is typed
again), two actors and a node, each after a drawn number of groups. Exit 1 where a byte differs, or
where more groups were done again than were in hand.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from two_nodes import SRC, TwoNodes

from kemb.encoding.executors.cluster import IN_HAND

WORDS = (
    "서울 부산 대구 인천 광주 대전 울산 세종 학교 병원 도서관 시장 공원 극장 은행 우체국".split()
)
KILLS_PER_ROUND = 4
TIME_OUT = 180.0


@dataclass(frozen=True)
class Round:
    """What became of one command."""

    n_groups: int
    n_kills: int
    n_again: int
    """Groups that were written, or about to be, more than once."""
    faults: list[str]


def make_data(folder: Path, n_documents: int) -> None:
    """A folder of documents and questions of many lengths."""
    draw = random.Random(7)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(4, 30))) for _ in range(n_documents)]
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "text": f"{text} {n}"} for n, text in enumerate(texts)]
    queries = [{"_id": f"q{n}", "text": texts[n * 9][:20]} for n in range(n_documents // 15)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    judgments = "".join(f"q{n}\td{n * 9}\t1\n" for n in range(n_documents // 15))
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgments}", "utf-8")


def begin(folder: Path, data: Path, more: list[str]) -> subprocess.Popen[str]:
    """A driver."""
    paths = ["--store", str(folder / "store"), "--results", str(folder / "out")]
    return subprocess.Popen(
        [sys.executable, "-m", "kemb", "run", str(data), "-m", "toy", *paths, "--json", *more],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def n_groups_of(folder: Path) -> int:
    """Of the plan that a driver wrote; 0 where there is none yet."""
    for path in (folder / "store").glob("*/plans/*.json"):
        with contextlib.suppress(ValueError, KeyError):  # that of a device
            return int(json.loads(path.read_text("utf-8"))["n_groups"])
    return 0


def files_of(folder: Path) -> dict[str, bytes]:
    """Shards and items of a command by name."""
    store, out = folder / "store", folder / "out"
    paths = [*store.rglob("*.arrow"), *out.rglob("*.items.parquet")]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


def one_round(
    nodes: TwoNodes, data: Path, folder: Path, expected: dict[str, bytes], draw: random.Random
) -> Round:
    """One command with its kills."""
    nodes.forget()
    cluster = ["--cluster", nodes.address, "--actors", "2"]
    driver = begin(folder, data, cluster)
    _wait(lambda: n_groups_of(folder) > 0, driver)
    n_groups = n_groups_of(folder)
    if not n_groups:
        return Round(0, 0, 0, [f"exit {driver.returncode}: {driver.communicate()[1][-600:]}"])
    moments = sorted(draw.randrange(n_groups - 2) for _ in range(KILLS_PER_ROUND))
    kinds = ["actor", "actor", "driver", "node"]
    draw.shuffle(kinds)
    n_kills = 0
    for moment, kind in zip(moments, kinds, strict=True):
        if not _wait(lambda moment=moment: len(nodes.writes()) >= moment, driver):  # type: ignore[misc]
            break
        time.sleep(draw.uniform(0.0, 0.3))
        if kind == "actor":
            n_kills += nodes.kill_an_actor(draw)
        elif kind == "node":
            nodes.replace(draw.randrange(2))
            n_kills += 1
        else:
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            n_kills += 1
            driver = begin(folder, data, cluster)
    _, err = driver.communicate(timeout=TIME_OUT)
    faults = [f"exit {driver.returncode}: {err[-600:]}"] if driver.returncode else []
    faults += list(_differences(expected, files_of(folder)))
    writes = nodes.writes()
    n_again = len(writes) - len({number for number, *_ in writes})
    # A killed driver takes both actors with it.
    if n_again > (n_kills + 1) * IN_HAND:
        faults.append(f"{n_again} groups were done again after {n_kills} kills")
    return Round(n_groups, n_kills, n_again, faults)


def _wait(until: Callable[[], bool], driver: subprocess.Popen[str]) -> bool:
    deadline = time.monotonic() + TIME_OUT
    while time.monotonic() < deadline and driver.poll() is None:
        if until():
            return True
        time.sleep(0.01)
    return False


def _differences(expected: dict[str, bytes], files: dict[str, bytes]) -> Iterator[str]:
    for word, names in (
        ("left over", files.keys() - expected.keys()),
        ("missing", expected.keys() - files.keys()),
        (
            "other",
            {name for name in files.keys() & expected.keys() if files[name] != expected[name]},
        ),
    ):
        if names:
            yield f"{word}: {', '.join(sorted(names)[:4])}"


def main() -> None:
    """A line per round, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kemb-cluster-kills-"))
    data = folder / "data"
    make_data(data, 12_000)
    alone = begin(folder / "alone", data, [])
    alone.communicate(timeout=TIME_OUT)
    expected = files_of(folder / "alone")
    nodes = TwoNodes(folder)
    started, rounds, draw = time.monotonic(), [], random.Random(options.seed)
    try:
        for number in range(options.rounds):
            place = folder / f"round-{number}"
            rounds.append(one_round(nodes, data, place, expected, draw))
            print(f"{number}: {rounds[-1]}", flush=True)
            shutil.rmtree(place)
    finally:
        nodes.close()
        shutil.rmtree(folder, ignore_errors=True)
    n_faults = sum(bool(entry.faults) for entry in rounds)
    print(
        f"{sum(entry.n_kills for entry in rounds)} kills in {len(rounds)} commands of "
        f"{rounds[0].n_groups} groups, {time.monotonic() - started:.0f} s: {n_faults} with a "
        f"fault, {sum(entry.n_again for entry in rounds)} groups done again"
    )
    sys.exit(bool(n_faults))


if __name__ == "__main__":
    main()
