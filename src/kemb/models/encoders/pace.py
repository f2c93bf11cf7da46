"""Staying within an endpoint's limits: a clock that hands out starting times to threads."""

from __future__ import annotations

import threading
import time

_BURST_SECONDS = 1.0
"""Time without requests that may be made up for; more would break limits counted over short windows."""


class Pace:
    """Requests and tokens per minute, kept by all threads together (the generic cell rate algorithm)."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._requests = self._tokens = self._hold = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, tokens: int, stop: threading.Event) -> bool:
        """Sleep until a request of so many tokens may start; False when `stop` was set meanwhile."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._requests, self._tokens, self._hold)
            self._requests = max(self._requests, now - self._burst(self._per_request)) + self._per_request
            self._tokens = max(self._tokens, now - _BURST_SECONDS) + tokens * self._per_token
        while (left := max(start, self._hold) - time.monotonic()) > 0:
            if stop.wait(left):
                return False
        return not stop.is_set()

    def correct(self, guessed: int, counted: int) -> None:
        """Give back, or take, the difference between the tokens guessed and those that were counted."""
        with self._lock:
            self._tokens += (counted - guessed) * self._per_token

    def hold(self, seconds: float) -> None:
        """No request of any thread for so long: the endpoint asked for it."""
        with self._lock:
            self._hold = max(self._hold, time.monotonic() + seconds)

    @staticmethod
    def _burst(step: float) -> float:
        return min(_BURST_SECONDS, 8 * step)
