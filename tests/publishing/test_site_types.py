"""What the site's script shares with Python is up to date: the types of its data, the numbers of
its statistics.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_types_of_the_script_are_those_of_the_schema() -> None:
    types = tool("site_types")
    assert types.OUT.read_text(encoding="utf-8") == types.render(), (
        "python tools/site_types.py writes them again"
    )


def test_every_kind_of_field_has_a_type() -> None:
    render = tool("site_types").render()
    for line in (
        "  n_parameters: number | null;",
        '  mode: "items" | "tasks" | "none";',
        "  cells: (number | null)[];",
        "  values: Record<string, number[]>;",
        "  prompts: PromptData[] | null;",
        "  models: Record<string, Snippet[]>;",
    ):
        assert line in render


def test_golden_numbers_of_the_script_are_those_of_stats() -> None:
    golden = tool("golden")
    same(json.loads(golden.OUT.read_text(encoding="utf-8")), golden.cases())


def test_the_script_is_small_and_plain() -> None:
    text = (ROOT / "src" / "kemb" / "publishing" / "static" / "kemb.js").read_text(encoding="utf-8")
    assert len(text.encode()) <= 60_000
    for word in (
        "fetch(",
        "XMLHttpRequest",
        "innerHTML",
        "eval(",
        "import(",
        "new Function",
        "http://",
        "https://",
    ):
        assert word not in text.replace("http://www.w3.org/2000/svg", ""), word


def same(stored: Any, computed: Any) -> None:  # noqa: ANN401  JSON
    if isinstance(computed, dict):
        assert stored.keys() == computed.keys()
        for key in computed:
            same(stored[key], computed[key])
    elif isinstance(computed, list):
        assert len(stored) == len(computed)
        for one, other in zip(stored, computed, strict=True):
            same(one, other)
    elif isinstance(computed, float):
        assert stored == pytest.approx(computed, abs=1e-12), (
            "python tools/golden.py writes them again"
        )
    else:
        assert stored == computed, "python tools/golden.py writes them again"
