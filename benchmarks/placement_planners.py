"""How long planners take on large graphs: made-up ones, of layers that run beside each other.

    python benchmarks/placement_planners.py [--operators N] [--devices D] [--rounds R] [--json FILE]

`first` is the time to a planner's first plan, from nothing; `all` to its last one. `kernel` is the
native list scheduler alone. Medians over interleaved rounds. What plans are worth is not looked at
here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from acumen.placement import Cluster, Device, Graph
from acumen.placement.plan import Deadline, Planner, Task
from acumen.placement.planners.lists import Lists
from acumen.placement.portfolio import LATENCY_PLANNERS

NOBODY = np.empty(0, np.int32)


def layered(operators: int, devices: int, width: int) -> Task:
    """Each operator reads what two of the `width` operators before it make."""
    draw = np.random.default_rng(0)
    targets = np.repeat(np.arange(1, operators), 2)
    sources = targets - 1 - (draw.random(len(targets)) * np.minimum(targets, width)).astype(int)
    graph = Graph.from_edges(
        f"{operators} operators, {width} wide",
        [str(i) for i in range(operators)],
        {"gpu": draw.lognormal(-8.0, 1.0, operators)},
        draw.integers(0, 1_000_000, operators),
        np.column_stack([sources, targets]),
        draw.integers(1, 1_000_000, len(targets)),
    )
    places = [Device(f"gpu:{i}", "gpu", 16 * 10**9) for i in range(devices)]
    return Task(graph, Cluster.full_mesh(places, 1e-5, 12e9), "latency")


def timed(planner: Planner, task: Task, seconds: float) -> tuple[float, float]:
    start, first = time.perf_counter(), float("nan")
    for number, _ in enumerate(planner(task, Deadline.after(seconds), 0)):
        if not number:
            first = time.perf_counter() - start
    return first, time.perf_counter() - start


def kernels(task: Task) -> dict[str, float]:
    lists, spent = Lists(task), {}
    order = lists.order()
    for contention in (False, True):
        name = "contention" if contention else "free"
        start = time.perf_counter()
        lists.in_order(order, contention)
        spent[f"kernel in_order {name}"] = time.perf_counter() - start
        start = time.perf_counter()
        lists.earliest_first(order, NOBODY, contention)
        spent[f"kernel earliest_first {name}"] = time.perf_counter() - start
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operators", type=int, default=80_000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each planner")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for width in (8, 400):
        task = layered(options.operators, options.devices, width)
        spent: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, planner in LATENCY_PLANNERS.items():
                first, whole = timed(planner, task, options.seconds)
                spent.setdefault(f"{name} first", []).append(first)
                spent.setdefault(f"{name} all", []).append(whole)
            for name, seconds in kernels(task).items():
                spent.setdefault(name, []).append(seconds)
        print(task.graph.name)
        for name, times in spent.items():
            print(f"  {name:34} {statistics.median(times):8.3f} s")
            rows.append({"graph": task.graph.name, "what": name, "seconds": times})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
