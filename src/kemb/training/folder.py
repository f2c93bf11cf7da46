"""The folder of a run: one run at a time, and nothing in it replaced that no run of kemb made.

What shows that a model's folder was made by a run is the lock file in it, which lists the hashes of
what the run made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kemb.errors import RunError, UsageError
from kemb.files import disk, locks
from kemb.training import stages
from kemb.training.recipe import RecipeFile

LOCK = ".kemb.lock"
OF_THE_RUN = ("results", "seeds", "site", "stages")
"""Folders of a run, which no model may be named as."""
WRITTEN_BESIDE = ("README.md", "CONTAMINATION.md", "contamination.json", stages.LOCK)
"""What is written anew into a model's folder; text of others in README.md is carried over."""
SCORES = ".eval_results/"
"""Folder of the scores beside a model card."""
_N_SHOWN = 3


@contextlib.contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Around everything that writes to a run's folder.

    :raises RunError: another process works there, or the folder cannot be written.
    """
    lock = run_dir / LOCK
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        holder = locks.acquire(lock)
    except OSError as error:
        raise RunError(
            f"{run_dir} cannot be written ({disk.reason_of(error)}). Name another folder with "
            "-o DIR."
        ) from error
    if holder is not None:
        raise RunError(
            f"Another run works in {run_dir}: {holder}. Wait for it or end it, or name another "
            f"folder with -o DIR; if no such process runs any more, remove {lock}."
        )
    with locks.released_after(lock):
        yield


def refuse_strangers(file: RecipeFile, run_dir: Path, base: Path | None) -> None:
    """Refuse a run whose model would take the place of something that no run of kemb made.

    :param base: the model that is trained, or None for one from scratch.
    :raises UsageError: with the name of what is in the way; nothing was written.
    """
    name = file.recipe.name
    if name.lower() in OF_THE_RUN:
        raise file.error(
            ("name",),
            f"a model cannot be named {name}: a run has a folder of that name. Type another name.",
        )
    refuse_replacing(run_dir / name, base)
    lock = run_dir / stages.LOCK
    if lock.exists() and "recipe_sha256" not in stages.read_lock(run_dir):
        raise UsageError(
            f"{lock} is none that a run of kemb wrote, and would be replaced. Move it away, or "
            "name another folder with -o DIR."
        )


def refuse_replacing(out: Path, base: Path | None = None) -> None:
    """Refuse to put a model in the place of a folder that no run of kemb made.

    :raises UsageError: with the first files that are in the way.
    """
    if not out.exists() and not out.is_symlink():
        return
    place = out.resolve()
    if base is not None and (place == base.resolve() or place in base.resolve().parents):
        raise UsageError(
            f"The model's folder would be {out}, which holds the base that is trained. Give the "
            "recipe another name, or name another folder with -o DIR."
        )
    if place == Path.cwd() or place in Path.cwd().parents:
        raise UsageError(
            f"The model's folder would be {out}, in which this command works. Give the recipe "
            "another name, or name another folder with -o DIR."
        )
    if out.is_symlink() or not out.is_dir():
        raise UsageError(
            f"{out} is a file or a link; the model's folder would take its place. Move it away, "
            "give the recipe another name, or name another folder with -o DIR."
        )
    if strangers := _strangers(out):
        names = ", ".join(strangers[:_N_SHOWN])
        more = f" and {len(strangers) - _N_SHOWN} more" if len(strangers) > _N_SHOWN else ""
        raise UsageError(
            f"{out} holds files that no run of kemb made ({names}{more}); the model would take "
            "their place. Move them away, give the recipe another name, or name another folder "
            "with -o DIR."
        )


def _strangers(folder: Path) -> list[str]:
    """Paths below a folder that are not as a run of kemb made them, by its lock file there."""
    hashes = _hashes(stages.read_lock(folder))
    if not hashes:
        return [path.name for path in sorted(folder.iterdir())]
    strangers = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        digests = hashes.get(relative, [])
        is_ours = path.is_file() and bool(digests) and disk.sha256(path) in digests
        if not (is_ours or relative in WRITTEN_BESIDE or relative.startswith(SCORES)):
            strangers.append(relative)
    return strangers


def _hashes(lock: dict[str, Any]) -> dict[str, list[str]]:
    """By path in a model's folder, the hashes of what a run made for it."""
    hashes: dict[str, list[str]] = {}
    try:
        prefix = f"{lock['recipe']['name']}/"
        for stage in lock["stages"].values():
            for path, digest in stage["outputs"].items():
                hashes.setdefault(path.removeprefix(prefix), []).append(digest)
    except (AttributeError, KeyError, TypeError):
        return {}
    return hashes
