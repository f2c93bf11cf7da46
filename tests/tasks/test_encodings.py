"""Encodings are decided only where they are certain."""

from __future__ import annotations

import pytest

from kemb.tasks.own.encodings import decode
from kemb.tasks.own.findings import Findings

KOREAN = "질문,정답\n출장 숙박비는 얼마인가?,c1\n똠방각하는 누구인가?,c2\n"


def decoded(raw: bytes) -> tuple[str | None, list[str]]:
    findings = Findings()
    text = decode(raw, "a.csv", findings)
    return text, [f"{finding.level}: {finding.kind}" for finding in findings.kept]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_needs_no_word(encoding: str) -> None:
    assert decoded(KOREAN.encode(encoding)) == (KOREAN, [])


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-le", "utf-16-be"])
def test_what_is_certain_is_read_and_said(encoding: str) -> None:
    assert decoded(KOREAN.encode(encoding)) == (KOREAN, ["warning: encoding decided"])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("问题,答案\n出差的住宿费是多少钱一天,十万韩元\n国内出差规定在哪里,第二条\n", "gbk"),
        ("問題,答案\n出差的住宿費是多少錢一天,十萬韓元\n", "big5"),
        ("質問,答え\n出張の宿泊費はいくらですか,十万ウォン\nこれは何ですか,テスト\n", "shift_jis"),
        ("質問,答え\n出張の宿泊費はいくらですか,十万ウォン\nこれは何ですか,テスト\n", "euc_jp"),
        ("Où est l'hôtel,à côté\nÜber die Straße,groß\n", "latin-1"),
        ("вопрос,ответ\nсколько стоит гостиница,сто\n", "cp1251"),
        ("question,answer\n가,b\n", "cp949"),
    ],
)
def test_other_encodings_are_refused(text: str, encoding: str) -> None:
    assert decoded(text.encode(encoding)) == (None, ["error: encoding"])


def test_a_file_of_two_encodings_is_refused() -> None:
    assert decoded(KOREAN.encode() + KOREAN.encode("cp949"))[0] is None
    assert decoded(KOREAN.encode("cp949") + KOREAN.encode())[0] is None
    assert decoded(KOREAN.encode("utf-16") + b"\x00")[0] is None


def test_a_stray_nul_is_part_of_the_text() -> None:
    assert decoded((KOREAN + "\0").encode()) == (KOREAN + "\0", [])
