"""What the files of a folder decide, and what their names say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.messages import Note, Text, note
from kemb.tasks.own.columns import Mapped
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.readers import DATA_SUFFIXES

TOML = "task.toml"


SPLIT_WORDS = {
    **{"train": "train", "training": "train", "학습": "train", "훈련": "train"},
    **{"test": "test", "시험": "test", "테스트": "test", "평가": "test"},
    **{
        "validation": "validation",
        "valid": "validation",
        "val": "validation",
        "검증": "validation",
        "dev": "dev",
    },
}


ROLE_WORDS = {
    **{
        "corpus": "corpus",
        "documents": "corpus",
        "docs": "corpus",
        "passages": "corpus",
        "collection": "corpus",
        "chunks": "corpus",
        "chunk": "corpus",
        "nodes": "corpus",
        "docstore": "corpus",
        "문서": "corpus",
        "청크": "corpus",
        "조각": "corpus",
    },
    **{
        "queries": "queries",
        "query": "queries",
        "questions": "queries",
        "topics": "queries",
        "testset": "queries",
        "질문": "queries",
        "질의": "queries",
    },
    "qrels": "qrels",
}


Files = dict[str, Table | None]
"""Data files by name; None where a file could not be read, which is noted already."""


Settings = dict[str, Any]
"""Fields of a TaskSpec that task.toml sets, validated."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the files decide; task.toml comes over it.

    `tables` has `corpus`, `queries` and one `qrels/<split>` per split for retrieval, else one entry
        per split
    (`train` included where there is such a file).
    """

    fields: dict[str, Any]
    """Fields of the TaskSpec."""
    layout: str
    rules: list[Text]
    tables: dict[str, Mapped]
    other_splits: tuple[str, ...] = ()
    """Files of splits that are not scored and not needed."""
    groups: dict[str, list[list[str]]] | None = None
    """By query, AutoRAG's groups: a document of every group answers it in full. None where each
    query has one group of one document.
    """


def role_of(file: str) -> str:
    """`corpus`, `queries` or `qrels` by the name of a file, or nothing."""
    folder = file.partition("/")[0] if "/" in file else ""
    if folder in ("qrels", "corpus", "queries"):
        return folder
    file, _, inner = file.partition("#")
    if inner and (role := role_of(inner)):
        return role
    return next((ROLE_WORDS[word] for word in _words(file) if word in ROLE_WORDS), "")


def split_of(file: str) -> str:
    """The split a file's name speaks of, or nothing."""
    file = file.partition("#")[0]
    return next((SPLIT_WORDS[word] for word in reversed(_words(file)) if word in SPLIT_WORDS), "")


def _words(file: str) -> list[str]:
    return re.split(r"[\W_]+", unicodedata.normalize("NFC", Path(file).stem).lower())


def only(files: list[str], what: str, findings: Findings) -> str | None:
    """The one file of a kind; none or several are an error."""
    if len(files) == 1:
        return files[0]
    if files:
        findings.error(
            "several files",
            ", ".join(files),
            note("finding.several_files_of_a_role", role=what, last=f"{len(files):05}"),
        )
    else:
        message = note("finding.missing_role", suffixes=DATA_SUFFIXES)
        findings.error("missing file", what, message)
    return None


def by_split(files: Iterable[str], fallback: str, findings: Findings) -> dict[str, str]:
    """Split -> file, by the words in their names; `fallback` where a name has none."""
    file_of_split: dict[str, str] = {}
    for file in files:
        split = split_of(file) or fallback
        if split in file_of_split:
            findings.error(
                "several files",
                file,
                note("finding.split_twice", other=file_of_split[split], split=split),
            )
        elif split:
            file_of_split[split] = file
    return file_of_split


def choose_splits(
    splits: Iterable[str], settings: Settings, findings: Findings
) -> tuple[list[str], Note]:
    """The splits to score, and the rule that chose them."""
    splits = list(splits)
    declared_splits: list[str] = settings.get("splits", [])
    for split in declared_splits:
        if split not in splits:
            message = note("finding.no_file_of_split", splits=splits)
            findings.error("task.toml", TOML, message, column="splits", value=split)
    if declared_splits:
        scored = [split for split in declared_splits if split in splits]
        return scored, note("rule.toml_splits")
    if "test" in splits:
        return ["test"], note("rule.split_test")
    rest = [split for split in splits if split != "train"] or splits
    return rest, note("rule.no_test", splits=rest)
