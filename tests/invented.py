"""A retrieval folder of invented words, for tests that need many questions and no real data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

LETTERS = list("가나다라마바사아자차카타파하고노도로모보소오조초")


def words_of(rng: np.random.Generator, n: int) -> list[str]:
    """Words of three syllables."""
    return ["".join(rng.choice(LETTERS, 3)) for _ in range(n)]


def documents_of(folder: Path, n_documents: int = 20, n_sections: int = 4, seed: int = 0) -> Path:
    """Markdown files whose sections have headings of words that the sections hold, too."""
    rng = np.random.default_rng(seed)
    words = words_of(rng, 300)
    folder.mkdir(parents=True)
    for document in range(n_documents):
        sections = [f"# {' '.join(rng.choice(words, 3))} 안내\n"]
        for _ in range(n_sections):
            text = rng.choice(words, 40)
            heading = " ".join(rng.choice(text, 3))
            body = f"{' '.join(text[:20])}입니다. {' '.join(text[20:])}합니다."
            sections.append(f"## {heading} 설정하는 방법\n\n{body}\n")
        (folder / f"{document}.md").write_text("\n".join(sections), encoding="utf-8")
    return folder


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
    words = words_of(rng, 400)
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
