"""What the tests of the site's pages need: a Chromium of the system, and axe-core."""

from __future__ import annotations

from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parent.parent / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
REMEDY = {
    CHROMIUM: "install Debian's chromium (apt-get install chromium fonts-nanum)",
    AXE: "run npm ci in frontend/",
}


def missing() -> list[str]:
    """One sentence for each that is not there, with how to get it."""
    return [f"{path} is missing; {how}" for path, how in REMEDY.items() if not path.exists()]
