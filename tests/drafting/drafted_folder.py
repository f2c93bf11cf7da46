"""A small drafted folder: documents, passages with their places, questions with answer spans."""

from __future__ import annotations

import json
from pathlib import Path

HOSTILE = '<img src=x onerror="window.harm=1"></script><script>window.harm=2</script>'


def write_jsonl(path: Path, records: list[dict[str, object]]) -> None:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def drafted(root: Path, n: int = 6) -> Path:
    """n questions, each on the second sentence of its passage; all passages are of one document."""
    (root / "qrels").mkdir(parents=True)
    texts = [f"😀 {k}번 문단입니다. 답은 숫자 {k * 7}입니다. {HOSTILE}" for k in range(n)]
    source, passages, questions = "", [], []
    for k, text in enumerate(texts):
        start = len(source)
        source += text + "\n"
        passages.append(
            {
                "_id": f"d{k}",
                "title": f"문단 {k} {HOSTILE if k == 0 else ''}".strip(),
                "text": text,
                "source": "a.md",
                "start": start,
                "end": start + len(text),
            }
        )
        answer = f"답은 숫자 {k * 7}입니다."
        place = start + text.index(answer)
        span = {"source": "a.md", "start": place, "end": place + len(answer)}
        questions.append(
            {
                "_id": f"q{k}",
                "text": f"{k}번 문단의 답은? {HOSTILE if k == 0 else ''}".strip(),
                "way": "heading",
                "overlap": 0.5,
                "spans": [span],
                "flags": ["its passage holds it word for word", "odd"] if k == 2 else [],
            }
        )
    write_jsonl(root / "corpus.jsonl", passages)
    write_jsonl(root / "queries.jsonl", questions)
    write_jsonl(root / "sources.jsonl", [{"_id": "a.md", "title": "", "text": source}])
    rows = [f"q{k}\td{k}\t1\n" for k in range(n)]
    (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return root
