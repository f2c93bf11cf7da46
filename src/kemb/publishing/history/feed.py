"""What changed, as an Atom feed (RFC 4287). Same snapshots, same bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from kemb.errors import UsageError
from kemb.messages import Lang, note, say
from kemb.publishing.history.changes import changes, sentence
from kemb.publishing.history.snapshots import Snapshot

ATOM = "http://www.w3.org/2005/Atom"
XHTML = "http://www.w3.org/1999/xhtml"
FILE = "feed.xml"
_N_LINES = 200
_NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document can hold, not even escaped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One snapshot of the feed; all texts are plain."""

    id: str
    """An IRI that stays the same for good."""
    date: str
    """YYYY-MM-DD."""
    title: str
    lines: tuple[str, ...]
    link: str = ""
    """Relative to the site, or absolute; '' for none."""


def entries(snapshots: Sequence[Snapshot], lang: Lang, links: Sequence[str] = ()) -> list[Entry]:
    """One entry for each snapshot, newest first.

    :param snapshots: oldest first, as `read_snapshots` gives them.
    :param lang: of titles and lines.
    :param links: the page of each snapshot, if there are pages.
    """
    feed_entries = []
    for place, snapshot in enumerate(snapshots):
        lines = (
            [sentence(change, lang) for change in changes(snapshots[place - 1], snapshot)]
            if place
            else []
        )
        title = _title(snapshot, len(lines) if place else None, lang)
        if more := len(lines[_N_LINES:]):
            lines = [*lines[:_N_LINES], say(note("change.more_changes", n=more), lang)]
        link = links[place] if links else ""
        feed_entries.append(
            Entry(_urn(f"{lang} {snapshot.sha256}"), snapshot.date, title, tuple(lines), link)
        )
    return feed_entries[::-1]


def atom(entries: Sequence[Entry], base_url: str, title: str) -> str:
    """The feed as XML.

    :param entries: newest first.
    :param base_url: where the site will lie, the identity of the feed; '' where nobody knows: then
        there are no links.
    :param title: of the feed; any text.
    :raises UsageError: the base URL is no http address.
    """
    base_url = f"{_address(base_url)}/" if base_url else ""
    feed = ElementTree.Element("feed", xmlns=ATOM)
    _text(feed, "id", base_url or _urn(f"feed {title}"))
    _text(feed, "title", title)
    _text(feed, "updated", _instant(max((entry.date for entry in entries), default="1970-01-01")))
    _text(ElementTree.SubElement(feed, "author"), "name", title)
    if base_url:
        ElementTree.SubElement(feed, "link", rel="self", href=urljoin(base_url, FILE))
        ElementTree.SubElement(feed, "link", rel="alternate", href=base_url)
    for entry in entries:
        _add(feed, entry, base_url)
    ElementTree.indent(feed, " ")
    text = ElementTree.tostring(feed, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _add(feed: ElementTree.Element, entry: Entry, base_url: str) -> None:
    node = ElementTree.SubElement(feed, "entry")
    _text(node, "id", entry.id)
    _text(node, "title", entry.title)
    _text(node, "updated", _instant(entry.date))
    if base_url and entry.link:
        ElementTree.SubElement(node, "link", rel="alternate", href=urljoin(base_url, entry.link))
    content = ElementTree.SubElement(node, "content", type="xhtml")
    body = ElementTree.SubElement(content, "div", xmlns=XHTML)
    if entry.lines:
        items = ElementTree.SubElement(body, "ul")
        for line in entry.lines:
            _text(items, "li", line)
    else:
        _text(body, "p", entry.title)


def _text(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = _NOT_XML.sub("\ufffd", text)


def _address(url: str) -> str:
    """Without the slash at its end."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return url.rstrip("/")
    except ValueError:  # a half IPv6 address
        pass
    raise UsageError(
        f"{url!r} is no address of a site; expected one such as https://example.org/leaderboard/."
    )


def _instant(date: str) -> str:
    return f"{date}T00:00:00Z"


def _urn(text: str) -> str:
    return f"urn:sha256:{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()}"


def _title(snapshot: Snapshot, n_changes: int | None, lang: Lang) -> str:
    """The date and how much changed; of the first snapshot what there is."""
    if n_changes is not None:
        return say(note("change.changes", date=snapshot.date, n=n_changes), lang)
    n_boards = len(snapshot.boards)
    n_rows = len({row.id for board in snapshot.boards.values() for row in board.rows})
    first = note("change.first_record", date=snapshot.date, n_boards=n_boards, n_rows=n_rows)
    return say(first, lang)
