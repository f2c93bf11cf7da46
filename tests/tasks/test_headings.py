"""Headings of Markdown, with CommonMark's own parser as the oracle."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kemb.tasks.own.headings import Heading, find_headings, title_of

PIECES = (
    *(
        "# 하나\n",
        "## 둘 ##\n",
        "### 셋#\n",
        "#붙음\n\n",
        "####### 일곱\n\n",
        "글\n\n   # 세 칸\n",
        "##\n",
    ),
    *("    # 네 칸\n\n", "글\n\n", "글\n===\n\n", "글 글\n---\n\n", "\n---\n\n", "\n===\n\n", "\n"),
    *("```\n", "````py\n", "~~~\n", "``` `x`\n\n", "# 끝 # \n", "- 항목\n\n", "> 인용\n\n"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_headings_are_commonmarks(text: str) -> None:
    lines = text.splitlines(keepends=True)
    expected = [
        (
            int(opened.tag[1:]),
            inline.content,
            "".join(lines[opened.map[0] : opened.map[1]]),
        )
        for tokens in [MarkdownIt("commonmark").parse(text)]
        for opened, inline in itertools.pairwise(tokens)
        if opened.type == "heading_open" and opened.level == 0 and opened.map
    ]
    headings = [
        (heading.level, heading.title, text[heading.start : heading.end])
        for heading in find_headings(text)
    ]
    assert headings == expected


def test_places_count_code_points() -> None:
    assert find_headings("😀\n\n# 가 \n끝") == [Heading(1, "가", 3, 8)]
    assert find_headings("# 끝") == [Heading(1, "끝", 0, 3)]


def test_the_head_of_a_file_holds_no_heading() -> None:
    text = "---\ntitle: 제목\n# 주석\n---\n# 하나\n"
    assert [heading.title for heading in find_headings(text)] == ["하나"]


def test_titles() -> None:
    assert title_of('---\nname: x\ntitle: "설치" \n---\n# 하나\n', "파일") == "설치"
    assert title_of("## 둘\n# 하나\n# 셋\n", "파일") == "하나"
    assert title_of("# \n\n## 둘\n", "파일") == "둘"
    assert title_of("글 title: x", "파일") == "파일"
