"""Models behind an API, against a loopback server that throttles, drops, reorders and lies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from endpoint_server import DIM, Endpoint, serving, vector_of
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import Budget, Progress, encode_missing
from kemb.encoding.store import Space, Store
from kemb.errors import ModelError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.evaluation.verify import VerifyOptions, verify_result
from kemb.models.encoders import api
from kemb.models.encoders.api import Pace
from kemb.models.encoders.endpoint import memory
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.models.spec import ApiSpec

TEXTS = [f"한국어 문장 {i}" for i in range(60)]
KEY = "sk-very-secret-1234"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoint]:
    monkeypatch.setattr(api, "_FIRST_PAUSE", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEST_API_KEY", KEY)
    for name in ("KEMB_API_BASE", "KEMB_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as own:
        yield own


def model_of(endpoint: Endpoint, tmp_path: Path, head: str = "", **settings: object) -> Model:
    fields = {
        "base_url": endpoint.url,
        "key_env": "TEST_API_KEY",
        "model": "m",
        "max_batch_texts": 8,
    } | settings
    lines = [
        f"{name} = {json.dumps(value) if not isinstance(value, dict) else table(value)}"
        for name, value in fields.items()
    ]
    path = tmp_path / "own.toml"
    path.write_text(
        "\n".join(['name = "me/own"', 'loader = "api"', "prompts = {}", head, "[api]", *lines])
    )
    return resolve(f"api:{path}")


def table(value: dict[str, object]) -> str:
    return "{ " + ", ".join(f"{name} = {json.dumps(item)}" for name, item in value.items()) + " }"


def encode(
    model: Model, tmp_path: Path, texts: list[str] = TEXTS, route: str = ""
) -> tuple[Space, Progress]:
    space = Store(tmp_path / "store").space(model.fingerprint())
    column = Texts.of(route, "", texts, lambda row: f"text {row}")
    return space, encode_missing(
        Collection([column]),
        space,
        partial(open_model, model),
        Budget.for_device(model.device),
    )


def stored(space: Space, texts: list[str] = TEXTS, route: str = "") -> np.ndarray:
    return space.vectors(Texts.of(route, "", texts, str).keys).block(0, len(texts))


def truth(texts: list[str] = TEXTS, model: str = "m") -> np.ndarray:
    return np.stack([vector_of(model, text) for text in texts])


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_every_text_gets_its_own_vector_though_answers_are_reordered(
    endpoint: Endpoint, tmp_path: Path, encoding: str
) -> None:
    endpoint.change = lambda record: record["data"].reverse()
    space, progress = encode(model_of(endpoint, tmp_path, encoding=encoding), tmp_path)
    np.testing.assert_array_equal(stored(space), truth())
    assert progress.n_encoded == 60
    assert progress.calls["n_tokens"] == progress.n_tokens == 180
    assert {body["encoding_format"] for body in endpoint.seen} == {encoding}
    assert max(len(body["input"]) for body in endpoint.seen) == 8


def test_throttling_dropping_and_broken_servers_lose_nothing_and_pay_nothing_twice(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    model = model_of(endpoint, tmp_path)
    answers = {
        2: (429, {"Retry-After": "0.2"}, b"{}"),
        4: (503, {}, b"<html>busy</html>"),
        5: (500, {}, b""),
        6: "drop",
        8: (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, b"{}"),
    }
    endpoint.misbehave = lambda number, body: answers.get(number)  # type: ignore[return-value]
    space, progress = encode(model, tmp_path)
    np.testing.assert_array_equal(stored(space), truth())
    assert progress.calls["n_retries"] == 5
    assert {endpoint.paid[text] for text in TEXTS} == {1}


def test_retry_after_is_waited_for_by_every_thread(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(endpoint, tmp_path, concurrency=2)
    times: list[float] = []
    holds: list[float] = []
    refusal_was_read = threading.Event()
    hold = Pace.hold

    def watched(pace: Pace, seconds: float) -> None:
        holds.append(time.monotonic())
        hold(pace, seconds)
        refusal_was_read.set()

    def once(number: int, body: dict[str, object]) -> tuple[int, dict[str, str], bytes] | None:
        times.append(time.monotonic())
        if number == 2:  # what the other thread may have sent already has no answer until then
            assert refusal_was_read.wait(60)
        return (429, {"Retry-After": "0.5"}, b"{}") if number == 1 else None

    monkeypatch.setattr(Pace, "hold", watched)
    endpoint.misbehave = once  # number 0 asked who answers, before this
    encode(model, tmp_path)
    assert len(holds) == 1
    assert len(times) == 9  # eight batches, one of them twice
    assert min(times[2:]) >= holds[0] + 0.5


def test_time_outs_are_tried_again(endpoint: Endpoint, tmp_path: Path) -> None:
    model = model_of(endpoint, tmp_path, timeout_seconds=1.0)
    endpoint.misbehave = lambda number, body: "slow" if number == 1 else None
    space, progress = encode(model, tmp_path)
    np.testing.assert_array_equal(stored(space), truth())
    assert progress.calls["n_retries"] >= 1  # a busy machine may be slow itself


def test_what_is_finished_is_stored_though_another_batch_fails_and_not_paid_again(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    model = model_of(endpoint, tmp_path, concurrency=3)
    endpoint.misbehave = lambda number, body: (
        (400, {}, b'{"error": "no"}') if TEXTS[30] in body["input"] else None
    )
    with pytest.raises(ModelError, match="refused with 400"):
        encode(model, tmp_path)
    first = dict(endpoint.paid)
    space = Store(tmp_path / "store").space(model.fingerprint())
    assert space.n_vectors() == sum(text in first for text in TEXTS) > 0
    endpoint.misbehave = lambda number, body: None
    space, progress = encode(model, tmp_path)
    np.testing.assert_array_equal(stored(space), truth())
    assert {endpoint.paid[text] for text in TEXTS} == {1}
    assert progress.n_stored + progress.n_encoded == 60


def test_a_second_run_asks_nothing_and_needs_no_key(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(model_of(endpoint, tmp_path), tmp_path)
    n = len(endpoint.seen)
    monkeypatch.delenv("TEST_API_KEY")
    _, progress = encode(model_of(endpoint, tmp_path), tmp_path)
    assert progress.n_stored == 60
    assert len(endpoint.seen) == n


LIES = {
    "7 vectors for 8 texts": lambda record: record["data"].pop(),
    "every index from 0 to 7 once": lambda record: record["data"][1].update(index=0),
    "5 dimensions where it gave 6": lambda record: [
        entry["embedding"].pop() for entry in record["data"]
    ],
    "different or no dimensions": lambda record: record["data"][3]["embedding"].pop(),
    "not a number": lambda record: record["data"][3].update(embedding=[float("nan")] * DIM),
    "is not a number \\(NaN": lambda record: record["data"][3].update(embedding=[None] * DIM),
    "neither a list of numbers nor base64": lambda record: record["data"][3].update(
        embedding="%%%"
    ),
    "neither a list of numbers": lambda record: record["data"][3].update(embedding=["0.1"] * DIM),
    "without embeddings": lambda record: record.pop("data"),
    "answered as model 'other'": lambda record: record.update(model="other"),
}


@pytest.mark.parametrize("message", LIES)
def test_an_answer_that_cannot_be_true_is_refused_whole(
    endpoint: Endpoint, tmp_path: Path, message: str
) -> None:
    model = model_of(endpoint, tmp_path)
    endpoint.change = LIES[message]  # type: ignore[assignment]
    with pytest.raises(ModelError, match=message):
        encode(model, tmp_path, TEXTS[:8])
    assert Store(tmp_path / "store").space(model.fingerprint()).n_vectors() == 0


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (200, b"<!doctype html><title>hello</title>", "a web page"),
        (200, b"[]", "a JSON list"),
        (200, b"not json", "no JSON"),
        (401, f'{{"error": "Incorrect API key: {KEY}"}}'.encode(), "TEST_API_KEY"),
        (404, b"{}", "often ends in /v1"),
        (302, b"", "refused with 302"),
        (429, b'{"error": {"code": "insufficient_quota"}}', "no quota"),
        (500, b"", "asked 3 times"),
    ],
)
def test_refusals_say_what_to_do_and_never_show_the_key(
    endpoint: Endpoint, tmp_path: Path, status: int, content: bytes, message: str
) -> None:
    endpoint.misbehave = lambda number, body: (status, {"Location": "/login"}, content)
    with pytest.raises(ModelError, match=message) as caught:
        model_of(endpoint, tmp_path, attempts=3)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(endpoint.seen) == (3 if status == 500 else 1)


def test_an_endpoint_that_asks_for_too_much_patience_is_not_waited_for(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.misbehave = lambda number, body: (429, {"Retry-After": "86400"}, b"{}")
    with pytest.raises(ModelError, match="asks to wait 86400 s"):
        model_of(endpoint, tmp_path)


def test_a_server_that_is_not_there_and_one_that_is_too_slow(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    with pytest.raises(
        ModelError, match=r"the connection failed.*once its address \(--api-base\) is right"
    ):
        model_of(endpoint, tmp_path, base_url="http://127.0.0.1:9/v1", attempts=2)
    endpoint.misbehave = lambda number, body: "slow"
    with pytest.raises(ModelError, match=r"did not answer within 0\.1 s"):
        model_of(endpoint, tmp_path, attempts=2, timeout_seconds=0.1)


def test_batches_that_are_too_large_are_halved_and_texts_that_are_too_long_cut_and_counted(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    model = model_of(endpoint, tmp_path, concurrency=1)

    def strict(number: int, body: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes] | None:
        if len(body["input"]) > 3:
            return 422, {}, b'{"error": "batch size 8 > maximum allowed batch size 3"}'
        if max(map(len, body["input"])) > 50:
            return 400, {}, b'{"error": "maximum context length is 50 tokens"}'
        return None

    endpoint.misbehave = strict  # type: ignore[assignment]
    texts = [*TEXTS[:9], "가" * 100]
    space, progress = encode(model, tmp_path, texts)
    np.testing.assert_array_equal(stored(space, texts)[:9], truth(TEXTS[:9]))
    np.testing.assert_array_equal(
        stored(space, texts)[9], vector_of("m", "가" * 42)
    )  # 100, 75, 56, 42
    assert progress.calls["n_cut"] == 1


def test_empty_texts_are_not_sent_and_lone_surrogates_are(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    model = model_of(endpoint, tmp_path)
    texts = ["", " \n", "가", "\ud800"]
    space, _ = encode(model, tmp_path, texts)
    found = stored(space, texts)
    assert not found[:2].any()
    np.testing.assert_array_equal(found[2:], truth(texts[2:]))
    assert not {"", " \n"} & set(endpoint.paid)


def test_the_route_names_the_model_of_upstage_and_the_input_type_of_cohere(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    model = model_of(
        endpoint,
        tmp_path,
        'routes = { query = "query", document = "passage" }',
        model="solar-{route}",
    )
    space, _ = encode(model, tmp_path, TEXTS[:2], route="passage")
    np.testing.assert_array_equal(
        stored(space, TEXTS[:2], "passage"), truth(TEXTS[:2], "solar-passage")
    )
    assert json.loads(dict(model.endpoint)["served_model"]) == {
        "solar-query": "solar-query-served",
        "solar-passage": "solar-passage-served",
    }
    base = endpoint.url.removesuffix("/v1")
    cohere = model_of(
        endpoint, tmp_path, 'routes = { query = "search_query" }', kind="cohere", base_url=base
    )
    space, progress = encode(cohere, tmp_path, TEXTS[:2], route="search_query")
    np.testing.assert_array_equal(
        stored(space, TEXTS[:2], "search_query"), truth(TEXTS[:2], "msearch_query")
    )
    assert progress.n_tokens == 6


def test_identity_changes_with_the_endpoint_the_body_and_who_answers(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    plain = model_of(endpoint, tmp_path)
    assert (
        plain.fingerprint()
        == model_of(endpoint, tmp_path, requests_per_minute=5, concurrency=2).fingerprint()
    )
    short = model_of(endpoint, tmp_path, body={"dimensions": 4})
    assert dict(short.endpoint)["dim"] == "4"
    assert short.revision != plain.revision
    assert plain.spec.api is not None
    memory(plain.spec.api).unlink()
    endpoint.change = lambda record: record.update(model="new weights")
    assert model_of(endpoint, tmp_path).revision != plain.revision
    assert endpoint.url not in json.dumps(plain.fingerprint())


def test_the_key_of_a_known_endpoint_is_not_sent_to_another(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model = resolve("api:openai/text-embedding-3-small", ModelOptions(api_base=endpoint.url))
    assert model.variant == "loader_api"
    assert KEY not in json.dumps(endpoint.headers)
    monkeypatch.setenv("KEMB_API_KEY", "mine")
    resolve("api:other", ModelOptions(api_base=endpoint.url))
    assert endpoint.headers[-1]["Authorization"] == "Bearer mine"


def test_a_known_open_model_keeps_its_name_and_prompts_behind_a_server(endpoint: Endpoint) -> None:
    model = resolve("api:nlpai-lab/KoE5", ModelOptions(api_base=endpoint.url))
    assert (model.name, model.variant, endpoint.seen[0]["model"]) == (
        "nlpai-lab/KoE5",
        "loader_api",
        "nlpai-lab/KoE5",
    )
    assert any("query: " in layer.prompts.values() for layer in model.prompts.layers)
    assert (
        resolve("api:bge-m3:latest", ModelOptions(api_base=endpoint.url)).name
        == "api/bge-m3:latest"
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("api:nobody/knows", ModelOptions(), "No endpoint is known"),
        ("api:openai/text-embedding-3-small", ModelOptions(), "export OPENAI_API_KEY"),
        ("openai/text-embedding-3-small", ModelOptions(dtype="float16"), "--dtype cannot be used"),
        ("api:m", ModelOptions(api_base="localhost:8000"), "must begin with http"),
        ("api:m", ModelOptions(api_base="https://me:pass@host/v1"), "must hold no user, key"),
        ("api:../m", ModelOptions(api_base="http://localhost/v1"), "cannot be the name"),
    ],
)
@pytest.mark.usefixtures("endpoint")
def test_wrong_usage_is_refused_before_anything_is_sent(
    name: str, options: ModelOptions, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve(name, options)
    assert "pass@" not in str(caught.value)


def test_a_run_records_what_it_cost_and_nowhere_the_key(endpoint: Endpoint, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    rows = [f"{TEXTS[i]},{TEXTS[i + 1]},{i % 6}" for i in range(20)]
    data.write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    model = model_of(
        endpoint,
        tmp_path,
        price_per_million_tokens=2.0,
        price_date="2026-07-03",
        price_source="their page",
    )
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    (outcome,) = evaluate([load_task(data)], [model], options)
    assert outcome.result is not None, outcome.message
    record = outcome.result.record.api
    assert record.n_tokens == 63  # 21 texts
    assert record.usd == pytest.approx(63 * 2 / 1e6)
    assert (record.price_date, record.price_source) == ("2026-07-03", "their page")
    assert record.korean.as_json() == {"n_chars": sum(map(len, TEXTS[:21])), "n_tokens": 63}
    meta = json.loads((outcome.result.path.parent / "model_meta.json").read_text(encoding="utf-8"))
    assert meta["embed_dim"] == 6
    again = replace(options, results_dir=tmp_path / "again")
    (stored,) = evaluate([load_task(data)], [model], again)
    assert stored.result is not None
    assert (stored.result.record.api.usd, stored.result.record.api.korean) == (0, None)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_a_result_is_verified_through_its_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    rows = [f"{TEXTS[i]},{TEXTS[i + 1]},{i % 6}" for i in range(20)]
    data.write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    task = load_task(data)
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    (outcome,) = evaluate([task], [model_of(endpoint, tmp_path)], options)
    assert outcome.result is not None, outcome.message
    found = verify_result(outcome.result, task, VerifyOptions(model=f"api:{tmp_path / 'own.toml'}"))
    assert not found.differs
    assert max(endpoint.paid[text] for text in TEXTS[:21]) == 2  # nothing of the store was reused


class Clock(threading.Event):
    """Time that passes while one waits, and only then."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


def test_pace_keeps_requests_and_tokens_within_their_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(api, "time", clock)
    for limits, tokens in (((6000, None), 0), ((None, 600_000), 100)):
        pace = Pace(*limits)  # 100 requests per second either way
        started = clock.now
        for _ in range(150):
            assert pace.wait(tokens, clock)
        assert clock.now - started == pytest.approx(1.49)
    stopped = threading.Event()
    stopped.set()
    assert not Pace(1, None).wait(1, stopped)


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        ApiSpec(requests_per_minute=0)
