"""Small tasks for tests: graphs, clusters and plans that Hypothesis draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from acumen.placement import Channel, Cluster, Device, Graph
from acumen.placement.graph import Tensors
from acumen.placement.plan import Plan, Task

KINDS = ("cpu", "gpu", "tpu")
# Many are equal, so that much ends at the same time; some add up with rounding.
SECONDS = st.sampled_from([0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 0.1, 0.3, 1e-9, 1e6])
SIZES = st.sampled_from([0, 1, 1, 2, 3, 7, 1000])


def _tensors(draw: Any, n: int) -> Tensors:
    # A tensor's readers are later in a hidden order, so that there are no cycles.
    order = draw(st.permutations(range(n)))
    producer, readers = [], []
    for _ in range(draw(st.integers(0, 2 * n))):
        place = draw(st.integers(0, n - 1))
        producer.append(order[place])
        later = sorted(order[place + 1 :])
        readers.append(draw(st.lists(st.sampled_from(later), unique=True)) if later else [])
    m = len(producer)
    is_timed = draw(st.booleans())
    times = draw(st.lists(SECONDS, min_size=m, max_size=m)) if is_timed else None
    return Tensors(
        producer=np.array(producer, np.int32),
        size_bytes=np.array(draw(st.lists(SIZES, min_size=m, max_size=m)), np.int64),
        start=np.cumsum([0, *map(len, readers)], dtype=np.int64),
        consumers=np.array([one for some in readers for one in some], np.int32),
        copy_seconds=None if times is None else np.array(times, np.float64),
    )


def _cluster(draw: Any) -> Cluster:
    d = draw(st.integers(1, 4))
    devices = [Device(f"d{i}", draw(st.sampled_from(KINDS))) for i in range(d)]
    c = draw(st.integers(1, 4))
    rates = st.sampled_from([1.0, 2.0, 3.0, np.inf])
    channels = [Channel(draw(SECONDS), draw(rates)) for _ in range(c)]
    numbers = st.integers(0, c - 1)
    route = draw(st.lists(numbers, min_size=d * d, max_size=d * d))
    return Cluster(devices, channels, np.array(route, np.int16).reshape(d, d))


@st.composite
def tasks(draw: Any, operators_max: int = 9) -> Task:
    """A task in which every operator runs on one of the devices at least."""
    n = draw(st.integers(1, operators_max))
    cluster = _cluster(draw)
    present = sorted({device.kind for device in cluster.devices})
    times = [[draw(SECONDS) for _ in range(n)] for _ in present]
    for operator in range(n):
        for kind in draw(st.sets(st.sampled_from(present), max_size=len(present) - 1)):
            times[present.index(kind)][operator] = np.inf
    graph = Graph(
        "drawn",
        [f"op{i}" for i in range(n)],
        {kind: np.array(row) for kind, row in zip(present, times, strict=True)},
        np.array([draw(SIZES) for _ in range(n)], np.int64),
        _tensors(draw, n),
    )
    return Task(graph, cluster, "latency")


@st.composite
def plans(draw: Any, task: Task, feasible: bool = False) -> Plan:
    """Any plan for the task, or one that puts every operator where it can run."""
    n, d = len(task.graph), len(task.cluster)
    can = np.isfinite(task.seconds())
    device = [
        draw(st.sampled_from(np.flatnonzero(can[:, op]).tolist() if feasible else range(d)))
        for op in range(n)
    ]
    numbers = st.lists(st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1]), min_size=n, max_size=n)
    priority = draw(st.none() | numbers)
    return Plan(
        np.array(device, np.int32), None if priority is None else np.array(priority, np.int32)
    )


@dataclass(frozen=True)
class Asked:
    task: Task
    plan: Plan


@st.composite
def asked(draw: Any, feasible: bool = False) -> Asked:
    """A task and a plan for it."""
    task = draw(tasks())
    return Asked(task, draw(plans(task, feasible)))
