"""Pools: what unlike retrievers find for the questions of a folder, so that it can be judged.

`pool.jsonl` has a line per question, document and retriever, with the rank from 1.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from kemb.encoding.store import Store
from kemb.errors import DataError, RunError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.files import disk
from kemb.files.lines import json_lines
from kemb.models.resolve import resolve
from kemb.results.files import TaskResult, read_items
from kemb.scoring.items import of_metric, of_part
from kemb.scoring.judged import JUDGED_DEPTH, Ranking

FILE = "pool.jsonl"
_MOST_BYTES = 4 * 2**30
Pool = dict[str, dict[str, list[str]]]
"""By retriever and question, the ids of its first documents, best first."""


def read_pool(folder: Path) -> Pool:
    """The pool of a folder; empty where there is none.

    :raises DataError: a file that cannot be read, or a line that is none, with its number.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    ranked: dict[str, dict[str, list[tuple[int, str]]]] = {}
    again = "Delete the file; what fills it makes it again."
    try:
        text = disk.read_text(path, _MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). {again}") from error
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            retriever, query = str(record["retriever"]), str(record["query"])
            place = (int(record["rank"]), str(record["document"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, row {row} is no line of a pool (query, document, retriever, rank). "
                f"{again}"
            ) from error
        ranked.setdefault(retriever, {}).setdefault(query, []).append(place)
    return {
        retriever: {
            query: [document for _, document in sorted(places)] for query, places in of.items()
        }
        for retriever, of in ranked.items()
    }


def add_to_pool(folder: Path, rankings: Mapping[str, Ranking], depth: int = JUDGED_DEPTH) -> Pool:
    """Put the first documents of some retrievers into the pool of a folder, in place of what it had
    of them.

    :param folder: the folder of the task.
    :param rankings: by retriever.
    :param depth: documents per question.
    :return: the whole pool.
    :raises DiskError: the folder cannot be written.
    """
    pool = read_pool(folder)
    for retriever, ranking in rankings.items():
        pool[retriever] = {query: list(documents[:depth]) for query, documents in ranking.items()}
    records = [
        {"query": query, "document": document, "retriever": retriever, "rank": rank}
        for retriever, ranking in pool.items()
        for query, documents in ranking.items()
        for rank, document in enumerate(documents, start=1)
    ]
    hint = "The pool is as it was."
    disk.write(folder / FILE, json_lines(records), hint, sync=True)
    return pool


def build_pool(folder: Path, retrievers: Sequence[str], results_dir: Path, store_dir: Path) -> Pool:
    """Run unlike retrievers on a folder and put what each finds first into its pool.

    Lexical, static and dense ones should be among them: what none of them finds is never judged.

    :param folder: the folder of the task.
    :param retrievers: models by name, as after `-m`.
    :param results_dir: takes their results; those that are there already are not made again.
    :param store_dir: of the vector store.
    :raises RunError: a retriever failed.
    """
    task = load_task(folder)
    models = [resolve(name, own_tasks=[task.spec.name]) for name in retrievers]
    command = shlex.join(["kemb", "run", str(folder)])
    outcomes = evaluate([task], models, RunOptions(results_dir, Store(store_dir), command=command))
    rankings = {}
    for outcome in outcomes:
        if outcome.result is None:
            raise RunError(f"{outcome.row} is no retriever for {folder}: {outcome.message}")
        rankings[outcome.row] = ranking_of_result(outcome.result)
    return add_to_pool(folder, rankings)


def ranking_of_result(
    result: TaskResult, part: tuple[str, str] | None = None
) -> dict[str, list[str]]:
    """The first 100 documents of every question of one part, from the items that a result keeps.

    :param part: its split and subset; the first part by default.
    :raises ResultError: the items are missing or were changed.
    """
    items = of_metric(of_part(read_items(result), *(part or result.parts[0])), "retrieved")
    ranking: dict[str, list[str]] = {}
    for query, document in zip(
        items["item_id"].to_pylist(), items["target"].to_pylist(), strict=True
    ):
        ranking.setdefault(query, []).append(document)
    return ranking
