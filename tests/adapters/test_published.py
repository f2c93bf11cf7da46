"""Tables and cards as claimed numbers: the place and the scale of every number are certain, or it
is refused.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kemb.adapters.card_results import Entry
from kemb.adapters.documents import find_tables
from kemb.adapters.published import Imported, Scale, card_rows, table_rows
from kemb.boards.benchmark import load_benchmark
from kemb.boards.cells import cell_value, overall
from kemb.cli.exchange import import_group
from kemb.errors import DataError, ResultError, UsageError
from kemb.results.claims import FOLDER, read_claims, read_source
from kemb.results.files import TaskResult

STS = (
    "mean(pearson, spearman, cosine_pearson, cosine_spearman, euclidean_pearson, "
    "euclidean_spearman, manhattan_pearson, manhattan_spearman)"
)


def table(
    header: str, *rows: str, benchmark: str = "ko-leaderboard-v1", scale: Scale = "auto"
) -> Imported:
    """A Markdown table; its first row stands in line 10."""
    n = header.count("|") + 1
    lines = [
        "# Scores",
        "",
        "",
        "",
        "",
        "",
        "",
        f"| {header} |",
        "|" + "---|" * n,
        *(f"| {row} |" for row in rows),
    ]
    (found,) = find_tables("\n".join(lines))
    return table_rows(found, load_benchmark(benchmark), scale)


def values(imported: Imported) -> dict[tuple[str, str], float]:
    return {(row.model, row.task): row.value for row in imported.rows}


def test_columns_become_cells_and_percent_fractions() -> None:
    got = table(
        "Model | KLUE-STS | sib2000 | facebook/belebele | AutoRAG | STS_Average | Rank",
        "BAAI/bge-m3 | 86.8 | 33.01 | 92.87 | 82.32 | 83.46 | 9",
        "somebody/new | 50 | nan | - | | 50 | 10",
    )
    assert got.problems == []
    assert got.matched == {
        "KLUE-STS": "KLUE-STS",
        "sib2000": "sib200",
        "facebook/belebele": "facebook/belebele",
        "AutoRAG": "AutoRAGRetrieval",
    }
    assert got.ignored == ["STS_Average", "Rank"]
    assert values(got) == {
        ("BAAI/bge-m3", "KLUE-STS"): 0.868,
        ("BAAI/bge-m3", "SIB200ClusteringS2S"): pytest.approx(0.3301),
        ("BAAI/bge-m3", "BelebeleRetrieval"): pytest.approx(0.9287),
        ("BAAI/bge-m3", "AutoRAGRetrieval"): pytest.approx(0.8232),
        ("somebody/new", "KLUE-STS"): 0.5,
    }
    places = {row.task: (row.split, row.subset, row.metric) for row in got.rows}
    assert places["KLUE-STS"] == ("validation", "default", STS)
    assert places["BelebeleRetrieval"] == ("test", "kor_Hang-kor_Hang", "mean(ndcg@5, ndcg@10)")
    assert {(row.revision, row.dataset_revision) for row in got.rows} == {("unstated", "unknown")}


def test_short_and_printed_names_of_known_models_are_the_models() -> None:
    got = table("Model | KLUE-STS", "bge-m3 | 86.8", "openai ada 002 | 70.1", "My Own | 60.2")
    assert [row.model for row in got.rows] == [
        "BAAI/bge-m3",
        "openai/text-embedding-ada-002",
        "My Own",
    ]


def test_fractions_stay_and_a_percent_sign_decides() -> None:
    assert values(table("M | KLUE-STS", "a | 0.868", "b | 1", "c | 0"))[("a", "KLUE-STS")] == 0.868
    assert values(table("M | KLUE-STS", "a | 86.8%", "b | 0.9 %")) == {
        ("a", "KLUE-STS"): 0.868,
        ("b", "KLUE-STS"): pytest.approx(0.009),
    }
    assert (
        values(table("M | KLUE-STS", "a | -3.5", "b | −12.0", "c | 50.0"))[("b", "KLUE-STS")]
        == -0.12
    )


def test_a_mixed_scale_is_refused_until_it_is_said() -> None:
    rows = ("a | 86.8", "b | 0.9")
    with pytest.raises(
        UsageError, match=r"numbers below 1 \(0\.9\) and above \(86\.8\): percent or fraction\?"
    ):
        table("M | KLUE-STS", *rows)
    assert values(table("M | KLUE-STS", *rows, scale="percent"))[
        ("b", "KLUE-STS")
    ] == pytest.approx(0.009)
    got = table("M | KLUE-STS", *rows, scale="fraction")
    assert got.problems == ["line 10, KLUE-STS: 86.8 is more than the whole"]
    assert values(got) == {("b", "KLUE-STS"): 0.9}


@pytest.mark.parametrize("cell", ["1,234", "85,3", "1_0", "inf", "86.8 (3)", "8e9e9", "٨٥"])
def test_what_is_no_plain_number_is_named_with_its_line(cell: str) -> None:
    got = table("M | KLUE-STS | Kor-STS", f"a | {cell} | 80.0", "b | 86.8 | 81.0")
    assert got.problems == [f"line 10, KLUE-STS: {cell!r} is no number"]
    assert ("a", "KLUE-STS") not in values(got)
    assert len(got.rows) == 3


def test_ragged_rows_and_repeated_models_are_refused() -> None:
    got = table(
        "M | KLUE-STS", "a | 86.8", "b | 80 | 70", "BAAI/bge-m3 | 60", "bge-m3 | 61", " | 50"
    )
    assert [problem[:7] for problem in got.problems] == ["line 11", "line 13", "line 14"]
    assert "3 cells under a header of 2" in got.problems[0]
    assert got.problems[1:] == [
        "line 13: BAAI/bge-m3 stands already in line 12",
        "line 14: no model is named",
    ]
    assert values(got) == {("a", "KLUE-STS"): 0.868, ("BAAI/bge-m3", "KLUE-STS"): 0.6}


def test_a_table_without_cells_or_with_one_twice_is_refused() -> None:
    got = table("Model | Average", "a | 1", "b | 2")
    assert (got.rows, got.matched, got.problems) == ([], {}, [])
    with pytest.raises(UsageError, match="Two columns of the table are the cell Kor-STS"):
        table("Model | Kor-STS | KorSTS", "a | 1 | 2")


def test_the_mean_of_several_parts_is_not_recorded_as_one_of_them() -> None:
    got = table("Model | BelebeleRetrieval | PawsX", "a | 70 | 55", benchmark="mteb-kor-v2")
    assert {row.task: (row.split, row.subset, row.metric) for row in got.rows} == {
        "BelebeleRetrieval": (
            "test",
            "kor_Hang-kor_Hang+kor_Hang-eng_Latn+eng_Latn-kor_Hang",
            "main_score",
        ),
        "PawsXPairClassification": ("test+validation", "ko", "main_score"),
    }


def entry(
    task: str, task_type: str, line: int = 5, config: str = "default", **metrics: float
) -> Entry:
    return Entry("m", task_type, "hub/id", task, config, "test", "abc", metrics, line)


def test_entries_of_a_card_become_tasks_with_our_metrics() -> None:
    got = card_rows(
        "org/m",
        [
            entry(
                "MTEB STS17 (ko-ko)",
                "STS",
                config="ko-ko",
                cos_sim_spearman=83.1,
                cos_sim_pearson=0.5,
            ),
            entry("MTEB SciDocsRR", "Reranking", map=80.0, mrr=90.0),
            entry("MTEB CMedQAv1", "Reranking", map=77.0),
            entry(
                "MTEB KorNLI",
                "PairClassification",
                cos_sim_ap=60.0,
                max_ap=61.0,
                cos_sim_ap_threshold=812.0,
            ),
        ],
    )
    assert got.problems == []
    assert {(row.task, row.subset, row.metric): round(row.value, 6) for row in got.rows} == {
        ("STS17", "ko-ko", "cosine_spearman"): 0.831,
        ("STS17", "ko-ko", "main_score"): 0.831,
        ("STS17", "ko-ko", "cosine_pearson"): 0.005,
        ("SciDocsRR", "default", "main_score"): 0.8,
        ("CMedQAv1-reranking", "default", "main_score"): 0.77,
        ("KorNLI", "default", "cosine_ap"): 0.6,
        ("KorNLI", "default", "max_ap"): 0.61,
        ("KorNLI", "default", "main_score"): 0.61,
    }
    assert {(row.split, row.dataset_revision, row.revision) for row in got.rows} == {
        ("test", "abc", "unstated")
    }


def test_an_entry_of_doubtful_scale_is_refused() -> None:
    sure, doubtful = (
        entry("MTEB KorSTS", "STS", cos_sim_spearman=83.1),
        entry("X", "STS", 9, cosine_spearman=0.7),
    )
    got = card_rows("m", [sure, doubtful])
    assert {row.task for row in got.rows} == {"KorSTS"}
    refusal = (
        "percent or fraction? Its numbers are not above 1; say --scale percent or --scale fraction"
    )
    assert got.problems == [f"line 9, X: {refusal}"]
    assert [row.value for row in card_rows("m", [doubtful]).rows] == [0.7]
    assert [row.value for row in card_rows("m", [doubtful], "percent").rows] == [
        pytest.approx(0.007)
    ]
    assert card_rows("m", [sure], "fraction").problems == [
        "line 5, MTEB KorSTS: 83.1 is no fraction"
    ]
    assert card_rows("m", [entry("X", "STS", cosine_spearman=831.0)]).problems == [
        "line 5, X: 831.0 is no percentage"
    ]
    assert card_rows("m", [entry("X", "STS", cosine_spearman=float("nan"))]).problems == [
        "line 5, X: no metric that kemb knows has a number"
    ]


def test_an_entry_without_task_or_split_is_refused() -> None:
    nowhere = Entry(
        "m", "information-retrieval", "unknown", "miracl", "", "", "", {"ndcg@10": 0.5}, 3
    )
    assert card_rows("m", [nowhere]).problems == [
        "line 3, miracl: it does not name its task and split"
    ]


# --- the commands
# --------------------------------------------------------------------------------------------------


def invoke(out: Path, *arguments: object) -> Result:
    return CliRunner().invoke(import_group, [*map(str, arguments), "--results", str(out)])


def imported(out: Path) -> dict[str, dict[str, TaskResult]]:
    """Results by model and task of the one source there is."""
    (path,) = (out / "claims").glob("*.parquet")
    found: dict[str, dict[str, TaskResult]] = {}
    for result in read_claims(path):
        found.setdefault(result.model, {})[result.task] = result
    return found


@pytest.mark.shared
def test_the_leaderboards_page_gives_the_shipped_numbers(shared_data: Path, tmp_path: Path) -> None:
    """Two ways to the same numbers: the page as found, and its tables parsed by others."""
    page = shared_data / "published/documents/ko-embedding-leaderboard-readme.txt"
    done = invoke(
        tmp_path,
        "table",
        page,
        "--benchmark",
        "ko-leaderboard-v1",
        "--url",
        "https://x.org",
        "--commit",
        "c",
    )
    assert done.exit_code == 0, done.output
    assert "sib2000 = sib200" in done.stdout
    assert "Ignored: Retrieval_Average, Rank." in done.stdout
    assert "194 numbers, 194 results, 14 models, 14 tasks." in done.stdout
    (path,) = (tmp_path / "claims").iterdir()
    source = read_source(path)
    assert (source.name, source.url, source.commit) == (
        f"{page.name} (ko-leaderboard-v1)",
        "https://x.org",
        "c",
    )
    shipped = read_claims(FOLDER / "ko-leaderboard.parquet")
    assert [(r.model, r.task, r.scores) for r in read_claims(path)] == [
        (r.model, r.task, r.scores) for r in shipped
    ]


@pytest.mark.shared
def test_one_table_of_a_page_by_its_number(shared_data: Path, tmp_path: Path) -> None:
    page = shared_data / "published/documents/ko-embedding-leaderboard-readme.txt"
    assert (
        invoke(tmp_path, "table", page, "--benchmark", "ko-leaderboard-v1", "--table", 3).exit_code
        == 0
    )
    assert set(imported(tmp_path)["BAAI/bge-m3"]) == {
        "KLUE-NLI",
        "KorNLI",
        "PawsXPairClassification",
    }
    for number, reason in ((1, "No table of"), (99, "there is no table 99")):
        done = invoke(
            tmp_path, "table", page, "--benchmark", "ko-leaderboard-v1", "--table", number
        )
        assert isinstance(done.exception, UsageError)
        assert reason in str(done.exception)


@pytest.mark.shared
def test_a_card_on_one_line_gives_its_published_average(shared_data: Path, tmp_path: Path) -> None:
    card = shared_data / "published/documents/bge-base-en-v1.5-card.txt"
    done = invoke(tmp_path, "card", card)
    assert done.exit_code == 0, done.output
    results = imported(tmp_path)["BAAI/bge-base-en-v1.5"]
    benchmark = load_benchmark("mteb-eng-v1")
    values = [cell_value(cell, benchmark.formula(), results) for cell in benchmark.cells]
    total = overall(values, benchmark.cell_weights(benchmark.formula()))
    assert total == pytest.approx(0.635476, abs=5e-7)
    assert results["ArguAna"].dataset_revision == "unknown", "the card prints the revision None"
    assert results["AskUbuntuDupQuestions"].main_score == pytest.approx(
        0.62128470519187736, abs=1e-15
    )


@pytest.mark.shared
def test_a_card_that_cannot_be_attributed_is_refused(shared_data: Path, tmp_path: Path) -> None:
    card = shared_data / "published/documents/bge-m3-ko-card-1.txt"
    done = invoke(tmp_path, "card", card)
    assert isinstance(done.exception, UsageError)
    assert (
        "names SentenceTransformer as its model; say which one it is with --model ORG/NAME"
        in str(done.exception)
    )
    done = invoke(tmp_path, "card", card, "--model", "dragonkue/BGE-m3-ko")
    assert done.exit_code == 1
    assert "miracl: it does not name its task and split" in done.stderr
    assert not (tmp_path / "claims").exists()


@pytest.mark.slow
def test_eval_results_as_mteb_writes_them(tmp_path: Path) -> None:
    mteb = pytest.importorskip("mteb")
    parts = {"kor-kor": 0.31, "eng-kor": 0.2512345, "kor-eng": 0.009}
    scores = {
        "test": [
            {"main_score": v, "hf_subset": k, "languages": ["kor-Hang"]} for k, v in parts.items()
        ]
    }
    record = {
        "dataset_revision": "d",
        "task_name": "XPQARetrieval",
        "mteb_version": "2.1.0",
        "scores": scores,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = tmp_path / "XPQARetrieval.yaml"
        result = mteb.TaskResult.model_validate(record | {"evaluation_time": 1.0})
        file.write_text(result._to_hf_benchmark_result().to_yaml(), encoding="utf-8")
    done = invoke(tmp_path, "card", file, "--model", "org/m", "--name", "x")
    assert done.exit_code == 1, "0.9 may be a percentage or a fraction"
    assert "XPQARetrieval_kor-eng_test: percent or fraction?" in done.stderr
    done = invoke(tmp_path, "card", file, "--model", "org/m", "--name", "x", "--scale", "percent")
    assert done.exit_code == 0, done.output
    (own,) = imported(tmp_path)["org/m"].values()
    found = {entry["hf_subset"]: entry["main_score"] for entry in own.scores["test"]}
    assert found == {name: pytest.approx(value, abs=1e-7) for name, value in parts.items()}
    assert own.dataset_revision not in ("", "unknown")


def test_two_tables_that_disagree_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    table = "## Scores\n\n| Model | KLUE-STS |\n|---|---|\n| a | {} |\n| b | 70 |\n\n"
    page.write_text(table.format("80") + table.format("81"), encoding="utf-8")
    done = invoke(tmp_path, "table", page, "--benchmark", "mteb-kor-v2")
    assert isinstance(done.exception, ResultError)
    assert "gives main_score of a on KLUE-STS (validation, default) twice: 0.8 and 0.81" in str(
        done.exception
    )
    page.write_text(table.format("80") * 2, encoding="utf-8")
    assert invoke(tmp_path, "table", page, "--benchmark", "mteb-kor-v2").exit_code == 0


def test_markup_in_cells_and_html_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<table><tr><th>#</th><th>Model</th><th>KLUE-STS</th></tr>"
        "<tr><td>1</td><td><a "
        "href='https://huggingface.co/BAAI/bge-m3'>bge-m3</a></td><td><b>86.8</b></td></tr>"
        "<tr><td>2</td><td>x/y</td><td>1,000</td></tr></table>",
        encoding="utf-8",
    )
    done = invoke(tmp_path, "table", page, "--benchmark", "mteb-kor-v2")
    assert done.exit_code == 1
    assert "KLUE-STS: '1,000' is no number" in done.stderr
    assert {
        model: results["KLUE-STS"].main_score for model, results in imported(tmp_path).items()
    } == {"BAAI/bge-m3": 0.868}


def test_files_without_anything_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(json.dumps({"a": 1}), encoding="utf-8")
    for arguments in (("card", page), ("table", page, "--benchmark", "kure")):
        assert isinstance(invoke(tmp_path, *arguments).exception, UsageError)
    page.write_bytes(b"\xff\xfe\x00" * 1_000_000)
    for arguments in (("card", page), ("table", page, "--benchmark", "kure")):
        assert isinstance(invoke(tmp_path, *arguments).exception, DataError)


def test_decorated_cells_headers_and_names_are_read() -> None:
    """One pair of numbers in every way in which pages print it."""
    wanted = {("org/a", "KLUE-STS"): 0.868, ("org/a", "KorSTS"): 0.8}
    for header, row in (
        ("M | KLUE-STS | Kor-STS", "org/a | 86.8 ± 0.2 | 80.0 (↑0.5)"),
        ("M | KLUE-STS (Spearman) | Kor-STS<br>cosine_spearman", "🥇 org/a | 86.8 | 80.0"),
        ("M | KLUE-STS | Kor-STS", "**org/a** 🏆 | 🥈 86.8 | 80.0 (+1.2)"),
    ):
        got = table(header, row, "org/b | 50.0 | 51.0")
        assert got.problems == []
        found = values(got)
        assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_another_metric_in_the_header_is_recorded_as_that_metric() -> None:
    got = table("M | KLUE-STS (Pearson) | Kor-STS", "a | 86.8 | 80.0", "b | 50.0 | 51.0")
    metrics = {row.task: row.metric for row in got.rows if row.model == "a"}
    assert metrics["KLUE-STS"] == "cosine_pearson"
    assert metrics["KorSTS"].startswith("mean(pearson, spearman,")
    assert got.matched["KLUE-STS (Pearson)"] == "KLUE-STS (cosine_pearson)"


def test_models_as_columns_are_read_with_the_line_of_each_number() -> None:
    got = table(
        "Task | org/a | bge-m3 | Average | ours",
        "KLUE-STS | 86.8 | x1 | 1 | 2",
        "Kor-STS | 80 | 70 | 3 | 4",
    )
    assert values(got) == pytest.approx(
        {("org/a", "KLUE-STS"): 0.868, ("org/a", "KorSTS"): 0.8, ("BAAI/bge-m3", "KorSTS"): 0.7}
    )
    assert [problem.split(",")[0].split(" is no")[0] for problem in got.problems] == [
        "line 8: the column 'ours'",
        "line 10",
    ]


def test_a_column_of_numbers_that_looks_like_a_task_is_a_problem_not_ignored() -> None:
    got = table(
        "M | KLUE-STS | KorStsb | Average | Params", "a | 86.8 | 80 | 83 | 7", "b | 1.5 | 2 | 2 | 8"
    )
    (problem,) = got.problems
    assert problem.startswith("line 8: the column 'KorStsb' looks like a task")


def test_one_letter_less_is_the_task_and_another_digit_is_not() -> None:
    got = table(
        "M | MIRACLRetrievalHardNegative | PublicHealthQAs | SQuADKorV2Retrieval",
        "a | 66.7 | 80 | 70",
        "b | 60 | 70 | 60",
        benchmark="ko-leaderboard-v2",
    )
    assert set(got.matched.values()) == {"MIRACLRetrievalHardNegatives", "PublicHealthQA"}
    assert ["SQuADKorV2Retrieval" in problem for problem in got.problems] == [True]


def test_a_short_name_that_differs_by_a_letter_is_another_name() -> None:
    got = table("M | KLU-STS | Kor-STS", "a | 86.8 | 80.0", "b | 60 | 70")
    assert list(got.matched) == ["Kor-STS"]
    assert got.problems[0].startswith("line 8: the column 'KLU-STS' looks like a task")


def test_a_table_whose_header_is_too_wide_is_refused_by_import(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("| Model | Average | KLUE-STS |\n|---|---|\n| a | 80 |\n| b | 70 |\n")
    done = invoke(tmp_path, "table", page, "--benchmark", "mteb-kor-v2")
    assert isinstance(done.exception, UsageError)
    assert "line 1: a header of 3 cells over a rule of 2" in str(done.exception)
    assert not (tmp_path / "claims").exists()


def test_a_broken_model_index_is_named_by_import(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("---\nmodel-index:\n- name: a/b\n  x: &x 1\n  results: [*x]\n---\n")
    done = invoke(tmp_path, "card", page)
    assert isinstance(done.exception, UsageError)
    assert "line 5: *x repeats another place" in str(done.exception)


def test_a_folder_per_model_is_found_at_any_depth(tmp_path: Path) -> None:
    part = {"hf_subset": "default", "languages": [], "main_score": 0.8, "ndcg_at_10": 0.8}
    record = {"dataset_revision": "x", "task_name": "AutoRAGRetrieval", "scores": {"test": [part]}}
    for name in ("one", "two"):
        folder = tmp_path / "results" / "lab" / name / f"lab__{name}" / "no_revision"
        folder.mkdir(parents=True)
        (folder / "AutoRAGRetrieval.json").write_text(json.dumps(record))
    done = invoke(tmp_path / "out", "mteb", tmp_path / "results", "--name", "x")
    assert done.exit_code == 0, done.output
    assert set(imported(tmp_path / "out")) == {"lab/one", "lab/two"}
