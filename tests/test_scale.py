"""The simulation behind docs/scale.md beside closed forms, and the page beside the script."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale", ROOT / "benchmarks/scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("n_groups", "n_actors"), [(40, 1), (40, 8), (41, 8), (3, 8)])
def test_without_preemptions_the_makespan_is_that_of_the_rounds(
    scale: ModuleType, n_groups: int, n_actors: int
) -> None:
    outcome = scale.simulate(scale.Job(n_groups, 30, n_actors, load=60, overhead=2))
    assert outcome.makespan == pytest.approx(60 + math.ceil(n_groups / n_actors) * 32)
    assert outcome.useful == pytest.approx(n_groups * 30)
    assert outcome.n_preemptions == 0
    assert outcome.lost == 0
    assert outcome.paid == pytest.approx(n_actors * outcome.makespan)


def test_a_shard_is_joined_once_by_whoever_ends_it(scale: ModuleType) -> None:
    job = scale.Job(20, 30, 1, overhead=2, shard=6, join=3)
    assert scale.simulate(job).makespan == pytest.approx(20 * 32 + 20 * 3)


def test_a_preemption_loses_half_a_group_and_a_load(scale: ModuleType) -> None:
    """To first order in rate x time; here that is 8 %, and the second order is below 2 %."""
    outcome = scale.simulate(scale.Job(30_000, 60, 20, rate=5, load=20))
    assert outcome.n_preemptions > 2000
    assert outcome.lost / outcome.n_preemptions == pytest.approx(60 / 2 + 20, rel=0.04)


@pytest.mark.parametrize(("group", "load", "rate"), [(60, 20, 6), (300, 60, 2), (30, 0, 20)])
def test_a_group_that_begins_anew_costs_what_the_exponential_says(
    scale: ModuleType, group: float, load: float, rate: float
) -> None:
    n_groups = 20_000
    outcome = scale.simulate(scale.Job(n_groups, group, 1, rate=rate, load=load))
    expected = scale.paid_per_group(group, load, rate)
    # Loads go with preemptions, not with groups: an actor that lives on keeps its model.
    reloads = math.expm1(rate / 3600 * group) * math.expm1(rate / 3600 * load) / (rate / 3600)
    work = math.expm1(rate / 3600 * group) / (rate / 3600)
    assert expected == pytest.approx(work + reloads)
    assert outcome.paid / n_groups == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("rate", [0.0, 3.0, 60.0])
@pytest.mark.parametrize("notice", [0.0, 10.0, 90.0])
def test_every_second_that_is_paid_is_accounted_for(
    scale: ModuleType, rate: float, notice: float
) -> None:
    job = scale.Job(
        200, 30, 1, rate=rate, load=20, overhead=2, notice=notice, wait=50, shard=7, join=1
    )
    outcome = scale.simulate(job, seed=3)
    assert (outcome.n_preemptions > 0) == (rate > 0)
    accounted = 20 + outcome.useful + 200 * 2 + 200 * 1 + outcome.lost
    assert outcome.useful == pytest.approx(200 * 30)
    assert outcome.paid == pytest.approx(accounted)


def test_who_is_warned_in_time_loses_no_group(scale: ModuleType) -> None:
    job = scale.Job(2000, 30, 10, rate=20, notice=30)
    outcome = scale.simulate(job)
    assert outcome.n_preemptions > 100
    assert outcome.lost == 0
    assert scale.simulate(scale.Job(2000, 30, 10, rate=20)).lost > 0


@pytest.mark.parametrize("rate", [0.02, 0.1, 1.0])
def test_the_best_group_is_where_the_expected_cost_is_least(scale: ModuleType, rate: float) -> None:
    overhead, load = 0.5, 60
    costs = {
        group: scale.paid_per_group(group + overhead, load, rate) / group
        for group in (1.02**power for power in range(400))
    }
    best = min(costs, key=lambda group: costs[group])
    assert scale.best_group(overhead, rate) == pytest.approx(best, rel=0.03)


def test_sizes_by_hand(scale: ModuleType) -> None:
    small, large = scale.ENCODERS
    on = scale.Assumptions()
    dense = scale.families(small)[0]
    assert dense.bytes_per_document == 1024 * 2
    # 100 million documents of 100 tokens, 0.606 GFLOP a token, 445 TFLOP/s: 3.8 hours.
    assert small.seconds(on) / 3600 == pytest.approx(1e10 * 0.606e9 / 445.05e12 / 3600)
    assert large.seconds(on) / small.seconds(on) == pytest.approx(6980 / 303)
    rows = [row for row in scale.storing(on) if row[1] == "dense fp16"]
    assert rows[0][3] == f"{100e6 * (2048 + 40) / 1e9:,.0f}"


def test_the_page_has_the_tables_that_the_script_prints(scale: ModuleType) -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    assert scale.with_tables(page, scale.Assumptions()) == page, (
        "Type: python benchmarks/scale.py --page docs/scale.md"
    )
