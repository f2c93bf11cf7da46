"""Published numbers that must come out, on real data, with a real model (tests marked `shared`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kemb.encoding.store import Store
from kemb.evaluation.evaluate import Outcome, RunOptions, evaluate, load_task
from kemb.models.model import ModelOptions
from kemb.models.resolve import resolve

pytestmark = [pytest.mark.shared, pytest.mark.slow]

DENSE = [
    "KorSTS",
    "STS17",
    "KLUE-NLI",
    "SIB200Classification",
    "KorSarcasmClassification",
    "AutoRAGRetrieval",
    "SIB200ClusteringS2S",
    "Tatoeba",
]


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def scores(
    shared_data: Path, minilm: Path, shared_store: Path, results_dir: Path
) -> dict[str, Any]:
    """All-MiniLM-L6-v2 over the packs, in one command; task -> result."""
    model = resolve(str(minilm), ModelOptions(device="cpu"))
    tasks = [load_task(name, shared_data / "packs") for name in DENSE]
    outcomes = evaluate(tasks, [model], RunOptions(results_dir, Store(shared_store)))
    return {outcome.task: result_of(outcome) for outcome in outcomes}


def result_of(outcome: Outcome) -> Any:  # noqa: ANN401  a TaskResult, or a failure with its reason
    assert outcome.result is not None, outcome.message
    return outcome.result


@pytest.mark.parametrize(
    ("task", "metric", "published", "tolerance"),
    [
        ("KorSTS", "cosine_spearman", 0.4230110, 1e-6),
        ("STS17", "cosine_spearman", 0.4339453, 1e-6),
        ("KLUE-NLI", "cosine_ap", 0.5230511, 1e-6),
        ("AutoRAGRetrieval", "ndcg@10", 0.06215, 1e-5),
        ("Tatoeba", "f1", 0.0045048, 1e-7),
    ],
)
def test_minilm_scores(
    scores: dict[str, Any], task: str, metric: str, published: float, tolerance: float
) -> None:
    ((entry,),) = scores[task].scores.values()
    assert entry[metric] == pytest.approx(published, abs=tolerance)


def test_minilm_sib200_classification_to_the_last_digit(scores: dict[str, Any]) -> None:
    found = {
        split: round(entries[0]["accuracy"], 8)
        for split, entries in scores["SIB200Classification"].scores.items()
    }
    assert found == {"train": 0.25677603, "validation": 0.18989899, "test": 0.18480392}


def test_minilm_korsarcasm_to_the_last_digit(scores: dict[str, Any]) -> None:
    ((entry,),) = scores["KorSarcasmClassification"].scores.values()
    assert round(entry["accuracy"], 8) == 0.53725586


def test_train_rows_inside_the_evaluated_rows_are_marked(scores: dict[str, Any]) -> None:
    marked = {task: result.record.task.train_is_evaluated for task, result in scores.items()}
    assert marked["KorSarcasmClassification"] == ["train/default"]
    assert marked["SIB200Classification"] == ["train/kor_Hang"]
    assert marked["KorSTS"] == []


@pytest.mark.parametrize(
    ("model", "published", "tolerance"),
    [("bm25:mteb", 0.65022, 1e-5), ("bm25:bigram", 0.91607, 1e-4)],
)
def test_bm25_on_autorag(
    shared_data: Path,
    results_dir: Path,
    tmp_path: Path,
    model: str,
    published: float,
    tolerance: float,
) -> None:
    task = load_task("AutoRAGRetrieval", shared_data / "packs")
    (outcome,) = evaluate([task], [resolve(model)], RunOptions(results_dir, Store(tmp_path)))
    assert result_of(outcome).main_score == pytest.approx(published, abs=tolerance)


def test_bm25_bigram_on_a_users_own_folder(
    shared_data: Path, results_dir: Path, tmp_path: Path
) -> None:
    task = load_task(shared_data / "packs" / "DocsKo")
    (outcome,) = evaluate(
        [task], [resolve("bm25:bigram")], RunOptions(results_dir, Store(tmp_path))
    )
    assert result_of(outcome).main_score == pytest.approx(0.443, abs=2e-3)
