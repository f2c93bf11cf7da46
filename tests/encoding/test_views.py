"""Rows made of stored vectors: fewer dimensions, int8, binary, similarities; the oracle is the
plain computation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kemb.arrays import ArrayVectors
from kemb.encoding.store import Store
from kemb.encoding.views import index_bytes, see, viewed, with_views
from kemb.errors import ModelError, UsageError
from kemb.evaluation.evaluate import Outcome, RunOptions, evaluate, load_task
from kemb.evaluation.verify import VerifyOptions, verify_result
from kemb.models.model import Model
from kemb.models.resolve import resolve
from kemb.models.spec import View
from kemb.results.files import read_items
from kemb.scoring.search.rerank import rerank
from kemb.scoring.search.search import top_k
from kemb.types import RetrievalData

RNG = np.random.default_rng(0)
DOCUMENTS = RNG.normal(size=(300, 10)).astype(np.float32)
QUERIES = RNG.normal(size=(20, 10)).astype(np.float32) * 2


def through(view: View) -> tuple[np.ndarray, np.ndarray]:
    columns = {"queries": ArrayVectors(QUERIES), "documents": ArrayVectors(DOCUMENTS)}
    seen = see(viewed(resolve("toy"), view), columns)
    return seen["queries"].block(0, 20), seen["documents"].block(0, 300)


def test_dimensions_are_the_first_ones() -> None:
    queries, documents = through(View(dims=4))
    np.testing.assert_array_equal(queries, QUERIES[:, :4])
    np.testing.assert_array_equal(documents, DOCUMENTS[:, :4])


def test_int8_has_255_steps_over_the_documents_and_cuts_queries_to_them() -> None:
    queries, documents = through(View(level="int8"))
    low, high = DOCUMENTS.min(axis=0), DOCUMENTS.max(axis=0)
    assert np.abs(documents - DOCUMENTS).max() <= ((high - low) / 255).max() / 2 + 1e-6
    assert max(len(np.unique(documents[:, i])) for i in range(10)) <= 256
    np.testing.assert_allclose(
        queries.max(axis=0), np.minimum(QUERIES.max(axis=0), high), atol=0.02
    )
    assert (queries >= low - 1e-6).all()


@pytest.mark.torch
def test_int8_codes_are_those_of_sentence_transformers() -> None:
    """Its quantize_embeddings cuts off where we round to the nearest step: codes differ by one at
    most.
    """
    from sentence_transformers.util.quantization import quantize_embeddings

    _, documents = through(View(level="int8"))
    low, high = DOCUMENTS.min(axis=0), DOCUMENTS.max(axis=0)
    ours = np.round((documents - low) / ((high - low) / 255)) - 128
    theirs = quantize_embeddings(DOCUMENTS, "int8", ranges=np.stack([low, high]))
    assert np.abs(ours - theirs).max() <= 1


def test_binary_orders_as_the_hamming_distance_of_packed_bits() -> None:
    queries, documents = through(View(dims=8, level="binary"))
    packed = [np.packbits(array[:, :8] > 0, axis=1) for array in (QUERIES, DOCUMENTS)]
    distance = np.bitwise_count(packed[0][:, None] ^ packed[1][None]).sum(axis=2, dtype=np.int64)
    np.testing.assert_array_equal(queries @ documents.T, 8 - 2 * distance)


def test_index_bytes() -> None:
    views = [
        None,
        View(256),
        View(level="int8"),
        View(100, "int8"),
        View(level="binary"),
        View(96, "binary", 40),
    ]
    assert [index_bytes(view, 1024) for view in views] == [4096, 1024, 1024, 100, 128, 12]


def test_more_dimensions_than_there_are_are_refused() -> None:
    with pytest.raises(ModelError, match="--dims 11 is more than the 10 dimensions of toy"):
        through(View(dims=11))


def test_views_of_a_command() -> None:
    rows = [model.row for model in with_views([resolve("toy")], "128, 64", "int8,binary")]
    parts = ["dims_128", "dims_64", "quantize_int8", "quantize_binary"]
    both = [f"{a}__{b}" for a in parts[:2] for b in parts[2:]]
    assert sorted(rows) == sorted(["toy", *(f"toy [{variant}]" for variant in [*parts, *both])])
    models = [resolve("bm25:bigram"), resolve("toy")]
    assert [model.row for model in with_views(models, "64")] == [
        "bm25:bigram",
        "toy",
        "toy [dims_64]",
    ]
    levels = ("int4", "int8@5", "binary@", "binary@0", "binary@1001", "binary@x", "binary@-1")
    for given in (("0",), ("-5",), ("a",), *(("", level) for level in levels), ("", "", "hamming")):
        with pytest.raises(UsageError, match=r"--(dims|quantize|similarity) '"):
            with_views([resolve("toy")], *given)


def test_a_similarity_is_a_row_unless_it_is_the_declared_one() -> None:
    found = with_views([resolve("toy")], "64", "int8,binary", "cosine,dot,manhattan")
    rows = {model.row: model.similarity for model in found if "similarity" in model.row}
    parts = ["", "dims_64__", "quantize_int8__", "dims_64__quantize_int8__"]
    assert rows == {
        f"toy [{part}similarity_{name}]": name for part in parts for name in ("dot", "manhattan")
    }


@pytest.mark.parametrize(
    ("given", "option"), [(("64",), "--dims"), (("", "int8", "dot"), "--quantize and --simil")]
)
def test_views_of_no_dense_model_are_refused(given: tuple[str, ...], option: str) -> None:
    with pytest.raises(
        UsageError,
        match=rf"{option}.* cannot be used with bm25:bigram \(lexical\): it has no vectors",
    ):
        with_views([resolve("bm25:bigram")], *given)


def test_binary_codes_are_whole_bytes() -> None:
    with pytest.raises(
        UsageError, match=r"100 dimensions .* divisible by 8\. Type --dims 96 or --dims 104"
    ):
        with_views([resolve("toy")], "100", "binary")
    with pytest.raises(UsageError, match=r"Type --dims 8\."):
        with_views([resolve("toy")], "4", "binary@10")
    with pytest.raises(
        ModelError, match=r"toy has 10 dimensions, .* divisible by 8\. Type --dims 8 beside"
    ):
        through(View(level="binary"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "my-pairs"
    folder.mkdir()
    words = "비가 눈이 바람이 구름이 햇볕이 안개가 우박이 서리가".split()
    rows = [
        {"sentence1": f"{a} 온다", "sentence2": f"{b} 온다", "score": i % 6}
        for i, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    (folder / "test.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    return folder


def test_views_are_rows_that_encode_nothing_and_can_be_verified(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    task, toy = load_task(pairs), resolve("toy")
    evaluate([task], [toy], options)

    def never(model: Model, beside: Sequence[Model] = ()) -> None:
        raise AssertionError("the model was opened")

    with monkeypatch.context() as patch:
        patch.setattr("kemb.encoding.executors.opened.open_model", never)
        outcomes: list[Outcome] = evaluate(
            [task], with_views([toy], "64", "binary", "dot")[1:], options
        )
    assert [outcome.status for outcome in outcomes] == ["scored"] * 5
    rows = {outcome.row: outcome for outcome in outcomes}
    data = task.load().parts[0].data
    vectors = [
        options.store.spaces()[0].vectors(keys).block(0, 64)[:, :64]
        for keys in (keys_of(data.sentence1), keys_of(data.sentence2))  # type: ignore[union-attr]
    ]
    changes = {
        "toy [dims_64]": lambda v: v,
        "toy [dims_64__quantize_binary]": lambda v: np.where(v > 0, 1.0, -1.0),
    }
    for row, change in changes.items():
        outcome = rows[row]
        assert outcome.result is not None
        one, other = (change(v.astype(np.float64)) for v in vectors)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        items = [
            row["value"]
            for row in read_items(outcome.result).to_pylist()
            if row["metric"] == "cosine"
        ]
        assert items == pytest.approx((one * other).sum(1) / np.maximum(lengths, 1e-12), abs=1e-6)
        assert outcome.result.path.parent.parent.name == "experiments"
        assert not verify_result(outcome.result, task, VerifyOptions()).differs
    sizes = {
        row: outcome.result.record.index_bytes_per_document
        for row, outcome in rows.items()
        if outcome.result
    }
    assert sizes == {
        "toy [quantize_binary]": 32,
        "toy [dims_64]": 256,
        "toy [dims_64__quantize_binary]": 8,
        "toy [similarity_dot]": 1024,
        "toy [dims_64__similarity_dot]": 256,
    }
    dot = rows["toy [dims_64__similarity_dot]"].result
    assert dot is not None
    (scores,) = dot.scores["test"]
    assert (
        scores["spearman"] == scores["dot_spearman"] != scores["cosine_spearman"] == dot.main_score
    )
    assert not verify_result(dot, task, VerifyOptions()).differs
    (too_many,) = evaluate([task], with_views([toy], "999")[1:], options)
    assert (too_many.status, "--dims 999 is more than the 256" in too_many.message) == (
        "failed",
        True,
    )


def keys_of(texts: list[str]) -> np.ndarray:
    from kemb.encoding.store import input_keys

    return input_keys("", "", texts)


@pytest.fixture
def search(tmp_path: Path) -> Path:
    folder = tmp_path / "my-search"
    (folder / "qrels").mkdir(parents=True)
    words = "비 눈 바람 구름 햇볕 안개 우박 서리".split()
    sentences = [f"{a} 다음에 {b} 그리고 {c}" for a in words for b in words for c in words[:3]]
    # With syllables of their own, as the model sees words without their order.
    rng = np.random.default_rng(1)
    documents = [
        f"{text} {''.join(chr(0xAC00 + n) for n in rng.integers(0, 11172, 30))}"
        for text in sentences
    ]
    for name, texts in (
        ("corpus", documents),
        ("queries", [f"{a} 뒤의 {b}" for a in words for b in words[:2]]),
    ):
        rows = [
            json.dumps({"_id": f"{name[0]}{i}", "text": text}, ensure_ascii=False)
            for i, text in enumerate(texts)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    lines = [f"q{i}\tc{(i * 7 + j * 5) % len(documents)}\t1" for i in range(16) for j in range(4)]
    (folder / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *lines]), encoding="utf-8"
    )
    return folder


@pytest.mark.torch
def test_binary_codes_rescored_and_distances_are_runs_made_from_stored_vectors(
    search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle of rescoring is sentence-transformers' formula: full query times unpacked bits of
    the candidates.
    """
    from sentence_transformers.util.quantization import quantize_embeddings

    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    task, toy = load_task(search), resolve("toy")
    evaluate([task], [toy], options)
    with monkeypatch.context() as patch:
        patch.setattr(
            "kemb.encoding.executors.opened.open_model",
            lambda *models: pytest.fail("the model was opened"),
        )
        outcomes = evaluate(
            [task], with_views([toy], "", "binary@20", "dot,euclidean,manhattan")[1:], options
        )
    data = task.load().parts[0].data
    assert isinstance(data, RetrievalData)
    space = options.store.spaces()[0]
    queries, documents = (
        space.vectors(keys_of(texts)).block(0, 999) for texts in (data.queries, data.documents)
    )
    assert {outcome.row: outcome.status for outcome in outcomes} == dict.fromkeys(
        [
            "toy [quantize_binary@20]",
            *(f"toy [similarity_{name}]" for name in ("dot", "euclidean", "manhattan")),
        ],
        "scored",
    )
    found = {outcome.row: ranked(outcome) for outcome in outcomes}
    differences = queries[:, None].astype(np.float64) - documents[None]
    for name, scores in {
        "dot": queries.astype(np.float64) @ documents.T,
        "euclidean": -np.linalg.norm(differences, axis=2),
        "manhattan": -np.abs(differences).sum(axis=2),
    }.items():
        for i, query in enumerate(data.query_ids):
            own = found[f"toy [similarity_{name}]"][query]
            expected = np.sort(scores[i])[::-1][: len(own)]
            assert [scores[i][data.doc_ids.index(document)] for document in own] == pytest.approx(
                expected, abs=1e-6
            )
    bits = [quantize_embeddings(vectors, "ubinary") for vectors in (queries, documents)]
    distance = np.bitwise_count(bits[0][:, None] ^ bits[1][None]).sum(axis=2, dtype=np.int64)
    rescored = queries @ np.unpackbits(bits[1], axis=1).T.astype(np.float32)
    for i, query in enumerate(data.query_ids):
        nearest = sorted(
            range(len(data.doc_ids)), key=lambda row: (-distance[i, row], data.doc_ids[row])
        )[::-1][:20]
        expected = rescored[i][sorted(nearest, key=lambda row: -rescored[i, row])]
        own = [
            data.doc_ids.index(document) for document in found["toy [quantize_binary@20]"][query]
        ]
        assert sorted(own) == sorted(nearest)
        assert rescored[i][own] == pytest.approx(expected, abs=1e-5)
    for outcome in outcomes:
        assert outcome.result is not None
        assert outcome.result.record.encoded.n_encoded == 0
        assert not verify_result(outcome.result, task, VerifyOptions()).differs
        assert outcome.result.record.index_bytes_per_document == (
            32 if "binary" in outcome.row else 1024
        )


def ranked(outcome: Outcome) -> dict[str, list[str]]:
    """The documents of every query, best first, as they are kept with the result."""
    assert outcome.result is not None, outcome.message
    found: dict[str, list[tuple[float, str]]] = {}
    for row in read_items(outcome.result).to_pylist():
        if row["metric"] == "retrieved":
            found.setdefault(row["item_id"], []).append((row["value"], row["target"]))
    return {
        query: [target for _, target in sorted(rows, reverse=True)] for query, rows in found.items()
    }


def test_rescoring_by_hand() -> None:
    """Codes +-, ++, -- and --; the query (3, -1) has the code +- and the products 4, 2, -2 and -2
    with them.
    """
    documents = np.array([[1, 1], [2, -3], [-1, -1], [-2, -2]], dtype=np.float32)
    codes, query = (
        np.where(documents > 0, 1, -1).astype(np.float32),
        np.array([[3, -1]], dtype=np.float32),
    )
    data = RetrievalData(list("abcd"), [""] * 4, ["q"], [""], {"q": {"a": 1}})
    hamming = top_k(
        np.sign(query), ArrayVectors(codes), 3, doc_ids=data.doc_ids, similarity="cosine"
    )
    assert hamming.indices.tolist() == [[1, 3, 2]]  # a, c and d agree in one bit: greater ids first
    run = rerank(query, ArrayVectors(codes), data, similarity="dot", candidates=hamming)
    assert (run.indices.tolist(), run.scores.tolist()) == ([[1, 3, 2]], [[4, -2, -2]])


def test_rescoring_applies_to_rankings_only(pairs: Path, tmp_path: Path) -> None:
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    (row,) = evaluate(
        [load_task(pairs)], with_views([resolve("toy")], "", "binary@20")[1:], options
    )
    assert (row.status, "puts found documents in order" in row.message) == ("not applicable", True)
