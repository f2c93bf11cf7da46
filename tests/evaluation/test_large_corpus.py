"""A corpus on disk has the results of one in memory: scores, items, hashes, notes, vectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.files import columns, scratch
from kemb.files.columns import ArrowColumn
from kemb.models.resolve import resolve
from kemb.types import RetrievalData


def write_task(folder: Path, n: int) -> Path:
    """Documents of which some are equal, and queries with answers."""
    (folder / "qrels").mkdir(parents=True)
    words = "비 눈 바람 구름 햇볕 안개 우박 서리 이슬 무지개".split()
    documents = [f"{words[row % 7]} {words[row % 10]} {row % 60}" for row in range(n)]
    write(folder / "corpus.jsonl", [(f"d{row}", text) for row, text in enumerate(documents)])
    write(folder / "queries.jsonl", [(f"q{row}", word) for row, word in enumerate(words)])
    judged = [f"q{row}\td{row + 10 * place}\t1" for row in range(10) for place in range(3)]
    qrels = "\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n"
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = [json.dumps({"_id": one, "text": text}, ensure_ascii=False) for one, text in rows]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("model", ["toy", "bm25:bigram", "rrf(toy, bm25:bigram)"])
def test_results_do_not_show_where_the_texts_lay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    folder = write_task(tmp_path / "weather", 300)
    outputs = []
    for name, n_bytes in (("lists", scratch.LARGE_BYTES), ("disk", 1)):
        monkeypatch.setattr(scratch, "LARGE_BYTES", n_bytes)
        monkeypatch.setattr(columns, "ROWS", 50)
        task = load_task(folder)
        data = task.load().parts[0].data
        assert isinstance(data, RetrievalData)
        assert isinstance(data.documents, ArrowColumn) is (name == "disk")
        options = RunOptions(tmp_path / name, Store(tmp_path / f"store-{name}"))
        [outcome] = evaluate([task], [resolve(model)], options)
        assert outcome.status == "scored", outcome.message
        [path] = (tmp_path / name).rglob("weather.json")
        record = json.loads(path.read_text())
        items = path.with_name("weather.items.parquet").read_bytes()
        shards = sorted(file.name for file in (tmp_path / f"store-{name}").rglob("*.arrow"))
        outputs.append((record["scores"], record["kemb"]["task"], items, shards))
    assert outputs[0] == outputs[1]
    assert outputs[0][0]["test"][0]["main_score"] > 0
