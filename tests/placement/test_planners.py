"""What holds for every planner, what each is known for, and what local search finds."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import best_of_all, task_of, tasks

from acumen.placement.graph import NO_GROUP
from acumen.placement.plan import Deadline, Plan, PlanError, Planner, Task
from acumen.placement.planners.anneal import plan as anneal
from acumen.placement.planners.layers import plan as layers
from acumen.placement.planners.lists import Lists
from acumen.placement.planners.metis import plan as metis
from acumen.placement.planners.msct import favourites
from acumen.placement.planners.msct import plan as msct
from acumen.placement.planners.refine import plan as refine
from acumen.placement.planners.single import plan as single
from acumen.placement.portfolio import LATENCY_PLANNERS
from acumen.placement.simulator import Simulator


def refined(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    start = next(layers(task, deadline, seed))
    return refine(task, deadline, seed, start, Simulator(task).score, evaluations_max=60)


def annealed(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    start = next(layers(task, deadline, seed))
    return anneal(task, deadline, seed, start, Simulator(task).score, evaluations_max=60)


PLANNERS: dict[str, Planner] = {**LATENCY_PLANNERS, "refine": refined, "anneal": annealed}
del PLANNERS["modules"]  # has nothing to say of operators without modules: test_modules.py


def soon() -> Deadline:
    return Deadline.after(60)


def check(task: Task, plan: Plan) -> None:
    graph = task.graph
    assert plan.device.shape == (len(graph),)
    assert plan.device.dtype == np.int32
    assert np.isfinite(task.seconds()[plan.device, np.arange(len(graph))]).all()
    for group in np.unique(graph.group[graph.group != NO_GROUP]):
        assert len(set(plan.device[graph.group == group].tolist())) == 1
    if plan.priority is not None:
        assert sorted(plan.priority.tolist()) == list(range(len(graph)))


def same(one: Plan, other: Plan) -> bool:
    return one.device.tolist() == other.device.tolist() and (
        (one.priority is None) == (other.priority is None)
        and (one.priority is None or one.priority.tolist() == other.priority.tolist())
    )


def all_plans(planner: Planner, task: Task, seed: int) -> list[Plan] | str:
    try:
        return list(planner(task, soon(), seed))
    except PlanError as error:
        return str(error)


@given(tasks(), st.integers(0, 2**40))
@settings(max_examples=20, deadline=None)
def test_every_plan_is_valid_and_the_seed_decides(task: Task, seed: int) -> None:
    refusals = set()
    for planner in PLANNERS.values():
        plans, again = all_plans(planner, task, seed), all_plans(planner, task, seed)
        refusals.add(plans if isinstance(plans, str) else "")
        if isinstance(plans, str):
            assert plans == again
            continue
        for plan, other in zip(plans, again, strict=True):
            check(task, plan)
            assert same(plan, other)
    assert len(refusals) == 1  # they agree on what is impossible


@given(tasks(operators_max=5))
@settings(max_examples=20, deadline=None)
def test_what_is_refused_is_impossible(task: Task) -> None:
    try:
        plans = list(layers(task, soon(), 0))
    except PlanError:
        score = Simulator(task).score
        for device in itertools.product(range(len(task.cluster)), repeat=len(task.graph)):
            plan = Plan(np.array(device, np.int32))
            try:
                check(task, plan)
            except AssertionError:
                continue
            assert score(plan).excess_bytes > 0
    else:
        assert len(plans) == 1


@pytest.mark.parametrize("name", [name for name in PLANNERS if name != "single"])
def test_memory_is_respected(name: str) -> None:
    # Nine operators of 10 bytes, and a tensor of 1 byte each, on three devices of 36 bytes.
    edges = [(i, i + 1) for i in range(8)]
    task = task_of(np.ones(9), edges, 1, [36, 36, 36], resident=10)
    score = Simulator(task).score
    plans = list(PLANNERS[name](task, soon(), 0))
    assert (
        min(score(plan).excess_bytes for plan in plans) == 0
        if plans
        else name in ("refine", "anneal")
    )


@pytest.mark.parametrize("name", list(PLANNERS))
def test_too_little_memory_is_said_in_bytes(name: str) -> None:
    task = task_of([1.0, 1, 1], [(0, 1)], 7, [1_500, None], resident=[10, 1_600, 10])
    assert not isinstance(all_plans(PLANNERS[name], task, 0), str)
    task = task_of([1.0, 1, 1], [(0, 1)], 7, [1_500, 900], resident=[10, 1_600, 10])
    with pytest.raises(PlanError, match=r"'op1' needs 1,607 bytes .* holds 1,500"):
        list(PLANNERS[name](task, soon(), 0))
    task = task_of([1.0, 1, 1], [(0, 1)], 7, [1_000, 900], resident=[700, 700, 700])
    with pytest.raises(PlanError, match=r"keep 2,100 bytes; all devices together hold 1,900"):
        list(PLANNERS[name](task, soon(), 0))


def test_a_group_without_a_common_device_is_named() -> None:
    inf = np.inf
    task = task_of([[1, inf], [inf, 1]], [], 0, [None, None], group=np.zeros(2, np.int32))
    with pytest.raises(PlanError, match="'op0' and 'op1' must share a device"):
        list(single(task, soon(), 0))


def test_a_group_is_as_large_as_its_operators() -> None:
    group = np.array([0, 0, -1], np.int32)
    task = task_of([1.0, 1, 1], [], 0, [15, 15], resident=8, group=group)
    with pytest.raises(PlanError, match=r"needs 16 bytes"):
        list(single(task, soon(), 0))


def test_layers_are_of_equal_work_and_keep_the_backward_pass_with_them() -> None:
    # Four layers forward, then back: operator 7 - i undoes operator i.
    forward = [(0, 1), (1, 2), (2, 3)]
    edges = [*forward, (3, 4), (4, 5), (5, 6), (6, 7), (2, 5), (1, 6), (0, 7)]
    backward = np.arange(8) >= 4
    seconds = [3.0, 1, 1, 1, 2, 2, 2, 6]
    task = task_of(seconds, edges, 1, [None, None], backward=backward)
    (plan,) = layers(task, soon(), 0)
    assert plan.device.tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    group = np.array([0, 1, 2, 3, 3, 2, 1, 0], np.int32)
    task = task_of(seconds, edges, 1, [None, None], backward=backward, group=group)
    (plan,) = layers(task, soon(), 0)
    assert plan.device.tolist() == [0, 1, 1, 1, 1, 1, 1, 0]


def test_a_slow_device_gets_few_layers() -> None:
    edges = [(i, i + 1) for i in range(11)]
    task = task_of([np.ones(12), np.full(12, 5.0)], edges, 1, [None, None])
    (plan,) = layers(task, soon(), 0)
    assert plan.device.tolist() == [0] * 10 + [1] * 2


def test_metis_cuts_where_little_flows() -> None:
    # Two rings of four, joined by one small tensor.
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (4, 5), (4, 6), (5, 7), (6, 7), (3, 4)]
    task = task_of(np.ones(8), edges, [100] * 8 + [1], [None, None])
    plan = next(metis(task, soon(), 0))
    assert len(set(plan.device[:4].tolist())) == len(set(plan.device[4:].tolist())) == 1
    assert plan.device[0] != plan.device[4]


def test_metis_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymetis", None)
    with pytest.raises(PlanError, match="pip install"):
        next(metis(task_of(np.ones(4), [(0, 1)], 1, [None, None]), soon(), 0))


@pytest.mark.parametrize("installed", [True, False])
def test_the_favourite_child_is_on_the_long_path(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "highspy", None)
    task = task_of([1.0, 9, 1, 1], [(0, 1), (0, 2), (1, 3), (2, 3)], 1, [None, None])
    chosen = favourites(task, Lists(task), 10.0)
    assert chosen.tolist() == [1, 3, -1, -1]
    assert len(list(msct(task, soon(), 0))) == 2


@pytest.mark.parametrize("seed", range(6))
def test_local_search_finds_the_optimum_of_small_tasks(seed: int) -> None:
    draw = np.random.default_rng(seed)
    n = 7
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    edges = [pairs[i] for i in draw.choice(len(pairs), 9, replace=False)]
    task = task_of(
        draw.integers(1, 9, (2, n)), edges, draw.integers(1, 9, 9), [None, 40, None],
        resident=draw.integers(1, 9, n), latency=0.5, bytes_per_second=4.0,
    )  # fmt: skip
    best = best_of_all(task)
    start = Plan(np.zeros(n, np.int32))
    found = list(refine(task, soon(), seed, start, Simulator(task).score, evaluations_max=1_500))
    score = Simulator(task).score(found[-1])
    assert score.excess_bytes == 0
    assert score.seconds <= best.seconds * (1 + 1e-12)  # priorities may even make it quicker


@pytest.mark.parametrize("search", [refine, anneal])
@pytest.mark.parametrize("seed", range(3))
def test_local_search_only_ever_gets_better(
    search: Callable[..., Iterator[Plan]], seed: int
) -> None:
    edges = [(i, j) for i in range(12) for j in (i + 3, i + 5) if j < 12]
    task = task_of(np.arange(1, 13), edges, 2, [None] * 3, bytes_per_second=2.0)
    score = Simulator(task).score
    before = score(start := Plan(np.zeros(12, np.int32)))
    for plan in search(task, soon(), seed, start, score, evaluations_max=300):
        after = score(plan)
        assert after.better_than(before)
        before = after
    assert before.seconds < 78


@pytest.mark.parametrize("search", [refine, anneal])
def test_local_search_has_nothing_to_do_on_one_device(
    search: Callable[..., Iterator[Plan]],
) -> None:
    task = task_of([1.0, 2], [(0, 1)], 1, [None])
    assert list(search(task, soon(), 0, Plan(np.zeros(2, np.int32)), Simulator(task).score)) == []
