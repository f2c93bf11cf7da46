"""The file of one reviewer: every decision is on the disk before anybody is told so."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from kemb.drafting.folder import lock_of
from kemb.errors import UsageError
from kemb.files import disk, locks
from kemb.files.lines import append_line
from kemb.tasks.own.decisions import FOLDER, Decision

_NAME = re.compile(r"[^\W_][\w.-]{0,39}(?<!\.)")
_HINT = (
    "This decision is not written; all before it are. Make room or give yourself the right to "
    "write there, and decide again."
)


@dataclass
class ReviewLog:
    """The decisions of one reviewer, appended; only one process has the file of a name."""

    path: Path
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def append(self, decision: Decision) -> Decision:
        """Write a decision and wait until it is on the disk.

        :return: the decision with its time.
        :raises DiskError: it is not written; what was written before is as it was.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        timed = replace(decision, at=now)
        line = json.dumps(timed.as_json(), ensure_ascii=False).encode()
        with self._writing, disk.writing(f"{self.path} cannot be written", _HINT):
            append_line(self.path, line)
        return timed


@contextlib.contextmanager
def open_log(root: Path, reviewer: str) -> Iterator[ReviewLog]:
    """The file of a reviewer in a folder, which nobody else of that name has meanwhile.

    :param root: the folder of the task.
    :param reviewer: a name that can be that of a file.
    :raises UsageError: no such name, another process reviews under it, or drafts the folder.
    :raises DiskError: the folder cannot be written.
    """
    name = unicodedata.normalize("NFC", reviewer)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{reviewer!r} cannot be the name of a reviewer: letters, digits, . _ and - only, at "
            "most 40. Type another one: --as NAME"
        )
    folder = root / FOLDER
    lock = folder / f".{name}.lock"
    with disk.writing(f"{folder} cannot be written", "Nothing was decided yet."):
        folder.mkdir(exist_ok=True)
        holder = locks.acquire(lock)
    if holder is not None:
        raise UsageError(
            f"Somebody reviews {root} as {name} already ({holder}). Type another name, --as NAME, "
            "or end that one."
        )
    with locks.released_after(lock):
        drafter = locks.live_holder_of(lock_of(root))
        if drafter is not None:
            raise UsageError(
                f"kemb draft writes {root} at this moment ({drafter}); decisions could be lost. "
                "Wait for it to end and type the same command again."
            )
        yield ReviewLog(folder / f"{name}.jsonl")
