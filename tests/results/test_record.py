"""The record: byte for byte what was read is written, and what is none of ours is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kemb.errors import ResultError
from kemb.files import disk
from kemb.results import record as records
from kemb.results.files import ITEMS_SCHEMA, ScoredPart, read_items, read_result, write_result
from kemb.results.record import OtherSchema, ResultFile
from kemb.types import PartScore
from records import changed, record

RECORDED = sorted((Path(__file__).parent / "recorded").rglob("*.json"))
"""Records that the last kemb with untyped records wrote: dense, lexical, a fusion, a view, a model
with a tokenizer; retrieval, STS, classification.
"""


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_record_of_the_untyped_days_is_written_byte_for_byte(path: Path) -> None:
    file = records.read(path)
    assert file.text().encode() == path.read_bytes()
    assert file.kemb is not None
    assert json.loads(path.read_text())["kemb"] == file.kemb.as_json()
    assert not extras(file), "every key that kemb writes has a field"


def extras(part: object) -> list[str]:
    if isinstance(part, records.Data):
        found = list(part.model_extra or ())
        values: list[object] = [getattr(part, name) for name in type(part).model_fields]
    else:
        found = []
        values = list(part.values()) if isinstance(part, dict) else []
        values = list(part) if isinstance(part, list) else values
    return found + [name for value in values for name in extras(value)]


def content() -> dict[str, Any]:
    (path,) = [path for path in RECORDED if path.match("dense/s1.json")]
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def read(tmp_path: Path, value: object) -> ResultFile:
    path = tmp_path / "T.json"
    path.write_text(json.dumps(value))
    return records.read(path)


def at(*keys: str | int) -> Callable[[dict[str, Any], Any], None]:
    def put(value: dict[str, Any], new: Any) -> None:  # noqa: ANN401
        inner: Any = value
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = new

    return put


WRONG: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("kemb",), "text", "kemb"),
    (("kemb",), None, "kemb"),
    (("kemb",), {}, "kemb.task"),
    (("kemb", "task"), [1], "kemb.task"),
    (("kemb", "task", "type"), "sport", "kemb.task.type"),
    (("kemb", "task", "data_sha256"), ["a"], "kemb.task.data_sha256"),
    (("kemb", "task", "data_sha256"), {"test/default": 1}, "kemb.task.data_sha256.test/default"),
    (("kemb", "task", "notes"), {"test/default": {"n": "x"}}, "kemb.task.notes.test/default.n"),
    (("kemb", "task", "metric_version"), "1", "kemb.task.metric_version"),
    (("kemb", "task", "dedupe_pairs"), "no", "kemb.task.dedupe_pairs"),
    (("kemb", "model", "name"), 5, "kemb.model.name"),
    (("kemb", "model", "dtype"), "float8", "kemb.model.dtype"),
    (("kemb", "model", "max_tokens"), -1, "kemb.model.max_tokens"),
    (("kemb", "model", "max_tokens"), 10**30, "kemb.model.max_tokens"),
    (("kemb", "model", "backend"), "onnx", "kemb.model.backend"),
    (("kemb", "prompts"), ["text"], "kemb.prompts"),
    (("kemb", "prompts", "text"), "query: ", "kemb.prompts.text"),
    (("kemb", "view"), [256], "kemb.view"),
    (("kemb", "view"), {"level": "float1"}, "kemb.view.level"),
    (("kemb", "parts"), {"model": 1}, "kemb.parts"),
    (("kemb", "versions"), [1], "kemb.versions"),
    (("kemb", "versions", "numpy"), 2.4, "kemb.versions.numpy"),
    (("kemb", "warnings"), "none", "kemb.warnings"),
    (("kemb", "fingerprint"), "abc", "kemb.fingerprint"),
    (("kemb", "fingerprint_id"), 7, "kemb.fingerprint_id"),
    (("kemb", "hardware", "n_cores"), "two", "kemb.hardware.n_cores"),
    (("kemb", "seconds", "encode"), float("nan"), "kemb.seconds.encode"),
    (("kemb", "seconds", "score"), 1e308, "kemb.seconds.score"),
    (("kemb", "timestamp"), "yesterday", "kemb.timestamp"),
    (("kemb", "timestamp"), 1.5, "kemb.timestamp"),
    (("kemb", "timestamp"), True, "kemb.timestamp"),
    (("kemb", "command"), None, "kemb.command"),
    (("kemb", "encoded", "n_encoded"), [1], "kemb.encoded.n_encoded"),
    (("kemb", "lengths"), [], "kemb.lengths"),
    (
        ("kemb", "lengths"),
        {
            "test/default": {
                "columns": {"texts": {"n_texts": 1, "n_truncated": 2, "longest": 3}},
                "korean": {"n_texts": 0, "n_chars": 0, "n_tokens": 0},
            }
        },
        "kemb.lengths.test/default.columns.texts",
    ),
    (("kemb", "score_notes"), {"test/default": 3}, "kemb.score_notes.test/default"),
    (("kemb", "items_sha256"), 1, "kemb.items_sha256"),
    (("kemb", "schema"), "1", "kemb.schema"),
    (("scores",), {}, "scores"),
    (("scores",), [], "scores"),
    (("scores", "test"), [], "scores.test"),
    (("scores", "test", 0), 5, "scores.test.0"),
    (("scores", "test", 0, "main_score"), None, "main_score"),
    (("scores", "test", 0, "main_score"), [0.5], "main_score"),
    (("scores", "test", 0, "main_score"), "0.5", "main_score"),
    (("scores", "test", 0, "main_score"), True, "main_score"),
    (("scores", "test", 0, "main_score"), float("nan"), "main_score"),
    (("scores", "test", 0, "main_score"), 1e308, "main_score"),
    (("scores", "test", 0, "main_score"), 10**400, "main_score"),
    (("scores", "test", 0, "spearman"), 10**400, "spearman"),
    (("scores", "test", 0, "hf_subset"), 3, "hf_subset"),
    (("task_name",), 3, "task_name"),
    (("task_name",), "", "task_name"),
    (("task_name",), "../../x", "task_name"),
    (("task_name",), "a\x1b[31m", "task_name"),
    (("task_name",), "a\ud800", "half of a character"),
    (("dataset_revision",), ["a"], "dataset_revision"),
]


@pytest.mark.parametrize(("keys", "value", "named"), WRONG)
def test_other_types_than_kemb_writes_are_refused_with_file_and_key(
    tmp_path: Path, keys: tuple[str | int, ...], value: object, named: str
) -> None:
    wrong = content()
    at(*keys)(wrong, value)
    with pytest.raises(ResultError) as caught:
        read(tmp_path, wrong)
    message = str(caught.value)
    assert str(tmp_path / "T.json") in message
    assert named in message
    assert "\n" not in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "keys",
    [
        ("task_name",),
        ("dataset_revision",),
        ("scores",),
        ("scores", "test", 0, "main_score"),
        ("scores", "test", 0, "hf_subset"),
        ("kemb", "task"),
        ("kemb", "model"),
        ("kemb", "model", "similarity"),
        ("kemb", "prompts"),
        ("kemb", "schema"),
        ("kemb", "items_sha256"),
        ("kemb", "timestamp"),
    ],
)
def test_a_key_that_is_missing_is_named(tmp_path: Path, keys: tuple[str | int, ...]) -> None:
    wrong: dict[str, Any] = content()
    inner: Any = wrong
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    with pytest.raises(ResultError, match=str(keys[-1])):
        read(tmp_path, wrong)


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "null", '{"a": 1}', "{", "[" * 100_000, '{"a":' * 70 + "1" + "}" * 70]
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "T.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=r"T\.json is not a result file") as caught:
        records.read(path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_not_to_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "X.json"
    link.symlink_to("nowhere")
    with pytest.raises(ResultError, match=r"X\.json is a link to 'nowhere', and nothing is there"):
        records.read(link)
    with pytest.raises(ResultError, match=r"no\.json is not a result file: there is no file"):
        records.read(tmp_path / "no.json")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    sound = tmp_path / "sound" / "X.json"
    sound.parent.mkdir()
    sound.write_text(json.dumps(content()))
    monkeypatch.setattr(disk, "read_json", refuse)
    with pytest.raises(
        ResultError, match=r"X\.json cannot be read \(Permission denied\)"
    ) as caught:
        records.read(sound)
    assert "Delete" not in str(caught.value)


def test_another_schema_is_refused_and_the_file_is_not_overwritten(tmp_path: Path) -> None:
    newer = content()
    newer["kemb"]["schema"] = 99
    with pytest.raises(OtherSchema, match=r"the schema 99 \(kemb\.schema\); this kemb reads.* 1"):
        read(tmp_path, newer)


def test_keys_of_a_later_kemb_are_read_and_written_where_they_are(tmp_path: Path) -> None:
    later = content()
    later["kemb"]["energy"] = {"joules": [1, 2.5]}
    later["kemb"]["model"]["layers"] = 12
    later["later"] = None
    file = read(tmp_path, later)
    assert json.loads(file.text()) == later


def test_files_of_other_programs_are_read_for_their_scores(tmp_path: Path) -> None:
    foreign = content()
    del foreign["kemb"]
    foreign |= {"mteb_version": "2.1.0", "evaluation_phases": {"a": 1}}
    foreign["scores"]["test"][0] |= {"nauc_ndcg_at_1_max": float("nan"), "ndcg_at_10": 0.5}
    file = read(tmp_path, foreign)
    assert file.kemb is None
    assert read_result(tmp_path / "T.json").scores["test"][0]["ndcg@10"] == 0.5
    assert read_result(tmp_path / "T.json").kemb is None


@pytest.mark.parametrize("value", [float("nan"), 1.5, float("inf")])
def test_a_score_that_cannot_be_read_again_is_not_written(tmp_path: Path, value: float) -> None:
    parts = [ScoredPart("test", "default", [], PartScore({"spearman": value}, {}, []), "spearman")]
    with pytest.raises(ResultError, match=r"T\.json is not written.*main_score"):
        write_result(tmp_path / "m" / "r", "T", "d", parts, record())
    assert list((tmp_path / "m" / "r").iterdir()) == []


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    score = PartScore({"spearman": np.float64(0.25)}, {}, [])
    parts = [ScoredPart("test", "default", ["kor-Hang"], score, "spearman")]
    path = write_result(tmp_path / "m" / "r", "T", "d", parts, record())
    assert '"main_score": 0.25,' in path.read_text()
    described = changed(read_result(path).kemb, items_sha256="")
    assert described == changed(record(), score_notes={})


@pytest.mark.parametrize(
    "table",
    [pa.table({"a": [1]}), pa.table({name: ["x"] for name in ITEMS_SCHEMA.names}), None],
)
def test_items_of_another_shape_are_refused(tmp_path: Path, table: pa.Table | None) -> None:
    folder = tmp_path / "m" / "r"
    folder.mkdir(parents=True)
    items = folder / "T.items.parquet"
    if table is None:
        items.write_bytes(b"PAR1")
    else:
        pq.write_table(table, items)
    whole = content() | {"task_name": "T"}
    whole["kemb"]["items_sha256"] = disk.sha256(items)
    (folder / "T.json").write_text(json.dumps(whole))
    with pytest.raises(ResultError, match=r"T\.items\.parquet holds no item scores .*--rescore"):
        read_items(read_result(folder / "T.json"))


HOSTILE = [
    ("kemb", "text"),
    ("kemb.schema", 99),
    ("kemb.versions", [1]),
    ("kemb.timestamp", "x"),
    ("scores.test", []),
]
VERBS = [
    "board",
    "compare tfidf:char toy",
    "verify toy --items-only",
    "submit toy -o z.zip",
    "card toy -o C.md",
    "site -o site --only measured",
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("key", "value"), HOSTILE)
def test_every_verb_ends_in_the_same_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, key: str, value: object
) -> None:
    from kemb.cli import cli
    from kemb.errors import KembError

    folder = tmp_path / "r" / "kemb__toy" / "1"
    folder.mkdir(parents=True)
    wrong = copy.deepcopy(content())
    at(*key.split("."))(wrong, value)
    (folder / "T.json").write_text(json.dumps(wrong))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [*verb.split(), "--results", "r"])
    assert isinstance(done.exception, KembError), done.output
    assert "T.json" in str(done.exception)
    assert "kemb" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
