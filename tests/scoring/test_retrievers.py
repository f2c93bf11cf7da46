"""Runs of every family: files, fusion, rerankers, sparse and multi-vector models, against hand-made
oracles.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kemb.boards import build_board
from kemb.cli import cli
from kemb.encoding.clean import compact
from kemb.encoding.store import Store
from kemb.errors import DataError, ModelError, UsageError
from kemb.evaluation.evaluate import Outcome, RunOptions, Task, evaluate, load_task
from kemb.messages import say
from kemb.models.expressions import Fused, Leaf, Reranked, parse
from kemb.models.resolve import resolve, run_of_file
from kemb.results.files import read_items, read_results
from kemb.scoring.search import runs as search_runs
from kemb.scoring.search.runs import read_run
from kemb.types import Run

WORDS = "비가1 눈이2 바람이3 구름이4 햇볕이5 안개가6 우박이7 서리가8 이슬이9 무지개가0".split()
VERBS = "온다a 그친다b 불어온다c 흩어진다d 내린다e 걷힌다f 떨어진다g 맺힌다h".split()
"""With letters and digits that the tiny tokenizers know, so that no two sentences are one."""
SENTENCES = [f"{w} {v}" for w in WORDS for v in VERBS]


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """80 documents, 10 queries, three relevant documents for each."""
    folder = tmp_path / "my-search"
    (folder / "qrels").mkdir(parents=True)
    write(
        folder / "corpus.jsonl",
        [{"_id": f"d{i}", "text": text} for i, text in enumerate(SENTENCES)],
    )
    write(
        folder / "queries.jsonl", [{"_id": f"q{i}", "text": word} for i, word in enumerate(WORDS)]
    )
    rows = [f"q{i}\td{i * 8 + j}\t{1 + j % 2}" for i in range(10) for j in range(3)]
    (folder / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n"
    )
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "my-pairs"
    folder.mkdir()
    write(
        folder / "test.jsonl",
        [{"sentence1": s, "sentence2": s[::-1], "score": i % 6} for i, s in enumerate(WORDS)],
    )
    return folder


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def go(task: Path | Task, name: str, tmp_path: Path) -> Outcome:
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    task = task if isinstance(task, Task) else load_task(task)
    (outcome,) = evaluate([task], [resolve(name)], options)
    return outcome


def ranking(outcome: Outcome, query: str, metric: str = "retrieved") -> list[tuple[str, float]]:
    assert outcome.result is not None, outcome.message
    rows = read_items(outcome.result).to_pylist()
    return [
        (row["target"], row["value"])
        for row in rows
        if row["metric"] == metric and row["item_id"] == query
    ]


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


@pytest.fixture(scope="module")
def splade(tiny_transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SPLADE of two layers; its weights are spread, so that many of the 498
    entries are 0.
    """
    import shutil

    import torch
    from sentence_transformers import SparseEncoder
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(2)
    base, folder = tmp_path_factory.mktemp("mlm"), tmp_path_factory.mktemp("tiny") / "tiny-splade"
    mlm = BertForMaskedLM(BertConfig.from_pretrained(tiny_transformer))
    torch.nn.init.normal_(mlm.cls.predictions.bias, mean=-1.0, std=0.5)
    mlm.save_pretrained(base)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_transformer / name, base)
    SparseEncoder(str(base), device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def inference_free(splade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for documents, and for queries a weight per token, looked up."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    model = SparseEncoder(str(splade), device="cpu")
    weight = torch.rand(498, generator=torch.Generator().manual_seed(3))
    static = SparseStaticEmbedding(tokenizer=model.tokenizer, weight=weight, frozen=True)
    router = Router.for_query_document(
        query_modules=[static], document_modules=[model[0], model[1]]
    )
    folder = tmp_path_factory.mktemp("tiny") / "tiny-inference-free"
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def colbert(tiny_transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random late-interaction model with 16 dimensions per token, that skips a syllable in
    documents.
    """
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(4)
    token = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    modules = [
        Transformer(str(tiny_transformer)),
        Dense(32, 16, bias=False, activation_function=torch.nn.Identity(), **token),
        MultiVectorMask(skiplist_words=["다"]),
        Normalize(**token),
    ]
    folder = tmp_path_factory.mktemp("tiny") / "tiny-colbert"
    prompts = {"query": "가: ", "document": "나: "}
    MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts).save_pretrained(str(folder))
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
    indices, scores = (
        np.full((len(rows), k), -1),
        np.full((len(rows), k), -np.inf, dtype=np.float32),
    )
    for i, row in enumerate(rows):
        for j, (document, value) in enumerate(row):
            indices[i, j], scores[i, j] = document, value
    return Run(indices, scores)


# --- expressions


def test_expressions_are_read_as_written() -> None:
    assert parse("BAAI/bge-m3@abc") == Leaf("BAAI/bge-m3@abc")
    assert parse("rrf(bm25:kiwi, a/b)") == Fused((Leaf("bm25:kiwi"), Leaf("a/b")))
    assert parse("rrf(x,y,z, k=10)") == Fused((Leaf("x"), Leaf("y"), Leaf("z")), constant=10)
    assert parse("fuse(0.3*bm25:kiwi + .7*my+model)") == Fused(
        (Leaf("bm25:kiwi"), Leaf("my+model")), (0.3, 0.7)
    )
    assert parse("sum(1*x + 0.3*y)") == Fused((Leaf("x"), Leaf("y")), (1.0, 0.3), is_raw=True)
    inner = Fused((Leaf("x"), Reranked(Leaf("y"), "o/r", 20)), (1.0, 2.0))
    assert parse("fuse(1*x + 2*y+reranker:o/r@20)+reranker:o/s@main") == Reranked(
        inner, "o/s@main", 100
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rrf(a)", "two models or more"),
        ("rrf(a, )", "a name is missing"),
        ("rrf(a, b, k=-1)", "'k=-1' is no setting"),
        ("rrf(a, b, depth=3)", "'depth=3' is no setting"),
        ("rff(a, b)", r"no rff\(...\)"),
        ("rrf(a, b", "a parenthesis is missing"),
        ("fuse(a + b)", "'a \\+ b' is not a positive weight"),
        ("fuse(0*a + 1*b)", "'0\\*a' is not a positive weight"),
        ("fuse(1*a)", "fuse needs two models or more"),
        ("sum(1*a)", "sum needs two models or more"),
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
    # Query 0: a is 1st and 3rd, b 2nd and 1st, c 3rd and absent, d absent and 2nd. Query 1: one run
    # is empty.
    first = run_of([[(0, 9.0), (1, 5.0), (2, 1.0)], [(3, 1.0)]], 3)
    second = run_of([[(1, 0.9), (3, 0.8), (0, 0.1)], []], 3)
    fused = search_runs.reciprocal_ranks([first, second], ["a", "b", "c", "d"])
    assert fused.indices.tolist() == [[1, 0, 3, 2], [3, -1, -1, -1]]
    expected = [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62, 1 / 63]
    np.testing.assert_allclose(fused.scores[0], expected, rtol=1e-6)
    assert fused.scores[1].tolist() == [np.float32(1 / 61), -np.inf, -np.inf, -np.inf]
    assert (
        search_runs.reciprocal_ranks([first, second], ["a", "b", "c", "d"], constant=0).scores[0, 0]
        == 1.5
    )


def test_ties_of_a_fusion_go_by_id_descending() -> None:
    first, second = run_of([[(0, 2.0), (1, 1.0)]], 2), run_of([[(1, 2.0), (0, 1.0)]], 2)
    assert search_runs.reciprocal_ranks([first, second], ["a", "b"]).indices.tolist() == [[1, 0]]


def test_a_weighted_sum_is_that_of_ranx() -> None:
    """The oracle is ranx's rule written out: min-max by query, absent is 0, then the
    weighted sum.
    """
    rng = np.random.default_rng(0)
    ids = [f"d{i}" for i in range(30)]
    runs, tables = [], []
    for _ in range(2):
        rows = []
        for _ in range(5):
            documents, values = rng.permutation(30)[:12], np.sort(rng.normal(size=12))[::-1]
            rows.append(
                list(zip(documents.tolist(), values.astype(np.float32).tolist(), strict=True))
            )
        runs.append(run_of(rows, 12))
        tables.append([dict(row) for row in rows])
    fused = search_runs.weighted_sum(runs, [0.3, 0.7], ids)
    for i in range(5):
        expected: dict[int, float] = {}
        for table, weight in zip(tables, (0.3, 0.7), strict=True):
            low, high = min(table[i].values()), max(table[i].values())
            for document, value in table[i].items():
                expected[document] = expected.get(document, 0) + weight * (value - low) / max(
                    high - low, 1e-9
                )
        found = {
            row: score
            for row, score in zip(fused.indices[i], fused.scores[i], strict=True)
            if row >= 0
        }
        assert found == pytest.approx(expected, abs=1e-6)


def test_raw_scores_are_added_over_what_any_part_has_among_its_best(
    search: Path, tmp_path: Path
) -> None:
    """The sum over parts of weight times the score that the part alone gives, for documents of each
    part's best 500.
    """
    names = ("bm25:bigram", "tfidf:char", "toy")
    alone = [dict(ranking(go(search, name, tmp_path), "q4")) for name in names]
    found = ranking(go(search, "sum(2*bm25:bigram + 0.5*tfidf:char + .25*toy)", tmp_path), "q4")
    expected = {
        d: sum(w * of_part[d] for w, of_part in zip((2, 0.5, 0.25), alone, strict=True))
        for d in alone[0]
    }
    assert len(found) == 80
    assert dict(found) == pytest.approx(expected, abs=1e-5)
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    runs = [
        run_of([[(3, 2.0), (1, 1.0)]], 2),
        run_of(
            [
                [(0, 9.0)],
            ],
            2,
        ),
    ]
    assert search_runs.pooled(runs, ["q"], ["a", "b", "c", "d"]) == {"q": ["a", "b", "d"]}


def test_a_raw_sum_ranks_candidates_and_refuses_parts_that_score_only_what_they_retrieved(
    candidates: Task, search: Path, reranker: Path, tmp_path: Path
) -> None:
    found = ranking(go(candidates, "sum(1*tfidf:char + 1*bm25:bigram)", tmp_path), "q2")
    parts = [
        dict(ranking(go(candidates, name, tmp_path), "q2"))
        for name in ("tfidf:char", "bm25:bigram")
    ]
    assert dict(found) == pytest.approx({d: parts[0][d] + parts[1][d] for d in parts[0]}, abs=1e-5)
    file = trec(tmp_path / "r.trec", ["q0 Q0 d1 1 2 x"])
    for part in (f"run:{file}", "rrf(toy, tfidf:char)", f"toy+reranker:{reranker}"):
        with pytest.raises(UsageError, match=r"cannot stand in sum\(\.\.\.\)"):
            resolve(f"sum(1*toy + 1*{part})")


def test_equal_scores_and_single_documents_become_zero() -> None:
    run = run_of([[(0, 3.0), (1, 3.0)], [(1, 5.0)], []], 2)
    assert search_runs.min_max(run).tolist() == [[0, 0], [0, 0], [0, 0]]


def test_a_fusion_of_models_is_the_fusion_of_their_runs(search: Path, tmp_path: Path) -> None:
    one, two = go(search, "bm25:bigram", tmp_path), go(search, "tfidf:char", tmp_path)
    both = go(search, "rrf(bm25:bigram, tfidf:char)", tmp_path)
    assert both.result is not None
    assert both.result.model == "rrf(bm25:bigram,tfidf:char)"
    for query in ("q0", "q7"):
        expected: dict[str, float] = {}
        for part in (one, two):
            found = [
                pair for pair in ranking(part, query) if part is two or pair[1] > 0
            ]  # BM25 found the others not
            for rank, (document, _) in enumerate(found, start=1):
                expected[document] = expected.get(document, 0) + 1 / (60 + rank)
        assert dict(ranking(both, query)) == pytest.approx(expected, rel=1e-6)
    assert [part.model.name for part in both.result.record.parts] == [
        "bm25:bigram",
        "tfidf:char",
    ]


def test_a_fusion_is_kept_found_again_and_applies_to_rankings_only(
    search: Path, pairs: Path, tmp_path: Path
) -> None:
    from kemb.results.rows import find_row, rows_of

    name = "fuse(0.3*bm25:bigram + 0.7*toy)"
    assert [go(search, name, tmp_path).status for _ in range(2)] == ["scored", "kept"]
    outcome = go(pairs, name, tmp_path)
    assert (outcome.status, "sts needs one vector" in outcome.message) == ("not applicable", True)
    other = go(search, "fuse(0.4*bm25:bigram + 0.6*toy)", tmp_path)
    rows = rows_of(read_results(tmp_path / "results"))
    assert len(rows) == 2
    assert (
        find_row("fuse(0.4*bm25:bigram+0.6*toy)", rows).results["my-search"].main_score
        == other.result.main_score
    )  # type: ignore[union-attr]
    assert {find_row(row.label, rows).label for row in rows} == {row.label for row in rows}


def test_every_family_is_verified(
    search: Path, reranker: Path, splade: Path, colbert: Path, tmp_path: Path
) -> None:
    from kemb.evaluation.verify import VerifyOptions, verify_items, verify_result

    task = load_task(search)
    for name in (
        "rrf(bm25:bigram, toy, k=5)",
        f"toy+reranker:{reranker}@9",
        str(splade),
        str(colbert),
    ):
        result = go(search, name, tmp_path).result
        assert result is not None
        found = verify_result(result, task, VerifyOptions(device="cpu", model=name))
        assert [check.status for check in found.checks] == ["OK"]
        assert not [note for note in found.notes if "prompt" in note]
        assert [check.status for check in verify_items(result).checks] == ["OK"]
    pinned = go(search, "fuse(1*bm25:bigram + 2*toy)", tmp_path).result
    assert pinned is not None
    assert not verify_result(pinned, task, VerifyOptions()).differs
    with pytest.raises(UsageError, match="made of local files; say what it is now"):
        verify_result(
            go(search, f"toy+reranker:{reranker}@9", tmp_path).result, task, VerifyOptions()
        )  # type: ignore[arg-type]


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
    assert [document for document, _ in ranking(again, "q3")] == [
        document for document, _ in ranking(toy, "q3")
    ]


def test_a_run_file_can_be_a_first_stage(search: Path, reranker: Path, tmp_path: Path) -> None:
    file = trec(tmp_path / "mine.trec", ["q3 Q0 d1 1 3 x", "q3 Q0 d2 2 2 x", "q3 Q0 d5 3 1 x"])
    outcome = go(search, f"run:{file}+reranker:{reranker}@2", tmp_path)
    assert outcome.result is not None, outcome.message
    assert {document for document, _ in ranking(outcome, "q3")} == {"d1", "d2"}
    assert outcome.result.model == "run/mine+reranker:local/tiny-reranker@2"


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
    from kemb.scoring.search.retrieve import check
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
        expected = predict(
            reranker, [(WORDS[i], SENTENCES[int(document[1:])]) for document, _ in given]
        )
        best = dict(zip([document for document, _ in given], expected, strict=True))
        assert dict(found) == pytest.approx(best, abs=1e-6)
        assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)


def test_the_recall_of_the_candidates_is_recorded(
    search: Path, reranker: Path, tmp_path: Path
) -> None:
    outcome = go(search, f"tfidf:char+reranker:{reranker}@2", tmp_path)
    assert outcome.result is not None
    (entry,) = outcome.result.scores["test"]
    recalls = []
    for i in range(10):
        relevant = {f"d{i * 8 + j}" for j in range(3)}
        recalls.append(
            len(relevant & {document for document, _ in ranking(outcome, f"q{i}", "candidates")})
            / 3
        )
    assert entry["candidate_recall"] == pytest.approx(np.mean(recalls))
    assert entry["recall@100"] == entry["candidate_recall"] > 0
    told = f"which it cannot exceed: {outcome.task} {np.mean(recalls) * 100:.1f} %"
    assert any(told in say(said, "en") for said in build_board([outcome.result]).notes)


def test_pair_scores_are_kept_and_an_interrupted_run_computes_only_what_is_missing(
    search: Path, reranker: Path, tmp_path: Path
) -> None:
    shallow = go(search, f"tfidf:char+reranker:{reranker}@5", tmp_path)
    deep = go(search, f"tfidf:char+reranker:{reranker}@8", tmp_path)
    assert shallow.result is not None
    assert deep.result is not None
    identity = f"local/tiny-reranker@{resolve(str(reranker)).revision}[]"
    assert set(deep.result.record.part_fingerprints) == {
        identity,
        f"tfidf:char@{resolve('tfidf:char').revision}[]",
    }
    assert shallow.result.record.encoded.n_encoded - 90 == 50  # 90 texts of the first stage
    assert deep.result.record.encoded.n_encoded == 30


def test_a_reranker_scores_the_candidates_of_a_reranking_task(
    candidates: Task, reranker: Path, tmp_path: Path
) -> None:
    found = ranking(go(candidates, str(reranker), tmp_path), "q2")
    assert {document for document, _ in found} == {f"d{16 + j}" for j in range(8)}
    expected = predict(
        reranker, [(WORDS[2], SENTENCES[int(document[1:])]) for document, _ in found]
    )
    assert [value for _, value in found] == pytest.approx(expected, abs=1e-6)
    both = go(candidates, f"toy+reranker:{reranker}@4", tmp_path)
    assert ranking(both, "q2", "candidates") == ranking(go(candidates, "toy", tmp_path), "q2")[:4]


def test_rerankers_that_cannot_work_say_what_is_missing(
    search: Path, reranker: Path, tiny_st: Path, tmp_path: Path
) -> None:
    outcome = go(search, str(reranker), tmp_path)
    assert outcome.status == "not applicable"
    assert (
        f"needs candidates; give it a first stage: -m bm25:kiwi+reranker:{reranker}"
        in outcome.message
    )
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
    CrossEncoder(
        str(reranker), num_labels=3, device="cpu", model_kwargs={"ignore_mismatched_sizes": True}
    ).save(str(three))
    outcome = go(search, f"tfidf:char+reranker:{three}", tmp_path)
    assert "gives 3 scores for a pair" in outcome.message
    model = CrossEncoder(str(reranker), device="cpu")
    torch.nn.init.constant_(model.model.classifier.bias, float("nan"))
    model.save_pretrained(str(tmp_path / "nan"))
    outcome = go(search, f"tfidf:char+reranker:{tmp_path / 'nan'}@3", tmp_path)
    assert outcome.status == "failed"
    assert "not a number" in outcome.message
    assert "query q" in outcome.message


# --- sparse vectors


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["splade", "inference_free"])
def test_sparse_scores_are_those_of_sentence_transformers(
    kind: str, search: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from sentence_transformers import SparseEncoder

    folder = request.getfixturevalue(kind)
    outcome = go(search, str(folder), tmp_path)
    model = SparseEncoder(str(folder), device="cpu")
    queries, documents = model.encode_query(WORDS), model.encode_document(SENTENCES)
    expected = model.similarity(queries, documents).to_dense().numpy()
    assert 0 < documents.coalesce().values().shape[0] < 0.9 * 80 * 498
    for i in (0, 5):
        found = {int(document[1:]): value for document, value in ranking(outcome, f"q{i}")}
        assert found == pytest.approx(dict(enumerate(expected[i].tolist())), rel=1e-5)
    assert outcome.result is not None
    assert outcome.result.record.model.similarity == "dot"
    routes = {role: found.route for role, found in outcome.result.record.prompts.items()}
    assert routes == (
        {"query": "query", "document": "document"}
        if kind == "inference_free"
        else {"query": "", "document": ""}
    )


def test_sparse_and_late_models_rerank_candidates_and_stand_in_fusions(
    candidates: Task, search: Path, splade: Path, colbert: Path, tmp_path: Path
) -> None:
    for folder in (splade, colbert):
        every, own = go(search, str(folder), tmp_path), go(candidates, str(folder), tmp_path)
        of_all = dict(ranking(every, "q3"))
        found = ranking(own, "q3")
        assert {document for document, _ in found} == {f"d{24 + j}" for j in range(8)}
        assert dict(found) == pytest.approx(
            {document: of_all[document] for document, _ in found}, rel=1e-5
        )
        assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    both = go(search, f"rrf({splade}, {colbert})", tmp_path)
    assert both.status == "scored"


def test_the_index_of_every_family_is_measured_on_its_documents(
    search: Path, splade: Path, colbert: Path, reranker: Path, tmp_path: Path
) -> None:
    from sentence_transformers import MultiVectorEncoder, SparseEncoder

    def size_of(name: str) -> float | None:
        result = go(search, name, tmp_path).result
        assert result is not None
        found: float | None = result.record.index_bytes_per_document
        return found

    entries = int(
        (SparseEncoder(str(splade), device="cpu").encode_document(SENTENCES).to_dense() != 0).sum()
    )
    assert size_of(str(splade)) == pytest.approx(
        8 * entries / 80, abs=0.05
    )  # an index and a float32 each
    vectors = MultiVectorEncoder(str(colbert), device="cpu").encode_document(SENTENCES)
    assert size_of(str(colbert)) == pytest.approx(
        2 * 16 * sum(map(len, vectors)) / 80, abs=0.05
    )  # float16
    postings = sum(len(bigrams(text)) for text in SENTENCES)
    assert size_of("bm25:bigram") == pytest.approx(8 * postings / 80, abs=0.05)
    assert size_of(f"bm25:bigram+reranker:{reranker}@10") == size_of("bm25:bigram")
    whole = size_of(f"rrf({splade}, {colbert}, bm25:bigram)")
    parts = [size_of(name) or 0 for name in (str(splade), str(colbert), "bm25:bigram")]
    assert whole == pytest.approx(sum(parts), abs=0.2)


def bigrams(text: str) -> set[str]:
    return {word[i : i + 2] for word in text.split() for i in range(len(word) - 1)}


def test_what_a_family_cannot_do_is_refused_in_one_sentence(
    pairs: Path, splade: Path, colbert: Path, tmp_path: Path
) -> None:
    outcome = go(pairs, str(colbert), tmp_path)
    assert outcome.status == "not applicable"
    assert outcome.message.endswith("makes a vector per token; sts needs one vector per text.")
    folder = tmp_path / "topics"
    folder.mkdir()
    for split in ("train", "test"):
        write(
            folder / f"{split}.jsonl",
            [{"text": f"{s} {i}", "label": i % 2} for i, s in enumerate(SENTENCES)],
        )
    outcome = go(folder, str(splade), tmp_path)
    assert outcome.status == "not applicable"
    assert outcome.message.endswith(
        "makes sparse vectors; classification needs one dense vector per text."
    )


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["splade", "inference_free"])
def test_sts_of_sparse_vectors_is_that_of_sentence_transformers(
    kind: str, pairs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.evaluation import SparseEmbeddingSimilarityEvaluator

    folder = request.getfixturevalue(kind)
    outcome = go(pairs, str(folder), tmp_path)
    assert outcome.result is not None, outcome.message
    names = ["cosine", "dot", "euclidean", "manhattan"]
    given = WORDS, [word[::-1] for word in WORDS], [i % 6 for i in range(10)]
    evaluator = SparseEmbeddingSimilarityEvaluator(
        *given, similarity_fn_names=names, write_csv=False
    )  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks")
        theirs = evaluator(SparseEncoder(str(folder), device="cpu"))
    (ours,) = outcome.result.scores["test"]
    for name in names:
        for correlation in ("pearson", "spearman"):
            assert ours[f"{name}_{correlation}"] == pytest.approx(
                theirs[f"{correlation}_{name}"], abs=1e-5
            )
    assert ours["spearman"] == ours["dot_spearman"]
    assert ours["main_score"] == ours["cosine_spearman"]


def test_dense_and_sparse_models_stand_in_one_table_and_are_verified(
    pairs: Path, search: Path, splade: Path, tmp_path: Path
) -> None:
    from kemb.evaluation.verify import VerifyOptions, verify_items, verify_result

    names = ["tfidf:char", str(splade), "bm25:bigram"]
    arguments = ["run", str(pairs), str(search), "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(cli, [*arguments, *(part for name in names for part in ("-m", name))])
    assert done.exit_code == 0, done.output
    found = {(result.model, result.task) for result in read_results(tmp_path / "results")}
    assert found == {
        *(
            (model, task)
            for model in ("tfidf:char", "local/tiny-splade")
            for task in ("my-pairs", "my-search")
        ),
        ("bm25:bigram", "my-search"),
    }
    of_pairs = [
        result for result in read_results(tmp_path / "results") if result.task == "my-pairs"
    ]
    (result,) = [result for result in of_pairs if result.model == "local/tiny-splade"]
    checked = verify_result(
        result, load_task(pairs), VerifyOptions(device="cpu", model=str(splade))
    )
    assert [check.status for check in checked.checks] == ["OK"]
    assert [check.status for check in verify_items(result).checks] == ["OK"]


# --- a vector per token


def test_maxsim_is_that_of_sentence_transformers(
    search: Path, colbert: Path, tmp_path: Path
) -> None:
    from sentence_transformers import MultiVectorEncoder

    outcome = go(search, str(colbert), tmp_path)
    model = MultiVectorEncoder(str(colbert), device="cpu")
    queries, documents = model.encode_query(WORDS), model.encode_document(SENTENCES)
    assert len({len(vectors) for vectors in documents}) > 3
    full = model.similarity(queries, documents).numpy()
    halved = model.similarity(
        [v.half().float() for v in queries], [v.half().float() for v in documents]
    ).numpy()
    for i in range(10):
        found = {int(document[1:]): value for document, value in ranking(outcome, f"q{i}")}
        assert found == pytest.approx(dict(enumerate(halved[i].tolist())), abs=1e-5)
        assert found == pytest.approx(dict(enumerate(full[i].tolist())), abs=5e-3)


def test_token_vectors_take_half_the_space_and_come_back_as_they_were(tmp_path: Path) -> None:
    from kemb.arrays import Ragged
    from kemb.encoding.store import input_keys

    rng = np.random.default_rng(0)
    counts = rng.integers(0, 180, 200)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    values = rng.normal(size=(offsets[-1], 64)).astype(np.float16)
    rows, keys = (
        Ragged(offsets, values, 64),
        input_keys("document", "", [f"t{i}" for i in range(200)]),
    )
    space = Store(tmp_path).space({"model": "org/late"})
    space.add(keys[:90], rows.take(np.arange(90)))
    space.add(keys[90:], rows.take(np.arange(90, 200)))
    assert space.size()[1] <= 0.55 * values.size * 4
    order = rng.permutation(200)
    for _ in range(2):
        stored = Store(tmp_path).space({"model": "org/late"}).ragged(keys[order])
        assert stored.shape == (200, 64)
        assert stored.lengths().tolist() == counts[order].tolist()
        some = stored.take(np.array([3, 150, 3, 0]))
        expected = rows.take(order[[3, 150, 3, 0]])
        np.testing.assert_array_equal(some.values, expected.values)
        np.testing.assert_array_equal(some.offsets, expected.offsets)
        compact(space)  # merged into one file, the same rows come back
        assert space.size()[0] == 1


def ragged_of(rng: np.random.Generator, counts: list[int], dim: int, sparse: bool) -> object:
    from kemb.arrays import Ragged

    offsets = np.concatenate(([0], np.cumsum(counts)))
    if not sparse:
        return Ragged(offsets, rng.normal(size=(offsets[-1], dim)).astype(np.float32), dim)
    index = np.concatenate([np.sort(rng.permutation(dim)[:count]) for count in counts]).astype(
        np.int32
    )
    return Ragged(offsets, rng.random((offsets[-1], 1)).astype(np.float32), dim, index)


class InMemory:
    """Ragged rows as search reads them."""

    def __init__(self, rows: object) -> None:
        self.rows = rows
        self.shape, self.take = rows.shape, rows.take  # type: ignore[attr-defined]

    def lengths(self) -> np.ndarray:
        return np.diff(self.rows.offsets)  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("similarity", ["dot", "cosine", "maxsim", "meanmaxsim"])
@pytest.mark.parametrize("n_values", [1, 7, 1 << 14])
def test_search_in_small_pieces_is_the_plain_computation(
    similarity: str, n_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is a loop over all pairs in float64; documents 5 and 6 have the same text
    and tie.
    """
    from kemb.scoring.search import ragged
    from kemb.types import RetrievalData

    monkeypatch.setattr(ragged, "DOCUMENT_VALUES", n_values)
    monkeypatch.setattr(ragged, "QUERY_VALUES", n_values)
    monkeypatch.setattr(ragged, "BLOCK", 3 if n_values < 100 else 1024)
    rng, sparse = np.random.default_rng(5), "sim" not in similarity
    counts = [4, 1, 9, 0, 3, 5, 5, 2, 8, 1, 6, 2]
    documents, queries = (
        ragged_of(rng, counts, 20, sparse),
        ragged_of(rng, [3, 5, 1, 2], 20, sparse),
    )
    documents = documents.take(np.array([0, 1, 2, 3, 4, 5, 5, 7, 8, 9, 10, 11]))  # type: ignore[attr-defined]
    texts = [f"text {i}" for i in range(12)]
    texts[6] = texts[5]
    data = RetrievalData([f"d{i:02}" for i in range(12)], texts, list("abcd"), list("abcd"), {})
    run = ragged.rank_ragged(queries, InMemory(documents), data, similarity=similarity, k=8)  # type: ignore[arg-type]
    for i in range(4):
        expected = {f"d{j:02}": plain(queries, i, documents, j, similarity) for j in range(12)}
        best = sorted(expected, key=lambda name: (expected[name], name), reverse=True)[:8]
        assert [data.doc_ids[row] for row in run.indices[i]] == best
        assert run.scores[i].tolist() == pytest.approx([expected[name] for name in best], rel=1e-5)


def plain(queries: object, i: int, documents: object, j: int, similarity: str) -> float:
    one, other = (
        rows.take(np.array([number]))  # type: ignore[attr-defined]
        for rows, number in ((queries, i), (documents, j))
    )
    if similarity in ("dot", "cosine"):
        x, y = np.zeros(20), np.zeros(20)
        x[one.index], y[other.index] = one.values[:, 0], other.values[:, 0]
        length = np.linalg.norm(x) * np.linalg.norm(y) if similarity == "cosine" else 1.0
        return float(x @ y / (length or 1.0))
    if not len(other.values):
        return -1e9 / (len(one.values) if similarity == "meanmaxsim" else 1)
    best = [
        max(float(q @ d) for d in other.values.astype(np.float64))
        for q in one.values.astype(np.float64)
    ]
    return sum(best) / (len(best) if similarity == "meanmaxsim" else 1)


def test_broken_token_vectors_are_refused_with_the_place_they_stand_in(
    search: Path, colbert: Path, tmp_path: Path
) -> None:
    import torch
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(colbert), device="cpu")
    torch.nn.init.constant_(model[0].auto_model.embeddings.word_embeddings.weight[5], float("nan"))
    model.save_pretrained(str(tmp_path / "nan"))
    outcome = go(search, str(tmp_path / "nan"), tmp_path)
    assert outcome.status == "failed"
    assert "not a number" in outcome.message
    assert "my-search" in outcome.message
    assert not list((tmp_path / "results").rglob("my-search.json"))


def test_what_cannot_be_compared_is_refused(colbert: Path) -> None:
    from kemb.models.model import ModelOptions
    from kemb.scoring.search.ragged import rank_ragged
    from kemb.types import RetrievalData

    rng = np.random.default_rng(0)
    data = RetrievalData(["d"], ["d"], ["q"], ["q"], {})
    with pytest.raises(ModelError, match="Queries have 3 dimensions and documents 4"):
        rank_ragged(
            ragged_of(rng, [2], 3, False),
            InMemory(ragged_of(rng, [2], 4, False)),
            data,
            similarity="maxsim",
        )  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--pooling cannot be used"):
        resolve(str(colbert), ModelOptions(pooling="mean"))


def test_pylates_models_keep_their_prefixes_and_expanded_queries(
    search: Path, colbert: Path, tmp_path: Path
) -> None:
    import shutil

    from sentence_transformers import MultiVectorEncoder

    folder = tmp_path / "pylate"
    shutil.copytree(colbert, folder)
    tokenizer, config = (
        folder / "tokenizer_config.json",
        folder / "config_sentence_transformers.json",
    )
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"mask_token": "[MASK]"}))
    prefixes = {
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "prompts": {"query": "", "document": None},
    }
    config.write_text(json.dumps(json.loads(config.read_text()) | prefixes | {"query_length": 20}))
    model = MultiVectorEncoder(str(folder), device="cpu")
    ours = resolve(str(folder)).prompts.layers[0].prompts
    assert ours == model.prompts == {"query": "[Q] ", "document": "[D] "}
    queries, documents = model.encode_query(WORDS), model.encode_document(SENTENCES)
    assert {len(vectors) for vectors in queries} == {20}
    expected = model.similarity(queries, documents).numpy()
    found = {
        int(document[1:]): value
        for document, value in ranking(go(search, str(folder), tmp_path), "q6")
    }
    assert found == pytest.approx(dict(enumerate(expected[6].tolist())), abs=5e-3)


@pytest.fixture(scope="module")
def stanford(tiny_transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ColBERT as Stanford's program saves it: encoder and projection in one file, settings
    beside it.
    """

    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny") / "tiny-stanford"
    folder.mkdir()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
    vocabulary = {
        token: number
        for number, token in enumerate([*marks, *dict.fromkeys("".join([*SENTENCES, ".,"]))])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    pieces = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=64,
        **names,
    ).save_pretrained(folder)
    torch.manual_seed(6)
    config = BertConfig.from_pretrained(tiny_transformer)
    config.vocab_size = len(vocabulary)
    bert = BertModel(config)
    state = {f"bert.{name}": value.contiguous() for name, value in bert.state_dict().items()}
    save_file(
        state | {"linear.weight": torch.randn(12, 32)},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config.architectures = ["HF_ColBERT"]
    config.save_pretrained(folder)
    settings = {
        "query_maxlen": 16,
        "doc_maxlen": 12,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
    }
    (folder / "artifact.metadata").write_text(json.dumps(settings))
    return folder


def token_vectors(folder: Path, text: str, *, is_query: bool) -> np.ndarray:
    """ColBERT's rule (Khattab and Zaharia 2020) by hand: queries are filled up with [MASK],
    documents lose points.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    state = load_file(folder / "model.safetensors")
    bert = BertModel(BertConfig.from_pretrained(folder)).eval()
    bert.load_state_dict(
        {k.removeprefix("bert."): v for k, v in state.items() if k.startswith("bert.")}
    )
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    ids = [2, 5 if is_query else 6, *(vocabulary[letter] for letter in text.replace(" ", ""))]
    ids = [*(ids if is_query else ids[:11]), 3]
    attended = [1] * len(ids) + [0] * (16 - len(ids)) * is_query
    ids += [4] * (len(attended) - len(ids))
    with torch.inference_mode():
        hidden = bert(
            torch.tensor([ids]), attention_mask=torch.tensor([attended])
        ).last_hidden_state[0]
        vectors = torch.nn.functional.normalize(hidden @ state["linear.weight"].T, dim=-1)
    kept = [
        row
        for row, number in enumerate(ids)
        if is_query or number not in (vocabulary["."], vocabulary[","])
    ]
    return np.asarray(vectors[kept].numpy())


def test_stanfords_colbert_is_loaded_with_its_marks_and_masks(
    search: Path, stanford: Path, tmp_path: Path
) -> None:
    texts = [f"{text.replace(' ', ', ')}. {text}" for text in SENTENCES]
    write(search / "corpus.jsonl", [{"_id": f"d{i}", "text": text} for i, text in enumerate(texts)])
    model = resolve(str(stanford))
    assert (model.family, model.similarity) == ("late-interaction", "maxsim")
    found = dict(ranking(go(search, str(stanford), tmp_path), "q6"))
    query = token_vectors(stanford, WORDS[6], is_query=True)
    expected = {
        f"d{i}": float((query @ token_vectors(stanford, text, is_query=False).T).max(axis=1).sum())
        for i, text in enumerate(texts)
    }
    assert len(query) == 16
    assert len({round(value, 3) for value in expected.values()}) > 60
    assert found == pytest.approx(expected, abs=5e-3)


def test_what_stanford_wrote_beside_the_weights_is_part_of_the_revision(
    stanford: Path, tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(stanford, tmp_path / "other")
    assert resolve(str(folder)).revision == resolve(str(stanford)).revision
    (folder / "artifact.metadata").write_text(
        json.dumps({"query_maxlen": 8, "doc_token_id": "[D]"})
    )
    changed = resolve(str(folder))
    assert changed.revision != resolve(str(stanford)).revision
    assert changed.prompts.layers[0].prompts == {"query": "[unused0] ", "document": "[D] "}
    (folder / "model.safetensors").rename(folder / "model.ckpt")
    with pytest.raises(
        ModelError, match=r"Convert it: MultiVectorEncoder\(folder\)\.save_pretrained"
    ):
        resolve(str(folder))


def test_a_smaller_token_limit_cuts_documents_of_late_interaction(stanford: Path) -> None:
    from kemb.arrays import Ragged
    from kemb.models.model import ModelOptions
    from kemb.models.open import open_model
    from kemb.types import Input

    long = Input("document", "[unused1] ", "비가온다" * 9)
    counts = []
    for limit in (None, 8, 40):
        model = resolve(str(stanford), ModelOptions(max_tokens=limit, device="cpu"))
        rows = open_model(model).encode([long])
        assert isinstance(rows, Ragged)
        counts.append(len(rows.values))
    assert counts == [12, 8, 12]
