"""Endpoints that drip, never end, or say what cannot be true; and keys where none may stand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from endpoint_server import DIM, Endpoint, serving
from kemb.encoding.store import Store
from kemb.errors import ModelError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models import secrets
from kemb.models.encoders import api, endpoint, exchange
from kemb.models.encoders.api_checks import check_endpoint
from kemb.models.encoders.endpoint import memory
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve
from kemb.models.spec import ApiSpec

KEY = "sk-very-secret-1234"
URL = "http://127.0.0.1:8000/v1"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(api, "_FIRST_PAUSE", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEST_API_KEY", KEY)
    for name in ("KEMB_API_BASE", "KEMB_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving() as of_test:
        yield of_test


def model_of(url: str, tmp_path: Path, **settings: object) -> Model:
    fields = {"base_url": url, "key_env": "TEST_API_KEY", "model": "m"} | settings
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    path = tmp_path / "m.toml"
    path.write_text("\n".join(['name = "me/m"', 'loader = "api"', "prompts = {}", "[api]", *lines]))
    return resolve(f"api:{path}")


def serve_bytes(pieces: Callable[[], Iterator[bytes]]) -> str:
    """The address of a server that sends these bytes to everyone, as they come."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with closing(connection):
            connection.recv(65536)
            try:
                for piece in pieces():
                    connection.sendall(piece)
            except OSError:  # the client has left
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def dripping_body() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    for _ in range(600):
        yield b" "
        time.sleep(0.1)


def dripping_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(600):
        yield b"X-A: b\r\n"
        time.sleep(0.1)


def endless_body() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"100000\r\n" + b" " * 0x100000 + b"\r\n"


@pytest.mark.parametrize("pieces", [dripping_body, dripping_headers])
def test_an_answer_that_drips_ends_by_the_time_of_the_whole(
    tmp_path: Path, pieces: Callable[[], Iterator[bytes]]
) -> None:
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer within 0\.5 s"):
        model_of(serve_bytes(pieces), tmp_path, timeout_seconds=0.5, attempts=2)
    assert time.monotonic() - started < 30


def test_an_answer_that_never_ends_is_refused_at_a_size(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"answered with more than \d+ bytes"):
        model_of(serve_bytes(endless_body), tmp_path)
    assert exchange.most_bytes(1, None) < 8 * 2**20
    assert exchange.most_bytes(96, 4096) > 96 * 4096 * 25  # a number of 25 digits each


def test_the_fault_of_a_text_is_not_asked_for_again(server: Endpoint, tmp_path: Path) -> None:
    sentence = "input is too large to process. increase the physical batch size"
    refusal = json.dumps({"error": {"code": 500, "message": sentence}}).encode()
    model = model_of(server.url, tmp_path, concurrency=1)
    server.seen.clear()
    server.misbehave = lambda number, body: (
        (500, {}, refusal) if max(map(len, body["input"])) > 50 else None
    )
    with api.Client(model.spec, KEY, dim=DIM) as client:
        answer = client.ask("", ["가" * 100, "짧은 글"])
    assert [len(body["input"]) for body in server.seen] == [2, 1, 1, 1, 1, 1]  # 100, 75, 56, 42
    assert (client.calls.n_cut, client.calls.n_retries) == (1, 0)
    assert answer.vectors.shape == (2, DIM)
    server.misbehave = lambda number, body: (500, {}, refusal)
    with (
        pytest.raises(ModelError, match=f"refused with 500.*{sentence}.* begins with '가'"),
        api.Client(model.spec, KEY, dim=DIM) as client,
    ):
        client.ask("", ["가"])


def test_a_server_that_stays_broken_is_quoted(server: Endpoint, tmp_path: Path) -> None:
    server.misbehave = lambda number, body: (500, {}, b'{"error": "CUDA device lost"}')
    with pytest.raises(ModelError, match=r"asked 2 times.*answered 500.*CUDA device lost"):
        model_of(server.url, tmp_path, attempts=2)


def test_the_index_that_is_left_out_is_the_first(server: Endpoint, tmp_path: Path) -> None:
    spec = ApiSpec(base_url=URL, model="m")
    rows = [{"index": 1, "embedding": [2.0]}, {"embedding": [1.0]}, {"index": 2, "embedding": [3]}]
    answer = endpoint.read(spec, json.dumps({"data": rows}).encode(), ["a", "b", "c"], None)
    np.testing.assert_array_equal(answer.vectors, [[1], [2], [3]])
    del rows[0]["index"]
    with pytest.raises(ModelError, match="every index from 0 to 2 once"):
        endpoint.read(spec, json.dumps({"data": rows}).encode(), ["a", "b", "c"], None)


def test_an_answer_of_zeros_is_refused(server: Endpoint, tmp_path: Path) -> None:
    server.change = lambda record: [entry.update(embedding=[0.0] * DIM) for entry in record["data"]]
    with pytest.raises(ModelError, match="returned only zeros"):
        model_of(server.url, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        '{"dim": -5, "served": {"m": 7}}',
        '{"dim": true, "served": {}}',
        "[",
        "null",
        '{"dim": 6, "served": {}}',
    ],
)
def test_a_damaged_memory_is_asked_for_anew(server: Endpoint, tmp_path: Path, content: str) -> None:
    model = model_of(server.url, tmp_path)
    path = memory(model.spec.api)  # type: ignore[arg-type]
    intact = path.read_text(encoding="utf-8")
    path.write_text(content, encoding="utf-8")
    assert model_of(server.url, tmp_path).revision == model.revision
    assert path.read_text(encoding="utf-8") == intact
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "base",
    [
        "http://[::1",
        "http://127.0.0.1:80/good\n",
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1:port/v1",
        "http:///v1",
        "http://:80/v1",
        "http://a b/v1",
        "http://127.0.0.1\\v1",
        "file:///etc/passwd",
        "http://a..b/v1",
        "http://xn--/v1",
        "",
    ],
)
def test_an_address_that_is_none_is_one_sentence(base: str) -> None:
    with pytest.raises((UsageError, ModelError)) as caught:
        resolve("api:me/x", ModelOptions(api_base=base or None))
    assert "\n" not in str(caught.value)
    assert "address" in str(caught.value) or "--api-base" in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"body": {"api_key": "whatever"}},
        {"body": {"user": KEY}},
        {"body": {"options": [{"Authorization": "Basic eA=="}]}},
        {"body": {"extra": "hf_" + "a" * 30}},
        {"base_url": f"http://127.0.0.1/{KEY}/v1"},
        {"base_url": "http://127.0.0.1/hf_" + "a" * 30},
        {"base_url": f"http://{KEY}@127.0.0.1/v1"},
        {"base_url": f"http://127.0.0.1/v1?key={KEY}"},
        {"key_env": "PATH"},
        {"key_env": "HOME"},
        {"key_env": KEY},
        {"key_env": "MY KEY"},
        {"key_env": "$TEST_API_KEY"},
    ],
)
def test_a_key_may_stand_in_the_environment_alone(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="key") as caught:
        check_endpoint(ApiSpec.model_validate({"base_url": URL, "model": "m"} | settings))
    assert KEY not in str(caught.value)
    assert "a" * 30 not in str(caught.value)


def test_what_is_no_key_may_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_KEY", "m")  # shorter than any key
    body = {"dimensions": 256, "truncate_prompt_tokens": 512, "user": "me", "task": "m"}
    for name in ("", "OPENAI_API_KEY", "KEMB_API_KEY", "my_token", "TOKEN_2", "GATEWAY_SECRET"):
        check_endpoint(ApiSpec(base_url=f"{URL}/accounts/{'0a' * 16}/ai", body=body, key_env=name))


def test_an_unknown_setting_that_may_be_a_key_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="api_key") as caught:
        model_of(URL, tmp_path, api_key="whatever-it-is")
    assert "whatever-it-is" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kemb run --api-base http://me:pass@host/v1", "kemb run --api-base http://[key]@host/v1"),
        ("http://host/v1?api_key=abc&x=1", "http://host/v1?api_key=[key]&x=1"),
        ("HF_TOKEN=abc kemb run", "HF_TOKEN=[key] kemb run"),
        ("--max-tokens=512 --max-tokens 512", "--max-tokens=512 --max-tokens 512"),
        (f"x {KEY} y", "x [key] y"),
        ("hf_" + "a" * 30, "[key]"),
        ('{"api_key": "abc", "key_env": "MY_KEY"}', '{"api_key": "[key]", "key_env": "MY_KEY"}'),
        ("Authorization: Bearer abc", "Authorization: Bearer [key]"),
        ("kemb run KorSTS -m api:openai/x", "kemb run KorSTS -m api:openai/x"),
    ],
)
def test_texts_are_written_without_keys(text: str, expected: str) -> None:
    assert secrets.redacted(text) == expected


def test_no_key_is_written_though_the_server_repeats_it(server: Endpoint, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    rows = [f"문장 {i},글 {i},{i % 6}" for i in range(20)]
    data.write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    server.change = lambda record: record.update(model=f"m for {KEY}")
    model = model_of(server.url, tmp_path)
    command = f"kemb run --api-base http://u:{KEY}@h/v1 -m api:x?token=abcdef"
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"), command=command)
    (outcome,) = evaluate([load_task(data)], [model], options)
    assert outcome.result is not None, outcome.message
    record = outcome.result.record
    assert record.command == "kemb run --api-base http://[key]@h/v1 -m api:x?token=[key]"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"results", "store", "cache"} <= {
        path.relative_to(tmp_path).parts[0] for path in written
    }
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("header", ["Location", "X-Note"])
def test_a_key_in_a_refusal_is_not_shown_and_no_redirect_is_followed(
    server: Endpoint, tmp_path: Path, header: str
) -> None:
    with serving() as other:
        headers = {header: f"{other.url}/embeddings?k={KEY}"}
        server.misbehave = lambda number, body: (307, headers, f"for {KEY}".encode())
        with pytest.raises(ModelError, match="refused with 307") as caught:
            model_of(server.url, tmp_path)
        assert not other.seen
    assert KEY not in str(caught.value)
