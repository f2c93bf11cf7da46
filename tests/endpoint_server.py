"""An embedding endpoint on the loopback that can throttle, drop, reorder and lie."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIM = 6


def vector_of(model: str, text: str, dim: int = DIM) -> np.ndarray:
    """The true vector of a text, float32 [dim]; what a test compares with."""
    seed = int.from_bytes(
        hashlib.sha256(f"{model}\0{text}".encode("utf-8", "surrogatepass")).digest()[:8], "little"
    )
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


class Endpoint:
    """What the server was asked, and how it is to behave."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[dict[str, Any]] = []
        """Bodies of all requests."""
        self.headers: list[dict[str, str]] = []
        self.paid: Counter[str] = Counter()
        """How often each text was embedded with status 200."""
        self.misbehave: Callable[
            [int, dict[str, Any]], tuple[int, dict[str, str], bytes] | str | None
        ] = lambda number, body: None
        """Called with the request's number and body: an answer of its own, 'drop', 'slow', or None
        to behave.
        """
        self.change: Callable[[dict[str, Any]], None] = lambda record: None
        """Changes a good answer."""
        self.url = ""

    def answer(self, body: dict[str, Any], path: str) -> bytes:
        texts = body.get("input", body.get("texts"))
        dim = body.get("dimensions", DIM)
        vectors = [
            vector_of(body["model"] + body.get("input_type", ""), text, dim) for text in texts
        ]
        if path.endswith("/v2/embed"):
            units = {"billed_units": {"input_tokens": 3 * len(texts)}}
            return json.dumps(
                {"embeddings": {"float": [v.tolist() for v in vectors]}, "meta": units}
            ).encode()
        coded = body.get("encoding_format") == "base64"
        shown = [base64.b64encode(v.tobytes()).decode() if coded else v.tolist() for v in vectors]
        data = [{"index": i, "embedding": row} for i, row in enumerate(shown)]
        record = {
            "data": data,
            "model": f"{body['model']}-served",
            "usage": {"total_tokens": 3 * len(texts)},
        }
        self.change(record)
        return json.dumps(record).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def do_POST(self) -> None:
        own = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with own.lock:
            own.seen.append(body)
            own.headers.append(dict(self.headers))
            wish = own.misbehave(len(own.seen) - 1, body)
        if wish == "drop":
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if wish == "slow":
            time.sleep(3.0)
        status, headers, content = (
            wish if isinstance(wish, tuple) else (200, {}, own.answer(body, self.path))
        )
        if status == 200 and not isinstance(wish, tuple):
            with own.lock:
                own.paid.update(body.get("input", body.get("texts")))
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client did not wait
            self.close_connection = True

    def log_message(self, *args: object) -> None: ...


@contextmanager
def serving(endpoint: Endpoint | None = None) -> Iterator[Endpoint]:
    """A server in threads of its own, on a free port."""
    own = endpoint or Endpoint()
    handler = type("Handler", (_Handler,), {"endpoint": own})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    own.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
