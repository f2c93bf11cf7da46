"""`import kemb`: the public names, what the verbs take and give, and what they refuse."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import kemb
from kemb.models.encoders.hashed import open_toy
from kemb.types import Input, PairData
from sentences import WORDS


def toy(texts: list[str]) -> Any:  # noqa: ANN401  what a user's function returns
    return open_toy().encode([Input("", "", text) for text in texts])


def mine(texts: list[str]) -> Any:  # noqa: ANN401
    return toy(texts)


def small(texts: list[str]) -> Any:  # noqa: ANN401
    vectors = toy(texts)
    return vectors @ np.random.default_rng(0).standard_normal((vectors.shape[1], 16))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEMB_TASKS", raising=False)


def test_dir_lists_exactly_the_public_names_and_all_is_sorted() -> None:
    assert dir(kemb) == sorted(kemb.__all__) == kemb.__all__
    assert len(kemb.__all__) <= 30
    assert set(kemb.__all__) == {*kemb._HOME, "__version__"}
    for name in kemb.__all__:
        assert getattr(kemb, name) is not None


def test_no_public_name_is_that_of_a_module_so_that_importing_takes_none_away() -> None:
    modules = {module.name for module in pkgutil.iter_modules(kemb.__path__)}
    assert not modules & set(kemb.__all__)
    before = {name: getattr(kemb, name) for name in kemb.__all__}
    for module in modules - {"__main__"}:
        importlib.import_module(f"kemb.{module}")
    assert {name: getattr(kemb, name) for name in kemb.__all__} == before
    assert callable(kemb.audit_files)


def test_importing_kemb_and_listing_its_names_loads_nothing() -> None:
    script = "import sys, kemb; dir(kemb); print('numpy' in sys.modules, 'pyarrow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_evaluate_takes_names_paths_and_objects_and_gives_a_board(
    pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = kemb.encoder(small, name="small", revision="1")
    results = kemb.evaluate(str(pairs), ["toy", own, mine, "bm25:bigram"], store=tmp_path / "st")
    assert capfd.readouterr() == ("", "")
    assert Path("results").is_dir()
    assert [outcome.status for outcome in results] == ["scored"] * 3 + ["not applicable"]
    assert not results.failed
    assert repr(results) == "<Results of 4 models on 1 tasks: 4 cells>"
    table = results.table()
    assert table.column("model").to_pylist() == ["toy", "small", "mine", "bm25:bigram"]
    assert table.column("variant").to_pylist() == ["", "", "scratch", None]
    scores = table.column("score").to_pylist()
    assert scores[0] == scores[2] != scores[1]
    assert table.column("metric").to_pylist()[:3] == ["cosine_spearman"] * 3
    board = results.board()
    lines = {line["model"]: line for line in board.table().to_pylist()}
    for name in ("rank_low", "rank_high", "score", "low", "high"):
        assert lines["toy"][name] == lines["mine"][name]
    assert min(line["rank_low"] for line in lines.values() if line["rank_low"]) == 1
    html = results._repr_html_()
    for part in ("<table>", "Rank", "95 % interval", "cosine_spearman, n = 100", "scratch"):
        assert part in html
    assert "small" in str(results)
    again = kemb.evaluate(pairs, "toy", store=str(tmp_path / "st"))
    assert [outcome.status for outcome in again] == ["kept"]


def test_frames_are_pandas_where_there_is_pandas(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = kemb.evaluate(pairs, ["toy", "tfidf:char"], store=tmp_path / "st")
    pandas = pytest.importorskip("pandas")
    items = results.items("pairs")
    assert isinstance(items, pandas.DataFrame)
    assert set(items["model"]) == {"toy", "tfidf:char"}
    assert len(items[(items["model"] == "toy") & (items["metric"] == "gold")]) == 100
    assert isinstance(results.frame(), pandas.DataFrame)
    assert isinstance(results.board().frame(), pandas.DataFrame)
    monkeypatch.setattr("kemb.frames.find_spec", lambda name: None)
    assert isinstance(results.frame(), pa.Table)
    assert isinstance(results.items("pairs", "toy"), pa.Table)
    with pytest.raises(kemb.UsageError, match="Did you mean pairs"):
        results.items("pair")


def test_what_comes_from_outside_is_escaped_in_html(tmp_path: Path) -> None:
    from kemb.frames import _html

    shown = _html(["<i>"], [["<script>alert(1)</script>", 'a"b']], ["<b>"])
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&quot;" in shown
    assert "<b>" not in shown


def test_what_fails_is_an_outcome(pairs: Path, tmp_path: Path) -> None:
    def broken(texts: list[str]) -> Any:  # noqa: ANN401
        raise RuntimeError("out of order")

    results = kemb.evaluate(pairs, ["toy", broken], store=tmp_path / "st")
    (failed,) = results.failed
    assert failed.row == "broken"
    assert "broken raised RuntimeError: out of order for the text" in failed.message
    assert "broken raised RuntimeError" in results._repr_html_()
    assert results.table().column("status").to_pylist().count("failed") == 1
    missing = kemb.evaluate("KorSTS", "toy", data=tmp_path, store=tmp_path / "st")
    assert len(missing.failed) == 1


def test_two_objects_under_one_name_and_revision_are_refused(pairs: Path) -> None:
    twins = [kemb.encoder(f, name="twin", revision="1") for f in (toy, small)]
    with pytest.raises(kemb.UsageError, match="Two models are twin at the revision 1"):
        kemb.evaluate(pairs, twins)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kemb.evaluate(3, "toy"), "A int is no task: 3"),
        (lambda: kemb.evaluate([], "toy"), "tasks= is an empty list"),
        (lambda: kemb.evaluate("KorSTS", []), "models= is an empty list"),
        (lambda: kemb.evaluate("KorSTS", 3), "A int cannot embed"),
        (lambda: kemb.evaluate("KorSTS", None), "A NoneType cannot embed"),
        (lambda: kemb.evaluate("KorSTS", "toi"), "Unknown model 'toi'. Did you mean toy"),
        (
            lambda: kemb.evaluate("KorSTSS", "toy"),
            "file or task 'KorSTSS'. Did you mean KorSTS",
        ),
        (lambda: kemb.evaluate("KorSTS", "toy", results=3), "results= takes a path as text"),
        (lambda: kemb.evaluate("KorSTS", "toy", store=b"x"), "store= takes a path as text"),
        (lambda: kemb.evaluate("KorSTS", "toy", data=["x"]), "data= takes a path as text"),
        (lambda: kemb.board("mteb-kor-v3"), "Did you mean mteb-kor-v2"),
        (lambda: kemb.board(only="all"), "only='all' is not known"),
        (lambda: kemb.board(results="nowhere"), "There are no results in nowhere"),
        (lambda: kemb.compare(3, "toy"), "a= takes a path as text"),
        (lambda: kemb.compare("toi", "toy"), "Unknown result row 'toi'"),
        (lambda: kemb.read_results("nowhere"), "There is no folder nowhere"),
        (lambda: kemb.load_benchmark(3), "name= takes a path as text"),
        (lambda: kemb.list_tasks(type="retrival"), "type retrieval"),
        (lambda: kemb.score_run({"q": {"d": 1}}, {"q": {"d": 1.0}}, "ndcg@7"), "metric 'ndcg@7'"),
        (lambda: kemb.score_run({"q": {"d": 1}}, {"q": {"d": "x"}}, "ndcg@5"), "run takes"),
        (lambda: kemb.score_run({"q": {"d": 0.5}}, {"q": {"d": 1.0}}, "ndcg@5"), "qrels takes"),
        (lambda: kemb.score_run([], {}, "ndcg@5"), "qrels takes"),
        (lambda: kemb.Run.from_dict(["q"]), "run takes"),
        (lambda: kemb.Run.from_file("nowhere.trec"), "The run nowhere.trec cannot be read"),
        (lambda: kemb.audit_files(3), "paths= takes a path as text"),
        (lambda: kemb.site("out", colour="red"), "colour= is not known"),
    ],
)
def test_a_wrong_value_is_one_sentence(call: Any, says: str) -> None:  # noqa: ANN401
    with pytest.raises(kemb.UsageError) as caught:
        call()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_board_and_compare(pairs: Path, tmp_path: Path) -> None:
    kemb.evaluate(pairs, ["toy", "tfidf:char"], store=tmp_path / "st")
    board = kemb.board()
    assert sorted(board.table().column("model").to_pylist()) == ["tfidf:char", "toy"]
    compared = kemb.compare("toy", "tfidf:char", on=pairs)
    table = compared.table()
    assert table.column("title").to_pylist() == ["pairs"]
    a, b, difference = (table.column(n).to_pylist()[0] for n in ("a", "b", "difference"))
    assert difference == b - a
    assert "Verdict on B" in compared._repr_html_()
    assert "toy" in str(compared)
    read = kemb.read_results()
    assert len(read) == 2
    assert read.board().table().column("model").to_pylist()


def test_a_benchmark_with_published_numbers_is_a_frame() -> None:
    table = kemb.board("mteb-kor-v2").table()
    assert table.num_rows > 20
    assert {"model", "score", "KLUE-STS"} <= set(table.column_names)


def test_score_run_is_trec_evals(tmp_path: Path) -> None:
    qrels = {"q1": {"d1": 2, "d2": 1}, "q2": {"d3": 1}, "q3": {"d1": 1}}
    run = {"q1": {"d2": 3.0, "d1": 2.0, "d9": 1.0}, "q2": {"d1": 1.0, "d3": 0.5}, "q9": {"d1": 1.0}}
    scores = kemb.score_run(qrels, run, ["ndcg@10", "mrr@10", "recall@1"])
    discount = 1 / np.log2(3)
    first = (1 + 2 * discount) / (2 + discount)
    assert scores["ndcg@10"] == pytest.approx((first + discount + 0) / 3, abs=1e-12)
    assert scores["mrr@10"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scores["recall@1"] == pytest.approx(0.5 / 3)
    lines = [f"{q} Q0 {d} 1 {s} x\n" for q, table in run.items() for d, s in table.items()]
    (tmp_path / "run.trec").write_text("".join(lines))
    trec = [f"{q} 0 {d} {g}\n" for q, table in qrels.items() for d, g in table.items()]
    (tmp_path / "qrels.txt").write_text("".join(trec))
    beir = [f"{q}\t{d}\t{g}\n" for q, table in qrels.items() for d, g in table.items()]
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(beir))
    for file in ("qrels.txt", "qrels.tsv"):
        assert kemb.score_run(file, tmp_path / "run.trec", ["ndcg@10"]) == {
            "ndcg@10": scores["ndcg@10"]
        }
    assert kemb.score_run(qrels, kemb.Run.from_dict(run), "mrr@10") == {"mrr@10": scores["mrr@10"]}
    pytrec_eval = pytest.importorskip("pytrec_eval")
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    assert sum(v["ndcg_cut_10"] for v in theirs.values()) / 3 == pytest.approx(scores["ndcg@10"])


@pytest.mark.parametrize("line", ["q1 0 d1", "q1 0 d1 x", "q1 0 d1 1\nq1 0 d1 1", ""])
def test_judgments_that_are_none_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "qrels.txt").write_text(line + "\n")
    with pytest.raises(kemb.RunError, match=r"qrels\.txt"):
        kemb.score_run("qrels.txt", {"q1": {"d1": 1.0}}, "mrr@10")


def test_a_run_is_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    (folder / "qrels").mkdir(parents=True)
    texts = "".join(f'{{"_id": "d{n}", "text": "{word} 이야기"}}\n' for n, word in enumerate(WORDS))
    (folder / "corpus.jsonl").write_text(texts)
    (folder / "queries.jsonl").write_text(
        '{"_id": "q0", "text": "산"}\n{"_id": "q1", "text": "강"}\n'
    )
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\n")
    run = {"q0": {"d0": 1.0}, "q1": {"d5": 2.0, "d1": 1.0}}
    results = kemb.evaluate(folder, kemb.Run.from_dict(run, name="elastic"), store=tmp_path / "st")
    (outcome,) = results
    assert outcome.row == "run/elastic"
    assert outcome.result is not None, outcome.message
    expected = kemb.score_run({"q0": {"d0": 1}, "q1": {"d1": 1}}, run, "ndcg@10")
    assert outcome.result.main_score == pytest.approx(expected["ndcg@10"])
    bad = kemb.Run.from_dict({"q0": {"x9": 1.0}}, name="bad")
    (failed,) = kemb.evaluate(folder, bad, store=tmp_path / "st").failed
    assert "'x9' is not in the corpus" in failed.message


def test_score_vectors_is_what_evaluate_gives(pairs: Path, tmp_path: Path) -> None:
    data = kemb.load_task(pairs).load().parts[0].data
    assert isinstance(data, PairData)
    vectors = {"sentence1": toy(data.sentence1), "sentence2": toy(data.sentence2).tolist()}
    scores = kemb.score_vectors(pairs, vectors)
    (outcome,) = kemb.evaluate(pairs, "toy", store=tmp_path / "st")
    assert outcome.result is not None
    assert scores["cosine_spearman"] == outcome.result.main_score
    assert kemb.score_vectors(data, vectors, type="sts") == scores
    with pytest.raises(kemb.UsageError, match="sentence1 and sentence2; it has queries"):
        kemb.score_vectors(pairs, {"queries": vectors["sentence1"]})
    with pytest.raises(kemb.RunError, match="returned 99 vectors for 100 texts"):
        kemb.score_vectors(pairs, {**vectors, "sentence1": toy(data.sentence1)[1:]})
    with pytest.raises(kemb.UsageError, match="type=None is no task type"):
        kemb.score_vectors(data, vectors)


def test_progress_is_a_line_where_asked_for(
    pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kemb.evaluate(pairs, "toy", store=tmp_path / "st", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "encoding toy: 10 of 10 texts" in err
    assert "scoring toy on pairs" in err
    assert err.endswith("\r")


def test_lists() -> None:
    assert "AutoRAGRetrieval" in kemb.list_tasks(type="retrieval")
    assert "KorSTS" not in kemb.list_tasks(type="retrieval")
    assert "KorSTS" in kemb.list_tasks(language="kor")
    assert "KorSTS" not in kemb.list_tasks(language="deu")
    assert "BAAI/bge-m3" in kemb.list_models()
    assert "mteb-kor-v2" in kemb.list_benchmarks()


def test_audit_verify_card_and_site(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "| model | a | b | avg |\n|---|--|--|--|\n| x | 1 | 2 | 9 |\n"
    )
    assert kemb.audit_files("README.md").n_tables == 1
    results = kemb.evaluate(pairs, ["toy", "tfidf:char"], store=tmp_path / "st")
    for verification in (
        kemb.verify(results.results[0], items_only=True),
        kemb.verify(results.results[0].path, task=pairs),
    ):
        assert not verification.differs
    assert "toy" in kemb.card("toy", private=True)
    page = kemb.site(tmp_path / "site", only="measured")
    assert page.is_file()


TASK = """
name = "OwnSTS"
type = "sts"
languages = ["deu-Latn"]
main_score = "cosine_pearson"
splits = ["test"]
license = "cc0-1.0"

[source]
hub = "own/sts"
revision = "0123456789abcdef0123456789abcdef01234567"
"""


@pytest.mark.parametrize("by", ["variable", "file"])
def test_tasks_of_ones_own_have_group_metric_and_language_on_boards(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemb.boards.benchmark import Benchmark, CellSpec, of_tasks

    folder = tmp_path / "own tasks"
    folder.mkdir()
    (folder / "OwnSTS.toml").write_text(TASK)
    assert "OwnSTS" not in kemb.list_tasks()
    if by == "variable":
        monkeypatch.setenv("KEMB_TASKS", str(folder))
    else:
        (tmp_path / "kemb.toml").write_text('tasks = "own tasks"\n')
    assert "OwnSTS" in kemb.list_tasks(language="deu-Latn", type="sts")
    assert kemb.load_task("OwnSTS").spec.main_metric == "cosine_pearson"
    cell = CellSpec(task="OwnSTS")
    assert cell.group_name == "sts"
    (known,) = of_tasks(["OwnSTS"]).cells
    assert known.task == "OwnSTS"
    with pytest.raises(ValueError, match="no task of type sts has the metric 'ndcg@10'"):
        Benchmark(name="b", title="b", cells=[CellSpec(task="OwnSTS", metric="ndcg@10")])
    (folder / "OwnSTS.toml").write_text(TASK.replace("cosine_pearson", "cosine_spearman") + "\n")
    assert kemb.load_task("OwnSTS").spec.main_metric == "cosine_spearman"


@pytest.mark.parametrize(
    ("files", "config", "says"),
    [
        ({"KorSTS.toml": TASK}, "", "has a task 'KorSTS', and so has"),
        ({"Other.toml": TASK}, "", "names its task 'OwnSTS'; expected 'Other'"),
        ({"OwnSTS.toml": "name = 3"}, "", "does not describe a task"),
        ({}, 'tasks = "nowhere"', "There is no folder"),
        ({}, "tasks = 3", "must hold one key"),
        ({}, 'task = "x"', "must hold one key"),
        ({}, "tasks = ", "cannot be read"),
    ],
)
def test_folders_of_ones_own_that_are_wrong_are_refused(
    files: dict[str, str], config: str, says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    (tmp_path / "kemb.toml").write_text(config or 'tasks = ["own"]\n')
    with pytest.raises(kemb.KembError) as caught:
        kemb.list_tasks()
    assert says in str(caught.value)
