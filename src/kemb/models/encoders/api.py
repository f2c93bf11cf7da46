"""Calling an endpoint: many requests at once within its limits, tried again where that helps,
counted.
"""

from __future__ import annotations

import email.utils
import importlib.util
import random
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from kemb.arrays import FloatArray, IntArray
from kemb.errors import MissingExtra, ModelError
from kemb.hub import TooLate
from kemb.models import secrets
from kemb.models.encoders import Done, endpoint, exchange
from kemb.models.encoders.endpoint import Answer, memory
from kemb.models.encoders.exchange import Reply
from kemb.models.spec import ModelSpec
from kemb.types import Input

if TYPE_CHECKING:
    import httpx

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_BUSY = {429, 503, 529}
_TOO_MUCH = re.compile(
    r"token|too (long|large|many)|length|maximum|context|batch|exceed", re.IGNORECASE
)
_TOO_LARGE = re.compile(
    r"(input|prompt|text|token|request|batch|sequence|context).{0,40}"
    r"(too (long|large|big|many)|exceed|larger than|longer than|greater than)"
    r"|exceed.{0,40}(context|batch|length|limit|token)|physical batch size",
    re.IGNORECASE | re.DOTALL,
)
"""What a server says of a text with the status of its own faults."""
_NO_MONEY = re.compile(r"insufficient_quota|billing|payment", re.IGNORECASE)
_UNHEARD = 4
"""Attempts at an address that never answered in this command."""
_FIRST_PAUSE, _LONGEST_PAUSE, _PATIENCE = 0.5, 60.0, 600.0
_MOST_CUTS = 24


@dataclass(slots=True)
class Calls:
    """What an endpoint was asked; counts of this command."""

    n_requests: int = 0
    n_retries: int = 0
    n_tokens: int = 0
    n_tokens_guessed: int = 0
    """Of `n_tokens`, those of answers without a count of their own."""
    n_cut: int = 0
    """Texts that the endpoint refused as too long and that were cut."""


class Stopped(Exception):
    """Another request failed for good; this one was not sent."""


class Client:
    """One endpoint, for any number of threads; connected inside a `with`."""

    def __init__(
        self,
        spec: ModelSpec,
        key: str,
        served: Mapping[str, str] | None = None,
        dim: int | None = None,
    ) -> None:
        if importlib.util.find_spec("httpx") is None:
            raise MissingExtra("A model behind an API", "api")
        assert spec.api is not None
        self.api, self.dim, self.calls = spec.api, dim, Calls()
        self.stop = threading.Event()
        self._key, self._served = key, served
        self._pace = Pace(spec.api.requests_per_minute, spec.api.tokens_per_minute)
        self._lock = threading.Lock()
        self._fits = spec.api.max_batch_texts
        self._http: httpx.Client | None = None

    def __enter__(self) -> Client:
        import httpx

        n, seconds = self.api.concurrency, self.api.timeout_seconds
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self._key}"} if self._key else {}
        )
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(seconds, connect=min(10.0, seconds)),
            # As many as there are threads, and those that were left behind.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=n),
        )
        return self

    def __exit__(self, *error: object) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def ask(self, route: str, texts: Sequence[str]) -> Answer:
        """Vectors of texts with one route; in several requests, or cut, where the endpoint says it
        is too much.

        :raises ModelError: the endpoint refuses, or does not answer sensibly after all attempts.
        :raises Stopped: `stop` was set.
        """
        if len(texts) > self._fits:
            return self._in_halves(route, texts)
        response = self._send(route, texts)
        if len(texts) > 1 and self._too_much(response):
            self._fits = min(self._fits, (len(texts) + 1) // 2)
            return self._in_halves(route, texts)
        for cuts in range(_MOST_CUTS):
            if not self._too_much(response) or len(texts[0]) < 2:
                break
            texts = [texts[0][: len(texts[0]) * 3 // 4]]
            self._count(n_cut=int(cuts == 0))
            response = self._send(route, texts)
        if response.status != 200:
            raise ModelError(self._refusal(response, texts))
        return self._believed(route, texts, response.content)

    def _in_halves(self, route: str, texts: Sequence[str]) -> Answer:
        middle = (len(texts) + 1) // 2
        one, other = self.ask(route, texts[:middle]), self.ask(route, texts[middle:])
        tokens = None if one.tokens is None or other.tokens is None else one.tokens + other.tokens
        return Answer(np.concatenate([one.vectors, other.vectors]), tokens, one.served)

    def _send(self, route: str, texts: Sequence[str]) -> Reply:
        """The answer to one request, whatever its status, once the endpoint is ready to
        give one.
        """
        content, guess = endpoint.body(self.api, route, texts), guessed_tokens(texts)
        for attempt in range(1, self.api.attempts + 1):
            if not self._pace.wait(guess, self.stop):
                raise Stopped
            self._count(n_requests=1, n_retries=int(attempt > 1))
            response, reason = self._post(content, len(texts))
            if response is not None and not worth_another(response):
                return response
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(
                0.75, 1.25
            )
            if response is not None:
                seconds = retry_after(response)
                if seconds is not None:
                    pause = seconds
                if pause > _PATIENCE:
                    reason += f" and asks to wait {pause:.0f} s"
                    break
                if response.status in _BUSY:
                    self._pace.hold(pause)
            if attempt >= self._n_attempts(response):
                break
            if self.stop.wait(pause):
                raise Stopped
        asked_for = f"was asked {attempt} times and gave no vectors: {self._safe(reason)}"
        raise ModelError(
            f"The endpoint {endpoint.url(self.api)} {asked_for}. "
            "What was finished is stored; type the same command again later, "
            f"{self._advice(response)}."
        )

    def _is_unheard(self, response: Reply | None) -> bool:
        return response is None and not self.calls.n_tokens

    def _advice(self, response: Reply | None) -> str:
        if self._is_unheard(response):
            return "once its address (--api-base) is right and its server runs"
        return (
            "or lower requests_per_minute, tokens_per_minute or concurrency in the model's "
            "[api] table"
        )

    def _n_attempts(self, response: Reply | None) -> int:
        """Fewer at an address that has not answered yet."""
        return min(self.api.attempts, _UNHEARD) if self._is_unheard(response) else self.api.attempts

    def _post(self, content: bytes, n_texts: int) -> tuple[Reply | None, str]:
        """An answer, and what is wrong with it or with the way there."""
        import httpx

        assert self._http is not None
        most = exchange.most_bytes(n_texts, self.dim)
        seconds = self.api.timeout_seconds
        try:
            response = exchange.post(
                self._http, endpoint.url(self.api), content, seconds, most, self._key
            )
        except (httpx.TimeoutException, TooLate):
            return None, f"it did not answer within {seconds:g} s"
        except httpx.HTTPError as error:
            return None, f"the connection failed ({str(error) or type(error).__name__})"
        sentence = beginning(response)
        return response, f"it answered {response.status} {response.phrase}: {sentence!r}"

    def _believed(self, route: str, texts: Sequence[str], content: bytes) -> Answer:
        answer = endpoint.read(self.api, content, texts, self.dim)
        guess = guessed_tokens(texts)
        n_tokens = guess if answer.tokens is None else answer.tokens
        self._pace.correct(guess, n_tokens)
        self._count(n_tokens=n_tokens, n_tokens_guessed=n_tokens if answer.tokens is None else 0)
        expected = (
            None if self._served is None else self._served.get(endpoint.sent_model(self.api, route))
        )
        if expected is not None and answer.served != expected:
            raise ModelError(
                f"The endpoint {endpoint.url(self.api)} answered as model {answer.served[:80]!r}, "
                f"where it was {expected[:80]!r} before: another model stands behind the name. "
                "Nothing of this answer was stored. "
                f"If that is meant, delete {memory(self.api)} and run again; the new model gets a "
                "row of its own."
            )
        return answer

    def _too_much(self, response: Reply) -> bool:
        if response.status == 413:
            return True
        return (
            response.status in (400, 422) and _TOO_MUCH.search(response.text[:2000]) is not None
        ) or _too_large_for_server(response)

    def _refusal(self, response: Reply, texts: Sequence[str]) -> str:
        status, reason = response.status, beginning(response)
        hints = {
            401: "The key is wrong or missing; look at the environment variable "
            f"{self.api.key_env or 'KEMB_API_KEY'}.",
            403: f"The key in {self.api.key_env or 'KEMB_API_KEY'} may not use this model.",
            404: "Check the address (it often ends in /v1) and the model's name.",
            429: "The account has no quota left.",
        }
        hint = hints.get(status, "Check the model's name and its [api] table.")
        where = (
            f" to {response.headers['location'][:100]}" if "location" in response.headers else ""
        )
        answer = self._safe(f"{status} {response.phrase}{where}: {reason!r}")
        if self._too_much(response):
            answer += f", for a text that begins with {texts[0][:40]!r}"
        return f"The endpoint {endpoint.url(self.api)} refused with {answer}. {hint}"

    def _safe(self, text: str) -> str:
        """Without the key, should the endpoint repeat it."""
        return secrets.redacted(text, self._key)

    def _count(self, **counts: int) -> None:
        with self._lock:
            for name, n in counts.items():
                setattr(self.calls, name, getattr(self.calls, name) + n)


class ApiEncoder:
    """An endpoint as an encoder that works on many batches at once."""

    def __init__(self, client: Client) -> None:
        assert client.dim is not None
        self.client, self.dim = client, client.dim

    @property
    def limits(self) -> tuple[int, int]:
        """Most texts and most tokens of a batch."""
        return self.client.api.max_batch_texts, self.client.api.max_batch_tokens

    @property
    def calls(self) -> dict[str, int]:
        """Requests, retries, tokens, cut texts so far."""
        counters = self.client.calls
        return {name: getattr(counters, name) for name in Calls.__slots__}

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Guessed numbers of tokens, [n]: the endpoint's own count comes with its answer."""
        return np.array(
            [guessed_tokens([item.prompt + item.text]) for item in inputs], dtype=np.int64
        )

    def encode(self, inputs: Sequence[Input]) -> FloatArray:
        """Vectors of one batch, float32 [n, dim]."""
        self.client.stop.clear()
        with self.client:
            return self._batch(inputs).vectors

    def stream(self, batches: Iterable[Sequence[Input]]) -> Iterator[Done]:
        """Answers as they come, in any order.

        After a failure nothing new is sent, but what is under way is waited for and handed out: it
        is paid for.

        :raises ModelError: the first failure, at the end.
        """
        waiting: dict[Future[Answer], int] = {}
        failure: BaseException | None = None
        todo = enumerate(batches)
        self.client.stop.clear()
        with self.client, ThreadPoolExecutor(max_workers=self.client.api.concurrency) as pool:
            try:
                while True:
                    if failure is None:
                        for number, batch in islice(
                            todo, 2 * self.client.api.concurrency - len(waiting)
                        ):
                            waiting[pool.submit(self._batch, batch)] = number
                    if not waiting:
                        break
                    try:
                        futures, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    except KeyboardInterrupt as interrupt:
                        failure, futures = interrupt, set()
                    finished = [(waiting.pop(future), future) for future in futures]
                    failure = failure or next(
                        (e for _, f in finished if _is_fatal(e := f.exception())), None
                    )
                    if failure is not None:
                        self.client.stop.set()
                    for number, future in finished:
                        if future.exception() is None:
                            answer = future.result()
                            yield Done(number, answer.vectors, answer.tokens or 0)
            finally:
                self.client.stop.set()
        if failure is not None:
            raise failure

    def _batch(self, inputs: Sequence[Input]) -> Answer:
        """Texts without content have the zero vector, as in mteb: endpoints refuse them."""
        if self.client.stop.is_set():
            raise Stopped
        texts = [item.prompt + item.text for item in inputs]
        full = [row for row, text in enumerate(texts) if text.strip()]
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if not full:
            return Answer(vectors, 0, "")
        answer = self.client.ask(inputs[0].route, [texts[row] for row in full])
        vectors[full] = answer.vectors
        tokens = guessed_tokens(texts) if answer.tokens is None else answer.tokens
        return Answer(vectors, tokens, answer.served)


def guessed_tokens(texts: Sequence[str]) -> int:
    """A third of the UTF-8 bytes: a token per Hangul syllable, more than English has."""
    return sum(1 + len(text.encode("utf-8", "surrogatepass")) // 3 for text in texts)


def _is_fatal(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, Stopped)


def worth_another(response: Reply) -> bool:
    """Whether an endpoint may answer when it is asked again."""
    if response.status == 429 and _NO_MONEY.search(response.text[:2000]):
        return False
    return response.status in _AGAIN and not _too_large_for_server(response)


def _too_large_for_server(response: Reply) -> bool:
    """Whether a server calls its own what is a text's fault, as llama.cpp and what is built on it
    do; to ask again would not help.
    """
    return response.status == 500 and _TOO_LARGE.search(response.text[:2000]) is not None


def beginning(response: Reply) -> str:
    """What the server says, in one line."""
    return " ".join(secrets.redacted(response.text[:2000]).split())[:200]


def retry_after(response: Reply) -> float | None:
    """Seconds the endpoint asks to wait, given as a number or as a date."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


_BURST_SECONDS = 1.0
"""Time without requests that may be made up for; more would break limits counted over short
windows.
"""


class Pace:
    """Requests and tokens per minute, kept by all threads together (the generic cell rate
    algorithm).
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._requests = self._tokens = self._hold = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, tokens: int, stop: threading.Event) -> bool:
        """Sleep until a request of so many tokens may start; False when `stop` was set
        meanwhile.
        """
        with self._lock:
            now = time.monotonic()
            start = max(now, self._requests, self._tokens, self._hold)
            self._requests = (
                max(self._requests, now - self._burst(self._per_request)) + self._per_request
            )
            self._tokens = max(self._tokens, now - _BURST_SECONDS) + tokens * self._per_token
        while (left := max(start, self._hold) - time.monotonic()) > 0:
            if stop.wait(left):
                return False
        return not stop.is_set()

    def correct(self, guessed: int, n_tokens: int) -> None:
        """Give back, or take, the difference between the tokens guessed and those that were
        counted.
        """
        with self._lock:
            self._tokens += (n_tokens - guessed) * self._per_token

    def hold(self, seconds: float) -> None:
        """No request of any thread for so long: the endpoint asked for it."""
        with self._lock:
            self._hold = max(self._hold, time.monotonic() + seconds)

    @staticmethod
    def _burst(step: float) -> float:
        return min(_BURST_SECONDS, 8 * step)
