"""What a user means by the names of tasks and benchmarks, and by the data of a comparison."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kemb import tasks
from kemb.boards import benchmark as benchmarks
from kemb.boards.benchmark import Benchmark, load_benchmark, of_tasks
from kemb.errors import DataError, FetchError, UnknownName, UsageError
from kemb.evaluation.evaluate import Task, load_task
from kemb.files import disk
from kemb.messages import Text
from kemb.types import TaskData


def task_targets(targets: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Tasks, with benchmarks replaced by theirs, and the subsets meant of each; none: those of its
    specification.
    """
    tasks_and_subsets: list[tuple[str, list[str]]] = []
    for target in targets:
        if target in benchmarks.names() or is_benchmark_file(target):
            benchmark = load_benchmark(target)
            tasks_and_subsets += [(task, benchmark.subsets_of(task)) for task in benchmark.tasks]
        else:
            tasks_and_subsets.append((target, []))
    return tasks_and_subsets


def is_benchmark_file(target: str) -> bool:
    """Whether a target is the TOML file of a benchmark, and not of a task."""
    if not target.endswith(".toml") or not Path(target).is_file():
        return False
    try:
        return "cells" in tomllib.loads(disk.read_text(Path(target)))
    except (OSError, ValueError):
        return False  # whoever reads it as a task says what is wrong with it


def load_tasks(
    targets: Iterable[str], data: Path | None, hear: Callable[[Text], object] = lambda text: None
) -> list[Task]:
    """Tasks, benchmarks and data folders, in the order given, each once.

    :param hear: gets what is fetched of a data set of the hub, before.
    :raises UsageError, DataError: as `load_task`.
    """
    tasks_by_name: dict[str, Task] = {}
    for name, subsets in task_targets(targets):
        task = load_task(name, data, subsets, hear)
        earlier = tasks_by_name.get(task.spec.name)
        if earlier is not None and subsets != earlier.spec.subsets:
            both = list(dict.fromkeys([*earlier.spec.subsets, *task.spec.subsets]))
            task = load_task(name, data, both, hear)
        tasks_by_name[task.spec.name] = task
    return list(tasks_by_name.values())


def benchmark_of(targets: Sequence[str]) -> tuple[Benchmark | None, bool]:
    """The cells that targets mean, and whether they are those of one benchmark; None for every task
    there is.
    """
    if len(targets) == 1 and (targets[0] in benchmarks.names() or targets[0].endswith(".toml")):
        return load_benchmark(targets[0]), True
    names = dict.fromkeys(task for task, _ in task_targets(targets))
    return (of_tasks(list(names)) if names else None), False


def refuse_unknown(targets: Iterable[str], own_tasks: Iterable[str]) -> None:
    """Refuse names that are neither benchmarks nor tasks.

    :param own_tasks: that have results.
    :raises UnknownName: with the nearest names.
    """
    known_names = [*benchmarks.names(), *tasks.names(), *own_tasks]
    for target in targets:
        if target not in known_names and not target.endswith(".toml"):
            hint = "Type `kemb benchmarks` or `kemb tasks` for all."
            raise UnknownName("benchmark or task", target, known_names, hint)


def compared_cells(
    targets: Sequence[str],
    data_dir: Path | None,
    common: Sequence[str],
    say: Callable[[str], object] = lambda line: None,
) -> tuple[Benchmark | None, dict[str, TaskData]]:
    """The cells of a comparison, and what data are at hand for the items of the common tasks.

    :param targets: one benchmark, or tasks and data folders; none: every common task.
    :param common: the tasks whose items are shown.
    :param say: gets a sentence for each task whose texts cannot be shown.
    :raises UsageError: a benchmark among others.
    """
    benchmark, is_one = benchmark_of(targets) if len(targets) == 1 else (None, False)
    if benchmark is not None and is_one:
        common_tasks = [task for task in benchmark.tasks if task in common]
        return benchmark, _named_data(common_tasks, data_dir, say)
    folder_data: dict[str, TaskData] = {}
    names: list[str] = []
    for target in targets:
        if target in benchmarks.names():
            raise UsageError(f"{target} is a benchmark; compare on it alone, or name tasks only.")
        if Path(target).exists():
            task = load_task(target)
            folder_data[task.spec.name] = task.load()
            names.append(task.spec.name)
        else:
            names.append(target)
    listed_tasks = [task for task in common if task in names or not names]
    benchmark_of_names = of_tasks(names) if names else None
    return benchmark_of_names, {**_named_data(listed_tasks, data_dir, say), **folder_data}


def _named_data(
    names: Sequence[str], data_dir: Path | None, say: Callable[[str], object]
) -> dict[str, TaskData]:
    """Data of known tasks that lie in the folder; for the others there are ids."""
    data_by_task: dict[str, TaskData] = {}
    if data_dir is None:
        return data_by_task
    for name in names:
        if name in tasks.names():
            try:
                data_by_task[name] = load_task(name, data_dir).load()
            except (DataError, FetchError) as error:
                say(f"{name}: items are shown without texts. {error}")
    return data_by_task
