"""Questions on one passage are drawn together by boards and comparisons, as results say it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from invented import corpus_of
from kemb import statistics
from kemb.boards import build_board
from kemb.boards.compare import compare
from kemb.choosing.questions import questions_of
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.files import disk
from kemb.messages import say
from kemb.models.resolve import resolve
from kemb.publishing.card.body import part_scores
from kemb.results.files import TaskResult, items_path, read_items, read_result
from kemb.results.rows import rows_of

MODELS = ("bm25:bigram", "toy")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TaskResult]]:
    """60 questions, three on each passage, and two rows."""
    root = tmp_path_factory.mktemp("clusters")
    data = corpus_of(root / "mydata", n_passages=20, per_passage=3)
    options = RunOptions(root / "results", Store(root / "store"))
    outcomes = evaluate([load_task(data)], [resolve(name) for name in MODELS], options)
    return data, [outcome.result for outcome in outcomes if outcome.result is not None]


def older(result: TaskResult, folder: Path) -> TaskResult:
    """The result as it was before items of questions had clusters."""
    path = folder / result.path.relative_to(result.path.parents[2])
    path.parent.mkdir(parents=True)
    items = path.with_name(items_path(result).name)
    table = read_items(result)
    column = table.schema.get_field_index("cluster_id")
    nulls = pa.nulls(table.num_rows, pa.string())
    pq.write_table(table.set_column(column, "cluster_id", nulls), items)
    content = json.loads(result.path.read_text())
    content["kemb"]["items_sha256"] = disk.sha256(items)
    path.write_text(json.dumps(content))
    return read_result(path)


def test_items_say_which_questions_share_a_passage(
    measured: tuple[Path, list[TaskResult]],
) -> None:
    table = read_items(measured[1][0])
    of_scores = table.filter(pc.equal(table["metric"], "ndcg@10")).to_pylist()
    clusters = {item["item_id"]: item["cluster_id"] for item in of_scores}
    assert len(clusters) == 60
    assert all(first == f"{query.split('-')[0]}-0" for query, first in clusters.items())


def test_boards_comparisons_and_choices_draw_passages_whole(
    measured: tuple[Path, list[TaskResult]],
) -> None:
    data_dir, results = measured
    questions = questions_of(results, load_task(data_dir).load())
    values = questions.values()
    assert values is not None
    # By hand: 20 passages, each with the sum of its three questions.
    counts = statistics.draw_counts(20, 2000, [42, "mydata", "test", "default"])
    order = np.argsort([f"q{number}-0" for number in range(20)])  # clusters by their names
    by_passage = values.reshape(2, 20, 3).mean(axis=2)[:, order]
    replicates = counts @ by_passage.T / 20
    centred = replicates + by_passage.mean(axis=1) - replicates.mean(axis=0)
    low, high = statistics.interval(centred)
    np.testing.assert_allclose(questions.replicates(), centred)
    board = build_board(results)
    assert board.intervals.reasons == ()
    rows = {row.model: row.standing for row in board.rows}
    for number, model in enumerate(MODELS):
        standing = rows[model]
        assert standing is not None
        assert (standing.low, standing.high) == pytest.approx((low[number], high[number]))
    (cell,) = compare(*rows_of(results)).cells
    of_difference = statistics.interval(centred[:, 1] - centred[:, 0])
    assert (cell.low, cell.high) == pytest.approx(of_difference)
    assert cell.note == ""


def test_older_results_are_drawn_one_by_one_and_it_is_said(
    measured: tuple[Path, list[TaskResult]], tmp_path: Path
) -> None:
    data_dir, results = measured
    old = [older(result, tmp_path / "old") for result in results]
    board = build_board(old)
    (reason,) = board.intervals.reasons
    assert "Questions of mydata were drawn one by one" in say(reason, "en")
    assert "하나씩 따로" in say(reason, "ko")
    (cell,) = compare(*rows_of(old)).cells
    assert cell.note.startswith("questions drawn one by one")
    assert cell.verdict
    (score,) = part_scores(old[0])
    assert score.lacks_clusters
    assert score.low is not None
    # Where one of the rows says it, the questions are the same for all.
    mixed = [old[0], results[1]]
    assert build_board(mixed).intervals.reasons == ()
    assert compare(*rows_of(mixed)).cells[0].low == compare(*rows_of(results)).cells[0].low
    # Who has the data knows it from them.
    data = load_task(data_dir).load()
    np.testing.assert_array_equal(
        questions_of(old, data).replicates(), questions_of(results, data).replicates()
    )
