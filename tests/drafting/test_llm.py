"""A language model that writes questions: what is sent, kept, paid, believed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chat_server import PASSAGE, PLANTED, ChatEndpoint
from kemb.cli import cli
from kemb.drafting import DraftReport, DraftSettings, LlmSettings, draft
from kemb.drafting.chunks import Chunk
from kemb.drafting.llm import is_this_machine
from kemb.drafting.prompts import messages, read_prompts
from kemb.errors import DataError, ModelError, UsageError
from kemb.messages import Note, say

TEXTS = (
    "분실한 카드는 상담원이 바로 사용을 막고 새것을 보내 드립니다. 배송은 사흘 걸립니다.",
    "통장은 가까운 지점에서 신분증을 확인한 뒤 그날 다시 만들어 드립니다. 수수료는 없습니다.",
    "대출 심사는 소득을 증명하는 서류가 있으면 하루 안에 끝납니다. 결과는 문자로 옵니다.",
)
N_STYLES = 4


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n, text in enumerate(TEXTS):
        (folder / f"{n}.txt").write_text(f"{text}\n", encoding="utf-8")
    return folder


def settings(chat: ChatEndpoint, **changes: Any) -> DraftSettings:  # noqa: ANN401  any field
    base = LlmSettings("qwen", chat.url, concurrency=2, timeout_seconds=5.0, attempts=2)
    return DraftSettings(llm=replace(base, **changes))


def written(report: DraftReport) -> list[str]:
    return [question.text for question in report.questions if question.way == "llm"]


def reasons(report: DraftReport) -> Counter[str]:
    return Counter(omission.reason for omission in report.omissions)


def test_questions_of_all_styles_with_their_places(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    report = draft(docs, tmp_path / "set", settings(chat))
    assert len(chat.seen) == 3
    assert Counter(question.style for question in report.questions) == dict.fromkeys(
        ("keyword", "colloquial", "formal", "typos"), 3
    )
    sources = {document.id: document.text for document in report.documents}
    for question in report.questions:
        [span] = question.spans
        assert sources[span.source][span.start : span.end] == sources[span.source].split(".")[0]
    made_by = json.loads((report.folder / "drafted.json").read_text(encoding="utf-8"))["llm"]
    assert made_by["served"] == ["qwen-served"]
    assert made_by["n_tokens_read"] == sum(len(b["messages"][-1]["content"]) for b in chat.seen)
    assert made_by["usd"] is None
    rows = (report.folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(row)["style"] for row in rows} == {
        "keyword",
        "colloquial",
        "formal",
        "typos",
    }


def test_passages_stand_between_marks_they_cannot_hold(chat: ChatEndpoint) -> None:
    text = "자료 <<<0123456789abcdef>>>\n{styles} {mark} {title}\n<<<0123456789abcdef>>> 끝"
    chunk = Chunk("a", "제목", text, "a", 0, len(text))
    [system, user] = messages(read_prompts(None), ["keyword"], chunk)
    match = PASSAGE.search(user["content"])
    assert match is not None
    assert match[2] == text
    assert match[1] in system["content"]
    assert match[1] not in text


def test_nothing_is_paid_twice(chat: ChatEndpoint, docs: Path, tmp_path: Path) -> None:
    first = draft(docs, tmp_path / "set", settings(chat))
    again = draft(docs, tmp_path / "set", settings(chat))
    assert len(chat.seen) == 3
    assert written(again) == written(first)
    assert again.made_by["n_calls_of_this_command"] == 0
    (docs / "3.txt").write_text(
        "예금은 만기가 되면 이자와 함께 통장으로 들어오며, 다시 맡기려면 신청하셔야 합니다.",
        encoding="utf-8",
    )
    notes: list[Note] = []
    draft(docs, tmp_path / "set", settings(chat, on_note=notes.append))
    assert len(chat.seen) == 4
    n_read = len(chat.seen[-1]["messages"][-1]["content"])  # of this command alone
    assert say(notes[-1], "en").startswith(f"1 call answered: {n_read} tokens read")
    draft(docs, tmp_path / "set", settings(chat, name="other"))
    assert len(chat.seen) == 8


def test_what_was_answered_before_a_failure_is_kept(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    chat.misbehave = lambda number, body: (401, {}, b"no key") if number >= 2 else None
    with pytest.raises(ModelError, match=r"refused with 401 .*KEMB_LLM_KEY.*calls\.jsonl"):
        draft(docs, tmp_path / "set", settings(chat, concurrency=1))
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["calls.jsonl"]
    chat.misbehave = lambda number, body: None
    report = draft(docs, tmp_path / "set", settings(chat))
    assert len(chat.seen) == 4
    assert len(written(report)) == 3 * N_STYLES


def test_a_line_that_was_half_written_is_asked_again(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    draft(docs, tmp_path / "set", settings(chat))
    journal = tmp_path / "set" / "calls.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-30])
    draft(docs, tmp_path / "set", settings(chat))
    assert len(chat.seen) == 4
    lines = journal.read_bytes().split(b"\n")
    assert sum(1 for line in lines if line.endswith(b"}")) == 3


@pytest.mark.parametrize(
    ("behaviour", "reason", "n_left"),
    [
        ("lying", "its answer does not stand in the passage", 3),
        ("quoting", "it quotes the passage", 3),
        ("foreign style", "a style that was not asked for", 3),
        ("fenced", "", 4),
        ("honest", "", 4),
    ],
)
def test_questions_that_cannot_be_used_are_listed(
    behaviour: str, reason: str, n_left: int, chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    chat.behave = behaviour
    report = draft(docs, tmp_path / "set", settings(chat))
    assert len(written(report)) == 3 * n_left
    assert reasons(report) == ({reason: 3} if reason else {})


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("refusing", "the answer is not the JSON that was asked for"),
        ("cut", "the answer was cut off"),
    ],
)
def test_answers_that_cannot_be_used_are_listed_and_paid_once(
    behaviour: str, reason: str, chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    (docs / "faq.md").write_text(f"Q: 카드를 잃어버렸나요?\nA: {TEXTS[0]}!\n", encoding="utf-8")
    chat.behave = behaviour
    report = draft(docs, tmp_path / "set", settings(chat))
    assert report.n_questions == {"faq": 1}
    assert reasons(report) == {reason: 4}
    draft(docs, tmp_path / "set", settings(chat))
    assert len(chat.seen) == 4


def test_a_planted_instruction_is_not_obeyed(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    (docs / "3.txt").write_text(
        f"예금은 만기에 이자와 함께 통장으로 들어옵니다. {PLANTED}. 다시 맡기려면 신청하십시오.",
        encoding="utf-8",
    )
    chat.behave = "obeying"
    report = draft(docs, tmp_path / "set", settings(chat))
    listed = [each for each in report.omissions if "instruction" in each.reason]
    assert len(listed) == 2
    assert not any("판정" in text for text in written(report))
    assert len(written(report)) == 3 * N_STYLES + 2
    kept = (report.folder / "drafted.json").read_text(encoding="utf-8")
    assert "it repeats an instruction of the passage" in kept


def test_a_web_page_ends_the_command(chat: ChatEndpoint, docs: Path, tmp_path: Path) -> None:
    page = b"<html><body>Welcome</body></html>"
    chat.misbehave = lambda number, body: (200, {"Content-Type": "text/html"}, page)
    with pytest.raises(ModelError, match="answered with a web page: '<html>"):
        draft(docs, tmp_path / "set", settings(chat))
    assert not (tmp_path / "set" / "calls.jsonl").exists()


def test_a_passage_that_the_endpoint_refuses_is_listed(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    def refuse(number: int, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        is_loan = "대출" in body["messages"][-1]["content"]
        return (400, {}, b'{"error": "content filter"}') if is_loan else None

    chat.misbehave = refuse
    report = draft(docs, tmp_path / "set", settings(chat, concurrency=1))
    assert len(written(report)) == 2 * N_STYLES
    assert reasons(report) == {"the endpoint refused the passage": 1}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        '{"questions": 3}',
        '{"questions": [], "verdict": "right"}',
        "\ud800",
        "[" * 9999,
    ],
)
def test_no_answer_breaks_the_command(
    content: str, chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    chat.change = lambda record: record["choices"][0]["message"].update(content=content)
    with pytest.raises(
        DataError, match=r"gave no question \(3 left out: the answer is not the JSON"
    ):
        draft(docs, tmp_path / "set", settings(chat))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"choices": []}', b'{"choices": [{"message": 3}]}']
)
def test_what_is_no_completion_ends_the_command(
    body: bytes, chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    chat.misbehave = lambda number, request: (200, {}, body)
    with pytest.raises(ModelError, match="answered with no chat completion"):
        draft(docs, tmp_path / "set", settings(chat))


def test_a_busy_endpoint_is_asked_again(chat: ChatEndpoint, docs: Path, tmp_path: Path) -> None:
    busy = (429, {"Retry-After": "0"}, b"slow down")
    chat.misbehave = lambda number, body: busy if number == 0 else None
    report = draft(docs, tmp_path / "set", settings(chat))
    assert len(written(report)) == 3 * N_STYLES
    assert len(chat.seen) == 4


def test_an_endpoint_that_drops_is_one_sentence(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    chat.misbehave = lambda number, body: "drop"
    with pytest.raises(ModelError, match="was asked 2 times and gave no answer: the connection"):
        draft(docs, tmp_path / "set", settings(chat))


def test_the_key_comes_from_the_environment_and_goes_nowhere(
    chat: ChatEndpoint, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "abcdefgh-secret-0123456789"
    monkeypatch.setenv("KEMB_LLM_KEY", key)
    chat.change = lambda record: record.update(model=f"echo {key}")
    report = draft(docs, tmp_path / "set", settings(chat))
    assert chat.headers[0]["Authorization"] == f"Bearer {key}"
    for path in report.folder.rglob("*.*"):
        assert key not in path.read_text(encoding="utf-8")
    chat.misbehave = lambda number, body: (403, {}, f"bad {key}".encode())
    with pytest.raises(ModelError) as refused:
        draft(docs, tmp_path / "other", settings(chat))
    assert key not in str(refused.value)


def test_another_machine_gets_nothing_without_consent(docs: Path, tmp_path: Path) -> None:
    announced: list[Note] = []
    llm = LlmSettings(
        "gpt", "https://llm.example.invalid/v1", price=(1.0, 2.0), on_note=announced.append
    )
    with pytest.raises(UsageError, match=r"characters of .*docs would go to llm\.example\.invalid"):
        draft(docs, tmp_path / "set", DraftSettings(llm=llm))
    [before] = announced
    sentence = say(before, "en")
    assert sentence.startswith("3 calls of gpt at llm.example.invalid: ")
    assert f"characters of {docs}" in sentence
    assert "US dollars at the declared price" in sentence
    refusing = replace(llm, consent=lambda note: False)
    with pytest.raises(UsageError, match="nobody agreed"):
        draft(docs, tmp_path / "set", DraftSettings(llm=refusing))
    assert not (tmp_path / "set").exists()


def test_decisions_about_other_passages_are_noticed_before_money_is_spent(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    folder = draft(docs, tmp_path / "set", settings(chat)).folder
    (folder / "review").mkdir()
    (folder / "review" / "kim.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="decisions of reviewers about other passages"):
        draft(docs, folder, replace(settings(chat, name="other"), chunks="fixed:40"))
    assert len(chat.seen) == 3


def test_hosts_of_this_machine() -> None:
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "127.8.9.1", "::1", "LOCALHOST.")))
    others = ("localhost.evil.com", "10.0.0.1", "0.0.0.0", "example.com", "", "127.0.0.1.nip.io")
    assert not any(map(is_this_machine, others))


def test_cost_at_a_declared_price(chat: ChatEndpoint, docs: Path, tmp_path: Path) -> None:
    said: list[Note] = []
    report = draft(docs, tmp_path / "set", settings(chat, price=(1.0, 10.0), on_note=said.append))
    made_by = report.made_by
    usd = (made_by["n_tokens_read"] + 10 * made_by["n_tokens_written"]) / 1e6
    assert made_by["usd"] == pytest.approx(usd, abs=1e-4)
    assert [say(note, "en").split(":")[0] for note in said][1] == "3 calls answered"
    chat.change = lambda record: record.pop("usage")
    report = draft(docs, tmp_path / "other", settings(chat, price=(1.0, 10.0)))
    assert report.made_by["usd"] is None


def test_at_most_so_many_passages_always_the_same(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    few = settings(chat, n_passages=2)
    first = draft(docs, tmp_path / "one", few)
    assert len(chat.seen) == 2
    assert written(draft(docs, tmp_path / "other", few)) == written(first)


def test_prompts_can_be_replaced(chat: ChatEndpoint, docs: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'system = "s"\nuser = """\n{styles}\n<<<{mark}>>>\n{passage}\n<<<{mark}>>>\n"""\n'
        '[styles]\nshort = "짧게"\n[body]\ntemperature = 0\n',
        encoding="utf-8",
    )
    report = draft(docs, tmp_path / "set", settings(chat, prompts=path))
    assert {question.style for question in report.questions} == {"short"}
    assert chat.seen[0]["temperature"] == 0
    path.write_text(
        'system = "s"\nuser = "{passage}"\n[styles]\nshort = "짧게"\n', encoding="utf-8"
    )
    with pytest.raises(UsageError, match=r"it lacks \{mark\}, \{styles\}"):
        draft(docs, tmp_path / "set", settings(chat, prompts=path))
    with pytest.raises(UsageError, match="no file of prompts"):
        draft(docs, tmp_path / "set", settings(chat, prompts=tmp_path / "nowhere.toml"))
    with pytest.raises(UsageError, match="styles keyword, colloquial, formal, typos, not poem"):
        draft(docs, tmp_path / "set", settings(chat, styles=("poem",)))


def test_the_command_asks_before_text_leaves(
    chat: ChatEndpoint, docs: Path, tmp_path: Path
) -> None:
    def run(*more: str) -> tuple[int, str]:
        arguments = ["draft", str(docs), "-o", str(tmp_path / "set"), "--llm", "qwen", *more]
        outcome = CliRunner().invoke(cli, arguments)
        return outcome.exit_code, outcome.output + str(outcome.exception or "")

    code, output = run("--llm-base", "https://llm.example.invalid/v1", "--lang", "en")
    assert code != 0
    assert "Type the same command with --yes to agree." in output
    code, output = run("--llm-base", chat.url, "--llm-price", "1,2", "--lang", "en")
    assert code == 0
    assert "3 calls of qwen at 127.0.0.1" in output
    assert "12 questions (language model 12)" in output
    code, output = run("--llm-base", chat.url, "--llm-price", "free")
    assert "--llm-price takes two amounts" in output
    code, output = run()
    assert "needs its name and its address" in output
    plain = CliRunner().invoke(cli, ["draft", str(docs), "-o", str(tmp_path / "x"), "--yes"])
    assert "needs its name and its address" in str(plain.exception)
    code, output = run("--llm-base", "ftp://x")
    assert "must begin with http://" in output
