"""What is said of plans and choices, as notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kemb import statistics
from kemb.choosing.choose import Choice, Size
from kemb.choosing.decide import Decision
from kemb.choosing.power import Goal, Plan
from kemb.choosing.stages import FEWEST_QUESTIONS
from kemb.messages import Note, Text, note

_N_MISSES = 10
_LONGEST = 60
"""Characters of a question that are shown."""


def plan_notes(plan: Plan) -> list[Text]:
    """Everything that is to be said of a plan."""
    basis = note("power.basis", task=plan.task, metric=plan.metric, n_questions=plan.n_questions)
    if plan.n_clusters < plan.n_questions:
        basis = note(
            "power.basis_of_clusters",
            task=plan.task,
            metric=plan.metric,
            n_questions=plan.n_questions,
            n_clusters=plan.n_clusters,
        )
    pairs = [note("power.unjudged", n=len(plan.unjudged))] if plan.unjudged else []
    assumed = note("power.assumed", level=statistics.LEVEL)
    return [basis, to_see(plan), to_equate(plan), *pairs, assumed]


def to_see(plan: Plan) -> Note:
    """How many questions show the declared difference."""
    return note(
        "power.to_see",
        points=plan.difference * 100,
        a=plan.a,
        b=plan.b,
        power=plan.power,
        more=_more(plan.to_see),
    )


def to_equate(plan: Plan) -> Note:
    """How many questions show that two rows differ by less."""
    return note("power.to_equate", points=plan.difference * 100, more=_more(plan.to_equate))


def _more(goal: Goal) -> Note:
    low, high = goal.more
    if high == 0:
        return note("power.none")
    if low == high:
        return note("power.more_exactly", n=low)
    return note("power.more", low=low, high=high)


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def score(self) -> float: ...


class Decided(Protocol):
    """What sentences about a decision need of it."""

    @property
    def metric(self) -> str: ...

    @property
    def n_questions(self) -> int: ...

    @property
    def n_clusters(self) -> int: ...

    @property
    def rows(self) -> Sequence[_Named]: ...

    @property
    def decision(self) -> Decision: ...

    @property
    def plan(self) -> Plan | None: ...

    @property
    def no_plan(self) -> str: ...


def cut_notes(choice: Decided, notes: Sequence[Text], smallest: Size) -> list[Text]:
    """The sentences that a choice among ways of cutting ends with.

    :param notes: those that come first.
    """
    size = note("cuts.size") if smallest == "parameters" else note("choose.by_index")
    return [*notes, *_verdict(choice), size, *_few(choice)]


def choice_notes(choice: Choice) -> list[Text]:
    """The sentences that a choice ends with, in their order."""
    sentences: list[Text] = [*choice.notes]
    if choice.decision.is_too_few or len(choice.rows) == 1:
        sentences += _verdict(choice)
    else:
        sentences += _among_several(choice)
    sentences += _codes(choice)
    if choice.misses is not None:
        sentences.append(_misses(choice.misses))
    return [*sentences, *_few(choice)]


def _among_several(choice: Choice) -> list[Text]:
    """What the test says, what is small, what more questions would say, and what to take."""
    sentences: list[Text] = [_group(choice)]
    if len(choice.decision.group) > 1:
        sentences += [_smallest(choice), note(f"choose.by_{choice.smallest}")]
    sentences += _planned(choice)
    if choice.is_open:
        sentences.append(note("choose.take_for_now", name=choice.pick.name))
    else:
        sentences.append(_take(choice))
    return [*sentences, _score(choice)]


def _verdict(choice: Decided) -> list[Text]:
    """What the test says, and what to take; of a single row, and of too few questions, only what
    can be said.
    """
    if choice.decision.is_too_few:
        return [_too_few(choice)]
    if len(choice.rows) == 1:
        return [_group(choice), _score_alone(choice)]
    return [_group(choice), *_planned(choice), _take(choice), _score(choice)]


def _planned(choice: Decided) -> list[Text]:
    """How many more questions would tell the pick from its nearest rival."""
    if choice.plan is not None:
        return [to_see(choice.plan), to_equate(choice.plan)]
    return [note("choose.no_plan", why=choice.no_plan)] if choice.no_plan else []


def _too_few(choice: Decided) -> Note:
    pick = choice.rows[choice.decision.pick]
    return note(
        "choose.too_few" if len(choice.rows) > 1 else "choose.too_few_alone",
        n=choice.n_questions,
        n_clusters=choice.n_clusters,
        fewest=statistics.FEWEST,
        metric=choice.metric,
        name=pick.name,
        score=f"{pick.score * 100:.1f}",
    )


def _score_alone(choice: Decided) -> Note:
    low, high = choice.decision.score_intervals[0]
    score = f"{choice.rows[0].score * 100:.1f}"
    return note("choose.score_alone", score=score, low=f"{low * 100:.1f}", high=f"{high * 100:.1f}")


def _few(choice: Decided) -> list[Text]:
    if choice.decision.is_too_few:
        return []
    if choice.n_questions < FEWEST_QUESTIONS:
        return [note("choose.few")]
    if choice.n_clusters < FEWEST_QUESTIONS:
        return [note("choose.few_clusters", n=choice.n_questions, n_clusters=choice.n_clusters)]
    return []


def _codes(choice: Choice) -> list[Text]:
    """How an index is told that the pick's vectors are codes."""
    view = choice.pick.model.view
    if view is None or view.level is None:
        return []
    is_binary = view.level == "binary"
    elasticsearch = "bbq_hnsw" if is_binary else "int8_hnsw"
    pgvector = "binary_quantize" if is_binary else note("choose.no_such_codes")
    return [note("choose.codes", level=view.level, elasticsearch=elasticsearch, pgvector=pgvector)]


def _group(choice: Decided) -> Note:
    names = [choice.rows[row].name for row in choice.decision.group]
    n, metric, n_rows = choice.n_questions, choice.metric, len(choice.rows)
    if n_rows == 1:
        return note("choose.one_row", n=n, metric=metric, name=names[0])
    if len(names) == 1:
        return note("choose.first", n=n, metric=metric, name=names[0], n_rows=n_rows)
    return note(
        "choose.cannot_tell",
        n=n,
        metric=metric,
        n_group=len(names),
        n_rows=n_rows,
        names=names,
    )


def _smallest(choice: Decided) -> Note:
    """Of the first group; where it is not taken, why."""
    decision = choice.decision
    is_taken = decision.smallest == decision.pick
    key = "choose.smallest" if is_taken else "choose.smallest_is_worse"
    return note(key, name=choice.rows[decision.smallest].name)


def _take(choice: Decided) -> Note:
    pick = choice.decision.pick
    key = "choose.take" if pick == choice.decision.group[0] else "choose.take_smaller"
    return note(key, name=choice.rows[pick].name)


def _score(choice: Decided) -> Note:
    decision = choice.decision
    return note(
        "choose.score",
        score=f"{choice.rows[decision.pick].score * 100:.1f}",
        low=f"{max(0.0, decision.low) * 100:.1f}",
        high=f"{min(1.0, decision.high) * 100:.1f}",
        share=decision.shares[decision.pick],
        optimism=max(0.0, decision.optimism) * 100,
    )


def _misses(misses: list[tuple[str, str]]) -> Note:
    if not misses:
        return note("choose.misses_nothing")
    questions: list[Text] = [_short(text or question) for question, text in misses[:_N_MISSES]]
    if len(misses) > _N_MISSES:
        questions.append(note("choose.and_more", n=len(misses) - _N_MISSES))
    return note("choose.misses", n=len(misses), questions=questions)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
