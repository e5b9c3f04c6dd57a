"""The learned placer: what it imitates, what it finds, and what carries over."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import best_of_all, task_of, tasks

from acumen.placement.graph import NO_GROUP
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners import heft, sequence
from acumen.placement.planners.pieces import CONTEXT, FEATURES, Walk, cut
from acumen.placement.simulator import Simulator


def soon() -> Deadline:
    return Deadline.after(60)


def layered(seed: int, width: int = 4, depth: int = 8, limits: int | None = None) -> Task:
    """Layers of operators, each of which reads two of the layer before, on three devices."""
    generator = np.random.default_rng(seed)
    edges = set()
    for layer in range(1, depth):
        for place in range(width):
            for one in generator.choice(width, 2, replace=False).tolist():
                edges.add(((layer - 1) * width + one, layer * width + place))
    pairs = sorted(edges)
    return task_of(
        generator.uniform(1.0, 5.0, width * depth),
        pairs,
        generator.integers(1, 20, len(pairs)),
        [limits] * 3,
        resident=10,
        bytes_per_second=10.0,
    )


def heft_plan(task: Task) -> Plan:
    return next(heft.plan(task, soon(), 0))


@pytest.mark.parametrize("seed", range(3))
def test_tiny_graphs_are_solved(seed: int) -> None:
    task = layered(seed, width=3, depth=2)
    score = Simulator(task).score
    plans = list(sequence.plan(task, soon(), seed, episodes_max=200))
    assert score(plans[-1]).seconds <= best_of_all(task).seconds * (1 + 1e-9)


def test_imitation_alone_reproduces_the_teacher() -> None:
    task = layered(5)
    score, policy = Simulator(task).score, sequence.Policy(1)
    teacher = heft_plan(task)
    trainer = sequence.Trainer(task, teacher, score, policy)
    before = trainer.imitate()
    for _ in range(40):
        agreed = trainer.imitate()
    assert before < 0.9
    assert agreed >= 0.95
    placed = policy.place(trainer.pieces)
    assert score(trainer.pieces.plan(placed)).seconds <= 1.1 * score(teacher).seconds


def seconds_untaught(task: Task, policy: sequence.Policy) -> float:
    """What the policy makes of a task that it has not been taught, on average."""
    trainer = sequence.Trainer(task, heft_plan(task), Simulator(task).score, policy)
    seconds = []
    for _ in range(10):
        trainer.episode(learning=False)
        seconds.append(trainer.last.seconds)
    return float(np.mean(seconds))


def test_a_saved_policy_carries_over_to_another_graph(tmp_path: Path) -> None:
    policy = sequence.Policy(1)
    for seed in range(3):
        task = layered(seed)
        trainer = sequence.Trainer(task, heft_plan(task), Simulator(task).score, policy)
        for _ in range(20):
            trainer.imitate()
    policy.save(tmp_path / "policy")
    taught = sequence.Policy(2)
    taught.load(tmp_path / "policy")
    other = layered(77, width=5, depth=9)
    assert seconds_untaught(other, taught) < 0.8 * seconds_untaught(other, sequence.Policy(2))


def test_a_seed_says_all() -> None:
    task = layered(3)

    def run(seed: int) -> list[list[int]]:
        policy = sequence.Policy(seed)
        trainer = sequence.Trainer(task, heft_plan(task), Simulator(task).score, policy)
        trainer.imitate()
        return [policy.place(trainer.pieces, lambda devices: sum(devices)) for _ in range(20)]

    assert run(4) == run(4)
    assert run(4) != run(5)
    first, second = (list(sequence.plan(task, soon(), 4, episodes_max=30)) for _ in range(2))
    assert [one.device.tolist() for one in first] == [one.device.tolist() for one in second]


@settings(max_examples=25, deadline=None)
@given(task=tasks())
def test_groups_and_memory_are_respected_and_plans_get_better(task: Task) -> None:
    score = Simulator(task).score
    try:
        plans = list(sequence.plan(task, soon(), 0, episodes_max=10))
    except PlanError:
        return
    for plan in plans:
        assert np.isfinite(task.seconds()[plan.device, np.arange(len(task.graph))]).all() or (
            not np.isfinite(score(plan).seconds)
        )
        for group in np.unique(task.graph.group[task.graph.group != NO_GROUP]):
            assert len(set(plan.device[task.graph.group == group].tolist())) == 1
    for one, next_one in pairwise(score(plan) for plan in plans):
        assert next_one.better_than(one)


def test_what_does_not_fit_is_not_offered() -> None:
    task = layered(2, limits=150)  # 32 operators keep 10 bytes each
    pieces = cut(task, heft_plan(task))
    walk = Walk(pieces)
    for number in range(len(pieces)):
        context, able, rows = walk.offers()
        assert len(context) == len(CONTEXT)
        assert {len(row) for row in rows} == {len(FEATURES)}
        assert np.isfinite(rows).all()
        assert (0 in able) == (number < 15)
        walk.put(able[0])
    assert [walk.devices.count(device) for device in range(3)] == [15, 15, 2]


def test_many_units_become_few_pieces_that_the_plan_does_not_divide() -> None:
    task = layered(1, width=10, depth=20)
    plan = heft_plan(task)
    pieces = cut(task, plan, pieces_max=40)
    assert 3 <= len(pieces) <= 60
    again = pieces.plan(pieces.devices(plan))
    assert again.device.tolist() == plan.device.tolist()


def test_an_improver_is_never_worse_than_its_start() -> None:
    task = layered(6)
    score = Simulator(task).score
    start = Plan(np.arange(32, dtype=np.int32) % 3)
    best: Score = score(start)
    found = list(sequence.improve(task, soon(), 1, start, score, episodes_max=50))
    assert found
    for plan in found:
        assert score(plan).better_than(best)
        best = score(plan)
