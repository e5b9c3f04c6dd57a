"""The hierarchical planner's networks: what they say, what they learn, what is found with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import task_of, tasks

from acumen.placement.graph import NO_GROUP
from acumen.placement.plan import Deadline, Plan, PlanError, Task
from acumen.placement.planners import heft, hierarchical, single
from acumen.placement.planners.grouping import Atoms, Groups
from acumen.placement.planners.hierarchical_policy import Policy
from acumen.placement.planners.lists import Lists
from acumen.placement.planners.sequence import scorer
from acumen.placement.planners.units import units_of
from acumen.placement.simulator import Simulator

pytest.importorskip("torch")


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


def test_drawn_chances_are_those_that_lessons_are_about() -> None:
    """Said one by one and all at once, devices have the same chances."""
    atoms, groups = parts(chains(2, 6, [None] * 3), 4)
    policy = Policy(atoms, groups, stray=2.0, seed=1)
    doubt = np.full((4, 3), 0.2)
    for _ in range(20):
        policy.imitate(np.array([0, 1, 2, 0]), doubt)
    drawn = policy.sample(20_000)
    assert drawn.of_atoms(groups).shape == (20_000, 12)
    for devices in ([0, 1, 2, 0], [0, 0, 0, 0], [1, 1, 2, 0]):
        share = (drawn.device == devices).all(axis=1).mean()
        chance = float(np.exp(policy.chances(np.array([devices]))[0]))
        assert share == pytest.approx(chance, abs=5 * (chance / 20_000) ** 0.5 + 1e-3)


def test_a_placement_is_imitated() -> None:
    atoms, groups = parts(chains(4, 8, [None] * 4), 16)
    policy, right = Policy(atoms, groups, stray=1.0, seed=0), np.arange(16) * 7 % 4
    before = policy.imitate(right, np.zeros((16, 4)))
    assert before == pytest.approx(0.25)
    for _ in range(60):
        after = policy.imitate(right, np.zeros((16, 4)))
    assert after > 0.9
    device = policy.sample(50).of_atoms(groups)
    assert (device == right[groups.of]).mean() > 0.9


def test_what_is_rewarded_becomes_likelier() -> None:
    atoms, groups = parts(chains(2, 8, [None, None]), 8)
    policy = Policy(atoms, groups, stray=1.0, seed=0)
    for _ in range(60):
        samples = policy.sample(16)
        gain = (samples.device == 1).mean(axis=1)
        policy.reinforce(samples, gain - gain.mean(), entropy=0.0)
    assert (policy.sample(50).device == 1).mean() > 0.8


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
@settings(max_examples=6, deadline=None)
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
    assert all(later.better_than(one) for one, later in zip(worth, worth[1:], strict=False))
    assert not any(score(one).better_than(worth[-1]) for one in heft.plan(task, soon(), 0))


def test_the_largest_load_of_a_pipeline_is_an_objective_too() -> None:
    task = chains(2, 6, [None, None])
    task = Task(task.graph, task.cluster, "throughput")
    plans: list[Any] = list(hierarchical.plan(task, soon(), 0, cycles_max=1))
    assert scorer(task)(plans[-1]).seconds == 6.0
