"""Time to read and audit documents of growing size: it must be linear in the shapes of
`cases/hostile`.

    python benchmarks/documents.py [--bytes 2000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from kemb.adapters.documents import read_document
from kemb.audit import audit
from kemb.errors import KembError

_ROWS = "".join(f"| m{i} | 50.0 | 40.0 | 60.0 |\n" for i in range(4))
SHAPES = {
    "many tables": f"| Model | Avg | A | B |\n|---|---|---|---|\n{_ROWS}\n\n",
    "many retrieval tables": "### Top-k 1\n| Model | recall@1 | precision@1 | mrr@1 | ndcg@1 |\n"
    "|---|---|---|---|---|\n| m0 | 0.71 | 0.71 | 0.61 | 0.62 |\n| m1 | 0.8 | 0.8 | 0.6 | 0.6 |\n\n",
    "one long line of tables": "T | a | b | |---|---| | x | 1 | | y | 2 | ",
    "opening brackets": "[",
    "links that do not end": "[a](b ",
    "tags that do not end": "<a",
    "rules": "|--",
    "HTML cells": "<table><tr><td colspan=2>1<td>2",
    "HTML tables": "<table><tr><td>m<td>a<tr><td>x<td>1</table>\n",
    "numbers": "a 0.1\n",
    "tabs": "a\t1\n",
    "results on one line": "- task: type: x dataset: type: y name: z metrics: - type: a value: 1 ",
}
IN_HEADER = {"blanks in a heading": " ", "underscores in a header": "_"}


def seconds(path: Path, text: str) -> float:
    path.write_text(text, encoding="utf-8")
    start = time.process_time()
    try:
        audit([path])
    except KembError as error:
        print(f"refused: {error}")
    return time.process_time() - start


def texts(n_bytes: int) -> dict[str, str]:
    repeated = {name: piece * (n_bytes // len(piece)) for name, piece in SHAPES.items()}
    in_header = {
        name: f"# {piece * (n_bytes // 2)}x\n\n| m | recall{piece * (n_bytes // 2)}x |\n|---|---|\n"
        "| a | 1 |\n| b | 2 |\n"
        for name, piece in IN_HEADER.items()
    }
    index = "---\nmodel-index:\n- name: a/b\n  results:\n"
    entry = "  - {task: {type: STS}, dataset: {name: x, type: y}, metrics: [{type: a, value: 1}]}\n"
    bomb = "".join(
        f"  a{i}: &m{i} {{<<: [{'*m' + str(i) + ',' * 9}]}}\n" for i in range(n_bytes // 40)
    )
    return {
        **repeated,
        **in_header,
        "a model-index": f"{index}{entry * (n_bytes // len(entry))}---\n",
        "merges": f"{index}  []\n{bomb}",
        "YAML in YAML": f"---\nmodel-index: {'[' * n_bytes}\n",
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, default=2_000_000)
    n_bytes = parser.parse_args().bytes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.md"
        seconds(path, "warm up")
        read_document(path)
        half, whole = texts(n_bytes // 2), texts(n_bytes)
        print(f"| shape | s at {n_bytes / 1e6:g} MB | time(2x) / time(x) |\n|---|---:|---:|")
        for name in whole:
            one, two = seconds(path, half[name]), seconds(path, whole[name])
            print(f"| {name} | {two:.2f} | {two / one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
