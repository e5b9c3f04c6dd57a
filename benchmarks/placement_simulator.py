"""How long the simulator takes to evaluate a plan: acumen.placement.simulator, one core.

    python benchmarks/placement_simulator.py [--operators N] [--rounds N] [--json FILE]

The graph is like a deep network unrolled over time and trained: a grid of layers and steps whose
operators read their neighbours, forward, then backward, which reads what forward kept; three
operators a cell, about 1.8 reads an operator. It runs on 8 devices of two kinds, a channel for each
pair. Plans: `layers` (blocks of layers, as people split by hand), `local` (blocks, and one operator
in ten elsewhere), `random` (each operator anywhere: the most copies there can be), with and without
priorities. Shown are medians of the rounds, and the best, in milliseconds an evaluation: `simulate`
with memory and busy times, `seconds_of` a row of a batch. Both are this process's own time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from acumen.placement import Cluster, Device, Graph
from acumen.placement.bounds import lower_bound
from acumen.placement.plan import Plan, Task
from acumen.placement.simulator import Simulator
from json_file import write_rows

DEVICES = 8
LAYERS = 16


def unrolled(operators: int, seed: int) -> tuple[Task, np.ndarray]:
    """A task of about so many operators, and the layer of each."""
    rng = np.random.default_rng(seed)
    steps = max(1, operators // (LAYERS * 6))
    cells = LAYERS * steps
    edges, layer = [], []
    for number in range(2 * cells):
        is_backward = number >= cells
        cell = 2 * cells - 1 - number if is_backward else number
        step, row = divmod(cell, LAYERS)
        first = 3 * number
        edges += [(first, first + 1), (first + 1, first + 2), (first, first + 2)]
        back = -1 if is_backward else 1
        if 0 <= step - back < steps:
            edges.append((3 * (number - LAYERS) + 2, first))
        if 0 <= row - back < LAYERS:
            edges.append((3 * (number - 1) + 2, first + 1))
        if is_backward:
            edges.append((3 * cell + 2, first))
        layer += [row] * 3
    n = 6 * cells
    gpu = rng.gamma(2.0, 20e-6, n)
    graph = Graph.from_edges(
        "unrolled",
        [f"op{i}" for i in range(n)],
        {"gpu": gpu, "cpu": gpu * rng.uniform(2, 30, n)},
        rng.integers(0, 1 << 20, n),
        np.array(edges),
        rng.integers(1 << 10, 1 << 20, n)[np.array(edges)[:, 0]],
    )
    devices = [Device(f"gpu:{i}", "gpu") for i in range(DEVICES - 1)] + [Device("cpu:0", "cpu")]
    return Task(graph, Cluster.full_mesh(devices, 10e-6, 12e9), "latency"), np.array(layer)


def plans(task: Task, layer: np.ndarray, seed: int) -> dict[str, Plan]:
    rng = np.random.default_rng(seed)
    n = len(task.graph)
    layers = (layer * (DEVICES - 1) // LAYERS).astype(np.int32)
    anywhere = rng.integers(0, DEVICES, n, np.int32)
    local = np.where(rng.random(n) < 0.1, anywhere, layers)
    priority = rng.permutation(n).astype(np.int32)
    return {
        "one device": Plan(np.zeros(n, np.int32)),
        "layers": Plan(layers),
        "local": Plan(local),
        "random": Plan(anywhere),
        "random, priorities": Plan(anywhere, priority),
    }


def milliseconds(work: Any, rounds: int, evaluations: int = 1) -> tuple[float, float]:
    """Median and best."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        taken.append(1e3 * (time.process_time() - begun) / evaluations)
    return statistics.median(taken), min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operators", type=int, default=80_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=31, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    task, layer = unrolled(given.operators, seed=0)
    graph = task.graph
    print(f"{len(graph):,} operators, {len(graph.tensors):,} tensors, ", end="")
    print(f"{len(graph.tensors.consumers):,} reads, {DEVICES} devices")
    begun = time.perf_counter()
    simulators = {contention: Simulator(task, contention) for contention in (True, False)}
    print(f"prepared in {1e3 * (time.perf_counter() - begun) / 2:.1f} ms")
    begun = time.perf_counter()
    bound = lower_bound(task)
    print(f"no step below {bound:.4f} s, found in {time.perf_counter() - begun:.2f} s")
    rows = []
    for name, plan in plans(task, layer, seed=1).items():
        for contention, simulator in simulators.items():
            batch = np.stack([plan.device] * 4)
            step = simulator.simulate(plan)
            simulate, simulate_best = milliseconds(
                lambda s=simulator, p=plan: s.simulate(p), given.rounds
            )
            seconds_of, seconds_of_best = milliseconds(
                lambda s=simulator, p=plan, b=batch: s.seconds_of(b, p.priority),
                given.rounds // 4 + 1,
                evaluations=len(batch),
            )
            row = {
                "plan": name,
                "contention": contention,
                "copies": len(simulator.timeline(plan).copies),
                "step_seconds": step.seconds,
                "simulate_ms": simulate,
                "simulate_best_ms": simulate_best,
                "seconds_of_ms": seconds_of,
                "seconds_of_best_ms": seconds_of_best,
            }
            rows.append(row)
            print(
                f"{name:20} {'contention' if contention else 'none':10} {row['copies']:8,} copies "
                f"{step.seconds:8.4f} s  simulate {simulate:6.2f} ({simulate_best:.2f}) ms  "
                f"seconds_of {seconds_of:6.2f} ({seconds_of_best:.2f}) ms"
            )
    if given.json:
        write_rows(given.json, rows)


if __name__ == "__main__":
    main()
