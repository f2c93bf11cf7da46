"""Measured results -> a folder that mteb loads and tabulates.

The results folder is already in mteb's layout and mteb can read it as it is. What is written here is what may leave
the house: no provenance (commands and paths), no item scores, no claimed numbers, no tasks of one's own. `mteb_version`
is null, as no version of mteb made these numbers, and mteb's rule for joining revisions puts such results last.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb import tasks
from kemb.errors import ResultError, UsageError
from kemb.results.files import EXPERIMENTS, META, TaskResult, read_result

PRIVATE = "kemb"
"""The key of a result file that stays at home."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    n_results: int
    n_rows: int
    """Models, revisions and variants."""
    left_out: list[str]
    """Results that mteb cannot have, with the reason."""
    problems: list[str]
    """Results that could not be read, or would take the place of another file."""


def export_mteb(results_dir: Path, out: Path) -> Exported:
    """Write every measured result of a task that mteb knows to `out/results`; `mteb.ResultCache(out)` reads it.

    Variants (another dtype, prompt profile, dimension) go to mteb's experiments, with `variant` as the only keyword:
    its tables leave them out unless asked for. A file that is there already and differs is not overwritten.

    :raises UsageError: when there is nothing to read.
    :raises ResultError: when the folder cannot be written.
    """
    paths = [path for pattern in ("*/*", f"*/*/{EXPERIMENTS}/*") for path in results_dir.glob(f"{pattern}/*.json")]
    paths = sorted(path for path in paths if path.name != META)
    if not paths:
        raise UsageError(f"There are no results in {results_dir}. Make some with `kemb run`, or name --results DIR.")
    if out.resolve() == results_dir.resolve().parent and results_dir.name == "results":
        raise UsageError(f"{out}/results is the results folder itself; name another folder to export to.")
    written: set[Path] = set()
    left_out: list[str] = []
    problems: list[str] = []
    n_results = 0
    for path in paths:
        try:
            result = read_result(path)
            if reason := _unfit(result):
                left_out.append(f"{path}: {reason}")
                continue
            folder = _target(out, path, result)
            _write(result, folder)
        except ResultError as error:
            problems.append(str(error))
            continue
        n_results += 1
        written.add(folder)
    return Exported(n_results, len(written), left_out, problems)


def _unfit(result: TaskResult) -> str:
    """Why mteb cannot have a result; empty where it can."""
    if not result.kemb:
        return "not measured by kemb"
    if result.task not in tasks.names():
        return f"mteb has no task {result.task}"
    return ""


def _target(out: Path, path: Path, result: TaskResult) -> Path:
    """The folder as mteb names it: experiments by their keywords."""
    if not result.variant:
        return out / "results" / path.parent.parent.name / path.parent.name
    row = path.parent.parent.parent
    return out / "results" / row.parent.name / row.name / EXPERIMENTS / f"variant_{result.variant}"


def _write(result: TaskResult, folder: Path) -> None:
    record = {key: value for key, value in _read(result.path).items() if key != PRIVATE}
    target = folder / result.path.name
    if target.exists() and _read(target) != record:
        raise ResultError(f"{target} is there already and holds other numbers. Delete it, or name another folder.")
    meta = _read(result.path.with_name(META))
    _write_json(folder / META, _meta(meta, folder if not result.variant else folder.parent.parent, result.variant))
    _write_json(target, record)


def _meta(meta: Mapping[str, Any], row: Path, variant: str) -> dict[str, Any]:
    """The model's card with the name as mteb wants it, `org/name`: that of the folder."""
    experiment = {"variant": variant} if variant else None
    return {
        **meta,
        "name": row.parent.name.replace("__", "/", 1),
        "revision": row.name,
        "experiment_kwargs": experiment,
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise ResultError(f"{path} cannot be written ({reason}). Free space, or name another folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}). Run the task again.") from error
    if not isinstance(record, dict):
        raise ResultError(f"{path} holds no JSON object. Run the task again.")
    return record
