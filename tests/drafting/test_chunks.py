"""Chunks: their places are exact, nothing is lost, and each way of cutting keeps its promise."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemb.drafting import chunks
from kemb.drafting.chunks import chunk, parse_chunking, sentences
from kemb.errors import MissingExtra, UsageError
from kemb.tasks.own.documents import Document

GUIDE = """# 설치 안내

먼저 파이썬을 설치한다. 그다음 pip로 😀 패키지를 받는다! 되었는가?
줄이 여기서 끊어지지만 문장은
이어집니다. 다음 문장입니다.

## 설정

### 파일

- 항목 하나입니다. 둘째 문장.
- 항목 둘

```
# 제목이 아니다
```

## 끝
"""
PIECES = [
    "가나다. ",
    "라마?\n",
    "\n\n",
    "# 제목\n",
    "## \n",
    "- 항목\n",
    "word ",
    "😀",
    "\u3000",
    "각",
]
PIECES += ["긴" * 37, "```\n", "3.5 ", "| a | b |\n", "==\n", "\t", "끝입니다. "]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60)
SPECS = st.builds(
    lambda kind, size, overlap: f"{kind}:{size}+{overlap % size}",
    st.sampled_from(["sentences", "heading", "fixed"]),
    st.integers(1, 60),
    st.integers(0, 59),
) | st.just("document")


def cut(text: str, spec: str) -> list[str]:
    return [piece.text for piece in chunk([Document("a.md", "안내", text)], spec)]


@settings(max_examples=150, deadline=None)
@given(TEXTS, SPECS)
def test_places_are_exact_chunks_are_small_enough_and_nothing_is_lost(text: str, spec: str) -> None:
    pieces = chunk([Document("a.md", "안내", text)], spec)
    size = parse_chunking(spec).size or len(text)
    covered = set()
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end] == piece.text.strip() != ""
        assert len(piece.text) <= size
        assert piece.id == f"a.md#{piece.start}-{piece.end}"
        covered |= set(range(piece.start, piece.end))
    assert {i for i, letter in enumerate(text) if not letter.isspace()} <= covered
    assert len({piece.id for piece in pieces}) == len(pieces)
    starts = [piece.start for piece in pieces]
    assert starts == sorted(set(starts))


@settings(max_examples=100, deadline=None)
@given(TEXTS, SPECS)
def test_a_chunk_repeats_no_more_than_the_overlap(text: str, spec: str) -> None:
    pieces = chunk([Document("a.md", "안내", text)], spec)
    for before, after in itertools.pairwise(pieces):
        assert before.end - after.start <= parse_chunking(spec).overlap
        assert after.end > before.end


def test_fixed_windows() -> None:
    assert cut("abcdefghij", "fixed:4") == ["abcd", "efgh", "ij"]
    assert cut("abcdefghij", "fixed:4+2") == ["abcd", "cdef", "efgh", "ghij"]
    assert cut("  \n ", "fixed:4") == []


def test_sentences_are_put_together_up_to_the_size() -> None:
    assert cut(GUIDE, "sentences:40")[:4] == [
        "# 설치 안내\n\n먼저 파이썬을 설치한다.",
        "그다음 pip로 😀 패키지를 받는다! 되었는가?",
        "줄이 여기서 끊어지지만 문장은\n이어집니다. 다음 문장입니다.",
        "## 설정\n\n### 파일\n\n- 항목 하나입니다. 둘째 문장.\n- 항목 둘",
    ]
    text = "비가 온다. 눈이 온다. 해가 뜬다. 별이 뜬다."
    assert cut(text, "sentences:13") == ["비가 온다. 눈이 온다.", "해가 뜬다. 별이 뜬다."]
    assert cut(text, "sentences:13+6") == [
        "비가 온다. 눈이 온다.",
        "눈이 온다. 해가 뜬다.",
        "해가 뜬다. 별이 뜬다.",
    ]


def test_a_sentence_longer_than_the_size_is_cut_at_white_space() -> None:
    assert cut("가나다라 마바사아 자차카타", "sentences:10") == ["가나다라 마바사아", "자차카타"]
    assert cut("가" * 25, "sentences:10") == ["가" * 10, "가" * 10, "가" * 5]


def test_sections_stand_with_their_headings_and_bare_headings_with_what_follows() -> None:
    assert cut("머리말\n\n" + GUIDE, "heading:200") == [
        "머리말",
        GUIDE[: GUIDE.index("## 설정")].strip(),
        GUIDE[GUIDE.index("## 설정") : GUIDE.index("## 끝")].strip(),
        "## 끝",
    ]
    assert cut("# A\n\n한 줄\n둘째 줄\n셋째 줄", "heading:12") == [
        "# A\n\n한 줄",
        "둘째 줄\n셋째 줄",
    ]


def test_a_document_as_a_whole() -> None:
    documents = [Document("a", "A", " 하나. 둘. "), Document("b", "B", "셋.")]
    whole = [(piece.source, piece.title, piece.text) for piece in chunk(documents, "document")]
    assert whole == [("a", "A", "하나. 둘."), ("b", "B", "셋.")]


@pytest.mark.parametrize("spec", ["sentence:300", "fixed", "fixed:0", "fixed:-1", "fixed:1e3", ""])
def test_an_unknown_chunking_names_the_known_ones(spec: str) -> None:
    with pytest.raises(UsageError, match=r"sentences:N, heading:N or fixed:N.*--chunks"):
        parse_chunking(spec)


def test_an_overlap_of_the_whole_size_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Type for example: fixed:400\+80"):
        parse_chunking("fixed:400+400")


@pytest.mark.parametrize("name", ["sentences:300", "heading:800+80", "fixed:5", "document"])
def test_the_name_is_what_was_typed(name: str) -> None:
    assert parse_chunking(f" {name} ").name == name


def test_without_kiwi_sentences_end_at_marks_and_the_chunking_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(what: str) -> None:
        raise MissingExtra(what, "kiwi")

    monkeypatch.setattr(chunks, "load_kiwi", missing)
    sentences.cache_clear()
    text = '그는 "왜?" 라고 물었다. 3.5 판이다! 끝'
    assert [text[start:end] for start, end in sentences(text)] == [
        '그는 "왜?"',
        "라고 물었다.",
        "3.5 판이다!",
        "끝",
    ]
    sentences.cache_clear()
    with pytest.raises(MissingExtra, match=r"sentences:300.*kemb\[kiwi\]"):
        cut(text, "sentences:300")
