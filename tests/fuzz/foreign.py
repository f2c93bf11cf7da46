"""Ways to break a foreign file, each a function of a source of chance and of a file that is sound.

The suite draws chance from hypothesis, `run_fresh.py` from a seed.
"""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

Breaker = Callable[[random.Random, bytes], bytes]

DEEP = 2000
NAMES = ("../x.json", "/etc/x", "results/../../x", "C:\\x", "a\x00b", " ", "\x1b[31m", "가/나.json")
"""Of members of a zip."""
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2, 10**30, 1e308, -1e308, float("nan"), float("inf"), 1e-320),
    *("", "x", "\ud800", "../../../etc/x", "\x1b[31m", "9" * 5000, "가" * 300, "\u202e", "nan"),
    *([], {}, [1], {"a": 1}, [[]] * 3, ["a"], [None], {"": ""}, [1e308] * 4, ["a", "a"]),
)
PIECES = (
    *("|", "||", "|---|", "\n\n", "# x\n", "[", "](", "<br>", "<table>", "```", "---\n", " " * 200),
    *("1e308", "nan", "9" * 400, "0." + "0" * 400 + "1", "-", "−", "±", "🥇", "\u0000", "\u202e"),
    *("&a [*a]", "<<: *a", "!!python/object:os.system x", "2024-99-99", "= ", '"""', "'", "}", "]"),
    *("\t", ",", '"', "\r", "\ufeff", "가", "NaN", "\x1b]0;x\x07", "%", ":"),
    "<td colspan=9999999>",
)
TOML_VALUES = (
    *("inf", "nan", "-1", "0", "1e400", "9" * 400, "0x" + "f" * 300, "true", '""', "[]", "{}"),
    *('"\\u0000"', '"\\u001b[31m"', "1979-05-27", "07:32:00", "[[1], [2]]", '["a", 1]', '"x" * 2'),
    *("'../../x'", '"' + "a" * 5000 + '"', "{ a = { b = { c = 1 } } }", "[" * 400 + "]" * 400),
    *('"org/name"', '"/dev/zero"', "[0.5]", "{ id = 5 }", "'''\n\n'''", "-0", "1_000_000"),
)


def broken_json(chance: random.Random, seed: bytes) -> bytes:
    """One to three values are others, or left out; at times nested deeply, or no JSON at all."""
    record = json.loads(seed)
    for _ in range(chance.randint(1, 3)):
        record = _with_another_value(chance, record)
    text = json.dumps(record, ensure_ascii=True)
    if chance.randint(0, 19) == 0:
        text = "[" * DEEP + text + "]" * DEEP
    if chance.randint(0, 9) == 0:
        return broken_text(chance, text.encode())
    return text.encode()


def _with_another_value(chance: random.Random, record: Any) -> Any:  # noqa: ANN401  any JSON
    changed = copy.deepcopy(record)
    parent, key = changed, None
    while isinstance(parent, (dict, list)) and parent:
        keys = sorted(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = chance.choice(keys)
        child = parent[key]
        if not isinstance(child, (dict, list)) or not child or chance.random() < 0.5:
            break
        parent = child
    if key is None:
        return chance.choice(VALUES)
    if chance.randint(0, 5) == 0:
        del parent[key]
    else:
        parent[key] = chance.choice(VALUES)
    return changed


def broken_text(chance: random.Random, seed: bytes) -> bytes:
    """Pieces are repeated, left out, replaced or put in; at times it is no UTF-8."""
    content = seed
    for _ in range(chance.randint(1, 6)):
        start = chance.randint(0, len(content))
        end = min(len(content), start + chance.randint(0, 60))
        way = chance.randint(0, 3)
        if way < 2:
            piece = chance.choice(PIECES).encode("utf-8", "surrogatepass")
        elif way == 2:
            piece = content[start:end] * chance.choice((2, 50))
        else:
            piece = bytes(chance.randint(0, 255) for _ in range(chance.randint(0, 4)))
        content = content[:start] + piece + content[end:]
    return content


def broken_lines(chance: random.Random, seed: bytes) -> bytes:
    """Cells of a table of lines are others, or lines are left out, repeated, cut or reordered."""
    lines = seed.split(b"\n")
    for _ in range(chance.randint(1, 4)):
        row = chance.randrange(len(lines))
        way = chance.randint(0, 5)
        if way == 0:
            lines[row] = b""
        elif way == 1:
            lines.insert(row, lines[chance.randrange(len(lines))])
        elif way == 2:
            lines[row] = lines[row][: chance.randint(0, len(lines[row]))]
        elif way == 3:
            lines[row : row + 3] = lines[row : row + 3][::-1]
        else:
            lines[row] = _with_another_cell(chance, lines[row])
    if chance.randint(0, 14) == 0:
        return b"\n".join(lines).decode("utf-8", "replace").encode("utf-16")
    return b"\n".join(lines)


def _with_another_cell(chance: random.Random, line: bytes) -> bytes:
    mark = next((mark for mark in (b"\t", b",", b" ") if mark in line), b" ")
    cells = line.split(mark)
    value = chance.choice(VALUES)
    text = value if isinstance(value, str) else json.dumps(value)
    cells[chance.randrange(len(cells))] = text.encode("utf-8", "surrogatepass")
    return mark.join(cells)


def broken_toml(chance: random.Random, seed: bytes) -> bytes:
    """Values are others, keys are unknown, twice or left out, sections are renamed."""
    lines = seed.decode().splitlines()
    for _ in range(chance.randint(1, 3)):
        row = chance.randrange(len(lines))
        key, equals, _ = lines[row].partition("=")
        way = chance.randint(0, 7)
        if equals and way < 5:
            lines[row] = f"{key}= {chance.choice(TOML_VALUES)}"
        elif way == 5:
            del lines[row]
            lines = lines or [""]
        elif way == 6:
            lines.insert(
                row, chance.choice((f"unknown = {chance.choice(TOML_VALUES)}", lines[row]))
            )
        else:
            return broken_text(chance, "\n".join(lines).encode())
    return "\n".join(lines).encode()


def broken_tensors(chance: random.Random, seed: bytes) -> bytes:
    """A safetensors file whose header says something else, or whose data are cut."""
    length = int.from_bytes(seed[:8], "little")
    header, data = json.loads(seed[8 : 8 + length]), seed[8 + length :]
    way = chance.randint(0, 6)
    if way == 0:
        size = chance.choice((0, 1, length - 1, length + 1, 2**63, 2**64 - 1, 10**8))
        return size.to_bytes(8, "little") + seed[8:]
    if way == 1:
        return seed[: chance.randint(0, len(seed))]
    if way == 2:
        return broken_bytes(chance, seed)
    name = chance.choice(sorted(header))
    entry = header[name]
    if way == 3 or not isinstance(entry, dict):
        text = broken_json(chance, seed[8 : 8 + length])
        return len(text).to_bytes(8, "little") + text + data
    if way == 4:
        entry["data_offsets"] = chance.choice(
            ([0, 2**62], [5, 1], [-4, 8], [0], ["0", "8"], [len(data), len(data) + 64], [0, 7])
        )
    elif way == 5:
        entry["shape"] = chance.choice(([], [0], [-1], [2**40, 2**40], ["3"], [1.5], None, [1]))
    else:
        entry["dtype"] = chance.choice(("F33", "", None, 5, "I64", "BOOL", "F64", ["F32"]))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def broken_bytes(chance: random.Random, seed: bytes) -> bytes:
    """A binary file with other bytes, or cut."""
    content = bytearray(seed)
    for _ in range(chance.choice((1, 3, 30))):
        content[chance.randrange(len(content))] = chance.randint(0, 255)
    if chance.randint(0, 3) == 0:
        return bytes(content[: chance.randint(0, len(content))])
    return bytes(content)


def broken_zip(chance: random.Random, seed: bytes) -> bytes:
    """A zip whose members are renamed, changed, left out, repeated or large."""
    way = chance.randint(0, 7)
    if way == 0:
        return broken_bytes(chance, seed)
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = chance.randrange(len(members))
    name, content = members[place]
    if way == 1:
        name = chance.choice(NAMES)
    elif way == 2:
        del members[place]
    elif way == 3:
        members.append((name, content))
    elif way == 4:
        content = b"0" * chance.choice((0, 10**7))
    elif name.endswith(".json"):
        content = broken_json(chance, content)
    else:
        content = broken_bytes(chance, content)
    if way != 2:
        members[place] = (name, content)
    return _packed(members, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _packed(members: list[tuple[str, bytes]], method: int) -> bytes:
    import warnings

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()
