"""Runs of every family: files, fusion, rerankers, sparse and multi-vector models, against hand-made oracles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.errors import DataError, UsageError
from kemb.models.compose import run_of_file
from kemb.models.expression import Fused, Leaf, Reranked, parse
from kemb.models.resolve import resolve
from kemb.results import read_items, read_results
from kemb.run import Outcome, RunOptions, Task, evaluate, load_task
from kemb.score import fusion
from kemb.store import Store
from kemb.trec import read_run
from kemb.types import Run

WORDS = "비가 눈이 바람이 구름이 햇볕이 안개가 우박이 서리가 이슬이 무지개가".split()
VERBS = "온다 그친다 불어온다 흩어진다 내린다 걷힌다 떨어진다 맺힌다".split()
SENTENCES = [f"{w} {v}" for w in WORDS for v in VERBS]


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """80 documents, 10 queries, three relevant documents for each."""
    folder = tmp_path / "my-search"
    (folder / "qrels").mkdir(parents=True)
    write(folder / "corpus.jsonl", [{"_id": f"d{i}", "text": text} for i, text in enumerate(SENTENCES)])
    write(folder / "queries.jsonl", [{"_id": f"q{i}", "text": word} for i, word in enumerate(WORDS)])
    rows = [f"q{i}\td{i * 8 + j}\t{1 + j % 2}" for i in range(10) for j in range(3)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "my-pairs"
    folder.mkdir()
    write(folder / "test.jsonl", [{"sentence1": s, "sentence2": s[::-1], "score": i % 6} for i, s in enumerate(WORDS)])
    return folder


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def go(task: Path | Task, name: str, tmp_path: Path) -> Outcome:
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    task = task if isinstance(task, Task) else load_task(task)
    (outcome,) = evaluate([task], [resolve(name)], options)
    return outcome


def ranking(outcome: Outcome, query: str, metric: str = "retrieved") -> list[tuple[str, float]]:
    assert outcome.result is not None, outcome.message
    rows = read_items(outcome.result).to_pylist()
    return [(row["target"], row["value"]) for row in rows if row["metric"] == metric and row["item_id"] == query]


@pytest.fixture(scope="module")
def reranker(tiny_transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random cross-encoder of two layers."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("tiny") / "tiny-reranker"
    model = CrossEncoder(str(tiny_transformer), num_labels=1, device="cpu")
    torch.nn.init.normal_(model.model.classifier.weight)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def candidates(search: Path) -> Task:
    """The same data as a reranking task with eight candidates for each query."""
    task = load_task(search)
    data = task.load()
    (part,) = data.parts
    own = {f"q{i}": [f"d{i * 8 + j}" for j in range(8)] for i in range(10)}
    part = replace(part, data=replace(part.data, candidates=own))  # type: ignore[arg-type]
    spec = task.spec.model_copy(update={"name": "my-reranking", "type": "reranking"})
    return Task(spec, lambda: replace(data, type="reranking", parts=[part]))


def run_of(rows: list[list[tuple[int, float]]], k: int) -> Run:
    indices, scores = np.full((len(rows), k), -1), np.full((len(rows), k), -np.inf, dtype=np.float32)
    for i, row in enumerate(rows):
        for j, (document, value) in enumerate(row):
            indices[i, j], scores[i, j] = document, value
    return Run(indices, scores)


# --- expressions


def test_expressions_are_read_as_written() -> None:
    assert parse("BAAI/bge-m3@abc") == Leaf("BAAI/bge-m3@abc")
    assert parse("rrf(bm25:kiwi, a/b)") == Fused((Leaf("bm25:kiwi"), Leaf("a/b")))
    assert parse("rrf(x,y,z, k=10)") == Fused((Leaf("x"), Leaf("y"), Leaf("z")), constant=10)
    assert parse("fuse(0.3*bm25:kiwi + .7*my+model)") == Fused((Leaf("bm25:kiwi"), Leaf("my+model")), (0.3, 0.7))
    inner = Fused((Leaf("x"), Reranked(Leaf("y"), "o/r", 20)), (1.0, 2.0))
    assert parse("fuse(1*x + 2*y+reranker:o/r@20)+reranker:o/s@main") == Reranked(inner, "o/s@main", 100)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rrf(a)", "two models or more"),
        ("rrf(a, )", "a name is missing"),
        ("rrf(a, b", "a parenthesis is missing"),
        ("fuse(a + b)", "'a \\+ b' is not a positive weight"),
        ("fuse(0*a + 1*b)", "'0\\*a' is not a positive weight"),
        ("fuse(1*a)", "two models or more"),
        ("+reranker:o/r", "a reranker needs a first stage"),
        ("a+reranker:@5", "a reranker needs a first stage"),
        ("a+reranker:o/r@0", "a depth of 1 to 1000"),
    ],
)
def test_expressions_that_cannot_be_read_show_how_they_look(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        resolve(text)
    assert "rrf(bm25:kiwi, BAAI/bge-m3)" in str(caught.value)


# --- fusion


def test_reciprocal_ranks_computed_by_hand() -> None:
    # Query 0: a is 1st and 3rd, b 2nd and 1st, c 3rd and absent, d absent and 2nd. Query 1: one run is empty.
    first = run_of([[(0, 9.0), (1, 5.0), (2, 1.0)], [(3, 1.0)]], 3)
    second = run_of([[(1, 0.9), (3, 0.8), (0, 0.1)], []], 3)
    fused = fusion.reciprocal_ranks([first, second], ["a", "b", "c", "d"])
    assert fused.indices.tolist() == [[1, 0, 3, 2], [3, -1, -1, -1]]
    expected = [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62, 1 / 63]
    np.testing.assert_allclose(fused.scores[0], expected, rtol=1e-6)
    assert fused.scores[1].tolist() == [np.float32(1 / 61), -np.inf, -np.inf, -np.inf]
    assert fusion.reciprocal_ranks([first, second], ["a", "b", "c", "d"], constant=0).scores[0, 0] == 1.5


def test_ties_of_a_fusion_go_by_id_descending() -> None:
    first, second = run_of([[(0, 2.0), (1, 1.0)]], 2), run_of([[(1, 2.0), (0, 1.0)]], 2)
    assert fusion.reciprocal_ranks([first, second], ["a", "b"]).indices.tolist() == [[1, 0]]


def test_a_weighted_sum_is_that_of_ranx() -> None:
    """The oracle is ranx's rule written out: min-max by query, absent is 0, then the weighted sum."""
    rng = np.random.default_rng(0)
    ids = [f"d{i}" for i in range(30)]
    runs, tables = [], []
    for _ in range(2):
        rows = []
        for _ in range(5):
            documents, values = rng.permutation(30)[:12], np.sort(rng.normal(size=12))[::-1]
            rows.append(list(zip(documents.tolist(), values.astype(np.float32).tolist(), strict=True)))
        runs.append(run_of(rows, 12))
        tables.append([dict(row) for row in rows])
    fused = fusion.weighted_sum(runs, [0.3, 0.7], ids)
    for i in range(5):
        expected: dict[int, float] = {}
        for table, weight in zip(tables, (0.3, 0.7), strict=True):
            low, high = min(table[i].values()), max(table[i].values())
            for document, value in table[i].items():
                expected[document] = expected.get(document, 0) + weight * (value - low) / max(high - low, 1e-9)
        found = {row: score for row, score in zip(fused.indices[i], fused.scores[i], strict=True) if row >= 0}
        assert found == pytest.approx(expected, abs=1e-6)


def test_equal_scores_and_single_documents_become_zero() -> None:
    run = run_of([[(0, 3.0), (1, 3.0)], [(1, 5.0)], []], 2)
    assert fusion.min_max(run).tolist() == [[0, 0], [0, 0], [0, 0]]


def test_a_fusion_of_models_is_the_fusion_of_their_runs(search: Path, tmp_path: Path) -> None:
    one, two = go(search, "bm25:bigram", tmp_path), go(search, "tfidf:char", tmp_path)
    both = go(search, "rrf(bm25:bigram, tfidf:char)", tmp_path)
    assert both.result is not None
    assert both.result.model == "rrf(bm25:bigram,tfidf:char)"
    for query in ("q0", "q7"):
        expected: dict[str, float] = {}
        for part in (one, two):
            found = [pair for pair in ranking(part, query) if part is two or pair[1] > 0]  # BM25 found the others not
            for rank, (document, _) in enumerate(found, start=1):
                expected[document] = expected.get(document, 0) + 1 / (60 + rank)
        assert dict(ranking(both, query)) == pytest.approx(expected, rel=1e-6)
    assert [part["model"]["name"] for part in both.result.kemb["parts"]] == ["bm25:bigram", "tfidf:char"]


def test_a_fusion_is_kept_found_again_and_applies_to_rankings_only(search: Path, pairs: Path, tmp_path: Path) -> None:
    from kemb.rows import find_row, rows_of

    name = "fuse(0.3*bm25:bigram + 0.7*toy)"
    assert [go(search, name, tmp_path).status for _ in range(2)] == ["scored", "kept"]
    outcome = go(pairs, name, tmp_path)
    assert (outcome.status, "sts needs a vector per text" in outcome.message) == ("not applicable", True)
    other = go(search, "fuse(0.4*bm25:bigram + 0.6*toy)", tmp_path)
    rows = rows_of(read_results(tmp_path / "results"))
    assert len(rows) == 2
    assert find_row("fuse(0.4*bm25:bigram+0.6*toy)", rows).results["my-search"].main_score == other.result.main_score  # type: ignore[union-attr]
    assert {find_row(row.label, rows).label for row in rows} == {row.label for row in rows}


# --- run files


def trec(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_run_file_scores_what_its_program_scored(search: Path, tmp_path: Path) -> None:
    """The run that the toy model made, written out and read again, has the same metrics."""
    toy = go(search, "toy", tmp_path)
    lines = [
        f"q{i} Q0 {document} {rank} {value!r} toy"
        for i in range(10)
        for rank, (document, value) in enumerate(ranking(toy, f"q{i}"))
    ]
    file = trec(tmp_path / "of-toy.trec", lines[::-1])  # only scores count
    done = CliRunner().invoke(
        cli,
        [
            "run",
            str(search),
            "--run",
            str(file),
            "--run-name",
            "mine",
            "--results",
            str(tmp_path / "results"),
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    (outcome,) = json.loads(done.stdout)
    assert outcome["model"] == "run/mine"
    assert toy.result is not None
    assert outcome["main_score"] == toy.result.main_score
    again = go(search, f"rrf(run:{file}, run:{file})", tmp_path)
    assert [document for document, _ in ranking(again, "q3")] == [document for document, _ in ranking(toy, "q3")]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["q0 Q0 d1 1 2.5"], "line 1: 5 columns, expected the 6 of a TREC run"),
        (["q0 Q0 d1 1 2.5 x", "q0 Q0 d2 2 high x"], "line 2: the score 'high' in column 5"),
        (["q0 Q0 d1 1 nan x"], "line 1: the score 'nan'"),
        (["q0 Q0 d1 1 2 x", "q0 Q0 d1 2 1 x"], "line 2: document 'd1' stands twice"),
        ([""], "is empty"),
        (["q0 Q0 d1000 1 2 x"], "the document 'd1000' is not in the corpus"),
        (["other Q0 d1 1 2 x"], "none of which the task has"),
    ],
)
def test_bad_run_files_fail_before_anything_is_encoded(
    search: Path, tmp_path: Path, lines: list[str], problem: str
) -> None:
    file = trec(tmp_path / "bad.trec", lines)
    outcome = go(search, f"rrf(toy, run:{file})", tmp_path)
    assert outcome.status == "failed"
    assert problem in outcome.message
    assert str(file) in outcome.message
    assert not (tmp_path / "store").exists()


def test_a_run_file_is_another_model_when_its_bytes_change(tmp_path: Path) -> None:
    file = trec(tmp_path / "my run.trec", ["q0 Q0 d1 1 2 x"])
    one = run_of_file(file)
    assert one.name == "run/my-run"
    trec(file, ["q0 Q0 d1 1 3 x"])
    assert run_of_file(file).revision != one.revision
    with pytest.raises(UsageError, match="cannot be the name of a row"):
        run_of_file(file, "../x")
    with pytest.raises(UsageError, match="There is no run file"):
        resolve("run:nowhere.trec")
    file.write_bytes(b"q0 Q0 \xff 1 2 x\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_run(file)


def test_a_run_on_candidates_must_stay_among_them(tmp_path: Path) -> None:
    from kemb.retrieve import check
    from kemb.types import Part, RetrievalData

    data = RetrievalData(["a", "b"], ["x", "y"], ["q"], ["x"], {"q": {"a": 1}}, {"q": ["a"]})
    model = run_of_file(trec(tmp_path / "r.trec", ["q Q0 b 1 2 x"]))
    with pytest.raises(DataError, match="'b' is not among the candidates of query 'q'"):
        check(model, load_task("Ko-StrategyQA").spec, Part("test", "default", data, ""))


def test_a_command_without_models_says_what_to_type(search: Path) -> None:
    result = CliRunner().invoke(cli, ["run", str(search)])
    assert isinstance(result.exception, UsageError)
    assert "--run FILE" in str(result.exception)


# --- rerankers


def predict(folder: Path, pairs: list[tuple[str, str]]) -> list[float]:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    return [float(value) for value in model.predict(pairs, batch_size=7, show_progress_bar=False)]


def test_a_reranked_first_stage_has_the_scores_of_sentence_transformers(
    search: Path, reranker: Path, tmp_path: Path
) -> None:
    first = go(search, "tfidf:char", tmp_path)
    outcome = go(search, f"tfidf:char+reranker:{reranker}@20", tmp_path)
    assert outcome.result is not None, outcome.message
    assert outcome.result.model == "tfidf:char+reranker:local/tiny-reranker@20"
    for i in (0, 4):
        found = ranking(outcome, f"q{i}")
        given = ranking(outcome, f"q{i}", "candidates")
        assert given == ranking(first, f"q{i}")[:20]
        expected = predict(reranker, [(WORDS[i], SENTENCES[int(document[1:])]) for document, _ in given])
        best = dict(zip([document for document, _ in given], expected, strict=True))
        assert dict(found) == pytest.approx(best, abs=1e-6)
        assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)


def test_the_recall_of_the_candidates_is_recorded(search: Path, reranker: Path, tmp_path: Path) -> None:
    outcome = go(search, f"tfidf:char+reranker:{reranker}@2", tmp_path)
    assert outcome.result is not None
    (entry,) = outcome.result.scores["test"]
    recalls = []
    for i in range(10):
        relevant = {f"d{i * 8 + j}" for j in range(3)}
        recalls.append(len(relevant & {document for document, _ in ranking(outcome, f"q{i}", "candidates")}) / 3)
    assert entry["candidate_recall"] == pytest.approx(np.mean(recalls))
    assert entry["recall@100"] == entry["candidate_recall"] > 0


def test_pair_scores_are_kept_and_an_interrupted_run_computes_only_what_is_missing(
    search: Path, reranker: Path, tmp_path: Path
) -> None:
    shallow = go(search, f"tfidf:char+reranker:{reranker}@5", tmp_path)
    deep = go(search, f"tfidf:char+reranker:{reranker}@8", tmp_path)
    assert shallow.result is not None
    assert deep.result is not None
    identity = f"local/tiny-reranker@{resolve(str(reranker)).revision}[]"
    assert set(deep.result.kemb["part_fingerprints"]) == {identity, f"tfidf:char@{resolve('tfidf:char').revision}[]"}
    assert shallow.result.kemb["encoded"]["n_encoded"] - 90 == 50  # 90 texts of the first stage
    assert deep.result.kemb["encoded"]["n_encoded"] == 30


def test_a_reranker_scores_the_candidates_of_a_reranking_task(candidates: Task, reranker: Path, tmp_path: Path) -> None:
    found = ranking(go(candidates, str(reranker), tmp_path), "q2")
    assert {document for document, _ in found} == {f"d{16 + j}" for j in range(8)}
    expected = predict(reranker, [(WORDS[2], SENTENCES[int(document[1:])]) for document, _ in found])
    assert [value for _, value in found] == pytest.approx(expected, abs=1e-6)
    both = go(candidates, f"toy+reranker:{reranker}@4", tmp_path)
    assert ranking(both, "q2", "candidates") == ranking(go(candidates, "toy", tmp_path), "q2")[:4]


def test_rerankers_that_cannot_work_say_what_is_missing(
    search: Path, reranker: Path, tiny_st: Path, tmp_path: Path
) -> None:
    outcome = go(search, str(reranker), tmp_path)
    assert outcome.status == "not applicable"
    assert "needs candidates; give it a first stage: -m bm25:kiwi+reranker:local/tiny-reranker" in outcome.message
    with pytest.raises(UsageError, match="is no reranker"):
        resolve(f"toy+reranker:{tiny_st}")
    for name in (f"rrf(toy, {reranker})", f"{reranker}+reranker:{reranker}"):
        with pytest.raises(UsageError, match="needs a first stage"):
            resolve(name)


def test_a_classifier_is_no_reranker_and_nan_scores_are_refused(
    search: Path, reranker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    three = tmp_path / "three"
    CrossEncoder(str(reranker), num_labels=3, device="cpu", model_kwargs={"ignore_mismatched_sizes": True}).save(
        str(three)
    )
    outcome = go(search, f"tfidf:char+reranker:{three}", tmp_path)
    assert "gives 3 scores for a pair" in outcome.message
    model = CrossEncoder(str(reranker), device="cpu")
    torch.nn.init.constant_(model.model.classifier.bias, float("nan"))
    model.save_pretrained(str(tmp_path / "nan"))
    outcome = go(search, f"tfidf:char+reranker:{tmp_path / 'nan'}@3", tmp_path)
    assert outcome.status == "failed"
    assert "not a number" in outcome.message
    assert "query q" in outcome.message
