from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from kemb.encoding.store import Store
from kemb.errors import DiskError, ResultError
from kemb.evaluation.evaluate import Outcome, RunOptions, evaluate, load_task
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.results.files import ScoredPart, read_items, read_result, read_results, write_result
from kemb.types import PartScore
from records import record

WORDS = "비가 눈이 바람이 구름이 햇볕이 안개가 우박이 서리가 이슬이 무지개가".split()
VERBS = "온다 그친다 불어온다 흩어진다 내린다 걷힌다 떨어진다 맺힌다".split()
SENTENCES = [f"{w} {v}" for w in WORDS for v in VERBS]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """A small task of every type that is scored now, as data folders."""
    made = {}
    for name in ("sts", "nli", "topics", "search", "intent"):
        made[name] = tmp_path / f"my-{name}"
        made[name].mkdir()
    rng = np.random.default_rng(0)
    pairs = rng.permutation(80)
    rows = [(SENTENCES[i], SENTENCES[pairs[i]], i % 6) for i in range(80)]
    lines = [{"sentence1": a, "sentence2": b, "score": float(s)} for a, b, s in rows]
    write(made["sts"] / "test.jsonl", lines)
    write(
        made["nli"] / "test.jsonl",
        [{"sentence1": a, "sentence2": b, "label": s % 2} for a, b, s in rows],
    )
    labelled = [{"text": text, "label": text.split()[0]} for text in SENTENCES]
    write(made["topics"] / "test.jsonl", labelled)
    write(made["intent"] / "train.jsonl", labelled[::2])
    write(made["intent"] / "test.jsonl", labelled[1::2])
    write(
        made["search"] / "corpus.jsonl",
        [{"_id": f"d{i}", "text": t} for i, t in enumerate(SENTENCES)],
    )
    write(
        made["search"] / "queries.jsonl", [{"_id": f"q{i}", "text": w} for i, w in enumerate(WORDS)]
    )
    (made["search"] / "qrels").mkdir()
    qrels = [f"q{i}\td{i * 8 + j}\t{1 + j % 2}" for i in range(10) for j in range(3)]
    (made["search"] / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n"
    )
    return made


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def options(tmp_path: Path, **changes: object) -> RunOptions:
    return RunOptions(tmp_path / "results", Store(tmp_path / "store"), **changes)  # type: ignore[arg-type]


def go(
    folders: dict[str, Path], models: list[Model], opts: RunOptions, *names: str
) -> list[Outcome]:
    return evaluate([load_task(folders[name]) for name in names or folders], models, opts)


def test_every_main_score_can_be_computed_again_from_its_items_alone(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    from scipy.stats import spearmanr
    from sklearn.metrics import accuracy_score, average_precision_score

    outcomes = go(folders, [resolve("toy")], options(tmp_path))
    assert {o.status for o in outcomes} == {"scored"}, outcomes
    results = {result.task: result for result in read_results(tmp_path / "results")}
    items = {name: read_items(results[f"my-{name}"]) for name in folders}

    def values(name: str, metric: str) -> np.ndarray:
        return items[name].filter(pc.equal(items[name]["metric"], metric))["value"].to_numpy()

    def targets(name: str, metric: str, experiment: int | None = None) -> list[str]:
        table = items[name].filter(pc.equal(items[name]["metric"], metric))
        if experiment is not None:
            table = table.filter(pc.equal(table["experiment"], experiment))
        return list(table["target"].to_pylist())

    spearman = spearmanr(values("sts", "gold"), values("sts", "cosine")).statistic
    assert results["my-sts"].main_score == pytest.approx(spearman, abs=1e-9)
    kinds = ("cosine", "dot", "euclidean", "manhattan")  # distances are kept as their negatives
    best = max(
        average_precision_score(values("nli", "gold"), values("nli", kind)) for kind in kinds
    )
    assert results["my-nli"].main_score == pytest.approx(best, abs=1e-9)
    assert results["my-search"].main_score == pytest.approx(
        values("search", "ndcg@10").mean(), abs=1e-9
    )
    gold = targets("intent", "gold")
    accuracies = [accuracy_score(gold, targets("intent", "prediction", i)) for i in range(10)]
    assert results["my-intent"].main_score == pytest.approx(np.mean(accuracies), abs=1e-9)
    v_measures = recomputed_v_measures(items["topics"])
    assert results["my-topics"].main_score == pytest.approx(np.mean(v_measures), abs=1e-9)


def recomputed_v_measures(items: object) -> list[float]:
    """The v-measure of every experiment from gold, assignment and, under the bootstrap, how often
    each was drawn.
    """
    from sklearn.metrics import v_measure_score

    rows = items.to_pylist()  # type: ignore[attr-defined]
    gold = {row["item_id"]: row["target"] for row in rows if row["metric"].startswith("gold")}
    draws = {
        (row["experiment"], row["item_id"]): int(row["value"])
        for row in rows
        if row["metric"] == "n_draws"
    }
    found: dict[int | None, tuple[list[str], list[float]]] = {}
    for row in rows:
        if row["metric"].startswith("assignment"):
            times = draws.get((row["experiment"], row["item_id"]), 1)
            labels, clusters = found.setdefault(row["experiment"], ([], []))
            labels += [gold[row["item_id"]]] * times
            clusters += [row["value"]] * times
    return [v_measure_score(labels, clusters) for labels, clusters in found.values()]


def test_a_second_run_keeps_what_is_there_and_changed_data_is_scored_again(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    toy = resolve("toy")
    go(folders, [toy], options(tmp_path))
    before = {
        result.path: result.path.stat().st_mtime_ns for result in read_results(tmp_path / "results")
    }
    assert {o.status for o in go(folders, [toy], options(tmp_path))} == {"kept"}
    write(
        folders["sts"] / "test.jsonl",
        [{"sentence1": a, "sentence2": a[::-1], "score": len(a)} for a in SENTENCES],
    )
    statuses = {o.task: o.status for o in go(folders, [toy], options(tmp_path))}
    assert statuses == {"my-sts": "scored"} | {
        f"my-{name}": "kept" for name in folders if name != "sts"
    }
    after = {
        result.path: result.path.stat().st_mtime_ns for result in read_results(tmp_path / "results")
    }
    assert [path.stem for path in before if before[path] != after[path]] == ["my-sts"]


def test_a_result_whose_items_were_lost_or_changed_is_made_again(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    toy = resolve("toy")
    (outcome,) = go(folders, [toy], options(tmp_path), "sts")
    assert outcome.result is not None
    items = outcome.result.path.with_name("my-sts.items.parquet")
    content = items.read_bytes()
    items.write_bytes(content[:-1] + b"x")
    with pytest.raises(ResultError, match="--rescore"):
        read_items(outcome.result)
    assert go(folders, [toy], options(tmp_path), "sts")[0].status == "scored"
    assert items.read_bytes() == content


def test_lexical_models_apply_to_retrieval_only(folders: dict[str, Path], tmp_path: Path) -> None:
    outcomes = go(folders, [resolve("bm25:bigram")], options(tmp_path))
    assert {o.task: o.status for o in outcomes} == {
        f"my-{name}": "scored" if name == "search" else "not applicable" for name in folders
    }


def test_a_model_that_fails_leaves_the_others_alone_and_writes_no_score(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemb.models.encoders.hashed import open_toy

    class Broken:
        dim = 256

        def __init__(self) -> None:
            self.token_counts = open_toy().token_counts

        def encode(self, inputs: list[object]) -> np.ndarray:
            return np.full((len(inputs), 256), np.nan, dtype=np.float32)

    bad, good = resolve("tfidf:char"), resolve("toy")

    def opened(model: Model, beside: tuple[Model, ...] = ()) -> object:
        return Broken() if model.name == "tfidf:char" else open_model(model, beside)

    monkeypatch.setattr("kemb.encoding.executors.opened.open_model", opened)
    outcomes = go(folders, [bad, good], options(tmp_path), "sts", "search")
    assert [o.status for o in outcomes] == ["failed", "failed", "scored", "scored"]
    assert "not a number" in outcomes[0].message
    assert "my-s" in outcomes[0].message
    assert {result.model for result in read_results(tmp_path / "results")} == {"toy"}


def test_a_task_that_cannot_be_loaded_leaves_the_others_alone(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    tasks = [load_task("KLUE-STS", tmp_path / "nothing"), load_task(folders["sts"])]
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "index.json").write_text("{}")
    outcomes = evaluate(tasks, [resolve("toy")], options(tmp_path))
    assert [o.status for o in outcomes] == ["failed", "scored"]
    assert "kemb tasks fetch KLUE-STS" in outcomes[0].message


def test_rescore_needs_no_model_and_refuses_when_vectors_are_missing(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = resolve("toy")
    go(folders, [toy], options(tmp_path), "sts")

    def never(model: Model, beside: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("kemb.encoding.executors.opened.open_model", never)
    assert go(folders, [toy], options(tmp_path, rescore=True), "sts")[0].status == "scored"
    (missing,) = go(folders, [toy], options(tmp_path, rescore=True), "search")
    assert missing.status == "failed"
    assert "without --rescore" in missing.message


def test_results_of_another_program_are_not_overwritten(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    toy = resolve("toy")
    (outcome,) = go(folders, [toy], options(tmp_path), "sts")
    assert outcome.result is not None
    path = outcome.result.path
    record = json.loads(path.read_text())
    del record["kemb"]
    path.write_text(json.dumps(record))
    (again,) = go(folders, [toy], options(tmp_path), "sts")
    assert again.status == "failed"
    assert "was not made by kemb" in again.message
    assert json.loads(path.read_text()) == record


def test_a_record_that_cannot_be_read_is_not_overwritten(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outcome,) = go(folders, [resolve("toy")], options(tmp_path), "sts")
    assert outcome.result is not None
    path = outcome.result.path
    before = path.read_bytes()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("kemb.results.record.disk.read_json", refuse)
    (again,) = go(folders, [resolve("toy")], options(tmp_path), "sts")
    assert again.status == "failed"
    assert f"The result file {path} cannot be read (Permission denied)" in again.message
    assert path.read_bytes() == before


def test_a_results_folder_that_cannot_be_written_ends_the_run_in_one_paragraph(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(
        DiskError, match=r"cannot be written to .*--results DIR; vectors .* are kept"
    ):
        go(folders, [resolve("toy")], options(tmp_path), "sts")


def test_mteb_reads_the_results_folder(
    folders: dict[str, Path], tmp_path: Path, tiny_st: Path
) -> None:
    mteb = pytest.importorskip("mteb")
    outcomes = go(
        folders,
        [resolve("toy"), resolve(str(tiny_st), ModelOptions(device="cpu"))],
        options(tmp_path),
    )
    frame = mteb.ResultCache(tmp_path).load_results(include_remote=False).to_dataframe()
    loaded = {
        (column, row["task_name"]): row[column]
        for _, row in frame.iterrows()
        for column in frame.columns
        if column not in ("task_name", "is_public")
    }
    ours = {(o.row, o.task): o.result.main_score for o in outcomes if o.result}
    assert {(column.removeprefix("kemb/"), task) for column, task in loaded} == set(ours)
    for (column, task), value in loaded.items():
        assert value == pytest.approx(ours[column.removeprefix("kemb/"), task], abs=1e-9)


def command(folder: Path, model: Path, out: Path) -> list[str]:
    where = ["--results", str(out / "results"), "--store", str(out / "store"), "--device", "cpu"]
    return [sys.executable, "-m", "kemb", "run", str(folder), "-m", str(model), *where]


def big_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "big"
    folder.mkdir()
    texts = [  # numbers, which the tiny tokenizer knows, tell them apart
        f"{i}.{j} {a}, {b}" for i, a in enumerate(SENTENCES) for j, b in enumerate(SENTENCES)
    ]
    write(
        folder / "test.jsonl",
        [
            {"sentence1": a, "sentence2": b, "score": i % 6}
            for i, (a, b) in enumerate(zip(texts, texts[7:] + texts[:7], strict=True))
        ],
    )
    return folder


@pytest.mark.slow
def test_killed_at_once_and_run_again_gives_the_same_bytes(tmp_path: Path, tiny_st: Path) -> None:
    folder = big_folder(tmp_path)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        command(folder, tiny_st, tmp_path / "whole"), check=True, env=env, capture_output=True
    )
    killed = tmp_path / "killed"
    for n_shards in (1, 3):
        process = subprocess.Popen(
            command(folder, tiny_st, killed),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while len(list(killed.glob("store/*/*.arrow"))) < n_shards and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list(killed.glob("results/*/*/big.json")), "the run was over before it was killed"
    done = subprocess.run(
        [*command(folder, tiny_st, killed), "--json"], check=True, env=env, capture_output=True
    )
    assert json.loads(done.stdout)[0]["status"] == "scored"
    (one,), (other,) = (
        list((tmp_path / name).glob("results/*/*/big.items.parquet"))
        for name in ("whole", "killed")
    )
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_two_processes_share_a_store(tmp_path: Path, tiny_st: Path) -> None:
    folder = big_folder(tmp_path)
    both = [tmp_path / "one", tmp_path / "two"]
    processes = []
    for out in both:
        arguments = command(folder, tiny_st, out)
        arguments[arguments.index("--store") + 1] = str(tmp_path / "store")
        processes.append(
            subprocess.Popen(
                arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        )
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    scores = [result.main_score for out in both for result in read_results(out / "results")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_counts_that_should_make_one_look_twice_stand_in_the_record(tmp_path: Path) -> None:
    score = PartScore({"accuracy": 0.5}, {}, [], notes={"n_zero_vectors": 3})
    parts = [ScoredPart("test", "default", ["kor-Hang"], score, "accuracy")]
    path = write_result(tmp_path / "o__m" / "1", "T", "r", parts, record())
    assert read_result(path).record.score_notes == {"test/default": {"n_zero_vectors": 3}}


def test_rescore_makes_a_damaged_record_again(folders: dict[str, Path], tmp_path: Path) -> None:
    toy = resolve("toy")
    (outcome,) = go(folders, [toy], options(tmp_path), "sts")
    assert outcome.result is not None
    outcome.result.path.write_text("x")
    assert go(folders, [toy], options(tmp_path, rescore=True), "sts")[0].status == "scored"
