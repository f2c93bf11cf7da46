"""Known tasks out of a mirror: every layout by hand, every kind of bad data refused with file, row
or id.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb.errors import DataError, NotSupported
from kemb.tasks.load import load
from kemb.tasks.parts import content_sha256
from kemb.tasks.spec import TaskSpec
from kemb.types import BitextData, ClusterData, LabelData, PairData, Part, PartData, RetrievalData

HUB = "someone/data"
COMMIT = "c" * 40
Columns = dict[str, list[Any]]
Tables = dict[str, dict[str, Columns]]
Data = TypeVar("Data", bound=PartData)


def write_mirror(root: Path, configs: Tables, revision: str = COMMIT) -> Path:
    """A mirror with one dataset, by hand as docs/architecture.md, "Mirrors", describes it."""
    folder = root / "set"
    folder.mkdir(parents=True)
    header = ["---", "configs:"]
    for config, splits in configs.items():
        header += [f"- config_name: {config}", "  data_files:"]
        for split, columns in splits.items():
            pq.write_table(pa.table(columns), folder / f"{config}-{split}.parquet")
            header += [f"  - split: {split}", f"    path: {config}-{split}.parquet"]
    (folder / "README.md").write_text("\n".join([*header, "---", "", "# data", ""]))
    (folder / "manifest.json").write_text(json.dumps({"hub": HUB, "revision": revision}))
    entries = {config: {"folder": "set", "config": config} for config in configs}
    (root / "index.json").write_text(json.dumps({HUB: entries}))
    return root


def spec_of(kind: str, source: dict[str, str] | None = None, **fields: object) -> TaskSpec:
    where = {"hub": HUB, "revision": COMMIT} | (source or {})
    return TaskSpec.model_validate(
        {"name": "Mine", "type": kind, "splits": ["test"], "source": where} | fields
    )


def parts_of(root: Path, configs: Tables, kind: str, **fields: object) -> list[Part]:
    return load(spec_of(kind, **fields), write_mirror(root, configs)).parts  # type: ignore[arg-type]


def data_of(want: type[Data], root: Path, configs: Tables, kind: str, **fields: object) -> Data:
    (part,) = parts_of(root, configs, kind, **fields)
    assert isinstance(part.data, want)
    return part.data


STS: Columns = {
    "sentence1": ["가", "나", "다"],
    "sentence2": ["라", "마", "바"],
    "score": [0.0, 2.5, 5.0],
}
CORPUS: Columns = {
    "_id": ["d1", "d2", "d3"],
    "title": ["제목", "", None],
    "text": [" 본문 하나\n", "둘 ", "셋"],
}
QUERIES: Columns = {"_id": ["q1", "q2", "q3"], "text": ["질문 하나", "질문 둘 ", "판정 없음"]}
QRELS: Columns = {
    "query-id": ["q2", "q1", "q1"],
    "corpus-id": ["d3", "d1", "d2"],
    "score": [1, 2, 0],
}
BEIR = {"corpus": {"test": CORPUS}, "queries": {"test": QUERIES}, "default": {"test": QRELS}}
BEIR_SPEC: dict[str, Any] = {"source": {"layout": "beir"}}


def test_rows_of_pairs_keep_their_texts_and_scores(tmp_path: Path) -> None:
    task = load(spec_of("sts"), write_mirror(tmp_path, {"default": {"test": STS}}))
    assert (task.task, task.type, task.revision) == ("Mine", "sts", COMMIT)
    (part,) = task.parts
    assert (part.split, part.subset, part.notes) == ("test", "default", {})
    assert isinstance(part.data, PairData)
    assert part.data.item_ids == ["0", "1", "2"]
    assert (part.data.sentence1, part.data.sentence2) == (STS["sentence1"], STS["sentence2"])
    assert part.data.gold.tolist() == [0.0, 2.5, 5.0]


def test_a_dot_reaches_into_a_struct(tmp_path: Path) -> None:
    labels = [{"label": 3.5, "real-label": 3.4}, {"label": 0.0, "real-label": 0.1}]
    rows = {"sentence1": ["가", "나"], "sentence2": ["다", "라"], "labels": labels}
    data = data_of(
        PairData,
        tmp_path,
        {"sts": {"test": rows}},
        "sts",
        source={"config": "sts"},
        columns={"score": "labels.label"},
    )
    assert data.gold.tolist() == [3.5, 0.0]


def test_a_table_of_labels_drops_the_other_rows_and_counts_them(tmp_path: Path) -> None:
    rows = {
        "premise": list("가나다라마"),
        "hypothesis": list("바사아자차"),
        "label": [2, 1, 0, 1, -1],
    }
    columns = {"sentence1": "premise", "sentence2": "hypothesis", "labels": "label"}
    (part,) = parts_of(
        tmp_path,
        {"default": {"test": rows}},
        "pair_classification",
        columns=columns,
        labels={"0": 1, "2": 0},
    )
    assert isinstance(part.data, PairData)
    assert (part.data.sentence1, part.data.sentence2) == (["가", "다"], ["바", "아"])
    assert part.data.gold.tolist() == [0.0, 1.0]
    assert part.data.item_ids == ["0", "2"]
    assert part.notes == {"n_dropped_rows": 3}


def test_one_row_of_lists_is_laid_out_flat(tmp_path: Path) -> None:
    rows = {"sentence1": [["가", "나"]], "sentence2": [["다", "라"]], "labels": [[1, 0]]}
    data = data_of(
        PairData,
        tmp_path,
        {"ko": {"test": rows}},
        "pair_classification",
        source={"config": "{subset}"},
        subsets=["ko"],
    )
    assert (data.sentence1, data.gold.tolist()) == (["가", "나"], [1.0, 0.0])


def test_pairs_that_are_equal_in_either_order_are_dropped_only_where_the_task_says_so(
    tmp_path: Path,
) -> None:
    rows = {
        "sentence1": ["가", "나", "가", "나", "다"],
        "sentence2": ["나", "가", "나", "다", "다"],
    }
    tables = {"default": {"test": rows | {"score": [1.0, 2.0, 3.0, 4.0, 5.0]}}}
    (part,) = parts_of(tmp_path / "a", tables, "sts", dedupe_pairs=True)
    assert isinstance(part.data, PairData)
    assert part.data.item_ids == ["0", "3", "4"]
    assert part.data.gold.tolist() == [1.0, 4.0, 5.0]
    assert part.notes == {"n_dropped_duplicate_pairs": 2}
    (kept,) = parts_of(tmp_path / "b", tables, "sts")
    assert kept.notes == {}
    assert isinstance(kept.data, PairData)
    assert len(kept.data.item_ids) == 5


def test_rows_are_chosen_by_their_subset(tmp_path: Path) -> None:
    rows = {
        "sentence1": list("가나다"),
        "sentence2": list("라마바"),
        "lang": ["ko-ko", "en-en", "ko-ko"],
    }
    tables = {"default": {"test": rows | {"score": [1.0, 2.0, 3.0]}}}
    source = {"group_column": "lang"}
    assert data_of(
        PairData, tmp_path, tables, "sts", subsets=["ko-ko"], source=source
    ).sentence1 == ["가", "다"]
    with pytest.raises(DataError, match=r"default-test\.parquet: no row has lang = 'ko-en'"):
        load(spec_of("sts", subsets=["ko-en"], source=source), tmp_path)


def test_beir_texts_ids_and_judgments(tmp_path: Path) -> None:
    (part,) = parts_of(tmp_path, BEIR, "retrieval", **BEIR_SPEC)
    assert part.data == RetrievalData(
        doc_ids=["d1", "d2", "d3"],
        documents=["제목  본문 하나", "둘", "셋"],
        query_ids=["q1", "q2"],
        queries=["질문 하나", "질문 둘 "],
        qrels={"q1": {"d1": 2, "d2": 0}, "q2": {"d3": 1}},
    )
    assert part.notes == {"n_dropped_queries": 1}


def test_beir_with_subsets_numbers_as_ids_fractions_and_instructions(tmp_path: Path) -> None:
    configs: Tables = {
        "ko-corpus": {"train": {"id": [1, 2], "text": ["하나", "둘"]}},
        "ko-queries": {
            "dev": {"id": [7, 8], "text": ["질문", "물음"], "instruction": ["더", None]}
        },
        "ko-qrels": {"dev": {"query-id": [7, 8], "corpus-id": [2, 1], "score": [1.9, 0.5]}},
    }
    (part,) = parts_of(tmp_path, configs, "retrieval", splits=["dev"], subsets=["ko"], **BEIR_SPEC)
    assert isinstance(part.data, RetrievalData)
    assert part.data.doc_ids == ["1", "2"]
    assert part.data.queries == ["질문 더", "물음"]
    assert part.data.qrels == {"7": {"2": 1}, "8": {"1": 0}}
    assert part.notes == {"n_queries_without_relevant": 1}


def test_the_only_split_of_a_corpus_serves_every_split_but_one_of_several_does_not(
    tmp_path: Path,
) -> None:
    tables = {
        "korean-corpus": {"train": CORPUS},
        "korean-queries": {"test": QUERIES},
        "korean-qrels": {"test": QRELS},
    }
    data = data_of(
        RetrievalData, tmp_path / "a", tables, "retrieval", subsets=["korean"], **BEIR_SPEC
    )
    assert data.doc_ids == ["d1", "d2", "d3"]
    tables["korean-queries"] = {"dev": QUERIES, "train": QUERIES}
    with pytest.raises(
        DataError, match=r"config korean-queries\) has no split 'test'; it has dev, train"
    ):
        parts_of(tmp_path / "b", tables, "retrieval", subsets=["korean"], **BEIR_SPEC)


def test_the_other_names_of_beir_configs(tmp_path: Path) -> None:
    tables = {"corpus": {"corpus": CORPUS}, "query": {"queries": QUERIES}, "qrels": {"test": QRELS}}
    assert data_of(RetrievalData, tmp_path, tables, "retrieval", **BEIR_SPEC).query_ids == [
        "q1",
        "q2",
    ]


def test_candidates_of_reranking(tmp_path: Path) -> None:
    ranked = {"query-id": ["q2", "q1"], "corpus-ids": [["d3", "d1"], ["d2"]]}
    data = data_of(
        RetrievalData,
        tmp_path / "a",
        BEIR | {"top_ranked": {"test": ranked}},
        "reranking",
        **BEIR_SPEC,
    )
    assert data.candidates == {"q1": ["d2"], "q2": ["d3", "d1"]}
    ranked["corpus-ids"] = [["d3", "gone"], ["d2"]]
    with pytest.raises(DataError, match=r"candidates of query 'q2' name document 'gone'"):
        parts_of(tmp_path / "b", BEIR | {"top_ranked": {"test": ranked}}, "reranking", **BEIR_SPEC)


def test_questions_and_answers(tmp_path: Path) -> None:
    rows = {
        "question": ["물음", "다른 물음", "물음", None],
        "answer": [" 답", "답 둘", "답 둘", "버려진 답"],
    }
    source = {"layout": "qa", "config": "{subset}"}
    data = data_of(
        RetrievalData,
        tmp_path,
        {"korean": {"test": rows}},
        "retrieval",
        subsets=["korean"],
        source=source,
    )
    assert data == RetrievalData(
        doc_ids=["D0", "D1"],
        documents=["답", "답 둘"],
        query_ids=["Q0", "Q1"],
        queries=["물음", "다른 물음"],
        qrels={"Q0": {"D0": 1, "D1": 1}, "Q1": {"D1": 1}},
    )


def test_belebele_joins_two_languages_by_their_links(tmp_path: Path) -> None:
    english = {
        "link": ["b", "a"],
        "flores_passage": ["second ", "first"],
        "question": ["two?", "one?"],
    }
    korean = {
        "link": ["a", "a", "b"],
        "flores_passage": ["가", "가", "나"],
        "question": ["하나?", "또?", "둘?"],
    }
    tables = {"kor_Hang": {"test": korean}, "eng_Latn": {"test": english}}
    source = {"layout": "belebele"}
    subsets = ["eng_Latn-kor_Hang", "kor_Hang-kor_Hang"]
    crossed, own = parts_of(tmp_path / "a", tables, "retrieval", subsets=subsets, source=source)
    assert crossed.data == RetrievalData(
        doc_ids=["C0", "C1"],
        documents=["second", "first"],
        query_ids=["Q0", "Q1", "Q2"],
        queries=["하나?", "또?", "둘?"],
        qrels={"Q0": {"C1": 1}, "Q1": {"C1": 1}, "Q2": {"C0": 1}},
    )
    assert isinstance(own.data, RetrievalData)
    assert own.data.documents == ["가", "나"]
    tables["eng_Latn"]["test"]["link"] = ["b", "z"]
    with pytest.raises(
        DataError,
        match=r"kor_Hang-test\.parquet links to 'a', which .*eng_Latn-test\.parquet does not",
    ):
        parts_of(tmp_path / "b", tables, "retrieval", subsets=subsets, source=source)


def test_every_row_of_a_clustering_set_is_a_problem_of_its_own(tmp_path: Path) -> None:
    rows = {
        "sentences": [["가", "나"], ["다", "라", "마"]],
        "labels": [["x", "y"], ["y", "x", "x"]],
    }
    data = data_of(
        ClusterData,
        tmp_path / "a",
        {"default": {"test": rows}},
        "clustering",
        clustering={"kind": "rows"},
    )
    assert data.texts == ["가", "나", "다", "라", "마"]
    assert data.labels == [("x",), ("y",), ("y",), ("x",), ("x",)]
    assert data.problems.tolist() == [0, 0, 1, 1, 1]
    joined = spec_of("clustering", join_splits=["test", "test"])
    assert load(joined, tmp_path / "a").parts[0].data.problems.tolist() == [
        0,
        0,
        1,
        1,
        1,
        2,
        2,
        3,
        3,
        3,
    ]
    rows["labels"][1].pop()
    with pytest.raises(DataError, match=r"default-test\.parquet has 5 texts but 4 labels"):
        parts_of(tmp_path / "b", {"default": {"test": rows}}, "clustering")


def test_splits_are_joined_and_labels_numbered_by_their_text(tmp_path: Path) -> None:
    tables = {
        "ko": {
            name: {"text": [name], "category": [name[::-1]]}
            for name in ("test", "train", "validation")
        }
    }
    fields: dict[str, Any] = {
        "columns": {"sentences": "text", "labels": "category"},
        "join_splits": ["train", "validation", "test"],
        "source": {"config": "{subset}"},
        "subsets": ["ko"],
    }
    encoded = data_of(
        ClusterData, tmp_path / "a", tables, "clustering", encode_labels=True, **fields
    )
    assert encoded.texts == ["train", "validation", "test"]
    assert encoded.labels == [(0,), (1,), (2,)]  # niart, noitadilav, tset
    assert encoded.problems.tolist() == [0, 0, 0]
    tables["ko"]["test"]["category"] = [3]
    with pytest.raises(
        DataError,
        match=r"'category' holds text in .*train\.parquet.*whole numbers in .*test\.parquet",
    ):
        parts_of(tmp_path / "b", tables, "clustering", **fields)


def test_bitext_keeps_rows_as_they_are(tmp_path: Path) -> None:
    rows = {"sentence1": ["하나\n", "둘"], "sentence2": ["one\n", "two"]}
    data = data_of(BitextData, tmp_path, {"default": {"test": rows}}, "bitext_mining")
    assert data == BitextData(["0", "1"], ["하나\n", "둘"], ["one\n", "two"])


SHOTS: Columns = {"text": [f"문장 {i}" for i in range(12)], "label": [i % 2 for i in range(12)]}
SCORED: Columns = {"text": ["가", "나", "다"], "label": [1, 0, 1]}


def test_few_shot_rows_are_balanced_and_refer_to_the_training_texts(tmp_path: Path) -> None:
    protocol = {"n_experiments": 3, "samples_per_label": 2}
    data = data_of(
        LabelData,
        tmp_path,
        {"default": {"test": SCORED, "train": SHOTS}},
        "classification",
        classification=protocol,
    )
    assert (data.texts, data.labels, data.train_is_evaluated) == (
        ["가", "나", "다"],
        [1, 0, 1],
        False,
    )
    assert len(data.experiments) == 3
    assert len({tuple(rows.tolist()) for rows in data.experiments}) == 3
    for rows in data.experiments:
        assert sorted(data.train_labels[i] for i in rows) == [0, 0, 1, 1]
    used = {int(i) for rows in data.experiments for i in rows}
    assert used == set(range(len(data.train_texts)))
    for text, label in zip(data.train_texts, data.train_labels, strict=True):
        assert label == int(text.removeprefix("문장 ")) % 2


def test_without_training_rows_and_with_the_evaluated_split_as_training_split(
    tmp_path: Path,
) -> None:
    root = write_mirror(tmp_path, {"default": {"train": SHOTS}})
    spec = spec_of("classification", splits=["train"])
    whole, bare = load(spec, root).parts[0], load(spec, root, train=False).parts[0]
    assert isinstance(whole.data, LabelData)
    assert isinstance(bare.data, LabelData)
    assert whole.data.train_is_evaluated
    assert (bare.data.experiments, bare.data.train_texts) == ([], [])
    assert bare.data.texts == whole.data.texts
    assert bare.sha256 != whole.sha256


def test_a_subsample_keeps_the_shares_of_the_labels_and_names_them(tmp_path: Path) -> None:
    labels = [0] * 40 + [1] * 20
    rows = {"title": [f"{label} {i}" for i, label in enumerate(labels)], "label": labels}
    fields: dict[str, Any] = {
        "columns": {"text": "title"},
        "labels": {"0": "사회", "1": "정치"},
        "subsample": {"splits": ["test"], "rows": 12},
    }
    data = data_of(
        LabelData, tmp_path, {"default": {"test": rows, "train": rows}}, "classification", **fields
    )
    assert sorted(data.labels) == ["사회"] * 8 + ["정치"] * 4
    assert [rows["title"][int(i)] for i in data.item_ids] == data.texts
    assert [text[0] for text in data.texts] == [
        "0" if label == "사회" else "1" for label in data.labels
    ]


def edited(configs: Tables, config: str, **columns: list[Any]) -> Tables:
    (split,) = configs[config]
    return configs | {config: {split: configs[config][split] | columns}}


STS_ROWS = {"default": {"test": STS}}
LABEL_ROWS = {"default": {"test": SCORED, "train": SHOTS}}
NOTHING: Columns = {name: pa.array([], "double" if name == "score" else "string") for name in STS}
EMPTY: Columns = {"_id": pa.array([], "string"), "text": pa.array([], "string")}
BAD: list[tuple[str, Tables, dict[str, Any], str]] = [
    (
        "sts",
        edited(STS_ROWS, "default", sentence2=["라", None, "바"]),
        {},
        r"'sentence2', row 1 is empty \(null\)",
    ),
    (
        "sts",
        edited(STS_ROWS, "default", sentence1=[1, 2, 3]),
        {},
        r"'sentence1' holds int64, for example 1 in row 0",
    ),
    (
        "sts",
        edited(STS_ROWS, "default", score=[1.0, 2.0, float("nan")]),
        {},
        r"'score', row 2 is nan; .*finite",
    ),
    (
        "sts",
        edited(STS_ROWS, "default", score=["1", "2", "3"]),
        {},
        r"'score' holds string, for example '1'",
    ),
    (
        "sts",
        STS_ROWS,
        {"columns": {"score": "gold"}},
        r"no column 'gold'; it has 'sentence1', 'sentence2', 'score'",
    ),
    (
        "sts",
        STS_ROWS,
        {"columns": {"score": "score.label"}},
        r"'score' holds double, which has no field 'label'",
    ),
    ("sts", STS_ROWS, {"splits": ["dev"]}, r"has no split 'dev'; it has test"),
    (
        "sts",
        STS_ROWS,
        {"contract": {"test/default": {"rows": 4}}},
        r"has 3 rows, expected 4: these are not the data",
    ),
    ("sts", {"default": {"test": NOTHING}}, {}, r"has no rows; there is nothing to evaluate"),
    (
        "pair_classification",
        edited(STS_ROWS, "default", labels=[0, 1, 2]),
        {},
        r"'labels', row 2 is 2; .*label 0 or 1",
    ),
    (
        "classification",
        {"default": {"test": SCORED, "train": SHOTS | {"label": ["0", "1"] * 6}}},
        {},
        r"holds whole ",
    ),
    (
        "classification",
        LABEL_ROWS,
        {"labels": {"5": "다섯"}},
        r"no label is one of '5'; found 0, 1",
    ),
    (
        "classification",
        {"default": {"test": SCORED | {"label": [1, None, 0]}, "train": SHOTS}},
        {},
        r"'label', row 1",
    ),
    ("classification", {"default": {"test": SCORED}}, {}, r"has no split 'train'"),
    (
        "retrieval",
        edited(BEIR, "default", **{"corpus-id": ["d3", "d9", "d2"]}),
        BEIR_SPEC,
        r"'q1' name document 'd9'",
    ),
    (
        "retrieval",
        edited(BEIR, "default", **{"query-id": ["q2", "q9", "q1"]}),
        BEIR_SPEC,
        r"qrels name query 'q9'",
    ),
    (
        "retrieval",
        edited(BEIR, "default", score=[1, None, 0]),
        BEIR_SPEC,
        r"default-test\.parquet: .*'score', row 1",
    ),
    (
        "retrieval",
        edited(BEIR, "default", **{"query-id": [1.5, 2.5, 3.5]}),
        BEIR_SPEC,
        r"'query-id' holds double",
    ),
    (
        "retrieval",
        edited(BEIR, "corpus", _id=["d1", "d2", "d1"]),
        BEIR_SPEC,
        r"document id 'd1' occurs more than once",
    ),
    (
        "retrieval",
        edited(BEIR, "corpus", text=["하나", "둘", None]),
        BEIR_SPEC,
        r"corpus-test\.parquet: .*'text', row 2",
    ),
    ("retrieval", BEIR | {"corpus": {"test": EMPTY}}, BEIR_SPEC, "has no document at all"),
    ("retrieval", BEIR | {"queries": {"test": EMPTY}}, BEIR_SPEC, "has no query at all"),
    (
        "retrieval",
        edited(BEIR, "queries", _id=["a", "b", "c"]),
        BEIR_SPEC,
        r"qrels name query 'q2'",
    ),
]


@pytest.mark.parametrize(("kind", "configs", "fields", "says"), BAD, ids=[row[3] for row in BAD])
def test_bad_data_is_refused_in_one_paragraph(
    tmp_path: Path, kind: str, configs: Tables, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        parts_of(tmp_path, configs, kind, **fields)
    assert re.search(
        r"Mine|default-test\.parquet|default-train\.parquet|corpus-test\.parquet", str(caught.value)
    )
    assert "\n" not in str(caught.value)


def test_a_task_whose_queries_nobody_judged_has_nothing_to_evaluate(tmp_path: Path) -> None:
    nobody = {name: pa.array([], "int64" if name == "score" else "string") for name in QRELS}
    with pytest.raises(DataError, match="has no queries; there is nothing to evaluate"):
        parts_of(tmp_path, BEIR | {"default": {"test": nobody}}, "retrieval", **BEIR_SPEC)


def test_a_task_without_a_hub_dataset_is_refused() -> None:
    with pytest.raises(NotSupported, match="names no hub dataset"):
        load(
            TaskSpec.model_validate({"name": "a", "type": "sts", "splits": ["test"], "source": {}})
        )


def test_data_of_another_revision_are_refused_unless_the_task_is_unpinned(tmp_path: Path) -> None:
    root = write_mirror(tmp_path, STS_ROWS, revision="d" * 40)
    with pytest.raises(
        DataError,
        match=r"at revision d+, but task Mine is defined on c+\. Type: kemb tasks fetch Mine",
    ):
        load(spec_of("sts"), root)
    assert load(spec_of("sts", source={"revision": "main"}), root).revision == "d" * 40


def test_damaged_mirrors_are_refused_with_the_file(tmp_path: Path) -> None:
    root = write_mirror(tmp_path, STS_ROWS)
    table = root / "set" / "default-test.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"default-test\.parquet cannot be read as a Parquet file: .*tasks fetch"
    ):
        load(spec_of("sts"), root)
    table.unlink()
    with pytest.raises(
        DataError, match=r"default-test\.parquet is named in .*README\.md but does not exist"
    ):
        load(spec_of("sts"), root)
    (root / "set" / "README.md").write_text("# no header")
    with pytest.raises(DataError, match=r"README\.md must begin with a YAML header"):
        load(spec_of("sts"), root)
    (root / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json cannot be read as JSON"):
        load(spec_of("sts"), root)


@pytest.mark.parametrize("where", ["index", "readme"])
def test_paths_that_lead_out_of_a_mirror_are_refused(tmp_path: Path, where: str) -> None:
    root = write_mirror(tmp_path / "mirror", STS_ROWS)
    (tmp_path / "outside").mkdir()
    if where == "index":
        (root / "index.json").write_text(
            json.dumps({HUB: {"default": {"folder": "../outside", "config": "default"}}})
        )
    else:
        readme = root / "set" / "README.md"
        readme.write_text(readme.read_text().replace("path: ", "path: ../../outside/"))
    with pytest.raises(DataError, match="leads out of the mirror"):
        load(spec_of("sts"), root)


PAIRS = PairData(["0", "1"], ["가", "나"], ["다", "라"], np.array([1.0, 2.0]))
RETRIEVAL = RetrievalData(["d1", "d2"], ["가", "나"], ["q"], ["다"], {"q": {"d1": 1, "d2": 0}})
LABELLED = LabelData(
    ["0", "1"], ["가", "나"], [0, 1], ["다", "라"], [0, 1], [np.array([0, 1])], False
)
CLUSTERED = ClusterData(["0", "1"], ["가", "나"], [("x",), ("y",)], np.array([0, 0]))
CHANGED: list[tuple[PartData, PartData]] = [
    (PAIRS, replace(PAIRS, sentence1=["가", "나 "])),
    (PAIRS, replace(PAIRS, sentence1=["가나", ""])),
    (PAIRS, replace(PAIRS, sentence1=["나", "가"])),
    (PAIRS, replace(PAIRS, sentence1=PAIRS.sentence2, sentence2=PAIRS.sentence1)),
    (PAIRS, replace(PAIRS, gold=np.array([1.0, np.nextafter(2.0, 3.0)]))),
    (PAIRS, replace(PAIRS, gold=np.array([2.0, 1.0]))),
    (BitextData([], ["가", "나"], []), BitextData([], ["가"], ["나"])),
    (PAIRS, BitextData(PAIRS.item_ids, PAIRS.sentence1, PAIRS.sentence2)),
    (RETRIEVAL, replace(RETRIEVAL, doc_ids=["d2", "d1"], documents=["나", "가"])),
    (RETRIEVAL, replace(RETRIEVAL, documents=["가", "나!"])),
    (RETRIEVAL, replace(RETRIEVAL, queries=["라"])),
    (RETRIEVAL, replace(RETRIEVAL, qrels={"q": {"d1": 2, "d2": 0}})),
    (RETRIEVAL, replace(RETRIEVAL, qrels={"q": {"d1": 1}})),
    (RETRIEVAL, replace(RETRIEVAL, candidates={"q": ["d1"]})),
    (
        replace(RETRIEVAL, candidates={"q": ["d1", "d2"]}),
        replace(RETRIEVAL, candidates={"q": ["d2", "d1"]}),
    ),
    (LABELLED, replace(LABELLED, labels=[1, 0])),
    (LABELLED, replace(LABELLED, labels=["0", "1"])),
    (LABELLED, replace(LABELLED, train_texts=["다", "마"])),
    (LABELLED, replace(LABELLED, train_labels=[1, 0])),
    (LABELLED, replace(LABELLED, experiments=[np.array([1, 0])])),
    (CLUSTERED, replace(CLUSTERED, labels=[("y",), ("x",)])),
    (CLUSTERED, replace(CLUSTERED, problems=np.array([0, 1]))),
]


@pytest.mark.parametrize(("before", "after"), CHANGED)
def test_the_hash_follows_every_text_label_and_order(before: PartData, after: PartData) -> None:
    assert content_sha256(before) != content_sha256(after)


def test_the_hash_does_not_follow_what_no_score_depends_on() -> None:
    assert content_sha256(PAIRS) == content_sha256(replace(PAIRS, item_ids=["7", "8"]))
    other_order = replace(RETRIEVAL, qrels={"q": {"d2": 0, "d1": 1}})
    assert content_sha256(RETRIEVAL) == content_sha256(other_order)
    many = ["가"] * 20000
    long = BitextData(many, many, many)
    assert content_sha256(long) == content_sha256(BitextData(list(many), list(many), list(many)))
    assert content_sha256(long) != content_sha256(BitextData(many, [*many[1:], "나"], many))


def test_empty_texts_are_counted_not_refused(tmp_path: Path) -> None:
    (part,) = parts_of(tmp_path, edited(STS_ROWS, "default", sentence1=["가", " ", ""]), "sts")
    assert part.notes == {"n_empty_texts": 2}
