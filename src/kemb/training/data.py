"""Pairs, triplets, n-tuples and scored pairs from the files and hub datasets a recipe names."""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from kemb.errors import DataError, nearest
from kemb.tasks import sources
from kemb.tasks.load import user_mirror
from kemb.tasks.own.findings import Findings, Table, shorten
from kemb.tasks.own.readers import DATA_SUFFIXES, read_table
from kemb.training.sections import DataSection

Restriction = Literal["", "non-commercial", "no derivatives", "unknown"]
_SHOWN = 3
_UNKNOWN = {"unknown", "other", "none", "?", "n/a", "unlicensed", "proprietary"}


@dataclass(frozen=True, slots=True)
class Licence:
    """What the licence of one source means for a model that is to be published."""

    source: str
    license: str
    restriction: Restriction
    share_alike: bool


def licences(sections: Sequence[DataSection]) -> list[Licence]:
    """The licences as declared; names, not legal advice."""
    entries = []
    for section in sections:
        words = set(re.split(r"[^a-z0-9]+", section.license.lower()))
        restriction: Restriction = ""
        if section.license.strip().lower() in _UNKNOWN:
            restriction = "unknown"
        elif words & {"nc", "noncommercial"}:
            restriction = "non-commercial"
        elif words & {"nd", "noderivatives", "noderivs"}:
            restriction = "no derivatives"
        entries.append(
            Licence(
                section.id, section.license, restriction, bool(words & {"sa", "gpl", "sharealike"})
            )
        )
    return entries


def refuse_restricted(sections: Sequence[DataSection]) -> None:
    """The gate before publishing.

    :raises DataError: naming every source that is non-commercial, without derivatives, or of
        unknown licence.
    """
    bad = [
        f"{entry.source} ({entry.license}: {entry.restriction})"
        for entry in licences(sections)
        if entry.restriction
    ]
    if bad:
        raise DataError(
            f"The model cannot be published: it is trained on {', '.join(bad)}. Take these sources "
            "out of [[data]], or leave out --push."
        )


def load_pairs(
    sections: Sequence[DataSection], root: Path, data_dir: Path | None = None
) -> pa.Table:
    """All rows of all sections, in their order.

    :param root: what the paths of `source.file` are seen from.
    :param data_dir: a mirror of hub datasets that is asked first.
    :return: anchor, positive, negative_1 .. negative_n, score (float64), group, source and row; a
        negative, score or group that a source does not have is null. `row` counts the rows of a
        source from 0.
    :raises DataError: naming file and row, for every column that is missing and every text that is
        no text.
    :raises FetchError: when a hub dataset is neither here nor to be had.
    """
    return joined([table_of(section, root, data_dir) for section in sections])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of several sections, with the columns that any of them has."""
    whole = pa.concat_tables(tables, promote_options="default")
    n = sum(name.startswith("negative_") for name in whole.column_names)
    return whole.select(
        [
            "anchor",
            "positive",
            *(f"negative_{i}" for i in range(1, n + 1)),
            "score",
            "group",
            "source",
            "row",
        ]
    )


def negative_columns(table: pa.Table) -> list[str]:
    """negative_1, negative_2 .. as far as the table has them."""
    return [name for name in table.column_names if re.fullmatch(r"negative_\d+", name)]


def texts_of(table: pa.Table) -> list[str]:
    """Every text of a table of pairs once, in the order of rows and columns."""
    columns = [table[name].to_pylist() for name in ("anchor", "positive", *negative_columns(table))]
    return list(
        dict.fromkeys(
            text for row in zip(*columns, strict=True) for text in row if text is not None
        )
    )


@dataclass(frozen=True, slots=True)
class _Row:
    anchor: str
    positive: str
    negatives: list[str]
    score: float | None
    group: str | None


def table_of(section: DataSection, root: Path, data_dir: Path | None) -> pa.Table:
    """The rows of one section; parameters and errors as `load_pairs`."""
    rows: list[_Row] = []
    for table in _tables(section, root, data_dir):
        rows += _rows(section, table)
        if section.limit is not None and len(rows) >= section.limit:
            rows = rows[: section.limit]
            break
    if not rows:
        raise DataError(
            f"The data {section.id} has no "
            f"row{' where ' + str(section.where) if section.where else ''}."
        )
    width = max(len(row.negatives) for row in rows)
    columns: dict[str, pa.Array] = {
        "anchor": pa.array([row.anchor for row in rows], pa.string()),
        "positive": pa.array([row.positive for row in rows], pa.string()),
    }
    for i in range(width):
        texts = [row.negatives[i] if i < len(row.negatives) else None for row in rows]
        columns[f"negative_{i + 1}"] = pa.array(texts, pa.string())
    columns["score"] = pa.array([row.score for row in rows], pa.float64())
    columns["group"] = pa.array([row.group for row in rows], pa.string())
    columns["source"] = pa.array([section.id] * len(rows), pa.string())
    columns["row"] = pa.array(range(len(rows)), pa.int64())
    return pa.table(columns)


def file_names(section: DataSection, root: Path) -> list[str]:
    """Files that a section's pattern fits, seen from `root`; none for a hub dataset."""
    matches = glob.glob(section.source.file or "", root_dir=root, recursive=True)
    return sorted(name for name in matches if (root / name).is_file())


def _tables(section: DataSection, root: Path, data_dir: Path | None) -> Iterator[Table]:
    if section.source.file is None:
        yield _hub_table(section, data_dir)
        return
    paths = [root / name for name in file_names(section, root)]
    if not paths:
        raise DataError(
            f"The data {section.id} has no file: nothing under {root} fits "
            f"{section.source.file!r}. Paths are seen from there; * stands for any name."
        )
    for path in paths:
        if path.suffix.lower() not in DATA_SUFFIXES:
            raise DataError(f"The data {section.id}: {path} is none of {', '.join(DATA_SUFFIXES)}.")
        findings = Findings()
        table = read_table(path, str(path), findings)
        errors = [str(finding) for finding in findings.kept if finding.level == "error"]
        if table is None or errors:
            raise DataError(f"The data {section.id}: {_listed(errors, findings.n_errors)}")
        yield table


def _hub_table(section: DataSection, data_dir: Path | None) -> Table:
    """The split of a hub dataset, from a mirror if one has it at this revision, else fetched into
    the user's.
    """
    source, mirror = section.source, user_mirror()
    dataset, configs = str(source.hub), [source.config] if source.config else ["default", ""]
    for folder in (data_dir, mirror):
        if folder is not None and (folder / sources.INDEX).exists():
            config = sources.find(folder, dataset, configs)
            if config is not None and (
                source.revision == "main" or config.revision in ("", source.revision)
            ):
                return _split(
                    section,
                    {name: config.read(name) for name in config.files if name == source.split},
                    config,
                )
    elsewhere = (
        "Fetch it on a machine with network, write it to a Parquet file, and name that as "
        "source.file."
    )
    with (
        sources.locked(mirror, ".fetch.lock"),
        sources.download(
            section.id, dataset, source.revision, configs, mirror / ".partial", elsewhere
        ) as download,
    ):
        sources.write(
            mirror,
            dataset,
            download.revision,
            download.config or "default",
            download.tables,
            section.license,
        )
    config = sources.find(mirror, dataset, [download.config or "default"])
    assert config is not None
    return _split(
        section, {name: config.read(name) for name in config.files if name == source.split}, config
    )


def _split(section: DataSection, tables: dict[str, pa.Table], config: sources.Config) -> Table:
    if section.source.split not in tables:
        raise DataError(
            f"The data {section.id}: {section.source.hub} has no split {section.source.split!r}; "
            f"it has {', '.join(config.files)}."
        )
    table = tables[section.source.split]
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return Table(config.origin(section.source.split), columns, range(1, table.num_rows + 1))


def _rows(section: DataSection, table: Table) -> list[_Row]:
    names = section.columns
    optional = [name for name in (names.score, names.group) if name]
    for name in (names.anchor, names.positive, *names.negatives, *optional, *section.where):
        if name not in table.columns:
            near = nearest(name, table.columns)
            raise DataError(
                f"The data {section.id}: {table.file} has no column {name!r}"
                f"{f', did you mean {near[0]!r}' if near else ''}? It has "
                f"{', '.join(table.columns)}. "
                "Name the columns under columns = { ... }."
            )
    rows: list[_Row] = []
    bad: list[str] = []
    for number, line in enumerate(table.rows):
        record = {name: values[number] for name, values in table.columns.items()}
        if all(_same(record[name], expected) for name, expected in section.where.items()):
            try:
                rows += _read_row(section, record)
            except ValueError as error:
                bad.append(f"{table.file}, row {line}: {error}")
    if bad:
        raise DataError(f"The data {section.id}: {_listed(bad, len(bad))}")
    return rows


def _read_row(section: DataSection, record: dict[str, object]) -> list[_Row]:
    """The rows of one record: one for each positive.

    :raises ValueError: what is wrong, naming the column.
    """
    names = section.columns
    anchor = _text(record, names.anchor)
    positives = _texts(record, names.positive)
    negatives = [text for name in names.negatives for text in _negatives(record, name)]
    score = None
    if names.score is not None:
        score = _number(record, names.score)
    group = None if names.group is None or record[names.group] is None else str(record[names.group])
    return [_Row(anchor, positive, negatives, score, group) for positive in positives]


def _negatives(record: dict[str, object], name: str) -> list[str]:
    """The negatives of a row, which may have none: an empty list, or nothing."""
    return [] if record[name] is None or record[name] == [] else _texts(record, name)


def _texts(record: dict[str, object], name: str) -> list[str]:
    value = record[name]
    if not isinstance(value, list):
        return [_text(record, name)]
    if not value:
        raise ValueError(f"{name} is an empty list; expected at least one text")
    return [_text({name: one}, name) for one in value]


def _text(record: dict[str, object], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise ValueError(
            f"{name} is {'missing' if value is None else shorten(value)}; expected a text"
        )
    if not value.strip():
        raise ValueError(f"{name} is empty; expected a text")
    return value


def _number(record: dict[str, object], name: str) -> float:
    value = record[name]
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {shorten(value) or 'missing'}; expected a number")
    return number


def _same(value: object, expected: str | int | float | bool) -> bool:
    """Whether a value is the wanted one; CSV has only texts, so "1" is 1."""
    return value == expected or str(value) == str(expected)


def _listed(messages: Sequence[str], n: int) -> str:
    more = f"; and {n - _SHOWN:,} more like these" if n > _SHOWN else ""
    return "; ".join(messages[:_SHOWN]) + more + "."
