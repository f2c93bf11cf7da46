"""Excel's workbooks as tables: a sheet is what it would be as CSV."""

from __future__ import annotations

import datetime
from pathlib import Path

from kemb.tasks.own.findings import Findings, Table

EXCEL_SUFFIXES = (".xlsx", ".xls")


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
        message = 'reading Excel needs an extra: pip install "kemb[excel]", or save it as CSV'
        findings.error("Excel", file, message)
        return {}
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        sheets = {
            name: workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            for name in workbook.sheet_names
        }
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        message = f"cannot be read as an Excel file: {error}; a password must be taken off first"
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
        findings.error("empty file", file, "no sheet holds anything")
    tables = {}
    for sheet, rows in filled.items():
        name = file if len(filled) == 1 else f"{file}#{sheet}"
        table = _table(name, rows, findings)
        if table is not None:
            tables[name] = table
    return tables


def _table(file: str, rows: list[tuple[int, list[str]]], findings: Findings) -> Table | None:
    """The first filled row is the header; columns without a name must be empty."""
    header_row, header = rows[0]
    columns: dict[str, list[object]] = {}
    for place, name in enumerate(cell.strip() for cell in header):
        values: list[object] = [cells[place] for _, cells in rows[1:]]
        if not name and not any(values):
            continue
        if not name or name in columns:
            message = (
                "the header names this column twice"
                if name
                else "a column that holds values has no name"
            )
            findings.error("repeated column", file, message, row=header_row, column=name)
            return None
        columns[name] = values
    return Table(file, columns, [number for number, _ in rows[1:]])


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
