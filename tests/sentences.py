"""A small data set of pairs, and the words it is made of."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = "산 강 들 숲 돌 별 달 해 꽃 잎".split()


def write_pairs(folder: Path) -> Path:
    """A hundred pairs with scores of 0 to 5."""
    folder.mkdir()
    rows = [
        {"sentence1": f"{a} 위에", "sentence2": f"{b} 위에", "score": (i * j) % 6}
        for i, a in enumerate(WORDS)
        for j, b in enumerate(WORDS)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "test.jsonl").write_text(lines, encoding="utf-8")
    return folder
