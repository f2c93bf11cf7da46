"""A fit in two processes on the CPU (gloo): what is equal to one process, what one rank's end means
for the others.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("accelerate")
from safetensors.numpy import load_file

from kemb.arrays import FloatArray
from kemb.errors import ModelError, RunError, UsageError
from kemb.training import check, fit, processes
from kemb.training.guards import OnStep
from kemb.training.losses import training_sets
from kemb.training.recipe import RecipeFile, read_recipe

pytestmark = pytest.mark.torch

WORDS = "가을 나무 바다 구름 아침 저녁 학교 시장 노래 그림 편지 우산 시계 기차 공원 도서관".split()


def pairs() -> pa.Table:
    return pa.table(
        {
            "anchor": [f"{word} 소개" for word in WORDS],
            "positive": [f"{word}에 대한 글" for word in WORDS],
            "source": ["pairs"] * len(WORDS),
        }
    )


def recipe(folder: Path, base: Path, train: str, loss: str = "gather = true") -> RecipeFile:
    path = folder / "tiny.toml"
    path.write_text(
        f"""recipe = 1
name = "tiny"
[base]
kind = "local"
id = "{base}"
[[data]]
id = "pairs"
source = {{ file = "pairs.parquet" }}
license = "CC0-1.0"
[loss]
{loss}
[train]
{train}
max_steps = 6
lr = 1e-3
save_every = 2
log_every = 1
[evaluate]
tasks = ["KorSTS"]
""",
        encoding="utf-8",
    )
    return read_recipe(path)


def job(
    file: RecipeFile, base: Path, out: Path, resume: bool = False, on_step: OnStep | None = None
) -> fit.FitJob:
    sets = training_sets(
        file,
        pairs(),
        lambda role, texts: np.random.default_rng(0).random((len(texts), 8), np.float32),
    )
    return fit.FitJob(file, sets, base, out, "key", "cpu", resume=resume, on_step=on_step)


@pytest.fixture(scope="session")
def plain_st(tiny_st: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network without dropout, whose masks depend on the shape of a batch."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_st), device="cpu", model_kwargs={"use_safetensors": True})
    config = model[0].auto_model.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    folder = tmp_path_factory.mktemp("tiny") / "plain-st"
    model.save_pretrained(str(folder))
    return folder


def weights(model_dir: Path) -> dict[str, FloatArray]:
    return dict(load_file(model_dir / "model.safetensors"))


def grad_norms(out: Path) -> list[float]:
    events = [
        json.loads(line) for line in (out / fit.EVENTS).read_text(encoding="utf-8").splitlines()
    ]
    return [event["grad_norm"] for event in events if "grad_norm" in event]


@pytest.fixture(scope="session")
def gathered(plain_st: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes with four rows each make, every anchor compared with the positives of
    both.
    """
    folder = tmp_path_factory.mktemp("gathered")
    steps: list[tuple[int, int]] = []
    file = recipe(folder, plain_st, "batch = 4\nprocesses = 2")
    report = processes.fit_on_ranks(
        job(file, plain_st, folder, on_step=lambda n, total, loss: steps.append((n, total)))
    )
    assert steps == [(n, 6) for n in range(1, 7)]
    assert report.n_negatives == {"pairs": 7}
    assert not (folder / processes.FOLDER).exists()
    return folder


def test_two_processes_that_gather_are_one_with_both_their_rows(
    gathered: Path, plain_st: Path, tmp_path: Path
) -> None:
    """As the losses' mean over all rows has the mean of both gradients; without that mean every
    weight is another.
    """
    fit.fit(job(recipe(tmp_path, plain_st, "batch = 8"), plain_st, tmp_path))
    one, two, base = weights(tmp_path / "tiny"), weights(gathered / "tiny"), weights(plain_st)
    assert max(float(np.abs(one[name] - base[name]).max()) for name in one) > 2e-3
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(
        grad_norms(gathered), grad_norms(tmp_path), rtol=1e-4
    )  # Adam hides a factor


def test_weights_of_a_loss_are_averaged_as_well(plain_st: Path, tmp_path: Path) -> None:
    """torch averages the model's gradients, not those of the projection of EmbedDistillLoss."""
    loss = 'name = "embed-distill"\nteacher = "toy"'
    one = recipe(tmp_path, plain_st, "batch = 8", loss)
    fit.fit(job(one, plain_st, tmp_path / "one"))
    two = recipe(tmp_path, plain_st, "batch = 4\nprocesses = 2", loss)
    processes.fit_on_ranks(job(two, plain_st, tmp_path / "two"))
    states = [
        next((tmp_path / name).glob("checkpoints/checkpoint-6")) / "loss_state.safetensors"
        for name in ("one", "two")
    ]
    a, b = (load_file(path) for path in states)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=0, atol=1e-6)


POISONED = """
import sys
from pathlib import Path
from kemb.training import guards, processes

before_step = guards.Watch.before_step

def poisoned(self, step):
    if step == 3:
        for parameter in self.model.parameters():
            parameter.grad = None if parameter.grad is None else parameter.grad * float("nan")
    before_step(self, step)

guards.Watch.before_step = poisoned
guards.Watch._without_direction = lambda self, texts: ["어머나"] * self.rank
sys.exit(processes.main(Path(sys.argv[1])))
"""


def test_a_nan_stops_all_and_names_the_text_of_any_and_the_fit_goes_on_to_the_same_bits(
    gathered: Path, plain_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recipe(tmp_path, plain_st, "batch = 4\nprocesses = 2")
    with monkeypatch.context() as patch:
        patch.setattr(processes, "COMMAND", [sys.executable, "-c", POISONED])
        with pytest.raises(
            ModelError,
            match=r"Step 4 gave numbers that are not finite.* or one of zeros: '어머나'\.",
        ):
            processes.fit_on_ranks(job(file, plain_st, tmp_path))
    report = processes.fit_on_ranks(job(file, plain_st, tmp_path, resume=True))
    assert report.resumed_at == 2
    whole, resumed = (
        (folder / "tiny" / "model.safetensors").read_bytes() for folder in (gathered, tmp_path)
    )
    assert resumed == whole


def fake(code: str) -> list[str]:
    """A rank that is no fit, and starts at once."""
    return [sys.executable, "-c", f"import os, sys, time\nrank = int(os.environ['RANK'])\n{code}"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[processes.Rank]:
    """The processes that a test starts."""
    found: list[processes.Rank] = []
    start = processes._start

    def starting(folder: Path, rank: int, n_ranks: int) -> processes.Rank:
        found.append(start(folder, rank, n_ranks))
        return found[-1]

    monkeypatch.setattr(processes, "_start", starting)
    return found


def test_ctrl_c_leaves_no_orphan(
    started: list[processes.Rank], plain_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(number: int, total: int, loss: float | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        processes, "COMMAND", fake("print('[1, 6, null]', flush=True)\ntime.sleep(60)")
    )
    file = recipe(tmp_path, plain_st, "batch = 4\nprocesses = 2")
    with pytest.raises(KeyboardInterrupt):
        processes.fit_on_ranks(job(file, plain_st, tmp_path, on_step=interrupt))
    assert [rank.returncode for rank in started] == [-15, -15]


def test_a_killed_rank_ends_the_others(
    started: list[processes.Rank], plain_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        processes, "COMMAND", fake("os.kill(os.getpid(), 9) if rank else time.sleep(60)")
    )
    file = recipe(tmp_path, plain_st, "batch = 4\nprocesses = 2")
    with pytest.raises(
        RunError,
        match=r"process 1 of 2 was killed by SIGKILL, the others were ended.*the same command",
    ):
        processes.fit_on_ranks(job(file, plain_st, tmp_path))
    assert [rank.returncode for rank in started] == [-15, -9]


def test_a_rank_ends_when_its_parent_is_gone() -> None:
    code = (
        "from kemb.training import processes\nimport "
        "time\nprocesses._end_with_parent()\ntime.sleep(60)"
    )
    rank = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert rank.stdin is not None
    rank.stdin.close()
    assert rank.wait(20) == 1


def test_a_rank_that_fails_is_quoted(
    plain_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = (
        "if rank == 0:\n    time.sleep(60)\nprint('RuntimeError: no memory left', "
        "file=sys.stderr)\nsys.exit(1)"
    )
    monkeypatch.setattr(processes, "COMMAND", fake(failing))
    monkeypatch.setattr(processes, "GRACE", 0.2)
    file = recipe(tmp_path, plain_st, "batch = 4\nprocesses = 2")
    with pytest.raises(
        RunError,
        match=r"process 1 of 2 failed: RuntimeError: no memory left\. More is in .*rank-\*\.log",
    ):
        processes.fit_on_ranks(job(file, plain_st, tmp_path))


def test_batches_are_counted_over_all_processes(plain_st: Path, tmp_path: Path) -> None:
    sets = training_sets(file := recipe(tmp_path, plain_st, "batch = 3\nprocesses = 2"), pairs())
    assert fit.negatives(file, sets) == {"pairs": 5}
    alone = recipe(tmp_path, plain_st, "batch = 3\nprocesses = 2", "")
    assert fit.negatives(alone, sets) == {"pairs": 2}
    assert fit.without_others(alone, sets)
    assert not fit.without_others(file, sets)
    text = file.path.read_text(encoding="utf-8").replace("max_steps = 6\n", "")
    file.path.write_text(text, encoding="utf-8")
    assert fit.n_steps(read_recipe(file.path), sets) == 2  # of 16 rows the last 4 are left out


def test_what_several_processes_cannot_do_is_refused(
    plain_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = training_sets(file := recipe(tmp_path, plain_st, "batch = 8\nprocesses = 3"), pairs())
    with pytest.raises(
        UsageError,
        match=r"line 13: a batch of 24 rows \(8 for each of 3 processes\).* Type batch = 4",
    ):
        fit.check_batches(file, sets)
    with pytest.raises(
        UsageError, match=r"line 14: 3 processes take the first 3 GPUs, the device is cuda:1"
    ):
        check.check_recipe(file, "cuda:1")
    monkeypatch.setattr(check, "n_cuda_devices", lambda: 2)
    with pytest.raises(
        UsageError, match=r"line 14: 3 processes need 3 GPUs, 2 are there. Type processes = 2"
    ):
        check.check_recipe(file, "cuda")
    check.check_recipe(file, "cpu")
    alone = replace(sets[0], kind=replace(sets[0].kind, contrastive=False))
    many = recipe(tmp_path, plain_st, "batch = 4\nprocesses = 5")
    with pytest.raises(
        UsageError,
        match=r"line 14: the data pairs has 16 rows, a step of 5 processes 20; they leave",
    ):
        fit.check_batches(many, [alone])
    dev = file.path.read_text(encoding="utf-8") + "[dev]\nevery = 2\nshare = 0.1\n"
    file.path.write_text(dev, encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"line 21: a fit of \d processes is not scored on its way"
    ):
        check.check_recipe(read_recipe(file.path), "cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        UsageError, match=r"line 14: this command was started 2 times, by torchrun .* Start it once"
    ):
        check.check_recipe(file, "cpu")
