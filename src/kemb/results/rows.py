"""Rows of results, and which of them a user means: by name, revision and variant, or by folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kemb.errors import UnknownName, UsageError
from kemb.models import catalogue
from kemb.results.files import EXPERIMENTS, META, TaskResult, read_result

_WRITTEN = re.compile(
    r"(?P<claimed>claimed:)?(?P<name>[^@\[\]()]+?)(?:@(?P<revision>[^@\[\]()\s]+))?"
    r"\s*(?:\[(?P<variant>[^\[\]]*)\])?\s*(?:\((?P<source>.*)\))?"
)
_N_LISTED = 12


@dataclass(frozen=True, slots=True)
class ResultRow:
    """All results of one model at one revision in one variant, from one source."""

    model: str
    revision: str
    variant: str
    source: str
    """Who claims the numbers; '' for those that were measured here."""
    results: dict[str, TaskResult]
    """By task."""

    @property
    def name(self) -> str:
        """Model and variant, as boards print it."""
        return f"{self.model} [{self.variant}]" if self.variant else self.model

    @property
    def label(self) -> str:
        """The name that tells the row from every other one, and that finds it again."""
        claimed, source = ("claimed:", f" ({self.source})") if self.source else ("", "")
        variant = f" [{self.variant}]" if self.variant else ""
        return f"{claimed}{self.model}@{self.revision[:12]}{variant}{source}"


def rows_of(results: Iterable[TaskResult]) -> list[ResultRow]:
    """Results by row, in the order in which the rows first occur."""
    rows: dict[tuple[str, str, str, str], ResultRow] = {}
    for result in results:
        key = (
            result.model,
            result.revision,
            result.variant,
            result.claim.source if result.claim else "",
        )
        rows.setdefault(key, ResultRow(*key, {})).results.setdefault(result.task, result)
    return list(rows.values())


def find_row(row_name: str, rows: Sequence[ResultRow]) -> ResultRow:
    """The row a user means.

    :param row_name: `MODEL`, `MODEL@REVISION` (its beginning is enough), either with ` [VARIANT]`
        behind it as boards print it; `claimed:MODEL...`, with ` (SOURCE)` behind it where
        several claim, for published numbers where there are measured ones too; or the folder of
        a row (`results/<org>__<model>/<revision>`, also with
        `/experiments/<variant>`). Short names and aliases of known models are understood.
    :param rows: what there is to choose from; a folder may lie elsewhere.
    :raises UnknownName: there is no such model; the nearest are offered.
    :raises UsageError: no row, or more than one, fits the revision and variant; all that might be
        meant are listed.
    """
    folder = Path(row_name)
    if (folder / META).is_file() or (folder.is_dir() and folder.parent.name == EXPERIMENTS):
        return _row_in(folder)
    if exact := [
        row for row in rows if row_name.strip() == row.label
    ]:  # names of fusions hold parentheses and @
        return exact[0]
    whole = [row for row in rows if row_name.strip() in (row.model, row.name)]
    if len(whole) == 1:
        return whole[0]
    match = _WRITTEN.fullmatch(row_name.strip())
    if match is None:
        offers = (
            " or ".join(repr(row.label) for row in whole[:_N_LISTED])
            or "MODEL, MODEL@REVISION or 'MODEL [VARIANT]'"
        )
        raise UsageError(f"{row_name!r} does not name a row; type {offers}.")
    spec = catalogue.load_spec(match["name"])
    names = {match["name"].lower(), spec.name.lower() if spec else ""}
    of_model = [row for row in rows if row.model.lower() in names]
    if not of_model:
        hint = (
            "Type a model that has results, or the folder of its results; `kemb board` shows all."
        )
        raise UnknownName("result row", row_name, sorted({row.model for row in rows}), hint)
    fitting = [row for row in of_model if row.revision.startswith(match["revision"] or "")]
    fitting = _of_source(fitting, bool(match["claimed"]), match["source"])
    fitting = _of_variant(fitting, match["variant"])
    if len(fitting) != 1:
        problem, listed = ("is more than one row", fitting) if fitting else ("is no row", of_model)
        offers = ", ".join(repr(row.label) for row in listed[:_N_LISTED])
        more = f" and {len(listed) - _N_LISTED} more" if len(listed) > _N_LISTED else ""
        raise UsageError(f"{row_name!r} {problem}. Type one of: {offers}{more}.")
    return fitting[0]


def _row_in(folder: Path) -> ResultRow:
    results = [read_result(path) for path in sorted(folder.glob("*.json")) if path.name != META]
    if not results:
        raise UsageError(
            f"{folder} holds no results yet; type the folder of a row that has <Task>.json files."
        )
    (row,) = rows_of(results)
    return row


def _of_source(rows: list[ResultRow], claimed: bool, source: str | None) -> list[ResultRow]:
    """Measured rows before claimed ones."""
    if source is not None:
        return [row for row in rows if row.source == source]
    measured = [row for row in rows if not row.source]
    return [row for row in rows if row.source] if claimed or not measured else measured


def _of_variant(rows: list[ResultRow], variant: str | None) -> list[ResultRow]:
    """Without a variant the declared profile is meant; where it has no results, whatever
    there is.
    """
    if variant is not None:
        return [row for row in rows if row.variant == variant.strip()]
    declared = [row for row in rows if not row.variant]
    return declared or rows
