"""Mining against sentence-transformers, by hand, and on groups whose positives are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kemb.arrays import FloatArray, IntArray
from kemb.encoding.store import Store
from kemb.errors import DataError, NotSupported
from kemb.models.resolve import resolve
from kemb.training import mine, teachers
from kemb.training.sections import MineSection
from kemb.training.teachers import Ranked, Ranker

PLAIN: dict[str, Any] = {
    "rank": {"min": 0, "max": 50},
    "margin": {},
    "sampling": "top",
    "negatives": 2,
}


def section(**changes: Any) -> MineSection:  # noqa: ANN401  values of TOML
    return MineSection.model_validate({"teacher": {"id": "test"}} | PLAIN | changes)


def table(rows: Sequence[tuple[str, str]], groups: Sequence[str | None] | None = None) -> pa.Table:
    return pa.table(
        {
            "anchor": [a for a, _ in rows],
            "positive": [b for _, b in rows],
            "group": pa.array(groups or [None] * len(rows), pa.string()),
            "source": ["own"] * len(rows),
        }
    )


def scripted(scores: dict[tuple[str, str], float]) -> Ranker:
    """A teacher that says what it is told; 0 for pairs nobody mentioned."""

    def rank(queries: Sequence[str], documents: Sequence[str], k: int, pairs: IntArray) -> Ranked:
        grid = np.array(
            [[scores.get((q, d), 0.0) for d in documents] for q in queries], dtype=np.float32
        )
        order = np.argsort(-grid, axis=1, kind="stable")[:, :k]
        return Ranked(
            order, np.take_along_axis(grid, order, axis=1), grid[pairs[:, 0], pairs[:, 1]]
        )

    return rank


ONE = {
    ("q", "p"): 0.8,
    ("q", "a"): 0.9,
    ("q", "b"): 0.78,
    ("q", "c"): 0.7,
    ("q", "d"): 0.5,
    ("q", "e"): 0.1,
}


def mined(
    rows: pa.Table,
    ranker: Ranker,
    corpus: Sequence[str] = (),
    **changes: Any,  # noqa: ANN401
) -> list[list[str | None]]:
    found, _ = mine.mine(rows, section(**changes), ranker, corpus)
    return [
        [row[name] for name in found.column_names if name.startswith("negative_")]
        for row in found.to_pylist()
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["a", "b"]),
        ({"rank": {"min": 1, "max": 6}}, ["b", "c"]),  # the positive is at place 1 and counts
        ({"rank": {"min": 2, "max": 6}}, ["b", "c"]),
        ({"margin": {"absolute": 0.05}}, ["c", "d"]),
        ({"margin": {"relative": 0.2}}, ["d", "e"]),  # 0.64
        ({"margin": {"relative": 0.01}}, ["b", "c"]),  # 0.792
        ({"margin": {"max_score": 0.75, "min_score": 0.2}}, ["c", "d"]),
    ],
)
def test_ranks_and_margins_by_hand(changes: dict[str, Any], expected: list[str]) -> None:
    assert mined(table([("q", "p")]), scripted(ONE), list("abcde"), **changes) == [expected]


def test_margin_is_counted_down_from_a_negative_positive_score() -> None:
    scores = {("q", "p"): -0.5, ("q", "a"): -0.45, ("q", "b"): -0.52, ("q", "c"): -0.6}
    assert mined(
        table([("q", "p")]), scripted(scores), list("abc"), margin={"relative": 0.1}, negatives=1
    ) == [["c"]]


def test_margin_is_counted_from_the_least_similar_positive_of_the_query() -> None:
    rows = table([("q", "p"), ("q", "d")])
    assert mined(rows, scripted(ONE), list("abce"), margin={"absolute": 0.01}, negatives=1) == [
        ["e"],
        ["e"],
    ]


def test_masks_keep_false_negatives_away() -> None:
    scores = {
        ("Q", "p"): 0.9,
        ("Q", "q!"): 0.8,
        ("Q", "P."): 0.7,
        ("Q", "other"): 0.6,
        ("Q", "mate"): 0.5,
        ("Q", "x"): 0.4,
    }
    rows = table([("Q", "p"), ("q", "Other"), ("z", "mate")], ["g", None, "g"])
    corpus = ["q!", "P.", "other", "x", "X!"]
    found, report = mine.mine(rows, section(negatives=1), scripted(scores), corpus)
    assert found["negative_1"].to_pylist()[0] in ("x", "X!")
    open_flags = {
        name: False for name in ("same_group", "same_normalized_text", "other_positives_of_query")
    }
    best = mined(rows, scripted(scores), corpus, negatives=4, false_negatives=open_flags)[0]
    assert best == ["q!", "P.", "other", "mate"]
    assert report.dropped["positive"] == 3
    assert report.n_candidates - sum(report.dropped.values()) == report.n_left


def test_two_writings_of_one_text_are_one_negative() -> None:
    scores = {("q", "a"): 0.9, ("q", "A!"): 0.8, ("q", "b"): 0.7}
    assert mined(table([("q", "p")]), scripted(scores), ["a", "A!", "b"]) == [["a", "b"]]


def test_samples_do_not_depend_on_the_order_of_rows_but_on_the_seed() -> None:
    rows = [(f"질문 {i}", f"답 {i}") for i in range(20)]
    own = section(sampling="random", negatives=3, rank={"min": 2, "max": 20})
    ranker = teachers.bm25("bigram")

    def run(order: Sequence[int], seed: int = 42) -> dict[str, tuple[str, ...]]:
        corpus = [f"질문 {i}에 대한 글 {i * 7}" for i in range(40)]
        found, _ = mine.mine(table([rows[i] for i in order]), own, ranker, corpus, seed=seed)
        return {
            row["anchor"]: (row["negative_1"], row["negative_2"], row["negative_3"])
            for row in found.to_pylist()
        }

    first = run(range(20))
    assert run([*range(10, 20), *range(9, -1, -1)]) == first
    assert run(range(20), seed=1) != first


def test_rows_with_few_negatives_go_or_stay() -> None:
    rows = table([("q", "p"), ("r", "a")])
    found, report = mine.mine(rows, section(margin={"min_score": 0.75}), scripted(ONE), list("abc"))
    assert found["anchor"].to_pylist() == ["q"]
    assert (report.n_rows, report.n_kept_rows, report.found) == (2, 1, {0: 1, 2: 1})
    kept, _ = mine.mine(
        rows, section(margin={"min_score": 0.75}, on_few="keep"), scripted(ONE), list("abc")
    )
    assert kept["negative_1"].to_pylist() == ["a", None]
    with pytest.raises(DataError, match=r"No row gets 2 negatives.*below min_score"):
        mine.mine(rows, section(margin={"min_score": 2}), scripted(ONE), list("abc"))


def test_scores_and_negatives_that_were_there() -> None:
    rows = table([("q", "p")]).append_column("negative_1", pa.array(["c"]))
    found, _ = mine.mine(rows, section(scores=True), scripted(ONE), list("abde"))
    (row,) = found.to_pylist()
    assert (row["negative_1"], row["negative_2"], row["negative_3"]) == ("c", "a", "b")
    assert (row["positive_score"], row["negative_2_score"]) == (
        pytest.approx(0.8),
        pytest.approx(0.9),
    )


def test_a_cross_encoder_scores_again_within_the_teachers_ranks() -> None:
    def reversed_scores(pairs: Sequence[tuple[str, str]]) -> FloatArray:
        return np.array([1 - ONE.get(pair, 0.0) for pair in pairs], dtype=np.float32)

    own = section(rank={"min": 0, "max": 4}, margin={"absolute": 0.0}, negatives=1)
    found, _ = mine.mine(
        table([("q", "p")]), own, scripted(ONE), list("abcde"), scorer=reversed_scores
    )
    assert found["negative_1"].to_pylist() == [
        "a"
    ]  # p scores 0.2 now; of the first four a 0.1, b 0.22, c 0.3


def test_bm25_teacher_gives_the_scores_of_its_own_index() -> None:
    documents = sorted(["파란 하늘과 구름", "빨간 사과", "파란 바다", "하늘과 바다"])
    pairs = np.array([[0, i] for i in range(4)])
    ranked = teachers.bm25("bigram")(["파란 하늘"], documents, 4, pairs)
    by_document = dict(enumerate(ranked.pair_scores.tolist()))
    found = [n for n in ranked.indices[0].tolist() if n >= 0]
    assert [by_document[n] for n in found] == ranked.scores[0, : len(found)].tolist()
    assert found == sorted(found, key=lambda n: (-by_document[n], -n))
    assert documents[found[0]] == "파란 하늘과 구름"
    assert by_document[documents.index("빨간 사과")] == 0


def test_only_models_that_can_teach_are_teachers(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="family fusion"):
        teachers.ranker_of(resolve("rrf(bm25:bigram, toy)"), Store(tmp_path))
    with pytest.raises(NotSupported, match=r"mine\.rerank takes a cross-encoder"):
        teachers.scorer_of(resolve("toy"), Store(tmp_path))


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"margin": {"absolute": 0.02}},
        {"margin": {"relative": 0.01}},
        {"margin": {"max_score": 0.97, "relative": 0.001}},
    ],
)
def test_negatives_are_those_of_sentence_transformers(
    tiny_st: Path, tmp_path: Path, own: dict[str, Any]
) -> None:
    """With ranks from 0, the best first, and no masks but positives: what both can express."""
    pytest.importorskip("sentence_transformers")
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    random = np.random.default_rng(0)
    letters = [chr(0xAC00 + 28 * i) for i in range(60)]
    texts = ["".join(random.choice(letters, size=random.integers(4, 12))) for _ in range(90)]
    rows = [
        (texts[i // 2], texts[i // 2][i % 2 :] + letters[i]) for i in range(40)
    ]  # two positives for every query
    corpus = texts[30:]
    settings = {"absolute_margin": None, "relative_margin": None, "max_score": None}
    names = {"absolute": "absolute_margin", "relative": "relative_margin", "max_score": "max_score"}
    settings |= {names[name]: value for name, value in own.get("margin", {}).items()}
    theirs = mine_hard_negatives(
        Dataset.from_dict({"anchor": [a for a, _ in rows], "positive": [b for _, b in rows]}),
        SentenceTransformer(str(tiny_st), device="cpu"),
        corpus=corpus,
        num_negatives=3,
        range_max=40,
        output_format="n-tuple",
        verbose=False,
        **settings,
    )
    ranker = teachers.ranker_of(resolve(str(tiny_st)), Store(tmp_path))
    masks = {"same_group": False, "same_normalized_text": False, "other_positives_of_query": True}
    wanted = section(negatives=3, rank={"min": 0, "max": 42}, false_negatives=masks, **own)
    ours, _ = mine.mine(table(rows), wanted, ranker, corpus)

    def plain(records: Any) -> set[tuple[str, ...]]:  # noqa: ANN401
        names = ("anchor", "positive", "negative_1", "negative_2", "negative_3")
        return {tuple(record[name] for name in names) for record in records}

    assert len(theirs) > 10
    assert plain(ours.to_pylist()) == plain(theirs)


@pytest.mark.shared
def test_probe_on_parakqc(shared_data: Path, tmp_path: Path) -> None:
    """Without labels the best-ranked are false negatives; margins help little, ranks do."""
    groups: dict[str, list[str]] = {}
    for line in pq.read_table(shared_data / "packs/ParaKQC/test.parquet").to_pylist():
        groups.setdefault(str(line["group"]), []).append(line["text"])
    ranker = teachers.bm25("bigram")

    def rate(**own: Any) -> float:  # noqa: ANN401
        return mine.probe(groups, section(negatives=5, **own), ranker).rate

    top = rate(rank={"min": 0, "max": 100})
    margin = rate(rank={"min": 0, "max": 100}, margin={"relative": 0.05})
    ranks = rate(rank={"min": 10, "max": 210}, sampling="random")
    far = rate(rank={"min": 60, "max": 300}, sampling="random")
    assert (top, margin) == (pytest.approx(0.742, abs=0.01), pytest.approx(0.491, abs=0.01))
    assert 0.007 <= ranks <= 0.013
    assert far <= 0.003
