"""The sentences: language, values, and particles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kemb.boards import build_board
from kemb.cli import cli
from kemb.messages import Note, Title, language, note, notes, printable, say, use_language
from kemb.messages.particles import with_particle
from kemb.publishing.tables import to_json, to_markdown
from kemb.results.files import TaskResult
from records import record


@pytest.mark.parametrize(
    ("variables", "lang"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "kok_IN.UTF-8"}, "en"),  # Konkani
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ko_KR.UTF-8"}, "ko"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ko_KR"}, "ko"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_first_variable_of_the_locale_decides(
    variables: dict[str, str], lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language() == lang


def test_what_was_named_goes_before_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    use_language("en")
    assert language() == "en"
    use_language(None)
    assert language() == "ko"


@pytest.mark.parametrize(
    ("word", "particle", "text"),
    [
        ("모델", "은/는", "모델은"),
        ("과제", "은/는", "과제는"),
        ("순위표", "이/가", "순위표가"),
        ("구간", "을/를", "구간을"),
        ("서울", "으로/로", "서울로"),  # after ㄹ
        ("부산", "으로/로", "부산으로"),
        ("파일", "과/와", "파일과"),
        ("KLUE-STS", "은/는", "KLUE-STS는"),  # 에스
        ("KLUE-NLI", "은/는", "KLUE-NLI는"),  # 아이
        ("KorSTS (test)", "을/를", "KorSTS (test)을(를)"),  # nobody knows how test is read
        ("BAAI/bge-m3", "이/가", "BAAI/bge-m3이"),  # 삼
        ("0.1.0", "으로/로", "0.1.0으로"),  # 영
        ("0.1.1", "으로/로", "0.1.1로"),  # 일
        ("Retrieval", "을/를", "Retrieval을"),
        ("Clustering", "이/가", "Clustering이"),
        ("XML", "으로/로", "XML로"),  # 엘
        ("base", "은/는", "base은(는)"),
        ("base", "으로/로", "base(으)로"),
        ("`모델`", "을/를", "`모델`을"),
        ("", "은/는", "은(는)"),
    ],
)
def test_particles_follow_the_sound_before_them(word: str, particle: str, text: str) -> None:
    assert with_particle(word, particle) == text


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of sentences that show how values are formatted."""
    sentences = {
        "count": ("{n} {n:task|tasks}", "과제 {n}개"),
        "names": ("{names}; {names: + }", "{names}; {names: + }"),
        "share": ("{share:.0%} of {name}", "{name:은/는} {share:.0%}"),
        "list": ("{names:을/를}", "{names:을/를} 잽니다"),
    }
    table = {name: {"en": en, "ko": ko} for name, (en, ko) in sentences.items()}
    monkeypatch.setattr(notes, "table", lambda area: {"made": table}[area])


@pytest.mark.usefixtures("made_up")
def test_values_are_formatted_in_one_place() -> None:
    assert say(note("made.count", n=1), "en") == "1 task"
    assert say(note("made.count", n=2000), "en") == "2,000 tasks"
    assert say(note("made.count", n=2000), "ko") == "과제 2,000개"
    members = [Title(ko="검색", en="retrieval"), "STS", note("made.count", n=3)]
    assert say(note("made.names", names=members), "en") == (
        "retrieval, STS, 3 tasks; retrieval + STS + 3 tasks"
    )
    assert say(note("made.names", names=members), "ko") == (
        "검색, STS, 과제 3개; 검색 + STS + 과제 3개"
    )
    assert say(note("made.share", share=0.456, name="모델"), "en") == "46% of 모델"
    assert say(note("made.share", share=0.456, name="모델"), "ko") == "모델은 46%"
    assert say(note("made.list", names=["검색", "분류"]), "ko") == "검색, 분류를 잽니다"


@pytest.mark.usefixtures("made_up")
def test_a_note_that_cannot_be_said_is_an_error() -> None:
    for wrong in (note("made.nothing"), note("nowhere.count", n=1), note("made.count")):
        with pytest.raises(KeyError):
            say(wrong, "en")


def test_notes_are_values_and_their_texts_are_not_escaped() -> None:
    assert note("board.wins", share="1%", n_tasks=2) == note("board.wins", share="1%", n_tasks=2)
    assert isinstance(note("board.wins"), Note)
    markup = "<b>&amp;{n}"
    assert say(note("board.commit", commit=markup), "ko") == f"커밋 {markup}"
    assert say(markup, "en") == markup


def _verbs(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for verb in command.commands.values():
            yield from _verbs(verb)
    else:
        yield command


def test_every_verb_has_one_and_the_same_lang_option() -> None:
    verbs = list(_verbs(cli))
    options = [[option for option in verb.params if "--lang" in option.opts] for verb in verbs]
    assert len(verbs) > 20
    assert {len(found) for found in options} == {1}
    assert len({id(found[0]) for found in options}) == 1


def _result(model: str, score: float) -> TaskResult:
    scores = {"test": [{"hf_subset": "default", "main_score": score}]}
    kemb = record(date="2026-11-30T00:00:00+00:00", model={"name": model})
    path = Path("/r") / model / "r" / "t.json"
    return TaskResult(path, model, "r", "", "작은 과제", "d", scores, kemb)


def test_a_board_says_the_same_in_either_language() -> None:
    board = build_board([_result("a", 0.5), _result("b", 0.4)])
    english, korean = (to_markdown(board, lang=lang).splitlines() for lang in ("en", "ko"))
    assert len(english) == len(korean)
    assert "| Rank | Model | Score |" in "\n".join(english)
    assert "| 순위 | 모델 | 점수 |" in "\n".join(korean)
    assert "Score: 작은 과제." in english
    assert "점수: 작은 과제." in korean
    assert to_markdown(board).splitlines() == english
    use_language("ko")
    assert to_markdown(board).splitlines() == korean
    assert "Score: 작은 과제." in to_json(board)  # for programs, which do not read Korean


def test_lang_holds_for_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["board", "ko-retrieval", "--results", str(tmp_path), "--format", "md"]

    def printed(*more: str) -> str:
        return CliRunner().invoke(cli, [*arguments, *more], catch_exceptions=False).output

    assert "| 순위 |" in printed("--lang", "ko")
    assert "| Rank |" in printed()
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    assert "| 순위 |" in printed()
    assert "| Rank |" in printed("--lang", "en")


def test_what_a_stranger_says_does_nothing_to_a_terminal() -> None:
    assert printable("가 é\n\x1b[31mred\x07\u202e") == "가 é\n\ufffd[31mred\ufffd\ufffd"
