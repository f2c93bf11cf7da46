"""What a newcomer types wrong first, and what stands there while kemb is getting ready."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.drafting.make import beside
from kemb.errors import KembError, UsageError
from kemb.messages import use_language
from kemb.publishing.terminal import TerminalReporter


@pytest.mark.parametrize("verb", [["choose"], ["run", "-m", "toy"]])
def test_a_word_that_is_nothing_says_what_could_stand_there(verb: list[str]) -> None:
    with pytest.raises(KembError) as caught:
        CliRunner().invoke(cli, [*verb, "nosuch"], catch_exceptions=False, standalone_mode=False)
    assert "Unknown folder, file or task 'nosuch'" in str(caught.value)
    assert "./mydata" in str(caught.value)
    assert "`kemb tasks`" in str(caught.value)


def test_a_pipe_is_no_submission_and_not_called_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.zip")
    arguments = ["verify", str(tmp_path / "x.zip")]
    with pytest.raises(UsageError, match="it is a pipe") as caught:
        CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    assert "kemb submit" in str(caught.value)


def test_the_line_before_the_first_row_is_a_sentence() -> None:
    use_language("ko")
    with TerminalReporter() as reporter:
        assert reporter._line() == "데이터와 모델을 준비하는 중, 0초째"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("docs", "docs-test"),
        ("a/docs/", "a/docs-test"),
        ("./docs", "docs-test"),
        (".", "../x-test"),
    ],
)
def test_a_set_stands_beside_its_documents_by_the_path_that_was_typed(
    source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    assert beside(Path(source)) == Path(target)
