"""A stand-in of the Hugging Face hub on the loopback: enough of its API for `datasets` and
`huggingface_hub`.

    with HubStandIn() as hub:
        hub.add_repo("dataset", "org/name", folder, revision="0" * 40)
        hub.fault("error503", match="org/name", times=1)
        run_in_subprocess(env={"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)})

Both libraries read HF_ENDPOINT when they are imported, so the code under test runs in a subprocess,
or takes the endpoint as an argument.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["model", "dataset"]
Fault = Literal[
    "error401",
    "error403",
    "error500",
    "error503",
    "hang",
    "truncate",
    "gated",
    "html",
    "empty",
    "drip",
    "drip-headers",
    "swap",
]
OF_FILES = ("truncate", "gated", "drip", "swap")
"""Faults of files alone. `swap` gives other bytes than the hash says, as many of them."""

SECRET = "hf_" + "s" * 30
"""A token that must appear nowhere."""

_API = re.compile(
    r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(revision|tree|paths-info|preupload|commit)/([^/]+)(?:/(.*))?)?"
)
_FILE = re.compile(r"/(?:(dataset)s/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class _Fault:
    what: Fault
    match: str
    times: int | None


@dataclass
class HubStandIn:
    """Serves local folders as repositories; every request is kept in `requests` as "METHOD
    /path".
    """

    requests: list[str] = field(default_factory=list)
    endpoint: str = ""
    commits: list[tuple[str, Path, bool]] = field(default_factory=list)
    """What was written: the Authorization header, the folder with its files, whether it was a pull
    request.
    """
    who: dict[str, object] = field(
        default_factory=lambda: {
            "name": "me",
            "orgs": [{"name": "org"}],
            "auth": {"accessToken": {"role": "write"}},
        }
    )
    """Whom every token belongs to."""
    lies: dict[str, object] = field(default_factory=dict)
    """Said instead of the truth: fields of a repository's description, and headers of files."""
    folder: Path | None = None
    """For repositories that are made."""
    created: dict[str, bool] = field(default_factory=dict)
    """Repositories that were made, and whether they are private."""

    def environment(self, home: Path, offline: bool = False) -> dict[str, str]:
        """For a process that asks this hub, with a token, and keeps its files in `home`."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home / "hf"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_ETAG_TIMEOUT": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "HF_TOKEN": SECRET,
        }

    def __enter__(self) -> HubStandIn:
        self._repos: dict[tuple[str, str], dict[str, Path]] = {}
        self._faults: list[_Fault] = []
        self._stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def add_repo(self, kind: Kind, repo_id: str, folder: Path, revision: str = "0" * 40) -> None:
        """Serve a folder as a repository at a commit; the commit added last is also `main`."""
        self._repos.setdefault((kind, repo_id), {}).update({revision: folder, "main": folder})

    def head(self, kind: Kind, repo_id: str) -> Path:
        """The folder at `main`."""
        return self._repos[kind, repo_id]["main"]

    def fault(self, what: Fault, match: str = "", times: int | None = None) -> None:
        """Let requests whose path contains `match` fail: the first `times` of them, or all.

        Those of `OF_FILES` concern files only.
        """
        self._faults.append(_Fault(what, match, times))

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def take_fault(self, path: str, is_file: bool) -> Fault | None:
        """The fault that this request meets."""
        for fault in self._faults:
            if (
                fault.match not in path
                or fault.times == 0
                or (fault.what in OF_FILES and not is_file)
            ):
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault.what
        return None

    def commit(self, kind: str, repo_id: str, revision: str) -> tuple[str, Path] | None:
        """Commit and folder of a revision, or None."""
        revisions = self._repos.get((kind, repo_id), {})
        if revision not in revisions:
            return None
        folder = revisions[revision]
        return next(
            name for name, value in revisions.items() if value == folder and name != "main"
        ), folder

    def has_repo(self, kind: str, repo_id: str) -> bool:
        """Whether the repository exists."""
        return (kind, repo_id) in self._repos

    def wait(self) -> None:
        """Let a request hang until the stand-in stops."""
        self._stopped.wait(60)


def _entry(folder: Path, path: Path) -> dict[str, object]:
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {
            "type": "directory",
            "path": name,
            "oid": hashlib.sha1(name.encode()).hexdigest(),
            "size": 0,
        }
    return {"type": "file", "path": name, "oid": _etag(path), "size": path.stat().st_size}


def _etag(path: Path) -> str:
    """sha256 of what lies in large file storage, as on the hub."""
    kind = hashlib.sha256 if path.suffix in (".safetensors", ".parquet") else hashlib.sha1
    return kind(path.read_bytes()).hexdigest()


def _git_oid(path: Path) -> str:
    """As git names a file; the hub says it before an upload, so that what is there already is left
    out.
    """
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _handler(hub: HubStandIn) -> type[BaseHTTPRequestHandler]:  # noqa: C901  one class per server, closed over it
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            hub.requests.append(f"{self.command} {self.path}")

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            is_file = _FILE.fullmatch(path)
            fault = hub.take_fault(path, is_file is not None)
            if fault is not None and self.fail(fault):
                return
            if is_file:
                self.send_file(is_file[1] or "model", is_file[2], is_file[3], is_file[4], fault)
            elif path == "/api/whoami-v2":
                self.send_json(hub.who)
            elif path == "/api/repos/create":
                self.create(json.loads(body))
            elif path == "/api/validate-yaml":
                self.send_json({"errors": [], "warnings": []})
            elif (api := _API.fullmatch(path)) and api[3] in ("preupload", "commit"):
                self.write(api[1], api[2], api[3], body)
            elif api:
                self.send_api(
                    api[1], api[2], api[3] or "revision", api[4] or "main", api[5] or "", body
                )
            else:
                self.send_json({"error": "Not found"}, 404)

        def fail(self, fault: Fault) -> bool:
            """Whether the fault is an answer of its own, and not one of a file's bytes."""
            if fault == "hang":
                hub.wait()
                self.close_connection = True
            elif fault == "drip-headers":
                self.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000)
            elif fault.startswith("error"):
                self.send_json({"error": "Refused or broken"}, int(fault[-3:]))
            elif fault == "html":
                self.send_bytes(b"<html>Log in</html>", 200, {"Content-Type": "text/html"})
            elif fault == "empty":
                self.send_json({})
            elif fault == "gated":
                self.send_json({"error": "Access is restricted"}, 403, "GatedRepo")
            else:
                return False
            return True

        def found(self, kind: str, repo_id: str, revision: str) -> tuple[str, Path] | None:
            if not hub.has_repo(kind, repo_id):
                self.send_json({"error": "Repository not found"}, 401, "RepoNotFound")
                return None
            if (at := hub.commit(kind, repo_id, revision)) is None:
                self.send_json({"error": "Invalid rev id"}, 404, "RevisionNotFound")
            return at

        def send_api(
            self, kind: str, repo_id: str, what: str, revision: str, below: str, body: bytes
        ) -> None:
            if (at := self.found(kind, repo_id, revision)) is None:
                return
            commit, folder = at
            if what == "paths-info":
                wanted = [folder / name for name in parse_qs(body.decode()).get("paths", [])]
                self.send_json([_entry(folder, path) for path in wanted if path.exists()])
            elif what == "tree":
                if not (folder / below).is_dir():
                    self.send_json({"error": "Entry not found"}, 404, "EntryNotFound")
                    return
                deep = "recursive=true" in self.path.lower() or "recursive=1" in self.path
                paths = sorted((folder / below).rglob("*") if deep else (folder / below).iterdir())
                self.send_json([_entry(folder, path) for path in paths])
            else:
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
                info = {
                    "_id": "0",
                    "id": repo_id,
                    "sha": commit,
                    "siblings": siblings,
                    "private": False,
                    "tags": [],
                }
                said = info | ({"modelId": repo_id} if kind == "model" else {}) | hub.lies
                self.send_json({name: value for name, value in said.items() if value is not None})

        def create(self, wanted: dict[str, str]) -> None:
            """An empty repository."""
            repo_id = f"{wanted['organization']}/{wanted['name']}"
            folder = Path(tempfile.mkdtemp(dir=hub.folder))
            hub.add_repo("model", repo_id, folder, "e" * 40)
            hub.created[repo_id] = wanted.get("visibility") == "private"
            self.send_json({"url": f"{hub.endpoint}/{repo_id}", "name": repo_id})

        def write(self, kind: str, repo_id: str, what: str, body: bytes) -> None:
            """A commit on main: all of its files, or none where the parent is another one than was
            read.
            """
            if (at := self.found(kind, repo_id, "main")) is None:
                return
            head, folder = at
            if what == "preupload":
                names = [file["path"] for file in json.loads(body)["files"]]
                found = [
                    {"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names
                ]
                for file in found:
                    if (folder / str(file["path"])).is_file():
                        file["oid"] = _git_oid(folder / str(file["path"]))
                self.send_json({"files": found})
                return
            lines = [json.loads(line) for line in body.splitlines()]
            if lines[0]["value"].get("parentCommit", head) != head:
                self.send_json({"error": "The parent commit is another one"}, 412)
                return
            commit = hashlib.sha1(body).hexdigest()
            made = folder.with_name(f"{folder.name}-{commit[:8]}")
            shutil.copytree(folder, made)
            for line in lines[1:]:
                target = made / line["value"]["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(base64.b64decode(line["value"]["content"]))
            is_proposal = "create_pr=1" in self.path
            hub.commits.append((self.headers.get("Authorization", ""), made, is_proposal))
            if not is_proposal:
                hub.add_repo("model" if kind == "model" else "dataset", repo_id, made, commit)
            page = f"{hub.endpoint}/{repo_id}"
            self.send_json(
                {
                    "commitUrl": f"{page}/commit/{commit}",
                    "commitOid": commit,
                    "pullRequestUrl": f"{page}/discussions/1",
                }
            )

        def send_file(
            self, kind: str, repo_id: str, revision: str, name: str, fault: Fault | None
        ) -> None:
            if (at := self.found(kind, repo_id, revision)) is None:
                return
            commit, folder = at
            path = folder / name
            if not path.is_file():
                self.send_json({"error": "Entry not found"}, 404, "EntryNotFound", commit)
                return
            content = path.read_bytes()
            start = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range") or "")
            first = int(start[1]) if start else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - first))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", str(hub.lies.get("ETag", f'"{_etag(path)}"')))
            self.send_header("X-Repo-Commit", str(hub.lies.get("X-Repo-Commit", commit)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "swap":
                content = content[:-1] + bytes([content[-1] ^ 1])
            if fault == "drip":
                self.drip(content[first:])
            elif fault == "truncate":
                self.wfile.write(content[first : first + (len(content) - first) // 2])
                self.close_connection = True
            else:
                self.wfile.write(content[first:])

        def drip(self, content: bytes) -> None:
            """A byte now and then, each before a time-out of the client."""
            try:
                for number in range(len(content)):
                    self.wfile.write(content[number : number + 1])
                    if hub._stopped.wait(0.2):
                        return
            except OSError:  # the client has left
                self.close_connection = True

        def send_json(
            self, value: object, status: int = 200, code: str = "", commit: str = ""
        ) -> None:
            headers = {"X-Error-Code": code, "X-Repo-Commit": commit}
            given = {header: text for header, text in headers.items() if text}
            content = json.dumps(value).encode()
            self.send_bytes(content, status, {"Content-Type": "application/json"} | given)

        def send_bytes(self, content: bytes, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for header, text in headers.items():
                self.send_header(header, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler
