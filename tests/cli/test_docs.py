"""`kemb docs`, from the repository and from the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.cli.docs import page, pages
from kemb.errors import UnknownName

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this tree, built without network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


def test_without_a_name_every_page_is_listed_in_reading_order() -> None:
    lines = CliRunner().invoke(cli, ["docs"]).stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert set(names) == {path.stem for path in DOCS.glob("*.md")} - {"README"}
    assert names.index("own-data") < names.index("boards") < names.index("architecture")
    assert all(len(line.split(maxsplit=1)) == 2 and len(line) <= 100 for line in lines)
    rows = json.loads(CliRunner().invoke(cli, ["docs", "--json"]).stdout)
    assert [row["page"] for row in rows] == names


@pytest.mark.parametrize("name", ["own-data", "own-data.md", "docs/own-data.md", "Own-Data"])
def test_a_page_is_printed_as_it_is(name: str) -> None:
    text = (DOCS / "own-data.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(cli, ["docs", name]).stdout.rstrip("\n") == text.rstrip("\n")
    assert json.loads(CliRunner().invoke(cli, ["docs", name, "--json"]).stdout)["text"] == text


def test_an_unknown_page_offers_near_names() -> None:
    with pytest.raises(UnknownName, match=r"Unknown page 'own-dta'\. Did you mean own-data"):
        page("own-dta")
    for outside in ("../README", "README", ""):
        with pytest.raises(UnknownName, match="Type `kemb docs` for all"):
            page(outside)


def test_on_a_terminal_a_page_goes_through_the_pager(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")  # not on Windows
    seen = tmp_path / "seen.md"
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {seen}\n")
    pager.chmod(0o755)
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "kemb", "docs", "store"]
    environment = os.environ | {"PAGER": str(pager), "TERM": "xterm"}
    subprocess.run(command, stdin=child, stdout=child, env=environment, check=True, timeout=60)
    os.close(child)
    os.close(parent)
    assert seen.read_text(encoding="utf-8").strip() == page("store").strip()


def test_the_wheel_holds_the_pages_and_shows_its_own(distributions: Path, tmp_path: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for name in [*pages(), "README"]:
        installed = (tmp_path / "kemb/docs" / f"{name}.md").read_bytes()
        assert installed == (DOCS / f"{name}.md").read_bytes()
    (tmp_path / "kemb/docs/store.md").write_text("what the wheel says\n", encoding="utf-8")

    def kemb(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kemb", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert kemb("docs", "store").stdout.strip() == "what the wheel says"
    refusal = kemb("docs", "stor")
    assert refusal.returncode == 2
    assert "Did you mean store" in refusal.stderr
    for path in (tmp_path / "kemb/docs").iterdir():
        path.unlink()
    missing = kemb("docs")
    assert missing.returncode == 1
    assert missing.stderr.startswith("Error: The pages of the documentation are missing")


def test_the_sdist_has_what_tests_and_checks_need(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("benchmarks", "docs", "src", "tests", "tools", "frontend/src", "frontend/test")
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files |= {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.ko.md"}
    files |= {"README.md", "constraints.txt", "frontend/package-lock.json", "pyproject.toml"}
    assert not files - packed
