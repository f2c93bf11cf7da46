"""The life of an actor, in this process: one process of the usual kind is the oracle."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from kemb.arrays import FloatArray, IntArray, Ragged
from kemb.encoding import records
from kemb.encoding.batches import Budget
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import encode_missing
from kemb.encoding.executors.actors import Answer, Broken, Encoding, Opened, Refused, Unopened
from kemb.encoding.executors.machines import differences, machine, versions
from kemb.encoding.job import Job
from kemb.encoding.store import Space, Store
from kemb.errors import ModelError, UsageError
from kemb.models.encoders import Done, Encoder
from kemb.types import Input

SMALL = Budget(group_chars=200, batch_tokens=60, max_batch=8)


class Plain:
    """Vectors depend on the batch, as rounding does; one text may be its ruin."""

    dim = 3

    def __init__(self, ruin: str = "", error: Exception | None = None) -> None:
        self.ruin, self.error = ruin, error

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        return np.array([len(item.text) for item in inputs], dtype=np.int64)

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        if self.error is not None and any(item.text == self.ruin for item in inputs):
            raise self.error
        rows = [[len(i.text), sum(map(ord, i.text)), len(inputs)] for i in inputs]
        vectors = np.array(rows, dtype=np.float32)
        if self.error is None:
            vectors[[item.text == self.ruin for item in inputs]] = np.nan
        return vectors


class Tokens(Plain):
    """A row of vectors for each character, as of late interaction; they depend on the batch."""

    is_sparse = False

    def encode(self, inputs: Sequence[Input]) -> Ragged:  # type: ignore[override]
        lengths = [len(item.text) for item in inputs]
        codes = np.array([ord(character) for item in inputs for character in item.text])
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        if not self.is_sparse:
            values = np.stack([codes, codes % 7, np.full(len(codes), len(inputs))], axis=1)
            return Ragged(offsets, values.astype(np.float16), 3)
        index = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
        return Ragged(offsets, (codes / len(inputs)).astype(np.float32)[:, None], 1000, index)


class Sparse(Tokens):
    is_sparse = True


class Endpoint(Plain):
    """Answers come in another order than questions."""

    limits = (4, 100)

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def stream(self, batches: Iterable[Sequence[Input]]) -> Iterator[Done]:
        for number, batch in reversed(list(enumerate(batches))):
            self.calls["n_requests"] = self.calls.get("n_requests", 0) + 1
            yield Done(number, self.encode(batch), len(batch))


def collection(n: int = 200) -> Collection:
    words = [f"{'가' * (i % 23)}{i}" for i in range(n)]
    return Collection([Texts.of("", "", words, lambda row: f"Task, column, id {row}")])


def space_in(folder: Path) -> Space:
    return Store(folder).space({"model": "fake", "revision": "1"})


def job_in(folder: Path, n: int = 200) -> Callable[[], Job]:
    return lambda: Job(collection(n), space_in(folder), SMALL)


def actor(encoder: Encoder, folder: Path) -> tuple[Encoding, Job]:
    """An actor at work, and the driver's job."""
    alive = Encoding(1)
    assert isinstance(alive.open(lambda: encoder, "cpu"), Opened)
    job = job_in(folder)()
    if isinstance(encoder, Endpoint):
        from kemb.encoding.executors.here import batches_of

        job.groups = batches_of(encoder, job.collection)
    records.write_absent(job.space, f"{job.plan()['plan']}.json", job.plan())
    assert alive.begin(job_in(folder), job.plan()) is None
    return alive, job


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.arrow"))


@pytest.mark.parametrize("kind", [Plain, Tokens, Sparse, Endpoint])
def test_groups_in_any_order_are_the_shards_of_one_process(
    kind: type[Plain], tmp_path: Path
) -> None:
    progress = encode_missing(collection(), space_in(tmp_path / "one"), lambda: kind(), SMALL)
    alive, job = actor(kind(), tmp_path / "several")
    numbers = job.pending()
    assert len(numbers) > 4
    answers = [alive.encode((number,)) for number in reversed(numbers)]
    counts = [answer.work for answer in answers if isinstance(answer, Answer)]
    job.join()  # as the driver does
    assert shards(tmp_path / "several") == shards(tmp_path / "one")
    assert sum(count.n_texts for count in counts) == progress.n_encoded == 200
    assert sum(count.n_tokens for count in counts) == progress.n_tokens
    assert sum(count.n_batches for count in counts) == progress.n_batches
    again = alive.encode((numbers[0],))
    assert isinstance(again, Answer)
    assert (again.work.n_texts, again.n_found) == (0, len(job.groups[numbers[0]]))
    if kind is Endpoint:
        assert again.calls == {"n_requests": len(numbers)} == progress.calls


def test_a_group_that_another_actor_had_is_looked_for_before_it_is_done_again(
    tmp_path: Path,
) -> None:
    lost, job = actor(Plain(), tmp_path)
    other, _ = actor(Plain(), tmp_path)
    first, second, *_ = job.pending()
    space = other._job.space if other._job else job.space
    space.refresh()
    space._next_look = math.inf  # as long after a look as may be
    for number in (first, second):
        lost.encode((number,))
    unaware, aware = other.encode((first,)), other.encode((second,), True)
    assert isinstance(unaware, Answer)
    assert isinstance(aware, Answer)
    assert (unaware.work.n_texts, unaware.n_found) == (len(job.groups[first]), 0)
    assert (aware.work.n_texts, aware.n_found) == (0, len(job.groups[second]))


def test_several_batches_of_an_endpoint_go_together(tmp_path: Path) -> None:
    alive, job = actor(Endpoint(), tmp_path)
    answer = alive.encode(tuple(job.pending()))
    assert isinstance(answer, Answer)
    assert answer.work.n_texts == 200
    job.look()
    assert job.pending() == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (None, r"not a number \(NaN or infinite\) for Task, column, id 17: "),
        (ModelError("Too few positions."), r"Too few positions\. The batch began with Task, .* id"),
        (ZeroDivisionError("by zero"), r"failed \(ZeroDivisionError: by zero\) at the texts that"),
    ],
)
def test_a_failure_names_its_place_and_the_next_group_goes_on(
    error: Exception | None, message: str, tmp_path: Path
) -> None:
    texts = collection()
    alive, job = actor(Plain(str(texts.columns[0].texts[17]), error), tmp_path)
    answers = [alive.encode((number,)) for number in job.pending()]
    broken = [answer for answer in answers if isinstance(answer, Broken)]
    assert len(broken) == 1
    assert re.search(message, broken[0].text), broken[0].text
    assert len(shards(tmp_path)) == len(answers) - 1


def test_a_model_that_cannot_be_opened_is_an_answer() -> None:
    def refuse() -> Encoder:
        raise UsageError("There is no such model.")

    def fail() -> Encoder:
        raise ZeroDivisionError("by zero")

    assert Encoding(1).open(refuse, "cpu") == Unopened("There is no such model.", True)
    answer = Encoding(1).open(fail, "cpu")
    assert isinstance(answer, Unopened)
    assert "could not load the model: ZeroDivisionError: by zero" in answer.text


def test_who_does_not_see_what_the_driver_sees_is_refused(tmp_path: Path) -> None:
    job = job_in(tmp_path / "driver")()
    alive = Encoding(1)
    alive.open(Plain, "cpu")
    answer = alive.begin(job_in(tmp_path / "elsewhere"), job.plan())
    assert isinstance(answer, Refused)
    assert f"does not see in {tmp_path / 'elsewhere'}" in answer.text
    records.write_absent(job.space, f"{job.plan()['plan']}.json", job.plan())
    assert alive.begin(job_in(tmp_path / "driver"), job.plan()) is None
    answer = alive.begin(job_in(tmp_path / "driver", n=199), job.plan())
    assert isinstance(answer, Refused)
    assert "199 texts in" in answer.text
    assert "the command has 200" in answer.text

    def unreadable() -> Job:
        raise FileNotFoundError("no such file: corpus.jsonl")

    answer = alive.begin(unreadable, job.plan())
    assert isinstance(answer, Refused)
    assert "corpus.jsonl" in answer.text


def test_a_plan_follows_from_texts_model_and_budget_and_not_from_what_is_stored(
    tmp_path: Path,
) -> None:
    plan = job_in(tmp_path)().plan()
    encode_missing(collection(), space_in(tmp_path), Plain, SMALL)
    assert job_in(tmp_path)().plan() == plan
    assert job_in(tmp_path, 199)().plan() != plan
    other_budget = Job(collection(), space_in(tmp_path), Budget(201, 60, 8)).plan()
    other_model = Job(collection(), Store(tmp_path).space({"model": "b"}), SMALL).plan()
    assert len({plan["plan"], other_budget["plan"], other_model["plan"]}) == 3


def test_the_first_record_of_a_name_stays_and_mixed_devices_are_listed(tmp_path: Path) -> None:
    space = space_in(tmp_path)
    assert records.write_absent(space, "a.json", {"device": "A"}) == {"device": "A"}
    assert records.write_absent(space, "a.json", {"device": "B"}) == {"device": "A"}
    assert records.mixed_devices(space) == []
    records.write_absent(space, f"a.1{records.MIXED}", {"device": "B"})
    assert records.mixed_devices(space) == ["B"]


def test_a_machine_says_what_it_is() -> None:
    one = machine("cpu", 2)
    assert one.device["device"]
    assert one.device["threads"] == "2"
    assert one.versions == versions()
    assert "kemb" in one.versions
    assert differences(one.device, one.device) == ""
    text = differences(one.versions | {"numpy": "0.1"}, one.versions)
    assert text == f"numpy 0.1 (here {one.versions['numpy']})"
    json.dumps(one.record)
