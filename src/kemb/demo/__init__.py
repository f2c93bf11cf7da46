"""The shipped Korean mini benchmark and the models that need no download."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path


def task_folders() -> list[Path]:
    """The folders of the mini benchmark, each one a data folder like a user's own."""
    return sorted(path.parent for path in Path(__file__).parent.glob("*/task.toml"))


def task_names() -> list[str]:
    """The names of the tasks of the mini benchmark."""
    return [
        str(tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))["name"])
        for folder in task_folders()
    ]


def models() -> list[str]:
    """Models that run without network; those on Kiwi where it is installed."""
    names = ["tfidf:char", "toy", "bm25:bigram", "bm25:mteb"]
    if importlib.util.find_spec("kiwipiepy") is not None:
        names += ["kiwi-static", "bm25:kiwi"]
    return names
