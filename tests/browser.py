"""What the tests of pages need: a Chromium of the system, and axe-core."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parent.parent / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
REMEDY = {
    CHROMIUM: "install Debian's chromium (apt-get install chromium fonts-nanum)",
    AXE: "run npm ci in frontend/",
}


def missing() -> list[str]:
    """One sentence for each that is not there, with how to get it."""
    return [f"{path} is missing; {how}" for path, how in REMEDY.items() if not path.exists()]


ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def needs(path: Path) -> None:
    """Skips where something is not installed; fails where KEMB_REQUIRE_BROWSER says that it must
    be.
    """
    if not path.exists():
        message = f"{path} is missing; {REMEDY[path]}"
        pytest.fail(message) if os.environ.get("KEMB_REQUIRE_BROWSER") else pytest.skip(message)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, running."""
    needs(CHROMIUM)
    pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()
