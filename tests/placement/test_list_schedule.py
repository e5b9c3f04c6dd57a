"""The native list scheduler: a published example, what no schedule may do, what it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import copying, readers, task_of, tasks

from acumen._native import ListScheduler
from acumen.placement.plan import Deadline, PlanError, Task
from acumen.placement.planners.heft import heft
from acumen.placement.planners.lists import Lists, Schedule

NOBODY = np.empty(0, np.int32)

# Topcuoglu, Hariri and Wu 2002: the graph of figure 2 and its table of costs.
TEXTBOOK_SECONDS = [
    [14, 13, 11, 13, 12, 13, 7, 5, 18, 21],
    [16, 19, 13, 8, 13, 16, 15, 11, 12, 7],
    [9, 18, 19, 17, 10, 9, 11, 14, 20, 16],
]
TEXTBOOK_EDGES = {
    (1, 2): 18, (1, 3): 12, (1, 4): 9, (1, 5): 11, (1, 6): 14, (2, 8): 19, (2, 9): 16, (3, 7): 23,
    (4, 8): 27, (4, 9): 23, (5, 9): 13, (6, 8): 15, (7, 10): 17, (8, 10): 11, (9, 10): 13,
}  # fmt: skip


def textbook() -> Task:
    edges = [(one - 1, other - 1) for one, other in TEXTBOOK_EDGES]
    times = np.array(list(TEXTBOOK_EDGES.values()), np.float64)
    return task_of(TEXTBOOK_SECONDS, edges, 0, [None] * 3, copy_seconds=times)


def test_the_textbook_example_of_heft() -> None:
    lists = Lists(textbook())
    expected = [108, 77, 80, 80, 69, 63 + 1 / 3, 42 + 2 / 3, 35 + 2 / 3, 44 + 1 / 3, 14 + 2 / 3]
    np.testing.assert_allclose(lists.upward_ranks(), expected, rtol=1e-12)
    made = lists.in_order(lists.order(), contention=False)
    assert made.seconds == 80
    # As in figure 3(a): 2 and 8 on the first processor; 4, 6, 9 and 10 on the second.
    assert made.device.tolist() == [2, 0, 2, 1, 2, 1, 2, 0, 1, 1]
    assert made.start.tolist() == [0, 27, 9, 18, 28, 26, 38, 57, 56, 73]
    assert made.end.tolist() == [9, 40, 28, 26, 38, 42, 49, 62, 68, 80]


def test_the_plan_of_heft_has_upward_ranks_as_priorities() -> None:
    plan = next(heft(textbook(), Deadline.after(10), 0))
    assert plan.priority is not None
    order = (np.argsort(plan.priority) + 1).tolist()
    assert order in ([1, 3, 4, 2, 5, 6, 9, 7, 8, 10], [1, 4, 3, 2, 5, 6, 9, 7, 8, 10])  # a tie


def test_what_is_placed_later_may_run_in_a_gap() -> None:
    # Device 0 waits for what device 1 makes, and operator 2 fits in meanwhile.
    inf = np.inf
    task = task_of(
        [[inf, 9, 2], [3, inf, inf]], [(0, 1)], 0, [None, None], copy_seconds=np.array([1.0])
    )
    made = Lists(task).in_order(np.array([0, 1, 2], np.int32), contention=False)
    assert made.start.tolist() == [0, 4, 0]
    assert made.end.tolist() == [3, 13, 2]


def test_copies_over_one_channel_follow_each_other() -> None:
    # Two tensors of 5 bytes have to cross, 5 seconds each.
    inf = np.inf
    task = task_of([[1, 1, inf, inf], [inf, inf, 1, 1]], [(0, 2), (1, 3)], 5, [None, None])
    order = np.arange(4, dtype=np.int32)
    free = Lists(task).in_order(order, contention=False)
    busy = Lists(task).in_order(order, contention=True)
    assert free.start.tolist() == [0, 1, 6, 7]
    assert busy.start.tolist() == [0, 1, 6, 11]
    ready = Lists(task).earliest_first(order, NOBODY, contention=True)
    assert ready.start.tolist() == busy.start.tolist()


def test_a_tensor_is_copied_to_a_device_once() -> None:
    inf = np.inf
    task = task_of([[1, inf, inf], [inf, 1, 1]], [(0, 1), (0, 2)], 5, [None, None])
    made = Lists(task).in_order(np.arange(3, dtype=np.int32), contention=True)
    assert made.start.tolist() == [0, 6, 7]
    assert made.peak_bytes.tolist() == [5, 5]


def test_a_device_waits_for_the_favourite() -> None:
    # When operator 0 has run, 3 could run on its device at once, but 2, the favourite, would be
    # there at 4, and elsewhere not before 9. Unless 3 could soon start anywhere, it has to wait.
    inf = np.inf
    order = np.array([0, 1, 3, 2], np.int32)
    for far, expected in ((8.0, [0, 0, 4, 8]), (0.5, [0, 0, 5, 1])):
        task = task_of(
            [[1, inf, 4, 4], [inf, 3, 4, 4]],
            [(0, 2), (1, 2), (0, 3)],
            0,
            [None, None],
            copy_seconds=np.array([8.0, 1.0, far]),
        )
        plain = Lists(task).earliest_first(order, NOBODY, contention=False)
        assert plain.start.tolist() == [0, 0, 5, 1]
        favourite = np.array([2, -1, -1, -1], np.int32)
        waiting = Lists(task).earliest_first(order, favourite, contention=False)
        assert waiting.start.tolist() == expected


def test_a_full_device_is_passed_over() -> None:
    task = task_of([[1, 1, 1], [9, 9, 9]], [], 0, [20, 10], resident=10)
    made = Lists(task).in_order(np.arange(3, dtype=np.int32), contention=False)
    assert made.device.tolist() == [0, 0, 1]
    assert made.peak_bytes.tolist() == [20, 10]
    made = Lists(task).earliest_first(np.arange(3, dtype=np.int32), NOBODY, contention=False)
    assert sorted(made.device.tolist()) == [0, 0, 1]


def peaks_in_order(task: Task, device: list[int], order: list[int], unit: list[int]) -> list[int]:
    """What devices hold while operators are placed: what the kernel promises, written plainly."""
    tensors, placed = task.graph.tensors, set[int]()
    most = [0] * len(task.cluster)
    for now, operator in enumerate(order):
        placed.add(operator)
        done = set(order[:now])
        here = device[operator]
        held = sum(
            int(task.graph.resident_bytes[one])
            for one in range(len(device))
            if any(unit[one] == unit[other] and device[other] == here for other in placed)
        )
        for tensor in range(len(tensors)):
            maker = int(tensors.producer[tensor])
            read_by = readers(task, tensor)
            if maker not in placed:
                continue
            over = read_by and all(one in done for one in read_by)
            unread = not read_by and maker != operator
            copied = any(device[one] == here for one in read_by if one in placed)
            if (device[maker] == here or copied) and not over and not unread:
                held += int(tensors.size_bytes[tensor])
        most[here] = max(most[here], held)
    return most


def check(task: Task, made: Schedule, contention: bool) -> None:
    """No operator starts before its data can be there, none while another runs."""
    table, device = task.seconds(), made.device.tolist()
    for operator, here in enumerate(device):
        assert made.end[operator] == made.start[operator] + table[here, operator]
    for here in range(len(task.cluster)):
        mine = [
            (start, end)
            for start, end, there in zip(made.start, made.end, device, strict=True)
            if there == here and end > start
        ]
        mine.sort()
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(mine))
    for tensor, maker in enumerate(task.graph.tensors.producer.tolist()):
        for one in readers(task, tensor):
            there = made.end[maker]
            if device[one] != device[maker]:
                there = there + copying(task, tensor, device[maker], device[one])
            assert made.start[one] >= there


@given(tasks())
@settings(max_examples=50, deadline=None)
def test_schedules_are_valid(task: Task) -> None:
    try:
        lists = Lists(task)
    except PlanError:
        return
    order = lists.order()
    edges = set(zip(*(end.tolist() for end in task.graph.edges), strict=True))
    favourite = np.full(len(order), -1, np.int32)
    for parent, child in edges:
        favourite[parent] = child
    for contention in (False, True):
        in_order = lists.in_order(order, contention)
        check(task, in_order, contention)
        unit = lists.units.of.tolist()
        assert in_order.peak_bytes.tolist() == peaks_in_order(
            task, in_order.device.tolist(), order.tolist(), unit
        )
        for favourites in (NOBODY, favourite):
            check(task, lists.earliest_first(order, favourites, contention), contention)


GOOD: dict[str, Any] = {
    "seconds": np.ones(4),
    "unit": np.array([0, 1], np.int32),
    "unit_bytes": np.zeros(2, np.int64),
    "producer": np.array([0], np.int32),
    "size_bytes": np.array([1], np.int64),
    "start": np.array([0, 1], np.int64),
    "consumers": np.array([1], np.int32),
    "copy_seconds": np.empty(0),
    "latency_seconds": np.zeros(1),
    "bytes_per_second": np.ones(1),
    "route": np.zeros(4, np.int16),
    "limit_bytes": np.full(2, 100, np.int64),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", np.ones(3)),
        ("seconds", np.array([1, np.nan, 1, 1.0])),
        ("unit", np.array([0, 2], np.int32)),
        ("unit_bytes", np.array([-1, 0], np.int64)),
        ("unit_bytes", np.array([2**62, 2**62], np.int64)),
        ("producer", np.array([2], np.int32)),
        ("size_bytes", np.array([-1], np.int64)),
        ("start", np.array([0, 2], np.int64)),
        ("start", np.array([1, 1], np.int64)),
        ("consumers", np.array([-1], np.int32)),
        ("copy_seconds", np.array([np.inf])),
        ("latency_seconds", np.array([-1.0])),
        ("bytes_per_second", np.zeros(1)),
        ("route", np.array([0, 1, 0, 0], np.int16)),
        ("limit_bytes", np.array([1, -1], np.int64)),
    ],
)
def test_the_kernel_refuses_what_cannot_be(name: str, value: Any) -> None:
    ListScheduler(**GOOD)
    with pytest.raises(ValueError, match="no such task"):
        ListScheduler(**{**GOOD, name: value})


@pytest.mark.parametrize("order", [[0], [0, 0], [1, 0], [0, 2], [-1, 0]])
def test_the_kernel_refuses_what_is_no_order(order: list[int]) -> None:
    native = ListScheduler(**GOOD)
    with pytest.raises(ValueError, match="order"):
        native.in_order(np.array(order, np.int32), False)
    with pytest.raises(ValueError, match="order"):
        native.earliest_first(np.array(order, np.int32), NOBODY, False)
    with pytest.raises(ValueError, match="favourite"):
        native.earliest_first(np.array([0, 1], np.int32), np.array([2, 0], np.int32), False)
