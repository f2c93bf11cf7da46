"""One small test set, as people and other programs write it."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

CHUNKS = {
    "c1": "제1조 이 규정은 임직원의 출장 경비 지급 기준을 정함을 목적으로 한다.",
    "c2": "제2조 국내 출장의 숙박비는 하루 십만 원을 넘지 못한다.",
    "c3": "제3조 해외 출장의 일비는 지역 등급에 따라 차등하여 지급한다.",
    "c4": "제4조 출장을 마친 사람은 닷새 안에 영수증을 붙여 정산하여야 한다.",
    "c5": "제5조 정산이 늦은 경우 다음 달 급여에서 선지급액을 공제한다.",
}
QUESTIONS = {
    "q1": ("출장 숙박비는 하루에 얼마까지 받나?", ["c2"]),
    "q2": ("출장 정산은 언제까지 하고 늦으면 어떻게 되나?", ["c4", "c5"]),
    "q3": ("출장을 마친 사람은 어디에 따라 일비를 받나?", ["c3"]),
}
ANSWERS = ["하루 십만 원까지", "닷새 안에 하고, 늦으면 급여에서 공제", "지역에 따라 다르다"]
Writer = Callable[[Path], Path]


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")


def csv_text(header: list[str], rows: list[list[Any]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue()


def write_csv(
    path: Path, header: list[str], rows: list[list[Any]], encoding: str = "utf-8"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    path.write_bytes(csv_text(header, rows, delimiter).encode(encoding))


def write_xlsx(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """A workbook as small as Excel's format allows; numbers are stored as numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = "".join(
        f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1)
    )
    office = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(path, "w") as book:
        types = "".join(
            f'<Override PartName="/xl/s{i}.xml" ContentType="application/vnd.openxmlformats-'
            'officedocument.spreadsheetml.worksheet+xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{office}/package/2006/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-'
            f'officedocument.spreadsheetml.sheet.main+xml"/>{types}</Types>',
        )
        links = f"{office}/officeDocument/2006/relationships"
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{links}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        relations = "".join(
            f'<Relationship Id="r{i}" Type="{links}/worksheet" Target="s{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{office}/package/2006/relationships">{relations}'
            "</Relationships>",
        )
        main = f"{office}/spreadsheetml/2006/main"
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{links}"><sheets>{names}</sheets></workbook>',
        )
        for i, rows in enumerate(sheets.values(), 1):
            body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
            book.writestr(
                f"xl/s{i}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
            )


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


# ---- the same data, as people have it

CHUNK_ROWS = [[chunk_id, text] for chunk_id, text in CHUNKS.items()]
QUESTION_ROWS = [[text, ";".join(ids)] for text, ids in QUESTIONS.values()]


def beir(folder: Path) -> Path:
    write_jsonl(folder / "corpus.jsonl", [{"_id": i, "text": text} for i, text in CHUNK_ROWS])
    write_jsonl(
        folder / "queries.jsonl", [{"_id": i, "text": text} for i, (text, _) in QUESTIONS.items()]
    )
    rows = [[i, doc, 1] for i, (_, ids) in QUESTIONS.items() for doc in ids]
    write_csv(folder / "qrels" / "test.tsv", ["query-id", "corpus-id", "score"], rows)
    return folder


def csv_chunks(folder: Path) -> Path:
    write_csv(folder / "chunks.csv", ["청크번호", "내용"], CHUNK_ROWS)
    write_csv(folder / "questions.csv", ["질문", "정답"], QUESTION_ROWS)
    return folder


def jsonl_chunks(folder: Path) -> Path:
    write_jsonl(folder / "chunks.jsonl", [{"chunk_id": i, "text": text} for i, text in CHUNK_ROWS])
    write_jsonl(
        folder / "questions.jsonl",
        [{"question": text, "gold_ids": ids} for text, ids in QUESTIONS.values()],
    )
    return folder


def excel(folder: Path) -> Path:
    write_xlsx(
        folder / "평가셋.xlsx",
        {
            "청크": [["청크번호", "내용"], *CHUNK_ROWS],
            "질문": [["질문", "정답 청크"], *([t, "|".join(i)] for t, i in QUESTIONS.values())],
        },
    )
    return folder / "평가셋.xlsx"


def langchain(folder: Path) -> Path:
    documents = [
        {"id": None, "page_content": text, "metadata": {"chunk_id": i, "source": "a.pdf"}}
        for i, text in CHUNK_ROWS
    ]
    write_json(folder / "documents.json", documents)
    questions = [{"query": text, "relevant_docs": ids} for text, ids in QUESTIONS.values()]
    write_json(folder / "questions.json", questions)
    return folder


def ragas(folder: Path) -> Path:
    """Ragas' test set as CSV: lists of passages as Python prints them; the chunks stand beside."""
    write_csv(folder / "chunks.csv", ["id", "content"], CHUNK_ROWS)
    rows = [
        [text, str([CHUNKS[i] for i in ids]), answer, "single_hop"]
        for (text, ids), answer in zip(QUESTIONS.values(), ANSWERS, strict=True)
    ]
    header = ["user_input", "reference_contexts", "reference", "synthesizer_name"]
    write_csv(folder / "testset.csv", header, rows)
    return folder


def llama_index(folder: Path) -> Path:
    """The docstore of a persisted index, and a file of questions; other files lie beside it."""
    nodes = {
        i: {
            "__data__": {"id_": i, "text": text, "metadata": {}, "class_name": "TextNode"},
            "__type__": "1",
        }
        for i, text in CHUNK_ROWS
    }
    write_json(folder / "docstore.json", {"docstore/metadata": {}, "docstore/data": nodes})
    write_json(folder / "index_store.json", {"index_store/data": {"x": {"__type__": "vector"}}})
    write_csv(folder / "질문.csv", ["질문", "문서번호"], QUESTION_ROWS)
    return folder


def qa_csv(folder: Path) -> Path:
    """One file: a question and its passage, a row for each right passage."""
    rows = [[text, CHUNKS[i]] for text, ids in QUESTIONS.values() for i in ids]
    write_csv(folder / "qa.csv", ["question", "context"], rows)
    return folder / "qa.csv"


def autorag_csv(folder: Path) -> Path:
    write_csv(
        folder / "corpus.csv", ["doc_id", "contents", "metadata"], [[*r, "{}"] for r in CHUNK_ROWS]
    )
    rows = [
        [i, text, f"[array({ids}, dtype=object)]", "['답']"] for i, (text, ids) in QUESTIONS.items()
    ]
    write_csv(folder / "qa.csv", ["qid", "query", "retrieval_gt", "generation_gt"], rows)
    return folder


def ragas_old(folder: Path) -> Path:
    write_csv(folder / "chunks.csv", ["id", "content"], CHUNK_ROWS)
    records = [
        {"question": text, "contexts": [CHUNKS[i] for i in ids], "ground_truth": "짧은 답"}
        for text, ids in QUESTIONS.values()
    ]
    write_jsonl(folder / "testset.jsonl", records)
    return folder


def llama_finetune(folder: Path) -> Path:
    value = {
        "queries": {i: text for i, (text, _) in QUESTIONS.items()},
        "corpus": CHUNKS,
        "relevant_docs": {i: ids for i, (_, ids) in QUESTIONS.items()},
        "mode": "text",
    }
    return write_json(folder / "dataset.json", value)


def langchain_dumped(folder: Path) -> Path:
    """`dumpd` of LangChain's documents as JSON Lines."""
    write_jsonl(
        folder / "chunks.jsonl",
        [
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "document", "Document"],
                "kwargs": {"page_content": text, "metadata": {"id": i}},
            }
            for i, text in CHUNK_ROWS
        ],
    )
    write_jsonl(
        folder / "questions.jsonl",
        [{"질문": text, "정답문서": ",".join(ids)} for text, ids in QUESTIONS.values()],
    )
    return folder


def llama_nodes(folder: Path) -> Path:
    write_json(
        folder / "nodes.json", [{"id_": i, "embedding": None, "text": t} for i, t in CHUNK_ROWS]
    )
    write_json(
        folder / "questions.json",
        {
            "examples": [
                {"query": text, "reference_contexts": [CHUNKS[i] for i in ids]}
                for text, ids in QUESTIONS.values()
            ]
        },
    )
    return folder


def parquet(folder: Path) -> Path:
    folder.mkdir(parents=True)
    pq.write_table(
        pa.table({"id": list(CHUNKS), "text": list(CHUNKS.values())}), folder / "c.parquet"
    )
    questions = {
        "question": [text for text, _ in QUESTIONS.values()],
        "chunk_ids": [ids for _, ids in QUESTIONS.values()],
    }
    pq.write_table(pa.table(questions), folder / "q.parquet")
    return folder


def trec(folder: Path) -> Path:
    body = "".join(
        f"<DOC>\n<DOCNO>{i}</DOCNO>\n<TEXT>\n{t}\n</TEXT>\n</DOC>\n" for i, t in CHUNK_ROWS
    )
    folder.mkdir(parents=True)
    (folder / "docs.txt").write_text(body, encoding="utf-8")
    topics = "".join(
        f"<top>\n<num> Number: {i}\n<title> {text}\n<desc> Description:\n{text}\n</top>\n"
        for i, (text, _) in QUESTIONS.items()
    )
    (folder / "topics.txt").write_text(topics, encoding="utf-8")
    qrels = "".join(f"{i} 0 {doc} 1\n" for i, (_, ids) in QUESTIONS.items() for doc in ids)
    (folder / "qrels.txt").write_text(qrels, encoding="utf-8")
    return folder


def ms_marco(folder: Path) -> Path:
    """TSV without headers, as MS MARCO's collection, queries and TREC's judgments."""
    folder.mkdir(parents=True)
    tables = {
        "collection.tsv": CHUNK_ROWS,
        "queries.dev.tsv": [[i, text] for i, (text, _) in QUESTIONS.items()],
        "qrels.dev.tsv": [[i, 0, doc, 1] for i, (_, ids) in QUESTIONS.items() for doc in ids],
    }
    for name, rows in tables.items():
        (folder / name).write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return folder


def excel_csv(folder: Path) -> Path:
    """As Korean Excel saves them: CP949, and with the line that says what separates."""
    folder.mkdir(parents=True)
    chunks = csv_text(["청크번호", "내용"], CHUNK_ROWS, ";")
    (folder / "chunks.csv").write_bytes(("sep=;\n" + chunks).encode("cp949"))
    (folder / "questions.csv").write_bytes(
        csv_text(["질문", "근거"], QUESTION_ROWS).encode("utf-16")
    )
    return folder
