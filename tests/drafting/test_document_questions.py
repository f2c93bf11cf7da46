"""Questions that documents hold already, and documents without them."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemb.drafting.candidates import WAYS, Candidate, Way, asking_sentences, candidates, plain
from kemb.drafting.cutting import Edit, Edited, without_questions
from kemb.drafting.filters import with_parents
from kemb.tasks.own.documents import Document

ANSWER = "카드 뒷면의 번호를 누르면 되며, 잃어버린 때에는 상담원이 새 번호를 바로 만들어 드립니다."


def document(text: str, title: str = "", id: str = "문서.md") -> Document:
    return Document(id, title, text)


def pairs(text: str, *ways: Way, title: str = "") -> list[tuple[str, str]]:
    """Questions and their answers, without white space at the ends."""
    questions, _ = candidates(document(text, title), ways or WAYS)
    return [(q.text, text[q.answer.start : q.answer.end].strip()) for q in questions]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (f"Q: 번호를 잊었습니다\nA: {ANSWER}\n", "번호를 잊었습니다"),
        (f"Q1. 번호를 잊었나요?\nA1. {ANSWER}\n", "번호를 잊었나요?"),
        (f"**Q.** 번호를 잊었나요?\n\n**A.** {ANSWER}\n", "번호를 잊었나요?"),
        (f"질문: 번호를 잊었나요?\n답변: {ANSWER}\n", "번호를 잊었나요?"),
        (f"[질문] 번호를 잊었나요?\n[답변] {ANSWER}\n", "번호를 잊었나요?"),
        (f"문 1. 번호를 잊었나요?\n답 1. {ANSWER}\n", "번호를 잊었나요?"),
        (f"- Q1 번호를 잊었나요?\n- A1 {ANSWER}\n", "번호를 잊었나요?"),
        (f"Q. 번호를\n잊었나요?\nA. {ANSWER}\n", "번호를 잊었나요?"),
        (f"### Q. 번호를 잊었나요?\n{ANSWER}\n", "번호를 잊었나요?"),
        (f"## 번호를 잊었나요?\n\n{ANSWER}\n", "번호를 잊었나요?"),
    ],
)
def test_faqs(text: str, question: str) -> None:
    assert pairs(text, "faq") == [(question, ANSWER)]


def test_an_answer_ends_at_the_next_question() -> None:
    text = f"Q: 첫째 질문\nA: {ANSWER}\n둘째 줄.\n\nQ: 둘째 질문\nA: {ANSWER}!\n"
    assert pairs(text, "faq") == [
        ("첫째 질문", f"{ANSWER}\n둘째 줄."),
        ("둘째 질문", f"{ANSWER}!"),
    ]


def test_words_that_only_begin_like_a_mark_ask_nothing() -> None:
    for line in ("Queue: 대기열", "문서: 목록", "질문이 많다", "Q&A 모음", "A안과 B안"):
        assert pairs(f"{line}\n{ANSWER}\n", "faq") == []


def test_headings_have_the_text_up_to_the_next_one() -> None:
    text = f"# 안내\n\n머리말은 짧다.\n\n## 1. 카드 분실\n{ANSWER}\n\n### 재발급\n{ANSWER}!\n"
    assert pairs(text, "heading", title="안내") == [("카드 분실", ANSWER), ("재발급", f"{ANSWER}!")]


def test_the_text_after_a_question_answers_it_else_the_next_paragraph() -> None:
    text = f"번호를 잊었나요? {ANSWER}\n\n왜 필요할까요?\n\n{ANSWER} 둘째.\n"
    assert pairs(text, "sentence") == [
        ("번호를 잊었나요?", ANSWER),
        ("왜 필요할까요?", f"{ANSWER} 둘째."),
    ]


@pytest.mark.parametrize("mark", ["Q ", "Q2 ", "Q. ", "질문: "])
def test_marks_before_a_sentence_are_no_words_of_it(mark: str) -> None:
    text = f"{mark}배송은 언제 오나요?\n\n{ANSWER}\n"
    assert pairs(text, "sentence") == [("배송은 언제 오나요?", ANSWER)]


@pytest.mark.parametrize(
    "question",
    [
        "신청은 어디에서 합니까.",
        "어디에서 신청하나요",
        "이 방법이 옳은가",
        "왜 그렇게 될까…",
        "Why is it so?",
    ],
)
def test_sentences_that_ask_are_found_with_and_without_a_mark(question: str) -> None:
    assert pairs(f"{question}\n\n{ANSWER}\n", "sentence") == [(question, ANSWER)]


def test_questions_in_code_and_tables_are_none() -> None:
    text = f"```\n이것은 무엇인가요?\n\n{ANSWER}\n```\n\n| 어디로 가나요? | {ANSWER} |\n"
    assert pairs(text, "sentence") == []


def test_a_title_is_asked_of_its_whole_document_and_a_file_name_of_none() -> None:
    text = f"# 카드 안내\n{ANSWER}"
    assert pairs(text, "title", title="카드 안내") == [("카드 안내", text)]
    assert pairs(text, "title", title="문서") == []


def test_what_is_too_short_to_answer_is_listed() -> None:
    questions, omissions = candidates(document("## 카드 분실\n없음\n"), WAYS)
    assert questions == []
    assert [(each.question, each.reason) for each in omissions] == [
        ("카드 분실", "too little text answers it")
    ]


ENDINGS = {
    "어디에서 신청합니까": True,
    "어떻게 하나요.": True,
    "무엇이 다른가요": True,
    "이 방법이 옳은가": True,
    "왜 그럴까": True,
    "언제 바꾸면 될까요": True,
    "누가 할 것이냐": True,
    "서류를 냈습니다.": False,
    "비가 오니까": False,
    "사용 허가": False,
    "그는 이 분야의 전문가": False,
    "값이 크게 올라가": False,
    'He said "why?"': True,
}


@pytest.mark.parametrize("has_kiwi", [True, False])
def test_korean_endings_that_ask(has_kiwi: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_kiwi:
        pytest.importorskip("kiwipiepy")
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert dict(zip(ENDINGS, asking_sentences(list(ENDINGS)), strict=True)) == ENDINGS


def test_marks_of_markdown_are_no_words() -> None:
    assert plain("1. **설치** [가이드](http://x.y) {#anchor}") == "설치 가이드"
    assert plain("`v-if` 와 _이름_ {/*id*/}") == "v-if 와 이름"
    assert plain("2024 결산") == "2024 결산"
    assert plain("제3장 요금 snake_case_name") == "요금 snake_case_name"


def test_headings_stand_alone_where_they_can() -> None:
    text = (
        f"# 카드\n\n## 재발급\n{ANSWER}\n## 분실 신고 방법\n{ANSWER}\n"
        f"# 통장\n\n## 분실 신고 방법\n{ANSWER}\n"
    )
    questions, _ = candidates(document(text), ["heading"])
    named, omissions = with_parents(questions)
    assert [each.text for each in named] == [
        "카드 재발급",
        "카드 분실 신고 방법",
        "통장 분실 신고 방법",
    ]
    assert omissions == []


def test_a_question_does_not_stand_in_its_own_passage() -> None:
    text = (
        f"---\ntitle: 카드 안내\n---\n# 카드 안내\n\n머리말.\n\n분실 신고\n-----\n{ANSWER}\n\n"
        f"왜 필요할까요? {ANSWER}\n\nQ. 번호를 잊었나요?\nA. {ANSWER}\n"
    )
    questions, _ = candidates(document(text, "카드 안내"), WAYS)
    [bare], moved = without_questions([document(text, "카드 안내")], questions, True)
    assert bare.title == ""
    for words in ("카드 안내", "분실 신고", "잊었나요", "왜 필요"):
        assert words not in bare.text
    assert bare.text.startswith("#\n\n머리말.\n\n##\n")
    answers = {each.way: bare.text[each.answer.start : each.answer.end] for each in moved}
    assert answers["faq"].startswith(ANSWER)
    assert answers["sentence"] == ANSWER
    assert answers["heading"].startswith(ANSWER)


def test_an_answer_ends_before_the_marks_of_the_next_heading() -> None:
    text = f"# 안내\n\n## 분실했나요?\n{ANSWER}\n\n## 요금은?\n{ANSWER}\n"
    questions, _ = candidates(document(text, "안내"), ["faq"])
    for hides_headings in (True, False):
        [bare], moved = without_questions([document(text, "안내")], questions, hides_headings)
        answers = [bare.text[each.answer.start : each.answer.end] for each in moved]
        assert answers == [ANSWER, ANSWER]


def test_headings_stay_where_none_is_a_question() -> None:
    text = f"# 안내\n\n## 번호를 잊었나요?\n{ANSWER}\n"
    questions, _ = candidates(document(text, "안내"), ["faq"])
    [bare], _ = without_questions([document(text, "안내")], questions, False)
    assert (bare.title, bare.text) == ("안내", f"# 안내\n\n##\n{ANSWER}\n")


@given(st.text(alphabet="abc \n", max_size=30), st.data())
def test_places_move_with_their_characters(text: str, data: st.DataObject) -> None:
    places = st.integers(0, len(text))
    edits = [
        Edit(*sorted(data.draw(st.tuples(places, places))), instead)
        for instead in data.draw(st.lists(st.sampled_from(["", "#", "##\n"]), max_size=3))
    ]
    edited = Edited(text, edits)
    gone = {place for edit in edits for place in range(edit.start, edit.end)}
    for place in set(range(len(text))) - gone:
        assert edited.text[edited.moved(place)] == text[place]
    assert edited.moved(len(text)) == len(edited.text)


def test_ways_are_kept_apart() -> None:
    text = f"# 안내\n## 카드 분실\n왜 필요할까요? {ANSWER}\n\nQ. 번호는?\nA. {ANSWER}\n"
    for way in WAYS:
        questions, _ = candidates(document(text, "안내"), [way])
        assert {each.way for each in questions} == {way}
        assert all(isinstance(each, Candidate) for each in questions)
