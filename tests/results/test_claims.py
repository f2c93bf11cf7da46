"""Published numbers on disk: what is written is read back, and wrong numbers are refused."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb.boards.benchmark import load_benchmark
from kemb.boards.cells import cell_value, group_values, overall
from kemb.errors import ResultError
from kemb.results import claims
from kemb.results.claims import (
    ClaimRow,
    Source,
    claims_path,
    join_revisions,
    read_all,
    read_claims,
    read_source,
    write_claims,
)
from kemb.results.files import Claim, TaskResult
from records import record as whole_record

SOURCE = Source("A board", "https://example.org/board", "abc123", "CC0 1.0", "2026-01-02")
ROWS = [
    ClaimRow(
        "org/b",
        "r1",
        "",
        "KorSTS",
        "data1",
        "test",
        "default",
        "cosine_spearman",
        0.7123456789012345,
        "1.2.3",
    ),
    ClaimRow(
        "org/b",
        "r1",
        "",
        "KorSTS",
        "data1",
        "test",
        "default",
        "main_score",
        0.7123456789012345,
        "1.2.3",
    ),
    ClaimRow("org/b", "r2", "", "KorSTS", "data1", "test", "default", "main_score", -0.01, ""),
    ClaimRow(
        "org/a", "r1", "fp16", "XPQARetrieval", "main", "test", "kor-kor", "ndcg@10", 0.25, "2.0"
    ),
    ClaimRow(
        "org/a", "r1", "fp16", "XPQARetrieval", "main", "test", "eng-kor", "ndcg@10", 0.5, "2.0"
    ),
    ClaimRow(
        "org/a",
        "r1",
        "fp16",
        "XPQARetrieval",
        "main",
        "dev",
        "kor-kor",
        "mean(ndcg@5, ndcg@10)",
        1.0,
        "2.0",
    ),
]


def rows_of_shipped(source: str) -> dict[str, dict[str, TaskResult]]:
    """Results by model and task."""
    found: dict[str, dict[str, TaskResult]] = {}
    for result in claims.shipped():
        if result.claim and result.claim.source == source:
            found.setdefault(result.model, {})[result.task] = result
    return found


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = claims_path(tmp_path, SOURCE.name)
    write_claims(path, ROWS, SOURCE)
    assert path == tmp_path / "claims/a-board.parquet"
    assert read_source(path) == SOURCE
    results = read_claims(path)
    assert [(r.model, r.revision, r.variant, r.task, r.dataset_revision) for r in results] == [
        ("org/a", "r1", "fp16", "XPQARetrieval", "main"),
        ("org/b", "r1", "", "KorSTS", "data1"),
        ("org/b", "r2", "", "KorSTS", "data1"),
    ]
    xpqa, korsts, other = results
    assert xpqa.scores == {
        "dev": [
            {
                "mean(ndcg@5, ndcg@10)": 1.0,
                "hf_subset": "kor-kor",
                "languages": ["kor-Hang", "kor-Hang"],
            }
        ],
        "test": [
            {"ndcg@10": 0.5, "hf_subset": "eng-kor", "languages": ["eng-Latn", "kor-Hang"]},
            {"ndcg@10": 0.25, "hf_subset": "kor-kor", "languages": ["kor-Hang", "kor-Hang"]},
        ],
    }
    assert korsts.main_score == 0.7123456789012345
    assert korsts.claim == Claim(
        "A board", "https://example.org/board", "abc123", "1.2.3", "2026-01-02"
    )
    assert korsts.kemb is None
    assert other.main_score == -0.01


def test_bytes_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    write_claims(tmp_path / "one.parquet", ROWS, SOURCE)
    write_claims(tmp_path / "two.parquet", [*reversed(ROWS), ROWS[0]], SOURCE)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"one.parquet", "two.parquet"}


@pytest.mark.parametrize("value", [85.3, -1.5, math.nan, math.inf])
def test_what_is_no_fraction_is_refused_and_nothing_is_written(
    value: float, tmp_path: Path
) -> None:
    path = tmp_path / "claims.parquet"
    write_claims(path, ROWS, SOURCE)
    before = path.read_bytes()
    with pytest.raises(ResultError, match=r"org/b on KorSTS is .*expected a fraction"):
        write_claims(path, [ROWS[0]._replace(value=value)], SOURCE)
    assert path.read_bytes() == before


def test_one_number_with_two_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ResultError, match=r"gives main_score of org/b on KorSTS \(test, default\) twice: .* 0\.8"
    ):
        write_claims(tmp_path / "x.parquet", [ROWS[1], ROWS[1]._replace(value=0.8)], SOURCE)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "etc-passwd.parquet"),
        ("한국어 리더보드", "한국어-리더보드.parquet"),
        ("...", "source.parquet"),
        ("a/b\x00c", "a-b-c.parquet"),
    ],
)
def test_any_name_of_a_source_makes_a_path_inside_the_folder(
    name: str, file: str, tmp_path: Path
) -> None:
    assert claims_path(tmp_path, name) == tmp_path / "claims" / file


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"garbage" * 100_000)
    with pytest.raises(ResultError, match=r"x\.parquet is not a file of published scores"):
        read_claims(path)
    pq.write_table(pa.table({"model": ["a"]}), path)
    with pytest.raises(ResultError, match="its metadata name no source"):
        read_claims(path)
    schema = pa.schema([("model", pa.string())]).with_metadata({"name": "x"})
    pq.write_table(pa.table({"model": ["a"]}, schema=schema), path)
    with pytest.raises(ResultError, match=r"x\.parquet is not a file of published scores"):
        read_claims(path)
    write_claims(path, ROWS, SOURCE)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ResultError, match=r"x\.parquet is not a file of published scores"):
        read_claims(path)


def test_a_value_that_is_missing_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_claims(path, ROWS[:1], SOURCE)
    table = pq.read_table(path)
    table = table.set_column(
        table.column_names.index("value"), "value", pa.array([None], pa.float64())
    )
    pq.write_table(table, path)
    with pytest.raises(ResultError, match="a value is missing"):
        read_claims(path)


def test_measured_and_claimed_results_are_told_apart(tmp_path: Path) -> None:
    entry = {"main_score": 0.5, "hf_subset": "default", "languages": ["kor-Hang"]}
    record = {
        "dataset_revision": "d",
        "task_name": "KorSTS",
        "mteb_version": "2.0",
        "scores": {"test": [entry]},
    }
    for model, extra in (
        ("org__measured", {"kemb": whole_record(model={"name": "org/measured"}).as_json()}),
        ("org__foreign", {}),
    ):
        folder = tmp_path / model / "r"
        folder.mkdir(parents=True)
        (folder / "KorSTS.json").write_text(json.dumps(record | extra), encoding="utf-8")
    write_claims(claims_path(tmp_path, SOURCE.name), ROWS[:2], SOURCE)
    found = {result.model: result.claim for result in read_all(tmp_path)}
    assert found["org/measured"] is None
    assert found["org/foreign"] == Claim(f"files in {tmp_path}")
    assert found["org/b"] == Claim(
        "A board", "https://example.org/board", "abc123", "1.2.3", "2026-01-02"
    )
    assert read_all(tmp_path / "nowhere") == []


def revision_of(candidates: list[tuple[str, str]], main: str = "") -> str:
    """The revision chosen among (revision, version of mteb)."""
    results = [
        TaskResult(
            Path("x"),
            "m",
            revision,
            "",
            "T",
            "d",
            {"test": []},
            None,
            Claim("s", mteb_version=version),
        )
        for revision, version in candidates
    ]
    chosen = [join_revisions(order, {"m": main}) for order in (results, results[::-1])]
    assert chosen[0] == chosen[1]
    return chosen[0][0].revision


def test_joining_prefers_main_revision_then_version_then_a_known_revision_then_the_newest() -> None:
    assert revision_of([("aaa", "2.9.0"), ("bbb", "1.0.0")], main="bbb") == "bbb"
    assert revision_of([("aaa", "2.9.0"), ("bbb", "2.10.0")]) == "bbb", (
        "versions are numbers, not text"
    )
    assert revision_of([("aaa", ""), ("external", "1.0")]) == "external"
    assert revision_of([("aaa", "1.0"), ("no_revision_available", "2.0")]) == "aaa"
    assert revision_of([("aaa", "2.1.0-2.3.0"), ("bbb", "1.0")]) == "bbb", (
        "a range is no version for mteb"
    )
    assert revision_of([("bbb", "1.0"), ("aaa", "1.0")]) == "aaa"


def test_joining_keeps_variants_and_models_apart_and_drops_what_is_empty() -> None:
    full = TaskResult(Path("x"), "m", "r", "", "T", "d", {"test": []}, None, Claim("s"))
    half = dataclasses.replace(full, variant="fp16")
    empty = dataclasses.replace(full, model="n", scores={})
    assert join_revisions([half, empty, full], {}) == [full, half]


def test_shipped_scores_are_small_and_say_where_they_come_from() -> None:
    paths = sorted(claims.FOLDER.glob("*.parquet"))
    assert [path.stem for path in paths] == [
        "autorag",
        "bge-base-en",
        "c-mteb-reranking",
        "ko-leaderboard",
        "kure",
        "mteb-ko",
    ]
    assert sum(path.stat().st_size for path in paths) < 400_000
    for path in paths:
        source = read_source(path)
        assert source.url.startswith("https://")
        assert source.licence
    mteb = read_source(claims.FOLDER / "mteb-ko.parquet")
    assert (mteb.commit, mteb.licence) == ("f4cc6c8b365a3c779dbc708d6affe0b0355b2ddf", "CC0 1.0")
    results = [r for r in claims.shipped() if r.claim and r.claim.url == mteb.url]
    assert len({result.model for result in results}) == 275
    assert len({result.task for result in results}) == 23
    assert claims.shipped() is claims.shipped()


def test_the_model_index_of_bge_gives_its_published_averages() -> None:
    """From the card's own table; the average over 56 tasks is not the one over 7 types."""
    benchmark = load_benchmark("mteb-eng-v1")
    results = rows_of_shipped("bge-base-en-v1.5 card")["BAAI/bge-base-en-v1.5"]
    values = [cell_value(cell, benchmark.formula("tasks"), results) for cell in benchmark.cells]
    groups = {
        name: round(100 * (value or 0), 2)
        for name, value in group_values(values, benchmark.groups()).items()
    }
    assert groups == {
        "retrieval": 53.25,
        "clustering": 45.77,
        "pair_classification": 86.55,
        "reranking": 58.86,
        "sts": 82.40,
        "summarization": 31.07,
        "classification": 75.53,
    }
    total = overall(values, benchmark.cell_weights(benchmark.formula("tasks")))
    assert round(100 * (total or 0), 2) == 63.55


@pytest.mark.shared
def test_the_published_weighted_averages_come_out_of_the_shipped_tables(shared_data: Path) -> None:
    table = json.loads((shared_data / "published/seed000_overall.json").read_text(encoding="utf-8"))
    benchmark = load_benchmark("ko-leaderboard-v1")
    formula = benchmark.formula("published")
    rows = rows_of_shipped("ko-embedding-leaderboard README")
    published = {row[0]: row[5] for row in table["rows"]}
    assert len(published) == 14
    assert set(rows) == set(published)
    for model, number in published.items():
        values = [cell_value(cell, formula, rows[model]) for cell in benchmark.cells]
        total = overall(values, benchmark.cell_weights(formula))
        if model == "facebook/drama-1b-fp16":  # two retrieval cells are nan: no average over holes
            assert total is None
            assert sum(value is None for value in values) == 2
        else:
            assert total is not None
            assert abs(100 * total - number) < 0.005 + 0.005, (
                model
            )  # cells are printed to two decimals


@pytest.mark.shared
def test_all_cells_of_kures_readme_come_out_of_the_shipped_results(shared_data: Path) -> None:
    """272 cells: 17 models, k = 1, 3, 5, 10, recall, precision, nDCG and F1."""
    benchmark = load_benchmark("kure")
    rows = rows_of_shipped("KURE eval/results")
    n_cells = 0
    for k in (1, 3, 5, 10):
        table = json.loads(
            (shared_data / f"published/seed001_mteb_ko_retrieval_top{k}.json").read_text("utf-8")
        )
        for model, *numbers in table["rows"]:
            for name, number in zip(("recall", "precision", "ndcg", "f1"), numbers, strict=True):
                formula = benchmark.formula(f"{name}@{k}")
                values = [cell_value(cell, formula, rows[model]) for cell in benchmark.cells]
                assert overall(values, benchmark.cell_weights(formula)) == pytest.approx(
                    number, abs=5e-6 + 1e-9
                )
                n_cells += 1
    assert n_cells == 272


@pytest.mark.shared
def test_autorag_ranks_are_the_recovered_ones(shared_data: Path) -> None:
    derived = json.loads(
        (shared_data / "published/derived_autorag_true_ranks.json").read_text(encoding="utf-8")
    )
    rows = rows_of_shipped("BGE-m3-ko card, AutoRAG tables (ranks recovered)")
    assert len(rows) == 18
    entry = rows["dragonkue/BGE-m3-ko"]["AutoRAGRetrieval"].scores["test"][0]
    truth = next(row for row in derived["rows"] if row["model"] == "BGE-m3-ko")
    for k in (3, 5):
        assert entry[f"mrr@{k}"] == pytest.approx(truth[f"true_mrr_at_{k}"], abs=5e-5)
        assert entry[f"ndcg@{k}"] == pytest.approx(truth[f"true_ndcg_at_{k}"], abs=5e-5)
    assert entry["ndcg@10"] == pytest.approx(0.8650, abs=5e-5)
    assert entry["recall@10"] == 111 / 114
    openai = rows["openai/text-embedding-3-small"]["AutoRAGRetrieval"].scores["test"][0]
    assert not [
        name
        for name in openai
        if name.startswith(("ndcg", "mrr", "map")) and not name.endswith("@1")
    ]


@pytest.mark.shared
def test_shipped_main_scores_are_those_of_the_public_table(shared_data: Path) -> None:
    """Every main score of the table, its mean over parts taken by another way."""
    table = pq.read_table(
        shared_data / "mteb_results_ko.parquet", filters=[("metric", "=", "main_score")]
    )
    wanted: dict[tuple[str, ...], list[float]] = {}
    for row in table.select(["model", "revision", "task", "dataset_revision", "value"]).to_pylist():
        wanted.setdefault(
            (row["model"], row["revision"], row["task"], row["dataset_revision"]), []
        ).append(row["value"])
    results = read_claims(claims.FOLDER / "mteb-ko.parquet")
    assert len(results) == len(wanted) == 2458
    for result in results:
        key = (result.model, result.revision, result.task, result.dataset_revision)
        assert result.main_score == pytest.approx(statistics.fmean(wanted[key]), abs=1e-12)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_claims(path, ROWS[:1], SOURCE)
    content = path.read_bytes()
    table = pq.read_table(path)
    buffers = [None, pa.py_buffer(b"\0\0\0\0\4\0\0\0"), pa.py_buffer(b"abc\xa0")]
    broken = pa.Array.from_buffers(pa.string(), 1, buffers)
    place = table.schema.get_field_index("task")
    pq.write_table(table.set_column(place, "task", broken), path)
    assert path.read_bytes() != content
    with pytest.raises(ResultError, match="Invalid UTF8"):
        read_claims(path)
