"""The folder of a run: one run at a time, and nothing of anybody else's replaced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kemb.errors import RunError, UsageError
from kemb.files import locks
from kemb.training import folder, guards, stages


def recipe(name: str = "m") -> Any:  # noqa: ANN401  stands for a RecipeFile
    return SimpleNamespace(
        recipe=SimpleNamespace(name=name), error=lambda place, text: UsageError(text)
    )


def exported(out: Path) -> Path:
    """A model's folder as a run leaves it."""
    out.mkdir(parents=True)
    (out / "model.safetensors").write_bytes(b"weights")
    (out / "README.md").write_text("card")
    digest = hashlib.sha256(b"weights").hexdigest()
    lock = {
        "recipe_sha256": "0",
        "recipe": {"name": "m"},
        "stages": {"fit": {"outputs": {"m/model.safetensors": digest}}},
    }
    (out / stages.LOCK).write_text(json.dumps(lock))
    return out


def test_a_model_replaces_what_a_run_made_and_nothing_else(tmp_path: Path) -> None:
    out = exported(tmp_path / "m")
    folder.refuse_strangers(recipe(), tmp_path, None)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no run of kemb made \(notes.txt\)"):
        folder.refuse_strangers(recipe(), tmp_path, None)
    (out / "notes.txt").unlink()
    (out / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(UsageError, match=r"\(model.safetensors\)"):
        folder.refuse_strangers(recipe(), tmp_path, None)


def test_a_folder_of_mine_with_the_model_s_name_is_refused(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / "eval" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"eval holds files .*\(a, b, c and 2 more\)"):
        folder.refuse_strangers(recipe("eval"), tmp_path, None)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file or a link"):
        folder.refuse_strangers(recipe("file"), tmp_path, None)


@pytest.mark.parametrize("name", ["results", "stages", "site", "seeds", "Results"])
def test_the_names_of_the_run_s_own_folders_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"cannot be named {name}"):
        folder.refuse_strangers(recipe(name), tmp_path, None)


def test_neither_the_base_nor_the_current_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = exported(tmp_path / "m")
    for base in (out, out / "sub"):
        with pytest.raises(UsageError, match="holds the base"):
            folder.refuse_strangers(recipe(), tmp_path, base)
    monkeypatch.chdir(out)
    with pytest.raises(UsageError, match="in which this command works"):
        folder.refuse_strangers(recipe(), tmp_path, None)


def test_a_lock_file_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / stages.LOCK).write_text('{"mine": 1}')
    with pytest.raises(UsageError, match=r"recipe\.lock\.json is none"):
        folder.refuse_strangers(recipe(), tmp_path, None)


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    lock = tmp_path / "run" / folder.LOCK
    with folder.alone(tmp_path / "run"):
        assert locks.holder_of(lock) is not None
        with (
            pytest.raises(RunError, match=r"Another run works in .*: process \d+ on .*, since 20"),
            folder.alone(tmp_path / "run"),
        ):
            pass
    assert not lock.exists()


def test_a_stage_that_was_interrupted_or_damaged(tmp_path: Path) -> None:
    notes: list[str] = []
    inputs = {"a": 1}

    def work(place: Path) -> dict[str, Any]:
        assert sorted(path.name for path in place.iterdir()) == ["inputs.json"]
        (place / "x").write_text("x")
        return {}

    def begin() -> stages.Stage:
        return stages.run_stage(tmp_path, "mine", inputs, work, on_note=notes.append)

    partial = tmp_path / "stages" / f"mine-{stages.key_of('mine', inputs)}{stages.PARTIAL}"
    partial.mkdir(parents=True)
    stage = begin()  # a kill before anything was written
    (stage.folder / "x").write_text("y")
    (stage.folder / "notes").write_text("mine")
    begin()
    aside = stage.folder.with_name(f"{stage.folder.name}.damaged")
    assert (aside / "notes").read_text() == "mine"
    assert str(aside) in notes[-1]
    (tmp_path / "stages" / "other-000000000000.partial").mkdir()
    stage.folder.rename(partial)
    (partial / "inputs.json").write_text("{}")  # not what this stage writes
    begin()
    assert (partial.with_suffix(".aside") / "x").read_text() == "x"
    assert str(partial.with_suffix(".aside")) in notes[-1]


def test_a_checkpoint_is_whole_with_its_mark_and_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1234")
    mark = tmp_path / guards.MARK
    assert guards.read_mark(tmp_path) is None
    mark.write_text('{"step": 3, "fit": "k", "files": {"weights": 4}}')
    assert guards.read_mark(tmp_path) == {"step": 3, "fit": "k"}
    (tmp_path / "weights").write_bytes(b"123")
    assert guards.read_mark(tmp_path) is None
    (tmp_path / "weights").unlink()
    assert guards.read_mark(tmp_path) is None
    mark.write_text('{"step": 3, "fit": "k"}')  # as kemb wrote it before
    assert guards.read_mark(tmp_path) == {"step": 3, "fit": "k"}
    for torn in ("", "{", "[]", '{"step": "x", "fit": "k"}'):
        mark.write_text(torn)
        assert guards.read_mark(tmp_path) is None
