"""Tasks that planners are tried on, and what the best plan is worth there."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from acumen.placement import Cluster, Device, Graph
from acumen.placement.plan import Plan, Score, Task
from acumen.placement.simulator import Simulator


def copying(task: Task, tensor: int, here: int, there: int) -> float:
    tensors, cluster = task.graph.tensors, task.cluster
    if tensors.copy_seconds is not None:
        return float(tensors.copy_seconds[tensor])
    channel = cluster.channels[cluster.route[here, there]]
    return channel.latency_seconds + tensors.size_bytes[tensor] / channel.bytes_per_second


def readers(task: Task, tensor: int) -> list[int]:
    tensors = task.graph.tensors
    return tensors.consumers[tensors.start[tensor] : tensors.start[tensor + 1]].tolist()


def best_of_all(task: Task) -> Score:
    """The best score of all placements of single operators, in the graph's order."""
    score, best = Simulator(task).score, None
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
