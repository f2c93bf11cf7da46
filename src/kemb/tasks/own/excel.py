"""Excel's workbooks as tables: a sheet is what it would be as CSV."""

from __future__ import annotations

import datetime
from pathlib import Path

from kemb.messages import note
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.headers import table_of_rows

EXCEL_SUFFIXES = (".xlsx", ".xls")
_ZIP, _OLE = b"PK", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""What the files of Excel begin with, since 2007 and before; an encrypted one is as before."""


def is_workbook(path: Path) -> bool:
    """Whether a file begins as one of Excel's, whatever its name; True where it cannot be read."""
    start = _start(path)
    return start is None or start.startswith((_ZIP, _OLE))


def _is_locked(path: Path) -> bool:
    """Whether a workbook of Excel's newer kind is wrapped in an older file, as passwords do."""
    return path.suffix.lower() == ".xlsx" and _start(path) == _OLE


def _start(path: Path) -> bytes | None:
    """The first bytes of a file, None where it cannot be read."""
    try:
        with path.open("rb") as raw:
            return raw.read(len(_OLE))
    except OSError:
        return None


def read_workbook(path: Path, file: str, findings: Findings) -> dict[str, Table]:
    """The sheets that hold anything, by name: the file's own for one, with `#` and the sheet's
    behind it for several. Row numbers are those that Excel shows.

    :param path: the file.
    :param file: its name in messages.
    :param findings: takes what is wrong, and how to install what reads Excel.
    """
    try:
        import python_calamine
    except ImportError:
        message = note("finding.excel_extra")
        findings.error("Excel", file, message)
        return {}
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        sheets = {
            name: workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            for name in workbook.sheet_names
        }
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        message = note("finding.broken_excel", reason=str(error))
        if _is_locked(path):
            message = note("finding.locked_excel")
        findings.error("broken Excel", file, message)
        return {}
    rows_by_sheet = {
        name: [
            (number, [_text(cell) for cell in row])
            for number, row in enumerate(rows, start=1)
            if any(_text(cell).strip() for cell in row)
        ]
        for name, rows in sheets.items()
    }
    filled = {name: rows for name, rows in rows_by_sheet.items() if rows}
    if not filled:
        findings.error("empty file", file, note("finding.no_filled_sheet"))
    tables = {}
    for sheet, rows in filled.items():
        name = file if len(filled) == 1 else f"{file}#{sheet}"
        table = table_of_rows(name, rows, findings)
        if table is not None:
            tables[name] = table
    return tables


def _text(cell: object) -> str:
    """A cell as CSV would have it; whole numbers without a fraction."""
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).upper()
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime.datetime() | datetime.date() | datetime.time():
            return cell.isoformat()
        case _:
            return str(cell)
