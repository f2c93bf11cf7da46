"""A retrieval folder of invented words, for tests that need many questions and no real data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def corpus_of(
    folder: Path,
    n_passages: int = 40,
    per_passage: int = 2,
    n_others: int = 0,
    n_shared: int = 2,
    seed: int = 0,
) -> Path:
    """Passages of invented words; every question holds some words of its passage.

    :param n_others: passages that answer no question.
    :param n_shared: words of a question that its passage has; three more are any.
    """
    rng = np.random.default_rng(seed)
    letters = list("가나다라마바사아자차카타파하고노도로모보소오조초")
    words = ["".join(rng.choice(letters, 3)) for _ in range(400)]
    lines: dict[str, list[str]] = {
        "corpus": [],
        "queries": [],
        "qrels": ["query-id\tcorpus-id\tscore"],
    }
    for other in range(n_others):
        text = " ".join(rng.choice(words, 25))
        lines["corpus"].append(json.dumps({"_id": f"x{other}", "text": text}))
    for passage in range(n_passages):
        text = rng.choice(words, 25)
        lines["corpus"].append(json.dumps({"_id": f"d{passage}", "text": " ".join(text)}))
        for number in range(per_passage):
            query = " ".join([*rng.choice(text, n_shared), *rng.choice(words, 3)])
            lines["queries"].append(json.dumps({"_id": f"q{passage}-{number}", "text": query}))
            lines["qrels"].append(f"q{passage}-{number}\td{passage}\t1")
    (folder / "qrels").mkdir(parents=True)
    for name, path in (
        ("corpus", "corpus.jsonl"),
        ("queries", "queries.jsonl"),
        ("qrels", "qrels/test.tsv"),
    ):
        (folder / path).write_text("\n".join(lines[name]) + "\n", encoding="utf-8")
    return folder
