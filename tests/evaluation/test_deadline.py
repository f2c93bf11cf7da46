"""A budget of wall time ends a row between groups: whole groups stay; the next command goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemb.cli.choose import without_budget
from kemb.encoding.encode import Progress
from kemb.encoding.store import Store
from kemb.evaluation.deadline import Deadline, Punctual, Shortfall, TimeIsOver
from kemb.evaluation.evaluate import RunOptions, Silent, evaluate, load_task
from kemb.models.resolve import resolve

N_DOCUMENTS = 900
"""Of some 130 characters: four groups of a CPU's 32,768."""


class Heard(Silent):
    """What a run said of its progress."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.groups: list[int] = []

    def encoding(self, row: str, progress: Progress) -> None:
        self.stored.append(progress.n_stored)
        self.groups.append(progress.n_shards)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    (root / "qrels").mkdir(parents=True)
    texts = [
        f"{n}번 문서입니다. " + f"내용은 {n * 17} 그리고 {n * 31}입니다. " * 5
        for n in range(N_DOCUMENTS)
    ]
    corpus = [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    queries = [{"_id": f"q{n}", "text": f"{n * 17} 그리고"} for n in range(20)]
    for name, rows in {"corpus": corpus, "queries": queries}.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (root / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    qrels = "".join(f"q{n}\td{n}\t1\n" for n in range(20))
    (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return root


def options(place: Path) -> RunOptions:
    return RunOptions(place / "results", Store(place / "store"))


def test_a_row_ends_between_two_groups_and_goes_on_to_the_same_bits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, models = [load_task(folder)], [resolve("toy")]
    [whole] = evaluate(tasks, models, options(tmp_path / "a"))
    heard = Heard()
    monkeypatch.setattr(
        Deadline, "is_over", property(lambda self: bool(heard.groups) and heard.groups[-1] >= 2)
    )
    punctual = Punctual(Deadline(1.0), heard)
    [stopped] = evaluate(tasks, models, options(tmp_path / "b"), punctual)
    assert (stopped.status, stopped.result) == ("failed", None)
    assert not list((tmp_path / "b").rglob("set.json"))
    lacks = punctual.shortfall
    assert lacks is not None
    assert 0 < lacks.n_missing < lacks.n_texts
    again = Heard()
    monkeypatch.undo()
    [done] = evaluate(tasks, models, options(tmp_path / "b"), again)
    n_kept = again.stored[0]
    assert n_kept > 0
    assert lacks.n_missing <= lacks.n_texts - n_kept <= lacks.n_missing + 64, "at most one batch"
    assert done.result is not None
    assert whole.result is not None
    assert done.result.scores == whole.result.scores


def test_what_is_under_way_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    punctual = Punctual(Deadline(0.0))
    progress = Progress(n_texts=10, n_unique=8, n_stored=1)
    with pytest.raises(TimeIsOver, match="7 of 8 texts"):
        punctual.encoding("toy", progress)
    assert punctual.shortfall == Shortfall(7, 8)
    progress.n_encoded = 2
    punctual.encoding("toy", progress)  # in the middle of a group
    progress.n_shards = 1
    with pytest.raises(TimeIsOver, match="5 of 8 texts"):
        punctual.encoding("toy", progress)
    punctual.encoding("toy", Progress(n_texts=10, n_unique=8, n_stored=8))  # nothing is missing
    punctual.loading("set")
    assert punctual.shortfall is None


def test_without_a_budget_it_is_never_over() -> None:
    assert not Deadline().is_over
    assert Deadline(0.0).is_over
    assert not Deadline(3600).is_over


def test_the_command_that_goes_on() -> None:
    words = ["choose", "./내 자료", "--budget", "10m", "-m", "toy", "--budget=5m"]
    assert without_budget(words) == "kemb choose './내 자료' -m toy"
    assert without_budget(["choose", "x", "--budget", "--budget"]) == "kemb choose x"
