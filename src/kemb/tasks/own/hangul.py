"""Hangul documents (HWP 3, HWP 5, HWPX) as Markdown, read by a process of their own: its memory and
its time are bounded, whatever a file unpacks to.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import zipfile

from kemb.errors import MissingExtra
from kemb.messages import note
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.markup import tidy
from kemb.tasks.own.office import is_sound

_MOST_MEMORY = 2 << 30
_MOST_SECONDS = 120
_READ = """
import json, sys
try:
    import resource
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
except ImportError:  # Windows has no such limit
    pass
import unhwp
kinds = unhwp.ErrorKind
try:
    with unhwp.parse_bytes(sys.stdin.buffer.read()) as document:
        answer = {"markdown": document.markdown}
except unhwp.UnhwpError as error:
    is_locked = error.kind in (kinds.ENCRYPTED, kinds.DISTRIBUTION_RESTRICTED)
    answer = {"error": str(error), "is_locked": is_locked}
json.dump(answer, sys.stdout)
"""
_ESCAPED = re.compile(r"(?!^\\#)\\([!-/:-@\[-`{-~])", re.MULTILINE)
"""Marks behind Markdown's backslash; not a `#` that begins a line and makes no heading of it."""
_WAY_OUT = note("finding.hangul_way_out")


def hangul_to_markdown(raw: bytes, file: str, findings: Findings) -> str | None:
    """The text of a Hangul document: headings by outline styles and by chapter marks (`제1장`).

    :param raw: the file.
    :param file: its name in messages.
    :param findings: takes what is wrong.
    :return: Markdown; None, and a finding, where it cannot be read.
    :raises MissingExtra: without unhwp.
    """
    if importlib.util.find_spec("unhwp") is None:
        raise MissingExtra(f"Reading {file}", "docs")
    if zipfile.is_zipfile(io.BytesIO(raw)) and not is_sound(raw, file, findings):
        return None
    try:
        reader = subprocess.run(
            [sys.executable, "-c", _READ, str(_MOST_MEMORY)],
            input=raw,
            capture_output=True,
            timeout=_MOST_SECONDS,
            env=os.environ | {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = note("finding.hangul_time", seconds=_MOST_SECONDS, way_out=_WAY_OUT)
        findings.error("too large", file, message)
        return None
    if reader.returncode:
        message = note("finding.hangul_memory", megabytes=_MOST_MEMORY >> 20, way_out=_WAY_OUT)
        findings.error("too large", file, message)
        return None
    answer = json.loads(reader.stdout)
    if "markdown" in answer:
        return tidy(_ESCAPED.sub(r"\1", answer["markdown"]))
    if answer["is_locked"]:
        message = note("finding.hangul_locked")
        findings.error("encrypted file", file, message)
    else:
        findings.error(
            "broken file",
            file,
            note("finding.hangul_broken", reason=str(answer["error"]), way_out=_WAY_OUT),
        )
    return None
