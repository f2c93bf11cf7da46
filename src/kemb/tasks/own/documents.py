"""A folder of documents (text, Markdown, HTML, PDF, Word, PowerPoint, Hangul) as texts, and what of
it could not be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kemb.errors import UsageError
from kemb.files import disk
from kemb.messages import note
from kemb.tasks.own.encodings import decode
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.hangul import hangul_to_markdown
from kemb.tasks.own.headings import title_of
from kemb.tasks.own.markup import html_to_markdown
from kemb.tasks.own.office import docx_to_markdown, pptx_to_markdown
from kemb.tasks.own.pdf import pdf_to_markdown

MAX_BYTES = 256 << 20
"""Of one file; larger files are refused."""
_SAVE_AS_DOCX = note("finding.save_as", suffix=".docx")
_SAVE_AS_PPTX = note("finding.save_as", suffix=".pptx")
_TABLE = note("finding.table_of_texts")
_IMAGE = note("finding.image")
_WAY_OUT = {
    ".doc": _SAVE_AS_DOCX,
    ".ppt": _SAVE_AS_PPTX,
    ".rtf": _SAVE_AS_DOCX,
    ".odt": _SAVE_AS_DOCX,
    ".odp": _SAVE_AS_PPTX,
    ".xls": note("finding.table_to_save"),
    ".xlsx": _TABLE,
    ".csv": _TABLE,
    ".tsv": _TABLE,
    ".jsonl": _TABLE,
    ".json": _TABLE,
    ".parquet": _TABLE,
    ".png": _IMAGE,
    ".jpg": _IMAGE,
    ".jpeg": _IMAGE,
    ".tif": _IMAGE,
    ".tiff": _IMAGE,
    ".zip": note("finding.unpack_it"),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A document as text; offsets into it are code points."""

    id: str
    """Path of the file relative to the folder, with `/`."""
    title: str
    text: str
    """All of it: headings are Markdown's `#` lines, line breaks are `\\n`, letters are as read (no
    Unicode normalisation).
    """


def read_documents(path: Path, findings: Findings) -> list[Document]:
    """The documents of a folder and of the folders in it, sorted by path; or one file.

    Errors among the findings are files of which no text could be read: the rest is returned, so a
    caller who wants all of it or nothing looks at `findings.n_errors`. Warnings are pages without
    text, a second copy of a document (left out), and files of other kinds. Names that begin with
    `.` or `~$` (locks of office programs) are not looked at. A document always has text.

    :param path: a folder, or a file.
    :param findings: takes what is wrong, with file and page.
    :raises UsageError: there is nothing at the path.
    :raises MissingExtra: a format needs `kemb[docs]`, which is not installed.
    """
    if not path.exists():
        raise UsageError(
            f"There is no folder {path}; expected one that holds documents "
            f"({', '.join(DOCUMENT_SUFFIXES)})."
        )
    root = path if path.is_dir() else path.parent
    documents: list[Document] = []
    id_of_text: dict[str, str] = {}
    for file in _files(path, findings):
        text = _read(root / file, _name(file), findings)
        if text is None:
            continue
        first = id_of_text.setdefault(" ".join(text.split()), _name(file))
        if first != _name(file):
            findings.warn(
                "same document twice",
                _name(file),
                note("finding.same_document_twice", file=first),
            )
            continue
        documents.append(Document(_name(file), title_of(text, Path(_name(file)).stem), text))
    if not documents:
        findings.error(
            "no document",
            path.name,
            note("finding.no_document", suffixes=DOCUMENT_SUFFIXES),
        )
    return documents


def _files(path: Path, findings: Findings) -> Iterator[str]:
    """Paths of the files that are documents by their names, relative to the root, sorted."""
    names = _walk(path, findings) if path.is_dir() else [path.name]
    for name in sorted(names):
        suffix = Path(name).suffix.lower()
        if suffix in _READERS:
            yield name
            continue
        way_out = _WAY_OUT.get(
            suffix, note("finding.expected_document", suffixes=DOCUMENT_SUFFIXES)
        )
        kind = f"other file ({_name(suffix) or 'no ending'})"
        findings.warn(kind, _name(name), note("finding.no_document_file", way_out=way_out))


def _walk(root: Path, findings: Findings) -> Iterator[str]:
    for folder, folders, files in os.walk(root, onerror=lambda error: _unreadable(error, findings)):
        for name in folders:
            if (Path(folder) / name).is_symlink():
                findings.warn("linked folder", name, note("finding.linked_folder"))
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in files:
            if not name.startswith((".", "~$")):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _unreadable(error: OSError, findings: Findings) -> None:
    findings.error(
        "unreadable folder",
        str(error.filename),
        note("finding.cannot_be_read", reason=disk.reason_of(error)),
    )


def _name(file: str) -> str:
    """A path as text that can be written as UTF-8, whatever bytes the name has."""
    return file.encode("utf-8", "backslashreplace").decode()


def _read(path: Path, file: str, findings: Findings) -> str | None:
    """The text of a file; None, and a finding, where there is none."""
    try:
        raw = disk.read_bytes(path, MAX_BYTES)
    except OSError as error:
        findings.error(
            "unreadable file", file, note("finding.cannot_be_read", reason=disk.reason_of(error))
        )
        return None
    except ValueError as error:
        findings.error("unreadable file", file, note("finding.cannot_be_read", reason=str(error)))
        return None
    if not raw.strip():
        findings.error("empty file", file, note("finding.empty_file"))
        return None
    text = _READERS[path.suffix.lower()](raw, file, findings)
    if text is not None and not text.strip():
        findings.error("no text", file, note("finding.no_text"))
        return None
    return text


def _read_text(raw: bytes, file: str, findings: Findings) -> str | None:
    text = decode(raw, file, findings)
    return None if text is None else text.replace("\r\n", "\n").replace("\r", "\n")


Reader = Callable[[bytes, str, Findings], str | None]
"""From the bytes of a file and its name in messages to its text."""

_READERS: dict[str, Reader] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".markdown": _read_text,
    ".html": html_to_markdown,
    ".htm": html_to_markdown,
    ".pdf": pdf_to_markdown,
    ".docx": docx_to_markdown,
    ".pptx": pptx_to_markdown,
    ".hwp": hangul_to_markdown,
    ".hwpx": hangul_to_markdown,
}
DOCUMENT_SUFFIXES = tuple(_READERS)
