"""HTML as Markdown: the text that a reader of the page sees, its headings as `#` lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemb.errors import MissingExtra
from kemb.messages import note
from kemb.tasks.own.encodings import decode
from kemb.tasks.own.findings import Findings

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

_NOT_TEXT = ("script", "style", "template", "noscript", "svg", "nav")
"""Elements whose content no reader takes for the page's text."""
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_KOREAN = {"euc-kr", "ks_c_5601-1987", "ksc5601", "euckr"}
"""Names under which browsers read code page 949, which holds more syllables."""
_BLANK_LINES = re.compile(r"\n{3,}")
_LINE_END = re.compile(r"[ \t]+\n")


def html_to_markdown(raw: bytes, file: str, findings: Findings) -> str | None:
    """The text of a page without scripts and menus (`<nav>`); links and images lose their
    addresses. Where no heading of the first level stands in it, the page's `<title>` is one.

    :param raw: the file; its encoding is UTF-8, or what its `<meta charset>` names.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :return: Markdown; None, and a finding, where it cannot be read.
    :raises MissingExtra: without beautifulsoup4, lxml and markdownify.
    """
    try:
        import lxml.etree  # noqa: F401  # the parser of BeautifulSoup below
        from bs4 import BeautifulSoup
    except ImportError as error:
        raise MissingExtra(f"Reading {file}", "docs") from error
    text = _decode(raw, file, findings)
    if text is None:
        return None
    try:
        soup = BeautifulSoup(text, "lxml")  # it closes what a page leaves open
        markdown = _markdown(soup, file)
    except RecursionError:
        findings.error("broken HTML", file, note("finding.broken_html"))
        return None
    if not markdown:
        findings.error(
            "no text",
            file,
            note("finding.page_without_text"),
        )
        return None
    return markdown


def tidy(markdown: str) -> str:
    """Markdown without blanks at the ends of lines, and with at most one blank line in a row."""
    lines = markdown.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
    return _BLANK_LINES.sub("\n\n", _LINE_END.sub("\n", lines)).strip()


def _markdown(soup: BeautifulSoup, file: str) -> str:
    try:
        from markdownify import MarkdownConverter
    except ImportError as error:
        raise MissingExtra(f"Reading {file}", "docs") from error
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    has_heading = soup.h1 is not None
    for element in soup.find_all([*_NOT_TEXT, "head"]):
        element.decompose()
    converter = MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        strip=["a", "img"],
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    body = tidy(converter.convert_soup(soup))
    return f"# {title}\n\n{body}" if body and title and not has_heading else body


def _decode(raw: bytes, file: str, findings: Findings) -> str | None:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        charset = _CHARSET.search(raw[:4096])
    if charset is not None:
        name = charset[1].decode("ascii").lower()
        try:
            return raw.decode("cp949" if name in _KOREAN else name)
        except (UnicodeDecodeError, LookupError):
            pass  # what the page says of itself is wrong
    return decode(raw, file, findings)
