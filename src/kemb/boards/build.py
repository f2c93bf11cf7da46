"""From results to a board: rows, comparable cells, scores, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemb.boards import ranking
from kemb.boards.benchmark import Benchmark, CellSpec, Comparable, Formula
from kemb.boards.cells import cell_value, declared_parts, group_values, of_results, overall
from kemb.boards.comparable import (
    Refused,
    candidate_notes,
    data_notes,
    door_notes,
    refusal_notes,
    refuse,
)
from kemb.boards.lite import lite_notes, without_lite
from kemb.boards.types import Board, BoardOptions, Intervals, Replicates, Row, Standing
from kemb.messages import Note, Text, note
from kemb.models.facts import facts_of
from kemb.results.claims import UNSTATED, join_revisions
from kemb.results.files import Claim, TaskResult
from kemb.results.rows import ResultRow, rows_of

SEVERAL = "several"
"""The revision of a row that joins several."""
Values = Sequence[float | None]
"""Of the cells of one row."""
NO_RESULT = "comparable.no_result"
"""The key of the reason that a task was not run."""
_SAME = 1e-9
_N_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Columns:
    """The cells of a board under its formula."""

    formula: Formula
    cells: list[CellSpec]
    """Those that have a weight."""
    weights: list[float]
    groups: dict[str, list[int]]
    """Row numbers into `cells` by group, in order of appearance."""
    tasks: list[str]
    """Tasks and members of all cells, each once."""


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
    benchmark, beside_notes = without_lite(benchmark or of_results(results), results)
    columns = _columns(benchmark, benchmark.formula(formula))

    candidate_rows = _candidate_rows(results, columns, options)
    candidate_rows, cells_by_row, repeat_notes = _each_once(candidate_rows, columns)
    voting_rows = _voting_rows(candidate_rows, cells_by_row, columns.cells)
    refusals = _refusals(voting_rows, cells_by_row, columns.tasks, benchmark.comparable, options)
    comparable_rows = _without_refused(candidate_rows, refusals)
    board_rows = _board_rows(comparable_rows, refusals, columns)
    ranked_rows, intervals, replicates, effective = _ranked(board_rows, columns, options)

    notes = [
        *_other_formula(benchmark, columns.formula, comparable_rows, ranked_rows),
        *repeat_notes,
        *beside_notes.values(),
        *refusal_notes(candidate_rows, refusals),
        *data_notes(_without_refused(voting_rows, refusals), columns.tasks),
        *candidate_notes(comparable_rows, columns.tasks),
        *lite_notes(comparable_rows, columns.tasks),
        *door_notes(comparable_rows),
    ]
    return Board(
        benchmark,
        formula or next(iter(benchmark.formulas)),
        columns.formula,
        columns.cells,
        columns.weights,
        ranked_rows,
        intervals,
        effective,
        notes,
        replicates,
    )


def _columns(benchmark: Benchmark, formula: Formula) -> _Columns:
    weights_of_all = benchmark.cell_weights(formula)
    pairs = zip(benchmark.cells, weights_of_all, strict=True)
    weighted = [(cell, weight) for cell, weight in pairs if weight]
    cells = [cell for cell, _ in weighted]
    groups: dict[str, list[int]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(cell.group_name, []).append(number)
    tasks = [task for cell in cells for task in [cell.task, *cell.members]]
    weights = [weight for _, weight in weighted]
    return _Columns(formula, cells, weights, groups, list(dict.fromkeys(tasks)))


def _candidate_rows(
    results: Sequence[TaskResult], columns: _Columns, options: BoardOptions
) -> list[ResultRow]:
    """Rows of results of the board's tasks, and the rows that are asked for even without results;
    their order does not depend on that of the results.
    """
    tasks = set(columns.tasks)
    rows = rows_of([_with_source(result) for result in results if result.task in tasks])
    if options.allow_mixed_revisions:
        rows = [row for row in rows if not row.source] + _joined(rows, options.main_revisions)
    sparse_or_dense = columns.formula.rows
    if sparse_or_dense:
        rows = [row for row in rows if is_sparse(row) == (sparse_or_dense == "sparse")]
    rows.sort(key=lambda row: (row.model.lower(), row.revision, row.variant, row.source))
    measured = {(row.model, row.revision, row.variant) for row in rows if not row.source}
    without_results = [
        row for row in options.rows if (row.model, row.revision, row.variant) not in measured
    ]
    return rows + without_results


def _each_once(
    rows: Sequence[ResultRow], columns: _Columns
) -> tuple[list[ResultRow], list[Values], list[Note]]:
    """The rows without repeated ones, the values of their cells, and notes of what was left out."""
    cells_by_row = [_values(columns.cells, columns.formula, row.results) for row in rows]
    numbers, notes = without_repeated(rows, cells_by_row)
    return [rows[n] for n in numbers], [cells_by_row[n] for n in numbers], notes


def _voting_rows(
    rows: Sequence[ResultRow], cells_by_row: Sequence[Values], cells: Sequence[CellSpec]
) -> list[ResultRow]:
    """The rows with what has a say in which data this board is of: of published numbers those that
    some cell has a value from. A source may hold a task in other subsets, which have none.
    """
    voting = []
    for row, values in zip(rows, cells_by_row, strict=True):
        if not row.source:
            voting.append(row)
            continue
        tasks = {
            task
            for cell, value in zip(cells, values, strict=True)
            if value is not None
            for task in [cell.task, *cell.members]
        }
        results = {task: result for task, result in row.results.items() if task in tasks}
        voting.append(replace(row, results=results))
    return voting


def _refusals(
    voting_rows: Sequence[ResultRow],
    cells_by_row: Sequence[Values],
    tasks: Sequence[str],
    rule: Comparable,
    options: BoardOptions,
) -> list[Refused]:
    """What is not comparable with the rest; the vote of rows that have every cell goes first."""
    if options.allow_mixed_revisions:
        rule = Comparable(dataset_revision=False, data=rule.data)
    complete_rows = {n for n, values in enumerate(cells_by_row) if None not in values}
    return refuse(voting_rows, tasks, rule, complete_rows)


def _without_refused(rows: Sequence[ResultRow], refusals: Sequence[Refused]) -> list[ResultRow]:
    refused_cells = {(refusal.row, refusal.task) for refusal in refusals}
    comparable_rows = []
    for number, row in enumerate(rows):
        results = {
            task: result
            for task, result in row.results.items()
            if (number, task) not in refused_cells
        }
        comparable_rows.append(replace(row, results=results))
    return comparable_rows


def _board_rows(
    rows: Sequence[ResultRow], refusals: Sequence[Refused], columns: _Columns
) -> list[Row]:
    """Cells, groups and score of every row that is shown. Published tables hold many rows without a
    single cell of the benchmark; one's own are always shown.
    """
    reasons_by_row: list[dict[str, Note]] = [{} for _ in rows]
    for refusal in refusals:
        reasons_by_row[refusal.row][refusal.task] = refusal.reason
    board_rows = []
    for result_row, reasons in zip(rows, reasons_by_row, strict=True):
        row = _row(result_row, columns, reasons)
        if not result_row.source or any(value is not None for value in row.cells):
            board_rows.append(row)
    return board_rows


def _with_source(result: TaskResult) -> TaskResult:
    """What kemb did not make is claimed, also where whoever read the file did not say so."""
    if result.kemb or result.claim:
        return result
    return replace(result, claim=Claim(f"files of {result.path.parents[2]}"))


def _joined(rows: Sequence[ResultRow], main_revisions: Mapping[str, str]) -> list[ResultRow]:
    """The claimed rows, with one for all revisions of a model."""
    rows_by_key: dict[tuple[str, str, str], ResultRow] = {}
    for source in dict.fromkeys(row.source for row in rows if row.source):
        of_source = [
            result for row in rows if row.source == source for result in row.results.values()
        ]
        for result in join_revisions(of_source, main_revisions):
            key = (result.model, result.variant, source)
            row = rows_by_key.get(key) or ResultRow(
                result.model, result.revision, result.variant, source, {}
            )
            revision = row.revision if row.revision == result.revision else SEVERAL
            rows_by_key[key] = replace(
                row, revision=revision, results={**row.results, result.task: result}
            )
    return list(rows_by_key.values())


def is_sparse(row: ResultRow) -> bool:
    """Whether a row is a lexical or learned sparse model: measured ones by their record, others by
    what is known of the model.
    """
    families = {
        result.kemb.family
        for result in row.results.values()
        if result.kemb is not None and result.kemb.family
    }
    if not families:
        return facts_of(row.model).kind in ("lexical", "sparse")
    return bool(families & {"lexical", "sparse"})


def _other_formula(
    benchmark: Benchmark, formula: Formula, rows: Sequence[ResultRow], ranked_rows: Sequence[Row]
) -> list[Note]:
    """Where no row is complete, the formula of which some are."""
    if not ranked_rows or any(row.score is not None for row in ranked_rows):
        return []
    for name, other in benchmark.formulas.items():
        weights = benchmark.cell_weights(other)
        cells = [cell for cell, weight in zip(benchmark.cells, weights, strict=True) if weight]
        n = sum(None not in _values(cells, other, row.results) for row in rows)
        if n and other is not formula:
            return [note("comparable.other_formula", n_rows=n, n_tasks=len(cells), name=name)]
    return []


def _values(
    cells: Sequence[CellSpec], formula: Formula, results: Mapping[str, TaskResult]
) -> Values:
    return [cell_value(cell, formula, results) for cell in cells]


def _row(row: ResultRow, columns: _Columns, reasons: Mapping[str, Note]) -> Row:
    """:param reasons: by task, why its result is refused."""
    values = list(_values(columns.cells, columns.formula, row.results))
    missing = {
        cell.title: _why_missing(cell, row, reasons)
        for cell, value in zip(columns.cells, values, strict=True)
        if value is None
    }
    claim = next((result.claim for result in row.results.values()), None) if row.source else None
    return Row(
        row.model,
        row.revision,
        row.variant,
        claim,
        values,
        group_values(values, columns.groups),
        overall(values, columns.weights),
        missing,
        results=row.results,
    )


def _why_missing(cell: CellSpec, row: ResultRow, reasons: Mapping[str, Note]) -> Note:
    tasks = [cell.task, *cell.members]
    for task in tasks:
        if task in reasons:
            return reasons[task]
    results = [row.results[task] for task in tasks if task in row.results]
    if not results:
        return note(NO_RESULT)
    parts = declared_parts(cell) or []
    lacking = [
        f"{split}/{subset}" for split, subset in parts if not _has_part(results[0], split, subset)
    ]
    if lacking:
        return note("comparable.without_parts", parts=lacking)
    return note("comparable.without_members" if cell.members else "comparable.without_metric")


def _has_part(result: TaskResult, split: str, subset: str) -> bool:
    return any(entry["hf_subset"] == subset for entry in result.scores.get(split, []))


def _ranked(
    rows: Sequence[Row], columns: _Columns, options: BoardOptions
) -> tuple[list[Row], Intervals, Replicates, dict[str, float]]:
    """Rows in the order of the board: complete ones by rank, then the others, below the line."""
    complete = [row for row in rows if row.score is not None]
    cells_by_row = [[value for value in row.cells if value is not None] for row in complete]
    values = np.array(cells_by_row, dtype=np.float64)
    values = values.reshape(len(complete), len(columns.cells))
    field = ranking.Field(
        values,
        np.array(columns.weights),
        columns.groups,
        columns.cells,
        columns.formula,
        [row.results for row in complete],
    )
    standings: list[Standing] = []
    reasons = (note("board.no_complete_row"),)
    intervals = Intervals("none", reasons, options.level, 0, options.seed)
    replicates = Replicates()
    if complete:
        standings, intervals, replicates = ranking.standings(field, options)
    order = sorted(range(len(complete)), key=lambda number: standings[number].rank)
    above = [replace(complete[number], standing=standings[number]) for number in order]
    if replicates.cells is not None:
        replicates = replace(replicates, cells=replicates.cells[:, :, order])
    if replicates.better is not None:
        replicates = replace(replicates, better=replicates.better[np.ix_(order, order)])
    below = [
        replace(row, common=ranking.common(row.cells, values)) for row in rows if row.score is None
    ]
    below.sort(key=_below_the_line)
    effective = ranking.effective_weights(values, field.weights, columns.groups)
    return above + below, intervals, replicates, effective


def _below_the_line(row: Row) -> tuple[bool, float, int]:
    """By win rate, then by number of cells; rows with less than half of the cells last. They come
    sorted by name.
    """
    n_cells, win_rate = (row.common.n_cells, row.common.win_rate) if row.common else (0, None)
    return 2 * n_cells < len(row.cells), -(win_rate or 0.0), -n_cells


def without_repeated(
    rows: Sequence[ResultRow], values: Sequence[Values]
) -> tuple[list[int], list[Note]]:
    """Row numbers without claimed rows whose every number another source has of the same model, and
    what was left out.

    The row with more numbers stays, then the one whose source has an address.

    :param values: of the cells of each row.
    """
    order = sorted(range(len(rows)), key=lambda n: _worth(rows[n], values[n]), reverse=True)
    numbers_by_model: dict[tuple[str, str], list[int]] = {}
    repeats: dict[tuple[str, str], list[str]] = {}
    for number in order:
        row = rows[number]
        same = numbers_by_model.setdefault((row.model, row.variant), [])
        other = next((n for n in same if _repeats(row, values[number], rows[n], values[n])), None)
        if other is None:
            same.append(number)
        else:
            repeats.setdefault((row.source, rows[other].source), []).append(row.model)
    notes = [
        note("comparable.repeated", rows=_listed(names), source=source, other=other)
        for (source, other), names in sorted(repeats.items())
    ]
    return sorted(number for numbers in numbers_by_model.values() for number in numbers), notes


def _listed(names: Sequence[str]) -> Text:
    if len(names) <= _N_NAMED:
        return ", ".join(names)
    return note("comparable.and_more", row=names[0], n_rows=len(names) - 1)


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
