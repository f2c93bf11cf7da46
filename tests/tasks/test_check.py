"""`kemb check`: every kind of wrong input is found with its file, row and value; and the TOML it
prints.
"""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kemb.cli import cli
from kemb.errors import DataError
from kemb.messages import say, use_language
from kemb.tasks import load_spec, names
from kemb.tasks.own import load_folder
from kemb.tasks.own.check import CheckReport, check_folder, format_report, to_toml
from kemb.tasks.own.findings import Finding
from kemb.tasks.spec import TaskSpec

CORPUS = '{"_id": "d1", "title": "수도", "text": "서울"}\n{"_id": "d2", "text": "부산"}\n'
QUERIES = '{"_id": "q1", "text": "수도는?"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\n"
Files = dict[str, str | bytes]
BEIR: Files = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}
STS = "sentence1,sentence2,score\n비,눈,1\n해,달,4\n"
TOPICS = "text,label\n축구,운동\n금리,경제\n"
NFD = "\u1112\u1161\u11ab\u1100\u1173\u11af"  # 한글, decomposed


def make(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def found(report: CheckReport, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind]


# Each line: what is in the folder, then the level, kind, file, row, column, value and a piece of
# the message expected.
ERRORS: dict[str, tuple[Files, str, str, int | None, str, str, str]] = {
    "dangling document": (
        BEIR | {"qrels/test.tsv": QRELS + "q1\td9\t1\n"},
        *("unknown id", "qrels/test.tsv", 3, "corpus-id", "'d9'", "corpus.jsonl has no such id"),
    ),
    "dangling query": (
        BEIR | {"qrels/test.tsv": QRELS + "q9\td1\t1\n"},
        *("unknown id", "qrels/test.tsv", 3, "query-id", "'q9'", "queries.jsonl has no such id"),
    ),
    "repeated document id": (
        BEIR | {"corpus.jsonl": CORPUS + "\n" + '{"_id": "d1", "text": "제주"}\n'},
        *("repeated id", "corpus.jsonl", 4, "_id", "'d1'", "row 1"),
    ),
    "id that is no id": (
        BEIR | {"corpus.jsonl": CORPUS + '{"_id": 1.5, "text": "제주"}\n'},
        *("wrong type", "corpus.jsonl", 3, "_id", "1.5", "an id is text or a whole number"),
    ),
    "null id": (
        BEIR | {"queries.jsonl": QUERIES + '{"_id": null, "text": "제주?"}\n'},
        *("missing value", "queries.jsonl", 2, "_id", "", "expected an id"),
    ),
    "empty query": (
        BEIR | {"queries.jsonl": QUERIES + '{"_id": "q2", "text": " "}\n'},
        *("empty text", "queries.jsonl", 2, "text", "", "empty"),
    ),
    "text that is a number": (
        BEIR | {"corpus.jsonl": CORPUS + '{"_id": "d3", "text": 12}\n'},
        *("wrong type", "corpus.jsonl", 3, "text", "12", "expected text"),
    ),
    "fractional relevance": (
        BEIR | {"qrels/test.tsv": "q1\td1\t1\nq1\td2\t0.5\n"},
        *("wrong type", "qrels/test.tsv", 2, "score", "'0.5'", "whole number"),
    ),
    "contradicting judgments": (
        BEIR | {"qrels/test.tsv": QRELS + "q1\td1\t0\n"},
        *(
            "repeated judgment",
            "qrels/test.tsv",
            3,
            "",
            "'q1 d1'",
            "row 2 already, with 1 there and 0 here",
        ),
    ),
    "nothing relevant": (
        BEIR | {"qrels/test.tsv": "q1\td1\t0\n"},
        *("nothing to score", "qrels/test.tsv", None, "", "", "no judgment is above 0"),
    ),
    "no corpus": (
        {"queries.jsonl": QUERIES, "qrels/test.tsv": QRELS},
        *("missing file", "corpus", None, "", "", "needs a file of this name"),
    ),
    "two corpora": (
        BEIR | {"corpus.csv": "id,text\nd1,서울\n"},
        *(
            "several files",
            "corpus.csv, corpus.jsonl",
            None,
            "",
            "",
            "expected one file for corpus",
        ),
    ),
    "empty corpus": (
        BEIR | {"corpus.jsonl": "\n"},
        *("empty file", "corpus.jsonl", None, "", "", "the file is empty"),
    ),
    "broken JSON": (
        BEIR | {"corpus.jsonl": CORPUS + '{"_id": "d3", text}\n'},
        *("broken JSON", "corpus.jsonl", 3, "", '\'{"_id": "d3", text}\'', "at character 15"),
    ),
    "JSON that is no record": (
        BEIR | {"corpus.jsonl": CORPUS + "[1, 2]\n"},
        *("broken JSON", "corpus.jsonl", 3, "", "'[1, 2]'", "an object {...} per line"),
    ),
    "half a surrogate pair": (
        BEIR | {"corpus.jsonl": CORPUS + '{"_id": "d3", "text": "\\ud83d"}\n'},
        *("broken character", "corpus.jsonl", 3, "text", "", "\\ud83d"),
    ),
    "score in words": (
        {"test.csv": STS + "꽃,나무,높음\n"},
        *("wrong type", "test.csv", 4, "score", "'높음'", "expected a number"),
    ),
    "NaN score": (
        {"test.csv": STS + "꽃,나무,NaN\n"},
        *("not finite", "test.csv", 4, "score", "'NaN'", "expected a finite number"),
    ),
    "NaN score in JSON": (
        {
            "test.jsonl": '{"sentence1": "비", "sentence2": "눈", "score": 2}\n'
            '{"sentence1": "해", "sentence2": "달", "score": NaN}\n'
        },
        *("not finite", "test.jsonl", 2, "score", "nan", "expected a finite number"),
    ),
    "no score": (
        {"test.csv": STS + "꽃,나무,\n"},
        *("missing value", "test.csv", 4, "score", "", "expected a number"),
    ),
    "constant score": (
        {"test.csv": "sentence1,sentence2,score\n비,눈,3\n해,달,3\n"},
        *("one value", "test.csv", None, "score", "", "only 1 different"),
    ),
    "one class of pairs": (
        {"test.csv": "sentence1,sentence2,label\n비,눈,1\n해,달,1\n"},
        *("one value", "test.csv", None, "label", "", "only 1 different"),
    ),
    "label beyond 1": (
        {
            "test.csv": "sentence1,sentence2,label\n비,눈,1\n해,달,0\n꽃,잎,7\n",
            "task.toml": 'type = "pair_classification"',
        },
        *("wrong label", "test.csv", 4, "label", "'7'", "expected the label 0 or 1"),
    ),
    "labels 0, 1 and 2": (
        {"test.csv": "sentence1,sentence2,label\n비,눈,1\n해,달,0\n꽃,잎,2\n"},
        *("unclear labels", "test.csv", None, "label", "", "labels = { 0 = 1, 2 = 0 }"),
    ),
    "labels in unknown words": (
        {"test.csv": "sentence1,sentence2,label\n비,눈,같음\n해,달,다름\n"},
        *(
            "unclear labels",
            "test.csv",
            None,
            "label",
            "'같음, 다름'",
            "labels = { same = 1, different = 0 }",
        ),
    ),
    "ragged row": (
        {"test.csv": STS + "꽃,나무,3,예쁨\n"},
        *("ragged row", "test.csv", 4, "", "'꽃,나무,3,예쁨'", "4 fields, but the header has 3"),
    ),
    "nothing but separators": (
        {"queries.csv": ",\n,,\n"},
        *("empty file", "queries.csv", None, "", "", "there is no row that holds anything"),
    ),
    "semicolons": (
        {"test.csv": STS.replace(",", ";") + "꽃;나무;3;예쁨\n"},
        *(
            "separator",
            "test.csv",
            1,
            "",
            "'sentence1;sentence2;score'",
            "separated by ';'; expected commas",
        ),
    ),
    "commas in TSV": (
        {"test.tsv": STS + "꽃,나무,3,예쁨\n"},
        *(
            "separator",
            "test.tsv",
            1,
            "",
            "'sentence1,sentence2,score'",
            "separated by commas; expected tabs",
        ),
    ),
    "row after a text of two lines": (
        {"test.csv": 'sentence1,sentence2,score\n"비\n온다",눈,1\n해,달,x\n꽃,잎,3\n'},
        *("wrong type", "test.csv", 4, "score", "'x'", "expected a number"),
    ),
    "stray quote": (
        {"test.csv": STS + '"꽃"향기,나무,3\n'},
        *("broken CSV", "test.csv", 4, "", "", "quotes inside a field are doubled"),
    ),
    "quote left open": (
        {"test.csv": STS + '"꽃,나무,3\n풀,잎,2\n'},
        *("broken CSV", "test.csv", 4, "", "", "unexpected end of data"),
    ),
    "column named twice": (
        {"test.csv": "sentence1,sentence1,score\n비,눈,1\n"},
        *("repeated column", "test.csv", 1, "sentence1", "", "twice"),
    ),
    "misspelt column": (
        {"test.csv": STS.replace("sentence1", "sentense1")},
        *(
            "missing column",
            "test.csv",
            None,
            "sentence1",
            "",
            "found the columns sentense1, sentence2, score",
        ),
    ),
    "no gold column": (
        {"test.csv": "sentence1,sentence2\n비,눈\n"},
        *(
            "missing column",
            "test.csv",
            None,
            "score",
            "",
            "none named score or similarity or label",
        ),
    ),
    "columns of nothing": (
        {"test.csv": "a,b\n비,눈\n"},
        *(
            "missing column",
            "test.csv",
            None,
            "",
            "",
            "found the columns a, b; pairs need sentence1",
        ),
    ),
    "header alone": (
        {"test.csv": "sentence1,sentence2,score\n"},
        *("empty file", "test.csv", None, "", "", "no row of data"),
    ),
    "CP949 after UTF-8": (
        {"test.csv": STS.encode() + "꽃,잎,3\n".encode("cp949")},
        *(
            "encoding",
            "test.csv",
            4,
            "",
            "b'\\xb2\\xc9,\\xc0'",
            "byte offset 46; its encoding is unknown, or changes inside the file",
        ),
    ),
    "CP949 that may be anything": (
        {
            "test.csv": "sentence1,sentence2,score\nrain,snow,1\nsun,moon,4\n가,moon,2\n".encode(
                "cp949"
            )
        },
        *(
            "encoding",
            "test.csv",
            4,
            "",
            "b'\\xb0\\xa1,m'",
            "it looks like CP949, which is not certain. Convert it: iconv -f cp949",
        ),
    ),
    "UTF-16 of two byte orders": (
        {"test.csv": STS.encode("utf-16-le") + STS.encode("utf-16-be")},
        *("encoding", "test.csv", 1, "", "", "it looks like UTF-16, which is not certain"),
    ),
    "labels of two kinds in two splits": (
        {"train.csv": TOPICS, "test.csv": "text,label\n농구,1\n환율,0\n"},
        *(
            "mixed labels",
            "train.csv",
            2,
            "label",
            "'운동'",
            "text here, but a number in test.csv, row 2 (1)",
        ),
    ),
    "labels of two kinds in one file": (
        {"a.jsonl": '{"text": "농구", "label": 1}\n{"text": "환율", "label": "1"}\n'},
        *(
            "mixed labels",
            "a.jsonl",
            2,
            "label",
            "'1'",
            "text here, but a number in a.jsonl, row 1",
        ),
    ),
    "label that is a fraction": (
        {"a.jsonl": '{"text": "농구", "label": 1}\n{"text": "환율", "label": 0.5}\n'},
        *("wrong type", "a.jsonl", 2, "label", "0.5", "expected one label"),
    ),
    "label that is missing": (
        {"a.csv": "text,label\n농구,1\n환율,0\n장마,\n"},
        *("missing value", "a.csv", 4, "label", "", "expected a label"),
    ),
    "label that no text can hold": (
        {"a.jsonl": '{"text": "농구", "label": "가"}\n{"text": "환율", "label": "\\udc00"}\n'},
        *("broken character", "a.jsonl", 2, "label", "", "half of a surrogate pair"),
    ),
    "several labels": (
        {"a.jsonl": '{"text": "농구", "label": 1}\n{"text": "환율", "label": [1, 2]}\n'},
        *("wrong type", "a.jsonl", 2, "label", "[1, 2]", "expected one label"),
    ),
    "one class": (
        {"a.csv": "text,label\n농구,운동\n축구,운동\n"},
        *("one value", "a.csv", None, "label", "'운동'", "same label"),
    ),
    "names that say nothing": (
        {"a.csv": TOPICS, "b.csv": TOPICS},
        *("unknown files", "a.csv, b.csv", None, "", "", "expected corpus, queries and qrels"),
    ),
    "two files for a split": (
        {
            "train.csv": TOPICS,
            "test.csv": TOPICS,
            "my_test.jsonl": '{"text": "가", "label": "나"}\n',
        },
        *(
            "several files",
            "test.csv",
            None,
            "",
            "",
            "my_test.jsonl is the file of split test already",
        ),
    ),
    "no data": (
        {"notes.docx": "x", "data.sav": "x"},
        *(
            "no data",
            "folder",
            None,
            "",
            "",
            "expected .csv, .tsv, .txt, .jsonl, .json, .parquet, .xlsx, .xls, found data.sav",
        ),
    ),
    "broken Parquet": (
        {"test.parquet": b"PAR1 cut off"},
        *("broken Parquet", "test.parquet", None, "", "", "cannot be read"),
    ),
    "broken TOML": (
        {"test.csv": STS, "task.toml": "name = \n"},
        *("broken TOML", "task.toml", None, "", "", "at line 1"),
    ),
    "unknown key in TOML": (
        {"test.csv": STS, "task.toml": "dedup_pairs = true\n"},
        *("task.toml", "task.toml", None, "dedup_pairs", "True", "did you mean dedupe_pairs?"),
    ),
    "split without a file": (
        {"test.csv": STS, "task.toml": 'splits = ["dev"]'},
        *("task.toml", "task.toml", None, "splits", "'dev'", "found test"),
    ),
    "type that the files are not": (
        BEIR | {"task.toml": 'type = "sts"'},
        *("task.toml", "task.toml", None, "type", "'sts'", "but the files are retrieval"),
    ),
    "type that needs other files": (
        {"test.csv": STS, "task.toml": 'type = "retrieval"'},
        *("missing file", "corpus", None, "", "", "needs a file of this name"),
    ),
    "type that folders cannot be": (
        {"test.csv": STS, "task.toml": 'type = "summarization"'},
        *("task.toml", "task.toml", None, "type", "'summarization'", "a folder can be retrieval"),
    ),
    "classification without a train file": (
        {"test.csv": TOPICS, "task.toml": 'type = "classification"'},
        *("missing file", "test.csv", None, "", "", "add a file train.*"),
    ),
    "hub in TOML": (
        {"test.csv": STS, "task.toml": '[source]\nhub = "a/b"'},
        *("task.toml", "task.toml", None, "source", "", "has no hub"),
    ),
    "name of a known task": (
        {"test.csv": STS, "task.toml": 'name = "korsts"'},
        *("unsafe name", "folder", None, "name", "'korsts'", "kemb has a task of this name"),
    ),
    "unsafe name": (
        {"test.csv": STS, "task.toml": 'name = "../escape"'},
        *("unsafe name", "folder", None, "name", "'../escape'", "letters, digits"),
    ),
}

WARNINGS: dict[str, tuple[Files, str, str, int | None, str, str, str]] = {
    "query without relevant document": (
        BEIR | {"queries.jsonl": QUERIES + '{"_id": "q2", "text": "제주?"}\n'},
        *("no relevant document", "queries.jsonl", 2, "id", "'q2'", "no document is relevant"),
    ),
    "empty document": (
        BEIR | {"corpus.jsonl": CORPUS + '{"_id": "d3", "title": "", "text": ""}\n'},
        *("empty document", "corpus.jsonl", 3, "text", "", "neither title nor text"),
    ),
    "repeated document": (
        BEIR | {"corpus.jsonl": CORPUS + '{"_id": "d3", "text": "부산"}\n'},
        *("repeated document", "corpus.jsonl", 3, "", "'부산'", "the same as row 2"),
    ),
    "repeated query": (
        BEIR | {"queries.jsonl": QUERIES + '{"_id": "q2", "text": "수도는?"}\n'},
        *("repeated query", "queries.jsonl", 2, "", "'수도는?'", "the same as row 1"),
    ),
    "judgment twice": (
        BEIR | {"qrels/test.tsv": QRELS + "q1\td1\t1\n"},
        *("repeated judgment", "qrels/test.tsv", 3, "", "'q1 d1'", "row 2 already"),
    ),
    "repeated pair": (
        {"test.csv": STS + "비,눈,1\n"},
        *(
            "repeated pair",
            "test.csv",
            4,
            "",
            "'비'",
            "the same pair as row 2; dedupe_pairs = true",
        ),
    ),
    "repeated pair with another score": (
        {"test.csv": STS + "비,눈,5\n"},
        *("repeated pair", "test.csv", 4, "", "'비'", "but with 1.0 there and 5.0 here"),
    ),
    "reversed pair": (
        {"test.csv": STS + "달,해,4\n"},
        *(
            "reversed pair",
            "test.csv",
            4,
            "",
            "'달'",
            "row 3 the other way round; dedupe_pairs = true",
        ),
    ),
    "row without a mapped label": (
        {"test.csv": "premise,hypothesis,label\n비,눈,entailment\n해,달,contradiction\n꽃,잎,-\n"},
        *("dropped row", "test.csv", 4, "label", "'-'", "the row is dropped"),
    ),
    "repeated text": (
        {"a.csv": TOPICS + "축구,경제\n"},
        *("repeated text", "a.csv", 4, "", "'축구'", "the same as row 2"),
    ),
    "leak of a text": (
        {"train.csv": TOPICS, "test.csv": "text,label\n농구,운동\n금리,경제\n"},
        *("leak", "test.csv", 3, "", "'금리'", "also in train.csv, row 3"),
    ),
    "leak of a pair": (
        {"train.csv": STS, "test.csv": "sentence1,sentence2,score\n꽃,잎,2\n비,눈,1\n"},
        *("leak", "test.csv", 3, "", "'비'", "also in train.csv, row 2"),
    ),
    "label unseen in training": (
        {"train.csv": TOPICS, "test.csv": "text,label\n농구,운동\n장마,날씨\n"},
        *("unseen label", "test.csv", 3, "label", "'날씨'", "no row of train.csv"),
    ),
    "decomposed Hangul": (
        {"a.csv": TOPICS + NFD + ",운동\n"},
        *("NFD Hangul", "a.csv", 4, "text", repr(NFD), "NFC"),
    ),
    "lost character": (
        {"a.csv": TOPICS + "깨진 글\ufffd자,운동\n"},
        *("lost character", "a.csv", 4, "text", "'깨진 글\ufffd자'", "U+FFFD"),
    ),
    "UTF-8 read as Latin-1": (
        {"a.csv": TOPICS + "안녕하세요".encode().decode("latin-1") + ",운동\n"},
        *("wrong encoding", "a.csv", 4, "text", "", "read in the wrong encoding"),
    ),
    "CP949 read as Latin-1": (
        {"a.csv": TOPICS + "안녕하세요".encode("cp949").decode("latin-1") + ",운동\n"},
        *("wrong encoding", "a.csv", 4, "text", "", "read in the wrong encoding"),
    ),
    "NUL": (
        {"a.csv": TOPICS + "널\0문자가 있는 글,운동\n"},
        *("control character", "a.csv", 4, "text", "'널\\x00문자가 있는 글'", "U+0000"),
    ),
    "longer than most models read": (
        BEIR
        | {
            "corpus.jsonl": CORPUS
            + "".join(
                f'{{"_id": "e{n}", "text": "{"가" * length}"}}\n'
                for n, length in enumerate((2_000, 2_001, 2_500, 3))
            )
        },
        *("long documents", "corpus.jsonl", 5, "text", "", "2 of 6 documents have more than 2,000"),
    ),
    "8 MB": (
        BEIR
        | {"corpus.jsonl": CORPUS + '{"_id": "d3", "text": "' + "가나다라 " * 615_385 + '"}\n'},
        *("very long text", "corpus.jsonl", 3, "text", "", "3,076,925 characters (8.0 MB)"),
    ),
    "8 MB in CSV": (
        {"a.csv": TOPICS + "가나다라 " * 615_385 + ",운동\n"},
        *("very long text", "a.csv", 4, "text", "", "3,076,925 characters (8.0 MB)"),
    ),
    "quotes in TSV": (
        {"a.tsv": 'text\tlabel\n"축구"\t운동\n금리\t경제\n'},
        *("quotes in TSV", "a.tsv", 2, "", "'\"축구\"'", "save the file as CSV"),
    ),
    "file not used": (
        {
            "train.csv": TOPICS,
            "test.csv": "text,label\n농구,운동\n환율,경제\n",
            "notes.csv": "a,b\n1,2\n",
        },
        *("file not used", "notes.csv", None, "", "", "no part of the task"),
    ),
    "packed file": (
        {"train.csv": TOPICS, "test.csv.zst": "x", "notes.gz": "x"},
        *("file not used", "test.csv.zst", None, "", "", "not read, by its ending: unpack it"),
    ),
    "CP949": (
        {"test.csv": STS.encode("cp949")},
        *("encoding decided", "test.csv", None, "", "", "read as CP949"),
    ),
    "UTF-16": (
        {"test.csv": STS.encode("utf-16")},
        *("encoding decided", "test.csv", None, "", "", "read as UTF-16"),
    ),
    "UTF-16 without byte order mark": (
        {"test.csv": STS.encode("utf-16-le")},
        *("encoding decided", "test.csv", None, "", "", "read as UTF-16"),
    ),
    "semicolons": (
        {"test.csv": STS.replace(",", ";")},
        *("separator decided", "test.csv", 1, "", "'sentence1;sentence2;score'", "by ';', not by"),
    ),
    "bars": (
        {"test.csv": STS.replace(",", "|")},
        *("separator decided", "test.csv", 1, "", "'sentence1|sentence2|score'", "by '|', not by"),
    ),
    "commas in TSV": (
        {"test.tsv": STS},
        *("separator decided", "test.tsv", 1, "", "", "separated by commas, not by tabs"),
    ),
    "tabs in CSV": (
        {"test.csv": STS.replace(",", "\t")},
        *("separator decided", "test.csv", 1, "", "", "separated by tabs, not by commas"),
    ),
    "title above the header": (
        {"test.csv": "문장 유사도 2024,,\n,,\n" + STS},
        *("header", "test.csv", 1, "", "", "names of the columns are taken from row 3"),
    ),
    "header of merged cells": (
        {"test.csv": "번호,문장,,평가\n,문장1,문장2,점수\n1,비,눈,1\n2,해,달,4\n"},
        *("header", "test.csv", 1, "", "'번호 문장  평가'", "taken from row 2"),
    ),
    "header in the middle": (
        {"test.csv": STS + STS.replace("비", "꽃").replace("해", "별")},
        *("header", "test.csv", 4, "", "", "the header once more"),
    ),
    "no value as a word": (
        {"test.csv": STS + "NaN,꽃,3\n"},
        *("no value", "test.csv", 4, "sentence1", "'NaN'", "counts as text"),
    ),
    "not Korean": (
        {"test.csv": "sentence1,sentence2,score\nrain,snow,1\nsun,moon,4\n"},
        *("language", "task.toml", None, "languages", "", 'languages = ["eng-Latn"]'),
    ),
}


def expect(
    report: CheckReport, level: str, case: tuple[str, str, int | None, str, str, str]
) -> Finding:
    kind, file, row, column, value, piece = case
    matching = [
        one for one in found(report, kind) if (one.file, one.row, one.column) == (file, row, column)
    ]
    assert matching, format_report(report)
    first = matching[0]
    assert first.level == level
    assert piece in first.message
    assert not value or first.value == value
    line = str(first)
    assert file in line
    assert row is None or f"row {row}" in line
    assert line in format_report(report)
    korean = say(first, "ko")
    assert file in korean
    assert row is None or f"{row}행" in korean
    assert re.search("[가-힣]", korean.replace(first.value, ""))
    assert korean in format_report(report, "ko")
    return first


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_found_and_stops_loading(tmp_path: Path, case: str) -> None:
    files, *wanted = ERRORS[case]
    folder = make(tmp_path / "folder", files)
    report = check_folder(folder)
    assert report.has_errors
    finding = expect(report, "error", tuple(wanted))  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        load_folder(folder)
    assert str(finding) in str(caught.value)
    assert f"kemb check {folder}" in str(caught.value)
    use_language("ko")
    with pytest.raises(DataError) as caught:
        load_folder(folder)
    assert say(finding, "ko") in str(caught.value)
    assert "쓸 수 없습니다" in str(caught.value)


@pytest.mark.parametrize("case", WARNINGS)
def test_a_warning_is_found_and_does_not_stop_loading(tmp_path: Path, case: str) -> None:
    files, *wanted = WARNINGS[case]
    folder = make(tmp_path / "folder", files)
    report = check_folder(folder)
    assert not report.has_errors
    expect(report, "warning", tuple(wanted))  # type: ignore[arg-type]
    assert load_folder(folder)[1].parts


@pytest.mark.parametrize(
    "files",
    [
        BEIR
        | {
            "queries.jsonl": '{"_id": "q1", "text": "Ünïcödé, “따옴표” – ‘café’… ㅋㅋ ½ 漢字 😀"}\n'
        },
        {"test.csv": STS.replace("\n", "\r\n")},
        {"train.csv": TOPICS, "test.csv": "text,label\n농구,운동\n환율,경제\n"},
    ],
)
def test_sound_data_has_no_findings(tmp_path: Path, files: Files) -> None:
    files = {**files, "corpus.jsonl": CORPUS} if "corpus.jsonl" in files else files
    assert check_folder(make(tmp_path / "folder", files)).findings == []


def test_check_goes_on_after_the_first_error_and_limits_examples(tmp_path: Path) -> None:
    rows = "".join(f"문장{i},다른 문장{i},x\n" for i in range(8)) + "가\n" + "\ufffd,나,2\n" * 2
    report = check_folder(
        make(
            tmp_path / "folder",
            {"test.csv": "sentence1,sentence2,score\n" + "라,마,1.5\n" * 9 + rows},
        )
    )
    assert report.n_findings["wrong type"] == 8
    assert [finding.row for finding in found(report, "wrong type")] == [11, 12, 13, 14, 15]
    assert [finding.row for finding in found(report, "ragged row")] == [19]
    assert [finding.row for finding in found(report, "lost character")] == [20, 21]
    assert report.n_errors == 9
    text = format_report(report)
    assert "error: wrong type (8)" in text
    assert "... and 3 more" in text
    assert text.endswith("errors: 9, warnings: 11. kemb run refuses this.")


@pytest.mark.parametrize("name", ["my data", "-x", ".hidden", "a" * 61, "a.", "a:b"])
def test_a_folder_whose_name_cannot_be_a_file_name_must_be_named(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / name, {"test.csv": STS})
    (finding,) = found(check_folder(folder), "unsafe name")
    assert 'name = "my-task"' in finding.message
    (folder / "task.toml").write_text('name = "my-task"')
    assert load_folder(folder)[0].name == "my-task"


def test_a_missing_label_is_the_only_finding(tmp_path: Path) -> None:
    files: Files = {
        "train.csv": "text,label\n가,1\n나,\n다,0\n",
        "test.csv": "text,label\n라,1\n마,0\n",
    }
    assert [
        (one.kind, one.file, one.row) for one in check_folder(make(tmp_path / "f", files)).findings
    ] == [("missing value", "train.csv", 3)]


def test_values_in_messages_are_short_and_in_one_line(tmp_path: Path) -> None:
    rows = "가,나,1\n다,라,3\n마,바," + '"' + "길고\n" * 500 + '"\n'
    (finding,) = found(
        check_folder(make(tmp_path / "f", {"test.csv": "sentence1,sentence2,score\n" + rows})),
        "wrong type",
    )
    assert len(finding.value) <= 60
    assert "\n" not in str(finding)


def test_the_report_says_what_was_understood(tmp_path: Path) -> None:
    files: Files = BEIR | {
        "corpus.jsonl": CORPUS + '{"_id": "d3", "title": "English", "text": "only"}\n'
    }
    report = check_folder(make(tmp_path / "law", files))
    assert report.spec is not None
    assert (report.spec.name, report.spec.type, report.layout) == ("law", "retrieval", "BEIR")
    assert [(file.file, file.role, file.n_rows) for file in report.files] == [
        ("corpus.jsonl", "corpus", 3),
        ("queries.jsonl", "queries", 1),
        ("qrels/test.tsv", "qrels/test", 1),
    ]
    assert report.files[0].columns == {"id": "_id", "title": "title", "text": "text"}
    (body,) = [text for text in report.texts if (text.role, text.column) == ("corpus", "text")]
    assert (body.n_texts, body.min_chars, body.median_chars, body.max_chars) == (3, 2, 2, 4)
    assert body.scripts == {"Hangul": 0.5, "Latin": 0.5}
    text = format_report(report)
    assert "because there are files for corpus, queries and qrels" in text
    assert '"corpus.id" = "_id"' in text
    assert "kemb run takes this" in text


def test_the_report_is_korean_and_json_is_english(tmp_path: Path) -> None:
    folder = make(tmp_path / "law", BEIR | {"extra.csv": "a,b\n1,2\n"})
    done = CliRunner().invoke(cli, ["check", str(folder), "--lang", "ko"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    for line in ("파일", "task.toml로 쓰면", "주 지표: ndcg@10", "경고: 쓰지 않은 파일 (1개)"):
        assert line in lines
    assert "오류 0개, 경고 1개. kemb run으로 잴 수 있습니다." in lines
    assert any("2줄" in line and "corpus.jsonl" in line for line in lines)
    assert any("한글 100%" in line for line in lines)
    assert "  corpus, queries, qrels 파일이 있으므로 BEIR 형식의 검색 과제입니다." in lines
    done = CliRunner().invoke(cli, ["check", str(folder), "--lang", "ko", "--json"])
    record = json.loads(done.stdout)
    assert record["findings"][0]["kind"] == "file not used"
    assert record["findings"][0]["message"].startswith("no part of the task")
    assert record["rules"][1] == "The split test is scored."
    assert "what" not in record["findings"][0]


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"a.csv": STS}, "STS, because 'score' holds numbers other than 0 and 1."),
        ({"a.csv": TOPICS}, "Clustering, because there are text and label"),
        (
            {"train.csv": TOPICS, "dev.csv": TOPICS},
            "Classification, because there are text and label, a train file",
        ),
        ({"train.csv": TOPICS, "dev.csv": TOPICS}, "There is no test file, so dev is scored."),
    ],
)
def test_the_report_names_the_rule(tmp_path: Path, files: Files, rule: str) -> None:
    assert rule in format_report(check_folder(make(tmp_path / "f", files)))


def test_an_autorag_row_is_the_record_number(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    pq.write_table(pa.table({"doc_id": ["a"], "contents": ["서울"]}), folder / "corpus.parquet")
    gold = [[["a"]], [["b"]]]
    pq.write_table(
        pa.table({"qid": ["1", "2"], "query": ["가?", "나?"], "retrieval_gt": gold}),
        folder / "qa.parquet",
    )
    (finding,) = found(check_folder(folder), "unknown id")
    assert (finding.file, finding.row, finding.column, finding.value) == (
        "qa.parquet",
        2,
        "retrieval_gt",
        "'b'",
    )


# ---- the TOML


@pytest.mark.parametrize("name", names())
def test_known_tasks_survive_a_round_trip_through_toml(name: str) -> None:
    spec = load_spec(name)
    assert TaskSpec.model_validate(tomllib.loads(to_toml(spec))) == spec


@pytest.mark.parametrize(
    "files",
    [
        BEIR,
        {"test.csv": STS.replace("sentence1", "문장 1").replace("score", "점수")},
        {"test.csv": "전제,가설,라벨\n비,눈,함의\n해,달,모순\n"},
        {
            "학습.csv": TOPICS.replace("text", "본문"),
            "시험.csv": "본문,label\n농구,운동\n환율,경제\n",
        },
        {"a.csv": TOPICS},
    ],
)
def test_the_printed_toml_in_the_folder_changes_nothing(tmp_path: Path, files: Files) -> None:
    folder = make(tmp_path / "folder", files)
    spec, data = load_folder(folder)
    (folder / "task.toml").write_text(to_toml(spec), encoding="utf-8")
    again, data_again = load_folder(folder)
    assert again == spec
    assert data_again.revision == data.revision
    assert [part.sha256 for part in data_again.parts] == [part.sha256 for part in data.parts]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
specs = st.builds(
    lambda **fields: TaskSpec.model_validate(fields),
    name=texts,
    type=st.sampled_from(["sts", "classification", "clustering"]),
    description=texts,
    languages=st.lists(texts, max_size=2),
    subset_languages=st.dictionaries(texts, st.lists(texts, max_size=2), max_size=2),
    instruction=texts | st.fixed_dictionaries({"query": texts}, optional={"document": texts}),
    splits=st.lists(texts, max_size=3),
    source=st.builds(dict, layout=st.sampled_from(["rows", "beir"]), hub=st.none() | texts),
    columns=st.dictionaries(texts, texts, max_size=3),
    labels=st.dictionaries(texts, texts | st.integers(-9, 9), max_size=3),
    dedupe_pairs=st.booleans(),
    contract=st.dictionaries(texts, st.fixed_dictionaries({"rows": st.integers(0, 9)}), max_size=2),
    clustering=st.fixed_dictionaries(
        {"fraction": st.none() | st.floats(1e-9, 1), "n_experiments": st.integers(1, 9)}
    ),
)


@given(spec=specs)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_spec_survives_a_round_trip_through_toml(spec: TaskSpec) -> None:
    assert TaskSpec.model_validate(tomllib.loads(to_toml(spec))) == spec


# ---- anything at all

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.lists(texts, max_size=2)
)
keys = st.sampled_from(
    [
        "id",
        "text",
        "title",
        "label",
        "score",
        "sentence1",
        "sentence2",
        "query-id",
        "corpus-id",
        "qid",
        "question",
        "context",
        "gold_ids",
        "relevance",
        "metadata",
    ]
)
records = st.lists(st.dictionaries(keys, values, max_size=5), max_size=4).map(
    lambda rows: "\n".join(json.dumps(row) for row in rows)
)
cells = st.lists(
    st.lists(keys | texts | st.sampled_from(["1", "0", "nan"]), max_size=4).map(",".join),
    max_size=4,
)
contents = st.one_of(
    st.binary(max_size=40), records.map(str.encode), cells.map("\n".join).map(str.encode)
)
stems = st.sampled_from(
    ["corpus", "queries", "qrels", "train", "test", "other", "qrels/test", "topics"]
)
files_of_any_kind = st.dictionaries(
    st.tuples(
        stems, st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".txt", ".xlsx", ".parquet"])
    ).map("".join),
    contents,
    min_size=1,
    max_size=4,
)


@given(
    files=files_of_any_kind,
    toml=st.sampled_from(["", 'type = "sts"', 'type = "classification"', 'type = "retrieval"']),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_content_makes_check_fail_and_load_agrees_with_it(
    files: dict[str, bytes], toml: str
) -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = make(Path(base) / "folder", {**files, "task.toml": toml})
        report = check_folder(folder)
        assert report.has_errors == ("kemb run refuses" in format_report(report))
        try:
            load_folder(folder)
        except DataError:
            assert report.has_errors
        else:
            assert not report.has_errors


def test_empty_rows_and_columns_that_spreadsheets_leave_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_bytes(
        "\ufeff문장1,문장2,점수,,\r\n가나,다라,1,,\r\n마바,사아,3,,\r\n차,카,2.0,,\r\n,,,,\r\n".encode()
    )
    report = check_folder(tmp_path)
    assert report.n_errors == 0
    assert [file.n_rows for file in report.files] == [3]


def test_columns_with_values_but_without_a_name_are_refused_and_said_to_have_none(
    tmp_path: Path,
) -> None:
    (tmp_path / "test.csv").write_text("문장1,문장2,점수,,\n가나,다라,1,x,y\n마바,사아,3,x,y\n")
    (finding,) = check_folder(tmp_path).findings
    assert "have no name" in finding.message


def test_a_folder_of_many_other_files_names_ten(tmp_path: Path) -> None:
    folder = make(tmp_path / "pages", {f"p{number:02}.md": "x" for number in range(13)})
    (finding,) = found(check_folder(folder), "no data")
    assert "p09.md and 3 more. These are documents" in finding.message
    assert "p10.md" not in finding.message


def test_a_report_is_in_the_language_asked_for(tmp_path: Path) -> None:
    folder = make(tmp_path / "pairs", {"test.csv": STS})
    korean = CliRunner().invoke(cli, ["check", str(folder), "--lang", "ko"])
    assert "주 지표: " in korean.stdout
    assert "가운데" in korean.stdout


def test_numbers_of_rows_and_locks_of_office_programs_are_no_data(tmp_path: Path) -> None:
    """`DataFrame.to_csv` writes a first column without a name; Excel a file `~$name` while open."""
    numbered = ",sentence1,sentence2,score\n0,비,눈,1\n1,해,달,4\n"
    report = check_folder(make(tmp_path / "f", {"test.csv": numbered, "~$test.xlsx": b"x"}))
    assert report.findings == []
    assert report.files[0].columns == {ours: ours for ours in ("sentence1", "sentence2", "score")}
    two = ",,sentence1,sentence2,score\n0,a,비,눈,1\n1,b,해,달,4\n"
    assert check_folder(make(tmp_path / "g", {"test.csv": two})).n_findings == {
        "repeated column": 1
    }
