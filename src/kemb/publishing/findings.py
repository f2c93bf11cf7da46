"""The findings of an audit, for people and for programs."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.text import Text

from kemb.audit.findings import Audit, Finding
from kemb.messages import printable
from kemb.publishing.terminal import stdout

_SHOWN = 300
"""Characters of evidence and consequence that are printed; all of it is in the JSON."""


def print_audit(audit: Audit) -> None:
    """Findings by file, one paragraph each, then what was reproduced, then what could not
    be read.
    """
    console = stdout()
    for file, file_findings in groupby(audit.findings, lambda finding: finding.file):
        findings = list(file_findings)
        wrong = [finding for finding in findings if not finding.confirms]
        console.print(Text(f"{file}: {_count(len(wrong), 'finding')}", style="bold"))
        for finding in sorted(findings, key=lambda finding: finding.confirms):
            style = "green" if finding.confirms else "red"
            console.print(
                Text.assemble(
                    (f"  {finding.kind}", style),
                    f"  line {finding.line}  ",
                    printable(finding.what),
                )
            )
            for line in _details(finding, console.width):
                console.print(Text(line, style="dim"))
        console.print()
    for problem in audit.problems:
        console.print(Text(printable(f"Not read: {problem}"), style="yellow"))
    counts = (
        f"{_count(audit.n_tables, 'table')} and "
        f"{_count(audit.n_entries, 'metadata entry', 'metadata entries')} read"
    )
    confirmed = len(audit.findings) - audit.n_wrong
    console.print(
        f"{counts}; {_count(audit.n_wrong, 'finding')}, {_count(confirmed, 'confirmation')}."
    )


def to_json(audit: Audit) -> str:
    """Everything, uncut."""
    findings = [
        dataclasses.asdict(finding) | {"confirms": finding.confirms} for finding in audit.findings
    ]
    record = {
        "findings": findings,
        "not_read": audit.problems,
        "n_tables": audit.n_tables,
        "n_entries": audit.n_entries,
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _details(finding: Finding, width: int) -> Iterator[str]:
    for sign, text in (("=", finding.evidence), (">", finding.consequence)):
        lines: Sequence[str] = textwrap.wrap(printable(text), max(width, 40) - 6) if text else []
        for number, line in enumerate(lines[: max(2, _SHOWN // max(width, 40) + 2)]):
            yield f"    {sign if number == 0 else ' '} {line}"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
