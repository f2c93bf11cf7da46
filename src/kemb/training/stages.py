"""Stages of a run: each is a folder named by the hash of everything that went into it, so a rerun
does what changed.

`<run>/stages/<stage>-<key>/` holds the outputs and `stage.json`; while it is made the folder ends
    in `.partial`.
`<run>/recipe.lock.json` says what the run came from: every value, hash, version and the hardware.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.errors import RunError, UsageError
from kemb.files import disk
from kemb.training.recipe import RecipeFile

RECORD = "stage.json"
INPUTS = "inputs.json"
REPORT = "report.json"
"""What is known of a fit whose model is saved, while the stage is not finished."""
LOCK = "recipe.lock.json"
_LEADING_FOLDERS = re.compile(r"(?:^|(?<==))(?=[/~.]).*/(?=[^/])")
"""Of a path on this machine, `--option=path` too; ids of the hub have none."""
PARTIAL = ".partial"
KEY_LENGTH = 12
LIBRARIES = (
    "kemb",
    "sentence-transformers",
    "transformers",
    "torch",
    "tokenizers",
    "datasets",
    "accelerate",
    "peft",
    "numpy",
    "pyarrow",
    "kiwipiepy",
)
Work = Callable[[Path], dict[str, Any]]
"""Fills a folder and returns what is worth knowing of it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A finished stage."""

    name: str
    key: str
    folder: Path
    outputs: dict[str, str]
    """sha256 by path inside the folder."""
    report: dict[str, Any]
    seconds: float
    was_there: bool
    """Whether an earlier run had made it."""


class NotMade(Exception):
    """No earlier run has made a stage with these inputs."""


def key_of(name: str, inputs: Mapping[str, Any]) -> str:
    """12 hex digits that name a stage with these inputs."""
    text = json.dumps([name, inputs], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def run_stage(
    run_dir: Path,
    name: str,
    inputs: Mapping[str, Any],
    work: Work,
    resume: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Stage:
    """The stage with these inputs: found, or made by `work`.

    :param resume: let `work` find what an interrupted run left in the folder; without it the folder
        is empty.
    :param on_note: hears of what was moved aside.
    :raises RunError: when nothing can be written; and whatever `work` raises, which leaves the
        folder for the next run.
    """
    key = key_of(name, inputs)
    folder = run_dir / "stages" / f"{name}-{key}"
    if stage := _finished(folder, name, key):
        return stage
    partial = folder.with_name(folder.name + PARTIAL)
    try:
        if folder.exists():
            aside = disk.set_aside(folder, folder.with_name(f"{folder.name}.damaged"))
            on_note(f"The stage {name} is not as it was written; it was moved to {aside}.")
        if partial.exists() and not resume:
            _empty(partial, key, on_note)
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / INPUTS, dict(inputs))
        started = time.perf_counter()
        report = work(partial)
        seconds = round(time.perf_counter() - started, 3)
        outputs = {
            path.relative_to(partial).as_posix(): disk.sha256(path) for path in _files(partial)
        }
        record = {
            "name": name,
            "key": key,
            "outputs": outputs,
            "report": report,
            "seconds": seconds,
        }
        write_json(partial / RECORD, record | {"inputs": dict(inputs), "versions": versions()})
        partial.rename(folder)
    except OSError as error:
        raise RunError(
            f"The stage {name} cannot be written to {partial}: {error.strerror or error}. Free "
            "space or name another folder with -o DIR, then run the same command again."
        ) from error
    return Stage(name, key, folder, outputs, report, seconds, False)


def made_before(run_dir: Path, name: str, inputs: Mapping[str, Any]) -> Stage:
    """The stage with these inputs that an earlier run has made.

    :raises NotMade: there is none.
    """
    key = key_of(name, inputs)
    stage = _finished(run_dir / "stages" / f"{name}-{key}", name, key)
    if stage is None:
        raise NotMade(name)
    return stage


def begin_anew(
    run_dir: Path, name: str, inputs: Mapping[str, Any], on_note: Callable[[str], None]
) -> None:
    """For --fresh: move what an interrupted run left of a stage aside."""
    partial = run_dir / "stages" / f"{name}-{key_of(name, inputs)}{PARTIAL}"
    if partial.exists():
        aside = disk.set_aside(partial, partial.with_suffix(".aside"))
        on_note(f"Beginning anew; the checkpoints before were moved to {aside}.")


def _empty(partial: Path, key: str, on_note: Callable[[str], None]) -> None:
    """Remove what an interrupted run left of a stage; a folder that does not say that it is one is
    moved aside.
    """
    try:
        inputs = disk.read_json(partial / INPUTS)
        is_ours = key_of(partial.name.removesuffix(f"-{key}{PARTIAL}"), inputs) == key
    except (OSError, ValueError):
        is_ours = not any(partial.iterdir())
    if is_ours:
        shutil.rmtree(partial)
        return
    aside = disk.set_aside(partial, partial.with_suffix(".aside"))
    on_note(f"{partial} was not made by this recipe; it was moved to {aside}.")


def refuse_foreign_checkpoint(
    file: RecipeFile, run_dir: Path, name: str, inputs: Mapping[str, Any]
) -> None:
    """For --resume: refuse when what was interrupted had other inputs, and say which.

    :raises UsageError: with the line of the first section that differs.
    """
    folder = run_dir / "stages" / f"{name}-{key_of(name, inputs)}"
    if folder.exists() or folder.with_name(folder.name + PARTIAL).exists():
        return
    for partial in sorted((run_dir / "stages").glob(f"{name}-{'?' * KEY_LENGTH}{PARTIAL}")):
        try:
            before = disk.read_json(partial / INPUTS)
        except (OSError, ValueError):  # killed before it was written
            continue
        changed = list(_differences(before, json.loads(json.dumps(inputs)), ()))
        if changed:
            at, old, new = changed[0]
            names = ", ".join(".".join(entry[0]) for entry in changed[:5])
            raise file.error(
                at[1:] if at[0] == "recipe" else (),
                f"the checkpoint in {partial} belongs to another recipe: {names} changed ({old!r}, "
                f"now {new!r}). "
                "Restore the value to go on, or leave out --resume to train anew.",
            )
    raise _nothing_to_resume(run_dir, name)


def refuse_resume_of_nothing(run_dir: Path, name: str) -> None:
    """For --resume, before any work: refuse where no stage of this name was ever begun.

    :raises UsageError: and says what to type.
    """
    if not any((run_dir / "stages").glob(f"{name}-*")):
        raise _nothing_to_resume(run_dir, name)


def _nothing_to_resume(run_dir: Path, name: str) -> UsageError:
    return UsageError(
        f"There is no interrupted {name} in {run_dir} to go on with. Leave out --resume, or name "
        "its folder: -o DIR."
    )


def _differences(old: Any, new: Any, at: tuple[str, ...]) -> Any:  # noqa: ANN401  JSON values
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), (*at, key))
    elif old != new:
        yield at, old, new


def _finished(folder: Path, name: str, key: str) -> Stage | None:
    """The stage in a folder, when all its files are as they were written."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        intact = all(
            disk.sha256(folder / output) == digest for output, digest in record["outputs"].items()
        )
    except (OSError, ValueError, KeyError):
        return None
    if not intact:
        return None
    return Stage(name, key, folder, record["outputs"], record["report"], record["seconds"], True)


def write_lock(
    file: RecipeFile, run_dir: Path, stages: list[Stage], device: str, resolved: Mapping[str, Any]
) -> Path:
    """Write everything the run came from. Nothing in it changes when the same command runs again,
    but the reads.

    :param resolved: what the recipe left open: revisions, device, threads.
    """
    path = run_dir / LOCK
    from kemb.evaluation.provenance import hardware

    reads: dict[str, int] = read_lock(run_dir).get("reads", {})
    if stages and not stages[-1].was_there:  # the one that was just made
        for task in stages[-1].report.get("tasks", []):
            reads[task] = reads.get(task, 0) + int(stages[-1].report.get("n_models", 1))
    write_json(
        path,
        {
            "recipe_sha256": hashlib.sha256(file.text.encode()).hexdigest(),
            "recipe": file.recipe.model_dump(mode="json"),
            "resolved": dict(resolved),
            "stages": {stage.name: _lock_entry(stage) for stage in stages},
            "reads": dict(sorted(reads.items())),
            "versions": versions(),
            "hardware": hardware(device).model_dump(mode="json", exclude_none=True),
        },
    )
    return path


def copy_lock(run_dir: Path, out: Path) -> None:
    """The lock as it may be published: without the folders that the command named on this
    machine.
    """
    record = read_lock(run_dir)
    words = shlex.split(record["resolved"]["command"])
    record["resolved"]["command"] = shlex.join(_LEADING_FOLDERS.sub("", word) for word in words)
    write_json(out / LOCK, record)


def _lock_entry(stage: Stage) -> dict[str, Any]:
    entry = {"key": stage.key, "outputs": stage.outputs, "seconds": stage.seconds}
    dev = stage.report.get("dev")
    return entry | {"dev": dev} if dev else entry


def read_lock(run_dir: Path) -> dict[str, Any]:
    """The lock of an earlier run; empty where there is none."""
    path = run_dir / LOCK
    try:
        lock = disk.read_json(path)
    except (OSError, ValueError):
        return {}
    return lock if isinstance(lock, dict) else {}


def versions() -> dict[str, str]:
    """Versions of everything that may change an output."""
    version_of = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            version_of[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return version_of


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    with disk.replacing(path) as unfinished:
        unfinished.write_bytes(disk.json_text(content).encode())


def _files(folder: Path) -> list[Path]:
    """What a stage hands on: no inputs and records, and no checkpoints, which hold pickles."""
    skip = {INPUTS, RECORD, REPORT}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in skip
        and "checkpoints" not in path.relative_to(folder).parts
    )
