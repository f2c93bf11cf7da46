"""A hub that lies: nothing that it says becomes a path or a model before it was looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub import SECRET, HubStandIn
from kemb import hub as client

COMMIT = "c" * 40
OUTSIDE = "../" * 12


def fetch(hub: HubStandIn, home: Path) -> subprocess.CompletedProcess[str]:
    """What `kemb` says of the model, in a process of its own, for the client reads its settings
    when it is imported.
    """
    script = (
        "import sys, time; pause = time.sleep\n"
        "time.sleep = lambda seconds: pause(min(seconds, 0.01))\n"
        "from kemb.errors import KembError\n"
        "from kemb.models.files import fetch_model\n"
        "try: print(fetch_model('someone/tiny', None, False)[0])\n"
        "except KembError as error: sys.exit(str(error))\n"
    )
    environment = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home / "in" / "the" / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": SECRET,
        "HF_HUB_ETAG_TIMEOUT": "2",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


LIES = {
    "commit-outside": ({"sha": f"{OUTSIDE}tmp/x"}, "as its commit, where 40 hexadecimal"),
    "commit-branch": ({"sha": "main"}, "as its commit, where 40 hexadecimal"),
    "commit-missing": ({"sha": None}, "as its commit|no description of a repository"),
    "name-outside": ({"siblings": [{"rfilename": f"{OUTSIDE}x.json"}]}, "no name inside"),
    "name-absolute": ({"siblings": [{"rfilename": "/etc/x.json"}]}, "no name inside"),
    "name-of-windows": ({"siblings": [{"rfilename": "..\\x.json"}]}, "no name inside"),
    "name-of-lines": ({"siblings": [{"rfilename": "a\nb.json"}]}, "no name inside"),
    "name-number": ({"siblings": [{"rfilename": 5}]}, "no name inside"),
    "header-of-commit": ({"X-Repo-Commit": f"{OUTSIDE}x"}, "as its commit"),
    "other-commit": ({"X-Repo-Commit": "d" * 40}, "is of the commit dddd"),
    "header-of-hash": ({"ETag": f'"{OUTSIDE}x"'}, "has the etag"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_would_become_a_path_is_looked_at_first(
    tiny_st: Path, tmp_path: Path, lie: str
) -> None:
    fields, says = LIES[lie]
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        hub.lies = fields
        done = fetch(hub, tmp_path)
    assert done.returncode == 1, done.stdout
    assert re.search(
        rf"^someone/tiny is to be loaded, but the answer of the hub at .*{says}", done.stderr
    ), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".json"]
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["in"])


@pytest.mark.parametrize("fault", ["html", "empty"])
def test_something_else_than_a_description_is_one_paragraph(
    tiny_st: Path, tmp_path: Path, fault: str
) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        hub.fault(fault)  # type: ignore[arg-type]
        done = fetch(hub, tmp_path)
    assert done.returncode == 1
    assert "is no description of a repository" in done.stderr
    assert not re.search("KeyError|AssertionError|JSONDecodeError", done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_what_its_hash_says_is_removed_and_fetched_anew(
    tiny_st: Path, tmp_path: Path
) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        hub.fault("swap", match=".safetensors")
        done = fetch(hub, tmp_path)
        assert done.returncode == 1
        assert re.search(r"gave a file model.safetensors whose sha256 is", done.stderr), done.stderr
        assert not list(tmp_path.rglob("*.safetensors"))
        hub.heal()
        done = fetch(hub, tmp_path)
        assert done.returncode == 0, done.stderr
        weights = Path(done.stdout.strip()) / "model.safetensors"
        assert weights.read_bytes() == (tiny_st / "model.safetensors").read_bytes()


def test_a_download_that_drips_ends(tiny_st: Path, tmp_path: Path) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        hub.fault("drip", match=".safetensors")
        done = fetch(hub, tmp_path)
    assert done.returncode == 1
    assert "comes too slowly to be waited for" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize("match", ["/api/", "/resolve/"])
def test_headers_that_drip_are_not_waited_for(tiny_st: Path, tmp_path: Path, match: str) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        hub.fault("drip-headers", match=match)
        started = time.monotonic()
        done = fetch(hub, tmp_path)
    assert done.returncode == 1
    assert "begins too slowly to be waited for: not within 3 s" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - started < 30


def test_work_in_time_gives_its_result_or_its_error() -> None:
    assert client.in_time(lambda: 5, 10) == 5
    with pytest.raises(KeyError):
        client.in_time(lambda: {}["absent"], 10)
    with pytest.raises(client.TooLate):
        client.in_time(lambda: time.sleep(5), 0.05)


def test_an_answer_without_a_length_ends_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MOST_UNTOLD_BYTES", 10)
    chunks = [b"four", b"four", b"four"]
    assert b"".join(client._within_bounds(iter(chunks), is_untold=False)) == b"four" * 3
    with pytest.raises(client.StrangeAnswer, match="more than 10 bytes"):
        list(client._within_bounds(iter(chunks), is_untold=True))


def test_names_of_files_inside_a_repository_are_names() -> None:
    for name in (
        "config.json",
        "1_Pooling/config.json",
        "data/한국어 0..1.parquet",
        ".gitattributes",
    ):
        client._check_name(name)
    for name in (
        "",
        ".",
        "a//b",
        "a/./b",
        "a/..",
        "~/x",
        "C:/x",
        "C:x",
        "\\\\host\\x",
        "a\0b",
        None,
    ):
        with pytest.raises(client.StrangeAnswer):
            client._check_name(name)
