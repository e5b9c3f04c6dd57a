"""The native simulator against the slow one, to the last bit; its bounds; and what it refuses."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_simulator import SlowSimulator
from small_tasks import Asked, asked, plans, tasks

from acumen.placement import Channel, Cluster, Device, Graph
from acumen.placement.graph import Tensors
from acumen.placement.plan import Plan, PlanError, Task
from acumen.placement.simulator import Simulator


def diamond(
    cluster: Cluster, sizes: list[int] | None = None, seconds: dict[str, Any] | None = None
) -> Task:
    """a → b, c → d; what a makes is one tensor that both read."""
    tensors = Tensors(
        producer=np.array([0, 1, 2, 3], np.int32),
        size_bytes=np.array(sizes or [10, 20, 30, 40], np.int64),
        start=np.array([0, 2, 3, 4, 4], np.int64),
        consumers=np.array([1, 2, 3, 3], np.int32),
    )
    costs = seconds or {"gpu": [1.0, 2.0, 3.0, 4.0]}
    columns = {kind: np.array(column, np.float64) for kind, column in costs.items()}
    resident = np.array([100, 200, 300, 400], np.int64)
    return Task(Graph("diamond", "abcd", columns, resident, tensors), cluster, "latency")


def gpus(d: int, memory_bytes: int | None = None) -> Cluster:
    devices = [Device(f"gpu:{i}", "gpu", memory_bytes) for i in range(d)]
    return Cluster.full_mesh(devices, latency_seconds=0.5, bytes_per_second=10.0)


def plan_of(*device: int, priority: list[int] | None = None) -> Plan:
    first = None if priority is None else np.array(priority, np.int32)
    return Plan(np.array(device, np.int32), first)


def test_a_step_by_hand() -> None:
    simulator = Simulator(diamond(gpus(2)))
    timeline = simulator.timeline(plan_of(0, 0, 1, 0))
    # a is copied from 1 to 2.5, c runs until 5.5, its tensor is copied until 9.
    assert timeline.start.tolist() == [0.0, 1.0, 2.5, 9.0]
    assert timeline.end.tolist() == [1.0, 3.0, 5.5, 13.0]
    copies = timeline.copies
    assert copies.tensor.tolist() == [0, 2]
    assert copies.source.tolist() == [0, 1]
    assert copies.destination.tolist() == [1, 0]
    assert copies.start.tolist() == [1.0, 5.5]
    assert copies.end.tolist() == [2.5, 9.0]
    assert len(copies) == 2
    step = simulator.simulate(plan_of(0, 0, 1, 0))
    assert step.seconds == 13.0
    assert step.busy_seconds.tolist() == [7.0, 3.0]
    # Device 0, most at the end: b's 20, the copy of c's 30 and d's 40; device 1: a's copy, c's own.
    assert step.peak_bytes.tolist() == [700 + 20 + 30 + 40, 300 + 10 + 30]


def test_a_tensor_is_copied_once_to_each_device() -> None:
    timeline = Simulator(diamond(gpus(2))).timeline(plan_of(0, 1, 1, 1))
    assert len(timeline.copies) == 1
    assert timeline.start.tolist() == [0.0, 2.5, 4.5, 7.5]


def test_copies_wait_for_their_channel() -> None:
    devices = [Device(f"gpu:{i}", "gpu") for i in range(3)]
    task = diamond(Cluster.one_bus(devices, 0.5, 10.0))
    copies = Simulator(task).timeline(plan_of(0, 1, 2, 0)).copies
    assert copies.destination.tolist() == [1, 2, 0, 0]
    assert copies.start.tolist()[:2] == [1.0, 2.5]
    free = Simulator(task, contention=False).timeline(plan_of(0, 1, 2, 0)).copies
    assert free.start.tolist()[:2] == [1.0, 1.0]


@pytest.mark.parametrize("places", [[0, 1], [1, 0]])
def test_copies_that_become_possible_together_go_by_tensor(places: list[int]) -> None:
    # Tensor 0 is made by operator 1 and tensor 1 by operator 0, which end at the same time.
    tensors = Tensors(
        producer=np.array([1, 0], np.int32),
        size_bytes=np.array([10, 20], np.int64),
        start=np.array([0, 1, 2], np.int64),
        consumers=np.array([2, 3], np.int32),
    )
    graph = Graph("pair", "abcd", {"gpu": np.ones(4)}, np.zeros(4, np.int64), tensors)
    bus = Cluster.one_bus([Device(f"gpu:{i}", "gpu") for i in range(3)], 0.5, 10.0)
    copies = Simulator(Task(graph, bus, "latency")).timeline(plan_of(*places, 2, 2)).copies
    assert copies.start.tolist() == [1.0, 2.5]
    assert copies.end.tolist() == [2.5, 5.0]


def test_a_lower_priority_number_runs_first() -> None:
    simulator = Simulator(diamond(gpus(1)))
    assert simulator.timeline(plan_of(0, 0, 0, 0)).start.tolist() == [0.0, 1.0, 3.0, 6.0]
    swapped = simulator.timeline(plan_of(0, 0, 0, 0, priority=[0, 5, -5, 0]))
    assert swapped.start.tolist() == [0.0, 4.0, 1.0, 6.0]


def test_where_an_operator_cannot_run_a_step_takes_for_ever() -> None:
    cluster = Cluster.full_mesh([Device("c", "cpu"), Device("g", "gpu"), Device("t", "tpu")], 0, 1)
    costs = {"cpu": [1.0, np.inf, 1.0, 1.0], "gpu": [np.inf, 1.0, 1.0, 1.0]}
    simulator = Simulator(diamond(cluster, seconds=costs))
    rows = [[0, 1, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0]]
    seconds = simulator.seconds_of(np.array(rows, np.int32))
    assert np.isfinite(seconds).tolist() == [True, False, False]
    for row in rows[1:]:
        assert simulator.simulate(plan_of(*row)).seconds == np.inf
        assert simulator.timeline(plan_of(*row)).end[1] == np.inf
        assert simulator.score(plan_of(*row)).seconds == np.inf


def test_a_score_says_what_does_not_fit() -> None:
    score = Simulator(diamond(gpus(2, memory_bytes=500))).score(plan_of(0, 0, 1, 0))
    assert score.memory_bytes.tolist() == [790, 340]
    assert score.excess_bytes == 290
    assert Simulator(diamond(gpus(2))).score(plan_of(0, 0, 1, 0)).excess_bytes == 0


@settings(max_examples=120, deadline=None)
@given(asked(), st.booleans())
def test_the_slow_one_finds_the_same_bits(one: Asked, contention: bool) -> None:
    simulator = Simulator(one.task, contention)
    timeline, step = simulator.timeline(one.plan), simulator.simulate(one.plan)
    slow = SlowSimulator(one.task, one.plan, contention)
    assert timeline.start.tolist() == [run.start for run in slow.operators]
    assert timeline.end.tolist() == [run.end for run in slow.operators]
    copies = timeline.copies
    columns = (copies.tensor, copies.source, copies.destination, copies.start, copies.end)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == sorted(
        (copy.tensor, copy.source, copy.destination, copy.start, copy.end) for copy in slow.copies
    )
    assert step.seconds == slow.seconds
    assert step.busy_seconds.tolist() == slow.busy
    assert step.peak_bytes.tolist() == slow.peak
    many = simulator.seconds_of(one.plan.device[None], one.plan.priority)
    assert many.tolist() == [slow.seconds]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_nothing_is_left_of_the_plan_before(data: st.DataObject) -> None:
    task = data.draw(tasks())
    used = Simulator(task)
    for _ in range(3):
        plan = data.draw(plans(task))
        step, fresh = used.simulate(plan), Simulator(task).simulate(plan)
        assert step.seconds == fresh.seconds
        assert step.busy_seconds.tolist() == fresh.busy_seconds.tolist()
        assert step.peak_bytes.tolist() == fresh.peak_bytes.tolist()
        seconds = used.seconds_of(plan.device[None], plan.priority)
        assert seconds.tolist() == [step.seconds]


@settings(max_examples=30, deadline=None)
@given(asked())
def test_without_contention_copies_start_when_they_can(one: Asked) -> None:
    for contention in (False, True):
        timeline = Simulator(one.task, contention).timeline(one.plan)
        possible = timeline.end[one.task.graph.tensors.producer[timeline.copies.tensor]]
        late = timeline.copies.start > possible
        assert (timeline.copies.start >= possible).all()
        assert contention or not late.any()


@settings(max_examples=20, deadline=None)
@given(tasks())
def test_one_device_takes_the_sum_of_its_operators(task: Task) -> None:
    cluster = Cluster(task.cluster.devices[:1], task.cluster.channels, task.cluster.route[:1, :1])
    times = task.graph.seconds[cluster.devices[0].kind]
    whole = np.where(np.isfinite(times), times, 1.0)
    graph = Graph(
        "one",
        task.graph.operators,
        {cluster.devices[0].kind: whole},
        task.graph.resident_bytes,
        task.graph.tensors,
    )
    step = Simulator(Task(graph, cluster, "latency")).simulate(Plan(np.zeros(len(graph), np.int32)))
    total = 0.0
    for operator in graph.order:
        total += whole[operator]
    assert step.seconds == step.busy_seconds[0] == total


def test_what_does_not_fit_is_refused() -> None:
    simulator = Simulator(diamond(gpus(2)))
    with pytest.raises(ValueError, match="'c' is on device 2; there are 2"):
        simulator.simulate(plan_of(0, 0, 2, 0))
    with pytest.raises(ValueError, match="'b' is on device -1"):
        simulator.timeline(plan_of(0, -1, 0, 0))
    with pytest.raises(ValueError, match="'d' is on device 4294967296"):
        simulator.seconds_of(np.array([[0, 0, 0, 1], [0, 0, 0, 2**32]]))
    with pytest.raises(ValueError, match="devices of 3 operators"):
        simulator.score(plan_of(0, 0, 0))
    with pytest.raises(ValueError, match="shape"):
        simulator.simulate(Plan(np.zeros((1, 4), np.int32)))
    with pytest.raises(ValueError, match="shape"):
        simulator.seconds_of(np.zeros(4, np.int32))
    with pytest.raises(ValueError, match="not float64"):
        simulator.seconds_of(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="priorities of shape"):
        simulator.simulate(plan_of(0, 0, 0, 0, priority=[1]))
    with pytest.raises(ValueError, match="'b' has priority 2147483648"):
        simulator.simulate(Plan(np.zeros(4, np.int32), np.array([0, 2**31, 0, 0])))
    with pytest.raises(ValueError, match="priorities are integers"):
        simulator.simulate(Plan(np.zeros(4, np.int32), np.zeros(4)))
    assert simulator.seconds_of(np.zeros((0, 4), np.int32)).shape == (0,)
    # Rows apart in memory, and other integers.
    assert simulator.seconds_of(np.zeros((6, 8), np.int64)[::3, ::2]).tolist() == [10.0, 10.0]


def test_graphs_that_cannot_be_simulated_are_refused() -> None:
    with pytest.raises(PlanError, match="'a' runs on none"):
        Simulator(diamond(gpus(1), seconds={"cpu": [1.0] * 4}))
    with pytest.raises(ValueError, match="add up to more"):
        Simulator(diamond(gpus(1), sizes=[2**62, 2**62, 1, 1]))


def test_threads_take_turns() -> None:
    rng = np.random.default_rng(0)
    cluster = gpus(3)
    task = diamond(cluster)
    simulator = Simulator(task)
    rows = rng.integers(0, 3, (2000, 4), np.int32)
    expected = simulator.seconds_of(rows).tolist()
    found: list[list[float]] = []

    def evaluate() -> None:
        found.extend(simulator.seconds_of(rows).tolist() for _ in range(5))

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(one == expected for one in found)


def test_a_channel_may_be_infinitely_quick() -> None:
    devices = [Device("gpu:0", "gpu"), Device("gpu:1", "gpu")]
    cluster = Cluster(devices, [Channel(0.0, np.inf)], np.zeros((2, 2), np.int16))
    assert Simulator(diamond(cluster)).simulate(plan_of(0, 0, 1, 0)).seconds == 8.0


def test_a_plan_that_tears_a_group_is_worth_nothing() -> None:
    group = np.array([-1, 5, 2, 5], np.int32)
    graph = Graph.from_edges(
        "tied", list("abcd"), {"gpu": [1.0] * 4}, [0] * 4, [(0, 1)], [0], group=group
    )
    devices = [Device(f"gpu:{i}", "gpu") for i in range(2)]
    simulator = Simulator(Task(graph, Cluster.full_mesh(devices, 0.0, np.inf), "latency"))
    whole, torn = Plan(np.array([0, 1, 0, 1])), Plan(np.array([0, 1, 0, 0]))
    assert simulator.score(whole).seconds == 2
    assert simulator.simulate(torn).seconds == 3  # what it would take
    assert np.isinf(simulator.score(torn).seconds)
