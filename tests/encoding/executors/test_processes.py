"""Several processes for one model: the same shards as one process, whatever goes wrong; one process
is the oracle.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kemb.arrays import IntArray, Ragged, Rows, Together
from kemb.encoding.batches import Budget
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import Progress, encode_missing
from kemb.encoding.executors.opened import Opened, opened
from kemb.encoding.executors.processes import Workers
from kemb.encoding.job import Beside
from kemb.encoding.store import Space, Store
from kemb.errors import ModelError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.device import find_devices
from kemb.models.encoders import Encoder, OutOfMemory
from kemb.models.model import ModelOptions
from kemb.models.resolve import resolve
from kemb.types import Input

pytestmark = pytest.mark.slow

SMALL = Budget(group_chars=200, batch_tokens=60, max_batch=8)


@dataclass(frozen=True)
class Fake:
    """A token is a character. Vectors depend on the batch, as rounding does; one text may be its
    ruin.
    """

    fits: int = 10**9
    ruin: str = ""
    how: str = ""
    ragged: bool = False
    heads: int = 1
    dim = 3

    def __call__(self) -> Encoder:
        if self.how == "exit at opening":
            os._exit(7)
        if self.how == "no model":
            raise UsageError("There is no such model. Type another one.")
        if self.how == "bug at opening":
            raise ZeroDivisionError("by zero")
        return self

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        return np.array([len(i.prompt + i.text) for i in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> Rows | Together:
        if len(inputs) * max(len(i.prompt + i.text) for i in inputs) > self.fits:
            raise OutOfMemory
        vectors = np.array(
            [[len(i.text), sum(map(ord, i.text)), len(inputs)] for i in inputs], dtype=np.float32
        )
        if self.ruin and any(i.text == self.ruin for i in inputs):
            match self.how:
                case "nan":
                    vectors[[i.text == self.ruin for i in inputs]] = np.nan
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "refuse":
                    raise ModelError("The model has too few positions.")
                case "bug":
                    raise ZeroDivisionError("by zero")
                case "lose":
                    return vectors[1:]
                case "hang":
                    time.sleep(600)
        if self.ragged:
            offsets = np.arange(0, 2 * len(inputs) + 1, 2)
            return Ragged(offsets, np.repeat(vectors, 2, axis=0), 3)
        return vectors if self.heads == 1 else Together((vectors, vectors[:, :2]))


def collection(n: int = 200) -> Collection:
    words = [f"{'가' * (i % 23)}{i}" for i in range(n)]
    return Collection(
        [
            Texts.of("", prompt, words, lambda row: f"Task, column, id {row}")
            for prompt in ("", "q: ")
        ]
    )


def space_in(folder: Path) -> Space:
    return Store(folder).space({"model": "fake", "revision": "1"})


def shards(space: Space) -> list[str]:
    """Names of the shards, which are hashes of their bytes."""
    return sorted(path.name for path in space.folder.glob("*.arrow"))


def encode(
    fake: Fake, folder: Path, n_workers: int, texts: Collection
) -> tuple[Progress, list[str]]:
    space = space_in(folder)
    with closing(Workers([("cpu", fake)] * n_workers)) as workers:
        progress = encode_missing(texts, space, fake if n_workers == 1 else lambda: workers, SMALL)
    return progress, shards(space)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("fake", [Fake(), Fake(ragged=True)], ids=["dense", "ragged"])
def test_shards_are_those_of_one_process(fake: Fake, tmp_path: Path) -> None:
    texts = collection()
    one, expected = encode(fake, tmp_path / "one", 1, texts)
    assert one.n_shards > 10
    several, found = encode(fake, tmp_path / "several", 3, texts)
    assert found == expected
    one.seconds = several.seconds = 0
    assert several == one
    assert several.n_encoded == several.n_unique == 400


def test_heads_of_one_pass_come_back_together(tmp_path: Path) -> None:
    texts, found = collection(), []
    for n in (1, 2):
        first, second = (
            Store(tmp_path / str(n)).space({"model": name, "revision": "1"}) for name in "ab"
        )
        with closing(Workers([("cpu", Fake(heads=2))] * n)) as workers:
            opener = Fake(heads=2) if n == 1 else lambda workers=workers: workers
            encode_missing(texts, first, opener, SMALL, beside=[Beside(second, texts.keys)])  # type: ignore[arg-type]
        found.append((shards(first), shards(second)))
        assert second.vectors(texts.keys).shape == (400, 2)
    assert found[0] == found[1]


def test_more_workers_than_groups_and_nothing_to_do(tmp_path: Path) -> None:
    texts = collection(2)
    progress, _ = encode(Fake(), tmp_path, 5, texts)
    assert progress.n_encoded == 4
    again, _ = encode(Fake(how="exit at opening"), tmp_path, 5, texts)
    assert (again.n_stored, again.n_encoded) == (4, 0)


def test_out_of_memory_is_found_out_by_each_worker(tmp_path: Path) -> None:
    progress, _ = encode(Fake(fits=30), tmp_path, 2, collection())
    assert progress.n_encoded == 400
    assert progress.token_limit is not None
    assert progress.token_limit <= 30


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", r"not a number \(NaN or infinite\) for Task, column, id 17"),
        (
            "kill",
            r"on cpu ended \(signal 9, which is .* memory runs out\) at the texts that begin with "
            r"Task, column, id",
        ),
        ("refuse", r"too few positions\. The batch began with Task, column, id \d+\.$"),
        (
            "bug",
            r"failed \(ZeroDivisionError: by zero\) at the texts that begin with Task, column, id "
            r"\d+\.$",
        ),
        ("lose", r"returned \d vectors for \d texts \(Task, column, id \d+\)"),
    ],
)
def test_what_goes_wrong_is_one_sentence_with_the_place_and_a_second_run_goes_on(
    tmp_path: Path, how: str, message: str
) -> None:
    texts = collection()
    ruin = texts.columns[0].texts[17]
    with pytest.raises(ModelError, match=message):
        encode(Fake(ruin=ruin, how=how), tmp_path, 2, texts)
    n_stored = int(space_in(tmp_path).stored(texts.keys).sum())
    assert n_stored < 400
    progress, found = encode(Fake(), tmp_path, 2, texts)
    assert (progress.n_stored, progress.n_encoded) == (n_stored, 400 - n_stored)
    assert found == encode(Fake(), tmp_path / "whole", 1, texts)[1]


def test_a_text_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"does not fit in memory \(Task, column, id \d+\)\. Cut texts"
    ):
        encode(Fake(fits=20), tmp_path, 2, collection())


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("no model", UsageError, r"^There is no such model\. Type another one\.$"),
        ("bug at opening", ModelError, "could not load the model: ZeroDivisionError: by zero"),
        (
            "exit at opening",
            ModelError,
            r"on cpu ended while it loaded the model \(exit code 7\)\..*--workers",
        ),
    ],
)
def test_a_model_that_cannot_be_opened(
    tmp_path: Path, how: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        encode(Fake(how=how), tmp_path, 2, collection())
    assert shards(space_in(tmp_path)) == []


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
from pathlib import Path
sys.path.insert(0, {tests!r})
from contextlib import closing
from kemb.encoding.encode import encode_missing
from kemb.encoding.executors.processes import Workers
from test_processes import SMALL, Fake, collection, space_in
texts = collection()

def show(progress):
    if progress.n_encoded:
        print(*[worker.process.pid for worker in workers._workers], flush=True)

fake = Fake(ruin={ruin!r}, how="hang")
with closing(Workers([("cpu", fake)] * 2)) as workers:
    encode_missing(texts, space_in(Path({folder!r})), lambda: workers, SMALL, show)
print("done")
"""


def script(folder: Path, ruin: str = "") -> str:
    return SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), ruin=ruin)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_of_the_parent_is_the_end_of_its_workers(
    tmp_path: Path, kill: signal.Signals
) -> None:
    """Ctrl-C reaches the whole group of processes, a kill the parent only; a script needs no
    `__main__` guard.
    """
    path = tmp_path / "unguarded.py"
    path.write_text(script(tmp_path / "store", collection().columns[0].texts[5]), encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stderr is not None
    try:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        time.sleep(0.5)  # until one hangs; the end is the same if none does yet
        if kill == signal.SIGINT:
            os.killpg(parent.pid, kill)
        else:
            parent.send_signal(kill)
        assert parent.wait(60) != 0
        deadline = time.monotonic() + 60
        while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []
        errors = parent.stderr.read()
        # The parent's own.
        assert errors.count("Traceback") == (1 if kill == signal.SIGINT else 0), errors
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        parent.stderr.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_script_on_stdin_has_workers_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable], input=script(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("done\n"), done.stderr


@pytest.mark.parametrize(
    ("asked", "n_workers", "found"),
    [
        ("cpu", None, ("cpu",)),
        ("cpu", 1, ("cpu",)),
        ("cpu", 3, ("cpu",) * 3),
        ("cpu,cpu", None, ("cpu", "cpu")),
        ("cuda:0, cuda:1", None, ("cuda:0", "cuda:1")),
        ("cuda:3", None, ("cuda:3",)),
    ],
)
def test_devices(asked: str, n_workers: int | None, found: tuple[str, ...]) -> None:
    assert find_devices(asked, n_workers) == found


@pytest.mark.parametrize(
    ("asked", "n_workers", "message"),
    [
        ("cpu,cuda:0", None, "several devices are of one kind"),
        ("cuda,cuda:1", None, "GPUs have a number"),
        ("mps,mps", None, "cannot share one model"),
        ("cuda:1,cuda:1", None, "names a GPU twice"),
        ("cpu,gpu", None, "--device 'gpu' is not known"),
        ("cpu,", None, "--device '' is not known"),
        ("cuda:0", 2, "--workers 2 is for processes on the CPU, and the device is cuda:0"),
        ("cpu,cpu", 2, "Leave out --workers"),
    ],
)
def test_devices_that_are_refused(asked: str, n_workers: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_devices(asked, n_workers)


def test_a_gpu_that_is_not_there_is_refused_by_the_worker(tiny_st: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    model = resolve(str(tiny_st), ModelOptions(device="cuda:0,cuda:1"))
    assert (model.device, model.devices) == ("cuda:0", ("cuda:0", "cuda:1"))
    space = Store(tmp_path).space(model.fingerprint())
    with opened(model) as workers, pytest.raises(ModelError, match="torch cannot use one here"):
        encode_missing(collection(), space, lambda: workers, SMALL)


def test_models_of_two_workers_are_bit_equal_to_one(tiny_st: Path, tmp_path: Path) -> None:
    alone, two = (resolve(str(tiny_st), ModelOptions(device="cpu", workers=n)) for n in (1, 2))
    assert alone.fingerprint() == two.fingerprint()
    budget, names = Budget(300, 200, 16), []
    for model in (alone, two):
        space = Store(tmp_path / str(len(model.devices))).space(model.fingerprint())
        with opened(model) as encoder:
            progress = encode_missing(collection(), space, lambda encoder=encoder: encoder, budget)  # type: ignore[misc]
        assert progress.n_shards > 5
        names.append(shards(space))
    assert names[0] == names[1]


FEW_ROWS = """
import sys
from pathlib import Path
import numpy as np
from kemb.models.encoders.torch import Loading, open_torch
from kemb.types import Input

encoder = open_torch(Path(sys.argv[1]), Loading(device="cpu"))
import torch

words = ("one two three", "a b c d e f g", "rain or snow", "fog", "wind")
texts = [Input("", "", text) for text in words]
for batch in (texts[:1], texts[1:2], texts[:2], texts[:3], texts):
    found = []
    for n_threads in (1, 2, 4):
        torch.set_num_threads(n_threads)
        found.append(encoder.encode(batch))
    print(all(np.array_equal(found[0], other) for other in found))
"""


def test_small_products_do_not_depend_on_the_number_of_threads(minilm: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-c", FEW_ROWS, str(minilm)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True"] * 5


def test_minilm_with_two_workers_gives_the_vectors_of_one(
    minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "for_device", lambda device: Budget(1500, 1024, 64))
    rng = np.random.default_rng(0)
    words = "비가 눈이 바람이 구름이 햇볕이 안개가 우박이 서리가 이슬이 무지개가 오면 좋다".split()
    lines = [" ".join(rng.choice(words, size=size)) for size in rng.integers(1, 20, 120).tolist()]
    (tmp_path / "data").mkdir()
    rows = [f'{{"text": "{line}", "label": {i % 2}}}' for i, line in enumerate(lines)]
    (tmp_path / "data" / "test.jsonl").write_text("\n".join(rows), encoding="utf-8")
    scores, vectors = [], []
    for n in (1, 2):
        model = resolve(str(minilm), ModelOptions(device="cpu", workers=n))
        options = RunOptions(tmp_path / f"results{n}", Store(tmp_path / f"store{n}"))
        (outcome,) = evaluate([load_task(tmp_path / "data")], [model], options)
        assert outcome.result is not None, outcome.message
        scores.append(outcome.result.main_score)
        space = options.store.space(model.fingerprint())
        keys = Texts.of("", "", lines, str).keys
        assert sum(len(line) for line in lines) > 2 * 1500  # in several groups
        assert space.size()[0] == 1
        vectors.append(space.vectors(keys).block(0, len(lines)))
        assert outcome.result.record.hardware.devices == (None if n == 1 else ["cpu", "cpu"])
    assert scores[0] == scores[1]
    assert np.array_equal(*vectors)


def test_workers_are_kept_between_uses_and_made_anew_after_a_failure(tmp_path: Path) -> None:
    texts = collection(60)
    with closing(Workers([("cpu", Fake())] * 2)) as workers:
        encode_missing(texts, space_in(tmp_path / "a"), lambda: workers, SMALL)
        first = [worker.process.pid for worker in workers._workers]
        encode_missing(texts, space_in(tmp_path / "b"), lambda: workers, SMALL)
        assert [worker.process.pid for worker in workers._workers] == first

        def stop(progress: Progress) -> None:
            if progress.n_encoded:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            encode_missing(texts, space_in(tmp_path / "c"), lambda: workers, SMALL, stop)
        assert workers._workers == []
        encode_missing(texts, space_in(tmp_path / "c"), lambda: workers, SMALL)
    assert shards(space_in(tmp_path / "a")) == shards(space_in(tmp_path / "c"))


def test_rerankers_stay_open_until_they_are_closed() -> None:
    kept = Opened()
    model = resolve("toy")
    assert kept.open(model) is kept.open(model)
    kept.close()
    assert not isinstance(kept.open(model), Workers)
