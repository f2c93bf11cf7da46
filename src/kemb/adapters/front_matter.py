"""YAML of strangers: the head of a README, and files of results, as YAML 1.2 reads them and within
bounds; and a head with some keys replaced, all else byte for byte as it was.

The hub reads YAML 1.2, PyYAML 1.1: `no`, `on`, 1.10, 12:30:00 and 0123456 are other values there.
Here a scalar is the text that stands in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

from kemb.errors import DataError

MOST_CHARACTERS = 4 << 20
MOST_DEPTH = 32
_FENCE = re.compile(r"---[ \t]*+")
_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]++")
_NULL = {"", "~", "null", "Null", "NULL"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(str):
    """A value as it stands in the file."""

    __slots__ = ("is_plain", "line")
    is_plain: bool
    """Whether it stands without quotes."""
    line: int
    """From 1."""

    def __new__(cls, text: str, is_plain: bool, line: int) -> Scalar:
        """A text with its place."""
        scalar = super().__new__(cls, text)
        scalar.is_plain, scalar.line = is_plain, line
        return scalar


class Fields(dict[str, Any]):
    """A mapping, and the line it starts in, from 1."""

    line: int = 1


class _Broken(ValueError):
    """What is wrong with a YAML, with its line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


def number_of(value: object) -> float | None:
    """The number that a value is, quoted or not; None where it is none, or larger than a double."""
    try:
        number = float(str(value)) if "_" not in str(value) else None
    except ValueError:
        return None
    return number if number is not None and len(str(value)) < 400 else None


def read_yaml(text: str, first_line: int = 1) -> Any:  # noqa: ANN401  whatever a YAML holds
    """A YAML of one document: mappings, lists, scalars as they stand, and None for nulls.

    :param first_line: the line of the file that the text starts in.
    :raises ValueError: with line and reason: no YAML, more than `MOST_DEPTH` levels, a key twice,
        anchors that are used again, or tags of another language.
    """
    if len(text) > MOST_CHARACTERS:
        raise _Broken(first_line, f"more than {MOST_CHARACTERS >> 20} MB of YAML")
    try:
        return _built(yaml.parse(text, Loader=_Loader), first_line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        raise _Broken(line, f"it is no YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, _Broken):
            raise
        reason = " ".join(str(error).split())[:120]
        raise _Broken(first_line, f"it is no YAML ({reason})") from error


def _built(events: Iterator[Any], first_line: int) -> Any:  # noqa: ANN401
    """The value of the events of a parser."""
    top: list[Any] = []
    containers: list[Any] = [top]
    keys: list[Scalar | None] = [None]
    n_documents = 0
    for event in events:
        line = first_line + event.start_mark.line
        if isinstance(event, yaml.DocumentStartEvent):
            n_documents += 1
            if n_documents > 1:
                raise _Broken(line, "a second document begins")
        elif isinstance(event, yaml.AliasEvent):
            raise _Broken(line, f"*{str(event.anchor)[:60]} repeats another place; write it out")
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event, line)
            _add(containers, keys, Scalar(event.value, not event.style, line), line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            _check_tag(event, line)
            if len(containers) > MOST_DEPTH:
                raise _Broken(line, f"more than {MOST_DEPTH} levels inside each other")
            container: Any = [] if isinstance(event, yaml.SequenceStartEvent) else Fields()
            if isinstance(container, Fields):
                container.line = line
            _add(containers, keys, container, line)
            containers.append(container)
            keys.append(None)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            containers.pop()
            keys.pop()
    return top[0] if top else None


def _check_tag(event: Any, line: int) -> None:  # noqa: ANN401  an event has no type
    if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
        raise _Broken(line, f"the tag {event.tag[:60]} is not read")


def _add(containers: list[Any], keys: list[Scalar | None], value: Any, line: int) -> None:  # noqa: ANN401
    """Put a value where it belongs: in a list, or as a key or the value of one."""
    is_null = isinstance(value, Scalar) and value.is_plain and value in _NULL
    container, key = containers[-1], keys[-1]
    if isinstance(container, list):
        container.append(None if is_null else value)
    elif key is not None:
        container[str(key)] = None if is_null else value
        keys[-1] = None
    elif not isinstance(value, Scalar):
        raise _Broken(line, "a key that is no text")
    elif value in container:
        raise _Broken(line, f"the key {str(value)[:60]!r} stands twice")
    else:
        keys[-1] = value


def split(text: str) -> tuple[str | None, str]:
    """The YAML between the first two lines `---` of a README, with its line ends, and what follows
    them; None where it has no such head.
    """
    lines = _LINE.findall(text)
    first = next((place for place, line in enumerate(lines) if line.strip()), len(lines))
    if first == len(lines) or not _FENCE.fullmatch(lines[first].strip("\r\n")):
        return None, text
    for place in range(first + 1, len(lines)):
        if _FENCE.fullmatch(lines[place].strip("\r\n")):
            return "".join(lines[first + 1 : place]), "".join(lines[place + 1 :])
    return None, text


def read_head(head: str, first_line: int = 2) -> Fields:
    """The fields of a README's head.

    :raises DataError: it is no YAML of keys.
    """
    try:
        fields = read_yaml(head, first_line)
    except ValueError as error:
        raise _no_head(str(error)) from error
    if fields is None:
        return Fields()
    if not isinstance(fields, Fields):
        raise _no_head(f"line {first_line}: it holds no keys")
    return fields


def _no_head(reason: str) -> DataError:
    return DataError(
        "The front matter of the README (between its first two lines ---) is no YAML of keys: "
        f"{reason}. Repair it, or name another file with -o. Nothing was written."
    )


def with_fields(
    head: str, fields: Mapping[str, Any], removed: Collection[str] = (), end: str = "\n"
) -> str:
    """A head in which the given keys have these values; every other byte stays.

    Keys that are there keep their place, new ones and those of `removed` come last. A list that
    only grows keeps its lines.

    :param end: the line end of what is new.
    :raises DataError: the keys do not stand one a line.
    """
    lines = _LINE.findall(head)
    old = read_head(head)
    spans = _spans(lines, old)
    pieces: list[tuple[int, int, list[str]]] = []
    for key in spans.keys() & {*removed, *fields}:
        start, stop = spans[key]
        new_lines: list[str] = []
        if key not in removed:
            longer = _longer_list(lines[start:stop], old[key], fields[key], end)
            new_lines = longer or [_dump({key: fields[key]}, end)]
        pieces.append((start, stop, new_lines))
    for start, stop, new_lines in sorted(pieces, reverse=True):
        lines[start:stop] = new_lines
    if lines and not lines[-1].endswith(("\r", "\n")):
        lines[-1] += end
    is_new = [key for key in fields if key not in spans or key in removed]
    return "".join([*lines, *(_dump({key: fields[key]}, end) for key in is_new)])


def _spans(lines: list[str], fields: Fields) -> dict[str, tuple[int, int]]:
    """The lines of every key, comments and empty lines before the next one left out."""
    key_lines: list[tuple[int, str]] = []
    for event, depth in _depths(yaml.parse("".join(lines), Loader=_Loader)):
        if depth == 1 and isinstance(event, yaml.MappingStartEvent) and event.flow_style:
            raise _no_head("its keys stand in braces; kemb writes one a line")
        if depth == -1:
            key_lines.append((event.start_mark.line, event.value))
    if len({line for line, _ in key_lines}) < len(fields):
        raise _no_head("its keys do not stand one a line")
    spans = {}
    for place, (start, key) in enumerate(key_lines):
        stop = key_lines[place + 1][0] if place + 1 < len(key_lines) else len(lines)
        last = stop
        while last > start + 1 and _is_between(lines[last - 1]):
            last -= 1
        spans[key] = start, last
    return spans


def _is_between(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "..."))


def _depths(events: Iterator[Any]) -> Iterator[tuple[Any, int]]:
    """Events with how many collections are open; -1 for the keys of the outermost mapping."""
    depth, n_top = 0, 0
    for event in events:
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
            yield event, depth
            continue
        is_node = isinstance(event, yaml.NodeEvent)
        if is_node and depth == 1:
            n_top += 1
        is_key = depth == 1 and is_node and n_top % 2 == 1
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
        yield event, -1 if is_key else depth


def _longer_list(lines: list[str], old: object, new: object, end: str) -> list[str] | None:
    """The lines of a block list of scalars with new items below; None where that cannot be told."""
    if not isinstance(old, list) or not isinstance(new, list) or new[: len(old)] != old:
        return None
    items = lines[1:]
    match = re.match(r"([ \t]*)-[ \t]", items[0]) if items else None
    if match is None or len(items) != len(old):
        return None
    if not all(line.startswith(f"{match[1]}-") for line in items):
        return None
    last = lines[-1] if lines[-1].endswith(("\r", "\n")) else lines[-1] + end
    added = [match[1] + _dump([item], end) for item in new[len(old) :]]
    return [*lines[:-1], last, *added]


class _Dumper(yaml.SafeDumper):
    """Plain scalars that were read stay as they stand."""

    def ignore_aliases(self, data: object) -> bool:
        """Nothing is written as a reference."""
        return True


def _scalar_node(dumper: yaml.SafeDumper, value: Scalar) -> yaml.Node:
    if not value.is_plain:
        return dumper.represent_str(str(value))
    resolver: Any = dumper
    return yaml.ScalarNode(resolver.resolve(yaml.ScalarNode, str(value), (True, False)), str(value))


_Dumper.add_representer(Scalar, _scalar_node)
_Dumper.add_representer(
    Fields, lambda dumper, fields: dumper.represent_mapping("tag:yaml.org,2002:map", fields.items())
)


def _dump(value: object, end: str) -> str:
    dumped: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, line_break=end
    )
    return dumped
