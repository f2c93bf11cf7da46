"""Files of lines: what a killed process or a full disk left spoils no other line."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from kemb.files.lines import append_line, json_lines


def test_records_are_lines_in_their_own_letters() -> None:
    text = json_lines([{"질문": "왜?\n"}, {}])
    assert text.count("\n") == 2
    assert "왜?" in text
    assert [json.loads(line) for line in text.splitlines()] == [{"질문": "왜?\n"}, {}]
    assert json_lines([]) == ""


def test_a_line_behind_a_torn_one_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    append_line(path, b"1")
    path.write_bytes(path.read_bytes() + b'{"key": "ab')
    append_line(path, b"2")
    append_line(path, b"3")
    assert path.read_bytes() == b'1\n{"key": "ab\n2\n3\n'


def test_what_does_not_fit_is_taken_away_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.jsonl"
    append_line(path, b"1")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_line(path, b"2")
    assert path.read_bytes() == b"1\n"
