"""From results to a board: rows, comparable cells, scores, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kemb.boards import ranking
from kemb.boards.benchmark import Benchmark, CellSpec, Comparable, Formula
from kemb.boards.cells import cell_value, declared_parts, group_values, of_results, overall
from kemb.boards.comparable import candidate_notes, data_notes, refusal_notes, refuse
from kemb.boards.types import Board, BoardOptions, Intervals, Replicates, Row
from kemb.models.facts import facts_of
from kemb.results.claims import UNSTATED, join_revisions
from kemb.results.files import Claim, TaskResult
from kemb.results.rows import ResultRow, rows_of

SEVERAL = "several"
"""The revision of a row that joins several."""


def build_board(
    results: Sequence[TaskResult],
    benchmark: Benchmark | None = None,
    formula: str = "",
    options: BoardOptions | None = None,
) -> Board:
    """Rank results by a benchmark.

    :param results: measured and claimed ones; those of other tasks are ignored.
    :param benchmark: the plain mean over all tasks that have results where none is given.
    :param formula: one of the benchmark's; its first by default.
    :raises UnknownName: when the benchmark has no such formula.
    :raises UsageError: when the intervals asked for cannot be made.
    """
    options = options or BoardOptions()
    benchmark = benchmark or of_results(results)
    chosen = benchmark.formula(formula)
    weighted = [
        pair
        for pair in zip(benchmark.cells, benchmark.cell_weights(chosen), strict=True)
        if pair[1]
    ]
    cells, weights = [cell for cell, _ in weighted], [weight for _, weight in weighted]
    tasks = list(dict.fromkeys(task for cell in cells for task in [cell.task, *cell.members]))
    rule = benchmark.comparable
    if options.allow_mixed_revisions:
        rule = Comparable(dataset_revision=False, data=rule.data)
    wanted = set(tasks)
    given = _rows(
        [_with_source(result) for result in results if result.task in wanted], chosen, options
    )
    there = {(row.model, row.revision, row.variant) for row in given if not row.source}
    given += [row for row in options.rows if (row.model, row.revision, row.variant) not in there]
    held = [_values(cells, chosen, row.results) for row in given]
    single, repeated = without_repeated(given, held)
    given, held = [given[n] for n in single], [held[n] for n in single]
    favoured = {n for n, values in enumerate(held) if None not in values}
    counting = [_counting(row, cells, values) for row, values in zip(given, held, strict=True)]
    refused = refuse(counting, tasks, rule, favoured)
    gone = {(found.row, found.task) for found in refused}
    kept = [
        replace(
            row,
            results={task: result for task, result in row.results.items() if (n, task) not in gone},
        )
        for n, row in enumerate(given)
    ]
    groups: dict[str, list[int]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(cell.group_name, []).append(number)
    of_row: list[dict[str, str]] = [{} for _ in given]
    for found in refused:
        of_row[found.row][found.task] = found.reason
    rows = [
        _row(row, cells, chosen, weights, groups, why)
        for row, why in zip(kept, of_row, strict=True)
    ]
    shown = [(row, own.results) for row, own in zip(rows, kept, strict=True) if _is_shown(row, own)]
    ranked, intervals, drawn, effective = _ranked(shown, cells, weights, groups, chosen, options)
    counted = [
        replace(
            row,
            results={task: result for task, result in row.results.items() if task in own.results},
        )
        for row, own in zip(kept, counting, strict=True)
    ]
    notes = [*_other_formula(benchmark, chosen, kept, ranked), *repeated]
    notes += [
        *refusal_notes(given, refused),
        *data_notes(counted, tasks),
        *candidate_notes(kept, tasks),
    ]
    name = formula or next(iter(benchmark.formulas))
    return Board(
        benchmark, name, chosen, cells, weights, ranked, intervals, effective, notes, drawn
    )


def _with_source(result: TaskResult) -> TaskResult:
    """What kemb did not make is claimed, also where whoever read the file did not say so."""
    return (
        result
        if result.kemb or result.claim
        else replace(result, claim=Claim(f"files of {result.path.parents[2]}"))
    )


def _rows(
    results: Sequence[TaskResult], formula: Formula, options: BoardOptions
) -> list[ResultRow]:
    """Rows in an order that does not depend on that of the results."""
    rows = rows_of(results)
    if options.allow_mixed_revisions:
        rows = [row for row in rows if not row.source] + _joined(rows, options.main_revisions)
    if formula.rows:
        rows = [row for row in rows if is_sparse(row) == (formula.rows == "sparse")]
    return sorted(rows, key=lambda row: (row.model.lower(), row.revision, row.variant, row.source))


def _joined(rows: Sequence[ResultRow], main_revisions: Mapping[str, str]) -> list[ResultRow]:
    """The claimed rows, with one for all revisions of a model."""
    found: dict[tuple[str, str, str], ResultRow] = {}
    for source in dict.fromkeys(row.source for row in rows if row.source):
        of_source = [
            result for row in rows if row.source == source for result in row.results.values()
        ]
        for result in join_revisions(of_source, main_revisions):
            key = (result.model, result.variant, source)
            row = found.get(key) or ResultRow(
                result.model, result.revision, result.variant, source, {}
            )
            revision = row.revision if row.revision == result.revision else SEVERAL
            found[key] = replace(
                row, revision=revision, results={**row.results, result.task: result}
            )
    return list(found.values())


def is_sparse(row: ResultRow) -> bool:
    """Whether a row is a lexical or learned sparse model: measured ones by their record, others by
    what is known of the model.
    """
    families = {result.kemb.get("family") for result in row.results.values()} - {None, ""}
    if not families:
        return facts_of(row.model).kind in ("lexical", "sparse")
    return bool(families & {"lexical", "sparse"})


def _counting(
    row: ResultRow, cells: Sequence[CellSpec], values: Sequence[float | None]
) -> ResultRow:
    """A row with what may be compared: of published numbers those that some cell has a value from.

    A source may hold a task in other subsets; these have no say in which data this board is of.
    """
    if not row.source:
        return row
    pairs = zip(cells, values, strict=True)
    used = {
        task for cell, value in pairs if value is not None for task in [cell.task, *cell.members]
    }
    return replace(
        row, results={task: result for task, result in row.results.items() if task in used}
    )


def _other_formula(
    benchmark: Benchmark, chosen: Formula, given: Sequence[ResultRow], ranked: Sequence[Row]
) -> list[str]:
    """Where no row is complete, the formula of which some are."""
    if not ranked or any(row.score is not None for row in ranked):
        return []
    for name, formula in benchmark.formulas.items():
        weights = benchmark.cell_weights(formula)
        cells = [cell for cell, weight in zip(benchmark.cells, weights, strict=True) if weight]
        n = sum(None not in _values(cells, formula, row.results) for row in given)
        if n and formula is not chosen:
            rows = "1 row has" if n == 1 else f"{n} rows have"
            return [
                f"No row has every task; {rows} all {len(cells)} of another formula: --formula "
                f"{name}."
            ]
    return []


def _values(
    cells: Sequence[CellSpec], formula: Formula, results: Mapping[str, TaskResult]
) -> list[float | None]:
    return [cell_value(cell, formula, results) for cell in cells]


def _row(
    row: ResultRow,
    cells: Sequence[CellSpec],
    formula: Formula,
    weights: Sequence[float],
    groups: Mapping[str, Sequence[int]],
    refused: Mapping[str, str],
) -> Row:
    values = _values(cells, formula, row.results)
    missing = {
        cell.title: _why_missing(cell, row, refused)
        for cell, value in zip(cells, values, strict=True)
        if value is None
    }
    claim = next((result.claim for result in row.results.values()), None) if row.source else None
    score = overall(values, weights)
    of_groups = group_values(values, groups)
    return Row(
        row.model,
        row.revision,
        row.variant,
        claim,
        values,
        of_groups,
        score,
        missing,
        results=row.results,
    )


def _why_missing(cell: CellSpec, row: ResultRow, refused: Mapping[str, str]) -> str:
    for task in [cell.task, *cell.members]:
        if task in refused:
            return refused[task]
    held = [task for task in [cell.task, *cell.members] if task in row.results]
    if not held:
        return "no result"
    parts = declared_parts(cell) or []
    lacking = [
        f"{split}/{subset}"
        for split, subset in parts
        if not _has_part(row.results[held[0]], split, subset)
    ]
    if lacking:
        return f"without {', '.join(lacking)}"
    return "without members" if cell.members else "without the metric"


def _has_part(result: TaskResult, split: str, subset: str) -> bool:
    return any(entry["hf_subset"] == subset for entry in result.scores.get(split, []))


def _is_shown(row: Row, own: ResultRow) -> bool:
    """Published tables hold many rows without a single cell of the benchmark; one's own are always
    shown.
    """
    return not own.source or any(value is not None for value in row.cells)


def _ranked(
    shown: Sequence[tuple[Row, Mapping[str, TaskResult]]],
    cells: Sequence[CellSpec],
    weights: Sequence[float],
    groups: Mapping[str, Sequence[int]],
    formula: Formula,
    options: BoardOptions,
) -> tuple[list[Row], Intervals, Replicates, dict[str, float]]:
    """Rows in the order of the board."""
    complete = [(row, results) for row, results in shown if row.score is not None]
    values = np.array(
        [[value for value in row.cells if value is not None] for row, _ in complete],
        dtype=np.float64,
    )
    values = values.reshape(len(complete), len(cells))
    field = ranking.Field(
        values, np.array(weights), groups, cells, formula, [results for _, results in complete]
    )
    if complete:
        standings, intervals, drawn = ranking.standings(field, options)
    else:
        drawn = Replicates()
        standings, intervals = (
            [],
            Intervals("none", "No row has every cell.", options.level, 0, options.seed),
        )
    above = [
        replace(row, standing=standing)
        for (row, _), standing in zip(complete, standings, strict=True)
    ]
    below = [
        replace(row, common=ranking.common(row.cells, values))
        for row, _ in shown
        if row.score is None
    ]
    order = sorted(range(len(above)), key=lambda number: standings[number].rank)
    above = [above[number] for number in order]
    if drawn.cells is not None:
        drawn = replace(drawn, cells=drawn.cells[:, :, order])
    below.sort(key=_below_the_line)
    return above + below, intervals, drawn, ranking.effective_weights(values, field.weights, groups)


def _below_the_line(row: Row) -> tuple[bool, float, int]:
    """By win rate, then by number of cells; rows with less than half of the cells last. They come
    sorted by name.
    """
    n_cells, win_rate = (row.common.n_cells, row.common.win_rate) if row.common else (0, None)
    return 2 * n_cells < len(row.cells), -(win_rate or 0.0), -n_cells


Values = Sequence[float | None]


_SAME = 1e-9


def without_repeated(
    rows: Sequence[ResultRow], values: Sequence[Values]
) -> tuple[list[int], list[str]]:
    """Row numbers without claimed rows whose every number another source has of the same model, and
    what was left out.

    The row with more numbers stays, then the one whose source has an address.

    :param values: of the cells of each row.
    """
    order = sorted(range(len(rows)), key=lambda n: _worth(rows[n], values[n]), reverse=True)
    kept: dict[tuple[str, str], list[int]] = {}
    repeats: dict[tuple[str, str], list[str]] = {}
    for number in order:
        row = rows[number]
        same = kept.setdefault((row.model, row.variant), [])
        other = next((n for n in same if _repeats(row, values[number], rows[n], values[n])), None)
        if other is None:
            same.append(number)
        else:
            repeats.setdefault((row.source, rows[other].source), []).append(row.model)
    notes = [
        f"{', '.join(names) if len(names) <= 3 else f'{names[0]} and {len(names) - 1} more'}: the "
        f"numbers of {source} are those of {other}; shown once."
        for (source, other), names in sorted(repeats.items())
    ]
    return sorted(number for numbers in kept.values() for number in numbers), notes


def _repeats(row: ResultRow, values: Values, other: ResultRow, others: Values) -> bool:
    """Whether another source has the same numbers, of the same revision as far as both say one."""
    if not row.source or not other.source or row.source == other.source:
        return False
    if row.revision != other.revision and UNSTATED not in (row.revision, other.revision):
        return False
    pairs = [(mine, its) for mine, its in zip(values, others, strict=True) if mine is not None]
    return bool(pairs) and all(its is not None and abs(mine - its) < _SAME for mine, its in pairs)


def _worth(row: ResultRow, values: Values) -> tuple[int, bool, str]:
    claim: Claim | None = next((result.claim for result in row.results.values()), None)
    return (
        sum(value is not None for value in values),
        bool(claim and (claim.url or claim.commit)),
        row.source,
    )
