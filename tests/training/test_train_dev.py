"""The best of a fit's checkpoints, by data that neither trains nor proves it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("accelerate")
from kemb.encoding.store import Store
from kemb.errors import DataError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.resolve import resolve
from kemb.pipeline import train
from kemb.training.dev import hold_out
from kemb.training.job import Quiet, TrainOptions, prepare
from kemb.training.plan import plan
from kemb.training.recipe import read_recipe
from kemb.training.shingles import normal_form
from test_train import (
    CONTAMINATED,
    SCORED,
    changed,
    folder,
    kill_in_step,
    mislead,
    options,
    weights,
    write,
)

pytestmark = pytest.mark.torch

__all__ = ["folder"]
DEV = "[dev]\nshare = 0.1\nevery = 10\n"


def with_dev(folder: Path, section: str = DEV, *more: tuple[str, str]) -> Path:
    return changed(folder, ("[evaluate]", f"{section}[evaluate]"), *more)


def own_dev(folder: Path) -> None:
    """A dev task: half of the test's queries are others."""
    shutil.copytree(folder / "my-search", folder / "my-dev")
    lines = (folder / "my-search" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = [json.loads(line) for line in lines]
    write(
        folder / "my-dev" / "queries.jsonl",
        [query | {"text": f"{query['text']} 어제"} for query in queries],
    )


def test_the_best_checkpoint_is_the_model_and_its_score_is_kembs(
    folder: Path, tmp_path: Path
) -> None:
    """The score during the fit equals that of the saved model, evaluated like any other."""
    own_dev(folder)
    path = with_dev(
        folder,
        '[dev]\ntasks = ["./my-dev"]\nevery = 10\n',
        ("lr = 0.05", "lr = 3.0"),
        ("tolerance = 5", "tolerance = 90"),
    )
    outcome = train(read_recipe(path), options(tmp_path))
    fit = next(stage for stage in outcome.stages if stage.name == "fit")
    dev = fit.report["dev"]
    assert [step for step, _ in dev["curve"]] == [10, 20, 30, 40, 50, 51]
    assert dev["step"] == max(dev["curve"], key=lambda entry: entry[1])[0]
    assert dev["step"] < 51  # else the last would do
    saved = resolve(str(fit.folder / "tiny"))
    (scored,) = evaluate(
        [load_task(folder / "my-dev")], [saved], RunOptions(tmp_path / "r", Store(tmp_path / "s"))
    )
    assert scored.result is not None
    assert scored.result.main_score == pytest.approx(dev["scores"]["dev.my-dev"], abs=1e-6)
    lock = json.loads(outcome.lock_path.read_text(encoding="utf-8"))
    assert lock["stages"]["fit"]["dev"]["step"] == dev["step"]
    assert outcome.model_dir is not None
    card = (outcome.model_dir / "README.md").read_text(encoding="utf-8")
    assert (
        f"the weights of step {dev['step']}, the best of 6 by the mean main metric of my-dev."
        in card
    )
    assert f"| {dev['step']} | {dev['scores']['dev'] * 100:.2f} |" in card


def test_a_killed_fit_with_dev_scores_goes_on_to_the_same_bits(
    folder: Path, tmp_path: Path
) -> None:
    path = with_dev(folder, DEV + "patience = 2\n", ("lr = 0.05", "lr = 3.0"))
    whole = train(read_recipe(path), options(tmp_path, "whole"))
    report = next(stage for stage in whole.stages if stage.name == "fit").report["dev"]
    last, n = report["curve"][-1][0], len(report["curve"])
    assert report["ended_early"]
    assert [score for _, score in report["curve"]].index(report["scores"]["dev"]) == n - 3
    for name, step in (
        ("middle", 23),
        ("end", last),
    ):  # the second: all is decided, nothing is saved
        killed = kill_in_step(step, path, tmp_path / name, tmp_path / "store")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        resumed = train(read_recipe(path), options(tmp_path, name, resume=True))
        again = next(stage for stage in resumed.stages if stage.name == "fit").report["dev"]
        assert again == report
        assert resumed.model_dir is not None
        assert whole.model_dir is not None
        assert weights(resumed.model_dir) == weights(whole.model_dir)


def transformer(base: Path, precision: str = "fp32") -> tuple[tuple[str, str], ...]:
    """What makes the recipe one of nine steps on a transformer."""
    return (
        (
            'kind = "static"\ndim = 32\ntokenizer = { vocab = 300 }',
            f'kind = "local"\nid = "{base}"\npooling = "mean"',
        ),
        (SCORED, ""),
        ("[matryoshka]\ndims = [32, 16]\n", ""),
        ("lr = 0.05", f'lr = 1e-3\nmax_steps = 9\nprecision = "{precision}"'),
        ("log_every = 5", "log_every = 1"),
        ("guard = { tolerance = 5 }", 'guard = { decision = "none" }'),
    )


def test_half_precision_trains_and_whole_precision_scores(
    folder: Path, tiny_transformer: Path, tmp_path: Path
) -> None:
    """The library leaves half precision around the trained model's forward pass; what it saves has
    none.
    """
    own_dev(folder)
    path = with_dev(
        folder, '[dev]\ntasks = ["./my-dev"]\nevery = 4\n', *transformer(tiny_transformer, "bf16")
    )
    outcome = train(read_recipe(path), options(tmp_path))
    fit = next(stage for stage in outcome.stages if stage.name == "fit")
    whole = with_dev(
        folder, '[dev]\ntasks = ["./my-dev"]\nevery = 4\n', *transformer(tiny_transformer)
    )
    train(read_recipe(whole), options(tmp_path, "whole"))
    assert losses(tmp_path / "run") != losses(tmp_path / "whole")
    saved = resolve(str(fit.folder / "tiny"))
    (scored,) = evaluate(
        [load_task(folder / "my-dev")], [saved], RunOptions(tmp_path / "r", Store(tmp_path / "s"))
    )
    assert scored.result is not None
    assert scored.result.main_score == pytest.approx(
        fit.report["dev"]["scores"]["dev.my-dev"], abs=1e-9
    )


def losses(run_dir: Path) -> list[float]:
    (path,) = run_dir.glob("stages/fit-*/events.jsonl")
    events = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [event["loss"] for event in events if "loss" in event]


def test_being_looked_at_changes_nothing(
    folder: Path, tiny_transformer: Path, tmp_path: Path
) -> None:
    """With dropout, every draw of random numbers would show in the losses that follow."""
    small = transformer(tiny_transformer)
    own_dev(folder)
    train(read_recipe(changed(folder, *small)), options(tmp_path, "plain"))
    watched = with_dev(folder, '[dev]\ntasks = ["./my-dev"]\nevery = 2\n', *small)
    train(read_recipe(watched), options(tmp_path, "watched"))
    # The dev task's texts are kept out of training; here they are others, so the rows are the same.
    assert losses(tmp_path / "watched") == losses(tmp_path / "plain")
    assert len(losses(tmp_path / "plain")) == 9


def test_held_out_rows_are_whole_groups_and_share_no_text_with_the_rest() -> None:
    rows = [(f"질문 {i // 3}", f"답 {i}", f"g{i // 6}", "a") for i in range(60)]
    rows += [
        ("질문 0!", f"다른 답 {i}", None, "b") for i in range(4)
    ]  # one group with those of source a
    rows += [(f"혼자 {i}", f"혼자 답 {i}", None, "b") for i in range(36)]
    names = ("anchor", "positive", "group", "source")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    kept, held = hold_out(table, 0.25, ["a", "b"], seed=1)
    assert kept.num_rows + held.num_rows == 100
    by_source = {name: held["source"].to_pylist().count(name) for name in "ab"}
    assert by_source["a"] in (6, 12)  # groups of six, 15 at most
    assert by_source["b"] == 10
    for column in ("anchor", "positive"):
        texts, rest = (
            {normal_form(text) for text in part[column].to_pylist()} for part in (held, kept)
        )
        assert not texts & rest
    assert not set(held["group"].to_pylist()) & set(kept["group"].to_pylist()) - {None}
    assert hold_out(table, 0.25, ["a", "b"], seed=1)[1].equals(held)
    assert not hold_out(table, 0.25, ["a", "b"], seed=2)[1].equals(held)
    assert set(hold_out(table, 0.25, ["b"], seed=1)[1]["source"].to_pylist()) == {"b"}
    with pytest.raises(DataError, match=r"share = 0.01 holds out no row"):
        hold_out(table, 0.01, ["a"], seed=1)


def test_a_share_is_counted_before_and_never_trained_on(folder: Path, tmp_path: Path) -> None:
    path = with_dev(folder, "[dev]\nshare = 0.2\nevery = 10\n")
    found = plan(read_recipe(path), options(tmp_path))
    outcome = train(read_recipe(path), options(tmp_path))
    stage = next(stage for stage in outcome.stages if stage.name == "dev")
    assert stage.report["n_rows"] == found.n_rows
    assert stage.report["n_held_out"]["pairs"] == pytest.approx(445 * 0.2, abs=1)
    assert found.n_rows["pairs"] + stage.report["n_held_out"]["pairs"] == 445
    kept, held = (pq.read_table(stage.folder / name) for name in ("pairs.parquet", "dev.parquet"))
    assert not set(held["positive"].to_pylist()) & set(kept["positive"].to_pylist())
    scores = next(stage for stage in outcome.stages if stage.name == "fit").report["dev"]["scores"]
    assert set(scores) == {"dev", "dev.held-out.pairs", "dev.held-out.scored"}
    assert scores["dev"] == pytest.approx(
        (scores["dev.held-out.pairs"] + scores["dev.held-out.scored"]) / 2
    )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('tasks = ["my-search"]', "line 30: my-search is what the recipe is proved on"),
        (
            'tasks = ["./my-dev"]',
            "line 30: my-dev is what the recipe is proved on: 100% of its items stand in my-sea",
        ),
        ("every = 10", "line 29: dev needs tasks = [...] or share = 0.02, or both"),
        (
            'share = 0.1\nmetric = "map@7"',
            "line 31: dev data of the type retrieval has no metric 'map@7'. Type map@",
        ),
        (
            "share = 0.1",
            "line 29: of 48 steps only the last would be scored, with 500 steps between scores",
        ),
    ],
)
def test_dev_data_that_cannot_choose_is_refused_with_its_line(
    section: str, words: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "my-search", folder / "my-dev")
    with pytest.raises(UsageError) as caught:
        train(read_recipe(with_dev(folder, f"[dev]\n{section}\n")), options(tmp_path))
    assert words in str(caught.value).replace(str(folder), "")
    assert not list((tmp_path / "run").glob("stages/fit-*/*/*.safetensors"))


def test_adapters_are_taken_from_the_best_checkpoint(
    folder: Path, tiny_transformer: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    mislead(folder)  # so that the first checkpoint is the best
    base = (
        f'kind = "local"\nid = "{tiny_transformer}"\npooling = "mean"\n'
        'lora = { r = 4, targets = ["query"] }'
    )
    own_dev(folder)
    path = with_dev(
        folder,
        '[dev]\ntasks = ["./my-dev"]\nevery = 2\n',
        ('kind = "static"\ndim = 32\ntokenizer = { vocab = 300 }', base),
        (SCORED, ""),
        ("[matryoshka]\ndims = [32, 16]\n", ""),
        ("lr = 0.05", "lr = 0.1\nmax_steps = 8"),
        ("guard = { tolerance = 5 }", 'guard = { decision = "none" }'),
    )
    outcome = train(read_recipe(path), options(tmp_path))
    fit = next(stage for stage in outcome.stages if stage.name == "fit")
    dev = fit.report["dev"]
    assert len({score for _, score in dev["curve"]}) > 1
    saved = resolve(str(fit.folder / "tiny"))
    (scored,) = evaluate(
        [load_task(folder / "my-dev")], [saved], RunOptions(tmp_path / "r", Store(tmp_path / "s"))
    )
    assert scored.result is not None
    assert scored.result.main_score == pytest.approx(dev["scores"]["dev.my-dev"], abs=1e-6)


@pytest.mark.shared
def test_another_split_of_a_known_task_is_dev_data_and_the_test_is_not(
    shared_data: Path, tmp_path: Path
) -> None:
    where = TrainOptions(tmp_path / "run", Store(tmp_path / "store"), shared_data / "packs")

    def dev(split: str) -> Path:
        path = tmp_path / "recipe.toml"
        section = f'[dev]\ntasks = ["KorSTS:{split}"]\nevery = 10\n[train]'
        path.write_text(CONTAMINATED.replace("[train]", section), encoding="utf-8")
        return path

    (task,) = prepare(read_recipe(dev("validation")), where, Quiet()).dev_tasks
    (part,) = task.load().parts
    validation = pq.read_table(shared_data / "packs" / "KorSTS" / "validation.parquet")
    assert part.data.sentence1 == validation["sentence1"].to_pylist()  # type: ignore[union-attr]
    with pytest.raises(
        UsageError, match=r"line 18: KorSTS:test is what the recipe is proved on: 100% of its items"
    ):
        prepare(read_recipe(dev("test")), where, Quiet())
    with pytest.raises(DataError, match=r"no split 'valid'; it has test, validation, train"):
        prepare(read_recipe(dev("valid")), where, Quiet())
