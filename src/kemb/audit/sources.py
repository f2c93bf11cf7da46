"""The same quantity in two places: tables of one document, a card's metadata, public results."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kemb.adapters.documents import Document
from kemb.adapters.mteb_results import metric_name
from kemb.adapters.published import card_rows
from kemb.adapters.tables import Cell, Table
from kemb.arrays import DoubleArray
from kemb.audit.findings import Finding
from kemb.audit.names import (
    Shape,
    benchmarks,
    cells_by_name,
    groups_of_tasks,
    plain_name,
    ranks_of,
    short_name,
)
from kemb.boards.benchmark import Benchmark, CellSpec, load_benchmark
from kemb.boards.cells import cell_value, group_values, overall
from kemb.errors import DataError
from kemb.files import disk
from kemb.results.claims import shipped
from kemb.results.files import Claim, TaskResult, our_metric, read_results

_LARGE = 5.0
"""Points that two sources must be apart to be called a conflict."""
_OUTLIER = 3.5
_METRIC = re.compile(r"(?:average|avg|mean)?[\s_]*(recall|precision|ndcg|f1)", re.IGNORECASE)

Facts = Mapping[str, Mapping[str, TaskResult]]
"""By short model name and task."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A printed number and what another source has in its place, both in the table's unit."""

    row: int
    column: int
    printed: float
    known: float


def facts(against: Sequence[Path]) -> Facts:
    """What other sources say: KURE's results, which kemb ships, and the files given.

    :raises DataError: a file that holds no results.
    """
    results = [result for result in shipped() if result.claim and "KURE" in result.claim.source]
    for path in against:
        results += read_results(path) if path.is_dir() else _read_long(path)
    results_by_model: dict[str, dict[str, TaskResult]] = defaultdict(dict)
    for result in results:
        results_by_model[short_name(result.model)][result.task] = result
    return results_by_model


def _read_long(path: Path) -> list[TaskResult]:
    """Results of a JSON table with columns model, task, split, hf_subset and metrics."""
    try:
        content = disk.read_json(path)
        rows = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
        claim = Claim(str(content.get("source") or path.name))
        grouped: dict[tuple[str, str], dict[str, list[dict[str, object]]]] = defaultdict(dict)
        for row in rows:
            metrics = {
                our_metric(key): value for key, value in row.items() if isinstance(value, float)
            }
            entry = {**metrics, "hf_subset": row["hf_subset"], "languages": []}
            grouped[row["model"], row["task"]].setdefault(row["split"], []).append(entry)
        return [
            TaskResult(path, model, "", "", task, "", scores, None, claim)
            for (model, task), scores in grouped.items()
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} holds no results to compare with ({type(error).__name__}: {error}); expected "
            "a folder of results, or a JSON with columns (model, task, split, hf_subset, metrics) "
            "and rows."
        ) from error


def check_sources(
    document: Document, shapes: Sequence[Shape], published: Facts
) -> Iterator[Finding]:
    """Cells and averages against what other sources have for the same model, task and metric."""
    averages: list[tuple[bool, str]] = []
    for shape in shapes:
        matched = _matched(shape)
        if matched is not None:
            yield from _compare_cells(document, shape, *matched, published)
        averages += _averages_of(shape, published)
    agree = sum(fits for fits, _ in averages)
    if len(averages) >= 20 and agree >= 0.9 * len(averages):
        wrong = "; ".join(text for fits, text in averages if not fits)
        yield Finding(
            "reproduction",
            document.path.name,
            1,
            "",
            "averages",
            f"{agree} of {len(averages)} averages are reproduced from the results of each task.",
            "By the rules of the benchmark kure: first subset, mean of dev and test, F1 of each "
            "task's mean precision "
            "and recall, then the plain mean." + (f" Not reproduced: {wrong}." if wrong else ""),
        )


def _matched(shape: Shape) -> tuple[Benchmark, dict[int, CellSpec]] | None:
    """The shipped benchmark most of whose cells are columns of the table."""
    best: tuple[Benchmark, dict[int, CellSpec]] | None = None
    for benchmark, cells in zip(benchmarks(), cells_by_name(), strict=True):
        matches = {
            column: cells[plain]
            for column in shape.scores
            if (plain := plain_name(shape.title(column))) in cells
        }
        if len(matches) >= max(3, 0.8 * len(shape.scores)) and (
            best is None or len(matches) > len(best[1])
        ):
            best = benchmark, matches
    return best


def _compare_cells(
    document: Document,
    shape: Shape,
    benchmark: Benchmark,
    cells: Mapping[int, CellSpec],
    published: Facts,
) -> Iterator[Finding]:
    values = shape.values(shape.scores)
    scale = 100.0 if (values > 1.5).any() else 1.0
    formula = benchmark.formula()
    pairs = []
    for row, name in enumerate(shape.names):
        results = published.get(short_name(name), {})
        for place, column in enumerate(shape.scores):
            value = cell_value(cells[column], formula, results) if column in cells else None
            if value is not None and np.isfinite(values[row, place]):
                pairs.append(_Pair(row, place, float(values[row, place]), value * scale))
    half = shape.half_units(shape.scores)
    agree = [
        pair
        for pair in pairs
        if abs(pair.printed - pair.known) <= half[pair.row, pair.column] + 1e-9
    ]
    if len(agree) < 5 or len(agree) < 0.4 * len(pairs):
        return  # another metric, or another version of the data
    yield Finding(
        "reproduction",
        document.path.name,
        shape.table.line,
        shape.table.title,
        ", ".join(shape.title(column) for column in cells),
        f"{len(agree)} of {len(pairs)} cells agree with other public results to the last digit.",
        f"Same models and tasks, {next(iter(cells.values())).metric} on the subsets of "
        f"{benchmark.name}.",
    )
    residuals = _residuals(values)
    for pair in pairs:
        apart = (pair.printed - pair.known) * 100 / scale
        if abs(apart) >= _LARGE and abs(residuals[pair.row, pair.column]) > _OUTLIER:
            yield _conflict(document, shape, pair, apart, float(residuals[pair.row, pair.column]))


def _conflict(
    document: Document, shape: Shape, pair: _Pair, apart: float, residual: float
) -> Finding:
    name, title = shape.names[pair.row], shape.title(shape.scores[pair.column])
    consequence = ""
    if shape.average is not None:
        averages = shape.printed_average.copy()
        old = ranks_of(averages)[pair.row]
        averages[pair.row] += (pair.known - pair.printed) / len(shape.scores)
        new = ranks_of(averages)[pair.row]
        consequence = (
            f"With the other value the average is {averages[pair.row]:.2f} and the rank "
            f"{old} -> {new}."
        )
    return Finding(
        "conflict between sources",
        document.path.name,
        shape.table.lines[pair.row],
        shape.table.title,
        f"{name}, {title}",
        f"{title} of {name} is {abs(apart):.1f} points {'below' if apart < 0 else 'above'} what "
        "another source has.",
        f"Printed {pair.printed:g}, elsewhere {pair.known:.2f} by the same metric; against the "
        f"rest of the table the cell is an outlier (robust z {residual:+.1f}). Another prompt, or "
        "none, is the usual cause.",
        consequence,
    )


def _residuals(values: DoubleArray) -> DoubleArray:
    """Robust z of what row and column effects leave of each cell (Tukey's median polish)."""
    rest = values.copy()
    for _ in range(20):
        for part in (*rest, *rest.T):  # views: rows, then columns
            part -= _median(part)
    spread = 1.4826 * _median(np.abs(rest))
    robust_z: DoubleArray = rest / spread if spread > 0 else np.zeros_like(rest)
    return robust_z


def _median(values: DoubleArray) -> float:
    """Of the numbers there are; 0 where there are none."""
    numbers = values[np.isfinite(values)]
    return float(np.median(numbers)) if numbers.size else 0.0


def _averages_of(shape: Shape, published: Facts) -> list[tuple[bool, str]]:
    """Averages over the tasks of `kure` in a table with one metric per column."""
    title = re.search(r"(?:top[\s_-]*k?|@)[\s_-]*(\d+)\b", shape.table.title, re.IGNORECASE)
    columns = {
        column: match[1].lower()
        for column in shape.scores
        if (match := _METRIC.match(shape.title(column)))
    }
    if title is None or len(columns) < 2 or len(columns) < len(shape.scores):
        return []
    benchmark = load_benchmark("kure")
    averages = []
    for column, metric in columns.items():
        formula = benchmark.formulas.get(f"{metric}@{title[1]}")
        if formula is None:
            return []
        weights = benchmark.cell_weights(formula)
        half = float(shape.half_units([column])[0, 0])
        for row, name in enumerate(shape.names):
            results = published.get(short_name(name), {})
            value = overall(
                [cell_value(cell, formula, results) for cell in benchmark.cells], weights
            )
            printed = shape.table.rows[row][column].number
            if value is not None and printed is not None:
                text = f"{name} {metric}@{title[1]} {printed:g}, recomputed {value:.5f}"
                averages.append((abs(value - printed) <= half + 1e-6, text))
    return averages


def check_tables_agree(shapes: Sequence[Shape], file: str) -> Iterator[Finding]:
    """The mean of a group's tasks in one table against the group's column in another one, model by
    model.
    """
    titles = [
        {column: plain_name(shape.title(column)) for column in shape.scores} for shape in shapes
    ]
    for shape in shapes:
        for column in shape.scores:
            group = plain_name(re.sub(r"\(\d+\)", "", shape.title(column)))
            tasks_of_group = [
                frozenset(groups[group])
                for groups in groups_of_tasks()
                if group in groups and len(groups) >= 3
            ]
            if not tasks_of_group:
                continue
            for other, titles_of_other in zip(shapes, titles, strict=True):
                if other is not shape:
                    yield from _group_conflict(
                        shape, column, other, titles_of_other, tasks_of_group, file
                    )


def _group_conflict(
    shape: Shape,
    column: int,
    other: Shape,
    titles: Mapping[int, str],
    tasks_of_group: Sequence[frozenset[str]],
    file: str,
) -> Iterator[Finding]:
    for tasks in tasks_of_group:
        task_columns = [
            c for c, title in titles.items() if any(_same_task(title, task) for task in tasks)
        ]
        if len(task_columns) != len(tasks) or len(task_columns) < 3:
            continue
        means = other.values(task_columns).mean(axis=1)
        place = {short_name(model): row for row, model in enumerate(other.names)}
        printed = shape.values([column])[:, 0]
        shared = [
            (row, place[short])
            for row, model in enumerate(shape.names)
            if (short := short_name(model)) in place
        ]
        of_group = shape.printed_half_units([column])[:, 0]
        of_mean = other.printed_half_units(task_columns).mean(axis=1)
        apart = [
            (row, at)
            for row, at in shared
            if abs(printed[row] - means[at]) > of_group[row] + of_mean[at] + 1e-9
        ]
        if apart and len(shared) - len(apart) >= 3 and len(apart) <= len(shared) / 2:
            listed = "; ".join(
                f"{shape.names[row]} {printed[row]:g} there, {means[at]:.2f} here"
                for row, at in apart
            )
            yield Finding(
                "conflict between sources",
                file,
                shape.table.line,
                shape.table.title,
                shape.title(column),
                f"{shape.title(column)} in {shape.table.title!r} is not the mean of its tasks in "
                f"{other.table.title!r} for {len(apart)} models.",
                f"{listed}; {len(shared) - len(apart)} models agree. Tasks: "
                f"{', '.join(other.title(c) for c in task_columns)}.",
                "One of the two tables has another run of these models.",
            )
            return


def _same_task(title: str, task: str) -> bool:
    return len(title) >= 6 and (title == task or task == f"{title}reranking")


def check_card(document: Document) -> Iterator[Finding]:
    """A card's metadata against the tables of the card."""
    yield from _metric_tables(document)
    if len({entry.name for entry in document.entries}) < 20:
        return
    model = next((entry.model for entry in document.entries if entry.model), "")
    rows = card_rows(model, document.entries).rows
    results = _as_results(
        document.path, [(r.task, r.split, r.subset, r.metric, r.value) for r in rows]
    )
    for table in document.tables:
        row = next(
            (
                i
                for i, cells in enumerate(table.rows)
                if short_name(cells[0].text) == short_name(model)
            ),
            None,
        )
        if row is None:
            continue
        for benchmark in benchmarks():
            formula = benchmark.formula()
            values = [cell_value(cell, formula, results) for cell in benchmark.cells]
            groups = {
                plain_name(key): value
                for key, value in group_values(values, benchmark.groups()).items()
            }
            groups["average"] = overall(values, benchmark.cell_weights(formula))
            checked = []
            for column, title in enumerate(table.columns):
                value = groups.get(plain_name(re.sub(r"\(\d+\)", "", title)))
                cell = table.rows[row][column]
                if value is not None and cell.number is not None:
                    checked.append((title, cell, 100 * value))
            fits = [
                abs(cell.number - value) <= cell.half_unit + 1e-9
                for _, cell, value in checked
                if cell.number is not None
            ]
            if len(checked) >= 4 and sum(fits) >= 0.7 * len(checked):
                yield _card_finding(
                    document, table.title, table.lines[row], benchmark.name, checked, fits
                )


def _card_finding(
    document: Document,
    title: str,
    line: int,
    name: str,
    checked: Sequence[tuple[str, object, float]],
    fits: Sequence[bool],
) -> Finding:
    listed = ", ".join(f"{column} {value:.4f}" for column, _, value in checked)
    wrong = ", ".join(column for (column, _, _), fit in zip(checked, fits, strict=True) if not fit)
    return Finding(
        "reproduction",
        document.path.name,
        line,
        title,
        "model-index",
        f"{sum(fits)} of {len(fits)} numbers of the row are reproduced from the card's "
        "model-index.",
        f"By the benchmark {name}: {listed}." + (f" Not reproduced: {wrong}." if wrong else ""),
    )


def _as_results(
    path: Path, rows: Sequence[tuple[str, str, str, str, float]]
) -> dict[str, TaskResult]:
    scores: dict[str, dict[str, dict[str, dict[str, object]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for task, split, subset, metric, value in rows:
        scores[task][split].setdefault(subset, {"hf_subset": subset, "languages": []})[metric] = (
            value
        )
    return {
        task: TaskResult(
            path,
            "",
            "",
            "",
            task,
            "",
            {split: list(parts.values()) for split, parts in splits.items()},
            None,
        )
        for task, splits in scores.items()
    }


def _metric_tables(document: Document) -> Iterator[Finding]:
    """Tables of one metric per row: against the metadata, and cosine against dot for vectors of
    length 1.
    """
    stated = {name: value for entry in document.entries for name, value in entry.metrics.items()}
    is_single = len(document.entries) == 1
    for table in document.tables:
        if len(table.columns) != 2 or len(table.rows) < 6:
            continue
        numbers = {
            row[0].text: (row[1], line) for row, line in zip(table.rows, table.lines, strict=True)
        }
        pairs = [
            (name, numbers[name], numbers[other])
            for name in numbers
            if name.startswith("cosine_")
            and (other := name.replace("cosine_", "dot_", 1)) in numbers
        ]
        apart = [pair for pair in pairs if _are_apart(pair[1][0], pair[2][0])]
        if apart and "Normalize()" in document.text and len(apart) <= 0.2 * len(pairs):
            for name, (cosine, line), (dot, _) in apart:
                yield Finding(
                    "transcription",
                    document.path.name,
                    line,
                    table.title,
                    name,
                    f"{name} differs from the same metric by dot product, although the model "
                    "normalises its vectors.",
                    f"{cosine.text} by cosine, {dot.text} by dot product; the "
                    f"{len(pairs) - len(apart)} other pairs are equal, as they must be for vectors "
                    "of length 1.",
                    "One of the two comes from another evaluation.",
                )
        for name, (cell, line) in numbers.items():
            value = stated.get(name)
            if not is_single or value is None or cell.number is None:
                continue
            if abs(cell.number - value) > 2 * cell.half_unit + 1e-9:
                yield Finding(
                    "transcription",
                    document.path.name,
                    line,
                    table.title,
                    name,
                    f"{name} in the table is not what the card's metadata says.",
                    f"{cell.text} in the table, {value:.6g} in the model-index.",
                )


def _are_apart(one: Cell, other: Cell) -> bool:
    """Whether two printed numbers differ by more than rounding explains."""
    if one.number is None or other.number is None:
        return one.number is not other.number
    return abs(one.number - other.number) > one.half_unit + other.half_unit + 1e-9


def check_task_tables(document: Document) -> Iterator[Finding]:
    """Rows of tables with the columns Task, Split, Subset, Metric and Score, as kemb's cards have
    them.

    Metadata may be in percent or in fractions; a row that the metadata does not have is none of our
    business.
    """
    stated: dict[tuple[str, ...], float] = {}
    for entry in document.entries:
        task = entry.name.removeprefix("MTEB ").removesuffix(f" ({entry.config})").strip()
        percent = any(abs(value) > 1 for value in entry.metrics.values())
        for metric, value in entry.metrics.items():
            key = _key(task, entry.split, entry.config or "default", metric_name(metric))
            stated[key] = value if percent else value * 100
    if stated:
        for table in document.tables:
            yield from _table(document, table, stated)


def _table(
    document: Document, table: Table, stated: dict[tuple[str, ...], float]
) -> Iterator[Finding]:
    names = [plain_name(name) for name in table.columns]
    header = ["task", "split", "subset", "metric", "score"]
    if any(names.count(name) != 1 for name in header):
        return
    *identity, score = (names.index(name) for name in header)
    for row, line in zip(table.rows, table.lines, strict=True):
        task, split, subset, metric = (row[column].text for column in identity)
        value, cell = stated.get(_key(task, split, subset, metric)), row[score]
        if (
            value is None
            or cell.number is None
            or abs(cell.number - value) <= cell.half_unit + 1e-9
        ):
            continue
        yield Finding(
            "transcription",
            document.path.name,
            line,
            table.title,
            f"{task}, {metric}",
            f"The score of {task} in the table is not what the card's metadata says.",
            f"{cell.text} in the table, {value:.6g} in the model-index.",
            "One of the two was changed, or is of another run.",
        )


def _key(*parts: str) -> tuple[str, ...]:
    """Names without case and punctuation: Markdown escapes some of it."""
    return tuple(plain_name(part) for part in parts)
