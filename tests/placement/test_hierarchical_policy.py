"""The hierarchical planner's networks: what they say, what they learn, what is found with them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import task_of, tasks

from acumen.placement import portfolio
from acumen.placement.graph import NO_GROUP
from acumen.placement.plan import Deadline, Plan, PlanError, Task
from acumen.placement.planners import heft, hierarchical, hierarchical_search, single
from acumen.placement.planners.grouping import Atoms, Groups
from acumen.placement.planners.hierarchical_policy import Policy
from acumen.placement.planners.lists import Lists
from acumen.placement.planners.sequence import scorer
from acumen.placement.planners.units import units_of
from acumen.placement.simulator import Simulator

torch = pytest.importorskip("torch", reason="the networks need torch")


@pytest.fixture(autouse=True)
def _small_graphs_need_few_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchical_search, "SAMPLES_MAX", 16)
    monkeypatch.setattr(hierarchical_search, "PATIENCE", 8)
    monkeypatch.setattr(hierarchical_search, "PATIENCE_COLD", 25)


def soon() -> Deadline:
    return Deadline.after(60)


def chains(count: int, length: int, limits: list[int | None], resident: int = 0) -> Task:
    """Chains that do not need each other; a copy takes half as long as an operator."""
    starts = range(0, count * length, length)
    edges = [(at, at + 1) for first in starts for at in range(first, first + length - 1)]
    return task_of(
        np.ones(count * length), edges, 1, limits, resident=resident, bytes_per_second=2.0
    )


def parts(task: Task, groups: int) -> tuple[Atoms, Groups]:
    """Operators as atoms, in groups of those that follow each other."""
    units = units_of(task)
    n = len(units)
    atoms = Atoms.of_task(task, units, np.arange(n), Lists(task, units=units))
    return atoms, Groups.of_atoms(atoms, np.arange(n) * groups // n, groups)


def sure(device: list[int], devices: int, doubt: float) -> Any:
    """A prior for these devices; the others share the doubt."""
    prior = np.full((len(device), devices), doubt / (devices - 1))
    prior[np.arange(len(device)), device] = 1.0 - doubt
    return prior


def test_a_policy_begins_as_its_prior() -> None:
    atoms, groups = parts(chains(4, 8, [None] * 4), 16)
    right = [number * 7 % 4 for number in range(16)]
    policy = Policy(atoms, groups, sure(right, 4, 0.1), stray=3.0, seed=0)
    drawn = policy.sample(2_000)
    assert (drawn.device != right).mean() == pytest.approx(0.1, abs=0.01)
    assert (drawn.choice > 0).sum(axis=1).mean() == pytest.approx(3.0, abs=0.3)
    assert policy.chances(np.array([right]))[0] == pytest.approx(16 * np.log(0.9))
    joined = groups.candidates[np.arange(32), drawn.choice]
    assert drawn.of_atoms(groups).tolist() == [
        device[group].tolist() for device, group in zip(drawn.device, joined, strict=True)
    ]


def test_drawn_chances_are_those_that_lessons_are_about() -> None:
    """Said one by one and all at once, devices have the same chances."""
    atoms, groups = parts(chains(2, 6, [None] * 3), 4)
    policy = Policy(atoms, groups, np.ones((4, 3)), stray=2.0, seed=1)
    for _ in range(20):
        samples = policy.sample(16)
        policy.reinforce(samples, (samples.device == [0, 1, 2, 0]).mean(axis=1) - 0.5, 0.0)
    drawn = policy.sample(5_000)
    for devices in ([0, 1, 2, 0], [0, 0, 2, 0], [1, 1, 2, 0]):
        share = (drawn.device == devices).all(axis=1).mean()
        chance = float(np.exp(policy.chances(np.array([devices]))[0]))
        assert share == pytest.approx(chance, abs=5 * (chance / 5_000) ** 0.5 + 1e-3)
    assert share != pytest.approx(1 / 81, rel=0.2)  # something was learned


def test_what_is_rewarded_becomes_likelier() -> None:
    atoms, groups = parts(chains(2, 8, [None, None]), 8)
    policy = Policy(atoms, groups, np.ones((8, 2)), stray=1.0, seed=0)
    for _ in range(30):
        samples = policy.sample(16)
        gain = (samples.device == 1).mean(axis=1)
        policy.reinforce(samples, gain - gain.mean(), entropy=0.0)
    assert (policy.sample(50).device == 1).mean() > 0.8


def test_the_callers_random_numbers_and_threads_are_left_alone() -> None:
    atoms, groups = parts(chains(1, 4, [None, None]), 2)
    torch.manual_seed(7)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    policy = Policy(atoms, groups, np.ones((2, 2)), stray=1.0, seed=0)
    policy.reinforce(policy.sample(4), np.array([1.0, -1.0, 1.0, -1.0]), 0.0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("taught", [True, False])
def test_two_chains_are_parted(taught: bool) -> None:
    task = chains(2, 6, [None, None])
    score = Simulator(task).score
    start = next(single.plan(task, soon(), 0))
    plans = list(hierarchical.improve(task, soon(), 0, start, score, cycles_max=1, taught=taught))
    seconds = [score(one).seconds for one in plans]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] == 6.0


def test_the_same_seed_finds_the_same_plans() -> None:
    task = chains(3, 4, [None, None])
    start, score = next(single.plan(task, soon(), 0)), Simulator(task).score

    def found() -> list[list[int]]:
        plans = hierarchical.improve(task, soon(), 3, start, score, cycles_max=1)
        return [one.device.tolist() for one in plans]

    assert found() == found() != []


def test_the_portfolio_may_ask_it() -> None:
    task = chains(2, 6, [None, None])
    improvers = {"hierarchical": portfolio.LEARNED["hierarchical"]}
    result = portfolio.best_plan(
        task, 20, 0, score=Simulator(task).score, bound=6.0,
        planners={"single": single.plan}, improvers=improvers,
    )  # fmt: skip
    assert [row.name for row in result.rows] == ["single", "hierarchical"]
    assert result.score.seconds == 6.0


def test_memory_comes_before_seconds() -> None:
    """One device holds no more than half of the operators."""
    task = chains(2, 4, [60, 60], resident=10)
    score = Simulator(task).score
    start = Plan(np.zeros(8, np.int32))
    assert score(start).excess_bytes > 0
    best = list(hierarchical.improve(task, soon(), 0, start, score, cycles_max=1))[-1]
    assert score(best).excess_bytes == 0
    assert score(best).seconds == 4.0


@given(tasks())
@settings(max_examples=2, deadline=None)
def test_groups_stay_together_where_they_can_run(task: Task) -> None:
    score, worth = Simulator(task).score, []
    try:
        for one in hierarchical.plan(task, soon(), 0, cycles_max=1):
            can = task.seconds()[one.device, np.arange(len(task.graph))]
            assert np.isfinite(can).all() or not worth
            for group in set(task.graph.group.tolist()) - {NO_GROUP}:
                assert len(set(one.device[task.graph.group == group].tolist())) == 1
            worth.append(score(one))
    except PlanError:
        return
    assert all(later.better_than(one) for one, later in pairwise(worth))
    assert not any(score(one).better_than(worth[-1]) for one in heft.plan(task, soon(), 0))


def test_the_largest_load_of_a_pipeline_is_an_objective_too() -> None:
    task = chains(2, 6, [None, None])
    task = Task(task.graph, task.cluster, "throughput")
    plans: list[Any] = list(hierarchical.plan(task, soon(), 0, cycles_max=1))
    assert scorer(task)(plans[-1]).seconds == 6.0
