"""A card goes to the hub as one commit, keeps what stands there, and says in one paragraph why it
cannot.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import SECRET, HubStandIn
from kemb import demo

pytestmark = pytest.mark.slow

OLD = "1" * 40
REPO = "org/mine"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "README.md").write_text(
        "---\nlicense: mit\n---\n# Mine\n\nWords of mine.\n", encoding="utf-8"
    )
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with HubStandIn() as stand_in:
        stand_in.add_repo("model", REPO, folder, OLD)
        yield stand_in


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("push") / "results"
    mini = next(path for path in demo.task_folders() if "sts" in path.name)
    subprocess.run(
        [sys.executable, "-m", "kemb", "run", str(mini), "-m", "toy", "--results", str(folder)],
        check=True,
        capture_output=True,
        env=os.environ | {"KEMB_STORE": str(folder.parent / "store")},
    )
    return folder


def push(
    hub: HubStandIn, results: Path, *words: str, token: str = SECRET, repo: str = REPO, **env: str
) -> str:
    """What the command says; a failure is one line and its code."""
    wanted = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(results.parent / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_ETAG_TIMEOUT": "2",
        "HF_TOKEN": token,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "kemb",
            "card",
            "toy",
            "--results",
            str(results),
            "--push",
            repo,
            *words,
        ],
        env=os.environ | wanted | env,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert SECRET not in done.stdout + done.stderr
    if done.returncode:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        raise RuntimeError(f"{done.returncode} {done.stderr.strip()}")
    return done.stderr.strip()


def test_one_commit_with_the_authors_text_kept(hub: HubStandIn, results: Path) -> None:
    said = push(hub, results)
    assert said.startswith(f"Uploaded: {hub.endpoint}/{REPO}/commit/")
    ((header, folder, is_proposal),) = hub.commits
    assert (header, is_proposal) == (f"Bearer {SECRET}", False)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "Words of mine." in text
    assert "license: mit" in text
    assert "| KoMiniSTS | STS |" in text
    assert (folder / "config.json").is_file()
    # The same again: what stands there already is our own card.
    push(hub, results)
    assert (hub.head("model", REPO) / "README.md").read_text(encoding="utf-8") == text


def test_a_pull_request_leaves_main_as_it_is(
    hub: HubStandIn, results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "README.md"
    assert f"{REPO}/discussions/1" in push(hub, results, "--pr", "-o", str(out))
    ((_, folder, is_proposal),) = hub.commits
    assert is_proposal
    assert (folder / "README.md").read_bytes() == out.read_bytes()
    assert "kemb:begin" not in (hub.head("model", REPO) / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fault", "match", "said"),
    [
        (
            "error403",
            "/commit/",
            r"1 Error: org/mine cannot be written: the hub refused the token .*\(403\).*--pr",
        ),
        ("error401", "/preupload/", r"1 Error: org/mine cannot be written: .*HF_TOKEN"),
        ("error500", "/commit/", r"1 Error: org/mine was not written: the hub answered 500"),
    ],
)
def test_what_the_hub_refuses_leaves_nothing_behind(
    hub: HubStandIn, results: Path, fault: str, match: str, said: str
) -> None:
    hub.fault(fault, match)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=said):
        push(hub, results)
    assert hub.commits == []


def test_no_such_repository_no_token_no_network(hub: HubStandIn, results: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"^1 Error: org/other cannot be written: .*hf repo create org/other"
    ):
        push(hub, results, repo="org/other")
    with pytest.raises(RuntimeError, match=r"^2 Error: --push needs a token"):
        push(hub, results, token="")
    with pytest.raises(RuntimeError, match=r"^2 Error: --push needs the network"):
        push(hub, results, HF_HUB_OFFLINE="1")
    with pytest.raises(RuntimeError, match=r"^2 Error: --push 'not-a-repo'"):
        push(hub, results, repo="not-a-repo")
    assert hub.commits == []


def test_somebody_elses_commit_in_between_is_not_overwritten(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemb.errors import FetchError
    from kemb.publishing.hub import push as upload
    from kemb.publishing.hub import remote_readme

    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    text, commit = remote_readme(REPO, hub.endpoint)
    assert (commit, text[:4]) == (OLD, "---\n")
    upload(REPO, {"README.md": "# theirs\n"}, commit, create_pr=False, endpoint=hub.endpoint)
    with pytest.raises(FetchError, match="changed by somebody"):
        upload(REPO, {"README.md": "# ours\n"}, commit, create_pr=False, endpoint=hub.endpoint)
    assert (hub.head("model", REPO) / "README.md").read_text(encoding="utf-8") == "# theirs\n"
