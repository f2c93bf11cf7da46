"""`kemb draft` without a language model: the folder, what was left out, and what stays of an
earlier one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.drafting import DraftReport, DraftSettings, draft
from kemb.drafting.candidates import Candidate, has_letters
from kemb.drafting.chunks import Chunk
from kemb.drafting.filters import answering, question_id, sieve
from kemb.drafting.thirds import thirds
from kemb.drafting.vocabulary import Postings, overlap
from kemb.errors import DataError, DiskError, UsageError
from kemb.messages import say
from kemb.scoring.spans import Span
from kemb.tasks.own import load_folder

CARD = "카드 뒷면에 적힌 전화번호로 연락하면 상담원이 바로 사용을 막고 새것을 보내 드립니다."
BANK = "가까운 지점에 신분증을 들고 가면 통장을 그날 다시 만들어 드리며 수수료는 없습니다."
LOAN = "소득을 증명하는 서류와 재직 증명서를 준비해 두면 심사가 하루 안에 끝날 수 있습니다."


def documents(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return documents(
        tmp_path / "docs",
        card=f"# 카드 안내\n\n## 카드 분실 신고\n{CARD}\n",
        bank=f"# 통장 안내\n\nQ. 통장을 잃어버렸는데 어떻게 하나요?\nA. {BANK}\n",
        loan=f"대출에는 무엇이 필요할까요? {LOAN}\n",
    )


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_set_is_a_task_whose_answers_lie_in_its_sources(docs: Path, tmp_path: Path) -> None:
    report = draft(docs, tmp_path / "set")
    assert report.n_questions == {"faq": 1, "sentence": 1, "heading": 1, "title": 2}
    sources = {row["_id"]: row["text"] for row in rows(report.folder, "sources.jsonl")}
    corpus = {row["_id"]: row for row in rows(report.folder, "corpus.jsonl")}
    for row in corpus.values():
        assert row["text"] == sources[row["source"]][row["start"] : row["end"]]
    answers = {}
    for row in rows(report.folder, "queries.jsonl"):
        [span] = row["spans"]
        answers[row["text"]] = sources[span["source"]][span["start"] : span["end"]]
        assert row["text"] not in "".join(sources.values())
    assert answers["카드 분실 신고"] == CARD
    assert answers["통장을 잃어버렸는데 어떻게 하나요?"] == BANK
    assert answers["대출에는 무엇이 필요할까요?"] == LOAN
    spec, data = load_folder(report.folder)
    assert (spec.drafted, data.seen) == (True, 0.0)
    [part] = data.parts
    assert part.data.query_ids == [row["_id"] for row in rows(report.folder, "queries.jsonl")]  # type: ignore[union-attr]


def test_the_same_documents_give_the_same_bytes(docs: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        draft(docs, tmp_path / name)
    for path in (tmp_path / "one").rglob("*.*"):
        other = tmp_path / "other" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def chunk(id: str, text: str, start: int = 0, source: str = "d") -> Chunk:
    return Chunk(id, "", text, source, start, start + len(text))


def asked(text: str, source: str = "d", start: int = 0, end: int = 10) -> Candidate:
    return Candidate("heading", text, Span(source, start, end))


def test_the_passages_that_hold_half_of_an_answer_are_right() -> None:
    chunks = [chunk("a", "x" * 100, 0), chunk("b", "x" * 100, 100), chunk("c", "x" * 100, 200)]
    every = range(3)
    assert answering(Span("d", 40, 160), chunks, every) == [0, 1]
    assert answering(Span("d", 10, 20), chunks, every) == [0]
    assert answering(Span("d", 0, 260), chunks, every) == [0, 1, 2]
    assert answering(Span("d", 96, 210), chunks, every) == [1]
    assert answering(Span("d", 400, 500), chunks, every) == []
    long = [chunk("a", "x" * 60, 0), chunk("b", "x" * 60, 200)]
    assert answering(Span("d", 50, 215), long, range(2)) == [1]


def test_nearly_equal_passages_are_joint_answers() -> None:
    chunks = [
        chunk("a", CARD, source="a"),
        chunk("b", f"{CARD} 끝.", source="b"),
        chunk("c", BANK, source="c"),
    ]
    sieved = sieve([asked("분실 신고", "a", 0, len(CARD))], chunks)
    [question] = sieved.questions
    assert question.passages == ("a", "b")
    assert question.spans == (Span("a", 0, len(CARD)), Span("b", 0, len(CARD) + 3))
    assert sieved.n_joint_answers == 1


def test_questions_that_are_asked_twice_have_both_answers() -> None:
    chunks = [chunk("a", CARD, source="a"), chunk("b", BANK, source="b")]
    both = [asked("분실 신고", "a", 0, 40), asked("분실, 신고!", "b", 0, 40)]
    sieved = sieve(both, chunks)
    [question] = sieved.questions
    assert question.passages == ("a", "b")
    assert question.id == question_id("분실 신고") == question_id("분실신고?")
    assert sieved.n_joined == 1


def test_what_ten_passages_answer_is_left_out() -> None:
    chunks = [chunk(f"p{n}", f"단락 {n}: {CARD[n:]}", 100 * n) for n in range(10)]
    for n_chunks, n_questions in ((9, 1), (10, 0)):
        sieved = sieve([asked("분실 신고", end=100 * n_chunks)], chunks)
        assert len(sieved.questions) == n_questions
    assert [each.reason for each in sieved.omissions] == ["ten passages or more answer it equally"]


def flags_of(question: str, passages: list[str]) -> tuple[str, ...]:
    chunks = [chunk(f"p{n}", text, source=f"d{n}") for n, text in enumerate(passages)]
    [one] = sieve([asked(question, "d0", 0, len(passages[0]))], chunks).questions
    return one.flags


def test_flags_for_reviewers() -> None:
    alike = [f"{name} 카드 분실 안내" for name in "가나다라마바사아자차"]
    assert flags_of("해외 송금 한도", [CARD]) == ("no passage holds a word of it",)
    assert flags_of("카드 분실", alike) == ("ten passages hold all its words",)
    assert flags_of("카드 분실", alike[:9]) == ()
    assert flags_of("카드 뒷면에 적힌 전화번호", [CARD]) == ("its passage holds it word for word",)
    assert flags_of("card 상담원", [CARD]) == ()
    assert flags_of("card", [f"{CARD} card"]) == ("another language than its passage",)
    assert flags_of("그렇다면 상담원은?", [CARD]) == ("begins with a word that points back",)


def test_overlap_is_a_share_of_the_questions_words() -> None:
    question = frozenset("abcd")
    assert overlap(question, [frozenset("a"), frozenset("abcx")]) == 0.75
    assert overlap(question, []) == 0.0
    assert overlap(frozenset(), [question]) == 0.0
    postings = Postings([frozenset("ab"), frozenset("abc"), frozenset("x")])
    assert postings.n_with_all(frozenset("ab")) == 2
    assert postings.n_with_all(frozenset("ax")) == 0
    assert postings.n_with_all(frozenset("az")) == 0
    assert postings.holds_none(frozenset("yz"))


def test_the_first_group_by_thirds() -> None:
    n = 60
    shares = np.repeat([0.1, 0.5, 0.9], n // 3)
    noise = np.tile([0.0, 0.1], n // 2)
    lexical = np.where(shares > 0.6, 0.9, 0.2) + noise
    dense = np.where(shares > 0.6, 0.3, 0.7) + noise[::-1]
    middle = np.full(n, 0.1) + noise
    result = thirds(np.stack([lexical, dense, middle]), shares, ["bm25", "dense", "weak"])
    assert result.of_all.first == ("dense", "bm25")
    assert [part.first for part in result.parts] == [("dense",), ("dense",), ("bm25",)]
    assert [(part.low, part.high, part.n_questions) for part in result.parts] == [
        (0.1, 0.1, 20),
        (0.5, 0.5, 20),
        (0.9, 0.9, 20),
    ]
    assert result.differ
    assert result.contradict
    sentence = result.note()
    assert sentence is not None
    assert "with 90% to 90% of their words in the passage (20 questions): bm25" in say(
        sentence, "en"
    )
    assert "선두 그룹" in say(sentence, "ko")


def test_thirds_that_agree_say_nothing() -> None:
    shares = np.linspace(0, 1, 30)
    scores = np.stack([np.full(30, 0.8) + shares / 100, np.full(30, 0.3)])
    result = thirds(scores, shares, ["a", "b"])
    assert (result.differ, result.contradict, result.note()) == (False, False, None)
    equal = thirds(scores[:, :4], np.ones(4), ["a", "b"])
    assert [part.n_questions for part in equal.parts] == [4]
    assert equal.of_all.first == ()
    one_passage = np.zeros(30, dtype=np.int64)
    alike = thirds(scores, shares, ["a", "b"], one_passage)
    assert alike.of_all.first == (), "thirty questions on one passage are one question"


def test_decisions_outlive_a_draft_of_the_same_passages(docs: Path, tmp_path: Path) -> None:
    folder = draft(docs, tmp_path / "set").folder
    first_id = rows(folder, "queries.jsonl")[0]["_id"]
    (folder / "review").mkdir()
    line = json.dumps({"query": first_id, "decision": "accept"}) + "\n"
    (folder / "review" / "kim.jsonl").write_text(line, encoding="utf-8")
    (folder / "pool.jsonl").write_text("{}\n", encoding="utf-8")
    draft(docs, folder)
    assert (folder / "review" / "kim.jsonl").read_text(encoding="utf-8") == line
    assert (folder / "pool.jsonl").exists()
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(UsageError, match="decisions of reviewers about other passages"):
        draft(docs, folder, DraftSettings(chunks="fixed:40"))
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_a_folder_of_something_else_is_not_replaced(docs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "thesis.docx").write_bytes(b"years of work")
    with pytest.raises(UsageError, match="no drafted test set"):
        draft(docs, folder)
    with pytest.raises(UsageError, match="no drafted test set"):
        draft(docs, docs / "card.md")


def test_a_full_disk_leaves_the_earlier_set(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draft(docs, tmp_path / "set").folder
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    documents(docs, more=f"## 새로운 안내 문서\n{LOAN}!\n")

    def full(*args: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskError, match=r"set cannot be written \(No space left on device\)"):
            draft(docs, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_documents_without_questions_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        draft(tmp_path / "nowhere", tmp_path / "set")
    plain = documents(tmp_path / "plain", only=CARD)
    with pytest.raises(DataError, match=r"1 document of .* gave no question.*--llm NAME"):
        draft(plain, tmp_path / "set")
    empty = documents(tmp_path / "empty", nothing="")
    with pytest.raises(DataError, match=r"No document of .* could be read: nothing\.md"):
        draft(empty, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_what_could_not_be_read_is_kept_with_the_set(docs: Path, tmp_path: Path) -> None:
    (docs / "broken.md").write_bytes(b"\xb0\xb0\xff\xff")
    report = draft(docs, tmp_path / "set")
    assert report.n_unread == 1
    kept = json.loads((report.folder / "drafted.json").read_text(encoding="utf-8"))
    assert any("broken.md" in finding for finding in kept["documents"])


def run(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli, list(arguments))
    message = str(outcome.exception) if outcome.exception else ""
    return outcome.exit_code, outcome.output + message


def test_a_document_in_two_formats_is_named_and_right_in_both(tmp_path: Path) -> None:
    body = f"# 카드 안내\n\n## 카드 분실 신고\n{CARD}\n\n## 대출 서류 준비\n{LOAN}\n"
    docs = documents(tmp_path / "docs", card=body, bank=f"# 통장\n\n## 통장 재발급 절차\n{BANK}\n")
    paragraphs = body.replace("# ", "").replace("#", "").split("\n")
    lines = "".join(f"<p>{line}</p>" for line in paragraphs)
    (docs / "web.html").write_text(f"<body>{lines}<p>인쇄</p></body>", encoding="utf-8")
    report = draft(docs, tmp_path / "set")
    [finding] = report.findings
    assert str(finding).startswith("web.html: has nearly the text of card.md; both stay")
    lost = next(question for question in report.questions if question.text == "카드 분실 신고")
    assert lost.passages[0].startswith("card.md#")


def test_passages_longer_than_models_read_are_named_with_what_to_type(tmp_path: Path) -> None:
    docs = documents(
        tmp_path / "docs",
        long=f"# 안내\n\n## 카드 분실 신고\n{CARD * 60}\n",
        bank=f"통장: {BANK}\n",
    )
    report = draft(docs, tmp_path / "set", DraftSettings(chunks="document"))
    [finding] = report.findings
    assert re.match(r"long\.md: 1 of 2 passages \(document\) .* --chunks heading:800$", str(finding))
    assert draft(docs, tmp_path / "set").findings == []


def test_ten_copies_of_a_passage_answer_no_question(tmp_path: Path) -> None:
    copies = [Chunk(f"c{n}", "", CARD, f"d{n}", 0, len(CARD)) for n in range(10)]
    lines = [Chunk(f"l{n}", "", "---", f"l{n}", 0, 3) for n in range(20)]
    asked = Candidate("faq", "카드를 어떻게 막나요?", Span("d3", 0, len(CARD)))
    sieved = sieve([asked], [*copies, *lines])
    assert [omission.reason for omission in sieved.omissions] == [
        "ten passages or more answer it equally"
    ]
    kept = sieve([asked], [*copies[:9], *lines]).questions
    assert sorted(kept[0].passages) == [f"c{n}" for n in range(9)]


def test_letters_are_counted_no_further_than_it_takes() -> None:
    assert has_letters("가, 나. 3", 3)
    assert not has_letters("가, 나. 3", 4)
    assert not has_letters("가, 나. 3", 2, 1, 5)
    assert has_letters("가, 나. 3", 2, 1)


def test_the_command_says_what_came_of_it_in_both_languages(docs: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    code, english = run("draft", str(docs), "-o", folder, "--lang", "en")
    assert code == 0
    assert "5 questions (FAQ 1, question sentences 1, headings 1, titles 2)" in english
    assert "no person has seen them yet" in english
    code, korean = run("draft", str(docs), "-o", folder, "--lang", "ko")
    assert "자주 묻는 질문 1개" in korean
    code, printed = run("draft", str(docs), "-o", folder, "--ways", "faq", "--json")
    assert json.loads(printed)["n_questions"] == {"faq": 1}
    code, error = run("draft", str(docs), "-o", folder, "--ways", "faq,llm")
    assert "Questions are found by faq, sentence, heading, title, not by llm" in error


def test_every_reason_and_flag_has_its_words() -> None:
    from kemb.messages.notes import table

    keys = set(table("draft"))
    source = Path(sieve.__code__.co_filename).read_text(encoding="utf-8")
    flags = re.findall(r'^        "([a-z ]+)": ', source, re.MULTILINE)
    assert len(flags) >= 5
    assert {f"flag_{flag.replace(' ', '_')}" for flag in flags} <= keys
    folder = Path(sieve.__code__.co_filename).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    reasons = re.findall(r'(?:reason = |return )"([a-z]+ [a-z ]+)"', code)
    assert len(reasons) >= 4
    assert {f"why_{reason.replace(' ', '_')}" for reason in reasons} <= keys


def test_a_report_can_be_made_from_python(docs: Path, tmp_path: Path) -> None:
    report = draft(docs, tmp_path / "set", DraftSettings(ways=("heading",)))
    assert isinstance(report, DraftReport)
    assert report.as_json()["headings_hidden"] is True


def test_a_set_does_not_lie_among_its_documents(docs: Path) -> None:
    with pytest.raises(UsageError, match=r"lies in .*a set stands beside them"):
        draft(docs, docs / "set")
    assert not (docs / "set").exists()
