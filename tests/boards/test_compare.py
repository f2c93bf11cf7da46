from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kemb.boards.benchmark import Benchmark, CellSpec, Formula, of_tasks
from kemb.boards.compare import CompareOptions, Comparison, Difference, compare
from kemb.boards.paired import PartItems, flips, goodness
from kemb.cli.compare import compare as compare_command
from kemb.encoding.store import Store
from kemb.errors import KembError, UnknownName, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.files import disk
from kemb.models.resolve import resolve
from kemb.publishing.card.body import part_scores
from kemb.publishing.reports import to_json, to_markdown
from kemb.results.files import (
    Claim,
    NoItems,
    ScoredPart,
    items_path,
    read_items,
    read_results,
    result_dir,
    write_meta,
    write_result,
)
from kemb.results.rows import ResultRow, find_row, rows_of
from kemb.scoring.items import of_part
from kemb.types import ItemBlock, PartScore, TaskType
from records import record as whole_record

MAIN: dict[str, str] = {
    "retrieval": "ndcg@10",
    "sts": "cosine_spearman",
    "pair_classification": "cosine_ap",
    "classification": "accuracy",
    "clustering": "v_measure",
    "bitext_mining": "f1",
}


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def record(
    root: Path,
    model: str,
    task: str,
    task_type: TaskType,
    parts: dict[str, tuple[float, list[ItemBlock]]],
    *,
    revision: str = "r1",
    variant: str = "",
    data_revision: str = "d1",
    **of_task: Any,  # noqa: ANN401  any key of the provenance
) -> None:
    """A result file as kemb writes it, with scores and items made by hand; `parts` by subset."""
    main = MAIN[task_type]
    folder = result_dir(root, model, revision, variant)
    scored = [
        ScoredPart("test", subset, ["kor-Hang"], PartScore({main: score}, {}, items), main)
        for subset, (score, items) in parts.items()
    ]
    described = {"type": task_type, "main_metric": main, "metric_version": 1, "dedupe_pairs": False}
    described |= {"data_sha256": {f"test/{subset}": "0" for subset in parts}} | of_task
    write_meta(folder, {"name": model, "revision": revision})
    write_result(
        folder,
        task,
        data_revision,
        scored,
        whole_record(task=described, model={"name": model, "variant": variant}, timestamp=0),
    )


def queries(values: Sequence[float], metric: str = "ndcg@10") -> tuple[float, list[ItemBlock]]:
    ids = [f"q{i}" for i in range(len(values))]
    return float(np.mean(values)), [ItemBlock(metric, ids, np.array(values))]


def pairs(gold: np.ndarray, cosine: np.ndarray, score: float) -> tuple[float, list[ItemBlock]]:
    ids = [f"p{i}" for i in range(len(gold))]
    kinds = {
        "gold": gold,
        "cosine": cosine,
        "dot": cosine,
        "euclidean": cosine,
        "manhattan": cosine,
    }
    return score, [ItemBlock(name, ids, values) for name, values in kinds.items()]


def rows(root: Path) -> tuple[ResultRow, ResultRow]:
    found = rows_of(read_results(root))
    return find_row("org/a", found), find_row("org/b", found)


def test_items_that_are_none_are_refused_and_missing_ones_are_noted(tmp_path: Path) -> None:
    for model in ("org/a", "org/b"):
        record(tmp_path, model, "T1", "retrieval", {"default": queries([0.5, 1.0])})
    result = read_results(tmp_path)[1]
    items_path(result).unlink()
    assert "are missing or were changed" in of_two(tmp_path).cells[0].note
    pq.write_table(pa.table({"a": [1]}), items_path(result))
    content = json.loads(result.path.read_text())
    content["kemb"]["items_sha256"] = disk.sha256(items_path(result))
    result.path.write_text(json.dumps(content))
    with pytest.raises(NoItems, match=r"T1\.items\.parquet holds no .* the columns a int64"):
        of_two(tmp_path)
    with pytest.raises(NoItems):
        part_scores(read_results(tmp_path)[1])


def of_two(root: Path, **options: Any) -> Comparison:  # noqa: ANN401  passed on
    return compare(*rows(root), options=CompareOptions(**options))


def only(comparison: Comparison) -> Difference:
    (cell,) = comparison.cells
    return cell


def bootstrap(arrays: Sequence[np.ndarray], statistic: Any, n: int = 4000) -> tuple[float, float]:  # noqa: ANN401
    from scipy import stats

    done = stats.bootstrap(
        arrays,
        statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=n,
        rng=np.random.default_rng(1),
    )
    return float(done.confidence_interval.low), float(done.confidence_interval.high)


def sign_flip(differences: np.ndarray) -> float:
    """scipy's paired permutation test of a mean difference, all sign patterns if they are few."""
    from scipy import stats

    done = stats.permutation_test(
        (differences, np.zeros(len(differences))),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=20000,
        vectorized=False,
        rng=np.random.default_rng(1),
    )
    return float(done.pvalue)


def test_a_mean_has_the_interval_and_p_value_of_scipy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(size=200)
    b = np.clip(a + rng.normal(0.03, 0.2, size=200), 0, 1)
    b[:20] = a[:20]
    record(tmp_path, "org/a", "T", "retrieval", {"default": queries(a.tolist())})
    record(tmp_path, "org/b", "T", "retrieval", {"default": queries(b.tolist())})
    cell = only(of_two(tmp_path))
    d = b - a
    assert cell.difference == pytest.approx(d.mean(), abs=1e-12)
    low, high = bootstrap([d], np.mean)
    width = high - low
    assert [cell.low, cell.high] == pytest.approx([low, high], abs=0.1 * width)
    assert cell.p == pytest.approx(sign_flip(d), abs=0.01)
    assert cell.wins_ties_losses == (int((d > 0).sum()), int((d == 0).sum()), int((d < 0).sum()))
    assert cell.n_items == 200
    # (1.960 + 0.842) standard errors: two-sided 5 %, power 80 %.
    assert cell.minimum_detectable == pytest.approx(2.8016 * d.std() / np.sqrt(200), rel=0.1)


def test_a_few_items_are_tested_against_every_sign_pattern(tmp_path: Path) -> None:
    d = np.array([0.1, 0.2, 0.05, -0.02, 0.3, 0.11, 0.07, 0.4])
    record(tmp_path, "org/a", "T", "retrieval", {"default": queries([0.5] * 8)})
    record(tmp_path, "org/b", "T", "retrieval", {"default": queries((0.5 + d).tolist())})
    # Sums of the 256 patterns that are at least as far from 0 as 1.21: all but -0.02 positive
    # (1.21), all positive (1.25), and their mirror images.
    assert only(of_two(tmp_path)).p == pytest.approx(4 / 256, abs=0.006)


def test_subsets_count_alike_whatever_their_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    small, big = rng.normal(0.10, 0.1, 12), rng.normal(-0.02, 0.1, 300)
    for model, sign in (("org/a", 0), ("org/b", 1)):
        values = {
            "ko": queries((0.5 + sign * small).tolist()),
            "en": queries((0.5 + sign * big).tolist()),
        }
        record(tmp_path, model, "T", "retrieval", values)
    cell = only(of_two(tmp_path))
    expected = (small.mean() + big.mean()) / 2
    assert cell.difference == pytest.approx(expected, abs=1e-12)
    flips = np.random.default_rng(0).choice([-1.0, 1.0], size=(20000, 312))
    means = ((flips[:, :12] * small).mean(axis=1) + (flips[:, 12:] * big).mean(axis=1)) / 2
    assert cell.p == pytest.approx((np.abs(means) >= abs(expected)).mean(), abs=0.01)
    error = np.sqrt(small.var() / 12 + big.var() / 300) / 2
    assert cell.high is not None
    assert cell.high - expected == pytest.approx(1.96 * error, rel=0.15)


def test_a_correlation_is_computed_again_on_every_resample(tmp_path: Path) -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    gold = rng.integers(0, 6, 150).astype(float)
    a, b = gold + rng.normal(0, 3, 150), gold + rng.normal(0, 1.5, 150)
    rho = [float(spearmanr(gold, x)[0]) for x in (a, b)]
    record(tmp_path, "org/a", "T", "sts", {"default": pairs(gold, a, rho[0])})
    record(tmp_path, "org/b", "T", "sts", {"default": pairs(gold, b, rho[1])})
    cell = only(of_two(tmp_path))
    assert cell.difference == pytest.approx(rho[1] - rho[0])
    low, high = bootstrap(
        [gold, a, b], lambda g, x, y: spearmanr(g, y)[0] - spearmanr(g, x)[0], 1000
    )
    assert [cell.low, cell.high] == pytest.approx([low, high], abs=0.03)
    assert cell.verdict == "better"
    assert cell.p is not None
    assert cell.p < 0.01


@pytest.mark.slow
def test_average_precision_is_computed_again_on_every_resample(tmp_path: Path) -> None:
    from sklearn.metrics import average_precision_score as ap

    rng = np.random.default_rng(2)
    gold = (rng.uniform(size=150) < 0.4).astype(float)
    a, b = gold + rng.normal(0, 1.2, 150), gold + rng.normal(0, 1.0, 150)
    record(tmp_path, "org/a", "T", "pair_classification", {"default": pairs(gold, a, ap(gold, a))})
    record(tmp_path, "org/b", "T", "pair_classification", {"default": pairs(gold, b, ap(gold, b))})
    cell = only(of_two(tmp_path))
    low, high = bootstrap([gold, a, b], lambda g, x, y: ap(g, y) - ap(g, x), 1000)
    assert [cell.low, cell.high] == pytest.approx([low, high], abs=0.03)


def test_v_measure_is_computed_again_on_every_resample(tmp_path: Path) -> None:
    from sklearn.metrics import v_measure_score

    rng = np.random.default_rng(4)
    ids, gold = [f"t{i}" for i in range(120)], np.repeat([0, 1, 2, 3], 30)

    def clustered(share_wrong: float) -> tuple[float, list[ItemBlock]]:
        blocks = [
            ItemBlock("gold", ids, gold.astype(float), targets=[str(label) for label in gold])
        ]
        scores = []
        for experiment in range(3):
            found = np.where(rng.uniform(size=120) < share_wrong, rng.integers(0, 4, 120), gold)
            scores.append(v_measure_score(gold, found))
            blocks.append(ItemBlock("assignment", ids, found.astype(float), experiment=experiment))
        return float(np.mean(scores)), blocks

    record(tmp_path, "org/a", "T", "clustering", {"default": clustered(0.4)})
    record(tmp_path, "org/b", "T", "clustering", {"default": clustered(0.2)})
    cell = only(of_two(tmp_path))
    assert cell.verdict == "better"
    assert cell.low is not None
    assert cell.high is not None
    assert cell.low < cell.difference < cell.high
    assert cell.wins_ties_losses is None
    assert cell.flips == []


def test_accuracy_is_the_share_of_experiments_that_are_right(tmp_path: Path) -> None:
    ids, gold = ["x", "y", "z"], ["1", "0", "1"]

    def predicted(*experiments: str) -> tuple[float, list[ItemBlock]]:
        blocks = [ItemBlock("gold", ids, np.ones(3), targets=gold)]
        right = np.array(
            [[a == b for a, b in zip(gold, found, strict=True)] for found in experiments],
            dtype=float,
        )
        for number, found in enumerate(experiments):
            blocks.append(
                ItemBlock("prediction", ids, right[number], experiment=number, targets=list(found))
            )
        return float(right.mean()), blocks

    record(
        tmp_path, "org/a", "T", "classification", {"default": predicted("101", "101", "100", "101")}
    )
    record(
        tmp_path, "org/b", "T", "classification", {"default": predicted("001", "001", "001", "101")}
    )
    cell = only(of_two(tmp_path))
    assert cell.wins_ties_losses == (1, 1, 1)
    worst, best = cell.flips
    assert (worst.item_id, worst.goodness, worst.expected) == ("x", (1.0, 0.25), ["1"])
    assert [(answer.value, answer.right, answer.score) for answer in worst.answers[1]] == [
        ("0", False, 0.75),
        ("1", True, 0.25),
    ]
    assert (best.item_id, best.goodness) == ("z", (0.75, 1.0))


@pytest.mark.parametrize(
    ("shift", "zone", "verdict"),
    [
        (0.05, 0.005, "better"),
        (-0.05, 0.005, "worse"),
        (0.001, 0.005, "practically equal"),
        (0.001, 0.0, "undecided"),
    ],
)
def test_verdicts(tmp_path: Path, shift: float, zone: float, verdict: str) -> None:
    rng = np.random.default_rng(5)
    a = rng.uniform(0.2, 0.8, 400)
    d = rng.normal(0, 0.02, 400)
    record(tmp_path, "org/a", "T", "retrieval", {"default": queries(a.tolist())})
    record(
        tmp_path,
        "org/b",
        "T",
        "retrieval",
        {"default": queries((a + d - d.mean() + shift).tolist())},
    )
    assert only(of_two(tmp_path, zone=zone)).verdict == verdict


def test_p_values_are_adjusted_for_all_tasks_of_the_view(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    for task, shift in {"T1": 0.03, "T2": 0.05, "T3": 0.0, "T4": 0.012}.items():
        a = rng.uniform(0.2, 0.8, 100)
        record(tmp_path, "org/a", task, "retrieval", {"default": queries(a.tolist())})
        b = a + rng.normal(shift, 0.06, 100)
        record(tmp_path, "org/b", task, "retrieval", {"default": queries(b.tolist())})
    comparison = of_two(tmp_path, zone=0.0)
    assert comparison.family == "Holm over 4 tasks of this view, B against A"
    p = np.array([cell.p for cell in comparison.cells])
    order = np.argsort(p)
    by_hand, largest = {}, 0.0
    for place, row in enumerate(order):
        largest = max(largest, min(1.0, (4 - place) * p[row]))
        by_hand[row] = largest
    for row, cell in enumerate(comparison.cells):
        assert cell.p_adjusted == pytest.approx(by_hand[row])
        if by_hand[row] > 0.05:
            assert cell.verdict in ("undecided", "practically equal")
    single = compare(*rows(tmp_path), of_tasks(["T4"]), CompareOptions(zone=0.0))
    assert only(single).p_adjusted == only(single).p


def test_groups_are_means_of_their_tasks_with_tests_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sizes = {"R1": 90, "R2": 400, "S1": 200, "S2": 150, "C1": 60}
    d = {task: rng.normal(0.03 if task < "S" else 0.002, 0.1, n) for task, n in sizes.items()}
    for task, difference in d.items():
        record(tmp_path, "org/a", task, "retrieval", {"default": queries([0.5] * len(difference))})
        record(
            tmp_path, "org/b", task, "retrieval", {"default": queries((0.5 + difference).tolist())}
        )
    cells = [CellSpec(task=task, group=task[0]) for task in sizes]
    bench = Benchmark(
        name="mine", title="내 것", cells=cells, formulas={"own": Formula(title="own")}
    )
    comparison = compare(*rows(tmp_path), bench)
    assert [group.title for group in comparison.groups] == [
        "R (2 tasks)",
        "S (2 tasks)",
        "C (1 task)",
    ]
    r, s, c = comparison.groups
    for group, (one, other) in ((r, ("R1", "R2")), (s, ("S1", "S2"))):
        assert group.difference == pytest.approx((d[one].mean() + d[other].mean()) / 2)
        error = np.sqrt(d[one].var() / sizes[one] + d[other].var() / sizes[other]) / 2
        assert group.high is not None
        assert group.high - group.difference == pytest.approx(1.96 * error, rel=0.12)
    cell = next(cell for cell in comparison.cells if cell.title == "C1")
    assert (c.scores, c.low, c.high, c.p) == (cell.scores, cell.low, cell.high, cell.p)
    p = [group.p for group in comparison.groups if group.p is not None]
    first, second, third = sorted(p)
    holm = {
        first: min(1, 3 * first),
        second: max(3 * first, 2 * second),
        third: max(3 * first, 2 * second, third),
    }
    assert [group.p_adjusted for group in comparison.groups] == pytest.approx(
        [min(1, holm[value]) for value in p]
    )
    assert (r.verdict, s.verdict) == ("better", "undecided")
    assert "their p adj. is Holm over the 3 groups" in to_markdown(comparison)
    assert "| R (2 tasks) |" in to_markdown(comparison)
    assert len(json.loads(to_json(comparison))["groups"]) == 3
    alike = compare(
        *rows(tmp_path), of_tasks(list(sizes))
    )  # all retrieval: the overall row says it
    assert alike.groups == []


def test_the_overall_row_is_the_mean_or_the_formula_of_a_benchmark(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    d = {"T1": rng.normal(0.02, 0.1, 80), "T2": rng.normal(0.05, 0.1, 300)}
    for task, difference in d.items():
        record(tmp_path, "org/a", task, "retrieval", {"default": queries([0.5] * len(difference))})
        record(
            tmp_path, "org/b", task, "retrieval", {"default": queries((0.5 + difference).tolist())}
        )
    overall = of_two(tmp_path).overall
    assert overall is not None
    assert overall.title == "mean of 2 common tasks"
    assert overall.difference == pytest.approx((d["T1"].mean() + d["T2"].mean()) / 2)
    error = np.sqrt(d["T1"].var() / 80 + d["T2"].var() / 300) / 2
    assert overall.high is not None
    assert overall.high - overall.difference == pytest.approx(1.96 * error, rel=0.12)
    bench = Benchmark(
        name="mine",
        title="내 것",
        cells=[CellSpec(task="T1", group="x"), CellSpec(task="T2", group="y")],
        formulas={"own": Formula(title="own", weights={"x": "1/4", "y": "3/4"})},
    )
    weighted = compare(*rows(tmp_path), bench).overall
    assert weighted is not None
    assert weighted.title == "mine: own"
    assert weighted.difference == pytest.approx(0.25 * d["T1"].mean() + 0.75 * d["T2"].mean())


def test_a_cell_may_be_an_expression_of_metrics(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    values = {side: {k: rng.uniform(size=50) for k in (5, 10)} for side in "ab"}
    for side, of_side in values.items():
        blocks = [queries(of_side[k].tolist(), f"ndcg@{k}")[1][0] for k in (5, 10)]
        record(
            tmp_path,
            f"org/{side}",
            "T",
            "retrieval",
            {"default": (float(of_side[10].mean()), blocks)},
        )
        path = next((tmp_path / f"org__{side}").glob("*/T.json"))
        whole = json.loads(path.read_text())
        whole["scores"]["test"][0]["ndcg_at_5"] = float(of_side[5].mean())
        path.write_text(json.dumps(whole))
    bench = Benchmark(
        name="x", title="x", cells=[CellSpec(task="T", group="g", metric="mean(ndcg@5, ndcg@10)")]
    )
    cell = only(compare(*rows(tmp_path), bench))
    per_query = [(values[side][5] + values[side][10]) / 2 for side in "ab"]
    assert cell.difference == pytest.approx((per_query[1] - per_query[0]).mean())
    assert cell.p == pytest.approx(sign_flip(per_query[1] - per_query[0]), abs=0.015)


def test_what_is_not_comparable_is_refused_with_the_reason(tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {
        "Revision": {"data_revision": "d2"},
        "Hash": {"data_sha256": {"test/default": "1"}},
        "Version": {"metric_version": 2},
        "Pairs": {"dedupe_pairs": True},
        "Same": {},
        "OnlyA": {},
    }
    for task, change in changes.items():
        record(tmp_path, "org/a", task, "retrieval", {"default": queries([0.5, 0.6])})
        if task != "OnlyA":
            record(tmp_path, "org/b", task, "retrieval", {"default": queries([0.6, 0.6])}, **change)
    comparison = compare(*rows(tmp_path), of_tasks(list(changes)))
    assert [cell.title for cell in comparison.cells] == ["Same"]
    assert comparison.overall is None
    reasons = {
        "Revision": "revision d1 and d2",
        "Hash": "hashes of test/default differ",
        "Version": "metric version: 1 and 2",
        "Pairs": "dedupe_pairs): False and True",
        "OnlyA": "B has no result",
    }
    assert comparison.refused.keys() == reasons.keys()
    for task, reason in reasons.items():
        assert reason in comparison.refused[task]
    with pytest.raises(UsageError, match=r"no task to be compared on\. OnlyA: B has no result"):
        compare(*rows(tmp_path), of_tasks(["OnlyA"]))


def test_claimed_scores_have_a_difference_and_no_item_interval(tmp_path: Path) -> None:
    record(tmp_path, "org/a", "T", "retrieval", {"default": queries([0.5, 0.6])})
    record(tmp_path, "org/b", "T", "retrieval", {"default": queries([0.6, 0.6])})
    a, b = rows(tmp_path)
    claimed = ResultRow(
        "org/b",
        "r1",
        "",
        "a card",
        {"T": replace(b.results["T"], kemb=None, claim=Claim("a card"))},
    )
    cell = only(compare(a, claimed))
    assert cell.difference == pytest.approx(0.05)
    assert (cell.low, cell.p, cell.verdict) == (None, None, "")
    assert "claimed" in cell.note
    assert "claimed:org/b@r1" in to_markdown(compare(a, claimed)).replace("\\", "")


def test_overall_of_claimed_scores_resamples_tasks_and_says_so(tmp_path: Path) -> None:
    gains = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    for number, gain in enumerate(gains):
        record(tmp_path, "org/a", f"T{number}", "retrieval", {"default": queries([0.5, 0.5])})
        record(
            tmp_path,
            "org/b",
            f"T{number}",
            "retrieval",
            {"default": queries([0.5 + gain, 0.5 + gain])},
        )
    a, b = rows(tmp_path)
    claimed = replace(b, source="a card")
    overall = compare(a, claimed).overall
    assert overall is not None
    assert overall.low is not None
    assert min(gains) < overall.low < overall.difference < overall.high < max(gains)  # type: ignore[operator]
    assert "over tasks, not items" in overall.note
    few = compare(a, claimed, of_tasks(["T0", "T1"])).overall
    assert few is not None
    assert few.low is None
    assert "too few tasks" in few.note


def test_lost_items_leave_the_difference_and_say_why(tmp_path: Path) -> None:
    for side in "ab":
        record(tmp_path, f"org/{side}", "T", "retrieval", {"default": queries([0.5, 0.6])})
    next((tmp_path / "org__b").glob("*/T.items.parquet")).unlink()
    cell = only(of_two(tmp_path))
    assert cell.low is None
    assert "missing" in cell.note


def test_other_items_under_one_hash_are_noticed(tmp_path: Path) -> None:
    record(tmp_path, "org/a", "T", "retrieval", {"default": queries([0.5, 0.6])})
    record(tmp_path, "org/b", "T", "retrieval", {"default": queries([0.5, 0.6, 0.7])})
    assert "are not those of the other rows" in only(of_two(tmp_path)).note


def test_rows_are_found_by_name_revision_variant_and_folder(tmp_path: Path) -> None:
    for model, revision, variant in [
        ("org/a", "abc1", ""),
        ("org/a", "abd2", ""),
        ("org/a", "abc1", "dtype_bfloat16"),
        ("org/b", "r", "dims_64"),
        ("BAAI/bge-m3", "r", ""),
    ]:
        values = {"default": queries([0.5])}
        record(tmp_path, model, "T", "retrieval", values, revision=revision, variant=variant)
    found = rows_of(read_results(tmp_path))
    assert find_row("org/a@abc", found).label == "org/a@abc1"
    assert find_row("org/a@abc [dtype_bfloat16]", found).variant == "dtype_bfloat16"
    assert find_row("org/a [dtype_bfloat16]", found).revision == "abc1"
    assert find_row("org/b", found).variant == "dims_64"
    assert find_row("bge-m3", found).model == "BAAI/bge-m3"
    for row in found:
        assert find_row(row.label, found) is row
    folder = tmp_path / "org__a" / "abc1"
    assert find_row(str(folder), []).label == "org/a@abc1"
    assert find_row(str(folder / "experiments" / "dtype_bfloat16"), []).variant == "dtype_bfloat16"
    with pytest.raises(
        UsageError,
        match=r"'org/a' is more than one row\. Type one of: 'org/a@abc1', 'org/a@abd2'\.",
    ):
        find_row("org/a", found)
    with pytest.raises(UsageError, match="'org/a@ab' is more than one row"):
        find_row("org/a@ab", found)
    with pytest.raises(
        UsageError, match=r"'org/b@zzz' is no row\. Type one of: 'org/b@r \[dims_64\]'"
    ):
        find_row("org/b@zzz", found)
    with pytest.raises(UnknownName, match="Did you mean org/b or org/a"):
        find_row("orgg/b", found)
    with pytest.raises(UsageError, match="does not name a row"):
        find_row("a@b@c[d", found)
    with pytest.raises(UsageError, match="same row"):
        compare(find_row("org/b", found), find_row("org/b@r", found))


def test_measured_rows_go_before_claimed_ones_of_the_same_name(tmp_path: Path) -> None:
    record(tmp_path, "org/a", "T", "retrieval", {"default": queries([0.5])})
    (measured,) = read_results(tmp_path)
    claims = [replace(measured, kemb=None, claim=Claim(source)) for source in ("card", "board")]
    assert find_row("org/a", rows_of([measured, *claims])).source == ""
    assert find_row("claimed:org/a", rows_of([measured, claims[0]])).source == "card"
    assert find_row("org/a", rows_of(claims[:1])).source == "card"
    with pytest.raises(UsageError, match="more than one row"):
        find_row("claimed:org/a", rows_of(claims))
    for row in rows_of([measured, *claims]):
        assert find_row(row.label, rows_of([measured, *claims])).source == row.source


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Toy and tfidf:char on a search and a pair task of one's own."""
    words = "비가 눈이 바람이 구름이 햇볕이 안개가 우박이 서리가 이슬이 무지개가".split()
    verbs = "온다 그친다 불어온다 흩어진다".split()
    texts = [f"{word} {verb}" for word in words for verb in verbs]
    search, sts = tmp_path / "my-search", tmp_path / "my-sts"
    (search / "qrels").mkdir(parents=True)
    sts.mkdir()
    write(search / "corpus.jsonl", [{"_id": f"d{i}", "text": text} for i, text in enumerate(texts)])
    write(
        search / "queries.jsonl",
        [{"_id": f"q{i}", "text": f"{word} 왜"} for i, word in enumerate(words)],
    )
    lines = [f"q{i}\td{4 * i + j}\t1" for i in range(10) for j in range(2)]
    (search / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
    )
    write(
        sts / "test.jsonl",
        [
            {"sentence1": text, "sentence2": texts[(7 * i) % 40], "score": float(i % 6)}
            for i, text in enumerate(texts)
        ],
    )
    models = [resolve(name) for name in ("toy", "tfidf:char", "bm25:bigram")]
    evaluate(
        [load_task(search), load_task(sts)],
        models,
        RunOptions(tmp_path / "results", Store(tmp_path / "store")),
    )
    return tmp_path


def test_flipped_queries_show_both_lists_regressions_first(measured: Path) -> None:
    found = {row.model: row for row in rows_of(read_results(measured / "results"))}
    task = load_task(measured / "my-search")
    data = {"my-search": task.load()}
    comparison = compare(
        found["bm25:bigram"],
        found["toy"],
        of_tasks(["my-search"]),
        CompareOptions(n_flips=2, data=data),
    )
    cell = only(comparison)
    changes = [flip.goodness[1] - flip.goodness[0] for flip in cell.flips]
    assert changes
    assert changes[0] == min(changes)
    assert sum(change < 0 for change in changes) <= 2
    flip = cell.flips[0]
    (part,) = data["my-search"].parts
    qrels = part.data.qrels[flip.item_id]  # type: ignore[union-attr]
    texts = dict(zip(part.data.doc_ids, part.data.documents, strict=True))  # type: ignore[union-attr]
    assert flip.expected == list(qrels)
    assert flip.texts == [f"{part.data.queries[part.data.query_ids.index(flip.item_id)]}"]  # type: ignore[union-attr]
    for side, answers in zip(("bm25:bigram", "toy"), flip.answers, strict=True):
        items = next(
            result for result in read_results(measured / "results") if result.model == side
        )
        assert len(answers) <= 5
        assert items is not None
        for answer in answers:
            assert answer.right == (answer.value in qrels)
            assert answer.text == texts[answer.value]
        # ndcg of the shown list agrees with the recorded value if the rest holds no relevant
        # document
        gain = sum(1 / np.log2(rank + 2) for rank, answer in enumerate(answers) if answer.right)
        assert gain / (1 + 1 / np.log2(3)) <= flip.goodness[side == "toy"] + 1e-9
    without = only(compare(found["bm25:bigram"], found["toy"], of_tasks(["my-search"])))
    assert without.flips[0].item_id == flip.item_id
    assert {answer.right for answer in without.flips[0].answers[0]} == {None}
    assert without.flips[0].texts == without.flips[0].expected == []


def test_texts_of_other_data_are_not_shown(measured: Path) -> None:
    found = {row.model: row for row in rows_of(read_results(measured / "results"))}
    data = load_task(measured / "my-sts").load()
    other = replace(data, parts=[replace(data.parts[0], sha256="1")])
    for shown, expected in ((data, 2), (other, 0)):
        cell = only(
            compare(
                found["toy"],
                found["tfidf:char"],
                of_tasks(["my-sts"]),
                CompareOptions(data={"my-sts": shown}),
            )
        )
        assert len(cell.flips[0].texts) == expected


def items_of(root: Path) -> PartItems:
    """The items of `org/a` and `org/b`, where there are two."""
    results = read_results(root)
    one, *more = [of_part(read_items(result), "test", "default") for result in results]
    of_task = results[0].record.task
    return PartItems(
        "test",
        "default",
        of_task.type,
        of_task.main_metric,
        "cosine",
        (one, (more or [one])[0]),
    )


def test_sts_items_are_judged_by_ranks(tmp_path: Path) -> None:
    gold = np.array([0.0, 1.0, 2.0, 3.0])
    record(
        tmp_path, "org/a", "T", "sts", {"default": pairs(gold, np.array([0.1, 0.2, 0.3, 0.4]), 1.0)}
    )
    record(
        tmp_path,
        "org/b",
        "T",
        "sts",
        {"default": pairs(gold, np.array([0.9, 0.2, 0.3, 0.4]), -0.2)},
    )
    items = items_of(tmp_path)
    judged = goodness(items)
    assert judged is not None
    # Ranks of B: 4 1 2 3 for gold ranks 1 2 3 4: off by 3, 1, 1, 1 of 4.
    assert judged[1].tolist() == [[1, 1, 1, 1], [0.25, 0.75, 0.75, 0.75]]
    (flip,) = flips(items, *judged, n=1)
    assert (flip.item_id, flip.goodness, flip.expected) == ("p0", (1.0, 0.25), ["0"])
    assert [answer.score for answers in flip.answers for answer in answers] == [0.1, 0.9]


def test_aligned_sentences_show_what_was_found(tmp_path: Path) -> None:
    ids = ["s0", "s1", "s2"]
    for side, found in (("a", ["s0", "s1", "s2"]), ("b", ["s0", "s1", "s1"])):
        hit = np.array([own == other for own, other in zip(ids, found, strict=True)], dtype=float)
        items = [ItemBlock("f1", ids, hit), ItemBlock("nearest", ids, hit, targets=found)]
        record(
            tmp_path, f"org/{side}", "T", "bitext_mining", {"default": (float(hit.mean()), items)}
        )
    items_found = items_of(tmp_path)
    judged = goodness(items_found)
    assert judged is not None
    (flip,) = flips(items_found, *judged, n=2)
    assert (flip.item_id, flip.expected, flip.goodness) == ("s2", ["s2"], (1.0, 0.0))
    assert [(answer.value, answer.right) for answers in flip.answers for answer in answers] == [
        ("s2", True),
        ("s1", False),
    ]


def test_pairs_are_judged_by_the_pairs_of_the_other_label(tmp_path: Path) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(9)
    gold = (np.arange(40) % 3 == 0).astype(float)
    similarity = np.round(gold + rng.normal(0, 1, 40), 1)
    record(tmp_path, "org/a", "T", "pair_classification", {"default": pairs(gold, similarity, 0.5)})
    found = goodness(items_of(tmp_path))
    assert found is not None
    auc = roc_auc_score(gold, similarity)
    assert found[1][0][gold == 1].mean() == pytest.approx(auc)
    assert found[1][0][gold == 0].mean() == pytest.approx(auc)


def command(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(compare_command, [str(argument) for argument in arguments])
    if isinstance(done.exception, KembError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_the_command_prints_a_table_markdown_and_json(measured: Path) -> None:
    where = ("--results", measured / "results")
    code, output = command("toy", "tfidf:char", *where, "--items", "1")
    assert code == 0
    for part in (
        "my-search",
        "my-sts",
        "mean of 2 common tasks",
        "Holm over 2 tasks",
        "regressions first",
    ):
        assert part in output
    code, output = command(
        "toy", "tfidf:char", measured / "my-sts", *where, "--format", "md", "--zone", "2"
    )
    assert output.startswith("| Task | A | B |")
    assert "2 points" in output
    assert "expected: " in output
    code, output = command("toy", "bm25:bigram", "my-search", "my-sts", *where, "--format", "json")
    shown = json.loads(output)
    assert [cell["title"] for cell in shown["cells"]] == ["my-search"]
    assert shown["refused"] == {"my-sts": "B has no result"}
    cell = shown["cells"][0]
    assert cell["difference"] == cell["scores"][1] - cell["scores"][0]


def test_the_command_refuses_what_it_cannot_compare(measured: Path) -> None:
    where = ("--results", measured / "results")
    for arguments, says in [
        (("toy", "tfidf:chor", *where), "Did you mean tfidf:char"),
        (("toy", "toy", *where), "same row"),
        (("toy", "tfidf:char", "my-stz", *where), "no task to be compared on"),
        (("toy", "tfidf:char", "mteb-kor-v1", "my-sts", *where), "name tasks only"),
        (("toy", "tfidf:char", "--zone", "-1", *where), "zone of -1 points"),
        (("toy", "tfidf:char", "--zone", "nan", *where), "zone of nan points"),
        (("toy", "tfidf:char", "--items", "-1", *where), "-1 items cannot be shown"),
    ]:
        code, message = command(*arguments)
        assert code == 2, message
        assert says in message


def test_text_from_outside_cannot_break_a_table(tmp_path: Path) -> None:
    for side, values in (("a", [0.9, 0.1]), ("b", [0.1, 0.1])):
        ids = ["x|y\x1b[2J\n# title", "q"]
        items = [ItemBlock("ndcg@10", ids, np.array(values))]
        items += [ItemBlock("retrieved", ids[:1], np.array([1.0]), targets=["<script>`"])]
        record(
            tmp_path, f"org/{side}", "T", "retrieval", {"default": (float(np.mean(values)), items)}
        )
    shown = to_markdown(of_two(tmp_path))
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("#")]
    assert json.loads(to_json(of_two(tmp_path)))["cells"][0]["flips"][0]["item_id"].startswith(
        "x|y"
    )
