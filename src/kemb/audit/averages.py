"""Do the averages and ranks of a table follow from its scores, and by which weights?"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from kemb.arrays import DoubleArray
from kemb.audit.findings import Finding, Kind
from kemb.audit.names import Shape, benchmarks, groups_of_tasks, plain_name, ranks_of, short_name

FACTS = Path(__file__).with_name("facts.toml")
_EPSILON = 1e-9
_FEWEST = 3
_BY_CHANCE = 0.005
_MOST_WEIGHTS = 100
"""That are looked for."""
_N_DATASETS = re.compile(r"(?<!\d)(\d{2,3})\s{1,9}(?:datasets|tasks)")
_LONGEST_LINE = 500
_MOST_LINES = 50
"""Of a document that may state weights."""
_STATED = re.compile(r"(\[[^\]]+\]|[\w가-힣.-]+)\s*[:=]\s*(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Weighting:
    """A way the average may have been made."""

    name: str
    weights: DoubleArray


@dataclass(frozen=True, slots=True)
class Statements:
    """What the text of a document says about its averages."""

    weights: list[str]
    """Lines that may state weights in percent."""
    n_datasets: str = ""
    """The first number of data sets or tasks that is named."""


def statements(text: str) -> Statements:
    """Looked for once per document, whatever number of tables it has."""
    weights = (
        line
        for line in text.splitlines()
        if "%" in line and len(line) <= _LONGEST_LINE and _STATED.search(line)
    )
    count = _N_DATASETS.search(text)
    first_lines = list(itertools.islice(weights, _MOST_LINES))
    return Statements(first_lines, count[1] if count else "")


def check_averages(shape: Shape, file: str, statement: Statements) -> Iterator[Finding]:
    """Findings about the average column of a table.

    Weightings are tried in turn: plain mean, the counts in the headers, weights stated in the text,
    the numbers of tasks that a shipped benchmark has in groups of these names. A row fits when
    rounding explains the difference. Silence where nothing fits any row: the average may be of more
    than the columns show.
    """
    if shape.average is None or len(shape.table.rows) < _FEWEST:
        return
    values, printed = shape.values(shape.scores), shape.printed_average
    complete = np.isfinite(values).all(axis=1) & np.isfinite(printed)
    weightings = list(_weightings(shape, statement))
    fits = [_fits(shape, weighting.weights) & complete for weighting in weightings]
    best = int(np.argmax([fit.sum() for fit in fits]))
    n_complete = int(complete.sum())
    if n_complete >= _FEWEST and fits[best].sum() >= max(2, 0.8 * n_complete):
        yield from _slips(shape, file, weightings[best], complete & ~fits[best])
        yield from _holes(shape, file, weightings[best])
    elif (solved := _solved(shape, complete)) is not None:
        stated = next((w for w in weightings if w.name.startswith("the stated")), None)
        yield from _other_weights(shape, file, solved, stated)
    elif _is_mixed(shape, weightings, best, fits[best], complete):
        yield _mixed(shape, file, statement, weightings[best], fits[best], complete)
    yield from _ranks(shape, file)


def _weightings(shape: Shape, statement: Statements) -> Iterator[Weighting]:
    n = len(shape.scores)
    yield Weighting("the plain mean", np.full(n, 1 / n))
    if (counts := shape.counts()) is not None:
        yield Weighting("the mean weighted by the numbers in the headers", counts / counts.sum())
    if (stated := _stated(shape, statement)) is not None:
        yield Weighting("the stated weights", stated)
    columns = [plain_name(shape.title(column)) for column in shape.scores]
    for benchmark, groups in zip(benchmarks(), groups_of_tasks(), strict=True):
        if len(groups) == n and set(columns) == set(groups):
            sizes = np.array([len(groups[column]) for column in columns], dtype=np.float64)
            listed = ", ".join(
                f"{shape.title(c)} {int(s)}" for c, s in zip(shape.scores, sizes, strict=True)
            )
            yield Weighting(
                f"the mean over the {int(sizes.sum())} tasks of {benchmark.name} ({listed})",
                sizes / sizes.sum(),
            )


def _stated(shape: Shape, statement: Statements) -> DoubleArray | None:
    """Weights in percent that a line with the average column's name states; a [list] shares its
    weight.
    """
    assert shape.average is not None
    average_name = plain_name(shape.title(shape.average))
    columns = [plain_name(shape.title(column)) for column in shape.scores]
    for line in statement.weights:
        if average_name not in plain_name(line):
            continue
        weights = np.zeros(len(columns))
        for match in _STATED.finditer(line):
            members = [plain_name(part) for part in match[1].strip("[]").split(",")]
            places = [
                [i for i, column in enumerate(columns) if member and column.startswith(member)]
                for member in members
            ]
            if any(len(place) != 1 for place in places):
                return None
            for place in places:
                weights[place[0]] += float(match[2]) / 100 / len(members)
        if (weights > 0).all() and abs(weights.sum() - 1) < 0.02:
            # 33.3 % stands for a third.
            exact = np.array([float(Fraction(w).limit_denominator(12)) for w in weights])
            return exact if abs(exact.sum() - 1) < 1e-9 else weights / weights.sum()
    return None


def _fits(shape: Shape, weights: DoubleArray, units: float = 1.0) -> np.ndarray:
    """Rows whose average the weights give, up to rounding of it and of the scores."""
    error = np.abs(shape.values(shape.scores) @ weights - shape.printed_average)
    fits: np.ndarray = error <= units * _slack(shape, weights) + _EPSILON
    return fits


def _slack(shape: Shape, weights: DoubleArray) -> DoubleArray:
    """The most by which rounding can part a row's printed average from that of its scores."""
    assert shape.average is not None
    of_average = shape.half_units([shape.average])[:, 0]
    slack: DoubleArray = of_average + shape.half_units(shape.scores) @ np.abs(weights)
    return slack


def _slack_as_printed(shape: Shape, weights: DoubleArray) -> DoubleArray:
    """As `_slack`, where every number is only as exact as it is printed."""
    assert shape.average is not None
    of_average = shape.printed_half_units([shape.average])[:, 0]
    slack: DoubleArray = of_average + shape.printed_half_units(shape.scores) @ np.abs(weights)
    return slack


def _solved(shape: Shape, complete: np.ndarray) -> Weighting | None:
    """The one weighting that reproduces every complete row, if there are rows enough to tell;
    weights not below 0.
    """
    values, printed = shape.values(shape.scores)[complete], shape.printed_average[complete]
    n = len(shape.scores)
    if n > _MOST_WEIGHTS or len(values) < n + 3 or np.linalg.matrix_rank(values) < n:
        return None
    weights = np.linalg.lstsq(values, printed, rcond=None)[0]
    if (weights < -0.01).any() or not _fits(shape, weights, 1.2)[complete].all():
        return None
    simple = np.array([float(Fraction(w).limit_denominator(12)) for w in weights])
    return Weighting("", simple if _fits(shape, simple)[complete].all() else weights)


def _other_weights(
    shape: Shape, file: str, solved: Weighting, stated: Weighting | None
) -> Iterator[Finding]:
    """Weights that sum to something else than 1, or that are not the stated ones."""
    total = float(solved.weights.sum())
    if abs(total - 1) < 0.01 and stated is None:
        return  # an undocumented weighting is no error
    assert shape.average is not None
    actual_weights = ", ".join(
        f"{shape.title(c)} {_fraction(w)}"
        for c, w in zip(shape.scores, solved.weights, strict=True)
    )
    error = float(
        np.nanmax(np.abs(shape.values(shape.scores) @ solved.weights - shape.printed_average))
    )
    intended = stated.weights if stated else solved.weights / total
    new = shape.values(shape.scores) @ intended
    old_ranks, new_ranks = ranks_of(shape.printed_average), ranks_of(new)
    moved = [
        f"{name} {old} -> {now}"
        for name, old, now in zip(shape.names, old_ranks, new_ranks, strict=True)
        if old != now
    ]
    expected_weights = ", ".join(
        f"{shape.title(c)} {_fraction(w)}" for c, w in zip(shape.scores, intended, strict=True)
    )
    instead = "the text states" if stated else "scaled to 1 they are"
    yield _finding(
        "formula",
        shape,
        file,
        shape.title(shape.average),
        f"The weights of {shape.title(shape.average)} sum to {_fraction(total)}, not to 1."
        if abs(total - 1) >= 0.01
        else f"{shape.title(shape.average)} does not follow the stated weights.",
        f"All {len(new)} rows are reproduced within {error:.4f} by {actual_weights}; "
        f"{instead} {expected_weights}.",
        f"By these weights {len(moved)} of {len(new)} ranks change: {'; '.join(moved)}."
        if moved
        else "No rank changes.",
    )


def _slips(shape: Shape, file: str, weighting: Weighting, wrong: np.ndarray) -> Iterator[Finding]:
    """Single rows that do not fit a weighting that the others fit."""
    assert shape.average is not None
    values, printed = shape.values(shape.scores), shape.printed_average
    n_fit = int(_fits(shape, weighting.weights).sum())
    slack = _slack_as_printed(shape, weighting.weights)
    for row in np.flatnonzero(wrong):
        computed = float(values[row] @ weighting.weights)
        if abs(computed - printed[row]) <= slack[row] + _EPSILON:
            continue
        where, hint = shape.title(shape.average), ""
        for place, column in enumerate(shape.scores):
            if values[row, place] == printed[row]:  # the average stands where a score should
                weight = weighting.weights[place]
                implied = values[row, place] + (printed[row] - computed) / weight
                where = shape.title(column)
                hint = f" {where} repeats the average; {implied:.2f} is implied."
        yield _finding(
            "transcription",
            shape,
            file,
            f"{shape.names[row]}, {where}",
            f"The average of {shape.names[row]} does not follow from its scores.",
            f"{weighting.name.capitalize()} gives {computed:.4g}, printed is {printed[row]:g}; "
            f"{n_fit} other rows fit.{hint}",
            line=shape.table.lines[row],
        )


def _is_mixed(
    shape: Shape, weightings: list[Weighting], best: int, fit: np.ndarray, complete: np.ndarray
) -> bool:
    """Do more rows fit than would by chance, where the average is of something else?

    By chance a row fits when its error falls into the width that rounding leaves. Errors of
    averages of something else are taken as normal around 0 with the root mean square of the rows
    that do not fit, which makes the number of such rows one of Poisson's; each weighting that was
    tried is another chance. Two rows of eighteen fit so in one table of three hundred.
    """
    n_fit, others = int(fit.sum()), complete & ~fit
    if n_fit < _FEWEST or others.sum() < 2:
        return False
    weights = weightings[best].weights
    error = shape.values(shape.scores) @ weights - shape.printed_average
    spread = float(np.sqrt(np.mean(error[others] ** 2)))
    width = 2 * (_slack(shape, weights)[complete] + _EPSILON)
    expected = float(width.sum()) / (spread * math.sqrt(2 * math.pi))
    term = fewer = math.exp(-expected)
    for i in range(1, n_fit):
        term *= expected / i
        fewer += term
    return (1 - fewer) * len(weightings) < _BY_CHANCE


def _mixed(
    shape: Shape,
    file: str,
    statement: Statements,
    weighting: Weighting,
    fit: np.ndarray,
    complete: np.ndarray,
) -> Finding:
    """Some rows fit one weighting, the others none: averages of different sets of tasks in one
    column.
    """
    assert shape.average is not None
    difference = (shape.values(shape.scores) @ weighting.weights - shape.printed_average)[
        complete & ~fit
    ]
    fitting = ", ".join(name for name, fits in zip(shape.names, fit, strict=True) if fits)
    count = statement.n_datasets
    remark = f" The text speaks of {count} datasets." if count else ""
    return _finding(
        "formula",
        shape,
        file,
        shape.title(shape.average),
        f"{shape.title(shape.average)} is not made in one way: {int(fit.sum())} rows are "
        f"{weighting.name}, {int((complete & ~fit).sum())} are not.",
        f"It fits {fitting}; for the others it is off by {difference.min():+.2f} to "
        f"{difference.max():+.2f}.{remark}",
        "The column cannot be used to rank these models.",
    )


def _holes(shape: Shape, file: str, weighting: Weighting) -> Iterator[Finding]:
    """Averages over what is there, in rows that lack scores."""
    assert shape.average is not None
    values, printed = shape.values(shape.scores), shape.printed_average
    slack = shape.half_units([shape.average])[:, 0]
    for row in np.flatnonzero(np.isnan(values).any(axis=1) & np.isfinite(printed)):
        is_scored = np.isfinite(values[row])
        if is_scored.sum() < 1:
            continue
        weights = weighting.weights[is_scored] / weighting.weights[is_scored].sum()
        mean = float(values[row, is_scored] @ weights)
        if (
            abs(mean - printed[row])
            > slack[row] + float(shape.half_units(shape.scores)[row].max()) + _EPSILON
        ):
            continue
        missing = [
            shape.title(column)
            for column, has in zip(shape.scores, is_scored, strict=True)
            if not has
        ]
        common = values[:, is_scored] @ weights
        rows = np.flatnonzero(np.isfinite(common))
        rank = ranks_of(common[rows])[int(np.flatnonzero(rows == row)[0])]
        old = ranks_of(np.where(np.isfinite(printed), printed, -np.inf))[row]
        yield _finding(
            "missing data",
            shape,
            file,
            shape.names[row],
            f"{shape.names[row]} has no score for {', '.join(missing)}; its average skips them and "
            "is ranked with full ones.",
            f"The mean of its {int(is_scored.sum())} of {len(is_scored)} scores is {mean:.2f}, "
            f"printed is {printed[row]:g}.",
            f"Printed rank {old}; on the tasks it has, it is rank {rank} of {len(rows)}."
            + _later(shape, int(row), missing, weighting),
            line=shape.table.lines[row],
        )


def _later(shape: Shape, row: int, missing: list[str], weighting: Weighting) -> str:
    """What the row's average and rank became, where the missing scores were published later."""
    published = {
        plain_name(fact["task"]): fact["value"]
        for fact in tomllib.loads(FACTS.read_text(encoding="utf-8"))["later"]
        if short_name(fact["model"]) == short_name(shape.names[row])
    }
    later_values = [published.get(plain_name(title)) for title in missing]
    if None in later_values or shape.average is None:
        return ""
    values = shape.values(shape.scores)[row]
    values[np.isnan(values)] = np.array(later_values, dtype=np.float64)
    averages = shape.printed_average.copy()
    averages[row] = values @ weighting.weights
    rank = ranks_of(averages)[row]
    values_text = ", ".join(f"{value:g}" for value in later_values)
    return (
        f" With the values published later ({values_text}) it is {averages[row]:.2f}, rank {rank}."
    )


def _ranks(shape: Shape, file: str) -> Iterator[Finding]:
    """A rank column that is not the order of the averages."""
    if shape.rank is None or shape.average is None:
        return
    printed = shape.values([shape.rank])[:, 0]
    averages = shape.printed_average
    both = np.isfinite(printed) & np.isfinite(averages)
    expected = np.array(ranks_of(np.where(both, averages, -np.inf)))
    ties = np.array([np.sum(averages == value) for value in averages])
    wrong = both & ((printed < expected) | (printed > expected + ties - 1))
    if not wrong.any() or wrong.mean() > 0.5:
        return  # none, or ranked by something else
    listed = "; ".join(
        f"{shape.names[row]} {int(printed[row])}, not {expected[row]}"
        for row in np.flatnonzero(wrong)
    )
    yield _finding(
        "transcription",
        shape,
        file,
        shape.title(shape.rank),
        f"{int(wrong.sum())} ranks are not the order of {shape.title(shape.average)}.",
        f"By the printed averages: {listed}.",
    )


def _fraction(value: float) -> str:
    simple = Fraction(value).limit_denominator(12)
    return str(simple) if abs(float(simple) - value) < 1e-6 else f"{value:.3f}"


def _finding(
    kind: Kind,
    shape: Shape,
    file: str,
    where: str,
    what: str,
    evidence: str,
    consequence: str = "",
    line: int = 0,
) -> Finding:
    return Finding(
        kind, file, line or shape.table.line, shape.table.title, where, what, evidence, consequence
    )
