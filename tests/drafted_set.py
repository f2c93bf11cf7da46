"""A small drafted set whose answers are places in its documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCES = {
    "card.md": "카드를 잃어버리면 뒷면의 번호로 전화한다. 곧 막는다. 새 카드는 사흘 뒤에 온다.",
    "bank.md": "통장은 지점에서 다시 만든다. 신분증이 있어야 한다. 수수료는 없다.",
    "loan.md": "대출에는 소득 증명이 필요하다. 심사는 하루가 걸린다. 금리는 매달 바뀐다.",
}
QUESTIONS = {
    "q1": ("카드를 잃어버렸을 때 전화할 번호", "card.md", "뒷면의 번호로 전화한다."),
    "q2": ("통장을 만들 때 신분증", "bank.md", "신분증이 있어야 한다."),
    "q3": ("대출 심사 하루", "loan.md", "심사는 하루가 걸린다."),
}


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def span(source: str, text: str) -> dict[str, Any]:
    start = SOURCES[source].index(text)
    return {"source": source, "start": start, "end": start + len(text)}


def write_set(folder: Path) -> Path:
    """Write the set into a new folder."""
    folder.mkdir()
    lines(folder / "sources.jsonl", [{"_id": name, "text": text} for name, text in SOURCES.items()])
    passages = [
        {"_id": name, "text": text, "source": name, "start": 0, "end": len(text)}
        for name, text in SOURCES.items()
    ]
    lines(folder / "corpus.jsonl", passages)
    lines(
        folder / "queries.jsonl",
        [
            {"_id": name, "text": text, "way": "faq", "overlap": 0, "spans": [span(source, answer)]}
            for name, (text, source, answer) in QUESTIONS.items()
        ],
    )
    qrels = [f"{name}\t{source}\t1\n" for name, (_, source, _) in QUESTIONS.items()]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(qrels))
    (folder / "task.toml").write_text('type = "retrieval"\nsplits = ["test"]\ndrafted = true\n')
    return folder
