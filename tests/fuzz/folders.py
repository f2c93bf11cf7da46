"""Folders of data that are wrong in the ways in which people's data are."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

WORDS = (
    "서울 부산 학교 병원 도서관 시장 공원 극장 은행 우체국 the quick fox 12 3.5 질문 답변".split()
)
Way = Callable[[random.Random, Path], None]


def make_folder(chance: random.Random, folder: Path) -> list[str]:
    """A folder of one of the layouts, wrong in one or two ways; their names."""
    layout = chance.choice(("search", "pairs", "classes", "table"))
    folder.mkdir()
    _LAYOUTS[layout](chance, folder)
    names = chance.sample(sorted(WAYS), chance.randint(1, 2))
    for name in names:
        WAYS[name](chance, folder)
    return [layout, *names]


def _text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(2, 9)))


def _search(chance: random.Random, folder: Path) -> None:
    documents = [{"_id": f"d{n}", "text": f"{_text(chance)} {n}"} for n in range(30)]
    queries = [{"_id": f"q{n}", "text": f"{_text(chance)} {n}"} for n in range(8)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "qrels").mkdir()
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(8))
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")


def _pairs(chance: random.Random, folder: Path) -> None:
    rows = [f"{_text(chance)},{_text(chance)},{chance.randint(0, 5)}" for _ in range(25)]
    (folder / "test.csv").write_text("sentence1,sentence2,score\n" + "\n".join(rows), "utf-8")


def _classes(chance: random.Random, folder: Path) -> None:
    for name, n in (("train", 40), ("test", 20)):
        rows = [f"{_text(chance)} {number},{'ab'[number % 2]}" for number in range(n)]
        (folder / f"{name}.csv").write_text("text,label\n" + "\n".join(rows), "utf-8")


def _table(chance: random.Random, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [f"{_text(chance)} {number}" for number in range(20)]
    columns = {"sentence1": texts, "sentence2": texts[::-1], "score": [n / 4 for n in range(20)]}
    pq.write_table(pa.table(columns), folder / "test.parquet")


_LAYOUTS: dict[str, Way] = {
    "search": _search,
    "pairs": _pairs,
    "classes": _classes,
    "table": _table,
}


def _a_file(chance: random.Random, folder: Path) -> Path:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return chance.choice(paths)


def _bytes_as(change: Callable[[random.Random, bytes], bytes]) -> Way:
    def way(chance: random.Random, folder: Path) -> None:
        path = _a_file(chance, folder)
        path.write_bytes(change(chance, path.read_bytes()))

    return way


def _encoded(encoding: str) -> Way:
    def change(_: random.Random, content: bytes) -> bytes:
        return content.decode("utf-8", "replace").encode(encoding, "replace")

    return _bytes_as(change)


def _lines_as(change: Callable[[random.Random, list[bytes]], None]) -> Way:
    def changed(chance: random.Random, content: bytes) -> bytes:
        lines = content.split(b"\n")
        change(chance, lines)
        return b"\n".join(lines)

    return _bytes_as(changed)


def _replace_a_cell(value: bytes) -> Way:
    def change(chance: random.Random, lines: list[bytes]) -> None:
        row = chance.randrange(1, max(len(lines), 2)) - 1
        for mark in (b"\t", b",", b": "):
            if mark in lines[row]:
                cells = lines[row].split(mark)
                cells[chance.randrange(len(cells))] = value
                lines[row] = mark.join(cells)
                return
        lines[row] = value

    return _lines_as(change)


def _named(name: str) -> Way:
    def way(chance: random.Random, folder: Path) -> None:
        path = _a_file(chance, folder)
        path.rename(path.with_name(name.format(stem=path.stem, suffix=path.suffix)))

    return way


def _link_to(target: str) -> Way:
    def way(chance: random.Random, folder: Path) -> None:
        path = _a_file(chance, folder)
        path.unlink()
        path.symlink_to(target)

    return way


def _a_folder_of_that_name(chance: random.Random, folder: Path) -> None:
    path = _a_file(chance, folder)
    path.unlink()
    path.mkdir()


def _a_pipe(chance: random.Random, folder: Path) -> None:
    path = _a_file(chance, folder)
    path.unlink()
    os.mkfifo(path)


def _a_task_file(content: str) -> Way:
    return lambda chance, folder: (folder / "task.toml").write_text(content, "utf-8") and None


def _another_file(chance: random.Random, folder: Path) -> None:
    path = _a_file(chance, folder)
    name = chance.choice(("notes.txt", "test.json", "corpus.parquet", "dev.csv", "README.md"))
    (folder / name).write_bytes(path.read_bytes())


WAYS: dict[str, Way] = {
    "utf-16": _encoded("utf-16"),
    "cp949": _encoded("cp949"),
    "latin-1": _encoded("latin-1"),
    "bom": _encoded("utf-8-sig"),
    "empty": _bytes_as(lambda chance, content: b""),
    "one line": _bytes_as(lambda chance, content: content.split(b"\n")[0]),
    "blank lines": _bytes_as(lambda chance, content: content.replace(b"\n", b"\n\n \n")),
    "old line ends": _bytes_as(lambda chance, content: content.replace(b"\n", b"\r")),
    "cut": _bytes_as(lambda chance, content: content[: chance.randint(1, max(len(content), 1))]),
    "nul": _bytes_as(lambda chance, content: content[:50] + b"\x00" + content[50:]),
    "escape": _bytes_as(lambda chance, content: content.replace(b"te", b"\x1b[2J", 1)),
    "a quote": _replace_a_cell(b'"open'),
    "a null": _replace_a_cell(b"null"),
    "nan": _replace_a_cell(b"NaN"),
    "infinite": _replace_a_cell(b"1e999"),
    "huge": _replace_a_cell(b"9" * 5000),
    "nothing": _replace_a_cell(b""),
    "blanks": _replace_a_cell(b" \t "),
    "a list": _replace_a_cell(b'["a", ["b"]]'),
    "deep": _replace_a_cell(b"[" * 3000 + b"]" * 3000),
    "long": _replace_a_cell(b"x" * 2_000_000),
    "twice": _lines_as(lambda chance, lines: lines.extend(lines[1:3])),
    "header again": _lines_as(lambda chance, lines: lines.insert(2, lines[0])),
    "two headers": _lines_as(lambda chance, lines: lines.insert(0, lines[0] + b"," + lines[0])),
    "no header": _lines_as(lambda chance, lines: lines.pop(0) and None),
    "wider": _lines_as(lambda chance, lines: lines.insert(1, lines[-2] + b",x,y,z")),
    "semicolons": _bytes_as(lambda chance, content: content.replace(b",", b";")),
    "another suffix": _named("{stem}.tsv"),
    "no suffix": _named("{stem}"),
    "json": _named("{stem}.json"),
    "parquet": _named("{stem}.parquet"),
    "packed": _named("{stem}{suffix}.gz"),
    "a strange name": _named("\x1b[31m{stem}{suffix}"),
    "a link to nothing": _link_to("nowhere"),
    "a link to itself": _link_to("."),
    "a device": _link_to("/dev/zero"),
    "a folder": _a_folder_of_that_name,
    "a pipe": _a_pipe,
    "another file": _another_file,
    "a task of numbers": _a_task_file("name = 5\ntype = []\n"),
    "a task that leads away": _a_task_file('name = "../x"\ntype = "sts"\n'),
    "a broken task": _a_task_file("name = \n"),
}
