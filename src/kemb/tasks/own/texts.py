"""A folder of one text file per chunk, beside questions that name these files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kemb.files import disk
from kemb.messages import note
from kemb.tasks.own.columns import GOLD_ANSWERS, GOLD_IDS, plain_name
from kemb.tasks.own.encodings import decode
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.forms import KnownIds
from kemb.tasks.own.gold import ids_in, is_empty

_SUFFIXES = (".txt", ".md")
_NO_CHUNKS = ("review", "judge")
"""Folders of what people and models said."""
_NO_CHUNK_STEMS = ("readme", "license", "licence", "changelog")
_LEAST_SHARE = 0.5
"""Of a column's cells, that must name files, for the files to be chunks."""


class TextFiles(NamedTuple):
    """The chunks, and the files that they are."""

    table: Table
    paths: list[Path]


def text_chunks(root: Path, tables: list[Table], findings: Findings) -> TextFiles | None:
    """Text files at the top of a folder, or in one folder of it, that a column of right chunks
    names; None where none does.

    :param root: the folder.
    :param tables: what else is in it.
    :param findings: takes what cannot be read, and that files are taken for chunks.
    """
    for folder in [root, *sorted(item for item in root.iterdir() if item.is_dir())]:
        if folder.name.startswith(".") or folder.name in _NO_CHUNKS:
            continue
        paths = _text_files(folder)
        names = KnownIds([path.name for path in paths], "ending")
        if paths and any(_names_files(table, names) for table in tables):
            return _read(root, folder, paths, findings)
    return None


def _text_files(folder: Path) -> list[Path]:
    """The text files in a folder, sorted; none of a folder that cannot be looked into."""
    try:
        items = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        item
        for item in items
        if item.suffix.lower() in _SUFFIXES
        and item.is_file()
        and not item.name.startswith(".")
        and item.stem.lower() not in _NO_CHUNK_STEMS
    ]


def _names_files(table: Table, names: KnownIds) -> bool:
    """Whether a column of right chunks names files in most of its cells."""
    for name, cells in table.columns.items():
        if plain_name(name) in GOLD_IDS + GOLD_ANSWERS:
            filled = [cell for cell in cells if not is_empty(cell)]
            n_named = sum(all(one in names for one in ids_in(cell, names)) for cell in filled)
            if filled and n_named >= _LEAST_SHARE * len(filled):
                return True
    return False


def _read(root: Path, folder: Path, paths: list[Path], findings: Findings) -> TextFiles:
    file = (folder.relative_to(root) / "*.txt").as_posix()
    texts: list[object] = []
    for path in paths:
        try:
            text = decode(path.read_bytes(), path.relative_to(root).as_posix(), findings)
        except OSError as error:
            message = note("finding.cannot_be_read", reason=disk.reason_of(error))
            findings.error("unreadable file", path.name, message)
            text = None
        texts.append((text or "").strip())
    findings.warn("files as chunks", file, note("finding.files_as_chunks", n=len(paths)))
    columns: dict[str, list[object]] = {"id": [path.name for path in paths], "text": texts}
    return TextFiles(Table(file, columns, range(1, len(paths) + 1)), paths)
