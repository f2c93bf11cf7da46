"""`kemb train --push`: refused early, uploaded once, by the hub's stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
from hub import SECRET, HubStandIn
from kemb.errors import DataError, FetchError, UsageError
from kemb.publishing.hub import find_target, push_folder, target_of
from kemb.training.recipe import read_recipe
from test_train import changed, folder

pytestmark = pytest.mark.torch

__all__ = ["folder"]
REPO = "org/tuned"
PUBLISH = f'[card]\nlicense = "cc0-1.0"\n[publish]\nrepo = "{REPO}"\n'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    with HubStandIn() as stand_in:
        stand_in.folder = tmp_path / "hub"
        stand_in.folder.mkdir()
        monkeypatch.setenv("HF_TOKEN", SECRET)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield stand_in


def recipe(folder: Path, *more: tuple[str, str]) -> Path:
    (folder / "recipe.toml").write_text(
        (folder / "recipe.toml").read_text(encoding="utf-8") + PUBLISH, encoding="utf-8"
    )
    return changed(folder, *more)


def run(
    hub: HubStandIn, path: Path, tmp_path: Path, token: str = SECRET
) -> subprocess.CompletedProcess[str]:
    env = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": token,
    }
    command = [
        sys.executable,
        "-m",
        "kemb",
        "train",
        str(path),
        "-o",
        str(tmp_path / "run"),
        "--push",
    ]
    environment = os.environ | env | {"HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def test_a_proven_model_is_uploaded_once(hub: HubStandIn, folder: Path, tmp_path: Path) -> None:
    path = recipe(folder)
    done = run(hub, path, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Uploaded: {hub.endpoint}/{REPO}/commit/" in done.stdout
    assert hub.created == {REPO: True}
    ((header, made, is_proposal),) = hub.commits
    assert (header, is_proposal) == (f"Bearer {SECRET}", False)
    own = tmp_path / "run" / "tiny"
    files = sorted(path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file())
    assert {"README.md", "model.safetensors", "CONTAMINATION.md", "recipe.lock.json"} <= set(files)
    assert all((made / name).read_bytes() == (own / name).read_bytes() for name in files)
    command = json.loads((own / "recipe.lock.json").read_text(encoding="utf-8"))["resolved"][
        "command"
    ]
    assert command == "kemb train changed.toml -o run --push"
    assert str(tmp_path) in (tmp_path / "run" / "recipe.lock.json").read_text(encoding="utf-8")
    assert SECRET not in done.stdout + done.stderr + "".join(
        file.read_text(encoding="utf-8")
        for file in own.iterdir()
        if file.suffix in (".md", ".json")
    )
    again = run(hub, path, tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(hub.commits) == 1


def test_nothing_is_done_that_cannot_be_published(
    hub: HubStandIn, folder: Path, tmp_path: Path
) -> None:
    done = run(hub, recipe(folder), tmp_path, token="")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: --push needs a token")
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        UsageError, match=r"changed.toml, line \d+: a published model needs a licence"
    ):
        target_of(read_recipe(changed(folder, ('license = "cc0-1.0"\n', ""))))
    free = 'source = { file = "pairs.parquet" }\nlicense = "CC0-1.0"'
    with pytest.raises(
        DataError, match=r"trained on pairs \(CC-BY-NC-1.0: non-commercial\).*leave out --push"
    ):
        target_of(read_recipe(changed(folder, (free, free.replace("CC0", "CC-BY-NC")))))
    with pytest.raises(UsageError, match=r"Add a section \[publish\] with repo"):
        target_of(read_recipe(changed(folder, (f'[publish]\nrepo = "{REPO}"\n', ""))))
    with pytest.raises(UsageError, match=r"line \d+: publish.repo .*pattern"):
        read_recipe(changed(folder, (REPO, "no-repo")))
    assert hub.requests == []


def test_a_token_that_may_not_write_is_refused_early(hub: HubStandIn) -> None:
    with pytest.raises(UsageError, match=r"belongs to me and may write to me, org, not to other/x"):
        find_target("other/x", True, hub.endpoint)
    hub.who = {**hub.who, "auth": {"accessToken": {"role": "read"}}}
    with pytest.raises(UsageError, match="may only read"):
        find_target(REPO, True, hub.endpoint)
    hub.fault("error401", "whoami")
    with pytest.raises(FetchError, match=r"refused the token in HF_TOKEN \(401\)"):
        find_target(REPO, True, hub.endpoint)
    assert hub.created == {}


def test_words_on_the_hub_stay_and_a_strangers_commit_is_not_overwritten(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "README.md").write_text("# Words of mine\n", encoding="utf-8")
    hub.add_repo("model", REPO, theirs, "1" * 40)
    target = find_target(REPO, True, hub.endpoint)
    assert (target.parent, target.readme) == ("1" * 40, "# Words of mine\n")
    hub.fault(
        "error403", "/resolve/"
    )  # a README that is not given is not taken for none, and written over
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(FetchError, match="org/tuned"):
        find_target(REPO, True, hub.endpoint)
    hub.heal()
    own = tmp_path / "own"
    own.mkdir()
    (own / "README.md").write_text("# Other\n", encoding="utf-8")
    assert "/commit/" in push_folder(target, own, hub.endpoint)
    (own / "README.md").write_text("# Third\n", encoding="utf-8")
    with pytest.raises(FetchError, match="changed by somebody in the meantime"):
        push_folder(target, own, hub.endpoint)
    assert hub.created == {}
