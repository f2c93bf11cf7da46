"""Word and PowerPoint documents as Markdown; archives that unpack to more than they may, and
encrypted ones, are refused.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from kemb.errors import MissingExtra
from kemb.messages import Note, note
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.markup import tidy
from kemb.tasks.own.pdf import ranges

_MOST_MEMBERS = 20_000
_MOST_UNPACKED = 1 << 30
_MOST_XML = 128 << 20
"""Bytes of all XML in a file together; parsers need many times as much memory."""
_XML = (".xml", ".rels", ".hpf")
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How OLE files begin: old Office files, encrypted new ones, and HWP 5."""
_SLIDE = re.compile(r"<!-- Slide number: (\d+) -->")
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)")
_PLAIN = {
    "strip": ["a", "img"],
    "escape_asterisks": False,
    "escape_underscores": False,
    "escape_misc": False,
}
"""Options of markdownify: text without links, images and backslashes."""


def docx_to_markdown(raw: bytes, file: str, findings: Findings) -> str | None:
    """The text of a Word document: headings by their styles, lists, tables.

    :param raw: the file.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :return: Markdown; None, and a finding, where it cannot be read.
    :raises MissingExtra: without markitdown.
    """
    return _convert("DocxConverter", raw, file, findings)


def pptx_to_markdown(raw: bytes, file: str, findings: Findings) -> str | None:
    """As `docx_to_markdown`, of a presentation: titles of slides are headings; slides without text
    are a finding.
    """
    markdown = _convert("PptxConverter", raw, file, findings)
    if markdown is None:
        return None
    slides = _SLIDE.split(markdown)
    texts = [tidy(_IMAGE.sub(r"\1", text)) for text in slides[2::2]]
    empty = [int(n) for n, text in zip(slides[1::2], texts, strict=True) if not text]
    if empty and len(empty) < len(texts):
        message = note("finding.empty_slides", slides=ranges(empty), n=len(texts))
        findings.warn("pages without text", file, message)
    return "\n\n".join(text for text in texts if text)


def _convert(name: str, raw: bytes, file: str, findings: Findings) -> str | None:
    """What a converter of markitdown makes of a file."""
    try:
        from markitdown import StreamInfo, converters

        converter: Any = getattr(converters, name)()
    except ImportError as error:
        raise MissingExtra(f"Reading {file}", "docs") from error
    if not is_sound(raw, file, findings):
        return None
    try:
        markdown: str = converter.convert(io.BytesIO(raw), StreamInfo(), **_PLAIN).markdown
    except Exception as error:  # whatever a broken file makes the libraries raise
        reason = str(error) or type(error).__name__
        findings.error("broken file", file, note("finding.cannot_be_read", reason=reason))
        return None
    return tidy(markdown)


def is_sound(raw: bytes, file: str, findings: Findings) -> bool:
    """Whether a file is an archive that can be unpacked with reasonable means; else a finding."""
    problem: tuple[str, Note] | None
    if raw.startswith(_COMPOUND):
        problem = "encrypted file", note("finding.encrypted_or_old")
    else:
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                problem = _problem_of(archive)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            problem = "broken file", note("finding.cannot_be_read", reason=reason)
    if problem:
        findings.error(problem[0], file, problem[1])
    return problem is None


def _problem_of(archive: zipfile.ZipFile) -> tuple[str, Note] | None:
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        return "encrypted file", note("finding.needs_password")
    xml = [member for member in members if member.filename.lower().endswith(_XML)]
    if (
        len(members) > _MOST_MEMBERS
        or sum(member.file_size for member in members) > _MOST_UNPACKED
        or sum(member.file_size for member in xml) > _MOST_XML
    ):
        return "too large", note(
            "finding.unpacks_to_too_much",
            n_files=_MOST_MEMBERS,
            megabytes=_MOST_UNPACKED >> 20,
            of_xml=_MOST_XML >> 20,
        )
    for member in xml:  # read no further than the size it names
        if b"<!DOCTYPE" in archive.read(member).replace(b"\0", b""):
            return "broken file", note("finding.document_type", member=member.filename)
    return None
