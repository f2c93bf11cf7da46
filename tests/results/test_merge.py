"""Results of one task that two commands make: each adds its subsets and keeps the other's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kemb.boards.benchmark import load_benchmark
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import Outcome, RunOptions, Task, evaluate
from kemb.models.model import ModelOptions
from kemb.models.resolve import resolve
from kemb.results.files import read_items, read_result
from kemb.tasks.parts import make_part
from kemb.tasks.spec import Source, TaskSpec
from kemb.types import PairData, TaskData

LANGUAGES = {"ko": ["kor-Hang"], "en": ["eng-Latn"], "zh": ["cmn-Hans"]}


def task(*subsets: str, revision: str = "1", shift: int = 0) -> Task:
    spec = TaskSpec(
        name="Pairs",
        type="sts",
        splits=["test"],
        subsets=list(subsets),
        source=Source(),
        subset_languages=LANGUAGES,
    )
    parts = []
    for subset in subsets:
        rng = np.random.default_rng([len(subset), *subset.encode(), shift])
        words = [f"{subset} {a} {b}" for a, b in rng.integers(0, 99, (20, 2))]
        data = PairData([str(i) for i in range(20)], words, words[::-1], np.arange(20.0) % 6)
        parts.append(make_part(spec, "test", subset, data, {"n_empty_texts": len(subset)}))
    data_ = TaskData("Pairs", "sts", revision, parts)
    return Task(spec, lambda: data_)


def run(root: Path, wanted: Task, model: str = "toy") -> Outcome:
    found = resolve(model, ModelOptions(device="cpu"))
    (outcome,) = evaluate([wanted], [found], RunOptions(root / "results", Store(root / "store")))
    assert outcome.result is not None, outcome.message
    return outcome


def subsets(outcome: Outcome) -> list[str]:
    assert outcome.result is not None
    return [entry["hf_subset"] for entry in outcome.result.scores["test"]]


def test_a_command_adds_its_subsets_and_keeps_the_others(tmp_path: Path) -> None:
    assert run(tmp_path, task("ko")).status == "scored"
    both = run(tmp_path, task("en"))
    assert (both.status, subsets(both)) == ("scored", ["ko", "en"])
    at_once = run(tmp_path / "other", task("ko", "en"))
    assert both.result is not None
    assert at_once.result is not None
    assert both.result.scores == at_once.result.scores
    assert read_items(both.result).to_pylist() == read_items(at_once.result).to_pylist()
    for key in ("data_sha256", "notes", "train_is_evaluated"):
        tasks = (both.result.record.task, at_once.result.record.task)
        assert getattr(tasks[0], key) == getattr(tasks[1], key)
    assert {run(tmp_path, task(*names)).status for names in (["ko"], ["en"], ["en", "ko"])} == {
        "kept"
    }


def test_parts_of_other_data_or_another_revision_are_not_kept(tmp_path: Path) -> None:
    run(tmp_path, task("ko", "en"))
    assert subsets(run(tmp_path, task("zh", revision="2"))) == ["zh"]
    changed = run(tmp_path, task("zh", revision="2", shift=1))
    assert (changed.status, subsets(changed)) == ("scored", ["zh"])


def test_parts_of_another_metric_version_or_without_items_are_not_kept(tmp_path: Path) -> None:
    first = run(tmp_path, task("ko")).result
    assert first is not None
    record = json.loads(first.path.read_text())
    record["kemb"]["task"]["metric_version"] = 0
    first.path.write_text(json.dumps(record))
    assert subsets(run(tmp_path, task("en"))) == ["en"]
    items = read_result(first.path).path.with_name("Pairs.items.parquet")
    items.write_bytes(b"")
    assert subsets(run(tmp_path, task("zh"))) == ["zh"]


@pytest.mark.parametrize(
    ("benchmark", "task_", "wanted"),
    [
        ("mteb-eng-v1", "STS17", ["en-en"]),
        ("mteb-eng-v1", "STS22", ["en"]),
        ("c-mteb", "MassiveIntentClassification", ["zh-CN"]),
        ("mteb-kor-v2", "STS17", ["ko-ko"]),
        ("mteb-eng-v1", "CQADupstackTexRetrieval", ["default"]),
    ],
)
def test_a_benchmark_names_the_subsets_it_wants(
    benchmark: str, task_: str, wanted: list[str]
) -> None:
    assert load_benchmark(benchmark).subsets_of(task_) == wanted


def test_lengths_of_kept_parts_stay_in_the_record(tmp_path: Path, tiny_st: Path) -> None:
    first = run(tmp_path, task("ko"), str(tiny_st)).result
    both = run(tmp_path, task("en"), str(tiny_st)).result
    at_once = run(tmp_path / "other", task("ko", "en"), str(tiny_st)).result
    assert first is not None
    assert both is not None
    assert at_once is not None
    assert set(first.record.lengths) == {"test/ko"}
    assert both.record.lengths == at_once.record.lengths
