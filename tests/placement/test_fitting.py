"""What would fit, where nothing does: bounds hold for every plan, and what is enough is enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import task_of
from small_tasks import Asked, asked

from acumen.placement import loads
from acumen.placement.cluster import Cluster, Device
from acumen.placement.devices import parse_devices
from acumen.placement.fitting import Fit, fitting, with_another
from acumen.placement.memory_bound import MemoryBound, live_bytes, with_memory
from acumen.placement.plan import Deadline, Task
from acumen.placement.simulator import Simulator


def fit_of(task: Task) -> Fit:
    fit = fitting(task, Deadline.after(1.0))
    assert fit is not None
    return fit


def pipeline(sizes: list[int], limits: list[int | None]) -> Task:
    edges = [(i, i + 1) for i in range(len(sizes) - 1)]
    task = task_of([1.0] * len(sizes), edges, 0, limits, resident=sizes)
    return replace(task, objective="throughput")


@settings(max_examples=25, deadline=None)
@given(asked(feasible=True))
def test_no_plan_needs_less_than_the_bound(one: Asked) -> None:
    everyone = tuple(range(len(one.task.cluster)))
    for task in (one.task, replace(one.task, objective="throughput")):
        worth = Simulator(task).score if task.objective == "latency" else None
        score = worth(one.plan) if worth else loads.score(task, one.plan)
        if not np.isfinite(score.seconds):
            continue
        bound = MemoryBound.of(task, everyone).memory(len(everyone))
        assert bound <= score.memory_bytes.max()
        kept = int(task.graph.resident_bytes.sum())
        if task.objective == "latency":
            assert live_bytes(task.graph) + kept <= score.memory_bytes.sum()


def test_what_the_backward_pass_reads_must_be_kept_until_then() -> None:
    # Activations of 10, 20 and 30 bytes are all there while the last of them is made.
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5), (1, 4), (2, 3)]
    sizes = [10, 20, 30, 1, 1, 10, 20, 30]
    task = task_of([1.0] * 6, edges, sizes, [None, None], backward=np.arange(6) > 2)
    assert live_bytes(task.graph) == 10 + 20 + 30 + 1  # and what the backward pass begins with


@pytest.mark.parametrize(
    ("sizes", "limits", "least", "count"),
    [
        ([6, 6, 6, 6], [10, 10], 12, 4),  # two together are too many for one
        ([1, 1, 1, 1, 8], [5, 5], 8, None),  # one alone is
        ([3, 3, 3, 3, 3], [5, 5, 5], 6, 5),  # the pigeonhole: 5 > 2 · 2
        ([3, 3, 3, 3], [5, None], 0, 1),  # the other device holds everything
    ],
)
def test_lower_bounds(sizes: list[int], limits: list[int | None], least: int, count: int) -> None:
    task = pipeline(sizes, limits)
    devices = tuple(i for i, one in enumerate(limits) if one is not None)
    bound = MemoryBound.of(task, devices)
    assert bound.memory(len(devices)) == least
    assert bound.count(next(one for one in limits if one is not None)) == count


def test_what_is_enough_for_a_chain() -> None:
    task = pipeline([6, 6, 6, 6], [10, 10])
    fit = fit_of(task)
    assert (fit.least_bytes, fit.enough_bytes, fit.least_count, fit.enough_count) == (12, 12, 4, 4)
    assert fit.enough is not None
    assert loads.score(with_memory(task, (0, 1), 12), fit.enough).excess_bytes == 0
    assert fit.sentence(task.cluster) == (
        "no plan fits on 2 devices like d0 of 10 bytes each: 12 bytes each are enough, less never "
        "fits; of this size 4 devices are enough, fewer never fits"
    )


def test_one_operator_that_is_too_large_is_named() -> None:
    task = pipeline([1, 1, 8], [5, 5])
    assert "operator 'op2' alone needs 8 bytes" in fit_of(task).sentence(task.cluster)


def test_a_step_that_fits_after_all_is_found() -> None:
    task = pipeline([4, 4], [5, 5])
    fit = fit_of(task)
    assert (fit.enough_bytes, fit.score and fit.score.excess_bytes) == (4, 0)
    assert "no plan was found that fits" in fit.sentence(task.cluster)


def test_accelerators_are_varied_and_hosts_keep_their_memory() -> None:
    table = np.array([[1.0, 1, np.inf], [9, 9, 9]])
    devices = [Device("cpu:0", "cpu", 7), Device("gpu:0", "gpu", 5), Device("gpu:1", "gpu", 5)]
    task = task_of(table, [(0, 1), (1, 2)], 0, [1], resident=[9, 9, 3])
    graph = replace(task.graph, seconds={"gpu": table[0], "cpu": table[1]})
    task = Task(graph, Cluster.full_mesh(devices, 0.0, np.inf), "latency")
    fit = fit_of(task)
    assert fit.devices == (1, 2)
    assert (fit.least_bytes, fit.enough_bytes) == (9, 9)


def test_without_limits_there_is_nothing_to_say() -> None:
    assert fitting(pipeline([3], [None]), Deadline.after(1.0)) is None


def test_one_more_device_is_connected_as_its_like() -> None:
    bus = with_another(parse_devices("gpu:k80*3,cpu"), (0, 1, 2))
    assert [device.name for device in bus.devices][-1] == "gpu:4"
    assert len(set(bus.route[4, :4].tolist())) == 1  # all that it sends leaves by one port ...
    assert bus.route[4, 0] not in bus.route[:4]  # ... of its own
    assert bus.route[0, 4] == bus.route[0, 1]
    mesh = with_another(
        Cluster.full_mesh([Device(f"d{i}", "k") for i in range(3)], 0, 1), (0, 1, 2)
    )
    others = mesh.route[~np.eye(4, dtype=bool)]
    assert len(set(others.tolist())) == 12
    alone = with_another(parse_devices("gpu"), (0,))
    assert len(alone) == 2
    shared = with_another(Cluster.one_bus([Device("a", "k"), Device("b", "k")], 0, 1), (0, 1))
    assert set(shared.route.ravel().tolist()) == {0}
