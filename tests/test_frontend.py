"""The site's script: typed, tested, and shipped as it is built from its source."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRONTEND = ROOT / "frontend"
SHIPPED = ROOT / "src" / "kemb" / "publish" / "static" / "kemb.js"
MAX_BYTES = 60_000


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js with what frontend/package.json names; else skipped, or failed under KEMB_REQUIRE_BROWSER."""
    found = shutil.which("node")
    if found is None or not (FRONTEND / "node_modules" / "esbuild").is_dir():
        message = "node or frontend/node_modules is missing; install Node.js and run `npm ci` in frontend/"
        pytest.fail(message) if os.environ.get("KEMB_REQUIRE_BROWSER") else pytest.skip(message)
    return str(found)


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=FRONTEND, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_types_hold(node: str) -> None:
    run(node, "node_modules/typescript/bin/tsc", "--noEmit")


def test_its_own_tests_pass(node: str) -> None:
    run(node, "build.mjs", "--test")


def test_shipped_script_is_built_from_the_source(node: str, tmp_path: Path) -> None:
    run(node, "build.mjs", str(tmp_path / "kemb.js"))
    assert (tmp_path / "kemb.js").read_bytes() == SHIPPED.read_bytes(), "npm run build in frontend/ makes it again"


def test_the_script_is_small_and_plain() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert len(text.encode()) <= MAX_BYTES
    for word in ("fetch(", "XMLHttpRequest", "innerHTML", "eval(", "import(", "new Function"):
        assert word not in text, word
