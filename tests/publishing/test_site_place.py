"""What a site may take the place of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from kemb.errors import UsageError
from kemb.publishing.site.build import MARKER, write_site


def files(text: str) -> dict[str, bytes]:
    content = text.encode()
    entries = {"index.html": {"sha256": hashlib.sha256(content).hexdigest()}}
    return {"index.html": content, MARKER: json.dumps({"files": entries}).encode()}


def test_a_site_takes_the_place_of_a_site_of_kemb_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    write_site(files("one"), site)
    write_site(files("two"), site)
    assert (site / "index.html").read_text() == "two"
    (site / "CNAME").write_text("mine")
    with pytest.raises(UsageError, match=r"site/CNAME was not made by kemb"):
        write_site(files("three"), site)
    (site / "CNAME").unlink()
    (site / ".git").mkdir()
    (site / ".git" / "HEAD").write_text("mine")
    with pytest.raises(UsageError, match=r"site/\.git/HEAD was not made by kemb"):
        write_site(files("three"), site)
    assert (site / ".git" / "HEAD").read_text() == "mine"
    (site / ".git" / "HEAD").unlink()
    (site / "index.html").write_text("edited")
    with pytest.raises(UsageError, match="or was changed since"):
        write_site(files("three"), site)
    assert (site / "index.html").read_text() == "edited"
    write_site(files("one"), tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for folder in (Path(), tmp_path):
        with pytest.raises(UsageError, match="in which this command works"):
            write_site(files("two"), folder)


@pytest.mark.parametrize("marker", [None, "{", "[]", '{"files": 1}'])
def test_a_folder_of_others_is_refused_and_left(tmp_path: Path, marker: str | None) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    if marker is not None:
        (folder / MARKER).write_text(marker)
    with pytest.raises(UsageError, match="mine"):
        write_site(files("x"), folder)
    assert (folder / "index.html").read_text() == "mine"
