"""The server of a review: who is answered, what is shown, what is decided."""

from __future__ import annotations

import errno
import http.client
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from drafted_folder import HOSTILE, drafted, write_jsonl
from kemb.drafting import seen_share
from kemb.drafting.review import reviewing
from kemb.drafting.review_questions import cut, read_questions
from kemb.drafting.review_server import ReviewServer
from kemb.errors import DataError, NotSupported, UsageError
from kemb.tasks.own import load_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return drafted(tmp_path / "drafted")


@pytest.fixture
def server(folder: Path) -> Iterator[ReviewServer]:
    with reviewing(folder, "mina") as (server, notes):
        assert notes == []
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: ReviewServer,
    path: str,
    body: object = None,
    method: str = "GET",
    whole_path: bool = False,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    target = path if whole_path else f"/{server.token}/{path}"
    connection.request(method, target, sent, names)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def shown(server: ReviewServer, query: str, lang: str = "en") -> dict[str, Any]:
    status, _, content = ask(server, f"question?id={quote(query)}&lang={lang}")
    assert status == 200
    view: dict[str, Any] = json.loads(content)
    return view


def decide(server: ReviewServer, **fields: str) -> tuple[int, dict[str, Any]]:
    status, _, content = ask(
        server, "decide?lang=en", fields, "POST", Content_Type="application/json"
    )
    return status, json.loads(content)


def test_only_its_own_page_is_answered(server: ReviewServer) -> None:
    port = server.server_port
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32
    status, headers, _ = ask(server, "")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"].strip() == "kemb"
    assert ask(server, "", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        assert ask(server, "", Host=host)[0] == 403, host
    assert ask(server, "", Sec_Fetch_Site="cross-site")[0] == 403
    for path in (
        "/",
        "/page.js",
        "/questions",
        f"/{server.token[:-1]}/",
        "/한글/".encode().decode("latin-1"),
    ):
        assert ask(server, quote(path), whole_path=True)[0] == 403, path
    for path in ("../../kemb/errors.py", "page.html", "__init__.py", "question?id=q99", "question"):
        assert ask(server, path)[0] == 404, path
    body = {"query": "q1", "decision": "accept"}
    kinds = {"Content_Type": "application/json"}
    assert ask(server, "decide", body, "POST", Origin="http://evil.example", **kinds)[0] == 403
    assert ask(server, "decide", body, "POST", Origin="null", **kinds)[0] == 403
    assert ask(server, "decide", body, "POST", Content_Type="text/plain")[0] == 404
    assert not (server.session.log.path).exists()
    assert ask(server, "decide", body, "POST", Origin=f"http://127.0.0.1:{port}", **kinds)[0] == 200


def test_what_is_no_decision_is_refused(server: ReviewServer) -> None:
    for fields in (
        {},
        {"query": "q1"},
        {"query": "q9", "decision": "accept"},
        {"query": "q1", "decision": "love"},
        {"query": "q1", "decision": "edit", "text": " "},
        {"query": "q1", "decision": "right"},
        {"query": "q1", "decision": "right", "document": "d99"},
        {"query": "q1", "decision": "accept", "document": "d1"},
        {"query": "q1", "decision": ["accept"]},
    ):
        status, _, _ = ask(server, "decide", fields, "POST", Content_Type="application/json")
        assert status == 400, fields
    for body in (b"[]", b"{", b"\xff", b"[" * 60_000):
        status, _, _ = ask(server, "decide", body, "POST", Content_Type="application/json")
        assert status == 400, body[:9]
    status, _, _ = ask(server, "decide", b"x" * 65_537, "POST", Content_Type="application/json")
    assert status == 413
    assert not server.session.log.path.exists()


def test_the_answer_is_marked_where_it_stands(server: ReviewServer, folder: Path) -> None:
    view = shown(server, "q2")
    [gold] = view["gold"]
    assert [text for text, is_answer in gold["segments"] if is_answer] == ["답은 숫자 14입니다."]
    assert "".join(text for text, _ in gold["segments"]).startswith("😀 2번 문단입니다.")
    assert view["details"] == [
        "look closely: its passage holds it word for word, odd",
        "made by: headings",
        "50% of its content words stand in the passage",
    ]
    assert "from a.md" in gold["details"]
    # Without a pool the candidates are BM25's, without the passage itself.
    assert len(view["candidates"]) == 5
    assert "d2" not in {passage["id"] for passage in view["candidates"]}
    assert view["heading"] == "Question 3 of 6"
    assert shown(server, "q2", "ko")["heading"] == "질문 3/6"


def test_marks_by_words_where_the_places_do_not_fit(folder: Path) -> None:
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    records[1]["text"] = "앞에 무엇이 붙은 " + records[1]["text"]
    records[2]["text"] = "전혀 다른 글"
    write_jsonl(folder / "corpus.jsonl", records)
    questions = read_questions(folder)
    marked = [text for text, is_answer in questions.segments("q1", "d1") if is_answer]
    assert marked == ["답은 숫자 7입니다."]
    assert questions.segments("q2", "d2") == [("전혀 다른 글", False)]


def test_pieces_of_marks_that_overlap() -> None:
    assert cut("abcdef", [(1, 3), (2, 4), (1, 2)]) == [
        ("a", False),
        ("bcd", True),
        ("ef", False),
    ]
    assert cut("ab", []) == [("ab", False)]
    assert cut("ab", [(0, 2)]) == [("ab", True)]


def test_decisions_count_at_once_and_the_draft_stays_what_is_reviewed(
    server: ReviewServer, folder: Path
) -> None:
    assert decide(server, query="q0", decision="reject")[0] == 200
    assert decide(server, query="q1", decision="edit", text="고친 질문?")[0] == 200
    status, told = decide(server, query="q1", decision="right", document="d4")
    assert status == 200
    assert told == {"progress": "2 of 6 questions decided, 1 passage judged"}
    assert seen_share(folder) == pytest.approx(1 / 5)
    data: Any = load_folder(folder)[1].parts[0].data
    assert "q0" not in data.query_ids
    assert data.queries[0] == "고친 질문?"
    assert data.qrels["q1"] == {"d1": 1, "d4": 1}
    view = shown(server, "q1")
    assert (view["decision"], view["edited"], view["text"]) == (
        "edit",
        "고친 질문?",
        "1번 문단의 답은?",
    )
    judged = {passage["id"]: passage["judgment"] for passage in view["candidates"]}
    assert judged["d4"] == "right"
    assert decide(server, query="q1", decision="unjudged", document="d4")[0] == 200
    assert decide(server, query="q0", decision="none")[0] == 200
    data = load_folder(folder)[1].parts[0].data
    assert data.query_ids[0] == "q0"
    assert data.qrels["q1"] == {"d1": 1}
    # Who comes back begins where he was: what is undecided comes first.
    assert server.session.order == [f"q{k}" for k in range(6)]
    assert read_again(folder)[0] == "q0"
    assert read_again(folder)[-1] == "q1"


def read_again(folder: Path) -> list[str]:
    """The order of questions for the same reviewer, of another process' view."""
    from kemb.drafting.review_log import ReviewLog
    from kemb.drafting.review_session import Session
    from kemb.tasks.own.decisions import read_decisions
    from kemb.tasks.own.findings import Findings

    log = ReviewLog(folder / "review/mina.jsonl")
    decisions = read_decisions(folder, Findings())
    return Session(read_questions(folder), "mina", log, decisions).order


def test_a_full_disk_is_said_and_nothing_is_taken_for_decided(
    server: ReviewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decide(server, query="q0", decision="accept")[0] == 200

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, told = decide(server, query="q1", decision="accept")
    assert status == 507
    assert "Not saved." in told["error"]
    assert "No space left on device" in told["error"]
    assert list(server.session.decided) == ["q0"]
    assert decide(server, query="q1", decision="accept")[0] == 200


def test_pairs_that_decide_come_first(folder: Path) -> None:
    write_jsonl(
        folder / "pool.jsonl",
        [
            {"query": "q3", "document": "d3", "retriever": "bm25", "rank": 1},
            {"query": "q3", "document": "d5", "retriever": "bm25", "rank": 2},
            {"query": "q3", "document": "d0", "retriever": "toy", "rank": 1},
            {"query": "q3", "document": "d5", "retriever": "toy", "rank": 3},
        ],
    )
    deciding = [{"query": "q4", "document": "d0"}, {"query": "q3", "document": "d5"}]
    write_jsonl(folder / "deciding.jsonl", deciding)
    with reviewing(folder, "mina") as (server, _):
        session = server.session
        assert session.order == ["q4", "q3", "q0", "q1", "q2", "q5"]
        view = session.shown("q3", "en")
        candidates = [(passage["id"], passage["details"]) for passage in view["candidates"]]
        assert candidates == [
            ("d5", ["decides a comparison", "found by bm25, toy", "from a.md"]),
            ("d0", ["found by toy", "from a.md"]),
        ]
        session.decide({"query": "q4", "decision": "wrong", "document": "d0"})
    with reviewing(folder, "mina") as (server, _):
        assert server.session.order[0] == "q3"


def test_the_page_has_no_text_of_others_in_its_code(server: ReviewServer) -> None:
    for lang in ("ko", "en"):
        page = ask(server, f"?lang={lang}")[2].decode()
        assert HOSTILE not in page
        assert f'<html lang="{lang}">' in page
    view = shown(server, "q0")
    assert HOSTILE in view["text"]
    headers = ask(server, "question?id=q0")[1]
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_port_that_is_taken_and_folders_that_are_no_questions(
    server: ReviewServer, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"Port {server.server_port} of 127.0.0.1"):
        with reviewing(folder, "jun", server.server_port):
            pass
    assert not (folder / "review/.jun.lock").exists()
    (folder / "sources.jsonl").write_text("{}\n[]\n")
    with pytest.raises(DataError, match=r"sources\.jsonl, row 2"):
        read_questions(folder)
    (folder / "queries.jsonl").write_text("{")
    with pytest.raises(DataError, match="kemb check"):
        read_questions(folder)
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "test.csv").write_text("문장1,문장2,점수\n비가 온다,비가 내린다,4.5\n해,달,1\n")
    with pytest.raises(NotSupported, match="only questions with passages"):
        read_questions(pairs)
