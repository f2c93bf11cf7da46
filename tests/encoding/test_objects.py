"""A store on object storage: what a folder does, without what such a store has not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from test_joining import PRINT, ROWS, collection, encode, same

from kemb.encoding import objects, records
from kemb.encoding.cache import KEYS, Cache, Damaged
from kemb.encoding.clean import compact, forget, freeable
from kemb.encoding.objects import Prefix
from kemb.encoding.store import Space, Store, input_keys
from kemb.errors import DiskError, StoreError, UsageError
from kemb.files import disk, owners

KEY, SECRET = "kemb", "a-secret-of-the-test"
KEYS_OF_30 = input_keys("", "", [str(i) for i in range(30)])


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and short pauses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "FIRST_PAUSE", 0.01)


@pytest.fixture
def address() -> Iterator[str]:
    yield "memory://store/kemb"
    fsspec.filesystem("memory").store.clear()


class Faults:
    """What a server does to the next requests; each takes one from its list."""

    def __init__(self) -> None:
        self.next: list[str] = []
        self.requests: list[str] = []


class Proxy(BaseHTTPRequestHandler):
    """Hands requests on to `upstream`, unless `faults` has something else for them."""

    protocol_version = "HTTP/1.1"
    upstream: tuple[str, int]
    faults: Faults

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.faults.requests.append(f"{self.command} {self.path}")
        fault = self.faults.next.pop(0) if self.faults.next else ""
        if fault == "503":
            self.reply(503, b"<Error><Code>SlowDown</Code></Error>", {})
        elif fault == "drop":
            self.hang_up()
        else:
            status, content, headers = self.asked(body)
            if fault == "lost":  # done, and nobody is told
                self.hang_up()
            else:
                self.reply(status, content, headers)

    def asked(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        with closing(HTTPConnection(*self.upstream)) as connection:
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.headers.items())

    def hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        length = headers.pop("Content-Length", None) if self.command == "HEAD" else None
        for name, value in headers.items():
            if name not in ("Connection", "Server", "Date", "Transfer-Encoding", "Content-Length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Faults, Any]]:
    """An S3 server with a bucket `kemb`, a proxy with faults before it, and its file system."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    faults = Faults()
    handler = type("Handler", (Proxy,), {"upstream": moto.get_host_and_port(), "faults": faults})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{proxy.server_port}"
    fs = fsspec.filesystem(
        "s3",
        endpoint_url=endpoint,
        key=KEY,
        secret=SECRET,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    if not fs.exists("kemb"):  # all servers of a process have the same buckets
        fs.mkdir("kemb")
    yield endpoint, faults, fs
    proxy.shutdown()
    proxy.server_close()
    moto.stop()


@pytest.fixture
def s3(server: tuple[str, Faults, Any], monkeypatch: pytest.MonkeyPatch) -> Faults:
    """An empty bucket `kemb` behind faults."""
    endpoint, faults, fs = server
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    faults.next.clear()
    for path in fs.find("kemb"):
        fs.rm_file(path)
    faults.requests.clear()
    return faults


def filled(address: str) -> Space:
    space = Store(address).space(PRINT)
    for start in (0, 10, 20):
        space.add(KEYS_OF_30[start : start + 10], ROWS["dense"](start, start + 10))
    return space


def objects_of(space: Space) -> list[str]:
    fs, path = fsspec.core.url_to_fs(str(space.place))
    return sorted(name.rpartition("/")[2] for name in fs.find(path))


@pytest.mark.parametrize("kind", ROWS)
def test_what_is_added_comes_back_in_another_process_view(address: str, kind: str) -> None:
    space = Store(address).space(PRINT)
    space.add(KEYS_OF_30[:20], ROWS[kind](0, 20))
    space.add(KEYS_OF_30[20:], ROWS[kind](20, 30))
    space.describe({"n_parameters": 7})
    other = Store(address).space(PRINT)
    assert other.stored(KEYS_OF_30).all()
    assert same(other, KEYS_OF_30, ROWS[kind](0, 30))
    assert other.facts() == {"n_parameters": 7}
    assert [each.fingerprint for each in Store(address).spaces()] == [PRINT]
    assert other.size()[0] == 2


def test_a_job_gives_the_same_objects_as_on_a_file_system(address: str, tmp_path: Path) -> None:
    local = encode(tmp_path / "local")
    model_space = Store(address).space(local.fingerprint)
    from kemb.encoding.encode import encode_missing
    from kemb.models.open import open_model
    from kemb.models.resolve import resolve

    from test_joining import BUDGET  # isort: skip

    encode_missing(collection(), model_space, lambda: open_model(resolve("toy")), BUDGET)
    names = [path.name for path in local.paths()]
    assert [name for name in objects_of(model_space) if name.endswith(".arrow")] == names
    fs, path = fsspec.core.url_to_fs(str(model_space.place))
    for name in names:
        assert fs.cat_file(f"{path}/{name}") == (local.folder / name).read_bytes()


def test_groups_are_joined_and_gc_merges_and_forgets(address: str) -> None:
    space = filled(address)
    name = space.join([KEYS_OF_30[:15], KEYS_OF_30[15:]])
    assert objects_of(space) == sorted([name or "", "fingerprint.json"])
    space.add(KEYS_OF_30[:5], ROWS["dense"](0, 5))
    assert freeable(space) > 0
    assert compact(Store(address).space(PRINT)).users == []
    fresh = Store(address).space(PRINT)
    assert fresh.size()[0] == 1
    assert same(fresh, KEYS_OF_30, ROWS["dense"](0, 30))
    forget(fresh)
    assert objects_of(space) == []


@pytest.mark.parametrize("is_local", [True, False])
def test_records_of_plans_are_no_models_and_go_with_theirs(
    address: str, tmp_path: Path, is_local: bool
) -> None:
    root = str(tmp_path / "store") if is_local else address
    space, other = filled(root), Store(root).space({"model": "other"})
    other.add(KEYS_OF_30, ROWS["dense"](0, 30))
    plan = "0123456789abcdef" * 2
    for each in (space, other):
        for ending in (".json", ".device.json", f".89abcdef{records.MIXED}"):
            records.write_absent(each, f"{plan}{ending}", {"device": "A"})
    names = [each.name for each in Store(root).spaces()]
    assert names == sorted([space.name, other.name])
    assert Store(root).space(PRINT).size()[0] == 3
    compact(Store(root).space(PRINT))
    assert len(records.paths(space)) == 3, "a driver that is started again looks for them"
    if is_local:  # what a killed command left there
        gone = f"{owners.mark().partition('-')[0]}-999999999-1"
        (space.folder / records.FOLDER / f".{gone}-0123456789ab{disk.TEMPORARY}").touch()
        disk.remove_leftovers.cache_clear()  # as of another process
    assert forget(Store(root).space(PRINT)).strangers == []
    assert [each.name for each in Store(root).spaces()] == [other.name]
    if is_local:
        assert not space.folder.exists()
    assert records.paths(space) == []
    assert len(records.paths(other)) == 3


def test_keys_of_large_shards_are_read_by_range_and_vectors_when_they_are_wanted(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    filled(address)
    monkeypatch.setattr(objects, "_WHOLE_BYTES", 100)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    reader = Store(address).space(PRINT)
    assert reader.stored(KEYS_OF_30).all()
    folder = tmp_path / "other" / "kemb" / "objects"
    assert {path.suffix for path in folder.iterdir()} == {KEYS}
    assert same(reader, KEYS_OF_30[:10], ROWS["dense"](0, 10))
    assert sum(path.suffix == ".arrow" for path in folder.iterdir()) == 1


def test_a_shard_that_another_process_joined_is_not_asked_for_the_dimension(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an actor does before it writes, while the driver joins what all have written."""
    driver = filled(address)
    monkeypatch.setattr(objects, "_WHOLE_BYTES", 100)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    actor = Store(address).space(PRINT)
    assert actor.stored(KEYS_OF_30).all()
    driver.join([KEYS_OF_30])
    assert actor.dim() is None
    actor.refresh()
    assert actor.dim() == 4


def test_a_damaged_object_is_noticed_when_it_is_read_and_made_again(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    space = filled(address)
    name = next(name for name in objects_of(space) if name.endswith(".arrow"))
    fs, path = fsspec.core.url_to_fs(str(space.place))
    content = bytearray(fs.cat_file(f"{path}/{name}"))
    content[len(content) // 2] ^= 1
    fs.pipe_file(f"{path}/{name}", bytes(content))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    reader = Store(address).space(PRINT)
    assert reader.stored(KEYS_OF_30).sum() == 20
    assert reader.damaged == [name]
    missing = ~reader.stored(KEYS_OF_30)
    rows = ROWS["dense"](0, 30)
    assert isinstance(rows, np.ndarray)
    assert reader.add(KEYS_OF_30[missing], rows[missing]) == name
    assert same(Store(address).space(PRINT), KEYS_OF_30, rows)
    compact(Store(address).space(PRINT))
    assert fs.find(f"{path}/damaged") == []


def test_a_listing_that_is_late_hides_nothing_that_was_written_here(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Store(address).space(PRINT)
    space.stored(KEYS_OF_30)
    monkeypatch.setattr(space.place, "_listed", lambda path: {})
    space.add(KEYS_OF_30, ROWS["dense"](0, 30))
    assert space.stored(KEYS_OF_30).all()
    assert same(space, KEYS_OF_30, ROWS["dense"](0, 30))


def test_a_listing_that_shows_what_is_gone_does_not_bring_it_back(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    space = filled(address)
    late = dict(space.place.sizes())
    name = space.join([KEYS_OF_30])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    reader = Store(address).space(PRINT)
    listed = reader.place._listed  # type: ignore[attr-defined]
    monkeypatch.setattr(reader.place, "_listed", lambda path: listed(path) | late)
    assert same(reader, KEYS_OF_30, ROWS["dense"](0, 30))
    assert [shard.name for shard in reader.shards()] == [name]


def test_the_cache_is_bounded_lets_the_oldest_go_and_keeps_what_is_mapped(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=1000)

    def name(number: int) -> str:
        return f"{number:032x}{KEYS}".replace(KEYS, f".arrow{KEYS}")

    for number in range(3):
        path = cache.fetch(name(number), 300, lambda unfinished: unfinished.write_bytes(b"x" * 300))
        os.utime(path, (time.time() - 100 + number,) * 2)
    cache.pin(tmp_path / name(0))
    other = Cache(tmp_path, most_bytes=1000)  # of another process
    other.fetch(name(3), 300, lambda unfinished: unfinished.write_bytes(b"x" * 300))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [name(0), name(2), name(3)]
    with pytest.raises(Damaged):
        cache.fetch("0" * 32 + ".arrow", 1, lambda unfinished: unfinished.write_bytes(b"x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_more_vectors_than_the_cache_holds_are_read_through_it(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEMB_CACHE_GB", "0.000003")  # two of the shards
    filled(address)
    reader = Store(address).space(PRINT)
    assert same(reader, KEYS_OF_30, ROWS["dense"](0, 30))
    assert same(reader, KEYS_OF_30[::-1], ROWS["dense"](0, 30)[::-1])  # type: ignore[index]
    folder = tmp_path / "cache" / "kemb" / "objects"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4500


def test_a_copy_that_goes_before_it_is_mapped_is_fetched_again_and_its_object_is_not_gone(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another thread or process may need its room just then."""
    filled(address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    pin, gone = Cache.pin, set()

    def late_pin(self: Cache, path: Path) -> list[str]:
        if path not in gone:
            gone.add(path)
            path.unlink()
        return pin(self, path)

    monkeypatch.setattr(Cache, "pin", late_pin)
    assert same(Store(address).space(PRINT), KEYS_OF_30, ROWS["dense"](0, 30))
    assert len(gone) == 3


@pytest.mark.parametrize("size", ["-1", "much", "nan"])
def test_a_size_that_is_none_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("KEMB_CACHE_GB", size)
    with pytest.raises(UsageError, match="KEMB_CACHE_GB"):
        Store(address).space(PRINT)


def test_s3_through_503_and_connections_that_drop(s3: Faults) -> None:
    s3.next += ["503", "", "drop", "503", "", "", "lost", "", "503"] * 2
    filled("s3://kemb/a/store")
    s3.next += ["drop", "503", "503", "", "drop"]
    reader = Store("s3://kemb/a/store").space(PRINT)
    assert same(reader, KEYS_OF_30, ROWS["dense"](0, 30))
    assert reader.join([KEYS_OF_30]) is not None
    fresh = Store("s3://kemb/a/store").space(PRINT)
    assert same(fresh, KEYS_OF_30, ROWS["dense"](0, 30))
    assert fresh.size()[0] == 1
    assert not [request for request in s3.requests if "uploads" in request]


def test_the_answer_of_a_conditional_write_may_be_lost(s3: Faults) -> None:
    space = Store("s3://kemb/store").space(PRINT)
    s3.next += ["", "lost"]
    space.describe({"n_parameters": 7})
    assert Store("s3://kemb/store").space(PRINT).facts() == {"n_parameters": 7}
    Store("s3://kemb/store").space(PRINT).describe({"n_parameters": 8})
    assert Store("s3://kemb/store").space(PRINT).facts() == {"n_parameters": 7}


def test_a_server_that_never_answers_well_ends_in_one_sentence(s3: Faults) -> None:
    space = filled("s3://kemb/store")
    s3.next += ["503"] * 400
    with pytest.raises(DiskError, match=r"s3://kemb/.* cannot be reached .*tried 6 times.* kept"):
        space.add(KEYS_OF_30[:5], ROWS["dense"](0, 5))
    s3.next.clear()
    assert same(Store("s3://kemb/store").space(PRINT), KEYS_OF_30, ROWS["dense"](0, 30))


def test_a_bucket_that_is_not_there_and_a_server_that_is_not(
    s3: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="There is no bucket at s3://nobody/store"):
        Store("s3://nobody/store").space(PRINT).stored(KEYS_OF_30)
    with pytest.raises((StoreError, DiskError), match="There is no bucket at s3://nobody/store"):
        Store("s3://nobody/store").space(PRINT).add(KEYS_OF_30, ROWS["dense"](0, 30))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "N_TRIES", 2)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Store("s3://kemb/store").space(PRINT).stored(KEYS_OF_30)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("Forbidden"), "may not be used with the credentials"),
        (OSError("Unable to locate credentials"), "There are no credentials"),
        (OSError("An error (RequestTimeTooSkewed)"), "clock"),
        (OSError(28, "QuotaExceeded"), "may not be used|full"),
    ],
)
def test_what_cannot_pass_is_not_tried_again(error: Exception, message: str) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(StoreError, match=message):
        objects.patiently(call, "s3://kemb/store")
    assert len(calls) == 1


def test_schemes_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"begins with nothing://.*s3://"):
        Store("nothing://bucket/store")
    with pytest.raises(UsageError, match=r'pip install "kemb\[gs\]"'):
        Store("gs://bucket/store")
    with pytest.raises(UsageError, match="by the environment") as caught:
        Prefix("s3://AKIAKEY:secret@bucket/store")
    assert "secret@" not in str(caught.value)


def test_a_folder_that_is_treated_as_an_object_store(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/nfs"
    space = filled(address)
    assert space.join([KEYS_OF_30]) is not None
    reader = Store(address).space(PRINT)
    assert same(reader, KEYS_OF_30, ROWS["dense"](0, 30))
    assert len(list((tmp_path / "nfs").rglob("*.arrow"))) == 1
    assert not list((tmp_path / "nfs").rglob("*.lease"))
