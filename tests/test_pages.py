"""What the pages name is there: files, sections, names of Python; and what code names of them."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kemb.cli.docs import pages
from source import FILES, nodes_of

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
    ROOT / "src/kemb/demo/README.md",
]
CODE = [
    path
    for folder in ("src", "tests", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
]
PATH = re.compile(r"`((?:\.\./)?(?:src|tests|tools|benchmarks|frontend|docs)/[\w./-]*\w/?)`")
COMMAND = re.compile(r"python ((?:tools|benchmarks)/\w+\.py)")
MODULE_NAME = re.compile(r"`(kemb(?:\.\w+)+)[`(]")
CITATION = re.compile(r'docs/architecture\.md,\s+"([^"]+)"')
NOT_PYTHON = {"kemb.toml", "kemb.js"}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: str) -> set[str]:
    """Those that GitHub makes of the headings."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def strings_of_users(path: Path) -> Iterator[str]:
    """String constants that are no docstrings."""
    documentation = {id(node.value) for node in nodes_of(path) if isinstance(node, ast.Expr)}
    for node in nodes_of(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield node.value


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_and_sections(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(path))
    for link in links:
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), f"{name_of(path)} links to {link}"
        assert not anchor or anchor in anchors(text_of(file)), f"{name_of(path)} links to {link}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    for name in PATH.findall(text_of(path)) + COMMAND.findall(text_of(path)):
        assert (ROOT / name).exists(), f"{name_of(path)} names {name}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_names_of_python_that_a_page_uses_are_there(path: Path) -> None:
    page = text_of(path)
    names = set(MODULE_NAME.findall(page)) - NOT_PYTHON
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kemb":
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    for name in sorted(names):
        assert is_importable(name), f"{name_of(path)} names {name}"


def is_importable(name: str) -> bool:
    """Whether a dotted name is a module, or stands in one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        owner, _, attribute = name.rpartition(".")
        return owner in sys.modules and hasattr(sys.modules[owner], attribute)
    return True


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_pages_and_decisions_that_code_names_are_there(path: Path) -> None:
    code = text_of(path)
    comments = re.sub(r"\n\s*#?\s*", " ", code)
    names = re.findall(r"docs/([\w-]+)\.md", code) + re.findall(r"`kemb docs ([\w-]+)`", code)
    for name in names:
        assert (ROOT / "docs" / f"{name}.md").is_file(), f"{name_of(path)} names the page {name}"
    page = text_of(ROOT / "docs/architecture.md")
    for citation in CITATION.findall(comments):
        if path != Path(__file__):
            decision_or_section = (
                rf"^(?:- \*\*{re.escape(citation)}\.?\*\*|## {re.escape(citation)}$)"
            )
            assert re.search(decision_or_section, page, re.MULTILINE), (
                f"{name_of(path)} cites {citation!r}"
            )


def test_messages_name_pages_as_an_installed_user_opens_them() -> None:
    for path in FILES:
        for string in strings_of_users(path):
            assert not re.search(r"docs/[\w-]+\.md", string), f"{name_of(path)}: {string}"
    for path in (ROOT / "src").rglob("*.toml"):
        assert not re.search(r"\bdocs/[\w-]+\.md", text_of(path)), name_of(path)


def test_both_lists_of_pages_are_complete_and_the_same() -> None:
    rows = re.compile(
        r"^\| \[(?:docs/)?([\w.-]+)\.md\]\((?:docs/)?\1\.md\) \| (.+) \|$", re.MULTILINE
    )
    listed = rows.findall(text_of(ROOT / "docs/README.md"))
    assert rows.findall(text_of(ROOT / "README.md")) == listed
    on_disk = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"README"}
    assert sorted(name for name, _ in listed) == sorted(on_disk)
    assert list(pages().items()) == listed
