"""A chat endpoint that writes questions: any that speaks OpenAI's dialect (vLLM, Ollama, and the
providers' own).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kemb.drafting.calls import Call, Journal, Request, key_of
from kemb.errors import MissingExtra, ModelError, UsageError
from kemb.hub import TooLate
from kemb.messages import Note
from kemb.models import secrets
from kemb.models.encoders import exchange
from kemb.models.encoders.api import beginning, guessed_tokens, retry_after, worth_another
from kemb.models.encoders.api_checks import check_address
from kemb.models.encoders.exchange import Reply

if TYPE_CHECKING:
    import httpx

KEY_ENV = "KEMB_LLM_KEY"
"""The environment variable that holds the key, which is sent as a bearer token and written nowhere.
"""
_PATH = "chat/completions"
_MOST_BYTES = 4 * 2**20
_FIRST_PAUSE, _LONGEST_PAUSE, _PATIENCE = 0.5, 30.0, 600.0
_ABOUT_THE_TEXT = {400, 413, 422}
"""What an endpoint answers when it will not work on one text."""
TOKENS_PER_QUESTION = 80
"""A guess, of a question with its answer."""


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Who writes the questions, how many, and at what price."""

    name: str
    base_url: str
    prompts: Path | None = None
    """A file of prompts; those that come with kemb where there is none."""
    styles: tuple[str, ...] = ()
    """Those of the file; all of them where it is empty."""
    n_passages: int = 100
    """At most so many are asked about, drawn by chance (by their hash, so always the same)."""
    price: tuple[float, float] | None = None
    """US dollars for a million tokens that the model reads, and that it writes."""
    concurrency: int = 4
    timeout_seconds: float = 120.0
    attempts: int = 5
    consent: Callable[[Note], bool] | None = None
    """Asked before anything is sent to a host that is not this machine; without it nothing is."""
    on_note: Callable[[Note], None] = lambda note: None
    """Told what the calls will cost, and what they did."""

    @property
    def url(self) -> str:
        return f"{self.base_url.rstrip('/')}/{_PATH}"

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


@dataclass(frozen=True, slots=True)
class Todo:
    """One call that is to be made."""

    key: str
    passage: str
    request: Request


def check_llm(settings: LlmSettings) -> None:
    """Refuse an address that is none, and a name that is empty.

    :raises UsageError: what is wrong.
    :raises MissingExtra: httpx is not installed.
    """
    if not settings.name.strip() or not settings.base_url:
        raise UsageError(
            "A language model needs its name and its address: --llm NAME --llm-base "
            "http://localhost:8000/v1"
        )
    check_address(settings.base_url)
    if importlib.util.find_spec("httpx") is None:
        raise MissingExtra("A language model behind an API", "api")


def is_this_machine(host: str) -> bool:
    """Whether a host is the loopback, by its name or number."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def todo_of(
    settings: LlmSettings,
    body: Mapping[str, object],
    passage: str,
    messages: Sequence[Mapping[str, str]],
) -> Todo:
    """A call, with the key under which its answer is kept."""
    request = Request(secrets.redacted(settings.base_url), settings.name, body, messages)
    return Todo(key_of(request), passage, request)


def guessed_cost(todos: Sequence[Todo], n_questions: int) -> tuple[int, int, int]:
    """Characters that are sent, and guessed tokens that are read and written."""
    texts = [message["content"] for todo in todos for message in todo.request.messages]
    n_written = len(todos) * n_questions * TOKENS_PER_QUESTION
    return sum(map(len, texts)), guessed_tokens(texts), n_written


class Chat:
    """Asks many passages at once; what is answered is in the journal before the next is asked."""

    def __init__(self, settings: LlmSettings, journal: Journal) -> None:
        self._settings, self._journal = settings, journal
        self._key = os.environ.get(KEY_ENV, "").strip()
        self._stop = threading.Event()
        self._was_answered = threading.Event()
        self.refusals: dict[str, str] = {}
        """Passage -> why the endpoint would not work on it."""

    def ask(self, todos: Sequence[Todo]) -> None:
        """Make calls. After a failure nothing new is sent; what is under way is waited for.

        :raises ModelError: the endpoint refuses, or does not answer as one; what was answered
            before is kept.
        :raises DiskError: an answer cannot be kept.
        """
        import httpx

        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        seconds = self._settings.timeout_seconds
        timeout = httpx.Timeout(seconds, connect=min(10.0, seconds))
        with (
            httpx.Client(headers=headers, timeout=timeout) as http,
            ThreadPoolExecutor(self._settings.concurrency) as pool,
        ):
            futures = [pool.submit(self._one, http, todo) for todo in todos]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
        for future in futures:
            if not future.cancelled():
                future.result()

    def _one(self, http: httpx.Client, todo: Todo) -> None:
        if self._stop.is_set():
            return
        request = todo.request
        content = json.dumps(
            {"model": request.model, "messages": request.messages, **request.body}
        ).encode()
        reply = self._send(http, content)
        if reply is None:
            return
        if reply.status in _ABOUT_THE_TEXT and self._was_answered.is_set():
            self.refusals[todo.passage] = self._safe(f"{reply.status}: {beginning(reply)}")
            return
        if reply.status != 200:
            self._stop.set()
            raise ModelError(self._refusal(reply))
        try:
            call = read_completion(todo, reply.content)
        except ModelError:
            self._stop.set()
            raise
        self._journal.add(call)
        self._was_answered.set()

    def _send(self, http: httpx.Client, content: bytes) -> Reply | None:
        """The answer once the endpoint is ready to give one; None when another call failed."""
        reason = ""
        for attempt in range(1, self._settings.attempts + 1):
            reply, reason = self._post(http, content)
            if reply is not None and not worth_another(reply):
                return reply
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
            pause *= random.uniform(0.75, 1.25)
            seconds = None if reply is None else retry_after(reply)
            pause = pause if seconds is None else seconds
            if attempt == self._settings.attempts or pause > _PATIENCE:
                break
            if self._stop.wait(pause):
                return None
        self._stop.set()
        raise ModelError(
            f"The endpoint {self._settings.url} was asked {attempt} times and gave no answer: "
            f"{self._safe(reason)}. What was answered is kept in {self._journal.path}; the same "
            "command goes on from there."
        )

    def _post(self, http: httpx.Client, content: bytes) -> tuple[Reply | None, str]:
        import httpx

        settings = self._settings
        try:
            reply = exchange.post(
                http, settings.url, content, settings.timeout_seconds, _MOST_BYTES, self._key
            )
        except (httpx.TimeoutException, TooLate):
            return None, f"it did not answer within {settings.timeout_seconds:g} s"
        except httpx.HTTPError as error:
            return None, f"the connection failed ({str(error) or type(error).__name__})"
        return reply, f"it answered {reply.status} {reply.phrase}: {beginning(reply)!r}"

    def _refusal(self, reply: Reply) -> str:
        hints = {
            401: f"The key is wrong or missing; look at the environment variable {KEY_ENV}.",
            403: f"The key in {KEY_ENV} may not use this model.",
            404: "Check --llm-base (it often ends in /v1) and the name of the model.",
        }
        hint = hints.get(reply.status, "Check the name of the model and the [body] of --prompts.")
        answer = self._safe(f"{reply.status} {reply.phrase}: {beginning(reply)!r}")
        return (
            f"The endpoint {self._settings.url} refused with {answer}. {hint} What was answered "
            f"before is kept in {self._journal.path}."
        )

    def _safe(self, text: str) -> str:
        return secrets.redacted(text, self._key)


def read_completion(todo: Todo, content: bytes) -> Call:
    """A chat completion as a call.

    :raises ModelError: it is none.
    """
    try:
        record: Any = json.loads(content)
        choice = record["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        what = "a web page" if content.lstrip()[:1] == b"<" else "no chat completion"
        start = " ".join(content[:400].decode("utf-8", "replace").split())[:120]
        raise ModelError(
            f"The language model's endpoint answered with {what}: {secrets.redacted(start)!r}. "
            "Check --llm-base; it often ends in /v1. What was answered before is kept."
        ) from error
    usage = record.get("usage") if isinstance(record.get("usage"), dict) else {}
    return Call(
        key=todo.key,
        passage=todo.passage,
        served=str(record.get("model") or ""),
        finish=str(choice.get("finish_reason") or ""),
        content=text.encode("utf-8", "replace").decode(),
        n_tokens_read=_count(usage.get("prompt_tokens")),
        n_tokens_written=_count(usage.get("completion_tokens")),
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 10**12 else None
