"""What a choice on drafted questions must say: who has seen them, and whether it rests on words
that they share with their passages, or on passages that nobody judged.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from kemb.choosing.choose import Choice
from kemb.drafting.judgments import Comparability, comparable, write_deciding
from kemb.drafting.pools import add_to_pool, ranking_of_result
from kemb.drafting.thirds import thirds
from kemb.messages import Text, note
from kemb.publishing.notes import judge_notes
from kemb.tasks.own.decisions import seen_share
from kemb.tasks.own.records import records_by_id
from kemb.types import RetrievalData, TaskData

_QUERIES = "queries.jsonl"


def of_drafted(choice: Choice, data: TaskData, folder: Path) -> Choice:
    """The choice with what must be said of it, what forbids a verdict first.

    The first ten documents of every row join the pool of the folder, and the pairs that decide are
    kept for `kemb review`.

    :param folder: of the drafted set.
    :raises DiskError: the folder cannot be written.
    """
    share = seen_share(folder)
    judged = _comparability(choice, data, folder)
    sentences: list[Text | None] = [
        judged.note() if judged else None,
        _thirds(choice, folder),
        note("choose.drafted", seen=share, folder=str(folder)),
        *judge_notes([choice.pick.result]),
    ]
    notes = [*choice.notes, *(sentence for sentence in sentences if sentence is not None)]
    return replace(choice, notes=notes, is_open=judged is not None and judged.status == "not yet")


def _comparability(choice: Choice, data: TaskData, folder: Path) -> Comparability | None:
    part = data.parts[0].data
    if len(data.parts) > 1 or not isinstance(part, RetrievalData):
        return None
    rankings = {row.name: ranking_of_result(row.result) for row in choice.rows}
    pool = add_to_pool(folder, rankings)
    judged = comparable(rankings, part.qrels, pool)
    write_deciding(folder, judged.pairs)
    return judged


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
    return {
        question: float(record["overlap"])
        for question, record in records_by_id(path).items()
        if isinstance(record.get("overlap"), int | float)
    }
