"""Tasks that planners are tried on, and what a plan is worth there, as plainly as can be."""

from __future__ import annotations

import heapq
import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from acumen.placement import Cluster, Device, Graph
from acumen.placement.plan import Plan, Score, Task


def copying(task: Task, tensor: int, here: int, there: int) -> float:
    tensors, cluster = task.graph.tensors, task.cluster
    if tensors.copy_seconds is not None:
        return float(tensors.copy_seconds[tensor])
    channel = cluster.channels[cluster.route[here, there]]
    return channel.latency_seconds + tensors.size_bytes[tensor] / channel.bytes_per_second


def readers(task: Task, tensor: int) -> list[int]:
    tensors = task.graph.tensors
    return tensors.consumers[tensors.start[tensor] : tensors.start[tensor + 1]].tolist()


class PlainStep:
    """One step, event by event; channels carry one copy at a time, in the order they are asked."""

    def __init__(self, task: Task, plan: Plan) -> None:
        self.task, self.device = task, plan.device.tolist()
        n, tensors = len(task.graph), task.graph.tensors
        self.priority = range(n) if plan.priority is None else plan.priority.tolist()
        self.table = task.seconds()
        self.missing = np.bincount(tensors.consumers, minlength=n).tolist()
        self.made: list[list[int]] = [[] for _ in range(n)]
        for tensor, producer in enumerate(tensors.producer.tolist()):
            self.made[producer].append(tensor)
        self.start, self.end = [np.inf] * n, [np.inf] * n
        self.copies: list[tuple[int, int, float, float]] = []
        self.channel_free = [0.0] * len(task.cluster.channels)
        self.device_free = [0.0] * len(task.cluster)
        self.ready: list[list[tuple[int, int]]] = [[] for _ in task.cluster.devices]
        self.events: list[tuple[float, int, int]] = []  # time, sort of thing, which
        self.run()

    def run(self) -> None:
        for operator, missing in enumerate(self.missing):
            if not missing:
                self.arrive(operator)
        self.start_all(0.0)
        while self.events:
            now = self.events[0][0]
            while self.events and self.events[0][0] == now:
                _, kind, which = heapq.heappop(self.events)
                self.tensors_of(which, now) if kind == 0 else self.copy_ends(which)
            self.start_all(now)

    def arrive(self, operator: int) -> None:
        heapq.heappush(self.ready[self.device[operator]], (self.priority[operator], operator))

    def start_all(self, now: float) -> None:
        for device, queue in enumerate(self.ready):
            if queue and self.device_free[device] <= now:
                operator = heapq.heappop(queue)[1]
                self.start[operator] = now
                end = self.end[operator] = now + self.table[device, operator]
                self.device_free[device] = end
                heapq.heappush(self.events, (end, 0, operator))

    def tensors_of(self, operator: int, now: float) -> None:
        here = self.device[operator]
        for tensor in self.made[operator]:
            for there in sorted({self.device[one] for one in readers(self.task, tensor)}):
                if there == here:
                    self.hand_out(tensor, there)
                    continue
                channel = self.task.cluster.route[here, there]
                start = max(now, self.channel_free[channel])
                end = start + copying(self.task, tensor, here, there)
                self.channel_free[channel] = end
                self.copies.append((tensor, there, start, end))
                heapq.heappush(self.events, (end, 1, len(self.copies) - 1))

    def copy_ends(self, copy: int) -> None:
        self.hand_out(self.copies[copy][0], self.copies[copy][1])

    def hand_out(self, tensor: int, there: int) -> None:
        for one in readers(self.task, tensor):
            if self.device[one] == there:
                self.missing[one] -= 1
                if not self.missing[one]:
                    self.arrive(one)

    def peaks(self) -> list[int]:
        """The most that each device holds, tensors being given up when nobody needs them."""
        graph, events = self.task.graph, []
        for tensor, size in enumerate(graph.tensors.size_bytes.tolist()):
            producer = int(graph.tensors.producer[tensor])
            mine = [copy for copy in self.copies if copy[0] == tensor]
            until: dict[int, float] = {self.device[producer]: self.end[producer]}
            since = {self.device[producer]: self.start[producer]}
            for _, there, start, end in mine:
                since[there] = start
                until[self.device[producer]] = max(until[self.device[producer]], end)
            for one in readers(self.task, tensor):
                there = self.device[one]
                until[there] = max(until.get(there, 0.0), self.end[one])
            for there, start in since.items():
                events += [(start, 1, there, size), (until[there], 0, there, -size)]
        held = np.bincount(self.device, graph.resident_bytes, len(self.task.cluster)).tolist()
        most = held.copy()
        for _, _, there, size in sorted(events):
            held[there] += size
            most[there] = max(most[there], held[there])
        return [int(one) for one in most]


def plain_score(task: Task) -> Any:
    """What a plan for the task is worth, as a function."""

    def score(plan: Plan) -> Score:
        step = PlainStep(task, plan)
        peaks = step.peaks()
        limits = [device.memory_bytes for device in task.cluster.devices]
        excess = sum(
            max(0, peak - limit)
            for peak, limit in zip(peaks, limits, strict=True)
            if limit is not None
        )
        return Score(max(step.end), np.array(peaks), excess)

    return score


def best_of_all(task: Task) -> Score:
    """The best score of all placements of single operators, in the graph's order."""
    score, best = plain_score(task), None
    for device in itertools.product(range(len(task.cluster)), repeat=len(task.graph)):
        mine = score(Plan(np.array(device, np.int32)))
        if mine.better_than(best):
            best = mine
    assert best is not None
    return best


def task_of(
    seconds: Any,
    edges: list[tuple[int, int]],
    size_bytes: Any,
    limits: list[int | None],
    resident: Any = 0,
    latency: float = 0.0,
    bytes_per_second: float = 1.0,
    **others: Any,
) -> Task:
    """A task on devices of kinds k0, k1 …, with a row of `seconds` for each, all connected."""
    table = np.atleast_2d(np.asarray(seconds, np.float64))
    n = table.shape[1]
    devices = [Device(f"d{i}", f"k{i % len(table)}", limit) for i, limit in enumerate(limits)]
    graph = Graph.from_edges(
        "case",
        [f"op{i}" for i in range(n)],
        {f"k{kind}": row for kind, row in enumerate(table)},
        np.broadcast_to(resident, n),
        edges,
        np.broadcast_to(size_bytes, len(edges)),
        **others,
    )
    return Task(graph, Cluster.full_mesh(devices, latency, bytes_per_second), "latency")


@st.composite
def tasks(draw: Any, operators_max: int = 10) -> Task:
    """Graphs with groups and a backward pass, devices of two kinds, often with little memory."""
    n = draw(st.integers(1, operators_max))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=2 * n)) if pairs else []
    table = np.array(draw(st.lists(st.integers(0, 5), min_size=2 * n, max_size=2 * n)), np.float64)
    table = table.reshape(2, n)
    group = np.array(draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)), np.int32)
    for operator in range(n):
        if draw(st.integers(0, 5)) == 0:
            table[draw(st.integers(0, 1)), operator] = np.inf
    limit = st.one_of(st.none(), st.integers(0, 200))
    return task_of(
        table,
        edges,
        draw(st.lists(st.integers(0, 20), min_size=len(edges), max_size=len(edges))),
        draw(st.lists(limit, min_size=2, max_size=4)),
        draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)),
        latency=draw(st.sampled_from([0.0, 0.5])),
        bytes_per_second=draw(st.sampled_from([1.0, 10.0, np.inf])),
        group=group,
        backward=np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
    )
