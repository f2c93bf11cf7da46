"""Rows made of stored vectors: fewer dimensions, int8, binary; the oracle is the plain computation on the vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kemb.errors import ModelError, UsageError
from kemb.models.resolve import Model, View, resolve
from kemb.results import read_items
from kemb.run import Outcome, RunOptions, evaluate, load_task
from kemb.store import Store
from kemb.types import ArrayVectors
from kemb.verify import VerifyOptions, verify_result
from kemb.views import index_bytes, see, viewed, with_views

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
    np.testing.assert_allclose(queries.max(axis=0), np.minimum(QUERIES.max(axis=0), high), atol=0.02)
    assert (queries >= low - 1e-6).all()


def test_int8_codes_are_those_of_sentence_transformers() -> None:
    """Its quantize_embeddings cuts off where we round to the nearest step: codes differ by one at most."""
    from sentence_transformers.util.quantization import quantize_embeddings

    _, documents = through(View(level="int8"))
    low, high = DOCUMENTS.min(axis=0), DOCUMENTS.max(axis=0)
    ours = np.round((documents - low) / ((high - low) / 255)) - 128
    theirs = quantize_embeddings(DOCUMENTS, "int8", ranges=np.stack([low, high]))
    assert np.abs(ours - theirs).max() <= 1


def test_binary_orders_as_the_hamming_distance_of_packed_bits() -> None:
    queries, documents = through(View(dims=9, level="binary"))  # 9 bits need two bytes
    packed = [np.packbits(array[:, :9] > 0, axis=1) for array in (QUERIES, DOCUMENTS)]
    distance = np.bitwise_count(packed[0][:, None] ^ packed[1][None]).sum(axis=2, dtype=np.int64)
    np.testing.assert_array_equal(queries @ documents.T, 9 - 2 * distance)


def test_index_bytes() -> None:
    views = [None, View(256), View(level="int8"), View(100, "int8"), View(level="binary"), View(100, "binary")]
    assert [index_bytes(view, 1024) for view in views] == [4096, 1024, 1024, 100, 128, 13]


def test_more_dimensions_than_there_are_are_refused() -> None:
    with pytest.raises(ModelError, match="--dims 11 is more than the 10 dimensions of toy"):
        through(View(dims=11))


def test_views_of_a_command() -> None:
    rows = [model.row for model in with_views(resolve("toy"), "128, 64", "int8,binary")]
    parts = ["dims_128", "dims_64", "quantize_int8", "quantize_binary"]
    both = [f"{a}__{b}" for a in parts[:2] for b in parts[2:]]
    assert sorted(rows) == sorted(["toy", *(f"toy [{variant}]" for variant in [*parts, *both])])
    assert [model.row for model in with_views(resolve("bm25:bigram"), "64", "int8")] == ["bm25:bigram"]
    for dims, levels in (("0", ""), ("-5", ""), ("a", ""), ("", "int4")):
        with pytest.raises(UsageError, match=r"--(dims|quantize)"):
            with_views(resolve("toy"), dims, levels)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "my-pairs"
    folder.mkdir()
    words = "비가 눈이 바람이 구름이 햇볕이 안개가 우박이 서리가".split()
    rows = [
        {"sentence1": f"{a} 온다", "sentence2": f"{b} 온다", "score": i % 6}
        for i, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return folder


def test_views_are_rows_that_encode_nothing_and_can_be_verified(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    task, toy = load_task(pairs), resolve("toy")
    evaluate([task], [toy], options)

    def never(self: Model) -> None:
        raise AssertionError("the model was opened")

    with monkeypatch.context() as patch:
        patch.setattr(Model, "open", never)
        outcomes: list[Outcome] = evaluate([task], with_views(toy, "64", "binary")[1:], options)
    assert [outcome.status for outcome in outcomes] == ["scored"] * 3
    data = task.load().parts[0].data
    vectors = [
        options.store.spaces()[0].vectors(keys).block(0, 64)[:, :64]
        for keys in (keys_of(data.sentence1), keys_of(data.sentence2))  # type: ignore[union-attr]
    ]
    for outcome, change in ((outcomes[1], lambda v: v), (outcomes[2], lambda v: np.where(v > 0, 1.0, -1.0))):
        assert outcome.result is not None
        one, other = (change(v.astype(np.float64)) for v in vectors)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        items = [row["value"] for row in read_items(outcome.result).to_pylist() if row["metric"] == "cosine"]
        assert items == pytest.approx((one * other).sum(1) / np.maximum(lengths, 1e-12), abs=1e-6)
        assert outcome.result.path.parent.parent.name == "experiments"
        assert not verify_result(outcome.result, task, VerifyOptions()).differs
    assert [outcome.result.kemb["index_bytes_per_vector"] for outcome in outcomes if outcome.result] == [32, 256, 8]
    (too_many,) = evaluate([task], with_views(toy, "999", "")[1:], options)
    assert (too_many.status, "--dims 999 is more than the 256" in too_many.message) == ("failed", True)


def keys_of(texts: list[str]) -> np.ndarray:
    from kemb.store import input_keys

    return input_keys("", "", texts)
