"""The English and Chinese boards from what users have: a model card, and folders of result files in
mteb's layout.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("mteb")

import mteb

from kemb.cli import cli

pytestmark = pytest.mark.torch

REVISION = "0123456789abcdef0123456789abcdef01234567"
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan", "similarity", "max")
PAIR_METRICS = ("ap", "accuracy", "f1", "precision", "recall")


def write_results(folder: Path, model: str, benchmark: str) -> dict[str, float]:
    """A file for each task of one of mteb's benchmarks, with the splits, subsets and metrics mteb
    writes; the scores.

    Pairs and STS have their similarities; the main score of pairs is not the cosine's, as in mteb.
    """
    rng = random.Random(model)
    target = folder / "results" / model.replace("/", "__") / REVISION
    target.mkdir(parents=True)
    (target / "model_meta.json").write_text(json.dumps({"name": model, "revision": REVISION}))
    means = {}
    for task in mteb.get_benchmark(benchmark).tasks:
        metadata, values = task.metadata, []
        scores: dict[str, list[dict[str, Any]]] = {}
        for split in task.eval_splits:
            for subset in task.hf_subsets:
                values.append(round(rng.uniform(0.3, 0.9), 5))
                entry = {
                    "hf_subset": subset,
                    "languages": metadata.hf_subsets_to_langscripts[subset],
                }
                entry |= {metadata.main_score: values[-1], "main_score": values[-1]}
                if metadata.type == "PairClassification":
                    entry |= {
                        f"{name}_{metric}": 0.95 for name in SIMILARITIES for metric in PAIR_METRICS
                    }
                    entry |= {"cosine_ap": values[-1], "main_score": 0.95}
                if metadata.type in ("STS", "Summarization"):
                    entry |= {"cosine_spearman": values[-1], "spearman": values[-1], "pearson": 0.1}
                scores.setdefault(split, []).append(entry)
        record = {
            "dataset_revision": metadata.dataset["revision"],
            "task_name": metadata.name,
            "mteb_version": "2.26.24",
            "scores": scores,
            "evaluation_time": 1.0,
            "kg_co2_emissions": None,
        }
        (target / f"{metadata.name}.json").write_text(json.dumps(record))
        means[metadata.name] = sum(values) / len(values)
    return means


def kemb(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("benchmark", "theirs", "formula", "n_tasks"),
    [("c-mteb", "MTEB(cmn, v1)", "mteb", 31), ("mteb-eng-v1", "MTEB(eng, v1)", "tasks", 56)],
)
def test_a_board_of_result_folders(
    benchmark: str, theirs: str, formula: str, n_tasks: int, tmp_path: Path
) -> None:
    expected = {name: write_results(tmp_path, name, theirs) for name in ("org/one", "org/two")}
    results = tmp_path / "kemb-results"
    assert f"2 models, {n_tasks} tasks" in kemb(
        "import", "mteb", tmp_path / "results", "--results", results
    )
    found = json.loads(
        kemb(
            "board",
            benchmark,
            "--formula",
            formula,
            "--results",
            results,
            "--format",
            "json",
            "--intervals",
            "none",
        )
    )
    complete = {row["model"]: row["score"] for row in found["rows"] if row["score"] is not None}
    assert {name: complete[name] for name in expected} == pytest.approx(
        {name: sum(of_task.values()) / n_tasks for name, of_task in expected.items()}, abs=1e-9
    )
    site = tmp_path / "site"
    kemb("site", f"{benchmark}:{formula}", "--results", results, "-o", site)
    assert "org/one" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.shared
def test_a_board_of_a_card_beside_the_shipped_copy_of_it(shared_data: Path, tmp_path: Path) -> None:
    """The card that kemb ships as claims, imported again: one row, with the average that the card
    prints.
    """
    card = tmp_path / "README.md"
    shutil.copy(shared_data / "published/documents/bge-base-en-v1.5-card.txt", card)
    results = tmp_path / "results"
    kemb("import", "card", card, "--results", results)
    arguments = ("--results", results, "--format", "json", "--intervals", "none")
    found = json.loads(kemb("board", "mteb-eng-v1", *arguments))
    assert [(row["model"], round(row["score"], 4)) for row in found["rows"]] == [
        ("BAAI/bge-base-en-v1.5", 0.6355)
    ]
    assert [note for note in found["notes"] if "shown once" in note]
    assert not [note for note in found["notes"] if "STS17" in note]
    write_results(tmp_path, "org/one", "MTEB(eng, v1)")
    kemb("import", "mteb", tmp_path / "results", "--results", results)
    found = json.loads(kemb("board", "mteb-eng-v1", *arguments))
    # mteb has newer data for 15 tasks: one row is ranked, the other stands below the line, and why
    # is said once.
    assert [(row["model"], row["score"] is not None) for row in found["rows"]] == [
        ("org/one", True),
        ("BAAI/bge-base-en-v1.5", False),
    ]
    (note,) = [note for note in found["notes"] if "not ranked with the others" in note]
    assert note.endswith(
        "and 12 more tasks: not ranked with the others: BAAI/bge-base-en-v1.5; other data "
        "revisions."
    )
    mixed = json.loads(kemb("board", "mteb-eng-v1", *arguments, "--mixed"))
    assert all(row["score"] is not None for row in mixed["rows"])
