"""Datasets from a stand-in of the hub: pinned, kept for offline use, every failure one
paragraph.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub import SECRET, Fault, HubStandIn
from kemb.hub import one_line, retry
from kemb.tasks.load import fetch, load
from kemb.tasks.sources import Download, _matching
from kemb.tasks.spec import TaskSpec

pytestmark = pytest.mark.slow

REPO = "someone/sts"
OLD, NEW = "a" * 40, "b" * 40
SCRIPT = """
import json, sys, time
from pathlib import Path
from kemb.errors import KembError
from kemb.tasks.load import fetch, load
from kemb.tasks.spec import TaskSpec
pause = time.sleep
time.sleep = lambda seconds: pause(min(seconds, 0.01))  # kemb's waits and the hub's client's
what, out, *specs = sys.argv[1:]
specs = [TaskSpec.model_validate_json(spec) for spec in specs]
try:
    if what == "fetch":
        fetch(specs, Path(out))
    else:
        for spec in specs:
            task = load(spec, Path(out) if out else None)
            part = task.parts[0]
            texts = part.data.sentence1 if spec.type == "sts" else part.data.documents
            print(task.revision, part.sha256, *texts)
except KembError as error:
    sys.exit(str(error))
"""


def sts(revision: str = OLD, **source: str) -> str:
    return json.dumps(
        {
            "name": "Mine",
            "type": "sts",
            "splits": ["test"],
            "source": {"hub": REPO, "revision": revision} | source,
        }
    )


def write_repo(folder: Path, sentences: list[str]) -> Path:
    """A dataset as people upload one: a README without a header, a Parquet file in data/."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# data\n")
    columns = {
        "sentence1": sentences,
        "sentence2": sentences,
        "score": [float(i) for i in range(len(sentences))],
    }
    pq.write_table(pa.table(columns), folder / "data" / "test-00000-of-00001.parquet")
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    with HubStandIn() as stand_in:
        stand_in.add_repo("dataset", REPO, write_repo(tmp_path / "old", ["가", "나"]), OLD)
        stand_in.add_repo("dataset", REPO, write_repo(tmp_path / "new", ["가", "다"]), NEW)
        yield stand_in


def kemb(
    hub: HubStandIn, home: Path, what: str, out: Path | str, *specs: str, offline: bool = False
) -> list[str]:
    """Run in a process of its own, whose cache folders lie in `home`; what it prints, or a
    failure's paragraph.
    """
    wanted = hub.environment(home, offline)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, what, str(out), *specs],
        env=os.environ | wanted,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert SECRET not in done.stdout + done.stderr
    if done.returncode == 0:
        assert done.stderr == "", "nothing but errors is printed where nobody watches"
        return done.stdout.split()
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    raise RuntimeError(done.stderr.strip())


def test_a_dataset_loads_at_its_pinned_revision_and_again_offline(
    hub: HubStandIn, tmp_path: Path
) -> None:
    first = kemb(hub, tmp_path, "load", "", sts(OLD))
    assert [first[0], *first[2:]] == [OLD, "가", "나"]
    hub.requests.clear()
    assert kemb(hub, tmp_path, "load", "", sts(OLD), offline=True) == first
    assert kemb(hub, tmp_path, "load", "", sts(OLD)) == first
    assert hub.requests == [], "what is here is not asked for"
    newer = kemb(hub, tmp_path, "load", "", sts(NEW))
    assert [newer[0], *newer[2:]] == [NEW, "가", "다"]
    assert newer[1] != first[1]


def seed_datasets_cache(hub: HubStandIn, home: Path, spec: str) -> None:
    script = (
        "import json, sys, datasets\n"
        "source = json.loads(sys.argv[1])['source']\n"
        "datasets.load_dataset(source['hub'], revision=source['revision'])\n"
    )
    wanted = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "0"}
    subprocess.run(
        [sys.executable, "-c", script, spec],
        env=os.environ | wanted,
        check=True,
        capture_output=True,
    )


def test_the_cache_of_datasets_serves_offline_but_only_at_the_very_commit(
    hub: HubStandIn, tmp_path: Path
) -> None:
    seed_datasets_cache(hub, tmp_path, sts(OLD))
    hub.requests.clear()
    loaded = kemb(hub, tmp_path, "load", "", sts(OLD), offline=True)
    assert [loaded[0], *loaded[2:]] == [OLD, "가", "나"]
    assert hub.requests == []
    with pytest.raises(
        RuntimeError,
        match=rf"revision {NEW}, but it is not on this machine and HF_HUB_OFFLINE is set",
    ):
        kemb(hub, tmp_path, "load", "", sts(NEW), offline=True)


def test_main_is_recorded_as_the_commit_it_was(hub: HubStandIn, tmp_path: Path) -> None:
    first = kemb(hub, tmp_path, "load", "", sts("main"))
    assert first[0] == NEW
    assert kemb(hub, tmp_path, "load", "", sts("main"), offline=True) == first


@pytest.mark.parametrize(
    ("fault", "spec", "says"),
    [
        (
            "error500",
            sts(),
            r"the hub answered 500, 3 times\. Try again later.*kemb tasks fetch Mine -o "
            r"DIR.*--data",
        ),
        ("hang", sts(), r"the hub did not answer in time, 3 times\. Try again later"),
        ("truncate", sts(), r"the download was cut short, 3 times\. Try again"),
        (
            "gated",
            sts(),
            r"which is gated\. Ask for access at https://huggingface\.co/datasets/someone/sts "
            r".*auth login",
        ),
        (
            None,
            sts().replace(REPO, "someone/nothing"),
            r"the hub has no such dataset, or it is private",
        ),
        (None, sts("e" * 40), rf"at revision {'e' * 40}, but the hub has no such revision of it"),
        (
            None,
            sts(config="nli"),
            rf"Mine: {REPO} at revision {OLD} has no config 'nli'; it has default\.",
        ),
    ],
)
def test_what_goes_wrong_at_the_hub_is_one_paragraph(
    hub: HubStandIn, tmp_path: Path, fault: Fault | None, spec: str, says: str
) -> None:
    if fault:
        hub.fault(fault)
    with pytest.raises(RuntimeError, match=says) as caught:
        kemb(hub, tmp_path, "load", "", spec)
    assert str(caught.value).startswith("Mine")
    hub.heal()
    assert kemb(hub, tmp_path, "load", "", sts())[0] == OLD, (
        "a failure leaves nothing behind that hinders"
    )


def test_a_machine_without_network_says_so(hub: HubStandIn, tmp_path: Path) -> None:
    hub.endpoint = "http://no-such-host.invalid"
    with pytest.raises(
        RuntimeError, match=r"host name cannot be resolved: there is no network\. On a machine with"
    ):
        kemb(hub, tmp_path, "load", "", sts())
    hub.endpoint = "http://127.0.0.1:9"
    with pytest.raises(RuntimeError, match="not on this machine and the hub cannot be reached"):
        kemb(hub, tmp_path, "load", "", sts())


def test_passing_failures_are_tried_again(hub: HubStandIn, tmp_path: Path) -> None:
    hub.fault("error503", match="/api/", times=1)
    hub.fault("error503", match="parquet", times=2)
    assert kemb(hub, tmp_path, "load", "", sts())[0] == OLD


def test_a_single_file_that_hangs_is_given_up_in_seconds(hub: HubStandIn, tmp_path: Path) -> None:
    hub.fault("hang", match="parquet")
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="the hub did not answer in time, 3 times"):
        kemb(hub, tmp_path, "load", "", sts())
    assert time.monotonic() - started < 120, "the client's own way out takes six minutes"


def test_offline_nothing_is_waited_for(hub: HubStandIn, tmp_path: Path) -> None:
    script = SCRIPT.replace("pause(min(seconds, 0.01))", "sys.exit('waited')")
    assert script != SCRIPT
    env = os.environ | {
        "HF_HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    for spec in (sts(), sts("main")):
        command = [sys.executable, "-c", script, "load", "", spec]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=50)
        assert re.search(
            r"not on this machine and HF_HUB_OFFLINE is set\..*--data DIR`\.$", done.stderr
        ), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_what_was_fetched_loads_elsewhere_without_network(hub: HubStandIn, tmp_path: Path) -> None:
    out = tmp_path / "out"
    direct = kemb(hub, tmp_path / "here", "load", "", sts())
    kemb(hub, tmp_path / "here", "fetch", out, sts())
    assert kemb(hub, tmp_path / "there", "load", out, sts(), offline=True) == direct
    hub.requests.clear()
    kemb(hub, tmp_path / "there", "fetch", out, sts())
    assert hub.requests == [], "a second fetch asks for nothing"


def add_beir(hub: HubStandIn, tmp_path: Path) -> str:
    """Serve a dataset of three configs; the specification of its task."""
    tables = {
        "corpus": {"_id": ["d1"], "text": ["문서"]},
        "queries": {"_id": ["q1"], "text": ["질문"]},
        "default": {"query-id": ["q1"], "corpus-id": ["d1"], "score": [1]},
    }
    header = ["---", "configs:"]
    for name, columns in tables.items():
        (tmp_path / "beir").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / "beir" / f"{name}.parquet")
        header += [
            f"- config_name: {name}",
            "  data_files:",
            "  - split: test",
            f"    path: {name}.parquet",
        ]
    (tmp_path / "beir" / "README.md").write_text("\n".join([*header, "---", ""]))
    hub.add_repo("dataset", "someone/beir", tmp_path / "beir", OLD)
    source = {"hub": "someone/beir", "revision": OLD, "layout": "beir"}
    return json.dumps({"name": "Search", "type": "retrieval", "splits": ["test"], "source": source})


def test_processes_that_fetch_at_once_do_not_disturb_each_other(
    hub: HubStandIn, tmp_path: Path
) -> None:
    beir, out = add_beir(hub, tmp_path), tmp_path / "out"
    with ThreadPoolExecutor() as pool:
        running = [
            pool.submit(kemb, hub, tmp_path / "here", "fetch", out, *specs)
            for specs in [(beir, sts())] * 3
        ]
        assert [process.result() for process in running] == [[], [], []]
    assert sum("GET" in request and "corpus.parquet" in request for request in hub.requests) == 1
    assert kemb(hub, tmp_path / "there", "load", out, beir, offline=True)[2:] == ["문서"]


def test_a_failed_fetch_leaves_a_usable_mirror_and_goes_on_where_it_was(
    hub: HubStandIn, tmp_path: Path
) -> None:
    beir = add_beir(hub, tmp_path)
    out = tmp_path / "out"
    hub.fault("truncate", match="queries.parquet")
    with pytest.raises(RuntimeError, match=r"Search needs .* cut short"):
        kemb(hub, tmp_path, "fetch", out, sts(), beir)
    assert kemb(hub, tmp_path / "there", "load", out, sts(), offline=True)[2:] == ["가", "나"]
    with pytest.raises(RuntimeError, match=r"Search needs .* HF_HUB_OFFLINE is set"):
        kemb(hub, tmp_path / "there", "load", out, beir, offline=True)
    hub.heal()
    hub.requests.clear()
    kemb(hub, tmp_path, "fetch", out, sts(), beir)
    assert not [
        request for request in hub.requests if REPO in request or "corpus.parquet" in request
    ]
    assert kemb(hub, tmp_path / "there", "load", out, beir, offline=True)[2:] == ["문서"]


@pytest.mark.parametrize(("offline", "waits"), [(False, [2.0, 8.0]), (True, [])])
def test_only_passing_failures_are_waited_for_and_none_offline(
    monkeypatch: pytest.MonkeyPatch, offline: bool, waits: list[float]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    failures: list[Exception] = [
        ConnectionError("1"),
        ConnectionError("2"),
        ConnectionError("3"),
        ValueError("4"),
    ]

    def fail() -> None:
        raise failures.pop(0)

    with pytest.raises(ConnectionError):
        retry(fail)
    assert slept == waits
    del failures[:-1]
    with pytest.raises(ValueError, match="4"):
        retry(fail)
    assert slept == waits


def test_a_token_in_a_message_is_not_repeated() -> None:
    assert one_line(ValueError(f"bearer {SECRET}\n refused")) == "bearer hf_... refused"


def test_file_names_that_lead_out_of_the_folder_are_not_downloaded() -> None:
    names = [
        "data/a.parquet",
        "../b.parquet",
        "/etc/c.parquet",
        "data/../../d.parquet",
        "README.md",
        "e.py",
        "f.csv",
    ]
    assert _matching(names, None) == ["data/a.parquet", "f.csv"]
    assert _matching(["data/test-0.parquet", "test-1.parquet"], ["**/test-*"]) == [
        "data/test-0.parquet",
        "test-1.parquet",
    ]


def spec_of(revision: str = OLD) -> TaskSpec:
    return TaskSpec.model_validate_json(sts(revision))


def give(sentences: list[str], monkeypatch: pytest.MonkeyPatch, revision: str = OLD) -> None:
    """Let the hub give these rows, without a process of its own."""
    table = pa.table(
        {"sentence1": sentences, "sentence2": sentences, "score": [1.0] * len(sentences)}
    )
    got = Download(revision, "default", {"test": table})
    monkeypatch.setattr("kemb.tasks.sources.download", lambda *_: nullcontext(got))


@pytest.mark.parametrize("written", range(4))
def test_a_fetch_that_dies_between_any_two_files_leaves_the_mirror_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    give(["옛"], monkeypatch)
    fetch([spec_of()], tmp_path)
    give(["새"], monkeypatch, NEW)
    real, calls = os.replace, iter(range(10))

    def dying(source: str, target: str) -> None:
        if next(calls) == written:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", dying)
        with pytest.raises(KeyboardInterrupt):
            fetch([spec_of(NEW)], tmp_path)
    (part,) = load(spec_of(), tmp_path).parts
    assert part.data.sentence1 == ["옛"]  # type: ignore[union-attr]
    assert not list(tmp_path.rglob(".*.parquet.*"))
    fetch([spec_of(NEW)], tmp_path)
    assert load(spec_of(NEW), tmp_path).parts[0].data.sentence1 == ["새"]  # type: ignore[union-attr]


def test_a_file_that_was_removed_from_a_mirror_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(["가"], monkeypatch)
    fetch([spec_of()], tmp_path)
    (table,) = tmp_path.rglob("*.parquet")
    table.unlink()
    fetch([spec_of()], tmp_path)
    assert table.exists()
    assert load(spec_of(), tmp_path).revision == OLD


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemb.errors import FetchError

    give(["가"], monkeypatch)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(
        FetchError,
        match=r"Mine: the data of someone/sts could not be written to .*out: (Not a directory|File "
        r"exists)",
    ):
        fetch([spec_of()], tmp_path / "out")
    monkeypatch.setattr("pyarrow.parquet.write_table", full_disk)
    with pytest.raises(FetchError, match=r"could not be written to .*: No space left on device"):
        fetch([spec_of()], tmp_path / "other")
    assert not [
        path for path in (tmp_path / "other").rglob("*") if path.suffix in (".parquet", ".json")
    ]


def full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_mirror_is_read_by_datasets_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    give(["가", "나"], monkeypatch)
    fetch([spec_of()], tmp_path / "mirror")
    (folder,) = [path for path in (tmp_path / "mirror").iterdir() if path.is_dir()]
    loaded = datasets.load_dataset(str(folder), "default", cache_dir=str(tmp_path / "cache"))
    assert loaded["test"]["sentence1"][:] == ["가", "나"]
