"""How much of an endpoint's declared limit is used: a loopback server that counts requests and
tokens.

    python benchmarks/api.py

The server answers after 50 ms and refuses (429) whatever goes over its limit within any ten
seconds. Prints requests or tokens per minute that were served, as a share of the limit; expected at
least 0.9; what is refused is tried again.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kemb.models.encoders.api import ApiEncoder, Client
from kemb.models.spec import ApiSpec, ModelSpec
from kemb.types import Input

LATENCY, WINDOW, DIM = 0.05, 10.0, 64
BATCH = 8


class Meter:
    """What the server allowed and refused."""

    def __init__(self, per_minute: float, of: str) -> None:
        self.allowed, self.of = per_minute * WINDOW / 60, of
        self.recent: deque[tuple[float, int]] = deque()
        self.lock, self.n_refused = threading.Lock(), 0

    def admit(self, tokens: int) -> bool:
        """Whether a request fits into the window that ends now."""
        cost = tokens if self.of == "tokens" else 1
        with self.lock:
            now = time.monotonic()
            while self.recent and self.recent[0][0] < now - WINDOW:
                self.recent.popleft()
            if sum(n for _, n in self.recent) + cost > self.allowed:
                self.n_refused += 1
                return False
            self.recent.append((now, cost))
            return True


class Handler(BaseHTTPRequestHandler):
    """OpenAI's dialect."""

    protocol_version = "HTTP/1.1"
    meter: Meter

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        tokens = sum(len(text) for text in texts)
        time.sleep(LATENCY)
        fits = self.meter.admit(tokens)
        data = [{"index": i, "embedding": [0.1] * DIM} for i in range(len(texts))]
        content = json.dumps(
            {"data": data, "model": "m", "usage": {"total_tokens": tokens}}
        ).encode()
        self.send_response(200 if fits else 429)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None: ...


def share(of: str, per_minute: float, seconds: float) -> tuple[float, int]:
    """Share of the limit that is used over `seconds` of work, and the number of refusals."""
    meter = Meter(per_minute, of)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"meter": meter}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    limits = (
        {"requests_per_minute": per_minute}
        if of == "requests"
        else {"tokens_per_minute": per_minute}
    )
    address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    api = ApiSpec(base_url=address, model="m", max_batch_texts=BATCH, concurrency=16, **limits)
    encoder = ApiEncoder(Client(ModelSpec(name="me/m", loader="api", api=api), "", {"m": "m"}, DIM))
    text = "가" * 40
    per_batch = 1 if of == "requests" else BATCH * len(text)
    n = int(per_minute / 60 * seconds / per_batch)
    started = time.monotonic()
    n_done = sum(1 for _ in encoder.stream([Input("", "", text)] * BATCH for _ in range(n)))
    took = time.monotonic() - started
    server.shutdown()
    server.server_close()
    return n_done * per_batch / took * 60 / per_minute, meter.n_refused


def main() -> None:
    for of, per_minute in (
        ("requests", 600),
        ("requests", 6000),
        ("tokens", 300_000),
        ("tokens", 1_000_000),
    ):
        used, refused = share(of, per_minute, 20)
        print(f"{per_minute:>9,} {of} per minute: {used:.3f} of the limit used, {refused} refusals")


if __name__ == "__main__":
    main()
