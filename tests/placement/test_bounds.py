"""Bounds: sound for every plan, and as good as they claim where the answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from small_tasks import Asked, asked, tasks

from acumen.placement import Cluster, Device, Graph
from acumen.placement.bounds import copying_path, critical_path, lower_bound, work_bound
from acumen.placement.plan import PlanError, Task
from acumen.placement.simulator import Simulator


def task_of(
    seconds: dict[str, list[float]], kinds: list[str], edges: list[tuple[int, int]]
) -> Task:
    n = len(next(iter(seconds.values())))
    graph = Graph.from_edges(
        "small", [f"op{i}" for i in range(n)], seconds, np.zeros(n), edges, np.zeros(len(edges))
    )
    devices = [Device(f"d{i}", kind) for i, kind in enumerate(kinds)]
    return Task(graph, Cluster.full_mesh(devices, 0.0, np.inf), "latency")


@settings(max_examples=60, deadline=None)
@given(asked(feasible=True))
def test_no_plan_is_below(one: Asked) -> None:
    bound = lower_bound(one.task)
    for contention in (True, False):
        assert Simulator(one.task, contention).simulate(one.plan).seconds >= bound


@settings(max_examples=20, deadline=None)
@given(tasks(operators_max=4))
def test_not_even_the_best_plan_is_below(task: Task) -> None:
    every = itertools.product(range(len(task.cluster)), repeat=len(task.graph))
    seconds = Simulator(task).seconds_of(np.array(list(every), np.int32))
    assert seconds.min() >= lower_bound(task)


@pytest.mark.parametrize("devices", [2, 3])
def test_forks_and_joins_cost_no_more_than_in_the_best_plan(devices: int) -> None:
    rng, better = np.random.default_rng(devices), 0
    every = np.array(list(itertools.product(range(devices), repeat=7)), np.int32)
    for _ in range(60):
        edges = [(int(rng.integers(max(0, v - 3), v)), v) for v in range(1, 7)]
        edges += [(a, a + int(gap)) for a, gap in enumerate(rng.integers(2, 5, 4)) if a + gap < 7]
        edges = sorted(set(edges))
        graph = Graph.from_edges(
            "drawn",
            [f"op{i}" for i in range(7)],
            {"gpu": rng.integers(1, 9, 7).astype(np.float64)},
            np.zeros(7),
            edges,
            rng.integers(0, 12, len(edges)),
        )
        cluster = Cluster.full_mesh([Device(f"d{i}", "gpu") for i in range(devices)], 0.25, 2.0)
        task = Task(graph, cluster, "latency")
        bound = copying_path(task)
        for priority in (None, rng.permutation(7).astype(np.int32)):
            best = Simulator(task, contention=False).seconds_of(every, priority).min()
            assert bound <= best
        assert bound >= critical_path(task) * (1 - 1e-8)
        better += bound > max(critical_path(task), work_bound(task)) * (1 + 1e-6)
    assert better >= 10  # of 60


def test_branches_take_turns_or_copy() -> None:
    def fork(copy_bytes: int, devices: int) -> float:
        edges = [(0, 1), (0, 2), (1, 3), (2, 3)]
        graph = Graph.from_edges(
            "fork",
            list("uabv"),
            {"gpu": [1.0, 5.0, 4.0, 1.0]},
            np.zeros(4),
            edges,
            [copy_bytes] * 4,
        )
        cluster = Cluster.full_mesh([Device(f"d{i}", "gpu") for i in range(devices)], 0.0, 10.0)
        return copying_path(Task(graph, cluster, "latency"))

    assert fork(90, 4) == pytest.approx(11, rel=1e-3)  # a and b one after the other
    assert fork(15, 4) == pytest.approx(8.5, rel=1e-3)  # a with u, b with v
    assert fork(1, 4) == pytest.approx(7, rel=1e-3)  # b elsewhere, while a runs
    assert fork(0, 4) == pytest.approx(7, rel=1e-3)  # the longest chain
    assert fork(0, 1) == pytest.approx(11, rel=1e-3)


def test_what_must_share_a_device_takes_turns_with_its_tails() -> None:
    # Of u's readers a, b and c none can be copied to; what follows a and b may run elsewhere.
    edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 6), (4, 6), (5, 6)]
    graph = Graph.from_edges(
        "tails",
        ["u", "a", "b", "c", "after a", "after b", "v"],
        {"gpu": [0.0, 2.0, 2.0, 1.0, 4.0, 4.0, 0.0]},
        np.zeros(7),
        edges,
        [1000] * 3 + [5] * 5,
    )
    cluster = Cluster.full_mesh([Device(f"d{i}", "gpu") for i in range(3)], 0.0, 10.0)
    task = Task(graph, cluster, "latency")
    every = np.array(list(itertools.product(range(3), repeat=7)), np.int32)
    order = np.array([0, 1, 2, 3, 4, 4, 5], np.int32)
    assert Simulator(task, contention=False).seconds_of(every, order).min() == 8.5
    # The chain is 6 s, the turns 5 s; a and b take turns, and then the later one's reader runs.
    assert copying_path(task) == pytest.approx(8.0, rel=1e-3)


def test_the_longest_chain() -> None:
    task = task_of({"gpu": [1.0, 5.0, 2.0, 4.0]}, ["gpu"] * 9, [(0, 1), (0, 2), (2, 3)])
    assert critical_path(task) == 7.0
    assert lower_bound(task) == 7.0
    mixed = task_of({"gpu": [1.0, 5.0], "cpu": [3.0, 1.0]}, ["gpu", "cpu"], [(0, 1)])
    assert critical_path(mixed) == 2.0


def test_work_on_devices_of_one_kind_is_shared_evenly() -> None:
    task = task_of({"gpu": [1.0] * 30}, ["gpu"] * 4, [])
    assert work_bound(task) == pytest.approx(7.5, rel=1e-9)
    assert work_bound(task) <= 7.5
    assert lower_bound(task) == work_bound(task)


def test_work_on_two_kinds_is_split_at_best() -> None:
    # 12 operators: 1 s on each of 2 gpus, 4 s on the cpu: together 2 + 1/4 operators a second.
    task = task_of({"gpu": [1.0] * 12, "cpu": [4.0] * 12}, ["gpu", "cpu", "gpu"], [])
    assert work_bound(task) == pytest.approx(12 / 2.25, rel=1e-4)
    # Each kind is quick at half of them: no operator goes where it is slow.
    half = task_of({"gpu": [1.0, 1.0, 9.0, 9.0], "cpu": [9.0, 9.0, 1.0, 1.0]}, ["gpu", "cpu"], [])
    assert work_bound(half) == pytest.approx(2.0, rel=1e-4)
    # The cpu has all that it can run, and waits.
    only = task_of({"gpu": [1.0, 1.0, 1.0], "cpu": [np.inf, np.inf, 2.0]}, ["gpu", "cpu"], [])
    assert work_bound(only) == pytest.approx(2.0, rel=1e-4)


def test_work_on_three_kinds() -> None:
    seconds = {"a": [1.0] * 6, "b": [2.0] * 6, "c": [3.0] * 6}
    task = task_of(seconds, ["a", "b", "c"], [])
    assert work_bound(task) == pytest.approx(6 / (1 + 1 / 2 + 1 / 3), rel=1e-4)


def test_a_pipeline_is_not_bound_by_the_longest_chain() -> None:
    task = task_of({"gpu": [1.0] * 4}, ["gpu"] * 4, [(0, 1), (1, 2), (2, 3)])
    assert lower_bound(task) == 4.0
    pipeline = Task(task.graph, task.cluster, "throughput")
    assert lower_bound(pipeline) == pytest.approx(1.0, rel=1e-9)


def test_an_operator_that_runs_nowhere_is_named() -> None:
    task = task_of({"gpu": [1.0], "cpu": [np.inf]}, ["cpu"], [])
    with pytest.raises(PlanError, match="'op0' runs on none"):
        lower_bound(task)
