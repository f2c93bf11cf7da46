"""From candidates to a choice: looks at more and more of the documents, then the decision.

Every score is an ordinary result, kept on disk: a choice that was killed goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from kemb.choosing.candidates import Candidate, LeftOut, n_parameters
from kemb.choosing.decide import Decision, decide
from kemb.choosing.power import DIFFERENCE, Plan, plan_among
from kemb.choosing.questions import Questions, questions_of, refuse_one_cluster
from kemb.choosing.stages import SHARES, Drop, Stage, drops, makers_of, stages_of
from kemb.errors import UsageError
from kemb.evaluation.deadline import Deadline, Punctual
from kemb.evaluation.evaluate import Outcome, Reporter, RunOptions, Task, evaluate
from kemb.messages import Note, Text, note, say
from kemb.models.model import Model
from kemb.results.files import TaskResult, read_items
from kemb.scoring.items import of_metric, of_part
from kemb.types import RetrievalData, TaskData

_HIT = "hit_rate@10"
Size = Literal["parameters", "index"]
"""What small means first; then the other one."""


@dataclass(frozen=True, slots=True)
class ChooseOptions:
    """How to choose."""

    run: RunOptions
    shares: Sequence[float] | None = None
    """Of the documents, before the look at all of them; by default `kemb.choosing.stages.SHARES`.
    """
    difference: float = DIFFERENCE
    """What the plan for more questions is made for."""
    budget_seconds: float | None = None
    """Wall time after which no further group of texts is encoded, and no row begun."""
    again: str = ""
    """The command that goes on where the time was over."""
    smallest: Size = "parameters"


@dataclass(frozen=True, slots=True)
class Look:
    """What came of a look."""

    share: float
    n_documents: int
    alpha: float
    names: list[str]
    scores: list[float]
    drops: list[Drop]
    """By numbers of `names`."""


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A row of the last look."""

    model: Model
    why: Text
    score: float
    n_parameters: int | None
    index_bytes_per_document: float | None
    result: TaskResult

    @property
    def name(self) -> str:
        return self.model.row


@dataclass(frozen=True, slots=True)
class Choice:
    """What was tried, what was seen, what to take."""

    task: str
    metric: str
    n_questions: int
    n_clusters: int
    n_documents: int
    rows: list[ChoiceRow]
    """Of the last look."""
    questions: Questions
    """Those of the last look, with the rows in their order."""
    decision: Decision
    looks: list[Look]
    left_out: list[LeftOut]
    """What was not tried, failed, or was not reached in time."""
    plan: Plan | None
    """For the pick and its nearest rival; None where the group is one row, or nothing can be
    planned.
    """
    no_plan: str
    """Why there is no plan, where there might be one."""
    smallest: Size
    misses: list[tuple[str, str]] | None
    """Id and text of the questions that have no right document among the pick's first ten; None of
    tasks that rank nothing.
    """
    notes: list[Text] = field(default_factory=list)
    is_open: bool = False
    """Whether passages that nobody judged could turn the order, so that there is no verdict yet."""

    @property
    def pick(self) -> ChoiceRow:
        return self.rows[self.decision.pick]


Hear = Callable[[Text], object]


def choose(
    task: Task,
    candidates: Sequence[Candidate],
    options: ChooseOptions,
    left_out: Sequence[LeftOut] = (),
    hear: Hear = lambda text: None,
    reporter: Reporter | None = None,
) -> Choice:
    """Which of the candidates to take for a task.

    :param left_out: what is not tried, for the report.
    :param hear: gets what is declared before the looks, and what is dropped.
    :raises UsageError: no candidate, none that could be measured, or questions that are all on one
        passage.
    """
    data = task.load()
    loaded = Task(task.spec, partial(same, data), task.path)
    deadline = Deadline(options.budget_seconds)
    punctual = Punctual(deadline, reporter)
    work = _Work(loaded, list(candidates), options, deadline, punctual, list(left_out))
    if not candidates:
        raise UsageError(
            "There is no model to try: each one is left out. Name some with -m, or loosen the "
            "limits."
        )
    shares = SHARES if options.shares is None else options.shares
    stages = stages_of(data, work.makers(), shares if len(candidates) > 2 else ())
    if options.shares and len(stages) <= len(options.shares):
        hear(_looks_left_out(len(options.shares), len(stages) - 1, len(candidates)))
    hear(_declaration(stages, len(candidates)))
    looks: list[Look] = []
    last: _Measured | None = None
    for stage in stages:
        n_living, n_left_out = len(work.living), len(work.left_out)
        results = work.measure(stage)
        if last is not None and work.is_over and len(results) < n_living:
            del work.left_out[n_left_out:]  # the look before this one is whole, and stands
            break
        if not results:
            break
        questions = questions_of(results, stage.data)
        refuse_one_cluster(questions, task.spec.name)
        last = _Measured(questions, list(work.living), results)
        looks.append(work.look(stage, last.questions, hear))
        if work.is_over:
            break
    if last is None:
        raise none_measured(task.spec.name, work.left_out, options.again if work.is_over else None)
    return _choice(work, data, last, looks)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The rows of a look."""

    questions: Questions
    candidates: list[Candidate]
    results: list[TaskResult]


@dataclass(slots=True)
class _Work:
    """Candidates that live, and what became of the others."""

    task: Task
    living: list[Candidate]
    options: ChooseOptions
    deadline: Deadline
    reporter: Punctual
    left_out: list[LeftOut]

    @property
    def is_over(self) -> bool:
        return self.deadline.is_over

    @property
    def has_shortfall(self) -> bool:
        """Whether some row was not reached or stopped half-way."""
        keys = {entry.why.key for entry in self.left_out if isinstance(entry.why, Note)}
        return bool(keys & {"choose.not_reached", "choose.half_way"})

    def makers(self) -> list[TaskResult]:
        """Results on all documents of the cheap rows that make the pool."""
        sizes: dict[str, tuple[str, float]] = {}
        for candidate in self.living:
            if not candidate.model.parts:
                size = n_parameters(candidate.model)
                sizes[candidate.name] = candidate.role, math.inf if size is None else size
        names = makers_of(sizes)
        outcomes = [
            self._evaluate(candidate, self.options.run, self.task)
            for candidate in self.living
            if candidate.name in names and len(self.living) > 2
        ]
        return [outcome.result for outcome in outcomes if outcome.result is not None]

    def measure(self, stage: Stage) -> list[TaskResult]:
        """Results of the living on what a stage sees; those without one live no longer."""
        run, task = self.options.run, self.task
        if not stage.is_last:
            root = run.results_dir.resolve()
            folder = root.with_name(f"{root.name}-choose") / f"{stage.share * 100:.0f}"
            run = replace(run, results_dir=folder)
            task = Task(task.spec, partial(same, stage.data), task.path)
        results, living = [], []
        for candidate in self.living:
            if self.is_over:
                self.left_out.append(LeftOut(candidate.name, note("choose.not_reached")))
                continue
            outcome = self._evaluate(candidate, run, task)
            if outcome.result is None:
                why = why_not(outcome, self.reporter)
                self.left_out.append(LeftOut(candidate.name, why))
            else:
                results.append(outcome.result)
                living.append(candidate)
        self.living = living
        return results

    def look(self, stage: Stage, questions: Questions, hear: Hear) -> Look:
        """Judge a look; before the last one, rows that are certainly worse live no longer."""
        point, names = questions.point(), [candidate.name for candidate in self.living]
        let_go: list[Drop] = []
        if not stage.is_last:
            replicates = questions.replicates()
            let_go = drops(point, replicates, questions.n_clusters, stage.alpha)
        for drop in let_go:
            hear(drop_note(drop, names, stage.share))
        rows = {drop.row for drop in let_go}
        self.living = [c for row, c in enumerate(self.living) if row not in rows]
        scores: list[float] = point.tolist()
        return Look(stage.share, stage.n_documents, stage.alpha, names, scores, let_go)

    def _evaluate(self, candidate: Candidate, run: RunOptions, task: Task) -> Outcome:
        return evaluate([task], [candidate.model], run, self.reporter)[0]


def why_not(outcome: Outcome, reporter: Punctual) -> Text:
    """Why a row has no score: what failed, or what it lacks since the time was over."""
    lacks = reporter.shortfall
    if lacks is None:
        return outcome.message
    return note("choose.half_way", n_missing=lacks.n_missing, n_texts=lacks.n_texts)


def went_on(command: str) -> Note:
    """That the time was over, and how to go on."""
    return note("choose.go_on", command=command) if command else note("choose.go_on_in_python")


def none_measured(what: str, left_out: Sequence[LeftOut], again: str | None) -> UsageError:
    """That no row has a score, and why.

    :param again: the command that goes on, where the time was over ('' in Python).
    """
    reasons = "; ".join(f"{entry.name}: {say(entry.why, 'en')}" for entry in left_out[:3])
    go_on = "" if again is None else f" {say(went_on(again), 'en')}"
    return UsageError(f"No model could be measured on {what}. {reasons.rstrip('.')}.{go_on}")


def drop_note(drop: Drop, names: Sequence[str], share: float) -> Note:
    """That a row was dropped, and why."""
    return note(
        "choose.dropped",
        row=names[drop.row],
        share=share,
        other=names[drop.other],
        low=drop.low * 100,
        high=drop.high * 100,
    )


def same(data: TaskData) -> TaskData:
    """What a task that is read already loads."""
    return data


def _looks_left_out(n_all: int, n_made: int, n_rows: int) -> Note:
    reason = "choose.looks_save_too_little" if n_rows > 2 else "choose.looks_of_few_rows"
    return note("choose.looks_left_out", n=n_all - n_made, n_all=n_all, why=note(reason))


def _declaration(stages: Sequence[Stage], n_rows: int) -> Note:
    if n_rows == 1:
        return note("choose.declared_alone")
    if len(stages) == 1:
        return note("choose.one_look", n_rows=n_rows, alpha=stages[0].alpha)
    looks = [note("choose.look", share=stage.share, alpha=stage.alpha) for stage in stages]
    return note("choose.looks", n_rows=n_rows, looks=looks)


def _choice(work: _Work, data: TaskData, last: _Measured, looks: list[Look]) -> Choice:
    questions = last.questions
    scores: list[float] = questions.point().tolist()
    rows = [
        _row(candidate, result, score)
        for candidate, result, score in zip(last.candidates, last.results, scores, strict=True)
    ]
    look = looks[-1]
    places = _places(rows, work.options.smallest)
    decision = decide(
        questions.point(), questions.replicates(), places, look.alpha, questions.n_clusters
    )
    plan, no_plan = plan_among(
        questions, [row.name for row in rows], decision, data.task, work.options.difference
    )
    notes: list[Text] = []
    if look.share < 1:
        notes.append(note("choose.stopped", share=look.share))
    if work.is_over and (look.share < 1 or work.has_shortfall):
        notes.append(went_on(work.options.again))
    return Choice(
        task=data.task,
        metric=questions.metric,
        n_questions=questions.n_questions,
        n_clusters=questions.n_clusters,
        n_documents=look.n_documents,
        rows=rows,
        questions=questions,
        decision=decision,
        looks=looks,
        left_out=work.left_out,
        plan=plan,
        no_plan=no_plan,
        smallest=work.options.smallest,
        misses=_misses(rows[decision.pick].result, data),
        notes=notes,
    )


def _row(candidate: Candidate, result: TaskResult, score: float) -> ChoiceRow:
    return ChoiceRow(
        candidate.model,
        candidate.why,
        score,
        n_parameters(candidate.model),
        result.record.index_bytes_per_document,
        result,
    )


def _places(rows: Sequence[ChoiceRow], smallest: Size) -> list[int]:
    """The place of every row when sorted by size: parameters and then bytes of the index, or the
    other way round. What is not known comes last.
    """

    def size(row: int) -> tuple[float, float, str]:
        parameters = known(rows[row].n_parameters)
        index = known(rows[row].index_bytes_per_document)
        first, second = (parameters, index) if smallest == "parameters" else (index, parameters)
        return first, second, rows[row].name

    def known(number: float | None) -> float:
        return float("inf") if number is None else number

    order = sorted(range(len(rows)), key=size)
    return [order.index(row) for row in range(len(rows))]


def _misses(result: TaskResult, data: TaskData) -> list[tuple[str, str]] | None:
    table = read_items(result)
    misses: list[tuple[str, str]] = []
    for part in data.parts:
        if not isinstance(part.data, RetrievalData):
            return None
        hits = of_metric(of_part(table, part.split, part.subset), _HIT)
        texts = dict(zip(part.data.query_ids, part.data.queries, strict=True))
        pairs = zip(hits["item_id"].to_pylist(), hits["value"].to_pylist(), strict=True)
        misses += [(question, texts.get(question, "")) for question, hit in pairs if hit == 0]
    return misses
