"""Names: data sets that are misspelt or mixed up, links that lead elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from urllib.parse import urlsplit

from kemb import tasks
from kemb.adapters.docinit import Document
from kemb.audit.findings import Finding
from kemb.audit.shape import Shape, plain_name
from kemb.boards.benchinit import load_benchmark, names

_KLUE = {"mrc", "ynat", "sts", "nli", "ner", "re", "dp", "wos"}
_HUBS = {"huggingface.co", "www.huggingface.co", "hf.co", "github.com", "modelscope.cn", "www.modelscope.cn"}
_MODEL_PATH = re.compile(r"/[\w.-]+/[\w.-]+")


def check_labels(document: Document, shapes: Sequence[Shape]) -> Iterator[Finding]:
    """Columns whose name is that of a known data set but for a digit or letter, or of two data sets at once."""
    for shape in shapes:
        wrong = []
        for column in shape.scores:
            title = shape.title(column)
            if (near := _misspelt(title)) is not None:
                wrong.append(f"{title!r} is no known data set; {near!r} is")
            elif (two := _mixed(title)) is not None:
                wrong.append(f"{title!r} names two data sets of KLUE, {two[0]} and {two[1]}")
        if wrong:
            yield Finding(
                "label",
                document.path.name,
                shape.table.line,
                shape.table.title,
                "header",
                f"{len(wrong)} column{'s' if len(wrong) > 1 else ''} of {shape.table.title!r} cannot be told by name.",
                "; ".join(wrong) + ".",
                "Who looks for the data set finds another one, or none.",
            )


def check_links(document: Document, shapes: Sequence[Shape]) -> Iterator[Finding]:
    """Rows whose link leads to another model of the table, and hub links on a host that is not the hub's."""
    foreign: dict[str, int] = {}
    for shape in shapes:
        known = {plain_name(name.rsplit("/", 1)[-1]) for name in shape.names}
        for row, cell in enumerate(shape.table.column(shape.name)):
            parts = urlsplit(cell.link)
            if not cell.link or not _MODEL_PATH.fullmatch(parts.path):
                continue
            host = (parts.hostname or "").rstrip(".")
            if host not in _HUBS and re.search(r"\bhf\b|huggingface", host):
                foreign[parts.netloc] = foreign.get(parts.netloc, 0) + 1
            own, target = (plain_name(name.rsplit("/", 1)[-1]) for name in (cell.text, parts.path))
            if target != own and target in known:
                yield Finding(
                    "link",
                    document.path.name,
                    shape.table.lines[row],
                    shape.table.title,
                    cell.text,
                    f"The link of {cell.text} leads to another model.",
                    f"It leads to {parts.path.strip('/')}, which is another row of the table.",
                    "Who follows it downloads the wrong model.",
                )
    for host, count in foreign.items():
        yield Finding(
            "link",
            document.path.name,
            1,
            "",
            host,
            f"{count} links to models lead to {host}, which is not the hub's host.",
            "The paths are those of models on huggingface.co.",
            "A mirror that scraped the page may serve anything.",
        )


@cache
def _known() -> dict[str, str]:
    """Plain names of data sets -> as they are written."""
    titles = [title for name in names() for cell in load_benchmark(name).cells for title in (cell.title, cell.task)]
    return {plain_name(title): title for title in [*tasks.names(), *titles] if title not in ("sib2000",)}


def _misspelt(title: str) -> str | None:
    """A known data set from whose name this one differs by one digit in a number, as 2000 from 200."""
    plain = plain_name(title)
    if plain in _known() or not re.search(r"\d{3}", plain) or len(plain) < 5:
        return None
    for known, written in _known().items():
        letters = [re.sub(r"\d", "", name) for name in (plain, known)]
        digits = [re.sub(r"\D", "", name) for name in (plain, known)]
        if letters[0] == letters[1] and len(letters[0]) >= 3 and abs(len(digits[0]) - len(digits[1])) == 1:
            short, long = sorted(digits, key=len)
            if any(long[:i] + long[i + 1 :] == short for i in range(len(long))):
                return written
    return None


def _mixed(title: str) -> tuple[str, str] | None:
    """Two data sets of KLUE in one name."""
    words = re.split(r"[\W_]+", title.lower())
    if "klue" not in words:
        return None
    found = [word for word in words if word in _KLUE]
    return (found[0], found[1]) if len(set(found)) > 1 else None
