"""PDF as text: paragraphs page by page, lines in larger type as headings, and which pages gave
nothing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kemb.errors import MissingExtra
from kemb.messages import Note, note
from kemb.tasks.own.findings import Findings

_MOST_UNPACKED = 512 << 20
"""Bytes of all compressed streams of a file together."""
_LARGER = 1.15
"""A heading's type is so many times as large as the body's."""
_MOST_OF_HEADING = 80
_MOST_LEVELS = 3
_MOST_IN_HEADINGS = 0.25
"""Where more of the text than this stands in larger type, size does not mark headings."""
_STREAM = re.compile(rb"stream\r?\n")
_UNKNOWN = re.compile(r"\(cid:\d+\)")
"""What pdfminer writes for a letter whose font does not say which one it is."""
_MARKS = re.compile(r"[-=_*·.\s]*")


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    size: float
    """Of the type, in points, rounded to halves."""


_Page = list[list[_Line]]
"""Paragraphs of lines."""


def pdf_to_markdown(raw: bytes, file: str, findings: Findings) -> str | None:
    """The text of a PDF; short lines in larger type than the body become headings, and a finding
    counts them.

    :param raw: the file.
    :param file: its name in messages.
    :param findings: takes pages without text, and what cannot be read.
    :return: Markdown; None, and a finding, where no page has text.
    :raises MissingExtra: without pdfminer.six.
    """
    try:
        from pdfminer.pdfdocument import PDFEncryptionError
    except ImportError as error:
        raise MissingExtra(f"Reading {file}", "docs") from error
    if _is_bomb(raw):
        findings.error(
            "too large", file, note("finding.pdf_too_large", megabytes=_MOST_UNPACKED >> 20)
        )
        return None
    try:
        with _without_log():
            pages = list(_pages(raw, file, findings))
    except PDFEncryptionError:
        findings.error(
            "encrypted file",
            file,
            note("finding.pdf_password", file=file),
        )
        return None
    except Exception as error:  # whatever a broken file makes pdfminer raise
        reason = str(error) or type(error).__name__
        findings.error("broken PDF", file, note("finding.cannot_be_read", reason=reason))
        return None
    return _markdown(pages, file, findings)


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as people write them: `2, 5-9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _pages(raw: bytes, file: str, findings: Findings) -> Iterator[_Page]:
    from pdfminer.converter import PDFPageAggregator
    from pdfminer.layout import LAParams
    from pdfminer.pdfdocument import PDFDocument
    from pdfminer.pdfinterp import PDFPageInterpreter, PDFResourceManager
    from pdfminer.pdfpage import PDFPage
    from pdfminer.pdfparser import PDFParser

    resources = PDFResourceManager()
    device = PDFPageAggregator(resources, laparams=LAParams(all_texts=True))
    interpreter = PDFPageInterpreter(resources, device)
    for number, page in enumerate(PDFPage.create_pages(PDFDocument(PDFParser(io.BytesIO(raw)))), 1):
        try:
            interpreter.process_page(page)
            yield list(_paragraphs(device.get_result()))
        except Exception as error:  # as above; the other pages may be whole
            reason = str(error) or type(error).__name__
            findings.warn(
                "broken page", file, note("finding.broken_page", page=number, reason=reason)
            )
            yield []


def _paragraphs(element: object) -> Iterator[list[_Line]]:
    """Text boxes in reading order, those in figures included."""
    from pdfminer.layout import LTChar, LTFigure, LTPage, LTTextBox

    if isinstance(element, LTTextBox):
        lines = []
        for line in element:
            sizes = Counter(round(2 * char.size) / 2 for char in line if isinstance(char, LTChar))
            text = " ".join(line.get_text().split())
            if sizes and not _MARKS.fullmatch(text):
                lines.append(_Line(text, sizes.most_common(1)[0][0]))
        if lines:
            yield lines
    elif isinstance(element, LTPage | LTFigure):
        for child in element:
            yield from _paragraphs(child)


def _markdown(pages: Sequence[_Page], file: str, findings: Findings) -> str | None:
    texts = ["\n".join(line.text for lines in page for line in lines) for page in pages]
    unknown = [len("".join(_UNKNOWN.findall(text))) for text in texts]
    readable = [2 * n < len(text) for text, n in zip(texts, unknown, strict=True)]
    empty = [number for number, is_readable in enumerate(readable, 1) if not is_readable]
    if len(empty) == len(pages):
        findings.error(
            "scanned",
            file,
            note("finding.scanned", n=len(pages), ocr=_ocr("--force-ocr", file)),
        )
        return None
    if empty:
        ocr = _ocr("--skip-text", file)
        message = note("finding.pages_without_text", pages=ranges(empty), n=len(pages), ocr=ocr)
        findings.warn("pages without text", file, message)
    partly = [i + 1 for i, n in enumerate(unknown) if n and readable[i]]
    if partly:
        ocr = _ocr("--force-ocr", file)
        message = note("finding.unknown_letters", pages=ranges(partly), ocr=ocr)
        findings.warn("unknown letters", file, message)
    whole = [page for page, is_readable in zip(pages, readable, strict=True) if is_readable]
    levels = _levels(line for page in whole for lines in page for line in lines)
    blocks = [block for page in whole for lines in page for block in _blocks(lines, levels)]
    n_headings = sum(block.startswith("#") for block in blocks)
    if n_headings:
        message = note("finding.headings_by_size", n_headings=n_headings)
        findings.warn("headings by size", file, message)
    return "\n\n".join(blocks)


def _ocr(option: str, file: str) -> Note:
    return note("finding.ocr", option=option, file=file)


def _levels(lines: Iterable[_Line]) -> dict[float, int]:
    """Size of type -> level of a heading; empty where size does not mark headings."""
    n_letters: Counter[float] = Counter()
    for line in lines:
        n_letters[line.size] += len(line.text)
    body = n_letters.most_common(1)[0][0]
    larger = sorted((size for size in n_letters if size >= _LARGER * body), reverse=True)
    if sum(n_letters[size] for size in larger) > _MOST_IN_HEADINGS * n_letters.total():
        return {}
    return {size: min(place, _MOST_LEVELS) for place, size in enumerate(larger, 1)}


def _blocks(lines: Sequence[_Line], levels: dict[float, int]) -> Iterator[str]:
    """Headings and paragraphs of one text box; lines of one size that follow each other are one
    heading.
    """
    runs: list[tuple[int, list[str]]] = []
    size = 0.0
    for line in lines:
        level = levels.get(line.size, 0)
        if runs and runs[-1][0] == level and (not level or size == line.size):
            runs[-1][1].append(line.text)
        else:
            runs.append((level, [line.text]))
        size = line.size
    for level, texts in runs:
        heading = " ".join(texts)
        if level and len(heading) <= _MOST_OF_HEADING and any(map(str.isalpha, heading)):
            yield f"{'#' * level} {heading}"
        else:
            yield "\n".join(f"\\{text}" if text.startswith("#") else text for text in texts)


def _is_bomb(raw: bytes) -> bool:
    """Whether the deflated streams of a file unpack to more than is read."""
    left = _MOST_UNPACKED
    for match in _STREAM.finditer(raw):
        end = raw.find(b"endstream", match.end())
        if raw[match.end() : match.end() + 1] not in (b"x", b"h", b"H", b"8"):
            continue
        with contextlib.suppress(zlib.error):
            unpacked = zlib.decompressobj().decompress(raw[match.end() : end], left)
            left -= len(unpacked)
        if left <= 0:
            return True
    return False


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Without pdfminer's warnings about files that are not quite as they should be."""
    log = logging.getLogger("pdfminer")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
