"""Corpora whose texts lie on disk are the same task, to the byte, as those in memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb.encoding.store import input_keys
from kemb.files import scratch
from kemb.files.columns import ArrowColumn
from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder
from kemb.types import RetrievalData, TaskData

REVISION = "sha256:0030ac2c0f15e02f"
CONTENT = "ec82ce76593b6e5430f21a396f1a64e4020b741559bcefcfba8293a0fdb90c88"
KEY = "87579c02dabc35887690388a730df7791dbd344179cb0009b47c97105effd378"
"""Of `write_corpus(folder, 30)`, as kemb gave them when all texts were lists of strings."""


def write_corpus(folder: Path, n: int) -> Path:
    (folder / "qrels").mkdir(parents=True)
    rows = [
        {
            "_id": f"d{number}",
            "title": "제목" if number % 2 else "",
            "text": f" 문서 {number} 번의 본문 \u2028 {'가나다' * min(number, 30)}",
        }
        for number in range(n)
    ]
    write_lines(folder / "corpus.jsonl", rows)
    questions = [{"_id": f"q{number}", "text": f"질문 {number}"} for number in range(3)]
    write_lines(folder / "queries.jsonl", questions)
    judged = "".join(f"q{number}\td{number * 7}\t1\n" for number in range(3))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def retrieval(data: TaskData) -> RetrievalData:
    part = data.parts[0].data
    assert isinstance(part, RetrievalData)
    return part


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LARGE_BYTES", 1)


def test_hashes_are_those_of_earlier_versions(tmp_path: Path) -> None:
    _, data = load_folder(write_corpus(tmp_path / "small", 30))
    documents = retrieval(data).documents
    assert isinstance(documents, list)
    assert (data.revision, data.parts[0].sha256) == (REVISION, CONTENT)
    assert input_keys("", "", documents)[3].hex() == KEY


@pytest.mark.usefixtures("large")
def test_hashes_of_a_corpus_on_disk_are_the_same(tmp_path: Path) -> None:
    _, data = load_folder(write_corpus(tmp_path / "small", 30))
    documents = retrieval(data).documents
    assert isinstance(documents, ArrowColumn)
    assert (data.revision, data.parts[0].sha256) == (REVISION, CONTENT)
    assert input_keys("", "", documents)[3].hex() == KEY


@pytest.mark.parametrize("layout", ["jsonl", "parquet", "parts"])
def test_a_corpus_on_disk_is_the_same_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: str
) -> None:
    folder = write_corpus(tmp_path / "set", 500)
    if layout != "jsonl":
        lines = (folder / "corpus.jsonl").read_text().rstrip("\n").split("\n")
        table = pa.Table.from_pylist([json.loads(line) for line in lines])
        (folder / "corpus.jsonl").unlink()
        halves = [table.slice(0, 200), table.slice(200)] if layout == "parts" else [table]
        for number, part in enumerate(halves):
            name = f"corpus-{number:05}-of-{len(halves):05}.parquet"
            pq.write_table(part, folder / name, row_group_size=90)
    spec, data = load_folder(folder)
    monkeypatch.setattr(scratch, "LARGE_BYTES", 1)
    other_spec, other = load_folder(folder)
    assert isinstance(retrieval(other).documents, ArrowColumn)
    assert (other_spec, other) == (spec, data)


BROKEN = [
    '{"_id": "d1", "text": "또 하나"}',
    '{"_id": 7, "text": "번호"}',
    '{"_id": "a", "text": null, "extra": {"x": 1}}',
    "",
    '{"_id": "b", "text": "반쪽 \\ud800"}',
    '{"_id": "", "text": "아이디 없음"}',
    "nonsense",
    '["no object"]',
    '{"_id": "c", "text": " "}',
    '{"_id": "e", "text": "문서 2 번의 본문"}',
    '{"_id": "f", "text": "문서 2 번의 본문"}',
]


def test_what_is_wrong_is_the_same_in_memory_and_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_corpus(tmp_path / "set", 20)
    with (folder / "corpus.jsonl").open("a") as corpus:
        corpus.write("\n".join(BROKEN) + "\n")
    report = check_folder(folder)
    monkeypatch.setattr(scratch, "LARGE_BYTES", 1)
    assert check_folder(folder) == report
    kinds = {"repeated id", "broken JSON", "missing value", "broken character", "repeated document"}
    assert kinds <= report.n_findings.keys()


def test_other_encodings_are_read_as_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_corpus(tmp_path / "set", 40)
    corpus = folder / "corpus.jsonl"
    corpus.write_bytes(corpus.read_text().replace("\u2028", " ").encode("cp949"))
    _, data = load_folder(folder)
    monkeypatch.setattr(scratch, "LARGE_BYTES", 1)
    assert load_folder(folder)[1] == data
    assert data.warnings["encoding decided"] == 1


def test_memory_per_document_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reading, checking and building a corpus: texts and ids lie on disk."""
    monkeypatch.setattr(scratch, "LARGE_BYTES", 1 << 18)
    n = 20_000
    folder = write_corpus(tmp_path / "set", n)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        _, data = load_folder(folder)
        stays, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(retrieval(data).documents) == n
    assert pa.total_allocated_bytes() - before < 2**20
    assert stays < 2**20
    assert peak < 60 * n + 12 * 2**20  # 8,192 documents at a time; as lists it was 30 MB
