"""What a choice on drafted questions must say: who has seen them, and whether it rests on words
that they share with their passages, or on passages that nobody judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kemb.choosing.choose import Choice
from kemb.drafting.judgments import comparable, write_deciding
from kemb.drafting.pools import add_to_pool, ranking_of_result
from kemb.drafting.thirds import thirds
from kemb.files import disk
from kemb.messages import Text, note
from kemb.tasks.own.decisions import seen_share
from kemb.types import RetrievalData, TaskData

_QUERIES = "queries.jsonl"


def drafted_notes(choice: Choice, data: TaskData, folder: Path) -> list[Text]:
    """The sentences, what forbids a verdict first. The first ten documents of every row join the
    pool of the folder, and the pairs that decide are kept for `kemb review`.

    :param folder: of the drafted set.
    :raises DiskError: the folder cannot be written.
    """
    share = seen_share(folder)
    sentences: list[Text | None] = [
        _comparability(choice, data, folder),
        _thirds(choice, folder),
        note("choose.drafted", seen=share, folder=str(folder)),
    ]
    return [sentence for sentence in sentences if sentence is not None]


def _comparability(choice: Choice, data: TaskData, folder: Path) -> Text | None:
    part = data.parts[0].data
    if len(data.parts) > 1 or not isinstance(part, RetrievalData):
        return None
    rankings = {row.name: ranking_of_result(row.result) for row in choice.rows}
    pool = add_to_pool(folder, rankings)
    judged = comparable(rankings, part.qrels, pool)
    write_deciding(folder, judged.pairs)
    return judged.note()


def _thirds(choice: Choice, folder: Path) -> Text | None:
    """Whether the first group changes between thirds of the questions by overlap."""
    values = choice.questions.values()
    overlap_by_question = _overlaps(folder / _QUERIES)
    ids = [question for part in choice.questions.parts for question in part.item_ids]
    if values is None or any(question not in overlap_by_question for question in ids):
        return None
    overlap = np.array([overlap_by_question[question] for question in ids])
    names = [row.name for row in choice.rows]
    return thirds(values, overlap, names, choice.questions.clusters()).note()


def _overlaps(path: Path) -> dict[str, float]:
    """By question, the share of its content words that stand in its passage; empty where the file
    does not say.
    """
    overlaps: dict[str, float] = {}
    for line in disk.read_text(path).split("\n") if path.is_file() else []:
        record = disk.parse_json(line.encode()) if line.strip() else {}
        if isinstance(record.get("overlap"), int | float):
            overlaps[str(record["_id"])] = float(record["overlap"])
    return overlaps
