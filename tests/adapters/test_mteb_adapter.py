"""mteb's files in and out; mteb itself is the oracle wherever it can read them."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kemb.adapters.mteb_results import (
    Read,
    export_mteb,
    main_revisions,
    metric_name,
    read_results_folder,
    source_of,
)
from kemb.boards.benchmark import load_benchmark
from kemb.boards.cells import cell_value, overall
from kemb.cli.exchange import export_group, import_group
from kemb.encoding.store import Store
from kemb.errors import UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.resolve import resolve
from kemb.results import claims
from kemb.results.claims import ClaimRow, Source, join_revisions, read_claims, write_claims
from kemb.results.files import Claim, TaskResult, read_results


@pytest.fixture(autouse=True)
def quiet_oracle() -> Iterator[None]:
    """What mteb warns of is no matter of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def result(task: str = "KorSTS", **entry: object) -> dict[str, Any]:
    """A file of today's format with one entry."""
    full = {"main_score": 0.5, "hf_subset": "default", "languages": ["kor-Hang"]} | entry
    return {
        "dataset_revision": "d",
        "task_name": task,
        "mteb_version": "2.1.0",
        "scores": {"test": [full]},
    }


def numbers(read: Read) -> dict[tuple[str, ...], float]:
    return {
        (row.model, row.revision, row.task, row.split, row.subset, row.metric): row.value
        for row in read.rows
    }


# --- against mteb
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imported(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[TaskResult]:
    """The 60 models, read by us, written and read again."""
    read = read_results_folder(shared_data / "mteb-results-ko")
    assert read.problems == []
    path = tmp_path_factory.mktemp("claims") / "all.parquet"
    write_claims(path, read.rows, source_of(shared_data / "mteb-results-ko"))
    return read_claims(path)


@pytest.fixture(scope="module")
def loaded(shared_data: Path, mteb: Any) -> Any:  # noqa: ANN401
    """The same, read by mteb."""
    cache = mteb.ResultCache(shared_data / "mteb-results-ko")
    return cache.load_results(require_model_meta=False, include_remote=False)


@pytest.mark.shared
def test_all_values_of_sixty_models_are_those_that_mteb_reads(
    imported: list[TaskResult],
    loaded: Any,  # noqa: ANN401
) -> None:
    ours = {(r.model, r.revision, r.task): r for r in imported}
    n_values, theirs = 0, set()
    for model in loaded.model_results:
        for task in model.task_results:
            key = (model.model_name, model.model_revision, task.task_name)
            theirs.add(key)
            assert ours[key].dataset_revision == task.dataset_revision
            assert ours[key].claim == Claim(
                "embeddings-benchmark/results",
                "https://github.com/embeddings-benchmark/results",
                "f4cc6c8b365a3c779dbc708d6affe0b0355b2ddf",
                task.mteb_version or "",
            )
            assert set(ours[key].scores) == set(task.scores)
            for split, entries in task.scores.items():
                by_subset = {entry["hf_subset"]: entry for entry in ours[key].scores[split]}
                assert set(by_subset) == {entry["hf_subset"] for entry in entries}
                for entry in entries:
                    own = by_subset[entry["hf_subset"]]
                    assert own["languages"] == entry["languages"]
                    for metric in set(own) - {"hf_subset", "languages"}:
                        their = entry[metric.replace("@", "_at_")]
                        assert own[metric] == (their[0] if isinstance(their, list) else their), (
                            key,
                            metric,
                        )
                        n_values += 1
    assert set(ours) == theirs
    assert len(theirs) == 987
    assert n_values == 35_357


@pytest.mark.shared
def test_joined_revisions_are_those_of_mteb(imported: list[TaskResult], loaded: Any) -> None:  # noqa: ANN401
    theirs = {
        (model.model_name, model.model_revision, task.task_name)
        for model in loaded.join_revisions().model_results
        for task in model.task_results
    }
    joined = join_revisions(imported, main_revisions())
    assert {(r.model, r.revision, r.task) for r in joined} == theirs
    assert len(joined) == len({(r.model, r.task) for r in imported})


@pytest.mark.slow
def test_joined_revisions_of_random_results_are_those_of_mteb() -> None:
    from mteb.results import BenchmarkResults, ModelResult
    from mteb.results import TaskResult as TheirResult

    generator = random.Random(7)
    main = main_revisions()
    models = [*sorted(main)[:20], "nobody/unknown"]
    versions = ["", "1.0", "1.2.3", "1.12.75", "1.9", "2.0.0rc1", "2.1.0-2.3.0", "2.10.8", "2.9.0"]
    ours: list[TaskResult] = []
    for model in models:
        for revision in [main.get(model, "x"), "external", "no_revision_available", "aaaa", "bbbb"]:
            for task in ("KorSTS", "KLUE-STS"):
                if generator.random() < 0.6:
                    # Versions differ inside a cell: where they tie, mteb keeps what the file system
                    # lists first.
                    version = versions.pop(generator.randrange(len(versions)))
                    versions.insert(0, version)
                    claim = Claim("s", mteb_version=version)
                    ours.append(
                        TaskResult(
                            Path("x"), model, revision, "", task, "d", {"test": [{}]}, None, claim
                        )
                    )
    ours = [r for r in ours if not tied(r, ours, main)]
    theirs = [
        ModelResult.model_construct(
            model_name=r.model,
            model_revision=r.revision,
            model_meta=None,
            experiment_name=None,
            task_results=[
                TheirResult.model_construct(
                    task_name=r.task, mteb_version=r.claim.mteb_version or None, scores=r.scores
                )
            ],
        )
        for r in ours
        if r.claim
    ]
    joined = BenchmarkResults.model_construct(model_results=theirs).join_revisions()
    expected = {
        (model.model_name, model.model_revision, task.task_name)
        for model in joined.model_results
        for task in model.task_results
    }
    assert len(expected) > 30
    assert {(r.model, r.revision, r.task) for r in join_revisions(ours, main)} == expected


def tied(one: TaskResult, results: list[TaskResult], main: dict[str, str]) -> bool:
    """Whether another revision of the cell, of the same kind, has the same version."""

    def key(r: TaskResult) -> tuple[object, ...]:
        version = r.claim.mteb_version if r.claim else ""
        known = r.revision not in ("external", "no_revision_available")
        return (
            r.model,
            r.task,
            "" if "-" in version else version,
            known,
            r.revision == main.get(r.model),
        )

    return any(other is not one and key(other) == key(one) for other in results)


@pytest.mark.slow
@pytest.mark.shared
def test_means_of_mteb_come_out_of_imported_results(
    imported: list[TaskResult],
    shared_data: Path,
    mteb: Any,  # noqa: ANN401
) -> None:
    """MTEB(kor, v2): mean over tasks and mean over types of all complete models."""
    cache = mteb.ResultCache(shared_data / "mteb-results-ko")
    theirs = (
        cache.load_results(
            tasks=mteb.get_benchmark("MTEB(kor, v2)"),
            require_model_meta=False,
            include_remote=False,
            validate_and_filter=True,
        )
        .join_revisions()
        .get_benchmark_result()
    )
    expected = {
        row["Model"]: (row["Mean (Task)"], row["Mean (TaskType)"])
        for row in theirs.dropna(subset=["Mean (Task)"]).to_dict("records")
    }
    benchmark = load_benchmark("mteb-kor-v2")
    rows: dict[str, dict[str, TaskResult]] = {}
    for joined in join_revisions(imported, main_revisions()):
        rows.setdefault(joined.model, {})[joined.task] = joined
    found = {}
    for model, results in rows.items():
        values = [cell_value(cell, benchmark.formula(), results) for cell in benchmark.cells]
        by = [
            overall(values, benchmark.cell_weights(benchmark.formula(name)))
            for name in ("task", "type")
        ]
        if by[0] is not None:
            found[model] = tuple(by)
    assert len(found) == 23
    assert set(found) == set(expected)
    for model, pair in found.items():
        assert pair == pytest.approx(expected[model], abs=1e-12)


OLD = {
    "similarities, nested": {
        "mteb_version": "1.0.2",
        "mteb_dataset_name": "KLUE-STS",
        "dataset_revision": "abc",
        "validation": {
            "cos_sim": {"pearson": 0.5, "spearman": 0.51},
            "manhattan": {"pearson": 0.4, "spearman": 0.41},
            "euclidean": {"pearson": 0.3, "spearman": 0.31},
            "evaluation_time": 12.5,
        },
    },
    "subsets": {
        "mteb_version": "1.1.1",
        "mteb_dataset_name": "STS17",
        "dataset_revision": "abc",
        "test": {
            "ko-ko": {"cos_sim": {"pearson": 0.5, "spearman": 0.51}},
            "en-en": {"cos_sim": {"spearman": 0.7}},
            "evaluation_time": 1.0,
        },
    },
    "pairs": {
        "mteb_version": "1.2.0",
        "mteb_dataset_name": "KLUE-NLI",
        "dataset_revision": "abc",
        "validation": {
            "cos_sim": {"ap": 0.61, "accuracy": 0.6, "accuracy_threshold": 812.5},
            "dot": {"ap": 0.62},
            "max": {"ap": 0.63, "f1": 0.64},
            "evaluation_time": 1.0,
        },
    },
    "retrieval": {
        "mteb_version": "1.1.1",
        "mteb_dataset_name": "Ko-StrategyQA",
        "dataset_revision": "abc",
        "dev": {"ndcg_at_10": 0.7, "map_at_100": 0.6, "recall_at_1": 0.4, "evaluation_time": 1.0},
    },
    "clustering": {
        "mteb_version": "1.5.0",
        "mteb_dataset_name": "SIB200ClusteringS2S",
        "dataset_revision": "abc",
        "test": {"v_measure": 0.3, "v_measures": {"Level 0": [0.2, 0.4]}, "evaluation_time": 1.0},
    },
    "no version": {
        "mteb_dataset_name": "KorSTS",
        "test": {"cos_sim": {"pearson": 0.5, "spearman": 0.51}, "evaluation_time": 1.0},
    },
    "pair classification before 1.12.48": {
        "mteb_version": "1.11.5",
        "task_name": "KLUE-NLI",
        "dataset_revision": "abc",
        "evaluation_time": 1.0,
        "scores": {
            "validation": [
                {
                    "main_score": 0.63,
                    "hf_subset": "default",
                    "languages": ["kor-Hang"],
                    "max": {"ap": 0.63},
                    "cosine": {"ap": 0.61, "f1": 0.6},
                }
            ]
        },
    },
    "a task that was renamed": {
        "mteb_version": "1.1.1",
        "mteb_dataset_name": "CMedQAv1",
        "dataset_revision": "abc",
        "test": {"map": 0.8, "mrr": 0.9, "evaluation_time": 1.0},
    },
}


@pytest.mark.parametrize("name", OLD)
def test_old_formats_give_what_mteb_reads_in_them(
    name: str,
    tmp_path: Path,
    mteb: Any,  # noqa: ANN401
) -> None:
    content = OLD[name]
    task = str(content.get("mteb_dataset_name", content.get("task_name")))
    file = write(tmp_path / "results/org__model/rev" / f"{task}.json", content)
    read = read_results_folder(tmp_path)
    assert read.problems == []
    theirs = mteb.TaskResult.from_disk(file)
    known = {
        "cosine_pearson",
        "cosine_spearman",
        "manhattan_pearson",
        "manhattan_spearman",
        "euclidean_pearson",
        "max_f1",
        "euclidean_spearman",
        "cosine_ap",
        "cosine_accuracy",
        "dot_ap",
        "max_ap",
        "ndcg_at_10",
        "map_at_100",
        "recall_at_1",
        "v_measure",
        "main_score",
        "cosine_f1",
    }
    expected = {
        (
            "org/model",
            "rev",
            theirs.task_name,
            split,
            entry["hf_subset"],
            metric.replace("_at_", "@"),
        ): value
        for split, entries in theirs.scores.items()
        for entry in entries
        for metric, value in entry.items()
        if metric in known and value is not None
    }
    if (
        name == "a task that was renamed"
    ):  # mteb does not find the main score of old reranking files, which is `map`
        expected[("org/model", "rev", "CMedQAv1-reranking", "test", "default", "main_score")] = 0.8
    assert numbers(read) == expected
    assert {row.dataset_revision for row in read.rows} == {
        content.get("dataset_revision", "unknown")
    }


def test_correlations_with_a_p_value_lose_it(tmp_path: Path) -> None:
    write(
        tmp_path / "org__m/r/KorSTS.json",
        result(pearson=[0.8, 1e-300], spearman=[0.7, 0.0], accuracy=[0.1, 0.2]),
    )
    found = {row.metric: row.value for row in read_results_folder(tmp_path).rows}
    assert found == {"main_score": 0.5, "pearson": 0.8, "spearman": 0.7}


def test_names_of_metrics() -> None:
    assert [
        metric_name(name)
        for name in ("ndcg_at_10", "cos_sim_ap", "max_ap", "v_measure", "map_at_1000")
    ] == [
        "ndcg@10",
        "cosine_ap",
        "max_ap",
        "v_measure",
        "map@1000",
    ]


# --- layouts
# --------------------------------------------------------------------------------------------------


def test_every_layout_is_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    write(cache / "results/org__m/r1/KorSTS.json", result())
    write(cache / "results/org__m/r1/model_meta.json", {"name": "Org/M", "revision": "r1"})
    write(cache / "results/org__m/r1/experiments/embed_dim_64/KorSTS.json", result(main_score=0.4))
    write(cache / "results/org__m/r1/run_settings.jsonl", "{}\n")
    write(cache / "remote/results/org__m/r1/KorSTS.json", result(main_score=0.1))
    write(cache / "remote/results/org__m/r1/model_meta.json", {"name": "Org/M", "revision": "r1"})
    write(cache / "remote/results/a__b__c/external/KLUE-STS.json", result("KLUE-STS"))
    rows = read_results_folder(cache).rows
    assert [(row.model, row.revision, row.variant, row.task, row.value) for row in rows] == [
        ("Org/M", "r1", "", "KorSTS", 0.5),
        ("Org/M", "r1", "embed_dim_64", "KorSTS", 0.4),
        ("a/b/c", "external", "", "KLUE-STS", 0.5),
    ]
    assert read_results_folder(cache / "results").rows == rows[:2]
    assert read_results_folder(cache / "results/org__m").rows == rows[:2]
    assert read_results_folder(cache / "results/org__m/r1").rows == rows[:2]
    assert read_results_folder(cache / "remote").rows[0] == rows[2]
    assert read_results_folder(cache, ["KLUE-STS"]).rows == rows[2:]
    assert rows[2] in read_results_folder(tmp_path).rows  # a level more, as KURE has it
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no results in mteb's layout"):
        read_results_folder(tmp_path / "empty")


def test_two_revisions_stay_two_rows(tmp_path: Path) -> None:
    for revision in ("r1", "r2", "no_revision_available"):
        write(tmp_path / f"org__m/{revision}/KorSTS.json", result())
    assert [row.revision for row in read_results_folder(tmp_path).rows] == [
        "no_revision_available",
        "r1",
        "r2",
    ]


def test_the_source_is_the_manifest_or_the_clone_or_the_folder(tmp_path: Path) -> None:
    assert source_of(tmp_path) == Source(tmp_path.name)
    assert source_of(tmp_path, "mine").name == "mine"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run([*git, "remote", "add", "origin", "git@github.com:org/results.git"], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert source_of(tmp_path) == Source("org/results", "git@github.com:org/results.git", head)
    inner = tmp_path / "inner"
    inner.mkdir()
    assert source_of(inner) == Source("inner"), (
        "the commit of a repository around the folder says nothing"
    )
    write(
        tmp_path / "manifest.json",
        {"source": "https://github.com/a/b", "commit": "c", "licence": "CC0 1.0"},
    )
    assert source_of(tmp_path) == Source("a/b", "https://github.com/a/b", "c", "CC0 1.0")


# --- bad input
# --------------------------------------------------------------------------------------------------

TEXT = json.dumps(result())
BAD = {
    "half written": (TEXT[: len(TEXT) // 2], "cut off or no JSON"),
    "empty": ("", "cut off or no JSON"),
    "deep": ("[" * 100_000, "cut off or no JSON"),
    "a list": ("[1, 2]", "holds a list, not an object"),
    "another program's": ('{"results": {"a": 1}}', "neither scores nor mteb_dataset_name"),
    "NaN": (
        json.dumps(result(main_score=float("nan"))),
        r"KorSTS, test, default: has no main score \(nan\)",
    ),
    "null": (
        json.dumps(result(main_score=None, cosine_pearson=0.4)),
        r"has no main score \(None\)",
    ),
    "infinite": (json.dumps(result(main_score=float("inf"))), r"has no main score \(inf\)"),
    "text": (json.dumps(result(main_score="0.5")), "has no main score"),
    "percent": (json.dumps(result(main_score=71.5)), "main_score is 71.5; expected a fraction"),
    "huge": (TEXT.replace("0.5", "1" + "0" * 400), "has no main score"),
    "no subset": (json.dumps(result(hf_subset=None)), "does not name its hf_subset"),
    "scores of no kind": (
        json.dumps({"task_name": "KorSTS", "scores": 3}),
        "its scores are no object",
    ),
    "no scores": (json.dumps(result() | {"scores": {"test": []}}), "holds no scores"),
    "no splits": ('{"mteb_dataset_name": "KorSTS"}', "holds no scores"),
    "no task": (json.dumps({"scores": {}}), "does not name its task"),
    "escape": (json.dumps(result(task="Kor\x1b[31mSTS")), "characters that cannot be printed"),
    "twice": (
        json.dumps(result() | {"scores": {"test": result()["scores"]["test"] * 2}}),
        "test, default has two entries",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_the_others_are_imported(name: str, tmp_path: Path) -> None:
    content, reason = BAD[name]
    write(tmp_path / "mteb/org__m/r/KorSTS.json", content)
    write(tmp_path / "mteb/org__m/r/KLUE-STS.json", result("KLUE-STS"))
    out = tmp_path / "results"
    done = CliRunner().invoke(import_group, ["mteb", str(tmp_path / "mteb"), "--results", str(out)])
    assert done.exit_code == 1, done.output
    assert f"{tmp_path / 'mteb/org__m/r/KorSTS.json'}: " in done.stderr
    assert re.search(reason, done.stderr), done.stderr
    (only,) = read_claims(out / "claims/mteb.parquet")
    assert (only.task, only.main_score) == ("KLUE-STS", 0.5)


def test_ten_megabytes_of_garbage_are_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "org__m/r/KorSTS.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(random.Random(1).randbytes(10_000_000))
    read = read_results_folder(tmp_path)
    assert read.rows == []
    assert len(read.problems) == 1
    assert str(file) in read.problems[0]
    assert len(read.problems[0]) < 1000


def test_other_metrics_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    write(
        tmp_path / "org__m/r/KorSTS.json",
        result(cosine_pearson=None, pearson=float("nan"), nauc_x=0.3, spearman=0.2),
    )
    read = read_results_folder(tmp_path)
    assert {row.metric for row in read.rows} == {"main_score", "spearman"}
    assert read.problems == []


def test_the_command_imports_and_counts(tmp_path: Path) -> None:
    write(tmp_path / "mteb/org__m/r/KorSTS.json", result(cosine_spearman=0.5))
    write(tmp_path / "mteb/org__n/r/KLUE-NLI.json", result("KLUE-NLI"))
    arguments = [
        "mteb",
        str(tmp_path / "mteb"),
        "--results",
        str(tmp_path / "out"),
        "--name",
        "The board",
    ]
    done = CliRunner().invoke(import_group, arguments)
    assert done.exit_code == 0, done.output
    path = tmp_path / "out/claims/the-board.parquet"
    assert done.stdout == f"{path}: 3 numbers, 2 results, 2 models, 2 tasks.\n"
    assert read_claims(path)[0].claim == Claim("The board", mteb_version="2.1.0")
    only = CliRunner().invoke(
        import_group, [*arguments, "--tasks", "ko-leaderboard-v1", "--tasks", "KLUE-TC"]
    )
    assert only.exit_code == 0
    assert {r.task for r in claims.read_all(tmp_path / "out")} == {"KorSTS", "KLUE-NLI"}
    none = CliRunner().invoke(import_group, [*arguments, "--tasks", "KLUE-TC"])
    assert none.exit_code == 1
    assert "No numbers were read; nothing was written." in none.stderr


# --- export
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two models, a variant, a task of one's own and an imported source."""
    root = tmp_path_factory.mktemp("measured")
    folder = root / "mydata"
    pack = shared_data / "packs/KorSTS"
    assert pack.is_dir()
    write(folder / "test.jsonl", "".join(json.dumps(row) + "\n" for row in OWN_ROWS))
    tasks = [load_task(name, shared_data / "packs") for name in ("KorSTS", "AutoRAGRetrieval")]
    models = [resolve("tfidf:char"), resolve("bm25:bigram")]
    options = RunOptions(
        root / "results", Store(root / "store"), command="kemb run --secret /home/me"
    )
    outcomes = evaluate([*tasks, load_task(folder)], models, options)
    assert {outcome.status for outcome in outcomes} == {"scored", "not applicable"}
    row = next((root / "results/kemb__tfidf-char").iterdir())
    variant = row / "experiments/float16"
    variant.mkdir(parents=True)
    for name in ("KorSTS.json", "model_meta.json"):
        shutil.copy(row / name, variant / name)
    claimed = ClaimRow("org/m", "r", "", "KorSTS", "d", "test", "default", "main_score", 0.9)
    write_claims(claims.claims_path(root / "results", "x"), [claimed], Source("x"))
    return root / "results"


OWN_ROWS = [
    {"sentence1": f"문장 {n}", "sentence2": f"문장 {n % 3}", "score": n % 5} for n in range(10)
]


@pytest.mark.shared
def test_mteb_loads_and_tabulates_what_was_exported(
    measured: Path,
    tmp_path: Path,
    mteb: Any,  # noqa: ANN401
) -> None:
    done = export_mteb(measured, tmp_path)
    assert (done.n_results, done.n_rows) == (4, 3)
    assert done.problems == []
    assert [line.partition(": ")[2] for line in done.left_out] == ["mteb has no task mydata"]
    results = mteb.ResultCache(tmp_path).load_results(include_remote=False)
    table = results.to_dataframe(include_model_revision=True)
    ours = {
        (r.model, r.task): r for r in read_results(measured) if not r.variant and r.task != "mydata"
    }
    names = {"tfidf:char": "kemb/tfidf-char", "bm25:bigram": "kemb/bm25-bigram"}
    assert len(ours) == 3
    for (model, task), own in ours.items():
        row = table[table[table.columns[0]] == task].iloc[0]
        assert row[names[model], own.revision] == own.main_score
    joined = results.join_revisions().to_dataframe()
    assert set(names.values()) <= set(joined.columns)
    filtered = mteb.ResultCache(tmp_path).load_results(
        tasks=["KorSTS", "AutoRAGRetrieval"], include_remote=False, validate_and_filter=True
    )
    assert not filtered.to_dataframe()["kemb/tfidf-char"].isna().any()


@pytest.mark.shared
def test_every_model_meta_is_one_to_mteb_and_finds_its_results(
    measured: Path,
    tmp_path: Path,
    mteb: Any,  # noqa: ANN401
) -> None:
    export_mteb(measured, tmp_path)
    cache = mteb.ResultCache(tmp_path)
    metas = [
        mteb.models.ModelMeta.model_validate(json.loads(path.read_text(encoding="utf-8")))
        for path in sorted((tmp_path / "results").rglob("model_meta.json"))
    ]
    assert sorted(str(meta.experiment_name) for meta in metas) == [
        "None",
        "None",
        "variant_float16",
    ]
    for meta in metas:
        task = "AutoRAGRetrieval" if "bm25" in meta.name else "KorSTS"
        assert cache.load_task_result(task, meta).task_name == task


@pytest.mark.shared
def test_nothing_private_leaves_and_nothing_is_overwritten(measured: Path, tmp_path: Path) -> None:
    export_mteb(measured, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json"}
    assert not [
        path
        for path in files
        if "secret" in path.read_text(encoding="utf-8") or "org/m" in path.read_text()
    ]
    before = {path: path.read_bytes() for path in files}
    assert export_mteb(measured, tmp_path).problems == []
    assert {path: path.read_bytes() for path in files} == before
    mine = next(path for path in files if path.name == "AutoRAGRetrieval.json")
    write(mine, result("AutoRAGRetrieval"))
    done = CliRunner().invoke(export_group, ["mteb", str(tmp_path), "--results", str(measured)])
    assert done.exit_code == 1
    assert "is there already and holds other numbers" in done.stderr
    assert json.loads(mine.read_text(encoding="utf-8")) == result("AutoRAGRetrieval")


@pytest.mark.shared
def test_what_was_exported_comes_back_as_claimed(measured: Path, tmp_path: Path) -> None:
    export_mteb(measured, tmp_path)
    read = read_results_folder(tmp_path)
    own = {
        (r.task, split, entry["hf_subset"], name): value
        for r in read_results(measured)
        if r.task != "mydata" and r.model == "tfidf:char" and not r.variant
        for split, entries in r.scores.items()
        for entry in entries
        for name, value in entry.items()
        if isinstance(value, float)
    }
    back = {
        row[3:4] + row[5:8]: row.value
        for row in read.rows
        if row.model == "kemb/tfidf-char" and not row.variant
    }
    assert back == {key: value for key, value in own.items() if key in back}
    assert {key[0] for key in back} == {"KorSTS", "AutoRAGRetrieval"}
    assert read.problems == []


def test_exporting_nothing_or_onto_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are no results"):
        export_mteb(tmp_path / "results", tmp_path / "out")
    write(tmp_path / "results/org__m/r/KorSTS.json", result())
    with pytest.raises(UsageError, match="is the results folder itself"):
        export_mteb(tmp_path / "results", tmp_path)
    done = export_mteb(tmp_path / "results", tmp_path / "out")
    assert done.n_results == 0
    assert done.left_out == [f"{tmp_path / 'results/org__m/r/KorSTS.json'}: not measured by kemb"]
