"""Ways of cutting documents as part of the choice: each with each model is a row, all on the same
questions, by what a reader of the first characters gets to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from kemb import statistics
from kemb.arrays import DoubleArray
from kemb.boards.items import PartMeasures
from kemb.choosing.candidates import Candidate, LeftOut, n_parameters
from kemb.choosing.choose import ChooseOptions, Hear, Size, none_measured, same, went_on, why_not
from kemb.choosing.decide import Decision, decide
from kemb.choosing.power import Plan, plan_among
from kemb.choosing.questions import Questions, refuse_one_cluster
from kemb.choosing.stages import ALPHA
from kemb.drafting.chunked import MAIN_METRIC, ChunkedTask, chunked_tasks
from kemb.errors import UsageError
from kemb.evaluation.deadline import Deadline, Punctual
from kemb.evaluation.evaluate import Reporter, Task, evaluate
from kemb.messages import Text, note
from kemb.models.model import Model
from kemb.publishing.notes import judge_notes
from kemb.results.files import TaskResult, read_items
from kemb.scoring import items
from kemb.scoring.dependence import cluster_codes, question_clusters
from kemb.tasks.own import load_folder
from kemb.tasks.own.decisions import seen_share
from kemb.types import RetrievalData, TaskData


@dataclass(frozen=True, slots=True)
class CutRow:
    """A way of cutting with a model."""

    chunking: str
    model: Model
    why: Text
    metrics: dict[str, float]
    n_chunks: int
    n_characters: int
    """In the index; what overlaps is there twice."""
    result: TaskResult

    @property
    def index_bytes(self) -> float | None:
        """Of all chunks; None where nobody knows."""
        of_one = self.result.record.index_bytes_per_document
        return None if of_one is None else of_one * self.n_chunks

    @property
    def name(self) -> str:
        return f"{self.chunking} · {self.model.row}"

    @property
    def score(self) -> float:
        """The main metric."""
        return self.metrics[MAIN_METRIC]


@dataclass(frozen=True, slots=True)
class CutChoice:
    """What was tried, what was seen, what to take."""

    task: str
    metric: str
    n_questions: int
    n_clusters: int
    rows: list[CutRow]
    decision: Decision
    left_out: list[LeftOut]
    plan: Plan | None
    """For the pick and its nearest rival; None where the group is one row, or nothing can be
    planned.
    """
    no_plan: str
    """Why there is no plan, where there might be one."""
    notes: list[Text]
    smallest: Size

    @property
    def pick(self) -> CutRow:
        return self.rows[self.decision.pick]


def choose_cuts(
    folder: Path,
    chunkings: Sequence[str],
    candidates: Sequence[Candidate],
    options: ChooseOptions,
    left_out: Sequence[LeftOut] = (),
    hear: Hear = lambda text: None,
    reporter: Reporter | None = None,
) -> CutChoice:
    """Which way of cutting to take, with which model.

    All pairs of rows are tested together, by `span_recall@2000`, in one look at all documents. Of
    rows within one point of the best the smallest is taken: the one with the fewest characters in
    the index, then parameters, then bytes; or bytes come first.

    :param folder: a set that `kemb draft` made.
    :param chunkings: as `kemb.drafting.chunks.parse_chunking` reads them.
    :param candidates: models; each is tried with each way of cutting.
    :param options: how to choose; `shares` has no part.
    :param left_out: models that are not tried, for the report.
    :param hear: gets what is declared.
    :raises UsageError: an unknown way of cutting, no model, none that could be measured, or
        questions that are all on one passage.
    :raises DataError: a folder without documents or without places of answers.
    """
    if not candidates:
        raise UsageError("There is no model to try. Name some with -m, or loosen the limits.")
    deadline = Deadline(options.budget_seconds)
    cuts = chunked_tasks(folder, list(dict.fromkeys(chunkings)))
    hear(note("cuts.declared", n=len(cuts) * len(candidates), alpha=ALPHA, metric=MAIN_METRIC))
    rows, unmeasured = _measured(cuts, candidates, options, deadline, reporter)
    failed = [*left_out, *unmeasured]
    is_short = deadline.is_over and bool(unmeasured)
    if not rows:
        raise none_measured(str(folder), failed, options.again if is_short else None)
    questions = _questions(folder, cuts[0].data, rows)
    refuse_one_cluster(questions, folder.name)
    places = _places(rows, options.smallest)
    decision = decide(
        questions.point(), questions.replicates(), places, ALPHA, questions.n_clusters
    )
    names = [row.name for row in rows]
    plan, no_plan = plan_among(questions, names, decision, folder.name, options.difference)
    notes = _notes(folder, rows[decision.pick].result)
    return CutChoice(
        task=folder.name,
        metric=MAIN_METRIC,
        n_questions=questions.n_questions,
        n_clusters=questions.n_clusters,
        rows=rows,
        decision=decision,
        left_out=failed,
        plan=plan,
        no_plan=no_plan,
        notes=[went_on(options.again), *notes] if is_short else notes,
        smallest=options.smallest,
    )


def _measured(
    cuts: Sequence[ChunkedTask],
    candidates: Sequence[Candidate],
    options: ChooseOptions,
    deadline: Deadline,
    reporter: Reporter | None,
) -> tuple[list[CutRow], list[LeftOut]]:
    """Every way of cutting with every model, and what has no score."""
    punctual = Punctual(deadline, reporter)
    rows, left_out = [], []
    for cut, candidate in product(cuts, candidates):
        name = f"{cut.chunking.name} · {candidate.name}"
        if deadline.is_over:
            left_out.append(LeftOut(name, note("choose.not_reached")))
            continue
        task = Task(cut.spec, partial(same, cut.data))
        outcome = evaluate([task], [candidate.model], options.run, punctual)[0]
        if outcome.result is None:
            left_out.append(LeftOut(name, why_not(outcome, punctual)))
        else:
            rows.append(_row(cut, candidate, outcome.result))
    return rows, left_out


def _notes(folder: Path, result: TaskResult) -> list[Text]:
    """Who has seen the questions, and which models judged passages."""
    drafted = note("choose.drafted", seen=seen_share(folder), folder=str(folder))
    return [drafted, *judge_notes([result])]


def _row(cut: ChunkedTask, candidate: Candidate, result: TaskResult) -> CutRow:
    [entry] = result.scores[cut.data.parts[0].split]
    metrics = {name: value for name, value in entry.items() if isinstance(value, float)}
    return CutRow(
        cut.chunking.name,
        candidate.model,
        candidate.why,
        metrics,
        cut.n_chunks,
        cut.n_characters,
        result,
    )


def _questions(folder: Path, data: TaskData, rows: Sequence[CutRow]) -> Questions:
    """The rows on the questions of the set; questions on one of its passages belong together."""
    part = data.parts[0]
    passages = load_folder(folder)[1].parts[0].data
    assert isinstance(part.data, RetrievalData)
    assert isinstance(passages, RetrievalData)
    ids = part.data.query_ids
    values = np.array([_values(row.result, part.split, part.subset, ids) for row in rows])
    clusters = cluster_codes(question_clusters(passages.qrels, ids))
    measures: dict[str, statistics.Measure] = {"score": statistics.MeanMeasure(values)}
    of_part = PartMeasures(folder.name, part.split, part.subset, ids, "score", measures, clusters)
    return Questions(MAIN_METRIC, [of_part])


def _values(result: TaskResult, split: str, subset: str, ids: Sequence[str]) -> DoubleArray:
    table = items.of_metric(items.of_part(read_items(result), split, subset), MAIN_METRIC)
    values = dict(zip(table["item_id"].to_pylist(), table["value"].to_pylist(), strict=True))
    return np.array([values[query_id] for query_id in ids], dtype=np.float64)


def _places(rows: Sequence[CutRow], smallest: Size) -> list[int]:
    """The place of every row when sorted by size; what is not known comes last."""

    def size(row: int) -> tuple[float, float, float, str]:
        n, n_bytes = n_parameters(rows[row].model), rows[row].index_bytes
        parameters = float("inf") if n is None else float(n)
        index = float("inf") if n_bytes is None else n_bytes
        characters, name = rows[row].n_characters, rows[row].name
        if smallest == "index":
            return index, parameters, characters, name
        return characters, parameters, index, name

    order = sorted(range(len(rows)), key=size)
    return [order.index(row) for row in range(len(rows))]
