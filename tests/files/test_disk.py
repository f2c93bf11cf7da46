"""Files appear whole or not at all, and JSON is read within bounds."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kemb.errors import DiskError
from kemb.files import disk


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_scratch_folder_goes_and_one_that_a_killed_process_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = """if True:
        import os
        from kemb.files import disk
        with disk.scratch_folder():
            os.kill(os.getpid(), 9)
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    (left,) = names(tmp_path)
    (tmp_path / "mine").mkdir()
    with disk.scratch_folder() as folder:
        assert names(tmp_path) == sorted(["mine", folder.name])
        assert folder.name != left
        (folder / "x").write_text("x")
    assert names(tmp_path) == ["mine"]


def test_a_file_is_written_with_its_folder_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    disk.write(path, "가\r\n", "hint")
    disk.write(path, b"two", "hint", sync=True)
    assert path.read_bytes() == b"two"
    disk.write(path, "가\r\n", "hint")
    assert path.read_bytes() == "가\r\n".encode()
    assert names(path.parent) == ["b.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_is_a_disk_error_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    if broken == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskError) as caught:
        disk.write(path, "new", "Free space.", sync=True)
    message = f"{path} cannot be written (No space left on device). Free space."
    assert str(caught.value) == message
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_folder_that_is_a_file_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"file/x cannot be written \(.*\)\. Name another\."):
        disk.write(tmp_path / "file" / "x", "new", "Name another.")


def test_any_other_failure_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), disk.replacing(tmp_path / "x") as unfinished:
        unfinished.write_text(str(1 / 0))
    assert names(tmp_path) == []


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site"
    for name in ("old", "new"):
        with disk.replacing_folder(path) as unfinished:
            unfinished.mkdir()
            (unfinished / name).write_text(name)
        assert names(path) == [name]
    assert names(tmp_path) == ["site"]
    rename = Path.rename

    def failing(source: Path, target: Path) -> Path:
        if target == path and (source / "newest").exists():
            full()
        return rename(source, target)

    def replace() -> None:
        with (
            disk.writing("site cannot be written", "Free space."),
            disk.replacing_folder(path) as unfinished,
        ):
            unfinished.mkdir()
            (unfinished / "newest").write_text("")

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(DiskError, match="cannot be written"):
        replace()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["site"]


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert disk.sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_json_is_written_as_results_are() -> None:
    assert disk.json_text({"b": ["가"], "a": None}) == '{\n "b": [\n  "가"\n ],\n "a": null\n}\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a": "\\ud800"}', "half of a character"),
        ('{"\\uDFFF": 1}', "half of a character"),
        ('{"a": ' + "9" * 5000 + "}", "limit"),
        ("{", "Expecting"),
    ],
)
def test_json_out_of_bounds_is_refused(content: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        disk.parse_json(content.encode())


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused_where_asked(number: str) -> None:
    content = f'{{"a": {number}}}'.encode()
    assert isinstance(disk.parse_json(content)["a"], float)
    with pytest.raises(ValueError, match=number):
        disk.parse_json(content, finite=True)


def test_whole_characters_beyond_16_bits_and_broken_utf8() -> None:
    assert disk.parse_json(b'"\\ud83d\\ude00"') == "😀"
    with pytest.raises(ValueError, match="utf-8"):
        disk.parse_json(b'"\xff"')


def test_devices_and_large_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(ValueError, match="no regular file"):
            disk.read_json(tmp_path / name)
    (tmp_path / "x").write_text("[1, 2]")
    assert disk.read_json(tmp_path / "x", most_bytes=6) == [1, 2]
    with pytest.raises(ValueError, match="it has 6 bytes; at most 5"):
        disk.read_json(tmp_path / "x", most_bytes=5)
