"""What is said of plans and choices, as notes."""

from __future__ import annotations

from kemb import statistics
from kemb.choosing.power import Goal, Plan
from kemb.messages import Note, note


def plan_notes(plan: Plan) -> list[Note]:
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
    return [
        basis,
        to_see(plan),
        to_equate(plan),
        note("power.assumed", level=statistics.LEVEL),
    ]


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
