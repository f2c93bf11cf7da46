"""A folder, or a single file, of a user's own as a task like any other (docs/own-data.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kemb.errors import DataError
from kemb.tasks import layouts
from kemb.tasks.kinds import KINDS
from kemb.tasks.layouts import Rows
from kemb.tasks.load import build
from kemb.tasks.own.check import examine, refuse_errors
from kemb.tasks.own.decisions import seen_share
from kemb.tasks.own.hub_sets import source_of
from kemb.tasks.parts import make_part
from kemb.tasks.spec import TaskSpec
from kemb.types import RetrievalData, TaskData

_LAYOUT_COLUMNS = {
    "pair_classification": {"label": "labels"},
    "clustering": {"text": "sentences", "label": "labels"},
}
"""Our column -> the name that `layouts` reads, where they differ."""


def load_folder(path: Path) -> tuple[TaskSpec, TaskData]:
    """The task that a folder or a file of a user's own is, and its data.

    Warnings of `kemb check` do not stop loading and are counted in the data; errors stop it.
    The data's revision is a hash of its files.

    :raises UsageError: there is nothing at the path, or no data file.
    :raises DataError: the files are not understood, or hold errors; the message shows the first of
        them.
    """
    examined = examine(path)
    understood = refuse_errors(path, examined)
    clean, reviewed = examined.clean, examined.reviewed
    spec, tables = understood.spec, understood.draft.tables
    plain = spec.model_copy(update={"columns": {}})

    def read(request: layouts.Request, split: str) -> Rows:
        import pyarrow as pa

        role = split
        if KINDS[spec.type].is_ranking:
            role = next(
                (name for name in ("corpus", "queries") if name in request.configs),
                f"qrels/{split}",
            )
        if role not in clean:
            raise DataError(
                f"{path} has no file for the split {split!r}; it has {', '.join(tables)}."
            )
        names = _LAYOUT_COLUMNS.get(spec.type, {})
        columns = {names.get(ours, ours): values for ours, values in clean[role].items()}
        return Rows(pa.table(columns), tables[role].file)

    parts = []
    for split in spec.splits:
        data, notes = build(plain, "default", split, read, train=True)
        if isinstance(data, RetrievalData):
            data = replace(data, groups=understood.draft.groups)
        parts.append(make_part(spec, split, spec.subsets[0], data, notes | reviewed))
    share = seen_share(path) if spec.drafted else None
    warnings, source = examined.findings.warnings, source_of(path)
    data_of_task = TaskData(
        spec.name, spec.type, understood.revision, parts, warnings, share, source, examined.judges
    )
    return spec, data_of_task
