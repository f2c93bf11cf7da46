from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kemb.cli.compare import verify as verify_command
from kemb.encoding.store import Store
from kemb.errors import DataError, KembError, ModelError, ResultError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.evaluation.verify import VerifyOptions, verify_items, verify_result
from kemb.models.encoders import Encoder
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.results.files import Claim, TaskResult, read_result
from records import changed

WORDS = "비가1 눈이2 바람이3 구름이4 햇볕이5 안개가6 우박이7 서리가8 이슬이9 무지개가0".split()
VERBS = "온다a 그친다b 불어온다c 흩어진다d 내린다e 걷힌다f 떨어진다g 맺힌다h".split()
SENTENCES = [f"{w} {v}" for w in WORDS for v in VERBS]


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / f"my-{name}" for name in ("sts", "nli", "topics", "search", "intent")}
    for folder in made.values():
        folder.mkdir()
    partner = np.random.default_rng(0).permutation(80)
    rows = [(SENTENCES[i], SENTENCES[partner[i]], i % 6) for i in range(80)]
    write(
        made["sts"] / "test.jsonl",
        [{"sentence1": a, "sentence2": b, "score": float(s)} for a, b, s in rows],
    )
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
    queries = [f"{w} 왜 {v}" for w in WORDS for v in VERBS[:4]]
    write(
        made["search"] / "queries.jsonl",
        [{"_id": f"q{i}", "text": text} for i, text in enumerate(queries)],
    )
    (made["search"] / "qrels").mkdir()
    qrels = [f"q{i}\td{(i // 4) * 8 + j}\t{1 + j % 2}" for i in range(40) for j in range(3)]
    (made["search"] / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n"
    )
    return made


@pytest.fixture
def measured(folders: dict[str, Path], tmp_path: Path) -> dict[str, TaskResult]:
    return run(folders, tmp_path, "toy")


def run(
    folders: dict[str, Path], tmp_path: Path, model: str, options: ModelOptions | None = None
) -> dict[str, TaskResult]:
    outcomes = evaluate(
        [load_task(folder) for folder in folders.values()],
        [resolve(model, options)],
        RunOptions(tmp_path / "results", Store(tmp_path / "store")),
    )
    return {o.task.removeprefix("my-"): o.result for o in outcomes if o.result}


def forge(result: TaskResult, metric: str, shift: float) -> TaskResult:
    """The record with one metric changed by hand."""
    record = json.loads(result.path.read_text())
    entry = record["scores"]["test"][0]
    name = metric.replace("@", "_at_")
    entry[name] += shift
    result.path.write_text(json.dumps(record))
    return read_result(result.path)


def forge_items(
    result: TaskResult, metric: str, change: Callable[[Any], Any], n: int = 1
) -> TaskResult:
    """The record with the values of the last n items of a metric changed, and the hash that belongs
    to them.
    """
    path = result.path.with_name(f"{result.task}.items.parquet")
    table = pq.read_table(path)
    values = table["value"].to_numpy().copy()
    rows = [row for row, name in enumerate(table["metric"].to_pylist()) if name == metric][-n:]
    values[rows] = change(values[rows])
    table = table.set_column(table.column_names.index("value"), "value", pa.array(values))
    pq.write_table(table, path)
    record = json.loads(result.path.read_text())
    record["kemb"]["items_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    result.path.write_text(json.dumps(record))
    return read_result(result.path)


def test_every_task_type_comes_out_again(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    for name, result in measured.items():
        found = verify_result(result, load_task(folders[name]), VerifyOptions())
        assert [check.status for check in found.checks] == ["OK"], found
        assert found.checks[0].n_moved == 0
        assert found.checks[0].recorded == found.checks[0].now
        assert found.checks[0].metric == result.record.task.main_metric
        assert found.notes == []


def test_a_lexical_model_comes_out_again(folders: dict[str, Path], tmp_path: Path) -> None:
    (result,) = run({"search": folders["search"]}, tmp_path, "bm25:bigram").values()
    (check,) = verify_result(result, load_task(folders["search"]), VerifyOptions()).checks
    assert check.status == "OK"


@pytest.mark.parametrize(
    ("shift", "status"), [(1e-7, "OK"), (4e-4, "OK within tolerance"), (6e-4, "DIFFERS")]
)
def test_a_forged_score_is_found_with_both_values(
    folders: dict[str, Path], measured: dict[str, TaskResult], shift: float, status: str
) -> None:
    before = measured["search"].scores["test"][0]["recall@3"]
    result = forge(measured["search"], "recall@3", shift)
    found = verify_result(result, load_task(folders["search"]), VerifyOptions())
    (check,) = found.checks
    assert check.status == status
    assert found.differs == (status == "DIFFERS")
    if status != "OK":
        assert check.metric == "recall@3"
        assert check.n_moved == 1
        assert [check.recorded, check.now] == pytest.approx([before + shift, before])


def test_a_main_score_that_is_not_its_metric_is_found(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    result = forge(measured["sts"], "main_score", 0.1)
    for found in (
        verify_items(result),
        verify_result(result, load_task(folders["sts"]), VerifyOptions()),
    ):
        (check,) = found.checks
        assert (check.status, check.metric, check.n_moved) == ("DIFFERS", "main_score", 1)
        assert check.recorded - check.now == pytest.approx(0.1)


def test_a_wider_tolerance_is_obeyed(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    result = forge(measured["sts"], "cosine_spearman", 0.01)
    task = load_task(folders["sts"])
    assert verify_result(result, task, VerifyOptions(tolerance=0.005)).differs
    assert not verify_result(result, task, VerifyOptions(tolerance=0.02)).differs


def test_nothing_is_reused_and_nothing_is_left(
    folders: dict[str, Path],
    measured: dict[str, TaskResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []

    def noted(model: Model, beside: tuple[Model, ...] = ()) -> Encoder:
        opened.append(model.name)
        return open_model(model, beside)

    monkeypatch.setattr("kemb.encoding.executors.opened.open_model", noted)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = measured["sts"].path.read_bytes()
    verify_result(measured["sts"], load_task(folders["sts"]), VerifyOptions())
    assert opened == ["toy"]
    assert list(scratch.iterdir()) == []
    assert measured["sts"].path.read_bytes() == before


def test_a_sample_compares_single_items(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    options = VerifyOptions(fraction=0.5)
    for name, n_items in (("search", 20), ("sts", 40), ("nli", 40)):
        found = verify_result(measured[name], load_task(folders[name]), options)
        (check,) = found.checks
        assert check.status == "OK"
        assert n_items <= check.n_values <= n_items + 2
        assert "on a sample: " in found.notes[0]
        again = verify_result(measured[name], load_task(folders[name]), options)
        assert again.checks == found.checks


def test_a_sample_finds_items_that_were_changed(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    # Swapping scores between queries leaves every mean as it was: only the items can tell.
    result = forge_items(measured["search"], "ndcg@10", lambda values: 1 - values, n=40)
    (check,) = verify_result(
        result, load_task(folders["search"]), VerifyOptions(fraction=0.5)
    ).checks
    assert check.status == "DIFFERS"
    assert check.recorded == pytest.approx(1 - check.now)
    assert not verify_result(
        measured["search"], load_task(folders["search"]), VerifyOptions()
    ).differs


def test_types_that_cannot_be_sampled_are_run_whole_and_say_so(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    for name in ("topics", "intent"):
        found = verify_result(measured[name], load_task(folders[name]), VerifyOptions(fraction=0.1))
        assert [check.status for check in found.checks] == ["OK"]
        assert "was run whole" in found.notes[0]


def test_items_alone_give_the_scores_back(measured: dict[str, TaskResult]) -> None:
    for name, result in measured.items():
        found = verify_items(result)
        assert [check.status for check in found.checks] == ["OK"], name
        assert found.checks[0].metric == result.record.task.main_metric
        assert found.checks[0].now == pytest.approx(result.main_score, abs=1e-9)


def test_items_alone_find_a_forged_score_and_forged_items(measured: dict[str, TaskResult]) -> None:
    (check,) = verify_items(forge(measured["topics"], "v_measure", 0.03)).checks
    assert (check.status, check.metric) == ("DIFFERS", "v_measure")
    assert check.recorded - check.now == pytest.approx(0.03)
    (check,) = verify_items(
        forge_items(measured["search"], "mrr@5", lambda values: values + 0.4)
    ).checks
    assert (check.status, check.metric) == ("DIFFERS", "mrr@5")
    assert check.now - check.recorded == pytest.approx(0.4 / 40)


def test_other_libraries_hardware_and_prompts_are_named(
    folders: dict[str, Path], measured: dict[str, TaskResult]
) -> None:
    recorded = measured["sts"].record
    prompt = recorded.prompts["text"].model_copy(update={"prompt": "문장: "})
    result = replace(
        measured["sts"],
        kemb=changed(
            recorded,
            versions={"numpy": "1.0"},
            hardware={"cpu": "an abacus"},
            prompts={"text": prompt.as_json()},
        ),
    )
    found = verify_result(result, load_task(folders["sts"]), VerifyOptions())
    assert any(note.startswith("numpy: 1.0 then, ") for note in found.notes)
    assert any(note.startswith("cpu: an abacus then, ") for note in found.notes)
    assert "prompt of text: '문장: ' then (used here), '' declared now." in found.notes
    assert found.differs, "the recorded prompt changes every vector, so it must have been used"


def test_a_local_model_is_verified_with_its_recorded_settings(
    folders: dict[str, Path], tmp_path: Path, tiny_st: Path
) -> None:
    own = {"sts": folders["sts"], "search": folders["search"]}
    options = ModelOptions(device="cpu", max_tokens=7)
    for name, result in run(own, tmp_path, str(tiny_st), options).items():
        assert result.variant == "max_tokens_7"
        prompts = result.record.prompts
        assert "query" not in prompts or prompts["query"].prompt == "가: "
        task = load_task(folders[name])
        with pytest.raises(UsageError, match="--model DIR"):
            verify_result(result, task, VerifyOptions(device="cpu"))
        found = verify_result(result, task, VerifyOptions(model=str(tiny_st), device="cpu"))
        assert [check.status for check in found.checks] == ["OK"]
        assert found.notes == []


def test_other_weights_are_refused(folders: dict[str, Path], tmp_path: Path, tiny_st: Path) -> None:
    import shutil

    (result,) = run(
        {"sts": folders["sts"]}, tmp_path, str(tiny_st), ModelOptions(device="cpu")
    ).values()
    other = tmp_path / "copy" / tiny_st.name
    shutil.copytree(tiny_st, other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="another model"):
        verify_result(
            result, load_task(folders["sts"]), VerifyOptions(model=str(other), device="cpu")
        )


def test_other_data_are_refused(folders: dict[str, Path], measured: dict[str, TaskResult]) -> None:
    lines = (folders["sts"] / "test.jsonl").read_text().splitlines()
    (folders["sts"] / "test.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match=r"not the recorded ones any more \(test/default\)"):
        verify_result(measured["sts"], load_task(folders["sts"]), VerifyOptions())


def test_claimed_results_lost_items_and_impossible_options_are_refused(
    measured: dict[str, TaskResult],
) -> None:
    claimed = replace(measured["sts"], kemb=None, claim=Claim("a card"))
    with pytest.raises(UsageError, match="was not made by kemb"):
        verify_items(claimed)
    measured["sts"].path.with_name("my-sts.items.parquet").unlink()
    with pytest.raises(ResultError, match="missing"):
        verify_items(measured["sts"])
    for fraction, tolerance in ((0.0, 0.1), (1.5, 0.1), (float("nan"), 0.1), (0.5, -1.0)):
        with pytest.raises(UsageError, match="expected"):
            VerifyOptions(fraction=fraction, tolerance=tolerance)


def command(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output; an error of ours counts as the command line counts it."""
    done = CliRunner().invoke(verify_command, [str(argument) for argument in arguments])
    if isinstance(done.exception, KembError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def test_the_command_verifies_a_file_a_row_and_items_alone(
    folders: dict[str, Path], measured: dict[str, TaskResult], tmp_path: Path
) -> None:
    code, output = command(measured["sts"].path, folders["sts"])
    assert (code, "my-sts (test, default)" in output, "OK" in output) == (0, True, True)
    where = ("--results", tmp_path / "results")
    code, output = command("toy", folders["sts"], folders["nli"], *where, "--json")
    assert code == 0
    assert [check["task"] for found in json.loads(output) for check in found["checks"]] == [
        "my-sts",
        "my-nli",
    ]
    assert command("toy", *where, "--items-only")[0] == 0
    forge(measured["nli"], "max_ap", 0.01)
    code, output = command("toy", *where, "--items-only")
    assert code == 1
    assert output.count("DIFFERS") == 1


def test_the_command_refuses_what_it_cannot_verify(
    measured: dict[str, TaskResult], tmp_path: Path
) -> None:
    where = ("--results", tmp_path / "results")
    for arguments, code, says in [
        (("toy", *where), 1, "is a task of your own; give the folder"),
        (("toi", *where), 2, "Did you mean toy"),
        (("toy", "my-stz", *where), 2, "has no result of my-stz"),
        ((measured["sts"].path, "my-nli"), 2, "not of my-nli"),
        ((tmp_path / "no.json",), 1, "is not a result file"),
    ]:
        assert (given := command(*arguments))[0] == code, given
        assert says in given[1]
