"""What the names of tasks and benchmarks mean, and metrics that no task of the type has."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemb import tasks
from kemb.boards.benchmark import load_benchmark
from kemb.errors import DataError, UsageError
from kemb.evaluation.evaluate import load_task
from kemb.evaluation.targets import is_benchmark_file, load_tasks, task_targets
from kemb.tasks.own.check import check_folder

BOARD = """name = "mine"
title = "내 순위표"
cells = [
  {{ task = "KorSTS", metric = "{metric}" }},
  {{ task = "BelebeleRetrieval", subsets = ["kor_Hang-kor_Hang"] }},
]
"""
TASK = """name = "mine"
type = "sts"
splits = ["test"]
main_score = "{metric}"
source = {{ hub = "a/b", revision = "main" }}
"""


def test_the_file_of_a_board_can_be_run(tmp_path: Path) -> None:
    board = tmp_path / "board.toml"
    board.write_text(BOARD.format(metric="cosine_spearman"))
    assert task_targets([str(board)]) == [
        ("KorSTS", ["default"]),
        ("BelebeleRetrieval", ["kor_Hang-kor_Hang"]),
    ]
    specs = [task.spec for task in load_tasks([str(board)], None)]
    assert [(spec.name, spec.subsets) for spec in specs] == task_targets([str(board)])


def test_a_metric_that_the_tasks_type_does_not_have_is_refused_by_every_reader(
    tmp_path: Path,
) -> None:
    board, task = tmp_path / "board.toml", tmp_path / "mine.toml"
    board.write_text(BOARD.format(metric="ndcg@10"))
    task.write_text(TASK.format(metric="cosine_spaerman"))
    for read in (lambda: load_benchmark(board), lambda: load_tasks([str(board)], None)):
        with pytest.raises(UsageError, match=r"no task of type sts has the metric 'ndcg@10'"):
            read()
    for read_task in (lambda: tasks.read_spec(task), lambda: load_tasks([str(task)], None)):
        with pytest.raises(DataError, match="'cosine_spaerman'; did you mean cosine_spearman"):
            read_task()
    task.write_text(TASK.format(metric="cosine_pearson"))
    assert tasks.read_spec(task).main_metric == "cosine_pearson"


def test_a_metric_of_ones_own_folder_is_refused_by_check_and_by_run(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("sentence1,sentence2,score\n가,나,1\n다,라,2\n마,바,3\n")
    (tmp_path / "task.toml").write_text('main_score = "ndcg@10"\n')
    report = check_folder(tmp_path)
    assert report.n_errors == 1
    says = "task.toml, main_score: no task of type sts has the metric 'ndcg@10'"
    assert says in str(report.findings[0])
    with pytest.raises(DataError, match="no task of type sts has the metric 'ndcg@10'"):
        load_task(tmp_path)


def test_every_task_that_comes_with_kemb_has_a_metric_of_its_type() -> None:
    assert [spec.name for spec in map(tasks.load_spec, tasks.names()) if spec.unknown_metric] == []


def test_what_is_no_board_is_left_to_the_reader_of_tasks(tmp_path: Path) -> None:
    for content in (TASK.format(metric="cosine_spearman"), "= no TOML", "cells"):
        path = tmp_path / "x.toml"
        path.write_text(content)
        assert not is_benchmark_file(str(path))
    assert not is_benchmark_file(str(tmp_path / "absent.toml"))
    assert not is_benchmark_file("KorSTS")
