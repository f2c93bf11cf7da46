"""Retrieval metrics against what they are by definition: identities, monotony, reversed lists,
truncated digits.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kemb.adapters.tables import Budget
from kemb.arrays import DoubleArray
from kemb.audit.findings import Finding, Kind
from kemb.audit.names import Shape, plain_name

_METRIC = re.compile(
    r"(?:average|avg|mean|cosine|dot)?[\s_]*+(f1|recall|precision|m?ap|m?rr|ndcg|hit(?:[\s_-]?rate)?|accuracy)"
    r"[\s_]*+(?:@|top[\s_-]?|at_)?+[\s_]*+(\d{1,6}+)?(?:\s*+\(?%?\)?)?",
    re.IGNORECASE,
)
_TITLE_K = re.compile(r"(?:top[\s_-]*k?|@|\bk\s*=)[\s_-]*+(\d{1,6}+)\b", re.IGNORECASE)
_MANY = 200_000
_LARGEST_CUTOFF = 1000
_MOST_QUERIES = 1000


@dataclass
class RankTable:
    """A table of retrieval metrics at one cut-off; values are fractions."""

    shape: Shape
    columns: dict[str, int]
    """Metric -> column."""
    k: int
    decimals: int
    values: dict[str, DoubleArray] = field(default_factory=dict)
    single: bool = False
    """Whether one document per query is relevant: precision is recall / k."""

    @property
    def unit(self) -> float:
        return 10.0**-self.decimals

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The first row of every name."""
        return {name: row for row, name in reversed(list(enumerate(self.shape.names)))}

    def row_of(self, name: str) -> int | None:
        return self._rows.get(name)


def check_rankings(shapes: Sequence[Shape], file: str, budget: Budget) -> Iterator[Finding]:
    """Findings about retrieval metrics in the tables of one document."""
    tables = [table for shape in shapes if (table := _rank_table(shape)) is not None]
    for table in tables:
        yield from _label(table, tables, file)
    families: dict[tuple[str, ...], list[RankTable]] = {}
    for table in tables:
        families.setdefault(tuple(sorted(table.columns)), []).append(table)
    for family in families.values():
        singles = sorted((table for table in family if table.single), key=lambda table: table.k)
        yield from _repeated(singles, file)
        n_queries = _n_queries(singles)
        yield from _reversed(singles, n_queries, file, budget)
        yield from _truncated(singles, n_queries, file)
        yield from _falling(family, file)


def _rank_table(shape: Shape) -> RankTable | None:
    columns, cutoffs = {}, set()
    for column in shape.scores:
        match = _METRIC.fullmatch(shape.title(column).strip())
        if match is None:
            return None
        columns[_canonical(match[1])] = column
        cutoffs.add(int(match[2]) if match[2] else 0)
    if len(columns) < 2 or len(cutoffs) != 1 or len(columns) != len(shape.scores):
        return None
    cells = [cell for column in columns.values() for cell in shape.table.column(column)]
    numbers = [cell.number for cell in cells if cell.number is not None]
    percent = max(numbers) > 1.5
    decimals = max(cell.decimals for cell in cells) + 2 * percent
    scale = 100 if percent else 1
    table = RankTable(shape, columns, 0, decimals)
    table.values = {
        metric: shape.values([column])[:, 0] / scale for metric, column in columns.items()
    }
    title = _TITLE_K.search(shape.table.title)
    inferred = _single_cutoff(table)
    table.single = inferred is not None
    table.k = inferred or (int(title[1]) if title else 0) or next(iter(cutoffs))
    return table


def _canonical(name: str) -> str:
    plain = plain_name(name)
    return {"ap": "map", "rr": "mrr", "hitrate": "hit", "hit": "hit"}.get(plain, plain)


def _single_cutoff(table: RankTable) -> int | None:
    """The k for which precision is recall / k in most rows, if there is one: one document is
    relevant per query.
    """
    if not {"recall", "precision"} <= set(table.columns):
        return None
    recall, precision = table.values["recall"], table.values["precision"]
    has_both = np.isfinite(recall) & (precision > 0)
    if has_both.sum() < 2:
        return None
    ratios = np.round(recall[has_both] / precision[has_both]).astype(int)
    k, _ = Counter(ratios.tolist()).most_common(1)[0]
    fits = np.abs(precision - recall / k) <= table.unit * (0.5 + 0.5 / k) + table.unit * 0.5 + 1e-12
    return k if 1 <= k <= _LARGEST_CUTOFF and np.mean(fits[has_both]) >= 0.8 else None


def _label(table: RankTable, tables: Sequence[RankTable], file: str) -> Iterator[Finding]:
    """Headers that name another cut-off than the title, where another table has these headers
    rightly.
    """
    title = _TITLE_K.search(table.shape.table.title)
    match = _METRIC.fullmatch(table.shape.title(next(iter(table.columns.values()))).strip())
    printed = int(match[2]) if match and match[2] else 0
    if not title or not printed or int(title[1]) == printed:
        return
    k = int(title[1])
    other = next(
        (
            t
            for t in tables
            if t is not table and t.columns == table.columns and f"{printed}" in t.shape.table.title
        ),
        None,
    )
    differs = ""
    if other is not None and (row := other.row_of(table.shape.names[0])) is not None:
        metric = "recall" if "recall" in table.columns else next(iter(table.columns))
        differs = (
            f" {table.shape.names[0]} has {metric} {table.values[metric][0]:.5g} here and "
            f"{other.values[metric][row]:.5g} in the table of {other.shape.table.title!r}."
        )
    yield _finding(
        "label",
        table,
        file,
        table.shape.title(next(iter(table.columns.values()))),
        f"The headers say top {printed}, the table is titled {table.shape.table.title!r}.",
        f"All {len(table.columns)} headers end in {printed}.{differs}",
        f"Who reads the headers takes the scores at {k} for scores at {printed}.",
    )


def _repeated(tables: Sequence[RankTable], file: str) -> Iterator[Finding]:
    """Rows that break F1 = 2R / (k + 1) or P = R / k and stand, number for number, in a table of
    another cut-off.
    """
    for table in tables:
        recall, precision = table.values["recall"], table.values["precision"]
        wrong = np.abs(precision - recall / table.k) > 2 * table.unit
        for row in np.flatnonzero(wrong):
            name = table.shape.names[row]
            source = next(
                (
                    other
                    for other in tables
                    if other is not table
                    and (place := other.row_of(name)) is not None
                    and all(other.values[m][place] == table.values[m][row] for m in table.columns)
                ),
                None,
            )
            repeats = (
                f" The row is that of the table of k = {source.k}, number for number."
                if source
                else ""
            )
            yield _finding(
                "transcription",
                table,
                file,
                name,
                f"The row of {name} in the table of k = {table.k} cannot be scores at {table.k}.",
                f"With one relevant document precision is recall / {table.k} = "
                f"{recall[row] / table.k:.4f}; printed is {precision[row]:g}.{repeats}",
                "All scores of this row are unknown at this cut-off.",
                line=table.shape.table.lines[int(row)],
            )


def _n_queries(tables: Sequence[RankTable]) -> int | None:
    """The number of queries: the smallest that makes every printed recall a whole number of
    hits.
    """
    if not tables:
        return None
    unit = tables[0].unit
    recalls = np.unique(np.concatenate([table.values["recall"] for table in tables]))
    recalls = recalls[np.isfinite(recalls)]
    if len(recalls) < 5:
        return None
    for n in range(20, min(_MOST_QUERIES, int(0.1 / unit)) + 1):
        hits = recalls * n
        # Rounded to the nearest, or cut: the true value is up to a unit above.
        near = np.abs(np.round(hits) / n - recalls) <= 0.5 * unit + 1e-9
        cut = (np.ceil(hits - 1e-9) / n - recalls >= -1e-9) & (
            np.ceil(hits - 1e-9) / n - recalls < unit
        )
        if (near | cut).all():
            return n
    return None


def _reversed(
    tables: Sequence[RankTable], n: int | None, file: str, budget: Budget
) -> Iterator[Finding]:
    """MRR that falls with k is impossible; if the list was scored backwards, hits per rank can be
    recovered.
    """
    first = tables[0] if tables and tables[0].k == 1 else None
    if first is None or n is None or "mrr" not in first.columns:
        return
    later = [table for table in tables if table.k > 1]
    for table in later:
        falls = [
            (row, place)
            for row, name in enumerate(table.shape.names)
            if (place := first.row_of(name)) is not None
            and table.values["mrr"][row] < first.values["mrr"][place] - table.unit
        ]
        if len(falls) < max(2, 0.5 * len(table.shape.names)):
            return
    histograms = (
        {name: _histogram(name, [first, *later], n, budget) for name in later[-1].shape.names}
        if later
        else {}
    )
    solved = {name: histogram for name, histogram in histograms.items() if histogram is not None}
    if not later or len(solved) < 2 or len(solved) < 0.5 * len(histograms):
        return
    last = later[-1]
    truth = {name: _true_scores(np.array(ranks), n) for name, ranks in solved.items()}
    order = sorted(truth, key=lambda name: -truth[name][1])
    example = order[0]
    row = last.row_of(example)
    assert row is not None
    printed = {
        metric: float(last.values[metric][row])
        for metric in ("mrr", "ndcg")
        if metric in last.values
    }
    recovered = "; ".join(
        f"{name} MRR {truth[name][0]:.4f} nDCG {truth[name][1]:.4f}" for name in order
    )
    hits = ", ".join(f"{count} at {rank}" for rank, count in enumerate(solved[example], 1) if count)
    yield Finding(
        "reversed ranking",
        file,
        later[0].shape.table.line,
        later[0].shape.table.title,
        ", ".join(m for m in ("mrr", "map", "ndcg") if m in last.columns)
        + f" at {', '.join(str(t.k) for t in later)}",
        "The ranking metrics were computed on the reversed list: MRR falls as k grows, which is "
        "impossible.",
        f"With {n} queries, one histogram of whole numbers per model reproduces recall, MRR and "
        f"nDCG of the reversed list at every k for {len(solved)} of {len(histograms)} models. "
        f"{example}: {hits}; "
        f"printed at {last.k}: "
        + ", ".join(f"{metric} {value:.4f}" for metric, value in printed.items())
        + ".",
        f"True scores at {last.k}: {recovered}.",
    )


def _histogram(
    name: str, tables: Sequence[RankTable], n: int, budget: Budget
) -> tuple[int, ...] | None:
    """Hits at rank 1, 2, ... that give the printed numbers of the reversed list at every cut-off;
    None if none do.
    """
    candidates: list[tuple[int, ...]] = [()]
    for table in tables:
        row = table.row_of(name)
        if row is None:
            return None
        hits = round(float(table.values["recall"][row]) * n + 1e-6)
        if abs(hits / n - table.values["recall"][row]) > table.unit:
            hits = int(np.ceil(table.values["recall"][row] * n - 1e-9))
        extensions: list[tuple[int, ...]] = []
        for prefix in candidates:
            rest, free = hits - sum(prefix), table.k - len(prefix)
            if rest < 0 or free < 1 or _n_compositions(rest, free) > _MANY:
                continue
            for more in _compositions(rest, free):
                budget.check()
                if _gives([*prefix, *more], table, row, n):
                    extensions.append((*prefix, *more))
        candidates = extensions
    return candidates[0] if candidates else None


def _gives(histogram: Sequence[int], table: RankTable, row: int, n: int) -> bool:
    counts = np.array(histogram, dtype=np.float64)
    places = np.arange(
        table.k, 0, -1
    )  # the hit at rank 1 of k stands at place k of the reversed list
    expected = {"mrr": counts @ (1 / places) / n, "ndcg": counts @ (1 / np.log2(places + 1)) / n}
    printed = [
        (metric, float(table.values[metric][row])) for metric in expected if metric in table.values
    ]
    return all(
        -0.51 * table.unit <= expected[metric] - value <= 1.01 * table.unit
        for metric, value in printed
    )


def _true_scores(histogram: DoubleArray, n: int) -> tuple[float, float]:
    ranks = np.arange(1, len(histogram) + 1)
    return float(histogram @ (1 / ranks) / n), float(histogram @ (1 / np.log2(ranks + 1)) / n)


def _n_compositions(total: int, parts: int) -> int:
    count = 1
    for i in range(1, parts):
        count = count * (total + i) // i
        if count > _MANY:
            break
    return count


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to share `total` hits out to `parts` ranks."""
    for bars in itertools.combinations(range(total + parts - 1), parts - 1):
        edges = (-1, *bars, total + parts - 1)
        yield tuple(b - a - 1 for a, b in itertools.pairwise(edges))


def _truncated(tables: Sequence[RankTable], n: int | None, file: str) -> Iterator[Finding]:
    """Numbers that were cut where the others were rounded."""
    if n is None:
        return
    cut: dict[str, list[str]] = {}
    n_rounded = 0
    for table in tables:
        for row, name in enumerate(table.shape.names):
            recall = float(table.values["recall"][row])
            hits = next(
                (
                    j
                    for j in (round(recall * n), int(recall * n) + 1)
                    if abs(j / n - recall) < table.unit
                ),
                None,
            )
            if hits is None or not np.isfinite(recall):
                continue
            exact = round(hits / n / table.unit, 6)
            # Just above one half is left out: numbers that were rounded twice look cut there.
            if abs(recall / table.unit - int(exact)) < 1e-4 and exact - int(exact) > 0.55:
                cut.setdefault(name, []).append(
                    f"recall@{table.k} {recall:g} is {hits}/{n} = {hits / n:.6f}"
                )
            elif exact - int(exact) > 0.55:
                n_rounded += 1
    if sum(map(len, cut.values())) < 2 or n_rounded < 2:
        return
    yield Finding(
        "rounding",
        file,
        tables[0].shape.table.line,
        tables[0].shape.table.title,
        ", ".join(cut),
        f"{'The row' if len(cut) == 1 else 'Rows'} of {', '.join(cut)}: digits were cut, not "
        "rounded as in the others.",
        "; ".join(text for texts in cut.values() for text in texts)
        + f"; {n_rounded} other cells are rounded up.",
        "Up to one unit in the last digit; these rows were added by another hand.",
    )


def _falling(family: Sequence[RankTable], file: str) -> Iterator[Finding]:
    """Recall can only grow with k."""
    tables = sorted((t for t in family if "recall" in t.columns and t.k), key=lambda table: table.k)
    for smaller, larger in itertools.pairwise(tables):
        if smaller.k == larger.k:
            continue
        for row, name in enumerate(larger.shape.names):
            place = smaller.row_of(name)
            if (
                place is not None
                and larger.values["recall"][row] < smaller.values["recall"][place] - larger.unit
            ):
                yield _finding(
                    "transcription",
                    larger,
                    file,
                    name,
                    f"The recall of {name} falls from k = {smaller.k} to k = {larger.k}, which is "
                    "impossible.",
                    f"{smaller.values['recall'][place]:g} at {smaller.k}, "
                    f"{larger.values['recall'][row]:g} at {larger.k}.",
                    line=larger.shape.table.lines[row],
                )


def _finding(
    kind: Kind,
    table: RankTable,
    file: str,
    where: str,
    what: str,
    evidence: str,
    consequence: str = "",
    line: int = 0,
) -> Finding:
    printed_table = table.shape.table
    return Finding(
        kind,
        file,
        line or printed_table.line,
        printed_table.title,
        where,
        what,
        evidence,
        consequence,
    )
