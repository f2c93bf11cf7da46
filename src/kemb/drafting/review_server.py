"""The page of a review: a server that only this machine reaches, and only with its token.

It listens on 127.0.0.1, answers to its own address alone (another `Host` is a page of somebody else
that was led here), wants the random token in every address, sends a policy by which the page can
load and ask nothing but this server, and reads nothing but small JSON.
"""

from __future__ import annotations

import hmac
import json
import secrets
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, StrictUndefined

from kemb.drafting.review_session import Session
from kemb.errors import DiskError, UsageError
from kemb.files import disk
from kemb.messages import LANGS, Lang, language, note, say, table

HOST = "127.0.0.1"
_MOST_BYTES = 65_536
_SECONDS = 30
"""A request that takes longer to arrive is given up."""
_FILES = {"page.js": "text/javascript", "page.css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_WORDS = "page_"
"""What the names of the page's own words begin with in the table."""


class ReviewServer(ThreadingHTTPServer):
    """Serves one reviewer's session; `serve_forever` until somebody stops it."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        """:param port: 0 for any that is free.

        :raises UsageError: the port is taken.
        """
        self.session = session
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"Port {port} of {HOST} cannot be used ({disk.reason_of(error)}). Type another "
                "one, --port N, or leave it out: kemb then takes one that is free."
            ) from error

    @property
    def address(self) -> str:
        """Where the page is, token included."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"


class _Refusal(Exception):
    """A request that is not answered, and the status that says so."""

    def __init__(self, status: HTTPStatus) -> None:
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    timeout = _SECONDS
    server_version = "kemb"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, its files, and questions."""
        self._answer(self._got)

    def do_POST(self) -> None:
        """A decision."""
        self._answer(self._posted)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line in the terminal for every request hides the address."""

    def _answer(self, answer: Any) -> None:  # noqa: ANN401  a method
        try:
            kind, content = answer(self._checked_path())
        except _Refusal as refusal:
            self._send(refusal.status, "text/plain", refusal.status.phrase.encode())
        except UsageError as error:
            self._send(HTTPStatus.BAD_REQUEST, "application/json", _json({"error": str(error)}))
        except DiskError as error:
            sentence = say(note("review.disk", why=str(error)), self._lang())
            self._send(
                HTTPStatus.INSUFFICIENT_STORAGE, "application/json", _json({"error": sentence})
            )
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _checked_path(self) -> str:
        """The path below the token, of a request that comes from this page or an address bar."""
        port = self.server.server_port
        hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        origins = {f"http://{host}" for host in hosts}
        is_ours = (
            self.headers.get("Host", "") in hosts
            and self.headers.get("Origin", f"http://{HOST}:{port}") in origins
            and self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        )
        token, _, path = urlsplit(self.path).path.removeprefix("/").partition("/")
        is_known = hmac.compare_digest(token.encode(), self.server.token.encode())
        if not (is_ours and is_known):
            raise _Refusal(HTTPStatus.FORBIDDEN)
        return path

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def _lang(self) -> Lang:
        name = self._query("lang")
        return next((lang for lang in LANGS if lang == name), language())

    def _got(self, path: str) -> tuple[str, bytes]:
        session = self.server.session
        if not path:
            return "text/html", _page(session, self._lang()).encode()
        if path in _FILES:
            return _FILES[path], _file(path).encode()
        if path == "questions":
            return "application/json", _json(session.listing(self._lang()))
        if path == "question" and self._query("id") in session.order:
            return "application/json", _json(session.shown(self._query("id"), self._lang()))
        raise _Refusal(HTTPStatus.NOT_FOUND)

    def _posted(self, path: str) -> tuple[str, bytes]:
        length = self.headers.get("Content-Length", "")
        if path != "decide" or self.headers.get("Content-Type") != "application/json":
            raise _Refusal(HTTPStatus.NOT_FOUND)
        if not length.isascii() or not length.isdigit():
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > _MOST_BYTES:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            fields = disk.parse_json(self.rfile.read(int(length)))
        except ValueError as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST) from error
        if not isinstance(fields, dict):
            raise _Refusal(HTTPStatus.BAD_REQUEST)
        session = self.server.session
        session.decide(fields)
        return "application/json", _json({"progress": session.progress(self._lang())})

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def words(lang: Lang) -> dict[str, str]:
    """The page's own words: labels, headings, help."""
    names = [name for name in table("review") if name.startswith(_WORDS)]
    return {name.removeprefix(_WORDS): _word(name.removeprefix(_WORDS), lang) for name in names}


def _word(name: str, lang: Lang) -> str:
    return say(note(f"review.page_{name}"), lang)


def _page(session: Session, lang: Lang) -> str:
    """The page without any question; its script asks for those."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_file("page.html")).render(
        lang=lang,
        other=next(other for other in LANGS if other != lang),
        words=words(lang),
        folder=session.questions.root.absolute().name,
        reviewer=session.reviewer,
    )


@cache
def _file(name: str) -> str:
    return (resources.files("kemb.drafting") / "page" / name).read_text(encoding="utf-8")
