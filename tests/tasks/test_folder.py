"""Folders of a user's own: each layout becomes the task that its files say, with the very texts and
ids in them.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb.errors import DataError, UsageError
from kemb.tasks import load_spec
from kemb.tasks.load import load
from kemb.tasks.own import load_folder
from kemb.types import ClusterData, LabelData, PairData, RetrievalData

DOCUMENTS = {
    "007": ("수도", "서울은 한국의 수도이다."),
    "d2": ("", " 부산은 항구 도시이다.\n"),
    "d3": ("제주", "제주는 섬이다."),
}
QUERIES = {"q1": "한국의 수도는?", "q2": "항구와 섬은?", "q3": "아무도 판정하지 않은 질문"}
JUDGED = [("q1", "007", 1), ("q2", "d2", 1), ("q2", "d3", 1)]
PREPARED = ["수도 서울은 한국의 수도이다.", "부산은 항구 도시이다.", "제주 제주는 섬이다."]
"""By mteb's rule: title, a blank and text, stripped; without a title the stripped text."""

PAIRS = [
    ("비가 온다", "비가 내린다", 4.5),
    ("비가 온다", "밥을 먹는다", 0.5),
    ("새가 난다", "새가 운다", 2.0),
]


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
        encoding="utf-8",
    )


def write_table(path: Path, header: list[str], rows: list[tuple[Any, ...]]) -> None:
    """The same rows as CSV, TSV, JSONL or Parquet, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        columns = zip(*rows, strict=True)
        pq.write_table(
            pa.table({name: list(values) for name, values in zip(header, columns, strict=True)}),
            path,
        )
    elif path.suffix == ".jsonl":
        write_jsonl(path, [dict(zip(header, row, strict=True)) for row in rows])
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def write_beir(folder: Path, header: str = "query-id\tcorpus-id\tscore\n") -> Path:
    write_jsonl(
        folder / "corpus.jsonl",
        [{"_id": i, "title": title, "text": text} for i, (title, text) in DOCUMENTS.items()],
    )
    write_jsonl(folder / "queries.jsonl", [{"_id": i, "text": text} for i, text in QUERIES.items()])
    (folder / "qrels").mkdir()
    rows = "".join(f"{query}\t{document}\t{grade}\n" for query, document, grade in JUDGED)
    (folder / "qrels" / "test.tsv").write_text(header + rows, encoding="utf-8")
    return folder


def retrieval(path: Path, part: int = 0) -> RetrievalData:
    data = load_folder(path)[1].parts[part].data
    assert isinstance(data, RetrievalData)
    return data


def pairs(path: Path) -> PairData:
    data = load_folder(path)[1].parts[0].data
    assert isinstance(data, PairData)
    return data


# ---- retrieval


def test_beir_folder_keeps_ids_and_prepares_documents_as_mteb_does(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "내-데이터")
    spec, task = load_folder(folder)
    data = retrieval(folder)
    assert (spec.name, spec.type, spec.main_metric) == ("내-데이터", "retrieval", "ndcg@10")
    assert data.doc_ids == ["007", "d2", "d3"]
    assert data.documents == PREPARED
    assert data.qrels == {"q1": {"007": 1}, "q2": {"d2": 1, "d3": 1}}
    assert (data.query_ids, data.queries) == (["q1", "q2"], ["한국의 수도는?", "항구와 섬은?"])
    assert [(part.split, part.subset, part.notes) for part in task.parts] == [
        ("test", "default", {"n_dropped_queries": 1})
    ]


@pytest.mark.parametrize(
    "header",
    ["query-id\tcorpus-id\tscore\n", "", "qid\tdocid\trel\n", "\ufeffQuery ID\tDOC_ID\tscore\n"],
)
def test_qrels_with_usual_headers_or_none_are_the_same(tmp_path: Path, header: str) -> None:
    data = retrieval(write_beir(tmp_path / "beir", header))
    assert data.qrels == {"q1": {"007": 1}, "q2": {"d2": 1, "d3": 1}}


def test_headerless_qrels_whose_first_row_repeats_a_value(tmp_path: Path) -> None:
    write_table(tmp_path / "d" / "corpus.csv", ["id", "text"], [(1, "하나"), (2, "둘")])
    write_table(tmp_path / "d" / "queries.csv", ["id", "text"], [(1, "일"), (2, "이")])
    (tmp_path / "d" / "qrels.tsv").write_text("1\t1\t1\n2\t2\t1\n")
    assert retrieval(tmp_path / "d").qrels == {"1": {"1": 1}, "2": {"2": 1}}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_plain_retrieval_in_every_format_equals_beir(tmp_path: Path, suffix: str) -> None:
    want = retrieval(write_beir(tmp_path / "beir"))
    folder = tmp_path / "plain"
    # A line break inside a text has no place in TSV; it is stripped from documents anyway.
    documents = [(i, title, text.rstrip()) for i, (title, text) in DOCUMENTS.items()]
    write_table(folder / f"corpus{suffix}", ["문서 ID", "제목", "본문"], documents)
    write_table(folder / f"queries{suffix}", ["질문_id", "질문"], list(QUERIES.items()))
    write_table(folder / f"qrels{suffix}", ["질문_id", "문서 ID", "관련도"], JUDGED)
    assert retrieval(folder) == want


def test_judgments_without_a_score_are_relevant(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "d")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\nq1\td2\n")
    assert retrieval(folder).qrels == {"q1": {"d2": 1}}


def test_the_split_test_is_scored_if_there_are_others(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "d")
    (folder / "qrels" / "dev.tsv").write_text("q3\td2\t2\n")
    assert [part.split for part in load_folder(folder)[1].parts] == ["test"]
    (folder / "task.toml").write_text('splits = ["dev", "test"]')
    assert [part.split for part in load_folder(folder)[1].parts] == ["dev", "test"]
    assert retrieval(folder).qrels == {"q3": {"d2": 2}}
    (folder / "task.toml").unlink()
    (folder / "qrels" / "test.tsv").unlink()
    assert [part.split for part in load_folder(folder)[1].parts] == ["dev"]


def write_autorag(folder: Path) -> Path:
    folder.mkdir()
    corpus = {
        "doc_id": list(DOCUMENTS),
        "contents": [f"{title} {text}" if title else text for title, text in DOCUMENTS.values()],
        "metadata": [{"last_modified_datetime": "2026-01-01"}] * 3,
    }
    pq.write_table(pa.table(corpus), folder / "ocr_corpus_v3.parquet")
    qa = {
        "qid": list(QUERIES),
        "query": list(QUERIES.values()),
        "retrieval_gt": [[["007"]], [["d2", "d3"], ["d2"]], [[""]]],
        "generation_gt": [["서울"], ["부산, 제주"], [""]],
    }
    pq.write_table(pa.table(qa), folder / "qa_v4.parquet")
    return folder


def test_autorag_and_beir_versions_of_the_same_data_are_equal(tmp_path: Path) -> None:
    spec, task = load_folder(write_autorag(tmp_path / "autorag"))
    beir = load_folder(write_beir(tmp_path / "beir"))[1]
    assert spec.type == "retrieval"
    data = task.parts[0].data
    assert isinstance(data, RetrievalData)
    assert data.groups == {"q1": [["007"]], "q2": [["d2", "d3"], ["d2"]], "q3": []}
    assert replace(data, groups=None) == beir.parts[0].data
    assert task.parts[0].sha256 != beir.parts[0].sha256  # scored otherwise, not to be compared
    assert task.revision != beir.revision


@pytest.mark.shared
def test_a_real_pack_as_a_beir_folder_loads_as_the_pack_does(
    tmp_path: Path, shared_data: Path
) -> None:
    pack = shared_data / "packs" / "AutoRAGRetrieval"
    tables = {
        name: pq.read_table(pack / f"{name}.parquet").to_pylist()
        for name in ("corpus", "queries", "qrels")
    }
    folder = tmp_path / "AutoRAG"
    write_jsonl(
        folder / "corpus.jsonl",
        [{"_id": r["id"], "title": r["title"], "text": r["text"]} for r in tables["corpus"]],
    )
    write_jsonl(
        folder / "queries.jsonl", [{"_id": r["id"], "text": r["text"]} for r in tables["queries"]]
    )
    judged = [(r["query-id"], r["corpus-id"], r["score"]) for r in tables["qrels"]]
    write_table(folder / "qrels" / "test.tsv", ["query-id", "corpus-id", "score"], judged)

    own = load_folder(folder)[1].parts[0]
    pack_part = load(load_spec("AutoRAGRetrieval"), shared_data / "packs").parts[0]
    assert isinstance(own.data, RetrievalData)
    assert (len(own.data.documents), len(own.data.queries)) == (720, 114)
    assert own.data == pack_part.data
    assert own.sha256 == pack_part.sha256
    (tmp_path / "link").symlink_to(pack)
    assert load_folder(tmp_path / "link")[1].parts[0].sha256 == pack_part.sha256


# ---- pairs


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    "header",
    [
        ("sentence1", "sentence2", "score"),
        ("문장1", "문장 2", "유사도"),
        ("Text_1", "text-2", "label"),
    ],
)
def test_pairs_with_numbers_are_sts(tmp_path: Path, suffix: str, header: tuple[str, ...]) -> None:
    write_table(tmp_path / f"similar{suffix}", list(header), PAIRS)
    spec, task = load_folder(tmp_path / f"similar{suffix}")
    data = pairs(tmp_path / f"similar{suffix}")
    assert (spec.name, spec.type, task.parts[0].split) == ("similar", "sts", "test")
    assert list(zip(data.sentence1, data.sentence2, data.gold.tolist(), strict=True)) == PAIRS


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_pairs_with_0_and_1_are_pair_classification(tmp_path: Path, suffix: str) -> None:
    rows = [(one, two, int(score > 1)) for one, two, score in PAIRS]
    write_table(tmp_path / "d" / f"test{suffix}", ["sentence1", "sentence2", "label"], rows)
    assert load_folder(tmp_path / "d")[0].type == "pair_classification"
    assert pairs(tmp_path / "d").gold.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "words",
    [
        ("entailment", "neutral", "contradiction"),
        ("함의", "중립", "모순"),
        ("Entailment", "Neutral", "Contradiction"),
    ],
)
def test_entailment_words_are_mapped_and_neutral_pairs_dropped(
    tmp_path: Path, words: tuple[str, str, str]
) -> None:
    rows = [(one, two, word) for (one, two, _), word in zip(PAIRS, words, strict=True)]
    write_table(tmp_path / "nli.csv", ["premise", "hypothesis", "gold_label"], rows)
    spec, task = load_folder(tmp_path / "nli.csv")
    data = pairs(tmp_path / "nli.csv")
    assert (spec.type, spec.labels) == ("pair_classification", {words[0]: 1, words[2]: 0})
    assert (data.sentence2, data.gold.tolist()) == (["비가 내린다", "새가 운다"], [1.0, 0.0])
    assert task.parts[0].notes == {"n_dropped_rows": 1}


def test_task_toml_overrides_name_type_columns_main_score_and_duplicates(tmp_path: Path) -> None:
    rows = [("가", "나", 1, 5), ("나", "가", 1, 5), ("다", "라", 0, 1)]
    write_table(tmp_path / "d" / "my.csv", ["왼쪽", "오른쪽", "같음", "score"], rows)
    (tmp_path / "d" / "task.toml").write_text(
        'name = "MyPairs"\ntype = "pair_classification"\n'
        'main_score = "cosine_ap"\ndedupe_pairs = true\n'
        'columns = { sentence1 = "왼쪽", sentence2 = "오른쪽", label = "같음" }\n',
        encoding="utf-8",
    )
    spec, task = load_folder(tmp_path / "d")
    assert (spec.name, spec.type, spec.main_metric) == (
        "MyPairs",
        "pair_classification",
        "cosine_ap",
    )
    data = pairs(tmp_path / "d")
    assert (data.sentence1, data.gold.tolist()) == (["가", "다"], [1.0, 0.0])
    assert task.parts[0].notes == {"n_dropped_duplicate_pairs": 1}


def test_task_toml_maps_other_labels(tmp_path: Path) -> None:
    write_table(
        tmp_path / "d" / "test.csv",
        ["s1", "s2", "label"],
        [("가", "나", 0), ("다", "라", 1), ("마", "바", 2)],
    )
    (tmp_path / "d" / "task.toml").write_text(
        '[columns]\nsentence1 = "s1"\nsentence2 = "s2"\n[labels]\n0 = 1\n2 = 0\n', encoding="utf-8"
    )
    data = pairs(tmp_path / "d")
    assert (data.sentence1, data.gold.tolist()) == (["가", "마"], [1.0, 0.0])


def test_the_task_toml_of_the_documentation_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
    answers = ["same", "different", "unsure"]
    records = [
        {"왼쪽": a, "오른쪽": b, "평가": {"같음": answer}}
        for (a, b, _), answer in zip(PAIRS, answers, strict=True)
    ]
    for split in ("dev", "test"):
        write_jsonl(tmp_path / "d" / f"{split}.jsonl", records)
    (tmp_path / "d" / "task.toml").write_text(
        page.split("```toml\n")[1].split("```")[0], encoding="utf-8"
    )
    spec, task = load_folder(tmp_path / "d")
    assert (spec.name, spec.main_metric, spec.dedupe_pairs) == ("my-pairs", "cosine_ap", True)
    assert [part.split for part in task.parts] == ["dev", "test"]
    assert pairs(tmp_path / "d").gold.tolist() == [1.0, 0.0]


def test_a_dot_reaches_into_records(tmp_path: Path) -> None:
    records = [
        {"sentence1": a, "sentence2": b, "labels": {"label": score, "real": 9}}
        for a, b, score in PAIRS
    ]
    write_jsonl(tmp_path / "d" / "test.jsonl", records)
    (tmp_path / "d" / "task.toml").write_text('columns = { score = "labels.label" }')
    assert pairs(tmp_path / "d").gold.tolist() == [4.5, 0.5, 2.0]


# ---- labelled texts


LABELLED = [
    ("축구 경기", "스포츠"),
    ("야구 경기", "스포츠"),
    ("금리 인상", "경제"),
    ("환율 하락", "경제"),
]


def test_text_and_label_in_one_file_is_clustering(tmp_path: Path) -> None:
    write_table(tmp_path / "topics.csv", ["문장", "주제"], LABELLED)
    spec, task = load_folder(tmp_path / "topics.csv")
    data = task.parts[0].data
    assert spec.type == "clustering"
    assert isinstance(data, ClusterData)
    assert list(zip(data.texts, [label for (label,) in data.labels], strict=True)) == LABELLED
    assert data.problems.tolist() == [0, 0, 0, 0]


def test_text_and_label_with_a_train_file_is_classification(tmp_path: Path) -> None:
    write_table(tmp_path / "news" / "ratings_train.tsv", ["document", "label"], LABELLED)
    write_table(
        tmp_path / "news" / "ratings_test.tsv",
        ["document", "label"],
        [("농구 시합", "스포츠"), ("물가", "경제")],
    )
    spec, task = load_folder(tmp_path / "news")
    data = task.parts[0].data
    assert (spec.type, spec.splits, spec.columns) == (
        "classification",
        ["test"],
        {"text": "document"},
    )
    assert isinstance(data, LabelData)
    assert (data.texts, data.labels) == (["농구 시합", "물가"], ["스포츠", "경제"])
    assert sorted(zip(data.train_texts, data.train_labels, strict=True)) == sorted(LABELLED)
    assert len(data.experiments) == 10
    assert not data.train_is_evaluated


def test_number_labels_of_csv_equal_those_of_jsonl(tmp_path: Path) -> None:
    rows = [("가", 0), ("나", 1), ("다", 10)]
    for suffix in (".csv", ".jsonl", ".parquet"):
        for split in ("train", "test"):
            write_table(tmp_path / suffix[1:] / f"{split}{suffix}", ["text", "label"], rows)
    parts = [load_folder(tmp_path / name)[1].parts[0] for name in ("csv", "jsonl", "parquet")]
    assert isinstance(parts[0].data, LabelData)
    assert parts[0].data.labels == [0, 1, 10]
    assert len({part.sha256 for part in parts}) == 1


def test_label_codes_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    write_table(tmp_path / "codes.csv", ["text", "label"], [("가", "01"), ("나", "02")])
    data = load_folder(tmp_path / "codes.csv")[1].parts[0].data
    assert isinstance(data, ClusterData)
    assert data.labels == [("01",), ("02",)]


# ---- files


def test_line_ends_byte_order_mark_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    text = "sentence1,sentence2,score\n비,눈,1.5\n\n해,달,4\n"
    (tmp_path / "plain.csv").write_bytes(text.encode())
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert (
        pairs(tmp_path / "plain.csv").sentence1
        == pairs(tmp_path / "excel.csv").sentence1
        == ["비", "해"]
    )


def test_csv_quotes_group_and_tsv_quotes_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'text,label\n"말했다, ""응""\n그리고",하나\n둘,이\n', encoding="utf-8"
    )
    (tmp_path / "b.tsv").write_text('text\tlabel\n"열린 따옴표\t하나\n둘"\t이\n', encoding="utf-8")
    texts = [load_folder(tmp_path / name)[1].parts[0].data for name in ("a.csv", "b.tsv")]
    assert isinstance(texts[0], ClusterData)
    assert isinstance(texts[1], ClusterData)
    assert texts[0].texts == ['말했다, "응"\n그리고', "둘"]
    assert texts[1].texts == ['"열린 따옴표', '둘"']


def test_an_unusual_line_separator_does_not_break_a_jsonl_record(tmp_path: Path) -> None:
    records = [{"text": "한 줄\u2028두 줄", "label": 0}, {"text": "셋", "label": 1}]
    write_jsonl(tmp_path / "u.jsonl", records)
    data = load_folder(tmp_path / "u.jsonl")[1].parts[0].data
    assert isinstance(data, ClusterData)
    assert data.texts == ["한 줄\u2028두 줄", "셋"]


def test_nfd_texts_are_left_as_they_are(tmp_path: Path) -> None:
    nfd = "\u1112\u1161\u11ab\u1100\u1173\u11af"  # 한글, decomposed
    write_table(tmp_path / "n.csv", ["text", "label"], [(nfd, "a"), ("한글", "b")])
    data = load_folder(tmp_path / "n.csv")[1].parts[0].data
    assert isinstance(data, ClusterData)
    assert data.texts == [nfd, "한글"]


def test_the_revision_is_the_content(tmp_path: Path) -> None:
    first, second = write_beir(tmp_path / "a"), write_beir(tmp_path / "b")
    revision = load_folder(first)[1].revision
    assert revision.startswith("sha256:")
    assert len(revision) >= len("sha256:") + 12
    assert load_folder(second)[1].revision == revision
    (first / "README.md").write_text("no data")
    assert load_folder(first)[1].revision == revision
    (first / "qrels" / "test.tsv").write_text("q1\td3\t1\n")
    assert load_folder(first)[1].revision != revision


def test_the_gold_array_is_float64(tmp_path: Path) -> None:
    write_table(tmp_path / "s.csv", ["sentence1", "sentence2", "score"], PAIRS)
    assert pairs(tmp_path / "s.csv").gold.dtype == np.float64


# ---- refusals


def test_errors_stop_loading_and_name_the_check_command(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "d")
    (folder / "qrels" / "test.tsv").write_text("".join(f"q1\tx{i}\t1\n" for i in range(9)))
    with pytest.raises(DataError) as caught:
        load_folder(folder)
    message = str(caught.value)
    assert "qrels/test.tsv, row 1, corpus-id: 'x0' - corpus.jsonl has no such id" in message
    assert "x2" in message
    assert "x3" not in message
    assert "And 6 more." in message
    assert message.endswith(f"kemb check {folder}")


@pytest.mark.parametrize("name", ["nothing", "notes.docx"])
def test_a_path_that_is_no_data_is_a_usage_error(tmp_path: Path, name: str) -> None:
    if "." in name:
        (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=name):
        load_folder(tmp_path / name)


def test_the_clustering_protocol_of_task_toml_counts_and_its_change_makes_a_new_result(
    tmp_path: Path,
) -> None:
    from kemb.encoding.store import Store
    from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
    from kemb.models.resolve import resolve

    folder = tmp_path / "topics"
    folder.mkdir()
    (folder / "data.csv").write_text(
        "text,label\n" + "".join(f"글 {i},{'abc'[i % 3]}\n" for i in range(30))
    )
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    found = []
    for n in (10, 3, 3):
        (folder / "task.toml").write_text(
            f"[clustering]\nn_experiments = {n}\ndocuments_per_experiment = 30\n"
        )
        (outcome,) = evaluate([load_task(folder)], [resolve("toy")], options)
        assert outcome.result is not None
        found.append(
            (outcome.status, len(outcome.result.scores["test"][0]["scores_per_experiment"]))
        )
    assert found == [("scored", 10), ("scored", 3), ("kept", 3)]
