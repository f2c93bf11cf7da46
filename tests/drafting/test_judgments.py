"""Whether rows can be compared on incomplete judgments, pools, and which pairs decide."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from drafted_folder import drafted
from kemb.drafting.judgments import (
    comparable,
    deciding_pairs,
    read_deciding,
    write_deciding,
)
from kemb.drafting.pools import add_to_pool, build_pool, read_pool
from kemb.errors import DataError
from kemb.files import disk
from kemb.messages import say
from kemb.scoring.judged import scores_of
from kemb.types import Qrels

N = 40


def placed(ranks: list[int | None], filler: str) -> dict[str, list[str]]:
    """Rankings of 10 documents a question, its right one at a rank (from 1)."""
    ranking = {}
    for number, rank in enumerate(ranks):
        documents = [f"{filler}{number}-{place}" for place in range(10)]
        if rank is not None:
            documents[rank - 1] = f"right{number}"
        ranking[f"q{number}"] = documents
    return ranking


RIGHT: Qrels = {f"q{number}": {f"right{number}": 1} for number in range(N)}


def test_without_a_passage_judged_wrong_nothing_is_checked() -> None:
    rng = np.random.default_rng(0)
    good = placed([int(rank) for rank in rng.integers(1, 4, N)], "g")
    poor = placed([int(rank) for rank in rng.integers(3, 10, N)], "p")
    said = comparable({"good": good, "poor": poor}, RIGHT)
    assert said.status == "unchecked"
    assert said.n_checked == 0
    assert said.judged_at_10 == {"good": pytest.approx(0.1), "poor": pytest.approx(0.1)}
    note = said.note()
    assert note is not None
    assert say(note, "en").startswith("No passage was judged wrong, so")
    # Nine questions with one are too few for a verdict on condensed lists.
    judged = {query: dict(grades) for query, grades in RIGHT.items()}
    for number in range(9):
        judged[f"q{number}"][f"p{number}-0"] = 0
    few = comparable({"good": good, "poor": poor}, judged)
    assert (few.status, few.n_checked) == ("unchecked", 9)
    note = few.note()
    assert note is not None
    assert say(note, "en").startswith("Only 9 questions have a passage that was judged wrong (10")
    # Pairs that help the row behind: what it ranks first.
    assert said.pairs
    assert all(document.startswith("p") for _, document in said.pairs)
    assert said.pairs[0][1].endswith("-0")


def test_fewest_pairs_that_could_turn_a_verdict_by_hand() -> None:
    """Two questions; B is behind by 1 - 1/log2(3) in the mean of the one that differs."""
    qrels: Qrels = {"q1": {"r1": 1}, "q2": {"r2": 1}}
    a = {"q1": ["r1", "x"], "q2": ["r2", "y"]}
    b = {"q1": ["u", "r1"], "q2": ["r2", "y"]}
    pairs = deciding_pairs({"a": a, "b": b}, qrels, [(0, 1)])
    # What both rank alike ("y") can decide nothing; "x" would help a only.
    assert set(pairs) <= {("q1", "u"), ("q1", "x")}
    assert len(pairs) == 1


def test_questions_on_one_passage_make_no_difference_certain() -> None:
    """80 questions, A first on half of them and fourth on the others, B always second."""
    ranks_of_a = [1 if number % 10 < 5 else 4 for number in range(80)]
    one_by_one = {"a": placed(list(ranks_of_a), "a"), "b": placed([2] * 80, "b")}
    apart = {f"q{number}": {f"right{number}": 1} for number in range(80)}
    # A certain difference falls where B gains, an uncertain one grows where A does.
    pairs = deciding_pairs(one_by_one, apart, [(0, 1)])
    assert all(document.startswith("b") for _, document in pairs)
    # The same scores, but eight questions on each of ten passages.
    together = {f"q{number}": {f"right{number % 10}": 1} for number in range(80)}
    on_passages = {
        row: {
            query: [f"right{int(query[1:]) % 10}" if doc.startswith("right") else doc for doc in of]
            for query, of in ranking.items()
        }
        for row, ranking in one_by_one.items()
    }
    pairs = deciding_pairs(on_passages, together, [(0, 1)])
    assert pairs
    assert all(document.startswith("a") for _, document in pairs)


def test_judging_the_pairs_as_right_changes_the_verdict() -> None:
    rng = np.random.default_rng(1)
    good = placed([int(rank) for rank in rng.integers(1, 4, N)], "g")
    poor = placed([int(rank) for rank in rng.integers(3, 10, N)], "p")
    rankings = {"good": good, "poor": poor}
    pairs = deciding_pairs(rankings, RIGHT, [(0, 1)])
    assert len(pairs) < N
    judged = {query: dict(grades) for query, grades in RIGHT.items()}
    for query, document in pairs:
        judged[query][document] = 1

    def t(qrels: Qrels) -> float:
        one, other = (
            np.array(list(scores_of(ranking, qrels, "ndcg@10").values()))
            for ranking in rankings.values()
        )
        differences = one - other
        return float(differences.mean() / (differences.std(ddof=1) / math.sqrt(N)))

    assert t(RIGHT) > 4
    assert t(judged) < 2.5


def test_a_row_that_finds_what_nobody_judged_cannot_be_compared_yet() -> None:
    judged: Qrels = {
        query: grades | {f"g{query[1:]}-{place}": 0 for place in range(10)}
        for query, grades in RIGHT.items()
    }
    known = placed([2] * N, "g")
    other = placed([3] * N, "new")
    said = comparable({"known": known, "new": other}, judged, {"known": known})
    assert said.status == "not yet"
    assert said.pool_judged == 1.0
    assert said.judged_at_10["new"] == pytest.approx(0.1)
    assert said.less_judged == ("new",)
    note = said.note()
    assert note is not None
    sentence = say(note, "en")
    assert sentence.startswith(f"Cannot be compared yet: these {len(said.pairs)} pairs")
    assert "new finds first 10% are judged, of what the pool's members find 100%" in sentence
    assert "kemb review" in say(note, "ko")
    # With all of it judged nothing speaks against a verdict.
    for query, grades in judged.items():
        grades |= dict.fromkeys(other[query], 0) | RIGHT[query]
    full = comparable({"known": known, "new": other}, judged, {"known": known, "new": other})
    assert full.status == "comparable"
    assert full.note() is None
    assert full.pairs == ()
    assert full.n_checked == N


def test_where_condensed_lists_say_otherwise_nothing_can_be_said_yet() -> None:
    """`new` ranks the right passage 4th below what nobody judged; without that it is first."""
    rng = np.random.default_rng(2)
    ranks = [int(rank) for rank in rng.integers(2, 4, N)]
    old = placed(ranks, "g")
    new = placed([4] * N, "u")
    judged: Qrels = {
        query: grades | {old[query][0]: 0, old[query][4]: 0} for query, grades in RIGHT.items()
    }
    said = comparable({"old": old, "new": new}, judged)
    assert said.status == "not yet"
    assert said.other_verdicts == (("old", "new"),)
    note = said.note()
    assert note is not None
    assert "Without unjudged passages old and new compare otherwise" in say(note, "en")
    assert all(document.startswith("u") for _, document in said.pairs)


def test_one_row_alone() -> None:
    said = comparable({"only": placed([1] * N, "g")}, RIGHT)
    assert said.status == "unchecked"
    assert said.pairs == ()


def test_pairs_that_decide_are_kept_for_the_review(tmp_path: Path) -> None:
    assert read_deciding(tmp_path) == []
    write_deciding(tmp_path, [("질문 1", "d2"), ("q2", "d1")])
    assert read_deciding(tmp_path) == [("질문 1", "d2"), ("q2", "d1")]
    (tmp_path / "deciding.jsonl").write_text('{"query": "q1"}\n')
    assert read_deciding(tmp_path) == []


def test_a_pool_of_unlike_retrievers(tmp_path: Path) -> None:
    folder = drafted(tmp_path / "set", 15)
    (folder / "task.toml").write_text("drafted = true\n")
    places = (tmp_path / "results", tmp_path / "store")
    pool = build_pool(folder, ["bm25:bigram", "toy"], *places)
    assert list(pool) == ["bm25:bigram", "toy"]
    assert {len(documents) for ranking in pool.values() for documents in ranking.values()} == {10}
    assert read_pool(folder) == pool
    lines = (folder / "pool.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]).keys() == {"query", "document", "retriever", "rank"}
    # Another one is added, its own lines are replaced, and the task stays what it is.
    again = build_pool(folder, ["tfidf:char", "toy"], *places)
    assert list(again) == ["bm25:bigram", "toy", "tfidf:char"]
    assert again["toy"] == pool["toy"]
    add_to_pool(folder, {"toy": {"q1": ["d3"]}})
    assert read_pool(folder)["toy"] == {"q1": ["d3"]}
    (folder / "pool.jsonl").write_text('{"query": "q1"}\n')
    with pytest.raises(DataError, match="row 1 is no line of a pool"):
        read_pool(folder)
    (folder / "pool.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"cannot be read .*Delete the file"):
        read_pool(folder)


def test_a_pool_may_be_larger_than_a_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_bytes(b" " * (disk.MOST_JSON_BYTES + 1))
    assert read_pool(tmp_path) == {}
