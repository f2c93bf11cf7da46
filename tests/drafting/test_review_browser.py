"""The page of a review as a person has it: keys, a phone, a screen reader, and a stopped server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browser import AXE, chromium, needs
from drafted_folder import HOSTILE, drafted
from kemb.drafting.review import reviewing
from kemb.tasks.own.decisions import Decision, read_decisions
from kemb.tasks.own.findings import Findings

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Reviewer:
    """A fresh profile on the page of a review; notes what goes wrong and what leaves the server."""

    def __init__(self, browser: Browser, folder: Path, name: str, **options: Any) -> None:  # noqa: ANN401
        self.folder, self.name = folder, name
        self.reviewing = reviewing(folder, name)
        self.server, _ = self.reviewing.__enter__()
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.02])
        self.thread.start()
        self.is_serving = True
        self.problems: list[str] = []
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.problems.append(said.text) if said.type == "error" else None,
        )
        self.context.on("request", lambda asked: self._check(asked.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.server.address, "data:", "about:")):
            self.problems.append(f"asked somebody else: {url}")

    def open(self, lang: str = "en") -> Page:
        self.page.goto(f"{self.server.address}?lang={lang}")
        self.page.wait_for_selector("#work:not([hidden])")
        return self.page

    def press(self, key: str, status: str) -> None:
        self.page.keyboard.press(key)
        self.page.wait_for_function(
            "text => document.getElementById('status').textContent.includes(text)", arg=status
        )

    def question(self, text: str) -> None:
        self.page.wait_for_function(
            "text => document.getElementById('question').textContent.startsWith(text)", arg=text
        )

    def decisions(self) -> tuple[dict[str, Decision], dict[Any, Decision]]:
        decisions = read_decisions(self.folder, Findings())
        return decisions.questions[self.name], decisions.pairs[self.name]

    def stop(self) -> None:
        if self.is_serving:
            self.server.shutdown()
            self.thread.join()
            self.reviewing.__exit__(None, None, None)
            self.is_serving = False

    def close(self) -> None:
        self.context.close()
        self.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return drafted(tmp_path / "drafted")


@pytest.fixture
def mina(browser: Browser, folder: Path) -> Iterator[Reviewer]:
    reviewer = Reviewer(browser, folder, "mina")
    yield reviewer
    reviewer.close()


def test_a_review_by_keys_alone(mina: Reviewer) -> None:
    page = mina.open()
    mina.question("0번 문단의 답은?")
    assert page.locator("#gold mark").inner_text() == "답은 숫자 0입니다."
    assert page.locator("#candidates > li").count() == 5
    first = page.locator("#candidates > li h3").first.inner_text()
    page.keyboard.press("1")
    page.wait_for_selector('#candidates > li:first-child button[aria-pressed="true"]')
    page.keyboard.press("Shift+Digit2")
    page.wait_for_selector('#candidates > li:nth-child(2) button[aria-pressed="true"]')
    page.keyboard.press("a")
    mina.question("1번")
    page.keyboard.press("x")
    mina.question("2번")
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("2번 문단에 적힌 숫자는? a x u 1")  # no key while one types
    page.keyboard.press("Control+Enter")
    mina.question("3번")
    assert page.locator("#progress").inner_text() == ("3 of 6 questions decided, 2 passages judged")
    page.keyboard.press("p")
    mina.question("2번 문단에 적힌 숫자는?")
    mina.press("u", "taken back")
    mina.question("2번 문단의 답은?")
    page.keyboard.press("o")
    mina.question("3번")
    questions, pairs = mina.decisions()
    assert {query: decision.decision for query, decision in questions.items()} == {
        "q0": "accept",
        "q1": "reject",
    }
    judged = {document: decision.decision for (_, document), decision in pairs.items()}
    assert sorted(judged.values()) == ["right", "wrong"]
    assert first.startswith("문단")
    edits = [
        json.loads(line)
        for line in mina.server.session.log.path.read_text(encoding="utf-8").splitlines()
        if '"edit"' in line
    ]
    assert [edit["text"] for edit in edits] == ["2번 문단에 적힌 숫자는? a x u 1"]
    assert mina.problems == []


def test_a_decision_that_is_slow_to_write_marks_no_other_question(mina: Reviewer) -> None:
    log, may_write = mina.server.session.log, threading.Event()
    append = log.append

    def slowly(decision: Decision) -> Decision:
        may_write.wait(10)
        return append(decision)

    log.append = slowly  # type: ignore[method-assign]
    page = mina.open()
    mina.question("0번")
    page.keyboard.press("x")
    page.keyboard.press("n")
    mina.question("1번")
    may_write.set()
    page.wait_for_function(  # a function: the page's policy forbids to evaluate an expression
        "() => document.getElementById('progress').textContent.startsWith('1 of 6')"
    )
    page.wait_for_timeout(100)
    assert page.locator("#reject").get_attribute("aria-pressed") == "false"
    mina.question("1번")
    page.keyboard.press("o")
    mina.question("2번")
    assert list(mina.decisions()[0]) == ["q0"]


def test_texts_of_others_stay_texts_and_nobody_else_is_asked(mina: Reviewer) -> None:
    page = mina.open("ko")
    assert HOSTILE in page.locator("#question").inner_text()
    assert HOSTILE in page.locator("#gold").inner_text()
    assert page.evaluate("window.harm") is None
    assert page.locator("#work img, #work script").count() == 0
    assert page.locator("#accept").inner_text().startswith("채택")
    # The policy holds even for code that runs in the page.
    refused = page.evaluate("fetch('http://127.0.0.1:9/x').then(() => 'sent', error => error.name)")
    assert refused == "TypeError"
    assert any("Content Security Policy" in problem for problem in mina.problems)
    page.click("#language")
    page.wait_for_selector("#work:not([hidden])")
    assert page.locator("html").get_attribute("lang") == "en"


def test_on_a_phone_by_touch(browser: Browser, folder: Path) -> None:
    reviewer = Reviewer(
        browser,
        folder,
        "jun",
        viewport={"width": 360, "height": 700},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )
    try:
        page = reviewer.open("ko")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
        for box in page.locator("button:visible").all():
            assert (box.bounding_box() or {"height": 0})["height"] >= 44
        page.tap("#accept")
        reviewer.question("1번")
        page.tap("#candidates > li:nth-child(1) button[data-judgment=wrong]")
        page.wait_for_selector("#candidates button[data-judgment=wrong][aria-pressed=true]")
        page.tap("#change")
        page.fill("#new-text", "고친 질문은?")
        page.tap("#save")
        reviewer.question("2번")
        questions, pairs = reviewer.decisions()
        assert questions["q1"].text == "고친 질문은?"
        assert len(pairs) == 1
        assert reviewer.problems == []
    finally:
        reviewer.close()


def test_two_reviewers_at_once_in_one_folder(
    browser: Browser, folder: Path, mina: Reviewer
) -> None:
    mina.open()
    jun = Reviewer(browser, folder, "jun")
    try:
        jun.open()
        mina.page.keyboard.press("a")
        jun.page.keyboard.press("x")
        mina.question("1번")
        jun.question("1번")
        merged = read_decisions(folder, Findings()).merged()
        assert [conflict.query for conflict in merged.conflicts] == ["q0"]
    finally:
        jun.close()


def test_a_server_that_is_gone_loses_nothing_and_says_so(mina: Reviewer) -> None:
    page = mina.open()
    page.keyboard.press("a")
    mina.question("1번")
    mina.stop()
    page.keyboard.press("e")
    page.fill("#new-text", "오래 생각해 고친 질문은?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#error:not([hidden])")
    assert "kemb does not answer" in page.locator("#error").inner_text()
    assert page.input_value("#new-text") == "오래 생각해 고친 질문은?"
    assert list(mina.decisions()[0]) == ["q0"]


def test_for_a_screen_reader(mina: Reviewer) -> None:
    needs(AXE)
    for lang in ("ko", "en"):
        page = mina.open(lang)
        page.keyboard.press("e")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run().then(told => told.violations)")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "change"
    page.keyboard.press("a")
    mina.question("1번")
    # The next question is read out, and what became of the last one.
    assert page.evaluate("document.activeElement.id") == "question"
    assert page.locator("#status").get_attribute("role") == "status"
    assert page.locator("#status").inner_text() == "Saved: accepted."
    page.click("summary")
    page.uncheck("#keys")
    page.locator("#question").focus()
    page.keyboard.press("x")
    page.wait_for_timeout(100)
    assert page.locator("#question").inner_text().startswith("1번")
