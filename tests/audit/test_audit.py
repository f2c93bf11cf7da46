"""The audit finds what is known to be wrong in five published documents, and nothing in tables that
are right.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kemb.audit import audit
from kemb.audit.findings import Finding

Published = Callable[[str], list[Finding]]


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Published:
    folder = shared_data / "published"
    found: dict[str, list[Finding]] = {}

    def findings(name: str) -> list[Finding]:
        if name not in found:
            found[name] = audit(
                [folder / "documents" / f"{name}.txt"], [folder / "kure_results.json"]
            ).findings
        return found[name]

    return findings


def of_kind(findings: list[Finding], kind: str, where: str = "") -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind and where in finding.where]


pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.shared
def test_the_leaderboards_formula_holes_outlier_and_labels(
    published: Published, shared_data: Path
) -> None:
    findings = published("ko-embedding-leaderboard-readme")
    expected = json.loads((shared_data / "published" / "expected_findings.json").read_text())[
        "findings"
    ]
    by_id = {finding["id"]: finding for finding in expected}
    (formula,) = of_kind(findings, "formula")  # F01, F02
    assert "sum to 8/9" in formula.what
    assert (
        "STS_Average 1/9, NLI_Average 1/9, Clustering_Average 1/3, Retrieval_Average 1/3"
        in formula.evidence
    )
    assert "0.0044" in formula.evidence
    changes = by_id["F02"]["changes"]
    assert f"{len(changes)} of 14 ranks change" in formula.consequence
    for model, (old, new) in changes.items():
        assert f"{model} {old} -> {new}" in formula.consequence
    (hole,) = of_kind(findings, "missing data")  # F03
    assert hole.where == by_id["F03"]["model"]
    assert "rank 11; on the tasks it has, it is rank 5 of 14" in hole.consequence
    assert "75.82, rank 2" in hole.consequence
    (outlier,) = of_kind(findings, "conflict between sources")  # F04
    assert outlier.where == "BAAI/bge-multilingual-gemma2-fp16, PublicHealthQA"
    assert "Printed 65.6, elsewhere 86.31" in outlier.evidence
    assert outlier.consequence.endswith("rank 12 -> 7.")
    (same,) = of_kind(findings, "reproduction")  # F05
    assert same.what.startswith("25 of 45 cells")
    (label,) = of_kind(findings, "label")  # F06
    assert "'sib2000' is no known data set; 'sib200' is" in label.evidence
    assert "'clustering_klue_mrc_ynat_title' names two data sets" in label.evidence
    assert len(findings) == 5


@pytest.mark.shared
def test_the_wrong_headers_and_right_numbers_of_the_koe5_card(published: Published) -> None:
    findings = published("koe5-card")
    labels = of_kind(findings, "label")  # F07
    assert [finding.table for finding in labels] == ["Top-k 3", "Top-k 5", "Top-k 10"]
    (same,) = of_kind(findings, "reproduction")  # F08
    assert same.what.startswith("272 of 272 averages")
    assert len(findings) == 4


@pytest.mark.slow
@pytest.mark.shared
def test_the_reversed_lists_of_the_bge_m3_ko_cards(published: Published, shared_data: Path) -> None:
    truth = json.loads((shared_data / "published" / "derived_autorag_true_ranks.json").read_text())
    for name, n_reproduced in (("bge-m3-ko-card-1", "13 of 16"), ("bge-m3-ko-card-2", "16 of 18")):
        (finding,) = of_kind(published(name), "reversed ranking")  # F09
        assert f"{n_reproduced} models" in finding.evidence
        assert "With 114 queries" in finding.evidence
        assert "BGE-m3-ko MRR 0.8296 nDCG 0.8650" in finding.consequence
        assert "gte-multilingual-base MRR" in finding.consequence
    assert "0.8296" in json.dumps(truth) or "0.829" in json.dumps(truth)
    first, second = published("bge-m3-ko-card-1"), published("bge-m3-ko-card-2")
    repeated = of_kind(first, "transcription")  # F10
    assert [(finding.table, finding.where) for finding in repeated] == [
        ("Top-k 5", "BGE-m3"),
        ("Top-k 10", "BGE-m3"),
    ]
    assert all(
        "that of the table of k = 3, number for number" in finding.evidence for finding in repeated
    )
    for findings in (first, second):  # F11
        (cut,) = of_kind(findings, "rounding")
        assert cut.where == "BGE-m3, BGE-m3-ko"
        assert "0.6578 is 75/114" in cut.evidence
    (other,) = of_kind(second, "transcription")  # F12
    assert (other.where, "0.6833 by cosine, 0.6723 by dot product" in other.evidence) == (
        "cosine_ndcg@10",
        True,
    )
    assert (len(first), len(second)) == (4, 3)


@pytest.mark.shared
def test_the_bge_card(published: Published) -> None:
    findings = published("bge-base-en-v1.5-card")
    (slip,) = of_kind(findings, "transcription")  # F13
    assert slip.where == "instructor-xl, Classification (12)"
    assert "73.10 is implied" in slip.evidence
    (mixed,) = of_kind(findings, "formula")  # F14
    assert "3 rows are the mean over the 35 tasks of c-mteb" in mixed.what
    assert "13 are not" in mixed.what
    assert "31 datasets" in mixed.evidence
    (conflict,) = of_kind(findings, "conflict between sources")  # F15
    for text in ("multilingual-e5-small 53.86 there, 57.33 here", "4 models agree"):
        assert text in conflict.evidence
    links = of_kind(findings, "link")  # F16
    assert [finding.where for finding in links] == ["e5-small-v2", "hf.xwall.us.kg."]
    (same,) = of_kind(findings, "reproduction")  # F17
    for text in (
        "63.5476",
        "53.2506",
        "45.7658",
        "86.5519",
        "58.8564",
        "82.3952",
        "31.0678",
        "75.5318",
    ):
        assert text in same.evidence
    assert len(findings) == 6


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def average_table(
    seed: int, n: int, k: int, decimals: int, weights: list[int] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Scores and their right averages, in order, printed to some decimals."""
    rng = np.random.default_rng(seed)
    scores = np.clip(rng.normal(60, 12, (n, 1)) + rng.normal(0, 8, (n, k)), 1, 99)
    w = np.ones(k) if weights is None else np.array(weights, dtype=float)
    averages = scores @ w / w.sum()
    order = np.argsort(-averages)
    titles = [f"Task{chr(65 + i)}" + (f" ({weights[i]})" if weights else "") for i in range(k)]
    rows = [
        [
            f"org/model-{i}",
            f"{averages[i]:.{decimals}f}",
            *(f"{score:.{decimals}f}" for score in scores[i]),
            str(place + 1),
        ]
        for place, i in enumerate(order)
    ]
    return ["Model", "Average", *titles, "Rank"], rows


def run(tmp_path: Path, text: str) -> list[Finding]:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    return audit([path]).findings


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 30),
    k=st.integers(2, 9),
    decimals=st.integers(0, 4),
    weighted=st.booleans(),
)
def test_nothing_is_found_in_averages_that_are_right(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    n: int,
    k: int,
    decimals: int,
    weighted: bool,
) -> None:
    weights = np.random.default_rng(seed).integers(1, 16, k).tolist() if weighted else None
    columns, rows = average_table(seed, n, k, decimals, weights)
    if decimals == 0:  # ranks of averages that are equal as printed cannot be told
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    assert run(tmp_path_factory.mktemp("clean"), "# Results\n\n" + table(columns, rows)) == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 20), k=st.integers(2, 8))
@example(seed=18, n=18, k=7)  # two of the eighteen rows are the plain mean, by chance
def test_averages_of_more_than_the_table_shows_are_no_finding(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, k: int
) -> None:
    columns, rows = average_table(seed, n, k + 4, 2)
    shown = [0, 1, *range(2, 2 + k), len(columns) - 1]
    text = table([columns[i] for i in shown], [[row[i] for i in shown] for row in rows])
    assert run(tmp_path_factory.mktemp("selection"), text) == []


@pytest.mark.parametrize(("n_plain", "is_found"), [(2, False), (3, True), (9, True)])
def test_an_average_made_in_two_ways_is_found_where_chance_does_not_explain_it(
    tmp_path: Path, n_plain: int, is_found: bool
) -> None:
    columns, rows = average_table(3, 16, 11, 2)
    columns = [*columns[:2], *columns[2:9], columns[-1]]
    for number, row in enumerate(rows):
        scores = row[2:9]
        if number < n_plain:
            row[1] = f"{np.mean([float(score) for score in scores]):.2f}"
        rows[number] = [*row[:2], *scores, row[-1]]
    found = of_kind(run(tmp_path, table(columns, rows)), "formula", "Average")
    assert [f"made in one way: {n_plain} rows" in finding.what for finding in found] == (
        [True] if is_found else []
    )


@pytest.mark.parametrize("seed", range(8))
def test_one_wrong_average_is_found_in_its_row(tmp_path: Path, seed: int) -> None:
    columns, rows = average_table(seed, 10, 4, 2)
    rows[3][1] = f"{float(rows[3][1]) + 0.37:.2f}"
    found = [
        finding for finding in run(tmp_path, table(columns, rows)) if "ranks" not in finding.what
    ]
    assert [(f.kind, f.line, rows[3][0] in f.where) for f in found] == [("transcription", 6, True)]


def test_ranks_that_are_not_the_order_are_found(tmp_path: Path) -> None:
    columns, rows = average_table(1, 10, 4, 2)
    rows[2][-1], rows[3][-1] = rows[3][-1], rows[2][-1]
    (found,) = run(tmp_path, table(columns, rows))
    assert found.where == "Rank"
    assert f"{rows[2][0]} 4, not 3" in found.evidence


def ranking_tables(reverse: bool, seed: int = 0, n: int = 114) -> str:
    rng = np.random.default_rng(seed)
    places = {f"m{i}": np.minimum(rng.geometric(0.4 + 0.05 * i, n), 99) for i in range(8)}
    text = ""
    for k in (1, 3, 5, 10):
        rows = []
        for name, ranks in places.items():
            hit = ranks[ranks <= k]
            at = k + 1 - hit if reverse else hit
            recall = len(hit) / n
            values = [
                2 * recall / (k + 1),
                recall,
                recall / k,
                (1 / at).sum() / n,
                (1 / np.log2(at + 1)).sum() / n,
            ]
            rows.append([name, *(f"{value:.4f}" for value in values)])
        text += (
            f"## Top-k {k}\n\n"
            + table(["Model", "F1", "Recall", "Precision", "mRR", "NDCG"], rows)
            + "\n"
        )
    return text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_right_rankings_are_no_finding_and_reversed_ones_are_recovered(
    tmp_path: Path, seed: int
) -> None:
    assert run(tmp_path, ranking_tables(reverse=False, seed=seed)) == []
    (found,) = run(tmp_path, ranking_tables(reverse=True, seed=seed))
    assert found.kind == "reversed ranking"
    right = ranking_tables(reverse=False, seed=seed).split("## Top-k 10")[1]
    best = max(
        (line.split(" | ") for line in right.splitlines() if line.startswith("| m")),
        key=lambda row: row[-1],
    )
    assert f"{best[0][2:]} MRR {best[4]} nDCG {best[5].rstrip(' |')}" in found.consequence


@pytest.mark.slow
def test_the_command_exits_with_1_on_findings_only(tmp_path: Path) -> None:
    columns, rows = average_table(1, 6, 3, 2)
    clean, wrong = tmp_path / "clean.md", tmp_path / "wrong.md"
    clean.write_text(table(columns, rows))
    rows[0][1] = "99.99"
    wrong.write_text(table(columns, rows))

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kemb", "audit", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert command(clean).returncode == 0
    done = command(wrong)
    assert (done.returncode, "1 finding" in done.stdout) == (1, True)
    assert json.loads(command(wrong, "--json").stdout)["findings"][0]["kind"] == "transcription"
    assert command(tmp_path / "none.md").returncode == 2
    bad = command(clean, "--against", wrong)
    assert (bad.returncode, "holds no results" in bad.stderr) == (1, True)


def test_what_rounding_of_the_printed_cells_explains_is_no_finding(tmp_path: Path) -> None:
    """A mean of 40.0449 printed as 40.045 beside cells of which some have one digit less."""
    rows = [[f"m{i}", f"{40 + i}.000", f"{30 + i}.000", f"{50 + i}.000"] for i in range(8)]
    rows.append(["n", "64.59", "64.5", "64.64"])  # 64.54 and 64.64: 64.59; printed cells say 64.57
    assert run(tmp_path, table(["Model", "Average", "A", "B"], rows)) == []
    rows[-1][1] = "64.9"
    (finding,) = run(tmp_path, table(["Model", "Average", "A", "B"], rows))
    assert finding.where == "n, Average"


def test_missing_rows_and_columns_give_no_warning(tmp_path: Path) -> None:
    """NumPy's warnings are errors in this suite."""
    kure = [
        "Ko-StrategyQA",
        "AutoRAGRetrieval",
        "PublicHealthQA",
        "MIRACLRetrieval",
        "XPQARetrieval",
    ]
    rows = [["BAAI/bge-m3", *("-" for _ in kure)], ["x", *("-" for _ in kure)], ["y", "1", *"----"]]
    assert run(tmp_path, table(["Model", *kure], rows)) == []
    rank = ["recall@1", "precision@1", "mrr@1"]
    assert (
        run(tmp_path, table(["Model", *rank], [["a", "-", "-", "0"], ["b", "-", "-", "0.5"]])) == []
    )


def test_more_tables_than_are_compared_are_named(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("| Model | A | B |\n|---|---|---|\n| x | 1 | 2 |\n| y | 2 | 3 |\n\n" * 102)
    (problem,) = audit([path]).problems
    assert "line 501: from here on tables are checked each by itself" in problem


@pytest.mark.parametrize("blank", [" ", "_"])
def test_long_headers_are_read_in_linear_time(tmp_path: Path, blank: str) -> None:
    """Cubic patterns took minutes of this."""
    header = ["Model", f"recall{blank * 30_000}x", f"precision{blank * 30_000}x"]
    start = time.process_time()
    assert run(tmp_path, table(header, [["a", "1", "1"], ["b", "2", "2"]])) == []
    assert time.process_time() - start < 10
